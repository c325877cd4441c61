/* Tree, from within: what the tree_*.c files share. */
#ifndef MINIKV_KV_TREE_INTERNAL_H
#define MINIKV_KV_TREE_INTERNAL_H

#include "base/list.h"
#include "kv/tree_node.h"

struct tree_pin {
    struct tree_object *retired; /* owned: seen by this pin and by no newer one */
    struct list link;            /* of tree.pins */
    struct list released_link;   /* of tree.released, once unpinned */
    uint64_t generation;         /* the last one it sees */
    uint64_t items_count;
    bool is_released;

    /* borrowed */
    struct tree_node *root;
};

struct tree {
    struct tree_node *root; /* owned */
    struct list pins;       /* owned, by rising generation; released ones stay until emptied */
    struct list released;   /* of these, the released ones */
    uint64_t items_count;
    uint64_t edit;          /* rises with each write; from 1 */
    uint64_t generation;    /* of what is made now; from 1 */
    uint64_t retired_count; /* objects on the lists of all pins */
    uint32_t pins_count;    /* in use */

    /* borrowed */
    struct tree_pin *newest; /* pin in use; NULL: none */
};

/* Does a pin see it? Else it may be edited in place, and freed when it is replaced. */
static inline bool tree_is_shared(const struct tree *tree, const struct tree_object *object)
{
    return tree->newest != NULL && object->generation <= tree->newest->generation;
}

#endif
