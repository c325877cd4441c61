/* Receiving a snapshot: whatever pieces the bytes come in, each block is checked, handed on and
 * written, and nothing is written that was not checked. */
#include "storage/snapfile_private.h"

#include "base/mem.h"

struct snapfile_receiver {
    struct snapfile_output *output; /* owned; NULL: it has ended */
    struct buf pending;             /* received, less than a block */
    struct snapfile_stream stream;  /* where the checked bytes end */
    uint64_t cluster_id;
    struct snapshot_info info;
    enum status status; /* ST_OK while all is well */
    struct env_task task;
    enum status (*feed)(void *ctx, struct bytes content);
    void *feed_ctx;
    void (*on_done)(void *ctx, enum status status); /* NULL: not finishing */
    void *done_ctx;

    struct env *env; /* borrowed */
};

static void on_task(void *ctx)
{
    struct snapfile_receiver *receiver = ctx;
    receiver->on_done(receiver->done_ctx, receiver->status);
}

static void on_written(void *ctx)
{
    (void)ctx; /* whoever puts looks at what is queued */
}

static void on_end(void *ctx, enum status status)
{
    struct snapfile_receiver *receiver = ctx;
    receiver->output = NULL;
    receiver->status = status;
    if (receiver->on_done != NULL)
        receiver->on_done(receiver->done_ctx, status);
}

enum status snapfile_receiver_new(struct env *env, uint64_t cluster_id,
                                  const struct snapshot_info *info,
                                  enum status (*feed)(void *ctx, struct bytes content), void *ctx,
                                  struct snapfile_receiver **out_receiver, struct errtext *error)
{
    REQUIRE(info->last.index > 0);
    struct snapfile_receiver *receiver = mem_alloc(sizeof *receiver);
    *receiver = (struct snapfile_receiver){
        .cluster_id = cluster_id, .info = *info, .feed = feed, .feed_ctx = ctx, .env = env};
    buf_init(&receiver->pending, SIZE_MAX / 2);
    env_task_init(&receiver->task, on_task, receiver);
    enum status status = snapfile_output_new(env, info->last, ".part", on_written, on_end, receiver,
                                             &receiver->output, error);
    if (status != ST_OK) {
        snapfile_receiver_free(receiver);
        return status;
    }
    *out_receiver = receiver;
    return ST_OK;
}

uint64_t snapfile_receiver_offset(const struct snapfile_receiver *receiver)
{
    return receiver->stream.file_bytes + receiver->pending.count;
}

size_t snapfile_receiver_queued(const struct snapfile_receiver *receiver)
{
    return receiver->output != NULL ? snapfile_output_queued(receiver->output) : 0;
}

static enum status check_header(const struct snapfile_receiver *receiver, struct errtext *error)
{
    const struct snapfile_stream *stream = &receiver->stream;
    if (stream->cluster_id != receiver->cluster_id) {
        errtext_set(error, "a snapshot of another cluster");
        return ST_FORMAT;
    }
    if (!entry_id_equal(stream->last, receiver->info.last)) {
        errtext_set(error, "another snapshot than was offered");
        return ST_CORRUPT;
    }
    return ST_OK;
}

/* The next part of what is pending; the caller consumes `out_taken` bytes of it. */
static enum status take_part(struct snapfile_receiver *receiver, struct bytes in, size_t *out_taken,
                             struct errtext *error)
{
    bool is_header = receiver->stream.next == SNAPFILE_HEADER;
    struct bytes content;
    enum status status = snapfile_format_take(&receiver->stream, in, out_taken, &content, error);
    if (status == ST_OK && is_header)
        status = check_header(receiver, error);
    if (status != ST_OK)
        return status;
    buf_put(&receiver->output->filling, bytes_of(in.data, *out_taken));
    if (content.count == 0)
        return ST_OK;
    status = receiver->feed(receiver->feed_ctx, content);
    if (status != ST_OK)
        errtext_set(error, "the content is malformed");
    return status == ST_OK ? ST_OK : ST_CORRUPT;
}

static enum status take_all(struct snapfile_receiver *receiver, struct errtext *error)
{
    struct bytes pending = buf_bytes(&receiver->pending);
    size_t used = 0;
    enum status status;
    do {
        size_t taken = 0;
        status =
            take_part(receiver, bytes_of(pending.data + used, pending.count - used), &taken, error);
        used += taken;
    } while (status == ST_OK);
    if (status != ST_SHORT && status != ST_NOT_FOUND)
        return status;
    buf_consume(&receiver->pending, used);
    snapfile_output_write(receiver->output);
    bool is_end = receiver->stream.next == SNAPFILE_END;
    uint64_t offset = snapfile_receiver_offset(receiver);
    if (offset > receiver->info.bytes || is_end != (offset == receiver->info.bytes)) {
        errtext_set(error, "another length than was offered");
        return ST_CORRUPT;
    }
    return ST_OK;
}

enum status snapfile_receiver_put(struct snapfile_receiver *receiver, uint64_t offset,
                                  struct bytes bytes, struct errtext *error)
{
    REQUIRE(receiver->on_done == NULL);
    if (receiver->status != ST_OK) {
        errtext_set(error, "%s", status_info(receiver->status)->title);
        return receiver->status;
    }
    uint64_t wanted = snapfile_receiver_offset(receiver);
    if (offset > wanted)
        return ST_BUSY;
    if (wanted - offset >= bytes.count)
        return ST_OK; /* there already */
    if (snapfile_receiver_queued(receiver) + receiver->pending.count + bytes.count >
        LIMIT_SNAPSHOT_QUEUE_BYTES)
        return ST_BUSY;
    size_t known = (size_t)(wanted - offset);
    buf_put(&receiver->pending, bytes_of(bytes.data + known, bytes.count - known));
    receiver->status = take_all(receiver, error);
    if (receiver->status == ST_OK)
        return ST_OK;
    errtext_wrap(error, "snapshot: at offset %llu",
                 (unsigned long long)receiver->stream.file_bytes);
    return receiver->status;
}

void snapfile_receiver_finish(struct snapfile_receiver *receiver,
                              void (*on_done)(void *ctx, enum status status), void *ctx)
{
    REQUIRE(receiver->on_done == NULL);
    receiver->on_done = on_done;
    receiver->done_ctx = ctx;
    if (receiver->status == ST_OK && receiver->stream.next != SNAPFILE_END)
        receiver->status = ST_CORRUPT;
    if (receiver->status == ST_OK)
        snapfile_output_finish(receiver->output);
    else
        env_task_post(receiver->env, &receiver->task);
}

void snapfile_receiver_free(struct snapfile_receiver *receiver)
{
    if (receiver == NULL)
        return;
    env_task_cancel(receiver->env, &receiver->task);
    snapfile_output_abandon(receiver->output);
    buf_release(&receiver->pending);
    mem_free(receiver);
}
