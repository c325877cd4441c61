/* What a node believes of an append: whose address for clients it follows, and which stamps become
 * log time. */
#include "unit/node/liar_rig.h"

#define HOUR_US (UINT64_C(3600) * 1000 * TIME_US_PER_MS)

/* ---- the leader's address ---- */

static void assert_known(const struct rig *rig, unsigned id, unsigned leader)
{
    const struct known_leader *known = &node_view(rig->nodes[id])->known;
    struct node_options member = world_node_options(leader, MACHINES, true);
    assert_int_equal(known->known_leader_id, leader);
    assert_string_equal(known->known_leader_host, member.advertise_http.host);
    assert_int_equal(known->known_leader_port, member.advertise_http.port);
    assert_int_equal(known->term, node_view(rig->nodes[leader])->term);
}

static void an_address_said_in_a_lower_term_is_not_believed_for_a_moment(void **state)
{
    (void)state;
    struct rig *rig = new_rig();
    unsigned leader = leader_of(rig);
    for (unsigned id = 1; id < LIAR; id++) {
        raft_term term = node_view(rig->nodes[id])->term;
        assert_true(term > 1);
        assert_known(rig, id, leader);
        unsigned rejections_count = rig->rejections_count;
        struct message late = append_of(id, term - 1);

        peers_send(rig->liar, &late, &ELSEWHERE);

        time_us until = world_now(rig->world) + 1000 * TIME_US_PER_MS;
        while (world_step(rig->world, until)) /* the next true heartbeat would hide it */
            assert_known(rig, id, leader);
        assert_int_equal(rig->rejections_count, rejections_count + 1);
    }
    free_rig(rig);
}

static void an_address_said_in_a_higher_term_is_followed_at_once(void **state)
{
    (void)state;
    struct rig *rig = new_rig();
    unsigned follower = follower_of(rig);
    raft_term term = node_view(rig->nodes[follower])->term + 1;
    struct message first = append_of(follower, term);

    peers_send(rig->liar, &first, &ELSEWHERE);
    run_ms(rig, 5);

    const struct known_leader *known = &node_view(rig->nodes[follower])->known;
    assert_int_equal(known->known_leader_id, LIAR);
    assert_string_equal(known->known_leader_host, ELSEWHERE.host);
    assert_int_equal(known->known_leader_port, ELSEWHERE.port);
    assert_int_equal(known->term, term);
    free_rig(rig);
}

/* ---- log time ---- */

static const struct origin STRANGER = {.node = LIAR, .incarnation = 5, .number = 1};

static uint64_t log_time_of(const struct rig *rig, unsigned id)
{
    struct kv_stats stats;
    kv_stats(node_kv(rig->nodes[id]), &stats);
    return stats.stamp_us;
}

static void write_through(struct rig *rig, unsigned leader)
{
    run_ms(rig, 5000);
    assert_int_equal(leader_of(rig), leader);
    uint64_t counter = counter_of(rig);
    struct buf command;
    struct envelope envelope = new_envelope(rig, &command);
    send_envelope(rig, &envelope);
    buf_release(&command);
    assert_int_equal(counter_of(rig), counter + 1);
}

/* The stamp of the entry that was cut came perhaps from a leader with a wrong clock; sessions would
 * expire by it. */
static void the_stamp_of_an_entry_that_was_cut_off_is_no_log_time(void **state)
{
    (void)state;
    struct rig *rig = new_rig();
    unsigned node = follower_of(rig);
    raft_term term = node_view(rig->nodes[node])->term;
    struct entry_id prev = last_of(rig, node);
    uint64_t before_us = log_time_of(rig, node);
    assert_true(before_us > 0);

    /* given an entry from the future that the next leader overwrites */
    struct entry_id at = {term + 1, prev.index + 1};
    append_as_leader(rig, node, term + 1, prev, new_command(STRANGER, before_us + HOUR_US, at), 0);
    struct entry *noop = entry_new(ENTRY_NOOP, 0);
    entry_seal(noop, (struct entry_id){term + 2, prev.index + 1});
    append_as_leader(rig, node, term + 2, prev, noop, 0);

    /* when the node that had it leads */
    write_through(rig, node);

    assert_true(log_time_of(rig, node) > before_us);
    assert_true(log_time_of(rig, node) < before_us + HOUR_US / 2);
    free_rig(rig);
}

static void log_time_goes_on_from_the_last_stamp_in_the_log_though_not_yet_applied(void **state)
{
    (void)state;
    struct rig *rig = new_rig();
    unsigned node = follower_of(rig);
    raft_term term = node_view(rig->nodes[node])->term;
    struct entry_id prev = last_of(rig, node);
    uint64_t ahead_us = log_time_of(rig, node) + HOUR_US;

    struct entry_id at = {term + 1, prev.index + 1};
    append_as_leader(rig, node, term + 1, prev, new_command(STRANGER, ahead_us, at), 0);
    assert_true(log_time_of(rig, node) < ahead_us);
    write_through(rig, node);

    assert_true(log_time_of(rig, node) > ahead_us);
    free_rig(rig);
}

int main(void)
{
    diag_set_level(DIAG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_said_in_a_lower_term_is_not_believed_for_a_moment),
        cmocka_unit_test(an_address_said_in_a_higher_term_is_followed_at_once),
        cmocka_unit_test(the_stamp_of_an_entry_that_was_cut_off_is_no_log_time),
        cmocka_unit_test(log_time_goes_on_from_the_last_stamp_in_the_log_though_not_yet_applied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
