/* Machines and their turns. */
#include "sim/world_internal.h"

/* When nothing of a paused machine is due; later than any time there is. */
#define TIME_PARKED ((time_us)1 << 62)

struct machine *machine_of(const struct env *env)
{
    return &env->world->machines[env->machine];
}

static struct machine *machine_at(struct world *world, unsigned machine)
{
    REQUIRE(machine >= 1 && machine <= WORLD_MACHINES_MAX);
    return &world->machines[machine];
}

static void init_links(struct world *world, const struct world_options *options)
{
    struct world_link link = {.delay_min = options->delay_min, .delay_max = options->delay_max};
    world_link_set_all(world, &link);
}

struct world *world_new(const struct world_options *options)
{
    REQUIRE(options->sync_min <= options->sync_max);
    struct world *world = mem_alloc(sizeof *world);
    world->now = 1000000; /* no machine has just been born at zero */
    world->digest = options->seed;
    chances_init(world, options->seed);
    list_init(&world->streams);
    list_init(&world->listeners);
    list_init(&world->envs);
    init_links(world, options);
    for (unsigned i = 0; i <= WORLD_MACHINES_MAX; i++) {
        world->machines[i].clock.percent = 100;
        disk_init(&world->machines[i], options);
    }
    return world;
}

void world_free(struct world *world)
{
    world->on_event = NULL;
    world->on_stop = NULL;
    for (unsigned i = 1; i <= WORLD_MACHINES_MAX; i++)
        if (world->machines[i].env != NULL)
            world_stop(world, i, WORLD_STOP_CRASH);
    REQUIRE(list_is_empty(&world->streams)); /* whoever opened one has closed it */
    for (struct list *at = world->envs.next; at != &world->envs; at = at->next)
        disk_end_writes(CONTAINER_OF(at, struct env, link));
    for (unsigned i = 0; i <= WORLD_MACHINES_MAX; i++)
        disk_empty(world, &world->machines[i]);
    chunks_free(world);
    while (!list_is_empty(&world->envs)) {
        struct env *env = CONTAINER_OF(world->envs.next, struct env, link);
        list_remove(&env->link);
        mem_free(env);
    }
    mem_free(world->heap);
    mem_free(world);
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

/* For tasks posted from outside of a turn: what runs them is the end of this one. */
static void turn_run(void *ctx)
{
    struct env *env = ctx;
    note(env->world, &(struct world_event){.kind = WORLD_TASKS_RUN, .machine = env->machine});
}

/* ---- on and off ---- */

struct env *world_boot(struct world *world, unsigned machine)
{
    struct machine *booting = machine_at(world, machine);
    REQUIRE(booting->env == NULL);
    struct env *env = mem_alloc(sizeof *env);
    env->world = world;
    env->machine = machine;
    list_init(&env->tasks);
    for (size_t i = 0; i < ARRAY_COUNT(env->lanes); i++)
        lane_init(&env->lanes[i], env);
    event_init(&env->turn, env, turn_run, env);
    list_push_back(&world->envs, &env->link);
    booting->env = env;
    booting->is_locked = false;
    booting->is_paused = false;
    booting->is_silent = false;
    booting->is_stop_untold = false;
    booting->busy_until = 0;
    note(world, &(struct world_event){.kind = WORLD_BOOTED, .machine = machine});
    disk_boot(world, machine);
    net_boot(world, machine);
    return env;
}

bool world_is_on(const struct world *world, unsigned machine)
{
    return world->machines[machine].env != NULL;
}

static void stop(struct world *world, unsigned machine, enum world_stop how, bool is_at_io)
{
    struct machine *stopping = machine_at(world, machine);
    struct env *env = stopping->env;
    REQUIRE(env != NULL);
    note(world,
         &(struct world_event){.kind = WORLD_STOPPED, .machine = machine, .a = how, .b = is_at_io});
    note_fault(world, WORLD_FAULT_STOP, machine, 0, NULL);
    env->is_off = true;
    stopping->is_silent = how == WORLD_STOP_POWER_OFF;
    net_stop(world, machine, how);
    disk_stop(world, machine, how);
    heap_forget(world, env);
    while (!list_is_empty(&env->tasks))
        env_task_cancel(env, CONTAINER_OF(env->tasks.next, struct env_task, link));
    stopping->env = NULL;
}

void world_stop(struct world *world, unsigned machine, enum world_stop how)
{
    stop(world, machine, how, false);
}

void world_kill(struct world *world, unsigned machine)
{
    stop(world, machine, WORLD_STOP_KILL, false);
}

void world_crash(struct world *world, unsigned machine)
{
    stop(world, machine, WORLD_STOP_CRASH, false);
}

void world_power_off(struct world *world, unsigned machine)
{
    stop(world, machine, WORLD_STOP_POWER_OFF, false);
}

void world_on_stop(struct world *world, void (*on_stop)(void *ctx, unsigned machine), void *ctx)
{
    world->on_stop = on_stop;
    world->on_stop_ctx = ctx;
}

void machine_stop_at_io(struct env *env)
{
    struct machine *machine = machine_of(env);
    machine->is_stop_untold = true;
    env->world->has_stop_untold = true;
    stop(env->world, env->machine, machine->stop_how, true);
}

static void tell_stops(struct world *world)
{
    world->has_stop_untold = false;
    for (unsigned i = 1; i <= WORLD_MACHINES_MAX; i++) {
        if (!world->machines[i].is_stop_untold)
            continue;
        world->machines[i].is_stop_untold = false;
        if (world->on_stop != NULL)
            world->on_stop(world->on_stop_ctx, i);
    }
}

/* ---- slow and paused ---- */

static time_us unparked(const struct world *world, const struct heap_item *item)
{
    return item->at == TIME_PARKED ? world->now : item->at;
}

void world_pause(struct world *world, unsigned machine, bool is_paused)
{
    struct machine *pausing = machine_at(world, machine);
    if (pausing->is_paused == is_paused)
        return;
    pausing->is_paused = is_paused;
    if (is_paused)
        note_fault(world, WORLD_FAULT_PAUSE, machine, 0, NULL);
    note(world, &(struct world_event){.kind = is_paused ? WORLD_PAUSED : WORLD_RESUMED,
                                      .machine = machine});
    if (!is_paused && pausing->env != NULL)
        heap_retime(world, pausing->env, unparked);
}

void world_slow_cpu(struct world *world, unsigned machine, time_us cost)
{
    machine_at(world, machine)->cpu_cost = cost;
}

/* ---- time ---- */

time_us world_now(const struct world *world)
{
    return world->now;
}

/* The first item is due; false: its machine has no time for it, and it has been put off. */
static bool is_its_turn(struct world *world)
{
    const struct env *env = world->heap[1].env;
    if (env == NULL)
        return true;
    const struct machine *machine = machine_of(env);
    if (machine->is_paused)
        heap_put_off_first(world, TIME_PARKED);
    else if (machine->busy_until > world->now)
        heap_put_off_first(world, machine->busy_until);
    else
        return true;
    return false;
}

static void run_first(struct world *world)
{
    struct heap_item item = world->heap[1];
    heap_remove(world, 1);
    world->turn = item.env;
    if (item.timer != NULL) {
        note(world, &(struct world_event){.kind = WORLD_TIMER_FIRED,
                                          .machine = item.env->machine,
                                          .a = item.timer->deadline});
        item.timer->on_fire(item.timer->ctx);
    } else {
        item.event->run(item.event->ctx);
    }
    if (item.env != NULL) {
        run_tasks(item.env);
        struct machine *machine = machine_of(item.env);
        if (machine->cpu_cost > 0)
            machine->busy_until = MAX(machine->busy_until, world->now) + machine->cpu_cost;
    }
    world->turn = NULL;
}

bool world_step(struct world *world, time_us until)
{
    REQUIRE(until < TIME_PARKED);
    if (world->has_stop_untold) /* it stopped in a call from outside of a step */
        tell_stops(world);
    if (world->heap_count == 0 || world->heap[1].at > until) {
        world->now = MAX(world->now, until);
        return false;
    }
    world->now = MAX(world->now, world->heap[1].at);
    world->turn_last = world->heap[1].env != NULL ? world->heap[1].env->machine : 0;
    if (is_its_turn(world))
        run_first(world);
    if (world->has_stop_untold)
        tell_stops(world);
    return true;
}

unsigned world_turn(const struct world *world)
{
    return world->turn_last;
}
