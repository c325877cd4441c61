/* Leases, from within: what the leases*.c files share.
 *
 * A lease is an item of the tree by id. It is changed where it stands, unless a pin sees it: then a
 * copy takes its place. Only the count of its keys is of the present and changed in any case: what
 * a reader of a pin takes from a lease is what lease_encode writes.
 *
 * Of the present only, and never pinned, are the two other trees, which hold nothing but keys: one
 * (expiry, id) for each lease, and one (id, key) for each attached key. Their numbers are
 * big-endian, so that the order of bytes is theirs. */
#ifndef MINIKV_KV_LEASES_INTERNAL_H
#define MINIKV_KV_LEASES_INTERNAL_H

#include "kv/leases.h"

enum {
    LEASE_ID_BYTES = 8,
    LEASE_EXPIRY_BYTES = 16, /* expiry, id */
    LEASE_KEY_BYTES_MAX = LEASE_ID_BYTES + LIMIT_KEY_BYTES
};

struct lease {
    struct tree_item tree;
    uint64_t lease;
    uint64_t ttl_ms;
    uint64_t expires_us;
    uint64_t hash;       /* its part of the digest */
    uint64_t keys_count; /* not read through a pin */
    uint8_t key[LEASE_ID_BYTES];
};

/* Of the trees that hold nothing but keys. */
struct lease_mark {
    struct tree_item tree;
    uint8_t key[];
};

struct leases {
    struct tree *by_id;     /* owned */
    struct tree *by_expiry; /* owned */
    struct tree *by_key;    /* owned */
    uint64_t leases_max;
    uint64_t keys_max; /* of one lease */
    uint64_t hash;     /* sum of lease.hash, modulo 2^64 */
};

/* With other limits than those of base/limits.h: for tests of what happens at them. */
struct leases *leases_new_limited(uint64_t leases_max, uint64_t keys_max);

/* Computed anew, as K33 defines it. */
uint64_t lease_hash(const struct lease *lease);
struct bytes lease_id_key(uint64_t lease, uint8_t room[LEASE_ID_BYTES]);
struct bytes lease_expiry_key(uint64_t expires_us, uint64_t lease,
                              uint8_t room[LEASE_EXPIRY_BYTES]);
struct bytes lease_key_key(uint64_t lease, struct bytes key, uint8_t room[LEASE_KEY_BYTES_MAX]);
/* Puts a new one into by_id, at a cursor that has sought it, and into by_expiry. */
void lease_insert(struct leases *leases, struct tree_cursor *cursor,
                  const struct kv_lease *content);

static inline const struct lease *lease_of(const struct tree_item *tree)
{
    return (const struct lease *)(const void *)tree;
}

/* Whether it is still in its bounds. */
static inline bool lease_is_fine(const struct kv_lease *lease)
{
    return lease->lease != 0 && lease->lease <= LEASE_ID_MAX && lease->ttl_ms >= LEASE_TTL_MS_MIN &&
           lease->ttl_ms <= LEASE_TTL_MS_MAX && lease->expires_us >= lease->ttl_ms * 1000 &&
           lease->expires_us < UINT64_MAX;
}

#endif
