/* Links between nodes that behave: what is sent arrives, once, in order, and batched. */
#include "peer_fixture.h"

static void what_is_sent_arrives_in_order(void **state)
{
    struct fixture fixture;
    fixture_open_pair(&fixture);
    struct test_node *node = &fixture.nodes[2];
    struct address http = local_address(8081);

    for (uint64_t round = 1; round <= 20000; round++) {
        struct message message = heartbeat(1, 2, round);
        peers_send(fixture.nodes[1].peers, &message, &http);
        if (round % 1000 == 0)
            UNTIL(&fixture, node->round_last == round);
    }

    assert_false(node->is_out_of_order);
    assert_int_equal(node->messages_count, 20000);
    assert_string_equal(node->leader_http, "127.0.0.1:8081");
    assert_int_equal(stats_of(&fixture.nodes[1]).dropped_count, 0);
    fixture_close(&fixture);
}

static struct entry *entry_of(raft_index index, size_t data_bytes)
{
    struct entry *entry = entry_new(ENTRY_COMMAND, data_bytes);
    memset(entry->data, (int)index, data_bytes);
    entry_seal(entry, (struct entry_id){.term = 5, .index = index});
    return entry;
}

static void messages_larger_than_one_read_arrive_whole(void **state)
{
    struct fixture fixture;
    fixture_open_pair(&fixture);
    struct entry *entries[2] = {entry_of(1, LIMIT_ENTRY_BYTES), entry_of(2, 500000)};
    struct message message = heartbeat(1, 2, 1);
    message.append.entries = entries;
    message.append.entries_count = 2;

    for (int i = 0; i < 8; i++) {
        peers_send(fixture.nodes[1].peers, &message, NULL);
        message.append.read_round++;
    }
    UNTIL(&fixture, fixture.nodes[2].round_last == 8);

    assert_int_equal(fixture.nodes[2].entries_count, 16);
    assert_false(fixture.nodes[2].is_out_of_order);
    assert_true(node_saw(&fixture.nodes[1], "up 2;"));
    entry_unref(entries[0]);
    entry_unref(entries[1]);
    fixture_close(&fixture);
}

static void three_nodes_talk_each_to_each(void **state)
{
    struct fixture fixture;
    fixture_plan(&fixture, 3);
    for (node_id id = 1; id <= 3; id++)
        peers_set(fixture_start(&fixture, id)->peers, &fixture.config);

    for (node_id from = 1; from <= 3; from++)
        for (node_id to = 1; to <= 3; to++) {
            if (from == to)
                continue;
            struct message message = heartbeat(from, to, 1);
            uint64_t before = fixture.nodes[to].messages_count;
            UNTIL(&fixture, (peers_send(fixture.nodes[from].peers, &message, NULL),
                             fixture.nodes[to].messages_count > before));
        }

    struct peer_stats stats[LIMIT_MEMBERS];
    assert_int_equal(peers_stats(fixture.nodes[2].peers, stats, LIMIT_MEMBERS), 2);
    assert_int_equal(stats[0].id, 1);
    assert_int_equal(stats[1].id, 3);
    assert_true(stats[0].is_up && stats[1].is_up);
    assert_int_equal(stats[0].links_count, 1);
    fixture_close(&fixture);
}

static void envelopes_arrive_with_the_incarnation_of_their_sender(void **state)
{
    struct fixture fixture;
    fixture_open_pair(&fixture);
    struct envelope a = envelope_to(2, 1, BYTES_LITERAL("a"));
    struct envelope b = envelope_to(2, 2, BYTES_LITERAL("bc"));

    assert_int_equal(peers_forward(fixture.nodes[1].peers, &a), ST_OK);
    assert_int_equal(peers_forward(fixture.nodes[1].peers, &b), ST_OK);
    UNTIL(&fixture, fixture.nodes[2].envelopes_count == 2);

    assert_string_equal(buf_text(&fixture.nodes[2].commands), "abc");
    assert_int_equal(fixture.nodes[2].envelope_from_incarnation, 7001);
    fixture_close(&fixture);
}

static void a_refusal_travels_back_to_the_sender(void **state)
{
    struct fixture fixture;
    fixture_open_pair(&fixture);
    fixture.nodes[2].envelope_answer = ST_FENCED;

    for (uint64_t number = 1; number <= 3; number++) {
        struct envelope envelope = envelope_to(2, number, BYTES_LITERAL("x"));
        assert_int_equal(peers_forward(fixture.nodes[1].peers, &envelope), ST_OK);
    }
    UNTIL(&fixture, fixture.nodes[1].refusals.count >= 27);

    assert_string_equal(buf_text(&fixture.nodes[1].refusals), "1 fenced;2 fenced;3 fenced;");
    fixture_close(&fixture);
}

static void a_refusal_for_a_node_that_is_not_connected_is_dropped(void **state)
{
    struct fixture fixture;
    fixture_plan(&fixture, 2);
    struct test_node *node = fixture_start(&fixture, 1);
    struct envelope_refusal refusal = {.term = 1, .number = 1, .status = ST_BUSY};

    peers_refuse(node->peers, 2, 7002, &refusal);
    run_for(&fixture, MILLISECONDS(5));

    fixture_close(&fixture);
}

/* Its numbers begin anew: what the first process asked for must not answer the second. */
static void a_refusal_for_an_earlier_process_does_not_reach_the_present_one(void **state)
{
    struct fixture fixture;
    fixture_open_pair(&fixture);
    struct envelope_refusal late = {.term = 1, .number = 1, .status = ST_ADDRESS_MISMATCH};
    struct envelope_refusal own = {.term = 1, .number = 2, .status = ST_FENCED};

    peers_refuse(fixture.nodes[2].peers, 1, 7001 + 1000, &late);
    peers_refuse(fixture.nodes[2].peers, 1, 7001, &own);
    UNTIL(&fixture, fixture.nodes[1].refusals.count >= 9);

    assert_string_equal(buf_text(&fixture.nodes[1].refusals), "2 fenced;");
    fixture_close(&fixture);
}

static void a_command_is_not_forwarded_without_a_welcomed_link(void **state)
{
    struct fixture fixture;
    fixture_plan(&fixture, 2);
    struct test_node *node = fixture_start(&fixture, 1);
    struct envelope envelope = envelope_to(2, 1, BYTES_LITERAL("x"));
    struct message message = heartbeat(1, 2, 1);

    assert_int_equal(peers_forward(node->peers, &envelope), ST_CLOSED);
    peers_set(node->peers, &fixture.config);
    assert_int_equal(peers_forward(node->peers, &envelope), ST_CLOSED);
    peers_send(node->peers, &message, NULL);

    assert_int_equal(stats_of(node).dropped_count, 1);
    assert_false(stats_of(node).is_up);
    fixture_close(&fixture);
}

static void the_welcome_tells_what_the_other_side_answered(void **state)
{
    struct fixture fixture;
    fixture_plan(&fixture, 2);
    fixture_start(&fixture, 1);
    fixture_start(&fixture, 2)->welcome_answer = (struct welcome){.term = 9, .taken = 44};

    peers_set(fixture.nodes[1].peers, &fixture.config);
    UNTIL(&fixture, node_saw(&fixture.nodes[1], "up 2;"));

    assert_int_equal(fixture.nodes[1].welcome_seen.incarnation, 7002);
    assert_int_equal(fixture.nodes[1].welcome_seen.term, 9);
    assert_int_equal(fixture.nodes[1].welcome_seen.taken, 44);
    fixture_close(&fixture);
}

static void pings_measure_the_round_trip(void **state)
{
    struct fixture fixture;
    fixture_open_pair(&fixture);

    UNTIL(&fixture, stats_of(&fixture.nodes[1]).round_trip > 0);

    assert_true(stats_of(&fixture.nodes[1]).round_trip < PATIENCE);
    assert_true(stats_of(&fixture.nodes[1]).received_bytes > 0);
    assert_true(stats_of(&fixture.nodes[1]).sent_bytes > 0);
    fixture_close(&fixture);
}

static void an_idle_link_stays_up(void **state)
{
    struct fixture fixture;
    fixture_plan(&fixture, 2);
    fixture.dead_after = MILLISECONDS(200);
    fixture_start(&fixture, 1);
    fixture_start(&fixture, 2);
    peers_set(fixture.nodes[1].peers, &fixture.config);
    peers_set(fixture.nodes[2].peers, &fixture.config);

    run_for(&fixture, 4 * fixture.dead_after);

    assert_string_equal(buf_text(&fixture.nodes[1].trace), "up 2;");
    assert_string_equal(buf_text(&fixture.nodes[2].trace), "up 1;");
    fixture_close(&fixture);
}

static void a_node_that_starts_later_is_found(void **state)
{
    struct fixture fixture;
    fixture_plan(&fixture, 2);
    peers_set(fixture_start(&fixture, 1)->peers, &fixture.config);
    run_for(&fixture, MILLISECONDS(50));

    fixture_start(&fixture, 2);
    UNTIL(&fixture, node_saw(&fixture.nodes[1], "up 2;"));

    assert_string_equal(buf_text(&fixture.nodes[1].trace), "up 2;");
    fixture_close(&fixture);
}

static void an_unreachable_name_is_retried_for_ever(void **state)
{
    struct fixture fixture;
    fixture_plan(&fixture, 2);
    struct test_node *node = fixture_start(&fixture, 1);
    strcpy(fixture.config.members[1].peer.host, "no-such-host.invalid");

    peers_set(node->peers, &fixture.config);
    run_for(&fixture, MILLISECONDS(100));

    assert_int_equal(node->trace.count, 0);
    fixture.config.members[1].peer = local_address(fixture.ports[2]);
    fixture_start(&fixture, 2);
    peers_set(node->peers, &fixture.config);
    UNTIL(&fixture, node_saw(node, "up 2;"));
    fixture_close(&fixture);
}

static void a_changed_address_is_dialled_at_once(void **state)
{
    struct fixture fixture;
    fixture_open_pair(&fixture);
    struct test_node *moved = &fixture.nodes[3];
    uint16_t port = free_port();
    node_init(moved, fixture.env, 3, port);
    moved->options.self = 2;
    node_start(moved);

    fixture.config.members[1].peer = local_address(port);
    peers_set(fixture.nodes[1].peers, &fixture.config);
    assert_string_equal(buf_text(&fixture.nodes[1].trace), "up 2;"); /* not inside the call */
    UNTIL(&fixture, node_saw(&fixture.nodes[1], "up 2;closed 2;up 2;"));

    assert_int_equal(moved->hellos_count, 1);
    /* Node 2 was told goodbye, so it does not take node 1 for dead. */
    assert_null(strstr(buf_text(&fixture.nodes[2].trace), "dead"));
    fixture_close(&fixture);
}

static void a_removed_member_is_not_dialled_any_more(void **state)
{
    struct fixture fixture;
    fixture_plan(&fixture, 2);
    fixture_start(&fixture, 1);
    fixture_start(&fixture, 2); /* which does not say where it is reached */
    peers_set(fixture.nodes[1].peers, &fixture.config);
    UNTIL(&fixture, node_saw(&fixture.nodes[1], "up 2;") && node_saw(&fixture.nodes[2], "up 1;"));
    struct config alone = {.members_count = 1, .members = {fixture.config.members[0]}};

    peers_set(fixture.nodes[1].peers, &alone);
    run_for(&fixture, MILLISECONDS(100));

    struct peer_stats stats[LIMIT_MEMBERS];
    struct message message = heartbeat(1, 2, 1);
    peers_send(fixture.nodes[1].peers, &message, NULL);
    assert_int_equal(peers_stats(fixture.nodes[1].peers, stats, LIMIT_MEMBERS), 0);
    assert_string_equal(buf_text(&fixture.nodes[2].trace), "up 1;");
    assert_int_equal(fixture.nodes[2].hellos_count, 1);
    fixture_close(&fixture);
}

static void setting_the_same_members_again_changes_nothing(void **state)
{
    struct fixture fixture;
    fixture_open_pair(&fixture);

    for (int i = 0; i < 10; i++)
        peers_set(fixture.nodes[1].peers, &fixture.config);
    run_for(&fixture, MILLISECONDS(50));

    assert_string_equal(buf_text(&fixture.nodes[1].trace), "up 2;");
    assert_int_equal(stats_of(&fixture.nodes[1]).links_count, 1);
    fixture_close(&fixture);
}

/* Node 2 as a bare socket that welcomes node 1 and answers nothing more. */
static int welcome_by_hand(struct fixture *fixture, int listener)
{
    int fd = -1;
    struct buf frames;
    UNTIL(fixture, raw_accepted(listener, &fd));
    buf_init(&frames, MIB);
    size_t begin = frame_begin(&frames, FRAME_WELCOME);
    welcome_encode(&(struct welcome){.incarnation = 1}, &frames);
    frame_end(&frames, begin);
    raw_send(fd, buf_bytes(&frames));
    buf_release(&frames);
    UNTIL(fixture, node_saw(&fixture->nodes[1], "up 2;"));
    return fd;
}

static void a_full_outbox_drops_and_counts(void **state)
{
    struct fixture fixture;
    fixture_plan(&fixture, 2);
    fixture.dead_after = MILLISECONDS(60000);
    int listener = raw_listen(fixture.ports[2]);
    struct test_node *node = fixture_start(&fixture, 1);
    peers_set(node->peers, &fixture.config);
    int fd = welcome_by_hand(&fixture, listener);

    struct entry *entry = entry_of(1, LIMIT_ENTRY_BYTES);
    struct message message = heartbeat(1, 2, 1);
    message.append.entries = &entry;
    message.append.entries_count = 1;
    for (int i = 0; i < 100; i++) {
        peers_send(node->peers, &message, NULL);
        if (i % 20 == 19)
            run_for(&fixture, MILLISECONDS(2));
        assert_true(stats_of(node).outbox_bytes <= LIMIT_OUTBOX_BYTES);
    }
    struct envelope envelope = envelope_to(2, 1, entry_data(entry));
    envelope.command.count = LIMIT_COMMAND_BYTES;

    assert_true(stats_of(node).dropped_count >= 20);
    assert_true(stats_of(node).outbox_bytes > LIMIT_OUTBOX_BYTES - 2 * MIB);
    assert_int_equal(peers_forward(node->peers, &envelope), ST_BUSY);
    assert_string_equal(buf_text(&node->trace), "up 2;");
    entry_unref(entry);
    close(fd);
    close(listener);
    fixture_close(&fixture);
}

/* Reads up to `bytes_max` and throws it away. */
static void read_some(int fd, size_t bytes_max)
{
    static uint8_t sink[256 * KIB];
    (void)!recv(fd, sink, MIN(bytes_max, sizeof sink), MSG_DONTWAIT);
}

static void a_line_that_is_slow_but_moves_is_not_given_up(void **state)
{
    struct fixture fixture;
    fixture_plan(&fixture, 2);
    fixture.dead_after = MILLISECONDS(400);
    int listener = raw_listen(fixture.ports[2]);
    struct test_node *node = fixture_start(&fixture, 1);
    peers_set(node->peers, &fixture.config);
    int fd = welcome_by_hand(&fixture, listener);
    struct entry *entry = entry_of(1, LIMIT_ENTRY_BYTES);
    struct message message = heartbeat(1, 2, 1);
    message.append.entries = &entry;
    message.append.entries_count = 1;
    for (int i = 0; i < 50; i++)
        peers_send(node->peers, &message, NULL);

    for (time_us start = clock_now(); clock_now() - start < MILLISECONDS(1500);) {
        read_some(fd, 128 * KIB);
        run_for(&fixture, MILLISECONDS(5));
    }
    assert_string_equal(buf_text(&node->trace), "up 2;"); /* though no ping was answered */
    assert_true(stats_of(node).outbox_bytes > 0);
    UNTIL(&fixture, node_saw(node, "up 2;closed 2;")); /* nobody reads any more */

    entry_unref(entry);
    close(fd);
    close(listener);
    fixture_close(&fixture);
}

static void a_taken_port_is_an_error_with_a_reason(void **state)
{
    struct fixture fixture;
    fixture_plan(&fixture, 1);
    struct test_node *node = fixture_start(&fixture, 1);
    struct peers *second = NULL;
    struct errtext error = {.text = ""};
    struct peers_callbacks callbacks = {0};

    enum status status = peers_open(fixture.env, &node->options, &callbacks, &second, &error);

    assert_int_equal(status, ST_BUSY);
    assert_null(second);
    assert_true(error.text[0] != '\0');
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_sent_arrives_in_order),
        cmocka_unit_test(messages_larger_than_one_read_arrive_whole),
        cmocka_unit_test(three_nodes_talk_each_to_each),
        cmocka_unit_test(envelopes_arrive_with_the_incarnation_of_their_sender),
        cmocka_unit_test(a_refusal_travels_back_to_the_sender),
        cmocka_unit_test(a_refusal_for_a_node_that_is_not_connected_is_dropped),
        cmocka_unit_test(a_refusal_for_an_earlier_process_does_not_reach_the_present_one),
        cmocka_unit_test(a_command_is_not_forwarded_without_a_welcomed_link),
        cmocka_unit_test(the_welcome_tells_what_the_other_side_answered),
        cmocka_unit_test(pings_measure_the_round_trip),
        cmocka_unit_test(an_idle_link_stays_up),
        cmocka_unit_test(a_node_that_starts_later_is_found),
        cmocka_unit_test(an_unreachable_name_is_retried_for_ever),
        cmocka_unit_test(a_changed_address_is_dialled_at_once),
        cmocka_unit_test(a_removed_member_is_not_dialled_any_more),
        cmocka_unit_test(setting_the_same_members_again_changes_nothing),
        cmocka_unit_test(a_full_outbox_drops_and_counts),
        cmocka_unit_test(a_line_that_is_slow_but_moves_is_not_given_up),
        cmocka_unit_test(a_taken_port_is_an_error_with_a_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
