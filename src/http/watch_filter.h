/* Watch filter: which events a watcher gets, and how they are written for it. Pure. */
#ifndef MINIKV_HTTP_WATCH_FILTER_H
#define MINIKV_HTTP_WATCH_FILTER_H

#include "kv/kv.h"

enum watch_kind { WATCH_KEY, WATCH_PREFIX, WATCH_RANGE };

enum watch_format {
    WATCH_SSE,    /* text/event-stream */
    WATCH_NDJSON, /* application/x-ndjson */
    WATCH_POLL    /* one reply of application/json */
};
enum { WATCH_FORMATS = WATCH_POLL + 1 };

struct watch_filter {
    enum watch_kind kind;
    struct bytes key; /* or the prefix; or the start of the range, inclusive; empty: the first */
    struct bytes end; /* of a range, exclusive; empty: behind the last */
    bool lacks_puts, lacks_deletes;
    bool has_previous; /* what the key was before is told */
    enum watch_format format;
};

bool watch_filter_equal(const struct watch_filter *a, const struct watch_filter *b);
bool watch_filter_has_key(const struct watch_filter *filter, struct bytes key);
/* Of the kind of event, whatever its key. */
bool watch_filter_has_op(const struct watch_filter *filter, const struct kv_event *event);
bool watch_filter_has(const struct watch_filter *filter, const struct kv_event *event);

#endif
