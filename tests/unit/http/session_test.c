/* Exactly once over HTTP: identities, replays, sessions, outcomes and seals, as clients see them.
 */
#include "http_fixture.h"

#include "kv/session.h"

#define H "Host: x\r\n"

/* `headers`: lines that end in \r\n, or "". */
static const char *send(struct rig *rig, const char *request, const char *headers, const char *body)
{
    static char text[4096];
    (void)snprintf(text, sizeof text, "%s HTTP/1.1\r\n" H "%sContent-Length: %zu\r\n\r\n%s",
                   request, headers, strlen(body), body);
    return ask(rig, text);
}

static const char *write_as(struct rig *rig, const char *client, unsigned sequence,
                            const char *request, const char *body)
{
    char headers[256];
    (void)snprintf(headers, sizeof headers, "X-MiniKV-Client-Id: %s\r\nX-MiniKV-Sequence: %u\r\n",
                   client, sequence);
    return send(rig, request, headers, body);
}

static const char *body_of(const char *reply)
{
    const char *end = strstr(reply, "\r\n\r\n");
    assert_non_null(end);
    return end + 4;
}

static struct command last_command(struct rig *rig)
{
    struct command command;
    assert_int_equal(command_decode(buf_bytes(&rig->node->last_command), &command), ST_OK);
    return command;
}

static void outcome_is(struct rig *rig, const char *query, const char *wanted)
{
    char request[512];
    (void)snprintf(request, sizeof request, "GET /v1/outcome?%s", query);
    const char *reply = send(rig, request, "", "");
    assert_int_equal(code_of(reply), 200);
    assert_string_equal(body_of(reply), wanted);
}

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
        RIG_TEST(an_identity_travels_in_the_command),
        RIG_TEST(every_write_of_data_takes_an_identity),
        RIG_TEST(a_malformed_identity_is_refused_and_the_connection_lives_on),
        RIG_TEST(what_cannot_be_done_once_takes_no_identity),
        RIG_TEST(a_duplicate_gets_the_answer_of_the_first_byte_for_byte),
        RIG_TEST(later_changes_do_not_show_in_a_replay),
        RIG_TEST(the_form_of_a_body_does_not_matter_and_its_meaning_does),
        RIG_TEST(what_the_window_has_left_behind_is_409),
        RIG_TEST(a_session_is_opened_with_the_id_that_the_state_knows),
        RIG_TEST(sessions_differ),
        RIG_TEST(a_closed_session_is_410_and_closing_again_is_204),
        RIG_TEST(only_sessions_that_were_allotted_can_be_closed),
        RIG_TEST(a_session_needs_nothing_and_takes_nothing),
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
        RIG_TEST(metrics_tell_of_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
