/* Lease: for how long is it certain, and when is it to be kept alive? Pure.
 *
 *      sent        due                       certain until
 *       │───────────│────────────────────────────│─ ─ ─ ─ ─ ─▶        a keep-alive was answered:
 *       │  ttl / 3  │                            │                    all of it from when it was
 *       0                            ttl · (1 - LEASE_CLOCKS)         *sent*
 *
 * The cluster ends a lease no sooner than its time to live after whatever it has answered was sent.
 * Time there is the leader's; a thousandth is taken off for clocks that run at different speeds.
 *
 * Beyond that nothing is known until the next answer. One that says "kept" is as good as if there
 * had been no doubt: a lease that has ended never comes back, so it has been there all the time.
 *
 * Calling      every call says what time it is: of a clock that goes on while the machine sleeps */
#ifndef MINIKV_CLIENT_LEASE_H
#define MINIKV_CLIENT_LEASE_H

#include <stdbool.h>

#include "types/ids.h"

enum {
    LEASE_KEEPS_PER_TTL = 3,
    LEASE_CLOCKS = 1000,     /* one part in so many: what two clocks may differ by */
    LEASE_AGAIN_MS_MIN = 50, /* before the next keep-alive when one has failed: a part of the ttl */
    LEASE_AGAIN_PARTS = 20,
    LEASE_TTL_MS_MIN = 1000
};
#define LEASE_TTL_MS_MAX ((uint64_t)365 * 24 * 60 * 60 * 1000)

struct lease {
    uint64_t id; /* 0: not granted yet */
    uint64_t ttl_ms;
    time_us certain_until;
    time_us keep_at; /* when the next keep-alive is due */
    time_us sent_at; /* of the one under way */
    bool is_asking;  /* one is under way */
    bool is_gone;    /* as the cluster says: for good */
};

enum lease_answer { LEASE_KEPT, LEASE_GONE, LEASE_NO_ANSWER };

/* It has been granted, or found; what said so was sent then. */
void lease_begin(struct lease *lease, uint64_t id, uint64_t ttl_ms, time_us sent_at);
/* When the next keep-alive is to be sent; TIME_NEVER: not before something else happens. */
time_us lease_keep_at(const struct lease *lease);
void lease_asked(struct lease *lease, time_us now);
void lease_answered(struct lease *lease, time_us now, enum lease_answer answer);
/* For how long nobody else can have what hangs on it; 0: that is not certain. */
time_us lease_certain_for(const struct lease *lease, time_us now);
/* How long to wait for the answer to a keep-alive that is sent now. */
time_us lease_patience(const struct lease *lease, time_us now);

#endif
