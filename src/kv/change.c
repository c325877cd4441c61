#include "kv/change.h"

#include "kv/kv_internal.h"

static uint64_t bytes_of_item(const struct item *item)
{
    return item_state_bytes(item->tree.key_bytes, item_value_bytes(item));
}

static bool is_alive(const struct item *newest)
{
    return newest != NULL && !item_is_deleted(newest);
}

void change_begin(struct change *change, struct kv *kv)
{
    *change = (struct change){.kv = kv, .revision = kv->revision + 1};
}

const struct item *change_seek(const struct kv *kv, struct bytes key,
                               struct tree_cursor *out_cursor)
{
    return item_of(tree_find(tree_view(kv->tree), key, out_cursor));
}

/* Puts a new version over the newest one, which from now on is of the past. */
static void put_version(struct change *change, struct tree_cursor *cursor,
                        const struct item *newest, struct item *item)
{
    struct kv *kv = change->kv;
    REQUIRE(newest == NULL || newest->mod_revision < change->revision); /* once in a change */
    if (is_alive(newest)) {
        kv->state_bytes -= bytes_of_item(newest);
        kv->past.bytes += bytes_of_item(newest);
    } else if (newest != NULL) {
        kv->past.deleted_count--;
    }
    kv->items_hash += item_hash(item);
    kv->past.versions_count++;
    tree_put_over(kv->tree, cursor, &item->tree);
    events_push(&kv->past.events, item);
    change->count++;
}

static void move_lease(struct kv *kv, const struct item *newest, struct bytes key, uint64_t lease)
{
    uint64_t old = newest != NULL ? item_lease(newest) : 0;
    if (old == lease)
        return;
    if (old != 0)
        leases_detach(kv->leases, old, key);
    if (lease != 0)
        leases_attach(kv->leases, lease, key);
}

const struct item *change_put_at(struct change *change, struct tree_cursor *cursor,
                                 const struct item *newest, struct bytes key, struct bytes value,
                                 uint64_t lease)
{
    struct kv_item content = {.key = key,
                              .value = value,
                              .create_revision = change->revision,
                              .mod_revision = change->revision,
                              .version = 1,
                              .lease = lease};
    if (is_alive(newest)) {
        content.create_revision = item_create_revision(newest);
        content.version = item_version(newest) + 1;
    }
    struct item *item = item_new(&content, newest, change->kv->past.compacted);
    move_lease(change->kv, newest, item_key(item), lease);
    change->kv->state_bytes += bytes_of_item(item);
    put_version(change, cursor, newest, item);
    return item;
}

void change_delete_at(struct change *change, struct tree_cursor *cursor, const struct item *newest)
{
    REQUIRE(is_alive(newest));
    struct kv *kv = change->kv;
    struct kv_item content = {.key = item_key(newest), .mod_revision = change->revision};
    struct item *item = item_new(&content, newest, kv->past.compacted);
    move_lease(kv, newest, item_key(item), 0);
    kv->past.bytes += bytes_of_item(item);
    kv->past.deleted_count++;
    put_version(change, cursor, newest, item);
}

const struct item *change_put(struct change *change, struct bytes key, struct bytes value,
                              uint64_t lease)
{
    struct tree_cursor cursor;
    const struct item *newest = change_seek(change->kv, key, &cursor);
    return change_put_at(change, &cursor, newest, key, value, lease);
}

bool change_delete(struct change *change, struct bytes key)
{
    struct tree_cursor cursor;
    const struct item *newest = change_seek(change->kv, key, &cursor);
    if (!is_alive(newest))
        return false;
    change_delete_at(change, &cursor, newest);
    return true;
}

bool change_end(struct change *change)
{
    struct kv *kv = change->kv;
    REQUIRE(change->revision == kv->revision + 1);
    if (change->count == 0)
        return false;
    events_sort_newest(&kv->past.events, change->count);
    kv->revision = change->revision;
    past_keep_bounds(kv);
    return true;
}

const struct item *change_find(const struct kv *kv, struct bytes key)
{
    struct tree_cursor cursor;
    const struct item *newest = change_seek(kv, key, &cursor);
    return is_alive(newest) ? newest : NULL;
}

bool change_has_room(const struct kv *kv, uint64_t more_bytes)
{
    return more_bytes == 0 || (kv->state_bytes <= kv->state_bytes_max &&
                               more_bytes <= kv->state_bytes_max - kv->state_bytes);
}

uint64_t change_growth_at(const struct item *newest, struct bytes key, size_t value_bytes)
{
    uint64_t bytes = item_state_bytes(key.count, value_bytes);
    uint64_t old_bytes = is_alive(newest) ? bytes_of_item(newest) : 0;
    return bytes - MIN(bytes, old_bytes);
}

uint64_t change_growth(const struct kv *kv, struct bytes key, size_t value_bytes)
{
    struct tree_cursor cursor;
    return change_growth_at(change_seek(kv, key, &cursor), key, value_bytes);
}
