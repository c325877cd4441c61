/* The leader's process dies: its links end, and patience is milliseconds. */
#include "unit/raft/raft_fixture.h"

static const struct entry_id FIRST = {1, 1};

static void a_dead_link_to_the_leader_starts_a_pre_vote_within_milliseconds(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_follow(bench, 2);

    bench_link(bench, 2, false, true);
    assert_int_equal(bench->view.leader, NODE_NONE);
    assert_true(bench->ready.view_changed);
    assert_true(bench->ready.deadline <= bench->now + MS(8));
    bench_tick(bench);

    assert_int_equal(bench->view.role, RAFT_ROLE_PRE_CANDIDATE);
    assert_non_null(sent(bench, MESSAGE_PRE_VOTE, 3));
}

static void a_voter_that_saw_it_too_grants_at_once(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_follow(bench, 2);
    bench_link(bench, 2, false, true);

    bench_receive(bench, vote_request(MESSAGE_PRE_VOTE, 3, 3, FIRST));

    assert_true(sent(bench, MESSAGE_PRE_VOTE_REPLY, 3)->vote_reply.is_granted);
    assert_true(bench->ready.deadline >= bench->now + MS(5)); /* and lets the other go first */
}

static void a_link_lost_in_any_other_way_changes_nothing(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_follow(bench, 2);
    time_us deadline = bench->ready.deadline;

    bench_link(bench, 2, false, false); /* the leader's, but no sign of death */
    bench_link(bench, 3, false, true);  /* dead, but not the leader */

    assert_int_equal(bench->view.leader, 2);
    assert_int_equal(bench->ready.deadline, deadline);
    bench_receive(bench, vote_request(MESSAGE_PRE_VOTE, 3, 3, FIRST));
    assert_false(sent(bench, MESSAGE_PRE_VOTE_REPLY, 3)->vote_reply.is_granted);
}

static void refused_it_asks_every_few_milliseconds_for_one_election_timeout(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_follow(bench, 2);
    bench_link(bench, 2, false, true);
    time_us died_at = bench->now;
    bench_tick(bench);

    size_t asked_count = 0;
    while (bench->now < died_at + BENCH_ELECTION) {
        time_us asked_at = bench->now;
        bench_receive(bench, vote_reply(MESSAGE_PRE_VOTE_REPLY, 3, 2, false));
        assert_true(bench->ready.deadline >= asked_at + MS(5));
        assert_true(bench->ready.deadline <= asked_at + MS(15));
        bench_tick(bench);
        assert_non_null(sent(bench, MESSAGE_PRE_VOTE, 3));
        asked_count++;
    }

    assert_true(asked_count >= BENCH_ELECTION / MS(15));
    assert_true(bench->ready.deadline >= bench->now + BENCH_ELECTION);
    assert_int_equal(bench->view.term, 2);
}

static void votes_split_in_haste_are_asked_for_again_in_haste(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_follow(bench, 2);
    bench_link(bench, 2, false, true);
    bench_tick(bench);
    bench_receive(bench, vote_reply(MESSAGE_PRE_VOTE_REPLY, 3, 3, true));
    assert_int_equal(bench->view.role, RAFT_ROLE_CANDIDATE);
    assert_true(bench->ready.deadline >= bench->now + BENCH_ELECTION);

    /* Of two that survived three the other refused: nothing to expect from the dead one. */
    bench_receive(bench, vote_reply(MESSAGE_VOTE_REPLY, 3, 3, false));

    assert_true(bench->ready.deadline <= bench->now + MS(15));
    bench_tick(bench);
    assert_int_equal(sent(bench, MESSAGE_PRE_VOTE, 3)->term, 4);
}

static void a_voter_whose_link_is_down_may_still_vote(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_link(bench, 2, false, false);
    bench_campaign(bench);
    bench_receive(bench, vote_reply(MESSAGE_PRE_VOTE_REPLY, 3, 1, false));
    assert_int_equal(bench->view.role, RAFT_ROLE_PRE_CANDIDATE);

    bench_receive(bench, vote_reply(MESSAGE_PRE_VOTE_REPLY, 2, 2, true));

    assert_int_equal(bench->view.role, RAFT_ROLE_CANDIDATE);
}

static void a_leader_that_is_not_dead_after_all_is_followed_again(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_follow(bench, 2);
    bench_link(bench, 2, false, true);
    bench_tick(bench);

    bench_receive(bench, append_empty(2, 2, FIRST, 1));

    assert_int_equal(bench->view.role, RAFT_ROLE_FOLLOWER);
    assert_int_equal(bench->view.leader, 2);
    assert_true(bench->ready.deadline >= bench->now + BENCH_ELECTION);
}

static void at_the_start_company_is_enough_to_ask_soon(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});

    bench_link(bench, 2, true, false);
    time_us at = bench->ready.deadline;
    assert_true(at <= bench->now + MS(8));
    bench_link(bench, 3, true, false);
    assert_int_equal(bench->ready.deadline, at); /* more of it puts nothing off */
    bench_tick(bench);

    assert_int_equal(bench->view.role, RAFT_ROLE_PRE_CANDIDATE);
    assert_non_null(sent(bench, MESSAGE_PRE_VOTE, 2));
    assert_non_null(sent(bench, MESSAGE_PRE_VOTE, 3));
}

static void who_has_heard_a_leader_is_in_no_hurry_when_links_come_up(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_follow(bench, 2);
    time_us deadline = bench->ready.deadline;

    bench_link(bench, 3, true, false);

    assert_int_equal(bench->ready.deadline, deadline);
}

static void a_link_that_comes_up_is_asked_at_once(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){.learners_count = 1});
    bench_campaign(bench);

    bench_link(bench, 3, true, false);
    assert_int_equal(bench->ready.messages_count, 1);
    assert_non_null(sent(bench, MESSAGE_PRE_VOTE, 3));
    bench_link(bench, 4, true, false);
    assert_int_equal(bench->ready.messages_count, 0);
    bench_receive(bench, vote_reply(MESSAGE_PRE_VOTE_REPLY, 3, 2, true));
    bench_link(bench, 2, true, false);
    assert_non_null(sent(bench, MESSAGE_VOTE, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(a_dead_link_to_the_leader_starts_a_pre_vote_within_milliseconds),
        BENCH_TEST(a_voter_that_saw_it_too_grants_at_once),
        BENCH_TEST(a_link_lost_in_any_other_way_changes_nothing),
        BENCH_TEST(refused_it_asks_every_few_milliseconds_for_one_election_timeout),
        BENCH_TEST(votes_split_in_haste_are_asked_for_again_in_haste),
        BENCH_TEST(a_voter_whose_link_is_down_may_still_vote),
        BENCH_TEST(a_leader_that_is_not_dead_after_all_is_followed_again),
        BENCH_TEST(at_the_start_company_is_enough_to_ask_soon),
        BENCH_TEST(who_has_heard_a_leader_is_in_no_hurry_when_links_come_up),
        BENCH_TEST(a_link_that_comes_up_is_asked_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
