/* Metrics: what /metrics counts about requests. */
#ifndef MINIKV_HTTP_METRICS_H
#define MINIKV_HTTP_METRICS_H

#include "http/api.h"
#include "http/reply.h"

enum { METRICS_BUCKETS = 14, METRICS_ROUTES = API_ROUTES_MAX + 1 }; /* and those without a route */

struct metrics_latency {
    uint64_t buckets[METRICS_BUCKETS + 1]; /* the last one: above all bounds */
    time_us sum;
};

struct metrics {
    uint64_t replies[METRICS_ROUTES][REPLY_CODES_MAX];
    struct metrics_latency latency[METRICS_ROUTES];
    uint64_t connections_accepted, connections_refused;
    uint64_t received_bytes, sent_bytes, backup_bytes;
};

/* route  NULL: none matched */
void metrics_count(struct metrics *metrics, const struct api_route *route, size_t code_index,
                   time_us latency);
void metrics_write(const struct http *http, struct buf *out);

#endif
