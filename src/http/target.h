/* Target: the request target taken apart: path, query parameters, percent-encoding. Pure. */
#ifndef MINIKV_HTTP_TARGET_H
#define MINIKV_HTTP_TARGET_H

#include <assert.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/check.h"
#include "http/problem.h"

/* Slices of the target as received; all of it is printable ASCII once split. */
struct target {
    struct bytes authority; /* of an absolute-form target; empty: origin-form */
    struct bytes path;      /* begins with '/' */
    struct bytes query;     /* without the '?' */
    struct bytes reference; /* path, '?' and query: what a Location may repeat */
};

/* return   ST_OK; ST_BAD_TARGET with `error` */
MUST_CHECK enum status target_split(struct bytes raw, struct target *out_target,
                                    struct errtext *error);
/* Appends. In a query '+' is a blank, as HTML forms and most clients write it; in a path it is
 * itself. return ST_OK; ST_BAD_ENCODING for %zz; nothing is said about %00 and %2f: bytes */
MUST_CHECK enum status percent_decode(struct bytes in, bool plus_is_blank, struct buf *out);

/* X(NAME, name) */
#define QUERY_TABLE(X)                                                                             \
    X(AFTER, "after")                                                                              \
    X(CLIENT, "client")                                                                            \
    X(CONSISTENCY, "consistency")                                                                  \
    X(COUNT_ONLY, "count_only")                                                                    \
    X(END, "end")                                                                                  \
    X(FILTER, "filter")                                                                            \
    X(FROM, "from")                                                                                \
    X(FROM_ID, "from_id")                                                                          \
    X(KEY, "key")                                                                                  \
    X(KEYS, "keys")                                                                                \
    X(KEYS_ONLY, "keys_only")                                                                      \
    X(LEASE, "lease")                                                                              \
    X(LIMIT, "limit")                                                                              \
    X(ORDER, "order")                                                                              \
    X(POLL_MS, "poll_ms")                                                                          \
    X(PREFIX, "prefix")                                                                            \
    X(PREV, "prev")                                                                                \
    X(RAW, "raw")                                                                                  \
    X(REV, "rev")                                                                                  \
    X(ROUTE, "route")                                                                              \
    X(SEQUENCE, "sequence")                                                                        \
    X(START, "start")

enum query_parameter {
#define QUERY_ENUM(NAME, name) QUERY_##NAME,
    QUERY_TABLE(QUERY_ENUM)
#undef QUERY_ENUM
        QUERY_COUNT
};

static_assert(QUERY_COUNT <= 32, "a set of parameters fits a mask");

#define QUERY_BIT(NAME) (1u << QUERY_##NAME)

struct query {
    unsigned present;                 /* QUERY_BIT… */
    struct bytes values[QUERY_COUNT]; /* not yet decoded */
};

const char *query_name(enum query_parameter parameter);
bool query_has(const struct query *query, enum query_parameter parameter);
/* Parameters outside `allowed`, and doubled ones, are refused by name.
 * return   ST_OK; ST_BAD_QUERY with `error` */
MUST_CHECK enum status query_parse(struct bytes text, unsigned allowed, struct query *out_query,
                                   struct errtext *error);
/* ?raw, ?raw=, ?raw=true, ?raw=1 are true; false and 0 are false. */
MUST_CHECK enum status query_flag(const struct query *query, enum query_parameter parameter,
                                  bool *out_flag, struct errtext *error);
/* return   ST_OK, *out_number untouched when absent; ST_BAD_QUERY: no number from 1 to `max` */
MUST_CHECK enum status query_number(const struct query *query, enum query_parameter parameter,
                                    uint64_t max, uint64_t *out_number, struct errtext *error);

#endif
