/* What the files of the public door share of holds. */
#ifndef MINIKV_CLIENT_CLAIM_DOOR_H
#define MINIKV_CLIENT_CLAIM_DOOR_H

#include "base/list.h"
#include "client/claim.h"

struct minikv_hold {
    struct list link;
    struct minikv *kv;
    struct claim *claim;       /* owned */
    uint64_t step_id, keep_id; /* of the calls under way; 0: none */
};

/* How long to wait, by whom it lies. */
struct claim_patience {
    time_us asking; /* while it is being asked for */
    time_us behind; /* while others are before */
};

/* minikv_hold_wait with both. */
enum minikv_code claim_await(struct minikv_hold *hold, const struct claim_patience *patience);

#endif
