/* Long bodies of unknown length: chunks, room, breaks and stops. The source is the test's own. */
#include "http_fixture.h"

#include "http/connection.h"
#include "http/reply.h"

struct tap {
    struct source source;
    struct buf pieces;     /* still to be sent, a line each */
    enum source_step next; /* what it says once they are */
    size_t asked_count;
    bool is_stopped, is_freed;
};

static struct tap tap;

static enum source_step tap_send(struct source *source, struct buf *out)
{
    (void)source;
    tap.asked_count++;
    if (tap.is_stopped) {
        buf_put_text(out, "stopped\n");
        return SOURCE_DONE;
    }
    if (tap.pieces.count == 0)
        return tap.next;
    const uint8_t *end = memchr(tap.pieces.data, '\n', tap.pieces.count);
    size_t count = (size_t)(end + 1 - tap.pieces.data);
    buf_put(out, bytes_of(tap.pieces.data, count));
    buf_consume(&tap.pieces, count);
    return tap.pieces.count == 0 && tap.next == SOURCE_DONE ? SOURCE_DONE : SOURCE_MORE;
}

static void tap_free(struct source *source)
{
    (void)source;
    tap.is_freed = true;
}

static void tap_stop(struct source *source)
{
    (void)source;
    tap.is_stopped = true;
}

/* The newest connection there is. */
static struct connection *connection_of(struct rig *rig)
{
    return CONTAINER_OF(rig->http->connections.prev, struct connection, link);
}

/* The oldest request of it waits at the node; the tap answers instead. */
static void tap_answer(struct rig *rig)
{
    static const struct source_ops ops = {.send = tap_send, .free = tap_free, .stop = tap_stop};
    struct connection *connection = connection_of(rig);
    struct exchange *exchange = CONTAINER_OF(connection->exchanges.next, struct exchange, link);
    node_cancel(rig->node, &exchange->submitted);
    tap.source.ops = &ops;
    exchange->source = &tap.source;
    (void)reply_begin(exchange, 200);
    reply_end_chunked(exchange, CONTENT_TEXT);
    connection_answer(connection);
    memory_run(rig->env);
}

/* A request whose reply is what the tap gives. */
static struct env_stream *open_tap(struct rig *rig, const char *request, const char *pieces,
                                   enum source_step next)
{
    struct env_stream *stream = memory_dial(rig->env);
    buf_release(&tap.pieces);
    tap = (struct tap){.next = next};
    buf_init(&tap.pieces, SIZE_MAX);
    buf_put_text(&tap.pieces, pieces);
    rig->node->holds = true;
    memory_feed(stream, bytes_of_text(request));
    tap_answer(rig);
    return stream;
}

#define GET     "GET /v1/kv/k HTTP/1.1\r\n" H "\r\n"
#define GET_1_0 "GET /v1/kv/k HTTP/1.0\r\n" H "Connection: keep-alive\r\n\r\n"
#define NEXT    "GET /livez HTTP/1.1\r\n" H "\r\n"

static const char *body_of(struct env_stream *stream)
{
    return strstr(received(stream), "\r\n\r\n") + 4;
}

static void each_piece_is_a_chunk_and_the_end_is_one_without_bytes(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = open_tap(rig, GET NEXT, "one\ntwelve bytes\n", SOURCE_DONE);
    assert_has(received(stream), "\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_lacks(received(stream), "Connection: close");
    const char *wanted = "00000004\r\none\n\r\n0000000d\r\ntwelve bytes\n\r\n0\r\n\r\n";
    assert_memory_equal(body_of(stream), wanted, strlen(wanted));
    assert_has(body_of(stream) + strlen(wanted),
               "HTTP/1.1 200 OK\r\n"); /* and the connection goes on */
    assert_true(tap.is_freed);
}

static void an_empty_body_is_the_last_chunk_alone(void **state)
{
    struct rig *rig = *state;
    assert_string_equal(body_of(open_tap(rig, GET, "", SOURCE_DONE)), "0\r\n\r\n");
}

static void a_source_that_waits_is_asked_again_when_it_says_so(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = open_tap(rig, GET, "one\n", SOURCE_LATER);
    assert_string_equal(body_of(stream), "00000004\r\none\n\r\n");
    size_t sends = stream->sends_count;
    memory_advance(rig->env, 200000000); /* neither idle nor stuck */
    assert_false(stream->is_closed || stream->is_finished);
    assert_int_equal(stream->sends_count, sends);

    buf_put_text(&tap.pieces, "two\n");
    connection_answer(connection_of(rig));
    memory_run(rig->env);
    assert_string_equal(body_of(stream), "00000004\r\none\n\r\n00000004\r\ntwo\n\r\n");
}

static void a_source_that_breaks_leaves_a_body_that_is_seen_to_be_cut(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = open_tap(rig, GET NEXT, "one\n", SOURCE_BROKEN);
    assert_string_equal(body_of(stream),
                        "00000004\r\none\n\r\n"); /* no last chunk, no next reply */
    assert_true(stream->is_finished);
    assert_true(tap.is_freed);
}

static void http_1_0_gets_it_without_chunks_and_the_connection_ends(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = open_tap(rig, GET_1_0 NEXT, "one\ntwo\n", SOURCE_DONE);
    assert_has(received(stream), "\r\nConnection: close\r\n");
    assert_lacks(received(stream), "Transfer-Encoding");
    assert_lacks(received(stream), "keep-alive");
    assert_string_equal(body_of(stream), "one\ntwo\n");
    assert_true(stream->is_finished);
}

static void only_so_much_is_queued_for_a_slow_reader(void **state)
{
    struct rig *rig = *state;
    char piece[4097];
    memset(piece, 'p', sizeof piece - 2);
    piece[sizeof piece - 2] = '\n';
    piece[sizeof piece - 1] = '\0';
    struct env_stream *stream = open_tap(rig, GET, "", SOURCE_LATER);
    stream->taken = stream->sent.count;
    for (int i = 0; i < 100; i++)
        buf_put_text(&tap.pieces, piece);
    connection_answer(connection_of(rig));
    memory_run(rig->env);
    size_t queued = stream->sent.count - stream->taken;
    assert_true(queued >= LIMIT_SOURCE_QUEUE_BYTES && queued < LIMIT_SOURCE_QUEUE_BYTES + 5000);
    for (int i = 0; i < 10; i++)
        memory_take(stream, SIZE_MAX / 2);
    assert_int_equal(tap.pieces.count, 0);
}

static void whoever_takes_nothing_of_what_is_queued_is_cut_off(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = open_tap(rig, GET, "", SOURCE_LATER);
    stream->taken = stream->sent.count;
    buf_put_text(&tap.pieces, "one\n");
    connection_answer(connection_of(rig));
    memory_advance(rig->env, 28000000);
    assert_false(stream->is_closed);
    memory_advance(rig->env, 4000000);
    assert_true(stream->is_closed);
    assert_true(tap.is_freed);
}

static void a_client_that_goes_frees_it(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = open_tap(rig, GET, "one\n", SOURCE_LATER);
    assert_false(tap.is_freed);
    memory_hang_up(stream, ENV_END_EOF);
    assert_true(tap.is_freed);
}

static void a_stop_lets_it_say_something_whether_there_is_room_or_not(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = open_tap(rig, GET, "", SOURCE_LATER);
    stream->taken = 0;
    char *much = malloc(2 * LIMIT_SOURCE_QUEUE_BYTES);
    memset(much, 'p', 2 * LIMIT_SOURCE_QUEUE_BYTES);
    buf_put(&tap.pieces, bytes_of(much, 2 * LIMIT_SOURCE_QUEUE_BYTES));
    buf_put_text(&tap.pieces, "\nmore\n");
    connection_answer(connection_of(rig));
    static const char wanted[] = "\r\n00000008\r\nstopped\n\r\n0\r\n\r\n";
    http_stop(rig->http, NULL, NULL);
    memory_run(rig->env);
    assert_true(tap.is_freed);
    assert_string_equal(received(stream) + stream->sent.count - strlen(wanted), wanted);
    free(much);
}

static int release(void **state)
{
    buf_release(&tap.pieces);
    return rig_teardown(state);
}

#define TAP_TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, release)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TAP_TEST(each_piece_is_a_chunk_and_the_end_is_one_without_bytes),
        TAP_TEST(an_empty_body_is_the_last_chunk_alone),
        TAP_TEST(a_source_that_waits_is_asked_again_when_it_says_so),
        TAP_TEST(a_source_that_breaks_leaves_a_body_that_is_seen_to_be_cut),
        TAP_TEST(http_1_0_gets_it_without_chunks_and_the_connection_ends),
        TAP_TEST(only_so_much_is_queued_for_a_slow_reader),
        TAP_TEST(whoever_takes_nothing_of_what_is_queued_is_cut_off),
        TAP_TEST(a_client_that_goes_frees_it),
        TAP_TEST(a_stop_lets_it_say_something_whether_there_is_room_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
