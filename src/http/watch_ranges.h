/* Watch ranges: groups of watchers of ranges, found by a key that is in them. Pure.
 *
 * A tree in the order of where ranges start, in which each node knows the last end below it: what
 * ends before the key is left out with all below. It is kept in balance by chance: of two nodes the
 * one with the higher rank is above (a treap; Seidel and Aragon, 1996).
 *
 * Ownership    borrows the groups, which embed their node */
#ifndef MINIKV_HTTP_WATCH_RANGES_H
#define MINIKV_HTTP_WATCH_RANGES_H

#include "http/watch_filter.h"

struct watch_range_node {
    struct watch_range_node *left, *right;
    const struct watch_filter *filter;
    struct bytes end; /* the last one below and here; empty: there is none behind it */
    uint64_t rank;
};

struct watch_ranges {
    struct watch_range_node *root; /* NULL: none */
    size_t count;
};

/* The node with this filter; NULL: none. */
struct watch_range_node *watch_ranges_find(const struct watch_ranges *ranges,
                                           const struct watch_filter *filter);
/* Requires that no node has this filter, which is borrowed until it is removed.
 *
 * rank   a random number */
void watch_ranges_add(struct watch_ranges *ranges, struct watch_range_node *node,
                      const struct watch_filter *filter, uint64_t rank);
/* Requires that it is there. */
void watch_ranges_remove(struct watch_ranges *ranges, struct watch_range_node *node);
/* Calls on_node for each range with the key, which must change nothing. */
void watch_ranges_match(const struct watch_ranges *ranges, struct bytes key,
                        void (*on_node)(void *ctx, struct watch_range_node *node), void *ctx);
/* The same for all. */
void watch_ranges_each(const struct watch_ranges *ranges,
                       void (*on_node)(void *ctx, struct watch_range_node *node), void *ctx);

#endif
