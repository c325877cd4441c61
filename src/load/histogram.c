#include "load/histogram.h"

#include "base/check.h"

static size_t bucket_of(uint64_t value)
{
    if (value < HISTOGRAM_SUB_BUCKETS)
        return (size_t)value;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - 6u; /* keeps 7 significant bits */
    return (size_t)(shift + 1) * HISTOGRAM_SUB_BUCKETS +
           (size_t)((value >> shift) - HISTOGRAM_SUB_BUCKETS);
}

uint64_t histogram_bucket_ns(size_t bucket)
{
    if (bucket < HISTOGRAM_SUB_BUCKETS)
        return bucket;
    size_t shift = bucket / HISTOGRAM_SUB_BUCKETS - 1;
    return (uint64_t)(bucket % HISTOGRAM_SUB_BUCKETS + HISTOGRAM_SUB_BUCKETS) << shift;
}

void histogram_add(struct histogram *histogram, uint64_t latency_ns)
{
    histogram->count++;
    histogram->sum += latency_ns;
    histogram->max = MAX(histogram->max, latency_ns);
    histogram->buckets[bucket_of(latency_ns)]++;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    into->count += from->count;
    into->sum += from->sum;
    into->max = MAX(into->max, from->max);
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->buckets[i] += from->buckets[i];
}

double histogram_mean_us(const struct histogram *histogram)
{
    return histogram->count == 0 ? 0 : (double)histogram->sum / (double)histogram->count / 1000;
}

double histogram_percentile_us(const struct histogram *histogram, double share)
{
    uint64_t seen = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS && histogram->count != 0; i++) {
        seen += histogram->buckets[i];
        if (seen > 0 && (double)seen >= share * (double)histogram->count)
            return (double)histogram_bucket_ns(i) / 1000;
    }
    return 0;
}

uint64_t histogram_count_below(const struct histogram *histogram, uint64_t latency_ns)
{
    uint64_t seen = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS && histogram_bucket_ns(i) < latency_ns; i++)
        seen += histogram->buckets[i];
    return seen;
}
