/* The invariants of the tree, walked node by node (docs/invariants.md). */
#include "kv/tree_internal.h"

/* What a subtree must keep to, and what was counted on the way. */
struct walk {
    const struct tree_item *low;  /* no key is below it; NULL: no bound */
    const struct tree_item *high; /* all keys are below it; NULL: no bound */
    bool is_last;                 /* nothing of its level lies right of it */
    uint64_t generation_max;      /* K12: nothing in it is younger */
};

static void check_key(const struct tree_node *node, size_t at, const struct walk *walk)
{
    struct bytes key = tree_item_key(node->keys[at]);
    /* K10: in order, between the separators above. */
    if (at > 0)
        INVARIANT(bytes_compare(tree_item_key(node->keys[at - 1]), key) < 0);
    if (walk->low != NULL)
        INVARIANT(bytes_compare(tree_item_key(walk->low), key) <= 0);
    if (walk->high != NULL)
        INVARIANT(bytes_compare(key, tree_item_key(walk->high)) < 0);

    /* K11: heads and the common beginning say what the keys say. */
    size_t common_bytes = node->common_bytes;
    struct bytes first = tree_item_key(node->keys[0]);
    INVARIANT(key.count >= common_bytes);
    INVARIANT(memcmp(key.data, first.data, common_bytes) == 0);
    INVARIANT(memcmp(key.data, node->common, MIN(common_bytes, (size_t)TREE_COMMON_BYTES)) == 0);
    uint64_t head = 0;
    for (size_t i = common_bytes; i < common_bytes + 8; i++)
        head = head << 8 | (i < key.count ? key.data[i] : 0);
    INVARIANT(node->heads[at] == head);
    if (at % TREE_GROUP_HEADS == 0)
        INVARIANT(node->samples[at / TREE_GROUP_HEADS] == node->heads[at]);
    INVARIANT(node->keys[at]->object.generation <= walk->generation_max);
}

/* Returns the number of items. */
static uint64_t check_subtree(const struct tree_node *node, bool is_root, const struct walk *walk)
{
    /* K12: a pin sees nothing that was made after it. */
    INVARIANT(node->object.generation <= walk->generation_max);
    /* K13: all nodes but the last ones of their level are filled; an inner one has two children. */
    INVARIANT(node->keys_count <= TREE_NODE_KEYS);
    INVARIANT(IMPLIES(!is_root && !walk->is_last, node->keys_count >= TREE_NODE_KEYS_MIN));
    INVARIANT(IMPLIES(!is_root || node->level > 0, node->keys_count > 0));
    INVARIANT(IMPLIES(node->keys_count == 0, node->common_bytes == 0));
    for (size_t at = 0; at < node->keys_count; at++)
        check_key(node, at, walk);
    for (size_t at = node->keys_count; at < TREE_NODE_KEYS; at++) {
        INVARIANT(node->heads[at] == UINT64_MAX);
        INVARIANT(node->samples[at / TREE_GROUP_HEADS] ==
                  node->heads[at / TREE_GROUP_HEADS * TREE_GROUP_HEADS]);
    }
    if (node->level == 0)
        return node->keys_count;

    uint64_t items_count = 0;
    for (size_t at = 0; at <= node->keys_count; at++) {
        struct walk below = *walk;
        below.low = at > 0 ? node->keys[at - 1] : walk->low;
        below.high = at < node->keys_count ? node->keys[at] : walk->high;
        below.is_last = walk->is_last && at == node->keys_count;
        INVARIANT(node->children[at]->level + 1 == node->level);
        items_count += check_subtree(node->children[at], false, &below);
    }
    return items_count;
}

static uint64_t check_pin(const struct tree *tree, const struct tree_pin *pin, uint64_t older)
{
    /* K14: pins are in order; what waits with one is seen by it. */
    INVARIANT(pin->generation > older);
    INVARIANT(pin->generation < tree->generation);
    uint64_t retired_count = 0;
    for (const struct tree_object *object = pin->retired; object != NULL;
         object = object->retired_next) {
        INVARIANT(object->generation <= pin->generation);
        retired_count++;
    }
    if (!pin->is_released) {
        struct walk walk = {.is_last = true, .generation_max = pin->generation};
        INVARIANT(check_subtree(pin->root, true, &walk) == pin->items_count);
    }
    return retired_count;
}

void tree_check(const struct tree *tree)
{
    struct walk walk = {.is_last = true, .generation_max = tree->generation};
    INVARIANT(check_subtree(tree->root, true, &walk) == tree->items_count);

    uint64_t generation = 0;
    uint64_t retired_count = 0;
    uint32_t pins_count = 0;
    const struct tree_pin *newest = NULL;
    for (const struct list *link = tree->pins.next; link != &tree->pins; link = link->next) {
        const struct tree_pin *pin = CONTAINER_OF(link, struct tree_pin, link);
        retired_count += check_pin(tree, pin, generation);
        generation = pin->generation;
        if (!pin->is_released) {
            pins_count++;
            newest = pin;
        }
    }
    INVARIANT(retired_count == tree->retired_count);
    INVARIANT(pins_count == tree->pins_count);
    INVARIANT(newest == tree->newest);
}
