#include "kv/tree.h"

#include "base/mem.h"
#include "kv/tree_internal.h"

struct tree *tree_new(void)
{
    struct tree *tree = mem_alloc(sizeof *tree);
    tree->edit = 1;
    tree->generation = 1;
    tree->root = tree_node_new(0, tree->generation);
    list_init(&tree->pins);
    list_init(&tree->released);
    return tree;
}

static void free_subtree(struct tree_node *node)
{
    if (node->level > 0)
        for (size_t i = 0; i <= node->keys_count; i++)
            free_subtree(node->children[i]);
    for (size_t i = 0; i < node->keys_count; i++)
        mem_free(node->keys[i]);
    mem_free(node);
}

void tree_free(struct tree *tree)
{
    if (tree == NULL)
        return;
    REQUIRE(tree->pins_count == 0);
    while (tree_collect(tree, SIZE_MAX))
        continue;
    INVARIANT(tree->retired_count == 0);
    free_subtree(tree->root);
    mem_free(tree);
}

/* The last leaf with its items. An inner node without children is an empty leaf from then on. */
static size_t drain_leaf(struct tree_node *root)
{
    struct tree_node *parent = NULL, *node = root;
    while (node->level > 0) {
        parent = node;
        node = node->children[node->keys_count];
    }
    size_t freed_count = node->keys_count + 1u;
    for (size_t i = 0; i < node->keys_count; i++)
        mem_free(node->keys[i]);
    node->keys_count = 0;
    if (parent == NULL)
        return freed_count;
    mem_free(node);
    if (parent->keys_count == 0)
        parent->level = 0;
    else
        mem_free(parent->keys[--parent->keys_count]);
    return freed_count;
}

bool tree_drain(struct tree *tree, size_t objects_max)
{
    REQUIRE(tree->pins_count == 0);
    if (tree_collect(tree, objects_max))
        return true;
    for (size_t freed_count = 0; freed_count < objects_max;) {
        if (tree->root->level == 0 && tree->root->keys_count == 0)
            return false;
        freed_count += drain_leaf(tree->root);
    }
    return true;
}

struct tree_view tree_view(const struct tree *tree)
{
    return (struct tree_view){
        .root = tree->root, .items_count = tree->items_count, .edit = tree->edit};
}

const struct tree_item *tree_find(struct tree_view view, struct bytes key,
                                  struct tree_cursor *out_cursor)
{
    struct tree_node *node = view.root;
    size_t depth = 0;
    size_t at;
    bool is_equal;
    for (;; depth++) {
        INVARIANT(depth < TREE_LEVELS_MAX);
        at = tree_node_search(node, key, &is_equal);
        /* A separator is the least key of what lies right of it. */
        size_t child = at + (is_equal && node->level > 0);
        out_cursor->nodes[depth] = node;
        out_cursor->indexes[depth] = (uint16_t)child;
        if (node->level == 0)
            break;
        node = node->children[child];
        tree_node_prefetch(node);
    }
    out_cursor->levels_count = (uint16_t)(depth + 1);
    out_cursor->is_equal = is_equal;
    out_cursor->edit = view.edit;
    return is_equal ? node->keys[at] : NULL;
}

const struct tree_item *tree_last(struct tree_view view, struct tree_cursor *out_cursor)
{
    struct tree_node *node = view.root;
    size_t depth = 0;
    for (;; depth++) {
        INVARIANT(depth < TREE_LEVELS_MAX);
        out_cursor->nodes[depth] = node;
        out_cursor->indexes[depth] = node->keys_count;
        if (node->level == 0)
            break;
        node = node->children[node->keys_count];
    }
    out_cursor->levels_count = (uint16_t)(depth + 1);
    out_cursor->is_equal = false;
    out_cursor->edit = view.edit;
    return node->keys_count != 0 ? node->keys[node->keys_count - 1] : NULL;
}

/* From the nodes of one level to those of the next. Each step asks for the memory of the one after
 * it, for all keys, before any of them has to wait for it. */
static void prefetch_level(struct tree_node **nodes, const struct bytes *keys, size_t keys_count)
{
    for (size_t i = 0; i < keys_count; i++)
        tree_node_prefetch_inside(nodes[i], keys[i]);
    for (size_t i = 0; i < keys_count; i++) {
        nodes[i] = nodes[i]->children[tree_node_guess(nodes[i], keys[i])];
        tree_node_prefetch(nodes[i]);
    }
}

static void prefetch_items(struct tree_node **leaves, const struct bytes *keys, size_t keys_count)
{
    for (size_t i = 0; i < keys_count; i++)
        tree_node_prefetch_inside(leaves[i], keys[i]);
    for (size_t i = 0; i < keys_count; i++) {
        size_t at = tree_node_guess(leaves[i], keys[i]);
        if (at == leaves[i]->keys_count)
            continue;
        const char *item = (const char *)leaves[i]->keys[at];
        __builtin_prefetch(item);
        __builtin_prefetch(item + TREE_LINE_BYTES);
    }
}

void tree_prefetch(struct tree_view view, const struct bytes *keys, size_t keys_count)
{
    REQUIRE(keys_count <= TREE_PREFETCH_KEYS);
    struct tree_node *nodes[TREE_PREFETCH_KEYS];
    for (size_t i = 0; i < keys_count; i++)
        nodes[i] = view.root;
    for (uint16_t level = view.root->level; level > 0; level--)
        prefetch_level(nodes, keys, keys_count);
    prefetch_items(nodes, keys, keys_count);
}

/* From the child at `depth` down to its leaf, before the first of its items or behind the last. */
static inline void descend(struct tree_cursor *cursor, size_t depth, bool is_behind)
{
    while (depth + 1 < cursor->levels_count) {
        struct tree_node *child = cursor->nodes[depth]->children[cursor->indexes[depth]];
        depth++;
        cursor->nodes[depth] = child;
        cursor->indexes[depth] = is_behind ? child->keys_count : 0;
    }
}

/* To the first item of the next leaf; false at the end, with the cursor where it was. */
static bool step_to_next_leaf(struct tree_cursor *cursor)
{
    size_t depth = cursor->levels_count - 1u;
    do {
        if (depth == 0)
            return false;
        depth--;
    } while (cursor->indexes[depth] == cursor->nodes[depth]->keys_count);

    cursor->indexes[depth]++;
    descend(cursor, depth, false);
    return true;
}

const struct tree_item *tree_next(struct tree_cursor *cursor)
{
    enum { ITEMS_AHEAD = 8 };
    size_t leaf = cursor->levels_count - 1u;
    cursor->edit = 0;
    if (cursor->indexes[leaf] == cursor->nodes[leaf]->keys_count && !step_to_next_leaf(cursor))
        return NULL;

    const struct tree_node *node = cursor->nodes[leaf];
    size_t at = cursor->indexes[leaf]++;
    INVARIANT(at < node->keys_count);
    __builtin_prefetch(node->keys[MIN(at + ITEMS_AHEAD, node->keys_count - 1u)]);
    return node->keys[at];
}

/* To behind the last item of the leaf before; false at the start, with the cursor where it was. */
static bool step_to_leaf_before(struct tree_cursor *cursor)
{
    size_t depth = cursor->levels_count - 1u;
    do {
        if (depth == 0)
            return false;
        depth--;
    } while (cursor->indexes[depth] == 0);

    cursor->indexes[depth]--;
    descend(cursor, depth, true);
    return true;
}

const struct tree_item *tree_prev(struct tree_cursor *cursor)
{
    enum { ITEMS_AHEAD = 8 };
    size_t leaf = cursor->levels_count - 1u;
    cursor->edit = 0;
    if (cursor->indexes[leaf] == 0 && !step_to_leaf_before(cursor))
        return NULL;

    const struct tree_node *node = cursor->nodes[leaf];
    size_t at = --cursor->indexes[leaf];
    __builtin_prefetch(node->keys[at - MIN(at, (size_t)ITEMS_AHEAD)]);
    return node->keys[at];
}

void tree_stats(const struct tree *tree, struct tree_stats *out_stats)
{
    *out_stats = (struct tree_stats){.items_count = tree->items_count,
                                     .retired_count = tree->retired_count,
                                     .pins_count = tree->pins_count,
                                     .levels_count = tree->root->level + 1u};
}
