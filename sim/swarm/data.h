/* Data: transactions, leases and compaction in the load, and what must hold of them at once.
 *
 *      pair      each of these transactions gives two keys the same new value; whoever sees one of
 *                the pair changed sees both, at one revision
 *      plot      others do whatever a transaction may to a dozen keys: ranges, compares, others
 *                nested in them; what they came to is what the log comes to, byte for byte
 *      own key   each transaction writes one, and nobody else does
 *      leases    one that was granted or kept alive is there for its time to live from the moment
 *                when that was asked for, in true time, less what the fastest clock of the plan
 *                makes of it; and in the end it goes, if nobody keeps it alive
 *      keys      no key hangs on a lease that is not there
 *      past      what is listed at a revision is the same whenever and wherever it is asked for
 *
 *      data.c           what is asked, and how often
 *      data_txn.c       the transactions
 *      data_leases.c    the leases, and what must hold of them
 *      data_answers.c   what else must hold
 *      data_past.c      listings of the past
 *
 * Drawn apart: a seed without them is what it is without this file. */
#ifndef MINIKV_SIM_SWARM_DATA_H
#define MINIKV_SIM_SWARM_DATA_H

#include "sim/swarm/swarm.h"

struct model;

enum { DATA_LEASED_KEYS = 8, DATA_TTL_MS_MAX = 8000, DATA_TXN_BYTES_MAX = 16384 };

/* What somebody was told of a lease. */
struct lease_seen {
    uint64_t lease;
    time_us ttl;
    time_us held_from; /* true time: when the newest was asked for that was acknowledged */
    time_us gone_at;   /* true time: a node has shown that it is gone; 0: none */
    bool is_revoked;   /* somebody has asked for it */
};

struct txn_sent {
    struct buf encoded; /* owned: the same each time */
    bool is_pair;
    bool is_applied, is_refused; /* somebody was told so; refused: by the state */
    struct buf results;          /* owned: is_applied */
    enum fate fate;              /* at the end: of all deliveries together */
};

struct data {
    struct swarm *swarm;
    struct prng prng;
    time_us next_at;
    struct lease_seen *leases; /* owned */
    size_t leases_count;
    struct txn_sent *txns; /* owned */
    size_t txns_count;
    uint64_t pairs_count; /* transactions on the pair; applied: as far as anybody was told */
    uint64_t applied_count;
    uint64_t *listings; /* by revision: listing.h; 0: not seen; owned */
    size_t listings_capacity;
};

/* NULL: the plan has none; all of these then do nothing. */
struct data *data_open(struct swarm *swarm);
void data_free(struct data *data);
time_us data_next(const struct data *data);
void data_due(struct data *data);
void data_on_answer(struct operation *operation, const struct node_answer *answer,
                    const struct kv *kv);
/* A node has applied something. */
void data_watch(struct site *site);
void data_judge(struct data *data, const struct model *model);
uint64_t data_below(struct data *data, uint64_t limit);

/* ---- data_txn.c ---- */

void data_txn(struct data *data, unsigned at);
/* A transaction on a register. */
void data_swap(struct data *data, unsigned at);
void data_txn_name(size_t number, char out[32]);

/* ---- data_leases.c ---- */

void data_use_leases(struct data *data, unsigned at);
/* One of the newest. Requires that there is one. */
struct lease_seen *data_any_lease(struct data *data, size_t newest_count);
void data_on_lease(struct operation *operation, const struct node_answer *answer,
                   const struct kv *kv);
void data_watch_leases(struct site *site, const struct kv *kv);
/* The earliest moment at which a lease may be gone that was asked for then: its time is measured by
 * clocks that run at up to `rate_percent`. Both are true time. */
time_us data_lease_until(time_us asked_at, time_us ttl, unsigned rate_percent);
/* In which a lease that nobody keeps alive is gone, with a leader all the while. */
time_us data_lease_bound(void);
/* A member that is owed everything still has one. */
bool data_has_leases(const struct swarm *swarm);

/* ---- data_past.c ---- */

void data_watch_past(struct site *site, const struct kv *kv);
void data_judge_past(struct data *data, const struct model *model);

#endif
