#include "http/watch_ranges.h"

#include "base/check.h"

/* Any order of filters that begins with where they start. */
static int compare(const struct watch_filter *a, const struct watch_filter *b)
{
    int order = bytes_compare(a->key, b->key);
    if (order == 0)
        order = bytes_compare(a->end, b->end);
    if (order == 0)
        order = (int)a->format - (int)b->format;
    if (order == 0)
        order = a->has_previous - b->has_previous;
    if (order == 0)
        order = a->lacks_puts - b->lacks_puts;
    if (order == 0)
        order = a->lacks_deletes - b->lacks_deletes;
    return order;
}

static struct bytes later_end(struct bytes a, struct bytes b)
{
    if (a.count == 0 || b.count == 0)
        return bytes_of(NULL, 0);
    return bytes_compare(a, b) < 0 ? b : a;
}

static void update(struct watch_range_node *node)
{
    node->end = node->filter->end;
    if (node->left != NULL)
        node->end = later_end(node->end, node->left->end);
    if (node->right != NULL)
        node->end = later_end(node->end, node->right->end);
}

struct watch_range_node *watch_ranges_find(const struct watch_ranges *ranges,
                                           const struct watch_filter *filter)
{
    struct watch_range_node *node = ranges->root;
    while (node != NULL) {
        int order = compare(filter, node->filter);
        if (order == 0)
            return node;
        node = order < 0 ? node->left : node->right;
    }
    return NULL;
}

/* Into what is below the filter and what is above it. */
static void split(struct watch_range_node *node, const struct watch_filter *filter,
                  struct watch_range_node **out_below, struct watch_range_node **out_above)
{
    if (node == NULL) {
        *out_below = *out_above = NULL;
        return;
    }
    if (compare(node->filter, filter) < 0) {
        split(node->right, filter, &node->right, out_above);
        *out_below = node;
    } else {
        split(node->left, filter, out_below, &node->left);
        *out_above = node;
    }
    update(node);
}

/* All of the one are below all of the other. */
static struct watch_range_node *join(struct watch_range_node *below, struct watch_range_node *above)
{
    if (below == NULL || above == NULL)
        return below != NULL ? below : above;
    struct watch_range_node *top = below->rank > above->rank ? below : above;
    if (top == below)
        below->right = join(below->right, above);
    else
        above->left = join(below, above->left);
    update(top);
    return top;
}

static struct watch_range_node *add(struct watch_range_node *at, struct watch_range_node *node)
{
    if (at == NULL || node->rank > at->rank) {
        split(at, node->filter, &node->left, &node->right);
        at = node;
    } else if (compare(node->filter, at->filter) < 0) {
        at->left = add(at->left, node);
    } else {
        at->right = add(at->right, node);
    }
    update(at);
    return at;
}

static struct watch_range_node *take_out(struct watch_range_node *at, struct watch_range_node *node)
{
    REQUIRE(at != NULL);
    if (at == node)
        return join(node->left, node->right);
    if (compare(node->filter, at->filter) < 0)
        at->left = take_out(at->left, node);
    else
        at->right = take_out(at->right, node);
    update(at);
    return at;
}

void watch_ranges_add(struct watch_ranges *ranges, struct watch_range_node *node,
                      const struct watch_filter *filter, uint64_t rank)
{
    *node = (struct watch_range_node){.filter = filter, .rank = rank};
    ranges->root = add(ranges->root, node);
    ranges->count++;
}

void watch_ranges_remove(struct watch_ranges *ranges, struct watch_range_node *node)
{
    ranges->root = take_out(ranges->root, node);
    ranges->count--;
}

static void match(struct watch_range_node *node, struct bytes key,
                  void (*on_node)(void *ctx, struct watch_range_node *node), void *ctx)
{
    while (node != NULL && (node->end.count == 0 || bytes_compare(key, node->end) < 0)) {
        match(node->left, key, on_node, ctx);
        if (bytes_compare(key, node->filter->key) < 0)
            return; /* as are all to the right */
        if (watch_filter_has_key(node->filter, key))
            on_node(ctx, node);
        node = node->right;
    }
}

void watch_ranges_match(const struct watch_ranges *ranges, struct bytes key,
                        void (*on_node)(void *ctx, struct watch_range_node *node), void *ctx)
{
    match(ranges->root, key, on_node, ctx);
}

static void each(struct watch_range_node *node,
                 void (*on_node)(void *ctx, struct watch_range_node *node), void *ctx)
{
    for (; node != NULL; node = node->right) {
        each(node->left, on_node, ctx);
        on_node(ctx, node);
    }
}

void watch_ranges_each(const struct watch_ranges *ranges,
                       void (*on_node)(void *ctx, struct watch_range_node *node), void *ctx)
{
    each(ranges->root, on_node, ctx);
}
