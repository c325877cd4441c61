/* Exactly once, as kv_apply does it: what a duplicate is told, what is refused, and what the state
 * answers without an entry. */
#include "once_fixture.h"

#include "kv/kv_internal.h"
#include "kv/session_internal.h"

/* ---- duplicates ---- */

static void a_duplicate_changes_nothing_and_is_told_what_the_first_was_told(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    struct kv_result first = once_incr(kv, "me", 1, 5);
    (void)once_incr(kv, "you", 1, 100);
    assert_outcome(first, ST_OK, true, 2, 2);

    struct kv_result again = once_incr(kv, "me", 1, 5);

    assert_replays(&again, &first);
    assert_false(first.is_replayed);
    assert_int_equal(again.number, 5);
    assert_int_equal(once_value(kv), 105);
    fixture_free(kv);
}

static void refusals_of_the_state_are_remembered_like_results(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    struct command create = {.op = COMMAND_PUT,
                             .identity = {.client = BYTES_LITERAL("me"), .sequence = 1},
                             .key = BYTES_LITERAL("k"),
                             .value = BYTES_LITERAL("v"),
                             .condition = CONDITION_ABSENT};
    (void)fixture_put(kv, "k", "old");

    struct kv_result first = once_apply(kv, &create, 0);
    (void)fixture_delete(kv, "k");
    struct kv_result again = once_apply(kv, &create, 0);

    assert_outcome(first, ST_CONDITION_FAILED, false, 2, 2);
    assert_replays(&again, &first);
    assert_false(kv_get(kv, BYTES_LITERAL("k"), &(struct kv_item){0}));
    fixture_free(kv);
}

static void each_kind_of_write_is_carried_out_once(void **state)
{
    (void)state;
    static const node_id ids[] = {1, 2};
    struct command commands[] = {
        {.op = COMMAND_PUT, .key = BYTES_LITERAL("k"), .value = BYTES_LITERAL("v")},
        {.op = COMMAND_INCR, .key = BYTES_LITERAL("n"), .by = 3},
        {.op = COMMAND_DELETE, .key = BYTES_LITERAL("k")},
        {.op = COMMAND_ANNOUNCE, .member = 1, .http = fixture_address("a:1")},
        {.op = COMMAND_REGISTER, .member = 2, .member_identity = 9},
        {.op = COMMAND_TRANSFER, .member = 2},
        {.op = COMMAND_ANNOUNCE, .member = 3},
    };
    struct kv *kv = fixture_new();
    struct config config = fixture_config(ids, 2);
    kv_apply_config(kv, (struct entry_id){1, 1}, &config);

    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        commands[i].identity =
            (struct client_identity){.client = BYTES_LITERAL("me"), .sequence = i + 1};
        struct kv_result first = once_apply(kv, &commands[i], 0);
        struct kv_result again = once_apply(kv, &commands[i], 0);

        assert_false(first.is_replayed);
        assert_replays(&again, &first);
    }
    struct kv_result put = once_apply(kv, &commands[0], 0);
    assert_true(put.is_replayed);
    assert_false(kv_get(kv, BYTES_LITERAL("k"), &(struct kv_item){0})); /* stays deleted */
    fixture_free(kv);
}

static void an_idempotency_key_is_good_for_one_write(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    struct command command = once_incr_of("", 1, 5);
    command.identity = (struct client_identity){CLIENT_KEY, BYTES_LITERAL("a key"), 1, 0};

    struct kv_result first = once_apply(kv, &command, 0);
    struct kv_result again = once_apply(kv, &command, 0);
    struct kv_result other = once_incr(kv, "a key", 1, 5); /* a client id of the same text */

    assert_replays(&again, &first);
    assert_false(other.is_replayed);
    assert_int_equal(once_value(kv), 10);
    fixture_free(kv);
}

static void commands_without_an_identity_are_carried_out_each_time(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();

    (void)fixture_incr(kv, "n", 2);
    (void)fixture_incr(kv, "n", 2);

    assert_int_equal(once_value(kv), 4);
    fixture_free(kv);
}

/* ---- refusals ---- */

static void the_same_identity_with_another_body_is_refused_and_not_carried_out(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    struct kv_result first = once_incr(kv, "me", 1, 5), result, recalled;
    struct command other = once_incr_of("me", 1, 6);

    assert_true(once_recall(kv, &other, &recalled));
    result = once_apply(kv, &other, 0);

    assert_outcome(result, ST_IDENTITY_REUSED, false, 2, 0);
    assert_int_equal(recalled.status, ST_IDENTITY_REUSED);
    assert_false(result.is_replayed);
    assert_int_equal(once_value(kv), 5);
    result = once_incr(kv, "me", 1, 5);
    assert_replays(&result, &first);
    fixture_free(kv);
}

static void what_fell_out_of_the_window_is_never_carried_out(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();

    (void)once_incr(kv, "me", LIMIT_SESSION_WINDOW + 1, 5);
    assert_outcome(once_incr(kv, "me", 1, 7), ST_SEQUENCE_TOO_OLD, false, 2, 0);
    assert_outcome(once_incr(kv, "me", 2, 100), ST_OK, true, 3, 3);

    assert_int_equal(once_value(kv), 105);
    fixture_free(kv);
}

static void a_write_refused_for_want_of_room_is_carried_out_when_it_comes_again(void **state)
{
    (void)state;
    uint64_t room = item_state_bytes(4, 1);
    struct kv *kv = kv_new(&(struct kv_options){.state_bytes_max = room});
    (void)fixture_put(kv, "full", "x");

    struct command command = once_incr_of("me", 1, 5);
    struct kv_result refused = once_apply(kv, &command, 0);
    (void)fixture_delete(kv, "full");
    bool is_known = once_recall(kv, &command, &(struct kv_result){0});
    struct kv_result taken = once_apply(kv, &command, 0);
    struct kv_result again = once_apply(kv, &command, 0);

    assert_outcome(refused, ST_STATE_FULL, false, 2, 0);
    assert_false(is_known);
    assert_outcome(taken, ST_OK, true, 4, 4);
    assert_replays(&again, &taken);
    assert_int_equal(once_value(kv), 5);
    fixture_free(kv);
}

static void a_full_table_carries_nothing_out_for_new_clients(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    sessions_free(kv->sessions);
    kv->sessions = sessions_new_limited(1, MIB);
    struct kv_result first = once_incr(kv, "me", 1, 5);
    char id[LIMIT_CLIENT_ID_BYTES + 1];
    struct command other = once_incr_of("you", 1, 100);

    assert_outcome(once_apply(kv, &other, 0), ST_SESSIONS_FULL, false, 2, 0);
    assert_int_equal(once_open(kv, id).status, ST_SESSIONS_FULL);
    struct kv_result sealed = once_seal(kv, "you", 1);
    assert_int_equal(sealed.status, ST_SESSIONS_FULL);
    assert_int_equal(sealed.outcome, KV_OUTCOME_UNSEEN);
    assert_false(once_recall(kv, &other, &(struct kv_result){0}));
    struct kv_result again = once_incr(kv, "me", 1, 5);

    assert_replays(&again, &first);
    assert_int_equal(once_value(kv), 5);
    fixture_free(kv);
}

/* ---- sessions ---- */

static void an_allotted_session_has_the_index_of_its_entry_in_its_id(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    char id[LIMIT_CLIENT_ID_BYTES + 1];
    (void)fixture_put(kv, "a", "b");

    struct kv_result opened = once_open(kv, id);

    assert_outcome(opened, ST_OK, false, 2, 0);
    assert_int_equal(opened.number, 2);
    assert_string_equal(id, "session-2-000000000000feed");
    assert_outcome(once_incr(kv, id, 1, 5), ST_OK, true, 3, 3);
    assert_true(once_incr(kv, id, 1, 5).is_replayed);
    fixture_free(kv);
}

static void what_comes_after_the_close_of_a_session_is_never_carried_out(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    char id[LIMIT_CLIENT_ID_BYTES + 1];
    (void)once_open(kv, id);
    (void)once_incr(kv, id, 1, 5);

    assert_outcome(once_close(kv, id), ST_OK, false, 2, 0);

    assert_outcome(once_incr(kv, id, 1, 5), ST_SESSION_EXPIRED, false, 2, 0);
    assert_outcome(once_incr(kv, id, 2, 5), ST_SESSION_EXPIRED, false, 2, 0);
    assert_outcome(once_close(kv, "mine"), ST_BAD_REQUEST, false, 2, 0);
    assert_int_equal(once_value(kv), 5);
    fixture_free(kv);
}

/* The cutoff of the command and the stamps of the log decide, and nothing else does: not how many
 * there are, and not how late it is. */
static void only_a_command_of_the_log_makes_sessions_expire(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    struct command early = once_incr_of("early", 1, 1);
    struct command late = once_incr_of("late", 1, 1);
    struct sessions_stats stats;
    (void)once_apply(kv, &early, 1000);
    (void)once_apply(kv, &late, 2000);
    (void)fixture_apply_bytes(kv, BYTES_LITERAL("?"), UINT64_C(1) << 62);
    kv_sessions_stats(kv, &stats);
    assert_int_equal(stats.sessions_count, 2);

    struct kv_result expired = once_expire(kv, 2000);

    assert_outcome(expired, ST_OK, false, 3, 0);
    assert_int_equal(expired.number, 1);
    assert_true(once_apply(kv, &late, 0).is_replayed);
    assert_false(once_apply(kv, &early, 0).is_replayed);
    kv_sessions_stats(kv, &stats);
    assert_int_equal(stats.expired_count, 1);
    fixture_free(kv);
}

/* Stamps of one leader may lie before those of the last; the log's time does not run backwards. */
static void uses_are_stamped_with_the_time_of_the_log(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    struct command command = once_incr_of("me", 1, 1);
    struct sessions_stats stats;
    (void)fixture_apply_bytes(kv, BYTES_LITERAL("?"), 5000);

    (void)once_apply(kv, &command, 10);

    kv_sessions_stats(kv, &stats);
    assert_int_equal(stats.oldest_use_us, 5000);
    fixture_free(kv);
}

/* ---- seals ---- */

static void a_sealed_write_that_comes_later_is_refused(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();

    struct kv_result sealed = once_seal(kv, "me", 1);

    assert_outcome(sealed, ST_OK, false, 1, 0);
    assert_int_equal(sealed.outcome, KV_OUTCOME_NEVER);
    assert_outcome(once_incr(kv, "me", 1, 5), ST_SEALED, false, 1, 0);
    assert_int_equal(once_seal(kv, "me", 1).outcome, KV_OUTCOME_NEVER);
    assert_int_equal(once_value(kv), 0);
    fixture_free(kv);
}

static void sealing_what_was_carried_out_tells_what_it_came_to(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    struct kv_result first = once_incr(kv, "me", 1, 5);
    (void)once_incr(kv, "you", 1, 5);

    struct kv_result sealed = once_seal(kv, "me", 1);
    struct kv_result again = once_incr(kv, "me", 1, 5);

    assert_outcome(sealed, ST_OK, false, first.revision, first.mod_revision);
    assert_int_equal(sealed.number, 5);
    assert_int_equal(sealed.outcome, KV_OUTCOME_APPLIED);
    assert_int_equal(sealed.applied_op, COMMAND_INCR);
    assert_int_equal(sealed.applied_status, ST_OK);
    assert_replays(&again, &first);
    fixture_free(kv);
}

static void what_has_expired_cannot_be_sealed(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    char id[LIMIT_CLIENT_ID_BYTES + 1];
    (void)once_open(kv, id);
    (void)once_close(kv, id);
    (void)once_incr(kv, "me", LIMIT_SESSION_WINDOW + 1, 5);

    struct kv_result closed = once_seal(kv, id, 1);
    struct kv_result too_old = once_seal(kv, "me", 1);

    assert_int_equal(closed.status, ST_SESSION_EXPIRED);
    assert_int_equal(closed.outcome, KV_OUTCOME_EXPIRED);
    assert_int_equal(too_old.status, ST_SESSION_EXPIRED);
    assert_int_equal(too_old.outcome, KV_OUTCOME_EXPIRED);
    fixture_free(kv);
}

/* ---- what the state answers by itself ---- */

static void what_is_final_is_answered_without_an_entry(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    struct kv_result first = once_incr(kv, "me", LIMIT_SESSION_WINDOW + 1, 5), result;
    struct command done = once_incr_of("me", LIMIT_SESSION_WINDOW + 1, 5);
    struct command fresh = once_incr_of("me", 2, 5);
    struct command too_old = once_incr_of("me", 1, 5);
    struct command sealed = once_incr_of("me", 3, 5);
    (void)once_seal(kv, "me", 3);
    uint64_t digest = kv_digest(kv);

    assert_true(once_recall(kv, &done, &result));
    assert_replays(&result, &first);
    assert_false(once_recall(kv, &fresh, &result));
    assert_true(once_recall(kv, &too_old, &result));
    assert_outcome(result, ST_SEQUENCE_TOO_OLD, false, 2, 0);
    assert_true(once_recall(kv, &sealed, &result));
    assert_outcome(result, ST_SEALED, false, 2, 0);

    assert_true(kv_digest(kv) == digest);
    fixture_free(kv);
}

static void only_what_names_its_own_write_is_recalled(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    char id[LIMIT_CLIENT_ID_BYTES + 1];
    (void)once_open(kv, id);
    (void)once_incr(kv, id, 1, 5);
    struct command nobody = once_incr_of("", 0, 5);
    struct command seal = {.op = COMMAND_SEAL,
                           .identity = {.client = bytes_of_text(id), .sequence = 1}};
    struct command close = {.op = COMMAND_CLOSE_SESSION, .identity.client = bytes_of_text(id)};
    struct kv_result result;

    assert_false(once_recall(kv, &nobody, &result));
    assert_false(once_recall(kv, &seal, &result));
    assert_false(once_recall(kv, &close, &result));
    assert_false(kv_recall(kv, BYTES_LITERAL("\x01\x01\x00\x05z"), 0, &result));
    fixture_free(kv);
}

/* A node that is behind has not seen the session opened: it cannot know. */
static void a_node_that_is_behind_does_not_call_an_allotted_session_expired(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    struct command command = once_incr_of("session-2-000000000000feed", 1, 5);
    struct kv_result result;
    (void)fixture_put(kv, "a", "b"); /* index 1 */

    assert_false(once_recall(kv, &command, &result));
    assert_int_equal(once_outcome(kv, "session-2-000000000000feed", 1).outcome, KV_OUTCOME_UNSEEN);
    (void)fixture_put(kv, "a", "b"); /* index 2, and it was no such command */

    assert_true(once_recall(kv, &command, &result));
    assert_outcome(result, ST_SESSION_EXPIRED, false, 3, 0);
    assert_int_equal(once_outcome(kv, "session-2-000000000000feed", 1).outcome, KV_OUTCOME_EXPIRED);
    fixture_free(kv);
}

static void the_outcome_is_what_has_become_of_the_write(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    assert_int_equal(once_outcome(kv, "me", 1).outcome, KV_OUTCOME_UNSEEN); /* no session yet */
    struct kv_result first = once_incr(kv, "me", LIMIT_SESSION_WINDOW + 1, 5);
    (void)once_incr(kv, "me", 2, 5);
    (void)once_seal(kv, "me", 3);

    struct kv_result applied = once_outcome(kv, "me", LIMIT_SESSION_WINDOW + 1);

    assert_outcome(applied, ST_OK, false, first.revision, first.mod_revision);
    assert_int_equal(applied.outcome, KV_OUTCOME_APPLIED);
    assert_int_equal(applied.applied_op, COMMAND_INCR);
    assert_int_equal(applied.applied_status, ST_OK);
    assert_int_equal(applied.number, 5);
    assert_int_equal(once_outcome(kv, "me", 4).outcome, KV_OUTCOME_UNSEEN);
    assert_int_equal(once_outcome(kv, "me", 3).outcome, KV_OUTCOME_NEVER);
    assert_int_equal(once_outcome(kv, "me", 1).outcome, KV_OUTCOME_EXPIRED);
    fixture_free(kv);
}

/* ---- transfers ---- */

static void leadership_goes_to_voters_only(void **state)
{
    (void)state;
    static const node_id ids[] = {1, 2};
    struct kv *kv = fixture_new();
    struct config config = fixture_config(ids, 2);
    config.members[1].is_voter = false;
    kv_apply_config(kv, (struct entry_id){1, 1}, &config);
    struct command command = {.op = COMMAND_TRANSFER, .member = 1};

    assert_outcome(once_apply(kv, &command, 0), ST_OK, false, 1, 0);
    command.member = 2;
    assert_outcome(once_apply(kv, &command, 0), ST_UNKNOWN_MEMBER, false, 1, 0);
    command.member = 3;
    assert_outcome(once_apply(kv, &command, 0), ST_UNKNOWN_MEMBER, false, 1, 0);
    fixture_free(kv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_duplicate_changes_nothing_and_is_told_what_the_first_was_told),
        cmocka_unit_test(refusals_of_the_state_are_remembered_like_results),
        cmocka_unit_test(each_kind_of_write_is_carried_out_once),
        cmocka_unit_test(an_idempotency_key_is_good_for_one_write),
        cmocka_unit_test(commands_without_an_identity_are_carried_out_each_time),
        cmocka_unit_test(the_same_identity_with_another_body_is_refused_and_not_carried_out),
        cmocka_unit_test(what_fell_out_of_the_window_is_never_carried_out),
        cmocka_unit_test(a_write_refused_for_want_of_room_is_carried_out_when_it_comes_again),
        cmocka_unit_test(a_full_table_carries_nothing_out_for_new_clients),
        cmocka_unit_test(an_allotted_session_has_the_index_of_its_entry_in_its_id),
        cmocka_unit_test(what_comes_after_the_close_of_a_session_is_never_carried_out),
        cmocka_unit_test(only_a_command_of_the_log_makes_sessions_expire),
        cmocka_unit_test(uses_are_stamped_with_the_time_of_the_log),
        cmocka_unit_test(a_sealed_write_that_comes_later_is_refused),
        cmocka_unit_test(sealing_what_was_carried_out_tells_what_it_came_to),
        cmocka_unit_test(what_has_expired_cannot_be_sealed),
        cmocka_unit_test(what_is_final_is_answered_without_an_entry),
        cmocka_unit_test(only_what_names_its_own_write_is_recalled),
        cmocka_unit_test(a_node_that_is_behind_does_not_call_an_allotted_session_expired),
        cmocka_unit_test(the_outcome_is_what_has_become_of_the_write),
        cmocka_unit_test(leadership_goes_to_voters_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
