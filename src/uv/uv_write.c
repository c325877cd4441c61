/* Write: env_write_start, carried out by one thread or by the loop itself; what is in the
 * background always by another thread, so that the sync of a large file holds up no other write.
 *
 * By the thread:   1. the loop queues the request and wakes the thread
 *                  2. the thread writes, syncs, moves it to `done` and wakes the loop
 *                  3. the loop calls on_done, in the order of step 2, which is that of step 1
 * By the loop:     it does all that queued up, once per turn, when its tasks have run. The
 *                  sockets get their turn between two such rounds, so that a round takes with it
 *                  whatever arrived during the last one.
 *
 * The hand-over to the thread and back costs two wake-ups of a core, which is as much as a sync
 * itself on a good disk. So where there is a thread the loop still does what may block it, as long
 * as that goes quickly. One that was slow sends the next ones to the thread for many times as long:
 * a disk that stalls now and then must not silence a leader each time, as it would not with the
 * thread alone. */
#include "uv/uv_internal.h"

#include "base/limits.h"
#include "uv/uv_disk.h"

static time_us clock_now(void)
{
    return (time_us)(uv_hrtime() / 1000);
}

static void carry_out(struct env_write *write)
{
    enum status status = ST_OK;
    time_us begun_at = clock_now();
    if (write->bytes.count != 0)
        status = env_file_write(write->file, write->offset, write->bytes);
    if (status == ST_OK && !write->skip_sync)
        status = env_file_sync(write->file);
    if (status == ST_OK && write->leaves_cache)
        env_file_leave_cache(write->file, write->offset, write->bytes.count);
    write->status = status;
    write->took = clock_now() - begun_at;
}

static struct env_write *take_first(struct list *list)
{
    struct env_write *write = CONTAINER_OF(list->next, struct env_write, link);
    list_remove(&write->link);
    return write;
}

void env_writer_note(struct env_writer *writer, time_us took, time_us now)
{
    if (took > LIMIT_WRITE_IN_LOOP_US)
        writer->thread_until = MAX(writer->thread_until, now + took * LIMIT_WRITE_IN_LOOP_SHARE);
}

static void complete(struct env_writer *writer, struct env_write *write)
{
    INVARIANT(write->file->writes_count > 0);
    if (write->may_block)
        env_writer_note(writer, write->took, clock_now());
    write->file->writes_count--;
    write->on_done(write->ctx, write->status);
}

static void writer_run_thread(void *ctx)
{
    struct env_writer *writer = ctx;
    uv_mutex_lock(&writer->mutex);
    for (;;) {
        while (list_is_empty(&writer->queued) && !writer->is_stopping)
            uv_cond_wait(&writer->wake, &writer->mutex);
        if (list_is_empty(&writer->queued))
            break;
        struct env_write *write = take_first(&writer->queued);
        uv_mutex_unlock(&writer->mutex);
        carry_out(write);
        uv_mutex_lock(&writer->mutex);
        list_push_back(&writer->done, &write->link);
        uv_mutex_unlock(&writer->mutex);     /* the loop, once awake, wants it at once */
        (void)uv_async_send(&writer->async); /* fails only on a closed handle */
        uv_mutex_lock(&writer->mutex);
    }
    uv_mutex_unlock(&writer->mutex);
}

static void writer_on_done(uv_async_t *async)
{
    struct env_writer *writer = async->data;
    struct list done;
    list_init(&done);
    uv_mutex_lock(&writer->mutex);
    list_splice(&done, &writer->done);
    uv_mutex_unlock(&writer->mutex);
    while (!list_is_empty(&done)) {
        writer->threaded_count--;
        complete(writer, take_first(&done));
    }
}

static void start_thread(struct env *env, struct env_writer *writer)
{
    int rc = uv_mutex_init(&writer->mutex);
    INVARIANT(rc == 0);
    rc = uv_cond_init(&writer->wake);
    INVARIANT(rc == 0);
    rc = uv_async_init(&env->loop, &writer->async, writer_on_done);
    INVARIANT(rc == 0);
    writer->async.data = writer;
    rc = uv_thread_create(&writer->thread, writer_run_thread, writer);
    INVARIANT(rc == 0);
    writer->has_thread = true;
}

void env_writer_init(struct env_writer *writer, bool is_on_thread)
{
    list_init(&writer->in_loop);
    list_init(&writer->queued);
    list_init(&writer->done);
    writer->is_on_thread = is_on_thread;
}

bool env_writer_has_work(const struct env *env)
{
    return !list_is_empty(&env->writer.in_loop);
}

void env_writer_run(struct env *env)
{
    struct list round; /* what on_done starts waits for the next one */
    list_init(&round);
    list_splice(&round, &env->writer.in_loop);
    env->writer.is_in_round = true;
    while (!list_is_empty(&round)) {
        struct env_write *write = take_first(&round);
        carry_out(write);
        env_clock_expire(env);
        complete(&env->writer, write);
    }
    env->writer.is_in_round = false;
}

void env_writer_stop(struct env *env, struct env_writer *writer)
{
    if (writer->has_thread) {
        uv_mutex_lock(&writer->mutex);
        writer->is_stopping = true;
        uv_cond_signal(&writer->wake);
        uv_mutex_unlock(&writer->mutex);
        int rc = uv_thread_join(&writer->thread);
        INVARIANT(rc == 0);
        uv_close((uv_handle_t *)&writer->async, NULL);
        uv_cond_destroy(&writer->wake);
        uv_mutex_destroy(&writer->mutex);
        writer->has_thread = false;
    }
    while (!list_is_empty(&writer->done))
        complete(writer, take_first(&writer->done)); /* owners that were closed wait for this */
    if (writer == &env->writer)
        env_writer_run(env);
    ENSURE(list_is_empty(&writer->queued)); /* and start nothing new */
    ENSURE(list_is_empty(&writer->in_loop));
}

/* Writes complete in the order started: what the thread has not done yet comes first, and nothing
 * overtakes what the loop has not done yet. */
static bool is_for_the_loop(const struct env_writer *writer, const struct env_write *write)
{
    if (!writer->is_on_thread || writer->is_in_round || !list_is_empty(&writer->in_loop))
        return true;
    return write->may_block && writer->threaded_count == 0 && clock_now() >= writer->thread_until;
}

void env_write_start(struct env *env, struct env_write *write)
{
    REQUIRE(write->on_done != NULL);
    REQUIRE(write->file != NULL);
    REQUIRE(!(write->is_background && write->may_block));

    struct env_writer *writer = write->is_background ? &env->background : &env->writer;
    write->file->writes_count++;
    if (is_for_the_loop(writer, write)) {
        list_push_back(&writer->in_loop, &write->link);
        return;
    }
    if (!writer->has_thread)
        start_thread(env, writer);
    writer->threaded_count++;
    uv_mutex_lock(&writer->mutex);
    list_push_back(&writer->queued, &write->link);
    uv_mutex_unlock(&writer->mutex); /* the thread, once awake, wants it at once */
    uv_cond_signal(&writer->wake);
}
