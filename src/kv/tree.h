/* Tree: an ordered map from bytes to records, of which any moment can be kept.
 *
 * A B+tree in memory. Each node carries the generation that made it. tree_pin keeps the present
 * root and starts a new generation; from then on a write copies the nodes on its way from the root
 * that the pin still sees, and edits in place those that are younger than the newest pin. So a
 * pin costs nothing to take, what it shows never changes, and without a pin nothing is copied.
 *
 *      generation 1          pin          generation 2
 *          root ◀────────────┘ ┌───────────── root'      put into b: root and b are copied,
 *         ╱  │  ╲              │             ╱  │  ╲     a and c are shared
 *        a   b   c             └─▶ shared:  a   b'  c
 *
 * What a write replaces is freed at once if no pin sees it; else it waits with the newest pin that
 * does, and moves on to the next older one, or is freed, after tree_unpin, in small slices.
 *
 * Invariants   K10 … K15 in docs/invariants.md; tree_check walks them
 * Ownership    the tree owns nodes and items; an item given out lives until the write that
 *              replaces or deletes it, one reached through a pin until tree_unpin
 * Limits       TREE_LEVELS_MAX
 * Calling      one thread, the owner's; another may walk a pin's view meanwhile, since nothing in
 *              it is written to, as long as tree_pin happens before and tree_unpin after that */
#ifndef MINIKV_KV_TREE_H
#define MINIKV_KV_TREE_H

#include "base/bytes.h"
#include "base/check.h"

enum {
    TREE_LEVELS_MAX = 16, /* 17 children at least: more items than memory can hold */
    TREE_PREFETCH_KEYS = 32,
    TREE_COLLECT_PER_WRITE = 8 /* retired objects that each write frees on the side */
};

struct tree;
struct tree_node;
struct tree_pin;

/* What can be retired: the head of nodes and items, each one allocation of mem_alloc. */
struct tree_object {
    uint64_t generation;              /* in which it was made */
    struct tree_object *retired_next; /* not read through a pin */
};

/* The head of a record. The key lies behind it in the same allocation and never changes. */
struct tree_item {
    struct tree_object object; /* the tree's */
    uint16_t key_offset;       /* from the start of this struct */
    uint16_t key_bytes;
    uint32_t rest; /* the owner's: the tree does not look at it */
};

/* One moment: the present of a tree until its next write, or a pin's until it is unpinned. */
struct tree_view {
    struct tree_node *root;
    uint64_t items_count;
    uint64_t edit; /* number of the last write; 0: not the present of a tree */
};

/* A place in a view: at an item, or where an item with the sought key would be. */
struct tree_cursor {
    struct tree_node *nodes[TREE_LEVELS_MAX]; /* root first */
    uint16_t indexes[TREE_LEVELS_MAX];
    uint16_t levels_count;
    bool is_equal; /* at an item with the sought key */
    uint64_t edit; /* of the view; 0: no place to write at */
};

struct tree *tree_new(void);
/* Requires that every pin has been unpinned. Frees all items. */
void tree_free(struct tree *tree);
/* The same in pieces, for a tree that nobody needs: frees about `objects_max` nodes and items;
 * false: nothing is left that takes tree_free any time. Nothing but these two may follow. */
bool tree_drain(struct tree *tree, size_t objects_max);

/* ---- reading ---- */

struct tree_view tree_view(const struct tree *tree);
/* The item with `key`, or NULL. The cursor is left where it is or would be. */
const struct tree_item *tree_find(struct tree_view view, struct bytes key,
                                  struct tree_cursor *out_cursor);
/* The last item, or NULL. The cursor is left behind it, where an item with a higher key can be put:
 * a tree whose items come in order is made without a search. */
const struct tree_item *tree_last(struct tree_view view, struct tree_cursor *out_cursor);
/* A hint, and of no effect but on time: asks for the memory that finding each of these keys will
 * touch, all of it at once. Worth while for a handful of keys in a tree beyond the caches, just
 * before they are found one by one. Requires keys_count <= TREE_PREFETCH_KEYS. */
void tree_prefetch(struct tree_view view, const struct bytes *keys, size_t keys_count);
/* The item at or behind the cursor, which steps over it; NULL at the end. */
const struct tree_item *tree_next(struct tree_cursor *cursor);
/* The item before the cursor, which steps back over it; NULL at the start. */
const struct tree_item *tree_prev(struct tree_cursor *cursor);

static inline struct bytes tree_item_key(const struct tree_item *item)
{
    return bytes_of((const uint8_t *)item + item->key_offset, item->key_bytes);
}

/* ---- writing: at a cursor that tree_find or tree_last left in the present, with no write since */

/* Puts `item` in the place of the one at the cursor, or inserts it there. Takes the item, whose
 * key must be the sought one, or above the last one's; the one replaced is gone, or kept for the
 * pins that see it. */
void tree_put_at(struct tree *tree, struct tree_cursor *cursor, struct tree_item *item);
/* The same, but the one replaced stays where it is, now owned by the new one: to be retired when
 * nothing of the present points to it any more. */
void tree_put_over(struct tree *tree, struct tree_cursor *cursor, struct tree_item *item);
/* Puts `item` behind all others and moves the cursor, which tree_last or this left, behind it: for
 * many in a row. Requires that no pin is in use. */
void tree_append(struct tree *tree, struct tree_cursor *cursor, struct tree_item *item);
/* Requires cursor->is_equal. */
void tree_delete_at(struct tree *tree, struct tree_cursor *cursor);

/* ---- keeping a moment ---- */

struct tree_pin *tree_pin(struct tree *tree);
struct tree_view tree_pin_view(const struct tree_pin *pin);
/* The pin is gone; what only it kept is freed by later writes and tree_collect. */
void tree_unpin(struct tree *tree, struct tree_pin *pin);
/* Frees at most `objects_max` nodes and items that no pin sees any more; false: none are left. */
bool tree_collect(struct tree *tree, size_t objects_max);

/* ---- what items point to, and what pins keep with them ----
 *
 * Whoever owns an allocation that an item points to has it wait for pins as the tree has its own:
 * it begins with a tree_object, is not changed while a pin sees it, and is retired when no item of
 * the present points to it any more. What the present has at the end is the owner's to retire. */

void tree_object_init(const struct tree *tree, struct tree_object *object); /* made now */
/* Does a pin see it? Also of items: then another one is to be put in its place, to change it. */
bool tree_is_pinned(const struct tree *tree, const struct tree_object *object);
/* It has left the present: frees it, or keeps it for the pins that see it. */
void tree_retire(struct tree *tree, struct tree_object *object);

struct tree_stats {
    uint64_t items_count;
    uint64_t retired_count; /* nodes and items kept for pins, or not yet freed */
    uint32_t pins_count;
    uint32_t levels_count;
};
void tree_stats(const struct tree *tree, struct tree_stats *out_stats);
/* Walks the present and every pin and aborts if an invariant does not hold. For tests. */
void tree_check(const struct tree *tree);

#endif
