/* Histogram: latencies in buckets of 1.6 % width, from nanoseconds to hours, in fixed memory. */
#ifndef MINIKV_LOAD_HISTOGRAM_H
#define MINIKV_LOAD_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

enum {
    HISTOGRAM_SUB_BUCKETS = 64, /* per power of two */
    HISTOGRAM_BUCKETS = 64 * HISTOGRAM_SUB_BUCKETS
};

struct histogram {
    uint64_t count, sum, max; /* ns */
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

/* The least latency that goes into a bucket. */
uint64_t histogram_bucket_ns(size_t bucket);
void histogram_add(struct histogram *histogram, uint64_t latency_ns);
void histogram_merge(struct histogram *into, const struct histogram *from);
double histogram_mean_us(const struct histogram *histogram);
/* The latency that `share` (0 … 1) of all did not pass: the lower end of its bucket, at most 1.6 %
 * below the truth; 0 when there are none. */
double histogram_percentile_us(const struct histogram *histogram, double share);
/* How many are in buckets that begin below `latency_ns`. */
uint64_t histogram_count_below(const struct histogram *histogram, uint64_t latency_ns);

#endif
