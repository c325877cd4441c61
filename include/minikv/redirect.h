/* redirect: what a node that is not the leader tells its client (Raft §8).
 *
 * On the wire it is an HTTP reply: 307 with the leader's client address in Location, or 503 when no
 * leader can be named. Both carry the term of what they say in X-MiniKV-Term. */
#ifndef MINIKV_REDIRECT_H
#define MINIKV_REDIRECT_H

#include <stdint.h>

struct redirect_msg {
    int redirect;         /* 1: the node did not take the request; 0: it did */
    char leader_host[64]; /* "" when not known */
    uint16_t leader_port; /* client address; 0 when not known */
    int leader_known;     /* 0: ask again later */
    uint64_t term;        /* of what is said; 0: the reply does not say */
};

#endif
