#include "http/watch_index.h"

#include "base/check.h"
#include "base/mem.h"
#include "base/prng.h"

enum { BUCKETS_MIN = 64 };

/* FNV-1a, whose value after each byte is the hash of the prefix up to there. */
static uint64_t hash_step(uint64_t hash, uint8_t byte)
{
    return (hash ^ byte) * 0x100000001b3;
}

static uint64_t hash_of(const struct watch_index *index, struct bytes bytes)
{
    uint64_t hash = index->seed;
    for (size_t i = 0; i < bytes.count; i++)
        hash = hash_step(hash, bytes.data[i]);
    return hash;
}

static struct watch_group **bucket_of(const struct watch_index *index, uint64_t hash)
{
    uint64_t mixed = hash ^ hash >> 32; /* the low bits see little of the first bytes */
    return &index->buckets[mixed & (index->buckets_count - 1)];
}

void watch_index_init(struct watch_index *index, uint64_t seed)
{
    *index = (struct watch_index){.buckets_count = BUCKETS_MIN, .seed = seed};
    index->buckets = mem_alloc_array(BUCKETS_MIN, sizeof(struct watch_group *));
}

void watch_index_release(struct watch_index *index)
{
    REQUIRE(index->groups_count == 0);
    mem_free(index->buckets);
    index->buckets = NULL;
}

/* ---- groups ---- */

static void link_in(struct watch_index *index, struct watch_group *group)
{
    struct watch_group **bucket = bucket_of(index, group->hash);
    group->next = *bucket;
    *bucket = group;
}

static void grow(struct watch_index *index)
{
    struct watch_group **old = index->buckets;
    size_t old_count = index->buckets_count;
    index->buckets_count = 2 * old_count;
    index->buckets = mem_alloc_array(index->buckets_count, sizeof(struct watch_group *));
    for (size_t i = 0; i < old_count; i++) {
        for (struct watch_group *group = old[i], *next; group != NULL; group = next) {
            next = group->next;
            link_in(index, group);
        }
    }
    mem_free(old);
}

static struct watch_group *find(const struct watch_index *index, uint64_t hash,
                                const struct watch_filter *filter)
{
    if (filter->kind == WATCH_RANGE) {
        struct watch_range_node *node = watch_ranges_find(&index->ranges, filter);
        return node != NULL ? CONTAINER_OF(node, struct watch_group, range_node) : NULL;
    }
    struct watch_group *group = *bucket_of(index, hash);
    while (group != NULL && !watch_filter_equal(&group->filter, filter))
        group = group->next;
    return group;
}

static struct bytes copy_of(struct bytes bytes)
{
    if (bytes.count == 0)
        return bytes_of(NULL, 0);
    uint8_t *data = mem_alloc_raw(bytes.count);
    memcpy(data, bytes.data, bytes.count);
    return bytes_of(data, bytes.count);
}

/* Not to be foreseen by whoever chooses the ranges. */
static uint64_t any_rank(struct watch_index *index)
{
    struct prng prng;
    prng_init(&prng, index->seed + ++index->ranks_count);
    return prng_next(&prng);
}

static struct watch_group *make(struct watch_index *index, uint64_t hash,
                                const struct watch_filter *filter)
{
    REQUIRE(filter->key.count <= LIMIT_KEY_BYTES && filter->end.count <= LIMIT_KEY_BYTES);

    struct watch_group *group = mem_alloc(sizeof *group);
    group->filter = *filter;
    group->filter.key = copy_of(filter->key);
    group->filter.end = copy_of(filter->end);
    group->hash = hash;
    list_init(&group->level);
    list_init(&group->touched_link);
    index->groups_count++;
    if (filter->kind == WATCH_RANGE) {
        watch_ranges_add(&index->ranges, &group->range_node, &group->filter, any_rank(index));
        return group;
    }
    if (index->groups_count > index->buckets_count)
        grow(index);
    link_in(index, group);
    if (filter->kind == WATCH_PREFIX)
        index->prefixes[filter->key.count]++;
    return group;
}

struct watch_group *watch_index_join(struct watch_index *index, const struct watch_filter *filter)
{
    uint64_t hash = hash_of(index, filter->key);
    struct watch_group *group = find(index, hash, filter);
    if (group == NULL)
        group = make(index, hash, filter);
    group->watchers_count++;
    return group;
}

void watch_index_leave(struct watch_index *index, struct watch_group *group)
{
    REQUIRE(group->watchers_count > 0);
    if (--group->watchers_count != 0)
        return;
    INVARIANT(list_is_empty(&group->level));
    list_remove(&group->touched_link);
    if (group->filter.kind == WATCH_RANGE) {
        watch_ranges_remove(&index->ranges, &group->range_node);
    } else {
        struct watch_group **at = bucket_of(index, group->hash);
        while (*at != group)
            at = &(*at)->next;
        *at = group->next;
    }
    if (group->filter.kind == WATCH_PREFIX)
        index->prefixes[group->filter.key.count]--;
    index->groups_count--;
    mem_free((void *)group->filter.key.data);
    mem_free((void *)group->filter.end.data);
    mem_free(group->pieces);
    mem_free(group);
}

/* ---- matching ---- */

static void probe(const struct watch_index *index, uint64_t hash, enum watch_kind kind,
                  struct bytes bytes, void (*on_group)(void *ctx, struct watch_group *group),
                  void *ctx)
{
    for (struct watch_group *group = *bucket_of(index, hash), *next; group != NULL; group = next) {
        next = group->next;
        if (group->hash == hash && group->filter.kind == kind &&
            bytes_equal(group->filter.key, bytes))
            on_group(ctx, group);
    }
}

/* From nodes of the tree to their groups. */
struct visit {
    void (*on_group)(void *ctx, struct watch_group *group);
    void *ctx;
};

static void visit_on_node(void *ctx, struct watch_range_node *node)
{
    const struct visit *visit = ctx;
    visit->on_group(visit->ctx, CONTAINER_OF(node, struct watch_group, range_node));
}

void watch_index_match(const struct watch_index *index, struct bytes key,
                       void (*on_group)(void *ctx, struct watch_group *group), void *ctx)
{
    uint64_t hash = index->seed;
    for (size_t count = 0;; count++) {
        if (count <= LIMIT_KEY_BYTES && index->prefixes[count] != 0)
            probe(index, hash, WATCH_PREFIX, bytes_of(key.data, count), on_group, ctx);
        if (count == key.count)
            break;
        hash = hash_step(hash, key.data[count]);
    }
    probe(index, hash, WATCH_KEY, key, on_group, ctx);
    struct visit visit = {.on_group = on_group, .ctx = ctx};
    watch_ranges_match(&index->ranges, key, visit_on_node, &visit);
}

void watch_index_each(const struct watch_index *index,
                      void (*on_group)(void *ctx, struct watch_group *group), void *ctx)
{
    for (size_t i = 0; i < index->buckets_count; i++)
        for (struct watch_group *group = index->buckets[i]; group != NULL; group = group->next)
            on_group(ctx, group);
    struct visit visit = {.on_group = on_group, .ctx = ctx};
    watch_ranges_each(&index->ranges, visit_on_node, &visit);
}
