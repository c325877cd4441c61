/* Table: from bytes to a number, for the things that a run gives names to. Open addressing; the
 * order of insertion is the only order there is. */
#ifndef MINIKV_SIM_SWARM_TABLE_H
#define MINIKV_SIM_SWARM_TABLE_H

#include "base/bytes.h"

struct table {
    struct table_slot *slots; /* owned */
    size_t slots_count, count;
};

struct table_slot {
    uint8_t *key; /* owned; NULL: free */
    size_t key_bytes;
    uint64_t hash;
    size_t value;
};

void table_release(struct table *table); /* an empty one is all zeros */
/* The value of `key`; `otherwise` when it has none. */
size_t table_find(const struct table *table, struct bytes key, size_t otherwise);
/* Requires a key that has no value yet. */
void table_add(struct table *table, struct bytes key, size_t value);

#endif
