/* Leases: keys that live as long as somebody says so. Part of the replicated state. Pure.
 *
 * A lease expires when log time passes its expiry; that it did is decided by a command of the
 * leader (COMMAND_EXPIRE_LEASES), the same on every node (docs/decisions/0010-data-model.md).
 *
 * The table knows which keys hang on which lease; the keys themselves are kv's. It is made of
 * ordered copy-on-write trees (kv/tree.h): by id, which pins see; by expiry, and by (lease, key),
 * which are of the present only and made anew by a loader.
 *
 * Invariants   K30 … in docs/invariants.md; leases_check walks them
 * Limits       LIMIT_LEASES, LIMIT_LEASE_KEYS, LIMIT_LEASE_TTL_SECONDS */
#ifndef MINIKV_KV_LEASES_H
#define MINIKV_KV_LEASES_H

#include "base/buf.h"
#include "base/limits.h"
#include "base/status.h"
#include "kv/kv.h"
#include "kv/tree.h"

struct leases;

/* Ids are 1 … LEASE_ID_MAX: what numbers in JSON are sure to keep. */
#define LEASE_ID_MAX     ((UINT64_C(1) << 53) - 1)
#define LEASE_TTL_MS_MIN UINT64_C(1000)
#define LEASE_TTL_MS_MAX ((uint64_t)LIMIT_LEASE_TTL_SECONDS * 1000)

struct leases *leases_new(void);
void leases_free(struct leases *leases); /* NULL is a no-op */
/* The same in pieces, as tree_drain. */
bool leases_drain(struct leases *leases, size_t objects_max);

/* Grants `lease`; 0: the least from `index` on that is not taken. Requires an id and a ttl within
 * their bounds. ST_OK, ST_LEASE_EXISTS, ST_LEASES_FULL. */
MUST_CHECK enum status leases_grant(struct leases *leases, uint64_t lease, raft_index index,
                                    uint64_t ttl_ms, uint64_t stamp_us, uint64_t *out_lease);
/* It expires its ttl after `stamp_us`, never earlier than before. False: there is none. */
bool leases_renew(struct leases *leases, uint64_t lease, uint64_t stamp_us);
/* Requires that it has no keys any more. */
void leases_remove(struct leases *leases, uint64_t lease);
bool leases_find(const struct leases *leases, uint64_t lease, struct kv_lease *out_lease);
void leases_scan(const struct leases *leases, uint64_t from,
                 bool (*on_lease)(void *ctx, const struct kv_lease *lease), void *ctx);
/* The one that expires first, at equal times the one with the lowest id; false: there is none. */
bool leases_first(const struct leases *leases, struct kv_lease *out_lease);

/* May a key be attached? ST_OK, ST_LEASE_NOT_FOUND, ST_LEASES_FULL. */
MUST_CHECK enum status leases_may_attach(const struct leases *leases, uint64_t lease,
                                         uint64_t more_keys);
/* Requires leases_may_attach, and a key that hangs on no lease. */
void leases_attach(struct leases *leases, uint64_t lease, struct bytes key);
/* Requires that the key hangs on this lease. The key may be one that leases_key gave. */
void leases_detach(struct leases *leases, uint64_t lease, struct bytes key);
/* The first key of the lease at or behind `from`; borrowed until the next change. */
bool leases_key(const struct leases *leases, uint64_t lease, struct bytes from,
                struct bytes *out_key);
/* All of them in order, until on_key returns false; it changes nothing. */
void leases_keys(const struct leases *leases, uint64_t lease,
                 bool (*on_key)(void *ctx, struct bytes key), void *ctx);

uint64_t leases_count(const struct leases *leases);
uint64_t leases_hash(const struct leases *leases); /* its part of the digest; O(1) */
void leases_check(const struct leases *leases);

/* ---- one moment of the table, and the table as bytes, lease by lease, by rising id ---- */

enum { LEASE_ENCODED_BYTES = 24 }; /* id u64, ttl_ms u64, expires_us u64 */
struct tree_view leases_view(const struct leases *leases);
struct tree_pin *leases_pin(struct leases *leases);
void leases_unpin(struct leases *leases, struct tree_pin *pin);
bool leases_collect(struct leases *leases, size_t objects_max);
void lease_encode(const struct tree_item *item, struct buf *out);
/* Adds one, above all before it. Leases come before the keys that hang on them. ST_OK, ST_FORMAT,
 * ST_LIMIT. */
MUST_CHECK enum status leases_load(struct leases *leases, struct bytes encoded);

#endif
