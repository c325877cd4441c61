/* Hash index: finds the place of an item in its owner's array by a hash of the item.
 *
 * Holds no items: 8 bytes for each, and the slots that keep it sparse. Open addressing with linear
 * probing; nothing is ever removed. */
#ifndef MINIKV_AUDIT_HASH_INDEX_H
#define MINIKV_AUDIT_HASH_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HASH_INDEX_NONE UINT32_MAX

struct hash_slot {
    uint32_t hash;
    uint32_t place; /* of the item, plus 1; 0: free */
};

struct hash_index {
    struct hash_slot *slots; /* owned */
    size_t slots_count;      /* a power of two */
    size_t used_count;
};

void hash_index_init(struct hash_index *index);
void hash_index_release(struct hash_index *index);
/* The place for which `is_it` says yes, asked for those with this hash; HASH_INDEX_NONE. */
uint32_t hash_index_find(const struct hash_index *index, uint64_t hash,
                         bool (*is_it)(const void *ctx, uint32_t place), const void *ctx);
/* Requires that it is not in there. */
void hash_index_add(struct hash_index *index, uint64_t hash, uint32_t place);

#endif
