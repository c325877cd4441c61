/* Reading back: entries by index, through the map and a cursor that remembers where it was.
 *
 * Every frame is checked against its checksum when it is read, every entry against its own. Only
 * durable frames are in the map, so nothing is read that a crash could take back. */
#include "storage/wal_private.h"

void wal_cursor_init(struct wal_cursor *cursor)
{
    *cursor = (struct wal_cursor){0};
    wal_reader_init(&cursor->reader, WAL_READ_CHUNK_BYTES);
}

void wal_cursor_release(struct wal_cursor *cursor)
{
    env_file_close(cursor->file);
    wal_reader_release(&cursor->reader);
    cursor->file = NULL;
    cursor->file_segment = 0;
}

void wal_cursor_cut(struct wal_cursor *cursor, raft_index from)
{
    if (cursor->next >= from)
        cursor->next = 0;
}

static const struct wal_segment *segment_of(const struct wal *wal, uint64_t id)
{
    REQUIRE(wal->segments_count > 0);
    REQUIRE(id >= wal->segments[0].id);
    const struct wal_segment *segment = &wal->segments[id - wal->segments[0].id];
    ENSURE(segment->id == id);
    return segment;
}

static enum status use_segment(struct wal *wal, const struct wal_segment *segment,
                               struct errtext *error)
{
    struct wal_cursor *cursor = &wal->cursor;
    if (cursor->file_segment == segment->id) {
        wal_reader_extend(&cursor->reader, segment->end);
        return ST_OK;
    }
    char path[WAL_PATH_BYTES];
    (void)wal_segment_path(wal, segment->id, path);
    env_file_close(cursor->file);
    cursor->file = NULL;
    cursor->file_segment = 0;
    if (env_file_open(wal->env, path, ENV_OPEN_READ, &cursor->file, error) != ST_OK) {
        cursor->file = NULL;
        errtext_wrap(error, "%s", path);
        return ST_IO;
    }
    cursor->file_segment = segment->id;
    wal_reader_use(&cursor->reader, cursor->file, segment->end);
    return ST_OK;
}

/* What is wrong at the cursor's place. */
static enum status damaged(const struct wal *wal, const char *what, struct errtext *error)
{
    char path[WAL_PATH_BYTES];
    errtext_set(error, "%s: at offset %llu: %s",
                wal_segment_path(wal, wal->cursor.place.segment, path),
                (unsigned long long)wal->cursor.place.frame_offset, what);
    return ST_CORRUPT;
}

/* Has the frame of the cursor's place in memory, checked; moves on where a segment ends. */
static enum status load_frame(struct wal *wal, struct errtext *error)
{
    struct wal_cursor *cursor = &wal->cursor;
    const struct wal_segment *segment = segment_of(wal, cursor->place.segment);
    if (cursor->place.frame_offset == segment->end) {
        segment = segment_of(wal, segment->id + 1);
        cursor->place = (struct wal_place){.segment = segment->id, .frame_offset = WAL_BLOCK_BYTES};
    }
    enum status status = use_segment(wal, segment, error);
    if (status != ST_OK)
        return status;
    struct wal_frame_header frame;
    status = wal_reader_frame(&cursor->reader, segment->id, segment->salt,
                              cursor->place.frame_offset, &frame, &cursor->records);
    if (status == ST_IO)
        (void)damaged(wal, "cannot read", error); /* the text only */
    else if (status != ST_OK)
        status = damaged(wal, "the frame is damaged", error);
    if (status != ST_OK)
        return status;
    cursor->frame_bytes = wal_format_frame_bytes(frame.records_bytes);
    return ST_OK;
}

/* The entry record at or after the cursor's place; the place moves to where it begins.
 *
 * out_behind  where the next record begins, in the frame */
static enum status find_record(struct wal *wal, struct bytes *out_payload, uint32_t *out_behind,
                               struct errtext *error)
{
    struct wal_cursor *cursor = &wal->cursor;
    struct wal_place *place = &cursor->place;
    for (;;) {
        if (cursor->records.data == NULL) {
            enum status status = load_frame(wal, error);
            if (status != ST_OK)
                return status;
        }
        INVARIANT(place->record_offset <= cursor->records.count);
        struct cursor records = cursor_of(bytes_of(cursor->records.data + place->record_offset,
                                                   cursor->records.count - place->record_offset));
        struct wal_record record;
        enum status status = wal_format_next_record(&records, &record);
        uint32_t behind = (uint32_t)(cursor->records.count - records.rest.count);
        if (status == ST_OK && record.type == WAL_RECORD_ENTRY) {
            *out_payload = record.payload;
            *out_behind = behind;
            return ST_OK;
        }
        if (status == ST_OK) {
            place->record_offset = behind;
        } else if (status == ST_NOT_FOUND) {
            place->frame_offset += cursor->frame_bytes;
            place->record_offset = 0;
            cursor->records = bytes_of(NULL, 0);
        } else {
            return damaged(wal, "a record is malformed", error);
        }
    }
}

static void go_to(struct wal_cursor *cursor, const struct wal_point *point)
{
    cursor->next = point->index;
    cursor->place = point->place;
    cursor->records = bytes_of(NULL, 0);
}

/* Puts the cursor at `first`, unless it is there. */
static enum status seek(struct wal *wal, raft_index first, struct errtext *error)
{
    struct wal_cursor *cursor = &wal->cursor;
    const struct wal_point *point, *after;
    wal_map_find(&wal->map, first, &point, &after);
    if (cursor->next == first && point->index != first)
        return ST_OK;
    go_to(cursor, point);
    while (cursor->next < first) {
        struct bytes payload;
        enum status status = find_record(wal, &payload, &cursor->place.record_offset, error);
        if (status != ST_OK)
            return status;
        cursor->next++;
    }
    return ST_OK;
}

static enum status decode(struct wal *wal, struct bytes payload, struct entry **out_entry,
                          struct errtext *error)
{
    struct entry *entry;
    if (wal_format_decode_entry(payload, &entry) != ST_OK)
        return damaged(wal, "an entry is malformed", error);
    if (entry->id.index != wal->cursor.next) {
        entry_unref(entry);
        return damaged(wal, "another entry than expected", error);
    }
    *out_entry = entry;
    return ST_OK;
}

/* As many entries as asked for, from the cursor on. Behind a point of the map the next records may
 * be superseded ones, so the cursor goes from point to point. */
static enum status collect(struct wal *wal, size_t bytes_max, struct entry **out_entries,
                           size_t entries_max, size_t *count, struct errtext *error)
{
    struct wal_cursor *cursor = &wal->cursor;
    const struct wal_point *point, *after;
    wal_map_find(&wal->map, cursor->next, &point, &after);
    size_t bytes = 0;
    while (*count < entries_max && cursor->next <= wal->map.last) {
        if (after != NULL && cursor->next == after->index) {
            wal_map_find(&wal->map, cursor->next, &point, &after);
            go_to(cursor, point);
        }
        struct bytes payload;
        uint32_t behind;
        enum status status = find_record(wal, &payload, &behind, error);
        if (status != ST_OK)
            return status;
        bytes += payload.count;
        if (*count > 0 && bytes > bytes_max)
            return ST_OK;
        status = decode(wal, payload, &out_entries[*count], error);
        if (status != ST_OK)
            return status;
        cursor->place.record_offset = behind;
        cursor->next++;
        (*count)++;
    }
    return ST_OK;
}

enum status wal_read(struct wal *wal, raft_index first, size_t bytes_max,
                     struct entry **out_entries, size_t entries_max, size_t *out_count,
                     struct errtext *error)
{
    REQUIRE(!wal->is_closing);
    REQUIRE(entries_max > 0);
    raft_index oldest = wal_map_first(&wal->map);
    if (oldest == 0 || first < oldest || first > wal->map.last) {
        errtext_set(error, "entry %llu is not in the log on disk", (unsigned long long)first);
        return ST_NOT_FOUND;
    }
    size_t count = 0;
    enum status status = seek(wal, first, error);
    if (status == ST_OK)
        status = collect(wal, bytes_max, out_entries, entries_max, &count, error);
    if (status != ST_OK)
        wal->cursor.next = 0;
    if (count == 0) {
        INVARIANT(status != ST_OK);
        return status;
    }
    *out_count = count;
    return ST_OK;
}
