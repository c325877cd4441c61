/* The row of events for all watchers that are level: a slice of it is encoded once for each form in
 * which it is wanted, and groups of watchers point to pieces of that. */
#include "base/mem.h"
#include "http/watch_hub_internal.h"
#include "http/watch_text.h"

enum {
    SLICE_EVENTS = 512,            /* taken from the row in one run, but … */
    SLICE_MATCHES = 16 * 1024,     /* … not once they are for so many groups; one event always */
    SLICE_BYTES_MAX = 64 * KIB,    /* encoded of them: less where many copies may be made … */
    SLICE_BYTES_MIN = 4 * KIB,     /* … and one event always */
    SLICE_COPIES_BYTES = 32 * MIB, /* of all copies, about */
};

static struct watch_piece encode(struct watch_hub *hub, const struct watch_filter *filter)
{
    struct buf *text = &hub->texts[filter->format][filter->has_previous];
    struct watch_piece *encoded = &hub->encoded[filter->format][filter->has_previous];
    if (encoded->count == 0) {
        encoded->at = text->count;
        watch_put_event(text, hub->event, filter->format, filter->has_previous);
        INVARIANT(!text->is_full);
        encoded->count = text->count - encoded->at;
        hub->stats.encoded_count++;
    }
    return *encoded;
}

static void add_piece(struct watch_group *group, struct watch_piece piece)
{
    if (group->pieces_count != 0) {
        struct watch_piece *last = &group->pieces[group->pieces_count - 1];
        if (last->at + last->count == piece.at) {
            last->count += piece.count;
            return;
        }
    }
    if (group->pieces_count == group->pieces_capacity) {
        group->pieces_capacity = MAX(4u, 2 * group->pieces_capacity);
        group->pieces =
            mem_realloc(group->pieces, group->pieces_capacity * sizeof group->pieces[0]);
    }
    group->pieces[group->pieces_count++] = piece;
}

static void hub_on_group(void *ctx, struct watch_group *group)
{
    struct watch_hub *hub = ctx;
    hub->matches_count++;
    if (list_is_empty(&group->level) || !watch_filter_has_op(&group->filter, hub->event))
        return;
    if (list_is_empty(&group->touched_link))
        list_push_back(&hub->touched, &group->touched_link);
    group->events_count++;
    if (group->filter.format != WATCH_POLL)
        add_piece(group, encode(hub, &group->filter));
}

static size_t slice_bytes_max(const struct watch_hub *hub)
{
    size_t share = SLICE_COPIES_BYTES / hub->stats.watchers_count;
    return MIN(MAX(share, (size_t)SLICE_BYTES_MIN), (size_t)SLICE_BYTES_MAX);
}

static size_t slice_bytes(const struct watch_hub *hub)
{
    size_t count = 0;
    for (size_t i = 0; i < WATCH_FORMATS; i++)
        count += hub->texts[i][0].count + hub->texts[i][1].count;
    return count;
}

static void begin_slice(struct watch_hub *hub)
{
    hub->slice_place = hub->place;
    hub->slice_number = hub->number;
    hub->slices_count++;
    hub->matches_count = 0;
    for (size_t i = 0; i < WATCH_FORMATS; i++) {
        for (size_t j = 0; j < 2; j++) {
            buf_reset(&hub->texts[i][j]);
            if (hub->texts[i][j].capacity > 4 * SLICE_BYTES_MAX)
                buf_release(&hub->texts[i][j]);
        }
    }
}

/* As if all before now had been sent to those that are level. */
void level_go_to_end(struct watch_hub *hub)
{
    struct kv_stats stats;
    kv_stats(hub_kv(hub), &stats);
    hub->place = watch_place_of(stats.revision + 1);
    hub->number = kv_events_end(hub_kv(hub));
}

static void hub_on_overtaken(void *ctx, struct watch_group *group)
{
    struct watch_hub *hub = ctx;
    while (!list_is_empty(&group->level)) {
        struct watcher *watcher = CONTAINER_OF(group->level.next, struct watcher, link);
        watcher_fall_behind(watcher, hub->place, hub->number);
        watcher_line_up(watcher);
    }
}

/* What they have not been sent is compacted already: each is told when it is its turn. */
static void give_up_level(struct watch_hub *hub)
{
    INVARIANT(list_is_empty(&hub->touched)); /* only what is first in the row is ever gone */
    watch_index_each(&hub->index, hub_on_overtaken, hub);
    level_go_to_end(hub);
}

/* False: compaction has been there before. */
static bool take_slice(struct watch_hub *hub)
{
    const struct kv *kv = hub_kv(hub);
    uint64_t number_end = kv_events_end(kv);
    size_t bytes_max = slice_bytes_max(hub);
    struct kv_event event;
    begin_slice(hub);
    for (size_t i = 0; i < SLICE_EVENTS && hub->number < number_end; i++) {
        if (slice_bytes(hub) >= bytes_max || hub->matches_count >= SLICE_MATCHES)
            break;
        if (kv_event_at(kv, hub->number, &event) != ST_OK)
            return false;
        hub->event = &event;
        memset(hub->encoded, 0, sizeof hub->encoded);
        watch_index_match(&hub->index, event.item.key, hub_on_group, hub);
        hub->number++;
        hub->place = watch_place_behind(&event);
    }
    hub->event = NULL;
    if (hub->number == number_end)
        level_go_to_end(hub);
    return true;
}

/* To each of them in turn; it takes it, or stays where the slice begins. */
static void offer(struct watch_hub *hub, struct watch_group *group)
{
    struct list level;
    list_init(&level);
    list_splice(&level, &group->level);
    while (!list_is_empty(&level)) {
        struct watcher *watcher = CONTAINER_OF(level.next, struct watcher, link);
        watcher_fall_behind(watcher, hub->slice_place, hub->slice_number);
        watcher->offer = hub->slices_count;
        if (group->filter.format == WATCH_POLL) {
            watcher->state = WATCHER_FOUND;
            hub->stats.behind_count--;
        }
        watcher->on_due(watcher->ctx); /* may remove it */
    }
}

static void give_out_slice(struct watch_hub *hub)
{
    hub->is_offering = true;
    while (!list_is_empty(&hub->touched)) {
        struct watch_group *group =
            CONTAINER_OF(hub->touched.next, struct watch_group, touched_link);
        list_remove(&group->touched_link);
        group->watchers_count++; /* it stays until the end of this */
        offer(hub, group);
        group->pieces_count = 0;
        group->events_count = 0;
        watch_index_leave(&hub->index, group);
    }
    hub->is_offering = false;
}

void level_follow_state(struct watch_hub *hub)
{
    uint64_t epoch = node_kv_epoch(hub->node);
    if (hub->epoch == epoch)
        return;
    if (watch_place_find(hub_kv(hub), hub->place, &hub->number) != ST_OK)
        give_up_level(hub);
    hub->epoch = epoch;
}

bool level_has_more(const struct watch_hub *hub)
{
    return hub->number < kv_events_end(hub_kv(hub));
}

void level_run(struct watch_hub *hub)
{
    if (!level_has_more(hub))
        return;
    if (take_slice(hub))
        give_out_slice(hub);
    else
        give_up_level(hub);
}

bool level_take_offer(struct watcher *watcher, struct buf *out)
{
    struct watch_hub *hub = watcher->hub;
    if (!hub->is_offering || watcher->offer != hub->slices_count)
        return false;
    const struct watch_group *group = watcher->group;
    const struct buf *text = &hub->texts[group->filter.format][group->filter.has_previous];
    for (size_t i = 0; i < group->pieces_count; i++)
        buf_put(out, bytes_of(text->data + group->pieces[i].at, group->pieces[i].count));
    hub->stats.events_sent += group->events_count;
    watcher_become_level(watcher);
    return true;
}
