/* The machines of the simulated world: their turns and their clocks. */
#include "world_rig.h"

/* ---- turns ---- */

/* Writes down who fired, and when by the right time. */
struct alarm {
    struct env_timer timer;
    struct env_task task;
    struct world *world;
    struct env *env;
    struct buf *log;
    char name;
    time_us fired_at;
    bool posts;
};

static void on_fire(void *ctx)
{
    struct alarm *alarm = ctx;
    buf_put_u8(alarm->log, (uint8_t)alarm->name);
    alarm->fired_at = world_now(alarm->world);
    if (alarm->posts)
        env_task_post(alarm->env, &alarm->task);
}

static void on_task(void *ctx)
{
    struct alarm *alarm = ctx;
    buf_put_u8(alarm->log, (uint8_t)(alarm->name - 'a' + 'A'));
}

static void set_alarm(struct alarm *alarm, struct world *world, struct env *env, struct buf *log,
                      char name, time_us after)
{
    *alarm = (struct alarm){.world = world, .env = env, .log = log, .name = name};
    env_timer_init(&alarm->timer, on_fire, alarm);
    env_task_init(&alarm->task, on_task, alarm);
    env_timer_set(env, &alarm->timer, env_now(env) + after);
}

static void assert_log(struct buf *log, const char *wanted)
{
    assert_string_equal(buf_text(log), wanted);
    buf_release(log);
}

static void what_is_due_at_the_same_time_runs_in_the_order_it_was_asked_for(void **state)
{
    struct world *world = new_world(1);
    struct env *one = world_boot(world, 1), *two = world_boot(world, 2);
    struct alarm alarms[5];
    struct buf log;
    init_log(&log);

    set_alarm(&alarms[0], world, one, &log, 'a', 5 * MS);
    set_alarm(&alarms[1], world, two, &log, 'b', 5 * MS);
    set_alarm(&alarms[2], world, one, &log, 'c', 4 * MS);
    set_alarm(&alarms[3], world, two, &log, 'd', 5 * MS);
    set_alarm(&alarms[4], world, one, &log, 'e', 9 * MS);
    env_timer_set(one, &alarms[0].timer, env_now(one) + 5 * MS); /* again: now the last */
    env_timer_set(one, &alarms[4].timer, TIME_NEVER);
    run_ms(world, 100);

    assert_log(&log, "cbda");
    world_free(world);
}

static void tasks_run_at_the_end_of_the_turn_that_posted_them(void **state)
{
    struct world *world = new_world(1);
    struct env *env = world_boot(world, 1);
    struct alarm first, second;
    struct buf log;
    init_log(&log);
    set_alarm(&first, world, env, &log, 'a', 5 * MS);
    set_alarm(&second, world, env, &log, 'b', 5 * MS);
    first.posts = true;

    env_task_post(env, &second.task); /* from outside: it gets a turn */
    env_task_post(env, &second.task);
    run_ms(world, 100);

    assert_log(&log, "BaAb");
    world_free(world);
}

static void a_paused_machine_catches_up_in_order_when_it_goes_on(void **state)
{
    struct world *world = new_world(1);
    struct env *env = world_boot(world, 1), *other = world_boot(world, 2);
    struct alarm alarms[4];
    struct buf log;
    init_log(&log);
    set_alarm(&alarms[0], world, env, &log, 'b', 20 * MS);
    set_alarm(&alarms[1], world, env, &log, 'a', 10 * MS);
    set_alarm(&alarms[2], world, other, &log, 'x', 50 * MS);
    set_alarm(&alarms[3], world, env, &log, 'c', 200 * MS);

    world_pause(world, 1, true);
    run_ms(world, 100);
    uint64_t events = world_events_count(world);
    run_ms(world, 90);
    assert_int_equal(world_events_count(world), events); /* to wait costs nothing */
    time_us resumed = world_now(world);
    world_pause(world, 1, false);
    run_ms(world, 100);

    assert_int_equal(alarms[1].fired_at, resumed);
    assert_int_equal(alarms[0].fired_at, resumed);
    assert_log(&log, "xabc");
    world_free(world);
}

static void a_slow_cpu_takes_its_time_for_each_event(void **state)
{
    struct world *world = new_world(1);
    struct env *env = world_boot(world, 1);
    struct alarm alarms[3];
    struct buf log;
    init_log(&log);
    time_us began = world_now(world);
    world_slow_cpu(world, 1, 7 * MS);

    set_alarm(&alarms[0], world, env, &log, 'a', 10 * MS);
    set_alarm(&alarms[1], world, env, &log, 'b', 10 * MS);
    set_alarm(&alarms[2], world, env, &log, 'c', 12 * MS);
    run_ms(world, 100);

    assert_int_equal(alarms[0].fired_at - began, 10 * MS);
    assert_int_equal(alarms[1].fired_at - began, 17 * MS);
    assert_int_equal(alarms[2].fired_at - began, 24 * MS);
    assert_log(&log, "abc");
    world_free(world);
}

static void a_call_that_waits_for_the_disk_keeps_the_machine_busy(void **state)
{
    struct world *world = new_world(1);
    struct env *env = world_boot(world, 1);
    struct world_disk disk = {.sync_min = 30 * MS, .sync_max = 30 * MS, .is_blocking = true};
    struct alarm alarm;
    struct buf log;
    init_log(&log);
    time_us began = world_now(world);
    world_disk_set(world, 1, &disk);

    set_alarm(&alarm, world, env, &log, 'a', 10 * MS);
    assert_int_equal(env_dir_sync(env, "."), ST_OK);
    run_ms(world, 100);

    assert_int_equal(alarm.fired_at - began, 30 * MS);
    assert_log(&log, "a");
    world_free(world);
}

static void a_machine_that_stops_runs_nothing_more(void **state)
{
    for (unsigned how = WORLD_STOP_KILL; how <= WORLD_STOP_POWER_OFF; how++) {
        struct world *world = new_world(1);
        struct env *env = world_boot(world, 1);
        struct alarm alarms[2];
        struct buf log;
        init_log(&log);
        set_alarm(&alarms[0], world, env, &log, 'a', 10 * MS);
        env_task_post(env, &alarms[0].task);

        world_stop(world, 1, (enum world_stop)how);
        set_alarm(&alarms[1], world, env, &log, 'b', 10 * MS);
        env_task_post(env, &alarms[1].task);
        assert_false(world_is_on(world, 1));
        (void)world_boot(world, 1);
        run_ms(world, 100);

        assert_log(&log, "");
        world_free(world);
    }
}

/* ---- clocks ---- */

static void clocks_run_at_their_own_speed_also_when_it_changes_meanwhile(void **state)
{
    struct world *world = new_world(1);
    struct env *env = world_boot(world, 1);
    struct alarm alarm;
    struct buf log;
    init_log(&log);
    time_us began = world_now(world), began_there = env_now(env);
    world_clock(world, 1, 200, 0);

    set_alarm(&alarm, world, env, &log, 'a', 1000 * MS); /* in 500 ms, as it seems */
    run_ms(world, 100);
    assert_int_equal(env_now(env) - began_there, 200 * MS);
    world_clock(world, 1, 50, 0); /* 800 ms left at half the speed */
    run_ms(world, 10000);

    assert_int_equal(alarm.fired_at - began, 100 * MS + 1600 * MS);
    assert_log(&log, "a");
    world_free(world);
}

static void wall_clocks_jump_and_monotonic_ones_do_not(void **state)
{
    struct world *world = new_world(1);
    struct env *env = world_boot(world, 1), *other = world_boot(world, 2);
    time_us monotonic = env_now(env);

    world_wall_jump(world, 1, 3600 * (int64_t)SECOND);
    assert_int_equal(env_wall_now(env), env_wall_now(other) + 3600 * (time_us)SECOND);
    world_wall_jump(world, 1, -7200 * (int64_t)SECOND);
    assert_int_equal(env_wall_now(env), env_wall_now(other) - 3600 * (time_us)SECOND);
    assert_int_equal(env_now(env), monotonic);

    world_crash(world, 1);
    world_monotonic(world, 1, 5 * (time_us)SECOND * 86400);
    env = world_boot(world, 1);
    assert_int_equal(env_now(env), 5 * (time_us)SECOND * 86400);
    assert_int_equal(env_wall_now(env), env_wall_now(other) - 3600 * (time_us)SECOND);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_due_at_the_same_time_runs_in_the_order_it_was_asked_for),
        cmocka_unit_test(tasks_run_at_the_end_of_the_turn_that_posted_them),
        cmocka_unit_test(a_paused_machine_catches_up_in_order_when_it_goes_on),
        cmocka_unit_test(a_slow_cpu_takes_its_time_for_each_event),
        cmocka_unit_test(a_call_that_waits_for_the_disk_keeps_the_machine_busy),
        cmocka_unit_test(a_machine_that_stops_runs_nothing_more),
        cmocka_unit_test(clocks_run_at_their_own_speed_also_when_it_changes_meanwhile),
        cmocka_unit_test(wall_clocks_jump_and_monotonic_ones_do_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
