/* Exactly once over HTTP: identities, and what a repetition is told. */
#include "once_fixture.h"

/* ---- identities ---- */

static void an_identity_travels_in_the_command(void **state)
{
    struct rig *rig = *state;

    const char *reply = send(rig, "PUT /v1/kv/k",
                             "X-MiniKV-Client-Id: me\r\nX-MiniKV-Sequence: 9\r\n"
                             "X-MiniKV-Acked: 4\r\n",
                             "{\"value\":\"v\"}");

    assert_int_equal(code_of(reply), 204);
    assert_lacks(reply, "Replayed");
    struct command command = last_command(rig);
    assert_int_equal(command.identity.kind, CLIENT_ID);
    assert_true(bytes_equal_text(command.identity.client, "me"));
    assert_int_equal(command.identity.sequence, 9);
    assert_int_equal(command.identity.acked, 4);

    (void)send(rig, "POST /v1/incr/n", "Idempotency-Key: \"a \\\" b\"\r\n", "");
    command = last_command(rig);
    assert_int_equal(command.identity.kind, CLIENT_KEY);
    assert_true(bytes_equal_text(command.identity.client, "a \" b"));
    assert_int_equal(command.identity.sequence, 1);

    (void)send(rig, "DELETE /v1/kv/k", "", ""); /* an exchange used again forgets it */
    command = last_command(rig);
    assert_int_equal(command.identity.client.count, 0);
    assert_int_equal(command.identity.sequence, 0);
}

static void every_write_of_data_takes_an_identity(void **state)
{
    static const struct {
        const char *request, *body;
    } writes[] = {{"PUT /v1/kv/k", "{\"value\":\"v\"}"},
                  {"DELETE /v1/kv/k", ""},
                  {"POST /v1/incr/n", ""},
                  {"POST /v1/raft/peer_announce", "{\"id\":2,\"http\":\"127.0.0.1:8082\"}"}};
    struct rig *rig = *state;
    for (unsigned i = 0; i < ARRAY_COUNT(writes); i++) {
        const char *reply = write_as(rig, "c", i + 1, writes[i].request, writes[i].body);

        assert_int_equal(code_of(reply) / 100, 2);
        assert_int_equal(last_command(rig).identity.sequence, i + 1);
        reply = write_as(rig, "c", i + 1, writes[i].request, writes[i].body);
        assert_has(reply, "\r\nX-MiniKV-Replayed: true\r\n");
    }
}

static void a_malformed_identity_is_refused_and_the_connection_lives_on(void **state)
{
    static const char *const headers[] = {
        "X-MiniKV-Client-Id: c\r\n",
        "X-MiniKV-Sequence: 1\r\n",
        "X-MiniKV-Acked: 0\r\n",
        "X-MiniKV-Client-Id: a b\r\nX-MiniKV-Sequence: 1\r\n",
        "X-MiniKV-Client-Id: c\r\nX-MiniKV-Sequence: 0\r\n",
        "X-MiniKV-Client-Id: c\r\nX-MiniKV-Sequence: 1\r\nX-MiniKV-Acked: 1\r\n",
        "X-MiniKV-Client-Id: c\r\nX-MiniKV-Client-Id: c\r\nX-MiniKV-Sequence: 1\r\n",
        "Idempotency-Key: \"k\r\n",
        "Idempotency-Key: \r\n",
        "Idempotency-Key: \"k\"\r\nX-MiniKV-Client-Id: c\r\nX-MiniKV-Sequence: 1\r\n"};
    struct rig *rig = *state;
    for (size_t i = 0; i < ARRAY_COUNT(headers); i++) {
        char request[512];
        struct env_stream *stream = memory_dial(rig->env);
        (void)snprintf(request, sizeof request,
                       "PUT /v1/kv/k HTTP/1.1\r\n" H "%sContent-Length: 13\r\n\r\n"
                       "{\"value\":\"v\"}GET /v1/kv/k HTTP/1.1\r\n" H "%s\r\n",
                       headers[i], headers[i]);
        send_text(stream, request);

        const char *reply = received(stream);
        assert_problem(reply, 400, "bad-identity");
        assert_has(reply, "\"effect\":\"none\"");
        assert_int_equal(code_of(next_reply(reply)), 404); /* a read does not mind */
    }
    assert_int_equal(rig->node->last.kind, NODE_READ);
}

static void what_cannot_be_done_once_takes_no_identity(void **state)
{
    static const struct {
        const char *request, *body;
    } requests[] = {{"POST /v1/sessions", "{}"},
                    {"DELETE /v1/sessions/session-3-0000000000000001", ""},
                    {"POST /v1/outcome/seal", "{\"client\":\"c\",\"sequence\":1}"},
                    {"POST /v1/raft/transfer", "{\"to\":2}"}};
    static const char *const headers[] = {"X-MiniKV-Client-Id: c\r\nX-MiniKV-Sequence: 1\r\n",
                                          "Idempotency-Key: k\r\n", "X-MiniKV-Acked: 0\r\n"};
    struct rig *rig = *state;
    for (size_t i = 0; i < ARRAY_COUNT(requests); i++) {
        for (size_t j = 0; j < ARRAY_COUNT(headers); j++) {
            const char *reply = send(rig, requests[i].request, headers[j], requests[i].body);
            assert_problem(reply, 400, "bad-identity");
            assert_has(reply, " takes no X-MiniKV-Client-Id, ");
        }
    }
    assert_int_equal(rig->node->submitted_count, 0);
}

/* ---- replays ---- */

/* `replay` is `original` with one line more. */
static void assert_same_but_replayed(const char *original, const char *replay)
{
    static const char line[] = "X-MiniKV-Replayed: true\r\n";
    char without[4096];
    const char *at = strstr(replay, line);
    if (at == NULL)
        fail_msg("not replayed:\n%s", replay);
    (void)snprintf(without, sizeof without, "%.*s%s", (int)(at - replay), replay,
                   at + sizeof line - 1);
    assert_string_equal(without, original);
}

static const struct {
    const char *request, *headers, *body;
    int code;
} replayed[] = {
    {"PUT /v1/kv/k", "", "{\"value\":\"v\"}", 204},
    {"PUT /v1/kv/none", "If-Match: *\r\n", "{\"value\":\"v\"}", 412},
    {"PUT /v1/kv/k", "If-Match: \"99\"\r\n", "{\"value\":\"v\"}", 412},
    {"DELETE /v1/kv/k", "If-Match: \"99\"\r\n", "", 412},
    {"DELETE /v1/kv/none", "", "", 204},
    {"POST /v1/incr/n", "", "{\"by\":3}", 200},
    {"POST /v1/incr/k", "", "", 409},
    {"POST /v1/incr/n", "", "{\"by\":9223372036854775807}", 409},
    {"DELETE /v1/kv/k", "", "", 204},
};

static void a_duplicate_gets_the_answer_of_the_first_byte_for_byte(void **state)
{
    struct rig *rig = *state;
    for (size_t i = 0; i < ARRAY_COUNT(replayed); i++) {
        char headers[256], original[4096];
        (void)snprintf(headers, sizeof headers,
                       "X-MiniKV-Client-Id: c\r\nX-MiniKV-Sequence: %zu\r\n%s", i + 1,
                       replayed[i].headers);
        (void)snprintf(original, sizeof original, "%s",
                       send(rig, replayed[i].request, headers, replayed[i].body));
        assert_int_equal(code_of(original), replayed[i].code);
        struct kv_stats before, after;
        kv_stats(rig->node->kv, &before);

        const char *replay = send(rig, replayed[i].request, headers, replayed[i].body);

        assert_same_but_replayed(original, replay);
        kv_stats(rig->node->kv, &after);
        assert_int_equal(after.revision, before.revision);
    }
}

/* The state has moved on and another node leads: what the first delivery was told is told. */
static void later_changes_do_not_show_in_a_replay(void **state)
{
    struct rig *rig = *state;
    char originals[ARRAY_COUNT(replayed)][4096], headers[256];
    for (size_t i = 0; i < ARRAY_COUNT(replayed); i++) {
        (void)snprintf(headers, sizeof headers, "Idempotency-Key: \"%zu\"\r\n%s", i,
                       replayed[i].headers);
        (void)snprintf(originals[i], sizeof originals[i], "%s",
                       send(rig, replayed[i].request, headers, replayed[i].body));
    }
    (void)send(rig, "PUT /v1/kv/none", "", "{\"value\":\"1\"}");
    (void)send(rig, "PUT /v1/kv/n", "", "{\"value\":\"text\"}");
    (void)send(rig, "PUT /v1/kv/k", "", "{\"value\":\"5\"}");
    rig->node->view.version++;
    rig->node->view.leader_http = (struct address){"127.0.0.1", 8083};

    for (size_t i = 0; i < ARRAY_COUNT(replayed); i++) {
        (void)snprintf(headers, sizeof headers, "Idempotency-Key: \"%zu\"\r\n%s", i,
                       replayed[i].headers);
        const char *replay = send(rig, replayed[i].request, headers, replayed[i].body);

        assert_int_equal(code_of(replay), replayed[i].code);
        assert_has(replay, "\r\nX-MiniKV-Replayed: true\r\n");
        assert_string_equal(body_of(replay), body_of(originals[i]));
        const char *etag = strstr(originals[i], "\r\nETag: ");
        if (etag == NULL)
            assert_lacks(replay, "\r\nETag");
        else
            assert_memory_equal(strstr(replay, "\r\nETag: "), etag, 12);
    }
}

static void the_form_of_a_body_does_not_matter_and_its_meaning_does(void **state)
{
    struct rig *rig = *state;
    static const char key[] = "Idempotency-Key: k1\r\n";
    assert_int_equal(code_of(send(rig, "PUT /v1/kv/k", key, "{\"value\":\"v\"}")), 204);

    const char *raw =
        send(rig, "PUT /v1/kv/%6b",
             "Idempotency-Key: \"k1\"\r\nContent-Type: application/octet-stream\r\n", "v");
    const char *other = send(rig, "PUT /v1/kv/k", key, "{\"value\":\"w\"}");
    const char *elsewhere = send(rig, "PUT /v1/kv/l", key, "{\"value\":\"v\"}");
    const char *conditional = send(
        rig, "PUT /v1/kv/k", "Idempotency-Key: k1\r\nIf-None-Match: *\r\n", "{\"value\":\"v\"}");

    assert_int_equal(code_of(raw), 204);
    assert_has(raw, "X-MiniKV-Replayed: true\r\n");
    assert_problem(other, 422, "identity-reused");
    assert_problem(elsewhere, 422, "identity-reused");
    assert_problem(conditional, 422, "identity-reused");
    assert_has(other, "\"effect\":\"none\"");
    assert_lacks(other, "Replayed");
}

static void what_the_window_has_left_behind_is_409(void **state)
{
    struct rig *rig = *state;
    (void)write_as(rig, "c", LIMIT_SESSION_WINDOW + 5, "POST /v1/incr/n", "");

    assert_problem(write_as(rig, "c", 5, "POST /v1/incr/n", ""), 409, "sequence-too-old");
    assert_has(write_as(rig, "c", 6, "POST /v1/incr/n", ""), "{\"value\":2}");
    outcome_is(rig, "client=c&sequence=5", "{\"outcome\":\"expired\"}\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(an_identity_travels_in_the_command),
        RIG_TEST(every_write_of_data_takes_an_identity),
        RIG_TEST(a_malformed_identity_is_refused_and_the_connection_lives_on),
        RIG_TEST(what_cannot_be_done_once_takes_no_identity),
        RIG_TEST(a_duplicate_gets_the_answer_of_the_first_byte_for_byte),
        RIG_TEST(later_changes_do_not_show_in_a_replay),
        RIG_TEST(the_form_of_a_body_does_not_matter_and_its_meaning_does),
        RIG_TEST(what_the_window_has_left_behind_is_409),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
