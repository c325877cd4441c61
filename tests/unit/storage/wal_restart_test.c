/* What a restart believes of the disk it finds: neither that a log which is gone was never there,
 * nor that what reads well is on the disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/wal_rig.h"

#define SEGMENT_1 "wal/0000000000000001.log"

enum { SEEDS = 200 };

static struct wal_rig rig;

static void finish(void)
{
    wal_rig_release(&rig);
}

static void append(raft_index index, size_t data_bytes)
{
    assert_int_equal(wal_rig_append(&rig, NULL, (struct entry_id){1, index}, 1, data_bytes), ST_OK);
}

/* ---- a log that must be there ---- */

static void a_log_that_was_there_and_is_gone_is_lost_data(void **state)
{
    (void)state;
    wal_rig_init(&rig, disk_env_new(1));
    assert_int_equal(wal_rig_open(&rig), ST_OK);
    append(1, 10);
    assert_true(wal_rig_settle(&rig));
    disk_env_run(rig.env, 1000000); /* a spare is there: no log */
    wal_rig_kill(&rig);
    disk_env_remove(rig.env, SEGMENT_1);
    uint32_t digest = disk_env_digest(rig.env);

    rig.options.must_exist = true;
    for (int attempt = 0; attempt < 2; attempt++) {
        assert_int_equal(wal_rig_open(&rig), ST_CORRUPT);
        assert_non_null(strstr(rig.error.text, "wal: the log is missing"));
    }

    assert_int_equal(disk_env_digest(rig.env), digest);
    finish();
}

static void a_log_whose_directory_is_gone_is_lost_data_too(void **state)
{
    (void)state;
    wal_rig_init(&rig, disk_env_new(1));
    rig.options.must_exist = true;

    for (int attempt = 0; attempt < 2; attempt++)
        assert_int_equal(wal_rig_open(&rig), ST_CORRUPT);

    assert_false(disk_env_exists(rig.env, SEGMENT_1));
    finish();
}

static void a_log_that_is_there_is_opened_although_it_must_be(void **state)
{
    (void)state;
    wal_rig_init(&rig, disk_env_new(1));
    assert_int_equal(wal_rig_open(&rig), ST_OK);
    append(1, 10);
    assert_true(wal_rig_settle(&rig));
    wal_rig_cut_power(&rig);

    rig.options.must_exist = true;
    assert_int_equal(wal_rig_open(&rig), ST_OK);

    assert_int_equal(rig.recovered.last.index, 1);
    finish();
}

/* ---- a sync that failed ---- */

/* The sync of the last of three frames fails, and the process ends. */
static void lose_a_sync(uint64_t seed, size_t data_bytes)
{
    wal_rig_init(&rig, disk_env_new(seed));
    assert_int_equal(wal_rig_open(&rig), ST_OK);
    disk_env_run(rig.env, 1000000); /* the spare is done: the next operations are the log's */
    for (raft_index index = 1; index <= 2; index++) {
        append(index, data_bytes);
        assert_true(wal_rig_settle(&rig));
    }
    append(3, data_bytes);
    disk_env_fail_at(rig.env, disk_env_ops(rig.env) + 2, ST_IO); /* the write, then its sync */
    assert_false(wal_rig_settle(&rig));
    assert_int_equal(rig.failure, ST_IO);
    wal_rig_kill(&rig);
}

static void fail_for(uint64_t seed, const char *when)
{
    fail_msg("seed %llu: %s: %s", (unsigned long long)seed, when, rig.error.text);
}

/* The cache still shows the frame, marked as clean: no later sync would write it. What a restart
 * has shown to the core may be acknowledged by it at once, so it has to be on the disk by then. */
static void what_a_failed_sync_left_in_the_cache_is_lasting_once_a_restart_has_read_it(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        lose_a_sync(seed, (size_t)seed * 37 % 3000);

        if (wal_rig_open(&rig) != ST_OK)
            fail_for(seed, "the restart");
        assert_int_equal(rig.recovered.last.index, 3);
        wal_rig_cut_power(&rig);

        if (wal_rig_open(&rig) != ST_OK) /* what was found before must be there */
            fail_for(seed, "after the power cut");
        assert_int_equal(rig.recovered.last.index, 3);
        finish();
    }
}

static void a_log_goes_on_behind_what_a_failed_sync_had_left(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct prng prng;
        prng_init(&prng, seed);
        lose_a_sync(seed, (size_t)seed * 37 % 3000);

        if (wal_rig_open(&rig) != ST_OK)
            fail_for(seed, "the restart");
        append(4, 100);
        assert_true(wal_rig_settle(&rig));
        wal_rig_cut_power(&rig);

        if (wal_rig_open(&rig) != ST_OK)
            fail_for(seed, "after the power cut");
        assert_int_equal(rig.recovered.last.index, 4);
        const char *wrong = wal_rig_compare(&rig, &prng);
        if (wrong != NULL)
            fail_msg("seed %llu: %s", (unsigned long long)seed, wrong);
        finish();
    }
}

/* A power failure instead of the end of the process: nothing was acknowledged, so the frame may be
 * there or not, but not in part. */
static void what_a_failed_sync_left_may_go_with_the_power(void **state)
{
    (void)state;
    bool was_lost = false, was_kept = false;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        lose_a_sync(seed, (size_t)seed * 37 % 3000);
        wal_rig_cut_power(&rig);

        if (wal_rig_open(&rig) != ST_OK)
            fail_for(seed, "after the power cut");
        assert_in_range(rig.recovered.last.index, 2, 3);
        was_lost = was_lost || rig.recovered.last.index == 2;
        was_kept = was_kept || rig.recovered.last.index == 3;
        finish();
    }
    assert_true(was_lost && was_kept); /* else this disk fails in one way only */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_that_was_there_and_is_gone_is_lost_data),
        cmocka_unit_test(a_log_whose_directory_is_gone_is_lost_data_too),
        cmocka_unit_test(a_log_that_is_there_is_opened_although_it_must_be),
        cmocka_unit_test(
            what_a_failed_sync_left_in_the_cache_is_lasting_once_a_restart_has_read_it),
        cmocka_unit_test(a_log_goes_on_behind_what_a_failed_sync_had_left),
        cmocka_unit_test(what_a_failed_sync_left_may_go_with_the_power),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
