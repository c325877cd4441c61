/* The audit of one directory: a log as a node leaves it, read and carried out anew. */
#include "unit/audit/audit_fixture.h"

static struct bytes nothing(void)
{
    return bytes_of(NULL, 0);
}

static void a_write_sent_three_times_is_carried_out_once(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    fixture_append(&fixture, ENTRY_NOOP, nothing());
    fixture_incr(&fixture, "c", 1);
    fixture_incr(&fixture, "c", 2);
    fixture_incr(&fixture, "c", 1);
    fixture_incr(&fixture, "c", 1);

    fixture_audit(&fixture);

    fixture_assert_proven(&fixture);
    assert_int_equal(fixture.replay.counts.writes_count, 2);
    assert_int_equal(fixture.replay.counts.replayed_count, 2);
    assert_int_equal(fixture.replay.log.entries_count, 5);
    assert_int_equal(audit_replay_last(&fixture.replay), 6);
    assert_int_equal(audit_replay_step(&fixture.replay, 6)->term, 1);
    assert_null(audit_replay_step(&fixture.replay, 7));
    fixture_close(&fixture);
}

static void refused_repetitions_are_counted(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    fixture_incr(&fixture, "c", 1);
    fixture_op(&fixture, COMMAND_DELETE, "c", 1);  /* another body */
    fixture_incr(&fixture, "c", 2000);             /* moves the window */
    fixture_incr(&fixture, "c", 1);                /* below it */
    fixture_op(&fixture, COMMAND_SEAL, "c", 1999); /* never */
    fixture_incr(&fixture, "c", 1999);
    fixture_incr(&fixture, "session-3-0000000000000001", 1); /* never opened */

    fixture_audit(&fixture);

    fixture_assert_proven(&fixture);
    assert_int_equal(fixture.replay.counts.writes_count, 2);
    assert_int_equal(fixture.replay.counts.refused_count, 4);
    fixture_close(&fixture);
}

static void an_allotted_session_that_expired_executes_nothing_again(void **state)
{
    (void)state;
    struct fixture fixture;
    char id[LIMIT_CLIENT_ID_BYTES + 1];
    fixture_open(&fixture);
    raft_index index =
        fixture_command(&fixture, &(struct command){.op = COMMAND_OPEN_SESSION, .nonce = 5});
    (void)session_format_id(index, 5, id);
    fixture_incr(&fixture, id, 1);
    fixture.stamp_us += FIXTURE_SECOND;
    fixture_command(
        &fixture, &(struct command){.op = COMMAND_EXPIRE_SESSIONS, .cutoff_us = fixture.stamp_us});
    fixture_incr(&fixture, id, 1);

    fixture_audit(&fixture);

    fixture_assert_proven(&fixture);
    assert_int_equal(fixture.replay.counts.writes_count, 1);
    assert_int_equal(fixture.replay.counts.refused_count, 1);
    assert_int_equal(fixture.report.notes_count, 0);
    fixture_close(&fixture);
}

static void an_id_of_the_clients_own_that_expired_is_noted(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    fixture_incr(&fixture, "c", 1);
    fixture.stamp_us += 60 * (uint64_t)FIXTURE_SECOND;
    fixture_command(
        &fixture, &(struct command){.op = COMMAND_EXPIRE_SESSIONS, .cutoff_us = fixture.stamp_us});
    raft_index again = fixture_incr(&fixture, "c", 1);

    fixture_audit(&fixture);

    fixture_assert_proven(&fixture);
    fixture_assert_found(&fixture.report, AUDIT_FORGOTTEN, again, "c", 1);
    fixture_close(&fixture);
}

/* A leader wrote entries that nobody else had; the next one replaced them. */
static void entries_that_were_superseded_are_not_carried_out(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    fixture_incr(&fixture, "c", 1);
    fixture.commit = 2;
    fixture_incr(&fixture, "c", 2);
    fixture_incr(&fixture, "c", 3);
    fixture.next = (struct entry_id){2, 3};
    fixture_append(&fixture, ENTRY_NOOP, nothing());
    fixture_incr(&fixture, "c", 3);
    fixture.commit = 4;
    fixture_incr(&fixture, "c", 2);

    fixture_audit(&fixture);

    fixture_assert_proven(&fixture);
    assert_int_equal(fixture.replay.counts.writes_count, 3);
    assert_int_equal(fixture.replay.counts.replayed_count, 0);
    assert_int_equal(fixture.replay.log.replaced_count, 2);
    assert_int_equal(fixture.replay.log.entries_count, 4);
    assert_int_equal(audit_replay_step(&fixture.replay, 3)->term, 2);
    fixture_close(&fixture);
}

static void a_committed_entry_that_gave_way_is_found(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    fixture_incr(&fixture, "c", 1);
    fixture_incr(&fixture, "c", 2);
    fixture.commit = 3;
    fixture_incr(&fixture, "c", 3);
    fixture.next = (struct entry_id){2, 3};
    fixture_incr(&fixture, "c", 4);

    fixture_audit(&fixture);

    assert_int_equal(fixture.status, ST_OK);
    fixture_assert_found(&fixture.report, AUDIT_REPLACED, 3, "", 0);
    fixture_close(&fixture);
}

static void logs_go_over_many_segments(void **state)
{
    (void)state;
    struct fixture fixture;
    uint8_t value[5000] = {0};
    struct command command = {
        .op = COMMAND_PUT, .key = BYTES_LITERAL("k"), .value = bytes_of(value, sizeof value)};
    fixture_open(&fixture);
    for (int i = 0; i < 400; i++)
        fixture_command(&fixture, &command);

    fixture_audit(&fixture);

    assert_true(disk_env_exists(fixture.env, "wal/0000000000000003.log"));
    fixture_assert_proven(&fixture);
    assert_int_equal(fixture.replay.log.entries_count, 400);
    fixture_close(&fixture);
}

static void a_torn_tail_is_cut_and_a_damaged_middle_refused(void **state)
{
    (void)state;
    for (int damages_middle = 0; damages_middle < 2; damages_middle++) {
        struct fixture fixture;
        fixture_open(&fixture);
        for (uint64_t i = 1; i <= 5; i++)
            fixture_incr(&fixture, "c", i);
        fixture_kill(&fixture);
        /* Block 0 is the header, 1 the first frame, which is empty; an entry is in each behind. */
        uint64_t block = damages_middle == 1 ? 4 : 6;
        disk_env_poke(fixture.env, "wal/0000000000000001.log",
                      block * WAL_BLOCK_BYTES + WAL_FRAME_HEADER_BYTES + 40, BYTES_LITERAL("x"));

        fixture_audit(&fixture);

        assert_int_equal(fixture.status, damages_middle == 1 ? ST_CORRUPT : ST_OK);
        assert_int_equal(fixture.replay.log.torn_bytes, damages_middle == 1 ? 0 : WAL_BLOCK_BYTES);
        if (damages_middle == 1)
            assert_non_null(strstr(fixture.error.text, "0000000000000001.log: at offset 16384"));
        else
            assert_int_equal(fixture.replay.counts.writes_count, 4);
        fixture_close(&fixture);
    }
}

static void what_is_missing_is_damage(void **state)
{
    (void)state;
    static const char *const missing[] = {"wal/0000000000000001.log", "wal/0000000000000002.log"};
    for (size_t i = 0; i < ARRAY_COUNT(missing); i++) {
        struct fixture fixture;
        uint8_t value[5000] = {0};
        struct command command = {
            .op = COMMAND_PUT, .key = BYTES_LITERAL("k"), .value = bytes_of(value, sizeof value)};
        fixture_open(&fixture);
        for (int j = 0; j < 400; j++)
            fixture_command(&fixture, &command);
        fixture_kill(&fixture);
        assert_true(disk_env_exists(fixture.env, "wal/0000000000000003.log"));
        disk_env_remove(fixture.env, missing[i]);

        fixture_audit(&fixture);

        assert_int_equal(fixture.status, ST_CORRUPT);
        assert_non_null(strstr(fixture.error.text, "the segment is missing"));
        fixture_close(&fixture);
    }
}

static void a_log_without_its_beginning_is_refused(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    fixture.next.index = 9;
    fixture_incr(&fixture, "c", 1);
    fixture_audit(&fixture);
    assert_int_equal(fixture.status, ST_CORRUPT);
    fixture_close(&fixture);
}

static void the_log_of_another_directory_is_refused(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    fixture_incr(&fixture, "c", 1);
    fixture.meta.identity++;
    fixture_audit(&fixture);
    assert_int_equal(fixture.status, ST_FORMAT);
    fixture_close(&fixture);
}

static void a_missing_log_is_damage_unless_it_was_never_made(void **state)
{
    (void)state;
    for (int has_log = 0; has_log < 2; has_log++) {
        struct fixture fixture;
        fixture_open(&fixture);
        fixture_kill(&fixture);
        disk_env_remove(fixture.env, "wal/0000000000000001.log");
        fixture.meta.has_log = has_log == 1;
        fixture_audit(&fixture);
        assert_int_equal(fixture.status, has_log == 1 ? ST_CORRUPT : ST_NOT_FOUND);
        fixture_close(&fixture);
    }
}

static void entries_that_are_no_commands_change_nothing(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture);
    fixture_append(&fixture, ENTRY_COMMAND, BYTES_LITERAL("x"));
    fixture_append(&fixture, ENTRY_COMMAND, BYTES_LITERAL("a proposal with a bad command in it"));
    fixture_audit(&fixture);
    fixture_assert_proven(&fixture);
    assert_int_equal(fixture.replay.log.entries_count, 2);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_sent_three_times_is_carried_out_once),
        cmocka_unit_test(refused_repetitions_are_counted),
        cmocka_unit_test(an_allotted_session_that_expired_executes_nothing_again),
        cmocka_unit_test(an_id_of_the_clients_own_that_expired_is_noted),
        cmocka_unit_test(entries_that_were_superseded_are_not_carried_out),
        cmocka_unit_test(a_committed_entry_that_gave_way_is_found),
        cmocka_unit_test(logs_go_over_many_segments),
        cmocka_unit_test(a_torn_tail_is_cut_and_a_damaged_middle_refused),
        cmocka_unit_test(what_is_missing_is_damage),
        cmocka_unit_test(a_log_without_its_beginning_is_refused),
        cmocka_unit_test(the_log_of_another_directory_is_refused),
        cmocka_unit_test(a_missing_log_is_damage_unless_it_was_never_made),
        cmocka_unit_test(entries_that_are_no_commands_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
