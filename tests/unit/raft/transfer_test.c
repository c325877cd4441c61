/* Leadership transfer (thesis §3.10). */
#include "unit/raft/raft_fixture.h"

static const struct entry_id FIRST = {1, 1};

static void a_target_that_has_everything_is_told_at_once(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_lead(bench);

    bench_transfer(bench, 3);

    assert_int_equal(bench->status, ST_OK);
    assert_int_equal(bench->view.transfer_to, 3);
    assert_non_null(sent(bench, MESSAGE_TIMEOUT_NOW, 3));
    assert_null(sent(bench, MESSAGE_TIMEOUT_NOW, 2));
}

static void a_target_that_lags_is_brought_up_to_date_first(void **state) /* FAULTS C26 */
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_lead(bench);
    bench_propose(bench, 8);
    bench_sync(bench);

    bench_transfer(bench, 3);
    assert_null(sent(bench, MESSAGE_TIMEOUT_NOW, 3));
    bench_receive(bench, append_accept(2, 2, 3, 0));
    assert_null(sent(bench, MESSAGE_TIMEOUT_NOW, 3));
    bench_receive(bench, append_accept(3, 2, 3, 0));

    assert_non_null(sent(bench, MESSAGE_TIMEOUT_NOW, 3));
}

static void meanwhile_proposals_are_refused(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_lead(bench);
    bench_transfer(bench, 3);

    bench_propose(bench, 8);

    assert_int_equal(bench->status, ST_BUSY);
}

static void after_an_election_timeout_the_leader_goes_on(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_lead(bench);
    time_us started_at = bench->now;
    bench_transfer(bench, 3);
    while (bench->now < started_at + BENCH_ELECTION) {
        assert_int_equal(bench->view.transfer_to, 3);
        bench_tick(bench);
        bench_receive(bench, append_accept(2, 2, 2, 0));
    }

    assert_int_equal(bench->view.transfer_to, NODE_NONE);
    bench_propose(bench, 8);
    assert_int_equal(bench->status, ST_OK);
}

static void a_lost_word_is_repeated_with_the_heartbeat(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_lead(bench);
    bench_transfer(bench, 3);
    bench_receive(bench, append_accept(2, 2, 2, 0));
    assert_null(sent(bench, MESSAGE_TIMEOUT_NOW, 3));

    bench_tick(bench);

    assert_non_null(sent(bench, MESSAGE_TIMEOUT_NOW, 3));
}

static void to_nobody_in_particular_means_the_one_that_is_furthest(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){.voters_count = 3, .learners_count = 1});
    bench_lead(bench);
    bench_propose(bench, 8);
    bench_receive(bench, append_accept(4, 2, 3, 0)); /* a learner */
    bench_receive(bench, append_accept(3, 2, 3, 0));

    bench_transfer(bench, NODE_NONE);

    assert_int_equal(bench->view.transfer_to, 3);
}

static void only_another_voter_can_take_over(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){.voters_count = 2, .learners_count = 1});
    bench_transfer(bench, 2);
    assert_int_equal(bench->status, ST_NOT_LEADER);
    bench_lead(bench);

    bench_transfer(bench, 3);
    assert_int_equal(bench->status, ST_UNKNOWN_MEMBER);
    bench_transfer(bench, 9);
    assert_int_equal(bench->status, ST_UNKNOWN_MEMBER);
    bench_transfer(bench, 1);
    assert_int_equal(bench->status, ST_OK);
    assert_int_equal(bench->view.transfer_to, NODE_NONE);
}

static void a_single_voter_has_nobody_to_hand_over_to(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){.voters_count = 1, .learners_count = 1});

    bench_transfer(bench, NODE_NONE);

    assert_int_equal(bench->status, ST_UNKNOWN_MEMBER);
}

static struct message timeout_now(node_id from, raft_term term)
{
    return (struct message){.type = MESSAGE_TIMEOUT_NOW, .from = from, .term = term};
}

static void the_one_told_stands_at_once_without_a_pre_vote(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_follow(bench, 2);

    bench_receive(bench, timeout_now(2, 2));

    assert_int_equal(bench->view.role, RAFT_ROLE_CANDIDATE);
    assert_int_equal(bench->view.term, 3);
    assert_true(sent(bench, MESSAGE_VOTE, 2)->vote.is_transfer);
    assert_true(sent(bench, MESSAGE_VOTE, 3)->vote.is_transfer);
}

static void only_the_leader_of_this_term_is_obeyed(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_follow(bench, 2);

    bench_receive(bench, timeout_now(3, 2));
    assert_int_equal(bench->view.role, RAFT_ROLE_FOLLOWER);
    bench_receive(bench, timeout_now(2, 1));
    assert_int_equal(bench->view.role, RAFT_ROLE_FOLLOWER);
}

static void a_learner_told_so_does_not_stand(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){.voters_count = 2, .learners_count = 1, .self = 3});
    struct message message = append_empty(2, 1, FIRST, 1);
    message.to = 3;
    bench_receive(bench, message);

    message = timeout_now(2, 1);
    message.to = 3;
    bench_receive(bench, message);

    assert_int_equal(bench->view.role, RAFT_ROLE_LEARNER);
    assert_int_equal(bench->ready.messages_count, 0);
}

static void the_old_leader_votes_for_its_successor(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_lead(bench);
    bench_transfer(bench, 3);
    struct message message = vote_request(MESSAGE_VOTE, 3, 3, (struct entry_id){2, 2});
    message.vote.is_transfer = true;

    bench_receive(bench, message);

    assert_true(sent(bench, MESSAGE_VOTE_REPLY, 3)->vote_reply.is_granted);
    assert_int_equal(bench->view.role, RAFT_ROLE_FOLLOWER);
    assert_int_equal(bench->view.transfer_to, NODE_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(a_target_that_has_everything_is_told_at_once),
        BENCH_TEST(a_target_that_lags_is_brought_up_to_date_first),
        BENCH_TEST(meanwhile_proposals_are_refused),
        BENCH_TEST(after_an_election_timeout_the_leader_goes_on),
        BENCH_TEST(a_lost_word_is_repeated_with_the_heartbeat),
        BENCH_TEST(to_nobody_in_particular_means_the_one_that_is_furthest),
        BENCH_TEST(only_another_voter_can_take_over),
        BENCH_TEST(a_single_voter_has_nobody_to_hand_over_to),
        BENCH_TEST(the_one_told_stands_at_once_without_a_pre_vote),
        BENCH_TEST(only_the_leader_of_this_term_is_obeyed),
        BENCH_TEST(a_learner_told_so_does_not_stand),
        BENCH_TEST(the_old_leader_votes_for_its_successor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
