/* Audit replay: makes the state of one data directory anew from its log, judges every write on the
 * way, and keeps a step for each entry, to compare with the same entry elsewhere.
 *
 * Where the log has lost its front, the state begins with the newest snapshot of the directory. Of
 * what was before that only the snapshot tells, in its table of sessions. Where it has not, the
 * snapshot is held against the state made anew.
 *
 * Limits       none: 24 bytes for each entry, beside the state and what the judge needs */
#ifndef MINIKV_AUDIT_AUDIT_REPLAY_H
#define MINIKV_AUDIT_AUDIT_REPLAY_H

#include "audit/audit_judge.h"
#include "audit/audit_log.h"

/* One entry, and the state after it. */
struct audit_step {
    raft_term term;
    uint64_t digest;
    uint32_t checksum; /* of the entry */
    bool is_base;      /* the state was not made by this entry, and its checksum is unknown */
};

struct audit_replay {
    struct meta meta;
    struct audit_log log;
    struct audit_counts counts;
    struct audit_step *steps; /* owned; of the indexes from `first` on */
    size_t steps_count, steps_capacity;
    raft_index first;
    struct entry_id snapshot; /* the newest in the directory; {0,0}: none */
    bool is_behind_snapshot;  /* the state begins with it */
};

/* return   as audit_log_read; ST_CORRUPT also for a log that does not begin where the state does.
 *          To be released in every case */
MUST_CHECK enum status audit_replay_run(struct audit_replay *replay, struct env *env,
                                        const struct meta *meta, struct audit_report *report,
                                        struct errtext *error);
void audit_replay_release(struct audit_replay *replay);

raft_index audit_replay_last(const struct audit_replay *replay);
/* NULL when the log has no entry of this index. */
const struct audit_step *audit_replay_step(const struct audit_replay *replay, raft_index index);

#endif
