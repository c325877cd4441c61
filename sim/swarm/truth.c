#include "sim/swarm/truth.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "storage/wal_format.h"

void truth_release(struct truth *truth)
{
    mem_free(truth->terms);
    mem_free(truth->pending);
    *truth = (struct truth){0};
}

static void set_last(struct truth *truth, raft_index last)
{
    if (last >= truth->terms_capacity) {
        truth->terms_capacity = MAX(truth->terms_capacity * 2, (size_t)last + 256);
        truth->terms = mem_realloc(truth->terms, truth->terms_capacity * sizeof truth->terms[0]);
    }
    for (raft_index i = truth->last + 1; i <= last; i++)
        truth->terms[i] = 0;
    truth->last = last;
}

/* A vote that was not synced when the machine stopped may be there or not: raft does not say. */
static void adopt_hard_state(struct truth *truth, raft_term term)
{
    for (size_t i = 0; i < truth->pending_count; i++)
        if (truth->pending[i].is_hard_state && truth->pending[i].hard_state.term == term)
            truth->hard_state = truth->pending[i].hard_state;
    truth->pending_count = 0;
    truth->hard_state.term = term;
}

/* What stands before the entries in memory is committed and was not touched by the start. */
void truth_adopt(struct truth *truth, struct world *world, unsigned machine,
                 const struct raft *raft)
{
    struct raft_view view;
    raft_view(raft, &view);
    adopt_hard_state(truth, view.term);
    truth->is_starting = false;
    set_last(truth, view.last_index);
    for (raft_index i = 1; i <= view.last_index; i++) {
        const struct entry *entry = raft_entry(raft, i);
        if (entry != NULL)
            truth->terms[i] = entry->id.term;
    }
    uint8_t block[WAL_BLOCK_BYTES];
    struct wal_segment_header header;
    struct errtext error;
    size_t count = world_disk_peek(world, machine, truth->path, 0, block, sizeof block);
    if (count == sizeof block &&
        wal_format_decode_segment(bytes_of(block, count), &header, &error) == ST_OK) {
        truth->segment = header.segment;
        truth->salt = header.salt;
    }
}

static void put_pending(struct truth *truth, const struct truth_pending *pending)
{
    if (truth->pending_count == truth->pending_capacity) {
        truth->pending_capacity = MAX(truth->pending_capacity * 2, (size_t)64);
        truth->pending =
            mem_realloc(truth->pending, truth->pending_capacity * sizeof truth->pending[0]);
    }
    truth->pending[truth->pending_count++] = *pending;
}

static void take_record(struct truth *truth, const struct wal_record *record,
                        bool waits_for_directory)
{
    struct truth_pending pending = {.waits_for_directory = waits_for_directory};
    if (record->type == WAL_RECORD_HARD_STATE) {
        pending.is_hard_state = true;
        if (wal_format_decode_hard_state(record->payload, &pending.hard_state) != ST_OK)
            return;
    } else { /* types/entry.h: type, checksum, then term and index */
        if (record->payload.count < ENTRY_HEADER_BYTES)
            return;
        pending.entry = (struct entry_id){load_u64(record->payload.data + 8),
                                          load_u64(record->payload.data + 16)};
    }
    put_pending(truth, &pending);
}

/* Zeros for a spare are no frame and end the reading at once. */
static void on_written(struct truth *truth, uint64_t offset, struct bytes bytes)
{
    struct wal_segment_header segment;
    struct wal_frame_header frame;
    struct errtext error;
    bool is_first = false;
    if (offset == 0 && bytes.count >= WAL_BLOCK_BYTES &&
        wal_format_decode_segment(bytes_of(bytes.data, WAL_BLOCK_BYTES), &segment, &error) ==
            ST_OK) {
        truth->segment = segment.segment;
        truth->salt = segment.salt;
        offset += WAL_BLOCK_BYTES;
        bytes = bytes_of(bytes.data + WAL_BLOCK_BYTES, bytes.count - WAL_BLOCK_BYTES);
        is_first = true;
    }
    struct bytes records;
    if (wal_format_decode_frame(bytes, truth->segment, truth->salt, offset, &frame, &records) !=
        ST_OK)
        return;
    struct cursor cursor = cursor_of(records);
    struct wal_record record;
    while (wal_format_next_record(&cursor, &record) == ST_OK)
        take_record(truth, &record, is_first);
}

static void on_synced(struct truth *truth, bool is_directory)
{
    size_t kept = 0;
    for (size_t i = 0; i < truth->pending_count; i++) {
        const struct truth_pending *pending = &truth->pending[i];
        if (pending->waits_for_directory && !is_directory) {
            truth->pending[kept++] = *pending;
        } else if (pending->is_hard_state) {
            truth->hard_state = pending->hard_state;
        } else { /* supersedes everything from there on */
            truth->last = MIN(truth->last, pending->entry.index - 1);
            set_last(truth, pending->entry.index);
            truth->terms[pending->entry.index] = pending->entry.term;
        }
    }
    truth->pending_count = kept;
}

static bool has_ending(const char *path, const char *ending)
{
    size_t path_bytes = strlen(path), ending_bytes = strlen(ending);
    return path_bytes >= ending_bytes && strcmp(path + path_bytes - ending_bytes, ending) == 0;
}

void truth_on_event(struct truth *truth, const struct world_event *event)
{
    if (event->kind == WORLD_BOOTED)
        truth->is_starting = true;
    if (event->path == NULL || strncmp(event->path, "wal", 3) != 0)
        return;
    if (event->kind == WORLD_FILE_WRITTEN)
        on_written(truth, event->a, event->bytes);
    else if ((event->kind == WORLD_DIR_SYNCED || event->kind == WORLD_FILE_SYNCED) &&
             !truth->is_starting)
        on_synced(truth, event->kind == WORLD_DIR_SYNCED); /* one write of the log at a time */
    else if (event->kind == WORLD_FILE_READ && has_ending(event->path, ".log") &&
             strcmp(event->path, truth->path) > 0)
        (void)snprintf(truth->path, sizeof truth->path, "%s", event->path);
}

bool truth_has(const struct truth *truth, struct entry_id entry)
{
    return entry.index <= truth->last && entry.index > 0 && truth->terms[entry.index] == entry.term;
}
