/* Leader: who leads, as far as replies have said. Pure.
 *
 * What is said in a lower term than one already heard is out of date, whoever says it: it is never
 * followed. A term has one leader at most (Raft §5.2): the first one heard of is kept until it
 * fails, and who says otherwise only makes circles. */
#ifndef MINIKV_CLIENT_LEADER_H
#define MINIKV_CLIENT_LEADER_H

#include "types/address.h"
#include "types/ids.h"

struct leader {
    struct address address; /* of clients; unset: unknown */
    raft_term term_max;     /* the highest that any reply has named */
    struct address failed;  /* the last one that was forgotten, */
    raft_term failed_term;  /* as the leader of this term */
};

/* A reply of `term` says that `address` leads; unset: it does not say. False when it is out of
 * date; term 0, of a reply that names none, is as old as can be. */
bool leader_hear(struct leader *leader, raft_term term, const struct address *address);
/* It does not answer, or says that it does not lead. Whoever else leads is kept. */
void leader_forget(struct leader *leader, const struct address *address);
/* It was forgotten in this very term: whoever still names it is behind. */
bool leader_has_failed(const struct leader *leader, const struct address *address);
bool leader_is_known(const struct leader *leader);

#endif
