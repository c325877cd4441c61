/* Elections: who stands when, and who votes for whom. */
#include "unit/raft/raft_fixture.h"

static const struct entry_id FIRST = {1, 1};

/* ---- standing ---- */

static void a_follower_waits_for_one_to_one_and_a_half_election_timeouts(void **state)
{
    struct bench *bench = *state;
    time_us least = TIME_NEVER, most = 0;
    for (node_id self = 1; self <= 7; self++) {
        bench_open(bench, (struct bench_setup){.self = self, .voters_count = 7});
        least = MIN(least, bench->ready.deadline - bench->now);
        most = MAX(most, bench->ready.deadline - bench->now);
        if (self < 7)
            bench_close(bench);
    }

    assert_true(least >= BENCH_ELECTION);
    assert_true(most < BENCH_ELECTION * 3 / 2);
    assert_true(most - least > BENCH_ELECTION / 4); /* else votes would split */
}

static void equal_seeds_do_not_make_equal_nodes(void **state)
{
    struct bench *bench = *state;
    struct bench *other = mem_alloc(sizeof *other);
    bench_open(bench, (struct bench_setup){.self = 1});
    bench_open(other, (struct bench_setup){.self = 2});

    assert_int_not_equal(bench->ready.deadline, other->ready.deadline);
    bench_close(other);
    mem_free(other);
}

static void patience_at_an_end_asks_all_voters_and_changes_no_term(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){TERMS(1, 2), .learners_count = 1});

    bench_tick(bench);

    assert_int_equal(bench->view.role, RAFT_ROLE_PRE_CANDIDATE);
    assert_int_equal(bench->view.term, 2);
    assert_false(bench->ready.hard_state_changed);
    assert_int_equal(bench->ready.messages_count, 2);
    const struct message *message = sent(bench, MESSAGE_PRE_VOTE, 3);
    assert_int_equal(message->term, 3);
    assert_true(entry_id_equal(message->vote.last, (struct entry_id){2, 3}));
    assert_true(bench->ready.deadline >= bench->now + BENCH_ELECTION);
}

static void a_majority_of_pre_votes_opens_the_real_election(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){.voters_count = 5});
    bench_campaign(bench);

    bench_receive(bench, vote_reply(MESSAGE_PRE_VOTE_REPLY, 2, 2, true));
    assert_int_equal(bench->view.role, RAFT_ROLE_PRE_CANDIDATE);
    bench_receive(bench, vote_reply(MESSAGE_PRE_VOTE_REPLY, 3, 2, true));

    assert_int_equal(bench->view.role, RAFT_ROLE_CANDIDATE);
    assert_true(bench->ready.hard_state_changed);
    assert_int_equal(bench->ready.hard_state.term, 2);
    assert_int_equal(bench->ready.hard_state.vote, 1);
    assert_int_equal(sent(bench, MESSAGE_VOTE, 5)->term, 2);
}

static void a_majority_of_votes_makes_a_leader_with_a_first_entry(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_campaign(bench);
    bench_receive(bench, vote_reply(MESSAGE_PRE_VOTE_REPLY, 2, 2, true));

    bench_receive(bench, vote_reply(MESSAGE_VOTE_REPLY, 3, 2, true));

    assert_int_equal(bench->view.role, RAFT_ROLE_LEADER);
    assert_int_equal(bench->view.leader, 1);
    assert_true(bench->ready.view_changed);
    assert_int_equal(bench->ready.entries_count, 1);
    assert_int_equal(bench->ready.entries[0]->type, ENTRY_NOOP);
    assert_int_equal(bench->view.term_start, 2);
    const struct message *message = sent(bench, MESSAGE_APPEND, 2);
    assert_int_equal(message->append.entries_count, 1);
    assert_true(entry_id_equal(message->append.prev, FIRST));
}

static void the_same_vote_twice_is_one_vote(void **state) /* FAULTS C13 */
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){.voters_count = 5});
    bench_campaign(bench);

    bench_receive(bench, vote_reply(MESSAGE_PRE_VOTE_REPLY, 2, 2, true));
    bench_receive(bench, vote_reply(MESSAGE_PRE_VOTE_REPLY, 2, 2, true));
    assert_int_equal(bench->view.role, RAFT_ROLE_PRE_CANDIDATE);
    bench_receive(bench, vote_reply(MESSAGE_PRE_VOTE_REPLY, 3, 2, true));
    bench_receive(bench, vote_reply(MESSAGE_VOTE_REPLY, 2, 2, true));
    bench_receive(bench, vote_reply(MESSAGE_VOTE_REPLY, 2, 2, true));

    assert_int_equal(bench->view.role, RAFT_ROLE_CANDIDATE);
}

static void votes_of_learners_strangers_and_other_terms_count_for_nothing(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){.voters_count = 3, .learners_count = 1});
    bench_campaign(bench);
    bench_receive(bench, vote_reply(MESSAGE_PRE_VOTE_REPLY, 2, 2, true));
    assert_int_equal(bench->view.role, RAFT_ROLE_CANDIDATE);

    bench_receive(bench, vote_reply(MESSAGE_VOTE_REPLY, 4, 2, true));
    bench_receive(bench, vote_reply(MESSAGE_VOTE_REPLY, 9, 2, true));
    bench_receive(bench, vote_reply(MESSAGE_VOTE_REPLY, 3, 1, true));
    bench_receive(bench, vote_reply(MESSAGE_PRE_VOTE_REPLY, 3, 2, true));

    assert_int_equal(bench->view.role, RAFT_ROLE_CANDIDATE);
}

static void an_election_that_comes_to_nothing_starts_over_with_a_pre_vote(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_campaign(bench);
    bench_receive(bench, vote_reply(MESSAGE_PRE_VOTE_REPLY, 2, 2, true));

    bench_tick(bench);

    assert_int_equal(bench->view.role, RAFT_ROLE_PRE_CANDIDATE);
    assert_int_equal(bench->view.term, 2);
    assert_int_equal(sent(bench, MESSAGE_PRE_VOTE, 2)->term, 3);
}

static void a_single_voter_leads_with_the_first_tick(void **state)
{
    struct bench *bench = *state;

    bench_open(bench, (struct bench_setup){.voters_count = 1});

    assert_int_equal(bench->view.role, RAFT_ROLE_LEADER);
    assert_int_equal(bench->view.term, 2);
    assert_true(bench->ready.hard_state_changed);
    assert_int_equal(bench->ready.deadline, TIME_NEVER); /* nothing to do until something comes */
    assert_int_equal(bench->view.commit, 1);
    bench_sync(bench);
    assert_int_equal(bench->view.commit, 2);
}

/* It may be a voter, even the only one, in configurations of before its disk was emptied. */
static void a_node_that_has_joined_stands_only_once_it_is_admitted(void **state) /* FAULTS M10 */
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){.is_barred = true});

    bench_tick_at(bench, bench->now + 100 * BENCH_ELECTION);
    struct raft_view view;
    raft_view(bench->raft, &view);
    assert_int_equal(view.role, RAFT_ROLE_LEARNER);

    raft_admit(bench->raft, true);
    bench_tick_at(bench, bench->now + 100 * BENCH_ELECTION);
    raft_view(bench->raft, &view);
    assert_int_equal(view.role, RAFT_ROLE_PRE_CANDIDATE);
}

static void a_learner_never_stands(void **state) /* FAULTS M5 */
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){.voters_count = 2, .learners_count = 1, .self = 3});

    assert_int_equal(bench->view.role, RAFT_ROLE_LEARNER);
    assert_int_equal(bench->ready.deadline, TIME_NEVER);
    bench_campaign(bench);
    bench_tick_at(bench, bench->now + 100 * BENCH_ELECTION);

    assert_int_equal(bench->view.role, RAFT_ROLE_LEARNER);
    assert_int_equal(bench->ready.messages_count, 0);
}

static void of_two_that_ask_at_once_the_lower_id_steps_aside(void **state)
{
    struct bench *bench = *state;
    struct bench *other = mem_alloc(sizeof *other);
    bench_open(bench, (struct bench_setup){.self = 1});
    bench_open(other, (struct bench_setup){.self = 2});
    bench_campaign(bench);
    bench_campaign(other);
    struct message to_bench = *sent(other, MESSAGE_PRE_VOTE, 1);
    struct message to_other = *sent(bench, MESSAGE_PRE_VOTE, 2);

    bench_receive(bench, to_bench);
    bench_receive(other, to_other);

    assert_int_equal(bench->view.role, RAFT_ROLE_FOLLOWER);
    assert_int_equal(other->view.role, RAFT_ROLE_PRE_CANDIDATE);
    assert_true(sent(bench, MESSAGE_PRE_VOTE_REPLY, 2)->vote_reply.is_granted);
    bench_close(other);
    mem_free(other);
}

/* ---- answering a pre-vote ---- */

static void a_pre_vote_is_granted_and_leaves_no_trace(void **state) /* FAULTS C17 */
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    time_us deadline = bench->ready.deadline;

    bench_receive(bench, vote_request(MESSAGE_PRE_VOTE, 2, 2, FIRST));

    const struct message *reply = sent(bench, MESSAGE_PRE_VOTE_REPLY, 2);
    assert_true(reply->vote_reply.is_granted);
    assert_int_equal(reply->term, 2);
    assert_int_equal(bench->view.term, 1);
    assert_false(bench->ready.hard_state_changed);
    assert_int_equal(bench->ready.deadline, deadline); /* no refreshed patience */
    bench_receive(bench, vote_request(MESSAGE_PRE_VOTE, 3, 2, FIRST));
    assert_true(sent(bench, MESSAGE_PRE_VOTE_REPLY, 3)->vote_reply.is_granted);
}

static void a_pre_vote_is_refused_while_a_leader_is_heard(void **state) /* thesis §4.2.3 */
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_follow(bench, 2);
    time_us heard_at = bench->now;

    bench->now = heard_at + BENCH_ELECTION - 1;
    bench_receive(bench, vote_request(MESSAGE_PRE_VOTE, 3, 3, (struct entry_id){2, 9}));
    assert_false(sent(bench, MESSAGE_PRE_VOTE_REPLY, 3)->vote_reply.is_granted);
    assert_int_equal(bench->view.leader, 2);

    /* Asking again and again does not keep the leader alive either. */
    bench->now = heard_at + BENCH_ELECTION;
    bench_receive(bench, vote_request(MESSAGE_PRE_VOTE, 3, 3, (struct entry_id){2, 9}));
    assert_true(sent(bench, MESSAGE_PRE_VOTE_REPLY, 3)->vote_reply.is_granted);
}

static void a_leader_refuses_a_pre_vote_and_goes_on(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_lead(bench);

    bench_receive(bench, vote_request(MESSAGE_PRE_VOTE, 3, 9, (struct entry_id){8, 9}));

    const struct message *reply = sent(bench, MESSAGE_PRE_VOTE_REPLY, 3);
    assert_false(reply->vote_reply.is_granted);
    assert_int_equal(reply->term, 2);
    assert_int_equal(bench->view.role, RAFT_ROLE_LEADER);
}

static void a_pre_vote_of_a_shorter_log_is_refused(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){TERMS(1, 3)});

    bench_receive(bench, vote_request(MESSAGE_PRE_VOTE, 2, 9, (struct entry_id){3, 2}));
    assert_false(sent(bench, MESSAGE_PRE_VOTE_REPLY, 2)->vote_reply.is_granted);
    bench_receive(bench, vote_request(MESSAGE_PRE_VOTE, 2, 9, (struct entry_id){2, 50}));
    assert_false(sent(bench, MESSAGE_PRE_VOTE_REPLY, 2)->vote_reply.is_granted);
    bench_receive(bench, vote_request(MESSAGE_PRE_VOTE, 2, 9, (struct entry_id){3, 3}));
    assert_true(sent(bench, MESSAGE_PRE_VOTE_REPLY, 2)->vote_reply.is_granted);
}

static void one_that_fell_behind_learns_the_term_from_the_refusal(void **state) /* FAULTS C15 */
{
    struct bench *bench = *state;
    struct bench *behind = mem_alloc(sizeof *behind);
    bench_open(bench, (struct bench_setup){.term = 5});
    bench_open(behind, (struct bench_setup){.self = 2, .term = 1});
    bench_campaign(behind);
    struct message question = *sent(behind, MESSAGE_PRE_VOTE, 1);

    bench_receive(bench, question);
    struct message answer = *sent(bench, MESSAGE_PRE_VOTE_REPLY, 2);
    bench_receive(behind, answer);

    assert_false(answer.vote_reply.is_granted);
    assert_int_equal(behind->view.term, 5);
    assert_int_equal(behind->view.role, RAFT_ROLE_FOLLOWER);
    bench_tick(behind);
    question = *sent(behind, MESSAGE_PRE_VOTE, 1);
    bench_receive(bench, question);
    assert_true(sent(bench, MESSAGE_PRE_VOTE_REPLY, 2)->vote_reply.is_granted);
    bench_close(behind);
    mem_free(behind);
}

/* ---- answering a vote ---- */

static void a_vote_is_given_once_a_term_and_again_to_the_same(void **state) /* FAULTS C14 */
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});

    bench_receive(bench, vote_request(MESSAGE_VOTE, 2, 2, FIRST));
    assert_true(sent(bench, MESSAGE_VOTE_REPLY, 2)->vote_reply.is_granted);
    assert_true(bench->ready.hard_state_changed);
    assert_int_equal(bench->ready.hard_state.vote, 2);

    bench_receive(bench, vote_request(MESSAGE_VOTE, 3, 2, FIRST));
    assert_false(sent(bench, MESSAGE_VOTE_REPLY, 3)->vote_reply.is_granted);
    bench_receive(bench, vote_request(MESSAGE_VOTE, 2, 2, FIRST));
    assert_true(sent(bench, MESSAGE_VOTE_REPLY, 2)->vote_reply.is_granted);
    assert_false(bench->ready.hard_state_changed);
}

static void a_vote_in_a_term_known_before_is_written_down_too(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){.term = 2});
    assert_false(bench->ready.hard_state_changed);

    bench_receive(bench, vote_request(MESSAGE_VOTE, 2, 2, FIRST));

    assert_true(bench->ready.hard_state_changed);
    assert_int_equal(bench->ready.hard_state.term, 2);
    assert_int_equal(bench->ready.hard_state.vote, 2);
}

static void a_vote_survives_a_restart(void **state) /* FAULTS C10 */
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){.term = 2, .vote = 2});

    bench_receive(bench, vote_request(MESSAGE_VOTE, 3, 2, FIRST));
    assert_false(sent(bench, MESSAGE_VOTE_REPLY, 3)->vote_reply.is_granted);
    bench_receive(bench, vote_request(MESSAGE_VOTE, 2, 2, FIRST));
    assert_true(sent(bench, MESSAGE_VOTE_REPLY, 2)->vote_reply.is_granted);
}

static void a_shorter_log_gets_no_vote_but_its_term_counts(void **state) /* Raft §5.4.1 */
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){TERMS(1, 2)});

    bench_receive(bench, vote_request(MESSAGE_VOTE, 2, 7, (struct entry_id){1, 40}));

    const struct message *reply = sent(bench, MESSAGE_VOTE_REPLY, 2);
    assert_false(reply->vote_reply.is_granted);
    assert_int_equal(reply->term, 7);
    assert_int_equal(bench->view.term, 7);
    assert_int_equal(bench->ready.hard_state.vote, NODE_NONE);
}

static void a_vote_given_renews_patience_and_a_refused_one_does_not(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){TERMS(2)});
    time_us deadline = bench->ready.deadline;
    bench->now += BENCH_ELECTION / 2;

    bench_receive(bench, vote_request(MESSAGE_VOTE, 2, 3, FIRST));
    assert_int_equal(bench->ready.deadline, deadline);
    bench_receive(bench, vote_request(MESSAGE_VOTE, 3, 3, (struct entry_id){2, 2}));

    assert_true(sent(bench, MESSAGE_VOTE_REPLY, 3)->vote_reply.is_granted);
    assert_true(bench->ready.deadline >= bench->now + BENCH_ELECTION);
}

static void a_vote_asked_while_a_leader_is_heard_does_not_even_raise_the_term(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_follow(bench, 2);

    bench_receive(bench, vote_request(MESSAGE_VOTE, 3, 3, (struct entry_id){2, 9}));

    assert_int_equal(bench->view.term, 2);
    assert_int_equal(bench->view.leader, 2);
    assert_int_equal(bench->ready.messages_count, 0);
}

static void a_candidate_told_to_by_its_leader_is_not_held_up(void **state) /* thesis §3.10 */
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_follow(bench, 2);
    struct message message = vote_request(MESSAGE_VOTE, 3, 3, FIRST);
    message.vote.is_transfer = true;

    bench_receive(bench, message);

    assert_true(sent(bench, MESSAGE_VOTE_REPLY, 3)->vote_reply.is_granted);
    assert_int_equal(bench->view.term, 3);
    assert_int_equal(bench->view.leader, NODE_NONE);
}

static void a_learner_votes_when_asked(void **state) /* FAULTS M6 */
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){.voters_count = 2, .learners_count = 1, .self = 3});
    struct message pre_vote = vote_request(MESSAGE_PRE_VOTE, 1, 2, FIRST);
    struct message vote = vote_request(MESSAGE_VOTE, 1, 2, FIRST);
    pre_vote.to = vote.to = 3;

    bench_receive(bench, pre_vote);
    assert_true(sent(bench, MESSAGE_PRE_VOTE_REPLY, 1)->vote_reply.is_granted);
    bench_receive(bench, vote);

    assert_true(sent(bench, MESSAGE_VOTE_REPLY, 1)->vote_reply.is_granted);
    assert_int_equal(bench->view.role, RAFT_ROLE_LEARNER);
}

static void a_message_of_a_lower_term_is_answered_with_the_higher(void **state) /* FAULTS C16 */
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){.term = 5});

    bench_receive(bench, vote_request(MESSAGE_VOTE, 2, 4, FIRST));
    assert_false(sent(bench, MESSAGE_VOTE_REPLY, 2)->vote_reply.is_granted);
    assert_int_equal(sent(bench, MESSAGE_VOTE_REPLY, 2)->term, 5);

    bench_receive(bench, append_empty(2, 4, FIRST, 1));
    assert_true(sent(bench, MESSAGE_APPEND_REPLY, 2)->append_reply.is_rejected);
    assert_int_equal(sent(bench, MESSAGE_APPEND_REPLY, 2)->term, 5);
    assert_int_equal(bench->view.leader, NODE_NONE);

    struct message message = {.type = MESSAGE_READ_INDEX, .from = 2, .term = 4};
    bench_receive(bench, message);
    assert_true(sent(bench, MESSAGE_READ_INDEX_REPLY, 2)->read_index_reply.is_refused);
    message.type = MESSAGE_TIMEOUT_NOW;
    bench_receive(bench, message);
    assert_int_equal(sent(bench, MESSAGE_APPEND_REPLY, 2)->term, 5);
    assert_int_equal(bench->view.role, RAFT_ROLE_FOLLOWER);
}

static void a_candidate_gives_way_to_a_leader_of_its_term(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_campaign(bench);
    bench_receive(bench, vote_reply(MESSAGE_PRE_VOTE_REPLY, 2, 2, true));

    bench_receive(bench, append_empty(3, 2, FIRST, 1));

    assert_int_equal(bench->view.role, RAFT_ROLE_FOLLOWER);
    assert_int_equal(bench->view.leader, 3);
    assert_int_equal(bench->view.term, 2);
}

/* ---- knowing the leader ---- */

static void a_leader_unheard_for_an_election_timeout_is_forgotten(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_follow(bench, 2);
    time_us heard_at = bench->now;
    assert_int_equal(bench->ready.deadline, heard_at + BENCH_ELECTION);

    bench_tick(bench);

    assert_int_equal(bench->view.leader, NODE_NONE);
    assert_int_equal(bench->view.role, RAFT_ROLE_FOLLOWER);
    assert_true(bench->ready.view_changed);
    assert_true(bench->ready.deadline > bench->now);
    assert_true(bench->ready.deadline < heard_at + 2 * BENCH_ELECTION);
}

static void a_learner_forgets_its_leader_too(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){.voters_count = 2, .learners_count = 1, .self = 3});
    struct message message = append_empty(2, 1, FIRST, 1);
    message.to = 3;
    bench_receive(bench, message);
    assert_int_equal(bench->view.leader, 2);

    bench_tick(bench);

    assert_int_equal(bench->view.leader, NODE_NONE);
    assert_int_equal(bench->ready.deadline, TIME_NEVER);
}

static void a_higher_term_without_a_leader_makes_it_unknown(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_follow(bench, 2);

    bench_receive(bench, append_reject(3, 9, 0, (struct entry_id){0}));

    assert_int_equal(bench->view.term, 9);
    assert_int_equal(bench->view.leader, NODE_NONE);
    assert_true(bench->ready.hard_state_changed);
}

static void a_term_found_only_in_the_log_is_taken_without_a_vote(void **state)
{
    struct bench *bench = *state;

    bench_open(bench, (struct bench_setup){TERMS(4), .term = 2, .vote = 3});

    assert_int_equal(bench->view.term, 4);
    assert_true(bench->ready.hard_state_changed);
    assert_int_equal(bench->ready.hard_state.vote, NODE_NONE);
}

static void messages_to_others_or_from_oneself_are_dropped(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    struct message message = append_empty(2, 9, FIRST, 1);
    message.to = 3;
    bench_receive(bench, message);
    assert_int_equal(bench->view.term, 1);
    bench_receive(bench, append_empty(1, 9, FIRST, 1));
    assert_int_equal(bench->view.term, 1);
    bench_receive(bench, append_empty(NODE_NONE, 9, FIRST, 1));
    assert_int_equal(bench->view.term, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(a_follower_waits_for_one_to_one_and_a_half_election_timeouts),
        BENCH_TEST(equal_seeds_do_not_make_equal_nodes),
        BENCH_TEST(patience_at_an_end_asks_all_voters_and_changes_no_term),
        BENCH_TEST(a_majority_of_pre_votes_opens_the_real_election),
        BENCH_TEST(a_majority_of_votes_makes_a_leader_with_a_first_entry),
        BENCH_TEST(the_same_vote_twice_is_one_vote),
        BENCH_TEST(votes_of_learners_strangers_and_other_terms_count_for_nothing),
        BENCH_TEST(an_election_that_comes_to_nothing_starts_over_with_a_pre_vote),
        BENCH_TEST(a_single_voter_leads_with_the_first_tick),
        BENCH_TEST(a_learner_never_stands),
        BENCH_TEST(a_node_that_has_joined_stands_only_once_it_is_admitted),
        BENCH_TEST(of_two_that_ask_at_once_the_lower_id_steps_aside),
        BENCH_TEST(a_pre_vote_is_granted_and_leaves_no_trace),
        BENCH_TEST(a_pre_vote_is_refused_while_a_leader_is_heard),
        BENCH_TEST(a_leader_refuses_a_pre_vote_and_goes_on),
        BENCH_TEST(a_pre_vote_of_a_shorter_log_is_refused),
        BENCH_TEST(one_that_fell_behind_learns_the_term_from_the_refusal),
        BENCH_TEST(a_vote_is_given_once_a_term_and_again_to_the_same),
        BENCH_TEST(a_vote_in_a_term_known_before_is_written_down_too),
        BENCH_TEST(a_vote_survives_a_restart),
        BENCH_TEST(a_shorter_log_gets_no_vote_but_its_term_counts),
        BENCH_TEST(a_vote_given_renews_patience_and_a_refused_one_does_not),
        BENCH_TEST(a_vote_asked_while_a_leader_is_heard_does_not_even_raise_the_term),
        BENCH_TEST(a_candidate_told_to_by_its_leader_is_not_held_up),
        BENCH_TEST(a_learner_votes_when_asked),
        BENCH_TEST(a_message_of_a_lower_term_is_answered_with_the_higher),
        BENCH_TEST(a_candidate_gives_way_to_a_leader_of_its_term),
        BENCH_TEST(a_leader_unheard_for_an_election_timeout_is_forgotten),
        BENCH_TEST(a_learner_forgets_its_leader_too),
        BENCH_TEST(a_higher_term_without_a_leader_makes_it_unknown),
        BENCH_TEST(a_term_found_only_in_the_log_is_taken_without_a_vote),
        BENCH_TEST(messages_to_others_or_from_oneself_are_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
