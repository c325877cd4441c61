/* The log in words. Follows the rules of recovery (docs/formats/wal.md, "Recovery"), but where
 * recovery stops at damage, this goes on behind it. */
#include "inspect/inspect.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"
#include "base/mem.h"

enum { PATH_BYTES_MAX = 4096 };
#define FILE_BYTES_MAX ((size_t)1 << 36)

struct walk {
    FILE *out;
    bool is_brief;
    enum exit_code code;

    /* What must come next; seq 0: anything, because what came before is unknown. */
    uint64_t seq;
    uint32_t chain;
    bool is_torn; /* the last segment ended in bytes that are no frame */
    char torn_path[PATH_BYTES_MAX];
    uint64_t torn_offset;

    /* The sum. */
    uint64_t segments_count, frames_count, entries_count;
    struct hard_state hard_state;
    struct entry_id last;
    struct entry_id snapshot; /* the last mark */
    raft_index first;         /* 0: no entry */
    uint64_t oldest_segment;  /* by its header */
    raft_index commit;

    /* The segment at hand. */
    const char *path;
    struct bytes file;
    struct wal_segment_header header;
};

static void print_damage(struct walk *walk, const char *path, uint64_t offset, const char *what)
{
    (void)fprintf(walk->out, "%s: DAMAGED at offset %" PRIu64 ": %s\n", path, offset, what);
    walk->code = inspect_worse(walk->code, EXIT_CODE_CORRUPT);
}

static bool note_mark(struct walk *walk, struct bytes payload)
{
    struct wal_mark mark;
    if (wal_format_decode_mark(payload, &mark) != ST_OK)
        return false;
    walk->snapshot = mark.snapshot;
    if (mark.begins_anew) {
        walk->last = mark.snapshot;
        walk->first = 0;
    }
    return true;
}

/* Adds a record to the sum; false when it is malformed. */
static bool note_record(struct walk *walk, const struct wal_record *record)
{
    struct entry *entry;
    switch (record->type) {
    case WAL_RECORD_ENTRY:
        if (wal_format_decode_entry(record->payload, &entry) != ST_OK)
            return false;
        walk->entries_count++;
        walk->last = entry->id;
        if (walk->first == 0 || entry->id.index < walk->first)
            walk->first = entry->id.index;
        entry_unref(entry);
        return true;
    case WAL_RECORD_HARD_STATE:
        return wal_format_decode_hard_state(record->payload, &walk->hard_state) == ST_OK;
    case WAL_RECORD_SNAPSHOT:
        return note_mark(walk, record->payload);
    }
    UNREACHABLE();
}

static void walk_records(struct walk *walk, uint64_t offset, const struct wal_frame_header *frame,
                         struct bytes records)
{
    struct cursor cursor = cursor_of(records);
    struct wal_record record;
    uint32_t count = 0;
    enum status status;
    while ((status = wal_format_next_record(&cursor, &record)) == ST_OK) {
        if (!note_record(walk, &record))
            break;
        if (!walk->is_brief) {
            (void)fputs("                ", walk->out);
            inspect_print_record(walk->out, &record);
        }
        count++;
    }
    if (status != ST_NOT_FOUND || count != frame->records_count)
        print_damage(walk, walk->path, offset, "malformed records in a frame that is whole");
}

static void walk_frame(struct walk *walk, uint64_t offset, const struct wal_frame_header *frame,
                       struct bytes records)
{
    if (walk->seq != 0 && (frame->seq != walk->seq || frame->chain != walk->chain))
        print_damage(walk, walk->path, offset, "this frame does not follow the one before it");
    if (!walk->is_brief)
        (void)fprintf(walk->out,
                      "  %10" PRIu64 "  frame %" PRIu64 ": %u records, %u bytes, durable %" PRIu64
                      ", commit %" PRIu64 "%s\n",
                      offset, frame->seq, frame->records_count, frame->records_bytes,
                      frame->durable_seq, frame->commit,
                      frame->records_count == 0 ? " (seal)" : "");
    walk_records(walk, offset, frame, records);
    walk->frames_count++;
    walk->seq = frame->seq + 1;
    walk->chain = frame->checksum;
    walk->commit = MAX(walk->commit, frame->commit);
}

static bool decode_at(const struct walk *walk, uint64_t offset, struct wal_frame_header *frame,
                      struct bytes *records)
{
    struct bytes rest = bytes_of(walk->file.data + offset, walk->file.count - (size_t)offset);
    return wal_format_decode_frame(rest, walk->header.segment, walk->header.salt, offset, frame,
                                   records) == ST_OK;
}

static bool is_zero(struct bytes bytes)
{
    for (size_t i = 0; i < bytes.count; i++)
        if (bytes.data[i] != 0)
            return false;
    return true;
}

/* The next valid frame behind `offset`, or the end of the file. */
static uint64_t find_frame(const struct walk *walk, uint64_t offset, struct wal_frame_header *frame)
{
    struct bytes records;
    for (offset += WAL_BLOCK_BYTES; offset < walk->file.count; offset += WAL_BLOCK_BYTES)
        if (decode_at(walk, offset, frame, &records))
            return offset;
    return walk->file.count;
}

/* No valid frame at `offset`: the end, a torn tail or damage. Where to go on. */
static uint64_t walk_hole(struct walk *walk, uint64_t offset)
{
    struct wal_frame_header frame;
    uint64_t next = find_frame(walk, offset, &frame);
    uint64_t seq = walk->seq;
    char what[160];
    if (next < walk->file.count && frame.durable_seq >= seq) {
        (void)snprintf(what, sizeof what,
                       "frame %" PRIu64 " is damaged: frame %" PRIu64 " at offset %" PRIu64
                       " proves it was synced",
                       seq, frame.seq, next);
        print_damage(walk, walk->path, offset, what);
        walk->seq = 0;
        return next;
    }
    if (offset == WAL_BLOCK_BYTES) {
        print_damage(walk, walk->path, offset, "the first frame is damaged");
        walk->seq = 0;
        return walk->file.count;
    }
    struct bytes rest = bytes_of(walk->file.data + offset, walk->file.count - (size_t)offset);
    walk->is_torn = !is_zero(rest);
    walk->torn_offset = offset;
    (void)snprintf(walk->torn_path, sizeof walk->torn_path, "%s", walk->path);
    if (!walk->is_brief)
        (void)fprintf(walk->out, "  %10" PRIu64 "  end, %zu bytes %s\n", offset, rest.count,
                      walk->is_torn ? "that are no frame" : "of zeros");
    return walk->file.count;
}

static void walk_frames(struct walk *walk)
{
    uint64_t offset = WAL_BLOCK_BYTES;
    walk->is_torn = false;
    walk->torn_offset = walk->file.count;
    (void)snprintf(walk->torn_path, sizeof walk->torn_path, "%s", walk->path);
    while (offset < walk->file.count) {
        struct wal_frame_header frame;
        struct bytes records;
        if (decode_at(walk, offset, &frame, &records)) {
            walk_frame(walk, offset, &frame, records);
            offset += wal_format_frame_bytes(frame.records_bytes);
        } else {
            offset = walk_hole(walk, offset);
        }
    }
}

/* The header against what came before; the first one says where the log begins. */
static void walk_header(struct walk *walk)
{
    const struct wal_segment_header *header = &walk->header;
    if (!walk->is_brief)
        (void)fprintf(walk->out,
                      "           0  segment %" PRIu64 ": cluster %016" PRIx64
                      ", identity %016" PRIx64 ", salt %016" PRIx64 "\n"
                      "              begins with frame %" PRIu64 " behind %" PRIu64 ":%" PRIu64
                      ", term %" PRIu64 ", vote %u, commit %" PRIu64 "\n",
                      header->segment, header->owner[0], header->owner[1], header->salt,
                      header->first_seq, header->last.term, header->last.index,
                      header->hard_state.term, header->hard_state.vote, header->commit);
    bool is_first = walk->segments_count == 0;
    if (!is_first && walk->seq != 0 &&
        (header->first_seq != walk->seq || header->chain != walk->chain)) {
        char what[160];
        (void)snprintf(what, sizeof what,
                       "frame %" PRIu64 " is damaged, but the next segment begins with %" PRIu64,
                       walk->seq, header->first_seq);
        print_damage(walk, walk->torn_path, walk->torn_offset, what);
    }
    if (is_first) {
        walk->hard_state = header->hard_state;
        walk->last = header->last;
        walk->commit = header->commit;
        walk->snapshot = header->snapshot;
        walk->oldest_segment = header->segment;
    }
    walk->seq = header->first_seq;
    walk->chain = header->chain;
    walk->segments_count++;
}

/* `id` is what the name says; 0: nothing. */
static void walk_segment(struct walk *walk, const char *path, uint64_t id)
{
    struct buf bytes;
    struct errtext error;
    buf_init(&bytes, FILE_BYTES_MAX);
    if (!inspect_read_file(path, &bytes)) {
        walk->code = inspect_worse(walk->code, EXIT_CODE_FAILURE);
        walk->seq = 0;
        buf_release(&bytes);
        return;
    }
    walk->path = path;
    walk->file = buf_bytes(&bytes);
    (void)fprintf(walk->out, "%s: %zu bytes\n", path, bytes.count);
    enum status status = wal_format_decode_segment(walk->file, &walk->header, &error);
    if (status == ST_OK) {
        walk_header(walk);
        if (id != 0 && id != walk->header.segment)
            print_damage(walk, path, 0, "another segment than its name says");
        walk_frames(walk);
    } else if (status == ST_FORMAT) {
        (void)fprintf(walk->out, "%s: %s\n", path, error.text);
        walk->code = inspect_worse(walk->code, EXIT_CODE_FORMAT);
        walk->seq = 0;
    } else {
        print_damage(walk, path, 0, error.text);
        walk->seq = 0; /* without the salt no frame can be told from noise */
    }
    buf_release(&bytes);
}

static void print_sum(const struct walk *walk)
{
    if (walk->segments_count > 0)
        (void)fprintf(walk->out,
                      "%" PRIu64 " segments, %" PRIu64 " frames, %" PRIu64
                      " entries; last entry %" PRIu64 ":%" PRIu64 ", term %" PRIu64
                      ", vote %u, commit at least %" PRIu64 "\n",
                      walk->segments_count, walk->frames_count, walk->entries_count,
                      walk->last.term, walk->last.index, walk->hard_state.term,
                      walk->hard_state.vote, MIN(walk->commit, walk->last.index));
    if (walk->snapshot.index > 0)
        (void)fprintf(walk->out, "last snapshot mark %" PRIu64 ":%" PRIu64 "\n",
                      walk->snapshot.term, walk->snapshot.index);
    if (walk->code == EXIT_CODE_CORRUPT)
        (void)fputs("DAMAGED: a node refuses this log\n", walk->out);
    else if (walk->code == EXIT_CODE_OK && walk->is_torn)
        (void)fprintf(walk->out,
                      "whole, with a torn tail: what follows %s offset %" PRIu64
                      " was never acknowledged\n",
                      walk->torn_path, walk->torn_offset);
    else if (walk->code == EXIT_CODE_OK)
        (void)fputs("whole\n", walk->out);
}

/* Of a whole log only what a mark covers may be gone from the front. */
static void check_front(struct walk *walk)
{
    raft_index gone = walk->first > 0 ? walk->first - 1 : walk->last.index;
    if (walk->oldest_segment <= 1 || walk->code != EXIT_CODE_OK || gone <= walk->snapshot.index)
        return;
    (void)fprintf(walk->out,
                  "DAMAGED: the segments before %016" PRIx64 " are missing, and no snapshot is "
                  "marked of what they held\n",
                  walk->oldest_segment);
    walk->code = EXIT_CODE_CORRUPT;
}

static int is_segment(const struct dirent *item)
{
    size_t count = strlen(item->d_name);
    return count == 20 && strspn(item->d_name, "0123456789abcdef") == 16 &&
           strcmp(item->d_name + 16, ".log") == 0;
}

static int compare_names(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Every segment of a directory, in order, and a gap between two names. How many there were. */
static int walk_directory(struct walk *walk, const char *directory)
{
    struct dirent **items;
    int count = scandir(directory, &items, is_segment, compare_names);
    uint64_t expected = 0; /* of the oldest one, whichever that is */
    for (int i = 0; i < count; i++) {
        char path[PATH_BYTES_MAX];
        uint64_t id = strtoull(items[i]->d_name, NULL, 16);
        (void)snprintf(path, sizeof path, "%s/%s", directory, items[i]->d_name);
        if (expected != 0 && id != expected) {
            (void)fprintf(walk->out, "%s: DAMAGED: segment %016" PRIx64 " is missing\n", directory,
                          expected);
            walk->code = inspect_worse(walk->code, EXIT_CODE_CORRUPT);
            walk->seq = 0;
        }
        walk_segment(walk, path, id);
        expected = id + 1;
        free(items[i]); /* scandir's */
    }
    if (count >= 0)
        free(items);
    return count;
}

enum exit_code inspect_wal(FILE *out, const char *path, bool is_brief)
{
    struct walk walk = {.out = out, .is_brief = is_brief};
    struct stat info = {.st_mode = 0};
    if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode)) {
        walk_segment(&walk, path, 0);
    } else if (walk_directory(&walk, path) == 0) {
        char inner[PATH_BYTES_MAX];
        (void)snprintf(inner, sizeof inner, "%s/wal", path);
        if (walk_directory(&walk, inner) <= 0) {
            (void)fprintf(stderr, "minikv-inspect: %s: no log here\n", path);
            return EXIT_CODE_FAILURE;
        }
    }
    if (S_ISDIR(info.st_mode))
        check_front(&walk);
    print_sum(&walk);
    return walk.code;
}
