/* Leases as bytes (docs/formats/state.md), and out of bytes of any kind. The keys that hang on them
 * are not here: each key's record names its lease. */
#define XXH_INLINE_ALL /* short inputs */
#include <xxhash.h>

#include "base/cursor.h"
#include "kv/leases_internal.h"

static void encode(const struct lease *lease, uint8_t raw[LEASE_ENCODED_BYTES])
{
    store_u64(raw, lease->lease);
    store_u64(raw + 8, lease->ttl_ms);
    store_u64(raw + 16, lease->expires_us);
}

uint64_t lease_hash(const struct lease *lease)
{
    uint8_t raw[LEASE_ENCODED_BYTES];
    encode(lease, raw);
    return XXH3_64bits(raw, sizeof raw);
}

void lease_encode(const struct tree_item *item, struct buf *out)
{
    uint8_t raw[LEASE_ENCODED_BYTES];
    encode(lease_of(item), raw);
    buf_put(out, bytes_of(raw, sizeof raw));
}

enum status leases_load(struct leases *leases, struct bytes encoded)
{
    REQUIRE(encoded.count == LEASE_ENCODED_BYTES);
    struct cursor in = cursor_of(encoded);
    struct kv_lease lease = {.lease = cursor_u64(&in)};
    lease.ttl_ms = cursor_u64(&in);
    lease.expires_us = cursor_u64(&in);

    struct tree_cursor cursor;
    const struct lease *last = lease_of(tree_last(tree_view(leases->by_id), &cursor));
    if (!lease_is_fine(&lease) || (last != NULL && lease.lease <= last->lease))
        return ST_FORMAT;
    if (leases_count(leases) >= leases->leases_max)
        return ST_LIMIT;
    lease_insert(leases, &cursor, &lease);
    return ST_OK;
}
