/* The log's path: append → encode into a batch → one write with one sync → durable.
 *
 * 1 wal_append encodes its records into the newest waiting batch and posts a task;
 * 2 the task, at the end of the loop's turn, seals the oldest batch as a frame and starts its
 *   write, unless one is in flight;
 * 3 when that is synced, everything up to the last append it ends is durable; go on with 2.
 *
 * What can go wrong: the write fails (W3, the end); the segment is full (the frame goes into the
 * spare together with a new header, see wal_segment.c); there is no spare (the segment grows); it
 * cannot grow (the frame is tried again now and then, and what is appended meanwhile queues up). */
#include "storage/wal_private.h"

#include "base/failpoint.h"
#include "base/mem.h"

/* Lets go of a frame that is not in flight. */
static void drop_waiting(struct wal *wal)
{
    env_timer_set(wal->env, &wal->room_timer, TIME_NEVER);
    if (!wal->is_waiting_for_room)
        return;
    wal->is_waiting_for_room = false;
    wal_queue_recycle(&wal->queue, wal->writing);
    wal->writing = NULL;
}

void wal_fail(struct wal *wal, enum status status)
{
    REQUIRE(status != ST_OK);
    if (wal->failure != ST_OK)
        return;
    wal->failure = status == ST_NO_SPACE ? ST_NO_SPACE : ST_IO;
    drop_waiting(wal);
    env_task_cancel(wal->env, &wal->write_task);
    env_timer_set(wal->env, &wal->idle_timer, TIME_NEVER);
    wal_spare_stop(wal);
    wal_compact_stop(wal);
    wal->callbacks.on_failed(wal->callbacks.ctx, wal->failure);
}

static void set_idle_timer(struct wal *wal)
{
    if (wal->options.idle_seal == 0 || wal->is_idle_timer_set || wal->is_sealed)
        return;
    wal->is_idle_timer_set = true;
    env_timer_set(wal->env, &wal->idle_timer, wal->appended_at + wal->options.idle_seal);
}

/* The frame in flight has become part of the log. */
static void note_durable(struct wal *wal)
{
    const struct wal_batch *batch = wal->writing;
    struct wal_segment *segment = wal_active_segment(wal);
    INVARIANT(wal->frame.seq == wal->next_seq);
    INVARIANT(wal->frame.chain == wal->chain);
    wal->next_seq++;
    wal->chain = wal->frame.checksum;
    wal->is_sealed = batch->records_count == 0;
    wal->durable.commit = wal->frame.commit;
    if (batch->has_hard_state)
        wal->durable.hard_state = batch->hard_state;
    if (batch->last.index != 0)
        wal->durable.last = batch->last;
    if (batch->snapshot.index != 0)
        wal->durable.snapshot = batch->snapshot;
    segment->highest = MAX(segment->highest, batch->highest);

    uint64_t frame_offset = segment->end - wal_format_frame_bytes(wal->frame.records_bytes);
    for (size_t i = 0; i < batch->runs_count; i++) {
        struct wal_place place = {.segment = segment->id,
                                  .frame_offset = frame_offset,
                                  .record_offset = batch->runs[i].record_offset};
        wal_map_add(&wal->map, batch->runs[i].first, batch->runs[i].count, place,
                    batch->runs[i].is_break);
    }
}

static bool is_out_of_space(const struct wal *wal)
{
    return wal->spare.is_out_of_space || wal->is_waiting_for_room;
}

void wal_note_room(struct wal *wal)
{
    if (is_out_of_space(wal) == wal->is_out_of_space)
        return;
    wal->is_out_of_space = !wal->is_out_of_space;
    if (wal->callbacks.on_room != NULL)
        wal->callbacks.on_room(wal->callbacks.ctx, wal->is_out_of_space);
}

/* Part of the frame may be on disk, and nobody has been told of any of it: the same bytes at the
 * same place are as good later. A *sync* is never repeated (W3). */
static void wait_for_room(struct wal *wal)
{
    wal->is_waiting_for_room = true;
    wal_spare_make_way(wal);
    env_timer_set(wal->env, &wal->room_timer, env_now(wal->env) + WAL_NO_SPACE_PAUSE_US);
    wal_note_room(wal);
}

static void on_room_timer(void *ctx)
{
    struct wal *wal = ctx;
    INVARIANT(wal->is_waiting_for_room && wal->writing != NULL);
    wal->is_waiting_for_room = false; /* that there is room is said when it has been written */
    wal->write_started_at = env_now(wal->env);
    env_write_start(wal->env, &wal->write);
}

static void note_stats(struct wal *wal)
{
    struct wal_stats *stats = &wal->stats;
    time_us elapsed = env_now(wal->env) - wal->write_started_at;
    stats->frames_count++;
    stats->syncs_count++;
    stats->bytes_written += wal->write.bytes.count;
    stats->entries_count += wal->writing->entries_count;
    stats->sync_time_sum += elapsed;
    stats->sync_time_max = MAX(stats->sync_time_max, elapsed);
}

static void on_written(void *ctx, enum status status)
{
    struct wal *wal = ctx;
    INVARIANT(wal->writing != NULL);
    if (wal->is_closing) {
        wal_batch_free(wal->writing);
        wal->writing = NULL;
        wal_finish_close(wal);
        return;
    }
    if (FAILPOINT("wal.synced", wal->write.bytes))
        status = ST_IO;
    if (wal->failure == ST_OK && status == ST_NO_SPACE) {
        wait_for_room(wal);
        return;
    }
    if (wal->failure == ST_OK && status == ST_OK && wal->is_switching)
        status = wal_segment_enter(wal, wal->target);
    if (wal->failure != ST_OK || status != ST_OK) {
        wal_queue_recycle(&wal->queue, wal->writing);
        wal->writing = NULL;
        wal_fail(wal, wal->failure != ST_OK ? wal->failure : status);
        return;
    }
    wal_active_segment(wal)->end = wal->target.end;
    note_durable(wal);
    note_stats(wal);
    uint64_t sequence = wal->writing->sequence;
    wal_queue_recycle(&wal->queue, wal->writing);
    wal->writing = NULL;
    wal_note_room(wal);
    if (wal->is_switching)
        wal_spare_start(wal);
    set_idle_timer(wal);
    if (!wal_queue_is_empty(&wal->queue))
        env_task_post(wal->env, &wal->write_task);
    if (sequence != 0)
        wal->callbacks.on_durable(wal->callbacks.ctx, sequence);
}

/* Where a frame of this size goes: behind the last one, or first into the spare. */
static void choose_target(struct wal *wal, uint64_t frame_bytes)
{
    const struct wal_segment *active = wal_active_segment(wal);
    wal->is_switching = wal->spare.is_ready && active->end + frame_bytes > wal->active_bytes;
    if (wal->is_switching)
        wal->target = (struct wal_segment){.id = active->id + 1,
                                           .salt = env_random(wal->env),
                                           .end = WAL_BLOCK_BYTES + frame_bytes};
    else
        wal->target = (struct wal_segment){
            .id = active->id, .salt = active->salt, .end = active->end + frame_bytes};
}

/* Seals the oldest batch, or an empty one, as the next frame and starts its write. */
static void start_write(struct wal *wal)
{
    REQUIRE(wal->writing == NULL);
    REQUIRE(wal->failure == ST_OK);
    struct wal_batch *batch = wal->writing = wal_queue_take(&wal->queue);
    uint32_t records_bytes = wal_batch_records_bytes(batch);
    uint64_t frame_bytes = wal_format_frame_bytes(records_bytes);
    choose_target(wal, frame_bytes);
    uint64_t frame_offset = wal->target.end - frame_bytes;
    wal->frame = (struct wal_frame_header){.records_bytes = records_bytes,
                                           .segment = wal->target.id,
                                           .seq = wal->next_seq,
                                           .durable_seq = wal->next_seq - 1,
                                           .commit = MAX(wal->durable.commit, batch->commit),
                                           .records_count = batch->records_count,
                                           .chain = wal->chain};
    buf_put_zeros(&batch->bytes, WAL_BLOCK_BYTES + frame_bytes - batch->bytes.count);
    INVARIANT(!batch->bytes.is_full);
    uint8_t *bytes = batch->bytes.data;
    wal_format_seal_frame(&wal->frame, wal->target.salt, frame_offset, bytes + WAL_BLOCK_BYTES);

    wal->write.file = wal->is_switching ? wal->spare.file : wal->active;
    wal->write.offset = wal->is_switching ? 0 : frame_offset;
    if (wal->is_switching) {
        wal_segment_encode_header(wal, &wal->target, bytes);
        wal->write.bytes = bytes_of(bytes, WAL_BLOCK_BYTES + (size_t)frame_bytes);
    } else {
        wal->write.bytes = bytes_of(bytes + WAL_BLOCK_BYTES, (size_t)frame_bytes);
    }
    wal->write.may_block =
        wal->callbacks.may_block != NULL && wal->callbacks.may_block(wal->callbacks.ctx);
    wal->write_started_at = env_now(wal->env);
    env_write_start(wal->env, &wal->write);
}

static void on_write_task(void *ctx)
{
    struct wal *wal = ctx;
    if (wal->writing == NULL && !wal_queue_is_empty(&wal->queue))
        start_write(wal);
}

/* An empty frame behind the last one proves it durable, so that damage to a log at rest is told
 * from a torn write. Once per idle period: an empty last frame needs no proof. */
static void on_idle(void *ctx)
{
    struct wal *wal = ctx;
    wal->is_idle_timer_set = false;
    if (wal->is_sealed || wal->writing != NULL || !wal_queue_is_empty(&wal->queue))
        return; /* the end of that write sets the timer again */
    if (env_now(wal->env) < wal->appended_at + wal->options.idle_seal)
        set_idle_timer(wal);
    else
        start_write(wal);
}

static struct wal *wal_new(struct env *env, const struct wal_options *options,
                           const struct wal_callbacks *callbacks)
{
    REQUIRE(options->segment_bytes >= WAL_SEGMENT_BYTES_MIN);
    REQUIRE(options->segment_bytes % WAL_BLOCK_BYTES == 0);
    size_t directory_bytes = strlen(options->directory) + 1;
    REQUIRE(directory_bytes > 1 && directory_bytes <= WAL_DIRECTORY_BYTES);

    struct wal *wal = mem_alloc(sizeof *wal);
    wal->env = env;
    wal->options = *options;
    wal->callbacks = *callbacks;
    memcpy(wal->directory, options->directory, directory_bytes);
    wal->options.directory = wal->directory;
    wal->next_seq = 1;
    wal->write = (struct env_write){.on_done = on_written, .ctx = wal};
    wal_queue_init(&wal->queue);
    wal_map_init(&wal->map);
    wal_terms_init(&wal->terms);
    wal_cursor_init(&wal->cursor);
    wal_spare_init(wal);
    wal_compact_init(wal);
    env_task_init(&wal->write_task, on_write_task, wal);
    env_timer_init(&wal->idle_timer, on_idle, wal);
    env_timer_init(&wal->room_timer, on_room_timer, wal);
    return wal;
}

static void wal_free(struct wal *wal)
{
    env_file_close(wal->active);
    wal_spare_release(wal);
    wal_cursor_release(&wal->cursor);
    wal_map_release(&wal->map);
    wal_terms_release(&wal->terms);
    wal_queue_release(&wal->queue);
    mem_free(wal->segments);
    mem_free(wal);
}

enum status wal_open(struct env *env, const struct wal_options *options,
                     const struct wal_callbacks *callbacks,
                     void (*on_entry)(void *ctx, struct entry *entry), void *ctx,
                     struct wal **out_wal, struct wal_recovered *out_recovered,
                     struct errtext *error)
{
    REQUIRE(callbacks->on_durable != NULL);
    REQUIRE(callbacks->on_failed != NULL);
    struct wal *wal = wal_new(env, options, callbacks);
    uint64_t torn_bytes = 0;
    enum status status = wal_open_log(wal, on_entry, ctx, &torn_bytes, error);
    if (status != ST_OK) {
        wal_free(wal);
        return status;
    }
    wal->last_index = wal->durable.last.index;
    wal->commit = wal->durable.commit;
    wal->marked = wal->durable.snapshot;
    wal->appended_at = env_now(env);
    wal_spare_start(wal);
    wal_compact_start(wal);
    set_idle_timer(wal);
    *out_wal = wal;
    *out_recovered = (struct wal_recovered){
        .hard_state = wal->durable.hard_state,
        .commit = MIN(wal->durable.commit, wal->durable.last.index),
        .last = wal->durable.last,
        .first = wal_map_first(&wal->map),
        .torn_bytes = torn_bytes,
        .snapshot = wal->durable.snapshot,
    };
    ENSURE(wal->map.points_count == 0 || wal->map.last == wal->last_index);
    return ST_OK;
}

void wal_finish_close(struct wal *wal)
{
    REQUIRE(wal->is_closing);
    if (wal->writing == NULL && !wal->spare.is_filling)
        wal_free(wal);
}

void wal_close(struct wal *wal)
{
    if (wal == NULL)
        return;
    REQUIRE(!wal->is_closing);
    wal->is_closing = true;
    drop_waiting(wal);
    env_task_cancel(wal->env, &wal->write_task);
    env_timer_set(wal->env, &wal->idle_timer, TIME_NEVER);
    wal_spare_stop(wal);
    wal_compact_stop(wal);
    wal_finish_close(wal); /* or the last write under way does */
}

/* What these records take, in bytes. */
static size_t records_bytes_of(const struct hard_state *hard_state, struct entry *const *entries,
                               size_t entries_count)
{
    size_t bytes = hard_state != NULL ? wal_format_record_bytes(WAL_HARD_STATE_BYTES) : 0;
    for (size_t i = 0; i < entries_count; i++)
        bytes += wal_format_record_bytes(entry_bytes(entries[i]));
    return bytes;
}

/* A conflict (Raft §5.3): what was appended from `from` on can no longer be read, whether it is on
 * disk, in flight or waiting. On disk it stays until the new record supersedes it (W1). */
static void supersede(struct wal *wal, raft_index from)
{
    wal_map_cut(&wal->map, from);
    wal_cursor_cut(&wal->cursor, from);
    wal_queue_cut(&wal->queue, from);
    wal_terms_cut(&wal->terms, from);
    if (wal->writing != NULL)
        wal_batch_cut(wal->writing, from);
}

/* What was queued last ends an append; the number of it. */
static uint64_t end_append(struct wal *wal, raft_index commit)
{
    wal->commit = MAX(wal->commit, commit);
    wal_queue_end_append(&wal->queue, ++wal->sequence, wal->commit);
    wal->appended_at = env_now(wal->env);
    env_task_post(wal->env, &wal->write_task);
    return wal->sequence;
}

enum status wal_append(struct wal *wal, const struct hard_state *hard_state,
                       struct entry *const *entries, size_t entries_count, raft_index commit,
                       uint64_t *out_sequence)
{
    REQUIRE(!wal->is_closing);
    REQUIRE(hard_state != NULL || entries_count > 0);
    REQUIRE(entries_count == 0 || wal->last_index == 0 ||
            entries[0]->id.index <= wal->last_index + 1);
    REQUIRE(entries_count == 0 || entries[0]->id.index > wal->marked.index);
    if (wal->failure != ST_OK)
        return ST_IO;
    size_t bytes = records_bytes_of(hard_state, entries, entries_count);
    if (wal->queue.bytes + bytes > LIMIT_WAL_QUEUE_BYTES)
        return ST_BUSY;

    if (hard_state != NULL)
        wal_queue_put_hard_state(&wal->queue, hard_state);
    if (entries_count > 0 && entries[0]->id.index <= wal->last_index)
        supersede(wal, entries[0]->id.index);
    for (size_t i = 0; i < entries_count; i++) {
        REQUIRE(entries[i]->id.index == entries[0]->id.index + i);
        wal_queue_put_entry(&wal->queue, entries[i]);
        wal_terms_add(&wal->terms, entries[i]->id);
        wal->last_index = entries[i]->id.index;
    }
    *out_sequence = end_append(wal, commit);
    return ST_OK;
}

/* Whether the log, as appended, has this very entry; one behind which it began, too: that of the
 * last mark, and before the first mark whatever stands in front of the first entry. */
static bool is_held(const struct wal *wal, struct entry_id id)
{
    const struct wal_terms *terms = &wal->terms;
    raft_term term = wal_terms_at(terms, id.index);
    bool is_in_front =
        wal->marked.index == 0 && terms->runs_count > 0 && terms->runs[0].index == id.index + 1;
    return is_in_front || entry_id_equal(id, wal->marked) || (term != 0 && term == id.term);
}

enum status wal_mark(struct wal *wal, struct entry_id snapshot, uint64_t *out_sequence)
{
    REQUIRE(!wal->is_closing);
    REQUIRE(snapshot.index > 0);
    REQUIRE(snapshot.index > wal->marked.index || entry_id_equal(snapshot, wal->marked));
    if (wal->failure != ST_OK)
        return ST_IO;
    if (wal->queue.bytes + wal_format_record_bytes(WAL_MARK_BYTES) > LIMIT_WAL_QUEUE_BYTES)
        return ST_BUSY;

    struct wal_mark mark = {.snapshot = snapshot, .begins_anew = !is_held(wal, snapshot)};
    wal_queue_put_mark(&wal->queue, &mark);
    if (mark.begins_anew) {
        supersede(wal, 1);
        wal->last_index = snapshot.index;
    }
    wal->marked = snapshot;
    *out_sequence = end_append(wal, snapshot.index);
    return ST_OK;
}

void wal_stats(const struct wal *wal, struct wal_stats *out_stats)
{
    *out_stats = wal->stats;
    out_stats->segments_count = wal->segments_count;
    out_stats->spares_count = wal->spare.is_ready + wal->spare.retired_count;
    out_stats->log_bytes = 0;
    for (size_t i = 0; i < wal->segments_count; i++)
        out_stats->log_bytes += wal->segments[i].end;
    out_stats->first = wal_map_first(&wal->map);
    out_stats->last = wal->map.last;
    out_stats->snapshot = wal->durable.snapshot;
    out_stats->queued_bytes = wal->queue.bytes;
    out_stats->is_out_of_space = wal->is_out_of_space;
    out_stats->is_waiting_for_room = wal->is_waiting_for_room;
}

uint64_t wal_bytes_behind(const struct wal *wal, raft_index index)
{
    raft_index first = MAX(index + 1, wal_map_first(&wal->map));
    if (first > wal->map.last)
        return 0;
    const struct wal_point *point, *next;
    wal_map_find(&wal->map, first, &point, &next);
    uint64_t bytes = 0;
    for (size_t i = 0; i < wal->segments_count; i++)
        if (wal->segments[i].id >= point->place.segment)
            bytes += wal->segments[i].end;
    return bytes - point->place.frame_offset;
}
