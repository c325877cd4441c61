/* Clocks, timers and tasks of the machines. */
#include "sim/world_internal.h"

/* 2023-11-14: when the world was made. */
#define WALL_BASE UINT64_C(1700000000000000)

/* What has passed on the machine's own clocks since they were set. */
static time_us passed(const struct world *world, const struct machine_clock *clock)
{
    time_us since = world->now - clock->set_at;
    return clock->percent == 100 ? since : since * clock->percent / 100;
}

time_us world_now_at(const struct world *world, unsigned machine)
{
    const struct machine_clock *clock = &world->machines[machine].clock;
    return clock->base + passed(world, clock);
}

/* The right time at which the machine's clock shows at least `deadline`. */
static time_us due_at(const struct world *world, unsigned machine, time_us deadline)
{
    const struct machine_clock *clock = &world->machines[machine].clock;
    if (deadline <= clock->base)
        return clock->set_at;
    time_us left = deadline - clock->base;
    if (clock->percent != 100) {
        if (left > TIME_NEVER / 200) /* for ever, and no overflow */
            left = TIME_NEVER / 200;
        left = (left * 100 + clock->percent - 1) / clock->percent;
    }
    return clock->set_at + MIN(left, TIME_NEVER / 2);
}

static time_us due_again(const struct world *world, const struct heap_item *item)
{
    if (item->timer == NULL)
        return item->at;
    return MAX(due_at(world, item->env->machine, item->timer->deadline), world->now);
}

static void set_clock(struct world *world, unsigned machine, struct machine_clock clock)
{
    world->machines[machine].clock = clock;
    note_fault(world, WORLD_FAULT_CLOCK, machine, 0, NULL);
    note(world, &(struct world_event){.kind = WORLD_CLOCK_SET,
                                      .machine = machine,
                                      .a = clock.percent,
                                      .b = clock.wall_ahead});
    if (world->machines[machine].env != NULL)
        heap_retime(world, world->machines[machine].env, due_again);
}

/* The same clock, as if it had been set just now. */
static struct machine_clock set_now(const struct world *world, unsigned machine)
{
    struct machine_clock clock = world->machines[machine].clock;
    time_us since = passed(world, &clock);
    clock.base += since;
    clock.wall_base += since;
    clock.set_at = world->now;
    return clock;
}

void world_clock(struct world *world, unsigned machine, unsigned percent, time_us wall_ahead)
{
    REQUIRE(percent > 0);
    struct machine_clock clock = set_now(world, machine);
    clock.percent = percent;
    clock.wall_ahead = wall_ahead;
    set_clock(world, machine, clock);
}

void world_wall_jump(struct world *world, unsigned machine, int64_t by)
{
    struct machine_clock clock = world->machines[machine].clock;
    clock.wall_ahead += (time_us)by; /* back is round the end of the numbers */
    set_clock(world, machine, clock);
}

void world_monotonic(struct world *world, unsigned machine, time_us shows)
{
    REQUIRE(world->machines[machine].env == NULL);
    struct machine_clock clock = set_now(world, machine);
    clock.base = shows;
    set_clock(world, machine, clock);
}

time_us env_now(struct env *env)
{
    return world_now_at(env->world, env->machine);
}

time_us env_wall_now(struct env *env)
{
    const struct machine_clock *clock = &machine_of(env)->clock;
    return WALL_BASE + clock->wall_base + passed(env->world, clock) + clock->wall_ahead;
}

uint64_t env_random(struct env *env)
{
    return prng_next(&env->world->chances[CHANCE_IDS][env->machine]);
}

void env_timer_init(struct env_timer *timer, void (*on_fire)(void *ctx), void *ctx)
{
    *timer = (struct env_timer){.on_fire = on_fire, .ctx = ctx};
}

void env_timer_set(struct env *env, struct env_timer *timer, time_us deadline)
{
    struct world *world = env->world;
    if (deadline == TIME_NEVER || env->is_off) {
        if (timer->heap_index != 0)
            heap_remove(world, timer->heap_index);
        return;
    }
    timer->deadline = deadline;
    heap_set_timer(world, env, timer, due_at(world, env->machine, deadline));
}

void env_task_init(struct env_task *task, void (*on_run)(void *ctx), void *ctx)
{
    *task = (struct env_task){.on_run = on_run, .ctx = ctx};
    list_init(&task->link);
}

void env_task_post(struct env *env, struct env_task *task)
{
    if (task->is_posted || env->is_off)
        return;
    task->is_posted = true;
    if (list_is_empty(&env->tasks) && env->world->turn != env)
        event_set(env->world, &env->turn, env->world->now);
    list_push_back(&env->tasks, &task->link);
}

void env_task_cancel(struct env *env, struct env_task *task)
{
    list_remove(&task->link);
    task->is_posted = false;
}
