/* Writing a snapshot: content is pulled in small pieces, as fast as was asked for, cut into blocks
 * and appended to the file. While the disk is behind by some blocks, nothing is pulled. */
#include "storage/snapfile_private.h"

#include "base/mem.h"

enum {
    PIECE_BYTES = 64 * 1024, /* pulled in one turn of the loop */
    QUEUED_BYTES_MAX = 4 * LIMIT_SNAPSHOT_BLOCK_BYTES
};

#define SECOND_US ((time_us)1000000)
/* How far behind its pace it may catch up at once. */
#define BURST_US ((time_us)20000)

struct snapfile_writer {
    struct snapfile_output *output; /* owned; NULL: it could not be made, or has ended */
    struct buf content;             /* pulled, less than a block */
    struct snapfile_stream stream;
    struct env_timer timer;
    time_us due; /* when the next piece is, by the pace */
    bool is_waiting;
    bool has_all;
    enum status status; /* of making the file */
    struct snapfile_options options;
    bool (*read)(void *ctx, size_t bytes_max, struct buf *out);
    void (*on_done)(void *ctx, enum status status, const struct snapshot_info *info);
    void *ctx;

    struct env *env; /* borrowed */
};

static void writer_free(struct snapfile_writer *writer)
{
    env_timer_set(writer->env, &writer->timer, TIME_NEVER);
    buf_release(&writer->content);
    mem_free(writer);
}

static void report(struct snapfile_writer *writer, enum status status)
{
    struct snapshot_info info = {.last = writer->options.last, .bytes = writer->stream.file_bytes};
    writer->on_done(writer->ctx, status, status == ST_OK ? &info : NULL);
    writer_free(writer);
}

static void pull(struct snapfile_writer *writer)
{
    struct buf *content = &writer->content, *out = &writer->output->filling;
    size_t before = content->count;
    uint32_t block_bytes = writer->options.block_bytes;
    writer->has_all = !writer->read(writer->ctx, PIECE_BYTES, content);
    INVARIANT(!content->is_full);
    uint64_t pulled = content->count - before;
    size_t used = 0;
    /* A block that is just full waits: it may be the last one. */
    for (; content->count - used > block_bytes; used += block_bytes)
        snapfile_format_put_block(&writer->stream, bytes_of(content->data + used, block_bytes),
                                  false, out);
    buf_consume(content, used);
    if (writer->has_all) {
        snapfile_format_put_block(&writer->stream, buf_bytes(content), true, out);
        snapfile_format_end(&writer->stream, out);
    }
    if (writer->options.bytes_per_second > 0)
        writer->due += (time_us)(pulled * SECOND_US / writer->options.bytes_per_second);
}

static void set_timer(struct snapfile_writer *writer)
{
    time_us now = env_now(writer->env);
    writer->due = MAX(writer->due, now - BURST_US);
    env_timer_set(writer->env, &writer->timer, MAX(writer->due, now));
}

static void on_timer(void *ctx)
{
    struct snapfile_writer *writer = ctx;
    if (writer->status != ST_OK) {
        report(writer, writer->status);
        return;
    }
    writer->is_waiting = snapfile_output_queued(writer->output) >= QUEUED_BYTES_MAX;
    if (writer->is_waiting)
        return; /* on_written goes on */
    pull(writer);
    if (writer->has_all) {
        snapfile_output_finish(writer->output);
        return;
    }
    snapfile_output_write(writer->output);
    set_timer(writer);
}

static void on_written(void *ctx)
{
    struct snapfile_writer *writer = ctx;
    if (!writer->is_waiting)
        return;
    writer->is_waiting = false;
    set_timer(writer);
}

static void on_end(void *ctx, enum status status)
{
    struct snapfile_writer *writer = ctx;
    writer->output = NULL;
    report(writer, status);
}

struct snapfile_writer *snapfile_write_start(
    struct env *env, const struct snapfile_options *options,
    bool (*read)(void *ctx, size_t bytes_max, struct buf *out),
    void (*on_done)(void *ctx, enum status status, const struct snapshot_info *info), void *ctx)
{
    REQUIRE(options->last.index > 0);
    REQUIRE(options->block_bytes <= LIMIT_SNAPSHOT_BLOCK_BYTES);
    struct snapfile_writer *writer = mem_alloc(sizeof *writer);
    *writer = (struct snapfile_writer){
        .options = *options, .read = read, .on_done = on_done, .ctx = ctx, .env = env};
    if (options->block_bytes == 0)
        writer->options.block_bytes = LIMIT_SNAPSHOT_BLOCK_BYTES;
    buf_init(&writer->content, SIZE_MAX / 2);
    env_timer_init(&writer->timer, on_timer, writer);
    struct errtext ignored; /* the status says enough about a file that is tried again later */
    writer->status = snapfile_output_new(env, options->last, ".tmp", on_written, on_end, writer,
                                         &writer->output, &ignored);
    if (writer->status == ST_OK) {
        writer->output->write.leaves_cache = options->leaves_cache;
        snapfile_format_begin(&writer->stream, options->cluster_id, options->last,
                              writer->options.block_bytes, &writer->output->filling);
    }
    writer->due = env_now(env);
    env_timer_set(env, &writer->timer, writer->due);
    return writer;
}

void snapfile_write_cancel(struct snapfile_writer *writer)
{
    if (writer == NULL)
        return;
    snapfile_output_abandon(writer->output);
    writer_free(writer);
}

uint64_t snapfile_write_progress(const struct snapfile_writer *writer)
{
    return writer->stream.file_bytes;
}
