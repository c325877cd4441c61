/* A data directory that begins with a state: snapshot, then a log with its mark, then meta. Each is
 * durable before the next, so that whatever is there of it means what it says. */
#include "restore/restore.h"

#include <xxhash.h>

#include "base/mem.h"
#include "storage/meta.h"
#include "storage/snapfile.h"
#include "storage/wal.h"

struct restore {
    struct kv *kv;                  /* borrowed */
    struct kv_image *image;         /* owned */
    struct snapfile_writer *writer; /* owned while it writes */
    struct wal *wal;                /* owned while the mark is written */
    struct meta meta;
    struct env_task end; /* the log cannot be closed from within its callback */
    enum status status;
    void (*on_done)(void *ctx, enum status status, uint64_t cluster_id);
    void *ctx;

    struct env *env; /* borrowed */
};

/* From all that the nodes of the new cluster have in common, and no other cluster has. */
static uint64_t make_cluster_id(const struct restore_options *options, const struct kv *kv)
{
    struct kv_stats stats;
    struct buf text;
    kv_stats(kv, &stats);
    buf_init(&text, LIMIT_MEMBERS * (LIMIT_ADDRESS_BYTES + 16) + 64);
    config_encode(&options->members, &text);
    buf_put_u64(&text, options->from_cluster_id);
    buf_put_u64(&text, stats.applied.term);
    buf_put_u64(&text, stats.applied.index);
    buf_put_u64(&text, kv_digest(kv));
    INVARIANT(!text.is_full);
    uint64_t id = XXH3_64bits(text.data, text.count);
    buf_release(&text);
    return id != 0 ? id : 1;
}

static void restore_on_end(void *ctx)
{
    struct restore *restore = ctx;
    struct errtext error;
    wal_close(restore->wal);
    restore->wal = NULL;
    if (restore->status == ST_OK)
        restore->status = meta_save(restore->env, &restore->meta, &error);
    restore->on_done(restore->ctx, restore->status, restore->meta.cluster_id);
}

static void end(struct restore *restore, enum status status)
{
    restore->status = status;
    env_task_post(restore->env, &restore->end);
}

static void restore_on_durable(void *ctx, uint64_t sequence)
{
    (void)sequence; /* there is one append */
    end(ctx, ST_OK);
}

static void restore_on_failed(void *ctx, enum status status)
{
    end(ctx, status);
}

/* What a node would find missing at its first start: a log that knows of the snapshot. */
static enum status begin_log(struct restore *restore, struct entry_id last)
{
    struct wal_options options = {.directory = "wal",
                                  .segment_bytes = WAL_SEGMENT_BYTES_DEFAULT,
                                  .owner = {restore->meta.cluster_id, restore->meta.identity}};
    struct wal_callbacks callbacks = {
        .on_durable = restore_on_durable, .on_failed = restore_on_failed, .ctx = restore};
    struct wal_recovered found;
    struct errtext error;
    uint64_t sequence;
    enum status status =
        wal_open(restore->env, &options, &callbacks, NULL, NULL, &restore->wal, &found, &error);
    return status == ST_OK ? wal_mark(restore->wal, last, &sequence) : status;
}

static void restore_on_written(void *ctx, enum status status, const struct snapshot_info *info)
{
    struct restore *restore = ctx;
    restore->writer = NULL;
    if (status == ST_OK)
        status = begin_log(restore, info->last);
    if (status != ST_OK)
        end(restore, status);
}

static bool restore_on_read(void *ctx, size_t bytes_max, struct buf *out)
{
    struct restore *restore = ctx;
    return kv_image_read(restore->image, bytes_max, out);
}

enum status restore_start(struct env *env, const struct restore_options *options, struct kv *kv,
                          void (*on_done)(void *ctx, enum status status, uint64_t cluster_id),
                          void *ctx, struct restore **out_restore, struct errtext *error)
{
    REQUIRE(config_find(&options->members, options->self) != NULL);
    enum status status = env_lock(env, "lock", error);
    if (status != ST_OK)
        return status;
    struct restore *restore = mem_alloc(sizeof *restore);
    *restore = (struct restore){.kv = kv, .on_done = on_done, .ctx = ctx, .env = env};
    restore->meta = (struct meta){.cluster_id = make_cluster_id(options, kv),
                                  .identity = env_random(env) | 1,
                                  .node = options->self,
                                  .has_log = true,
                                  .initial = options->members};
    kv_replace_members(kv, &options->members);
    env_task_init(&restore->end, restore_on_end, restore);
    restore->image = kv_pin(kv);
    struct snapfile_options file = {.cluster_id = restore->meta.cluster_id,
                                    .last = kv_image_applied(restore->image)};
    restore->writer =
        snapfile_write_start(env, &file, restore_on_read, restore_on_written, restore);
    *out_restore = restore;
    return ST_OK;
}

void restore_progress(const struct restore *restore, uint64_t *out_bytes, uint64_t *out_of)
{
    *out_of = kv_image_bytes(restore->image);
    *out_bytes = restore->writer == NULL ? *out_of : snapfile_write_progress(restore->writer);
}

void restore_free(struct restore *restore)
{
    if (restore == NULL)
        return;
    snapfile_write_cancel(restore->writer);
    wal_close(restore->wal);
    env_task_cancel(restore->env, &restore->end);
    kv_unpin(restore->kv, restore->image);
    mem_free(restore);
}
