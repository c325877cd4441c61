/* Item: one version of one key, with its value and revisions, in one allocation, never changed.
 *
 * The tree holds the newest version of each key; it points to the one that it replaced, and so on,
 * as far as the past is kept (docs/decisions/0010-data-model.md). A deleted key is a version as
 * well, without a value: its number is 0.
 *
 * Most keys are written once. So a first version has nothing behind its head but key and value, if
 * there was none before it and no lease holds it; where its key begins tells that.
 *
 * A key may have very many versions. So that an old one is found in few steps, some of them are
 * milestones, which know others far behind them: item_towards. */
#ifndef MINIKV_KV_ITEM_H
#define MINIKV_KV_ITEM_H

#include "kv/kv.h"
#include "kv/tree.h"

/* What an item costs beside key and value: its numbers, its share of a node, the allocator's. */
enum { ITEM_OVERHEAD_BYTES = 128 };

/* Every so many versions of a key there is a milestone. */
enum { ITEM_MILESTONE_STEPS = 64, ITEM_VALUE_BITS = 24 };

/* Key and value lie behind it, or behind the struct below. */
struct item {
    struct tree_item tree; /* rest: how long the value is, and item_steps */
    uint64_t mod_revision;
};

struct item_with_past {
    struct item item;
    uint64_t create_revision; /* 0: deleted */
    uint64_t version;         /* 0: deleted */
    uint64_t lease;
    /* NULL: there was none. To be looked at only where mod_revision is above what is compacted;
     * elsewhere it may be gone */
    const struct item *older;
};

/* A version further back, and what it has to be looked at by: it may be gone once that is
 * compacted. */
struct item_leap {
    const struct item *to; /* NULL: none */
    uint64_t revision;
};

/* With one pointer to the milestone before and one that leaps over as many as those two before
 * it together, any is found in a number of steps that is logarithmic (Myers, "An applicative
 * random-access stack", Information Processing Letters 17, 1983). */
struct item_milestone {
    struct item_with_past whole;
    struct item_leap near; /* the milestone before */
    struct item_leap far;
    uint64_t far_count; /* of milestones, that lead there by `near` */
};

/* Copies key and value of `content`. Gives the item. What is `compacted` is not looked at. */
struct item *item_new(const struct kv_item *content, const struct item *older, uint64_t compacted);
/* Borrowed from the item. */
struct kv_item item_content(const struct item *item);
/* What it counts against the limit of the state, or of the past: the same on every platform. */
uint64_t item_state_bytes(size_t key_bytes, size_t value_bytes);
/* Its part of the digest, as K7 defines it. */
uint64_t item_hash(const struct item *item);

/* The item at whose head `tree` is; NULL for NULL. */
static inline const struct item *item_of(const struct tree_item *tree)
{
    return (const struct item *)(const void *)tree;
}

/* Its head, for the tree. */
static inline struct tree_item *item_tree(const struct item *item)
{
    return (struct tree_item *)(uintptr_t)item;
}

static inline struct bytes item_key(const struct item *item)
{
    return tree_item_key(&item->tree);
}

static inline size_t item_value_bytes(const struct item *item)
{
    return item->tree.rest & ((1u << ITEM_VALUE_BITS) - 1);
}

/* Versions between it and the milestone before it, or the first one; 0: it is a milestone itself,
 * or the first. */
static inline uint32_t item_steps(const struct item *item)
{
    return item->tree.rest >> ITEM_VALUE_BITS;
}

/* NULL: it is the first version, and nothing more is to be said of it. */
static inline const struct item_with_past *item_with_past(const struct item *item)
{
    return item->tree.key_offset == sizeof *item ? NULL : (const void *)item;
}

static inline uint64_t item_create_revision(const struct item *item)
{
    const struct item_with_past *whole = item_with_past(item);
    return whole != NULL ? whole->create_revision : item->mod_revision;
}

static inline uint64_t item_version(const struct item *item)
{
    const struct item_with_past *whole = item_with_past(item);
    return whole != NULL ? whole->version : 1;
}

static inline bool item_is_deleted(const struct item *item)
{
    return item_version(item) == 0;
}

static inline uint64_t item_lease(const struct item *item)
{
    const struct item_with_past *whole = item_with_past(item);
    return whole != NULL ? whole->lease : 0;
}

/* NULL: it is none. */
static inline const struct item_milestone *item_milestone(const struct item *item)
{
    return item->tree.key_offset != sizeof(struct item_milestone) ? NULL : (const void *)item;
}

/* The version that it replaced, as long as the past above `compacted` is kept; NULL: none. */
static inline const struct item *item_older(const struct item *item, uint64_t compacted)
{
    const struct item_with_past *whole = item_with_past(item);
    return whole != NULL && item->mod_revision > compacted ? whole->older : NULL;
}

/* From a version that is newer than `revision`, which is not compacted, one step towards the newest
 * that is not: the one that it replaced, or one further back that is still newer. NULL: none. */
static inline const struct item *item_towards(const struct item *item, uint64_t revision,
                                              uint64_t compacted)
{
    const struct item_milestone *milestone = item_milestone(item);
    if (milestone != NULL && milestone->far.revision > revision)
        return milestone->far.to;
    if (milestone != NULL && milestone->near.revision > revision)
        return milestone->near.to;
    return item_older(item, compacted);
}

#endif
