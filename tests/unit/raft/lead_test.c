/* Leading: taking proposals, committing them, and giving up without a majority. */
#include "unit/raft/raft_fixture.h"

static struct entry_id id(raft_term term, raft_index index)
{
    return (struct entry_id){term, index};
}

static const struct message *append_to(const struct bench *bench, node_id to)
{
    return sent(bench, MESSAGE_APPEND, to);
}

static void accept(struct bench *bench, node_id from, raft_index match)
{
    bench_receive(bench, append_accept(from, bench->view.term, match, 0));
}

static void reject(struct bench *bench, node_id from, raft_index prev, struct entry_id conflict)
{
    bench_receive(bench, append_reject(from, bench->view.term, prev, conflict));
}

/* ---- proposing ---- */

static void a_proposal_leaves_at_once_while_the_own_disk_still_writes(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_lead(bench);

    bench_propose(bench, 8);

    assert_int_equal(bench->status, ST_OK);
    assert_int_equal(bench->ready.entries_count, 1);
    assert_true(entry_id_equal(bench->ready.entries[0]->id, id(2, 3)));
    for (node_id peer = 2; peer <= 3; peer++) {
        assert_int_equal(sent_count(bench, MESSAGE_APPEND, peer), 1);
        assert_true(entry_id_equal(append_to(bench, peer)->append.prev, id(2, 2)));
        assert_ptr_equal(append_to(bench, peer)->append.entries[0], bench->ready.entries[0]);
    }
}

static void many_proposals_leave_in_one_message(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_lead(bench);
    struct entry *entries[100];
    for (size_t i = 0; i < 100; i++)
        entries[i] = bench_entry(bench, ENTRY_COMMAND, 8);

    bench_step(bench, (struct raft_event){.type = RAFT_EVENT_PROPOSE, .propose = {entries, 100}});

    assert_int_equal(bench->ready.messages_count, 2);
    assert_int_equal(append_to(bench, 3)->append.entries_count, 100);
}

static void a_follower_takes_no_proposals(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});

    bench_propose(bench, 8);

    assert_int_equal(bench->status, ST_NOT_LEADER);
    assert_int_equal(bench->ready.entries_count, 0);
    assert_int_equal(bench->made[bench->made_count - 1]->refs_count, 1);
}

static void what_is_uncommitted_is_bounded(void **state) /* FAULTS X7 */
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_lead(bench);
    while (bench->status == ST_OK)
        bench_propose(bench, LIMIT_VALUE_BYTES);

    assert_int_equal(bench->status, ST_BUSY);
    assert_true(bench->view.uncommitted_bytes <= LIMIT_UNCOMMITTED_BYTES);
    assert_true(bench->view.uncommitted_bytes > LIMIT_UNCOMMITTED_BYTES - 2 * MIB);
    raft_index last = bench->view.last_index;
    accept(bench, 2, last);
    bench_sync(bench);

    assert_int_equal(bench->view.uncommitted_bytes, 0);
    bench_propose(bench, 8);
    assert_int_equal(bench->status, ST_OK);
    assert_int_equal(bench->view.last_index, last + 1);
}

/* ---- committing ---- */

static void the_leader_counts_its_own_disk_like_any_other(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_lead(bench);
    bench_propose(bench, 8);

    accept(bench, 2, 3);
    assert_int_equal(bench->ready.commit, 2); /* one disk of three */
    bench_sync(bench);
    assert_int_equal(bench->ready.commit, 3);

    bench_propose(bench, 8);
    accept(bench, 2, 4);
    accept(bench, 3, 4);
    assert_int_equal(bench->ready.commit, 4); /* two others suffice */
}

static void commit_takes_a_majority_for_every_size(void **state) /* FAULTS C12 */
{
    (void)state;
    for (node_id voters = 1; voters <= 7; voters++) {
        struct bench *bench = mem_alloc(sizeof *bench);
        bench_open(bench, (struct bench_setup){.voters_count = voters});
        if (voters > 1)
            bench_elect(bench);
        bench_sync(bench);
        for (node_id peer = 2; peer <= voters; peer++) {
            raft_index want = peer - 1 >= voters / 2 + 1 ? 2 : 1;
            assert_int_equal(bench->ready.commit, want);
            accept(bench, peer, 2);
        }
        assert_int_equal(bench->ready.commit, 2);
        bench_close(bench);
        mem_free(bench);
    }
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
}

static void an_entry_of_an_older_term_is_not_committed_by_counting(void **state) /* Raft §5.4.2 */
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){TERMS(2, 2)});
    bench_elect(bench);

    accept(bench, 2, 3);
    accept(bench, 3, 3);
    bench_durable(bench, id(2, 3));
    assert_int_equal(bench->ready.commit, 1);
    accept(bench, 2, 4);
    accept(bench, 3, 4);

    assert_int_equal(bench->ready.commit, 4);
}

static void a_commit_is_told_at_once_in_one_message(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){.learners_count = 1});
    bench_lead(bench);
    bench_propose(bench, 8);
    bench_sync(bench);

    accept(bench, 2, 3);

    for (node_id peer = 2; peer <= 4; peer++) {
        assert_int_equal(sent_count(bench, MESSAGE_APPEND, peer), 1);
        assert_int_equal(append_to(bench, peer)->append.commit, 3);
    }
    accept(bench, 3, 3);
    assert_int_equal(bench->ready.messages_count, 0);
}

static void an_acknowledgement_beyond_the_log_is_ignored(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_lead(bench);

    accept(bench, 2, 99);

    struct raft_peer_view peer;
    assert_string_equal(peer_state(bench, 2, &peer), "stream");
    assert_int_equal(peer.match, 2);
}

/* ---- giving up ---- */

static void without_a_majority_it_steps_down_within_an_election_timeout(void **state)
{ /* FAULTS C18 */
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){.voters_count = 5});
    bench_lead(bench);
    time_us heard_at = bench->now;
    while (bench->view.role == RAFT_ROLE_LEADER) {
        bench_tick(bench);
        if (bench->now < heard_at + BENCH_ELECTION)
            accept(bench, 2, 2); /* one of four is not enough */
    }

    assert_int_equal(bench->now, heard_at + BENCH_ELECTION);
    assert_int_equal(bench->view.term, 2);
    assert_int_equal(bench->view.leader, NODE_NONE);
    assert_true(bench->ready.deadline >= bench->now + BENCH_ELECTION);
}

static void with_a_majority_it_leads_on(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){.voters_count = 5, .learners_count = 1});
    bench_lead(bench);
    for (int i = 0; i < 50; i++) {
        bench_tick(bench);
        accept(bench, 2, 2);
        reject(bench, 3, 90, id(0, 1)); /* also a sign of life */
    }
    assert_int_equal(bench->view.role, RAFT_ROLE_LEADER);
}

static void learners_are_no_part_of_the_majority_that_must_be_heard(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){.voters_count = 2, .learners_count = 2});
    bench_lead(bench);
    time_us heard_at = bench->now;
    while (bench->now < heard_at + BENCH_ELECTION) {
        bench_tick(bench);
        accept(bench, 3, 2);
        accept(bench, 4, 2);
    }
    assert_int_equal(bench->view.role, RAFT_ROLE_FOLLOWER);
}

static void a_higher_term_deposes_it(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_lead(bench);

    bench_receive(bench, append_reject(3, 5, 2, id(0, 0)));

    assert_int_equal(bench->view.role, RAFT_ROLE_FOLLOWER);
    assert_int_equal(bench->view.term, 5);
    assert_int_equal(bench->view.term_start, 0);
    assert_int_equal(bench->view.uncommitted_bytes, 0);
    assert_int_equal(bench->ready.messages_count, 0);
}

static void answers_of_another_term_or_of_strangers_count_for_nothing(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_elect(bench);
    bench_sync(bench);

    bench_receive(bench, append_accept(2, 1, 2, 0));
    assert_int_equal(bench->ready.commit, 1);
    bench_receive(bench, append_accept(9, 2, 2, 0));
    assert_int_equal(bench->ready.commit, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(a_proposal_leaves_at_once_while_the_own_disk_still_writes),
        BENCH_TEST(many_proposals_leave_in_one_message),
        BENCH_TEST(a_follower_takes_no_proposals),
        BENCH_TEST(what_is_uncommitted_is_bounded),
        BENCH_TEST(the_leader_counts_its_own_disk_like_any_other),
        BENCH_TEST(commit_takes_a_majority_for_every_size),
        BENCH_TEST(an_entry_of_an_older_term_is_not_committed_by_counting),
        BENCH_TEST(a_commit_is_told_at_once_in_one_message),
        BENCH_TEST(an_acknowledgement_beyond_the_log_is_ignored),
        BENCH_TEST(without_a_majority_it_steps_down_within_an_election_timeout),
        BENCH_TEST(with_a_majority_it_leads_on),
        BENCH_TEST(learners_are_no_part_of_the_majority_that_must_be_heard),
        BENCH_TEST(a_higher_term_deposes_it),
        BENCH_TEST(answers_of_another_term_or_of_strangers_count_for_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
