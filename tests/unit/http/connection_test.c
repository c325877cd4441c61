/* One connection over time: order, pipelining, back-pressure, timeouts, ends. */
#include "http_fixture.h"

#define H "Host: x\r\n"

static void send_put(struct env_stream *stream, const char *key)
{
    char text[256];
    (void)snprintf(text, sizeof text,
                   "PUT /v1/kv/%s HTTP/1.1\r\n" H "Content-Length: 13\r\n\r\n{\"value\":\"v\"}",
                   key);
    memory_give(stream, bytes_of_text(text));
}

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
    struct rig *rig = *state;
    struct env_stream *stream = memory_dial(rig->env);
    struct buf value;
    buf_init(&value, LIMIT_VALUE_BYTES);
    buf_put_zeros(&value, LIMIT_VALUE_BYTES);
    node_double_put(rig->node, BYTES_LITERAL("k"), buf_bytes(&value));
    buf_release(&value);
    stream->taken = 0;

    for (int i = 0; i < 100; i++)
        send_text(stream, "GET /v1/kv/k?raw HTTP/1.1\r\n" H "\r\n");

    assert_true(stream->is_paused);
    assert_true(stream->sent.count < LIMIT_REPLY_QUEUE_BYTES + 2 * LIMIT_VALUE_BYTES);
    for (int i = 0; i < 100; i++)
        memory_take(stream, 16 * LIMIT_VALUE_BYTES);
    size_t count = 0;
    for (const char *at = received(stream); count < 100; count++) {
        assert_int_equal(code_of(at), 200);
        at = strstr(at, "\r\n\r\n") + 4 + LIMIT_VALUE_BYTES;
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

/* ---- time ---- */

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

/* ---- many ---- */

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

/* ---- stopping ---- */

static void count_stop(void *ctx)
{
    ++*(int *)ctx;
}

static void stopping_finishes_what_is_in_flight_and_gives_idle_connections_a_moment(void **state)
{
    struct rig *rig = *state;
    struct env_stream *fresh = memory_dial(rig->env);
    struct env_stream *idle = memory_dial(rig->env);
    struct env_stream *busy = memory_dial(rig->env);
    struct env_stream *half = memory_dial(rig->env);
    struct env_stream *late = memory_dial(rig->env);
    int stops = 0;
    send_text(late, "GET /livez HTTP/1.1\r\n" H "\r\n");
    send_text(idle, "GET /livez HTTP/1.1\r\n" H "\r\n");
    rig->node->holds = true;
    send_put(busy, "a");
    send_text(half, "DELETE /v1/kv/b HTTP/1.1\r\n");

    http_stop(rig->http, count_stop, &stops);
    memory_run(rig->env);
    assert_false(idle->is_finished); /* its client may be about to send */
    assert_true(memory_dial(rig->env)->is_closed);
    send_text(late, "GET /livez HTTP/1.1\r\n" H "\r\n");
    assert_has(received(late), "Connection: close\r\n");
    assert_true(late->is_finished);
    memory_advance(rig->env, 200 * TIME_US_PER_MS);
    memory_run(rig->env);

    assert_true(fresh->is_finished);
    assert_true(idle->is_finished);
    assert_false(half->is_finished);
    assert_int_equal(stops, 0);
    send_text(half, H "\r\n");
    rig->node->holds = false;
    env_task_post(rig->env, &rig->node->answer_task);
    memory_run(rig->env);
    assert_int_equal(code_of(received(busy)), 204);
    assert_has(received(busy), "Connection: close\r\n");
    assert_int_equal(code_of(received(half)), 204);
    assert_has(received(half), "Connection: close\r\n");
    assert_true(half->is_finished);
    assert_true(busy->is_finished);
    assert_int_equal(stops, 1);
}

static void stopping_with_nothing_open_reports_from_the_loop(void **state)
{
    struct rig *rig = *state;
    int stops = 0;
    http_stop(rig->http, count_stop, &stops);
    assert_int_equal(stops, 0);
    memory_run(rig->env);
    assert_int_equal(stops, 1);
}

static void closing_sends_what_has_been_answered(void **state)
{
    struct rig rig;
    struct http_options options = {.listen = {"127.0.0.1", 8081}};
    rig_open_with(&rig, &options);
    struct env_stream *stream = memory_dial(rig.env);
    rig.node->holds = true;
    memory_give(stream, BYTES_LITERAL("DELETE /v1/kv/k HTTP/1.1\r\n" H "\r\n"));
    node_double_answer(rig.node, node_double_at(rig.node, 0));
    struct rig *pointer = &rig;
    struct buf sent;
    http_close(rig.http);
    sent = stream->sent;
    assert_int_equal(code_of(buf_text(&sent)), 204);
    stream->sent = sent;
    node_double_free(pointer->node);
    memory_env_free(pointer->env);
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
        RIG_TEST(half_a_request_times_out_with_408_and_silence_without_a_word),
        RIG_TEST(a_trickle_of_bytes_does_not_keep_a_request_alive),
        RIG_TEST(a_connection_waiting_for_its_answer_is_not_idle),
        RIG_TEST(a_timeout_behind_open_requests_waits_for_their_answers),
        RIG_TEST(the_deadline_at_the_node_can_be_lowered_and_not_raised),
        cmocka_unit_test(connections_beyond_the_limit_are_told_so_and_closed),
        RIG_TEST(bodies_beyond_the_limit_of_all_together_are_refused_and_thrown_away),
        RIG_TEST(a_chunked_body_is_refused_when_all_bodies_together_grow_too_large),
        RIG_TEST(half_a_head_is_refused_when_all_bodies_together_are_too_large),
        RIG_TEST(large_replies_are_not_made_while_others_are_not_taken),
        RIG_TEST(with_too_many_requests_open_each_connection_still_gets_one),
        RIG_TEST(memory_is_given_back_after_large_bodies),
        RIG_TEST(stopping_finishes_what_is_in_flight_and_gives_idle_connections_a_moment),
        RIG_TEST(stopping_with_nothing_open_reports_from_the_loop),
        cmocka_unit_test(closing_sends_what_has_been_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
