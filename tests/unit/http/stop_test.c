/* The end of the server: what is in flight is finished, and what is answered is sent. */
#include "http_fixture.h"

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

/* Fills the pipeline of one connection, and what is put aside behind it. */
static struct env_stream *send_many(struct rig *rig, int count, const char *behind)
{
    struct env_stream *stream = memory_dial(rig->env);
    struct buf bytes;
    buf_init(&bytes, LIMIT_READ_BYTES);
    for (int i = 0; i < count; i++)
        buf_put_text(&bytes, "DELETE /v1/kv/k HTTP/1.1\r\n" H "\r\n");
    buf_put_text(&bytes, behind);
    rig->node->holds = true;
    memory_feed(stream, buf_bytes(&bytes));
    buf_release(&bytes);
    return stream;
}

static void answer_all(struct rig *rig)
{
    rig->node->holds = false;
    env_task_post(rig->env, &rig->node->answer_task);
    memory_run(rig->env);
}

/* How many replies there are; only the last of them says that it is. */
static size_t replies_up_to_the_last(const char *replies)
{
    size_t count = 0;
    while (*replies != '\0') {
        const char *next = next_reply(replies);
        const char *close = strstr(replies, "Connection: close\r\n");
        bool is_last = close != NULL && close < next;
        assert_int_equal(code_of(replies), 204);
        assert_int_equal(is_last, *next == '\0');
        replies = next;
        count++;
    }
    return count;
}

static void what_has_been_read_is_answered_also_behind_a_full_pipeline(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = send_many(rig, 3 * LIMIT_PIPELINE, "");
    assert_true(stream->is_paused);

    http_stop(rig->http, NULL, NULL);
    memory_advance(rig->env, 200 * TIME_US_PER_MS); /* beyond the moment's grace */
    answer_all(rig);

    assert_int_equal(replies_up_to_the_last(received(stream)), 3 * LIMIT_PIPELINE);
    assert_true(stream->is_finished);
}

static void a_request_that_has_come_in_part_is_the_last(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = send_many(rig, 2 * LIMIT_PIPELINE, "DELETE /v1/kv/k HTTP/1.1\r\n");

    http_stop(rig->http, NULL, NULL);
    answer_all(rig);
    assert_int_equal(replies_count(received(stream)), 2 * LIMIT_PIPELINE);
    assert_false(stream->is_finished);
    send_text(stream, H "\r\n");

    assert_int_equal(replies_up_to_the_last(received(stream)), 2 * LIMIT_PIPELINE + 1);
    assert_true(stream->is_finished);
}

static void whoever_goes_on_sending_is_not_waited_for_beyond_a_moment(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = memory_dial(rig->env);
    send_text(stream, "DELETE /v1/kv/k HTTP/1.1\r\n");

    http_stop(rig->http, NULL, NULL);
    for (int i = 0; i < 3; i++)
        send_text(stream, H "\r\nDELETE /v1/kv/k HTTP/1.1\r\n");
    assert_false(stream->is_finished);
    memory_advance(rig->env, 200 * TIME_US_PER_MS);
    send_text(stream, H "\r\nDELETE /v1/kv/k HTTP/1.1\r\n");

    assert_int_equal(replies_up_to_the_last(received(stream)), 4);
    assert_true(stream->is_finished);
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
        RIG_TEST(stopping_finishes_what_is_in_flight_and_gives_idle_connections_a_moment),
        RIG_TEST(what_has_been_read_is_answered_also_behind_a_full_pipeline),
        RIG_TEST(a_request_that_has_come_in_part_is_the_last),
        RIG_TEST(whoever_goes_on_sending_is_not_waited_for_beyond_a_moment),
        RIG_TEST(stopping_with_nothing_open_reports_from_the_loop),
        cmocka_unit_test(closing_sends_what_has_been_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
