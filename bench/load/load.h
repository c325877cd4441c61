/* Load: a loop over N keep-alive HTTP/1.1 connections.
 *
 * Closed, each connection sends its next request when the answer to the last has arrived. With a
 * rate, requests are sent when they are due, over any connection that is free, and latency counts
 * from when they were: a server that stalls makes all that it delays late, not one in each
 * connection. Not a client: it understands just enough of HTTP to find the end of a reply. */
#ifndef MINIKV_BENCH_LOAD_LOAD_H
#define MINIKV_BENCH_LOAD_LOAD_H

#include "load/histogram.h"
#include "load/request.h"

struct load_result {
    double seconds;           /* measured, without the warm-up */
    uint64_t all_count;       /* replies, warm-up included */
    uint64_t bad_count;       /* replies other than 2xx */
    uint64_t lost_count;      /* connections lost */
    struct histogram latency; /* of the good replies */
};

/* Runs until the time is up, or every key was sent once. */
void load_run(const struct options *options, const struct request *request,
              struct load_result *out_result);

#endif
