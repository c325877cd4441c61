/* Keys over HTTP: what users of /v1/kv/{key} and /v1/incr see. */
#include "http_fixture.h"

static const char *put(struct rig *rig, const char *key, const char *value)
{
    static char text[4096];
    (void)snprintf(text, sizeof text,
                   "PUT /v1/kv/%s HTTP/1.1\r\n" H
                   "Content-Type: application/octet-stream\r\nContent-Length: %zu\r\n\r\n%s",
                   key, strlen(value), value);
    return ask(rig, text);
}

static const char *get(struct rig *rig, const char *target)
{
    static char text[4096];
    (void)snprintf(text, sizeof text, "GET %s HTTP/1.1\r\n" H "\r\n", target);
    return ask(rig, text);
}

static struct command last_command(struct rig *rig)
{
    struct command command;
    assert_int_equal(command_decode(buf_bytes(&rig->node->last_command), &command), ST_OK);
    return command;
}

static void a_put_answers_204_with_the_revision_and_a_get_reads_it_back(void **state)
{
    struct rig *rig = *state;

    const char *written = ask(rig, "PUT /v1/kv/a/b%20c HTTP/1.1\r\n" H
                                   "Content-Length: 15\r\n\r\n{\"value\":\"v\\n\"}");
    const char *read = get(rig, "/v1/kv/a/b%20c");

    assert_string_equal(written, "HTTP/1.1 204 No Content\r\n"
                                 "X-MiniKV-Node: 1\r\n"
                                 "X-MiniKV-Term: 7\r\n"
                                 "X-Leader: 127.0.0.1:7001\r\n"
                                 "X-Leader-HTTP: 127.0.0.1:8081\r\n"
                                 "X-MiniKV-Hops: 0\r\n"
                                 "ETag: \"2\"\r\n\r\n");
    assert_has(read, "HTTP/1.1 200 OK\r\n");
    assert_has(read, "\r\nETag: \"2\"\r\n");
    assert_has(read, "\r\nContent-Type: application/json\r\n");
    assert_has(read, "\r\n\r\n{\"key\":\"a/b c\",\"value\":\"v\\n\",\"create_revision\":2,"
                     "\"mod_revision\":2,\"version\":1,\"lease\":0}\n");
}

static void raw_bytes_go_in_and_come_out_raw(void **state)
{
    struct rig *rig = *state;
    static const char request[] =
        "PUT /v1/kv/k HTTP/1.1\r\n" H "Content-Type: application/octet-stream; charset=x\r\n"
        "Content-Length: 4\r\n\r\n\0\xff\r\n";
    struct env_stream *stream = memory_dial(rig->env);

    memory_feed(stream, bytes_of(request, sizeof request - 1));
    assert_int_equal(code_of(received(stream)), 204);

    const char *by_header =
        ask(rig, "GET /v1/kv/k HTTP/1.1\r\n" H "Accept: application/octet-stream\r\n\r\n");
    assert_has(by_header, "Content-Type: application/octet-stream\r\nContent-Length: 4\r\n\r\n");
    assert_memory_equal(strstr(by_header, "\r\n\r\n") + 4, "\0\xff\r\n", 4);
    assert_has(get(rig, "/v1/kv/k?raw"), "Content-Length: 4\r\n");
    assert_has(get(rig, "/v1/kv/k?raw=false"), "\"value_base64\":\"AP8NCg==\"");
}

static void an_empty_raw_value_is_a_value(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(code_of(put(rig, "k", "")), 204);
    assert_has(get(rig, "/v1/kv/k"), "\"value\":\"\"");
}

static void any_byte_can_be_in_a_key(void **state)
{
    struct rig *rig = *state;
    for (int c = 0; c < 256; c++) {
        char key[16], target[32];
        (void)snprintf(key, sizeof key, "k%%%02x", c);
        (void)snprintf(target, sizeof target, "/v1/kv/%s", key);
        uint8_t wanted[] = {'k', (uint8_t)c};

        assert_int_equal(code_of(put(rig, key, "v")), 204);

        struct command command = last_command(rig);
        assert_true(bytes_equal(command.key, bytes_of(wanted, 2)));
        assert_int_equal(code_of(get(rig, target)), 200);
    }
    assert_has(get(rig, "/v1/kv/k%00"), "\"key\":\"k\\u0000\"");
    assert_has(get(rig, "/v1/kv/k%0d"), "\"key\":\"k\\r\"");
    assert_has(get(rig, "/v1/kv/k%ff"), "\"key_base64\":\"a/8=\"");
}

static void slashes_and_dots_in_a_key_are_just_bytes(void **state)
{
    struct rig *rig = *state;
    assert_int_equal(code_of(put(rig, "a/../b//c%2fd/", "v")), 204);
    struct command command = last_command(rig);
    assert_true(bytes_equal_text(command.key, "a/../b//c/d/"));
    assert_int_equal(code_of(get(rig, "/v1/kv/a%2f..%2Fb//c/d/")), 200);
}

static void keys_and_values_have_exact_limits(void **state)
{
    struct rig *rig = *state;
    for (size_t over = 0; over < 2; over++) {
        struct buf request;
        buf_init(&request, LIMIT_TARGET_BYTES);
        buf_put_text(&request, "DELETE /v1/kv/");
        for (size_t i = 0; i < LIMIT_KEY_BYTES + over; i++)
            buf_put_text(&request, "%6b"); /* counted after decoding */
        buf_put_text(&request, " HTTP/1.1\r\n" H "\r\n");
        const char *reply = ask(rig, buf_text(&request));
        if (over == 0)
            assert_int_equal(code_of(reply), 204);
        else
            assert_problem(reply, 414, "key-too-long");
        buf_release(&request);
    }

    for (size_t over = 0; over < 2; over++) {
        size_t count = LIMIT_VALUE_BYTES + over;
        struct buf request;
        buf_init(&request, 2 * LIMIT_BODY_BYTES);
        buf_printf(&request,
                   "PUT /v1/kv/k HTTP/1.1\r\n" H "Content-Type: application/octet-stream\r\n"
                   "Content-Length: %zu\r\n\r\n",
                   count);
        buf_put_zeros(&request, count);
        struct env_stream *stream = memory_dial(rig->env);
        memory_feed(stream, buf_bytes(&request));
        if (over == 0)
            assert_int_equal(code_of(received(stream)), 204);
        else
            assert_problem(received(stream), 413, "value-too-long");
        send_text(stream, "GET /livez HTTP/1.1\r\n" H "\r\n");
        assert_has(received(stream), "ok\n"); /* the connection is still good */
        buf_release(&request);
    }
}

static void an_empty_key_and_a_bad_escape_are_refused(void **state)
{
    struct rig *rig = *state;
    assert_problem(get(rig, "/v1/kv/"), 400, "key-empty");
    assert_problem(get(rig, "/v1/kv/a%zz"), 400, "bad-encoding");
    assert_problem(get(rig, "/v1/kv/a%"), 400, "bad-encoding");
    assert_problem(put(rig, "", "v"), 400, "key-empty");
    assert_int_equal(rig->node->submitted_count, 0);
}

static void a_missing_key_is_404_and_deleting_it_is_204(void **state)
{
    struct rig *rig = *state;
    assert_problem(get(rig, "/v1/kv/nope"), 404, "not-found");
    assert_string_equal(ask(rig, "DELETE /v1/kv/nope HTTP/1.1\r\n" H "\r\n"),
                        "HTTP/1.1 204 No Content\r\nX-MiniKV-Node: 1\r\nX-MiniKV-Term: 7\r\n"
                        "X-Leader: 127.0.0.1:7001\r\nX-Leader-HTTP: 127.0.0.1:8081\r\n"
                        "X-MiniKV-Hops: 0\r\n\r\n");
}

static void head_is_get_without_the_body(void **state)
{
    struct rig *rig = *state;
    (void)put(rig, "k", "vvv");
    const char *got = get(rig, "/v1/kv/k");
    const char *head = ask(rig, "HEAD /v1/kv/k HTTP/1.1\r\n" H "\r\n");
    size_t head_count = (size_t)(strstr(got, "\r\n\r\n") + 4 - got);
    assert_int_equal(strlen(head), head_count);
    assert_memory_equal(head, got, head_count);

    const char *missing = ask(rig, "HEAD /v1/kv/nope HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(code_of(missing), 404);
    assert_lacks(missing, "urn:");
    assert_lacks(missing, "Content-Length: 0\r\n");
}

static void compare_and_set_goes_by_the_etag(void **state)
{
    struct rig *rig = *state;
    static const char form[] = "PUT /v1/kv/k HTTP/1.1\r\n" H "%s\r\nContent-Length: 13\r\n\r\n"
                               "{\"value\":\"v\"}";
    static const struct {
        const char *header;
        int code;
    } steps[] = {{"If-Match: *", 412},          {"If-Match: \"2\"", 412},
                 {"If-None-Match: *", 204},     {"If-None-Match: *", 412},
                 {"If-Match: \"99\"", 412},     {"If-Match: \"2\"", 204},
                 {"If-Match: \"2\"", 412},      {"If-Match: *", 204},
                 {"If-None-Match: \"4\"", 412}, {"If-None-Match: \"2\"", 204}};
    for (size_t i = 0; i < ARRAY_COUNT(steps); i++) {
        char request[256];
        (void)snprintf(request, sizeof request, form, steps[i].header);
        const char *reply = ask(rig, request);
        if (code_of(reply) != steps[i].code)
            fail_msg("step %zu, %s:\n%s", i, steps[i].header, reply);
        if (steps[i].code == 412)
            assert_problem(reply, 412, "condition-failed");
    }
    assert_int_equal(code_of(ask(rig, "DELETE /v1/kv/k HTTP/1.1\r\n" H "If-Match: \"2\"\r\n\r\n")),
                     412);
    assert_int_equal(code_of(ask(rig, "DELETE /v1/kv/k HTTP/1.1\r\n" H "If-Match: \"5\"\r\n\r\n")),
                     204);
}

static void malformed_conditions_are_refused_before_anything_happens(void **state)
{
    struct rig *rig = *state;
    static const char *const headers[] = {"If-Match: 7", "If-Match: W/\"7\"",
                                          "If-Match: \"1\", \"2\"", "If-None-Match: abc",
                                          "If-Match: *\r\nIf-None-Match: *"};
    for (size_t i = 0; i < ARRAY_COUNT(headers); i++) {
        char request[256];
        (void)snprintf(request, sizeof request,
                       "PUT /v1/kv/k HTTP/1.1\r\n" H "%s\r\nContent-Length: 13\r\n\r\n"
                       "{\"value\":\"v\"}",
                       headers[i]);
        assert_problem(ask(rig, request), 400, "bad-condition");
    }
    assert_problem(ask(rig, "POST /v1/incr/k HTTP/1.1\r\n" H "If-Match: *\r\n\r\n"), 400,
                   "bad-condition");
    assert_int_equal(rig->node->submitted_count, 0);
}

static void a_get_with_the_current_etag_is_304(void **state)
{
    struct rig *rig = *state;
    (void)put(rig, "k", "v");

    const char *same = ask(rig, "GET /v1/kv/k HTTP/1.1\r\n" H "If-None-Match: \"2\"\r\n\r\n");
    const char *other = ask(rig, "GET /v1/kv/k HTTP/1.1\r\n" H "If-None-Match: \"1\"\r\n\r\n");
    const char *wrong = ask(rig, "GET /v1/kv/k HTTP/1.1\r\n" H "If-Match: \"1\"\r\n\r\n");

    assert_int_equal(code_of(same), 304);
    assert_has(same, "ETag: \"2\"\r\n\r\n");
    assert_lacks(same, "Content-Length");
    assert_int_equal(code_of(other), 200);
    assert_problem(wrong, 412, "condition-failed");
}

static void an_increment_counts_and_says_so(void **state)
{
    struct rig *rig = *state;
    const char *first =
        ask(rig, "POST /v1/incr/n HTTP/1.1\r\n" H "Content-Length: 8\r\n\r\n{\"by\":5}");
    const char *second = ask(rig, "POST /v1/incr/n HTTP/1.1\r\n" H "\r\n");
    assert_has(first, "\r\n\r\n{\"value\":5}\n");
    assert_has(second, "\r\n\r\n{\"value\":6}\n");

    (void)put(rig, "word", "w");
    assert_problem(ask(rig, "POST /v1/incr/word HTTP/1.1\r\n" H "\r\n"), 409, "not-integer");
    (void)put(rig, "most", "9223372036854775807");
    assert_problem(ask(rig, "POST /v1/incr/most HTTP/1.1\r\n" H "\r\n"), 409, "overflow");
    assert_problem(ask(rig, "POST /v1/incr/n HTTP/1.1\r\n" H "Content-Length: 8\r\n\r\n{\"bx\":5}"),
                   400, "bad-field");
}

static void a_stale_read_does_not_ask_the_node_and_says_how_old_it_is(void **state)
{
    struct rig *rig = *state;
    (void)put(rig, "k", "v");
    size_t submitted = rig->node->submitted_count;
    rig->node->staleness = 12345;

    const char *stale = get(rig, "/v1/kv/k?consistency=stale");

    assert_has(stale, "X-MiniKV-Applied: 2\r\nX-MiniKV-Staleness-Ms: 13\r\n");
    assert_int_equal(rig->node->submitted_count, submitted);
    rig->node->staleness = TIME_NEVER;
    assert_has(get(rig, "/v1/kv?consistency=stale"), "X-MiniKV-Staleness-Ms: unknown\r\n");
    assert_lacks(get(rig, "/v1/kv/k?consistency=linearizable"), "Staleness");
    assert_int_equal(rig->node->submitted_count, submitted + 1);
    assert_problem(get(rig, "/v1/kv/k?consistency=eventual"), 400, "bad-query");
}

static void also_what_a_stale_read_does_not_find_says_how_old_that_is(void **state)
{
    static const struct {
        const char *request;
        int code;
        const char *type;
    } reads[] = {
        {"GET /v1/kv/none?consistency=stale HTTP/1.1\r\n" H "\r\n", 404, "not-found"},
        {"GET /v1/kv/k?consistency=stale HTTP/1.1\r\n" H "If-Match: \"9\"\r\n\r\n", 412,
         "condition-failed"},
        {"GET /v1/kv/k?consistency=stale&rev=1 HTTP/1.1\r\n" H "\r\n", 410, "compacted"},
        {"GET /v1/kv/k?consistency=stale&rev=9 HTTP/1.1\r\n" H "\r\n", 400, "revision-future"},
        {"GET /v1/kv?consistency=stale&rev=1 HTTP/1.1\r\n" H "\r\n", 410, "compacted"},
    };
    struct rig *rig = *state;
    (void)put(rig, "k", "v");
    node_double_compact(rig->node, 2);
    rig->node->staleness = 12345;

    for (size_t i = 0; i < ARRAY_COUNT(reads); i++) {
        const char *reply = ask(rig, reads[i].request);

        assert_problem(reply, reads[i].code, reads[i].type);
        assert_has(reply, "\r\nX-MiniKV-Applied: 3\r\nX-MiniKV-Staleness-Ms: 13\r\n");
    }
    assert_has(
        ask(rig, "GET /v1/kv/k?consistency=stale HTTP/1.1\r\n" H "If-None-Match: \"2\"\r\n\r\n"),
        "HTTP/1.1 304 Not Modified\r\n");
    assert_lacks(get(rig, "/v1/kv/none"), "Staleness");
}

static void an_unknown_outcome_that_changed_nothing_is_not_called_a_write(void **state)
{
    static const enum status statuses[] = {ST_TIMEOUT, ST_LINK_LOST};
    struct rig *rig = *state;
    for (size_t i = 0; i < ARRAY_COUNT(statuses); i++) {
        int code = status_info(statuses[i])->http;
        rig->node->forced = (struct node_answer){.status = statuses[i], .effect = EFFECT_NONE};
        const char *read = get(rig, "/v1/kv/k");
        assert_problem(read, code, status_info(statuses[i])->code);
        assert_has(read, "\"detail\":\"nothing was changed; ");
        assert_has(read, "\"effect\":\"none\"");

        rig->node->forced.effect = EFFECT_MAYBE;
        const char *written = put(rig, "k", "v");
        assert_problem(written, code, status_info(statuses[i])->code);
        assert_has(written, "the write may have happened");
        assert_has(written, "\"effect\":\"maybe\"");
    }
}

static void a_path_without_a_resource_is_404(void **state)
{
    struct rig *rig = *state;
    assert_problem(get(rig, "/v1/txns"), 404, "no-resource");
    assert_problem(get(rig, "/v1/txn/1"), 404, "no-resource");
    assert_problem(get(rig, "/v1/raft"), 404, "no-resource");
}

static void a_linearizable_read_answers_what_the_node_says_when_it_may_not(void **state)
{
    struct rig *rig = *state;
    rig->node->forced =
        (struct node_answer){.status = ST_NO_LEADER, .effect = EFFECT_NONE, .retry_after_ms = 1500};

    const char *reply = get(rig, "/v1/kv/k");

    assert_problem(reply, 503, "no-leader");
    assert_has(reply, "\r\nRetry-After: 2\r\n");
    assert_has(reply, "\"retry_after_ms\":1500");
}

static void a_key_can_be_read_as_it_was(void **state)
{
    struct rig *rig = *state;
    (void)put(rig, "k", "a");                                /* revision 2 */
    (void)put(rig, "other", "x");                            /* 3 */
    (void)put(rig, "k", "b");                                /* 4 */
    (void)ask(rig, "DELETE /v1/kv/k HTTP/1.1\r\n" H "\r\n"); /* 5 */
    (void)put(rig, "k", "c");                                /* 6 */

    assert_problem(get(rig, "/v1/kv/k?rev=1"), 404, "not-found");
    assert_has(get(rig, "/v1/kv/k?rev=2"),
               "{\"key\":\"k\",\"value\":\"a\",\"create_revision\":2,\"mod_revision\":2,"
               "\"version\":1,\"lease\":0}\n");
    assert_has(get(rig, "/v1/kv/k?rev=3"), "\"value\":\"a\"");
    assert_has(get(rig, "/v1/kv/k?rev=4"), "\"value\":\"b\",\"create_revision\":2,"
                                           "\"mod_revision\":4,\"version\":2,");
    assert_problem(get(rig, "/v1/kv/k?rev=5"), 404, "not-found");
    assert_has(get(rig, "/v1/kv/k?rev=6"), "\"value\":\"c\",\"create_revision\":6,");
    assert_has(get(rig, "/v1/kv/k?rev=4&raw"), "\r\nETag: \"4\"\r\n");
    const char *unchanged = "GET /v1/kv/k?rev=4 HTTP/1.1\r\n" H "If-None-Match: \"4\"\r\n\r\n";
    assert_int_equal(code_of(ask(rig, unchanged)), 304);
}

static void a_revision_that_is_not_there_is_told_with_the_bound_that_it_passes(void **state)
{
    struct rig *rig = *state;
    (void)put(rig, "k", "a"); /* revision 2 */
    (void)put(rig, "k", "b"); /* 3 */
    (void)put(rig, "k", "c"); /* 4 */
    node_double_compact(rig->node, 3);

    const char *gone = get(rig, "/v1/kv/k?rev=2");
    assert_problem(gone, 410, "compacted");
    assert_has(gone, "\r\nX-MiniKV-Compacted: 3\r\n");
    assert_has(gone, "revision 2 is not kept any more; the oldest that can be read is 3");
    assert_has(get(rig, "/v1/kv/k?rev=3"), "\"value\":\"b\"");
    assert_has(get(rig, "/v1/kv/k?rev=4"), "\"value\":\"c\"");
    const char *future = get(rig, "/v1/kv/k?rev=5");
    assert_problem(future, 400, "revision-future");
    assert_lacks(future, "X-MiniKV-Compacted");
    assert_has(future, "the revision is 4; ");
    assert_problem(get(rig, "/v1/kv/k?rev=0"), 400, "bad-query");
    assert_problem(get(rig, "/v1/kv/k?rev=x"), 400, "bad-query");
    assert_problem(get(rig, "/v1/kv/k?rev=9223372036854775807"), 400, "revision-future");
    assert_problem(get(rig, "/v1/kv/k?rev=9223372036854775808"), 400, "bad-query");
}

static void what_is_not_acceptable_is_406_and_raw_wins_over_accept(void **state)
{
    struct rig *rig = *state;
    (void)put(rig, "k", "v");
    assert_problem(ask(rig, "GET /v1/kv/k HTTP/1.1\r\n" H "Accept: text/html\r\n\r\n"), 406,
                   "not-acceptable");
    assert_has(ask(rig, "GET /v1/kv/k?raw HTTP/1.1\r\n" H "Accept: text/html\r\n\r\n"),
               "\r\n\r\nv");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(a_put_answers_204_with_the_revision_and_a_get_reads_it_back),
        RIG_TEST(raw_bytes_go_in_and_come_out_raw),
        RIG_TEST(an_empty_raw_value_is_a_value),
        RIG_TEST(any_byte_can_be_in_a_key),
        RIG_TEST(slashes_and_dots_in_a_key_are_just_bytes),
        RIG_TEST(keys_and_values_have_exact_limits),
        RIG_TEST(an_empty_key_and_a_bad_escape_are_refused),
        RIG_TEST(a_missing_key_is_404_and_deleting_it_is_204),
        RIG_TEST(head_is_get_without_the_body),
        RIG_TEST(compare_and_set_goes_by_the_etag),
        RIG_TEST(malformed_conditions_are_refused_before_anything_happens),
        RIG_TEST(a_get_with_the_current_etag_is_304),
        RIG_TEST(an_increment_counts_and_says_so),
        RIG_TEST(a_stale_read_does_not_ask_the_node_and_says_how_old_it_is),
        RIG_TEST(also_what_a_stale_read_does_not_find_says_how_old_that_is),
        RIG_TEST(an_unknown_outcome_that_changed_nothing_is_not_called_a_write),
        RIG_TEST(a_path_without_a_resource_is_404),
        RIG_TEST(a_linearizable_read_answers_what_the_node_says_when_it_may_not),
        RIG_TEST(a_key_can_be_read_as_it_was),
        RIG_TEST(a_revision_that_is_not_there_is_told_with_the_bound_that_it_passes),
        RIG_TEST(what_is_not_acceptable_is_406_and_raw_wins_over_accept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
