#include "kv/tree_node.h"

#include "base/mem.h"

static struct bytes key_at(const struct tree_node *node, size_t at)
{
    return tree_item_key(node->keys[at]);
}

/* Whole lines, as aligned allocation wants them. */
static size_t node_bytes(uint16_t level)
{
    size_t children_count = level == 0 ? 0 : TREE_NODE_KEYS + 1;
    size_t bytes = sizeof(struct tree_node) + children_count * sizeof(struct tree_node *);
    return (bytes + TREE_LINE_BYTES - 1) / TREE_LINE_BYTES * TREE_LINE_BYTES;
}

struct tree_node *tree_node_new(uint16_t level, uint64_t generation)
{
    struct tree_node *node = mem_alloc_aligned(node_bytes(level), TREE_LINE_BYTES);
    node->object = (struct tree_object){.generation = generation};
    node->level = level;
    node->keys_count = 0;
    node->common_bytes = 0;
    memset(node->samples, 0xff, sizeof node->samples);
    memset(node->heads, 0xff, sizeof node->heads);
    return node;
}

struct tree_node *tree_node_copy(const struct tree_node *node, uint64_t generation)
{
    struct tree_node *copy = mem_alloc_aligned(node_bytes(node->level), TREE_LINE_BYTES);
    memcpy(copy, node, offsetof(struct tree_node, keys));
    memcpy(copy->keys, node->keys, node->keys_count * sizeof *node->keys);
    if (node->level > 0)
        memcpy(copy->children, node->children, (node->keys_count + 1u) * sizeof *node->children);
    copy->object = (struct tree_object){.generation = generation};
    return copy;
}

static size_t common_prefix_bytes(struct bytes a, struct bytes b)
{
    size_t count_max = MIN(a.count, b.count);
    size_t count = 0;
    while (count < count_max && a.data[count] == b.data[count])
        count++;
    return count;
}

struct tree_item *tree_separator_new(struct bytes left, struct bytes right, uint64_t generation)
{
    REQUIRE(bytes_compare(left, right) < 0);
    size_t count = common_prefix_bytes(left, right) + 1;
    INVARIANT(count <= right.count);

    struct tree_item *item = mem_alloc_raw(sizeof *item + count);
    *item = (struct tree_item){
        .object.generation = generation, .key_offset = sizeof *item, .key_bytes = (uint16_t)count};
    memcpy(item + 1, right.data, count);
    return item;
}

/* ---- search ---- */

/* Compilers make one load of this. */
static inline uint64_t load_big_endian(const uint8_t *at)
{
    return (uint64_t)at[0] << 56 | (uint64_t)at[1] << 48 | (uint64_t)at[2] << 40 |
           (uint64_t)at[3] << 32 | (uint64_t)at[4] << 24 | (uint64_t)at[5] << 16 |
           (uint64_t)at[6] << 8 | (uint64_t)at[7];
}

/* The eight bytes behind the first `skip_bytes`, which the key has. */
static inline uint64_t head_of(struct bytes key, size_t skip_bytes)
{
    size_t count = key.count - skip_bytes;
    if (count >= 8)
        return load_big_endian(key.data + skip_bytes);
    if (count == 0)
        return 0;
    if (key.count >= 8) /* the last eight, without those that were skipped */
        return load_big_endian(key.data + key.count - 8) << (64 - 8 * count);
    uint8_t padded[8] = {0};
    memcpy(padded, key.data + skip_bytes, count);
    return load_big_endian(padded);
}

/* The order of a key against what all keys of the node begin with; 0: it begins so too. */
static inline int compare_common(const struct tree_node *node, struct bytes key)
{
    size_t common_bytes = node->common_bytes;
    const uint8_t *common = common_bytes <= TREE_COMMON_BYTES ? node->common : key_at(node, 0).data;
    size_t count = MIN(key.count, common_bytes);
    int order = count != 0 ? memcmp(key.data, common, count) : 0;
    return order != 0 ? order : count < common_bytes ? -1 : 0;
}

/* How many of a line of numbers are below `bound`. Compares all of them: which way a comparison
 * goes is a coin toss that a processor would guess wrong half the time, and that costs more. */
static inline size_t count_below(const uint64_t numbers[TREE_GROUP_HEADS], uint64_t bound)
{
    static_assert(TREE_GROUP_HEADS == 8, "each is named below");
    return (size_t)(numbers[0] < bound) + (numbers[1] < bound) + (numbers[2] < bound) +
           (numbers[3] < bound) + (numbers[4] < bound) + (numbers[5] < bound) +
           (numbers[6] < bound) + (numbers[7] < bound);
}

/* Where the group begins in which the heads that are not below `head` begin, or at whose end they
 * do. Asks for the lines that a search looks at next, both at once. */
static inline size_t enter_group(const struct tree_node *node, uint64_t head)
{
    size_t below_count = count_below(node->samples, head);
    size_t from = below_count > 0 ? (below_count - 1) * TREE_GROUP_HEADS : 0;
    __builtin_prefetch(node->heads + from);
    if (node->level > 0)
        __builtin_prefetch(node->children + from);
    else
        __builtin_prefetch(node->keys + from);
    return from;
}

/* The first head that is not below `head`. */
static inline size_t search_head(const struct tree_node *node, uint64_t head)
{
    size_t from = enter_group(node, head);
    return from + count_below(node->heads + from, head);
}

/* Among keys with equal heads, which can go on differently behind it, or end within it. */
static size_t search_equal_heads(const struct tree_node *node, struct bytes key, size_t from,
                                 bool *out_is_equal)
{
    uint64_t head = node->heads[from];
    size_t to = from + 1;
    if (to < node->keys_count && node->heads[to] == head)
        to = head == UINT64_MAX ? node->keys_count : search_head(node, head + 1);
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        int order = bytes_compare(key_at(node, middle), key);
        if (order == 0) {
            *out_is_equal = true;
            return middle;
        }
        if (order < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

size_t tree_node_search(const struct tree_node *node, struct bytes key, bool *out_is_equal)
{
    *out_is_equal = false;
    int order = compare_common(node, key);
    if (order != 0)
        return order < 0 ? 0 : node->keys_count;

    uint64_t head = head_of(key, node->common_bytes);
    size_t at = search_head(node, head);
    if (at == node->keys_count || node->heads[at] != head)
        return at;
    __builtin_prefetch((const char *)node->keys[at] + TREE_LINE_BYTES); /* where its key may be */
    return search_equal_heads(node, key, at, out_is_equal);
}

void tree_node_prefetch_inside(const struct tree_node *node, struct bytes key)
{
    if (key.count >= node->common_bytes)
        (void)enter_group(node, head_of(key, node->common_bytes));
}

size_t tree_node_guess(const struct tree_node *node, struct bytes key)
{
    if (key.count < node->common_bytes)
        return 0;
    return search_head(node, head_of(key, node->common_bytes));
}

/* ---- heads, samples and the common beginning ---- */

/* After the heads from `at` on have changed. */
static void refresh_samples(struct tree_node *node, size_t at)
{
    for (size_t group = at / TREE_GROUP_HEADS; group < TREE_GROUPS; group++)
        node->samples[group] = node->heads[group * TREE_GROUP_HEADS];
}

/* After keys from `keys_count` on have gone. */
static void clear_heads(struct tree_node *node, size_t keys_count)
{
    node->keys_count = (uint16_t)keys_count;
    memset(node->heads + keys_count, 0xff, sizeof node->heads - keys_count * sizeof *node->heads);
    refresh_samples(node, keys_count);
    if (keys_count == 0)
        node->common_bytes = 0;
}

static size_t common_bytes_of(const struct tree_node *node)
{
    if (node->keys_count == 0)
        return 0;
    /* Keys are in order: what the first and the last begin with, all do. */
    return common_prefix_bytes(key_at(node, 0), key_at(node, node->keys_count - 1u));
}

static void set_common(struct tree_node *node, size_t common_bytes)
{
    node->common_bytes = (uint32_t)common_bytes;
    if (common_bytes != 0)
        memcpy(node->common, key_at(node, 0).data, MIN(common_bytes, (size_t)TREE_COMMON_BYTES));
    for (size_t i = 0; i < node->keys_count; i++)
        node->heads[i] = head_of(key_at(node, i), common_bytes);
    clear_heads(node, node->keys_count);
    refresh_samples(node, 0);
}

/* After keys have gone, the rest may have more in common. */
static void grow_common(struct tree_node *node)
{
    size_t common_bytes = common_bytes_of(node);
    if (common_bytes > node->common_bytes)
        set_common(node, common_bytes);
}

/* Does the key at `at` begin as the others do? */
static bool begins_alike(const struct tree_node *node, size_t at)
{
    struct bytes key = key_at(node, at);
    if (key.count < node->common_bytes)
        return false;
    if (node->common_bytes <= TREE_COMMON_BYTES)
        return memcmp(key.data, node->common, node->common_bytes) == 0;
    return memcmp(key.data, key_at(node, at == 0 ? 1 : 0).data, node->common_bytes) == 0;
}

/* After a key has come to `at`. */
static void fit_common(struct tree_node *node, size_t at)
{
    if (node->keys_count == 1)
        set_common(node, key_at(node, at).count);
    else if (begins_alike(node, at))
        node->heads[at] = head_of(key_at(node, at), node->common_bytes);
    else
        set_common(node, common_bytes_of(node));
}

/* ---- edits ---- */

void tree_node_insert(struct tree_node *node, size_t at, struct tree_item *key,
                      struct tree_node *child)
{
    REQUIRE(node->keys_count < TREE_NODE_KEYS);
    REQUIRE(at <= node->keys_count);
    REQUIRE((node->level == 0) == (child == NULL));

    size_t behind_count = node->keys_count - at;
    memmove(node->heads + at + 1, node->heads + at, behind_count * sizeof *node->heads);
    memmove(node->keys + at + 1, node->keys + at, behind_count * sizeof *node->keys);
    node->keys[at] = key;
    if (child != NULL) {
        memmove(node->children + at + 2, node->children + at + 1,
                behind_count * sizeof *node->children);
        node->children[at + 1] = child;
    }
    node->keys_count++;
    fit_common(node, at);
    refresh_samples(node, at);
}

void tree_node_remove(struct tree_node *node, size_t at)
{
    REQUIRE(at < node->keys_count);
    size_t behind_count = node->keys_count - at - 1;
    memmove(node->heads + at, node->heads + at + 1, behind_count * sizeof *node->heads);
    memmove(node->keys + at, node->keys + at + 1, behind_count * sizeof *node->keys);
    if (node->level > 0)
        memmove(node->children + at + 1, node->children + at + 2,
                behind_count * sizeof *node->children);
    clear_heads(node, node->keys_count - 1u);
    refresh_samples(node, at);
}

void tree_node_set_key(struct tree_node *node, size_t at, struct tree_item *key)
{
    REQUIRE(at < node->keys_count);
    node->keys[at] = key;
    fit_common(node, at);
    refresh_samples(node, at);
}

void tree_node_fill(struct tree_node *node, struct tree_item *const *keys, size_t keys_count,
                    struct tree_node *const *children)
{
    REQUIRE(keys_count <= TREE_NODE_KEYS);
    REQUIRE((node->level == 0) == (children == NULL));
    node->keys_count = (uint16_t)keys_count;
    memcpy(node->keys, keys, keys_count * sizeof *keys);
    if (children != NULL)
        memcpy(node->children, children, (keys_count + 1) * sizeof *children);
    set_common(node, common_bytes_of(node));
}

struct tree_item *tree_node_split(struct tree_node *node, size_t at, struct tree_node *right)
{
    REQUIRE(right->keys_count == 0);
    REQUIRE(right->level == node->level);
    bool is_inner = node->level > 0;
    REQUIRE(is_inner ? at < node->keys_count : at <= node->keys_count);

    size_t from = is_inner ? at + 1 : at;
    size_t count = node->keys_count - from;
    memcpy(right->heads, node->heads + from, count * sizeof *right->heads);
    memcpy(right->keys, node->keys + from, count * sizeof *right->keys);
    if (is_inner)
        memcpy(right->children, node->children + from, (count + 1) * sizeof *right->children);
    right->keys_count = (uint16_t)count;
    if (count != 0) {
        right->common_bytes = node->common_bytes;
        memcpy(right->common, node->common, sizeof right->common);
    }
    clear_heads(node, at);
    refresh_samples(right, 0);
    grow_common(right);
    grow_common(node);
    return is_inner ? node->keys[at] : NULL;
}
