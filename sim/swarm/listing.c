#include "sim/swarm/listing.h"

#include "base/check.h"
#include "base/mem.h"

enum { VALUE_BYTES = 64 };

const char *const listing_prefixes[LISTING_PREFIXES] = {"leased-", "pair-", "plot/", "register-"};

uint64_t listing_basis(void)
{
    return UINT64_C(0xcbf29ce484222325);
}

/* FNV-1a. */
static uint64_t mix(uint64_t hash, const void *data, size_t count)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static uint64_t mix_item(uint64_t hash, const struct kv_item *item, unsigned nth)
{
    uint64_t numbers[] = {
        item->create_revision, item->mod_revision, item->version, item->lease, nth,
        item->key.count,       item->value.count};
    hash = mix(hash, numbers, sizeof numbers);
    return mix(hash, item->key.data, item->key.count);
}

uint64_t listing_add(uint64_t listing, const struct kv_item *item)
{
    listing = mix_item(listing, item, 0);
    return mix(listing, item->value.data, MIN(item->value.count, (size_t)VALUE_BYTES));
}

uint64_t listing_add_event(uint64_t events, const struct kv_item *item, unsigned nth)
{
    events = mix_item(events, item, nth);
    return mix(events, item->value.data, item->value.count);
}

uint64_t *listing_hash_at(uint64_t **row, size_t *capacity, uint64_t revision)
{
    enum { MORE = 256 };
    size_t before = *capacity;
    if (revision >= before) {
        *capacity = MAX(before * 2, (size_t)revision + MORE);
        *row = mem_realloc(*row, *capacity * sizeof **row);
        memset(*row + before, 0, (*capacity - before) * sizeof **row);
    }
    return &(*row)[revision];
}
