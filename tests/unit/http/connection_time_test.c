/* How long a connection may take for what it does. */
#include "http_fixture.h"

static void half_a_request_times_out_with_408_and_silence_without_a_word(void **state)
{
    struct rig *rig = *state;
    static const struct {
        const char *sent;
        time_us after;
        const char *detail; /* NULL: closed silently */
    } cases[] = {
        {"", 10000000, NULL},
        {"GET /liv", 10000000, "the head of the request"},
        {"PUT /v1/kv/k HTTP/1.1\r\n" H "Content-Length: 9\r\n\r\n123", 60000000,
         "the body of the request"},
        {"PUT /v1/kv/k HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n", 60000000,
         "the body of the request"},
        {"GET /livez HTTP/1.1\r\n" H "\r\n", 75000000, NULL},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct env_stream *stream = memory_dial(rig->env);
        send_text(stream, cases[i].sent);
        size_t before = stream->sent.count;

        memory_advance(rig->env, cases[i].after - 1500000);
        assert_false(stream->is_finished);
        memory_advance(rig->env, 3000000);

        assert_true(stream->is_finished);
        if (cases[i].detail == NULL) {
            assert_int_equal(stream->sent.count, before);
        } else {
            assert_problem(received(stream), 408, "request-timeout");
            assert_has(received(stream), cases[i].detail);
        }
    }
    assert_int_equal(rig->node->submitted_count, 0);
}

static void a_trickle_of_bytes_does_not_keep_a_request_alive(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = memory_dial(rig->env);
    send_text(stream, "GET /livez HTTP/1.1\r\nA: ");
    for (int i = 0; i < 24; i++) {
        send_text(stream, "a");
        memory_advance(rig->env, 500000);
    }
    assert_problem(received(stream), 408, "request-timeout");
    assert_true(stream->is_finished);
}

static void a_connection_waiting_for_its_answer_is_not_idle(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = memory_dial(rig->env);
    rig->node->holds = true;
    send_put(stream, "a");
    memory_advance(rig->env, 200000000);
    assert_false(stream->is_finished);
    assert_int_equal(rig->http->connections_count, 1);
}

static void a_timeout_behind_open_requests_waits_for_their_answers(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = memory_dial(rig->env);
    rig->node->holds = true;
    send_put(stream, "a");
    send_text(stream, "GET /liv");
    memory_advance(rig->env, 12000000);
    assert_int_equal(stream->sent.count, 0);
    node_double_answer(rig->node, node_double_at(rig->node, 0));
    memory_run(rig->env);
    assert_int_equal(code_of(received(stream)), 204);
    assert_problem(next_reply(received(stream)), 408, "request-timeout");
    assert_true(stream->is_finished);
}

static void the_deadline_at_the_node_can_be_lowered_and_not_raised(void **state)
{
    struct rig *rig = *state;
    time_us now = rig->env->now;
    (void)ask(rig, "DELETE /v1/kv/k HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(rig->node->last.deadline, now + 5000000);
    (void)ask(rig, "DELETE /v1/kv/k HTTP/1.1\r\n" H "X-MiniKV-Timeout-Ms: 250\r\n\r\n");
    assert_int_equal(rig->node->last.deadline, now + 250000);
    (void)ask(rig,
              "DELETE /v1/kv/k HTTP/1.1\r\n" H "X-MiniKV-Timeout-Ms: 9223372036854775807\r\n\r\n");
    assert_int_equal(rig->node->last.deadline, now + 5000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(half_a_request_times_out_with_408_and_silence_without_a_word),
        RIG_TEST(a_trickle_of_bytes_does_not_keep_a_request_alive),
        RIG_TEST(a_connection_waiting_for_its_answer_is_not_idle),
        RIG_TEST(a_timeout_behind_open_requests_waits_for_their_answers),
        RIG_TEST(the_deadline_at_the_node_can_be_lowered_and_not_raised),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
