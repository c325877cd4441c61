/* Attempt: one try at a request, and what may follow it. A pure decision over small facts.
 *
 * The rule that matters: what may already have had its effect is never sent again, unless doing it
 * twice is as good as once. */
#ifndef MINIKV_CLIENT_ATTEMPT_H
#define MINIKV_CLIENT_ATTEMPT_H

#include <stdbool.h>

#include "base/status.h"

enum { CLIENT_FOLLOWS_MAX = 5 }; /* redirects in a row; more is a circle */

enum attempt_end {
    ATTEMPT_REPLIED,
    ATTEMPT_UNSENT, /* refused, unreachable, no time left: not a byte of it left */
    ATTEMPT_LOST    /* something was sent, and no reply came */
};

struct attempt {
    enum attempt_end end;
    int code;               /* of the reply */
    enum effect effect;     /* as the reply says, or what must be assumed */
    bool is_repeatable;     /* the request changes nothing */
    bool points;            /* the reply names a leader no older than any seen */
    unsigned follows_count; /* redirects followed so far, in a row */
};

enum attempt_next {
    ATTEMPT_NEXT_FINISH,   /* this is the answer */
    ATTEMPT_NEXT_FOLLOW,   /* to the leader that the reply names */
    ATTEMPT_NEXT_ELSEWHERE /* to the next endpoint, after a pause once all have been asked */
};

enum attempt_next attempt_decide(const struct attempt *attempt);
const char *attempt_next_name(enum attempt_next next); /* "finish", "follow", "elsewhere" */

#endif
