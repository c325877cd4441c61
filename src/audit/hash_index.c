#include "audit/hash_index.h"

#include "base/check.h"
#include "base/mem.h"

enum { SLOTS_FIRST = 64 };

void hash_index_init(struct hash_index *index)
{
    *index = (struct hash_index){.slots = mem_alloc_array(SLOTS_FIRST, sizeof *index->slots),
                                 .slots_count = SLOTS_FIRST};
}

void hash_index_release(struct hash_index *index)
{
    mem_free(index->slots);
    *index = (struct hash_index){0};
}

static size_t first_slot(const struct hash_index *index, uint32_t hash)
{
    return hash & (index->slots_count - 1);
}

uint32_t hash_index_find(const struct hash_index *index, uint64_t hash,
                         bool (*is_it)(const void *ctx, uint32_t place), const void *ctx)
{
    uint32_t wanted = (uint32_t)hash;
    for (size_t at = first_slot(index, wanted);; at = (at + 1) & (index->slots_count - 1)) {
        const struct hash_slot *slot = &index->slots[at];
        if (slot->place == 0)
            return HASH_INDEX_NONE;
        if (slot->hash == wanted && is_it(ctx, slot->place - 1))
            return slot->place - 1;
    }
}

static void put(struct hash_index *index, struct hash_slot slot)
{
    size_t at = first_slot(index, slot.hash);
    while (index->slots[at].place != 0)
        at = (at + 1) & (index->slots_count - 1);
    index->slots[at] = slot;
}

static void grow(struct hash_index *index)
{
    struct hash_index larger = {.slots_count = index->slots_count * 2,
                                .used_count = index->used_count};
    larger.slots = mem_alloc_array(larger.slots_count, sizeof *larger.slots);
    for (size_t i = 0; i < index->slots_count; i++)
        if (index->slots[i].place != 0)
            put(&larger, index->slots[i]);
    mem_free(index->slots);
    *index = larger;
}

void hash_index_add(struct hash_index *index, uint64_t hash, uint32_t place)
{
    REQUIRE(place < HASH_INDEX_NONE);
    if ((index->used_count + 1) * 4 > index->slots_count * 3)
        grow(index);
    put(index, (struct hash_slot){.hash = (uint32_t)hash, .place = place + 1});
    index->used_count++;
}
