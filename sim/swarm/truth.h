/* Truth: what is on a machine's disk for certain, whatever its node believes.
 *
 * It watches the bytes that go to the log and what is synced, and reads term, vote, entries and
 * marks out of them with the format alone; of a snapshot it reads the file that is on disk. So it
 * can say whether a node counts, or tells others, what a power failure could still take away.
 *
 * An entry is on disk if its record is in the log, or if a whole snapshot stands for it: nothing
 * but what was committed goes into one, so its index is enough to know it by. */
#ifndef MINIKV_SIM_SWARM_TRUTH_H
#define MINIKV_SIM_SWARM_TRUTH_H

#include "raft/raft.h"
#include "sim/world.h"
#include "storage/wal_format.h"

/* A record of the log that has been written and not yet synced. */
struct truth_pending {
    enum wal_record_type type;
    bool waits_for_directory; /* the first frame of a segment: the name counts too */
    struct hard_state hard_state;
    struct entry_id entry;
    struct wal_mark mark;
};

/* A configuration that stands in the log. */
struct truth_config {
    raft_index index;
    struct config config;
};

struct truth {
    struct hard_state hard_state;
    raft_term *terms; /* of entry 1 …, as on disk; owned */
    raft_index last;  /* 0: none */
    size_t terms_capacity;
    struct truth_pending *pending; /* owned */
    size_t pending_count, pending_capacity;
    struct truth_config *configs; /* as written, in rising index; owned */
    size_t configs_count;
    struct entry_id snapshot; /* the newest whole one on disk; index 0: none */
    struct entry_id *named;   /* files that have been given their name since; owned */
    size_t named_count;
    bool must_look;         /* names have been made to last: truth_look */
    bool has_failed;        /* a sync of the log, in this life … */
    bool has_gone_on;       /* … and later it was synced again */
    bool is_starting;       /* what was pending is not settled by what a start syncs */
    uint64_t segment, salt; /* of the segment being written */
    char path[64];          /* of the last segment read: after a start, the one that goes on */
    char frame_path[64];    /* of the last frame written */
};

void truth_release(struct truth *truth);
struct truth truth_copy(const struct truth *truth);
/* A node has started on this disk. What had been written and not synced when the machine stopped
 * may have lasted or not; the node has found out. */
void truth_adopt(struct truth *truth, struct world *world, unsigned machine,
                 const struct raft *raft);
/* An event of this machine's disk. */
void truth_on_event(struct truth *truth, const struct world_event *event);
/* Reads snapshots whose names have come to last since the last look. */
void truth_look(struct truth *truth, struct world *world, unsigned machine);
/* Whether this entry is on disk. */
bool truth_has(const struct truth *truth, struct entry_id entry);
/* Everything up to here is on disk, in the log or in a snapshot. */
raft_index truth_end(const struct truth *truth);
/* The same, read from what the disk holds after a start: the last segment, as it stands there.
 * False: it holds nothing to go by. */
bool truth_read_end(const struct truth *truth, struct world *world, unsigned machine,
                    raft_index *out_end);
/* NULL: none is in the log at this index. */
const struct config *truth_config_at(const struct truth *truth, raft_index index);

#endif
