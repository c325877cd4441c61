/* The log's contract, case by case. */
#include "wal_fixture.h"

#include "base/crc32c.h"
#include "storage/wal_format.h"

static void a_new_log_is_empty(void **state)
{
    start(1);

    assert_int_equal(rig.recovered.last.index, 0);
    assert_int_equal(rig.recovered.first, 0);
    assert_int_equal(rig.recovered.hard_state.term, 0);
    assert_int_equal(rig.recovered.commit, 0);
    assert_int_equal(rig.recovered.torn_bytes, 0);
    finish();
}

static void everything_durable_is_there_after_a_power_cut(void **state)
{
    start(1);
    struct hard_state hard_state = {.term = 7, .vote = 3};
    rig.commit = 2;
    assert_int_equal(wal_rig_append(&rig, &hard_state, (struct entry_id){7, 1}, 3, 100), ST_OK);
    assert_true(wal_rig_settle(&rig));

    reopen();

    assert_int_equal(rig.recovered.first, 1);
    assert_int_equal(rig.recovered.last.index, 3);
    assert_int_equal(rig.recovered.last.term, 7);
    assert_int_equal(rig.recovered.hard_state.term, 7);
    assert_int_equal(rig.recovered.hard_state.vote, 3);
    assert_int_equal(rig.recovered.commit, 2);
    assert_reads_back();
    finish();
}

static void a_hard_state_alone_is_durable(void **state)
{
    start(1);
    struct hard_state hard_state = {.term = 5, .vote = 1};
    assert_int_equal(wal_rig_append(&rig, &hard_state, (struct entry_id){0}, 0, 0), ST_OK);
    assert_true(wal_rig_settle(&rig));

    reopen();

    assert_int_equal(rig.recovered.hard_state.term, 5);
    assert_int_equal(rig.recovered.hard_state.vote, 1);
    assert_int_equal(rig.recovered.last.index, 0);
    finish();
}

static void nothing_is_durable_before_the_sync(void **state)
{
    start(1);

    append(1, 1, 1, 10);
    assert_int_equal(rig.sequence_durable, 0);
    assert_true(disk_env_step(rig.env)); /* the task: the write is in the cache */
    assert_int_equal(rig.sequence_durable, 0);

    assert_true(wal_rig_settle(&rig));
    assert_int_equal(rig.sequence_durable, 1);
    finish();
}

static void appends_of_one_turn_share_a_frame(void **state)
{
    start(1);
    uint64_t syncs = stats().syncs_count;

    for (raft_index index = 1; index <= 100; index++)
        append(1, index, 1, 50);
    assert_true(wal_rig_settle(&rig));

    assert_int_equal(stats().syncs_count, syncs + 1);
    assert_int_equal(stats().entries_count, 100);
    assert_int_equal(rig.sequence_durable, 100);
    finish();
}

static void what_arrives_while_a_frame_is_written_shares_the_next(void **state)
{
    start(1);
    append(1, 1, 1, 50);
    assert_true(disk_env_step(rig.env)); /* starts the write */

    for (raft_index index = 2; index <= 50; index++)
        append(1, index, 1, 50);
    assert_true(wal_rig_settle(&rig));

    assert_int_equal(stats().frames_count, 2);
    finish();
}

static void a_later_record_supersedes_all_from_its_index_on(void **state)
{
    start(1);
    append_and_wait(1, 1, 6, 100);
    append_and_wait(2, 4, 1, 100); /* 4' takes the place of 4, 5 and 6 */
    assert_reads_back();

    reopen();

    assert_int_equal(rig.recovered.last.index, 4);
    assert_int_equal(rig.recovered.last.term, 2);
    assert_reads_back();
    append_and_wait(2, 5, 3, 100);
    reopen();
    assert_int_equal(rig.recovered.last.index, 7);
    assert_reads_back();
    finish();
}

static void superseding_in_flight_and_queued_entries_reads_back_right(void **state)
{
    start(1);
    append_and_wait(1, 1, 3, 100);
    append(1, 4, 3, 100); /* 4, 5, 6: in flight */
    assert_true(disk_env_step(rig.env));
    append(2, 6, 3, 100); /* 6', 7', 8': queued */
    append(3, 8, 1, 100); /* 8'': queued behind them */
    append(4, 5, 2, 100); /* 5''', 6''' */

    assert_true(wal_rig_settle(&rig));

    assert_int_equal(rig.last.index, 6);
    assert_reads_back();
    reopen();
    assert_reads_back();
    finish();
}

static void a_superseded_entry_is_not_read_while_its_successor_is_queued(void **state)
{
    start(1);
    struct entry *entries[8];
    size_t count;
    append_and_wait(1, 1, 5, 100);

    append(2, 3, 2, 100);

    assert_int_equal(wal_read(rig.wal, 3, 1000, entries, 8, &count, &rig.error), ST_NOT_FOUND);
    assert_int_equal(wal_read(rig.wal, 1, 1000, entries, 8, &count, &rig.error), ST_OK);
    assert_int_equal(count, 2);
    entry_unref(entries[0]);
    entry_unref(entries[1]);
    assert_true(wal_rig_settle(&rig));
    assert_reads_back();
    finish();
}

static void a_read_does_not_go_on_among_superseded_records(void **state)
{
    /* given a read that ended in front of 8 */
    start(1);
    struct entry *entries[8];
    size_t count;
    append_and_wait(1, 1, 10, 100);
    assert_int_equal(wal_read(rig.wal, 1, 10000, entries, 7, &count, &rig.error), ST_OK);
    assert_int_equal(count, 7);
    for (size_t i = 0; i < count; i++)
        entry_unref(entries[i]);

    /* when 5 and all behind it are superseded */
    append_and_wait(2, 5, 6, 100);

    /* then the next read gives the new 8 */
    assert_int_equal(wal_read(rig.wal, 8, 10000, entries, 1, &count, &rig.error), ST_OK);
    assert_int_equal(entries[0]->id.term, 2);
    entry_unref(entries[0]);
    finish();
}

static void a_read_gives_at_least_one_entry_and_no_more_than_asked_for(void **state)
{
    start(1);
    struct entry *entries[8];
    size_t count;
    append_and_wait(1, 1, 8, 1000);

    assert_int_equal(wal_read(rig.wal, 1, 0, entries, 8, &count, &rig.error), ST_OK);
    assert_int_equal(count, 1);
    entry_unref(entries[0]);
    assert_int_equal(wal_read(rig.wal, 2, 3 * 1028, entries, 8, &count, &rig.error), ST_OK);
    assert_int_equal(count, 3);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(entries[i]->id.index, 2 + i);
        entry_unref(entries[i]);
    }
    assert_int_equal(wal_read(rig.wal, 9, 1000, entries, 8, &count, &rig.error), ST_NOT_FOUND);
    assert_int_equal(wal_read(rig.wal, 0, 1000, entries, 8, &count, &rig.error), ST_NOT_FOUND);
    finish();
}

static void a_full_queue_refuses_and_queues_nothing(void **state)
{
    start(1);
    struct entry *entries[16];
    uint64_t sequence = 0, taken = 0;
    raft_index index = 1;
    for (size_t i = 0; i < 16; i++)
        entries[i] = wal_rig_entry(i, (struct entry_id){1, index + i}, MIB);

    enum status status = ST_OK;
    while (status == ST_OK) {
        for (size_t i = 0; i < 16; i++)
            entry_seal(entries[i], (struct entry_id){1, index + i});
        status = wal_append(rig.wal, NULL, entries, 16, 0, &sequence);
        taken += status == ST_OK;
        index += status == ST_OK ? 16 : 0;
    }

    assert_int_equal(status, ST_BUSY);
    assert_int_equal(taken, LIMIT_WAL_QUEUE_BYTES / (16 * MIB) - 1);
    assert_int_equal(sequence, taken);
    assert_true(stats().queued_bytes <= LIMIT_WAL_QUEUE_BYTES);
    for (size_t i = 0; i < 16; i++)
        entry_unref(entries[i]);
    finish();
}

static void a_batch_larger_than_a_frame_is_split_and_complete(void **state)
{
    start(1);
    append_and_wait(1, 1, 20, MIB); /* frames of 8 MiB in a log with segments of 128 KiB */
    assert_true(stats().frames_count >= 3);

    assert_reads_back();
    reopen();
    assert_int_equal(rig.recovered.last.index, 20);
    assert_reads_back();
    finish();
}

static void an_idle_log_is_sealed_once(void **state)
{
    start(1);
    append_and_wait(1, 1, 1, 10);
    uint64_t frames = stats().frames_count;

    disk_env_run(rig.env, 20 * RIG_IDLE_SEAL_US);

    assert_int_equal(stats().frames_count, frames + 1);
    append_and_wait(1, 2, 1, 10);
    disk_env_run(rig.env, 20 * RIG_IDLE_SEAL_US);
    assert_int_equal(stats().frames_count, frames + 3);
    finish();
}

static void an_unsealed_log_is_sealed_after_a_restart(void **state)
{
    start(1);
    append_and_wait(1, 1, 1, 10);
    reopen();

    disk_env_run(rig.env, 2 * RIG_IDLE_SEAL_US);
    assert_int_equal(stats().frames_count, 1);

    reopen();
    disk_env_run(rig.env, 2 * RIG_IDLE_SEAL_US);
    assert_int_equal(stats().frames_count, 0);
    finish();
}

static void without_idle_seal_nothing_is_written_at_rest(void **state)
{
    wal_rig_init(&rig, disk_env_new(1));
    rig.options.idle_seal = 0;
    assert_int_equal(wal_rig_open(&rig), ST_OK);
    append_and_wait(1, 1, 1, 10);

    disk_env_run(rig.env, 20 * RIG_IDLE_SEAL_US);

    assert_int_equal(stats().frames_count, 1);
    finish();
}

/* The disk holds the first segment and no more; entries are appended until one finds no room. */
static raft_index fill_disk(void)
{
    wal_rig_init(&rig, disk_env_new(1));
    disk_env_set_capacity(rig.env, RIG_SEGMENT_BYTES);
    assert_int_equal(wal_rig_open(&rig), ST_OK);
    raft_index index = 1;
    do
        append(1, index++, 1, 4000);
    while (wal_rig_settle(&rig));
    return index;
}

static void a_disk_without_any_room_makes_the_log_wait_until_there_is_some(void **state)
{
    raft_index next = fill_disk();
    size_t acked_count = rig.acked_count;
    assert_int_equal(rig.failures_count, 0);
    assert_true(stats().is_out_of_space);

    /* what is appended meanwhile waits behind it, and is superseded in its place */
    append(2, next - 1, 1, 4000);
    append(2, next, 1, 100);
    disk_env_run(rig.env, RIG_SETTLE_US);
    assert_int_equal(rig.acked_count, acked_count);

    disk_env_set_capacity(rig.env, 0);
    assert_true(wal_rig_settle(&rig));
    disk_env_run(rig.env, RIG_SETTLE_US);

    assert_false(stats().is_out_of_space);
    assert_int_equal(rig.room_changes_count, 2);
    assert_int_equal(rig.failures_count, 0);
    reopen();
    append_and_wait(2, rig.last.index + 1, 1, 4000);
    assert_reads_back();
    finish();
}

static void room_for_less_than_a_spare_goes_to_the_frame_that_waits(void **state)
{
    (void)fill_disk();

    disk_env_set_capacity(rig.env, RIG_SEGMENT_BYTES + 2 * WAL_BLOCK_BYTES);
    assert_true(wal_rig_settle(&rig));

    assert_true(stats().is_out_of_space); /* as before: there is no spare */
    assert_int_equal(rig.room_changes_count, 1);
    assert_reads_back();
    finish();
}

static void a_log_that_waits_for_room_can_be_closed_and_fail(void **state)
{
    (void)fill_disk();
    wal_rig_close(&rig);
    assert_int_equal(wal_rig_open(&rig), ST_OK);
    assert_reads_back();
    finish();

    raft_index next = fill_disk();
    disk_env_set_capacity(rig.env, 0);
    disk_env_fail_at(rig.env, disk_env_ops(rig.env) + 2, ST_IO); /* of its sync */
    assert_false(wal_rig_settle(&rig));
    assert_int_equal(rig.failures_count, 1);
    assert_int_equal(wal_rig_append(&rig, NULL, (struct entry_id){1, next}, 1, 1), ST_IO);
    finish();
}

/* For want of room like for any other reason: what it was about may be lost. */
static void a_sync_without_room_is_final(void **state)
{
    start(1);
    append_and_wait(1, 1, 1, 10);
    append(1, 2, 1, 10);
    disk_env_fail_at(rig.env, disk_env_ops(rig.env) + 2, ST_NO_SPACE); /* the write, its sync */

    assert_false(wal_rig_settle(&rig));

    assert_int_equal(rig.failures_count, 1);
    assert_int_equal(rig.failure, ST_IO);
    finish();
}

static void a_failed_sync_is_final(void **state)
{
    start(1);
    append_and_wait(1, 1, 1, 10);
    append(1, 2, 1, 10);
    disk_env_fail_at(rig.env, disk_env_ops(rig.env) + 2, ST_IO); /* the write, then its sync */

    assert_false(wal_rig_settle(&rig));

    assert_int_equal(rig.failures_count, 1);
    assert_int_equal(rig.failure, ST_IO);
    assert_int_equal(rig.sequence_durable, 1);
    assert_int_equal(wal_rig_append(&rig, NULL, (struct entry_id){1, 3}, 1, 1), ST_IO);
    disk_env_run(rig.env, 10 * RIG_IDLE_SEAL_US);
    assert_int_equal(rig.failures_count, 1);
    assert_int_equal(rig.sequence_durable, 1);
    finish();
}

static void closing_drops_what_is_queued(void **state)
{
    start(1);
    append_and_wait(1, 1, 1, 10);
    append(1, 2, 1, 10);
    assert_true(disk_env_step(rig.env)); /* 2 is in flight */
    append(1, 3, 1, 10);

    wal_rig_close(&rig);
    while (disk_env_step(rig.env))
        continue;

    assert_int_equal(wal_rig_open(&rig), ST_OK);
    assert_int_equal(rig.recovered.last.index, 2);
    finish();
}

static void another_owner_is_refused(void **state)
{
    start(1);
    append_and_wait(1, 1, 1, 10);
    wal_rig_close(&rig);
    disk_env_kill(rig.env);
    uint32_t digest = disk_env_digest(rig.env);

    rig.options.owner[1] ^= 1;

    assert_int_equal(wal_rig_open(&rig), ST_FORMAT);
    assert_non_null(strstr(rig.error.text, SEGMENT_1));
    assert_int_equal(disk_env_digest(rig.env), digest);
    finish();
}

static void another_version_is_refused_by_its_number(void **state)
{
    start(1);
    append_and_wait(1, 1, 1, 10);
    wal_rig_kill(&rig);
    uint8_t block[WAL_BLOCK_BYTES];
    memcpy(block, disk_env_peek(rig.env, SEGMENT_1).data, sizeof block);
    store_u32(block + 4, 2);
    store_u32(block, crc32c(0, bytes_of(block + 4, sizeof block - 4)));
    disk_env_poke(rig.env, SEGMENT_1, 0, bytes_of(block, sizeof block));
    uint32_t digest = disk_env_digest(rig.env);

    assert_int_equal(wal_rig_open(&rig), ST_FORMAT);
    assert_non_null(strstr(rig.error.text, "version 2"));
    assert_int_equal(disk_env_digest(rig.env), digest);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_log_is_empty),
        cmocka_unit_test(everything_durable_is_there_after_a_power_cut),
        cmocka_unit_test(a_hard_state_alone_is_durable),
        cmocka_unit_test(nothing_is_durable_before_the_sync),
        cmocka_unit_test(appends_of_one_turn_share_a_frame),
        cmocka_unit_test(what_arrives_while_a_frame_is_written_shares_the_next),
        cmocka_unit_test(a_later_record_supersedes_all_from_its_index_on),
        cmocka_unit_test(superseding_in_flight_and_queued_entries_reads_back_right),
        cmocka_unit_test(a_superseded_entry_is_not_read_while_its_successor_is_queued),
        cmocka_unit_test(a_read_does_not_go_on_among_superseded_records),
        cmocka_unit_test(a_read_gives_at_least_one_entry_and_no_more_than_asked_for),
        cmocka_unit_test(a_full_queue_refuses_and_queues_nothing),
        cmocka_unit_test(a_batch_larger_than_a_frame_is_split_and_complete),
        cmocka_unit_test(an_idle_log_is_sealed_once),
        cmocka_unit_test(an_unsealed_log_is_sealed_after_a_restart),
        cmocka_unit_test(without_idle_seal_nothing_is_written_at_rest),
        cmocka_unit_test(a_disk_without_any_room_makes_the_log_wait_until_there_is_some),
        cmocka_unit_test(room_for_less_than_a_spare_goes_to_the_frame_that_waits),
        cmocka_unit_test(a_log_that_waits_for_room_can_be_closed_and_fail),
        cmocka_unit_test(a_sync_without_room_is_final),
        cmocka_unit_test(a_failed_sync_is_final),
        cmocka_unit_test(closing_drops_what_is_queued),
        cmocka_unit_test(another_owner_is_refused),
        cmocka_unit_test(another_version_is_refused_by_its_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
