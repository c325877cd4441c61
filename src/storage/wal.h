/* Write-ahead log: the durable copy of the Raft log and of term and vote.
 *
 * Appending only queues; what one sync made durable is reported by on_durable. One batch (a
 * "frame") is in flight at a time: whatever arrives meanwhile goes into the next (group commit).
 *
 *      segment:   …0001.log (full)   |   …0002.log (active)   |   spare-0000 (prepared)
 *      frames:    [f1][f2][f3]…      |   [f7][f8]░░ in flight │
 *                                             durable ^
 *
 * Invariants   W1 synced bytes are never rewritten; a conflict is a later record with the same
 *                 index, which supersedes all from there on
 *              W2 on_durable names (term, index) in the order of wal_append
 *              W3 a failed write or sync is final: on_failed once, and nothing is durable after it.
 *                 A frame that finds no room has not failed: it waits, and all behind it, and is
 *                 written again, as it was, until there is some (FAULTS S10)
 *              W4 entries that are gone from the front are covered by a durable snapshot mark
 * Ownership    the wal owns its files; entries are copied when they are appended
 * Limits       LIMIT_WAL_QUEUE_BYTES, LIMIT_WAL_FRAME_BYTES, WAL_SEGMENT_BYTES_*
 * Calling      the loop's thread; callbacks may call anything here but wal_close
 * Format       docs/formats/wal.md */
#ifndef MINIKV_STORAGE_WAL_H
#define MINIKV_STORAGE_WAL_H

#include "env/env.h"
#include "types/entry.h"
#include "types/ids.h"

struct wal;

struct wal_options {
    const char *directory;  /* relative to the data directory: "wal" */
    uint64_t segment_bytes; /* multiple of 4 KiB, at least WAL_SEGMENT_BYTES_MIN */
    uint64_t owner[2];      /* cluster id and data-directory identity; a log of others is refused */
    time_us idle_seal;      /* an empty frame after this long without appends; 0: never */
    bool must_exist;        /* no log at all is lost data (ST_CORRUPT), not a fresh start */
};

struct wal_callbacks {
    /* Everything queued by the wal_append that returned `sequence`, and before, is on disk. */
    void (*on_durable)(void *ctx, uint64_t sequence);
    /* W3. The node must stop. ST_IO, or ST_NO_SPACE when the name of the next segment found no
     * room. Appends of before that stay good; a restart with room goes on. */
    void (*on_failed)(void *ctx, enum status status);
    void *ctx;
    /* wal_stats.is_out_of_space has changed. May be NULL. */
    void (*on_room)(void *ctx, bool is_out_of_space);
    /* Asked when a write begins: whether nobody but who waits for it waits for the loop, which may
     * then do it itself. NULL: never. */
    bool (*may_block)(void *ctx);
};

/* What recovery found. */
struct wal_recovered {
    struct hard_state hard_state;
    raft_index commit;        /* the highest commit index any frame was built with; a lower bound */
    struct entry_id last;     /* or the mark behind which the log began anew; {0,0}: empty */
    raft_index first;         /* oldest entry on disk; 0: none */
    uint64_t torn_bytes;      /* cut from the tail: never acknowledged */
    struct entry_id snapshot; /* the last mark; {0,0}: none */
};

/* Recovers what is there, or creates an empty log. Blocks; reads every byte once.
 *
 * on_entry  called for each record of type entry in file order; a superseded one is followed by its
 *           successor with the same index, and those outside of `first` … `last` count for nothing
 *           (the log has begun anew). The entry is borrowed: entry_ref to keep it. May be NULL
 * return    ST_OK; ST_CORRUPT with file and offset in `error`: synced data is damaged, nothing was
 *           changed; ST_FORMAT: another version or another owner; ST_IO; ST_NO_SPACE */
MUST_CHECK enum status wal_open(struct env *env, const struct wal_options *options,
                                const struct wal_callbacks *callbacks,
                                void (*on_entry)(void *ctx, struct entry *entry), void *ctx,
                                struct wal **out_wal, struct wal_recovered *out_recovered,
                                struct errtext *error);
/* Drops what is queued and not written; NULL is a no-op. While a write is under way the memory is
 * kept until the env reports it; no callback of the log runs. */
void wal_close(struct wal *wal);

/* Queues a hard state (may be NULL) and `count` consecutive entries (may be 0), written together,
 * the hard state first. The write starts in an env task, so that all appends of one turn share a
 * frame. The first index may be that of an entry appended before, which it then supersedes with
 * all behind it; it may not leave one out.
 *
 * commit   the highest index known committed, stored as a hint for the next start
 * return   ST_OK and `out_sequence`; ST_BUSY with nothing queued when LIMIT_WAL_QUEUE_BYTES would
 *          be passed; ST_IO after on_failed */
MUST_CHECK enum status wal_append(struct wal *wal, const struct hard_state *hard_state,
                                  struct entry *const *entries, size_t entries_count,
                                  raft_index commit, uint64_t *out_sequence);

/* Queues the mark of a snapshot that is durable, no older than the one marked last. Where the log,
 * durable or not, does not hold that very entry, it begins anew behind it: all that was appended is
 * superseded, and the next append must begin at snapshot.index + 1.
 *
 * return   as wal_append; on_durable reports it as it does an append */
MUST_CHECK enum status wal_mark(struct wal *wal, struct entry_id snapshot, uint64_t *out_sequence);
/* Gives up the segments that hold only entries in front of `first_kept`, oldest first, one at a
 * time with pauses between; the active one always stays. Their files become spares, a few, or are
 * removed. `first_kept` is at most the entry behind the last durable mark. What cannot be renamed
 * is tried again at the next call; a directory that cannot be synced is W3. */
void wal_compact(struct wal *wal, raft_index first_kept);

/* Reads entries back from disk, the newest record of each index, from `first` on: at least one
 * when `first` is durable, then as many as fit `bytes_max`. Blocks. For slow peers and for
 * applying after a restart. Trouble behind the first entry is told by the call that begins there.
 *
 * out_entries  an array of `entries_max`; each entry comes with a reference for the caller
 * return       ST_OK; ST_NOT_FOUND when `first` is not in the log on disk; ST_IO; ST_CORRUPT */
MUST_CHECK enum status wal_read(struct wal *wal, raft_index first, size_t bytes_max,
                                struct entry **out_entries, size_t entries_max, size_t *out_count,
                                struct errtext *error);

struct wal_stats {
    uint64_t frames_count, syncs_count, bytes_written, entries_count;
    time_us sync_time_sum; /* from write start to durable */
    time_us sync_time_max;
    uint64_t segments_count, spares_count; /* spares that are ready */
    size_t queued_bytes;
    uint64_t log_bytes;       /* of header and frames, all segments together */
    raft_index first, last;   /* on disk; 0: none */
    struct entry_id snapshot; /* the last durable mark */
    /* No spare could be prepared, while appends still fit the active segment; or they do not. */
    bool is_out_of_space;
    bool is_waiting_for_room; /* the latter: nothing that is appended becomes durable */
};
void wal_stats(const struct wal *wal, struct wal_stats *out_stats);
/* Bytes on disk from where the entry behind `index` is to the end, up to WAL_MAP_STEP_BYTES and a
 * frame too many; 0: nothing is behind it. */
uint64_t wal_bytes_behind(const struct wal *wal, raft_index index);

#endif
