/* Linearizable reads: rounds at the leader, questions of the others. */
#include "unit/raft/raft_fixture.h"

static const struct entry_id FIRST = {1, 1};

static void echo(struct bench *bench, node_id from, uint64_t round)
{
    bench_receive(bench, append_accept(from, bench->view.term, 0, round));
}

static uint64_t round_sent(const struct bench *bench, node_id to)
{
    const struct message *message = sent(bench, MESSAGE_APPEND, to);
    return message == NULL ? 0 : message->append.read_round;
}

static void assert_answered(const struct bench *bench, uint64_t number, raft_index index)
{
    assert_int_equal(bench->ready.reads_count, 1);
    assert_int_equal(bench->ready.reads[0].id.number, number);
    assert_int_equal(bench->ready.reads[0].id.incarnation, 77);
    assert_false(bench->ready.reads[0].is_refused);
    assert_int_equal(bench->ready.reads[0].index, index);
}

static void assert_refused(const struct bench *bench, uint64_t number)
{
    assert_int_equal(bench->ready.reads_count, 1);
    assert_int_equal(bench->ready.reads[0].id.number, number);
    assert_true(bench->ready.reads[0].is_refused);
}

/* ---- at the leader ---- */

static void a_read_is_answered_when_a_majority_has_echoed_its_round(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){.voters_count = 5});
    bench_lead(bench);

    bench_read(bench, 1);
    assert_int_equal(bench->ready.reads_count, 0);
    for (node_id peer = 2; peer <= 5; peer++)
        assert_int_equal(round_sent(bench, peer), 1);
    echo(bench, 2, 1);
    assert_int_equal(bench->ready.reads_count, 0);
    echo(bench, 2, 1); /* once is all it counts */
    assert_int_equal(bench->ready.reads_count, 0);
    echo(bench, 3, 1);

    assert_answered(bench, 1, 2);
}

static void a_single_voter_answers_at_once(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){.voters_count = 1});
    bench_sync(bench);

    bench_read(bench, 1);

    assert_answered(bench, 1, 2);
}

static void before_an_entry_of_its_term_is_committed_reads_wait(void **state) /* FAULTS C1 */
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){.terms = (const raft_term[]){1, 1}, .terms_count = 2});
    bench_elect(bench);
    bench_sync(bench);
    assert_int_equal(bench->view.commit, 1); /* it knows of no more */

    bench_read(bench, 1);
    echo(bench, 2, 0);
    echo(bench, 3, 0);
    assert_int_equal(bench->ready.reads_count, 0);
    assert_int_equal(round_sent(bench, 2), 0);
    bench_receive(bench, append_accept(2, 2, 4, 0));
    assert_int_equal(round_sent(bench, 3), 1);
    echo(bench, 3, 1);

    assert_answered(bench, 1, 4);
}

static void a_read_never_joins_a_round_already_sent(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_lead(bench);
    bench_read(bench, 1);
    bench_propose(bench, 8);
    bench_sync(bench);
    bench_receive(bench, append_accept(3, 2, 3, 0)); /* entry 3 is committed meanwhile */

    bench_read(bench, 2);
    assert_int_equal(round_sent(bench, 2), 2);
    echo(bench, 2, 1);
    assert_answered(bench, 1, 2);
    echo(bench, 3, 2);

    assert_answered(bench, 2, 3);
}

static void an_echo_confirms_all_rounds_up_to_it(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_lead(bench);
    bench_read(bench, 1);
    bench_read(bench, 2);

    echo(bench, 2, 2);

    assert_int_equal(bench->ready.reads_count, 2);
    assert_int_equal(bench->ready.reads[0].id.number, 1);
    assert_int_equal(bench->ready.reads[1].id.number, 2);
}

static void while_many_rounds_are_under_way_reads_gather_for_the_next(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_lead(bench);
    for (uint64_t number = 1; number <= LIMIT_READ_ROUNDS; number++) {
        bench_read(bench, number);
        assert_int_equal(round_sent(bench, 2), number);
    }

    bench_read(bench, 100);
    assert_int_equal(bench->ready.messages_count, 0);
    bench_read(bench, 101);
    echo(bench, 2, 1); /* one place is free: both share it */

    assert_answered(bench, 1, 2);
    assert_int_equal(round_sent(bench, 2), LIMIT_READ_ROUNDS + 1);
    echo(bench, 3, LIMIT_READ_ROUNDS + 1);
    assert_int_equal(bench->ready.reads_count, LIMIT_READ_ROUNDS - 1 + 2);
}

static void a_round_rides_on_entries_that_are_being_sent(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_lead(bench);
    for (uint64_t number = 1; number <= LIMIT_READ_ROUNDS + 1; number++)
        bench_read(bench, number);
    bench_propose(bench, 8);
    bench_sync(bench);

    struct message message = append_accept(2, 2, 3, 1); /* commits, confirms, frees a round */
    bench_receive(bench, message);

    assert_int_equal(sent_count(bench, MESSAGE_APPEND, 2), 1);
    assert_int_equal(round_sent(bench, 2), LIMIT_READ_ROUNDS + 1);
    assert_int_equal(sent(bench, MESSAGE_APPEND, 2)->append.commit, 3);
}

static void a_lost_round_is_confirmed_by_a_later_heartbeat(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_lead(bench);
    bench_read(bench, 1);

    bench_tick(bench);
    assert_int_equal(round_sent(bench, 2), 1);
    echo(bench, 2, 1);

    assert_answered(bench, 1, 2);
}

static void a_rejection_echoes_as_well(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_lead(bench);
    bench_read(bench, 1);
    struct message message = append_reject(2, 2, 50, FIRST);
    message.append_reply.read_round = 1;

    bench_receive(bench, message);

    assert_answered(bench, 1, 2);
}

static void echoes_of_an_earlier_leadership_never_count(void **state) /* FAULTS C2 */
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_lead(bench);
    bench_read(bench, 1);
    struct message late = append_accept(2, 2, 2, 1);
    bench_receive(bench, append_reject(3, 3, 0, FIRST));
    assert_refused(bench, 1);
    bench_lead(bench);
    assert_int_equal(bench->view.term, 4);
    bench_read(bench, 2);
    assert_int_equal(round_sent(bench, 2), 1); /* the same number, in another term */

    bench_receive(bench, late);
    assert_int_equal(bench->ready.reads_count, 0);
    echo(bench, 2, 1);

    assert_answered(bench, 2, bench->view.commit);
}

static void echoes_of_learners_do_not_count(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){.voters_count = 2, .learners_count = 2});
    bench_lead(bench);
    bench_read(bench, 1);
    assert_null(sent(bench, MESSAGE_APPEND, 3)); /* and are not asked for */

    echo(bench, 3, 1);
    echo(bench, 4, 1);
    assert_int_equal(bench->ready.reads_count, 0);
    echo(bench, 2, 1);

    assert_answered(bench, 1, 2);
}

static void a_deposed_leader_refuses_all_that_wait(void **state) /* FAULTS C3 */
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_lead(bench);
    bench_read(bench, 1);
    struct message message = {.type = MESSAGE_READ_INDEX, .from = 3, .term = 2};
    message.read_index.id = (struct read_id){5, 9};
    bench_receive(bench, message);

    while (bench->view.role == RAFT_ROLE_LEADER)
        bench_tick(bench);

    assert_refused(bench, 1);
    const struct message *reply = sent(bench, MESSAGE_READ_INDEX_REPLY, 3);
    assert_true(reply->read_index_reply.is_refused);
    assert_int_equal(reply->read_index_reply.id.number, 9);
}

static void what_waits_is_bounded(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_lead(bench);
    for (uint64_t number = 1; number <= LIMIT_READS_WAITING; number++) {
        bench_read(bench, number);
        assert_int_equal(bench->ready.reads_count, 0);
    }

    bench_read(bench, 1000000);

    assert_refused(bench, 1000000);
    echo(bench, 2, LIMIT_READ_ROUNDS);
    assert_int_equal(bench->ready.reads_count, LIMIT_READ_ROUNDS);
    echo(bench, 2, LIMIT_READ_ROUNDS + 1);
    assert_int_equal(bench->ready.reads_count, LIMIT_READS_WAITING - LIMIT_READ_ROUNDS);
}

/* ---- at a follower ---- */

static struct message index_reply(uint64_t number, raft_term term, bool is_refused,
                                  raft_index index)
{
    return (struct message){
        .type = MESSAGE_READ_INDEX_REPLY,
        .from = 2,
        .term = term,
        .read_index_reply = {.id = {77, number}, .is_refused = is_refused, .index = index}};
}

static void a_follower_asks_its_leader_and_answers_once(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_follow(bench, 2);

    bench_read(bench, 1);
    bench_read(bench, 2);
    assert_int_equal(sent(bench, MESSAGE_READ_INDEX, 2)->read_index.id.number, 2);
    bench_receive(bench, index_reply(2, 2, false, 7)); /* in any order */
    assert_answered(bench, 2, 7);
    bench_receive(bench, index_reply(2, 2, false, 7));
    assert_int_equal(bench->ready.reads_count, 0);
    bench_receive(bench, index_reply(1, 2, false, 8));

    assert_answered(bench, 1, 8);
}

/* The numbers of a new process begin anew: the answer to one of its former life may carry any. */
static void an_answer_to_a_former_life_answers_nothing(void **state) /* FAULTS C2 */
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_follow(bench, 2);
    bench_read(bench, 1);
    struct message late = index_reply(1, 2, false, 3);
    late.read_index_reply.id.incarnation--;

    bench_receive(bench, late);
    assert_int_equal(bench->ready.reads_count, 0);

    bench_receive(bench, index_reply(1, 2, false, 8));
    assert_answered(bench, 1, 8);
}

static void a_refusal_of_the_leader_is_passed_on(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_follow(bench, 2);
    bench_read(bench, 1);

    bench_receive(bench, index_reply(1, 2, true, 0));

    assert_refused(bench, 1);
}

static void without_a_leader_a_read_is_refused(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});

    bench_read(bench, 1);

    assert_refused(bench, 1);
}

static void what_was_asked_is_refused_when_the_leader_is_another(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_follow(bench, 2);
    bench_read(bench, 1);
    bench_receive(bench, append_empty(3, 3, FIRST, 1));
    assert_refused(bench, 1);

    bench_receive(bench, index_reply(1, 2, false, 7)); /* the old one, late */
    assert_int_equal(bench->ready.reads_count, 0);
}

static void what_was_asked_is_refused_when_the_link_breaks_or_comes_back(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_follow(bench, 2);

    bench_read(bench, 1);
    bench_link(bench, 3, false, true);
    assert_int_equal(bench->ready.reads_count, 0);
    bench_link(bench, 2, false, false);
    assert_refused(bench, 1);
    bench_read(bench, 2);
    bench_link(bench, 2, true, false);
    assert_refused(bench, 2);
}

static void a_question_unanswered_for_an_election_timeout_is_refused(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_follow(bench, 2);
    bench_read(bench, 1);
    time_us asked_at = bench->now;
    bench->now += BENCH_ELECTION / 2;
    bench_receive(bench, append_empty(2, 2, FIRST, 1)); /* the leader is there all the time */
    bench_read(bench, 2);
    assert_int_equal(bench->ready.deadline, asked_at + BENCH_ELECTION);

    bench_tick(bench);

    assert_refused(bench, 1);
    assert_true(bench->ready.deadline > bench->now);
}

static void what_is_asked_is_bounded(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_follow(bench, 2);
    for (uint64_t number = 1; number <= LIMIT_READS_ASKED; number++)
        bench_read(bench, number);
    assert_int_equal(bench->ready.reads_count, 0);

    bench_read(bench, 1000000);

    assert_refused(bench, 1000000);
}

static void a_follower_refuses_to_be_asked(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_follow(bench, 2);
    struct message message = {.type = MESSAGE_READ_INDEX, .from = 3, .term = 2};

    bench_receive(bench, message);

    assert_true(sent(bench, MESSAGE_READ_INDEX_REPLY, 3)->read_index_reply.is_refused);
}

static void a_learner_reads_too(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){.voters_count = 2, .learners_count = 1, .self = 3});
    struct message message = append_empty(2, 1, FIRST, 1);
    message.to = 3;
    bench_receive(bench, message);

    bench_read(bench, 1);
    message = index_reply(1, 1, false, 4);
    message.to = 3;
    bench_receive(bench, message);

    assert_answered(bench, 1, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(a_read_is_answered_when_a_majority_has_echoed_its_round),
        BENCH_TEST(a_single_voter_answers_at_once),
        BENCH_TEST(before_an_entry_of_its_term_is_committed_reads_wait),
        BENCH_TEST(a_read_never_joins_a_round_already_sent),
        BENCH_TEST(an_echo_confirms_all_rounds_up_to_it),
        BENCH_TEST(while_many_rounds_are_under_way_reads_gather_for_the_next),
        BENCH_TEST(a_round_rides_on_entries_that_are_being_sent),
        BENCH_TEST(a_lost_round_is_confirmed_by_a_later_heartbeat),
        BENCH_TEST(a_rejection_echoes_as_well),
        BENCH_TEST(echoes_of_an_earlier_leadership_never_count),
        BENCH_TEST(echoes_of_learners_do_not_count),
        BENCH_TEST(a_deposed_leader_refuses_all_that_wait),
        BENCH_TEST(what_waits_is_bounded),
        BENCH_TEST(a_follower_asks_its_leader_and_answers_once),
        BENCH_TEST(an_answer_to_a_former_life_answers_nothing),
        BENCH_TEST(a_refusal_of_the_leader_is_passed_on),
        BENCH_TEST(without_a_leader_a_read_is_refused),
        BENCH_TEST(what_was_asked_is_refused_when_the_leader_is_another),
        BENCH_TEST(what_was_asked_is_refused_when_the_link_breaks_or_comes_back),
        BENCH_TEST(a_question_unanswered_for_an_election_timeout_is_refused),
        BENCH_TEST(what_is_asked_is_bounded),
        BENCH_TEST(a_follower_refuses_to_be_asked),
        BENCH_TEST(a_learner_reads_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
