/* Sessions over HTTP: allotted, closed, and counted in the metrics. */
#include "once_fixture.h"

#include "kv/session.h"

/* ---- sessions ---- */

static void open_session(struct rig *rig, char out_id[LIMIT_CLIENT_ID_BYTES + 1])
{
    const char *reply = send(rig, "POST /v1/sessions", "", "{}");
    assert_int_equal(code_of(reply), 200);
    assert_int_equal(sscanf(body_of(reply), "{\"client\":\"%64[^\"]\"}", out_id), 1);
}

static void a_session_is_opened_with_the_id_that_the_state_knows(void **state)
{
    struct rig *rig = *state;
    char id[LIMIT_CLIENT_ID_BYTES + 1], wanted[LIMIT_CLIENT_ID_BYTES + 32];

    const char *reply = send(rig, "POST /v1/sessions", "", "");

    struct command command = last_command(rig);
    assert_int_equal(command.op, COMMAND_OPEN_SESSION);
    assert_false(rig->node->last.is_internal);
    (void)snprintf(wanted, sizeof wanted, "{\"client\":\"%s\"}\n",
                   session_format_id(rig->node->applied, command.nonce, id));
    assert_has(reply, "Content-Type: application/json\r\n");
    assert_string_equal(body_of(reply), wanted);
    assert_int_equal(code_of(write_as(rig, id, 1, "POST /v1/incr/n", "")), 200);
    assert_has(write_as(rig, id, 1, "POST /v1/incr/n", ""), "Replayed");
}

static void sessions_differ(void **state)
{
    struct rig *rig = *state;
    char a[LIMIT_CLIENT_ID_BYTES + 1], b[LIMIT_CLIENT_ID_BYTES + 1];
    open_session(rig, a);
    uint64_t nonce = last_command(rig).nonce;
    open_session(rig, b);
    assert_string_not_equal(a, b);
    assert_int_not_equal(last_command(rig).nonce, nonce);
}

static void a_closed_session_is_410_and_closing_again_is_204(void **state)
{
    struct rig *rig = *state;
    char id[LIMIT_CLIENT_ID_BYTES + 1], request[128], query[128];
    open_session(rig, id);
    (void)write_as(rig, id, 1, "POST /v1/incr/n", "");
    (void)snprintf(request, sizeof request, "DELETE /v1/sessions/%s", id);
    (void)snprintf(query, sizeof query, "client=%s&sequence=1", id);

    assert_int_equal(code_of(send(rig, request, "", "")), 204);

    assert_int_equal(last_command(rig).op, COMMAND_CLOSE_SESSION);
    const char *reply = write_as(rig, id, 1, "POST /v1/incr/n", "");
    assert_problem(reply, 410, "session-expired");
    assert_has(reply, "\"effect\":\"none\"");
    assert_problem(write_as(rig, id, 2, "POST /v1/incr/n", ""), 410, "session-expired");
    outcome_is(rig, query, "{\"outcome\":\"expired\"}\n");
    assert_int_equal(code_of(send(rig, request, "", "")), 204);
    assert_int_equal(code_of(send(rig, "DELETE /v1/sessions/session-1-0000000000000001", "", "")),
                     204);
}

static void only_sessions_that_were_allotted_can_be_closed(void **state)
{
    static const char *const ids[] = {
        "",    "me", "session-", "session-3", "session-03-0000000000000001", "session-3-1",
        "%20", "a/b"};
    struct rig *rig = *state;
    for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
        char request[128];
        (void)snprintf(request, sizeof request, "DELETE /v1/sessions/%s", ids[i]);
        assert_problem(send(rig, request, "", ""), 400, "bad-identity");
    }
    assert_problem(send(rig, "DELETE /v1/sessions/%zz", "", ""), 400, "bad-encoding");
    assert_int_equal(rig->node->submitted_count, 0);
}

static void a_session_needs_nothing_and_takes_nothing(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(code_of(send(rig, "POST /v1/sessions", "", " {} ")), 200);
    assert_problem(send(rig, "POST /v1/sessions", "", "{\"ttl\":1}"), 400, "bad-field");
    assert_problem(send(rig, "POST /v1/sessions", "", "[]"), 400, "bad-json");
    assert_problem(send(rig, "POST /v1/sessions", "", "x"), 400, "bad-json");
    assert_problem(send(rig, "POST /v1/sessions?ttl=1", "", ""), 400, "bad-query");
    const char *reply = send(rig, "GET /v1/sessions", "", "");
    assert_problem(reply, 405, "method-not-allowed");
    assert_has(reply, "\r\nAllow: POST\r\n");
    assert_has(send(rig, "GET /v1/sessions/session-1-0000000000000001", "", ""),
               "\r\nAllow: DELETE\r\n");
    assert_int_equal(rig->node->submitted_count, 1);
}

/* ---- metrics ---- */

static void metrics_tell_of_the_table(void **state)
{
    struct rig *rig = *state;
    char id[LIMIT_CLIENT_ID_BYTES + 1];
    open_session(rig, id);
    (void)write_as(rig, id, 1, "POST /v1/incr/n", "");
    (void)write_as(rig, id, 1, "POST /v1/incr/n", "");
    (void)write_as(rig, id, 1, "POST /v1/incr/n", "{\"by\":2}");
    (void)send(rig, "POST /v1/incr/n", "Idempotency-Key: k\r\n", "");

    const char *metrics = send(rig, "GET /metrics", "", "");

    assert_has(metrics, "\n# TYPE minikv_sessions gauge\nminikv_sessions 2\n");
    assert_has(metrics, "\nminikv_session_results 2\n");
    assert_has(metrics, "\n# TYPE minikv_session_bytes gauge\nminikv_session_bytes ");
    assert_lacks(metrics, "\nminikv_session_bytes 0\n");
    assert_has(metrics, "\n# TYPE minikv_writes_replayed_total counter\n"
                        "minikv_writes_replayed_total 1\n");
    assert_has(metrics, "\nminikv_writes_refused_total 1\n");
    assert_has(metrics, "\nminikv_sessions_expired_total 0\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(a_session_is_opened_with_the_id_that_the_state_knows),
        RIG_TEST(sessions_differ),
        RIG_TEST(a_closed_session_is_410_and_closing_again_is_204),
        RIG_TEST(only_sessions_that_were_allotted_can_be_closed),
        RIG_TEST(a_session_needs_nothing_and_takes_nothing),
        RIG_TEST(metrics_tell_of_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
