/* POST /v1/compact: the past that is given up, and what is said about it. */
#include "http_fixture.h"

static const char *compact(struct rig *rig, const char *headers, const char *body)
{
    static char text[1024];
    (void)snprintf(text, sizeof text,
                   "POST /v1/compact HTTP/1.1\r\n" H "%sContent-Length: %zu\r\n\r\n%s", headers,
                   strlen(body), body);
    return ask(rig, text);
}

static void put_versions(struct rig *rig, size_t count)
{
    for (size_t i = 0; i < count; i++)
        node_double_put(rig->node, BYTES_LITERAL("k"), BYTES_LITERAL("v"));
}

static void revisions_below_it_are_gone_and_it_itself_is_not(void **state)
{
    struct rig *rig = *state;
    put_versions(rig, 5); /* revisions 2 to 6 */

    const char *done = compact(rig, "", "{\"revision\":4}");

    assert_int_equal(code_of(done), 200);
    assert_has(done, "\r\nContent-Type: application/json\r\n");
    assert_has(done, "\r\n\r\n{\"compacted\":4}\n");
    assert_problem(ask(rig, "GET /v1/kv/k?rev=3 HTTP/1.1\r\n" H "\r\n"), 410, "compacted");
    assert_has(ask(rig, "GET /v1/kv/k?rev=4 HTTP/1.1\r\n" H "\r\n"), "\"mod_revision\":4,");
    struct command command;
    compact(rig, "", "{\"revision\":5}");
    assert_int_equal(command_decode(buf_bytes(&rig->node->last_command), &command), ST_OK);
    assert_int_equal(command.op, COMMAND_COMPACT);
    assert_int_equal(command.revision, 5);
    assert_has(ask(rig, "GET /v1/kv/k HTTP/1.1\r\n" H "\r\n"), "\"mod_revision\":6,");
}

static void what_is_compacted_already_is_done_and_what_is_older_is_refused(void **state)
{
    struct rig *rig = *state;
    put_versions(rig, 5);
    assert_int_equal(code_of(compact(rig, "", "{\"revision\":4}")), 200);

    assert_has(compact(rig, "", "{\"revision\":4}"), "\r\n\r\n{\"compacted\":4}\n");
    const char *older = compact(rig, "", "{\"revision\":3}");
    assert_problem(older, 410, "compacted");
    assert_has(older, "\r\nX-MiniKV-Compacted: 4\r\n");
    assert_problem(compact(rig, "", "{\"revision\":7}"), 400, "revision-future");
    assert_int_equal(code_of(compact(rig, "", "{\"revision\":6}")), 200); /* the present */
    assert_has(ask(rig, "GET /v1/kv/k HTTP/1.1\r\n" H "\r\n"), "\"mod_revision\":6,");
}

static void a_compaction_with_an_identity_is_done_once_and_told_again(void **state)
{
    static const char identity[] = "Idempotency-Key: \"nightly-1\"\r\n";
    struct rig *rig = *state;
    put_versions(rig, 5);

    const char *first = compact(rig, identity, "{\"revision\":4}");
    assert_has(first, "\r\n\r\n{\"compacted\":4}\n");
    assert_int_equal(code_of(compact(rig, "", "{\"revision\":5}")), 200);

    const char *again = compact(rig, identity, "{\"revision\":4}");
    assert_has(again, "\r\nX-MiniKV-Replayed: true\r\n");
    assert_has(again, "\r\n\r\n{\"compacted\":4}\n");
    assert_problem(compact(rig, identity, "{\"revision\":5}"), 422, "identity-reused");
    assert_has(
        ask(rig, "GET /v1/outcome?key=nightly-1 HTTP/1.1\r\n" H "\r\n"),
        "{\"outcome\":\"applied\",\"answer\":{\"status\":200,\"body\":{\"compacted\":4}}}\n");
}

static void a_body_that_names_no_revision_is_refused(void **state)
{
    static const struct {
        const char *body, *type;
    } cases[] = {
        {"", "bad-json"},
        {"4", "bad-json"},
        {"{}", "bad-field"},
        {"{\"revision\":0}", "bad-field"},
        {"{\"revision\":-1}", "bad-field"},
        {"{\"revision\":\"4\"}", "bad-field"},
        {"{\"revision\":4.0}", "bad-field"},
        {"{\"revision\":9223372036854775808}", "bad-json"},
        {"{\"revision\":4,\"physical\":true}", "bad-field"},
    };
    struct rig *rig = *state;
    put_versions(rig, 5);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        assert_problem(compact(rig, "", cases[i].body), 400, cases[i].type);
    assert_problem(ask(rig, "GET /v1/compact HTTP/1.1\r\n" H "\r\n"), 405, "method-not-allowed");
    assert_int_equal(rig->node->submitted_count, 0);
}

static void status_and_metrics_say_how_much_past_there_is(void **state)
{
    struct rig *rig = *state;
    put_versions(rig, 5);
    const char *before = ask(rig, "GET /metrics HTTP/1.1\r\n" H "\r\n");
    assert_has(before, "\nminikv_compacted_revision 1\n");
    assert_has(before, "\nminikv_past_events 5\n");
    assert_lacks(before, "\nminikv_past_bytes 0\n");
    assert_has(ask(rig, "GET /v1/raft/status HTTP/1.1\r\n" H "\r\n"),
               "\"revision\":6,\"compacted\":1,");

    assert_int_equal(code_of(compact(rig, "", "{\"revision\":6}")), 200);

    const char *after = ask(rig, "GET /metrics HTTP/1.1\r\n" H "\r\n");
    assert_has(after, "\nminikv_compacted_revision 6\n");
    assert_has(after, "\nminikv_past_events 0\n");
    assert_has(after, "\nminikv_past_bytes 0\n");
    assert_has(ask(rig, "GET /v1/raft/status HTTP/1.1\r\n" H "\r\n"),
               "\"revision\":6,\"compacted\":6,");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(revisions_below_it_are_gone_and_it_itself_is_not),
        RIG_TEST(what_is_compacted_already_is_done_and_what_is_older_is_refused),
        RIG_TEST(a_compaction_with_an_identity_is_done_once_and_told_again),
        RIG_TEST(a_body_that_names_no_revision_is_refused),
        RIG_TEST(status_and_metrics_say_how_much_past_there_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
