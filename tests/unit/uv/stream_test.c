/* Streams over real sockets: data, back pressure, and every way to end. */
#include "unit/uv/uv_peer.h"

#include <dirent.h>
#include <errno.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/prng.h"

enum { BIG_BYTES = 4 * 1024 * 1024, PIECE_BYTES = 1024 * 1024 };

static uint8_t *random_bytes(size_t count, uint64_t seed)
{
    struct prng prng;
    prng_init(&prng, seed);
    uint8_t *bytes = mem_alloc_raw(count);
    for (size_t i = 0; i + 8 <= count; i += 8)
        store_u64(bytes + i, prng_next(&prng));
    return bytes;
}

/* Sends until the socket takes no more and bytes are queued. */
static size_t fill(struct env_stream *stream)
{
    uint8_t *bytes = mem_alloc(PIECE_BYTES);
    size_t sent = 0;
    while (env_stream_queued(stream) == 0) {
        env_stream_send(stream, bytes_of(bytes, PIECE_BYTES));
        sent += PIECE_BYTES;
        assert_true(sent < 1024u * PIECE_BYTES);
    }
    mem_free(bytes);
    return sent;
}

static void bytes_arrive_in_order_in_both_directions_at_once(void **state)
{
    struct pair pair;
    pair_open(&pair);
    struct prng prng;
    prng_init(&prng, 11);
    uint8_t *to_server = random_bytes(BIG_BYTES, 1);
    uint8_t *to_client = random_bytes(BIG_BYTES, 2);
    pair.client.wanted_count = pair.server.wanted_count = BIG_BYTES;

    for (size_t done = 0; done < BIG_BYTES;) { /* in pieces of 1 byte to 256 KiB */
        size_t count = MIN((size_t)1 << prng_below(&prng, 19), BIG_BYTES - done);
        env_stream_send(pair.client.stream, bytes_of(to_server + done, count));
        env_stream_send(pair.server.stream, bytes_of(to_client + done, count));
        done += count;
    }
    RUN_UNTIL(&pair.fixture, pair.client.has_all);
    RUN_UNTIL(&pair.fixture, pair.server.has_all);

    assert_int_equal(pair.server.received.count, BIG_BYTES);
    assert_int_equal(pair.client.received.count, BIG_BYTES);
    assert_memory_equal(pair.server.received.data, to_server, BIG_BYTES);
    assert_memory_equal(pair.client.received.data, to_client, BIG_BYTES);
    mem_free(to_server);
    mem_free(to_client);
    pair_release(&pair);
}

static void what_the_socket_does_not_take_is_queued_and_drains_once(void **state)
{
    struct pair pair;
    pair_open(&pair);

    env_stream_pause(pair.server.stream, true);
    env_stream_send(pair.client.stream, BYTES_LITERAL("small"));
    assert_int_equal(env_stream_queued(pair.client.stream), 0);
    size_t sent = 5 + fill(pair.client.stream);
    env_stream_send(pair.client.stream, BYTES_LITERAL("and more"));
    run_a_little(&pair.fixture);
    assert_true(env_stream_queued(pair.client.stream) > 0);
    assert_int_equal(pair.client.drained_count, 0);
    assert_int_equal(pair.server.received.count, 0);

    env_stream_pause(pair.server.stream, false);
    pair.server.wanted_count = sent + 8;
    RUN_UNTIL(&pair.fixture, pair.server.has_all);
    RUN_UNTIL(&pair.fixture, pair.client.is_drained);

    assert_int_equal(pair.server.received.count, sent + 8);
    assert_memory_equal(pair.server.received.data + sent, "and more", 8);
    assert_int_equal(pair.client.drained_count, 1);
    pair_release(&pair);
}

/* The receiver's window, and LIMIT_UNSENT_BYTES: not the megabytes that a socket may hold. */
static void the_kernel_takes_little_for_somebody_who_reads_nothing(void **state)
{
    struct pair pair;
    pair_open(&pair);

    env_stream_pause(pair.client.stream, true);
    size_t sent = fill(pair.server.stream); /* the side that was accepted */
    for (int i = 0; i < 4; i++) {
        env_stream_send(pair.server.stream, BYTES_LITERAL("and more"));
        run_a_little(&pair.fixture);
        sent += 8;
    }

    size_t taken = sent - env_stream_queued(pair.server.stream);
    if (taken > LIMIT_UNSENT_BYTES + 512 * KIB)
        fail_msg("it took %zu bytes", taken);
    pair_release(&pair);
}

static void bytes_sent_while_others_are_queued_stay_behind_them(void **state)
{
    struct pair pair;
    pair_listen(&pair);
    int fd = raw_connect(pair.address.port);
    RUN_UNTIL(&pair.fixture, pair.is_accepted);
    uint8_t *room = mem_alloc(PIECE_BYTES);
    uint8_t last = 0;

    size_t sent = fill(pair.server.stream);
    ssize_t got = recv(fd, room, PIECE_BYTES, 0); /* now the socket has room again */
    env_stream_send(pair.server.stream, BYTES_LITERAL("!"));
    while (got < (ssize_t)sent + 1) {
        ssize_t count = recv(fd, room, PIECE_BYTES, MSG_DONTWAIT);
        if (count > 0) {
            got += count;
            last = room[count - 1];
        }
        run_a_turn(&pair.fixture);
    }

    assert_int_equal(last, '!');
    mem_free(room);
    (void)close(fd);
    pair_release(&pair);
}

static void react_pause(struct peer *peer, struct bytes bytes)
{
    env_stream_pause(peer->stream, true);
}

static void a_stream_paused_from_its_own_callback_reads_no_more(void **state)
{
    struct pair pair;
    pair_open(&pair);
    pair.server.react_data = react_pause;
    pair.server.wanted_count = 1;

    (void)fill(pair.client.stream);
    RUN_UNTIL(&pair.fixture, pair.server.has_all);
    size_t count = pair.server.received.count;
    run_a_little(&pair.fixture);

    assert_int_equal(pair.server.received.count, count);
    pair_release(&pair);
}

static void both_sides_know_their_addresses(void **state)
{
    struct pair pair;
    pair_open(&pair);
    struct address client_local;
    struct address client_peer;
    struct address server_local;
    struct address server_peer;

    env_stream_local(pair.client.stream, &client_local);
    env_stream_peer(pair.client.stream, &client_peer);
    env_stream_local(pair.server.stream, &server_local);
    env_stream_peer(pair.server.stream, &server_peer);

    assert_true(address_equal(&client_peer, &pair.address));
    assert_true(address_equal(&server_local, &pair.address));
    assert_true(address_equal(&client_local, &server_peer));
    assert_string_equal(client_local.host, "127.0.0.1");
    pair_release(&pair);
}

/* ---- ends ---- */

static void a_close_on_the_other_side_is_an_end_of_file(void **state)
{
    struct pair pair;
    pair_open(&pair);

    peer_close(&pair.client);
    RUN_UNTIL(&pair.fixture, pair.server.is_ended);
    run_a_little(&pair.fixture);

    assert_int_equal(pair.server.end, ENV_END_EOF);
    assert_int_equal(pair.server.ended_count, 1);
    assert_int_equal(pair.client.ended_count, 0); /* never after a close of its own */
    pair_release(&pair);
}

static void a_reset_is_a_reset(void **state)
{
    struct pair pair;
    pair_listen(&pair);
    int fd = raw_connect(pair.address.port);
    RUN_UNTIL(&pair.fixture, pair.is_accepted);

    raw_reset(fd);
    RUN_UNTIL(&pair.fixture, pair.server.is_ended);

    assert_int_equal(pair.server.end, ENV_END_RESET);
    pair_release(&pair);
}

static void sending_to_a_peer_that_has_closed_is_a_reset(void **state)
{
    struct pair pair;
    pair_listen(&pair);
    int fd = raw_connect(pair.address.port);
    RUN_UNTIL(&pair.fixture, pair.is_accepted);
    env_stream_pause(pair.server.stream, true); /* or the read would see the end of file */

    (void)close(fd);
    env_stream_send(pair.server.stream, BYTES_LITERAL("answered with a reset"));
    run_a_little(&pair.fixture);
    assert_int_equal(pair.server.ended_count, 0);
    env_stream_send(pair.server.stream, BYTES_LITERAL("EPIPE"));
    RUN_UNTIL(&pair.fixture, pair.server.is_ended);

    assert_int_equal(pair.server.end, ENV_END_RESET);
    pair_release(&pair);
}

static void a_failed_send_is_reported_later_and_once(void **state)
{
    struct pair pair;
    pair_listen(&pair);
    int fd = raw_connect(pair.address.port);
    RUN_UNTIL(&pair.fixture, pair.is_accepted);
    env_stream_pause(pair.server.stream, true); /* or the read would notice first */

    raw_reset(fd);
    for (int i = 0; i < 3; i++)
        env_stream_send(pair.server.stream, BYTES_LITERAL("to nobody"));
    assert_int_equal(pair.server.ended_count, 0);
    assert_int_equal(env_stream_queued(pair.server.stream), 0);
    RUN_UNTIL(&pair.fixture, pair.server.is_ended);
    run_a_little(&pair.fixture);

    assert_int_equal(pair.server.end, ENV_END_RESET);
    assert_int_equal(pair.server.ended_count, 1);
    pair_release(&pair);
}

static void a_failed_send_on_a_stream_that_is_then_closed_is_not_reported(void **state)
{
    struct pair pair;
    pair_listen(&pair);
    int fd = raw_connect(pair.address.port);
    RUN_UNTIL(&pair.fixture, pair.is_accepted);
    env_stream_pause(pair.server.stream, true);

    raw_reset(fd);
    env_stream_send(pair.server.stream, BYTES_LITERAL("to nobody"));
    peer_close(&pair.server);
    run_a_little(&pair.fixture);

    assert_int_equal(pair.server.ended_count, 0);
    pair_release(&pair);
}

static void a_reset_fails_what_is_queued(void **state)
{
    struct pair pair;
    pair_listen(&pair);
    int fd = raw_connect(pair.address.port);
    RUN_UNTIL(&pair.fixture, pair.is_accepted);
    env_stream_pause(pair.server.stream, true);

    (void)fill(pair.server.stream);
    env_stream_send(pair.server.stream, BYTES_LITERAL("behind it"));
    raw_reset(fd);
    RUN_UNTIL(&pair.fixture, pair.server.is_ended);

    assert_int_equal(pair.server.end, ENV_END_RESET);
    assert_int_equal(pair.server.drained_count, 0);
    pair_release(&pair);
}

static void react_close(struct peer *peer, struct bytes bytes)
{
    peer_close(peer);
}

static void react_close_in_open(struct peer *peer)
{
    peer_close(peer);
}

static void react_close_in_end(struct peer *peer)
{
    env_stream_close(peer->stream);
    env_stream_finish(peer->stream, 1000);
    env_stream_send(peer->stream, BYTES_LITERAL("too late"));
}

static void a_stream_closed_from_its_own_callback_is_silent_at_once(void **state)
{
    struct pair pair;
    pair_open(&pair);
    pair.server.react_data = react_close;
    pair.server.wanted_count = 1;
    pair.client.react_end = react_close_in_end;

    (void)fill(pair.client.stream); /* far more than one read takes */
    RUN_UNTIL(&pair.fixture, pair.server.has_all);
    size_t count = pair.server.received.count;
    RUN_UNTIL(&pair.fixture, pair.client.is_ended);

    assert_int_equal(pair.server.received.count, count);
    assert_int_equal(pair.server.ended_count, 0);
    assert_int_equal(pair.client.end, ENV_END_RESET); /* it left bytes unread */
    assert_int_equal(pair.client.ended_count, 1);
    pair_release(&pair);
}

static void a_stream_can_be_closed_when_it_opens(void **state)
{
    struct pair pair;
    pair_listen(&pair);
    pair.client.react_open = react_close_in_open;

    pair_connect(&pair);
    RUN_UNTIL(&pair.fixture, pair.server.is_ended);

    assert_int_equal(pair.client.opened_count, 1);
    assert_int_equal(pair.client.ended_count, 0);
    pair_release(&pair);
}

/* ---- finish ---- */

static void finishing_sends_what_is_queued_and_then_the_end(void **state)
{
    struct pair pair;
    pair_open(&pair);

    env_stream_pause(pair.server.stream, true);
    size_t sent = fill(pair.client.stream);
    env_stream_send(pair.client.stream, BYTES_LITERAL("last"));
    env_stream_finish(pair.client.stream, FIXTURE_TIMEOUT);
    env_stream_send(pair.client.stream, BYTES_LITERAL("too late"));
    env_stream_send(pair.server.stream, BYTES_LITERAL("thrown away"));
    pair.client.stream = NULL;
    run_a_little(&pair.fixture);
    env_stream_pause(pair.server.stream, false);
    RUN_UNTIL(&pair.fixture, pair.server.is_ended);
    run_a_little(&pair.fixture);

    assert_int_equal(pair.server.end, ENV_END_EOF);
    assert_int_equal(pair.server.received.count, sent + 4);
    assert_memory_equal(pair.server.received.data + sent, "last", 4);
    assert_int_equal(pair.client.received.count, 0);
    assert_int_equal(pair.client.ended_count, 0);
    pair_release(&pair);
}

/* A close with bytes unread would reset the connection and destroy the answer on its way. */
static void finishing_does_not_reset_a_peer_that_still_sends(void **state)
{
    struct pair pair;
    pair_listen(&pair);
    int fd = raw_connect(pair.address.port);
    RUN_UNTIL(&pair.fixture, pair.is_accepted);
    char answer[16];

    env_stream_pause(pair.server.stream, true);
    assert_int_equal(send(fd, "a long request", 14, 0), 14);
    env_stream_send(pair.server.stream, BYTES_LITERAL("refused"));
    env_stream_finish(pair.server.stream, FIXTURE_TIMEOUT);
    pair.server.stream = NULL;
    run_a_little(&pair.fixture);
    assert_int_equal(send(fd, "and its rest", 12, MSG_NOSIGNAL), 12);
    run_a_little(&pair.fixture);

    assert_int_equal(recv(fd, answer, sizeof answer, 0), 7);
    assert_memory_equal(answer, "refused", 7);
    assert_int_equal(recv(fd, answer, sizeof answer, 0), 0);
    assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), 1); /* it still waits for our end */
    (void)close(fd);
    run_a_little(&pair.fixture);
    assert_int_equal(pair.server.received.count, 0);
    assert_int_equal(pair.server.ended_count, 0);
    pair_release(&pair);
}

static void finishing_outlasts_a_peer_that_has_only_ended_its_own_side(void **state)
{
    struct pair pair;
    pair_listen(&pair);
    int fd = raw_connect(pair.address.port);
    RUN_UNTIL(&pair.fixture, pair.is_accepted);
    uint8_t *room = mem_alloc(PIECE_BYTES);

    size_t sent = fill(pair.server.stream);
    env_stream_finish(pair.server.stream, FIXTURE_TIMEOUT);
    pair.server.stream = NULL;
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    run_a_little(&pair.fixture);
    size_t got = 0;
    for (;;) {
        ssize_t count = recv(fd, room, PIECE_BYTES, MSG_DONTWAIT);
        if (count == 0)
            break;
        assert_true(got < sent);
        got += (size_t)MAX(count, 0);
        run_a_turn(&pair.fixture);
    }

    assert_int_equal(got, sent);
    mem_free(room);
    (void)close(fd);
    pair_release(&pair);
}

static void finishing_gives_up_after_its_linger(void **state)
{
    struct pair pair;
    pair_listen(&pair);
    int fd = raw_connect(pair.address.port);
    RUN_UNTIL(&pair.fixture, pair.is_accepted);
    uint8_t *room = mem_alloc(PIECE_BYTES);

    env_stream_pause(pair.server.stream, true);
    (void)fill(pair.server.stream);
    env_stream_finish(pair.server.stream, 20000);
    pair.server.stream = NULL;
    (void)uv_env_run_until(pair.fixture.env, fixture_never, NULL, 60000);

    /* Its socket is gone: what it had taken arrives, and then an end instead of a wait. */
    ssize_t got = 1;
    while (got > 0)
        got = recv(fd, room, PIECE_BYTES, MSG_DONTWAIT);
    assert_true(got == 0 || errno == ECONNRESET);
    assert_int_equal(pair.server.ended_count, 0);
    mem_free(room);
    (void)close(fd);
    pair_release(&pair);
}

static int open_descriptors_count(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    (void)closedir(dir);
    return count;
}

/* Each way to a finish must end up reading, or the stream would stay until its linger is over. */
static void a_finished_stream_is_gone_when_the_other_side_has_ended_too(void **state)
{
    enum { PAUSED_BEFORE, PAUSED_AFTER, PAUSED_WHILE_DIALING, WAYS };
    for (int way = 0; way < WAYS; way++) {
        struct pair pair;
        pair_listen(&pair);
        pair.client.stream =
            env_connect(pair.fixture.env, &pair.address, &peer_handler, &pair.client);
        int before_count = open_descriptors_count(); /* its socket is made by the loop */
        if (way != PAUSED_WHILE_DIALING)
            RUN_UNTIL(&pair.fixture, pair.client.is_open);

        if (way != PAUSED_AFTER)
            env_stream_pause(pair.client.stream, true);
        env_stream_finish(pair.client.stream, FIXTURE_TIMEOUT);
        if (way == PAUSED_AFTER)
            env_stream_pause(pair.client.stream, true);
        pair.client.stream = NULL;
        RUN_UNTIL(&pair.fixture, pair.server.is_ended);
        run_a_little(&pair.fixture);

        assert_int_equal(pair.server.end, ENV_END_EOF);
        assert_int_equal(pair.client.opened_count, way != PAUSED_WHILE_DIALING);
        assert_int_equal(open_descriptors_count(), before_count);
        pair_release(&pair);
    }
}

static void what_goes_wrong_while_finishing_is_not_reported(void **state)
{
    enum { SEND_HAD_FAILED, RESET_BEFORE, RESET_AFTER, WAYS };
    for (int way = 0; way < WAYS; way++) {
        struct pair pair;
        pair_listen(&pair);
        int fd = raw_connect(pair.address.port);
        RUN_UNTIL(&pair.fixture, pair.is_accepted);
        env_stream_pause(pair.server.stream, true);

        if (way != SEND_HAD_FAILED)
            (void)fill(pair.server.stream);
        if (way != RESET_AFTER)
            raw_reset(fd);
        if (way == SEND_HAD_FAILED)
            env_stream_send(pair.server.stream, BYTES_LITERAL("to nobody"));
        env_stream_finish(pair.server.stream, FIXTURE_TIMEOUT);
        pair.server.stream = NULL;
        if (way == RESET_AFTER)
            raw_reset(fd);
        run_a_little(&pair.fixture);

        assert_int_equal(pair.server.ended_count, 0);
        pair_release(&pair);
    }
}

static void finishing_before_the_connection_stands_still_delivers(void **state)
{
    struct pair pair;
    pair_listen(&pair);

    pair.client.stream = env_connect(pair.fixture.env, &pair.address, &peer_handler, &pair.client);
    env_stream_send(pair.client.stream, BYTES_LITERAL("early"));
    assert_int_equal(env_stream_queued(pair.client.stream), 5);
    env_stream_finish(pair.client.stream, FIXTURE_TIMEOUT);
    pair.client.stream = NULL;
    RUN_UNTIL(&pair.fixture, pair.server.is_ended);

    assert_int_equal(pair.server.end, ENV_END_EOF);
    assert_int_equal(pair.server.received.count, 5);
    assert_int_equal(pair.client.opened_count, 0);
    pair_release(&pair);
}

static void finishing_a_dial_that_then_fails_is_not_reported(void **state)
{
    struct pair pair;
    pair_listen(&pair);
    struct address address = {.host = "127.0.0.1"};
    int fd = raw_refuse(&address.port);

    pair.client.stream = env_connect(pair.fixture.env, &address, &peer_handler, &pair.client);
    int before_count = open_descriptors_count(); /* its socket is made by the loop */
    env_stream_finish(pair.client.stream, FIXTURE_TIMEOUT);
    pair.client.stream = NULL;
    run_a_little(&pair.fixture);

    assert_int_equal(pair.client.ended_count, 0);
    assert_int_equal(open_descriptors_count(), before_count);
    (void)close(fd);
    pair_release(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_arrive_in_order_in_both_directions_at_once),
        cmocka_unit_test(what_the_socket_does_not_take_is_queued_and_drains_once),
        cmocka_unit_test(the_kernel_takes_little_for_somebody_who_reads_nothing),
        cmocka_unit_test(bytes_sent_while_others_are_queued_stay_behind_them),
        cmocka_unit_test(a_stream_paused_from_its_own_callback_reads_no_more),
        cmocka_unit_test(both_sides_know_their_addresses),
        cmocka_unit_test(a_close_on_the_other_side_is_an_end_of_file),
        cmocka_unit_test(a_reset_is_a_reset),
        cmocka_unit_test(sending_to_a_peer_that_has_closed_is_a_reset),
        cmocka_unit_test(a_failed_send_is_reported_later_and_once),
        cmocka_unit_test(a_failed_send_on_a_stream_that_is_then_closed_is_not_reported),
        cmocka_unit_test(a_reset_fails_what_is_queued),
        cmocka_unit_test(a_stream_closed_from_its_own_callback_is_silent_at_once),
        cmocka_unit_test(a_stream_can_be_closed_when_it_opens),
        cmocka_unit_test(finishing_sends_what_is_queued_and_then_the_end),
        cmocka_unit_test(finishing_does_not_reset_a_peer_that_still_sends),
        cmocka_unit_test(finishing_outlasts_a_peer_that_has_only_ended_its_own_side),
        cmocka_unit_test(finishing_gives_up_after_its_linger),
        cmocka_unit_test(a_finished_stream_is_gone_when_the_other_side_has_ended_too),
        cmocka_unit_test(what_goes_wrong_while_finishing_is_not_reported),
        cmocka_unit_test(finishing_before_the_connection_stands_still_delivers),
        cmocka_unit_test(finishing_a_dial_that_then_fails_is_not_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
