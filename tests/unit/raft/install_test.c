/* Installing: what becomes of a log when a snapshot is put in its place, and of the node's part in
 * the cluster. */
#include "raft/log.h"
#include "unit/raft/raft_fixture.h"

static struct entry_id id(raft_term term, raft_index index)
{
    return (struct entry_id){term, index};
}

/* ---- the log alone, over all small cases ---- */

enum { LENGTH_MAX = 4, TERM_MAX = 3 };

struct log_case {
    raft_term terms[LENGTH_MAX]; /* of its entries, which never decrease */
    size_t count, handed, durable;
    struct entry_id last; /* of the snapshot */
};

static struct entry *entry_at(raft_term term, raft_index index)
{
    struct entry *entry = entry_new(ENTRY_COMMAND, 1);
    entry->data[0] = 0;
    entry_seal(entry, id(term, index));
    return entry;
}

static void add(struct raft_log *log, raft_term term)
{
    struct entry *entry = entry_at(term, raft_log_last(log).index + 1);
    raft_log_append(log, entry);
    entry_unref(entry);
}

static void open_log(struct raft_log *log, const struct log_case *one)
{
    struct entry **entries;
    raft_log_init(log, id(0, 0));
    for (size_t i = 0; i < one->count; i++) {
        if (i == one->handed)
            (void)raft_log_hand_out(log, &entries);
        add(log, one->terms[i]);
    }
    if (one->count == one->handed)
        (void)raft_log_hand_out(log, &entries);
    if (one->durable > 0)
        raft_log_on_durable(log, raft_log_id(log, one->durable));
}

/* What was on its way to the disk is reported after all; none of it may count for what came later.
 * Then the disk gets the rest, and only its own report makes that durable. */
static void finish_disk(struct raft_log *log, const struct log_case *one)
{
    struct entry **entries;
    add(log, TERM_MAX + 1);
    (void)raft_log_hand_out(log, &entries);
    raft_index durable = log->durable;
    for (size_t i = one->durable; i < one->handed; i++) {
        raft_log_on_durable(log, id(one->terms[i], i + 1));
        bool is_kept = raft_log_has(log, id(one->terms[i], i + 1));
        assert_true(log->durable == durable || is_kept);
        durable = log->durable;
    }
    (void)raft_log_hand_out(log, &entries);
    assert_int_equal(log->handed, raft_log_last(log).index);
    assert_true(log->durable < log->handed);
    raft_log_on_durable(log, raft_log_last(log));
    assert_int_equal(log->durable, raft_log_last(log).index);
}

static void check_install(const struct log_case *one)
{
    struct raft_log log;
    open_log(&log, one);
    raft_index index = one->last.index;
    bool is_kept = index <= one->count && one->terms[index - 1] == one->last.term;

    raft_log_install(&log, one->last);

    assert_true(entry_id_equal(log.base, one->last));
    assert_int_equal(raft_log_last(&log).index, is_kept ? one->count : index);
    for (raft_index i = index + 1; i <= one->count && is_kept; i++)
        assert_int_equal(raft_log_id(&log, i).term, one->terms[i - 1]);
    assert_int_equal(log.durable, is_kept ? MAX(one->durable, index) : index);
    assert_int_equal(log.handed, is_kept ? MAX(one->handed, index) : index);
    finish_disk(&log, one);
    raft_log_release(&log);
}

static void check_all_disks(struct log_case one)
{
    for (one.handed = 0; one.handed <= one.count; one.handed++)
        for (one.durable = 0; one.durable <= one.handed; one.durable++)
            for (one.last.index = 1; one.last.index <= LENGTH_MAX + 1; one.last.index++)
                for (one.last.term = 1; one.last.term <= TERM_MAX; one.last.term++)
                    check_install(&one);
}

static void check_all_logs(struct log_case one)
{
    check_all_disks(one);
    raft_term term_min = one.count > 0 ? one.terms[one.count - 1] : 1;
    for (raft_term term = term_min; term <= TERM_MAX && one.count < LENGTH_MAX; term++) {
        struct log_case longer = one;
        longer.terms[longer.count++] = term;
        check_all_logs(longer);
    }
}

static void a_log_keeps_what_follows_the_snapshots_entry_and_else_nothing(void **state)
{
    (void)state;
    check_all_logs((struct log_case){0});
}

/* Entries 3 and 4 were cut while the disk wrote them; nothing is handed out until it has said so,
 * and a snapshot in between changes nothing about that. */
static void a_snapshot_between_a_cut_and_its_report_waits_for_the_report_too(void **state)
{
    (void)state;
    struct raft_log log;
    struct entry **entries;
    open_log(&log, &(struct log_case){{1, 1, 1, 1}, .count = 4, .handed = 4, .durable = 2});
    raft_log_cut(&log, 3);
    add(&log, 2);
    add(&log, 2);
    assert_int_equal(raft_log_hand_out(&log, &entries), 0);

    raft_log_install(&log, id(2, 3));
    assert_int_equal(raft_log_hand_out(&log, &entries), 0);
    raft_log_on_durable(&log, id(1, 4));

    assert_int_equal(log.durable, 3); /* the snapshot's; not the other 4 */
    assert_int_equal(raft_log_hand_out(&log, &entries), 1);
    assert_int_equal(entries[0]->id.index, 4);
    raft_log_release(&log);
}

/* ---- the core: five entries 1 1 1 1 2, three of them committed, following 2 in term 4 ---- */

static void open_follower(struct bench *bench)
{
    bench_open(bench, (struct bench_setup){TERMS(1, 1, 1, 2), .commit = 3});
    bench_follow(bench, 4);
}

static void install(struct bench *bench, struct entry_id last, const struct config *config)
{
    bench_step(bench, (struct raft_event){.type = RAFT_EVENT_INSTALLED,
                                          .installed = {.last = last, .config = config}});
}

static void a_snapshot_takes_the_place_of_a_log_that_lacks_it(void **state)
{
    struct bench *bench = *state;
    open_follower(bench);
    struct config config = bench_config(3, 1);

    install(bench, id(3, 9), &config);

    assert_int_equal(bench->view.last_index, 9);
    assert_int_equal(bench->view.first_index, 10);
    assert_int_equal(bench->view.durable, 9);
    assert_int_equal(bench->ready.commit, 9);
    assert_int_equal(bench->ready.entries_count, 0);
    assert_int_equal(raft_config(bench->raft)->members_count, 4);
    const struct message *reply = sent(bench, MESSAGE_APPEND_REPLY, 2); /* said at once */
    assert_false(reply->append_reply.is_rejected);
    assert_int_equal(reply->append_reply.match, 9);
}

static void the_log_goes_on_behind_a_snapshot(void **state)
{
    struct bench *bench = *state;
    open_follower(bench);
    struct config config = bench_config(3, 0);
    install(bench, id(3, 9), &config);
    struct entry *entry = bench_sealed(bench, 4, 10);

    bench_receive(bench, append_entries(2, 4, id(3, 9), 10, &entry, 1));
    assert_int_equal(bench->ready.entries_count, 1);
    assert_int_equal(bench->view.commit, 10);
    bench_sync(bench);

    assert_int_equal(sent(bench, MESSAGE_APPEND_REPLY, 2)->append_reply.match, 10);
}

static void an_append_whose_beginning_lies_inside_a_snapshot_is_taken(void **state)
{ /* FAULTS P12 */
    struct bench *bench = *state;
    open_follower(bench);
    struct config config = bench_config(3, 0);
    install(bench, id(3, 9), &config);
    struct entry *entries[5];
    for (size_t i = 0; i < 5; i++)
        entries[i] = bench_sealed(bench, 3, 7 + i);

    bench_receive(bench, append_entries(2, 4, id(3, 6), 9, entries, 5));

    assert_int_equal(bench->view.last_index, 11);
    assert_int_equal(bench->ready.entries_count, 2);
    assert_null(raft_entry(bench->raft, 9));
    assert_true(raft_entry(bench->raft, 10) == entries[3]);
}

/* Over all snapshots up to index 7 and term 3. */
static void only_what_is_newer_than_commit_is_put_in_place(void **state) /* FAULTS P1 */
{
    struct bench *bench = *state;
    static const raft_term own[] = {0, 1, 1, 1, 1, 2};
    struct config config = bench_config(3, 1);
    for (raft_index index = 1; index <= 7; index++) {
        for (raft_term term = 1; term <= 3; term++) {
            if (bench->raft != NULL)
                bench_close(bench);
            open_follower(bench);
            bool is_old = index <= 3;
            bool is_kept = index <= 5 && own[index] == term;

            install(bench, id(term, index), &config);

            assert_int_equal(bench->view.commit, is_old ? 3 : index);
            assert_int_equal(bench->view.last_index, is_old || is_kept ? 5 : index);
            assert_int_equal(bench->view.first_index, is_old ? 1 : index + 1);
            assert_int_equal(raft_config(bench->raft)->members_count, is_old || is_kept ? 3 : 4);
            if (is_old)
                assert_int_equal(bench->ready.messages_count, 0);
            else
                assert_int_equal(sent(bench, MESSAGE_APPEND_REPLY, 2)->append_reply.match, index);
        }
    }
}

static void what_the_disk_reports_of_the_old_log_counts_for_nothing(void **state)
{
    struct bench *bench = *state;
    open_follower(bench);
    struct entry *entries[6];
    for (size_t i = 0; i < 6; i++)
        entries[i] = bench_sealed(bench, 3, 6 + i);
    bench_receive(bench, append_entries(2, 4, id(2, 5), 3, entries, 6));
    struct entry_id old = bench->handed;
    assert_int_equal(old.index, 11);
    struct config config = bench_config(3, 0);
    bench_receive(bench, append_empty(3, 5, id(1, 3), 3)); /* of another leader, with another log */
    install(bench, id(4, 9), &config);
    struct entry *newer = bench_sealed(bench, 5, 10);
    bench_receive(bench, append_entries(3, 5, id(4, 9), 9, &newer, 1));
    assert_int_equal(bench->ready.entries_count, 0); /* the disk is busy with the old ones */

    bench_durable(bench, old);

    assert_int_equal(bench->view.durable, 9);
    assert_int_equal(bench->ready.entries_count, 1);
    bench_sync(bench);
    assert_int_equal(sent(bench, MESSAGE_APPEND_REPLY, 3)->append_reply.match, 10);
}

static void a_configuration_that_follows_the_snapshots_entry_stays(void **state)
{
    struct bench *bench = *state;
    open_follower(bench);
    struct config five = bench_config(5, 0);
    struct entry *entries[] = {bench_sealed(bench, 4, 6), bench_config_entry(bench, &five)};
    entry_seal(entries[1], id(4, 7));
    bench_receive(bench, append_entries(2, 4, id(2, 5), 3, entries, 2));
    struct config three = bench_config(3, 0);

    install(bench, id(4, 6), &three);
    assert_int_equal(raft_config(bench->raft)->members_count, 5);
    struct entry *other = bench_sealed(bench, 5, 7);
    bench_receive(bench, append_entries(3, 5, id(4, 6), 6, &other, 1));

    assert_int_equal(raft_config(bench->raft)->members_count, 3); /* FAULTS M7 */
}

static void what_is_applied_later_is_counted_from_the_snapshot(void **state)
{
    struct bench *bench = *state;
    open_follower(bench);
    struct config config = bench_config(3, 0);
    install(bench, id(3, 9), &config);

    bench_applied(bench, 3); /* told late */
    bench_applied(bench, 9);

    assert_int_equal(bench->view.commit, 9);
}

/* ---- roles ---- */

static void a_voter_may_learn_by_snapshot_that_it_is_none(void **state) /* FAULTS M12 */
{
    struct bench *bench = *state;
    open_follower(bench);
    struct config config = bench_config(3, 0);
    config.members[0].is_voter = false;

    install(bench, id(3, 9), &config);
    assert_int_equal(bench->view.role, RAFT_ROLE_LEARNER);
    bench_tick_at(bench, bench->now + 10 * BENCH_ELECTION); /* forgets the leader */
    assert_int_equal(bench->ready.deadline, TIME_NEVER);
    config.members[0].is_voter = true;
    install(bench, id(3, 12), &config);

    assert_int_equal(bench->view.role, RAFT_ROLE_FOLLOWER);
    assert_true(bench->ready.deadline != TIME_NEVER);
}

static void a_candidate_that_learns_by_snapshot_that_it_is_removed_stands_no_more(void **state)
{ /* FAULTS M4, M12 */
    struct bench *bench = *state;
    open_follower(bench);
    bench_campaign(bench);
    assert_int_equal(bench->view.role, RAFT_ROLE_PRE_CANDIDATE);
    struct config config = bench_config(3, 0);
    config.members[0].id = 7;
    struct config others = {0};
    for (size_t i = 1; i < 3; i++)
        assert_int_equal(config_add(&others, &config.members[i]), ST_OK);

    install(bench, id(3, 9), &others); /* fetched before it stood */

    assert_int_equal(bench->view.role, RAFT_ROLE_LEARNER);
    assert_int_equal(bench->ready.deadline, TIME_NEVER);
}

/* It fetched one as a follower, and was elected before it was there. */
static void a_leader_keeps_its_log(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){TERMS(1, 1, 1, 2), .commit = 3});
    bench_elect(bench);
    size_t open_bytes = bench->view.uncommitted_bytes;
    struct config config = bench_config(3, 0);

    install(bench, id(2, 5), &config);

    assert_int_equal(bench->view.role, RAFT_ROLE_LEADER);
    assert_int_equal(bench->view.commit, 5);
    assert_int_equal(bench->view.last_index, 6);
    assert_true(bench->view.uncommitted_bytes < open_bytes);
    assert_int_equal(bench->view.uncommitted_bytes, entry_bytes(raft_entry(bench->raft, 6)));
}

/* ---- a node with an empty disk ---- */

static void open_empty(struct bench *bench, const struct config *hint)
{
    memset(bench, 0, sizeof *bench);
    struct raft_options options = {
        .self = 4, .heartbeat = BENCH_HEARTBEAT, .election = BENCH_ELECTION};
    struct raft_start start = {.config = *hint};
    bench->raft = raft_new(&options, &start);
    bench_tick_at(bench, MS(1000));
}

static void receive_at_4(struct bench *bench, struct message message)
{
    message.to = 4;
    bench_receive(bench, message);
}

static void check_passive(struct bench *bench)
{
    assert_int_equal(bench->view.role, RAFT_ROLE_LEARNER);
    assert_int_equal(bench->ready.deadline, TIME_NEVER);
    bench_campaign(bench);
    bench_link(bench, 2, true, false);
    bench_link(bench, 2, false, true);
    assert_int_equal(bench->view.role, RAFT_ROLE_LEARNER);
    assert_int_equal(bench->ready.deadline, TIME_NEVER);
    assert_int_equal(bench->ready.messages_count, 0);
}

static void who_is_no_member_yet_never_stands(void **state)
{
    struct bench *bench = *state;
    struct config configs[] = {{0}, bench_config(1, 0), bench_config(3, 0)};
    for (size_t i = 0; i < ARRAY_COUNT(configs); i++) {
        if (bench->raft != NULL)
            bench_close(bench);
        open_empty(bench, &configs[i]);
        check_passive(bench);
    }
}

/* What it may have promised with another disk it does not know. */
static void who_has_nothing_votes_for_nobody(void **state) /* FAULTS M10 */
{
    struct bench *bench = *state;
    struct config hint = bench_config(3, 0);
    open_empty(bench, &hint);

    receive_at_4(bench, vote_request(MESSAGE_PRE_VOTE, 2, 6, id(5, 100)));
    assert_false(sent(bench, MESSAGE_PRE_VOTE_REPLY, 2)->vote_reply.is_granted);
    receive_at_4(bench, vote_request(MESSAGE_VOTE, 2, 6, id(5, 100)));
    assert_false(sent(bench, MESSAGE_VOTE_REPLY, 2)->vote_reply.is_granted);

    assert_int_equal(bench->ready.hard_state.vote, NODE_NONE);
}

static void who_has_nothing_acknowledges_nothing_and_joins_by_a_snapshot(void **state)
{ /* FAULTS M10 */
    struct bench *bench = *state;
    struct config hint = bench_config(3, 0);
    open_empty(bench, &hint);
    receive_at_4(bench, append_empty(2, 5, id(5, 90), 90));
    const struct message *reply = sent(bench, MESSAGE_APPEND_REPLY, 2);
    assert_true(reply->append_reply.is_rejected);
    assert_true(entry_id_equal(reply->append_reply.conflict, id(0, 1)));

    struct message offer = {.type = MESSAGE_SNAPSHOT, .from = 2, .term = 5};
    offer.snapshot.last = id(4, 80);
    offer.snapshot.commit = 90;
    receive_at_4(bench, offer);
    assert_true(bench->ready.has_offer);
    struct config config = bench_config(3, 1);
    install(bench, id(4, 80), &config);

    assert_int_equal(sent(bench, MESSAGE_APPEND_REPLY, 2)->append_reply.match, 80);
    assert_int_equal(bench->view.role, RAFT_ROLE_LEARNER);
    receive_at_4(bench, vote_request(MESSAGE_VOTE, 3, 7, id(5, 100)));
    assert_null(sent(bench, MESSAGE_VOTE_REPLY, 3)); /* it hears its leader */
    bench_tick_at(bench, bench->now + 2 * BENCH_ELECTION);
    receive_at_4(bench, vote_request(MESSAGE_VOTE, 3, 7, id(5, 100)));
    assert_true(sent(bench, MESSAGE_VOTE_REPLY, 3)->vote_reply.is_granted); /* FAULTS M6 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_keeps_what_follows_the_snapshots_entry_and_else_nothing),
        cmocka_unit_test(a_snapshot_between_a_cut_and_its_report_waits_for_the_report_too),
        BENCH_TEST(a_snapshot_takes_the_place_of_a_log_that_lacks_it),
        BENCH_TEST(the_log_goes_on_behind_a_snapshot),
        BENCH_TEST(an_append_whose_beginning_lies_inside_a_snapshot_is_taken),
        BENCH_TEST(only_what_is_newer_than_commit_is_put_in_place),
        BENCH_TEST(what_the_disk_reports_of_the_old_log_counts_for_nothing),
        BENCH_TEST(a_configuration_that_follows_the_snapshots_entry_stays),
        BENCH_TEST(what_is_applied_later_is_counted_from_the_snapshot),
        BENCH_TEST(a_voter_may_learn_by_snapshot_that_it_is_none),
        BENCH_TEST(a_candidate_that_learns_by_snapshot_that_it_is_removed_stands_no_more),
        BENCH_TEST(a_leader_keeps_its_log),
        BENCH_TEST(who_is_no_member_yet_never_stands),
        BENCH_TEST(who_has_nothing_votes_for_nobody),
        BENCH_TEST(who_has_nothing_acknowledges_nothing_and_joins_by_a_snapshot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
