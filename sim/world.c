/* Virtual time: one heap of events for all machines, and the turn of a machine. */
#include "sim/world_internal.h"

#include <stdio.h>

static bool is_before(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->sequence < b->sequence;
}

static void place(struct world *world, size_t at, struct event *event)
{
    world->heap[at] = event;
    event->heap_index = at;
    if (event->heap_index_at != NULL)
        *event->heap_index_at = at;
}

static void sift_up(struct world *world, size_t at)
{
    struct event *event = world->heap[at];
    for (; at > 1 && is_before(event, world->heap[at / 2]); at /= 2)
        place(world, at, world->heap[at / 2]);
    place(world, at, event);
}

static void sift_down(struct world *world, size_t at)
{
    struct event *event = world->heap[at];
    for (;;) {
        size_t child = at * 2;
        if (child > world->heap_count)
            break;
        if (child < world->heap_count && is_before(world->heap[child + 1], world->heap[child]))
            child++;
        if (!is_before(world->heap[child], event))
            break;
        place(world, at, world->heap[child]);
        at = child;
    }
    place(world, at, event);
}

void heap_push(struct world *world, struct event *event)
{
    if (world->heap_count + 2 > world->heap_capacity) {
        world->heap_capacity = MAX(world->heap_capacity * 2, (size_t)256);
        world->heap = mem_realloc(world->heap, world->heap_capacity * sizeof world->heap[0]);
    }
    event->sequence = ++world->sequence_last;
    place(world, ++world->heap_count, event);
    sift_up(world, world->heap_count);
}

void heap_remove(struct world *world, size_t at)
{
    REQUIRE(at >= 1 && at <= world->heap_count);
    struct event *removed = world->heap[at];
    struct event *last = world->heap[world->heap_count--];
    removed->heap_index = 0;
    if (removed->heap_index_at != NULL)
        *removed->heap_index_at = 0;
    if (removed == last)
        return;
    place(world, at, last);
    sift_up(world, at);
    sift_down(world, last->heap_index);
}

struct event *world_schedule(struct world *world, struct env *env, time_us at,
                             void (*run)(void *ctx), void *ctx)
{
    struct event *event = mem_alloc(sizeof *event);
    *event = (struct event){.at = MAX(at, world->now), .env = env, .run = run, .ctx = ctx};
    heap_push(world, event);
    return event;
}

void world_unschedule(struct world *world, struct event *event)
{
    if (event == NULL)
        return;
    if (event->heap_index != 0)
        heap_remove(world, event->heap_index);
    mem_free(event);
}

time_us world_delay(struct world *world)
{
    time_us span = world->options.delay_max - world->options.delay_min;
    return world->options.delay_min + prng_below(&world->prng, span + 1);
}

struct world *world_new(const struct world_options *options)
{
    REQUIRE(options->delay_min <= options->delay_max);
    REQUIRE(options->sync_min <= options->sync_max);
    struct world *world = mem_alloc(sizeof *world);
    world->options = *options;
    world->now = 1000000; /* no machine has just been born at zero */
    prng_init(&world->prng, options->seed);
    list_init(&world->streams);
    list_init(&world->listeners);
    list_init(&world->envs);
    for (unsigned i = 0; i <= WORLD_MACHINES_MAX; i++) {
        list_init(&world->machines[i].files);
        world->machines[i].clock.percent = 100;
    }
    return world;
}

void world_free(struct world *world)
{
    for (unsigned i = 1; i <= WORLD_MACHINES_MAX; i++)
        if (world->machines[i].env != NULL)
            world_crash(world, i);
    REQUIRE(list_is_empty(&world->streams)); /* whoever opened one has closed it */
    for (struct list *at = world->envs.next; at != &world->envs; at = at->next)
        disk_end_writes(CONTAINER_OF(at, struct env, link));
    disk_free(world);
    while (world->heap_count > 0)
        world_unschedule(world, world->heap[1]);
    while (!list_is_empty(&world->envs)) {
        struct env *env = CONTAINER_OF(world->envs.next, struct env, link);
        list_remove(&env->link);
        mem_free(env);
    }
    mem_free(world->heap);
    mem_free(world);
}

struct env *world_boot(struct world *world, unsigned machine)
{
    REQUIRE(machine >= 1 && machine <= WORLD_MACHINES_MAX);
    REQUIRE(world->machines[machine].env == NULL);
    struct env *env = mem_alloc(sizeof *env);
    env->world = world;
    env->machine = machine;
    list_init(&env->tasks);
    list_init(&env->writes);
    list_push_back(&world->envs, &env->link);
    world->machines[machine].env = env;
    world->machines[machine].is_locked = false;
    world->machines[machine].is_paused = false;
    return env;
}

void world_crash(struct world *world, unsigned machine)
{
    struct env *env = world->machines[machine].env;
    REQUIRE(env != NULL);
    env->is_off = true;
    net_crash(world, machine);
    disk_crash(world, machine);
    for (size_t at = world->heap_count; at >= 1; at--) {
        if (at > world->heap_count || world->heap[at]->env != env)
            continue;
        world_unschedule(world, world->heap[at]);
        at = world->heap_count + 1; /* the order below changed: once more from the end */
    }
    while (!list_is_empty(&env->tasks))
        env_task_cancel(env, CONTAINER_OF(env->tasks.next, struct env_task, link));
    world->machines[machine].env = NULL;
}

void world_pause(struct world *world, unsigned machine, bool is_paused)
{
    world->machines[machine].is_paused = is_paused;
}

time_us world_now(const struct world *world)
{
    return world->now;
}

time_us world_now_at(const struct world *world, unsigned machine)
{
    const struct machine_clock *clock = &world->machines[machine].clock;
    return clock->base + (world->now - clock->set_at) * clock->percent / 100;
}

void world_clock(struct world *world, unsigned machine, unsigned percent, time_us wall_ahead)
{
    REQUIRE(world->machines[machine].env == NULL); /* no timer is armed */
    REQUIRE(percent > 0);
    world->machines[machine].clock = (struct machine_clock){.base = world_now_at(world, machine),
                                                            .set_at = world->now,
                                                            .percent = percent,
                                                            .wall_ahead = wall_ahead};
}

/* The right time at which the machine's clock shows at least `deadline`. */
static time_us due_at(const struct world *world, unsigned machine, time_us deadline)
{
    const struct machine_clock *clock = &world->machines[machine].clock;
    if (deadline <= clock->base)
        return clock->set_at;
    return clock->set_at + ((deadline - clock->base) * 100 + clock->percent - 1) / clock->percent;
}

static void run_tasks(struct env *env)
{
    while (!list_is_empty(&env->tasks)) {
        struct env_task *task = CONTAINER_OF(env->tasks.next, struct env_task, link);
        list_remove(&task->link);
        task->is_posted = false;
        task->on_run(task->ctx);
    }
}

/* A paused machine's events wait a little at a time; they keep their order among themselves. */
static bool put_off(struct world *world, struct event *event)
{
    if (event->env == NULL || !world->machines[event->env->machine].is_paused)
        return false;
    heap_remove(world, event->heap_index);
    event->at = world->now + TIME_US_PER_MS;
    heap_push(world, event);
    return true;
}

bool world_step(struct world *world, time_us until)
{
    if (world->heap_count == 0 || world->heap[1]->at > until) {
        world->now = MAX(world->now, until);
        return false;
    }
    struct event *event = world->heap[1];
    world->now = MAX(world->now, event->at);
    if (put_off(world, event))
        return true;

    heap_remove(world, 1);
    struct event copy = *event;
    mem_free(event);
    copy.run(copy.ctx);
    if (copy.env != NULL)
        run_tasks(copy.env);
    return true;
}

/* ---- env.h: time, chance, timers, tasks ---- */

time_us env_now(struct env *env)
{
    return world_now_at(env->world, env->machine);
}

time_us env_wall_now(struct env *env)
{
    return UINT64_C(1700000000000000) + env_now(env) +
           env->world->machines[env->machine].clock.wall_ahead;
}

uint64_t env_random(struct env *env)
{
    return prng_next(&env->world->prng);
}

void env_timer_init(struct env_timer *timer, void (*on_fire)(void *ctx), void *ctx)
{
    *timer = (struct env_timer){.on_fire = on_fire, .ctx = ctx};
}

static void fire(void *ctx)
{
    struct env_timer *timer = ctx;
    timer->on_fire(timer->ctx);
}

void env_timer_set(struct env *env, struct env_timer *timer, time_us deadline)
{
    struct world *world = env->world;
    if (timer->heap_index != 0) {
        struct event *armed = world->heap[timer->heap_index];
        INVARIANT(armed->timer == timer);
        world_unschedule(world, armed);
    }
    if (deadline == TIME_NEVER || env->is_off)
        return;
    struct event *event = mem_alloc(sizeof *event);
    *event = (struct event){.at = MAX(due_at(world, env->machine, deadline), world->now),
                            .env = env,
                            .heap_index_at = &timer->heap_index,
                            .run = fire,
                            .ctx = timer,
                            .timer = timer};
    timer->deadline = deadline;
    heap_push(world, event);
}

void env_task_init(struct env_task *task, void (*on_run)(void *ctx), void *ctx)
{
    *task = (struct env_task){.on_run = on_run, .ctx = ctx};
    list_init(&task->link);
}

static void nothing(void *ctx)
{
}

void env_task_post(struct env *env, struct env_task *task)
{
    if (task->is_posted || env->is_off)
        return;
    task->is_posted = true;
    if (list_is_empty(&env->tasks)) /* posted from outside a turn: give it one */
        world_schedule(env->world, env, env->world->now, nothing, NULL);
    list_push_back(&env->tasks, &task->link);
}

void env_task_cancel(struct env *env, struct env_task *task)
{
    list_remove(&task->link);
    task->is_posted = false;
}
