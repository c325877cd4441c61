/* Item: one key of the state with its value and revisions, in one allocation, never changed. */
#ifndef MINIKV_KV_ITEM_H
#define MINIKV_KV_ITEM_H

#include "kv/kv.h"
#include "kv/tree.h"

/* What an item costs beside key and value: its numbers, its share of a node, the allocator's. */
enum { ITEM_OVERHEAD_BYTES = 128 };

struct item {
    struct tree_item tree;
    uint64_t create_revision;
    uint64_t mod_revision;
    uint64_t version;
    uint64_t lease;
    uint64_t hash; /* its part of the digest */
    uint32_t value_bytes;
    uint8_t data[]; /* key, then value */
};

/* Copies key and value of `content`, and hashes. Gives the item. */
struct item *item_new(const struct kv_item *content);
/* Borrowed from the item. */
struct kv_item item_content(const struct item *item);
/* What it counts against the limit of the state: the same on every platform. */
uint64_t item_state_bytes(size_t key_bytes, size_t value_bytes);
/* Computed anew from the content, as K7 defines it. */
uint64_t item_hash(const struct item *item);

/* The item at whose head `tree` is; NULL for NULL. */
static inline const struct item *item_of(const struct tree_item *tree)
{
    return (const struct item *)(const void *)tree;
}

#endif
