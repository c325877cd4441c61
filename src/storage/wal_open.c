/* Opening: what is in the directory, recovered or made anew, and sure to stay. */
#include "storage/wal_private.h"

#include "base/mem.h"

struct names {
    struct wal *wal;
    struct buf ids;
};

/* Names come in rising order, so do the ids. */
static void collect_id(void *ctx, const char *name)
{
    struct names *names = ctx;
    uint64_t id = wal_segment_id_of(name), retired_id = wal_retired_id_of(name);
    if (id != 0)
        buf_put(&names->ids, bytes_of(&id, sizeof id));
    if (retired_id != 0)
        wal_spare_note_retired(names->wal, retired_id);
}

/* A sync that fails may leave its frame in the page cache, marked as clean: it reads well, no later
 * sync writes it, and the next power failure takes it (FAULTS S2). Written again, the same bytes
 * become the next sync's business. Only the last frame can be such: none is written before the one
 * in front of it is durable. */
static enum status rewrite_last_frame(struct wal *wal)
{
    uint64_t end = wal_active_segment(wal)->end;
    REQUIRE(wal->last_frame_at >= WAL_BLOCK_BYTES && wal->last_frame_at < end);
    size_t count = (size_t)(end - wal->last_frame_at), got = 0;
    uint8_t *bytes = mem_alloc_raw(count);
    enum status status = env_file_read(wal->active, wal->last_frame_at, bytes, count, &got);
    if (status == ST_OK)
        status = env_file_write(wal->active, wal->last_frame_at, bytes_of(bytes, got));
    mem_free(bytes);
    return status;
}

/* Replays what is there; after that the tail that was read is also on disk, for sure. A process
 * that died may have left frames in the page cache only: answering for them now and losing them
 * with the power would break a promise. */
static enum status recover_all(struct wal *wal, const struct buf *ids,
                               void (*on_entry)(void *ctx, struct entry *entry), void *ctx,
                               uint64_t *out_torn_bytes, struct errtext *error)
{
    enum status status =
        wal_recover(wal, (const uint64_t *)(const void *)ids->data, ids->count / sizeof(uint64_t),
                    on_entry, ctx, out_torn_bytes, error);
    if (status != ST_OK)
        return status;
    char path[WAL_PATH_BYTES];
    (void)wal_segment_path(wal, wal_active_segment(wal)->id, path);
    status = env_file_open(wal->env, path, ENV_OPEN_WRITE, &wal->active, error);
    if (status != ST_OK) {
        errtext_wrap(error, "%s", path);
        return status;
    }
    status = rewrite_last_frame(wal);
    if (status == ST_OK)
        status = env_file_sync(wal->active);
    if (status != ST_OK)
        errtext_set(error, "%s: sync: %s", path, status_info(status)->title);
    return status;
}

static enum status missing(const struct wal *wal, struct errtext *error)
{
    errtext_set(
        error,
        "%s: the log is missing; this directory has lost data. Start the node with an empty "
        "directory, once it has been admitted anew",
        wal->directory);
    return ST_CORRUPT;
}

enum status wal_open_log(struct wal *wal, void (*on_entry)(void *ctx, struct entry *entry),
                         void *ctx, uint64_t *out_torn_bytes, struct errtext *error)
{
    enum status status = env_dir_make(wal->env, wal->directory);
    if (status != ST_OK) {
        errtext_set(error, "%s: make directory: %s", wal->directory, status_info(status)->title);
        return status;
    }
    struct names names = {.wal = wal};
    struct buf *ids = &names.ids;
    buf_init(ids, SIZE_MAX / 2);
    status = env_dir_list(wal->env, wal->directory, collect_id, &names);
    if (status != ST_OK)
        errtext_set(error, "%s: list: %s", wal->directory, status_info(status)->title);
    else if (ids->count == 0 && wal->options.must_exist)
        status = missing(wal, error);
    else if (ids->count == 0)
        status = wal_segment_create_first(wal, error);
    else
        status = recover_all(wal, ids, on_entry, ctx, out_torn_bytes, error);
    buf_release(ids);
    if (status != ST_OK)
        return status;
    env_file_bypass_cache(wal->active);
    status = wal_segment_sync_names(wal);
    if (status != ST_OK)
        errtext_set(error, "%s: sync: %s", wal->directory, status_info(status)->title);
    return status;
}
