/* Watch index: the groups of watchers with the same filter, found by the key of an event. Pure.
 *
 * One pass over the key's bytes gives the hash of each of its prefixes: a probe at each length that
 * some watched prefix has, and one for the whole key. Ranges stand in a tree (watch_ranges.h).
 *
 * Ownership    the index owns its groups and copies of their bytes */
#ifndef MINIKV_HTTP_WATCH_INDEX_H
#define MINIKV_HTTP_WATCH_INDEX_H

#include "base/limits.h"
#include "base/list.h"
#include "http/watch_ranges.h"

/* Bytes of what is encoded in this slice for a group (http/watch_hub.c). */
struct watch_piece {
    size_t at, count;
};

struct watch_group {
    struct watch_filter filter; /* its bytes are owned */
    size_t watchers_count;      /* level or behind; 0: freed */

    /* private to the index */
    uint64_t hash;
    struct watch_group *next; /* in its bucket */
    struct watch_range_node range_node;

    /* private to the hub */
    struct list level;          /* watchers that have been sent all before the slice */
    struct list touched_link;   /* while there is something for them in it */
    struct watch_piece *pieces; /* owned */
    size_t pieces_count, pieces_capacity;
    uint64_t events_count;
};

struct watch_index {
    struct watch_group **buckets; /* owned; of keys and of prefixes */
    size_t buckets_count;         /* a power of two */
    size_t groups_count;
    uint64_t seed; /* of the hashes; may be changed while there are no groups */
    uint32_t prefixes[LIMIT_KEY_BYTES + 1]; /* groups of prefixes of this length */
    struct watch_ranges ranges;
    uint64_t ranks_count; /* given to nodes of `ranges` */
};

void watch_index_init(struct watch_index *index, uint64_t seed);
void watch_index_release(struct watch_index *index); /* requires that it has no groups */
/* The group with this filter, made if there is none; counts one watcher more. */
struct watch_group *watch_index_join(struct watch_index *index, const struct watch_filter *filter);
/* One watcher fewer; the last one takes the group with it. */
void watch_index_leave(struct watch_index *index, struct watch_group *group);
/* Calls on_group for all whose filter the key is in. It must not change the index. */
void watch_index_match(const struct watch_index *index, struct bytes key,
                       void (*on_group)(void *ctx, struct watch_group *group), void *ctx);
/* The same for every group there is. */
void watch_index_each(const struct watch_index *index,
                      void (*on_group)(void *ctx, struct watch_group *group), void *ctx);

#endif
