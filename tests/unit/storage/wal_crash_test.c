/* What survives when the process or the power dies at any moment, in any state of the disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "support/wal_rig.h"

enum { WORKLOAD_APPENDS = 24, LIVES_MAX = 5 };

/* MINIKV_TEST_SCALE=20 tries twenty times as many seeds. */
static uint64_t seeds(uint64_t count)
{
    const char *scale = getenv("MINIKV_TEST_SCALE");
    return count * (scale != NULL ? strtoull(scale, NULL, 10) : 1);
}

static uint64_t mixed(uint64_t seed, uint64_t salt)
{
    return seed * 0x9e3779b97f4a7c15u + salt;
}

/* Gives up what the last durable mark allows, or less. */
static void compact(struct wal_rig *rig, struct prng *prng)
{
    raft_index first_kept = wal_rig_durable_mark(rig).index + 1;
    if (prng_below(prng, 3) == 0)
        first_kept = 1 + prng_below(prng, first_kept);
    wal_rig_compact(rig, first_kept);
}

/* Appends, marks, gives up the oldest segments and lets time pass, until all is done or something
 * ends it. */
static void work(struct wal_rig *rig, struct prng *prng, int appends_count)
{
    for (int i = 0; i < appends_count; i++) {
        if (rig->failures_count > 0 || disk_env_is_dead(rig->env))
            return;
        enum status status = prng_below(prng, 6) == 0 ? wal_rig_mark_random(rig, prng)
                                                      : wal_rig_append_random(rig, prng);
        assert_true(status == ST_OK || rig->failures_count > 0);
        if (prng_below(prng, 4) == 0)
            compact(rig, prng);
        for (uint64_t steps = prng_below(prng, 6); steps > 0; steps--)
            (void)disk_env_step(rig->env);
        if (prng_below(prng, 12) == 0)
            disk_env_run(rig->env, 2 * RIG_IDLE_SEAL_US);
    }
    (void)wal_rig_settle(rig);
}

/* `op` is the one that the test was called with, so that it alone can be tried again. */
static void fail_with(const struct wal_rig *rig, uint64_t seed, uint64_t op, const char *when)
{
    fail_msg("seed %llu, operation %llu: %s: %s", (unsigned long long)seed, (unsigned long long)op,
             when, rig->error.text);
}

/* Several lives on one disk; each dies at a random operation, also while it recovers. */
static void live_and_die(uint64_t seed, uint64_t die_op, bool is_power)
{
    struct prng prng;
    struct wal_rig rig;
    prng_init(&prng, mixed(seed, die_op));
    wal_rig_init(&rig, disk_env_new(mixed(seed, die_op + 1)));
    uint64_t op = die_op;
    for (int life = 0; life < LIVES_MAX; life++) {
        disk_env_die_at(rig.env, op);
        enum status status = wal_rig_open(&rig);
        if (status == ST_OK)
            work(&rig, &prng, WORKLOAD_APPENDS);
        else if (!disk_env_is_dead(rig.env))
            fail_with(&rig, seed, die_op, status_info(status)->name);
        if (is_power && prng_below(&prng, 4) != 0)
            wal_rig_cut_power(&rig);
        else
            wal_rig_kill(&rig);
        op = disk_env_ops(rig.env) + 1 + prng_below(&prng, 60);
    }

    disk_env_cut_power(rig.env);
    enum status status = wal_rig_open(&rig);
    if (status != ST_OK)
        fail_with(&rig, seed, die_op, status_info(status)->name);
    work(&rig, &prng, 4);
    const char *wrong = wal_rig_compare(&rig, &prng);
    if (wrong != NULL)
        fail_msg("seed %llu, operation %llu: %s", (unsigned long long)seed,
                 (unsigned long long)die_op, wrong);
    wal_rig_release(&rig);
}

static uint64_t ops_of_a_life(uint64_t seed)
{
    struct prng prng;
    struct wal_rig rig;
    prng_init(&prng, mixed(seed, 0));
    wal_rig_init(&rig, disk_env_new(mixed(seed, 1)));
    assert_int_equal(wal_rig_open(&rig), ST_OK);
    work(&rig, &prng, WORKLOAD_APPENDS);
    uint64_t ops = disk_env_ops(rig.env);
    wal_rig_release(&rig);
    return ops;
}

static void a_power_cut_at_any_operation_loses_and_invents_nothing(void **state)
{
    for (uint64_t seed = 1; seed <= seeds(4); seed++)
        for (uint64_t op = 1; op <= ops_of_a_life(seed) + 1; op++)
            live_and_die(seed, op, true);
}

static void a_killed_process_at_any_operation_loses_and_invents_nothing(void **state)
{
    for (uint64_t seed = 1; seed <= seeds(3); seed++)
        for (uint64_t op = 1; op <= ops_of_a_life(seed) + 1; op++)
            live_and_die(seed, op, false);
}

static void what_a_restart_found_survives_a_power_cut_right_after(void **state)
{
    for (uint64_t seed = 1; seed <= seeds(60); seed++) {
        /* given a process that died with frames in the cache only */
        struct prng prng;
        struct wal_rig rig;
        prng_init(&prng, seed);
        wal_rig_init(&rig, disk_env_new(seed));
        disk_env_die_at(rig.env, 5 + prng_below(&prng, 60));
        if (wal_rig_open(&rig) == ST_OK)
            work(&rig, &prng, WORKLOAD_APPENDS);
        wal_rig_kill(&rig);

        /* when the next one has answered for what it found, and the power fails */
        enum status status = wal_rig_open(&rig);
        if (status != ST_OK)
            fail_with(&rig, seed, 0, "restart");
        wal_rig_cut_power(&rig);

        /* then it is still there */
        status = wal_rig_open(&rig);
        if (status != ST_OK)
            fail_with(&rig, seed, 0, "after the power cut");
        wal_rig_release(&rig);
    }
}

/* Runs a workload whose operation `op` fails, and restarts. False when there is no such one. */
static bool survive_error(uint64_t seed, uint64_t op, enum status error)
{
    struct prng prng;
    struct wal_rig rig;
    prng_init(&prng, seed);
    wal_rig_init(&rig, disk_env_new(seed));
    disk_env_fail_at(rig.env, op, error);
    enum status status = wal_rig_open(&rig);
    if (status == ST_OK)
        work(&rig, &prng, WORKLOAD_APPENDS);
    else
        assert_true(status == error || status == ST_IO);
    bool has_happened = disk_env_ops(rig.env) >= op;

    /* W3: told once, and nothing is taken afterwards. */
    assert_true(rig.failures_count <= 1);
    if (rig.failures_count == 1) {
        assert_true(rig.failure == error || rig.failure == ST_IO);
        struct entry_id next = {9, rig.last.index + 1};
        assert_int_equal(wal_rig_append(&rig, NULL, next, 1, 10), ST_IO);
        size_t acked_count = rig.acked_count;
        disk_env_run(rig.env, 10 * RIG_IDLE_SEAL_US);
        assert_int_equal(rig.acked_count, acked_count);
    }
    wal_rig_cut_power(&rig);
    disk_env_fail_at(rig.env, 0, ST_OK);
    status = wal_rig_open(&rig);
    if (status != ST_OK)
        fail_with(&rig, seed, op, status_info(status)->name);
    work(&rig, &prng, 4);
    const char *wrong = wal_rig_compare(&rig, &prng);
    if (wrong != NULL)
        fail_msg("seed %llu, operation %llu: %s", (unsigned long long)seed, (unsigned long long)op,
                 wrong);
    wal_rig_release(&rig);
    return has_happened;
}

static void an_error_of_any_operation_is_final_and_loses_nothing(void **state)
{
    for (uint64_t seed = 1; seed <= seeds(2); seed++)
        for (uint64_t op = 1; survive_error(seed, op, ST_IO); op++)
            continue;
}

static void a_full_disk_at_any_operation_loses_nothing(void **state)
{
    for (uint64_t seed = 1; seed <= seeds(1); seed++)
        for (uint64_t op = 1; survive_error(seed, op, ST_NO_SPACE); op++)
            continue;
}

static void a_disk_that_fills_up_holds_up_the_log_and_loses_nothing(void **state)
{
    for (uint64_t capacity = 0; capacity < 700000; capacity += 30000) {
        /* given a small disk */
        struct prng prng;
        struct wal_rig rig;
        prng_init(&prng, capacity);
        wal_rig_init(&rig, disk_env_new(capacity));
        disk_env_set_capacity(rig.env, capacity + 1);

        /* when more is written than fits */
        enum status status = wal_rig_open(&rig);
        if (status == ST_OK)
            work(&rig, &prng, 200);
        else
            assert_int_equal(status, ST_NO_SPACE);

        /* then the log waits, and goes on once there is room, in this life or in another */
        struct wal_stats stats = {0};
        if (status == ST_OK) {
            wal_stats(rig.wal, &stats);
            assert_true(stats.is_out_of_space || rig.failure == ST_NO_SPACE);
        }
        bool is_restarted = status != ST_OK || rig.failures_count > 0 || capacity % 20000 == 0;
        if (is_restarted)
            wal_rig_kill(&rig);
        disk_env_set_capacity(rig.env, 0);
        if (is_restarted && wal_rig_open(&rig) != ST_OK)
            fail_with(&rig, capacity, 0, "reopen");
        work(&rig, &prng, 10);
        const char *wrong = wal_rig_compare(&rig, &prng);
        assert_null(wrong);
        wal_rig_release(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_power_cut_at_any_operation_loses_and_invents_nothing),
        cmocka_unit_test(a_killed_process_at_any_operation_loses_and_invents_nothing),
        cmocka_unit_test(what_a_restart_found_survives_a_power_cut_right_after),
        cmocka_unit_test(an_error_of_any_operation_is_final_and_loses_nothing),
        cmocka_unit_test(a_full_disk_at_any_operation_loses_nothing),
        cmocka_unit_test(a_disk_that_fills_up_holds_up_the_log_and_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
