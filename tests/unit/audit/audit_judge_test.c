/* The judge, told of executions that no correct state would do. */
#include "unit/audit/audit_fixture.h"

#include "audit/audit_judge.h"

struct court {
    struct audit_report report;
    struct audit_judge *judge;
    raft_index index;
    uint64_t now_us;
};

static struct court *court_open(struct court *court)
{
    *court = (struct court){.index = 1, .now_us = FIXTURE_SECOND};
    audit_report_init(&court->report);
    court->judge = audit_judge_new(7, &court->report);
    return court;
}

static void court_close(struct court *court)
{
    audit_judge_free(court->judge);
    audit_report_release(&court->report);
}

/* The next entry: `command`, and what it is said to have come to. Returns its index. */
static raft_index hear(struct court *court, const struct command *command, struct kv_result result)
{
    struct buf encoded;
    buf_init(&encoded, LIMIT_COMMAND_BYTES);
    command_encode(command, &encoded);
    struct proposal proposal = {.stamp_us = court->now_us, .command = buf_bytes(&encoded)};
    audit_judge_hear(court->judge, (struct entry_id){1, ++court->index}, &proposal, &result,
                     result.changed);
    buf_release(&encoded);
    return court->index;
}

static struct command put_of(const char *client, uint64_t sequence)
{
    return (struct command){.op = COMMAND_PUT,
                            .identity = {.client = bytes_of_text(client), .sequence = sequence},
                            .key = BYTES_LITERAL("k")};
}

static raft_index hear_put(struct court *court, const char *client, uint64_t sequence,
                           struct kv_result result)
{
    struct command command = put_of(client, sequence);
    return hear(court, &command, result);
}

static const struct kv_result CHANGED = {.status = ST_OK, .changed = true, .mod_revision = 5};
static const struct kv_result REPEATED = {.status = ST_OK, .is_replayed = true, .mod_revision = 5};
static const struct kv_result SEALED_NEVER = {.status = ST_OK, .outcome = KV_OUTCOME_NEVER};

static raft_index hear_seal(struct court *court, const char *client, uint64_t sequence,
                            struct kv_result result)
{
    struct command command = {.op = COMMAND_SEAL,
                              .identity = {.client = bytes_of_text(client), .sequence = sequence}};
    return hear(court, &command, result);
}

static void hear_expiry(struct court *court, uint64_t cutoff_us)
{
    struct command command = {.op = COMMAND_EXPIRE_SESSIONS, .cutoff_us = cutoff_us};
    (void)hear(court, &command, (struct kv_result){.status = ST_OK});
}

/* Opens an allotted session; its id in `out`. */
static const char *hear_opening(struct court *court, char out[LIMIT_CLIENT_ID_BYTES + 1])
{
    struct command command = {.op = COMMAND_OPEN_SESSION, .nonce = 9};
    raft_index index = hear(court, &command, (struct kv_result){.status = ST_OK});
    return session_format_id(index, 9, out);
}

static void repetitions_are_counted_and_nothing_is_found(void **state)
{
    (void)state;
    struct court court;
    court_open(&court);

    for (uint64_t sequence = 1; sequence <= 1000; sequence++) {
        (void)hear_put(&court, "a", sequence, CHANGED);
        (void)hear_put(&court, "b", sequence, CHANGED);
        (void)hear_put(&court, "a", sequence, REPEATED);
        (void)hear_put(&court, "b", sequence / 2 + 1, (struct kv_result){.status = ST_SEALED});
    }

    const struct audit_counts *counts = audit_judge_counts(court.judge);
    assert_int_equal(court.report.violations_count, 0);
    assert_int_equal(counts->clients_count, 2);
    assert_int_equal(counts->writes_count, 2000);
    assert_int_equal(counts->replayed_count, 1000);
    assert_int_equal(counts->refused_count, 1000);
    court_close(&court);
}

static void a_write_that_changes_the_state_twice_is_convicted(void **state)
{
    (void)state;
    struct court court;
    court_open(&court);
    (void)hear_put(&court, "c", 6, CHANGED);
    (void)hear_put(&court, "c", 7, CHANGED);
    (void)hear_put(&court, "d", 6, CHANGED);

    raft_index second = hear_put(&court, "c", 6, CHANGED);

    fixture_assert_found(&court.report, AUDIT_TWICE, second, "c", 6);
    assert_int_equal(court.report.findings[0].node, 7);
    assert_string_equal(court.report.findings[0].text,
                        "carried out a second time; the first was at 2");
    court_close(&court);
}

static void the_state_growing_convicts_even_what_is_called_a_repetition(void **state)
{
    (void)state;
    struct court court;
    struct kv_result lie = REPEATED;
    lie.changed = true;
    court_open(&court);
    (void)hear_put(&court, "c", 6, CHANGED);

    raft_index second = hear_put(&court, "c", 6, lie);

    fixture_assert_found(&court.report, AUDIT_TWICE, second, "c", 6);
    court_close(&court);
}

static void a_write_refused_by_the_state_may_not_be_carried_out_later(void **state)
{
    (void)state;
    struct court court;
    court_open(&court);
    (void)hear_put(&court, "c", 1, (struct kv_result){.status = ST_CONDITION_FAILED});

    raft_index second = hear_put(&court, "c", 1, CHANGED);

    fixture_assert_found(&court.report, AUDIT_TWICE, second, "c", 1);
    court_close(&court);
}

static void a_write_refused_for_lack_of_room_may_come_again(void **state)
{
    (void)state;
    struct court court;
    court_open(&court);

    (void)hear_put(&court, "c", 1, (struct kv_result){.status = ST_STATE_FULL});
    (void)hear_put(&court, "c", 1, (struct kv_result){.status = ST_SESSIONS_FULL});
    (void)hear_put(&court, "c", 1, CHANGED);

    assert_int_equal(court.report.violations_count, 0);
    court_close(&court);
}

static void a_client_and_a_key_of_the_same_name_are_two(void **state)
{
    (void)state;
    struct court court;
    struct command command = put_of("same", 1);
    court_open(&court);
    (void)hear(&court, &command, CHANGED);
    command.identity.kind = CLIENT_KEY;
    (void)hear(&court, &command, CHANGED);
    assert_int_equal(court.report.violations_count, 0);

    raft_index again = hear(&court, &command, CHANGED);

    fixture_assert_found(&court.report, AUDIT_TWICE, again, "same", 1);
    assert_true(court.report.findings[0].is_key);
    court_close(&court);
}

static void a_repetition_of_nothing_is_convicted(void **state)
{
    (void)state;
    struct court court;
    court_open(&court);
    (void)hear_put(&court, "c", 1, CHANGED);

    raft_index index = hear_put(&court, "c", 2, REPEATED);

    fixture_assert_found(&court.report, AUDIT_INVENTED, index, "c", 2);
    court_close(&court);
}

static void a_repetition_with_another_answer_is_convicted(void **state)
{
    (void)state;
    struct kv_result others[] = {REPEATED, REPEATED, REPEATED};
    others[0].mod_revision++;
    others[1].number++;
    others[2].status = ST_CONDITION_FAILED;
    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        struct court court;
        court_open(&court);
        (void)hear_put(&court, "c", 1, CHANGED);
        raft_index index = hear_put(&court, "c", 1, others[i]);
        fixture_assert_found(&court.report, AUDIT_ANSWER, index, "c", 1);
        court_close(&court);
    }
}

static void what_was_sealed_as_never_may_not_be_carried_out(void **state)
{
    (void)state;
    struct court court;
    court_open(&court);
    (void)hear_seal(&court, "c", 3, SEALED_NEVER);
    (void)hear_put(&court, "c", 3, (struct kv_result){.status = ST_SEALED});
    assert_int_equal(court.report.violations_count, 0);

    raft_index index = hear_put(&court, "c", 3, CHANGED);

    fixture_assert_found(&court.report, AUDIT_UNSEALED, index, "c", 3);
    court_close(&court);
}

static void a_seal_must_tell_what_became_of_the_write(void **state)
{
    (void)state;
    struct kv_result applied = {
        .status = ST_OK, .outcome = KV_OUTCOME_APPLIED, .applied_status = ST_OK, .mod_revision = 5};
    struct court court;
    court_open(&court);
    (void)hear_put(&court, "c", 1, CHANGED);
    (void)hear_seal(&court, "c", 1, applied);
    assert_int_equal(court.report.violations_count, 0);

    raft_index index = hear_seal(&court, "c", 1, SEALED_NEVER);

    fixture_assert_found(&court.report, AUDIT_ANSWER, index, "c", 1);
    court_close(&court);
}

static void an_expired_id_of_the_clients_own_is_a_note(void **state)
{
    (void)state;
    struct court court;
    court_open(&court);
    (void)hear_put(&court, "c", 1, CHANGED);
    court.now_us += 90 * (uint64_t)FIXTURE_SECOND;
    hear_expiry(&court, court.now_us - FIXTURE_SECOND);

    raft_index index = hear_put(&court, "c", 1, CHANGED);
    fixture_assert_found(&court.report, AUDIT_FORGOTTEN, index, "c", 1);
    assert_non_null(strstr(court.report.findings[0].text, "after 90 s of silence"));

    /* The new session counts anew. */
    (void)hear_put(&court, "c", 1, CHANGED);
    assert_int_equal(court.report.violations_count, 1);
    court_close(&court);
}

static void an_expiry_is_no_excuse_for_a_client_that_was_heard_of_since(void **state)
{
    (void)state;
    struct court court;
    court_open(&court);
    (void)hear_put(&court, "c", 1, CHANGED);
    uint64_t before_use = court.now_us + FIXTURE_SECOND;
    court.now_us += 2 * FIXTURE_SECOND;
    (void)hear_put(&court, "c", 2, CHANGED);
    hear_expiry(&court, before_use);

    raft_index index = hear_put(&court, "c", 1, CHANGED);

    fixture_assert_found(&court.report, AUDIT_TWICE, index, "c", 1);
    court_close(&court);
}

static void the_furthest_of_several_expiries_counts(void **state)
{
    (void)state;
    struct court court;
    court_open(&court);
    (void)hear_put(&court, "c", 1, CHANGED);
    hear_expiry(&court, court.now_us + 1);
    for (uint64_t cutoff = court.now_us; cutoff > court.now_us - 5; cutoff--)
        hear_expiry(&court, cutoff);

    raft_index index = hear_put(&court, "c", 1, CHANGED);

    fixture_assert_found(&court.report, AUDIT_FORGOTTEN, index, "c", 1);
    court_close(&court);
}

static void an_answer_of_before_shows_that_nothing_was_forgotten(void **state)
{
    (void)state;
    struct court court;
    court_open(&court);
    (void)hear_put(&court, "c", 1, CHANGED);
    hear_expiry(&court, court.now_us + 1); /* there was more to expire than one entry may */
    (void)hear_put(&court, "c", 1, REPEATED);

    raft_index index = hear_put(&court, "c", 1, CHANGED);

    fixture_assert_found(&court.report, AUDIT_TWICE, index, "c", 1);
    court_close(&court);
}

static void an_allotted_id_is_never_excused(void **state)
{
    (void)state;
    struct court court;
    char id[LIMIT_CLIENT_ID_BYTES + 1];
    court_open(&court);
    (void)hear_opening(&court, id);
    (void)hear_put(&court, id, 1, CHANGED);
    court.now_us += 90 * (uint64_t)FIXTURE_SECOND;
    hear_expiry(&court, court.now_us);

    raft_index index = hear_put(&court, id, 1, CHANGED);

    fixture_assert_found(&court.report, AUDIT_TWICE, index, id, 1);
    court_close(&court);
}

static void an_allotted_id_must_have_been_allotted_and_not_closed(void **state)
{
    (void)state;
    struct court court;
    char id[LIMIT_CLIENT_ID_BYTES + 1];
    court_open(&court);
    (void)hear_opening(&court, id);
    (void)hear_put(&court, id, 1, CHANGED);
    struct command command = {.op = COMMAND_CLOSE_SESSION,
                              .identity = {.client = bytes_of_text(id)}};
    (void)hear(&court, &command, (struct kv_result){.status = ST_OK});
    assert_int_equal(court.report.violations_count, 0);

    (void)hear_put(&court, id, 2, CHANGED);
    (void)hear_put(&court, session_format_id(99, 9, id), 1, CHANGED);

    assert_int_equal(court.report.violations_count, 2);
    assert_string_equal(court.report.findings[0].text, "carried out in a session that was closed");
    assert_string_equal(court.report.findings[1].text,
                        "carried out in a session that was never opened");
    court_close(&court);
}

/* ---- a log that begins behind a snapshot ---- */

static void apply(struct kv *kv, raft_index index, const struct command *command)
{
    struct buf encoded;
    struct kv_result result;
    buf_init(&encoded, LIMIT_COMMAND_BYTES);
    command_encode(command, &encoded);
    struct proposal proposal = {.stamp_us = FIXTURE_SECOND, .command = buf_bytes(&encoded)};
    kv_apply(kv, (struct entry_id){1, index}, &proposal, &result);
    assert_int_equal(result.status, ST_OK);
    buf_release(&encoded);
}

/* A state in which client "c" has carried out 7 and sealed 8, and a session has been opened. */
static struct kv *base_of_court(struct court *court)
{
    struct kv *kv = kv_new(&(struct kv_options){0});
    struct command put = put_of("c", 7);
    struct command seal = {.op = COMMAND_SEAL, .identity = put_of("c", 8).identity};
    struct command open = {.op = COMMAND_OPEN_SESSION, .nonce = 9};
    apply(kv, 1, &put);
    apply(kv, 2, &seal);
    apply(kv, 3, &open);
    court->index = 3;
    audit_judge_begin(court->judge, kv);
    return kv;
}

static void what_the_snapshot_remembers_may_not_be_carried_out_again(void **state)
{
    (void)state;
    struct court court;
    struct kv *kv = base_of_court(court_open(&court));

    raft_index first = hear_put(&court, "c", 7, CHANGED);
    (void)hear_put(&court, "c", 8, CHANGED);
    (void)hear_put(&court, "c", 9, CHANGED);

    assert_int_equal(court.report.violations_count, 2);
    assert_int_equal(court.report.findings[0].kind, AUDIT_TWICE);
    assert_int_equal(court.report.findings[0].index, first);
    assert_string_equal(court.report.findings[0].text,
                        "carried out a second time; the first was at 3");
    assert_int_equal(court.report.findings[1].kind, AUDIT_UNSEALED);
    court_close(&court);
    kv_free(kv);
}

static void a_repetition_of_what_the_snapshot_remembers_is_none_of_nothing(void **state)
{
    (void)state;
    struct court court;
    struct kv *kv = base_of_court(court_open(&court));
    struct kv_result same = {.status = ST_OK, .is_replayed = true, .mod_revision = 2};
    struct kv_result other = {.status = ST_OK, .is_replayed = true, .mod_revision = 99};

    (void)hear_put(&court, "c", 7, same);
    assert_int_equal(court.report.violations_count, 0);
    (void)hear_put(&court, "c", 7, other);
    (void)hear_put(&court, "c", 6, same);

    assert_int_equal(court.report.violations_count, 2);
    assert_int_equal(court.report.findings[0].kind, AUDIT_ANSWER);
    assert_int_equal(court.report.findings[1].kind, AUDIT_INVENTED);
    court_close(&court);
    kv_free(kv);
}

static void a_session_from_before_the_snapshot_counts_as_open(void **state)
{
    (void)state;
    struct court court;
    char id[LIMIT_CLIENT_ID_BYTES + 1], later[LIMIT_CLIENT_ID_BYTES + 1];
    struct kv *kv = base_of_court(court_open(&court));

    (void)hear_put(&court, session_format_id(3, 9, id), 1, CHANGED);
    assert_int_equal(court.report.violations_count, 0);
    (void)hear_put(&court, session_format_id(4, 9, later), 1, CHANGED);

    assert_int_equal(court.report.violations_count, 1);
    assert_int_equal(court.report.findings[0].kind, AUDIT_UNOPENED);
    court_close(&court);
    kv_free(kv);
}

static void more_findings_than_fit_are_counted(void **state)
{
    (void)state;
    struct court court;
    court_open(&court);
    for (int i = 0; i < 300; i++)
        (void)hear_put(&court, "c", 1, CHANGED);
    assert_int_equal(court.report.violations_count, 299);
    assert_int_equal(court.report.findings_count, AUDIT_FINDINGS_MAX);
    court_close(&court);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(repetitions_are_counted_and_nothing_is_found),
        cmocka_unit_test(a_write_that_changes_the_state_twice_is_convicted),
        cmocka_unit_test(the_state_growing_convicts_even_what_is_called_a_repetition),
        cmocka_unit_test(a_write_refused_by_the_state_may_not_be_carried_out_later),
        cmocka_unit_test(a_write_refused_for_lack_of_room_may_come_again),
        cmocka_unit_test(a_client_and_a_key_of_the_same_name_are_two),
        cmocka_unit_test(a_repetition_of_nothing_is_convicted),
        cmocka_unit_test(a_repetition_with_another_answer_is_convicted),
        cmocka_unit_test(what_was_sealed_as_never_may_not_be_carried_out),
        cmocka_unit_test(a_seal_must_tell_what_became_of_the_write),
        cmocka_unit_test(an_expired_id_of_the_clients_own_is_a_note),
        cmocka_unit_test(an_expiry_is_no_excuse_for_a_client_that_was_heard_of_since),
        cmocka_unit_test(the_furthest_of_several_expiries_counts),
        cmocka_unit_test(an_answer_of_before_shows_that_nothing_was_forgotten),
        cmocka_unit_test(an_allotted_id_is_never_excused),
        cmocka_unit_test(an_allotted_id_must_have_been_allotted_and_not_closed),
        cmocka_unit_test(what_the_snapshot_remembers_may_not_be_carried_out_again),
        cmocka_unit_test(a_repetition_of_what_the_snapshot_remembers_is_none_of_nothing),
        cmocka_unit_test(a_session_from_before_the_snapshot_counts_as_open),
        cmocka_unit_test(more_findings_than_fit_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
