/* Long polls: one reply, at once or when there is something to say. */
#include "watch_fixture.h"

static const char *json_of(struct env_stream *stream)
{
    const char *end = strstr(received(stream), "\r\n\r\n");
    assert_non_null(end);
    return end + 4;
}

static void a_poll_is_answered_at_once_with_what_is_there(void **state)
{
    struct rig *rig = *state;
    put(rig, "k", "1");
    put(rig, "other", "1");
    drop(rig, "k");
    struct env_stream *stream = watch(rig, "/v1/watch?key=k&from=1&poll_ms=1000", "");
    assert_int_equal(code_of(received(stream)), 200);
    assert_has(received(stream), "\r\nContent-Type: application/json\r\n");
    assert_string_equal(json_of(stream),
                        "{\"events\":[{\"id\":\"2\",\"event\":\"put\",\"data\":{\"key\":\"k\","
                        "\"value\":\"1\",\"create_revision\":2,\"mod_revision\":2,\"version\":1,"
                        "\"lease\":0}},{\"id\":\"4\",\"event\":\"delete\",\"data\":{\"key\":\"k\","
                        "\"mod_revision\":4}}],\"next\":\"4\",\"revision\":4}\n");
    assert_int_equal(watch_stats_of(rig).watchers_count, 0);
}

static void a_poll_waits_for_the_first_event(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = watch(rig, "/v1/watch?key=k&poll_ms=30000", "");
    put(rig, "other", "1");
    show(rig);
    memory_advance(rig->env, 20000000);
    assert_int_equal(stream->sent.count, 0);
    put_together(rig, "k", 1, "not this key");
    put(rig, "k", "1");
    put(rig, "k", "2");
    show(rig);
    assert_has(json_of(stream), "{\"events\":[{\"id\":\"4\",");
    assert_has(json_of(stream), "\"version\":2,\"lease\":0}}],\"next\":\"5\",\"revision\":5}\n");
}

static void a_poll_in_vain_says_where_to_go_on(void **state)
{
    struct rig *rig = *state;
    put(rig, "k", "before");
    struct env_stream *stream = watch(rig, "/v1/watch?key=k&poll_ms=3000", "");
    put(rig, "other", "1");
    show(rig);
    memory_advance(rig->env, 2900000);
    assert_int_equal(stream->sent.count, 0);
    memory_advance(rig->env, 200000);
    assert_string_equal(json_of(stream), "{\"events\":[],\"next\":\"3\",\"revision\":3}\n");
    put(rig, "k", "after");
    struct env_stream *next = watch(rig, "/v1/watch?key=k&poll_ms=3000&from_id=3", "");
    assert_has(json_of(next), "{\"events\":[{\"id\":\"4\",");
}

static void what_others_were_sent_before_it_began_is_not_for_a_poll(void **state)
{
    struct rig *rig = *state;
    (void)watch(rig, "/v1/watch?key=k", "");
    put(rig, "k", "before");
    show(rig);
    struct env_stream *stream = watch(rig, "/v1/watch?key=k&poll_ms=3000", "");
    memory_advance(rig->env, 3100000);
    assert_string_equal(json_of(stream), "{\"events\":[],\"next\":\"2\",\"revision\":2}\n");
}

static void a_poll_has_as_many_events_as_asked_for(void **state)
{
    struct rig *rig = *state;
    put_together(rig, "k", 110, "v");
    struct env_stream *stream = watch(rig, "/v1/watch?prefix=k&from=1&poll_ms=1", "");
    assert_int_equal(count_of(json_of(stream), "\"id\""), 100);
    assert_has(json_of(stream), "],\"next\":\"2.100\",");
    stream = watch(rig, "/v1/watch?prefix=k&from=1&poll_ms=1&limit=2", "");
    assert_int_equal(count_of(json_of(stream), "\"id\""), 2);
    assert_has(json_of(stream), "],\"next\":\"2.2\",");
    stream = watch(rig, "/v1/watch?prefix=k&poll_ms=1&limit=1000", "Last-Event-ID: 2.2\r\n");
    assert_int_equal(count_of(json_of(stream), "\"id\""), 108);
    assert_has(json_of(stream), "],\"next\":\"2\",");
}

static void polls_behind_each_other_miss_nothing(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = memory_dial(rig->env);
    send_text(stream, "GET /v1/watch?key=k&poll_ms=9000 HTTP/1.1\r\n" H "\r\n"
                      "GET /v1/watch?key=k&poll_ms=9000 HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(watch_stats_of(rig).watchers_count, 2);
    put(rig, "k", "1");
    show(rig);
    assert_int_equal(replies_count(received(stream)), 2);
    assert_int_equal(count_of(received(stream), "\"id\":\"2\""), 2);
}

static void the_largest_events_fit_a_reply_one_at_a_time(void **state)
{
    struct rig *rig = *state;
    uint8_t *value = calloc(1, LIMIT_VALUE_BYTES); /* each byte is six in JSON */
    for (int i = 0; i < 4; i++)
        node_double_put(rig->node, BYTES_LITERAL("k"), bytes_of(value, LIMIT_VALUE_BYTES));
    struct env_stream *stream = watch(rig, "/v1/watch?key=k&prev&from=3&poll_ms=1", "");
    assert_int_equal(code_of(received(stream)), 200);
    assert_true(stream->sent.count > 12 * (size_t)LIMIT_VALUE_BYTES);
    assert_has(received(stream) + stream->sent.count - 64, "],\"next\":\"3\",\"revision\":5}\n");

    struct env_stream *events = watch(rig, "/v1/watch?key=k&prev&from=2", "");
    assert_true(events->sent.count > 42 * (size_t)LIMIT_VALUE_BYTES);
    assert_int_equal(watch_stats_of(rig).behind_count, 0);
    free(value);
}

static void head_of_a_poll_waits_as_get_does(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = memory_dial(rig->env);
    send_text(stream, "HEAD /v1/watch?key=k&poll_ms=1000 HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(stream->sent.count, 0);
    put(rig, "k", "1");
    show(rig);
    assert_int_equal(code_of(received(stream)), 200);
    assert_string_equal(strstr(received(stream), "\r\n\r\n"), "\r\n\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(a_poll_is_answered_at_once_with_what_is_there),
        RIG_TEST(a_poll_waits_for_the_first_event),
        RIG_TEST(a_poll_in_vain_says_where_to_go_on),
        RIG_TEST(what_others_were_sent_before_it_began_is_not_for_a_poll),
        RIG_TEST(a_poll_has_as_many_events_as_asked_for),
        RIG_TEST(polls_behind_each_other_miss_nothing),
        RIG_TEST(the_largest_events_fit_a_reply_one_at_a_time),
        RIG_TEST(head_of_a_poll_waits_as_get_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
