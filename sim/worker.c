/* Workers without threads: a job is carried out when it is waited for. So what a job reads is read
 * in the order in which it is used, and a seed is the same with a worker as without. */
#include "base/mem.h"
#include "env/env.h"

struct env_worker {
    struct list queued;
};

struct env_worker *env_worker_open(struct env *env)
{
    (void)env; /* jobs know theirs */
    struct env_worker *worker = mem_alloc(sizeof *worker);
    list_init(&worker->queued);
    return worker;
}

void env_worker_close(struct env_worker *worker)
{
    mem_free(worker);
}

void env_worker_start(struct env_worker *worker, struct env_job *job)
{
    REQUIRE(job->work != NULL);
    job->is_done = false;
    list_push_back(&worker->queued, &job->link);
}

void env_worker_wait(struct env_worker *worker, struct env_job *job)
{
    while (!job->is_done) {
        INVARIANT(!list_is_empty(&worker->queued)); /* it was started */
        struct env_job *next = CONTAINER_OF(worker->queued.next, struct env_job, link);
        list_remove(&next->link);
        next->work(next->ctx);
        next->is_done = true;
    }
}
