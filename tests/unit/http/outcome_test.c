/* What became of a write: asked for, or settled by a seal. */
#include "once_fixture.h"

/* ---- outcomes ---- */

static void an_applied_write_is_told_with_its_answer(void **state)
{
    static const struct {
        const char *request, *headers, *body, *answer;
    } writes[] = {
        {"PUT /v1/kv/k", "", "{\"value\":\"v\"}", "{\"status\":204,\"etag\":\"\\\"2\\\"\"}"},
        {"POST /v1/incr/n", "", "{\"by\":-3}",
         "{\"status\":200,\"etag\":\"\\\"3\\\"\",\"body\":{\"value\":-3}}"},
        {"PUT /v1/kv/k", "If-Match: \"9\"\r\n", "{\"value\":\"w\"}",
         "{\"status\":412,\"etag\":\"\\\"2\\\"\",\"type\":\"urn:minikv:condition-failed\"}"},
        {"PUT /v1/kv/x", "If-Match: *\r\n", "{\"value\":\"w\"}",
         "{\"status\":412,\"type\":\"urn:minikv:condition-failed\"}"},
        {"POST /v1/incr/k", "", "", "{\"status\":409,\"type\":\"urn:minikv:not-integer\"}"},
        {"POST /v1/incr/n", "", "{\"by\":-9223372036854775807}",
         "{\"status\":409,\"type\":\"urn:minikv:overflow\"}"},
        {"DELETE /v1/kv/k", "", "", "{\"status\":204}"},
        {"POST /v1/raft/peer_announce", "", "{\"id\":2,\"http\":\"127.0.0.1:8082\"}",
         "{\"status\":204}"},
        {"POST /v1/raft/peer_announce", "", "{\"id\":9,\"http\":\"127.0.0.1:8082\"}",
         "{\"status\":404,\"type\":\"urn:minikv:unknown-member\"}"},
        {"POST /v1/leases", "", "{\"ttl_ms\":5000,\"lease\":7}",
         "{\"status\":200,\"body\":{\"lease\":7}}"},
        {"DELETE /v1/leases/7", "", "", "{\"status\":204}"},
        {"DELETE /v1/leases/7", "", "", "{\"status\":404,\"type\":\"urn:minikv:lease-not-found\"}"},
    };
    struct rig *rig = *state;
    for (size_t i = 0; i < ARRAY_COUNT(writes); i++) {
        char headers[256], query[64], wanted[256], original[4096], etag[64];
        (void)snprintf(headers, sizeof headers,
                       "X-MiniKV-Client-Id: c\r\nX-MiniKV-Sequence: %zu\r\n%s", i + 1,
                       writes[i].headers);
        (void)snprintf(query, sizeof query, "client=c&sequence=%zu", i + 1);
        (void)snprintf(wanted, sizeof wanted, "{\"outcome\":\"applied\",\"answer\":%s}\n",
                       writes[i].answer);
        (void)snprintf(original, sizeof original, "%s",
                       send(rig, writes[i].request, headers, writes[i].body));

        outcome_is(rig, query, wanted);

        /* the answer in short is the answer as it was */
        assert_int_equal(code_of(original), atoi(strstr(writes[i].answer, "status\":") + 8));
        if (strstr(writes[i].answer, "etag") == NULL) {
            assert_lacks(original, "\r\nETag");
        } else {
            int revision = atoi(strstr(writes[i].answer, "etag") + 9);
            (void)snprintf(etag, sizeof etag, "\r\nETag: \"%d\"\r\n", revision);
            assert_has(original, etag);
        }
    }
    assert_int_equal(rig->node->last.kind, NODE_READ); /* linearizable */
}

static void what_was_never_seen_is_unseen_or_pending(void **state)
{
    struct rig *rig = *state;
    outcome_is(rig, "client=c&sequence=1", "{\"outcome\":\"unseen\"}\n");
    outcome_is(rig, "key=k", "{\"outcome\":\"unseen\"}\n");

    rig->node->is_pending = true;

    outcome_is(rig, "client=c&sequence=1", "{\"outcome\":\"pending\"}\n");
    (void)write_as(rig, "c", 1, "DELETE /v1/kv/k", "");
    outcome_is(rig, "client=c&sequence=1",
               "{\"outcome\":\"applied\",\"answer\":{\"status\":204}}\n"); /* settled is settled */
}

static void a_key_is_asked_for_as_it_was_sent(void **state)
{
    struct rig *rig = *state;
    static const char applied[] = "{\"outcome\":\"applied\",\"answer\":{\"status\":204}}\n";
    (void)send(rig, "DELETE /v1/kv/k", "Idempotency-Key: \"a b+c\"\r\n", "");
    (void)send(rig, "DELETE /v1/kv/k", "Idempotency-Key: bare\r\n", "");

    outcome_is(rig, "key=%22a+b%2Bc%22", applied);
    outcome_is(rig, "key=%22bare%22", applied);
    outcome_is(rig, "key=bare", applied);
    outcome_is(rig, "client=bare&sequence=1", "{\"outcome\":\"unseen\"}\n"); /* another kind */
}

static void a_question_that_names_no_write_is_refused(void **state)
{
    static const struct {
        const char *query, *type;
    } cases[] = {
        {"", "bad-query"},
        {"?client=c", "bad-identity"},
        {"?sequence=1", "bad-identity"},
        {"?client=c&sequence=0", "bad-identity"},
        {"?client=c&sequence=x", "bad-identity"},
        {"?client=&sequence=1", "bad-identity"},
        {"?client=a+b&sequence=1", "bad-identity"},
        {"?client=c&sequence=1&key=k", "bad-identity"},
        {"?key=", "bad-identity"},
        {"?key=a+b", "bad-identity"},
        {"?key=%zz", "bad-encoding"},
        {"?client=c&sequence=1&acked=0", "bad-query"},
        {"?client=c&client=c&sequence=1", "bad-query"},
    };
    struct rig *rig = *state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char request[128];
        (void)snprintf(request, sizeof request, "GET /v1/outcome%s", cases[i].query);
        assert_problem(send(rig, request, "", ""), 400, cases[i].type);
    }
    assert_int_equal(rig->node->submitted_count, 0);
}

static void an_outcome_that_cannot_be_known_is_not_guessed(void **state)
{
    struct rig *rig = *state;
    rig->node->forced = (struct node_answer){.status = ST_NO_LEADER, .effect = EFFECT_NONE};
    assert_problem(send(rig, "GET /v1/outcome?key=k", "", ""), 503, "no-leader");
}

/* ---- seals ---- */

static void a_sealed_write_never_happens(void **state)
{
    struct rig *rig = *state;

    const char *reply = send(rig, "POST /v1/outcome/seal", "", "{\"client\":\"c\",\"sequence\":7}");

    assert_int_equal(code_of(reply), 200);
    assert_string_equal(body_of(reply), "{\"outcome\":\"never\"}\n");
    assert_int_equal(last_command(rig).op, COMMAND_SEAL);
    reply = write_as(rig, "c", 7, "POST /v1/incr/n", "");
    assert_problem(reply, 409, "sealed");
    assert_has(reply, "\"effect\":\"none\"");
    outcome_is(rig, "client=c&sequence=7", "{\"outcome\":\"never\"}\n");
    reply = send(rig, "POST /v1/outcome/seal", "", "{\"sequence\":7,\"client\":\"c\"}");
    assert_string_equal(body_of(reply), "{\"outcome\":\"never\"}\n");
    assert_int_equal(code_of(send(rig, "GET /v1/kv/n", "", "")), 404);
}

static void sealing_what_has_happened_tells_what_came_of_it(void **state)
{
    struct rig *rig = *state;
    (void)send(rig, "POST /v1/incr/n", "Idempotency-Key: \"k\"\r\n", "{\"by\":4}");

    const char *reply = send(rig, "POST /v1/outcome/seal", "", "{\"key\":\"k\"}");

    assert_int_equal(code_of(reply), 200);
    assert_lacks(reply, "Replayed");
    assert_string_equal(body_of(reply), "{\"outcome\":\"applied\",\"answer\":{\"status\":200,"
                                        "\"etag\":\"\\\"2\\\"\",\"body\":{\"value\":4}}}\n");
}

static void sealing_a_refused_write_tells_the_refusal(void **state)
{
    struct rig *rig = *state;
    (void)send(rig, "PUT /v1/kv/k", "Idempotency-Key: k\r\nIf-Match: *\r\n", "{\"value\":\"v\"}");
    const char *reply = send(rig, "POST /v1/outcome/seal", "", "{\"key\":\"\\\"k\\\"\"}");
    assert_string_equal(body_of(reply), "{\"outcome\":\"applied\",\"answer\":{\"status\":412,"
                                        "\"type\":\"urn:minikv:condition-failed\"}}\n");
}

static void what_is_no_longer_remembered_cannot_be_sealed(void **state)
{
    struct rig *rig = *state;
    (void)write_as(rig, "c", LIMIT_SESSION_WINDOW + 5, "POST /v1/incr/n", "");
    assert_problem(send(rig, "POST /v1/outcome/seal", "", "{\"client\":\"c\",\"sequence\":5}"), 410,
                   "session-expired");
    assert_problem(send(rig, "POST /v1/outcome/seal", "",
                        "{\"client\":\"session-1-0000000000000001\",\"sequence\":5}"),
                   410, "session-expired");
}

static void a_seal_that_names_no_write_is_refused(void **state)
{
    static const struct {
        const char *body, *type;
    } cases[] = {
        {"", "bad-json"},
        {"{}", "bad-field"},
        {"{\"client\":\"c\"}", "bad-identity"},
        {"{\"sequence\":1}", "bad-identity"},
        {"{\"client\":\"c\",\"sequence\":0}", "bad-identity"},
        {"{\"client\":\"c\",\"sequence\":-1}", "bad-identity"},
        {"{\"client\":\"c\",\"sequence\":9223372036854775808}", "bad-json"},
        {"{\"client\":\"c\",\"sequence\":\"1\"}", "bad-field"},
        {"{\"client\":\"c\",\"sequence\":1.0}", "bad-field"},
        {"{\"client\":7,\"sequence\":1}", "bad-field"},
        {"{\"client\":\"a b\",\"sequence\":1}", "bad-identity"},
        {"{\"client\":\"a\\u0000\",\"sequence\":1}", "bad-identity"},
        {"{\"client\":\"\xc3\xa4\",\"sequence\":1}", "bad-identity"},
        {"{\"key\":\"\"}", "bad-identity"},
        {"{\"key\":\"a b\"}", "bad-identity"},
        {"{\"key\":null}", "bad-field"},
        {"{\"key\":\"k\",\"sequence\":1}", "bad-identity"},
        {"{\"key\":\"k\",\"acked\":1}", "bad-field"},
        {"{\"key\":\"k\",\"key\":\"k\"}", "bad-json"},
    };
    struct rig *rig = *state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        assert_problem(send(rig, "POST /v1/outcome/seal", "", cases[i].body), 400, cases[i].type);
    assert_int_equal(rig->node->submitted_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(an_applied_write_is_told_with_its_answer),
        RIG_TEST(what_was_never_seen_is_unseen_or_pending),
        RIG_TEST(a_key_is_asked_for_as_it_was_sent),
        RIG_TEST(a_question_that_names_no_write_is_refused),
        RIG_TEST(an_outcome_that_cannot_be_known_is_not_guessed),
        RIG_TEST(a_sealed_write_never_happens),
        RIG_TEST(sealing_what_has_happened_tells_what_came_of_it),
        RIG_TEST(sealing_a_refused_write_tells_the_refusal),
        RIG_TEST(what_is_no_longer_remembered_cannot_be_sealed),
        RIG_TEST(a_seal_that_names_no_write_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
