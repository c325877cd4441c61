#include "kv/item.h"

#define XXH_INLINE_ALL /* short inputs, one or two for each entry */
#include <xxhash.h>

#include "base/limits.h"
#include "base/mem.h"

static_assert(offsetof(struct item, tree) == 0, "the tree frees the item through its head");

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
    return hash_of(&content, item->data);
}

struct item *item_new(const struct kv_item *content)
{
    REQUIRE(content->key.count >= 1);
    REQUIRE(content->key.count <= LIMIT_KEY_BYTES);
    REQUIRE(content->value.count <= LIMIT_VALUE_BYTES);
    REQUIRE(content->create_revision <= content->mod_revision);

    size_t data_bytes = content->key.count + content->value.count;
    struct item *item = mem_alloc_raw(MAX(sizeof *item, offsetof(struct item, data) + data_bytes));
    item->tree = (struct tree_item){.key_offset = offsetof(struct item, data),
                                    .key_bytes = (uint32_t)content->key.count};
    item->create_revision = content->create_revision;
    item->mod_revision = content->mod_revision;
    item->version = content->version;
    item->lease = content->lease;
    item->value_bytes = (uint32_t)content->value.count;
    memcpy(item->data, content->key.data, content->key.count);
    if (content->value.count != 0)
        memcpy(item->data + content->key.count, content->value.data, content->value.count);
    item->hash = hash_of(content, item->data);
    return item;
}

struct kv_item item_content(const struct item *item)
{
    size_t key_bytes = item->tree.key_bytes;
    return (struct kv_item){.key = bytes_of(item->data, key_bytes),
                            .value = bytes_of(item->data + key_bytes, item->value_bytes),
                            .create_revision = item->create_revision,
                            .mod_revision = item->mod_revision,
                            .version = item->version,
                            .lease = item->lease};
}

uint64_t item_state_bytes(size_t key_bytes, size_t value_bytes)
{
    return key_bytes + value_bytes + ITEM_OVERHEAD_BYTES;
}
