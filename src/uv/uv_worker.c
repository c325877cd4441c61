/* Worker: jobs on a thread of their own, for as long as the worker is open.
 *
 * The owner of a job and the thread hand it to each other under the mutex, so that each sees what
 * the other has done to it. */
#include "base/mem.h"
#include "uv/uv_internal.h"

struct env_worker {
    struct list queued; /* guarded by `mutex`, as is what follows */
    bool is_closing;
    uv_mutex_t mutex;
    uv_cond_t wake; /* of the thread: a job is queued, or no more will be */
    uv_cond_t done; /* of the owner: a job is done */
    uv_thread_t thread;
};

static void run_thread(void *ctx)
{
    struct env_worker *worker = ctx;
    uv_mutex_lock(&worker->mutex);
    for (;;) {
        while (list_is_empty(&worker->queued) && !worker->is_closing)
            uv_cond_wait(&worker->wake, &worker->mutex);
        if (worker->is_closing)
            break;
        struct env_job *job = CONTAINER_OF(worker->queued.next, struct env_job, link);
        list_remove(&job->link);
        uv_mutex_unlock(&worker->mutex);
        job->work(job->ctx);
        uv_mutex_lock(&worker->mutex);
        job->is_done = true;
        uv_cond_signal(&worker->done);
    }
    uv_mutex_unlock(&worker->mutex);
}

struct env_worker *env_worker_open(struct env *env)
{
    (void)env; /* the simulator needs as little of it */
    struct env_worker *worker = mem_alloc(sizeof *worker);
    list_init(&worker->queued);
    int rc = uv_mutex_init(&worker->mutex);
    INVARIANT(rc == 0);
    rc = uv_cond_init(&worker->wake);
    INVARIANT(rc == 0);
    rc = uv_cond_init(&worker->done);
    INVARIANT(rc == 0);
    rc = uv_thread_create(&worker->thread, run_thread, worker);
    INVARIANT(rc == 0);
    return worker;
}

void env_worker_close(struct env_worker *worker)
{
    if (worker == NULL)
        return;
    uv_mutex_lock(&worker->mutex);
    worker->is_closing = true;
    uv_cond_signal(&worker->wake);
    uv_mutex_unlock(&worker->mutex);
    int rc = uv_thread_join(&worker->thread);
    INVARIANT(rc == 0);
    uv_cond_destroy(&worker->done);
    uv_cond_destroy(&worker->wake);
    uv_mutex_destroy(&worker->mutex);
    mem_free(worker);
}

void env_worker_start(struct env_worker *worker, struct env_job *job)
{
    REQUIRE(job->work != NULL);
    uv_mutex_lock(&worker->mutex);
    if (list_is_empty(&worker->queued)) /* else it is awake, or about to be */
        uv_cond_signal(&worker->wake);
    job->is_done = false;
    list_push_back(&worker->queued, &job->link);
    uv_mutex_unlock(&worker->mutex);
}

void env_worker_wait(struct env_worker *worker, struct env_job *job)
{
    uv_mutex_lock(&worker->mutex);
    while (!job->is_done)
        uv_cond_wait(&worker->done, &worker->mutex);
    uv_mutex_unlock(&worker->mutex);
}
