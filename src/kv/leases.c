#include "kv/leases.h"

#include "base/mem.h"
#include "kv/leases_internal.h"

/* ---- keys of the three trees ---- */

static void store_big_u64(uint8_t *at, uint64_t value)
{
    for (int shift = 56; shift >= 0; shift -= 8)
        *at++ = (uint8_t)(value >> shift);
}

static uint64_t load_big_u64(const uint8_t *at)
{
    uint64_t value = 0;
    for (size_t i = 0; i < 8; i++)
        value = value << 8 | at[i];
    return value;
}

struct bytes lease_id_key(uint64_t lease, uint8_t room[LEASE_ID_BYTES])
{
    store_big_u64(room, lease);
    return bytes_of(room, LEASE_ID_BYTES);
}

struct bytes lease_expiry_key(uint64_t expires_us, uint64_t lease, uint8_t room[LEASE_EXPIRY_BYTES])
{
    store_big_u64(room, expires_us);
    store_big_u64(room + 8, lease);
    return bytes_of(room, LEASE_EXPIRY_BYTES);
}

struct bytes lease_key_key(uint64_t lease, struct bytes key, uint8_t room[LEASE_KEY_BYTES_MAX])
{
    REQUIRE(key.count <= LIMIT_KEY_BYTES);
    store_big_u64(room, lease);
    if (key.count != 0)
        memcpy(room + LEASE_ID_BYTES, key.data, key.count);
    return bytes_of(room, LEASE_ID_BYTES + key.count);
}

static void put_mark(struct tree *tree, struct bytes key)
{
    struct tree_cursor cursor;
    const struct tree_item *old = tree_find(tree_view(tree), key, &cursor);
    REQUIRE(old == NULL);
    struct lease_mark *mark = mem_alloc_raw(sizeof *mark + key.count);
    mark->tree = (struct tree_item){.key_offset = offsetof(struct lease_mark, key),
                                    .key_bytes = (uint32_t)key.count};
    memcpy(mark->key, key.data, key.count);
    tree_put_at(tree, &cursor, &mark->tree);
}

static void delete_mark(struct tree *tree, struct bytes key)
{
    struct tree_cursor cursor;
    const struct tree_item *mark = tree_find(tree_view(tree), key, &cursor);
    REQUIRE(mark != NULL);
    tree_delete_at(tree, &cursor);
}

/* ---- the table ---- */

struct leases *leases_new_limited(uint64_t leases_max, uint64_t keys_max)
{
    struct leases *leases = mem_alloc(sizeof *leases);
    leases->by_id = tree_new();
    leases->by_expiry = tree_new();
    leases->by_key = tree_new();
    leases->leases_max = leases_max;
    leases->keys_max = keys_max;
    return leases;
}

struct leases *leases_new(void)
{
    return leases_new_limited(LIMIT_LEASES, LIMIT_LEASE_KEYS);
}

void leases_free(struct leases *leases)
{
    if (leases == NULL)
        return;
    tree_free(leases->by_id);
    tree_free(leases->by_expiry);
    tree_free(leases->by_key);
    mem_free(leases);
}

bool leases_drain(struct leases *leases, size_t objects_max)
{
    return tree_drain(leases->by_id, objects_max) || tree_drain(leases->by_expiry, objects_max) ||
           tree_drain(leases->by_key, objects_max);
}

static struct lease *find(const struct leases *leases, uint64_t lease, struct tree_cursor *cursor)
{
    uint8_t room[LEASE_ID_BYTES];
    return (struct lease *)(uintptr_t)tree_find(tree_view(leases->by_id), lease_id_key(lease, room),
                                                cursor);
}

static struct kv_lease content_of(const struct lease *lease)
{
    return (struct kv_lease){.lease = lease->lease,
                             .ttl_ms = lease->ttl_ms,
                             .expires_us = lease->expires_us,
                             .keys_count = lease->keys_count};
}

/* The highest time is that of no lease at all. */
static uint64_t expiry_of(uint64_t ttl_ms, uint64_t stamp_us)
{
    uint64_t expires_us;
    bool is_beyond = __builtin_add_overflow(stamp_us, ttl_ms * 1000, &expires_us);
    return is_beyond ? UINT64_MAX - 1 : MIN(expires_us, UINT64_MAX - 1);
}

void lease_insert(struct leases *leases, struct tree_cursor *cursor, const struct kv_lease *content)
{
    REQUIRE(lease_is_fine(content));
    struct lease *lease = mem_alloc(sizeof *lease);
    lease->tree =
        (struct tree_item){.key_offset = offsetof(struct lease, key), .key_bytes = LEASE_ID_BYTES};
    lease->lease = content->lease;
    lease->ttl_ms = content->ttl_ms;
    lease->expires_us = content->expires_us;
    lease->hash = lease_hash(lease);
    (void)lease_id_key(lease->lease, lease->key);
    tree_put_at(leases->by_id, cursor, &lease->tree);

    uint8_t room[LEASE_EXPIRY_BYTES];
    put_mark(leases->by_expiry, lease_expiry_key(lease->expires_us, lease->lease, room));
    leases->hash += lease->hash;
}

/* The least from `from` on that is not taken; above LEASE_ID_MAX: there is none. */
static uint64_t first_untaken(const struct leases *leases, uint64_t from)
{
    struct tree_cursor cursor;
    const struct lease *lease;
    (void)find(leases, from, &cursor);
    while ((lease = lease_of(tree_next(&cursor))) != NULL && lease->lease == from)
        from++;
    return from;
}

enum status leases_grant(struct leases *leases, uint64_t lease, raft_index index, uint64_t ttl_ms,
                         uint64_t stamp_us, uint64_t *out_lease)
{
    REQUIRE(lease <= LEASE_ID_MAX);
    REQUIRE(lease != 0 || index != 0);
    REQUIRE(ttl_ms >= LEASE_TTL_MS_MIN && ttl_ms <= LEASE_TTL_MS_MAX);
    struct tree_cursor cursor;
    if (lease == 0)
        lease = first_untaken(leases, index);
    if (lease > LEASE_ID_MAX)
        return ST_LEASES_FULL;
    if (find(leases, lease, &cursor) != NULL)
        return ST_LEASE_EXISTS;
    if (leases_count(leases) >= leases->leases_max)
        return ST_LEASES_FULL;

    struct kv_lease content = {
        .lease = lease, .ttl_ms = ttl_ms, .expires_us = expiry_of(ttl_ms, stamp_us)};
    lease_insert(leases, &cursor, &content);
    *out_lease = lease;
    return ST_OK;
}

/* The lease at the cursor as one that may be changed: if a pin sees it, a copy takes its place. */
static struct lease *own(struct leases *leases, struct lease *lease, struct tree_cursor *cursor)
{
    if (!tree_is_pinned(leases->by_id, &lease->tree.object))
        return lease;
    struct lease *copy = mem_alloc_raw(sizeof *copy);
    memcpy(copy, lease, sizeof *copy);
    tree_put_at(leases->by_id, cursor, &copy->tree);
    return copy;
}

bool leases_renew(struct leases *leases, uint64_t id, uint64_t stamp_us)
{
    struct tree_cursor cursor;
    struct lease *lease = find(leases, id, &cursor);
    if (lease == NULL)
        return false;
    uint64_t expires_us = expiry_of(lease->ttl_ms, stamp_us);
    if (expires_us <= lease->expires_us)
        return true;

    uint8_t room[LEASE_EXPIRY_BYTES];
    delete_mark(leases->by_expiry, lease_expiry_key(lease->expires_us, id, room));
    put_mark(leases->by_expiry, lease_expiry_key(expires_us, id, room));
    lease = own(leases, lease, &cursor);
    leases->hash -= lease->hash;
    lease->expires_us = expires_us;
    lease->hash = lease_hash(lease);
    leases->hash += lease->hash;
    return true;
}

void leases_remove(struct leases *leases, uint64_t id)
{
    struct tree_cursor cursor;
    const struct lease *lease = find(leases, id, &cursor);
    REQUIRE(lease != NULL);
    REQUIRE(lease->keys_count == 0);
    uint8_t room[LEASE_EXPIRY_BYTES];
    delete_mark(leases->by_expiry, lease_expiry_key(lease->expires_us, id, room));
    leases->hash -= lease->hash;
    tree_delete_at(leases->by_id, &cursor);
}

bool leases_find(const struct leases *leases, uint64_t id, struct kv_lease *out_lease)
{
    struct tree_cursor cursor;
    const struct lease *lease = find(leases, id, &cursor);
    if (lease != NULL)
        *out_lease = content_of(lease);
    return lease != NULL;
}

void leases_scan(const struct leases *leases, uint64_t from,
                 bool (*on_lease)(void *ctx, const struct kv_lease *lease), void *ctx)
{
    struct tree_cursor cursor;
    const struct lease *lease;
    (void)find(leases, from, &cursor);
    while ((lease = lease_of(tree_next(&cursor))) != NULL) {
        struct kv_lease content = content_of(lease);
        if (!on_lease(ctx, &content))
            return;
    }
}

bool leases_first(const struct leases *leases, struct kv_lease *out_lease)
{
    struct tree_cursor cursor;
    (void)tree_find(tree_view(leases->by_expiry), bytes_of(NULL, 0), &cursor);
    const struct tree_item *mark = tree_next(&cursor);
    if (mark == NULL)
        return false;
    bool exists = leases_find(leases, load_big_u64(tree_item_key(mark).data + 8), out_lease);
    ENSURE(exists);
    return true;
}

/* ---- the keys that hang on them ---- */

enum status leases_may_attach(const struct leases *leases, uint64_t id, uint64_t more_keys)
{
    struct tree_cursor cursor;
    const struct lease *lease = find(leases, id, &cursor);
    if (lease == NULL)
        return ST_LEASE_NOT_FOUND;
    bool fits =
        lease->keys_count <= leases->keys_max && more_keys <= leases->keys_max - lease->keys_count;
    return fits ? ST_OK : ST_LEASES_FULL;
}

void leases_attach(struct leases *leases, uint64_t id, struct bytes key)
{
    REQUIRE(key.count > 0);
    struct tree_cursor cursor;
    struct lease *lease = find(leases, id, &cursor);
    REQUIRE(lease != NULL);
    REQUIRE(lease->keys_count < leases->keys_max);
    uint8_t room[LEASE_KEY_BYTES_MAX];
    put_mark(leases->by_key, lease_key_key(id, key, room));
    lease->keys_count++;
}

void leases_detach(struct leases *leases, uint64_t id, struct bytes key)
{
    struct tree_cursor cursor;
    struct lease *lease = find(leases, id, &cursor);
    REQUIRE(lease != NULL);
    REQUIRE(lease->keys_count > 0);
    uint8_t room[LEASE_KEY_BYTES_MAX];
    delete_mark(leases->by_key, lease_key_key(id, key, room));
    lease->keys_count--;
}

bool leases_key(const struct leases *leases, uint64_t id, struct bytes from, struct bytes *out_key)
{
    uint8_t room[LEASE_KEY_BYTES_MAX];
    struct tree_cursor cursor;
    (void)tree_find(tree_view(leases->by_key), lease_key_key(id, from, room), &cursor);
    const struct tree_item *mark = tree_next(&cursor);
    if (mark == NULL || load_big_u64(tree_item_key(mark).data) != id)
        return false;
    struct bytes found = tree_item_key(mark);
    *out_key = bytes_of(found.data + LEASE_ID_BYTES, found.count - LEASE_ID_BYTES);
    return true;
}

void leases_keys(const struct leases *leases, uint64_t id,
                 bool (*on_key)(void *ctx, struct bytes key), void *ctx)
{
    uint8_t room[LEASE_ID_BYTES];
    struct bytes before = lease_id_key(id, room);
    struct tree_cursor cursor;
    const struct tree_item *mark;
    (void)tree_find(tree_view(leases->by_key), before, &cursor);
    while ((mark = tree_next(&cursor)) != NULL) {
        struct bytes found = tree_item_key(mark);
        if (!bytes_has_prefix(found, before) ||
            !on_key(ctx, bytes_of(found.data + LEASE_ID_BYTES, found.count - LEASE_ID_BYTES)))
            return;
    }
}

/* ---- of the whole ---- */

uint64_t leases_count(const struct leases *leases)
{
    return tree_view(leases->by_id).items_count;
}

uint64_t leases_hash(const struct leases *leases)
{
    return leases->hash;
}

struct tree_view leases_view(const struct leases *leases)
{
    return tree_view(leases->by_id);
}

struct tree_pin *leases_pin(struct leases *leases)
{
    return tree_pin(leases->by_id);
}

void leases_unpin(struct leases *leases, struct tree_pin *pin)
{
    tree_unpin(leases->by_id, pin);
}

bool leases_collect(struct leases *leases, size_t objects_max)
{
    return tree_collect(leases->by_id, objects_max);
}
