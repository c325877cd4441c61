/* Wal rig: a log on a disk env, next to a model of all that was ever asked of it.
 *
 * The model is a list of records in the order of wal_append and wal_mark. What recovery finds must
 * be a prefix of it that holds every acknowledged record: nothing acknowledged is lost, nothing is
 * invented. Of its front may be missing what compaction was allowed to give up. */
#ifndef MINIKV_TESTS_SUPPORT_WAL_RIG_H
#define MINIKV_TESTS_SUPPORT_WAL_RIG_H

#include "base/prng.h"
#include "storage/wal.h"
#include "support/disk_env.h"

struct rig_record {
    bool is_entry, is_mark;
    bool begins_anew;   /* of a mark */
    struct entry_id id; /* of an entry or a mark */
    uint32_t checksum;
    uint32_t data_bytes;
    struct hard_state hard_state;
    raft_index commit; /* highest given up to here */
};

struct rig_append {
    uint64_t sequence;
    size_t records_end;
};

struct wal_rig {
    struct env *env;
    struct wal *wal; /* NULL: closed */
    struct wal_options options;
    struct wal_recovered recovered;
    struct errtext error;

    struct rig_record *records;
    size_t records_count, records_capacity;
    size_t acked_count;         /* records that must survive */
    struct rig_append *appends; /* of this life, not yet durable */
    size_t appends_count, appends_capacity;
    uint64_t sequence_durable;
    enum status failure;
    uint32_t failures_count;
    uint32_t room_changes_count; /* of this life */

    /* Where the model stands. */
    struct hard_state hard_state;
    struct entry_id last, marked;
    raft_index base; /* the log has begun anew behind this */
    raft_index commit;
    raft_index first_kept; /* the highest that compaction was asked for */

    struct rig_record *found; /* the entries that recovery gave */
    size_t found_count, found_capacity;
};

enum {
    RIG_SEGMENT_BYTES = 128 * 1024,
    RIG_IDLE_SEAL_US = 50000,
    RIG_SETTLE_US = 4000000 /* longer than the log waits before it asks for room again */
};

void wal_rig_init(struct wal_rig *rig, struct env *env);
/* Frees the log and the env. */
void wal_rig_release(struct wal_rig *rig);
/* Opens, and checks what was found against the model when that succeeds. What was found becomes
 * what must survive. */
enum status wal_rig_open(struct wal_rig *rig);
void wal_rig_close(struct wal_rig *rig);
void wal_rig_kill(struct wal_rig *rig);      /* the process dies */
void wal_rig_cut_power(struct wal_rig *rig); /* the machine */

/* An entry of `data_bytes` random bytes. Gives one reference. */
struct entry *wal_rig_entry(uint64_t seed, struct entry_id id, size_t data_bytes);
/* Appends `count` entries from `first` on, and a hard state if not NULL. */
enum status wal_rig_append(struct wal_rig *rig, const struct hard_state *hard_state,
                           struct entry_id first, size_t count, size_t data_bytes);
/* Anything a follower or leader may do: entries, a new term, a conflict. */
enum status wal_rig_append_random(struct wal_rig *rig, struct prng *prng);
enum status wal_rig_mark(struct wal_rig *rig, struct entry_id snapshot);
/* The mark of a snapshot of its own, or of one that was fetched. */
enum status wal_rig_mark_random(struct wal_rig *rig, struct prng *prng);
/* The last mark that is durable; {0,0}: none. */
struct entry_id wal_rig_durable_mark(const struct wal_rig *rig);
void wal_rig_compact(struct wal_rig *rig, raft_index first_kept);
/* Steps until all that was appended is durable; false when the log or the process died first, or
 * waits for room. */
bool wal_rig_settle(struct wal_rig *rig);

/* Reads everything back and compares it with the durable part of the model. Requires that nothing
 * is waiting. Returns NULL, or what is wrong. */
const char *wal_rig_compare(struct wal_rig *rig, struct prng *prng);

#endif
