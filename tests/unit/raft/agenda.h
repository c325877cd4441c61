/* Agenda: what is to happen in a simulated cluster, by time; equal times in the order of entry. */
#ifndef MINIKV_TESTS_UNIT_RAFT_AGENDA_H
#define MINIKV_TESTS_UNIT_RAFT_AGENDA_H

#include "unit/raft/world_disk.h"

enum { AGENDA_MAX = 65536 };

enum happening_type {
    HAPPENING_PACKET,
    HAPPENING_SYNC,
    HAPPENING_LOAD,
    HAPPENING_APPLY,
    HAPPENING_LINK,
    HAPPENING_INSTALL,
    HAPPENING_SNAPSHOT
};

struct happening {
    time_us at;
    uint64_t order; /* equal times: as they were queued */
    enum happening_type type;
    struct replica *replica; /* to whom */
    uint64_t life;           /* of the replica; a later one ignores it */
    union {
        struct {
            struct packet *packet;
            uint64_t epoch; /* of the link */
        };
        struct raft_load load;
        struct entry_id offered;
        struct {
            node_id peer;
            bool is_up, is_dead;
        } link;
    };
};

struct agenda {
    struct happening *heap; /* owned, AGENDA_MAX; the first is the next */
    size_t count;
    uint64_t order;
};

static inline void agenda_init(struct agenda *agenda)
{
    *agenda = (struct agenda){0};
    agenda->heap = mem_alloc_array(AGENDA_MAX, sizeof *agenda->heap);
}

static inline time_us agenda_next_at(const struct agenda *agenda)
{
    return agenda->count > 0 ? agenda->heap[0].at : TIME_NEVER;
}

static inline bool happens_before(const struct happening *a, const struct happening *b)
{
    return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static inline void agenda_push(struct agenda *agenda, struct happening happening)
{
    REQUIRE(agenda->count < AGENDA_MAX);
    happening.order = ++agenda->order;
    size_t at = agenda->count++;
    for (; at > 0 && happens_before(&happening, &agenda->heap[(at - 1) / 2]); at = (at - 1) / 2)
        agenda->heap[at] = agenda->heap[(at - 1) / 2];
    agenda->heap[at] = happening;
}

static inline struct happening agenda_pop(struct agenda *agenda)
{
    REQUIRE(agenda->count > 0);
    struct happening top = agenda->heap[0];
    struct happening moved = agenda->heap[--agenda->count];
    size_t at = 0;
    for (size_t child = 1; child < agenda->count; child = 2 * at + 1) {
        if (child + 1 < agenda->count &&
            happens_before(&agenda->heap[child + 1], &agenda->heap[child]))
            child++;
        if (!happens_before(&agenda->heap[child], &moved))
            break;
        agenda->heap[at] = agenda->heap[child];
        at = child;
    }
    agenda->heap[at] = moved;
    return top;
}

static inline void agenda_release(struct agenda *agenda)
{
    while (agenda->count > 0) {
        struct happening happening = agenda_pop(agenda);
        if (happening.type == HAPPENING_PACKET)
            packet_free(happening.packet);
    }
    mem_free(agenda->heap);
}

#endif
