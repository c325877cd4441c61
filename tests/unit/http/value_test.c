/* Values that are too long for one go: sent as their readers take them, whole, and of one version.
 */
#include "http_fixture.h"

#include "base/base64.h"
#include "http/json.h"

enum { PIECE = LIMIT_VALUE_PIECE_BYTES, LONG_BYTES = 5 * PIECE + 1, HEAD_BYTES = 512 };

/* `count` bytes that tell their place, each of them `low` or more. */
static void put_long(struct rig *rig, size_t count, uint8_t low, uint8_t high)
{
    struct buf value;
    buf_init(&value, LIMIT_VALUE_BYTES);
    for (size_t i = 0; i < count; i++)
        buf_put_u8(&value, (uint8_t)(low + i * 31 % (size_t)(high - low + 1)));
    node_double_put(rig->node, BYTES_LITERAL("long"), buf_bytes(&value));
    buf_release(&value);
}

static struct bytes value_of(const struct rig *rig)
{
    struct kv_item item;
    assert_true(kv_get(node_kv(rig->node), BYTES_LITERAL("long"), &item));
    return item.value;
}

/* The body of the reply at `at`, of the length that it says. */
static struct bytes body_at(const struct env_stream *stream, const char *at)
{
    const char *end = strstr(at, "\r\n\r\n"), *length = strstr(at, "Content-Length: ");
    assert_non_null(end);
    assert_true(length != NULL && length < end);
    size_t count = (size_t)atol(length + 16);
    assert_true((const char *)stream->sent.data + stream->sent.count >= end + 4 + count);
    return bytes_of(end + 4, count);
}

static struct env_stream *get(struct rig *rig, const char *target, size_t taken)
{
    char text[256];
    struct env_stream *stream = memory_dial(rig->env);
    stream->taken = taken;
    (void)snprintf(text, sizeof text, "GET %s HTTP/1.1\r\n" H "\r\n", target);
    send_text(stream, text);
    return stream;
}

static void take_all(struct env_stream *stream)
{
    for (size_t before = SIZE_MAX; stream->sent.count != before;) {
        before = stream->sent.count;
        memory_take(stream, SIZE_MAX / 2);
    }
}

/* ---- what is sent ---- */

static void assert_is_item(struct rig *rig, struct bytes body)
{
    struct buf wanted;
    buf_init(&wanted, LIMIT_REPLY_BYTES);
    buf_put_text(&wanted, "{\"key\":\"long\",");
    json_put_bytes(&wanted, "value", value_of(rig));
    buf_put_text(&wanted, ",\"create_revision\":2,\"mod_revision\":2,\"version\":1,\"lease\":0}\n");
    assert_true(bytes_equal(body, buf_bytes(&wanted)));
    buf_release(&wanted);
}

static void a_long_value_is_the_same_in_pieces(void **state)
{
    /* Text, text that is nearly all escapes, and bytes; lengths around whole pieces. */
    static const uint8_t lows[] = {'0', 1, 0}, highs[] = {'z', 34, 255};
    static const size_t counts[] = {PIECE + 1, 2 * PIECE - 1, 2 * PIECE, 3 * PIECE + 2,
                                    LIMIT_VALUE_BYTES};
    for (size_t i = 0; i < ARRAY_COUNT(lows) * ARRAY_COUNT(counts); i++) {
        rig_teardown(state);
        rig_setup(state);
        struct rig *rig = *state;
        put_long(rig, counts[i / ARRAY_COUNT(lows)], lows[i % ARRAY_COUNT(lows)],
                 highs[i % ARRAY_COUNT(lows)]);
        for (size_t taken = 0; taken <= 1; taken++) {
            struct env_stream *raw = get(rig, "/v1/kv/long?raw", taken ? SIZE_MAX : 0);
            struct env_stream *item = get(rig, "/v1/kv/long", taken ? SIZE_MAX : 0);
            if (taken == 0) {
                take_all(raw);
                take_all(item);
            }
            assert_has(received(raw), "\r\nETag: \"2\"\r\n");
            assert_has(received(item), "\r\nContent-Type: application/json\r\n");
            assert_true(bytes_equal(body_at(raw, received(raw)), value_of(rig)));
            assert_is_item(rig, body_at(item, received(item)));
        }
    }
}

static void its_length_is_told_without_it_too(void **state)
{
    struct rig *rig = *state;
    char length[64];
    put_long(rig, LONG_BYTES, 0, 255);
    const char *reply = ask(rig, "HEAD /v1/kv/long?raw HTTP/1.1\r\n" H "\r\n");
    (void)snprintf(length, sizeof length, "\r\nContent-Length: %d\r\n", LONG_BYTES);
    assert_int_equal(code_of(reply), 200);
    assert_has(reply, length);
    assert_true(strlen(reply) < HEAD_BYTES);
}

static void what_was_asked_for_behind_it_comes_behind_it(void **state)
{
    struct rig *rig = *state;
    put_long(rig, LONG_BYTES, 'a', 'z');
    struct env_stream *stream = memory_dial(rig->env);
    send_text(stream, "GET /v1/kv/long HTTP/1.1\r\n" H "\r\nDELETE /v1/kv/k HTTP/1.1\r\n" H "\r\n"
                      "GET /v1/kv/long?raw HTTP/1.1\r\n" H "\r\n");
    memory_advance(rig->env, 1000);
    const char *replies = received(stream);
    assert_int_equal(replies_count(replies), 3);
    assert_int_equal(code_of(replies), 200);
    assert_int_equal(code_of(next_reply(replies)), 204);
    assert_int_equal(code_of(next_reply(next_reply(replies))), 200);
}

/* ---- as it is taken ---- */

static void of_a_value_that_nobody_takes_only_a_piece_is_made(void **state)
{
    struct rig *rig = *state;
    put_long(rig, LONG_BYTES, 'a', 'z');
    struct env_stream *stream = get(rig, "/v1/kv/long?raw", 0);
    for (size_t made; (made = stream->sent.count - stream->taken) != 0;) {
        assert_true(made <= PIECE + HEAD_BYTES);
        assert_int_equal(rig->http->replies_bytes, made);
        memory_take(stream, made - 1); /* not all of it */
        memory_advance(rig->env, 1000);
        assert_int_equal(stream->sent.count - stream->taken, 1);
        memory_take(stream, 1);
    }
    assert_true(bytes_equal(body_at(stream, received(stream)), value_of(rig)));
    assert_int_equal(rig->http->replies_bytes, 0);
}

enum { READERS_MAX = 60, TURNS_MAX = 1000 };

static void read_in_turns(struct rig *rig, size_t readers_count)
{
    struct env_stream *streams[READERS_MAX], *other = memory_dial(rig->env);
    rig->node->holds = true;
    for (size_t i = 0; i < readers_count; i++)
        streams[i] = get(rig, "/v1/kv/long?raw", SIZE_MAX);
    rig->node->holds = false;
    env_task_post(rig->env, &rig->node->answer_task);
    size_t before = 0, turns_count = 0;
    while (before < readers_count * LIMIT_VALUE_BYTES && turns_count++ < TURNS_MAX) {
        memory_give(other, BYTES_LITERAL("GET /v1/kv/none HTTP/1.1\r\n" H "\r\n"));
        size_t after = 0, answers = replies_count(received(other));
        for (int i = 0; i < 3; i++)
            turn(rig->env);
        assert_true(replies_count(received(other)) > answers);
        for (size_t i = 0; i < readers_count; i++)
            after += streams[i]->sent.count;
        /* In each: what goes on, and what waited; and the last piece is not cut. */
        assert_true(after - before <= 3 * 2 * (LIMIT_TURN_BYTES + PIECE + HEAD_BYTES));
        before = after;
    }
    for (size_t i = 0; i < readers_count; i++)
        assert_true(bytes_equal(body_at(streams[i], received(streams[i])), value_of(rig)));
}

static void long_values_are_sent_in_turns_and_nobody_else_waits_long(void **state)
{
    struct rig *rig = *state;
    put_long(rig, LIMIT_VALUE_BYTES, 'a', 'z');
    read_in_turns(rig, READERS_MAX);
    read_in_turns(rig, 15); /* a piece of each fits a turn, all that they take does not */
}

static void a_client_that_leaves_in_the_middle_is_forgotten(void **state)
{
    struct rig *rig = *state;
    put_long(rig, LONG_BYTES, 'a', 'z');
    struct env_stream *stream = get(rig, "/v1/kv/long?raw", 0);
    put_long(rig, LONG_BYTES, 'A', 'Z');
    take_all(stream); /* the rest is kept by now */
    stream = get(rig, "/v1/kv/long?raw", 0);
    put_long(rig, LONG_BYTES, 'a', 'z');
    memory_take(stream, stream->sent.count);
    assert_true(rig->http->replies_bytes > LONG_BYTES - 3 * PIECE);
    memory_hang_up(stream, ENV_END_RESET);
    assert_int_equal(rig->http->replies_bytes, 0);
}

/* ---- of one version ---- */

struct copy {
    struct buf bytes;
};

static struct copy copy_of(struct bytes bytes)
{
    struct copy copy;
    buf_init(&copy.bytes, SIZE_MAX);
    buf_put(&copy.bytes, bytes);
    return copy;
}

/* A reader in the middle of the value, whose bytes are then others. */
static struct env_stream *overtake(struct rig *rig, struct copy *out_copy)
{
    put_long(rig, LONG_BYTES, 'a', 'z');
    *out_copy = copy_of(value_of(rig));
    struct env_stream *stream = get(rig, "/v1/kv/long?raw", 0);
    put_long(rig, LONG_BYTES, 'A', 'Z'); /* as long */
    return stream;
}

static void a_version_that_is_replaced_is_sent_to_its_end(void **state)
{
    struct rig *rig = *state;
    struct copy copy;
    struct env_stream *stream = overtake(rig, &copy);
    memory_take(stream, stream->sent.count); /* the next piece: from now on the rest is kept */
    assert_true(rig->http->replies_bytes > LONG_BYTES - 3 * PIECE);
    node_double_compact(rig->node, 3);
    take_all(stream);
    assert_true(bytes_equal(body_at(stream, received(stream)), buf_bytes(&copy.bytes)));
    assert_int_equal(rig->http->replies_bytes, 0);
    assert_false(stream->is_closed);
    buf_release(&copy.bytes);
}

static void a_version_that_is_the_newest_outlives_a_compaction(void **state)
{
    struct rig *rig = *state;
    put_long(rig, LONG_BYTES, 'a', 'z');
    struct env_stream *stream = get(rig, "/v1/kv/long?raw", 0);
    node_double_put(rig->node, BYTES_LITERAL("other"), BYTES_LITERAL("v"));
    node_double_compact(rig->node, 3);
    take_all(stream);
    assert_true(bytes_equal(body_at(stream, received(stream)), value_of(rig)));
}

/* At the revision it was read it cannot be read any more, at the next one it can. */
static void a_version_that_is_replaced_after_a_compaction_is_sent_to_its_end(void **state)
{
    struct rig *rig = *state;
    put_long(rig, LONG_BYTES, 'a', 'z');
    struct copy copy = copy_of(value_of(rig));
    struct env_stream *stream = get(rig, "/v1/kv/long?raw", 0);
    node_double_put(rig->node, BYTES_LITERAL("other"), BYTES_LITERAL("v"));
    node_double_compact(rig->node, 3);
    put_long(rig, LONG_BYTES, 'A', 'Z');
    take_all(stream);
    assert_true(bytes_equal(body_at(stream, received(stream)), buf_bytes(&copy.bytes)));
    assert_false(stream->is_closed);
    buf_release(&copy.bytes);
}

static void a_version_that_nobody_knows_any_more_ends_the_connection_early(void **state)
{
    struct rig *rig = *state;
    struct copy copy;
    struct env_stream *stream = overtake(rig, &copy);
    size_t made = stream->sent.count;
    node_double_compact(rig->node, 3);
    take_all(stream);
    assert_int_equal(stream->sent.count, made); /* nothing of another one */
    assert_true(stream->is_finished);
    buf_release(&copy.bytes);
}

static void without_room_for_the_rest_it_is_read_where_it_is(void **state)
{
    struct rig *rig = *state;
    struct copy copy;
    struct env_stream *stream = overtake(rig, &copy);
    size_t others = LIMIT_SOURCES_BYTES / 2 - 2 * PIECE;
    rig->http->replies_bytes += others;
    memory_take(stream, stream->sent.count);
    assert_true(rig->http->replies_bytes < others + 2 * PIECE); /* watches have room yet */
    take_all(stream);
    assert_true(bytes_equal(body_at(stream, received(stream)), buf_bytes(&copy.bytes)));
    rig->http->replies_bytes -= others;
    assert_int_equal(rig->http->replies_bytes, 0);
    buf_release(&copy.bytes);
}

static void while_others_fill_the_memory_it_waits(void **state)
{
    struct rig *rig = *state;
    put_long(rig, LONG_BYTES, 'a', 'z');
    struct env_stream *stream = get(rig, "/v1/kv/long?raw", 0);
    size_t made = stream->sent.count;
    rig->http->replies_bytes += LIMIT_REPLIES_BYTES + 1;
    memory_take(stream, made);
    assert_int_equal(stream->sent.count, made);
    rig->http->replies_bytes -= LIMIT_REPLIES_BYTES + 1;
    memory_advance(rig->env, 2000000); /* the sweep */
    assert_true(stream->sent.count > made);
    take_all(stream);
    assert_true(bytes_equal(body_at(stream, received(stream)), value_of(rig)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(a_long_value_is_the_same_in_pieces),
        RIG_TEST(its_length_is_told_without_it_too),
        RIG_TEST(what_was_asked_for_behind_it_comes_behind_it),
        RIG_TEST(of_a_value_that_nobody_takes_only_a_piece_is_made),
        RIG_TEST(long_values_are_sent_in_turns_and_nobody_else_waits_long),
        RIG_TEST(a_client_that_leaves_in_the_middle_is_forgotten),
        RIG_TEST(a_version_that_is_replaced_is_sent_to_its_end),
        RIG_TEST(a_version_that_is_the_newest_outlives_a_compaction),
        RIG_TEST(a_version_that_is_replaced_after_a_compaction_is_sent_to_its_end),
        RIG_TEST(a_version_that_nobody_knows_any_more_ends_the_connection_early),
        RIG_TEST(without_room_for_the_rest_it_is_read_where_it_is),
        RIG_TEST(while_others_fill_the_memory_it_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
