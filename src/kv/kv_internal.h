/* KV, from within: what the kv*.c files share. */
#ifndef MINIKV_KV_KV_INTERNAL_H
#define MINIKV_KV_KV_INTERNAL_H

#include "base/buf.h"
#include "base/limits.h"
#include "kv/directory.h"
#include "kv/leases.h"
#include "kv/past.h"

/* Of a state in which nothing has been changed, as in etcd; the first change makes it 2. */
enum { KV_REVISION_FIRST = 1, KV_RESULTS_BYTES_MAX = 2 * LIMIT_TXN_RESULTS_BYTES + MIB };

struct kv {
    struct tree *tree;         /* owned: the newest version of each key, deleted ones too */
    struct sessions *sessions; /* owned */
    struct leases *leases;     /* owned */
    struct buf results;        /* owned: what the last transaction came to */
    struct kv *discarded;      /* owned: another state, on its way out; and so on from there */
    uint64_t state_bytes_max;
    struct entry_id applied;
    uint64_t revision;
    uint64_t state_bytes;
    uint64_t stamp_us;
    uint64_t history;
    uint64_t items_hash; /* sum of item_hash of all versions, modulo 2^64: in any order */
    struct past past;
    struct directory directory;
};

/* What a verdict other than FRESH means to the one whose write was judged. `earlier` of DONE. */
void kv_tell_verdict(const struct kv *kv, enum session_verdict verdict,
                     const struct session_result *earlier, struct kv_result *out_result);
/* What has become of the write with this identity, as the one who asks after it is told. */
void kv_tell_outcome(const struct kv *kv, enum session_verdict verdict,
                     const struct session_result *earlier, struct kv_result *out_result);
/* kv_scan that looks at no more than `*looks_left` keys, those that were deleted too, and counts it
 * down. False: there are more. What a transaction comes to depends on it. */
MUST_CHECK bool kv_scan_some(const struct kv *kv, const struct kv_range *range,
                             uint64_t *looks_left,
                             bool (*on_item)(void *ctx, const struct kv_item *item), void *ctx);
/* Carries out an op of leases (kv_leases.c). */
void kv_apply_lease(struct kv *kv, struct entry_id id, const struct command *command,
                    struct kv_result *result);
/* What the loader has taken so far. Borrowed. */
const struct kv *kv_loader_state(const struct kv_loader *loader);

#endif
