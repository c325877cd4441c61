/* Members: when a configuration counts, which changes are taken, and what becomes of a removed
 * leader. */
#include "unit/raft/raft_fixture.h"

static const struct entry_id FIRST = {1, 1};

static struct config without(struct config config, node_id id)
{
    struct config rest = {0};
    for (uint32_t i = 0; i < config.members_count; i++)
        if (config.members[i].id != id)
            assert_int_equal(config_add(&rest, &config.members[i]), ST_OK);
    return rest;
}

static struct entry *sealed_config(struct bench *bench, const struct config *config, raft_term term,
                                   raft_index index)
{
    struct entry *entry = bench_config_entry(bench, config);
    entry_seal(entry, (struct entry_id){term, index});
    return entry;
}

static uint32_t voters_count(const struct bench *bench)
{
    return config_voters_count(raft_config(bench->raft));
}

/* ---- which changes are taken ---- */

static void a_change_counts_from_the_moment_it_is_appended(void **state) /* thesis §4.1 */
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){.learners_count = 1});
    bench_lead(bench);
    struct config config = bench_config(4, 0);

    bench_propose_config(bench, &config);

    assert_int_equal(bench->status, ST_OK);
    assert_int_equal(voters_count(bench), 4);
    bench_sync(bench);
    bench_receive(bench, append_accept(2, 2, 3, 0));
    assert_int_equal(bench->ready.commit, 2); /* two of four */
    bench_receive(bench, append_accept(4, 2, 3, 0));
    assert_int_equal(bench->ready.commit, 3); /* the new one's vote counts already */
}

static void one_change_at_a_time(void **state) /* FAULTS M2 */
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_lead(bench);
    struct config first = bench_config(3, 1);
    struct config second = bench_config(3, 2);
    bench_propose_config(bench, &first);

    bench_propose_config(bench, &second);
    assert_int_equal(bench->status, ST_BAD_REQUEST);
    assert_int_equal(bench->view.last_index, 3);
    bench_propose(bench, 8); /* commands go on */
    assert_int_equal(bench->status, ST_OK);
    bench_sync(bench);
    bench_receive(bench, append_accept(2, 2, 4, 0));
    bench_propose_config(bench, &second);

    assert_int_equal(bench->status, ST_OK);
}

static void no_change_before_an_entry_of_the_own_term_is_committed(void **state) /* FAULTS M1 */
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_elect(bench);
    struct config config = bench_config(3, 1);

    bench_propose_config(bench, &config);
    assert_int_equal(bench->status, ST_BAD_REQUEST);
    bench_sync(bench);
    bench_receive(bench, append_accept(2, 2, 2, 0));
    bench_propose_config(bench, &config);

    assert_int_equal(bench->status, ST_OK);
}

static void whether_a_change_is_open_can_be_asked(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    assert_false(raft_change_open(bench->raft)); /* no leader */
    bench_elect(bench);
    assert_false(raft_change_open(bench->raft)); /* nothing of its own is committed (FAULTS M1) */
    bench_sync(bench);
    bench_receive(bench, append_accept(2, 2, 2, 0));
    assert_true(raft_change_open(bench->raft));

    struct config config = bench_config(3, 1);
    bench_propose_config(bench, &config);
    assert_false(raft_change_open(bench->raft)); /* FAULTS M2 */
    bench_sync(bench);
    bench_receive(bench, append_accept(2, 2, 3, 0));
    assert_true(raft_change_open(bench->raft));
    bench_receive(bench, append_empty(3, 9, FIRST, 1));

    assert_false(raft_change_open(bench->raft));
}

/* Not its word, nor that of one that is no member any more. */
static void a_learners_acknowledgement_commits_nothing(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){.voters_count = 3, .learners_count = 2});
    bench_lead(bench);
    bench_propose(bench, 8);
    bench_sync(bench);

    bench_receive(bench, append_accept(4, 2, 3, 0));
    bench_receive(bench, append_accept(5, 2, 3, 0));
    bench_receive(bench, append_accept(6, 2, 3, 0));
    assert_int_equal(bench->ready.commit, 2);
    bench_receive(bench, append_accept(3, 2, 3, 0));

    assert_int_equal(bench->ready.commit, 3);
}

static void an_address_that_changes_leaves_votes_as_they_are(void **state) /* FAULTS M15 */
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){.voters_count = 3, .learners_count = 1});
    bench_lead(bench);
    struct config config = bench_config(3, 1);
    config.members[3].peer.port = 7001;

    bench_propose_config(bench, &config);

    assert_int_equal(bench->status, ST_OK);
    assert_int_equal(voters_count(bench), 3);
    assert_int_equal(config_find(raft_config(bench->raft), 4)->peer.port, 7001);
    struct raft_peer_view peer = {0};
    assert_string_equal(peer_state(bench, 4, &peer), "stream"); /* what is known of it stays */
    assert_int_equal(peer.match, 2);
    assert_false(peer.is_voter);
}

static void a_change_of_more_than_one_voter_is_refused(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){.voters_count = 3, .learners_count = 2});
    bench_lead(bench);
    struct config promotes_two = bench_config(5, 0);
    struct config none = {0};
    struct config swaps = without(bench_config(4, 1), 2);
    struct config promotes_one = bench_config(4, 1);

    bench_propose_config(bench, &promotes_two);
    assert_int_equal(bench->status, ST_BAD_REQUEST);
    bench_propose_config(bench, &none);
    assert_int_equal(bench->status, ST_BAD_REQUEST);
    bench_propose_config(bench, &swaps);
    assert_int_equal(bench->status, ST_BAD_REQUEST);
    bench_propose_entry(bench, bench_entry(bench, ENTRY_CONFIG, 7)); /* no configuration at all */
    assert_int_equal(bench->status, ST_BAD_REQUEST);
    bench_propose_config(bench, &promotes_one);

    assert_int_equal(bench->status, ST_OK);
}

static void the_last_voter_stays(void **state) /* FAULTS M17 */
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){.voters_count = 1});
    bench_sync(bench);
    struct config config = bench_config(0, 1);

    bench_propose_config(bench, &config);

    assert_int_equal(bench->status, ST_BAD_REQUEST);
}

static void a_refused_change_refuses_its_whole_batch(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_lead(bench);
    struct config config = bench_config(3, 1);
    struct entry *entries[] = {bench_entry(bench, ENTRY_COMMAND, 8),
                               bench_config_entry(bench, &config),
                               bench_config_entry(bench, &config)};

    bench_step(bench, (struct raft_event){.type = RAFT_EVENT_PROPOSE, .propose = {entries, 3}});
    assert_int_equal(bench->status, ST_BAD_REQUEST);
    assert_int_equal(bench->view.last_index, 2);
    bench_step(bench, (struct raft_event){.type = RAFT_EVENT_PROPOSE, .propose = {entries, 2}});

    assert_int_equal(bench->status, ST_OK);
    assert_int_equal(bench->view.last_index, 4);
}

static void a_new_peer_is_probed_at_once_and_a_removed_one_hears_no_more(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){.voters_count = 3});
    bench_lead(bench);
    struct config added = bench_config(3, 1);
    bench_propose_config(bench, &added);
    assert_non_null(sent(bench, MESSAGE_APPEND, 4));
    bench_sync(bench);
    bench_receive(bench, append_accept(2, 2, 3, 0));

    struct config removed = without(added, 3);
    bench_propose_config(bench, &removed);

    assert_null(sent(bench, MESSAGE_APPEND, 3));
    assert_string_equal(peer_state(bench, 3, NULL), "none");
    struct raft_peer_view peer;
    assert_string_equal(peer_state(bench, 2, &peer), "stream");
    assert_int_equal(peer.match, 3); /* those that stay keep what is known of them */
}

/* ---- a leader that is removed ---- */

static void a_removed_leader_leads_until_that_is_committed_and_counts_no_more(void **state)
{ /* thesis §4.2.2, FAULTS M3 */
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_lead(bench);
    struct config config = without(bench_config(3, 0), 1);
    bench_propose_config(bench, &config);
    assert_int_equal(bench->view.role, RAFT_ROLE_LEADER);

    bench_sync(bench);
    bench_receive(bench, append_accept(2, 2, 3, 0));
    assert_int_equal(bench->ready.commit, 2); /* its own disk is not one of the two */
    bench_receive(bench, append_accept(3, 2, 3, 0));

    assert_int_equal(bench->ready.commit, 3);
    assert_int_equal(sent(bench, MESSAGE_APPEND, 2)->append.commit, 3);
    assert_int_equal(bench->view.role, RAFT_ROLE_LEARNER);
    assert_int_equal(bench->ready.deadline, TIME_NEVER); /* FAULTS M4 */
}

static void a_leader_that_leaves_asks_the_best_to_go_on(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){.voters_count = 4});
    bench_lead(bench);
    struct config config = without(bench_config(4, 0), 1);
    bench_propose_config(bench, &config);
    bench_sync(bench);

    bench_receive(bench, append_accept(2, 2, 2, 0));
    bench_receive(bench, append_accept(3, 2, 3, 0));
    bench_receive(bench, append_accept(4, 2, 3, 0));

    assert_int_equal(bench->view.role, RAFT_ROLE_LEARNER);
    assert_null(sent(bench, MESSAGE_TIMEOUT_NOW, 2)); /* it lacks what was just committed */
    assert_non_null(sent(bench, MESSAGE_TIMEOUT_NOW, 3));
}

static void a_leader_made_a_learner_leaves_too(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_lead(bench);
    struct config config = bench_config(3, 0);
    config.members[0].is_voter = false;
    bench_propose_config(bench, &config);
    bench_receive(bench, append_accept(2, 2, 3, 0));
    bench_receive(bench, append_accept(3, 2, 3, 0));

    assert_int_equal(bench->view.role, RAFT_ROLE_LEARNER);
}

/* Without this a cluster stands still for ever: only the removed leader has the entry that removes
 * it, so only it can win, and the others are not enough to go on without it. */
static void one_whose_removal_is_not_committed_may_still_stand(void **state) /* thesis §4.2.2 */
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){.voters_count = 2});
    bench_lead(bench);
    struct config config = without(bench_config(2, 0), 1);
    bench_propose_config(bench, &config);
    bench_sync(bench);
    while (bench->view.role == RAFT_ROLE_LEADER)
        bench_tick(bench);
    assert_int_equal(bench->view.role, RAFT_ROLE_FOLLOWER);

    bench_tick(bench);
    assert_int_equal(bench->view.role, RAFT_ROLE_PRE_CANDIDATE); /* its own vote is none */
    bench_receive(bench, vote_reply(MESSAGE_PRE_VOTE_REPLY, 2, 3, true));
    bench_receive(bench, vote_reply(MESSAGE_VOTE_REPLY, 2, 3, true));
    assert_int_equal(bench->view.role, RAFT_ROLE_LEADER);
    bench_receive(bench, append_accept(2, 3, 4, 0));

    assert_int_equal(bench->ready.commit, 4);
    assert_int_equal(bench->view.role, RAFT_ROLE_LEARNER);
}

/* ---- followers ---- */

static void a_promoted_learner_may_stand(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){.voters_count = 2, .learners_count = 1, .self = 3});
    struct config config = bench_config(3, 0);
    struct entry *entry = sealed_config(bench, &config, 1, 2);
    struct message message = append_entries(2, 1, FIRST, 1, &entry, 1);
    message.to = 3;

    bench_receive(bench, message);

    assert_int_equal(bench->view.role, RAFT_ROLE_FOLLOWER);
    bench_tick(bench); /* the leader is forgotten */
    bench_tick(bench);
    assert_int_equal(bench->view.role, RAFT_ROLE_PRE_CANDIDATE);
}

static void a_cut_takes_the_configuration_back(void **state) /* FAULTS M7 */
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    struct config config = bench_config(4, 0);
    struct entry *entry = sealed_config(bench, &config, 2, 2);
    bench_receive(bench, append_entries(2, 2, FIRST, 1, &entry, 1));
    assert_int_equal(voters_count(bench), 4);

    struct entry *other = bench_sealed(bench, 3, 2);
    bench_receive(bench, append_entries(3, 3, FIRST, 1, &other, 1));

    assert_int_equal(voters_count(bench), 3);
    assert_string_equal(peer_state(bench, 4, NULL), "none");
}

static void a_removal_that_is_cut_makes_a_voter_again(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    struct config config = without(bench_config(3, 0), 1);
    struct entry *entry = sealed_config(bench, &config, 2, 2);
    bench_receive(bench, append_entries(2, 2, FIRST, 1, &entry, 1));
    assert_int_equal(voters_count(bench), 2);

    struct entry *other = bench_sealed(bench, 3, 2);
    bench_receive(bench, append_entries(3, 3, FIRST, 2, &other, 1));

    assert_int_equal(bench->view.role, RAFT_ROLE_FOLLOWER);
    assert_int_equal(voters_count(bench), 3);
    assert_true(bench->ready.deadline != TIME_NEVER);
}

static void several_configurations_above_commit_are_told_apart(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    struct config four = bench_config(4, 0);
    struct config five = bench_config(5, 0);
    struct entry *entries[] = {sealed_config(bench, &four, 2, 2), bench_sealed(bench, 2, 3),
                               sealed_config(bench, &five, 2, 4)};
    bench_receive(bench, append_entries(2, 2, FIRST, 1, entries, 3));
    assert_int_equal(voters_count(bench), 5);

    struct entry *other = bench_sealed(bench, 3, 4);
    bench_receive(bench, append_entries(3, 3, (struct entry_id){2, 3}, 2, &other, 1));
    assert_int_equal(voters_count(bench), 4);
}

static void a_configuration_counts_also_after_a_restart(void **state) /* FAULTS M8 */
{
    struct bench *bench = *state;
    memset(bench, 0, sizeof *bench);
    struct config three = bench_config(3, 0);
    struct config four = bench_config(4, 0);
    struct entry *entry = sealed_config(bench, &four, 2, 8);
    struct raft_options options = {
        .self = 1, .heartbeat = BENCH_HEARTBEAT, .election = BENCH_ELECTION};
    struct raft_start start = {.hard_state = {.term = 2},
                               .commit = 7,
                               .config = three,
                               .base = {2, 7},
                               .entries = &entry,
                               .entries_count = 1};

    bench->raft = raft_new(&options, &start); /* with only the tail in memory */
    bench_tick_at(bench, MS(1));

    assert_int_equal(voters_count(bench), 4);
    assert_int_equal(bench->view.first_index, 8);
    assert_int_equal(bench->ready.commit, 7);
}

static void a_node_without_members_waits_to_be_found(void **state)
{
    struct bench *bench = *state;
    memset(bench, 0, sizeof *bench);
    struct raft_options options = {
        .self = 4, .heartbeat = BENCH_HEARTBEAT, .election = BENCH_ELECTION};
    struct raft_start start = {0};
    bench->raft = raft_new(&options, &start);
    bench_tick_at(bench, MS(1));
    assert_int_equal(bench->view.role, RAFT_ROLE_LEARNER);
    assert_int_equal(bench->ready.deadline, TIME_NEVER);

    struct config config = bench_config(3, 1);
    struct entry *entry = sealed_config(bench, &config, 1, 1);
    struct message message = append_entries(2, 5, (struct entry_id){0}, 1, &entry, 1);
    message.to = 4;
    bench_receive(bench, message);

    assert_int_equal(bench->view.leader, 2);
    assert_int_equal(voters_count(bench), 3);
    assert_int_equal(bench->ready.commit, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(a_change_counts_from_the_moment_it_is_appended),
        BENCH_TEST(one_change_at_a_time),
        BENCH_TEST(no_change_before_an_entry_of_the_own_term_is_committed),
        BENCH_TEST(whether_a_change_is_open_can_be_asked),
        BENCH_TEST(a_learners_acknowledgement_commits_nothing),
        BENCH_TEST(an_address_that_changes_leaves_votes_as_they_are),
        BENCH_TEST(a_change_of_more_than_one_voter_is_refused),
        BENCH_TEST(the_last_voter_stays),
        BENCH_TEST(a_refused_change_refuses_its_whole_batch),
        BENCH_TEST(a_new_peer_is_probed_at_once_and_a_removed_one_hears_no_more),
        BENCH_TEST(a_removed_leader_leads_until_that_is_committed_and_counts_no_more),
        BENCH_TEST(a_leader_that_leaves_asks_the_best_to_go_on),
        BENCH_TEST(a_leader_made_a_learner_leaves_too),
        BENCH_TEST(one_whose_removal_is_not_committed_may_still_stand),
        BENCH_TEST(a_promoted_learner_may_stand),
        BENCH_TEST(a_cut_takes_the_configuration_back),
        BENCH_TEST(a_removal_that_is_cut_makes_a_voter_again),
        BENCH_TEST(several_configurations_above_commit_are_told_apart),
        BENCH_TEST(a_configuration_counts_also_after_a_restart),
        BENCH_TEST(a_node_without_members_waits_to_be_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
