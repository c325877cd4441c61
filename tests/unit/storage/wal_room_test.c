/* A log that waits for room does not wait for what it holds itself: neither for a spare that became
 * ready meanwhile, nor for files of former segments. */
#include "unit/storage/wal_fixture.h"

#include "storage/wal_private.h"

enum { ENTRY_BYTES = 4000, LONG_US = 10 * 1000 * 1000 };

/* The first segment, filled so far that the rest is soon used up. False: it could not be. */
static bool open_with(int entries_count, raft_index *out_next)
{
    wal_rig_init(&rig, disk_env_new(1 + (uint64_t)entries_count));
    disk_env_set_capacity(rig.env, RIG_SEGMENT_BYTES);
    assert_int_equal(wal_rig_open(&rig), ST_OK);
    *out_next = 1;
    for (int i = 0; i < entries_count; i++) {
        append(1, (*out_next)++, 1, ENTRY_BYTES);
        if (!wal_rig_settle(&rig))
            return false;
    }
    return true;
}

static void meet(int entries_count, int steps, uint64_t more_bytes)
{
    raft_index next;
    if (open_with(entries_count, &next)) {
        disk_env_set_capacity(rig.env, 2 * RIG_SEGMENT_BYTES + more_bytes);
        while (!rig.wal->spare.is_filling && disk_env_step(rig.env))
            ;
        for (int i = 0; i < steps && rig.wal->spare.is_filling; i++) {
            append(1, next++, 1, (size_t)(5 - steps % 2) * ENTRY_BYTES);
            if (!disk_env_step(rig.env))
                break;
        }
        disk_env_run(rig.env, LONG_US);
        assert_false(rig.wal->is_waiting_for_room && rig.wal->spare.is_ready &&
                     !rig.wal->is_switching);
    }
    finish();
}

/* The last piece of the spare and a frame that did not wait for it meet in every order. */
static void a_spare_makes_way_for_a_frame_that_has_its_place(void **state)
{
    (void)state;
    for (int entries_count = 12; entries_count < 32; entries_count++)
        for (int steps = 0; steps < 4; steps++)
            for (uint64_t blocks = 0; blocks < 3; blocks++)
                meet(entries_count, steps, blocks * WAL_BLOCK_BYTES);
}

static void files_of_former_segments_make_way_for_the_log(void **state)
{
    (void)state;
    struct prng prng;
    raft_index next = 1;
    prng_init(&prng, 3);
    wal_rig_init(&rig, disk_env_new(1));
    assert_int_equal(wal_rig_open(&rig), ST_OK);
    while (rig.wal->segments_count < 4) {
        append(1, next++, 1, ENTRY_BYTES);
        assert_true(wal_rig_settle(&rig));
        disk_env_run(rig.env, 20000);
    }
    for (int i = 0; i < 20 && wal_rig_durable_mark(&rig).index < 30; i++) {
        assert_int_equal(wal_rig_mark_random(&rig, &prng), ST_OK);
        assert_true(wal_rig_settle(&rig));
    }
    wal_rig_compact(&rig, wal_rig_durable_mark(&rig).index);
    disk_env_run(rig.env, 500000);
    assert_true(rig.wal->spare.retired_count > 0);

    disk_env_set_capacity(rig.env, 1); /* nothing more than what is there */
    for (int i = 0; i < 60 && rig.failures_count == 0; i++) {
        append(1, rig.last.index + 1, 1, ENTRY_BYTES);
        (void)disk_env_step(rig.env);
        (void)disk_env_step(rig.env);
    }
    disk_env_run(rig.env, LONG_US);

    assert_int_equal(rig.failures_count, 0);
    assert_true(!rig.wal->is_waiting_for_room || rig.wal->spare.retired_count == 0);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_spare_makes_way_for_a_frame_that_has_its_place),
        cmocka_unit_test(files_of_former_segments_make_way_for_the_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
