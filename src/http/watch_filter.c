#include "http/watch_filter.h"

#include "base/check.h"

bool watch_filter_equal(const struct watch_filter *a, const struct watch_filter *b)
{
    return a->kind == b->kind && a->format == b->format && a->has_previous == b->has_previous &&
           a->lacks_puts == b->lacks_puts && a->lacks_deletes == b->lacks_deletes &&
           bytes_equal(a->key, b->key) && bytes_equal(a->end, b->end);
}

bool watch_filter_has_key(const struct watch_filter *filter, struct bytes key)
{
    switch (filter->kind) {
    case WATCH_KEY:
        return bytes_equal(key, filter->key);
    case WATCH_PREFIX:
        return bytes_has_prefix(key, filter->key);
    case WATCH_RANGE:
        return bytes_compare(key, filter->key) >= 0 &&
               (filter->end.count == 0 || bytes_compare(key, filter->end) < 0);
    }
    UNREACHABLE();
}

bool watch_filter_has_op(const struct watch_filter *filter, const struct kv_event *event)
{
    return event->item.version == 0 ? !filter->lacks_deletes : !filter->lacks_puts;
}

bool watch_filter_has(const struct watch_filter *filter, const struct kv_event *event)
{
    return watch_filter_has_op(filter, event) && watch_filter_has_key(filter, event->item.key);
}
