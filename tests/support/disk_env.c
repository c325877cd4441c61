#include "support/disk_env.h"

#include "base/mem.h"
#include "support/disk_env_internal.h"

enum { WRITE_US = 100, BACKGROUND_WRITE_US = 700 };

struct env *disk_env_new(uint64_t seed)
{
    struct env *env = mem_alloc(sizeof *env);
    prng_init(&env->prng, seed);
    env->now = 1000000;
    list_init(&env->tasks);
    for (size_t i = 0; i < ARRAY_COUNT(env->lanes); i++)
        list_init(&env->lanes[i].writes);
    env->lanes[0].duration = WRITE_US;
    env->lanes[1].duration = BACKGROUND_WRITE_US;
    disk_files_init(env);
    return env;
}

void disk_env_free(struct env *env)
{
    if (env == NULL)
        return;
    disk_env_kill(env);
    disk_files_release(env);
    mem_free(env->timers);
    mem_free(env);
}

/* ---- time ---- */

time_us env_now(struct env *env)
{
    return env->now;
}

time_us env_wall_now(struct env *env)
{
    return env->now;
}

uint64_t env_random(struct env *env)
{
    return prng_next(&env->prng);
}

void env_timer_init(struct env_timer *timer, void (*on_fire)(void *ctx), void *ctx)
{
    *timer = (struct env_timer){.on_fire = on_fire, .ctx = ctx};
}

static void disarm(struct env *env, struct env_timer *timer)
{
    if (timer->heap_index == 0)
        return;
    struct env_timer *last = env->timers[--env->timers_count];
    env->timers[timer->heap_index - 1] = last;
    last->heap_index = timer->heap_index;
    timer->heap_index = 0;
}

void env_timer_set(struct env *env, struct env_timer *timer, time_us deadline)
{
    disarm(env, timer);
    if (deadline == TIME_NEVER)
        return;
    if (env->timers_count == env->timers_capacity) {
        env->timers_capacity = env->timers_capacity * 2 + 8;
        env->timers = mem_realloc(env->timers, env->timers_capacity * sizeof *env->timers);
    }
    timer->deadline = deadline;
    timer->sequence = env->timer_sequence++;
    env->timers[env->timers_count++] = timer;
    timer->heap_index = env->timers_count;
}

static struct env_timer *first_timer(struct env *env)
{
    struct env_timer *first = NULL;
    for (size_t i = 0; i < env->timers_count; i++) {
        struct env_timer *timer = env->timers[i];
        if (first == NULL || timer->deadline < first->deadline ||
            (timer->deadline == first->deadline && timer->sequence < first->sequence))
            first = timer;
    }
    return first;
}

/* ---- tasks ---- */

void env_task_init(struct env_task *task, void (*on_run)(void *ctx), void *ctx)
{
    *task = (struct env_task){.on_run = on_run, .ctx = ctx};
    list_init(&task->link);
}

void env_task_post(struct env *env, struct env_task *task)
{
    if (task->is_posted)
        return;
    task->is_posted = true;
    list_push_back(&env->tasks, &task->link);
}

void env_task_cancel(struct env *env, struct env_task *task)
{
    list_remove(&task->link);
    task->is_posted = false;
}

static bool run_task(struct env *env)
{
    if (list_is_empty(&env->tasks))
        return false;
    struct env_task *task = CONTAINER_OF(env->tasks.next, struct env_task, link);
    env_task_cancel(env, task);
    task->on_run(task->ctx);
    return true;
}

/* ---- writes: in the cache at once, synced and reported a little later ---- */

static struct env_write *first_write(struct disk_lane *lane)
{
    return CONTAINER_OF(lane->writes.next, struct env_write, link);
}

/* The oldest write goes out; its outcome so far is kept in it. */
static void send_write(struct env *env, struct disk_lane *lane)
{
    struct env_write *write = first_write(lane);
    write->status =
        write->bytes.count > 0 ? env_file_write(write->file, write->offset, write->bytes) : ST_OK;
    lane->done_at = env->now + lane->duration;
}

void env_write_start(struct env *env, struct env_write *write)
{
    struct disk_lane *lane = &env->lanes[write->is_background];
    bool is_first = list_is_empty(&lane->writes);
    list_push_back(&lane->writes, &write->link);
    if (is_first)
        send_write(env, lane);
}

static void complete_write(struct env *env, struct disk_lane *lane)
{
    struct env_write *write = first_write(lane);
    if (write->status == ST_OK && !write->skip_sync)
        write->status = env_file_sync(write->file);
    list_remove(&write->link);
    if (!list_is_empty(&lane->writes))
        send_write(env, lane);
    write->on_done(write->ctx, write->status);
}

/* The lane whose oldest write completes next; NULL: nothing is under way. */
static struct disk_lane *next_lane(struct env *env)
{
    struct disk_lane *next = NULL;
    for (size_t i = 0; i < ARRAY_COUNT(env->lanes); i++)
        if (!list_is_empty(&env->lanes[i].writes) &&
            (next == NULL || env->lanes[i].done_at < next->done_at))
            next = &env->lanes[i];
    return next;
}

bool disk_env_step(struct env *env)
{
    if (env->is_dead)
        return false;
    if (run_task(env))
        return true;
    struct env_timer *timer = first_timer(env);
    struct disk_lane *lane = next_lane(env);
    if (lane == NULL && timer == NULL)
        return false;
    if (lane != NULL && (timer == NULL || lane->done_at <= timer->deadline)) {
        env->now = MAX(env->now, lane->done_at);
        complete_write(env, lane);
        return true;
    }
    env->now = MAX(env->now, timer->deadline);
    disarm(env, timer);
    timer->on_fire(timer->ctx);
    return true;
}

static void on_run_end(void *ctx)
{
    *(bool *)ctx = true;
}

void disk_env_run(struct env *env, time_us duration)
{
    bool is_over = false;
    struct env_timer end;
    env_timer_init(&end, on_run_end, &is_over);
    env_timer_set(env, &end, env->now + duration);
    while (!is_over && disk_env_step(env))
        continue;
    disarm(env, &end);
}

/* ---- faults ---- */

uint64_t disk_env_ops(const struct env *env)
{
    return env->ops;
}

void disk_env_fail_at(struct env *env, uint64_t op, enum status status)
{
    env->fail_op = op;
    env->fail_status = status;
}

void disk_env_die_at(struct env *env, uint64_t op)
{
    env->die_op = op;
}

void disk_env_lie_at(struct env *env, uint64_t op)
{
    env->lie_op = op;
}

bool disk_env_is_dead(const struct env *env)
{
    return env->is_dead;
}

void disk_env_set_capacity(struct env *env, uint64_t bytes)
{
    env->capacity = bytes;
}

enum disk_verdict disk_next_op(struct env *env)
{
    env->ops++;
    if (env->ops == env->fail_op)
        return DISK_FAIL;
    if (env->ops == env->lie_op)
        return DISK_LIE;
    if (env->ops != env->die_op)
        return DISK_GO_ON;
    env->is_dead = true;
    return DISK_DIE;
}

void disk_env_kill(struct env *env)
{
    env->is_dead = true; /* whatever is still asked for comes too late */
    while (env->timers_count > 0)
        disarm(env, env->timers[0]);
    while (!list_is_empty(&env->tasks))
        env_task_cancel(env, CONTAINER_OF(env->tasks.next, struct env_task, link));
    for (size_t i = 0; i < ARRAY_COUNT(env->lanes); i++)
        while (!list_is_empty(&env->lanes[i].writes)) {
            struct env_write *write = first_write(&env->lanes[i]);
            list_remove(&write->link);
            write->on_done(write->ctx, ST_IO);
        }
    disk_files_end_life(env);
    env->fail_op = env->die_op = env->lie_op = 0;
    env->is_dead = false;
}

void disk_env_cut_power(struct env *env)
{
    disk_env_kill(env);
    disk_files_lose_cache(env);
}
