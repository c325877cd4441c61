/* Writes to the tree: copy what a pin sees, edit, split what is full, join what is nearly empty. */
#include "base/mem.h"
#include "kv/tree_internal.h"

/* Makes the node in `slot` one that may be edited. */
static struct tree_node *own_node(struct tree *tree, struct tree_node **slot)
{
    struct tree_node *node = *slot;
    if (!tree_is_shared(tree, &node->object))
        return node;
    *slot = tree_node_copy(node, tree->generation);
    tree_retire(tree, &node->object);
    return *slot;
}

/* A node that may be edited hangs only below nodes that may be: the path is owned from the top. */
static void own_path(struct tree *tree, struct tree_cursor *cursor)
{
    struct tree_node **slot = &tree->root;
    for (size_t depth = 0; depth < cursor->levels_count; depth++) {
        struct tree_node *node = own_node(tree, slot);
        cursor->nodes[depth] = node;
        if (node->level > 0)
            slot = &node->children[cursor->indexes[depth]];
    }
}

/* ---- insertion ---- */

static bool is_at_end(const struct tree_cursor *cursor)
{
    for (size_t depth = 0; depth < cursor->levels_count; depth++)
        if (cursor->indexes[depth] != cursor->nodes[depth]->keys_count)
            return false;
    return true;
}

/* Splits a full node around the key to be inserted at `at`. Gives the new right half and the key
 * between both.
 *
 * Halves are even, but for a key behind all others of the tree: keys that come in rising order
 * leave full nodes behind, not half-empty ones. */
static struct tree_node *split_and_insert(struct tree *tree, struct tree_node *node, size_t at,
                                          bool is_append, struct tree_item **key,
                                          struct tree_node *child)
{
    bool is_leaf = node->level == 0;
    size_t keys_count = node->keys_count;
    size_t middle = is_append ? keys_count - !is_leaf : keys_count / 2;
    struct tree_node *right = tree_node_new(node->level, tree->generation);
    struct tree_item *between = tree_node_split(node, middle, right);

    bool goes_left = at < middle || (at == middle && !is_append);
    if (goes_left)
        tree_node_insert(node, at, *key, child);
    else
        tree_node_insert(right, is_leaf ? at - middle : at - middle - 1, *key, child);
    if (is_leaf)
        between = tree_separator_new(tree_item_key(node->keys[node->keys_count - 1]),
                                     tree_item_key(right->keys[0]), tree->generation);
    *key = between;
    return right;
}

static void insert_at(struct tree *tree, struct tree_cursor *cursor, struct tree_item *key)
{
    bool is_append = is_at_end(cursor);
    struct tree_node *child = NULL;
    for (size_t depth = cursor->levels_count; depth-- > 0;) {
        struct tree_node *node = cursor->nodes[depth];
        size_t at = cursor->indexes[depth];
        if (node->keys_count < TREE_NODE_KEYS) {
            tree_node_insert(node, at, key, child);
            return;
        }
        child = split_and_insert(tree, node, at, is_append, &key, child);
    }

    INVARIANT(cursor->levels_count < TREE_LEVELS_MAX);
    struct tree_node *root = tree_node_new(cursor->levels_count, tree->generation);
    root->children[0] = tree->root;
    tree_node_insert(root, 0, key, child);
    tree->root = root;
}

static void finish_write(struct tree *tree)
{
    tree->edit++;
    if (!list_is_empty(&tree->released))
        (void)tree_collect(tree, TREE_COLLECT_PER_WRITE);
}

/* Gives the one replaced, or NULL. */
static struct tree_item *put_at(struct tree *tree, struct tree_cursor *cursor,
                                struct tree_item *item)
{
    REQUIRE(cursor->edit == tree->edit);
    struct tree_item *replaced = NULL;
    item->object = (struct tree_object){.generation = tree->generation};
    own_path(tree, cursor);
    if (cursor->is_equal) {
        size_t leaf = cursor->levels_count - 1u;
        struct tree_item **slot = &cursor->nodes[leaf]->keys[cursor->indexes[leaf]];
        REQUIRE(bytes_equal(tree_item_key(*slot), tree_item_key(item)));
        replaced = *slot;
        *slot = item;
    } else {
        insert_at(tree, cursor, item);
        tree->items_count++;
    }
    finish_write(tree);
    return replaced;
}

void tree_put_at(struct tree *tree, struct tree_cursor *cursor, struct tree_item *item)
{
    struct tree_item *replaced = put_at(tree, cursor, item);
    if (replaced != NULL)
        tree_retire(tree, &replaced->object);
}

void tree_put_over(struct tree *tree, struct tree_cursor *cursor, struct tree_item *item)
{
    (void)put_at(tree, cursor, item);
}

void tree_append(struct tree *tree, struct tree_cursor *cursor, struct tree_item *item)
{
    REQUIRE(cursor->edit == tree->edit);
    REQUIRE(tree->newest == NULL);
    size_t leaf = cursor->levels_count - 1u;
    struct tree_node *node = cursor->nodes[leaf];
    item->object = (struct tree_object){.generation = tree->generation};
    tree->items_count++;
    tree->edit++;
    if (node->keys_count < TREE_NODE_KEYS) {
        tree_node_insert(node, node->keys_count, item, NULL);
        cursor->indexes[leaf] = node->keys_count;
        cursor->edit = tree->edit;
        return;
    }
    insert_at(tree, cursor, item);
    (void)tree_last(tree_view(tree), cursor);
}

/* ---- deletion ---- */

/* All keys and children of two neighbours and the key between them, in order. */
struct joined {
    struct tree_item *keys[2 * TREE_NODE_KEYS + 1];
    struct tree_node *children[2 * TREE_NODE_KEYS + 2];
    size_t keys_count;
};

static void join(struct joined *joined, const struct tree_node *left, struct tree_item *between,
                 const struct tree_node *right)
{
    size_t count = left->keys_count;
    memcpy(joined->keys, left->keys, count * sizeof *left->keys);
    if (left->level > 0) {
        memcpy(joined->children, left->children, (count + 1) * sizeof *left->children);
        joined->keys[count++] = between;
        memcpy(joined->children + count, right->children,
               (right->keys_count + 1u) * sizeof *right->children);
    }
    memcpy(joined->keys + count, right->keys, right->keys_count * sizeof *right->keys);
    joined->keys_count = count + right->keys_count;
}

/* Shares out what both have. Gives the new key between them. */
static struct tree_item *share_evenly(struct tree *tree, const struct joined *joined,
                                      struct tree_node *left, struct tree_node *right)
{
    bool is_leaf = left->level == 0;
    size_t left_count = joined->keys_count / 2;
    size_t from = is_leaf ? left_count : left_count + 1;
    tree_node_fill(left, joined->keys, left_count, is_leaf ? NULL : joined->children);
    tree_node_fill(right, joined->keys + from, joined->keys_count - from,
                   is_leaf ? NULL : joined->children + from);
    if (!is_leaf)
        return joined->keys[left_count];
    return tree_separator_new(tree_item_key(joined->keys[left_count - 1]),
                              tree_item_key(joined->keys[left_count]), tree->generation);
}

/* A child of `parent` has too few keys: makes one node of it and a neighbour, or, where that would
 * be nearly full and soon split again, evens both out. */
static void fill_up_child(struct tree *tree, struct tree_node *parent, size_t child_at)
{
    REQUIRE(parent->keys_count > 0);
    size_t at = child_at > 0 ? child_at - 1 : 0;
    struct tree_node *left = own_node(tree, &parent->children[at]);
    struct tree_node *right = parent->children[at + 1];
    struct tree_item *between = parent->keys[at];
    struct joined joined;
    join(&joined, left, between, right);

    bool is_leaf = left->level == 0;
    if (joined.keys_count <= TREE_NODE_KEYS - TREE_NODE_KEYS / 4) {
        tree_node_fill(left, joined.keys, joined.keys_count, is_leaf ? NULL : joined.children);
        tree_node_remove(parent, at);
        tree_retire(tree, &right->object);
    } else {
        right = own_node(tree, &parent->children[at + 1]);
        tree_node_set_key(parent, at, share_evenly(tree, &joined, left, right));
    }
    if (is_leaf) /* in inner nodes it has moved down */
        tree_retire(tree, &between->object);
}

static void remove_empty_root(struct tree *tree)
{
    struct tree_node *root = tree->root;
    if (root->level > 0 && root->keys_count == 0) {
        tree->root = root->children[0];
        tree_retire(tree, &root->object);
    }
}

void tree_delete_at(struct tree *tree, struct tree_cursor *cursor)
{
    REQUIRE(cursor->edit == tree->edit);
    REQUIRE(cursor->is_equal);
    own_path(tree, cursor);

    size_t depth = cursor->levels_count - 1u;
    struct tree_node *leaf = cursor->nodes[depth];
    struct tree_item *item = leaf->keys[cursor->indexes[depth]];
    tree_node_remove(leaf, cursor->indexes[depth]);
    for (; depth > 0 && cursor->nodes[depth]->keys_count < TREE_NODE_KEYS_MIN; depth--)
        fill_up_child(tree, cursor->nodes[depth - 1], cursor->indexes[depth - 1]);
    remove_empty_root(tree);

    tree_retire(tree, &item->object);
    tree->items_count--;
    finish_write(tree);
}
