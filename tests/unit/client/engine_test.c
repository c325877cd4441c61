/* Engine: what follows each event, on virtual time, one event after the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/client/engine_rig.h"

/* ---- where to ---- */

static void a_refused_endpoint_is_passed_by_and_the_one_that_answered_kept(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 3, false, false);
    rig_get(&rig, "a");
    rig_lose(&rig, 0);
    rig_accept(&rig, 1);
    (void)rig_output(&rig, 1);
    rig_refuse(&rig, 1, "404 Not Found", "none", "not-found", "");
    rig_wait(&rig, 1000); /* the first would be asked again by now */

    rig_get(&rig, "b");

    assert_non_null(strstr(rig_output(&rig, 1), "GET /v1/kv/b "));
    rig_close(&rig);
}

static void a_redirect_is_followed_to_a_node_that_is_no_endpoint(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 1, true, false);
    rig_put(&rig, "a");
    rig_accept(&rig, 0);
    assert_non_null(strstr(rig_output(&rig, 0), "X-MiniKV-Route: redirect\r\n"));

    rig_redirect(&rig, 0, 9009, 5);

    struct engine_link wanted;
    engine_link(rig.engine, MINIKV_ENDPOINTS_MAX, &wanted);
    assert_int_equal(wanted.state, ENGINE_LINK_DIALLING);
    assert_int_equal(wanted.address.port, 9009);
    rig_accept(&rig, MINIKV_ENDPOINTS_MAX);
    (void)rig_output(&rig, MINIKV_ENDPOINTS_MAX);
    rig_reply(&rig, MINIKV_ENDPOINTS_MAX, PUT_REPLY);
    assert_ended(&rig, MINIKV_OK, MINIKV_APPLIED);
    assert_int_equal(rig.done[0].redirects_count, 1);
    rig_put(&rig, "b"); /* stays with the leader */
    assert_non_null(strstr(rig_output(&rig, MINIKV_ENDPOINTS_MAX), "PUT /v1/kv/b "));
    rig_close(&rig);
}

static void a_hint_of_a_lower_term_is_not_followed(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 3, true, false);
    rig_put(&rig, "a");
    rig_accept(&rig, 0);
    (void)rig_output(&rig, 0);
    rig_redirect(&rig, 0, 8002, 6);
    rig_accept(&rig, 1);
    (void)rig_output(&rig, 1);

    rig_redirect(&rig, 1, 8003, 5);

    assert_int_equal(rig.hops_count, 2);
    assert_int_equal(rig.hops[1].next, MINIKV_HOP_ELSEWHERE);
    assert_false(rig_is_dialling(&rig, 2));
    assert_non_null(strstr(rig_output(&rig, 0), "PUT /v1/kv/a ")); /* an endpoint, anew */
    rig_close(&rig);
}

static void a_circle_of_redirects_is_left_after_five(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 2, true, false);
    rig_put(&rig, "a");
    size_t at = 0;
    for (int i = 0; i < 6; i++, at = 1 - at) {
        if (rig_is_dialling(&rig, at))
            rig_accept(&rig, at);
        assert_non_null(strstr(rig_output(&rig, at), "PUT "));
        rig_redirect(&rig, at, at == 0 ? 8002 : 8001, 5);
    }

    assert_int_equal(rig.hops_count, 6);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(rig.hops[i].next, MINIKV_HOP_REDIRECT);
    assert_int_equal(rig.hops[5].next, MINIKV_HOP_ELSEWHERE);
    rig_close(&rig);
}

static void an_unknown_leader_makes_the_call_wait_and_all_endpoints_be_asked(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 3, true, false);
    rig_put(&rig, "a");
    for (size_t at = 0; at < 3; at++) {
        rig_accept(&rig, at);
        (void)rig_output(&rig, at);
        rig_refuse(&rig, at, NO_LEADER, "none", "no-leader", "");
    }
    assert_int_equal(rig.hops[2].pause_ms, 200);

    rig_wait(&rig, 30);
    for (size_t at = 0; at < 3; at++)
        assert_non_null(strstr(rig_output(&rig, at), "GET /v1/raft/status "));
    rig_reply(&rig, 1,
              "HTTP/1.1 200 OK\r\nX-MiniKV-Node: 2\r\nX-MiniKV-Term: 6\r\nX-Leader: "
              "127.0.0.1:7003\r\nX-Leader-HTTP: 127.0.0.1:8003\r\nContent-Length: 2\r\n\r\n{}");

    assert_non_null(strstr(rig_output(&rig, 2), "PUT /v1/kv/a ")); /* long before 200 ms */
    rig_close(&rig);
}

static void without_news_an_unknown_leader_is_asked_for_again_after_the_wait(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 1, true, false);
    rig_put(&rig, "a");
    rig_accept(&rig, 0);
    (void)rig_output(&rig, 0);
    rig_refuse(&rig, 0, NO_LEADER, "none", "no-leader", "");

    rig_wait(&rig, 199);
    bool was_early = strstr(rig_output(&rig, 0), "PUT ") != NULL;
    rig_wait(&rig, 30);

    assert_false(was_early);
    assert_non_null(strstr(rig_output(&rig, 0), "PUT "));
    rig_close(&rig);
}

static void a_node_that_does_not_answer_the_dial_is_passed_by(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 2, false, false);
    rig_put(&rig, "a");

    rig_wait(&rig, 110); /* the other is asked meanwhile */
    rig_accept(&rig, 1);
    assert_non_null(strstr(rig_output(&rig, 1), "GET /v1/raft/status "));
    rig_reply(&rig, 1, PROBE_REPLY);

    assert_non_null(strstr(rig_output(&rig, 1), "PUT /v1/kv/a "));
    rig_close(&rig);
}

static void a_node_at_a_standstill_costs_half_the_time_not_all_of_it(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 2, false, true);
    rig_put(&rig, "a");
    rig_begin_session(&rig);
    assert_non_null(strstr(rig_output(&rig, 0), "X-MiniKV-Timeout-Ms: 2400\r\n"));

    rig_wait(&rig, 2501);

    rig_accept(&rig, 1);
    assert_non_null(strstr(rig_output(&rig, 1), "X-MiniKV-Sequence: 1\r\n"));
    rig_reply(&rig, 1, PUT_REPLY);
    assert_ended(&rig, MINIKV_OK, MINIKV_APPLIED);
    rig_close(&rig);
}

static void a_late_reply_to_an_attempt_given_up_is_dropped(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 1, false, false);
    uint64_t first = rig_get(&rig, "a");
    rig_get(&rig, "b");
    rig_accept(&rig, 0);
    (void)rig_output(&rig, 0);
    assert_true(engine_cancel(rig.engine, rig.now, first));
    rig_collect(&rig);

    rig_refuse(&rig, 0, "404 Not Found", "none", "not-found", ""); /* of a */
    assert_int_equal(rig.done_count, 1);
    rig_refuse(&rig, 0, "410 Gone", "none", "compacted", ""); /* of b */

    assert_int_equal(rig.done_count, 2);
    assert_string_equal(rig.done_names[1], "b");
    assert_string_equal(rig.done[1].word, "compacted");
    rig_close(&rig);
}

static void every_call_ends_by_its_deadline_though_nobody_answers(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 3, false, true);
    rig_put(&rig, "a");
    rig_get(&rig, "b");

    rig_wait(&rig, 5000);

    assert_int_equal(rig.done_count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(rig.done[i].code, MINIKV_UNAVAILABLE);
        assert_int_equal(rig.done[i].effect, MINIKV_NOT_APPLIED);
        assert_string_not_equal(rig.done[i].detail, "");
    }
    rig_close(&rig);
}

static void a_connection_carries_a_bounded_number_of_requests(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 1, false, false);
    struct minikv_request request = {.op = MINIKV_GET, .key = minikv_text("k")};
    uint64_t id;
    for (int i = 0; i < MINIKV_REQUESTS_MAX; i++)
        assert_int_equal(engine_start(rig.engine, rig.now, &request, NULL, NULL, NULL, &id),
                         MINIKV_OK);
    assert_int_equal(engine_start(rig.engine, rig.now, &request, NULL, NULL, NULL, &id),
                     MINIKV_FULL);
    rig_accept(&rig, 0);

    size_t count = 0;
    for (const char *at = rig_output(&rig, 0); (at = strstr(at, "GET /")) != NULL; at++)
        count++;

    assert_int_equal(count, 64);
    rig_close(&rig);
}

static void closing_ends_all_calls_and_forgets_the_session(void **state)
{
    (void)state;
    struct rig rig;
    rig_open_and_put(&rig, 1);
    rig_reply(&rig, 0, PUT_REPLY);
    rig_get(&rig, "b");

    engine_close(rig.engine, rig.now, rig.now + 200 * MS);
    rig_collect(&rig);

    assert_int_equal(rig.done_count, 2);
    assert_int_equal(rig.done[1].code, MINIKV_CANCELLED);
    assert_false(engine_is_closed(rig.engine));
    assert_non_null(strstr(rig_output(&rig, 0), "DELETE /v1/sessions/session-1-a "));
    rig_wait(&rig, 200);
    assert_true(engine_is_closed(rig.engine));
    rig_close(&rig);
}

static void a_node_that_let_a_write_run_out_of_time_is_passed_by(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 2, false, false);
    rig_put(&rig, "a");
    rig_accept(&rig, 0);
    (void)rig_output(&rig, 0);

    rig_wait(&rig, 5000); /* never sent again, so this is the only attempt */

    assert_ended(&rig, MINIKV_UNKNOWN, MINIKV_MAYBE_APPLIED);
    rig_put(&rig, "b");
    rig_accept(&rig, 1);
    assert_non_null(strstr(rig_output(&rig, 1), "PUT /v1/kv/b "));
    rig_close(&rig);
}

static void a_node_that_leaves_a_probe_unanswered_is_passed_by(void **state)
{
    (void)state;
    struct rig rig;
    struct minikv_request request = {
        .op = MINIKV_PUT, .key = minikv_text("b"), .value = minikv_text("v")};
    rig_open(&rig, 2, false, false);
    rig_put(&rig, "a");
    for (size_t at = 0; at < 2; at++) {
        rig_accept(&rig, at);
        (void)rig_output(&rig, at);
        rig_refuse(&rig, at, NO_LEADER, "none", "no-leader", "");
    }
    rig_wait(&rig, 30);
    assert_non_null(strstr(rig_output(&rig, 0), "GET /v1/raft/status "));
    assert_non_null(strstr(rig_output(&rig, 1), "GET /v1/raft/status "));
    rig_reply(&rig, 1, PROBE_REPLY);
    (void)rig_output(&rig, 1);
    rig_reply(&rig, 1, PUT_REPLY);
    assert_ended(&rig, MINIKV_OK, MINIKV_APPLIED);

    rig_wait(&rig, 1000); /* the other probe's time is up */

    assert_false(rig_is_dialling(&rig, 0));
    struct engine_link link;
    engine_link(rig.engine, 0, &link);
    assert_int_equal(link.state, ENGINE_LINK_CLOSED);
    rig_start(&rig, &request, NULL, "b");
    assert_non_null(strstr(rig_output(&rig, 1), "PUT /v1/kv/b "));
    rig_close(&rig);
}

static void an_idle_connection_is_closed_after_thirty_seconds(void **state)
{
    (void)state;
    struct rig rig;
    struct engine_link link;
    struct minikv_request request = {
        .op = MINIKV_PUT, .key = minikv_text("a"), .value = minikv_text("v"), .timeout_ms = 300000};
    rig_open(&rig, 1, false, false);
    rig_start(&rig, &request, NULL, "a");
    rig_accept(&rig, 0);
    (void)rig_output(&rig, 0);
    rig_wait(&rig, 200);
    rig_reply(&rig, 0, PUT_REPLY);

    rig_wait(&rig, 29999);
    engine_link(rig.engine, 0, &link);
    assert_int_equal(link.state, ENGINE_LINK_OPEN);
    rig_wait(&rig, 1);

    engine_link(rig.engine, 0, &link);
    assert_int_equal(link.state, ENGINE_LINK_CLOSED);
    rig_close(&rig);
}

static void a_connection_that_was_idle_for_long_is_not_used_though_nobody_polled(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 1, false, false);
    rig_put(&rig, "a");
    rig_accept(&rig, 0);
    (void)rig_output(&rig, 0);
    rig_reply(&rig, 0, PUT_REPLY);

    rig.now += 30000 * MS;
    rig_put(&rig, "b");

    assert_true(rig_is_dialling(&rig, 0));
    rig_close(&rig);
}

static void attempts_to_open_the_session_are_shown(void **state)
{
    (void)state;
    struct rig rig;
    rig_open(&rig, 2, false, true);
    rig_put(&rig, "a");

    rig_lose(&rig, 0);
    rig_accept(&rig, 1);
    (void)rig_output(&rig, 1);
    rig_reply(&rig, 1, SESSION_REPLY);
    (void)rig_output(&rig, 1);
    rig_reply(&rig, 1, PUT_REPLY);

    assert_ended(&rig, MINIKV_OK, MINIKV_APPLIED);
    assert_int_equal(rig.hops_count, 3);
    assert_string_equal(rig.hop_addresses[0], "127.0.0.1:8001");
    assert_int_equal(rig.hops[0].next, MINIKV_HOP_ELSEWHERE);
    assert_int_equal(rig.hops[1].number, 2);
    assert_int_equal(rig.hops[1].http_code, 200);
    assert_int_equal(rig.hops[2].number, 1); /* of the write */
    rig_close(&rig);
}

static void the_body_of_a_refusal_is_kept_for_a_call_of_any_kind(void **state)
{
    (void)state;
    struct rig rig;
    struct minikv_request request = {.op = MINIKV_CALL, .method = "GET", .target = "/v1/x"};
    rig_open(&rig, 2, false, false);
    rig_start(&rig, &request, NULL, "x");
    rig_accept(&rig, 0);
    (void)rig_output(&rig, 0);
    rig_refuse(&rig, 0, NO_LEADER, "none", "no-leader", ""); /* its body gives way to the next */
    rig_accept(&rig, 1);
    (void)rig_output(&rig, 1);

    rig_refuse(&rig, 1, "404 Not Found", "none", "no-resource", "");

    assert_ended(&rig, MINIKV_REFUSED, MINIKV_NOT_APPLIED);
    static const char body[] = "{\"type\":\"urn:minikv:no-resource\",";
    assert_true(rig.done[0].body.count > sizeof body);
    assert_memory_equal(rig.done[0].body.data, body, sizeof body - 1);
    rig_close(&rig);
}

/* ---- redirects by hand ---- */

static void a_single_attempt_tells_what_the_node_said_and_keeps_its_sequence(void **state)
{
    (void)state;
    struct rig rig;
    struct engine_way single = {
        .pinned = rig_address(8002), .is_single = true, .wants_redirect = true};
    struct minikv_request request = {
        .op = MINIKV_PUT, .key = minikv_text("x"), .value = minikv_text("hello")};
    rig_open(&rig, 2, false, true);
    rig_start(&rig, &request, &single, "x");
    rig_begin_session(&rig);
    rig_accept(&rig, 1);
    assert_non_null(strstr(rig_output(&rig, 1), "X-MiniKV-Route: redirect\r\n"));
    rig_redirect(&rig, 1, 8001, 5);
    assert_ended(&rig, MINIKV_UNAVAILABLE, MINIKV_NOT_APPLIED);
    rig_put(&rig, "other"); /* does not acknowledge what is still to be sent */
    assert_non_null(strstr(rig_output(&rig, 0), "X-MiniKV-Sequence: 2\r\n"));
    assert_null(strstr(rig.text, "Acked"));
    rig_reply(&rig, 0, PUT_REPLY);

    struct engine_way follow = {.wants_redirect = true,
                                .retake = rig.done[0].identity,
                                .redirect = {.redirect = 1,
                                             .leader_known = 1,
                                             .leader_host = "127.0.0.1",
                                             .leader_port = 8001,
                                             .term = 5}};
    rig_start(&rig, &request, &follow, "x");

    assert_non_null(
        strstr(rig_output(&rig, 0), "X-MiniKV-Client-Id: session-1-a\r\nX-MiniKV-Sequence: 1\r\n"));
    rig_reply(&rig, 0, PUT_REPLY);
    assert_int_equal(rig.done_count, 3);
    assert_int_equal(rig.done[2].code, MINIKV_OK);
    rig_put(&rig, "last"); /* and now nothing is left to be sent again */
    assert_non_null(strstr(rig_output(&rig, 0), "X-MiniKV-Acked: 2\r\n"));
    rig_close(&rig);
}

static void following_an_unknown_leader_waits_first(void **state)
{
    (void)state;
    struct rig rig;
    struct engine_way follow = {.redirect = {.redirect = 1}};
    struct minikv_request request = {.op = MINIKV_GET, .key = minikv_text("x")};
    rig_open(&rig, 1, false, false);
    rig_start(&rig, &request, &follow, "x");

    rig_wait(&rig, 199);
    if (rig_is_dialling(&rig, 0))
        rig_accept(&rig, 0);
    bool was_early = strstr(rig_output(&rig, 0), "/v1/kv/x") != NULL;
    rig_reply(&rig, 0, PROBE_REPLY);
    was_early = was_early || strstr(rig_output(&rig, 0), "/v1/kv/x") != NULL;
    rig_wait(&rig, 1);

    assert_false(was_early);
    assert_non_null(strstr(rig_output(&rig, 0), "/v1/kv/x"));
    rig_close(&rig);
}

static void a_write_that_waits_for_a_leader_is_given_an_identity_all_the_same(void **state)
{
    (void)state;
    struct rig rig;
    struct engine_way follow = {.redirect = {.redirect = 1}}; /* no session could be opened yet */
    struct minikv_request request = {
        .op = MINIKV_PUT, .key = minikv_text("x"), .value = minikv_text("v")};
    rig_open(&rig, 1, false, true);
    rig_start(&rig, &request, &follow, "x");

    rig_wait(&rig, 200);
    rig_accept(&rig, 0);

    assert_non_null(strstr(rig_output(&rig, 0), "POST /v1/sessions "));
    assert_null(strstr(rig.text, "PUT "));
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refused_endpoint_is_passed_by_and_the_one_that_answered_kept),
        cmocka_unit_test(a_redirect_is_followed_to_a_node_that_is_no_endpoint),
        cmocka_unit_test(a_hint_of_a_lower_term_is_not_followed),
        cmocka_unit_test(a_circle_of_redirects_is_left_after_five),
        cmocka_unit_test(an_unknown_leader_makes_the_call_wait_and_all_endpoints_be_asked),
        cmocka_unit_test(without_news_an_unknown_leader_is_asked_for_again_after_the_wait),
        cmocka_unit_test(a_node_that_does_not_answer_the_dial_is_passed_by),
        cmocka_unit_test(a_node_at_a_standstill_costs_half_the_time_not_all_of_it),
        cmocka_unit_test(a_late_reply_to_an_attempt_given_up_is_dropped),
        cmocka_unit_test(every_call_ends_by_its_deadline_though_nobody_answers),
        cmocka_unit_test(a_connection_carries_a_bounded_number_of_requests),
        cmocka_unit_test(closing_ends_all_calls_and_forgets_the_session),
        cmocka_unit_test(a_node_that_let_a_write_run_out_of_time_is_passed_by),
        cmocka_unit_test(a_node_that_leaves_a_probe_unanswered_is_passed_by),
        cmocka_unit_test(an_idle_connection_is_closed_after_thirty_seconds),
        cmocka_unit_test(a_connection_that_was_idle_for_long_is_not_used_though_nobody_polled),
        cmocka_unit_test(attempts_to_open_the_session_are_shown),
        cmocka_unit_test(the_body_of_a_refusal_is_kept_for_a_call_of_any_kind),
        cmocka_unit_test(a_single_attempt_tells_what_the_node_said_and_keeps_its_sequence),
        cmocka_unit_test(following_an_unknown_leader_waits_first),
        cmocka_unit_test(a_write_that_waits_for_a_leader_is_given_an_identity_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
