/* Bytes that no node sends: the link is closed and nothing else happens (FAULTS I20). */
#include <sys/mman.h>

#include "base/prng.h"
#include "peer/link.h"
#include "peer_fixture.h"

/* A bare socket against node 1; greeted as node 2 when asked for. */
struct guest {
    struct fixture fixture;
    struct test_node *node;
    int fd;
    struct buf in, out;
};

static void guest_open(struct guest *guest)
{
    fixture_plan(&guest->fixture, 2);
    guest->node = fixture_start(&guest->fixture, 1);
    guest->fd = -1;
    buf_init(&guest->in, MIB);
    buf_init(&guest->out, 8 * MIB);
}

static void guest_connect(struct guest *guest, bool is_greeted)
{
    if (guest->fd >= 0)
        close(guest->fd);
    guest->fd = raw_connect(guest->fixture.ports[1]);
    buf_reset(&guest->in);
    buf_reset(&guest->out);
    if (!is_greeted)
        return;
    struct bytes body;
    struct hello hello = hello_from(2, 1);
    put_hello(&guest->out, &hello);
    raw_send(guest->fd, buf_bytes(&guest->out));
    UNTIL(&guest->fixture, raw_received(guest->fd, &guest->in, FRAME_WELCOME, &body));
    buf_reset(&guest->out);
}

static void guest_close(struct guest *guest)
{
    close(guest->fd);
    buf_release(&guest->in);
    buf_release(&guest->out);
    fixture_close(&guest->fixture);
}

/* Sends what is in `out`, possibly more than the node reads before it closes. */
static void guest_expect_closed(struct guest *guest)
{
    size_t sent = 0;
    while (sent < guest->out.count) {
        ssize_t count =
            send(guest->fd, guest->out.data + sent, guest->out.count - sent, MSG_NOSIGNAL);
        if (count < 0 && errno != EAGAIN)
            break;
        sent += count > 0 ? (size_t)count : 0;
        if (count < 0)
            run_for(&guest->fixture, MILLISECONDS(1));
    }
    UNTIL(&guest->fixture, raw_ended(guest->fd, &guest->in));
    assert_int_equal(guest->node->messages_count, 0);
    assert_int_equal(guest->node->envelopes_count, 0);
}

static void frames_that_have_no_place_before_the_hello_close_the_link(void **state)
{
    struct guest guest;
    guest_open(&guest);
    struct message message = heartbeat(2, 1, 1);

    for (enum frame_type type = FRAME_WELCOME; type <= FRAME_TYPE_LAST; type++) {
        guest_connect(&guest, false);
        if (type == FRAME_MESSAGE)
            put_message(&guest.out, &message);
        else
            put_frame(&guest.out, type, BYTES_LITERAL("12345678"));
        guest_expect_closed(&guest);
        assert_int_equal(guest.in.count, 0); /* not a word to strangers */
    }
    assert_int_equal(guest.node->hellos_count, 0);
    guest_close(&guest);
}

static void frames_that_have_no_place_after_the_hello_close_the_link(void **state)
{
    static const enum frame_type types[] = {FRAME_HELLO,   FRAME_WELCOME, FRAME_REFUSE,
                                            FRAME_REFUSED, FRAME_PONG,    FRAME_CHUNK};
    struct guest guest;
    guest_open(&guest);

    for (size_t i = 0; i < ARRAY_COUNT(types); i++) {
        struct hello hello = hello_from(2, 1);
        guest_connect(&guest, true);
        if (types[i] == FRAME_HELLO)
            put_hello(&guest.out, &hello);
        else
            put_frame(&guest.out, types[i], BYTES_LITERAL("12345678"));
        guest_expect_closed(&guest);
        assert_int_equal(guest.node->hellos_count, i + 1);
    }
    guest_close(&guest);
}

static void messages_of_others_close_the_link(void **state)
{
    static const node_id ids[][2] = {{3, 1}, {2, 3}, {1, 2}, {1, 1}};
    struct guest guest;
    guest_open(&guest);

    for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
        struct message message = heartbeat(ids[i][0], ids[i][1], 1);
        guest_connect(&guest, true);
        put_message(&guest.out, &message);
        guest_expect_closed(&guest);
    }
    guest_close(&guest);
}

static void a_frame_longer_than_the_limit_closes_the_link_at_its_header(void **state)
{
    struct guest guest;
    guest_open(&guest);

    static const uint32_t lengths[] = {LIMIT_FRAME_BYTES - FRAME_HEADER_BYTES + 1, 0x7fffffff,
                                       0xffffffff};
    for (size_t i = 0; i < ARRAY_COUNT(lengths); i++) {
        guest_connect(&guest, true);
        buf_put_u32(&guest.out, lengths[i]);
        buf_put_u32(&guest.out, 0);
        buf_put_u32(&guest.out, FRAME_MESSAGE);
        guest_expect_closed(&guest);
    }
    guest_close(&guest);
}

static void an_ungreeted_link_may_not_send_more_than_a_hello(void **state)
{
    struct guest guest;
    guest_open(&guest);

    guest_connect(&guest, false);
    buf_put_u32(&guest.out, 256 - FRAME_HEADER_BYTES + 1);
    buf_put_u32(&guest.out, 0);
    buf_put_u32(&guest.out, FRAME_HELLO);
    guest_expect_closed(&guest);

    guest_close(&guest);
}

static void a_frame_with_envelopes_is_taken_whole_or_not_at_all(void **state)
{
    struct guest guest;
    guest_open(&guest);
    struct envelope envelope = envelope_to(1, 1, BYTES_LITERAL("x"));

    guest_connect(&guest, true);
    size_t begin = frame_begin(&guest.out, FRAME_FORWARD);
    envelope_encode(&envelope, &guest.out);
    envelope_encode(&envelope, &guest.out);
    guest.out.count--; /* the second lacks its last byte */
    frame_end(&guest.out, begin);
    guest_expect_closed(&guest);

    guest_connect(&guest, true);
    put_frame(&guest.out, FRAME_FORWARD, bytes_of(NULL, 0));
    guest_expect_closed(&guest);
    guest_close(&guest);
}

static void bodies_cut_short_close_the_link(void **state)
{
    struct guest guest;
    guest_open(&guest);
    struct message message = heartbeat(2, 1, 1);
    struct buf body;
    buf_init(&body, 4096);
    message_encode(&message, NULL, &body);

    for (size_t count = 0; count < body.count; count += 7) {
        guest_connect(&guest, true);
        put_frame(&guest.out, FRAME_MESSAGE, bytes_of(body.data, count));
        guest_expect_closed(&guest);
    }
    buf_release(&body);
    guest_close(&guest);
}

static void random_bytes_close_the_link(void **state)
{
    const uint64_t seed = 20240817;
    struct prng prng;
    struct guest guest;
    guest_open(&guest);
    prng_init(&prng, seed);

    for (int round = 0; round < 200; round++) {
        guest_connect(&guest, round % 2 == 0);
        size_t count = FRAME_HEADER_BYTES + prng_below(&prng, 300);
        for (size_t i = 0; i < count; i++)
            buf_put_u8(&guest.out, (uint8_t)prng_next(&prng));
        guest.out.data[3] |= 0x40; /* as a length: far beyond the limit */
        guest_expect_closed(&guest);
    }
    guest_close(&guest);
}

/* A good stream with one byte changed: the checksum or the shape gives it away, whatever frame the
 * byte is in, and what came before it is all that was delivered. */
static void a_changed_byte_anywhere_closes_the_link(void **state)
{
    struct guest guest;
    guest_open(&guest);
    struct message message = heartbeat(2, 1, 1);
    struct buf good;
    buf_init(&good, 4096);
    put_message(&good, &message);

    for (size_t at = 4; at < good.count; at++) { /* a changed length may just wait for more */
        guest_connect(&guest, true);
        buf_put(&guest.out, buf_bytes(&good));
        guest.out.data[at] ^= 0x10;
        guest_expect_closed(&guest);
    }
    buf_release(&good);
    guest_close(&guest);
}

static void a_stream_in_single_bytes_is_read_as_in_one_piece(void **state)
{
    struct guest guest;
    guest_open(&guest);
    struct envelope envelope = envelope_to(1, 1, BYTES_LITERAL("hello"));

    guest_connect(&guest, true);
    for (uint64_t round = 1; round <= 3; round++) {
        struct message message = heartbeat(2, 1, round);
        put_message(&guest.out, &message);
        size_t begin = frame_begin(&guest.out, FRAME_FORWARD);
        envelope_encode(&envelope, &guest.out);
        frame_end(&guest.out, begin);
    }
    for (size_t i = 0; i < guest.out.count; i++) {
        raw_send(guest.fd, bytes_of(guest.out.data + i, 1));
        (void)uv_env_run_until(guest.fixture.env, fixture_never, NULL, 300);
    }
    UNTIL(&guest.fixture, guest.node->envelopes_count == 3);

    assert_int_equal(guest.node->messages_count, 3);
    assert_false(guest.node->is_out_of_order);
    assert_string_equal(buf_text(&guest.node->commands), "hellohellohello");
    guest_close(&guest);
}

static void whoever_pings_without_reading_the_pongs_is_closed(void **state)
{
    struct guest guest;
    guest_open(&guest);
    guest_connect(&guest, true);
    int small = 4096;
    setsockopt(guest.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    for (int i = 0; i < 200000; i++)
        put_frame(&guest.out, FRAME_PING, BYTES_LITERAL("12345678"));

    size_t sent = 0;
    bool is_closed = false;
    for (int round = 0; round < 4000 && !is_closed; round++) {
        if (sent == guest.out.count)
            sent = 0; /* whole frames: the stream goes on */
        ssize_t count = send(guest.fd, guest.out.data + sent, guest.out.count - sent, MSG_NOSIGNAL);
        is_closed = count < 0 && errno != EAGAIN;
        sent += count > 0 ? (size_t)count : 0;
        (void)uv_env_run_until(guest.fixture.env, fixture_never, NULL, MILLISECONDS(1));
    }

    assert_true(is_closed);
    guest_close(&guest);
}

/* ---- what the operator is told ---- */

/* Standard error goes to a file in memory meanwhile. */
struct ear {
    int fd, stderr_before;
};

static void ear_open(struct ear *ear)
{
    ear->fd = memfd_create("stderr", 0);
    ear->stderr_before = dup(STDERR_FILENO);
    assert_true(ear->fd >= 0 && ear->stderr_before >= 0);
    assert_int_equal(dup2(ear->fd, STDERR_FILENO), STDERR_FILENO);
    diag_set_level(DIAG_WARN);
}

static void ear_close(struct ear *ear)
{
    diag_set_level(DIAG_ERROR);
    assert_int_equal(dup2(ear->stderr_before, STDERR_FILENO), STDERR_FILENO);
    close(ear->stderr_before);
    close(ear->fd);
}

/* What was said since the last time; how many lines in all. */
static size_t ear_take(struct ear *ear, char *text, size_t text_bytes)
{
    size_t lines_count = 0;
    ssize_t count = pread(ear->fd, text, text_bytes - 1, 0);
    assert_true(count >= 0 && (size_t)count < text_bytes - 1);
    text[count] = '\0';
    for (const char *at = text; *at != '\0'; at++)
        lines_count += *at == '\n';
    assert_int_equal(ftruncate(ear->fd, 0), 0);
    assert_int_equal(lseek(ear->fd, 0, SEEK_SET), 0);
    return lines_count;
}

/* The first of its cause in a while: what it says in the log is one line. */
static void expect_one_line(struct ear *ear, struct guest *guest, const char *what)
{
    char text[4096];
    size_t lines_count = ear_take(ear, text, sizeof text);
    if (lines_count != 1 || strstr(text, what) == NULL || strstr(text, "127.0.0.1:") == NULL)
        fail_msg("not one line with an address and \"%s\": %s", what, text);
    guest->node->peers->complaints = (struct complaints){0};
}

static void put_wrong_hello(struct buf *out, enum refusal refusal)
{
    struct hello hello = hello_from(2, 1);
    if (refusal == REFUSAL_VERSION)
        hello.version = WIRE_VERSION + 1;
    else if (refusal == REFUSAL_CLUSTER)
        hello.cluster_id++;
    else if (refusal == REFUSAL_ADDRESSEE)
        hello.to = 2;
    else if (refusal == REFUSAL_SELF)
        hello.from = 1;
    put_hello(out, &hello);
}

static void each_hostile_link_is_told_in_one_line(void **state)
{
    static const struct {
        bool is_greeted;
        const char *bytes;
        size_t count;
        const char *line;
    } rows[] = {
        {false, "GET / HTTP/1.1\r\n", 16, "from an ungreeted node: no frame"},
        {true, "\0\0\0\0\0\0\0\0\x63\0\0\0", 12, "from node 2: no frame"},
        {true, "\xff\xff\xff\xff\0\0\0\0\4\0\0\0", 12, "from node 2: no frame"},
        {true, "\1\0\0\0\1\2\3\4\4\0\0\0x", 13, "from node 2: no frame"},
    };
    struct guest guest;
    struct ear ear;
    guest_open(&guest);
    ear_open(&ear);

    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        guest_connect(&guest, rows[i].is_greeted);
        buf_put(&guest.out, bytes_of(rows[i].bytes, rows[i].count));
        guest_expect_closed(&guest);
        expect_one_line(&ear, &guest, rows[i].line);
    }
    for (enum refusal refusal = REFUSAL_VERSION; refusal <= REFUSAL_SELF; refusal++) {
        guest_connect(&guest, false);
        put_wrong_hello(&guest.out, refusal);
        guest_expect_closed(&guest);
        expect_one_line(&ear, &guest, refusal_text(refusal));
    }

    ear_close(&ear);
    guest_close(&guest);
}

static void a_frame_cut_off_by_the_end_is_told_and_a_mere_end_is_not(void **state)
{
    char text[4096];
    struct guest guest;
    struct ear ear;
    struct message message = heartbeat(2, 1, 1);
    guest_open(&guest);
    ear_open(&ear);

    for (int is_greeted = 0; is_greeted <= 1; is_greeted++) {
        const struct peers *peers = guest.node->peers;
        /* cut in its header, and in its body */
        for (size_t lacking = 1; lacking <= 40; lacking += 39) {
            guest_connect(&guest, is_greeted != 0);
            put_message(&guest.out, &message);
            guest.out.count -= lacking;
            raw_send(guest.fd, buf_bytes(&guest.out));
            assert_int_equal(shutdown(guest.fd, SHUT_WR), 0);
            UNTIL(&guest.fixture, raw_ended(guest.fd, &guest.in) && peers->ins_count == 0);
            expect_one_line(&ear, &guest, "the end within a frame");
        }

        guest_connect(&guest, is_greeted != 0);
        assert_int_equal(shutdown(guest.fd, SHUT_WR), 0);
        UNTIL(&guest.fixture, raw_ended(guest.fd, &guest.in) && peers->ins_count == 0);
        assert_int_equal(ear_take(&ear, text, sizeof text), 0);
    }
    assert_int_equal(guest.node->messages_count, 0);

    ear_close(&ear);
    guest_close(&guest);
}

/* However slowly it is said: time is for the whole hello, not for each byte. */
static void a_hello_in_slow_bytes_is_cut_off(void **state)
{
    struct guest guest;
    struct ear ear;
    struct hello hello = hello_from(2, 1);
    guest_open(&guest);
    ear_open(&ear);
    guest_connect(&guest, false);
    put_hello(&guest.out, &hello);
    time_us begin = clock_now();

    size_t sent = 0;
    while (sent + 1 < guest.out.count && !raw_ended(guest.fd, &guest.in)) {
        (void)send(guest.fd, guest.out.data + sent, 1, MSG_NOSIGNAL); /* or closed meanwhile */
        sent++;
        run_for(&guest.fixture, LINK_GREETING_TIMEOUT / 20);
    }

    assert_true(sent + 1 < guest.out.count);
    assert_true(clock_now() - begin >= LINK_GREETING_TIMEOUT - MILLISECONDS(1));
    assert_int_equal(guest.node->hellos_count, 0);
    expect_one_line(&ear, &guest, "no hello in time");
    ear_close(&ear);
    guest_close(&guest);
}

/* ---- the same from the side that dialled ---- */

static void answers_out_of_shape_close_the_link_and_it_is_dialled_again(void **state)
{
    struct fixture fixture;
    fixture_plan(&fixture, 2);
    int listener = raw_listen(fixture.ports[2]), fd = -1;
    struct test_node *node = fixture_start(&fixture, 1);
    struct buf in, out;
    struct bytes body;
    buf_init(&in, MIB);
    buf_init(&out, MIB);
    peers_set(node->peers, &fixture.config);

    for (int round = 0; round < 6; round++) {
        buf_reset(&in);
        buf_reset(&out);
        UNTIL(&fixture, raw_accepted(listener, &fd));
        UNTIL(&fixture, raw_received(fd, &in, FRAME_HELLO, &body));
        if (round == 0)
            put_frame(&out, FRAME_WELCOME, BYTES_LITERAL("short"));
        else if (round == 1)
            put_frame(&out, FRAME_REFUSE, BYTES_LITERAL("\x63"));
        else if (round == 2)
            put_frame(&out, FRAME_PONG, BYTES_LITERAL("12345678"));
        else if (round == 3)
            put_frame(&out, FRAME_MESSAGE, BYTES_LITERAL("12345678"));
        else if (round == 4)
            buf_put_text(&out, "HTTP/1.1 400 Bad Request\r\n\r\n");
        else
            buf_put_zeros(&out, FRAME_HEADER_BYTES);
        raw_send(fd, buf_bytes(&out));
        UNTIL(&fixture, raw_ended(fd, &in));
        close(fd);
        fd = -1;
    }

    assert_int_equal(node->trace.count, 0);
    close(listener);
    buf_release(&in);
    buf_release(&out);
    fixture_close(&fixture);
}

int main(void)
{
    diag_set_level(DIAG_ERROR); /* the complaints are expected */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_that_have_no_place_before_the_hello_close_the_link),
        cmocka_unit_test(frames_that_have_no_place_after_the_hello_close_the_link),
        cmocka_unit_test(messages_of_others_close_the_link),
        cmocka_unit_test(a_frame_longer_than_the_limit_closes_the_link_at_its_header),
        cmocka_unit_test(an_ungreeted_link_may_not_send_more_than_a_hello),
        cmocka_unit_test(a_frame_with_envelopes_is_taken_whole_or_not_at_all),
        cmocka_unit_test(bodies_cut_short_close_the_link),
        cmocka_unit_test(random_bytes_close_the_link),
        cmocka_unit_test(a_changed_byte_anywhere_closes_the_link),
        cmocka_unit_test(a_stream_in_single_bytes_is_read_as_in_one_piece),
        cmocka_unit_test(whoever_pings_without_reading_the_pongs_is_closed),
        cmocka_unit_test(each_hostile_link_is_told_in_one_line),
        cmocka_unit_test(a_frame_cut_off_by_the_end_is_told_and_a_mere_end_is_not),
        cmocka_unit_test(a_hello_in_slow_bytes_is_cut_off),
        cmocka_unit_test(answers_out_of_shape_close_the_link_and_it_is_dialled_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
