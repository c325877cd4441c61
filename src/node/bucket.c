/* Bucket: see the header. */
#include "node/bucket.h"

#include "base/check.h"

enum { US_PER_SECOND = 1000 * 1000 };

/* Rounded up: on the whole never more than allowed. */
static time_us time_of(const struct bucket *bucket, uint64_t bytes_count)
{
    REQUIRE(bytes_count <= INT64_MAX / US_PER_SECOND);
    return (bytes_count * US_PER_SECOND + bucket->bytes_per_second - 1) / bucket->bytes_per_second;
}

void bucket_init(struct bucket *bucket, uint64_t bytes_per_second, uint64_t burst_bytes)
{
    REQUIRE(bytes_per_second <= INT64_MAX);
    *bucket = (struct bucket){.bytes_per_second = bytes_per_second};
    if (bytes_per_second != 0)
        bucket->burst = time_of(bucket, burst_bytes);
}

time_us bucket_ready_at(const struct bucket *bucket, time_us now)
{
    if (bucket->bytes_per_second == 0 || bucket->paid_at <= bucket->burst)
        return now;
    return MAX(now, bucket->paid_at - bucket->burst);
}

void bucket_spend(struct bucket *bucket, time_us now, uint64_t bytes_count)
{
    REQUIRE(bucket_ready_at(bucket, now) == now);
    if (bucket->bytes_per_second == 0)
        return;
    bucket->paid_at = MAX(bucket->paid_at, now) + time_of(bucket, bytes_count);
    ENSURE(bucket->paid_at >= now);
}
