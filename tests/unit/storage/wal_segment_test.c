/* The files of the log: where one ends and the next begins, and which are taken for its own. */
#include "wal_fixture.h"

#include "base/mem.h"
#include "storage/wal_format.h"

static void a_full_segment_is_followed_by_the_prepared_spare(void **state)
{
    start(1);
    disk_env_run(rig.env, 1000000);
    assert_int_equal(stats().spares_count, 1);
    assert_int_equal(disk_env_peek(rig.env, "wal/spare").count, RIG_SEGMENT_BYTES);

    for (raft_index index = 1; index <= 40; index++)
        append_and_wait(1, index, 1, 4000);

    assert_int_equal(stats().segments_count, 2);
    assert_true(disk_env_exists(rig.env, SEGMENT_2));
    assert_reads_back();
    disk_env_run(rig.env, 1000000);
    assert_int_equal(stats().spares_count, 1);
    reopen();
    assert_int_equal(stats().segments_count, 2);
    assert_reads_back();
    finish();
}

static void segments_switch_wherever_a_frame_ends(void **state)
{
    for (size_t data_bytes = 0; data_bytes < 20000; data_bytes += 611) {
        start(data_bytes);
        raft_index index = 1;
        while (stats().segments_count < 4) {
            append_and_wait(1, index++, 1, data_bytes);
            if (index % 8 == 0)
                disk_env_run(rig.env, 10000);
        }
        assert_reads_back();
        reopen();
        assert_int_equal(stats().segments_count, 4);
        assert_reads_back();
        finish();
    }
}

static void hard_state_and_commit_outlive_their_segment(void **state)
{
    start(1);
    struct hard_state hard_state = {.term = 6, .vote = 2};
    rig.commit = 1;
    assert_int_equal(wal_rig_append(&rig, &hard_state, (struct entry_id){6, 1}, 2, 10), ST_OK);
    assert_true(wal_rig_settle(&rig));
    disk_env_run(rig.env, 1000000);
    for (raft_index index = 3; stats().segments_count < 2; index++)
        append_and_wait(6, index, 1, 4000);

    struct wal_segment_header header;
    assert_int_equal(
        wal_format_decode_segment(disk_env_peek(rig.env, SEGMENT_2), &header, &rig.error), ST_OK);

    assert_int_equal(header.hard_state.term, 6);
    assert_int_equal(header.hard_state.vote, 2);
    assert_int_equal(header.commit, 1);
    assert_int_equal(header.last.index, rig.last.index - 1);
    finish();
}

static void superseding_across_segments_reads_back_right(void **state)
{
    start(1);
    disk_env_run(rig.env, 1000000);
    for (raft_index index = 1; stats().segments_count < 3; index++) {
        append_and_wait(1, index, 1, 4000);
        disk_env_run(rig.env, 20000);
    }
    append_and_wait(2, 10, 3, 4000);
    assert_reads_back();

    reopen();

    assert_int_equal(rig.recovered.last.index, 12);
    assert_reads_back();
    append_and_wait(3, 1, 1, 10); /* and everything */
    assert_reads_back();
    reopen();
    assert_int_equal(rig.recovered.last.index, 1);
    assert_reads_back();
    finish();
}

static void without_a_spare_the_segment_grows(void **state)
{
    /* given a disk with room for the log, but not for a spare */
    wal_rig_init(&rig, disk_env_new(1));
    disk_env_set_capacity(rig.env, 2 * RIG_SEGMENT_BYTES - 4096);
    assert_int_equal(wal_rig_open(&rig), ST_OK);
    disk_env_run(rig.env, 1000000);
    assert_true(stats().is_out_of_space);
    assert_int_equal(stats().spares_count, 0);
    assert_false(disk_env_exists(rig.env, "wal/spare"));

    /* when more is appended than the segment was made for */
    for (raft_index index = 1; index <= 40; index++)
        append_and_wait(1, index, 1, 4000);

    /* then it is there, and once there is room the log goes on in a spare */
    assert_int_equal(stats().segments_count, 1);
    assert_reads_back();
    disk_env_set_capacity(rig.env, 0);
    disk_env_run(rig.env, 3000000);
    assert_false(stats().is_out_of_space);
    append_and_wait(1, 41, 1, 4000);
    assert_int_equal(stats().segments_count, 2);
    reopen();
    assert_reads_back();
    finish();
}

static void a_missing_segment_is_damage(void **state)
{
    static const char *const paths[] = {SEGMENT_1, SEGMENT_2};
    static const char *const named[] = {SEGMENT_2, SEGMENT_2}; /* the oldest that is left, or it */
    for (size_t i = 0; i < 2; i++) {
        start(1);
        fill_segments(3);
        wal_rig_kill(&rig);
        disk_env_remove(rig.env, paths[i]);
        uint32_t digest = disk_env_digest(rig.env);

        assert_int_equal(wal_rig_open(&rig), ST_CORRUPT);
        assert_non_null(strstr(rig.error.text, named[i]));
        assert_int_equal(disk_env_digest(rig.env), digest);
        finish();
    }
}

static void swapped_segments_are_damage(void **state)
{
    start(1);
    fill_segments(3);
    wal_rig_kill(&rig);
    struct env *copy = disk_env_copy(rig.env, 1);

    disk_env_put(rig.env, SEGMENT_2, disk_env_peek(copy, SEGMENT_3));
    disk_env_put(rig.env, SEGMENT_3, disk_env_peek(copy, SEGMENT_2));

    assert_int_equal(wal_rig_open(&rig), ST_CORRUPT);
    disk_env_free(copy);
    finish();
}

static void names_that_are_no_segments_are_left_alone(void **state)
{
    start(1);
    append_and_wait(1, 1, 1, 10);
    wal_rig_kill(&rig);
    disk_env_put(rig.env, "wal/notes.txt", BYTES_LITERAL("mine"));
    disk_env_put(rig.env, "wal/0000000000000009.log.bak", BYTES_LITERAL("mine"));
    disk_env_put(rig.env, "wal/000000000000000A.log", BYTES_LITERAL("mine"));

    assert_int_equal(wal_rig_open(&rig), ST_OK);
    assert_true(bytes_equal_text(disk_env_peek(rig.env, "wal/notes.txt"), "mine"));
    finish();
}

/* As recycling does: the spare is full of frames of a former life, with the very numbers that
 * are to come, so that only the salt tells them apart. */
static void stale_frames_of_a_spare_are_never_taken_for_new_ones(void **state)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        /* given a spare with a valid frame of its old life in each block */
        start(seed);
        append_and_wait(1, 1, 3, 4000);
        uint64_t next_seq = stats().frames_count + 2;
        wal_rig_kill(&rig);
        uint8_t *stale = mem_alloc(RIG_SEGMENT_BYTES);
        for (uint64_t block = 1; block < RIG_SEGMENT_BYTES / WAL_BLOCK_BYTES; block++) {
            struct wal_frame_header header = {
                .segment = 2, .seq = next_seq + 29 + block, .durable_seq = next_seq + 28 + block};
            wal_format_seal_frame(&header, 0x01d, block * WAL_BLOCK_BYTES,
                                  stale + block * WAL_BLOCK_BYTES);
        }
        disk_env_put(rig.env, "wal/spare", bytes_of(stale, RIG_SEGMENT_BYTES));
        mem_free(stale);

        /* when the log moves into it, and the power fails */
        assert_int_equal(wal_rig_open(&rig), ST_OK);
        disk_env_run(rig.env, 100000);
        fill_segments(2);
        append_and_wait(1, rig.last.index + 1, 1, (size_t)seed * 100);
        append(1, rig.last.index + 1, 2, 3000);
        (void)disk_env_step(rig.env);
        reopen();

        /* then the log ends where it ended */
        assert_reads_back();
        append_and_wait(1, rig.last.index + 1, 1, 10);
        reopen();
        finish();
    }
}

static void frames_of_a_former_life_are_no_torn_write(void **state)
{
    /* given a spare with a frame of the first segment in each block */
    start(1);
    append_and_wait(1, 1, 3, 4000);
    wal_rig_kill(&rig);
    uint8_t *stale = mem_alloc(RIG_SEGMENT_BYTES);
    for (uint64_t block = 1; block < RIG_SEGMENT_BYTES / WAL_BLOCK_BYTES; block++) {
        struct wal_frame_header header = {.segment = 1, .seq = block + 1, .durable_seq = block};
        wal_format_seal_frame(&header, 0x01d, block * WAL_BLOCK_BYTES,
                              stale + block * WAL_BLOCK_BYTES);
    }
    disk_env_put(rig.env, "wal/spare", bytes_of(stale, RIG_SEGMENT_BYTES));
    mem_free(stale);
    assert_int_equal(wal_rig_open(&rig), ST_OK);
    disk_env_run(rig.env, 100000);

    /* when the log has moved into it, and the node starts again */
    fill_segments(2);
    append_and_wait(1, rig.last.index + 1, 1, 10);
    reopen();

    assert_int_equal(rig.recovered.torn_bytes, 0);
    assert_reads_back();
    finish();
}

static void a_leftover_spare_is_used_again(void **state)
{
    start(1);
    disk_env_run(rig.env, 7000); /* a piece or two */
    wal_rig_kill(&rig);
    assert_true(disk_env_exists(rig.env, "wal/spare"));

    assert_int_equal(wal_rig_open(&rig), ST_OK);
    disk_env_run(rig.env, 1000000);

    assert_int_equal(stats().spares_count, 1);
    fill_segments(3);
    reopen();
    assert_reads_back();
    finish();
}

static void many_restarts_with_appends_between_keep_everything(void **state)
{
    struct prng prng;
    prng_init(&prng, 42);
    start(42);
    for (int life = 0; life < 60; life++) {
        for (int i = 0; i < 6; i++) {
            assert_int_equal(wal_rig_append_random(&rig, &prng), ST_OK);
            disk_env_run(rig.env, 1000);
        }
        assert_true(wal_rig_settle(&rig));
        assert_reads_back();
        reopen();
    }
    assert_reads_back();
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_segment_is_followed_by_the_prepared_spare),
        cmocka_unit_test(segments_switch_wherever_a_frame_ends),
        cmocka_unit_test(hard_state_and_commit_outlive_their_segment),
        cmocka_unit_test(superseding_across_segments_reads_back_right),
        cmocka_unit_test(without_a_spare_the_segment_grows),
        cmocka_unit_test(a_missing_segment_is_damage),
        cmocka_unit_test(swapped_segments_are_damage),
        cmocka_unit_test(names_that_are_no_segments_are_left_alone),
        cmocka_unit_test(stale_frames_of_a_spare_are_never_taken_for_new_ones),
        cmocka_unit_test(frames_of_a_former_life_are_no_torn_write),
        cmocka_unit_test(a_leftover_spare_is_used_again),
        cmocka_unit_test(many_restarts_with_appends_between_keep_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
