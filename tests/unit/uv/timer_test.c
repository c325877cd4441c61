/* Timers and tasks fire in order, never early, and may do anything from inside their callbacks. */
#include "unit/uv/uv_fixture.h"

#include <time.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/prng.h"

enum { TIMERS = 2000, TICKS = 50 };

struct probe {
    struct env *env;
    struct env_timer timer;
    struct env_task task;
    struct probe *other;
    time_us fired_at;
    int order; /* of firing, from 1; 0: not yet */
    int fired_count;
    bool is_done;
};

static int fired_total;

static time_us monotonic_us(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (time_us)time.tv_sec * 1000000 + (time_us)time.tv_nsec / 1000;
}

static void note(struct probe *probe)
{
    probe->fired_at = monotonic_us();
    probe->order = ++fired_total;
    probe->fired_count++;
    probe->is_done = true;
}

static void on_fire_note(void *ctx)
{
    note(ctx);
}

static void on_fire_disarm_other(void *ctx)
{
    struct probe *probe = ctx;
    note(probe);
    env_timer_set(probe->env, &probe->other->timer, TIME_NEVER);
}

static void on_fire_rearm_at_once(void *ctx)
{
    struct probe *probe = ctx;
    note(probe);
    probe->is_done = probe->fired_count == TICKS;
    if (!probe->is_done)
        env_timer_set(probe->env, &probe->timer, 0);
}

static void probe_init(struct probe *probe, struct env *env, void (*on_fire)(void *ctx))
{
    *probe = (struct probe){.env = env};
    env_timer_init(&probe->timer, on_fire, probe);
}

/* Each of the TIMERS that is armed fired once, not early, and in order. */
static void assert_order(const struct probe *probes, uint64_t seed)
{
    for (int i = 0; i < TIMERS; i++) {
        bool is_armed = probes[i].timer.deadline != TIME_NEVER;
        if (probes[i].fired_count != (is_armed ? 1 : 0))
            fail_msg("seed %llu: timer %d", (unsigned long long)seed, i);
        assert_true(!is_armed || probes[i].fired_at >= probes[i].timer.deadline);
        for (int k = 0; k < i && is_armed; k++) {
            const struct env_timer *a = &probes[i].timer;
            const struct env_timer *b = &probes[k].timer;
            bool is_first =
                a->deadline != b->deadline ? a->deadline < b->deadline : a->sequence < b->sequence;
            if (b->deadline != TIME_NEVER && is_first != (probes[i].order < probes[k].order))
                fail_msg("seed %llu: timers %d and %d", (unsigned long long)seed, k, i);
        }
    }
}

static void timers_fire_by_deadline_then_in_the_order_set(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, false);
    struct prng prng;
    const uint64_t seed = 7;
    prng_init(&prng, seed);
    struct probe *probes = mem_alloc_array(TIMERS, sizeof *probes);
    time_us start = env_now(fixture.env);
    fired_total = 0;

    /* Armed, re-armed and disarmed at random, with many equal deadlines. */
    for (int i = 0; i < TIMERS; i++)
        probe_init(&probes[i], fixture.env, on_fire_note);
    for (int i = 0; i < 4 * TIMERS; i++) {
        struct probe *probe = &probes[prng_below(&prng, TIMERS)];
        time_us deadline = start + 100 * prng_below(&prng, 300);
        bool is_disarmed = prng_below(&prng, 8) == 0;
        env_timer_set(fixture.env, &probe->timer, is_disarmed ? TIME_NEVER : deadline);
    }
    struct probe last;
    probe_init(&last, fixture.env, on_fire_note);
    env_timer_set(fixture.env, &last.timer, start + 30000);
    RUN_UNTIL(&fixture, last.is_done);

    assert_int_equal(last.order, fired_total);
    assert_order(probes, seed);
    mem_free(probes);
    fixture_close(&fixture);
}

/* Like the deadlines of requests: rising, answered in time, with a few of other sorts in between.
 */
static void timers_that_mostly_rise_fire_in_order(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, false);
    struct prng prng;
    const uint64_t seed = 8;
    prng_init(&prng, seed);
    struct probe *probes = mem_alloc_array(TIMERS, sizeof *probes);
    time_us start = env_now(fixture.env) + 30000;
    fired_total = 0;

    for (int i = 0; i < TIMERS; i++) {
        probe_init(&probes[i], fixture.env, on_fire_note);
        bool is_of_another_sort = prng_below(&prng, 16) == 0;
        time_us after = is_of_another_sort ? prng_below(&prng, 400000) : (time_us)i * 20;
        env_timer_set(fixture.env, &probes[i].timer, start + after);
        if (prng_below(&prng, 2) == 0)
            env_timer_set(fixture.env, &probes[prng_below(&prng, (uint64_t)i + 1)].timer,
                          TIME_NEVER);
    }
    struct probe last;
    probe_init(&last, fixture.env, on_fire_note);
    env_timer_set(fixture.env, &last.timer, start + 400000);
    RUN_UNTIL(&fixture, last.is_done);

    assert_int_equal(last.order, fired_total);
    assert_order(probes, seed);
    mem_free(probes);
    fixture_close(&fixture);
}

static void a_timer_is_never_early_and_not_much_late(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, false);

    int late_count = 0;
    for (int i = 0; i < 20; i++) {
        struct probe probe;
        probe_init(&probe, fixture.env, on_fire_note);
        time_us deadline = monotonic_us() + 2000 + (time_us)i * 137;
        env_timer_set(fixture.env, &probe.timer, deadline);
        RUN_UNTIL(&fixture, probe.is_done);

        assert_true(probe.fired_at >= deadline);
        late_count += probe.fired_at >= deadline + SECONDS(1);
    }
    assert_true(late_count < 5); /* shared machines stall, but not all the time */

    fixture_close(&fixture);
}

static void a_timer_disarmed_by_an_earlier_one_of_its_round_does_not_fire(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, false);
    struct probe first;
    struct probe second;
    struct probe third;
    probe_init(&first, fixture.env, on_fire_disarm_other);
    probe_init(&second, fixture.env, on_fire_note);
    probe_init(&third, fixture.env, on_fire_note);
    first.other = &second;

    env_timer_set(fixture.env, &first.timer, 1);
    env_timer_set(fixture.env, &second.timer, 2);
    env_timer_set(fixture.env, &third.timer, 3);
    RUN_UNTIL(&fixture, third.is_done);

    assert_int_equal(first.fired_count, 1);
    assert_int_equal(second.fired_count, 0);
    fixture_close(&fixture);
}

static void a_timer_that_rearms_itself_at_once_starves_nobody(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, false);
    struct probe greedy;
    struct probe patient;
    probe_init(&greedy, fixture.env, on_fire_rearm_at_once);
    probe_init(&patient, fixture.env, on_fire_note);
    fired_total = 0;

    env_timer_set(fixture.env, &greedy.timer, 0);
    env_timer_set(fixture.env, &patient.timer, env_now(fixture.env));
    RUN_UNTIL(&fixture, greedy.is_done);

    assert_int_equal(greedy.fired_count, TICKS);
    assert_int_equal(patient.order, 2);
    fixture_close(&fixture);
}

static void a_fired_timer_can_be_set_again(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, false);
    struct probe probe;
    probe_init(&probe, fixture.env, on_fire_note);

    for (int i = 1; i <= 3; i++) {
        probe.is_done = false;
        env_timer_set(fixture.env, &probe.timer, env_now(fixture.env) + 1000);
        RUN_UNTIL(&fixture, probe.is_done);
        assert_int_equal(probe.fired_count, i);
    }

    fixture_close(&fixture);
}

static void on_fire_compare_now(void *ctx)
{
    struct probe *probe = ctx;
    time_us before = env_now(probe->env);
    time_us start = monotonic_us();
    while (monotonic_us() - start < 2000)
        ; /* two milliseconds of work */
    assert_int_equal(env_now(probe->env), before);
    probe->fired_at = before;
    probe->is_done = true;
}

static void now_stands_still_in_a_callback_and_moves_on_after_it(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, false);
    struct probe probe;
    probe_init(&probe, fixture.env, on_fire_compare_now);

    env_timer_set(fixture.env, &probe.timer, 1);
    RUN_UNTIL(&fixture, probe.is_done);

    assert_true(env_now(fixture.env) >= probe.fired_at + 2000);
    assert_true(env_now(fixture.env) <= monotonic_us());
    fixture_close(&fixture);
}

/* ---- tasks ---- */

static void on_run_note(void *ctx)
{
    note(ctx);
}

static void on_run_post_self(void *ctx)
{
    struct probe *probe = ctx;
    note(probe);
    probe->is_done = false;
    env_task_post(probe->env, &probe->task);
}

static void on_run_cancel_other(void *ctx)
{
    struct probe *probe = ctx;
    note(probe);
    env_task_cancel(probe->env, &probe->other->task);
}

static void task_probe_init(struct probe *probe, struct env *env, void (*on_run)(void *ctx))
{
    *probe = (struct probe){.env = env};
    env_task_init(&probe->task, on_run, probe);
    env_timer_init(&probe->timer, on_fire_note, probe);
}

static void a_task_posted_twice_runs_once_and_later(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, false);
    struct probe probe;
    task_probe_init(&probe, fixture.env, on_run_note);

    env_task_post(fixture.env, &probe.task);
    env_task_post(fixture.env, &probe.task);
    assert_int_equal(probe.fired_count, 0);
    RUN_UNTIL(&fixture, probe.is_done);

    bool is_over = uv_env_run_until(fixture.env, fixture_never, NULL, 3000);
    assert_false(is_over);
    assert_int_equal(probe.fired_count, 1);
    fixture_close(&fixture);
}

static void a_cancelled_task_does_not_run(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, false);
    struct probe first;
    struct probe second;
    struct probe third;
    task_probe_init(&first, fixture.env, on_run_cancel_other);
    task_probe_init(&second, fixture.env, on_run_note);
    task_probe_init(&third, fixture.env, on_run_note);
    first.other = &second;

    env_task_post(fixture.env, &first.task);
    env_task_post(fixture.env, &second.task);
    env_task_post(fixture.env, &third.task);
    RUN_UNTIL(&fixture, third.is_done);

    assert_int_equal(first.fired_count, 1);
    assert_int_equal(second.fired_count, 0);
    fixture_close(&fixture);
}

static void on_fire_post_other(void *ctx)
{
    struct probe *probe = ctx;
    note(probe);
    env_task_post(probe->env, &probe->other->task);
}

/* The loop would otherwise sleep for the whole timeout with the task still to run. */
static void a_task_posted_by_a_timer_runs_before_the_loop_waits(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, false);
    struct probe timer;
    struct probe task;
    probe_init(&timer, fixture.env, on_fire_post_other);
    task_probe_init(&task, fixture.env, on_run_note);
    timer.other = &task;

    env_timer_set(fixture.env, &timer.timer, env_now(fixture.env) + 1000);
    time_us start = monotonic_us();
    RUN_UNTIL(&fixture, task.is_done);

    assert_true(monotonic_us() - start < FIXTURE_TIMEOUT / 2);
    fixture_close(&fixture);
}

static void a_task_that_posts_itself_for_ever_neither_blocks_nor_starves(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, false);
    struct probe greedy;
    struct probe timer;
    task_probe_init(&greedy, fixture.env, on_run_post_self);
    probe_init(&timer, fixture.env, on_fire_note);

    env_task_post(fixture.env, &greedy.task);
    env_timer_set(fixture.env, &timer.timer, env_now(fixture.env) + 20000);
    RUN_UNTIL(&fixture, timer.is_done);
    int count = greedy.fired_count;
    for (int i = 0; i < 3; i++) /* it goes on, however late it was when the timer fired */
        (void)uv_env_run_until(fixture.env, fixture_never, NULL, 1000);

    assert_true(greedy.fired_count >= count + 2 * LIMIT_TASK_ROUNDS);
    env_task_cancel(fixture.env, &greedy.task);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_by_deadline_then_in_the_order_set),
        cmocka_unit_test(timers_that_mostly_rise_fire_in_order),
        cmocka_unit_test(a_timer_is_never_early_and_not_much_late),
        cmocka_unit_test(a_timer_disarmed_by_an_earlier_one_of_its_round_does_not_fire),
        cmocka_unit_test(a_timer_that_rearms_itself_at_once_starves_nobody),
        cmocka_unit_test(a_fired_timer_can_be_set_again),
        cmocka_unit_test(now_stands_still_in_a_callback_and_moves_on_after_it),
        cmocka_unit_test(a_task_posted_twice_runs_once_and_later),
        cmocka_unit_test(a_cancelled_task_does_not_run),
        cmocka_unit_test(a_task_posted_by_a_timer_runs_before_the_loop_waits),
        cmocka_unit_test(a_task_that_posts_itself_for_ever_neither_blocks_nor_starves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
