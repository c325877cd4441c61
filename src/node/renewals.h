/* Renewals: keep-alives of leases, many in one command (docs/decisions/0010-data-model.md).
 *
 * What comes within RENEWALS_COLLECT_US travels as one COMMAND_RENEW_LEASES: one entry of the log
 * for all of them, and no more of them in a second than there are such moments. Each is answered
 * when that command has been applied here: with OK, and the ttl_ms as result.number, if its lease
 * is there then; with LEASE_NOT_FOUND if not; else with what became of the command.
 *
 *      renewals_add ─▶ collected ─▶ handle_client_request ─▶ … applied here ─▶ on_done
 *
 * A front door has one of these beside its node, and uses no more of the node than others do.
 *
 * Ownership    a renewal is embedded in its owner and stays until on_done or renewals_cancel
 * Limits       LIMIT_RENEWALS; LIMIT_LEASE_RENEWALS in one command
 * Calling      the loop's thread; on_done never runs inside renewals_add */
#ifndef MINIKV_NODE_RENEWALS_H
#define MINIKV_NODE_RENEWALS_H

#include "node/node.h"

enum {
    RENEWALS_COLLECT_US = 10 * TIME_US_PER_MS,
    RENEWALS_SLACK_US = 100 * TIME_US_PER_MS /* between the deadlines of those that go together */
};

struct renewal_batch;

struct renewal {
    /* filled in by the front door */
    uint64_t lease;
    enum route_policy policy;
    bool is_forwarded; /* as of a node_request */
    time_us deadline;  /* the answer comes by then, or RENEWALS_SLACK_US earlier */
    void (*on_done)(void *ctx, const struct node_answer *answer);
    void *ctx;

    /* private */
    struct list link; /* of its batch */
    struct renewal_batch *batch;
};

struct renewals {
    struct list collecting; /* batches, oldest first */
    struct list submitted;  /* batches at the node */
    struct env_timer timer; /* for the oldest that is being collected */
    size_t waiting_count;   /* renewals that have no answer */
    uint64_t taken_count;   /* renewals so far */
    uint64_t batches_count; /* commands so far */

    struct env *env;   /* borrowed */
    struct node *node; /* borrowed */
};

void renewals_init(struct renewals *renewals, struct env *env, struct node *node);
/* Requires that nothing is waiting any more. */
void renewals_release(struct renewals *renewals);
/* ST_OK: on_done will come, unless cancelled; ST_BUSY: too many are waiting. */
MUST_CHECK enum status renewals_add(struct renewals *renewals, struct renewal *renewal);
/* Whoever asked is gone: on_done will not be called. The lease may still be renewed. */
void renewals_cancel(struct renewals *renewals, struct renewal *renewal);

#endif
