/* Attempt: one try at a request, and what may follow it. A pure decision over small facts.
 *
 * The rule that matters: what may already have had its effect is never sent again, unless doing it
 * twice is as good as once. That is so of reads, and of writes with an identity: the cluster
 * carries those out once, however often they come. */
#ifndef MINIKV_CLIENT_ATTEMPT_H
#define MINIKV_CLIENT_ATTEMPT_H

#include <stdbool.h>

#include "base/status.h"
#include "minikv/minikv.h"

enum attempt_end {
    ATTEMPT_REPLIED,
    ATTEMPT_UNSENT, /* refused, unreachable, no time left: its last byte has not left */
    ATTEMPT_LOST    /* all of it was sent, and no reply came */
};

struct attempt {
    enum attempt_end end;
    int code;               /* of the reply */
    enum effect effect;     /* as the reply says, or what must be assumed */
    bool is_repeatable;     /* the request changes nothing, or carries an identity */
    bool points;            /* the reply names a leader no older than any seen */
    unsigned follows_count; /* in a row, of at most MINIKV_REDIRECTS_MAX */
};

enum attempt_next {
    ATTEMPT_NEXT_FINISH,   /* this is the answer */
    ATTEMPT_NEXT_FOLLOW,   /* to the leader that the reply names */
    ATTEMPT_NEXT_ELSEWHERE /* to the next endpoint, after a pause once all have been asked */
};

enum attempt_next attempt_decide(const struct attempt *attempt);

/* What has become of a request after this attempt, when `before` is what had become of it by the
 * earlier ones. `settles`: the reply speaks of all deliveries, not of this one alone. */
enum effect attempt_combine(enum effect before, const struct attempt *attempt, bool settles);

#endif
