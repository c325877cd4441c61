/* Segments: names, headers, and how a file becomes one.
 *
 * 1 a file named "spare" is made and filled with zeros, away from the log's path;
 * 2 its header and its first frame are written and synced while it still has that name;
 * 3 it is renamed to <id>.log and the directory is synced; only now does the frame count.
 *
 * So every file named .log has a durable header and a durable first frame, and damage to either is
 * never taken for a crash. A crash before 3 leaves a spare, whose bytes mean nothing. */
#include "storage/wal_private.h"

#include <stdio.h>

#include "base/mem.h"

enum { SEGMENTS_MIN = 16, NAME_DIGITS = 16 };

const char *wal_segment_path(const struct wal *wal, uint64_t id, char out[WAL_PATH_BYTES])
{
    (void)snprintf(out, WAL_PATH_BYTES, "%s/%016llx.log", wal->directory, (unsigned long long)id);
    return out;
}

const char *wal_spare_path(const struct wal *wal, char out[WAL_PATH_BYTES])
{
    (void)snprintf(out, WAL_PATH_BYTES, "%s/spare", wal->directory);
    return out;
}

const char *wal_retired_path(const struct wal *wal, uint64_t id, char out[WAL_PATH_BYTES])
{
    (void)snprintf(out, WAL_PATH_BYTES, "%s/spare-%016llx", wal->directory, (unsigned long long)id);
    return out;
}

/* Of 16 hex digits and just this behind them; 0: something else. */
static uint64_t parse_id(const char *name, const char *end)
{
    uint64_t id = 0;
    for (int i = 0; i < NAME_DIGITS; i++) {
        char c = name[i];
        if (c >= '0' && c <= '9')
            id = id << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            id = id << 4 | (uint64_t)(c - 'a' + 10);
        else
            return 0;
    }
    return strcmp(name + NAME_DIGITS, end) == 0 ? id : 0;
}

uint64_t wal_segment_id_of(const char *name)
{
    return parse_id(name, ".log");
}

uint64_t wal_retired_id_of(const char *name)
{
    static const char prefix[] = "spare-";
    size_t count = sizeof prefix - 1;
    return strncmp(name, prefix, count) == 0 ? parse_id(name + count, "") : 0;
}

void wal_segment_add(struct wal *wal, struct wal_segment segment)
{
    REQUIRE(wal->segments_count == 0 ||
            segment.id == wal->segments[wal->segments_count - 1].id + 1);
    if (wal->segments_count == wal->segments_capacity) {
        wal->segments_capacity = MAX(wal->segments_capacity * 2, (size_t)SEGMENTS_MIN);
        wal->segments = mem_realloc(wal->segments, wal->segments_capacity * sizeof *wal->segments);
    }
    wal->segments[wal->segments_count++] = segment;
}

struct wal_segment *wal_active_segment(struct wal *wal)
{
    REQUIRE(wal->segments_count > 0);
    return &wal->segments[wal->segments_count - 1];
}

void wal_segment_encode_header(const struct wal *wal, const struct wal_segment *segment,
                               uint8_t out[WAL_BLOCK_BYTES])
{
    struct wal_segment_header header = {
        .owner = {wal->options.owner[0], wal->options.owner[1]},
        .segment = segment->id,
        .salt = segment->salt,
        .first_seq = wal->next_seq,
        .chain = wal->chain,
        .hard_state = wal->durable.hard_state,
        .commit = wal->durable.commit,
        .last = wal->durable.last,
        .snapshot = wal->durable.snapshot,
    };
    wal_format_encode_segment(&header, out);
}

static enum status write_first(struct wal *wal, struct env_file *file, struct wal_segment *segment)
{
    size_t file_bytes = (size_t)MIN(wal->options.segment_bytes, WAL_FIRST_SEGMENT_BYTES);
    uint8_t *bytes = mem_alloc(file_bytes);
    *segment = (struct wal_segment){.id = 1, .salt = env_random(wal->env)};
    struct wal_frame_header frame = {.segment = 1, .seq = wal->next_seq};
    wal_segment_encode_header(wal, segment, bytes);
    wal_format_seal_frame(&frame, segment->salt, WAL_BLOCK_BYTES, bytes + WAL_BLOCK_BYTES);
    segment->end = WAL_BLOCK_BYTES + wal_format_frame_bytes(0);

    enum status status = env_file_write(file, 0, bytes_of(bytes, file_bytes));
    mem_free(bytes);
    if (status == ST_OK)
        status = env_file_sync(file);
    if (status != ST_OK)
        return status;
    wal->chain = frame.checksum;
    wal->next_seq++;
    wal->is_sealed = true;
    wal->active_bytes = file_bytes;
    return ST_OK;
}

enum status wal_segment_create_first(struct wal *wal, struct errtext *error)
{
    REQUIRE(wal->segments_count == 0);
    char path[WAL_PATH_BYTES], spare_path[WAL_PATH_BYTES];
    (void)wal_spare_path(wal, spare_path);
    struct env_file *file;
    /* A spare is there when an earlier first start was cut short. */
    enum status status = env_file_open(wal->env, spare_path, ENV_OPEN_WRITE, &file, error);
    if (status == ST_NOT_FOUND)
        status = env_file_open(wal->env, spare_path, ENV_OPEN_CREATE, &file, error);
    if (status != ST_OK) {
        errtext_wrap(error, "%s: create", spare_path);
        return status;
    }
    struct wal_segment segment;
    status = write_first(wal, file, &segment);
    if (status == ST_OK)
        status = env_rename(wal->env, spare_path, wal_segment_path(wal, segment.id, path));
    if (status != ST_OK) {
        env_file_close(file);
        errtext_set(error, "%s: %s", spare_path, status_info(status)->title);
        return status;
    }
    wal->active = file;
    wal_segment_add(wal, segment);
    return ST_OK;
}

enum status wal_segment_enter(struct wal *wal, struct wal_segment segment)
{
    REQUIRE(segment.id == wal_active_segment(wal)->id + 1);
    char path[WAL_PATH_BYTES], spare_path[WAL_PATH_BYTES];
    enum status status = env_rename(wal->env, wal_spare_path(wal, spare_path),
                                    wal_segment_path(wal, segment.id, path));
    if (status == ST_OK)
        status = env_dir_sync(wal->env, wal->directory);
    if (status != ST_OK)
        return status;
    env_file_close(wal->active);
    wal->active_bytes = wal->spare.filled_bytes;
    wal->active = wal_spare_take(wal);
    wal_segment_add(wal, segment);
    return ST_OK;
}

enum status wal_segment_sync_names(struct wal *wal)
{
    enum status status = env_dir_sync(wal->env, wal->directory);
    if (status != ST_OK)
        return status;
    char parent[WAL_DIRECTORY_BYTES];
    memcpy(parent, wal->directory, sizeof parent);
    char *slash = strrchr(parent, '/');
    if (slash == NULL)
        return env_dir_sync(wal->env, ".");
    *slash = '\0';
    return env_dir_sync(wal->env, parent);
}
