/* Bucket: how many bytes may be spent by now, so many a second, and after a pause a burst.
 *
 * A bucket of tokens, kept as the moment at which all that was spent is paid for. Something may be
 * spent as soon as nothing is owed beyond the burst; it may be larger than what is left, and the
 * next one waits for it. Pure arithmetic. */
#ifndef MINIKV_NODE_BUCKET_H
#define MINIKV_NODE_BUCKET_H

#include "types/ids.h"

struct bucket {
    uint64_t bytes_per_second; /* 0: no bound */
    time_us burst;             /* what may be spent at once after a pause, as the time it takes */
    time_us paid_at;           /* when all that was spent is paid for */
};

/* Full: a burst may be spent at once. */
void bucket_init(struct bucket *bucket, uint64_t bytes_per_second, uint64_t burst_bytes);
/* When something may be spent: `now`, or later. */
time_us bucket_ready_at(const struct bucket *bucket, time_us now);
void bucket_spend(struct bucket *bucket, time_us now, uint64_t bytes_count);

#endif
