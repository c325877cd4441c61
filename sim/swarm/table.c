#include "sim/swarm/table.h"

#include "base/check.h"
#include "base/mem.h"

enum { SLOTS_MIN = 256 };

/* FNV-1a: short keys, nobody hostile. */
static uint64_t hash_of(struct bytes key)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < key.count; i++)
        hash = (hash ^ key.data[i]) * UINT64_C(1099511628211);
    return hash ^ hash >> 29;
}

static struct table_slot *slot_of(const struct table *table, struct bytes key, uint64_t hash)
{
    for (size_t at = hash % table->slots_count;; at = (at + 1) % table->slots_count) {
        struct table_slot *slot = &table->slots[at];
        if (slot->key == NULL ||
            (slot->hash == hash && bytes_equal(bytes_of(slot->key, slot->key_bytes), key)))
            return slot;
    }
}

static void grow(struct table *table)
{
    struct table old = *table;
    table->slots_count = MAX(old.slots_count * 2, (size_t)SLOTS_MIN);
    table->slots = mem_alloc_array(table->slots_count, sizeof table->slots[0]);
    for (size_t i = 0; i < old.slots_count; i++) {
        const struct table_slot *slot = &old.slots[i];
        if (slot->key != NULL)
            *slot_of(table, bytes_of(slot->key, slot->key_bytes), slot->hash) = *slot;
    }
    mem_free(old.slots);
}

void table_release(struct table *table)
{
    for (size_t i = 0; i < table->slots_count; i++)
        mem_free(table->slots[i].key);
    mem_free(table->slots);
    *table = (struct table){0};
}

size_t table_find(const struct table *table, struct bytes key, size_t otherwise)
{
    if (table->slots_count == 0)
        return otherwise;
    const struct table_slot *slot = slot_of(table, key, hash_of(key));
    return slot->key != NULL ? slot->value : otherwise;
}

void table_add(struct table *table, struct bytes key, size_t value)
{
    if (table->count * 2 >= table->slots_count)
        grow(table);
    uint64_t hash = hash_of(key);
    struct table_slot *slot = slot_of(table, key, hash);
    REQUIRE(slot->key == NULL);
    *slot = (struct table_slot){
        .key = mem_alloc(key.count + 1), .key_bytes = key.count, .hash = hash, .value = value};
    if (key.count > 0)
        memcpy(slot->key, key.data, key.count);
    table->count++;
}
