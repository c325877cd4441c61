/* The outbox: what shares a frame, what keeps its order, and what does not fit. */
#include "peer_fixture.h"

#include "peer/outbox.h"

static void put_item(struct outbox *outbox, enum frame_type type, const char *text)
{
    buf_put_text(outbox_begin_item(outbox, type, NULL), text);
    assert_true(outbox_end_item(outbox));
}

static void put_whole(struct outbox *outbox, enum frame_type type, const char *text)
{
    buf_put_text(outbox_begin(outbox, type, NULL), text);
    assert_true(outbox_end(outbox));
}

/* "5:ab 4:c …", type and body of each frame; the last one may still be open. */
static const char *frames_of(struct outbox *outbox, struct buf *text)
{
    if (outbox->batch != OUTBOX_NO_BATCH) { /* as a flush would */
        frame_end(&outbox->frames, outbox->batch);
        outbox->batch = OUTBOX_NO_BATCH;
    }
    struct bytes rest = buf_bytes(&outbox->frames), body;
    enum frame_type type;
    size_t count;
    buf_reset(text);
    while (frame_next(rest, LIMIT_FRAME_BYTES, &type, &body, &count) == ST_OK) {
        buf_printf(text, "%u:%.*s ", type, (int)body.count, (const char *)body.data);
        rest = bytes_of(rest.data + count, rest.count - count);
    }
    assert_int_equal(rest.count, 0);
    return buf_text(text);
}

static void items_of_one_kind_share_a_frame(void **state)
{
    struct outbox outbox;
    struct buf text;
    outbox_init(&outbox, MIB);
    buf_init(&text, MIB);

    put_item(&outbox, FRAME_FORWARD, "a");
    put_item(&outbox, FRAME_FORWARD, "b");
    put_item(&outbox, FRAME_FORWARD, "c");

    assert_string_equal(frames_of(&outbox, &text), "5:abc ");
    outbox_release(&outbox);
    buf_release(&text);
}

static void another_frame_in_between_keeps_the_order(void **state)
{
    struct outbox outbox;
    struct buf text;
    outbox_init(&outbox, MIB);
    buf_init(&text, MIB);

    put_item(&outbox, FRAME_FORWARD, "a");
    put_whole(&outbox, FRAME_MESSAGE, "m");
    put_item(&outbox, FRAME_FORWARD, "b");
    put_item(&outbox, FRAME_REFUSED, "r");
    put_item(&outbox, FRAME_FORWARD, "c");
    put_whole(&outbox, FRAME_PING, "p");

    assert_string_equal(frames_of(&outbox, &text), "5:a 4:m 5:b 6:r 5:c 7:p ");
    outbox_release(&outbox);
    buf_release(&text);
}

static void a_batch_that_has_grown_enough_is_ended(void **state)
{
    struct outbox outbox;
    uint8_t *item = mem_alloc(100 * KIB);
    outbox_init(&outbox, 8 * MIB);

    for (int i = 0; i < 10; i++) {
        buf_put(outbox_begin_item(&outbox, FRAME_FORWARD, NULL), bytes_of(item, 100 * KIB));
        assert_true(outbox_end_item(&outbox));
    }

    assert_int_equal(outbox.frames.count, 10 * 100 * KIB + 4 * FRAME_HEADER_BYTES); /* 3 3 3 1 */
    mem_free(item);
    outbox_release(&outbox);
}

static void what_does_not_fit_is_taken_out_whole(void **state)
{
    struct outbox outbox;
    struct buf text;
    outbox_init(&outbox, 64);
    buf_init(&text, MIB);
    put_whole(&outbox, FRAME_MESSAGE, "m");
    put_item(&outbox, FRAME_FORWARD, "a");

    buf_put_zeros(outbox_begin_item(&outbox, FRAME_FORWARD, NULL), 64);
    assert_false(outbox_end_item(&outbox));
    put_item(&outbox, FRAME_FORWARD, "b");
    buf_put_zeros(outbox_begin_item(&outbox, FRAME_REFUSED, NULL), 64);
    assert_false(outbox_end_item(&outbox));
    buf_put_zeros(outbox_begin(&outbox, FRAME_MESSAGE, NULL), 64);
    assert_false(outbox_end(&outbox));
    put_item(&outbox, FRAME_FORWARD, "c");

    assert_string_equal(frames_of(&outbox, &text), "4:m 5:ab 5:c ");
    outbox_release(&outbox);
    buf_release(&text);
}

static void a_header_that_does_not_fit_leaves_nothing_behind(void **state)
{
    struct outbox outbox;
    outbox_init(&outbox, FRAME_HEADER_BYTES - 1);

    buf_put_text(outbox_begin_item(&outbox, FRAME_FORWARD, NULL), "a");
    assert_false(outbox_end_item(&outbox));
    buf_put_text(outbox_begin(&outbox, FRAME_MESSAGE, NULL), "m");
    assert_false(outbox_end(&outbox));

    assert_true(outbox_is_empty(&outbox));
    assert_true(outbox.batch == OUTBOX_NO_BATCH);
    outbox_release(&outbox);
}

/* One link, one write: counted at the other end as frames. */
static void envelopes_of_one_turn_leave_in_one_frame(void **state)
{
    struct fixture fixture;
    fixture_plan(&fixture, 2);
    int listener = raw_listen(fixture.ports[2]), fd = -1;
    struct test_node *node = fixture_start(&fixture, 1);
    struct buf in, text;
    struct bytes body;
    buf_init(&in, MIB);
    buf_init(&text, MIB);
    node->options.ping = node->options.dead_after = MILLISECONDS(60000);
    peers_close(node->peers);
    node_start(node);
    peers_set(node->peers, &fixture.config);
    UNTIL(&fixture, raw_accepted(listener, &fd));
    UNTIL(&fixture, raw_received(fd, &in, FRAME_HELLO, &body));
    size_t begin = frame_begin(&text, FRAME_WELCOME);
    welcome_encode(&(struct welcome){.incarnation = 1}, &text);
    frame_end(&text, begin);
    raw_send(fd, buf_bytes(&text));
    UNTIL(&fixture, node_saw(node, "up 2;"));
    run_for(&fixture, MILLISECONDS(2));
    (void)raw_ended(fd, &in);
    buf_reset(&in);

    for (uint64_t number = 1; number <= 5; number++) {
        struct envelope envelope = envelope_to(2, number, BYTES_LITERAL("x"));
        struct message message = heartbeat(1, 2, number);
        assert_int_equal(peers_forward(node->peers, &envelope), ST_OK);
        if (number == 3)
            peers_send(node->peers, &message, NULL);
    }
    size_t wanted = 2 * FRAME_HEADER_BYTES + 5 * (ENVELOPE_HEADER_BYTES + 1) + FRAME_HEADER_BYTES;
    UNTIL(&fixture, ((void)raw_ended(fd, &in), in.count > wanted));

    enum frame_type type;
    struct bytes rest = buf_bytes(&in);
    size_t count;
    buf_reset(&text);
    while (frame_next(rest, LIMIT_FRAME_BYTES, &type, &body, &count) == ST_OK) {
        buf_printf(&text, "%u ", type);
        rest = bytes_of(rest.data + count, rest.count - count);
    }
    assert_string_equal(buf_text(&text), "5 4 5 ");
    buf_release(&in);
    buf_release(&text);
    close(fd);
    close(listener);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_of_one_kind_share_a_frame),
        cmocka_unit_test(another_frame_in_between_keeps_the_order),
        cmocka_unit_test(a_batch_that_has_grown_enough_is_ended),
        cmocka_unit_test(what_does_not_fit_is_taken_out_whole),
        cmocka_unit_test(a_header_that_does_not_fit_leaves_nothing_behind),
        cmocka_unit_test(envelopes_of_one_turn_leave_in_one_frame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
