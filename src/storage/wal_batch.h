/* Wal batch: one frame while it is being filled, and the queue of those that wait for the disk.
 *
 * Appending encodes straight into the newest batch; that is the one copy an entry gets. Two
 * batches take turns, one in flight and one filling; only a backlog makes more.
 *
 * Ownership    the queue owns its batches; one taken for writing is given back when done */
#ifndef MINIKV_STORAGE_WAL_BATCH_H
#define MINIKV_STORAGE_WAL_BATCH_H

#include "base/list.h"
#include "storage/wal_format.h"

/* Entries with consecutive indexes, one after the other in the frame. */
struct wal_run {
    raft_index first;
    uint64_t count;
    uint32_t record_offset; /* of the first, behind the frame's header */
    bool is_break;          /* supersedes: does not follow the entry record before it */
};

struct wal_batch {
    struct buf bytes;     /* room for a segment header, frame header, records, padding */
    struct wal_run *runs; /* owned */
    size_t runs_count;
    size_t runs_capacity;
    struct list link;
    uint32_t records_count;
    uint64_t entries_count;
    raft_index commit;
    uint64_t sequence; /* the last append that ends in here; 0: none does */
    bool has_hard_state;
    struct hard_state hard_state; /* the last one in here */
    struct entry_id last;     /* the last entry in here, or a mark that begins anew; {0,0}: none */
    struct entry_id snapshot; /* the last mark in here; {0,0}: none */
    raft_index highest;       /* of all entries in here, superseded or not */
};

struct wal_queue {
    struct list waiting; /* of struct wal_batch; the last one is filling */
    struct list idle;
    size_t idle_count;
    size_t bytes; /* of records waiting */
    bool was_cut; /* the next entry supersedes */
};

void wal_queue_init(struct wal_queue *queue);
void wal_queue_release(struct wal_queue *queue);
bool wal_queue_is_empty(const struct wal_queue *queue);
void wal_queue_put_hard_state(struct wal_queue *queue, const struct hard_state *hard_state);
void wal_queue_put_mark(struct wal_queue *queue, const struct wal_mark *mark);
void wal_queue_put_entry(struct wal_queue *queue, const struct entry *entry);
/* What was put last ends the append `sequence`. */
void wal_queue_end_append(struct wal_queue *queue, uint64_t sequence, raft_index commit);
/* Entries waiting from `from` on are superseded: they are written, but never read back. */
void wal_queue_cut(struct wal_queue *queue, raft_index from);
/* The oldest batch; an empty one when nothing waits. Give it back with wal_queue_recycle. */
struct wal_batch *wal_queue_take(struct wal_queue *queue);
void wal_queue_recycle(struct wal_queue *queue, struct wal_batch *batch);

uint32_t wal_batch_records_bytes(const struct wal_batch *batch);
void wal_batch_cut(struct wal_batch *batch, raft_index from);
void wal_batch_free(struct wal_batch *batch);

#endif
