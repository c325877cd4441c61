/* Load: a loop over N keep-alive HTTP/1.1 connections.
 *
 * Closed, a connection sends its next request when an answer has arrived; `pipeline` of them are
 * under way on each. With a rate, requests are sent when they are due, over any connection that is
 * free, and latency counts from when they were: a server that stalls makes all that it delays late,
 * not one in each connection. Nothing is ever sent twice. Not a client: it understands just enough
 * of HTTP to find the end of a reply.
 *
 * Limits       LOAD_CONNECTIONS_MAX and the like, and LOAD_REQUESTS_BYTES_MAX of memory
 * Calling      one thread; load_run blocks until the run is over */
#ifndef MINIKV_LOAD_LOAD_H
#define MINIKV_LOAD_LOAD_H

#include <sys/socket.h>

#include "base/diag.h"
#include "load/histogram.h"
#include "load/load_errors.h"
#include "load/series.h"
#include "load/template.h"
#include "types/address.h"

enum {
    LOAD_CONNECTIONS_MAX = 10000, /* each has a number of four digits */
    LOAD_TARGETS_MAX = 16,
    LOAD_PIPELINE_MAX = LIMIT_PIPELINE,
    LOAD_KEYS_MAX = 100 * 1000 * 1000,
    LOAD_RATE_MAX = 1000 * 1000,
    LOAD_SECONDS_MAX = 3600,
    LOAD_REQUESTS_BYTES_MAX = 512 * MIB, /* of all requests under way together */
    LOAD_REPLY_BYTES_MAX = 8 * MIB,      /* of one reply */
    LOAD_KINDS_MAX = 2                   /* of requests: reads and writes */
};

struct load_target {
    struct sockaddr_storage address;
    socklen_t address_bytes;
};

/* False with `error` when the host has no address. May ask a name server, and wait for it. */
MUST_CHECK bool load_resolve(const struct address *address, struct load_target *out_target,
                             struct errtext *error);

struct load_kind {
    const struct template *template; /* borrowed */
    bool is_write;                   /* so that it may have happened when there is no answer */
};

struct load_result;

struct load_plan {
    const struct load_target *targets;
    size_t targets_count;
    size_t primaries_count; /* of these, in front: where connections begin, in turn. The others
                               are for when a target is lost */
    struct load_kind kinds[LOAD_KINDS_MAX];
    size_t kinds_count;
    uint32_t first_percent; /* of requests that are of the first of two kinds */

    uint32_t connections_count, pipeline;
    uint32_t keys_count;
    uint64_t requests_max; /* then stop; 0: as time allows */
    bool is_sequential;    /* one key after the other, not random ones */
    uint32_t rate;         /* requests a second, sent when they are due; 0: as answers come */

    uint64_t warm_up_ns, run_ns; /* what is answered in the first is not counted */
    uint64_t timeout_ns;         /* for an answer, or to connect */
    bool waits_at_end;           /* for what has been sent; it counts */
    bool stays;                  /* a target that cannot be reached again ends the run */

    /* Called every LOAD_TICK_NS with what there is so far; false: stop. NULL: none. */
    bool (*on_tick)(void *ctx, const struct load_result *result, uint64_t age_ns);
    void *ctx;
};

enum { LOAD_TICK_NS = 100 * 1000 * 1000, LOAD_FIRST_BAD_BYTES = 600 };

struct load_result {
    double seconds;        /* measured, without the warm-up and the waiting at the end */
    uint64_t all_count;    /* replies, warm-up included */
    uint64_t sent_count;   /* requests, likewise */
    uint64_t bad_count;    /* replies other than 2xx */
    uint64_t failed_count; /* requests without a reply */
    uint64_t lost_count;   /* connections */
    uint64_t moved_count;  /* connections that went on at another target */
    uint64_t late_count;   /* good replies that came after the end */
    uint64_t unsent_count; /* with a rate: due before the end, and never sent */
    uint64_t target_counts[LOAD_TARGETS_MAX];   /* good replies of each */
    struct histogram latencies[LOAD_KINDS_MAX]; /* of the good replies, by kind */
    struct load_errors errors;                  /* of the bad and the failed */
    struct series series;
    char first_bad[LOAD_FIRST_BAD_BYTES + 1]; /* "": there was none */
};

/* Fills out_result, which is large. False with `error` when it could not begin, or (`stays`) not go
 * on; what was measured by then is in out_result. */
MUST_CHECK bool load_run(const struct load_plan *plan, struct load_result *out_result,
                         struct errtext *error);

#endif
