/* Snapshot marks, and what may go from the front of a log because of them. */
#include "wal_fixture.h"

#include "base/mem.h"

#define RETIRED_1 "wal/spare-0000000000000001"

enum { SEGMENTS = 6, WHILE_US = 3000000 };

static void mark(raft_term term, raft_index index)
{
    assert_int_equal(wal_rig_mark(&rig, (struct entry_id){term, index}), ST_OK);
    assert_true(wal_rig_settle(&rig));
}

static void compact(raft_index first_kept)
{
    wal_rig_compact(&rig, first_kept);
    disk_env_run(rig.env, WHILE_US);
}

/* ---- marks ---- */

static void a_mark_of_an_entry_in_the_log_keeps_what_follows(void **state)
{
    start(1);
    append_and_wait(1, 1, 10, 100);

    mark(1, 6);
    append_and_wait(1, 11, 2, 100);
    reopen();

    assert_int_equal(rig.recovered.snapshot.index, 6);
    assert_int_equal(rig.recovered.snapshot.term, 1);
    assert_int_equal(rig.recovered.first, 1);
    assert_int_equal(rig.recovered.last.index, 12);
    assert_true(rig.recovered.commit >= 6);
    assert_reads_back();
    finish();
}

static void a_mark_beyond_the_log_begins_it_anew(void **state)
{
    start(1);
    append_and_wait(1, 1, 10, 100);

    mark(3, 20);
    assert_int_equal(stats().first, 0);
    reopen();

    assert_int_equal(rig.recovered.snapshot.index, 20);
    assert_int_equal(rig.recovered.first, 0);
    assert_int_equal(rig.recovered.last.index, 20);
    assert_int_equal(rig.recovered.last.term, 3);
    append_and_wait(3, 21, 5, 100);
    assert_reads_back();
    reopen();
    assert_int_equal(rig.recovered.first, 21);
    assert_int_equal(rig.recovered.last.index, 25);
    assert_reads_back();
    finish();
}

static void a_mark_of_another_entry_of_that_index_begins_the_log_anew(void **state)
{
    start(1);
    append_and_wait(1, 1, 10, 100);

    mark(2, 5);
    append_and_wait(2, 6, 1, 100);
    reopen();

    assert_int_equal(rig.recovered.first, 6);
    assert_int_equal(rig.recovered.last.index, 6);
    assert_int_equal(rig.recovered.last.term, 2);
    assert_reads_back();
    finish();
}

static void a_mark_on_an_empty_log_begins_it_there(void **state)
{
    start(1);

    mark(4, 100);
    mark(4, 100); /* the same once more changes nothing */
    append_and_wait(4, 101, 3, 100);
    reopen();

    assert_int_equal(rig.recovered.first, 101);
    assert_int_equal(rig.recovered.last.index, 103);
    mark(4, 100);
    assert_int_equal(stats().first, 101);
    assert_reads_back();
    finish();
}

static void a_mark_while_its_entry_is_queued_or_in_flight_keeps_it(void **state)
{
    start(1);
    append(1, 1, 4, 100);
    (void)disk_env_step(rig.env); /* in flight */
    append(1, 5, 4, 100);         /* queued */

    assert_int_equal(wal_rig_mark(&rig, (struct entry_id){1, 2}), ST_OK);
    assert_int_equal(wal_rig_mark(&rig, (struct entry_id){1, 7}), ST_OK);
    assert_true(wal_rig_settle(&rig));

    assert_int_equal(stats().first, 1);
    assert_int_equal(stats().snapshot.index, 7);
    assert_reads_back();
    reopen();
    assert_int_equal(rig.recovered.last.index, 8);
    finish();
}

static void a_log_that_begins_anew_while_entries_are_in_flight_reads_none_of_them(void **state)
{
    start(1);
    append(1, 1, 4, 100);
    (void)disk_env_step(rig.env);
    append(1, 5, 4, 100);

    assert_int_equal(wal_rig_mark(&rig, (struct entry_id){2, 6}), ST_OK);
    append(2, 7, 2, 100);
    assert_true(wal_rig_settle(&rig));

    assert_int_equal(stats().first, 7);
    assert_reads_back();
    reopen();
    assert_int_equal(rig.recovered.first, 7);
    assert_reads_back();
    finish();
}

static void a_mark_that_is_not_durable_is_forgotten_with_what_it_superseded_kept(void **state)
{
    start(1);
    append_and_wait(1, 1, 10, 100);

    assert_int_equal(wal_rig_mark(&rig, (struct entry_id){3, 20}), ST_OK);
    reopen();

    assert_int_equal(rig.recovered.snapshot.index, 0);
    assert_int_equal(rig.recovered.last.index, 10);
    assert_reads_back();
    finish();
}

/* ---- compaction ---- */

static void segments_that_a_mark_covers_become_spares(void **state)
{
    start(1);
    fill_segments(3);
    struct hard_state hard_state = {.term = 9, .vote = 2};
    assert_int_equal(wal_rig_append(&rig, &hard_state, (struct entry_id){0}, 0, 0), ST_OK);
    raft_index last = rig.last.index;
    mark(1, last);

    compact(last + 1);

    assert_int_equal(stats().segments_count, 1);
    assert_false(disk_env_exists(rig.env, SEGMENT_1));
    assert_false(disk_env_exists(rig.env, SEGMENT_2));
    assert_true(stats().spares_count >= 2);
    append_and_wait(9, last + 1, 3, 100);
    assert_reads_back();
    reopen();
    assert_int_equal(rig.recovered.hard_state.term, 9);
    assert_int_equal(rig.recovered.hard_state.vote, 2);
    assert_int_equal(rig.recovered.last.index, last + 3);
    assert_reads_back();
    finish();
}

static void no_more_is_given_up_than_was_allowed(void **state)
{
    for (raft_index first_kept = 1; first_kept < 100; first_kept += 3) {
        start(first_kept);
        fill_segments(4);
        mark(1, rig.last.index);

        compact(MIN(first_kept, rig.last.index + 1));

        assert_true(stats().first <= first_kept);
        assert_reads_back();
        reopen();
        assert_int_equal(rig.recovered.first, stats().first);
        assert_reads_back();
        finish();
    }
}

static void a_former_segment_is_the_next_spare_and_its_frames_are_none(void **state)
{
    start(1);
    for (int round = 0; round < 5; round++) {
        fill_segments(3);
        mark(rig.last.term, rig.last.index);
        compact(rig.last.index + 1);
        assert_int_equal(stats().segments_count, 1);
        reopen();
        assert_reads_back();
        disk_env_run(rig.env, WHILE_US);
        assert_true(stats().spares_count <= 1 + LIMIT_WAL_SPARES);
    }
    assert_true(rig.last.index > 100);
    finish();
}

static void a_power_cut_while_a_former_segment_is_entered_makes_it_no_two(void **state)
{
    for (uint64_t seed = 1; seed <= 48; seed++) {
        /* given a former segment that has become the spare */
        start(seed);
        fill_segments(3);
        mark(rig.last.term, rig.last.index);
        compact(rig.last.index + 1);
        fill_segments(2);

        /* when the power fails about when that is entered, and the log goes on with its spares */
        disk_env_die_at(rig.env, disk_env_ops(rig.env) + 1 + seed % 16);
        while (!disk_env_is_dead(rig.env)) {
            append(1, rig.last.index + 1, 1, 40000);
            (void)wal_rig_settle(&rig);
            disk_env_run(rig.env, 20000);
        }
        reopen();
        fill_segments(6);

        /* then no file was used twice */
        reopen();
        assert_reads_back();
        finish();
    }
}

static void surplus_spares_are_removed_one_by_one(void **state)
{
    start(1);
    fill_segments(LIMIT_WAL_SPARES + 5);
    mark(1, rig.last.index);

    wal_rig_compact(&rig, rig.last.index + 1);
    disk_env_run(rig.env, 500000);
    assert_int_equal(stats().segments_count, 1);
    assert_true(stats().spares_count > 1 + LIMIT_WAL_SPARES);
    disk_env_run(rig.env, 20 * WHILE_US);

    assert_int_equal(stats().spares_count, 1 + LIMIT_WAL_SPARES);
    finish();
}

static void a_log_that_began_anew_keeps_no_segment_but_the_active_one(void **state)
{
    start(1);
    fill_segments(3);
    mark(2, rig.last.index + 50);

    compact(rig.last.index + 1);

    assert_int_equal(stats().segments_count, 1);
    reopen();
    assert_int_equal(rig.recovered.first, 0);
    append_and_wait(2, rig.last.index + 1, 3, 10);
    assert_reads_back();
    finish();
}

/* While what supersedes them is still on its way, superseded entries may be needed again. */
static void what_is_superseded_by_entries_not_yet_durable_is_not_given_up(void **state)
{
    start(1);
    append_and_wait(1, 1, 3, 10);
    mark(1, 3);
    fill_segments(3);
    struct hard_state hard_state = {.term = 2};
    assert_int_equal(wal_rig_append(&rig, &hard_state, (struct entry_id){2, 4}, 1, 10), ST_OK);

    wal_rig_compact(&rig, 4);
    for (int i = 0; i < 3; i++) /* the task, and the timer of the compaction */
        (void)disk_env_step(rig.env);
    reopen();

    assert_int_equal(rig.recovered.first, 1);
    assert_reads_back();
    finish();
}

/* A follower may lose an entry to one leader, and get it back from the next. */
static void an_entry_that_came_back_stays_when_the_segment_it_was_in_first_goes(void **state)
{
    /* given two entries that superseded each other until a second segment had begun */
    start(1);
    append_and_wait(1, 1, 1, 0);
    for (raft_term term = 1; stats().segments_count < 2; term = 3 - term) {
        append_and_wait(term, 2, 1, 0);
        disk_env_run(rig.env, 20000);
    }
    append_and_wait(rig.last.term, 3, 1, 0);

    /* when the first one goes */
    mark(rig.last.term, 3);
    compact(4);
    assert_int_equal(stats().segments_count, 1);
    reopen();

    /* then the entry is where it came back */
    assert_int_equal(rig.recovered.first, 2);
    assert_int_equal(rig.recovered.last.index, 3);
    assert_reads_back();
    finish();
}

static void a_read_goes_on_while_segments_go(void **state)
{
    start(1);
    fill_segments(4);
    mark(1, rig.last.index);
    struct entry *entry;
    size_t count;
    raft_index first = 1;
    wal_rig_compact(&rig, rig.last.index / 2);

    for (; first <= rig.last.index; first++) {
        enum status status = wal_read(rig.wal, first, 1, &entry, 1, &count, &rig.error);
        assert_true(status == ST_OK || (status == ST_NOT_FOUND && first < stats().first));
        if (status == ST_OK) {
            assert_int_equal(entry->id.index, first);
            entry_unref(entry);
        }
        disk_env_run(rig.env, 3000);
    }
    finish();
}

/* ---- what only compaction may do ---- */

static void segments_gone_that_no_mark_covers_are_lost_data(void **state)
{
    static const char *const paths[] = {SEGMENT_1, SEGMENT_2, SEGMENT_3};
    for (size_t gone = 1; gone <= 3; gone++) {
        for (raft_index marked = 0; marked < 80; marked += 7) {
            /* given a log, of which a part may be covered */
            start(gone);
            fill_segments(4);
            if (marked > 0)
                mark(1, marked);
            wal_rig_kill(&rig);
            for (size_t i = 0; i < gone; i++)
                disk_env_remove(rig.env, paths[i]);
            uint32_t digest = disk_env_digest(rig.env);

            /* when it is opened without its first segments */
            rig.first_kept = marked + 1;
            enum status status = wal_rig_open(&rig);

            /* then only what the mark covers may be missing */
            if (status == ST_OK) {
                assert_true(rig.recovered.first <= marked + 1);
            } else {
                assert_int_equal(status, ST_CORRUPT);
                assert_non_null(strstr(rig.error.text, "no snapshot is marked"));
                assert_int_equal(disk_env_digest(rig.env), digest);
            }
            finish();
        }
    }
}

static void a_gap_behind_the_oldest_segment_is_lost_data(void **state)
{
    start(1);
    fill_segments(4);
    mark(1, rig.last.index);
    wal_rig_kill(&rig);
    disk_env_remove(rig.env, SEGMENT_2);

    assert_int_equal(wal_rig_open(&rig), ST_CORRUPT);
    assert_non_null(strstr(rig.error.text, SEGMENT_2 ": the segment is missing"));
    finish();
}

/* ---- errors ---- */

static void a_rename_that_fails_is_tried_again(void **state)
{
    start(1);
    fill_segments(3);
    mark(1, rig.last.index);
    disk_env_run(rig.env, WHILE_US);
    disk_env_fail_at(rig.env, disk_env_ops(rig.env) + 1, ST_IO);

    compact(rig.last.index + 1);
    assert_int_equal(stats().segments_count, 3);
    assert_int_equal(rig.failures_count, 0);
    compact(rig.last.index + 1);

    assert_int_equal(stats().segments_count, 1);
    finish();
}

static void a_directory_that_cannot_be_synced_ends_the_log(void **state)
{
    start(1);
    fill_segments(3);
    mark(1, rig.last.index);
    disk_env_run(rig.env, WHILE_US);
    disk_env_fail_at(rig.env, disk_env_ops(rig.env) + 2, ST_IO);

    compact(rig.last.index + 1);

    assert_int_equal(rig.failures_count, 1);
    assert_int_equal(rig.failure, ST_IO);
    reopen();
    assert_reads_back();
    finish();
}

/* ---- a long life ---- */

static void many_lives_with_marks_and_compaction_keep_what_they_must(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct prng prng;
        prng_init(&prng, seed);
        start(seed);
        uint64_t most = 0;
        for (int i = 0; i < 600; i++) {
            enum status status = prng_below(&prng, 8) == 0 ? wal_rig_mark_random(&rig, &prng)
                                                           : wal_rig_append_random(&rig, &prng);
            assert_int_equal(status, ST_OK);
            disk_env_run(rig.env, prng_below(&prng, 20000));
            wal_rig_compact(&rig, wal_rig_durable_mark(&rig).index + 1);
            most = MAX(most, stats().segments_count);
            if (prng_below(&prng, 60) != 0)
                continue;
            wal_rig_cut_power(&rig);
            if (wal_rig_open(&rig) != ST_OK)
                fail_msg("seed %llu: %s", (unsigned long long)seed, rig.error.text);
            const char *wrong = wal_rig_compare(&rig, &prng);
            if (wrong != NULL)
                fail_msg("seed %llu: %s", (unsigned long long)seed, wrong);
        }
        assert_in_range(most, 2, 20); /* the log stays bounded */
        finish();
    }
}

/* What a log stands on before its first mark is the entry in front of its first: that of the
 * initial configuration, which no log holds. */
static void a_mark_of_the_entry_in_front_of_the_first_keeps_the_log(void **state)
{
    (void)state;
    start(1);
    append_and_wait(2, 2, 3, 100);

    mark(1, 1);
    wal_rig_cut_power(&rig);
    (void)!wal_rig_open(&rig); /* the rig's own logs begin at 1, so it does not know this one */

    assert_int_equal(rig.recovered.first, 2);
    assert_int_equal(rig.recovered.last.index, 4);
    assert_int_equal(rig.recovered.snapshot.index, 1);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mark_of_the_entry_in_front_of_the_first_keeps_the_log),
        cmocka_unit_test(a_mark_of_an_entry_in_the_log_keeps_what_follows),
        cmocka_unit_test(a_mark_beyond_the_log_begins_it_anew),
        cmocka_unit_test(a_mark_of_another_entry_of_that_index_begins_the_log_anew),
        cmocka_unit_test(a_mark_on_an_empty_log_begins_it_there),
        cmocka_unit_test(a_mark_while_its_entry_is_queued_or_in_flight_keeps_it),
        cmocka_unit_test(a_log_that_begins_anew_while_entries_are_in_flight_reads_none_of_them),
        cmocka_unit_test(a_mark_that_is_not_durable_is_forgotten_with_what_it_superseded_kept),
        cmocka_unit_test(segments_that_a_mark_covers_become_spares),
        cmocka_unit_test(no_more_is_given_up_than_was_allowed),
        cmocka_unit_test(a_former_segment_is_the_next_spare_and_its_frames_are_none),
        cmocka_unit_test(a_power_cut_while_a_former_segment_is_entered_makes_it_no_two),
        cmocka_unit_test(surplus_spares_are_removed_one_by_one),
        cmocka_unit_test(a_log_that_began_anew_keeps_no_segment_but_the_active_one),
        cmocka_unit_test(what_is_superseded_by_entries_not_yet_durable_is_not_given_up),
        cmocka_unit_test(an_entry_that_came_back_stays_when_the_segment_it_was_in_first_goes),
        cmocka_unit_test(a_read_goes_on_while_segments_go),
        cmocka_unit_test(segments_gone_that_no_mark_covers_are_lost_data),
        cmocka_unit_test(a_gap_behind_the_oldest_segment_is_lost_data),
        cmocka_unit_test(a_rename_that_fails_is_tried_again),
        cmocka_unit_test(a_directory_that_cannot_be_synced_ends_the_log),
        cmocka_unit_test(many_lives_with_marks_and_compaction_keep_what_they_must),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
