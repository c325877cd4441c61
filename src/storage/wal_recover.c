/* Recovery: replays the segments, and tells a torn tail from damage.
 *
 * Frames are numbered without gaps and each names its predecessor's checksum, so the log ends at
 * the first place X where the frame that must follow is not. Then:
 *
 *      X is the first frame of a segment        damage: it was durable before the file had its name
 *      a segment follows                        damage, unless its header says that X was the end
 *      a valid frame lies behind X whose        damage: the frame at X was durable when that one
 *      durable_seq reaches the missing one      was written
 *      a valid frame, but another, is at X      damage: a synced write was lost
 *      else                                     torn: never acknowledged; the log ends at X
 *
 * Segments may be gone from the front (wal_compact.c); the header of the first one left says what
 * state they ended in, and a mark that comes later must cover the entries that went with them.
 *
 * Damage changes nothing on disk. A torn tail is not erased either: the next frame is written over
 * its start, and what stays behind that is no frame (docs/formats/wal.md, "Stale bytes"). */
#include "storage/wal_private.h"

struct recovery {
    struct wal *wal;
    struct wal_reader reader;
    struct wal_segment_header header; /* of the segment at hand */
    uint64_t offset;                  /* of the frame at hand */
    raft_index highest;               /* of the entries in it */
    void (*on_entry)(void *ctx, struct entry *entry);
    void *ctx;
    struct errtext *error; /* borrowed */
};

/* Names the file at hand and the place, in front of what `error` says. */
static enum status wrap(struct recovery *recovery, uint64_t segment, uint64_t offset,
                        enum status status)
{
    char path[WAL_PATH_BYTES];
    (void)wal_segment_path(recovery->wal, segment, path);
    errtext_wrap(recovery->error, "%s: at offset %llu", path, (unsigned long long)offset);
    return status;
}

static enum status damaged(struct recovery *recovery, uint64_t offset, const char *what)
{
    errtext_set(recovery->error, "%s", what);
    return wrap(recovery, recovery->header.segment, offset, ST_CORRUPT);
}

static enum status read_failed(struct recovery *recovery, uint64_t offset)
{
    errtext_set(recovery->error, "cannot read");
    return wrap(recovery, recovery->header.segment, offset, ST_IO);
}

static enum status replay_entry(struct recovery *recovery, struct bytes payload,
                                uint32_t record_offset)
{
    struct wal *wal = recovery->wal;
    struct entry *entry;
    if (wal_format_decode_entry(payload, &entry) != ST_OK)
        return damaged(recovery, recovery->offset, "an entry is malformed");
    struct entry_id id = entry->id;
    raft_index last_index = wal->durable.last.index;
    if (last_index != 0 && id.index > last_index + 1) {
        entry_unref(entry);
        return damaged(recovery, recovery->offset, "entries are missing in front of this frame");
    }
    if (id.index <= wal->durable.snapshot.index) {
        entry_unref(entry);
        return damaged(recovery, recovery->offset,
                       "an entry supersedes what a snapshot was marked of");
    }
    struct wal_place place = {.segment = recovery->header.segment,
                              .frame_offset = recovery->offset,
                              .record_offset = record_offset};
    wal_map_cut(&wal->map, id.index);
    wal_map_add(&wal->map, id.index, 1, place, id.index <= last_index);
    wal_terms_cut(&wal->terms, id.index);
    wal_terms_add(&wal->terms, id);
    wal->durable.last = id;
    recovery->highest = MAX(recovery->highest, id.index);
    if (recovery->on_entry != NULL)
        recovery->on_entry(recovery->ctx, entry);
    entry_unref(entry);
    return ST_OK;
}

static enum status replay_mark(struct recovery *recovery, struct bytes payload)
{
    struct wal *wal = recovery->wal;
    struct wal_tail *tail = &wal->durable;
    struct wal_mark mark;
    if (wal_format_decode_mark(payload, &mark) != ST_OK)
        return damaged(recovery, recovery->offset, "a snapshot mark is malformed");
    raft_term term = wal_terms_at(&wal->terms, mark.snapshot.index);
    if (mark.snapshot.index < tail->snapshot.index)
        return damaged(recovery, recovery->offset, "a snapshot mark older than the one before it");
    if (!mark.begins_anew &&
        (mark.snapshot.index > tail->last.index || (term != 0 && term != mark.snapshot.term)))
        return damaged(recovery, recovery->offset, "a snapshot mark of an entry that is not there");
    tail->snapshot = mark.snapshot;
    if (mark.begins_anew) {
        wal_map_cut(&wal->map, 1);
        wal_terms_cut(&wal->terms, 1);
        tail->last = mark.snapshot;
    }
    return ST_OK;
}

static enum status replay_record(struct recovery *recovery, const struct wal_record *record,
                                 uint32_t record_offset)
{
    switch (record->type) {
    case WAL_RECORD_ENTRY:
        return replay_entry(recovery, record->payload, record_offset);
    case WAL_RECORD_HARD_STATE:
        if (wal_format_decode_hard_state(record->payload, &recovery->wal->durable.hard_state) !=
            ST_OK)
            return damaged(recovery, recovery->offset, "a hard state is malformed");
        return ST_OK;
    case WAL_RECORD_SNAPSHOT:
        return replay_mark(recovery, record->payload);
    }
    UNREACHABLE();
}

static enum status replay_frame(struct recovery *recovery, const struct wal_frame_header *frame,
                                struct bytes records)
{
    struct wal *wal = recovery->wal;
    if (frame->seq != wal->next_seq || frame->chain != wal->chain)
        return damaged(recovery, recovery->offset, "this frame does not follow the one before it");
    struct cursor cursor = cursor_of(records);
    uint32_t count = 0;
    for (;;) {
        uint32_t record_offset = (uint32_t)(records.count - cursor.rest.count);
        struct wal_record record;
        enum status status = wal_format_next_record(&cursor, &record);
        if (status == ST_NOT_FOUND)
            break;
        if (status != ST_OK)
            return damaged(recovery, recovery->offset, "a record is malformed");
        status = replay_record(recovery, &record, record_offset);
        if (status != ST_OK)
            return status;
        count++;
    }
    if (count != frame->records_count)
        return damaged(recovery, recovery->offset, "a frame with another number of records");
    wal->next_seq++;
    wal->last_frame_at = recovery->offset;
    wal->chain = frame->checksum;
    wal->durable.commit = MAX(wal->durable.commit, frame->commit);
    wal->is_sealed = count == 0;
    return ST_OK;
}

/* The header at the front of the segment continues what was replayed so far. */
static enum status check_header(struct recovery *recovery, uint64_t id)
{
    const struct wal *wal = recovery->wal;
    const struct wal_segment_header *header = &recovery->header;
    if (memcmp(header->owner, wal->options.owner, sizeof header->owner) != 0) {
        errtext_set(recovery->error, "the log of another cluster or data directory");
        return wrap(recovery, id, 0, ST_FORMAT);
    }
    if (header->segment != id) {
        errtext_set(recovery->error, "this is segment %016llx",
                    (unsigned long long)header->segment);
        return wrap(recovery, id, 0, ST_CORRUPT);
    }
    if (header->first_seq == wal->next_seq && header->chain == wal->chain)
        return ST_OK;
    if (wal->segments_count == 0 && id == 1)
        return damaged(recovery, 0, "the first segment does not begin with the first frame");
    if (wal->segments_count == 0)
        return ST_OK;
    /* Frames are missing between here and there; the damage is where the reading stopped. */
    const struct wal_segment *previous = &wal->segments[wal->segments_count - 1];
    errtext_set(recovery->error, "frame %llu is damaged, but segment %016llx begins with %llu",
                (unsigned long long)wal->next_seq, (unsigned long long)id,
                (unsigned long long)header->first_seq);
    return wrap(recovery, previous->id, previous->end, ST_CORRUPT);
}

/* The oldest segment that is left: its header stands for those before it. */
static void adopt_copies(struct recovery *recovery)
{
    struct wal *wal = recovery->wal;
    const struct wal_segment_header *header = &recovery->header;
    wal->next_seq = header->first_seq;
    wal->chain = header->chain;
    wal->durable = (struct wal_tail){.hard_state = header->hard_state,
                                     .last = header->last,
                                     .snapshot = header->snapshot,
                                     .commit = header->commit};
}

/* Where the earlier segments were read, what the header says of them must agree. */
static enum status check_copies(struct recovery *recovery)
{
    const struct wal_tail *tail = &recovery->wal->durable;
    const struct wal_segment_header *header = &recovery->header;
    if (header->hard_state.term != tail->hard_state.term ||
        header->hard_state.vote != tail->hard_state.vote ||
        !entry_id_equal(header->last, tail->last) || header->commit != tail->commit ||
        !entry_id_equal(header->snapshot, tail->snapshot))
        return damaged(recovery, 0, "the header contradicts the segments before it");
    return ST_OK;
}

static enum status read_header(struct recovery *recovery, uint64_t id)
{
    struct bytes block;
    recovery->header.segment = id; /* for messages, until it is read */
    if (wal_reader_get(&recovery->reader, 0, WAL_BLOCK_BYTES, &block) != ST_OK)
        return read_failed(recovery, 0);
    enum status status = wal_format_decode_segment(block, &recovery->header, recovery->error);
    if (status != ST_OK)
        return wrap(recovery, id, 0, status == ST_FORMAT ? ST_FORMAT : ST_CORRUPT);
    status = check_header(recovery, id);
    if (status != ST_OK)
        return status;
    if (recovery->wal->segments_count == 0 && id > 1)
        adopt_copies(recovery);
    return check_copies(recovery);
}

static bool is_zero_block(struct bytes bytes)
{
    static const uint8_t zeros[WAL_BLOCK_BYTES];
    return memcmp(bytes.data, zeros, MIN(bytes.count, sizeof zeros)) == 0;
}

/* Looks behind the end of the log, in the last segment, for proof that it is not the end. What a
 * file that is used again has of its former life is not torn. */
static enum status examine_tail(struct recovery *recovery, uint64_t *out_torn_bytes)
{
    struct wal *wal = recovery->wal;
    uint64_t torn_end = recovery->offset, claimed_end = recovery->offset;
    for (uint64_t at = recovery->offset; at < recovery->reader.end; at += WAL_BLOCK_BYTES) {
        struct bytes block;
        if (wal_reader_get(&recovery->reader, at, WAL_BLOCK_BYTES, &block) != ST_OK)
            return read_failed(recovery, at);
        if (block.count == 0)
            break;
        if (is_zero_block(block))
            continue;
        uint64_t claimed = wal_format_claimed_bytes(block, recovery->header.segment);
        claimed_end = MAX(claimed_end, at + claimed);
        if (at < claimed_end)
            torn_end = at + MIN(block.count, (size_t)WAL_BLOCK_BYTES);
        struct wal_frame_header frame;
        struct bytes records;
        enum status status = wal_reader_frame(&recovery->reader, recovery->header.segment,
                                              recovery->header.salt, at, &frame, &records);
        if (status == ST_IO)
            return read_failed(recovery, at);
        if (status == ST_OK && frame.durable_seq >= wal->next_seq) {
            errtext_set(recovery->error,
                        "frame %llu is damaged: frame %llu at offset %llu proves it was synced",
                        (unsigned long long)wal->next_seq, (unsigned long long)frame.seq,
                        (unsigned long long)at);
            return wrap(recovery, recovery->header.segment, recovery->offset, ST_CORRUPT);
        }
    }
    *out_torn_bytes = torn_end - recovery->offset;
    return ST_OK;
}

static enum status replay_segment(struct recovery *recovery, uint64_t id)
{
    struct wal *wal = recovery->wal;
    enum status status = read_header(recovery, id);
    if (status != ST_OK)
        return status;
    recovery->offset = WAL_BLOCK_BYTES;
    recovery->highest = 0;
    for (;;) {
        struct wal_frame_header frame;
        struct bytes records;
        status = wal_reader_frame(&recovery->reader, id, recovery->header.salt, recovery->offset,
                                  &frame, &records);
        if (status == ST_NOT_FOUND)
            break;
        if (status != ST_OK)
            return read_failed(recovery, recovery->offset);
        status = replay_frame(recovery, &frame, records);
        if (status != ST_OK)
            return status;
        recovery->offset += wal_format_frame_bytes(frame.records_bytes);
    }
    if (recovery->offset == WAL_BLOCK_BYTES)
        return damaged(recovery, recovery->offset, "the first frame is damaged");
    wal_segment_add(wal, (struct wal_segment){.id = id,
                                              .salt = recovery->header.salt,
                                              .end = recovery->offset,
                                              .highest = recovery->highest});
    return ST_OK;
}

static enum status recover_segment(struct recovery *recovery, uint64_t id, bool is_last,
                                   uint64_t *out_torn_bytes)
{
    struct wal *wal = recovery->wal;
    char path[WAL_PATH_BYTES];
    (void)wal_segment_path(wal, id, path);
    struct env_file *file;
    uint64_t file_bytes;
    enum status status = env_file_open(wal->env, path, ENV_OPEN_READ, &file, recovery->error);
    if (status != ST_OK) {
        errtext_wrap(recovery->error, "%s", path);
        return status;
    }
    status = env_file_size(file, &file_bytes);
    if (status != ST_OK) {
        errtext_set(recovery->error, "%s: size: %s", path, status_info(status)->title);
    } else {
        wal_reader_use(&recovery->reader, file, file_bytes);
        status = replay_segment(recovery, id);
    }
    if (status == ST_OK && is_last) {
        status = examine_tail(recovery, out_torn_bytes);
        wal->active_bytes = file_bytes / WAL_BLOCK_BYTES * WAL_BLOCK_BYTES;
    }
    env_file_close(file);
    return status;
}

/* W4: only entries that a mark covers may be gone with the segments in front. */
static enum status check_front(struct recovery *recovery)
{
    const struct wal *wal = recovery->wal;
    const struct wal_tail *tail = &wal->durable;
    raft_index first = wal_map_first(&wal->map);
    raft_index gone = first > 0 ? first - 1 : tail->last.index;
    if (wal->segments[0].id == 1 || gone <= tail->snapshot.index)
        return ST_OK;
    char path[WAL_PATH_BYTES];
    errtext_set(recovery->error,
                "%s: the segments before this one are missing, and no snapshot is marked of what "
                "they held: entries to %llu, the last mark is %llu",
                wal_segment_path(wal, wal->segments[0].id, path), (unsigned long long)gone,
                (unsigned long long)tail->snapshot.index);
    return ST_CORRUPT;
}

enum status wal_recover(struct wal *wal, const uint64_t *ids, size_t ids_count,
                        void (*on_entry)(void *ctx, struct entry *entry), void *ctx,
                        uint64_t *out_torn_bytes, struct errtext *error)
{
    REQUIRE(ids_count > 0);
    REQUIRE(wal->segments_count == 0);
    struct recovery recovery = {.wal = wal, .on_entry = on_entry, .ctx = ctx, .error = error};
    wal_reader_init(&recovery.reader, WAL_RECOVER_CHUNK_BYTES);
    enum status status = ST_OK;
    for (size_t i = 0; i < ids_count && status == ST_OK; i++) {
        if (ids[i] == ids[0] + i) {
            status = recover_segment(&recovery, ids[i], i + 1 == ids_count, out_torn_bytes);
            continue;
        }
        char path[WAL_PATH_BYTES];
        errtext_set(error, "%s: the segment is missing", wal_segment_path(wal, ids[0] + i, path));
        status = ST_CORRUPT;
    }
    if (status == ST_OK)
        status = check_front(&recovery);
    wal_reader_release(&recovery.reader);
    return status;
}
