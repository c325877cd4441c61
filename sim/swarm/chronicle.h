/* Chronicle: the committed log as the whole cluster has shown it, and what any node may still say.
 *
 * The first node that takes an entry for committed writes it down; whoever commits that index later
 * must have the same (log matching, Raft §5.3, state-machine safety §5.4.3), and so must every
 * leader from then on (leader completeness, §5.4). States are held against each other by digest.
 *
 * Ownership    owns a reference on each entry */
#ifndef MINIKV_SIM_SWARM_CHRONICLE_H
#define MINIKV_SIM_SWARM_CHRONICLE_H

#include "types/entry.h"

struct chronicle_line {
    struct entry *entry; /* owned; NULL: committed, but nobody has shown it yet */
    uint64_t digest;     /* of the state behind it; 0: nobody has shown it yet */
    unsigned seen_by;    /* the machine that committed it first … */
    raft_term term;      /* … in this term */
    time_us at;
};

struct chronicle {
    struct chronicle_line *lines; /* of index first, first + 1, … */
    size_t count, capacity;
    raft_index first; /* the log begins behind the foundation: 2 */
};

void chronicle_init(struct chronicle *chronicle, raft_index first);
void chronicle_release(struct chronicle *chronicle);
raft_index chronicle_last(const struct chronicle *chronicle); /* first - 1: empty */
/* Borrowed until the next line is added; NULL: not written down. */
struct chronicle_line *chronicle_at(const struct chronicle *chronicle, raft_index index);
/* Requires index == chronicle_last + 1 of `entry`. */
void chronicle_add(struct chronicle *chronicle, struct entry *entry, unsigned seen_by,
                   raft_term term, time_us at);
/* The next line, of an entry that is on a disk only: its node stopped in the step that committed
 * it, and found it committed when it started again. */
void chronicle_add_unseen(struct chronicle *chronicle, unsigned seen_by, raft_term term,
                          time_us at);

#endif
