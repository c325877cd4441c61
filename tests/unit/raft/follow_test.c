/* Following: what an append does to the log, and what is acknowledged when. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit/raft/raft_fixture.h"

static const struct entry_id FIRST = {1, 1};

static struct entry_id id(raft_term term, raft_index index)
{
    return (struct entry_id){term, index};
}

/* Entries in these terms after `prev`, from leader 2 in `term`. */
static void receive_entries(struct bench *bench, raft_term term, struct entry_id prev,
                            raft_index commit, const raft_term *terms, uint32_t count)
{
    struct entry *entries[64];
    for (uint32_t i = 0; i < count; i++)
        entries[i] = bench_sealed(bench, terms[i], prev.index + 1 + i);
    bench_receive(bench, append_entries(2, term, prev, commit, entries, count));
}

#define RECEIVE(bench, term, prev, commit, ...)                                                    \
    receive_entries(bench, term, prev, commit, (const raft_term[]){__VA_ARGS__},                   \
                    sizeof((const raft_term[]){__VA_ARGS__}) / sizeof(raft_term))

static void assert_log(struct bench *bench, const raft_term *terms, size_t count)
{
    assert_int_equal(bench->view.last_index, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(raft_entry(bench->raft, i + 1)->id.term, terms[i]);
}

#define ASSERT_LOG(bench, ...)                                                                     \
    assert_log(bench, (const raft_term[]){__VA_ARGS__},                                            \
               sizeof((const raft_term[]){__VA_ARGS__}) / sizeof(raft_term))

static void assert_accepted(struct bench *bench, raft_index match)
{
    const struct message *reply = sent(bench, MESSAGE_APPEND_REPLY, 2);
    assert_non_null(reply);
    assert_false(reply->append_reply.is_rejected);
    assert_int_equal(reply->append_reply.match, match);
}

static void assert_rejected(struct bench *bench, raft_index prev, struct entry_id conflict)
{
    const struct message *reply = sent(bench, MESSAGE_APPEND_REPLY, 2);
    assert_non_null(reply);
    assert_true(reply->append_reply.is_rejected);
    assert_int_equal(reply->append_reply.prev, prev);
    assert_int_equal(reply->append_reply.conflict.term, conflict.term);
    assert_int_equal(reply->append_reply.conflict.index, conflict.index);
}

/* ---- acknowledging ---- */

static void new_entries_are_acknowledged_when_they_are_durable(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});

    RECEIVE(bench, 2, FIRST, 1, 2, 2);
    assert_int_equal(bench->ready.entries_count, 2);
    assert_int_equal(bench->ready.messages_count, 0);
    bench_sync(bench);

    assert_accepted(bench, 3);
}

static void entries_partly_durable_are_acknowledged_in_part(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    RECEIVE(bench, 2, FIRST, 1, 2, 2, 2);

    bench_durable(bench, id(2, 3));
    assert_accepted(bench, 3);
    bench_durable(bench, id(2, 3));
    assert_int_equal(bench->ready.messages_count, 0); /* nothing new to say */
    bench_durable(bench, id(2, 4));
    assert_accepted(bench, 4);
}

static void a_heartbeat_is_answered_at_once_with_what_is_durable(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    RECEIVE(bench, 2, FIRST, 1, 2, 2);

    bench_receive(bench, append_empty(2, 2, id(2, 3), 1));

    assert_accepted(bench, 1);
}

static void nothing_beyond_the_message_is_acknowledged(void **state) /* FAULTS C7 */
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){TERMS(1, 1, 1, 1)}); /* durable, but whose? */

    bench_receive(bench, append_empty(2, 2, FIRST, 1));
    assert_accepted(bench, 1);
    RECEIVE(bench, 2, FIRST, 1, 1);
    assert_accepted(bench, 2);
    bench_receive(bench, append_empty(2, 2, id(1, 3), 1));
    assert_accepted(bench, 3);
    ASSERT_LOG(bench, 1, 1, 1, 1, 1);
}

static void what_one_leader_verified_says_nothing_about_the_next(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){TERMS(1, 1, 1)});
    bench_receive(bench, append_empty(2, 2, id(1, 4), 1));
    assert_accepted(bench, 4);

    struct message message = append_empty(3, 3, FIRST, 1);
    bench_receive(bench, message);

    assert_int_equal(sent(bench, MESSAGE_APPEND_REPLY, 3)->append_reply.match, 1);
}

static void a_new_read_round_is_echoed_without_waiting_for_the_disk(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    struct entry *entries[] = {bench_sealed(bench, 2, 2)};
    struct message message = append_entries(2, 2, FIRST, 1, entries, 1);
    message.append.read_round = 5;

    bench_receive(bench, message);
    assert_accepted(bench, 1);
    assert_int_equal(sent(bench, MESSAGE_APPEND_REPLY, 2)->append_reply.read_round, 5);
    bench_sync(bench);

    assert_accepted(bench, 2);
    assert_int_equal(sent(bench, MESSAGE_APPEND_REPLY, 2)->append_reply.read_round, 5);
}

static void a_rejection_echoes_the_read_round_too_and_a_new_term_forgets_it(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    struct message message = append_empty(2, 2, id(2, 9), 1);
    message.append.read_round = 5;
    bench_receive(bench, message);
    assert_rejected(bench, 9, id(0, 2));
    assert_int_equal(sent(bench, MESSAGE_APPEND_REPLY, 2)->append_reply.read_round, 5);

    bench_receive(bench, append_empty(2, 3, FIRST, 1));

    assert_int_equal(sent(bench, MESSAGE_APPEND_REPLY, 2)->append_reply.read_round, 0);
}

static void without_a_leader_durable_entries_are_acknowledged_to_nobody(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    RECEIVE(bench, 2, FIRST, 1, 2);
    bench_link(bench, 2, false, true);

    bench_sync(bench);

    assert_int_equal(bench->ready.messages_count, 0);
    bench_receive(bench, append_empty(2, 2, id(2, 2), 1));
    assert_accepted(bench, 2);
}

/* ---- rejecting ---- */

static void a_gap_is_rejected_with_the_end_of_the_log(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){TERMS(1, 1)});

    bench_receive(bench, append_empty(2, 2, id(1, 9), 1));

    assert_rejected(bench, 9, id(0, 4));
}

static void a_conflict_is_rejected_with_its_whole_term(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){TERMS(2, 2, 2, 3)});

    bench_receive(bench, append_empty(2, 5, id(4, 4), 1));
    assert_rejected(bench, 4, id(2, 2));
    bench_receive(bench, append_empty(2, 5, id(4, 5), 1));
    assert_rejected(bench, 5, id(3, 5));
    ASSERT_LOG(bench, 1, 2, 2, 2, 3); /* a rejection cuts nothing */
}

static void a_conflict_never_points_into_what_is_committed(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){TERMS(2, 2, 2, 2), .commit = 3});

    bench_receive(bench, append_empty(2, 5, id(4, 5), 1));

    assert_rejected(bench, 5, id(2, 4));
}

/* ---- cutting ---- */

static void only_another_term_at_the_same_index_cuts(void **state) /* FAULTS C8 */
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    RECEIVE(bench, 2, FIRST, 1, 2, 2, 2, 2);

    RECEIVE(bench, 2, FIRST, 1, 2, 2); /* old and short */
    RECEIVE(bench, 2, id(2, 3), 1, 2); /* from the middle */
    bench_receive(bench, append_empty(2, 2, FIRST, 1));

    ASSERT_LOG(bench, 1, 2, 2, 2, 2);
    assert_int_equal(bench->ready.entries_count, 0);
}

static void a_conflict_replaces_everything_from_there_on(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){TERMS(2, 2, 2)});

    RECEIVE(bench, 3, id(2, 2), 1, 3);

    ASSERT_LOG(bench, 1, 2, 3);
    assert_int_equal(bench->ready.entries_count, 1);
    assert_int_equal(bench->ready.entries[0]->id.index, 3);
    assert_int_equal(bench->view.durable, 2);
    bench_sync(bench);
    assert_accepted(bench, 3);
}

static void a_conflict_with_a_committed_entry_stops_the_node(void **state) /* FAULTS C9 */
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){TERMS(2, 2, 2), .commit = 3});

    pid_t child = fork();
    if (child == 0) {
        close(STDERR_FILENO); /* what it says is expected */
        signal(SIGABRT, SIG_DFL);
        RECEIVE(bench, 3, FIRST, 1, 3);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);

    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void the_part_of_an_append_that_is_there_already_is_skipped(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){TERMS(2, 2, 2)});

    RECEIVE(bench, 3, FIRST, 1, 2, 2, 3, 3);

    ASSERT_LOG(bench, 1, 2, 2, 3, 3);
    assert_int_equal(bench->ready.entries_count, 2);
    assert_int_equal(bench->ready.entries[0]->id.index, 4);
}

static void a_late_report_of_a_cut_entry_does_not_count_for_its_successor(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    RECEIVE(bench, 2, FIRST, 1, 2, 2);
    struct entry_id cut_one = bench->handed;

    RECEIVE(bench, 3, FIRST, 1, 3, 3);
    assert_int_equal(bench->ready.entries_count, 0); /* the disk is still at the old ones */
    bench_durable(bench, cut_one);
    assert_int_equal(bench->view.durable, 1);
    assert_accepted(bench, 1);
    assert_int_equal(bench->ready.entries_count, 2);
    bench_sync(bench);

    assert_accepted(bench, 3);
}

/* A node may store this number with the entries it was given, and trust it after a restart. */
static void commit_is_not_told_beyond_what_the_disk_was_given(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    RECEIVE(bench, 2, FIRST, 1, 2, 2);
    struct entry_id cut_one = bench->handed;

    RECEIVE(bench, 3, FIRST, 3, 3, 3);
    assert_int_equal(bench->view.commit, 3);
    assert_int_equal(bench->ready.commit, 1);
    bench_durable(bench, cut_one);

    assert_int_equal(bench->ready.commit, 3);
}

/* ---- committing ---- */

static void commit_goes_no_further_than_what_was_verified(void **state) /* FAULTS C25 */
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){TERMS(1, 1, 1)});

    bench_receive(bench, append_empty(2, 2, id(1, 2), 100));
    assert_int_equal(bench->ready.commit, 2); /* entries 3 and 4 may not be the leader's */
    RECEIVE(bench, 2, id(1, 2), 100, 2);

    assert_int_equal(bench->ready.commit, 3);
    ASSERT_LOG(bench, 1, 1, 2);
}

static void commit_does_not_wait_for_the_own_disk_and_never_falls(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    RECEIVE(bench, 2, FIRST, 3, 2, 2);
    assert_int_equal(bench->ready.commit, 3);

    bench_receive(bench, append_empty(2, 2, id(2, 3), 1));

    assert_int_equal(bench->ready.commit, 3);
}

static void a_rejected_append_commits_nothing(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){TERMS(1, 1)});

    bench_receive(bench, append_empty(2, 3, id(2, 3), 3));

    assert_int_equal(bench->ready.commit, 1);
}

/* ---- entries that have left memory ---- */

static void a_prev_at_or_below_commit_matches_also_when_evicted(void **state) /* FAULTS P12 */
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){TERMS(1, 1, 1, 1), .commit = 4, .log_cache_bytes = 1});
    bench_applied(bench, 4);
    assert_int_equal(bench->view.first_index, 5);

    bench_receive(bench, append_empty(2, 2, id(1, 2), 4));
    assert_accepted(bench, 2);
    RECEIVE(bench, 2, id(1, 2), 4, 1, 1, 1, 2);
    assert_int_equal(bench->view.last_index, 6);
    assert_int_equal(raft_entry(bench->raft, 5)->id.term, 1);
    assert_int_equal(raft_entry(bench->raft, 6)->id.term, 2);
}

static void only_applied_and_durable_entries_are_evicted(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){.log_cache_bytes = 1});
    RECEIVE(bench, 2, FIRST, 4, 2, 2, 2);
    bench_durable(bench, id(2, 2));

    bench_applied(bench, 4);
    assert_int_equal(bench->view.first_index, 3); /* 3 and 4 are not durable */
    bench_sync(bench);
    bench_applied(bench, 4);

    assert_int_equal(bench->view.first_index, 5);
    assert_null(raft_entry(bench->raft, 4));
}

/* ---- what is not sound ---- */

static void an_append_that_is_not_sound_is_dropped(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    struct entry *gap[] = {bench_sealed(bench, 2, 2), bench_sealed(bench, 2, 4)};
    struct entry *falling[] = {bench_sealed(bench, 2, 2), bench_sealed(bench, 1, 3)};
    struct entry *future[] = {bench_sealed(bench, 9, 2)};
    struct entry *garbled[] = {bench_entry(bench, ENTRY_CONFIG, 3)};
    entry_seal(garbled[0], id(2, 2));

    bench_receive(bench, append_entries(2, 2, FIRST, 1, gap, 2));
    assert_int_equal(bench->ready.messages_count, 0);
    bench_receive(bench, append_entries(2, 2, FIRST, 1, falling, 2));
    assert_int_equal(bench->ready.messages_count, 0);
    bench_receive(bench, append_entries(2, 2, FIRST, 1, future, 1));
    assert_int_equal(bench->ready.messages_count, 0);
    bench_receive(bench, append_entries(2, 2, FIRST, 1, garbled, 1));
    assert_int_equal(bench->ready.messages_count, 0);
    bench_receive(bench, append_empty(2, 2, id(3, 0), 1));
    assert_int_equal(bench->ready.messages_count, 0);

    ASSERT_LOG(bench, 1);
    assert_int_equal(bench->view.leader, NODE_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(new_entries_are_acknowledged_when_they_are_durable),
        BENCH_TEST(entries_partly_durable_are_acknowledged_in_part),
        BENCH_TEST(a_heartbeat_is_answered_at_once_with_what_is_durable),
        BENCH_TEST(nothing_beyond_the_message_is_acknowledged),
        BENCH_TEST(what_one_leader_verified_says_nothing_about_the_next),
        BENCH_TEST(a_new_read_round_is_echoed_without_waiting_for_the_disk),
        BENCH_TEST(a_rejection_echoes_the_read_round_too_and_a_new_term_forgets_it),
        BENCH_TEST(without_a_leader_durable_entries_are_acknowledged_to_nobody),
        BENCH_TEST(a_gap_is_rejected_with_the_end_of_the_log),
        BENCH_TEST(a_conflict_is_rejected_with_its_whole_term),
        BENCH_TEST(a_conflict_never_points_into_what_is_committed),
        BENCH_TEST(only_another_term_at_the_same_index_cuts),
        BENCH_TEST(a_conflict_replaces_everything_from_there_on),
        BENCH_TEST(a_conflict_with_a_committed_entry_stops_the_node),
        BENCH_TEST(the_part_of_an_append_that_is_there_already_is_skipped),
        BENCH_TEST(a_late_report_of_a_cut_entry_does_not_count_for_its_successor),
        BENCH_TEST(commit_is_not_told_beyond_what_the_disk_was_given),
        BENCH_TEST(commit_goes_no_further_than_what_was_verified),
        BENCH_TEST(commit_does_not_wait_for_the_own_disk_and_never_falls),
        BENCH_TEST(a_rejected_append_commits_nothing),
        BENCH_TEST(a_prev_at_or_below_commit_matches_also_when_evicted),
        BENCH_TEST(only_applied_and_durable_entries_are_evicted),
        BENCH_TEST(an_append_that_is_not_sound_is_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
