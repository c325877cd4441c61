/* Histogram: latencies in buckets of 1.6 % width, from nanoseconds to hours, in fixed memory. */
#ifndef MINIKV_BENCH_LOAD_HISTOGRAM_H
#define MINIKV_BENCH_LOAD_HISTOGRAM_H

#include <stdint.h>

enum {
    HISTOGRAM_SUB_BUCKETS = 64, /* per power of two */
    HISTOGRAM_BUCKETS = 64 * HISTOGRAM_SUB_BUCKETS
};

struct histogram {
    uint64_t count, sum, max; /* ns */
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t latency_ns);
double histogram_mean_us(const struct histogram *histogram);
/* The latency that `share` (0 … 1) of all did not pass; 0 when there are none. */
double histogram_percentile_us(const struct histogram *histogram, double share);

#endif
