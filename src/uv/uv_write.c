/* Write: env_write_start, carried out by one thread or by the loop itself; what is in the
 * background always by another thread, so that the sync of a large file holds up no other write.
 *
 * With a thread:   1. the loop queues the request and wakes the thread
 *                  2. the thread writes, syncs, moves it to `done` and wakes the loop
 *                  3. the loop calls on_done, in the order of step 2, which is that of step 1
 * Without:         the loop does all that queued up, once per turn, when its tasks have run. The
 *                  sockets get their turn between two such rounds, so that a round takes with it
 *                  whatever arrived during the last one. */
#include "uv/uv_internal.h"

#include "uv/uv_disk.h"

static enum status carry_out(struct env_write *write)
{
    enum status status = ST_OK;
    if (write->bytes.count != 0)
        status = env_file_write(write->file, write->offset, write->bytes);
    if (status == ST_OK && !write->skip_sync)
        status = env_file_sync(write->file);
    return status;
}

static struct env_write *take_first(struct list *list)
{
    struct env_write *write = CONTAINER_OF(list->next, struct env_write, link);
    list_remove(&write->link);
    return write;
}

static void complete(struct env_write *write)
{
    INVARIANT(write->file->writes_count > 0);
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
        enum status status = carry_out(write);
        uv_mutex_lock(&writer->mutex);
        write->status = status;
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
    while (!list_is_empty(&done))
        complete(take_first(&done));
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
    list_init(&writer->queued);
    list_init(&writer->done);
    writer->is_on_thread = is_on_thread;
}

bool env_writer_has_work(const struct env *env)
{
    return !env->writer.is_on_thread && !list_is_empty(&env->writer.queued);
}

void env_writer_run(struct env *env)
{
    REQUIRE(!env->writer.is_on_thread);

    struct list round; /* what on_done starts waits for the next one */
    list_init(&round);
    list_splice(&round, &env->writer.queued);
    while (!list_is_empty(&round)) {
        struct env_write *write = take_first(&round);
        write->status = carry_out(write);
        env_clock_expire(env);
        complete(write);
    }
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
    if (!writer->is_on_thread)
        env_writer_run(env);
    while (!list_is_empty(&writer->done))
        complete(take_first(&writer->done)); /* owners that were closed wait for this */
    ENSURE(list_is_empty(&writer->queued));  /* and start nothing new */
}

void env_write_start(struct env *env, struct env_write *write)
{
    REQUIRE(write->on_done != NULL);
    REQUIRE(write->file != NULL);

    struct env_writer *writer = write->is_background ? &env->background : &env->writer;
    write->file->writes_count++;
    if (!writer->is_on_thread) {
        list_push_back(&writer->queued, &write->link);
        return;
    }
    if (!writer->has_thread)
        start_thread(env, writer);
    uv_mutex_lock(&writer->mutex);
    list_push_back(&writer->queued, &write->link);
    uv_mutex_unlock(&writer->mutex); /* the thread, once awake, wants it at once */
    uv_cond_signal(&writer->wake);
}
