/* What the engine does so that a write takes effect once, and what it says when it cannot know. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/client/engine_rig.h"

static void all_writes_that_wait_share_one_session(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 1, false, true);
    rig_put(&rig, "a");
    rig_put(&rig, "b");

    rig_begin_session(&rig);

    const char *text = rig_output(&rig, 0);
    assert_null(strstr(text, "/v1/sessions"));
    const char *first = strstr(text, "X-MiniKV-Client-Id: session-1-a\r\nX-MiniKV-Sequence: 1\r\n");
    assert_non_null(first);
    assert_non_null(strstr(first, "X-MiniKV-Client-Id: session-1-a\r\nX-MiniKV-Sequence: 2\r\n"));
    rig_reply(&rig, 0, PUT_REPLY PUT_REPLY);
    assert_int_equal(rig.done_count, 2);
    assert_int_equal(rig.done[1].code, MINIKV_OK);
    assert_int_equal(rig.done[1].effect, MINIKV_APPLIED);
    assert_int_equal(rig.done[1].revision, 7);
    assert_int_equal(rig.done[1].identity.sequence, 2);
    rig_close(&rig);
}

static void a_write_whose_reply_is_lost_is_sent_again_under_the_same_identity(void **state)
{
    (void)state;
    struct rig rig;
    rig_open_and_put(&rig, 2);

    rig_lose(&rig, 0);

    rig_accept(&rig, 1);
    assert_non_null(
        strstr(rig_output(&rig, 1), "X-MiniKV-Client-Id: session-1-a\r\nX-MiniKV-Sequence: 1\r\n"));
    rig_reply(&rig, 1,
              "HTTP/1.1 204 No Content\r\n" NODE_LINES
              "X-MiniKV-Replayed: true\r\nETag: \"3\"\r\n\r\n");
    assert_ended(&rig, MINIKV_OK, MINIKV_APPLIED);
    assert_true(rig.done[0].is_replayed);
    assert_int_equal(rig.done[0].attempts_count, 2);
    rig_close(&rig);
}

static void a_call_that_is_to_be_done_once_is_a_write_of_the_session(void **state)
{
    (void)state;
    struct rig rig;
    struct minikv_request request = {.op = MINIKV_CALL,
                                     .method = "POST",
                                     .target = "/v1/txn",
                                     .value = minikv_text("{}"),
                                     .is_once = true};
    rig_open(&rig, 2, false, true);
    (void)rig_start(&rig, &request, NULL, "call");
    rig_begin_session(&rig);
    const char *identity = "X-MiniKV-Client-Id: session-1-a\r\nX-MiniKV-Sequence: 1\r\n";
    assert_non_null(strstr(rig_output(&rig, 0), identity));

    rig_lose(&rig, 0);

    rig_accept(&rig, 1);
    assert_non_null(strstr(rig_output(&rig, 1), identity));
    rig_reply(&rig, 1, "HTTP/1.1 200 OK\r\n" NODE_LINES "Content-Length: 2\r\n\r\n{}");
    assert_ended(&rig, MINIKV_OK, MINIKV_APPLIED);
    assert_int_equal(rig.done[0].identity.sequence, 1);
    rig_close(&rig);
}

static void other_calls_are_none_of_the_sessions_writes(void **state)
{
    (void)state;
    struct rig rig;
    struct minikv_request request = {
        .op = MINIKV_CALL, .method = "POST", .target = "/v1/raft/transfer"};
    rig_open(&rig, 1, false, true);
    (void)rig_start(&rig, &request, NULL, "call");
    rig_accept(&rig, 0);
    assert_null(strstr(rig_output(&rig, 0), "X-MiniKV-Client-Id"));
    rig_close(&rig);
}

static void a_write_without_identity_is_never_sent_again_once_it_left(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 2, false, false);
    rig_put(&rig, "a");
    rig_accept(&rig, 0);
    (void)rig_output(&rig, 0);

    rig_lose(&rig, 0);

    assert_ended(&rig, MINIKV_UNKNOWN, MINIKV_MAYBE_APPLIED);
    assert_false(rig_is_dialling(&rig, 1));
    rig_close(&rig);
}

static void a_write_whose_last_byte_has_not_left_is_sent_elsewhere(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 2, false, false);
    rig_put(&rig, "a");
    rig_accept(&rig, 0);
    engine_sent(rig.engine, rig.now, 0, engine_output(rig.engine, 0).count - 1);

    rig_lose(&rig, 0);
    rig_accept(&rig, 1);
    (void)rig_output(&rig, 1);
    rig_reply(&rig, 1, PUT_REPLY);

    assert_ended(&rig, MINIKV_OK, MINIKV_APPLIED);
    rig_close(&rig);
}

static void none_after_a_lost_reply_leaves_the_write_unknown(void **state)
{
    (void)state;
    struct rig rig;
    rig_open_and_put(&rig, 1);
    rig_lose(&rig, 0); /* this delivery may have been carried out */

    for (int i = 0; i < 6000 && rig.done_count == 0; i++) {
        rig_wait(&rig, 1);
        if (rig_is_dialling(&rig, 0))
            rig_accept(&rig, 0);
        while (rig_output(&rig, 0)[0] != '\0') /* and so all later ones were answered */
            rig_refuse(&rig, 0, NO_LEADER, "none", "no-leader", "");
    }

    assert_ended(&rig, MINIKV_UNKNOWN, MINIKV_MAYBE_APPLIED);
    assert_int_equal(rig.done[0].identity.sequence, 1); /* to be asked about */
    rig_close(&rig);
}

static void only_refusals_leave_the_write_not_applied(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 1, false, true);
    rig_put(&rig, "a");
    rig_begin_session(&rig);

    for (int i = 0; i < 40 && rig.done_count == 0; i++) {
        while (rig_output(&rig, 0)[0] != '\0')
            rig_refuse(&rig, 0, NO_LEADER, "none", "no-leader", "");
        rig_wait(&rig, 200);
    }

    assert_ended(&rig, MINIKV_UNAVAILABLE, MINIKV_NOT_APPLIED);
    assert_string_equal(rig.done[0].word, "no-leader");
    assert_int_equal(rig.done[0].http_code, 503);
    rig_close(&rig);
}

static void a_refusal_by_the_state_settles_earlier_deliveries_too(void **state)
{
    (void)state;
    struct rig rig;
    rig_open_and_put(&rig, 2);
    rig_lose(&rig, 0);
    rig_accept(&rig, 1);
    (void)rig_output(&rig, 1);

    rig_refuse(&rig, 1, "412 Precondition Failed", "none", "condition-failed",
               "ETag: \"9\"\r\nX-MiniKV-Replayed: true\r\n");

    assert_ended(&rig, MINIKV_CONDITION_FAILED, MINIKV_NOT_APPLIED);
    assert_int_equal(rig.done[0].revision, 9);
    rig_close(&rig);
}

static void an_expired_session_is_replaced_and_the_write_sent_in_the_new_one(void **state)
{
    (void)state;
    struct rig rig;
    rig_open_and_put(&rig, 1);

    rig_refuse(&rig, 0, "410 Gone", "none", "session-expired", "");

    assert_non_null(strstr(rig_output(&rig, 0), "POST /v1/sessions "));
    rig_reply(&rig, 0,
              "HTTP/1.1 200 OK\r\nContent-Length: 25\r\n\r\n{\"client\":\"session-99-b\"}");
    assert_non_null(strstr(rig_output(&rig, 0),
                           "X-MiniKV-Client-Id: session-99-b\r\nX-MiniKV-Sequence: 1\r\n"));
    rig_reply(&rig, 0, PUT_REPLY);
    assert_ended(&rig, MINIKV_OK, MINIKV_APPLIED);
    assert_string_equal(rig.done[0].identity.client, "session-99-b");
    rig_close(&rig);
}

static void an_expired_session_leaves_a_write_unknown_that_may_have_been_done(void **state)
{
    (void)state;
    struct rig rig;
    rig_open_and_put(&rig, 2);
    rig_lose(&rig, 0);
    rig_accept(&rig, 1);
    (void)rig_output(&rig, 1);

    rig_refuse(&rig, 1, "410 Gone", "none", "session-expired", "");

    assert_ended(&rig, MINIKV_UNKNOWN, MINIKV_MAYBE_APPLIED);
    assert_string_equal(rig.done[0].word, "session-expired");
    rig_close(&rig);
}

static void what_is_acknowledged_stops_below_the_oldest_write_under_way(void **state)
{
    (void)state;
    struct rig rig;
    rig_open_and_put(&rig, 2);
    rig_reply(&rig, 0, PUT_REPLY); /* 1 is answered */
    rig_put(&rig, "b");            /* 2 */
    assert_non_null(strstr(rig_output(&rig, 0), "X-MiniKV-Acked: 1\r\n"));
    rig_put(&rig, "c"); /* 3 */
    (void)rig_output(&rig, 0);

    rig_reply(&rig, 0, PUT_REPLY); /* 2; 3 is under way */
    rig_put(&rig, "d");            /* 4 */

    assert_non_null(strstr(rig_output(&rig, 0), "X-MiniKV-Acked: 2\r\n"));
    rig_reply(&rig, 0, PUT_REPLY PUT_REPLY);
    rig_close(&rig);
}

static void a_write_whose_fate_is_open_is_not_acknowledged(void **state)
{
    (void)state;
    struct rig rig;
    uint64_t first = rig_open_and_put(&rig, 1);

    assert_true(engine_cancel(rig.engine, rig.now, first)); /* it has left */
    rig_collect(&rig);
    rig_put(&rig, "b");

    assert_ended(&rig, MINIKV_CANCELLED, MINIKV_MAYBE_APPLIED);
    assert_non_null(strstr(rig_output(&rig, 0), "X-MiniKV-Sequence: 2\r\n"));
    assert_null(strstr(rig.text, "X-MiniKV-Acked"));

    rig_reply(&rig, 0, PUT_REPLY PUT_REPLY);
    engine_close(rig.engine, rig.now, rig.now + 1000);
    assert_null(strstr(rig_output(&rig, 0), "DELETE /v1/sessions/")); /* it can be asked about */
    assert_true(engine_is_closed(rig.engine));
    rig_close(&rig);
}

static void a_session_whose_writes_are_all_settled_is_closed_at_the_cluster(void **state)
{
    (void)state;
    struct rig rig;
    rig_open_and_put(&rig, 1);
    rig_reply(&rig, 0, PUT_REPLY);

    engine_close(rig.engine, rig.now, rig.now + 1000);

    assert_non_null(strstr(rig_output(&rig, 0), "DELETE /v1/sessions/"));
    rig_close(&rig);
}

static void an_identity_of_the_callers_own_is_sent_as_it_is(void **state)
{
    (void)state;
    struct rig rig;
    struct minikv_request request = {.op = MINIKV_INCR,
                                     .key = minikv_text("n"),
                                     .by = -5,
                                     .identity = {.client = "me", .sequence = 77}};
    rig_open(&rig, 1, false, true);
    rig_start(&rig, &request, NULL, "n");
    rig_accept(&rig, 0);

    const char *text = rig_output(&rig, 0);

    assert_non_null(strstr(text, "X-MiniKV-Client-Id: me\r\nX-MiniKV-Sequence: 77\r\n"));
    assert_non_null(strstr(text, "\r\n\r\n{\"by\":-5}"));
    assert_null(strstr(text, "Acked"));
    rig_reply(&rig, 0, INCR_REPLY);
    assert_ended(&rig, MINIKV_OK, MINIKV_APPLIED);
    assert_int_equal(rig.done[0].number, 1);
    rig_close(&rig);
}

static void a_full_table_of_sessions_ends_the_writes_that_wait(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 1, false, true);
    rig_put(&rig, "a");
    rig_accept(&rig, 0);
    (void)rig_output(&rig, 0);

    rig_refuse(&rig, 0, NO_LEADER, "none", "sessions-full", "");

    assert_ended(&rig, MINIKV_FULL, MINIKV_NOT_APPLIED);
    assert_string_equal(rig.done[0].word, "sessions-full");
    rig_close(&rig);
}

static void a_reply_to_an_increment_that_holds_no_sum_is_as_good_as_none(void **state)
{
    (void)state;
    struct rig rig;
    struct minikv_request request = {.op = MINIKV_INCR, .key = minikv_text("n"), .by = 1};
    rig_open(&rig, 1, false, false);
    rig_start(&rig, &request, NULL, "n");
    rig_accept(&rig, 0);
    (void)rig_output(&rig, 0);

    rig_reply(&rig, 0, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");

    assert_ended(&rig, MINIKV_UNKNOWN, MINIKV_MAYBE_APPLIED);
    rig_close(&rig);
}

static void assert_forgotten_own_write_is_unknown(const char *line, const char *word)
{
    struct rig rig;
    struct minikv_request request = {.op = MINIKV_INCR,
                                     .key = minikv_text("n"),
                                     .by = 1,
                                     .identity = {.client = "me", .sequence = 1}};
    rig_open(&rig, 1, false, true);
    rig_start(&rig, &request, NULL, "n"); /* perhaps not for the first time: who knows */
    rig_accept(&rig, 0);
    (void)rig_output(&rig, 0);

    rig_refuse(&rig, 0, line, "none", word, "");

    assert_ended(&rig, MINIKV_UNKNOWN, MINIKV_MAYBE_APPLIED);
    assert_string_equal(rig.done[0].word, word);
    rig_close(&rig);
}

static void a_forgotten_sequence_of_the_callers_own_leaves_the_write_unknown(void **state)
{
    (void)state;
    assert_forgotten_own_write_is_unknown("409 Conflict", "sequence-too-old");
    assert_forgotten_own_write_is_unknown("410 Gone", "session-expired");
}

static void a_write_whose_sessions_keep_expiring_pauses_and_gives_up(void **state)
{
    (void)state;
    struct rig rig;
    unsigned writes_count = 0;
    rig_open(&rig, 1, false, true);
    rig_put(&rig, "a");
    rig_begin_session(&rig);
    time_us begin = rig.now;

    for (int ms = 0; ms < 2000 && rig.done_count == 0; ms++) {
        while (strcmp(rig_output(&rig, 0), "") != 0) {
            if (strncmp(rig.text, "PUT ", 4) == 0) {
                writes_count++;
                rig_refuse(&rig, 0, "410 Gone", "none", "session-expired", "");
            } else if (strncmp(rig.text, "POST ", 5) == 0) {
                rig_reply(&rig, 0, SESSION_REPLY);
            } else {
                rig_reply(&rig, 0, PROBE_REPLY);
            }
        }
        rig_wait(&rig, 1);
    }

    assert_ended(&rig, MINIKV_UNAVAILABLE, MINIKV_NOT_APPLIED);
    assert_string_equal(rig.done[0].word, "session-expired");
    assert_int_equal(writes_count, 6);
    assert_in_range(rig.now - begin, 800 * MS, 1000 * MS); /* four pauses */
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_writes_that_wait_share_one_session),
        cmocka_unit_test(a_write_whose_reply_is_lost_is_sent_again_under_the_same_identity),
        cmocka_unit_test(a_call_that_is_to_be_done_once_is_a_write_of_the_session),
        cmocka_unit_test(other_calls_are_none_of_the_sessions_writes),
        cmocka_unit_test(a_write_without_identity_is_never_sent_again_once_it_left),
        cmocka_unit_test(a_write_whose_last_byte_has_not_left_is_sent_elsewhere),
        cmocka_unit_test(none_after_a_lost_reply_leaves_the_write_unknown),
        cmocka_unit_test(only_refusals_leave_the_write_not_applied),
        cmocka_unit_test(a_refusal_by_the_state_settles_earlier_deliveries_too),
        cmocka_unit_test(an_expired_session_is_replaced_and_the_write_sent_in_the_new_one),
        cmocka_unit_test(an_expired_session_leaves_a_write_unknown_that_may_have_been_done),
        cmocka_unit_test(what_is_acknowledged_stops_below_the_oldest_write_under_way),
        cmocka_unit_test(a_write_whose_fate_is_open_is_not_acknowledged),
        cmocka_unit_test(a_session_whose_writes_are_all_settled_is_closed_at_the_cluster),
        cmocka_unit_test(an_identity_of_the_callers_own_is_sent_as_it_is),
        cmocka_unit_test(a_full_table_of_sessions_ends_the_writes_that_wait),
        cmocka_unit_test(a_reply_to_an_increment_that_holds_no_sum_is_as_good_as_none),
        cmocka_unit_test(a_forgotten_sequence_of_the_callers_own_leaves_the_write_unknown),
        cmocka_unit_test(a_write_whose_sessions_keep_expiring_pauses_and_gives_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
