#include "kv/item.h"

#define XXH_INLINE_ALL /* short inputs, one or two for each entry */
#include <xxhash.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"

static_assert(offsetof(struct item, tree) == 0, "the tree frees the item through its head");
static_assert(offsetof(struct item_with_past, item) == 0, "one is seen as the other");
static_assert(offsetof(struct item_milestone, whole) == 0, "one is seen as the other");
static_assert(sizeof(struct item) != sizeof(struct item_with_past), "they are told apart by that");
static_assert(sizeof(struct item_with_past) != sizeof(struct item_milestone), "as these are");
static_assert((unsigned)LIMIT_VALUE_BYTES < 1u << ITEM_VALUE_BITS, "its length fits …");
static_assert(ITEM_MILESTONE_STEPS <= 1u << (32 - ITEM_VALUE_BITS), "… and so do the steps");

/* `data` is key and value, one behind the other. */
static uint64_t hash_of(const struct kv_item *content, const void *data)
{
    uint8_t raw[48];
    store_u64(raw, content->create_revision);
    store_u64(raw + 8, content->mod_revision);
    store_u64(raw + 16, content->version);
    store_u64(raw + 24, content->lease);
    store_u32(raw + 32, (uint32_t)content->key.count);
    store_u32(raw + 36, (uint32_t)content->value.count);
    store_u64(raw + 40, XXH3_64bits(data, content->key.count + content->value.count));
    return XXH3_64bits(raw, sizeof raw);
}

uint64_t item_hash(const struct item *item)
{
    struct kv_item content = item_content(item);
    return hash_of(&content, content.key.data);
}

static bool has_past(const struct kv_item *content, const struct item *older)
{
    return content->version != 1 || content->lease != 0 || older != NULL;
}

/* The milestone behind this version, or the version itself; NULL: none that is kept. */
static const struct item_milestone *milestone_before(const struct item *item, uint64_t compacted)
{
    while (item != NULL && item_milestone(item) == NULL)
        item = item_older(item, compacted);
    return item != NULL ? item_milestone(item) : NULL;
}

static const struct item_milestone *follow(const struct item_leap *leap, uint64_t compacted)
{
    return leap->revision > compacted ? item_milestone(leap->to) : NULL;
}

/* Where what is behind `near` is compacted, it begins anew from there. */
static void set_leaps(struct item_milestone *milestone, const struct item *older,
                      uint64_t compacted)
{
    const struct item_milestone *near = milestone_before(older, compacted);
    milestone->near = milestone->far = (struct item_leap){0};
    milestone->far_count = 0;
    if (near == NULL)
        return;
    milestone->near = (struct item_leap){&near->whole.item, near->whole.item.mod_revision};
    milestone->far = milestone->near;
    milestone->far_count = 1;
    const struct item_milestone *next = follow(&near->far, compacted);
    if (next == NULL || next->far_count != near->far_count)
        return;
    milestone->far = next->far;
    milestone->far_count += near->far_count + next->far_count;
}

static size_t head_bytes(const struct kv_item *content, const struct item *older, uint32_t steps)
{
    if (steps == ITEM_MILESTONE_STEPS)
        return sizeof(struct item_milestone);
    return has_past(content, older) ? sizeof(struct item_with_past) : sizeof(struct item);
}

struct item *item_new(const struct kv_item *content, const struct item *older, uint64_t compacted)
{
    REQUIRE(content->key.count >= 1);
    REQUIRE(content->key.count <= LIMIT_KEY_BYTES);
    REQUIRE(content->value.count <= LIMIT_VALUE_BYTES);
    REQUIRE(content->create_revision <= content->mod_revision);
    REQUIRE(IMPLIES(content->version == 1, content->create_revision == content->mod_revision));

    uint32_t steps = older != NULL ? item_steps(older) + 1 : 0;
    size_t key_at = head_bytes(content, older, steps);
    struct item *item = mem_alloc_raw(key_at + content->key.count + content->value.count);
    item->tree = (struct tree_item){.key_offset = (uint16_t)key_at,
                                    .key_bytes = (uint16_t)content->key.count,
                                    .rest = (uint32_t)content->value.count |
                                            steps % ITEM_MILESTONE_STEPS << ITEM_VALUE_BITS};
    item->mod_revision = content->mod_revision;
    if (key_at != sizeof(struct item)) {
        struct item_with_past *whole = (void *)item;
        whole->create_revision = content->create_revision;
        whole->version = content->version;
        whole->lease = content->lease;
        whole->older = older;
    }
    if (steps == ITEM_MILESTONE_STEPS)
        set_leaps((void *)item, older, compacted);
    uint8_t *data = (uint8_t *)item + key_at;
    memcpy(data, content->key.data, content->key.count);
    if (content->value.count != 0)
        memcpy(data + content->key.count, content->value.data, content->value.count);
    return item;
}

struct kv_item item_content(const struct item *item)
{
    struct bytes key = item_key(item);
    return (struct kv_item){.key = key,
                            .value = bytes_of(key.data + key.count, item_value_bytes(item)),
                            .create_revision = item_create_revision(item),
                            .mod_revision = item->mod_revision,
                            .version = item_version(item),
                            .lease = item_lease(item)};
}

uint64_t item_state_bytes(size_t key_bytes, size_t value_bytes)
{
    return key_bytes + value_bytes + ITEM_OVERHEAD_BYTES;
}
