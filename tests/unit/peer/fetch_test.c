/* Pieces of snapshots on real links: what is asked for comes back whole, and nothing else does. */
#include "base/prng.h"
#include "peer_actor.h"

enum { FILE_BYTES = 3 * MIB + 4567, WINDOW = 4 };

static const struct entry_id snapshot = {.term = 5, .index = 1000};

static struct snapshot_fetch fetch_at(uint64_t number, uint64_t offset)
{
    return (struct snapshot_fetch){.number = number,
                                   .snapshot = snapshot,
                                   .offset = offset,
                                   .bytes_max = LIMIT_SNAPSHOT_CHUNK_BYTES};
}

/* Of a file of FILE_BYTES. */
static struct snapshot_chunk chunk_at(uint64_t number, uint64_t offset, struct bytes bytes)
{
    return (struct snapshot_chunk){.number = number,
                                   .snapshot = snapshot,
                                   .offset = offset,
                                   .total = FILE_BYTES,
                                   .bytes = bytes};
}

/* Half text, half noise, so that some pieces get smaller and some do not. */
static uint8_t *make_file(void)
{
    struct prng prng;
    uint8_t *file = mem_alloc(FILE_BYTES);
    prng_init(&prng, 3);
    for (size_t i = 0; i < FILE_BYTES; i++)
        file[i] = i < FILE_BYTES / 2 ? (uint8_t) "some text; "[i % 11] : (uint8_t)prng_next(&prng);
    return file;
}

static uint8_t *file; /* what node 1 serves */

static void serve(struct test_node *node, node_id from, const struct snapshot_fetch *fetch)
{
    size_t count = MIN(fetch->bytes_max, FILE_BYTES - fetch->offset);
    struct snapshot_chunk chunk =
        chunk_at(fetch->number, fetch->offset, bytes_of(file + fetch->offset, count));
    assert_int_equal(peers_chunk(node->peers, from, &chunk), ST_OK);
}

static void ask(struct test_node *node, uint64_t number)
{
    struct snapshot_fetch fetch = fetch_at(number, (number - 1) * LIMIT_SNAPSHOT_CHUNK_BYTES);
    if (fetch.offset < FILE_BYTES)
        assert_int_equal(peers_fetch(node->peers, 1, &fetch), ST_OK);
}

static void ask_for_another(struct test_node *node, node_id from,
                            const struct snapshot_chunk *chunk)
{
    assert_int_equal(from, 1);
    assert_int_equal(chunk->number, node->chunks_count); /* in the order asked for */
    assert_int_equal(chunk->total, FILE_BYTES);
    ask(node, chunk->number + WINDOW);
}

static void a_file_comes_over_in_pieces(void **state)
{
    struct fixture fixture;
    fixture_open_pair(&fixture);
    struct test_node *node = &fixture.nodes[2];
    file = make_file();
    fixture.nodes[1].on_fetch = serve;
    node->on_chunk = ask_for_another;
    uint64_t received_before = stats_of(node).received_bytes;
    uint64_t sent_before = stats_of(&fixture.nodes[1]).sent_bytes;

    for (uint64_t number = 1; number <= WINDOW; number++)
        ask(node, number);
    UNTIL(&fixture, node->pieces.count == FILE_BYTES);

    assert_memory_equal(node->pieces.data, file, FILE_BYTES);
    assert_int_equal(stats_of(node).snapshot_received_bytes, FILE_BYTES);
    assert_int_equal(stats_of(&fixture.nodes[1]).snapshot_sent_bytes, FILE_BYTES);
    uint64_t received = stats_of(node).received_bytes - received_before;
    assert_in_range(received, FILE_BYTES / 2, FILE_BYTES / 2 + 200 * KIB); /* the text was packed */
    uint64_t sent = stats_of(&fixture.nodes[1]).sent_bytes - sent_before;
    assert_in_range(sent, FILE_BYTES / 2, FILE_BYTES / 2 + 200 * KIB);
    assert_true(node_saw(node, "up 1;"));
    mem_free(file);
    fixture_close(&fixture);
}

static void what_is_asked_for_arrives_as_it_was_asked(void **state)
{
    struct fixture fixture;
    fixture_open_pair(&fixture);
    struct snapshot_fetch fetch = {
        .number = 77, .snapshot = {.term = 3, .index = 12}, .offset = 1 << 30, .bytes_max = 17};

    assert_int_equal(peers_fetch(fixture.nodes[2].peers, 1, &fetch), ST_OK);
    UNTIL(&fixture, fixture.nodes[1].fetches_count == 1);

    struct snapshot_fetch seen = fixture.nodes[1].fetch_seen;
    assert_int_equal(seen.number, 77);
    assert_int_equal(seen.snapshot.term, 3);
    assert_int_equal(seen.snapshot.index, 12);
    assert_int_equal(seen.offset, 1 << 30);
    assert_int_equal(seen.bytes_max, 17);
    fixture_close(&fixture);
}

static void an_answer_may_be_that_there_is_nothing(void **state)
{
    struct fixture fixture;
    fixture_open_pair(&fixture);
    struct test_node *node = &fixture.nodes[2];

    for (unsigned chunk_state = CHUNK_GONE; chunk_state <= CHUNK_BUSY; chunk_state++) {
        struct snapshot_chunk chunk = {.number = 7,
                                       .snapshot = snapshot,
                                       .offset = 99,
                                       .state = (enum chunk_state)chunk_state};
        assert_int_equal(peers_chunk(fixture.nodes[1].peers, 2, &chunk), ST_OK);
        UNTIL(&fixture, node->chunks_count == chunk_state);
        assert_int_equal(node->chunk_seen.state, chunk_state);
        assert_int_equal(node->chunk_seen.number, 7);
        assert_int_equal(node->chunk_seen.offset, 99);
        assert_int_equal(node->chunk_seen.bytes.count, 0);
    }
    assert_int_equal(stats_of(node).snapshot_received_bytes, 0);
    fixture_close(&fixture);
}

static void without_a_welcomed_link_nothing_is_asked_or_answered(void **state)
{
    struct fixture fixture;
    fixture_plan(&fixture, 2);
    struct test_node *node = fixture_start(&fixture, 1);
    struct snapshot_fetch fetch = fetch_at(1, 0);
    struct snapshot_chunk chunk = chunk_at(1, 0, BYTES_LITERAL("abc"));

    assert_int_equal(peers_fetch(node->peers, 2, &fetch), ST_CLOSED);
    assert_int_equal(peers_chunk(node->peers, 2, &chunk), ST_CLOSED);
    peers_set(node->peers, &fixture.config); /* dials; nobody is there */
    run_for(&fixture, MILLISECONDS(5));
    assert_int_equal(peers_fetch(node->peers, 2, &fetch), ST_CLOSED);
    assert_int_equal(peers_chunk(node->peers, 2, &chunk), ST_CLOSED);
    fixture_close(&fixture);
}

static void a_node_that_has_no_use_for_them_drops_them(void **state)
{
    struct fixture fixture;
    fixture_plan(&fixture, 2);
    for (node_id id = 1; id <= 2; id++) {
        fixture.env = fixture.env != NULL ? fixture.env : env_open();
        node_init(&fixture.nodes[id], fixture.env, id, fixture.ports[id]);
        fixture.nodes[id].is_deaf = true;
        peers_set(fixture_start(&fixture, id)->peers, &fixture.config);
    }
    struct test_node *one = &fixture.nodes[1], *two = &fixture.nodes[2];
    UNTIL(&fixture, node_saw(one, "up 2;") && node_saw(two, "up 1;"));
    struct snapshot_fetch fetch = fetch_at(1, 0);
    struct snapshot_chunk chunk = chunk_at(1, 0, BYTES_LITERAL("abc"));

    assert_int_equal(peers_fetch(two->peers, 1, &fetch), ST_OK);
    assert_int_equal(peers_chunk(one->peers, 2, &chunk), ST_OK);
    UNTIL(&fixture, stats_of(two).snapshot_received_bytes == 3);
    struct message message = heartbeat(2, 1, 1);
    peers_send(two->peers, &message, NULL);
    UNTIL(&fixture, one->messages_count == 1);

    assert_string_equal(buf_text(&one->trace), "up 2;");
    assert_string_equal(buf_text(&two->trace), "up 1;");
    fixture_close(&fixture);
}

/* ---- links that break in between ---- */

static void a_link_lost_between_fetch_and_chunk_loses_the_chunk_and_nothing_else(void **state)
{
    struct fixture fixture;
    fixture_plan(&fixture, 2);
    struct test_node *one = fixture_start(&fixture, 1), *two = fixture_start(&fixture, 2);
    struct snapshot_fetch fetch = fetch_at(1, 0);
    struct snapshot_chunk chunk = chunk_at(1, 0, BYTES_LITERAL("abc"));
    struct config nobody = {0};
    peers_set(two->peers, &fixture.config); /* node 1 does not say where it is reached: no guest */
    UNTIL(&fixture, node_saw(two, "up 1;"));
    assert_int_equal(peers_fetch(two->peers, 1, &fetch), ST_OK);
    UNTIL(&fixture, one->fetches_count == 1);

    peers_set(two->peers, &nobody); /* closes the link it has asked on */
    assert_int_equal(peers_chunk(one->peers, 2, &chunk), ST_OK);
    UNTIL(&fixture, peers_chunk(one->peers, 2, &chunk) == ST_CLOSED);
    run_for(&fixture, MILLISECONDS(20));
    assert_int_equal(two->chunks_count, 0);

    buf_reset(&two->trace);
    peers_set(two->peers, &fixture.config);
    UNTIL(&fixture, node_saw(two, "up 1;"));
    fetch.number = chunk.number = 2;
    assert_int_equal(peers_fetch(two->peers, 1, &fetch), ST_OK);
    UNTIL(&fixture, one->fetches_count == 2);
    assert_int_equal(peers_chunk(one->peers, 2, &chunk), ST_OK);
    UNTIL(&fixture, two->chunks_count == 1);
    assert_int_equal(two->chunk_seen.number, 2);
    fixture_close(&fixture);
}

static void put_chunk(struct buf *out, const struct snapshot_chunk *chunk)
{
    size_t begin = frame_begin(out, FRAME_CHUNK);
    snapshot_chunk_encode(chunk, out);
    frame_end(out, begin);
}

static void half_a_chunk_is_none_and_is_not_joined_with_the_next_link(void **state)
{
    struct fixture fixture;
    struct actor actor;
    struct snapshot_chunk chunk = chunk_at(1, 0, BYTES_LITERAL("0123456789"));
    actor_open(&actor, &fixture, PATIENCE * 2);
    actor_welcome(&actor, &fixture, 1);
    struct test_node *node = &fixture.nodes[1];

    buf_reset(&actor.out);
    put_chunk(&actor.out, &chunk);
    raw_send(actor.fd, bytes_of(actor.out.data, actor.out.count - 5));
    run_for(&fixture, MILLISECONDS(20));
    close(actor.fd);
    actor.fd = -1;
    UNTIL(&fixture, node_saw(node, "dead 2;"));
    actor_welcome(&actor, &fixture, 1);
    buf_reset(&actor.out);
    chunk.number = 2;
    put_chunk(&actor.out, &chunk);
    raw_send(actor.fd, buf_bytes(&actor.out));
    UNTIL(&fixture, node->chunks_count == 1);

    assert_int_equal(node->chunk_seen.number, 2);
    assert_string_equal(buf_text(&node->pieces), "0123456789");
    assert_string_equal(buf_text(&node->trace), "up 2;dead 2;up 2;");
    actor_close(&actor, &fixture);
}

/* The process behind the link dials in as another one: this side gives the old link up, and does
 * not read what still comes on it. */
static void a_chunk_on_a_link_that_was_given_up_is_discarded(void **state)
{
    struct fixture fixture;
    struct actor actor;
    struct snapshot_chunk chunk = chunk_at(1, 0, BYTES_LITERAL("old"));
    actor_open(&actor, &fixture, PATIENCE * 2);
    actor_welcome(&actor, &fixture, 1);
    struct test_node *node = &fixture.nodes[1];
    int old_fd = actor.fd, fd = raw_connect(fixture.ports[1]);
    actor.fd = -1;
    struct hello hello = hello_from(2, 1);
    hello.incarnation = 2;

    buf_reset(&actor.out);
    put_hello(&actor.out, &hello);
    raw_send(fd, buf_bytes(&actor.out));
    UNTIL(&fixture, node_saw(node, "closed 2;"));
    buf_reset(&actor.out);
    put_chunk(&actor.out, &chunk);
    (void)send(old_fd, actor.out.data, actor.out.count, MSG_NOSIGNAL); /* may be closed already */
    actor_welcome(&actor, &fixture, 2);
    buf_reset(&actor.out);
    chunk.bytes = BYTES_LITERAL("new");
    put_chunk(&actor.out, &chunk);
    raw_send(actor.fd, buf_bytes(&actor.out));
    UNTIL(&fixture, node->chunks_count == 1);

    assert_string_equal(buf_text(&node->pieces), "new");
    close(old_fd);
    close(fd);
    actor_close(&actor, &fixture);
}

/* ---- a peer that does not read ---- */

static int guest_of(struct fixture *fixture, struct buf *in)
{
    struct buf out;
    struct bytes body;
    struct hello hello = hello_from(2, 1);
    int fd = raw_connect(fixture->ports[1]);
    buf_init(&out, 4096);
    put_hello(&out, &hello);
    raw_send(fd, buf_bytes(&out));
    UNTIL(fixture, raw_received(fd, in, FRAME_WELCOME, &body));
    buf_consume(in, FRAME_HEADER_BYTES + body.count);
    buf_release(&out);
    return fd;
}

static void chunks_wait_up_to_a_bound_and_leave_room_for_pongs(void **state)
{
    struct fixture fixture;
    struct buf in, ping;
    fixture_plan(&fixture, 2);
    struct test_node *node = fixture_start(&fixture, 1);
    buf_init(&in, 64 * MIB);
    buf_init(&ping, 4096);
    int fd = guest_of(&fixture, &in);
    file = make_file();
    struct bytes noise = bytes_of(file + FILE_BYTES / 2 + 1, LIMIT_SNAPSHOT_CHUNK_BYTES);
    struct snapshot_chunk chunk = chunk_at(1, 0, noise);
    struct snapshot_chunk busy = {
        .number = 1, .snapshot = snapshot, .offset = 0, .state = CHUNK_BUSY};
    unsigned taken = 0;

    while (peers_chunk(node->peers, 2, &chunk) == ST_OK) /* all in one turn: none can leave */
        chunk.number = ++taken + 1;
    assert_int_equal(taken, LIMIT_CHUNKS_BYTES / LIMIT_SNAPSHOT_CHUNK_BYTES - 1);
    while (peers_chunk(node->peers, 2, &busy) == ST_OK)
        taken++;
    put_frame(&ping, FRAME_PING, BYTES_LITERAL("12345678"));
    for (int i = 0; i < 100; i++)
        raw_send(fd, buf_bytes(&ping));

    unsigned chunks = 0, pongs = 0;
    struct bytes body;
    while (pongs < 100) {
        enum frame_type type;
        size_t count;
        UNTIL(&fixture, !raw_ended(fd, &in) && frame_next(buf_bytes(&in), LIMIT_FRAME_BYTES, &type,
                                                          &body, &count) == ST_OK);
        chunks += type == FRAME_CHUNK;
        pongs += type == FRAME_PONG;
        buf_consume(&in, count);
    }
    assert_int_equal(chunks, taken);
    assert_int_equal(peers_chunk(node->peers, 2, &chunk), ST_OK); /* there is room again */

    mem_free(file);
    close(fd);
    buf_release(&in);
    buf_release(&ping);
    fixture_close(&fixture);
}

/* Reads what has left the node, without letting it send more; true once it is that much. */
static bool has_left(int fd, struct buf *in, size_t bytes_count)
{
    (void)raw_ended(fd, in);
    return in->count >= bytes_count;
}

static void a_peer_that_never_reads_has_no_more_queued_than_the_bound(void **state)
{
    struct fixture fixture;
    struct buf in;
    fixture_plan(&fixture, 2);
    struct test_node *node = fixture_start(&fixture, 1);
    buf_init(&in, 64 * MIB);
    int fd = guest_of(&fixture, &in);
    file = make_file();
    struct snapshot_chunk chunk =
        chunk_at(1, 0, bytes_of(file + FILE_BYTES / 2 + 1, LIMIT_SNAPSHOT_CHUNK_BYTES));

    size_t taken_bytes = 0,
           chunk_bytes = FRAME_HEADER_BYTES + SNAPSHOT_CHUNK_HEADER_BYTES + chunk.bytes.count;
    int refused_in_a_row = 0; /* turns of the loop that let nothing more leave */
    for (int round = 0; round < 2000 && refused_in_a_row < 20; round++) {
        bool is_taken = peers_chunk(node->peers, 2, &chunk) == ST_OK;
        refused_in_a_row = is_taken ? 0 : refused_in_a_row + 1;
        taken_bytes += is_taken ? chunk_bytes : 0;
        (void)uv_env_run_until(fixture.env, fixture_never, NULL, MILLISECONDS(1));
    }

    assert_int_equal(refused_in_a_row, 20);
    for (time_us start = clock_now(); !has_left(fd, &in, taken_bytes - LIMIT_CHUNKS_BYTES);)
        if (clock_now() - start > PATIENCE)
            fail_msg("only %zu of %zu bytes have left", in.count, taken_bytes);
    assert_false(raw_ended(fd, &in)); /* slow is no offence */
    mem_free(file);
    close(fd);
    buf_release(&in);
    fixture_close(&fixture);
}

/* ---- bytes that no node sends ---- */

static void fetches_out_of_shape_close_the_link(void **state)
{
    struct fixture fixture;
    struct buf in, good, out;
    fixture_plan(&fixture, 2);
    struct test_node *node = fixture_start(&fixture, 1);
    struct snapshot_fetch fetch = fetch_at(1, 0);
    buf_init(&in, MIB);
    buf_init(&good, 4096);
    buf_init(&out, 4096);
    snapshot_fetch_encode(&fetch, &good);
    buf_put_u8(&good, 0);

    for (size_t count = 0; count <= SNAPSHOT_FETCH_BYTES + 1; count++) {
        bool is_good = count == SNAPSHOT_FETCH_BYTES;
        int fd = guest_of(&fixture, &in);
        buf_reset(&out);
        put_frame(&out, FRAME_FETCH, bytes_of(good.data, count));
        raw_send(fd, buf_bytes(&out));
        UNTIL(&fixture, is_good ? node->fetches_count == 1 : raw_ended(fd, &in));
        close(fd);
        buf_reset(&in);
    }

    assert_int_equal(node->fetches_count, 1);
    buf_release(&in);
    buf_release(&good);
    buf_release(&out);
    fixture_close(&fixture);
}

/* A chunk whose body has been made a lie. */
static void put_bad_chunk(struct buf *out, int which)
{
    static const uint8_t packed[] = {0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x30, 0x85, 0x00, 0x00,
                                     0x50, 0x6b, 0x65, 0x79, 0x20, 0x76, 0x61, 0x6c, 0x75,
                                     0x65, 0x20, 0x01, 0x00, 0xfb, 0x14, 0x24}; /* of 48 bytes */
    enum { UNPACKED = 44, COUNT = 48, BYTES = 52 };                             /* offsets */
    struct snapshot_chunk chunk = chunk_at(1, 0, bytes_of(packed, sizeof packed));
    struct buf body;
    chunk.unpacked_bytes = 48;
    buf_init(&body, MIB);
    snapshot_chunk_encode(&chunk, &body);
    if (which == 0)
        store_u32(body.data + UNPACKED, LIMIT_SNAPSHOT_CHUNK_BYTES + 1); /* beyond the limit */
    else if (which == 1)
        store_u32(body.data + UNPACKED, LIMIT_SNAPSHOT_CHUNK_BYTES); /* the frame says 48 */
    else if (which == 2)
        body.data[BYTES + 5] = 200, store_u32(body.data + UNPACKED, 200); /* so the frame lies */
    else if (which == 3)
        memset(body.data + BYTES, 'x', sizeof packed); /* garbage */
    else if (which == 4)
        store_u32(body.data + COUNT, sizeof packed - 1), body.count--; /* truncated */
    else if (which == 5)
        store_u32(body.data + COUNT, UINT32_MAX);
    else if (which == 6)
        store_u32(body.data + COUNT, sizeof packed + 1), buf_put_u8(&body, 0); /* one more */
    put_frame(out, FRAME_CHUNK, buf_bytes(&body));
    buf_release(&body);
}

enum { BAD_CHUNKS = 7 };

static void chunks_out_of_shape_close_the_link_and_reach_nobody(void **state)
{
    struct fixture fixture;
    struct actor actor;
    actor_open(&actor, &fixture, PATIENCE * 2);
    struct test_node *node = &fixture.nodes[1];

    for (int which = 0; which <= BAD_CHUNKS; which++) {
        buf_reset(&node->trace);
        actor_welcome(&actor, &fixture, 1);
        buf_reset(&actor.out);
        put_bad_chunk(&actor.out, which); /* the last is a good one */
        raw_send(actor.fd, buf_bytes(&actor.out));
        if (which < BAD_CHUNKS)
            UNTIL(&fixture, node_saw(node, "closed 2;"));
        assert_int_equal(node->chunks_count, 0);
    }

    UNTIL(&fixture, node->chunks_count == 1);
    assert_string_equal(buf_text(&node->pieces),
                        "key value key value key value key value key valu");
    assert_int_equal(stats_of(node).snapshot_received_bytes, 48);
    actor_close(&actor, &fixture);
}

static void neither_is_taken_before_the_welcome_nor_the_wrong_way_round(void **state)
{
    struct fixture fixture;
    struct actor actor;
    struct bytes body;
    struct snapshot_chunk chunk = chunk_at(1, 0, BYTES_LITERAL("abc"));
    struct snapshot_fetch fetch = fetch_at(1, 0);
    actor_open(&actor, &fixture, PATIENCE * 2);
    struct test_node *node = &fixture.nodes[1];

    UNTIL(&fixture, raw_accepted(actor.listener, &actor.fd));
    UNTIL(&fixture, raw_received(actor.fd, &actor.in, FRAME_HELLO, &body));
    put_chunk(&actor.out, &chunk);
    raw_send(actor.fd, buf_bytes(&actor.out));
    UNTIL(&fixture, raw_ended(actor.fd, &actor.in));
    assert_int_equal(node->trace.count, 0);

    actor_welcome(&actor, &fixture, 1);
    buf_reset(&actor.out);
    size_t begin = frame_begin(&actor.out, FRAME_FETCH);
    snapshot_fetch_encode(&fetch, &actor.out);
    frame_end(&actor.out, begin);
    raw_send(actor.fd, buf_bytes(&actor.out));
    UNTIL(&fixture, node_saw(node, "closed 2;"));

    assert_int_equal(node->chunks_count, 0);
    assert_int_equal(node->fetches_count, 0);
    actor_close(&actor, &fixture);
}

int main(void)
{
    diag_set_level(DIAG_ERROR); /* the complaints are expected */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_comes_over_in_pieces),
        cmocka_unit_test(what_is_asked_for_arrives_as_it_was_asked),
        cmocka_unit_test(an_answer_may_be_that_there_is_nothing),
        cmocka_unit_test(without_a_welcomed_link_nothing_is_asked_or_answered),
        cmocka_unit_test(a_node_that_has_no_use_for_them_drops_them),
        cmocka_unit_test(a_link_lost_between_fetch_and_chunk_loses_the_chunk_and_nothing_else),
        cmocka_unit_test(half_a_chunk_is_none_and_is_not_joined_with_the_next_link),
        cmocka_unit_test(a_chunk_on_a_link_that_was_given_up_is_discarded),
        cmocka_unit_test(chunks_wait_up_to_a_bound_and_leave_room_for_pongs),
        cmocka_unit_test(a_peer_that_never_reads_has_no_more_queued_than_the_bound),
        cmocka_unit_test(fetches_out_of_shape_close_the_link),
        cmocka_unit_test(chunks_out_of_shape_close_the_link_and_reach_nobody),
        cmocka_unit_test(neither_is_taken_before_the_welcome_nor_the_wrong_way_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
