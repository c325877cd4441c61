/* Who gets in: what a hello must say, and what becomes of those who say something else. */
#include "peer_fixture.h"

/* A bare socket against node 1, with a second configured member, 2. */
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
    guest->fd = raw_connect(guest->fixture.ports[1]);
    buf_init(&guest->in, MIB);
    buf_init(&guest->out, MIB);
}

static void guest_close(struct guest *guest)
{
    close(guest->fd);
    buf_release(&guest->in);
    buf_release(&guest->out);
    fixture_close(&guest->fixture);
}

static void guest_send(struct guest *guest)
{
    raw_send(guest->fd, buf_bytes(&guest->out));
    buf_reset(&guest->out);
}

static enum refusal refusal_of(const struct hello *hello, enum refusal answer,
                               uint64_t *out_hellos_count)
{
    struct guest guest;
    struct bytes body;
    enum refusal refusal = 0;
    guest_open(&guest);
    guest.node->refusal_answer = answer;
    put_hello(&guest.out, hello);
    guest_send(&guest);
    UNTIL(&guest.fixture, raw_received(guest.fd, &guest.in, FRAME_REFUSE, &body));
    assert_int_equal(refusal_decode(body, &refusal), ST_OK);
    UNTIL(&guest.fixture, raw_ended(guest.fd, &guest.in));
    *out_hellos_count = guest.node->hellos_count;
    guest_close(&guest);
    return refusal;
}

static void a_good_hello_is_welcomed(void **state)
{
    struct guest guest;
    struct bytes body;
    struct welcome welcome;
    struct hello hello = hello_from(2, 1);
    guest_open(&guest);
    guest.node->welcome_answer = (struct welcome){.term = 3, .taken = 17};

    put_hello(&guest.out, &hello);
    guest_send(&guest);
    UNTIL(&guest.fixture, raw_received(guest.fd, &guest.in, FRAME_WELCOME, &body));

    assert_int_equal(welcome_decode(body, &welcome), ST_OK);
    assert_int_equal(welcome.incarnation, 7001);
    assert_int_equal(welcome.term, 3);
    assert_int_equal(welcome.taken, 17);
    guest_close(&guest);
}

static void another_version_is_refused_whatever_follows_it(void **state)
{
    uint64_t hellos_count;
    struct hello hello = hello_from(2, 1);
    hello.version = WIRE_VERSION + 1;

    assert_int_equal(refusal_of(&hello, 0, &hellos_count), REFUSAL_VERSION);
    assert_int_equal(hellos_count, 0);
}

static void another_cluster_is_refused(void **state)
{
    uint64_t hellos_count;
    struct hello hello = hello_from(2, 1);
    hello.cluster_id++;

    assert_int_equal(refusal_of(&hello, 0, &hellos_count), REFUSAL_CLUSTER);
    assert_int_equal(hellos_count, 0);
}

static void a_hello_for_another_node_is_refused(void **state)
{
    uint64_t hellos_count;
    struct hello hello = hello_from(2, 3);

    assert_int_equal(refusal_of(&hello, 0, &hellos_count), REFUSAL_ADDRESSEE);
    assert_int_equal(hellos_count, 0);
}

static void the_id_of_the_node_itself_is_refused(void **state)
{
    uint64_t hellos_count;
    struct hello hello = hello_from(1, 1);

    assert_int_equal(refusal_of(&hello, 0, &hellos_count), REFUSAL_SELF);
    assert_int_equal(hellos_count, 0);
}

static void the_node_itself_may_refuse(void **state)
{
    uint64_t hellos_count;
    struct hello hello = hello_from(2, 1);

    assert_int_equal(refusal_of(&hello, REFUSAL_IDENTITY, &hellos_count), REFUSAL_IDENTITY);
    assert_int_equal(hellos_count, 1);
}

static void a_refused_node_reports_it_once_and_knocks_on(void **state)
{
    struct fixture fixture;
    fixture_plan(&fixture, 2);
    fixture_start(&fixture, 1);
    fixture_start(&fixture, 2)->refusal_answer = REFUSAL_MEMBER;

    peers_set(fixture.nodes[1].peers, &fixture.config);
    UNTIL(&fixture, fixture.nodes[2].hellos_count >= 4);

    assert_string_equal(buf_text(&fixture.nodes[1].trace), "closed 2;");
    assert_int_equal(stats_of(&fixture.nodes[1]).refused, REFUSAL_MEMBER);
    fixture.nodes[2].refusal_answer = 0;
    UNTIL(&fixture, node_saw(&fixture.nodes[1], "closed 2;up 2;"));
    assert_int_equal(stats_of(&fixture.nodes[1]).refused, 0);
    fixture_close(&fixture);
}

static void a_refused_node_knocks_ever_more_rarely(void **state)
{
    struct fixture fixture;
    fixture_plan(&fixture, 2);
    fixture_start(&fixture, 1);
    fixture_start(&fixture, 2)->refusal_answer = REFUSAL_MEMBER;

    peers_set(fixture.nodes[1].peers, &fixture.config);
    run_for(&fixture, MILLISECONDS(600)); /* after 0, 10, 30, 70, 150, 310, 630 ms or half of it */

    assert_in_range(fixture.nodes[2].hellos_count, 1, 9);
    UNTIL(&fixture, fixture.nodes[2].hellos_count >= 3);
    fixture_close(&fixture);
}

static void swapped_addresses_are_noticed(void **state)
{
    struct fixture fixture;
    fixture_plan(&fixture, 3);
    for (node_id id = 1; id <= 3; id++)
        fixture_start(&fixture, id);
    struct config swapped = fixture.config;
    swapped.members[1].peer = fixture.config.members[2].peer;
    swapped.members[2].peer = fixture.config.members[1].peer;

    peers_set(fixture.nodes[1].peers, &swapped);
    UNTIL(&fixture, node_saw(&fixture.nodes[1], "closed 2;closed 3;") ||
                        node_saw(&fixture.nodes[1], "closed 3;closed 2;"));

    assert_int_equal(stats_of(&fixture.nodes[1]).refused, REFUSAL_ADDRESSEE);
    assert_int_equal(fixture.nodes[2].hellos_count + fixture.nodes[3].hellos_count, 0);
    fixture_close(&fixture);
}

static void whoever_says_no_hello_is_closed(void **state)
{
    struct guest guest;
    time_us start = clock_now();
    guest_open(&guest);
    struct hello hello = hello_from(2, 1);
    put_hello(&guest.out, &hello);
    guest.out.count -= 1; /* all but the last byte */
    guest_send(&guest);

    UNTIL(&guest.fixture, raw_ended(guest.fd, &guest.in));

    assert_true(clock_now() - start >= MILLISECONDS(1500));
    assert_int_equal(guest.in.count, 0);
    assert_int_equal(guest.node->hellos_count, 0);
    guest_close(&guest);
}

static void a_greeted_link_is_not_closed_for_having_been_slow(void **state)
{
    struct guest guest;
    struct hello hello = hello_from(2, 1);
    guest_open(&guest);
    put_hello(&guest.out, &hello);
    guest_send(&guest);

    run_for(&guest.fixture, MILLISECONDS(2300));

    assert_false(raw_ended(guest.fd, &guest.in));
    guest_close(&guest);
}

static void more_links_than_the_limit_push_out_the_oldest_that_is_not_greeted(void **state)
{
    struct guest guest;
    struct hello hello = hello_from(2, 1);
    int crowd[LIMIT_LINKS_INBOUND];
    guest_open(&guest);
    put_hello(&guest.out, &hello);
    guest_send(&guest);
    UNTIL(&guest.fixture, guest.node->hellos_count == 1);

    for (int i = 0; i < LIMIT_LINKS_INBOUND; i++)
        crowd[i] = raw_connect(guest.fixture.ports[1]);
    UNTIL(&guest.fixture, raw_ended(crowd[0], &guest.in)); /* one too many: the oldest goes */

    for (int i = 1; i < LIMIT_LINKS_INBOUND; i++)
        assert_false(raw_ended(crowd[i], &guest.in));
    buf_reset(&guest.in);
    put_frame(&guest.out, FRAME_PING, BYTES_LITERAL("12345678"));
    guest_send(&guest);
    UNTIL(&guest.fixture, (raw_ended(guest.fd, &guest.in), guest.in.count > 0));
    for (int i = 0; i < LIMIT_LINKS_INBOUND; i++)
        close(crowd[i]);
    guest_close(&guest);
}

static void greeted_links_beyond_the_limit_push_out_the_most_silent(void **state)
{
    struct guest guest;
    int crowd[LIMIT_LINKS_INBOUND];
    guest_open(&guest); /* connected first, silent */
    close(guest.fd);
    guest.fd = -1;
    for (int i = 0; i < LIMIT_LINKS_INBOUND; i++) {
        struct hello hello = hello_from((node_id)(10 + i), 1);
        crowd[i] = raw_connect(guest.fixture.ports[1]);
        buf_reset(&guest.out);
        put_hello(&guest.out, &hello);
        raw_send(crowd[i], buf_bytes(&guest.out));
        UNTIL(&guest.fixture, guest.node->hellos_count == (uint64_t)i + 1);
    }
    buf_reset(&guest.out);
    put_frame(&guest.out, FRAME_PING, BYTES_LITERAL("12345678"));
    raw_send(crowd[0], buf_bytes(&guest.out)); /* no longer the most silent one */
    run_for(&guest.fixture, MILLISECONDS(10));

    guest.fd = raw_connect(guest.fixture.ports[1]);
    UNTIL(&guest.fixture, raw_ended(crowd[1], &guest.in));

    assert_false(raw_ended(crowd[0], &guest.in));
    assert_false(raw_ended(crowd[2], &guest.in));
    for (int i = 0; i < LIMIT_LINKS_INBOUND; i++)
        close(crowd[i]);
    guest_close(&guest);
}

static void a_newer_link_closes_the_older_one_unread(void **state)
{
    struct guest guest;
    struct hello hello = hello_from(2, 1);
    struct message first = heartbeat(2, 1, 1), second = heartbeat(2, 1, 2);
    struct buf newer_in;
    guest_open(&guest);
    buf_init(&newer_in, MIB);
    peers_set(guest.node->peers, &guest.fixture.config);
    put_hello(&guest.out, &hello);
    put_message(&guest.out, &first);
    guest_send(&guest);
    UNTIL(&guest.fixture, guest.node->messages_count == 1);
    put_message(&guest.out, &second); /* half of it arrives before the newer hello */
    size_t half = guest.out.count / 2;
    raw_send(guest.fd, bytes_of(guest.out.data, half));
    run_for(&guest.fixture, MILLISECONDS(5));

    int newer = raw_connect(guest.fixture.ports[1]);
    struct buf newer_out;
    buf_init(&newer_out, MIB);
    put_hello(&newer_out, &hello);
    raw_send(newer, buf_bytes(&newer_out));
    UNTIL(&guest.fixture, guest.node->hellos_count == 2);
    (void)send(guest.fd, guest.out.data + half, guest.out.count - half, MSG_NOSIGNAL);
    UNTIL(&guest.fixture, raw_ended(guest.fd, &guest.in));

    /* The older one was told; nothing more of it was delivered; nobody was taken for dead. */
    assert_int_equal(guest.node->messages_count, 1);
    assert_int_equal(guest.node->trace.count, 0);
    assert_int_equal(guest.in.data[guest.in.count - 4], FRAME_BYE);
    assert_false(raw_ended(newer, &newer_in));
    close(newer);
    buf_release(&newer_in);
    buf_release(&newer_out);
    guest_close(&guest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_hello_is_welcomed),
        cmocka_unit_test(another_version_is_refused_whatever_follows_it),
        cmocka_unit_test(another_cluster_is_refused),
        cmocka_unit_test(a_hello_for_another_node_is_refused),
        cmocka_unit_test(the_id_of_the_node_itself_is_refused),
        cmocka_unit_test(the_node_itself_may_refuse),
        cmocka_unit_test(a_refused_node_reports_it_once_and_knocks_on),
        cmocka_unit_test(a_refused_node_knocks_ever_more_rarely),
        cmocka_unit_test(swapped_addresses_are_noticed),
        cmocka_unit_test(whoever_says_no_hello_is_closed),
        cmocka_unit_test(a_greeted_link_is_not_closed_for_having_been_slow),
        cmocka_unit_test(more_links_than_the_limit_push_out_the_oldest_that_is_not_greeted),
        cmocka_unit_test(greeted_links_beyond_the_limit_push_out_the_most_silent),
        cmocka_unit_test(a_newer_link_closes_the_older_one_unread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
