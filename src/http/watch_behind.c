/* The row of events for one watcher that is behind, from its own place on. */
#include "http/watch_hub_internal.h"
#include "http/watch_text.h"

enum {
    LEAD_EVENTS = 512,     /* looked at for one, at a time */
    LEAD_BYTES = 64 * KIB, /* sent to it */
};

static void end(struct watcher *watcher, enum status status)
{
    if (watcher->ended != ST_OK)
        return;
    watcher->ended = status;
    if (status == ST_COMPACTED)
        watcher->hub->stats.compacted_count++;
}

/* Another state has other numbers for the same events. */
static enum status renumber(struct watcher *watcher)
{
    struct watch_hub *hub = watcher->hub;
    uint64_t epoch = node_kv_epoch(hub->node);
    if (watcher->epoch == epoch)
        return ST_OK;
    enum status status = watch_place_find(hub_kv(hub), watcher->place, &watcher->number);
    if (status != ST_OK)
        return ST_COMPACTED; /* it is a state that knows less of the past, or another one */
    watcher->epoch = epoch;
    return ST_OK;
}

struct lead_bounds {
    uint64_t number_end;
    size_t events_max; /* looked at */
    size_t found_max;
    size_t bytes_max;
};

struct lead_result {
    size_t looked_count;
    size_t found_count;
};

/* out  NULL: stops in front of the first event that is found */
static enum status go_on(struct watcher *watcher, const struct lead_bounds *bounds, struct buf *out,
                         struct lead_result *result)
{
    const struct watch_filter *filter = &watcher->group->filter;
    size_t start = out != NULL ? out->count : 0;
    struct kv_event event;
    enum status status = renumber(watcher);
    while (status == ST_OK && watcher->number < bounds->number_end &&
           result->looked_count < bounds->events_max && result->found_count < bounds->found_max &&
           (out == NULL || out->count - start < bounds->bytes_max)) {
        status = kv_event_at(hub_kv(watcher->hub), watcher->number, &event);
        if (status != ST_OK)
            break;
        result->looked_count++;
        if (watch_filter_has(filter, &event)) {
            result->found_count++;
            if (out == NULL)
                break;
            if (filter->format == WATCH_POLL && result->found_count > 1)
                buf_put(out, BYTES_LITERAL(","));
            watch_put_event(out, &event, filter->format, filter->has_previous);
        }
        watcher->number++;
        watcher->place = watch_place_behind(&event);
    }
    return status;
}

/* Of a single key its newest version tells whether there is anything to look for at all: most of
 * those who come back have missed nothing, and what may be compacted was not theirs. */
static void skip(struct watcher *watcher)
{
    struct watch_hub *hub = watcher->hub;
    const struct watch_filter *filter = &watcher->group->filter;
    struct kv_item item;
    if (filter->kind != WATCH_KEY || watcher->epoch != hub->epoch ||
        watcher->number >= hub->number || !kv_get(hub_kv(hub), filter->key, &item) ||
        item.mod_revision >= watcher->place.revision)
        return;
    watcher->number = hub->number;
    watcher->place = hub->place;
}

void behind_lead(struct watcher *watcher, struct buf *out)
{
    struct watch_hub *hub = watcher->hub;
    skip(watcher);
    struct lead_bounds bounds = {.number_end = hub->number,
                                 .events_max = LEAD_EVENTS,
                                 .found_max = out != NULL ? SIZE_MAX : 1,
                                 .bytes_max = LEAD_BYTES};
    struct lead_result result = {0};
    enum status status = go_on(watcher, &bounds, out, &result);
    hub->looked_count += result.looked_count;
    if (out != NULL)
        hub->stats.events_sent += result.found_count;
    if (status != ST_OK) {
        end(watcher, ST_COMPACTED);
    } else if (out == NULL && result.found_count != 0) {
        watcher->state = WATCHER_FOUND;
        hub->stats.behind_count--;
    } else if (watcher->number == hub->number) {
        watcher_become_level(watcher);
    } else {
        watcher_line_up(watcher);
    }
}

enum status watcher_collect(struct watcher *watcher, size_t events_max, size_t bytes_max,
                            struct buf *out)
{
    struct watch_hub *hub = watcher->hub;
    if (watcher->state == WATCHER_LEVEL)
        watcher_fall_behind(watcher, hub->place, hub->number);
    struct lead_bounds bounds = {.number_end = kv_events_end(hub_kv(hub)),
                                 .events_max = WATCH_RUN_EVENTS,
                                 .found_max = events_max,
                                 .bytes_max = bytes_max};
    struct lead_result result = {0};
    enum status status = go_on(watcher, &bounds, out, &result);
    hub->stats.events_sent += result.found_count;
    if (status != ST_OK)
        end(watcher, ST_COMPACTED);
    return status == ST_OK ? ST_OK : ST_COMPACTED;
}
