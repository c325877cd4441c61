/* KV, from within: what the kv*.c files share. */
#ifndef MINIKV_KV_KV_INTERNAL_H
#define MINIKV_KV_KV_INTERNAL_H

#include "kv/directory.h"
#include "kv/item.h"

/* Of a state in which nothing has been changed, as in etcd; the first change makes it 2. */
enum { KV_REVISION_FIRST = 1 };

struct kv {
    struct tree *tree;         /* owned */
    struct sessions *sessions; /* owned */
    struct kv *discarded;      /* owned: another state, on its way out; and so on from there */
    uint64_t state_bytes_max;
    struct entry_id applied;
    uint64_t revision;
    uint64_t state_bytes;
    uint64_t stamp_us;
    uint64_t history;
    uint64_t items_hash; /* sum of item.hash, modulo 2^64: the order of keys does not matter */
    struct directory directory;
};

/* What a verdict other than FRESH means to the one whose write was judged. `earlier` of DONE. */
void kv_tell_verdict(const struct kv *kv, enum session_verdict verdict,
                     const struct session_result *earlier, struct kv_result *out_result);
/* What has become of the write with this identity, as the one who asks after it is told. */
void kv_tell_outcome(const struct kv *kv, enum session_verdict verdict,
                     const struct session_result *earlier, struct kv_result *out_result);
/* What the loader has taken so far. Borrowed. */
const struct kv *kv_loader_state(const struct kv_loader *loader);

#endif
