#include "storage/wal_batch.h"

#include "base/mem.h"

enum {
    BATCH_HEAD_BYTES = WAL_BLOCK_BYTES + WAL_FRAME_HEADER_BYTES,
    BATCHES_IDLE_MAX = 2,
    RUNS_MIN = 4
};

static struct wal_batch *batch_of(struct list *link)
{
    return CONTAINER_OF(link, struct wal_batch, link);
}

static struct wal_batch *batch_new(void)
{
    struct wal_batch *batch = mem_alloc(sizeof *batch);
    /* Where the disk can take it from; what is never filled costs no memory. */
    buf_init_aligned(&batch->bytes, WAL_BLOCK_BYTES + LIMIT_WAL_FRAME_BYTES, WAL_BLOCK_BYTES);
    buf_put_zeros(&batch->bytes, BATCH_HEAD_BYTES);
    list_init(&batch->link);
    return batch;
}

void wal_batch_free(struct wal_batch *batch)
{
    if (batch == NULL)
        return;
    buf_release(&batch->bytes);
    mem_free(batch->runs);
    mem_free(batch);
}

uint32_t wal_batch_records_bytes(const struct wal_batch *batch)
{
    INVARIANT(batch->bytes.count >= BATCH_HEAD_BYTES);
    return (uint32_t)(batch->bytes.count - BATCH_HEAD_BYTES);
}

void wal_queue_init(struct wal_queue *queue)
{
    *queue = (struct wal_queue){0};
    list_init(&queue->waiting);
    list_init(&queue->idle);
}

static void free_all(struct list *batches)
{
    while (!list_is_empty(batches)) {
        struct wal_batch *batch = batch_of(batches->next);
        list_remove(&batch->link);
        wal_batch_free(batch);
    }
}

void wal_queue_release(struct wal_queue *queue)
{
    free_all(&queue->waiting);
    free_all(&queue->idle);
    queue->idle_count = 0;
    queue->bytes = 0;
}

bool wal_queue_is_empty(const struct wal_queue *queue)
{
    return list_is_empty(&queue->waiting);
}

static struct wal_batch *take_idle(struct wal_queue *queue)
{
    if (list_is_empty(&queue->idle))
        return batch_new();
    struct wal_batch *batch = batch_of(queue->idle.next);
    list_remove(&batch->link);
    queue->idle_count--;
    return batch;
}

/* The batch that takes a record of this many bytes: the newest, or a new one when that is full. */
static struct wal_batch *batch_for(struct wal_queue *queue, size_t record_bytes)
{
    REQUIRE(record_bytes > 0);
    if (!list_is_empty(&queue->waiting)) {
        struct wal_batch *newest = batch_of(queue->waiting.prev);
        uint64_t records_bytes = wal_batch_records_bytes(newest) + (uint64_t)record_bytes;
        if (wal_format_frame_bytes(records_bytes) <= LIMIT_WAL_FRAME_BYTES)
            return newest;
    }
    struct wal_batch *batch = take_idle(queue);
    ENSURE(wal_batch_records_bytes(batch) == 0);
    list_push_back(&queue->waiting, &batch->link);
    return batch;
}

void wal_queue_put_hard_state(struct wal_queue *queue, const struct hard_state *hard_state)
{
    size_t record_bytes = wal_format_record_bytes(WAL_HARD_STATE_BYTES);
    struct wal_batch *batch = batch_for(queue, record_bytes);
    wal_format_put_hard_state(hard_state, &batch->bytes);
    INVARIANT(!batch->bytes.is_full);
    batch->records_count++;
    batch->has_hard_state = true;
    batch->hard_state = *hard_state;
    queue->bytes += record_bytes;
}

void wal_queue_put_mark(struct wal_queue *queue, const struct wal_mark *mark)
{
    size_t record_bytes = wal_format_record_bytes(WAL_MARK_BYTES);
    struct wal_batch *batch = batch_for(queue, record_bytes);
    wal_format_put_mark(mark, &batch->bytes);
    INVARIANT(!batch->bytes.is_full);
    batch->records_count++;
    batch->snapshot = mark->snapshot;
    if (mark->begins_anew)
        batch->last = mark->snapshot;
    queue->bytes += record_bytes;
}

/* The run that an entry of this index continues, or a new one. */
static void note_entry(struct wal_batch *batch, raft_index index, bool is_break)
{
    if (batch->runs_count > 0 && !is_break) {
        struct wal_run *run = &batch->runs[batch->runs_count - 1];
        INVARIANT(run->first + run->count == index);
        run->count++;
        return;
    }
    if (batch->runs_count == batch->runs_capacity) {
        batch->runs_capacity = MAX(batch->runs_capacity * 2, (size_t)RUNS_MIN);
        batch->runs = mem_realloc(batch->runs, batch->runs_capacity * sizeof *batch->runs);
    }
    batch->runs[batch->runs_count++] =
        (struct wal_run){.first = index,
                         .count = 1,
                         .record_offset = wal_batch_records_bytes(batch),
                         .is_break = is_break};
}

void wal_queue_put_entry(struct wal_queue *queue, const struct entry *entry)
{
    size_t record_bytes = wal_format_record_bytes(entry_bytes(entry));
    struct wal_batch *batch = batch_for(queue, record_bytes);
    note_entry(batch, entry->id.index, queue->was_cut);
    queue->was_cut = false;
    wal_format_put_entry(entry, &batch->bytes);
    INVARIANT(!batch->bytes.is_full);
    batch->records_count++;
    batch->entries_count++;
    batch->last = entry->id;
    batch->highest = MAX(batch->highest, entry->id.index);
    queue->bytes += record_bytes;
}

void wal_queue_end_append(struct wal_queue *queue, uint64_t sequence, raft_index commit)
{
    REQUIRE(!list_is_empty(&queue->waiting));
    struct wal_batch *batch = batch_of(queue->waiting.prev);
    REQUIRE(sequence > batch->sequence);
    batch->sequence = sequence;
    batch->commit = MAX(batch->commit, commit);
}

void wal_batch_cut(struct wal_batch *batch, raft_index from)
{
    size_t kept = 0;
    for (size_t i = 0; i < batch->runs_count; i++) {
        struct wal_run run = batch->runs[i];
        if (run.first >= from)
            continue;
        run.count = MIN(run.count, from - run.first);
        batch->runs[kept++] = run;
    }
    batch->runs_count = kept;
}

void wal_queue_cut(struct wal_queue *queue, raft_index from)
{
    queue->was_cut = true;
    for (struct list *at = queue->waiting.next; at != &queue->waiting; at = at->next)
        wal_batch_cut(batch_of(at), from);
}

struct wal_batch *wal_queue_take(struct wal_queue *queue)
{
    if (list_is_empty(&queue->waiting))
        return take_idle(queue);
    struct wal_batch *batch = batch_of(queue->waiting.next);
    list_remove(&batch->link);
    INVARIANT(queue->bytes >= wal_batch_records_bytes(batch));
    queue->bytes -= wal_batch_records_bytes(batch);
    return batch;
}

void wal_queue_recycle(struct wal_queue *queue, struct wal_batch *batch)
{
    if (queue->idle_count == BATCHES_IDLE_MAX) {
        wal_batch_free(batch);
        return;
    }
    struct buf bytes = batch->bytes;
    struct wal_run *runs = batch->runs;
    size_t runs_capacity = batch->runs_capacity;
    buf_reset(&bytes);
    buf_put_zeros(&bytes, BATCH_HEAD_BYTES);
    *batch = (struct wal_batch){.bytes = bytes, .runs = runs, .runs_capacity = runs_capacity};
    list_push_back(&queue->idle, &batch->link);
    queue->idle_count++;
}
