/* Truth: what is on a machine's disk for certain, whatever its node believes.
 *
 * It watches the bytes that go to the log and what is synced, and reads term, vote and entries out
 * of them with the format alone. So it can say whether a node counts, or tells others, what a power
 * failure could still take away. */
#ifndef MINIKV_SIM_SWARM_TRUTH_H
#define MINIKV_SIM_SWARM_TRUTH_H

#include "raft/raft.h"
#include "sim/world.h"

/* A record of the log that has been written and not yet synced. */
struct truth_pending {
    bool is_hard_state, waits_for_directory; /* the first frame of a segment: the name counts too */
    struct hard_state hard_state;
    struct entry_id entry;
};

struct truth {
    struct hard_state hard_state;
    raft_term *terms; /* of entry 1 …, as on disk; owned */
    raft_index last;  /* 0: none */
    size_t terms_capacity;
    struct truth_pending *pending; /* owned */
    size_t pending_count, pending_capacity;
    bool is_starting;       /* what was pending is not settled by what a start syncs */
    uint64_t segment, salt; /* of the segment being written */
    char path[64];          /* of the last segment read: after a start, the one that goes on */
};

void truth_release(struct truth *truth);
/* A node has started on this disk. What had been written and not synced when the machine stopped
 * may have lasted or not; the node has found out. */
void truth_adopt(struct truth *truth, struct world *world, unsigned machine,
                 const struct raft *raft);
/* An event of this machine's disk. */
void truth_on_event(struct truth *truth, const struct world_event *event);
/* Whether this entry is on disk. */
bool truth_has(const struct truth *truth, struct entry_id entry);

#endif
