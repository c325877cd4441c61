#include "audit/audit_log.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "storage/wal_reader.h"

enum { CHUNK_BYTES = 1024 * 1024, PATH_BYTES = 64 };

#define DIRECTORY "wal"

struct walk {
    struct audit_log log;
    void (*on_entry)(void *ctx, const struct entry *entry);
    void *ctx;
    const struct meta *meta;
    struct errtext *error;

    uint64_t *segments; /* owned; rising */
    size_t segments_count, segments_capacity;

    /* What the frames up to here say. */
    uint64_t next_seq;
    uint32_t chain;
    raft_index last; /* 0: no entry yet */

    struct entry **held; /* owned, with a reference on each: consecutive, the last is `last` */
    size_t held_count, held_capacity;

    /* The segment at hand. */
    struct wal_reader reader;
    struct wal_segment_header header;
    uint64_t segment;
    uint64_t offset;
};

static enum status fail(struct walk *walk, enum status status, const char *what)
{
    errtext_set(walk->error, DIRECTORY "/%016llx.log: at offset %llu: %s",
                (unsigned long long)walk->segment, (unsigned long long)walk->offset, what);
    return status;
}

/* ---- entries ---- */

/* Gives all that is held up to `index`. */
static void give(struct walk *walk, raft_index index)
{
    size_t count = 0;
    for (; count < walk->held_count && walk->held[count]->id.index <= index; count++) {
        if (walk->log.first == 0)
            walk->log.first = walk->held[count]->id.index;
        if (walk->on_entry != NULL)
            walk->on_entry(walk->ctx, walk->held[count]);
        entry_unref(walk->held[count]);
        walk->log.entries_count++;
    }
    if (count == 0)
        return;
    walk->held_count -= count;
    memmove(walk->held, walk->held + count, walk->held_count * sizeof(struct entry *));
}

/* Drops what is held from `index` on. */
static void supersede(struct walk *walk, raft_index index)
{
    while (walk->held_count > 0 && walk->held[walk->held_count - 1]->id.index >= index) {
        entry_unref(walk->held[--walk->held_count]);
        walk->log.replaced_count++;
    }
}

/* Takes the reference. */
static void hold(struct walk *walk, struct entry *entry)
{
    if (walk->held_count == walk->held_capacity) {
        walk->held_capacity = walk->held_capacity * 2 + 64;
        walk->held = mem_realloc(walk->held, walk->held_capacity * sizeof(struct entry *));
    }
    walk->held[walk->held_count++] = entry;
    walk->last = entry->id.index;
}

static enum status take_entry(struct walk *walk, struct bytes payload)
{
    struct entry *entry;
    if (wal_format_decode_entry(payload, &entry) != ST_OK)
        return fail(walk, ST_CORRUPT, "an entry is malformed");
    raft_index index = entry->id.index;
    bool has_gap = walk->last != 0 && index > walk->last + 1;
    if (has_gap || index <= walk->log.commit) {
        entry_unref(entry);
        if (has_gap)
            return fail(walk, ST_CORRUPT, "entries are missing in front of this frame");
        walk->log.overruled = index;
        return ST_OK;
    }
    supersede(walk, index);
    hold(walk, entry);
    return ST_OK;
}

/* A snapshot that this log does not lead to has been fetched: what was not committed before it
 * counts for nothing, and what was is in it. */
static void begin_anew(struct walk *walk, struct entry_id snapshot)
{
    supersede(walk, 0);
    walk->last = snapshot.index;
    walk->log.commit = MAX(walk->log.commit, snapshot.index);
    walk->log.first = 0;
    walk->log.has_front = false;
}

static enum status take_mark(struct walk *walk, struct bytes payload)
{
    struct wal_mark mark;
    if (wal_format_decode_mark(payload, &mark) != ST_OK)
        return fail(walk, ST_CORRUPT, "a snapshot mark is malformed");
    if (mark.snapshot.index < walk->log.snapshot.index)
        return fail(walk, ST_CORRUPT, "a snapshot mark is older than the one before it");
    walk->log.snapshot = mark.snapshot;
    if (mark.begins_anew)
        begin_anew(walk, mark.snapshot);
    return ST_OK;
}

/* ---- frames ---- */

static enum status take_record(struct walk *walk, const struct wal_record *record)
{
    switch (record->type) {
    case WAL_RECORD_ENTRY:
        return take_entry(walk, record->payload);
    case WAL_RECORD_HARD_STATE:
        if (wal_format_decode_hard_state(record->payload, &walk->log.hard_state) != ST_OK)
            return fail(walk, ST_CORRUPT, "a hard state is malformed");
        return ST_OK;
    case WAL_RECORD_SNAPSHOT:
        return take_mark(walk, record->payload);
    }
    UNREACHABLE();
}

static enum status take_frame(struct walk *walk, const struct wal_frame_header *frame,
                              struct bytes records)
{
    if (frame->seq != walk->next_seq || frame->chain != walk->chain)
        return fail(walk, ST_CORRUPT, "this frame does not follow the one before it");
    struct cursor cursor = cursor_of(records);
    struct wal_record record;
    enum status status;
    uint32_t count = 0;
    while ((status = wal_format_next_record(&cursor, &record)) == ST_OK) {
        status = take_record(walk, &record);
        if (status != ST_OK || walk->log.overruled != 0)
            return status;
        count++;
    }
    if (status != ST_NOT_FOUND || count != frame->records_count)
        return fail(walk, ST_CORRUPT, "malformed records in a frame that is whole");
    walk->next_seq++;
    walk->chain = frame->checksum;
    /* Only now: what this frame knew committed may be among its own records. */
    walk->log.commit = MAX(walk->log.commit, frame->commit);
    give(walk, walk->log.commit);
    return ST_OK;
}

/* ---- segments ---- */

/* The segments in front have been given up: their end stands in this one's header. */
static void take_over(struct walk *walk)
{
    const struct wal_segment_header *header = &walk->header;
    walk->log.hard_state = header->hard_state;
    walk->log.commit = header->commit;
    walk->log.snapshot = header->snapshot;
    walk->log.has_front = false;
    walk->last = header->last.index;
}

static enum status take_header(struct walk *walk, bool is_first)
{
    struct bytes block;
    struct errtext what;
    const struct wal_segment_header *header = &walk->header;
    if (wal_reader_get(&walk->reader, 0, WAL_BLOCK_BYTES, &block) != ST_OK)
        return fail(walk, ST_IO, "cannot read");
    enum status status = wal_format_decode_segment(block, &walk->header, &what);
    if (status != ST_OK)
        return fail(walk, status == ST_FORMAT ? ST_FORMAT : ST_CORRUPT, what.text);
    if (header->owner[0] != walk->meta->cluster_id || header->owner[1] != walk->meta->identity)
        return fail(walk, ST_FORMAT, "the log of another cluster or data directory");
    if (header->segment != walk->segment)
        return fail(walk, ST_CORRUPT, "another segment than its name says");
    if (is_first && walk->segment == 1 && header->first_seq != 1)
        return fail(walk, ST_CORRUPT, "the first segment does not begin with the first frame");
    if (is_first && walk->segment != 1)
        take_over(walk);
    if (!is_first && (header->first_seq != walk->next_seq || header->chain != walk->chain))
        return fail(walk, ST_CORRUPT, "frames are missing or damaged in the segment before");
    walk->next_seq = header->first_seq;
    walk->chain = header->chain;
    return ST_OK;
}

/* Behind the last frame of the last segment: a frame that knew this one durable proves damage. */
static enum status examine_tail(struct walk *walk)
{
    static const uint8_t zeros[WAL_BLOCK_BYTES];
    uint64_t end = walk->offset, claimed_end = walk->offset;
    for (uint64_t at = walk->offset; at < walk->reader.end; at += WAL_BLOCK_BYTES) {
        struct bytes block;
        struct wal_frame_header frame;
        if (wal_reader_get(&walk->reader, at, WAL_BLOCK_BYTES, &block) != ST_OK)
            return fail(walk, ST_IO, "cannot read");
        if (block.count == 0)
            break;
        if (memcmp(block.data, zeros, MIN(block.count, sizeof zeros)) == 0)
            continue;
        claimed_end = MAX(claimed_end, at + wal_format_claimed_bytes(block, walk->segment));
        if (at < claimed_end)
            end = at + MIN(block.count, (size_t)WAL_BLOCK_BYTES);
        enum status status =
            wal_reader_frame(&walk->reader, walk->segment, walk->header.salt, at, &frame, &block);
        if (status == ST_IO)
            return fail(walk, ST_IO, "cannot read");
        if (status == ST_OK && frame.durable_seq >= walk->next_seq)
            return fail(walk, ST_CORRUPT, "a frame is damaged that a later one proves was synced");
    }
    walk->log.torn_bytes = end - walk->offset;
    return ST_OK;
}

static enum status take_frames(struct walk *walk, bool is_last)
{
    enum status status = ST_OK;
    for (walk->offset = WAL_BLOCK_BYTES; status == ST_OK && walk->log.overruled == 0;) {
        struct wal_frame_header frame;
        struct bytes records;
        status = wal_reader_frame(&walk->reader, walk->segment, walk->header.salt, walk->offset,
                                  &frame, &records);
        if (status == ST_NOT_FOUND && walk->offset == WAL_BLOCK_BYTES)
            return fail(walk, ST_CORRUPT, "the first frame is damaged");
        if (status == ST_NOT_FOUND)
            return is_last ? examine_tail(walk) : ST_OK;
        if (status != ST_OK)
            return fail(walk, ST_IO, "cannot read");
        status = take_frame(walk, &frame, records);
        if (status == ST_OK)
            walk->offset += wal_format_frame_bytes(frame.records_bytes);
    }
    return status;
}

static enum status take_segment(struct walk *walk, struct env *env, size_t number)
{
    char path[PATH_BYTES];
    struct env_file *file;
    uint64_t file_bytes;
    walk->segment = walk->segments[number];
    walk->offset = 0;
    if (number > 0 && walk->segment != walk->segments[number - 1] + 1) {
        errtext_set(walk->error, DIRECTORY "/%016llx.log: the segment is missing",
                    (unsigned long long)walk->segments[number - 1] + 1);
        return ST_CORRUPT;
    }
    (void)snprintf(path, sizeof path, DIRECTORY "/%016llx.log", (unsigned long long)walk->segment);
    enum status status = env_file_open(env, path, ENV_OPEN_READ, &file, walk->error);
    if (status != ST_OK)
        return status;
    status = env_file_size(file, &file_bytes);
    if (status == ST_OK) {
        wal_reader_use(&walk->reader, file, file_bytes);
        status = take_header(walk, number == 0);
    } else {
        status = fail(walk, ST_IO, "cannot read");
    }
    if (status == ST_OK)
        status = take_frames(walk, number + 1 == walk->segments_count);
    env_file_close(file);
    return status;
}

static void on_name(void *ctx, const char *name)
{
    struct walk *walk = ctx;
    char expected[PATH_BYTES];
    unsigned long long id = strtoull(name, NULL, 16);
    (void)snprintf(expected, sizeof expected, "%016llx.log", id);
    if (strcmp(name, expected) != 0)
        return; /* the spare, or nothing of ours */
    if (walk->segments_count == walk->segments_capacity) {
        walk->segments_capacity = walk->segments_capacity * 2 + 16;
        walk->segments =
            mem_realloc(walk->segments, walk->segments_capacity * sizeof *walk->segments);
    }
    walk->segments[walk->segments_count++] = id;
}

static enum status take_all(struct walk *walk, struct env *env)
{
    enum status status = env_dir_list(env, DIRECTORY, on_name, walk);
    if (status != ST_OK && status != ST_NOT_FOUND) {
        errtext_set(walk->error, DIRECTORY ": %s", status_info(status)->title);
        return status;
    }
    if (walk->segments_count == 0) {
        errtext_set(walk->error, "there is no log");
        return walk->meta->has_log ? ST_CORRUPT : ST_NOT_FOUND;
    }
    for (size_t i = 0; i < walk->segments_count && walk->log.overruled == 0; i++) {
        status = take_segment(walk, env, i);
        if (status != ST_OK)
            return status;
    }
    give(walk, walk->last);
    raft_index gone = walk->log.first != 0 ? walk->log.first - 1 : walk->last;
    if (walk->segments[0] == 1 || walk->log.snapshot.index >= gone)
        return ST_OK;
    errtext_set(walk->error, DIRECTORY "/%016llx.log: the segment is missing",
                (unsigned long long)walk->segments[0] - 1);
    return ST_CORRUPT;
}

enum status audit_log_read(struct env *env, const struct meta *meta,
                           void (*on_entry)(void *ctx, const struct entry *entry), void *ctx,
                           struct audit_log *out_log, struct errtext *error)
{
    struct walk walk = {.on_entry = on_entry, .ctx = ctx, .meta = meta, .error = error};
    walk.log.has_front = true;
    wal_reader_init(&walk.reader, CHUNK_BYTES);
    enum status status = take_all(&walk, env);
    while (walk.held_count > 0)
        entry_unref(walk.held[--walk.held_count]);
    mem_free(walk.held);
    mem_free(walk.segments);
    wal_reader_release(&walk.reader);
    *out_log = walk.log;
    return status;
}
