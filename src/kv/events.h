/* Events: the row of all versions that the kept revisions have made, in the order of revision, then
 * key. A ring that grows; its members have numbers without gaps.
 *
 * Ownership    borrows the items */
#ifndef MINIKV_KV_EVENTS_H
#define MINIKV_KV_EVENTS_H

#include "kv/item.h"

struct events {
    const struct item **row; /* owned: the one with number n is at n & (capacity - 1) */
    size_t capacity;         /* 0, or a power of two */
    uint64_t first;          /* number of the oldest; from 1 */
    uint64_t end;            /* of the next one to come */
};

void events_init(struct events *events);
void events_release(struct events *events);
void events_push(struct events *events, const struct item *item);
/* Takes the oldest one off. Requires that there is one. */
const struct item *events_pop(struct events *events);
/* Puts the newest `count` in the order of revision, then key. */
void events_sort_newest(struct events *events, uint64_t count);
/* The number of the first one of that revision or later; `end` if there is none. */
uint64_t events_find(const struct events *events, uint64_t revision);

static inline uint64_t events_count(const struct events *events)
{
    return events->end - events->first;
}

/* Requires that it is there. */
static inline const struct item *events_at(const struct events *events, uint64_t number)
{
    return events->row[number & (events->capacity - 1)];
}

#endif
