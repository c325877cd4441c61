/* Tree node: one node of the tree (kv/tree.h), as sorted arrays. Not for use outside tree_*.c.
 *
 * A search costs what it waits for memory. Keys of one node mostly begin alike and differ soon
 * after: a node keeps what all its keys begin with (`common`) once, and the next eight bytes of
 * each as a number (`heads`), so that a search compares numbers and looks at a key itself, far
 * away, only when its head equals the sought one. The first head of each cache line of them is
 * kept in a line of its own (`samples`): that line names the one line of heads to look at.
 *
 *      line 0       generation, level, keys_count, common
 *      line 1       samples      8 of  │ heads[0] │ heads[8] │ …
 *      lines 2–9    heads       64     │
 *      lines 10–17  keys        64     │ pointers to items or separators
 *      lines 18–26  children    65     │ in inner nodes */
#ifndef MINIKV_KV_TREE_NODE_H
#define MINIKV_KV_TREE_NODE_H

#include <assert.h>

#include "kv/tree.h"

enum {
    TREE_NODE_KEYS = 64,                     /* at most */
    TREE_NODE_KEYS_MIN = TREE_NODE_KEYS / 4, /* at least, but for the last node of its level */
    TREE_COMMON_BYTES = 40,                  /* of the common beginning, kept in the node itself */
    TREE_LINE_BYTES = 64, /* a cache line; where they are others this is slower, not wrong */
    TREE_GROUP_HEADS = TREE_LINE_BYTES / 8,
    TREE_GROUPS = TREE_NODE_KEYS / TREE_GROUP_HEADS
};

struct tree_node {
    struct tree_object object;
    uint16_t level; /* 0: a leaf, its keys are the items; above: separators, its own */
    uint16_t keys_count;
    uint32_t common_bytes;             /* that all keys begin with; not necessarily all of it */
    uint8_t common[TREE_COMMON_BYTES]; /* the first of them; the rest is in any key */
    uint64_t samples[TREE_GROUPS];     /* heads[0], heads[8], … */
    uint64_t heads[TREE_NODE_KEYS];    /* big-endian, zeros behind the end of a key; behind the
                                          last key all ones, which no head is above */
    struct tree_item *keys[TREE_NODE_KEYS];
    struct tree_node *children[]; /* keys_count + 1; keys[i] <= all keys of children[i + 1] */
};

static_assert(offsetof(struct tree_node, samples) == TREE_LINE_BYTES, "as in the picture");
static_assert(offsetof(struct tree_node, heads) == 2 * TREE_LINE_BYTES, "as in the picture");

struct tree_node *tree_node_new(uint16_t level, uint64_t generation);
struct tree_node *tree_node_copy(const struct tree_node *node, uint64_t generation);
/* A key for inner nodes: the shortest with left < key <= right, given left < right. */
struct tree_item *tree_separator_new(struct bytes left, struct bytes right, uint64_t generation);

/* Asks for the lines with which a search in this node begins. */
static inline void tree_node_prefetch(const struct tree_node *node)
{
    __builtin_prefetch(node);
    __builtin_prefetch(node->samples);
}
/* The index of the first key that is not below `key`. */
size_t tree_node_search(const struct tree_node *node, struct bytes key, bool *out_is_equal);
/* Asks for the lines with which that search ends. */
void tree_node_prefetch_inside(const struct tree_node *node, struct bytes key);
/* What tree_node_search most likely gives, found without looking at any key: right if the key
 * begins as the others do, and its head is no other's. */
size_t tree_node_guess(const struct tree_node *node, struct bytes key);
/* `child` is what lies right of the key; NULL in a leaf. Requires room. */
void tree_node_insert(struct tree_node *node, size_t at, struct tree_item *key,
                      struct tree_node *child);
/* Removes a key and the child to its right. */
void tree_node_remove(struct tree_node *node, size_t at);
void tree_node_set_key(struct tree_node *node, size_t at, struct tree_item *key);
/* Fills the node anew; `children` are keys_count + 1, or NULL in a leaf. */
void tree_node_fill(struct tree_node *node, struct tree_item *const *keys, size_t keys_count,
                    struct tree_node *const *children);
/* Moves what follows into `right`, which is new: in a leaf the keys from `at` on; in an inner node
 * those behind `at` with their children, and returns the key at `at`, which then is in neither. */
struct tree_item *tree_node_split(struct tree_node *node, size_t at, struct tree_node *right);

#endif
