/* Data: transactions, leases and compaction in the load, and what must hold of them at once.
 *
 *      pair      each transaction gives two keys the same new value, and one key that it alone
 *                writes; whoever sees one of the pair changed sees both, at one revision
 *      leases    one that was granted or renewed is there for its time to live from the moment
 *                when that was asked for, in true time, less what the fastest clock of the plan
 *                makes of it; and in the end it goes, if nobody renews it
 *      keys      no key hangs on a lease that is not there
 *
 *      data.c           what is asked
 *      data_answers.c   what must hold
 *
 * Drawn apart: a seed without them is what it is without this file. */
#ifndef MINIKV_SIM_SWARM_DATA_H
#define MINIKV_SIM_SWARM_DATA_H

#include "sim/swarm/swarm.h"

struct model;

enum { DATA_LEASED_KEYS = 8, DATA_TTL_MS_MAX = 8000, DATA_RESULTS_BYTES_MAX = 256 };

/* What somebody was told of a lease. */
struct lease_seen {
    uint64_t lease;
    time_us ttl;
    time_us held_from; /* true time: when the newest was asked for that was acknowledged */
    time_us gone_at;   /* true time: a node has shown that it is gone; 0: none */
    bool is_revoked;   /* somebody has asked for it */
};

struct txn_sent {
    bool is_applied; /* somebody was told so */
    uint8_t results[DATA_RESULTS_BYTES_MAX];
    size_t results_count;
    enum fate fate; /* at the end: of all deliveries together */
};

struct data {
    struct swarm *swarm;
    struct prng prng;
    time_us next_at;
    struct lease_seen *leases; /* owned */
    size_t leases_count;
    struct txn_sent *txns; /* owned */
    size_t txns_count;
    uint64_t applied_count; /* of the transactions, as far as anybody was told */
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

/* The earliest moment at which a lease may be gone that was asked for then: its time is measured by
 * clocks that run at up to `rate_percent`. Both are true time. */
time_us data_lease_until(time_us asked_at, time_us ttl, unsigned rate_percent);
/* In which a lease that nobody renews is gone, with a leader all the while. */
time_us data_lease_bound(void);
void data_txn_name(unsigned number, char out[32]);
void data_leased_key(uint64_t number, char out[32]);
/* A member that is owed everything still has one. */
bool data_has_leases(const struct swarm *swarm);

#endif
