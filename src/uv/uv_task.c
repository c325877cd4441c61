/* Tasks: what runs once per turn, after the events that asked for it. */
#include "uv/uv_internal.h"

#include "base/limits.h"

static void run_round(struct list *round)
{
    while (!list_is_empty(round)) {
        struct env_task *task = CONTAINER_OF(round->next, struct env_task, link);
        list_remove(&task->link);
        task->is_posted = false;
        task->on_run(task->ctx);
    }
}

void env_tasks_run(struct env *env)
{
    for (int i = 0; i < LIMIT_TASK_ROUNDS && !list_is_empty(&env->tasks); i++) {
        struct list round;
        list_init(&round);
        list_splice(&round, &env->tasks);
        run_round(&round);
    }
}

void env_task_init(struct env_task *task, void (*on_run)(void *ctx), void *ctx)
{
    REQUIRE(on_run != NULL);
    *task = (struct env_task){.on_run = on_run, .ctx = ctx};
    list_init(&task->link);
}

void env_task_post(struct env *env, struct env_task *task)
{
    REQUIRE(task->on_run != NULL);
    if (task->is_posted)
        return;
    task->is_posted = true;
    list_push_back(&env->tasks, &task->link);
}

void env_task_cancel(struct env *env, struct env_task *task)
{
    REQUIRE(task->on_run != NULL);
    list_remove(&task->link);
    task->is_posted = false;
}
