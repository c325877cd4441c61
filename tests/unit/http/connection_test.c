/* One connection over time: order, pipelining, back-pressure, and how it ends. */
#include "http_fixture.h"

static void answers_come_in_the_order_of_the_requests_whatever_the_node_does(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = memory_dial(rig->env);
    rig->node->holds = true;
    send_put(stream, "a");
    send_put(stream, "b");
    send_text(stream, "GET /v1/kv/c HTTP/1.1\r\n" H "\r\nGET /livez HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(rig->node->requests_count, 3);

    node_double_answer(rig->node, node_double_at(rig->node, 2)); /* the read */
    node_double_answer(rig->node, node_double_at(rig->node, 1)); /* b: revision 2 */
    memory_run(rig->env);
    assert_int_equal(stream->sent.count, 0);
    node_double_answer(rig->node, node_double_at(rig->node, 0)); /* a: revision 3 */
    memory_run(rig->env);

    const char *reply = received(stream);
    assert_has(reply, "ETag: \"3\"");
    reply = next_reply(reply);
    assert_has(reply, "ETag: \"2\"");
    reply = next_reply(reply);
    assert_int_equal(code_of(reply), 404);
    reply = next_reply(reply);
    assert_int_equal(code_of(reply), 200);
    assert_int_equal(*next_reply(reply), '\0');
}

static void what_is_answered_in_one_turn_leaves_in_one_send(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = memory_dial(rig->env);
    for (int i = 0; i < 50; i++)
        send_put(stream, "k");
    memory_run(rig->env);
    assert_int_equal(replies_count(received(stream)), 50);
    assert_int_equal(stream->sends_count, 1);
}

static void a_hundred_pipelined_with_a_bad_one_in_the_middle(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = memory_dial(rig->env);
    rig->node->holds = true;
    struct buf bytes;
    buf_init(&bytes, 1 << 16);
    for (int i = 0; i < 100; i++)
        buf_put_text(&bytes, i == 50 ? "GET /livez HTTP/1.1\r\n\r\n"
                                     : "DELETE /v1/kv/k HTTP/1.1\r\n" H "\r\n");

    memory_feed(stream, buf_bytes(&bytes));

    assert_int_equal(rig->node->submitted_count, 50); /* none behind the bad one */
    assert_int_equal(stream->sent.count, 0);
    rig->node->holds = false;
    env_task_post(rig->env, &rig->node->answer_task);
    memory_run(rig->env);
    const char *reply = received(stream);
    assert_int_equal(replies_count(reply), 51);
    for (int i = 0; i < 50; i++, reply = next_reply(reply))
        assert_int_equal(code_of(reply), 204);
    assert_problem(reply, 400, "bad-host");
    assert_true(stream->is_finished);
    buf_release(&bytes);
}

static void reading_stops_while_the_pipeline_is_full_and_goes_on_after(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = memory_dial(rig->env);
    struct buf bytes;
    buf_init(&bytes, LIMIT_READ_BYTES);
    rig->node->holds = true;
    for (int i = 0; i < 500; i++)
        buf_put_text(&bytes, "DELETE /v1/kv/k HTTP/1.1\r\n" H "\r\n");

    memory_feed(stream, buf_bytes(&bytes));

    assert_int_equal(rig->node->requests_count, LIMIT_PIPELINE);
    assert_true(stream->is_paused);
    node_double_answer(rig->node, node_double_at(rig->node, 0));
    memory_run(rig->env);
    assert_int_equal(rig->node->requests_count, LIMIT_PIPELINE - 1); /* not one by one */
    rig->node->holds = false;
    env_task_post(rig->env, &rig->node->answer_task);
    memory_run(rig->env);
    assert_int_equal(replies_count(received(stream)), 500);
    assert_false(stream->is_paused);
    buf_release(&bytes);
}

static void a_reader_that_takes_nothing_stops_the_reading_of_its_requests(void **state)
{
    enum { REQUESTS = 100, VALUE_BYTES = 40 * KIB }; /* short enough to be made in one go */
    struct rig *rig = *state;
    struct env_stream *stream = memory_dial(rig->env);
    struct buf value;
    buf_init(&value, VALUE_BYTES);
    buf_put_zeros(&value, VALUE_BYTES);
    node_double_put(rig->node, BYTES_LITERAL("k"), buf_bytes(&value));
    buf_release(&value);
    stream->taken = 0;

    for (int i = 0; i < REQUESTS; i++)
        send_text(stream, "GET /v1/kv/k?raw HTTP/1.1\r\n" H "\r\n");

    assert_true(stream->is_paused);
    assert_true(stream->sent.count < LIMIT_REPLY_QUEUE_BYTES + VALUE_BYTES + KIB);
    for (int i = 0; i < REQUESTS; i++)
        memory_take(stream, 16 * VALUE_BYTES);
    size_t count = 0;
    for (const char *at = received(stream); count < REQUESTS; count++) {
        assert_int_equal(code_of(at), 200);
        at = strstr(at, "\r\n\r\n") + 4 + VALUE_BYTES;
    }
    assert_false(stream->is_paused);
    assert_int_equal(rig->node->requests_count, 0);
}

static void a_reader_that_goes_on_taking_nothing_is_cut_off(void **state)
{
    struct rig *rig = *state;
    struct env_stream *slow = memory_dial(rig->env);
    struct env_stream *steady = memory_dial(rig->env);
    struct buf value;
    buf_init(&value, LIMIT_VALUE_BYTES);
    buf_put_zeros(&value, LIMIT_VALUE_BYTES);
    node_double_put(rig->node, BYTES_LITERAL("k"), buf_bytes(&value));
    buf_release(&value);
    slow->taken = steady->taken = 0;
    send_text(slow, "GET /v1/kv/k?raw HTTP/1.1\r\n" H "\r\n");
    send_text(steady, "GET /v1/kv/k?raw HTTP/1.1\r\n" H "\r\n");

    for (int seconds = 0; seconds < 40; seconds++) {
        memory_take(slow, 1000);
        memory_take(steady, 30000);
        memory_advance(rig->env, 1000000);
    }

    assert_true(slow->is_closed);
    assert_false(steady->is_closed);
    assert_int_equal(rig->http->connections_count, 1);
}

/* ---- ends ---- */

static void a_client_that_goes_away_has_its_requests_cancelled(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = memory_dial(rig->env);
    rig->node->holds = true;
    send_put(stream, "a");
    send_put(stream, "b");
    send_text(stream, "PUT /v1/kv/c HTTP/1.1\r\n" H "Content-Length: 100\r\n\r\nhalf");

    memory_hang_up(stream, ENV_END_RESET);

    assert_int_equal(rig->node->cancelled_count, 2);
    assert_int_equal(rig->node->requests_count, 0);
    assert_int_equal(rig->http->connections_count, 0);
    assert_int_equal(rig->http->bodies_bytes, 0);
}

static void connection_close_and_http_1_0_end_after_the_answer(void **state)
{
    struct rig *rig = *state;
    static const struct {
        const char *request;
        const char *header; /* NULL: says nothing and stays */
        bool ends;
    } cases[] = {
        {"GET /livez HTTP/1.1\r\n" H "\r\n", NULL, false},
        {"GET /livez HTTP/1.1\r\n" H "Connection: keep-alive\r\n\r\n", NULL, false},
        {"GET /livez HTTP/1.1\r\n" H "Connection: close\r\n\r\n", "Connection: close\r\n", true},
        {"GET /livez HTTP/1.1\r\n" H "Connection: x, Close\r\n\r\n", "Connection: close\r\n", true},
        {"GET /livez HTTP/1.0\r\n\r\n", "Connection: close\r\n", true},
        {"GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "Connection: keep-alive\r\n",
         false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct env_stream *stream = memory_dial(rig->env);
        send_text(stream, cases[i].request);
        assert_int_equal(code_of(received(stream)), 200);
        if (cases[i].header != NULL)
            assert_has(received(stream), cases[i].header);
        else
            assert_lacks(received(stream), "Connection:");
        assert_int_equal(stream->is_finished, cases[i].ends);
        send_text(stream, cases[i].request);
        assert_int_equal(replies_count(received(stream)), cases[i].ends ? 1 : 2);
    }
}

static void requests_behind_connection_close_are_not_carried_out(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = memory_dial(rig->env);
    send_text(stream, "DELETE /v1/kv/a HTTP/1.1\r\n" H "Connection: close\r\n\r\n"
                      "DELETE /v1/kv/b HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(rig->node->submitted_count, 1);
    assert_int_equal(replies_count(received(stream)), 1);
}

static void a_refusal_without_a_head_says_nothing_of_earlier_requests(void **state)
{
    struct rig *rig = *state;
    (void)ask(rig, "DELETE /v1/kv/k HTTP/1.1\r\n" H "\r\n");
    assert_has(ask(rig, "CONNECT x:80 HTTP/1.1\r\n" H "\r\n"), "\r\nAllow: \r\n");
}

/* ---- 100-continue ---- */

static const char continue_line[] = "HTTP/1.1 100 Continue\r\n\r\n";

static void a_body_that_will_be_read_is_asked_for(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = memory_dial(rig->env);
    send_text(stream,
              "PUT /v1/kv/k HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 13\r\n\r\n");
    assert_string_equal(received(stream), continue_line);
    send_text(stream, "{\"value\":\"v\"}");
    assert_int_equal(code_of(received(stream) + sizeof continue_line - 1), 204);
    assert_false(stream->is_finished);
}

static void a_body_that_will_not_be_read_is_refused_at_once(void **state)
{
    struct rig *rig = *state;
    static const char *const requests[] = {
        "PUT /nope HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 13\r\n\r\n",
        "PUT /v1/kv/k?x HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 13\r\n\r\n",
        "PUT /v1/kv/k HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n",
    };
    for (size_t i = 0; i < ARRAY_COUNT(requests); i++) {
        struct env_stream *stream = memory_dial(rig->env);
        send_text(stream, requests[i]);
        assert_true(code_of(received(stream)) >= 400);
        assert_has(received(stream), "Connection: close\r\n");
        assert_true(stream->is_finished);
    }
}

static void continue_waits_for_the_answers_before_it(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = memory_dial(rig->env);
    rig->node->holds = true;
    send_put(stream, "a");
    send_text(stream,
              "PUT /v1/kv/k HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 13\r\n\r\n");
    assert_int_equal(stream->sent.count, 0);
    node_double_answer(rig->node, node_double_at(rig->node, 0));
    memory_run(rig->env);
    assert_int_equal(code_of(received(stream)), 204);
    assert_string_equal(next_reply(received(stream)), continue_line);
}

static void http_1_0_gets_no_continue(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = memory_dial(rig->env);
    send_text(stream, "PUT /v1/kv/k HTTP/1.0\r\n"
                      "Expect: 100-continue\r\nContent-Length: 13\r\n\r\n");
    assert_int_equal(stream->sent.count, 0);
    send_text(stream, "{\"value\":\"v\"}");
    assert_int_equal(code_of(received(stream)), 204);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(answers_come_in_the_order_of_the_requests_whatever_the_node_does),
        RIG_TEST(what_is_answered_in_one_turn_leaves_in_one_send),
        RIG_TEST(a_hundred_pipelined_with_a_bad_one_in_the_middle),
        RIG_TEST(reading_stops_while_the_pipeline_is_full_and_goes_on_after),
        RIG_TEST(a_reader_that_takes_nothing_stops_the_reading_of_its_requests),
        RIG_TEST(a_reader_that_goes_on_taking_nothing_is_cut_off),
        RIG_TEST(a_client_that_goes_away_has_its_requests_cancelled),
        RIG_TEST(connection_close_and_http_1_0_end_after_the_answer),
        RIG_TEST(requests_behind_connection_close_are_not_carried_out),
        RIG_TEST(a_refusal_without_a_head_says_nothing_of_earlier_requests),
        RIG_TEST(a_body_that_will_be_read_is_asked_for),
        RIG_TEST(a_body_that_will_not_be_read_is_refused_at_once),
        RIG_TEST(continue_waits_for_the_answers_before_it),
        RIG_TEST(http_1_0_gets_no_continue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
