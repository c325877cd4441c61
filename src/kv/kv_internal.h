/* KV, from within: what the kv*.c files share. */
#ifndef MINIKV_KV_KV_INTERNAL_H
#define MINIKV_KV_KV_INTERNAL_H

#include "kv/directory.h"
#include "kv/item.h"

/* Of a state in which nothing has been changed, as in etcd; the first change makes it 2. */
enum { KV_REVISION_FIRST = 1 };

struct kv {
    struct tree *tree; /* owned */
    uint64_t state_bytes_max;
    struct entry_id applied;
    uint64_t revision;
    uint64_t state_bytes;
    uint64_t stamp_us;
    uint64_t items_hash; /* sum of item.hash, modulo 2^64: the order of keys does not matter */
    struct directory directory;
};

#endif
