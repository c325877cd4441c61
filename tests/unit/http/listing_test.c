/* Listings as lines. */
#include "listing_fixture.h"

static void a_listing_comes_as_one_line_for_each_key_and_one_that_ends_it(void **state)
{
    struct rig *rig = *state;
    put(rig, "a", "x\n");
    put(rig, "b", "y");
    node_double_put(rig->node, BYTES_LITERAL("\xff"), BYTES_LITERAL("z"));
    struct buf body;

    assert_lines(lines_of(rig, "/v1/kv"), &body);
    assert_string_equal(
        buf_text(&body),
        "{\"key\":\"a\",\"value\":\"x\\n\",\"create_revision\":2,\"mod_revision\":2,\"version\":1,"
        "\"lease\":0}\n"
        "{\"key\":\"b\",\"value\":\"y\",\"create_revision\":3,\"mod_revision\":3,\"version\":1,"
        "\"lease\":0}\n"
        "{\"key_base64\":\"/w==\",\"value\":\"z\",\"create_revision\":4,\"mod_revision\":4,"
        "\"version\":1,\"lease\":0}\n"
        "{\"next\":null,\"revision\":4,\"count\":3}\n");
    buf_release(&body);

    assert_lines(lines_of(rig, "/v1/kv?order=desc&limit=1&keys_only&consistency=stale"), &body);
    assert_string_equal(buf_text(&body),
                        "{\"key_base64\":\"/w==\",\"create_revision\":4,\"mod_revision\":4,"
                        "\"version\":1,\"lease\":0}\n"
                        "{\"next_base64\":\"/w==\",\"revision\":4,\"count\":1}\n");
    buf_release(&body);

    assert_lines(lines_of(rig, "/v1/kv?prefix=none"), &body);
    assert_string_equal(buf_text(&body), "{\"next\":null,\"revision\":4,\"count\":0}\n");
    buf_release(&body);
    assert_lines(lines_of(rig, "/v1/kv?rev=2&limit=1"), &body);
    assert_string_equal(last_line(&body), "{\"next\":null,\"revision\":2,\"count\":1}\n");
    buf_release(&body);
    assert_int_equal(rig->http->walks.count, 0);
}

static void a_listing_is_as_long_as_its_range(void **state)
{
    struct rig *rig = *state;
    put_many(rig, "a", 2 * LIMIT_LINES);
    put_many(rig, "b", LIMIT_LINES + 7);
    struct buf body;

    assert_lines(lines_of(rig, "/v1/kv"), &body);
    assert_int_equal(lines_count(&body), 3 * LIMIT_LINES + 8);
    assert_string_equal(last_line(&body), "{\"next\":null,\"revision\":3008,\"count\":3007}\n");
    buf_release(&body);
    assert_lines(lines_of(rig, "/v1/kv?limit=2500"), &body);
    assert_string_equal(last_line(&body),
                        "{\"next\":\"b000499\",\"revision\":3008,\"count\":2500}\n");
    buf_release(&body);
    assert_lines(lines_of(rig, "/v1/kv?prefix=a&limit=2000"), &body); /* just all */
    assert_string_equal(last_line(&body), "{\"next\":null,\"revision\":3008,\"count\":2000}\n");
    buf_release(&body);
}

static void writes_meanwhile_are_not_in_a_listing(void **state)
{
    struct rig *rig = *state;
    put_many(rig, "k", 10 * LIMIT_LINES);
    struct env_stream *stream = memory_dial(rig->env);
    struct buf body;

    give(stream, "/v1/kv?keys_only", LINES);
    for (int i = 0; rig->http->walks.count != 0 || i == 0; i++) {
        char key[32];
        turn(rig->env);
        (void)snprintf(key, sizeof key, "k%06d+", 997 * i % 10000);
        put(rig, key, "new");
        (void)snprintf(key, sizeof key, "k%06d", 9999 - i);
        node_double_do(rig->node,
                       &(struct command){.op = COMMAND_DELETE, .key = bytes_of_text(key)});
    }
    turn(rig->env);

    assert_lines(stream, &body);
    assert_int_equal(lines_count(&body), 10 * LIMIT_LINES + 1);
    assert_string_equal(last_line(&body), "{\"next\":null,\"revision\":10001,\"count\":10000}\n");
    assert_null(strstr(buf_text(&body), "+\""));
    buf_release(&body);
}

static void a_revision_that_is_not_there_is_refused_before_any_line(void **state)
{
    struct rig *rig = *state;
    put_many(rig, "k", 3);
    assert_problem(received(lines_of(rig, "/v1/kv?rev=5")), 400, "revision-future");
    compact(rig);
    assert_problem(received(lines_of(rig, "/v1/kv?rev=3")), 410, "compacted");
    assert_has(received(lines_of(rig, "/v1/kv?rev=3")), "\r\nX-MiniKV-Compacted: 4\r\n");
    assert_int_equal(rig->http->walks.count, 0);
}

static void compaction_that_overtakes_a_listing_is_its_last_line(void **state)
{
    struct rig *rig = *state;
    put_many(rig, "k", 4 * LIMIT_LINES);
    struct env_stream *stream = memory_dial(rig->env);
    stream->taken = 0;
    give(stream, "/v1/kv", LINES);
    memory_run(rig->env);
    put(rig, "k000000", "changed"); /* revision 4002 */
    compact(rig);
    give(stream, "/livez", "");
    while (stream->taken != stream->sent.count)
        memory_take(stream, SIZE_MAX / 2);

    struct buf body;
    const char *rest = "";
    assert_true(body_of(received(stream), &body, &rest));
    assert_true(lines_count(&body) > 1 && lines_count(&body) < 4 * LIMIT_LINES);
    assert_string_equal(last_line(&body),
                        "{\"type\":\"urn:minikv:compacted\",\"title\":\"the revision has been "
                        "compacted\",\"status\":410,\"detail\":\"revision 4001 is not kept any "
                        "more; the oldest that can be read is 4002\",\"effect\":\"none\"}\n");
    assert_has(rest, "\r\n\r\nok\n"); /* the connection is still good */
    buf_release(&body);
}

static void a_slow_client_costs_what_is_queued_for_it(void **state)
{
    struct rig *rig = *state;
    put_many(rig, "k", 20 * LIMIT_LINES);
    struct env_stream *stream = memory_dial(rig->env);
    const size_t most = LIMIT_SOURCE_QUEUE_BYTES + LIMIT_LINES_BYTES + 1024;
    stream->taken = 0;
    give(stream, "/v1/kv", LINES);
    memory_run(rig->env);
    uint64_t slices = rig->http->walks.slices_count;

    for (int i = 0; i < 10; i++) {
        turn(rig->env);
        assert_true(env_stream_queued(stream) <= most && rig->http->replies_bytes <= most);
    }
    assert_int_equal(rig->http->walks.slices_count, slices);
    while (rig->http->walks.count != 0) {
        memory_take(stream, LIMIT_LINES_BYTES);
        assert_true(env_stream_queued(stream) <= most);
    }
    struct buf body;
    assert_lines(stream, &body);
    assert_int_equal(lines_count(&body), 20 * LIMIT_LINES + 1);
    buf_release(&body);
}

static void lines_of_large_values_come_one_by_one(void **state)
{
    struct rig *rig = *state;
    struct buf value;
    buf_init(&value, LIMIT_VALUE_BYTES);
    buf_put_zeros(&value, LIMIT_VALUE_BYTES); /* as JSON six times as long */
    for (uint8_t i = 0; i < 5; i++)
        node_double_put(rig->node, bytes_of(&i, 1), buf_bytes(&value));
    buf_release(&value);
    struct env_stream *stream = memory_dial(rig->env);
    stream->taken = 0;
    give(stream, "/v1/kv", LINES);
    memory_run(rig->env);

    assert_true(env_stream_queued(stream) < LIMIT_REPLY_BYTES);
    stream->taken = SIZE_MAX;
    stream->handler->on_drained(stream->ctx);
    memory_run(rig->env);
    struct buf body;
    assert_lines(stream, &body);
    assert_int_equal(lines_count(&body), 6);
    buf_release(&body);
}

static void a_client_that_leaves_ends_its_listing(void **state)
{
    struct rig *rig = *state;
    put_many(rig, "k", 20 * LIMIT_LINES);
    for (int is_count = 0; is_count < 2; is_count++)
        for (int turns = 0; turns < 4; turns++) {
            struct env_stream *stream = memory_dial(rig->env);
            give(stream, is_count ? "/v1/kv?count_only" : "/v1/kv", LINES);
            for (int i = 0; i < turns; i++)
                turn(rig->env);
            memory_hang_up(stream, ENV_END_RESET);
            assert_int_equal(rig->http->walks.count, 0);
            assert_true(list_is_empty(&rig->http->walks.asking));
        }
}

static void old_clients_and_head_are_served_too(void **state)
{
    struct rig *rig = *state;
    put(rig, "k", "v");
    const char *old = ask(rig, "GET /v1/kv?keys_only HTTP/1.0\r\n" H LINES "\r\n");
    assert_has(old, "\r\nConnection: close\r\n\r\n{\"key\":\"k\",\"create_revision\":2,");
    assert_has(old, "}\n{\"next\":null,\"revision\":2,\"count\":1}\n");
    assert_lacks(old, "chunked");
    const char *head = ask(rig, "HEAD /v1/kv HTTP/1.1\r\n" H LINES "\r\n");
    assert_has(head, "\r\nContent-Type: application/x-ndjson\r\n");
    assert_string_equal(strstr(head, "\r\n\r\n"), "\r\n\r\n");
    assert_int_equal(rig->http->walks.count, 0);
}

static void behind_lines_that_end_with_the_connection_nothing_is_carried_out(void **state)
{
    struct rig *rig = *state;
    put(rig, "k", "v");
    const char *old = ask(rig, "GET /v1/kv HTTP/1.0\r\n" H LINES "Connection: keep-alive\r\n\r\n"
                               "DELETE /v1/kv/k HTTP/1.0\r\n" H "\r\n");
    assert_has(old, "\r\nConnection: close\r\n");
    assert_has(old, "}\n{\"next\":null,\"revision\":2,\"count\":1}\n");
    struct kv_item item;
    assert_true(kv_get(node_kv(rig->node), BYTES_LITERAL("k"), &item));
}

static void a_server_that_stops_says_so_in_the_last_line(void **state)
{
    struct rig *rig = *state;
    put_many(rig, "k", 20 * LIMIT_LINES);
    struct env_stream *stream = memory_dial(rig->env);
    stream->taken = 0;
    give(stream, "/v1/kv", LINES);
    memory_run(rig->env);

    http_stop(rig->http, NULL, NULL);
    stream->taken = SIZE_MAX;
    stream->handler->on_drained(stream->ctx);
    memory_advance(rig->env, 1000000);

    struct buf body;
    assert_lines(stream, &body);
    assert_has(last_line(&body), "{\"type\":\"urn:minikv:shutting-down\",");
    assert_true(stream->is_finished);
    buf_release(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(a_listing_comes_as_one_line_for_each_key_and_one_that_ends_it),
        RIG_TEST(a_listing_is_as_long_as_its_range),
        RIG_TEST(writes_meanwhile_are_not_in_a_listing),
        RIG_TEST(a_revision_that_is_not_there_is_refused_before_any_line),
        RIG_TEST(compaction_that_overtakes_a_listing_is_its_last_line),
        RIG_TEST(a_slow_client_costs_what_is_queued_for_it),
        RIG_TEST(lines_of_large_values_come_one_by_one),
        RIG_TEST(a_client_that_leaves_ends_its_listing),
        RIG_TEST(old_clients_and_head_are_served_too),
        RIG_TEST(behind_lines_that_end_with_the_connection_nothing_is_carried_out),
        RIG_TEST(a_server_that_stops_says_so_in_the_last_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
