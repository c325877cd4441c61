#include "kv/events.h"

#include "base/mem.h"

enum { EVENTS_CAPACITY_MIN = 16 };

void events_init(struct events *events)
{
    *events = (struct events){.first = 1, .end = 1};
}

void events_release(struct events *events)
{
    mem_free(events->row);
    events_init(events);
}

static void grow(struct events *events)
{
    size_t capacity = MAX(2 * events->capacity, (size_t)EVENTS_CAPACITY_MIN);
    const struct item **row = mem_alloc_array(capacity, sizeof(const struct item *));
    for (uint64_t number = events->first; number < events->end; number++)
        row[number & (capacity - 1)] = events_at(events, number);
    mem_free(events->row);
    events->row = row;
    events->capacity = capacity;
}

void events_push(struct events *events, const struct item *item)
{
    if (events_count(events) == events->capacity)
        grow(events);
    events->row[events->end++ & (events->capacity - 1)] = item;
}

const struct item *events_pop(struct events *events)
{
    REQUIRE(events_count(events) != 0);
    return events_at(events, events->first++);
}

/* ---- order ---- */

/* The revision at hand: items lie far apart. */
struct place {
    uint64_t revision;
    const struct item *item;
};

static bool is_in_order(const struct place *a, const struct place *b)
{
    if (a->revision != b->revision)
        return a->revision < b->revision;
    return bytes_compare(item_key(a->item), item_key(b->item)) < 0;
}

/* Two runs, one behind the other, into one. */
static void merge(const struct place *from, size_t left_count, size_t right_count, struct place *to)
{
    size_t left = 0, right = left_count, end = left_count + right_count;
    while (left < left_count || right < end) {
        bool takes_left =
            right == end || (left < left_count && is_in_order(&from[left], &from[right]));
        *to++ = from[takes_left ? left++ : right++];
    }
}

/* By merging. Gives the one of both rooms in which they stand at the end. */
static const struct place *sort(struct place *places, struct place *room, size_t count)
{
    for (size_t run = 1; run < count; run *= 2) {
        for (size_t at = 0; at < count; at += 2 * run) {
            size_t left_count = MIN(run, count - at);
            size_t right_count = MIN(run, count - at - left_count);
            merge(places + at, left_count, right_count, room + at);
        }
        struct place *swap = places;
        places = room;
        room = swap;
    }
    return places;
}

void events_sort_newest(struct events *events, uint64_t count)
{
    REQUIRE(count <= events_count(events));
    if (count < 2)
        return;
    uint64_t first = events->end - count;
    struct place *places = mem_alloc_array(2 * (size_t)count, sizeof *places);
    for (uint64_t i = 0; i < count; i++) {
        const struct item *item = events_at(events, first + i);
        places[i] = (struct place){.revision = item->mod_revision, .item = item};
    }
    const struct place *sorted = sort(places, places + count, (size_t)count);
    for (uint64_t i = 0; i < count; i++)
        events->row[(first + i) & (events->capacity - 1)] = sorted[i].item;
    mem_free(places);
}

uint64_t events_find(const struct events *events, uint64_t revision)
{
    uint64_t low = events->first, high = events->end;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (events_at(events, middle)->mod_revision < revision)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
