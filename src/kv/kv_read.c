/* Reading: keys, ranges and events, of the present and of the past. */
#include "base/limits.h"
#include "kv/kv_internal.h"

/* ---- one key ---- */

/* The version of that revision, which is readable; NULL: there was no such key.
 *
 * steps_count   counted up by the versions that are passed over */
static const struct item *version_at(const struct kv *kv, const struct item *newest,
                                     uint64_t revision, uint64_t *steps_count)
{
    const struct item *item = newest;
    for (; item != NULL && item->mod_revision > revision; (*steps_count)++)
        item = item_towards(item, revision, kv->past.compacted);
    return item != NULL && !item_is_deleted(item) ? item : NULL;
}

enum status kv_may_read(const struct kv *kv, uint64_t revision)
{
    if (revision > kv->revision)
        return ST_REVISION_FUTURE;
    return revision < kv->past.compacted ? ST_COMPACTED : ST_OK;
}

static bool get(const struct kv *kv, struct bytes key, uint64_t revision, struct kv_item *out_item)
{
    struct tree_cursor cursor;
    const struct item *newest = item_of(tree_find(tree_view(kv->tree), key, &cursor));
    uint64_t steps_count = 0;
    const struct item *item = version_at(kv, newest, revision, &steps_count);
    if (item == NULL)
        return false;
    *out_item = item_content(item);
    return true;
}

bool kv_get(const struct kv *kv, struct bytes key, struct kv_item *out_item)
{
    return get(kv, key, UINT64_MAX, out_item);
}

enum status kv_get_at(const struct kv *kv, struct bytes key, uint64_t revision,
                      struct kv_item *out_item)
{
    enum status status = kv_may_read(kv, revision);
    if (status == ST_OK && !get(kv, key, revision, out_item))
        status = ST_NOT_FOUND;
    return status;
}

/* ---- ranges ---- */

static struct bytes later_of(struct bytes a, struct bytes b)
{
    return bytes_compare(a, b) < 0 ? b : a;
}

/* Keys are in order: all with the prefix stand together, the prefix itself first. */
static struct bytes first_of(const struct kv_range *range)
{
    return later_of(range->prefix, range->start);
}

bool kv_range_has(const struct kv_range *range, struct bytes key)
{
    return bytes_has_prefix(key, range->prefix) && bytes_compare(key, range->start) >= 0 &&
           (range->end.count == 0 || bytes_compare(key, range->end) < 0);
}

/* A scan that is under way. */
struct scan {
    const struct kv *kv;
    const struct kv_range *range;
    uint64_t revision;
    struct tree_cursor cursor;
    bool (*on_item)(void *ctx, const struct kv_item *item);
    void *ctx;
    uint64_t *looks_left; /* at keys, and versions of them; on_item may count it down as well */
    bool is_cut;          /* there was another key to look at */
    struct bytes last;    /* the last key looked at */
};

/* False: that was the last one asked for. */
static bool show(struct scan *scan, const struct item *newest)
{
    scan->is_cut = *scan->looks_left == 0;
    if (scan->is_cut)
        return false;
    uint64_t looks_count = 1;
    const struct item *item = version_at(scan->kv, newest, scan->revision, &looks_count);
    *scan->looks_left -= MIN(looks_count, *scan->looks_left);
    scan->last = item_key(newest);
    if (item == NULL)
        return true;
    struct kv_item content = item_content(item);
    return scan->on_item(scan->ctx, &content);
}

static void scan_upwards(struct scan *scan)
{
    const struct kv_range *range = scan->range;
    struct bytes first = later_of(first_of(range), range->after);
    const struct item *item;
    (void)tree_find(tree_view(scan->kv->tree), first, &scan->cursor);
    while ((item = item_of(tree_next(&scan->cursor))) != NULL) {
        struct bytes key = item_key(item);
        if (!kv_range_has(range, key))
            return;
        bool is_after = range->after.count == 0 || !bytes_equal(key, range->after);
        if (is_after && !show(scan, item))
            return;
    }
}

/* The first key behind all with this prefix; false: there is no such key. */
static bool successor(struct bytes prefix, uint8_t room[LIMIT_KEY_BYTES], struct bytes *out_key)
{
    size_t count = prefix.count;
    while (count > 0 && prefix.data[count - 1] == UINT8_MAX)
        count--;
    if (count == 0)
        return false;
    memcpy(room, prefix.data, count);
    room[count - 1]++;
    *out_key = bytes_of(room, count);
    return true;
}

/* Leaves the cursor behind the last key of the range: at the lowest of its upper bounds. */
static void seek_end(struct scan *scan)
{
    const struct kv_range *range = scan->range;
    struct tree_view view = tree_view(scan->kv->tree);
    uint8_t room[LIMIT_KEY_BYTES];
    struct bytes bound = bytes_of(NULL, 0); /* empty: none */
    struct bytes behind_prefix;
    if (successor(range->prefix, room, &behind_prefix))
        bound = behind_prefix;
    if (range->end.count != 0 && (bound.count == 0 || bytes_compare(range->end, bound) < 0))
        bound = range->end;
    if (range->after.count != 0 && (bound.count == 0 || bytes_compare(range->after, bound) < 0))
        bound = range->after;
    if (bound.count != 0)
        (void)tree_find(view, bound, &scan->cursor);
    else
        (void)tree_last(view, &scan->cursor);
}

static void scan_downwards(struct scan *scan)
{
    const struct item *item;
    if (scan->range->prefix.count > LIMIT_KEY_BYTES) /* which no key has */
        return;
    seek_end(scan);
    while ((item = item_of(tree_prev(&scan->cursor))) != NULL)
        if (!kv_range_has(scan->range, item_key(item)) || !show(scan, item))
            return;
}

static void scan_range(struct scan *scan)
{
    if (scan->range->is_descending)
        scan_downwards(scan);
    else
        scan_upwards(scan);
}

void kv_scan(const struct kv *kv, const struct kv_range *range,
             bool (*on_item)(void *ctx, const struct kv_item *item), void *ctx)
{
    uint64_t looks_left = UINT64_MAX;
    bool is_all = kv_scan_some(kv, range, &looks_left, on_item, ctx);
    INVARIANT(is_all);
}

bool kv_scan_some(const struct kv *kv, const struct kv_range *range, uint64_t *looks_left,
                  bool (*on_item)(void *ctx, const struct kv_item *item), void *ctx)
{
    struct scan scan = {.kv = kv,
                        .range = range,
                        .revision = UINT64_MAX,
                        .on_item = on_item,
                        .ctx = ctx,
                        .looks_left = looks_left};
    scan_range(&scan);
    return !scan.is_cut;
}

enum status kv_scan_at(const struct kv *kv, const struct kv_range *range, uint64_t revision,
                       struct kv_looks *looks,
                       bool (*on_item)(void *ctx, const struct kv_item *item), void *ctx)
{
    REQUIRE(looks->left >= 1);

    struct scan scan = {.kv = kv,
                        .range = range,
                        .revision = revision,
                        .on_item = on_item,
                        .ctx = ctx,
                        .looks_left = &looks->left};
    enum status status = kv_may_read(kv, revision);
    if (status == ST_OK)
        scan_range(&scan);
    looks->last = scan.is_cut ? scan.last : bytes_of(NULL, 0);
    return status;
}

/* ---- events ---- */

uint64_t kv_events_end(const struct kv *kv)
{
    return kv->past.events.end;
}

enum status kv_events_find(const struct kv *kv, uint64_t revision, uint64_t *out_number)
{
    /* The first revision of all has no events that could be gone. */
    if (revision <= kv->past.compacted && kv->past.compacted > KV_REVISION_FIRST)
        return ST_COMPACTED;
    *out_number = events_find(&kv->past.events, revision);
    return ST_OK;
}

/* Of the event with this number among those of its revision, from 1. */
static uint64_t place_in_revision(const struct events *events, uint64_t number)
{
    uint64_t revision = events_at(events, number)->mod_revision;
    if (number == events->first || events_at(events, number - 1)->mod_revision != revision)
        return 1;
    return number - events_find(events, revision) + 1;
}

enum status kv_event_at(const struct kv *kv, uint64_t number, struct kv_event *out_event)
{
    const struct events *events = &kv->past.events;
    REQUIRE(number < events->end);
    if (number < events->first)
        return ST_COMPACTED;
    const struct item *item = events_at(events, number);
    const struct item *older = item_older(item, kv->past.compacted);
    *out_event = (struct kv_event){.item = item_content(item),
                                   .nth = (unsigned)place_in_revision(events, number),
                                   .is_last = number + 1 == events->end ||
                                              events_at(events, number + 1)->mod_revision !=
                                                  item->mod_revision};
    if (older != NULL && !item_is_deleted(older)) {
        out_event->has_previous = true;
        out_event->previous = item_content(older);
    }
    return ST_OK;
}
