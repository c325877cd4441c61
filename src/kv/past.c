#include "kv/past.h"

#include <xxhash.h>

#include "kv/kv_internal.h"

#define PAST_MARK_US UINT64_C(60000000)

/* The times of marks, which are in the state, are a minute apart but for the first. */
bool past_mark_fits(const struct past *past, const struct past_mark *mark)
{
    if (past->marks_count == 0)
        return mark->revision > past->compacted;
    const struct past_mark *newest = &past->marks[past->marks_count - 1];
    return mark->revision > newest->revision && mark->stamp_us >= newest->stamp_us &&
           mark->stamp_us - newest->stamp_us >= PAST_MARK_US;
}

/* K2, K40. */
static bool is_deletion(const struct kv_item *version)
{
    return version->version == 0 && version->create_revision == 0 && version->lease == 0 &&
           version->value.count == 0;
}

static bool is_value(const struct kv_item *version)
{
    return version->create_revision > KV_REVISION_FIRST &&
           version->create_revision <= version->mod_revision && version->version >= 1 &&
           version->version - 1 <= version->mod_revision - version->create_revision &&
           (version->version == 1) == (version->mod_revision == version->create_revision) &&
           version->lease <= LEASE_ID_MAX;
}

bool past_is_version(const struct kv *kv, const struct item *older, const struct kv_item *version)
{
    bool is_deleted = is_deletion(version);
    bool is_kept_change = version->mod_revision > kv->past.compacted;
    if (version->mod_revision <= KV_REVISION_FIRST || version->mod_revision > kv->revision ||
        (!is_deleted && !is_value(version)))
        return false;
    if (older == NULL) /* a change whose predecessor is not kept had none */
        return !is_kept_change || version->version == 1;
    if (!is_kept_change || version->mod_revision <= older->mod_revision)
        return false;
    if (item_is_deleted(older))
        return version->version == 1;
    return is_deleted || (version->create_revision == item_create_revision(older) &&
                          version->version == item_version(older) + 1);
}

void past_init(struct past *past, const struct kv_options *options)
{
    events_init(&past->events);
    past->events_max = options->past_events_max;
    if (past->events_max == 0)
        past->events_max = LIMIT_PAST_EVENTS;
    past->bytes_max = options->past_bytes_max;
    if (past->bytes_max == 0)
        past->bytes_max = (uint64_t)LIMIT_PAST_MIB * MIB;
    past->compacted = KV_REVISION_FIRST;
}

void past_release(struct past *past)
{
    events_release(&past->events);
}

/* Inline in any case: a compiler that looks at such a function alone sees that it does nothing, and
 * leaves out the call. */
#define HINT static inline __attribute__((always_inline))

HINT void prefetch(const struct item *item, size_t bytes)
{
    enum { LINE_BYTES = 64 };
    for (size_t at = 0; at < bytes; at += LINE_BYTES)
        __builtin_prefetch((const char *)item + at);
    __builtin_prefetch((const char *)item + bytes - 1);
}

/* Asks for what the next steps will look at: events and what they replaced lie far apart. */
HINT void prefetch_next(const struct past *past)
{
    enum { ITEMS_AHEAD = 8, OLDER_AHEAD = 4, OLDER_BYTES = 192 };
    const struct events *events = &past->events;
    if (events_count(events) <= ITEMS_AHEAD)
        return;
    prefetch(events_at(events, events->first + ITEMS_AHEAD), sizeof(struct item_with_past));
    const struct item *item = events_at(events, events->first + OLDER_AHEAD);
    const struct item *older = item_older(item, past->compacted);
    if (older != NULL)
        prefetch(older, OLDER_BYTES);
}

/* The version counts no more. */
static void forget(struct kv *kv, const struct item *item)
{
    kv->items_hash -= item_hash(item);
    kv->past.versions_count--;
    kv->past.bytes -= item_state_bytes(item->tree.key_bytes, item_value_bytes(item));
}

/* The key is gone, and nothing that can be read knows of it any more. */
static void forget_deleted(struct kv *kv, const struct item *item)
{
    struct tree_cursor cursor;
    if (tree_find(tree_view(kv->tree), item_key(item), &cursor) != &item->tree)
        return; /* made again since: it goes with the event that did so */
    forget(kv, item);
    kv->past.deleted_count--;
    tree_delete_at(kv->tree, &cursor);
}

static void forget_event(struct kv *kv)
{
    const struct item *item = events_pop(&kv->past.events);
    const struct item *older = item_older(item, kv->past.compacted);
    prefetch_next(&kv->past);
    if (older != NULL) {
        forget(kv, older);
        tree_retire(kv->tree, &item_tree(older)->object);
    }
    if (item_is_deleted(item))
        forget_deleted(kv, item);
}

static void drop_marks(struct past *past)
{
    size_t gone_count = 0;
    while (gone_count < past->marks_count && past->marks[gone_count].revision <= past->compacted)
        gone_count++;
    if (gone_count == 0)
        return;
    past->marks_count -= gone_count;
    memmove(past->marks, past->marks + gone_count, past->marks_count * sizeof *past->marks);
}

void past_compact(struct kv *kv, uint64_t revision)
{
    struct past *past = &kv->past;
    REQUIRE(past->compacted <= revision);
    REQUIRE(revision <= kv->revision);
    while (events_count(&past->events) != 0 &&
           events_at(&past->events, past->events.first)->mod_revision <= revision)
        forget_event(kv);
    past->compacted = revision;
    drop_marks(past);
}

void past_keep_bounds(struct kv *kv)
{
    struct past *past = &kv->past;
    while (events_count(&past->events) > past->events_max || past->bytes > past->bytes_max) {
        INVARIANT(events_count(&past->events) != 0);
        past_compact(kv, events_at(&past->events, past->events.first)->mod_revision);
    }
}

void past_keep_time(struct kv *kv)
{
    struct past *past = &kv->past;
    const struct past_mark *marks = past->marks;
    while (past->marks_count != 0 &&
           kv->stamp_us - marks[0].stamp_us >= LIMIT_PAST_MINUTES * PAST_MARK_US)
        past_compact(kv, marks[0].revision);

    uint64_t known = past->compacted;
    if (past->marks_count != 0) {
        const struct past_mark *newest = &marks[past->marks_count - 1];
        if (kv->stamp_us - newest->stamp_us < PAST_MARK_US)
            return;
        known = newest->revision;
    }
    if (kv->revision == known)
        return;
    INVARIANT(past->marks_count < PAST_MARKS_MAX);
    past->marks[past->marks_count++] =
        (struct past_mark){.stamp_us = kv->stamp_us, .revision = kv->revision};
}

uint64_t past_hash(const struct past *past)
{
    uint8_t raw[8 + PAST_MARKS_MAX * 16];
    size_t count = 8;
    store_u64(raw, past->compacted);
    for (size_t i = 0; i < past->marks_count; i++, count += 16) {
        store_u64(raw + count, past->marks[i].stamp_us);
        store_u64(raw + count + 8, past->marks[i].revision);
    }
    return XXH3_64bits(raw, count);
}

bool past_drain(struct kv *kv, size_t events_max)
{
    struct past *past = &kv->past;
    for (; events_max > 0 && events_count(&past->events) != 0; events_max--) {
        const struct item *older = item_older(events_pop(&past->events), past->compacted);
        if (older != NULL)
            tree_retire(kv->tree, &item_tree(older)->object);
    }
    return events_count(&past->events) != 0;
}
