#include "sim/swarm/truth.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "storage/snapfile_format.h"

enum { PIECE_BYTES = 1024 * 1024 };

static void *copy_array(const void *array, size_t bytes)
{
    void *copy = mem_alloc_raw(MAX(bytes, (size_t)1));
    if (bytes > 0)
        memcpy(copy, array, bytes);
    return copy;
}

/* An item of zeros at the end of an array that doubles as it grows. */
static void *append(void **array, size_t *count, size_t item_bytes)
{
    if ((*count & (*count - 1)) == 0)
        *array = mem_realloc(*array, MAX(*count * 2, (size_t)1) * item_bytes);
    void *item = (char *)*array + (*count)++ * item_bytes;
    memset(item, 0, item_bytes);
    return item;
}

void truth_release(struct truth *truth)
{
    mem_free(truth->terms);
    mem_free(truth->pending);
    mem_free(truth->configs);
    mem_free(truth->named);
    *truth = (struct truth){0};
}

/* What is pending is not on disk, and so on no copy of it. */
struct truth truth_copy(const struct truth *truth)
{
    struct truth copy = *truth;
    copy.terms = copy_array(truth->terms, truth->terms_capacity * sizeof copy.terms[0]);
    copy.pending = NULL;
    copy.pending_count = copy.pending_capacity = 0;
    copy.configs = NULL;
    copy.configs_count = 0;
    for (size_t i = 0; i < truth->configs_count; i++) {
        struct truth_config *config =
            append((void **)&copy.configs, &copy.configs_count, sizeof *config);
        *config = truth->configs[i];
    }
    copy.named = NULL;
    copy.named_count = 0;
    return copy;
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

/* ---- configurations ---- */

static void drop_configs(struct truth *truth, raft_index from)
{
    while (truth->configs_count > 0 && truth->configs[truth->configs_count - 1].index >= from)
        truth->configs_count--;
}

static void note_config(struct truth *truth, struct bytes encoded)
{
    struct cursor cursor = cursor_of(encoded);
    struct config config;
    struct entry *entry;
    if (entry_decode(&cursor, &entry) != ST_OK)
        return;
    if (entry_config(entry, &config) == ST_OK) {
        struct truth_config *item =
            append((void **)&truth->configs, &truth->configs_count, sizeof *item);
        *item = (struct truth_config){entry->id.index, config};
    }
    entry_unref(entry);
}

const struct config *truth_config_at(const struct truth *truth, raft_index index)
{
    for (size_t i = 0; i < truth->configs_count; i++)
        if (truth->configs[i].index == index)
            return &truth->configs[i].config;
    return NULL;
}

/* ---- a start ---- */

/* A vote that was not synced when the machine stopped may be there or not: raft does not say. */
static void adopt_hard_state(struct truth *truth, raft_term term)
{
    for (size_t i = 0; i < truth->pending_count; i++)
        if (truth->pending[i].type == WAL_RECORD_HARD_STATE &&
            truth->pending[i].hard_state.term == term)
            truth->hard_state = truth->pending[i].hard_state;
    truth->pending_count = 0;
    truth->hard_state.term = term;
}

/* Of a head whose write got nowhere the disk has what the spare was before. */
static bool is_head_of(const struct wal_segment_header *header, const char *path)
{
    char wanted[64];
    (void)snprintf(wanted, sizeof wanted, "wal/%016llx.log", (unsigned long long)header->segment);
    return strcmp(path, wanted) == 0;
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
    drop_configs(truth, view.last_index + 1);
    uint8_t block[WAL_BLOCK_BYTES];
    struct wal_segment_header header;
    struct errtext error;
    size_t count = world_disk_peek(world, machine, truth->path, 0, block, sizeof block);
    if (count == sizeof block &&
        wal_format_decode_segment(bytes_of(block, count), &header, &error) == ST_OK &&
        is_head_of(&header, truth->path)) {
        truth->segment = header.segment;
        truth->salt = header.salt;
    }
}

/* ---- the log ---- */

static void put_pending(struct truth *truth, const struct truth_pending *pending)
{
    if (truth->pending_count == truth->pending_capacity) {
        truth->pending_capacity = MAX(truth->pending_capacity * 2, (size_t)64);
        truth->pending =
            mem_realloc(truth->pending, truth->pending_capacity * sizeof truth->pending[0]);
    }
    truth->pending[truth->pending_count++] = *pending;
}

/* types/entry.h: type, checksum, then term and index. Index 0: it is none. */
static struct entry_id entry_id_of(struct bytes payload)
{
    if (payload.count < ENTRY_HEADER_BYTES)
        return (struct entry_id){0};
    return (struct entry_id){load_u64(payload.data + 8), load_u64(payload.data + 16)};
}

static void take_record(struct truth *truth, const struct wal_record *record,
                        bool waits_for_directory)
{
    struct truth_pending pending = {.type = record->type,
                                    .waits_for_directory = waits_for_directory};
    switch (record->type) {
    case WAL_RECORD_HARD_STATE:
        if (wal_format_decode_hard_state(record->payload, &pending.hard_state) != ST_OK)
            return;
        break;
    case WAL_RECORD_ENTRY:
        pending.entry = entry_id_of(record->payload);
        if (pending.entry.index == 0)
            return;
        drop_configs(truth, pending.entry.index);
        if (record->payload.data[0] == ENTRY_CONFIG)
            note_config(truth, record->payload);
        break;
    case WAL_RECORD_SNAPSHOT:
        if (wal_format_decode_mark(record->payload, &pending.mark) != ST_OK)
            return;
        if (pending.mark.begins_anew)
            drop_configs(truth, 0);
        break;
    }
    put_pending(truth, &pending);
}

/* Zeros for a spare are no frame and end the reading at once. */
static void on_written(struct truth *truth, const struct world_event *event)
{
    struct wal_segment_header segment;
    struct wal_frame_header frame;
    struct errtext error;
    uint64_t offset = event->a;
    struct bytes bytes = event->bytes, records;
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
    if (wal_format_decode_frame(bytes, truth->segment, truth->salt, offset, &frame, &records) !=
        ST_OK)
        return;
    (void)snprintf(truth->frame_path, sizeof truth->frame_path, "%s", event->path);
    struct cursor cursor = cursor_of(records);
    struct wal_record record;
    while (wal_format_next_record(&cursor, &record) == ST_OK)
        take_record(truth, &record, is_first);
}

static void settle(struct truth *truth, const struct truth_pending *pending)
{
    switch (pending->type) {
    case WAL_RECORD_HARD_STATE:
        truth->hard_state = pending->hard_state;
        return;
    case WAL_RECORD_ENTRY: /* supersedes everything from there on */
        truth->last = MIN(truth->last, pending->entry.index - 1);
        set_last(truth, pending->entry.index);
        truth->terms[pending->entry.index] = pending->entry.term;
        return;
    case WAL_RECORD_SNAPSHOT:
        if (!pending->mark.begins_anew)
            return;
        truth->last = MIN(truth->last, pending->mark.snapshot.index - 1);
        set_last(truth, pending->mark.snapshot.index);
        truth->terms[pending->mark.snapshot.index] = pending->mark.snapshot.term;
        return;
    }
}

static void on_synced(struct truth *truth, bool is_directory)
{
    size_t kept = 0;
    for (size_t i = 0; i < truth->pending_count; i++) {
        const struct truth_pending *pending = &truth->pending[i];
        if (pending->waits_for_directory && !is_directory)
            truth->pending[kept++] = *pending;
        else
            settle(truth, pending);
    }
    truth->pending_count = kept;
}

/* ---- snapshots ---- */

/* "snap/<index>-<term>.snap", both in 16 hexadecimal digits. */
static void on_named(struct truth *truth, const char *path)
{
    struct entry_id id;
    unsigned long long index, term;
    if (sscanf(path, "snap/%16llx-%16llx.snap", &index, &term) != 2)
        return;
    id = (struct entry_id){.term = term, .index = index};
    struct entry_id *named = append((void **)&truth->named, &truth->named_count, sizeof *named);
    *named = id;
}

/* Every byte of the file on disk, as docs/formats/snapshot.md has it. */
static bool is_whole(struct world *world, unsigned machine, struct entry_id id, uint8_t *piece)
{
    char path[64];
    struct snapfile_stream stream = {0};
    struct errtext error;
    struct bytes content;
    (void)snprintf(path, sizeof path, "snap/%016llx-%016llx.snap", (unsigned long long)id.index,
                   (unsigned long long)id.term);
    for (;;) {
        size_t count = world_disk_peek(world, machine, path, stream.file_bytes, piece, PIECE_BYTES),
               taken;
        if (count == SIZE_MAX)
            return false;
        enum status status =
            snapfile_format_take(&stream, bytes_of(piece, count), &taken, &content, &error);
        if (status != ST_OK)
            return status == ST_NOT_FOUND && entry_id_equal(stream.last, id);
    }
}

void truth_look(struct truth *truth, struct world *world, unsigned machine)
{
    size_t kept = 0;
    if (!truth->must_look)
        return;
    truth->must_look = false;
    if (truth->named_count == 0)
        return;
    uint8_t *piece = mem_alloc_raw(PIECE_BYTES);
    for (size_t i = 0; i < truth->named_count; i++) {
        struct entry_id id = truth->named[i];
        if (id.index <= truth->snapshot.index)
            continue;
        if (is_whole(world, machine, id, piece))
            truth->snapshot = id;
        else
            truth->named[kept++] = id; /* its name may come to last later */
    }
    truth->named_count = kept;
    mem_free(piece);
}

/* ---- events ---- */

static bool has_ending(const char *path, const char *ending)
{
    size_t path_bytes = strlen(path), ending_bytes = strlen(ending);
    return path_bytes >= ending_bytes && strcmp(path + path_bytes - ending_bytes, ending) == 0;
}

static void on_snapshot_event(struct truth *truth, const struct world_event *event)
{
    if (event->kind == WORLD_FILE_RENAMED)
        on_named(truth, event->path);
    truth->must_look = truth->must_look || event->kind == WORLD_DIR_SYNCED;
}

static void on_log_event(struct truth *truth, const struct world_event *event)
{
    bool is_segment = has_ending(event->path, ".log");
    if (event->kind == WORLD_FILE_WRITTEN) {
        on_written(truth, event);
    } else if (event->kind == WORLD_DIR_SYNCED && !truth->is_starting) {
        on_synced(truth, true);
    } else if (event->kind == WORLD_FILE_SYNCED) {
        /* One write of the log at a time; the sync of a spare is not one of them. */
        if (!truth->is_starting && strcmp(event->path, truth->frame_path) == 0)
            on_synced(truth, false);
        truth->has_gone_on = truth->has_gone_on || (truth->has_failed && is_segment);
    } else if (event->kind == WORLD_FAULT) {
        truth->has_failed = truth->has_failed || (is_segment && event->a == WORLD_FAULT_SYNC_ERROR);
    } else if (event->kind == WORLD_FILE_READ && is_segment &&
               strcmp(event->path, truth->path) > 0) {
        (void)snprintf(truth->path, sizeof truth->path, "%s", event->path);
    }
}

void truth_on_event(struct truth *truth, const struct world_event *event)
{
    if (event->kind == WORLD_BOOTED) {
        truth->is_starting = true;
        truth->has_failed = truth->has_gone_on = false;
        truth->path[0] = '\0'; /* what an earlier start has read may be gone */
    }
    if (event->path == NULL)
        return;
    if (strncmp(event->path, "wal", 3) == 0)
        on_log_event(truth, event);
    else if (strncmp(event->path, "snap", 4) == 0)
        on_snapshot_event(truth, event);
}

/* ---- what is there ---- */

bool truth_has(const struct truth *truth, struct entry_id entry)
{
    if (entry.index > 0 && entry.index <= truth->snapshot.index)
        return true;
    return entry.index <= truth->last && entry.index > 0 && truth->terms[entry.index] == entry.term;
}

raft_index truth_end(const struct truth *truth)
{
    return MAX(truth->last, truth->snapshot.index);
}

/* Where the records of a frame leave the end of the log. */
static raft_index end_behind(struct bytes records, raft_index end)
{
    struct cursor cursor = cursor_of(records);
    struct wal_record record;
    struct wal_mark mark;
    while (wal_format_next_record(&cursor, &record) == ST_OK) {
        if (record.type == WAL_RECORD_ENTRY)
            end = entry_id_of(record.payload).index;
        else if (record.type == WAL_RECORD_SNAPSHOT &&
                 wal_format_decode_mark(record.payload, &mark) == ST_OK && mark.begins_anew)
            end = mark.snapshot.index;
    }
    return end;
}

static uint8_t *read_file(struct world *world, unsigned machine, const char *path,
                          size_t *out_count)
{
    size_t capacity = PIECE_BYTES, count;
    uint8_t *file = NULL;
    do {
        capacity *= 2;
        file = mem_realloc(file, capacity);
        count = world_disk_peek(world, machine, path, 0, file, capacity);
    } while (count != SIZE_MAX && count == capacity);
    *out_count = count == SIZE_MAX ? 0 : count;
    return file;
}

bool truth_read_end(const struct truth *truth, struct world *world, unsigned machine,
                    raft_index *out_end)
{
    struct wal_segment_header header;
    struct wal_frame_header frame;
    struct bytes records;
    struct errtext error;
    bool has_frames = false;
    size_t count;
    uint8_t *file = read_file(world, machine, truth->path, &count);
    if (wal_format_decode_segment(bytes_of(file, MIN(count, (size_t)WAL_BLOCK_BYTES)), &header,
                                  &error) == ST_OK) {
        *out_end = header.last.index;
        uint64_t seq = header.first_seq;
        for (size_t at = WAL_BLOCK_BYTES;
             at < count &&
             wal_format_decode_frame(bytes_of(file + at, count - at), header.segment, header.salt,
                                     at, &frame, &records) == ST_OK &&
             frame.seq == seq++;
             at += wal_format_frame_bytes(frame.records_bytes)) {
            *out_end = end_behind(records, *out_end);
            has_frames = true;
        }
    }
    mem_free(file);
    return has_frames;
}
