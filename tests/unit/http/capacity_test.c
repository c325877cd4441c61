/* Many connections at once: what all of them together may have open, hold and wait for. */
#include "http_fixture.h"

static void connections_beyond_the_limit_are_told_so_and_closed(void **state)
{
    struct rig rig;
    struct http_options options = {.listen = {"127.0.0.1", 8081}, .connections_max = 3};
    rig_open_with(&rig, &options);
    struct env_stream *streams[5];
    for (size_t i = 0; i < ARRAY_COUNT(streams); i++)
        streams[i] = memory_dial(rig.env);

    assert_int_equal(rig.http->connections_count, 3);
    assert_problem(received(streams[3]), 503, "busy");
    assert_has(received(streams[3]), "Connection: close\r\n");
    assert_has(received(streams[3]), "Retry-After: 1\r\n");
    assert_true(streams[4]->is_finished);

    memory_hang_up(streams[0], ENV_END_EOF);
    struct env_stream *next = memory_dial(rig.env);
    send_text(next, "GET /livez HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(code_of(received(next)), 200);
    struct rig *pointer = &rig;
    (void)rig_teardown((void **)&pointer);
}

static void bodies_beyond_the_limit_of_all_together_are_refused_and_thrown_away(void **state)
{
    struct rig *rig = *state;
    static const char head[] = "PUT /v1/kv/k HTTP/1.1\r\n" H "Content-Length: 1000000\r\n\r\n";
    rig->http->bodies_bytes = LIMIT_BODIES_BYTES - 100; /* as if others held them */
    struct env_stream *stream = memory_dial(rig->env);
    char *body = calloc(1, 1000000);

    send_text(stream, head);
    memory_feed(stream, bytes_of(body, 1000000));

    assert_problem(received(stream), 503, "busy");
    assert_has(received(stream), "\r\nRetry-After: 1\r\n");
    rig->http->bodies_bytes -= LIMIT_BODIES_BYTES - 100;
    assert_int_equal(rig->node->submitted_count, 0);
    send_text(stream, "GET /livez HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(code_of(next_reply(received(stream))), 200);
    free(body);
}

static void a_chunked_body_is_refused_when_all_bodies_together_grow_too_large(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = memory_dial(rig->env);
    char chunk[0x1000 + 9];
    memcpy(chunk, "1000\r\n", 6);
    memset(chunk + 6, 'x', 0x1000);
    memcpy(chunk + 6 + 0x1000, "\r\n", 3);
    send_text(stream, "PUT /v1/kv/k HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n");
    memory_feed(stream, bytes_of(chunk, sizeof chunk - 1));
    rig->http->bodies_bytes += LIMIT_BODIES_BYTES;
    memory_feed(stream, bytes_of(chunk, sizeof chunk - 1));
    memory_feed(stream, bytes_of(chunk, sizeof chunk - 1));
    rig->http->bodies_bytes -= LIMIT_BODIES_BYTES;
    assert_true(rig->http->bodies_bytes < sizeof chunk); /* thrown away */
    send_text(stream, "0\r\n\r\n");
    assert_problem(received(stream), 503, "busy");
    assert_int_equal(rig->node->submitted_count, 0);
}

static void half_a_head_is_refused_when_all_bodies_together_are_too_large(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = memory_dial(rig->env);
    rig->http->bodies_bytes += LIMIT_BODIES_BYTES;
    send_text(stream, "GET /livez HTTP/1.1\r\n" H "\r\nGET /liv");
    rig->http->bodies_bytes -= LIMIT_BODIES_BYTES;
    assert_int_equal(code_of(received(stream)), 200);
    assert_problem(next_reply(received(stream)), 503, "busy");
    assert_true(stream->is_finished);
}

/* A request that was put aside is not the one in front of it, which was asked with HEAD. */
static void a_request_put_aside_is_refused_with_a_body_of_its_own(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = memory_dial(rig->env);
    rig->node->holds = true;
    rig->http->exchanges_count += LIMIT_EXCHANGES;
    rig->http->bodies_bytes += LIMIT_BODIES_BYTES;
    send_text(stream, "HEAD /v1/kv/k HTTP/1.1\r\n" H "\r\nGET /v1/kv/k HTTP/1.1\r\n" H "\r\n");
    memory_run(rig->env);
    rig->http->bodies_bytes -= LIMIT_BODIES_BYTES;
    rig->http->exchanges_count -= LIMIT_EXCHANGES;
    assert_int_equal(rig->node->requests_count, 1);

    rig->node->holds = false;
    env_task_post(rig->env, &rig->node->answer_task);
    memory_run(rig->env);

    const char *refusal = strstr(received(stream), "HTTP/1.1 503");
    assert_non_null(refusal);
    assert_problem(refusal, 503, "busy");
    assert_true(stream->is_finished);
}

static void large_replies_are_not_made_while_others_are_not_taken(void **state)
{
    struct rig *rig = *state;
    node_double_put(rig->node, BYTES_LITERAL("k"), BYTES_LITERAL("v"));
    rig->http->replies_bytes += LIMIT_REPLIES_BYTES + 1;
    assert_problem(ask(rig, "GET /v1/kv/k HTTP/1.1\r\n" H "\r\n"), 503, "busy");
    assert_problem(ask(rig, "GET /v1/kv HTTP/1.1\r\n" H "\r\n"), 503, "busy");
    assert_int_equal(code_of(ask(rig, "DELETE /v1/kv/k HTTP/1.1\r\n" H "\r\n")), 204);
    rig->http->replies_bytes -= LIMIT_REPLIES_BYTES + 1;
    assert_int_equal(rig->http->replies_bytes, 0);
    assert_problem(ask(rig, "GET /v1/kv/k HTTP/1.1\r\n" H "\r\n"), 404, "not-found");
}

static void with_too_many_requests_open_each_connection_still_gets_one(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = memory_dial(rig->env);
    rig->node->holds = true;
    rig->http->exchanges_count += LIMIT_EXCHANGES;
    for (int i = 0; i < 3; i++)
        send_put(stream, "k");
    memory_run(rig->env);
    assert_int_equal(rig->node->requests_count, 1);
    assert_true(stream->is_paused);
    rig->node->holds = false;
    env_task_post(rig->env, &rig->node->answer_task);
    memory_run(rig->env);
    rig->http->exchanges_count -= LIMIT_EXCHANGES;
    assert_int_equal(replies_count(received(stream)), 3);
    assert_int_equal(rig->http->exchanges_count, 0);
}

static void memory_is_given_back_after_large_bodies(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = memory_dial(rig->env);
    char *body = malloc(1000000);
    memset(body, 'x', 1000000);
    send_text(stream, "PUT /v1/kv/k HTTP/1.1\r\n" H "Content-Type: application/octet-stream\r\n"
                      "Content-Length: 1000000\r\n\r\n");
    for (size_t at = 0; at < 1000000; at += 50000)
        memory_feed(stream, bytes_of(body + at, 50000));
    assert_int_equal(code_of(received(stream)), 204);
    assert_true(rig->http->bodies_bytes < 64 * KIB);
    free(body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_beyond_the_limit_are_told_so_and_closed),
        RIG_TEST(bodies_beyond_the_limit_of_all_together_are_refused_and_thrown_away),
        RIG_TEST(a_chunked_body_is_refused_when_all_bodies_together_grow_too_large),
        RIG_TEST(half_a_head_is_refused_when_all_bodies_together_are_too_large),
        RIG_TEST(a_request_put_aside_is_refused_with_a_body_of_its_own),
        RIG_TEST(large_replies_are_not_made_while_others_are_not_taken),
        RIG_TEST(with_too_many_requests_open_each_connection_still_gets_one),
        RIG_TEST(memory_is_given_back_after_large_bodies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
