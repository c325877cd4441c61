/* Guests, and addresses that the configuration here does not know, or not any more: who dials in
 * says where it is reached. */
#include "peer_fixture.h"

/* Nodes 1, 2 and 3 listen; node 1 knows of 1 and 2 only. */
static void open_with_guest(struct fixture *fixture)
{
    fixture_plan(fixture, 3);
    for (node_id id = 1; id <= 3; id++)
        fixture_start(fixture, id);
    struct config known = {.members_count = 2,
                           .members = {fixture->config.members[0], fixture->config.members[1]}};
    peers_set(fixture->nodes[1].peers, &known);
}

static bool dials(struct test_node *node, node_id peer)
{
    struct peer_stats stats[LIMIT_MEMBERS + LIMIT_GUESTS];
    size_t count = peers_stats(node->peers, stats, ARRAY_COUNT(stats));
    for (size_t i = 0; i < count; i++)
        if (stats[i].id == peer)
            return true;
    return false;
}

static void stop(struct test_node *node)
{
    peers_close(node->peers);
    node->peers = NULL;
}

static void a_guest_is_dialled_where_it_says(void **state)
{
    struct fixture fixture;
    open_with_guest(&fixture);

    peers_set(fixture.nodes[3].peers, &fixture.config);
    UNTIL(&fixture, node_saw(&fixture.nodes[1], "up 3;"));

    struct message message = heartbeat(1, 3, 1);
    peers_send(fixture.nodes[1].peers, &message, NULL);
    UNTIL(&fixture, fixture.nodes[3].messages_count == 1);
    fixture_close(&fixture);
}

static void a_guest_that_becomes_a_member_keeps_its_link(void **state)
{
    struct fixture fixture;
    open_with_guest(&fixture);
    peers_set(fixture.nodes[3].peers, &fixture.config);
    UNTIL(&fixture, node_saw(&fixture.nodes[1], "up 3;"));

    peers_set(fixture.nodes[1].peers, &fixture.config);
    run_for(&fixture, MILLISECONDS(100));
    assert_true(node_saw(&fixture.nodes[1], "up 3;"));

    stop(&fixture.nodes[3]);
    run_for(&fixture, MILLISECONDS(100));
    assert_true(dials(&fixture.nodes[1], 3)); /* a guest would have gone */
    fixture_close(&fixture);
}

/* Who joins is told of members that the first configuration in its log does not have yet. */
static void who_is_connected_stays_so_when_the_configuration_has_it_no_more(void **state)
{
    struct fixture fixture;
    fixture_open_pair(&fixture);
    struct config alone = {.members_count = 1, .members = {fixture.config.members[0]}};

    peers_set(fixture.nodes[1].peers, &alone);
    run_for(&fixture, MILLISECONDS(100));

    assert_true(dials(&fixture.nodes[1], 2));
    assert_string_equal(buf_text(&fixture.nodes[1].trace), "up 2;");
    stop(&fixture.nodes[2]);
    UNTIL(&fixture, !dials(&fixture.nodes[1], 2));
    fixture_close(&fixture);
}

static void a_guest_that_has_gone_is_dialled_no_more(void **state)
{
    struct fixture fixture;
    open_with_guest(&fixture);
    peers_set(fixture.nodes[3].peers, &fixture.config);
    UNTIL(&fixture, node_saw(&fixture.nodes[1], "up 3;"));

    stop(&fixture.nodes[3]);

    UNTIL(&fixture, !dials(&fixture.nodes[1], 3));
    assert_true(dials(&fixture.nodes[1], 2));
    fixture_close(&fixture);
}

/* As one that joins, when its log has come to where it is a member. */
static void a_guest_that_learns_its_own_address_says_so(void **state)
{
    struct fixture fixture;
    open_with_guest(&fixture);
    struct config others = {.members_count = 2,
                            .members = {fixture.config.members[0], fixture.config.members[1]}};
    peers_set(fixture.nodes[3].peers, &others);
    UNTIL(&fixture,
          node_saw(&fixture.nodes[3], "up 1;up 2;") || node_saw(&fixture.nodes[3], "up 2;up 1;"));
    assert_false(dials(&fixture.nodes[1], 3));

    peers_set(fixture.nodes[3].peers, &fixture.config);

    UNTIL(&fixture, node_saw(&fixture.nodes[1], "up 3;"));
    fixture_close(&fixture);
}

static void a_guest_that_says_nothing_of_itself_is_not_dialled(void **state)
{
    struct fixture fixture;
    open_with_guest(&fixture);
    struct config others = {.members_count = 2,
                            .members = {fixture.config.members[0], fixture.config.members[1]}};

    peers_set(fixture.nodes[3].peers, &others);
    UNTIL(&fixture,
          node_saw(&fixture.nodes[3], "up 1;up 2;") || node_saw(&fixture.nodes[3], "up 2;up 1;"));
    run_for(&fixture, MILLISECONDS(50));

    assert_false(dials(&fixture.nodes[1], 3));
    fixture_close(&fixture);
}

/* Bare sockets that say they are nodes 10, 11 and so on. */
static void let_crowd_in(struct fixture *fixture, int *crowd, int count)
{
    for (int i = 0; i < count; i++) {
        struct hello hello = hello_from((node_id)(10 + i), 1);
        struct bytes body;
        struct buf in, out;
        hello.peer = local_address(fixture->ports[3]);
        buf_init(&in, MIB);
        buf_init(&out, MIB);
        put_hello(&out, &hello);
        crowd[i] = raw_connect(fixture->ports[1]);
        raw_send(crowd[i], buf_bytes(&out));
        UNTIL(fixture, raw_received(crowd[i], &in, FRAME_WELCOME, &body));
        buf_release(&in);
        buf_release(&out);
    }
}

static void no_more_guests_are_dialled_than_the_limit(void **state)
{
    struct fixture fixture;
    int crowd[LIMIT_GUESTS + 1];
    open_with_guest(&fixture);
    let_crowd_in(&fixture, crowd, LIMIT_GUESTS + 1);

    assert_true(dials(&fixture.nodes[1], 10 + LIMIT_GUESTS - 1));
    assert_false(dials(&fixture.nodes[1], 10 + LIMIT_GUESTS));
    assert_true(dials(&fixture.nodes[1], 2));
    for (int i = 0; i <= LIMIT_GUESTS; i++)
        close(crowd[i]);
    fixture_close(&fixture);
}

static void a_guest_for_whom_there_was_no_place_is_dialled_when_there_is_one(void **state)
{
    struct fixture fixture;
    int crowd[LIMIT_GUESTS];
    open_with_guest(&fixture);
    let_crowd_in(&fixture, crowd, LIMIT_GUESTS);
    peers_set(fixture.nodes[3].peers, &fixture.config);
    UNTIL(&fixture,
          node_saw(&fixture.nodes[3], "up 1;up 2;") || node_saw(&fixture.nodes[3], "up 2;up 1;"));
    assert_false(dials(&fixture.nodes[1], 3));

    for (int i = 0; i < LIMIT_GUESTS; i++)
        close(crowd[i]);

    UNTIL(&fixture, dials(&fixture.nodes[1], 3));
    fixture_close(&fixture);
}

static void a_member_that_has_moved_is_found_by_what_it_says(void **state)
{
    struct fixture fixture;
    fixture_plan(&fixture, 2);
    struct config old = fixture.config;
    old.members[1].peer.port = free_port(); /* nobody there */
    fixture_start(&fixture, 1);
    fixture_start(&fixture, 2);
    peers_set(fixture.nodes[1].peers, &old);
    run_for(&fixture, MILLISECONDS(50));
    assert_int_equal(fixture.nodes[1].trace.count, 0);

    peers_set(fixture.nodes[2].peers, &fixture.config);

    UNTIL(&fixture, node_saw(&fixture.nodes[1], "up 2;"));
    fixture_close(&fixture);
}

/* A member that has moved may itself not know yet: then the configuration is right. */
static void where_nobody_answers_the_configuration_is_tried_again(void **state)
{
    struct fixture fixture;
    struct buf out;
    fixture_plan(&fixture, 2);
    fixture_start(&fixture, 1);
    peers_set(fixture.nodes[1].peers, &fixture.config);
    struct hello hello = hello_from(2, 1);
    hello.peer = local_address(free_port());
    buf_init(&out, MIB);
    put_hello(&out, &hello);
    int fd = raw_connect(fixture.ports[1]);
    raw_send(fd, buf_bytes(&out));
    UNTIL(&fixture, fixture.nodes[1].hellos_count == 1);

    fixture_start(&fixture, 2);

    UNTIL(&fixture, node_saw(&fixture.nodes[1], "up 2;"));
    buf_release(&out);
    close(fd);
    fixture_close(&fixture);
}

static void who_may_not_stay_is_told_goodbye(void **state)
{
    struct fixture fixture;
    fixture_open_pair(&fixture);
    peers_review(fixture.nodes[1].peers);
    run_for(&fixture, MILLISECONDS(50));
    assert_string_equal(buf_text(&fixture.nodes[2].trace), "up 1;");

    fixture.nodes[1].refusal_answer = REFUSAL_MEMBER;
    peers_review(fixture.nodes[1].peers);

    /* closed, not dead; then refused with the reason */
    UNTIL(&fixture, node_saw(&fixture.nodes[2], "up 1;closed 1;closed 1;"));
    assert_int_equal(stats_of(&fixture.nodes[2]).refused, REFUSAL_MEMBER);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_guest_is_dialled_where_it_says),
        cmocka_unit_test(a_guest_that_becomes_a_member_keeps_its_link),
        cmocka_unit_test(who_is_connected_stays_so_when_the_configuration_has_it_no_more),
        cmocka_unit_test(a_guest_that_has_gone_is_dialled_no_more),
        cmocka_unit_test(a_guest_that_learns_its_own_address_says_so),
        cmocka_unit_test(a_guest_that_says_nothing_of_itself_is_not_dialled),
        cmocka_unit_test(no_more_guests_are_dialled_than_the_limit),
        cmocka_unit_test(a_guest_for_whom_there_was_no_place_is_dialled_when_there_is_one),
        cmocka_unit_test(a_member_that_has_moved_is_found_by_what_it_says),
        cmocka_unit_test(where_nobody_answers_the_configuration_is_tried_again),
        cmocka_unit_test(who_may_not_stay_is_told_goodbye),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
