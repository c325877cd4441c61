/* Snapshots: what a leader offers and when, and what a follower makes of an offer. What becomes of
 * a log when one is put in place is in install_test.c. */
#include "unit/raft/raft_fixture.h"

enum { FILE_BYTES = 4711 };

static struct entry_id id(raft_term term, raft_index index)
{
    return (struct entry_id){term, index};
}

static void accept(struct bench *bench, node_id from, raft_index match)
{
    bench_receive(bench, append_accept(from, bench->view.term, match, 0));
}

static void reject(struct bench *bench, node_id from, raft_index prev, struct entry_id conflict)
{
    bench_receive(bench, append_reject(from, bench->view.term, prev, conflict));
}

static void heartbeat(struct bench *bench)
{
    bench_tick_at(bench, bench->now + BENCH_HEARTBEAT);
}

static void compacted(struct bench *bench, struct entry_id snapshot, raft_index log_first)
{
    bench_step(bench, (struct raft_event){.type = RAFT_EVENT_COMPACTED,
                                          .compacted = {snapshot, FILE_BYTES, log_first}});
}

static const struct message *offer_to(const struct bench *bench, node_id to)
{
    return sent(bench, MESSAGE_SNAPSHOT, to);
}

static struct message offer_from(node_id from, raft_term term, struct entry_id last)
{
    return (struct message){.type = MESSAGE_SNAPSHOT,
                            .from = from,
                            .term = term,
                            .snapshot = {.last = last, .bytes = FILE_BYTES, .commit = last.index}};
}

/* ---- a leader: entries 1 … 5 of term 1 are applied and out of memory, 6 begins its term ---- */

static void open_leader(struct bench *bench)
{
    bench_open(bench, (struct bench_setup){TERMS(1, 1, 1, 1), .commit = 5, .log_cache_bytes = 1});
    bench_applied(bench, 5);
    bench_elect(bench);
    assert_int_equal(bench->view.first_index, 6);
}

/* Peer 2 has entry 1 only; the log on disk begins with 4. */
static void open_leader_with_offer(struct bench *bench)
{
    open_leader(bench);
    compacted(bench, id(1, 5), 4);
    reject(bench, 2, 5, id(0, 2));
}

static void who_needs_what_the_log_has_left_behind_is_offered_a_snapshot(void **state)
{
    struct bench *bench = *state;
    open_leader(bench);
    compacted(bench, id(1, 5), 4);
    assert_int_equal(bench->ready.messages_count, 0);

    reject(bench, 2, 5, id(0, 2));

    assert_int_equal(bench->ready.messages_count, 1);
    assert_true(entry_id_equal(offer_to(bench, 2)->snapshot.last, id(1, 5)));
    assert_int_equal(offer_to(bench, 2)->snapshot.bytes, FILE_BYTES);
    assert_int_equal(offer_to(bench, 2)->snapshot.commit, 5);
    assert_int_equal(bench->ready.loads_count, 0);
    assert_false(bench->ready.snapshot_wanted);
    struct raft_peer_view peer = {0};
    assert_string_equal(peer_state(bench, 2, &peer), "snapshot");
    assert_int_equal(peer.snapshot_bytes, FILE_BYTES);
    assert_int_equal(peer.match, 0);
}

static void who_needs_what_the_disk_still_has_gets_that(void **state)
{
    struct bench *bench = *state;
    open_leader(bench);
    compacted(bench, id(1, 5), 4);

    reject(bench, 2, 5, id(0, 4));

    assert_string_equal(peer_state(bench, 2, NULL), "load");
    assert_int_equal(bench->ready.loads[0].first, 4);
}

static void loaded_for(struct bench *bench, node_id peer, struct entry_id prev, bool is_gone)
{
    struct entry *entry = bench_sealed(bench, 1, prev.index + 1);
    bench_step(bench, (struct raft_event){.type = RAFT_EVENT_LOADED,
                                          .loaded = {.peer = peer,
                                                     .prev = prev,
                                                     .entries = &entry,
                                                     .entries_count = !is_gone,
                                                     .is_gone = is_gone}});
}

static void a_disk_that_has_left_it_behind_says_so(void **state)
{
    struct bench *bench = *state;
    open_leader(bench);
    reject(bench, 2, 5, id(0, 3));
    assert_string_equal(peer_state(bench, 2, NULL), "load");

    loaded_for(bench, 2, id(0, 2), true);

    assert_string_equal(peer_state(bench, 2, NULL), "snapshot");
    assert_true(bench->ready.snapshot_wanted);
}

/* The first entry on disk is there, but what the follower would have to check is not. */
static void an_entry_whose_predecessor_is_gone_is_as_good_as_gone(void **state)
{
    struct bench *bench = *state;
    open_leader(bench);
    compacted(bench, id(1, 5), 4);
    reject(bench, 2, 5, id(0, 4));

    loaded_for(bench, 2, id(0, 3), false);

    assert_non_null(offer_to(bench, 2));
    assert_null(sent(bench, MESSAGE_APPEND, 2));
}

static void the_entry_before_the_log_is_known_from_the_snapshot(void **state)
{
    struct bench *bench = *state;
    open_leader(bench);
    compacted(bench, id(1, 3), 4);
    reject(bench, 2, 5, id(0, 4));

    loaded_for(bench, 2, id(0, 3), false);

    assert_true(entry_id_equal(sent(bench, MESSAGE_APPEND, 2)->append.prev, id(1, 3)));
    assert_int_equal(sent(bench, MESSAGE_APPEND, 2)->append.entries_count, 1);
}

static void a_snapshot_is_wanted_while_there_is_none_and_offered_as_soon_as_there_is(void **state)
{
    struct bench *bench = *state;
    open_leader(bench);
    reject(bench, 2, 5, id(0, 3));
    loaded_for(bench, 2, id(0, 2), true);
    assert_null(offer_to(bench, 2));

    heartbeat(bench);
    assert_true(bench->ready.snapshot_wanted);
    assert_int_equal(sent(bench, MESSAGE_APPEND, 2)->append.prev.index, 0); /* keeps it calm */
    compacted(bench, id(1, 2), 1); /* it has got that far itself */
    assert_true(bench->ready.snapshot_wanted);
    assert_null(offer_to(bench, 2));
    compacted(bench, id(1, 4), 1);

    assert_false(bench->ready.snapshot_wanted);
    assert_int_equal(offer_to(bench, 2)->snapshot.last.index, 4);
}

static void an_offer_is_repeated_with_each_heartbeat_and_not_in_between(void **state)
{
    struct bench *bench = *state;
    open_leader_with_offer(bench);

    bench_propose(bench, 8);
    assert_null(offer_to(bench, 2));
    reject(bench, 2, 5, id(0, 2)); /* the follower's no to the offer */
    assert_int_equal(bench->ready.messages_count, 0);
    heartbeat(bench);

    assert_int_equal(sent_count(bench, MESSAGE_SNAPSHOT, 2), 1);
    assert_null(sent(bench, MESSAGE_APPEND, 2));
    assert_string_equal(peer_state(bench, 2, NULL), "snapshot");
}

static void a_newer_snapshot_takes_the_place_of_the_one_on_offer(void **state) /* FAULTS P2 */
{
    struct bench *bench = *state;
    open_leader_with_offer(bench);
    bench_sync(bench);
    accept(bench, 3, 6);
    bench_applied(bench, 6);

    compacted(bench, id(2, 6), 6);

    assert_true(entry_id_equal(offer_to(bench, 2)->snapshot.last, id(2, 6)));
}

/* An offer is no promise: what the peer has is what it says (FAULTS C7). */
static void only_the_peers_word_moves_match_and_ends_the_offer(void **state)
{
    struct bench *bench = *state;
    open_leader_with_offer(bench);
    struct raft_peer_view peer = {0};

    accept(bench, 2, 1);
    assert_string_equal(peer_state(bench, 2, &peer), "snapshot");
    assert_int_equal(peer.match, 1);
    heartbeat(bench);
    assert_string_equal(peer_state(bench, 2, &peer), "snapshot");
    assert_int_equal(peer.match, 1);
    assert_int_equal(bench->ready.commit, 5);
    accept(bench, 2, 5);

    assert_string_equal(peer_state(bench, 2, &peer), "probe");
    assert_int_equal(peer.match, 5);
    assert_int_equal(sent(bench, MESSAGE_APPEND, 2)->append.prev.index, 5);
    assert_int_equal(sent(bench, MESSAGE_APPEND, 2)->append.entries_count, 1);
    accept(bench, 2, 6);
    assert_string_equal(peer_state(bench, 2, NULL), "stream");
}

static void a_snapshot_that_was_overtaken_meanwhile_is_continued_from_the_disk(void **state)
{ /* FAULTS P9 */
    struct bench *bench = *state;
    open_leader_with_offer(bench);
    bench_sync(bench);
    accept(bench, 3, 6);
    bench_applied(bench, 6);
    assert_int_equal(bench->view.first_index, 7);

    accept(bench, 2, 5);

    assert_string_equal(peer_state(bench, 2, NULL), "load");
    assert_int_equal(bench->ready.loads[0].first, 6);
    struct entry *entry = bench_sealed(bench, 2, 6);
    bench_step(bench, (struct raft_event){.type = RAFT_EVENT_LOADED,
                                          .loaded = {.peer = 2,
                                                     .prev = {0, 5},
                                                     .entries = &entry,
                                                     .entries_count = 1,
                                                     .is_oldest = true}});
    assert_true(entry_id_equal(sent(bench, MESSAGE_APPEND, 2)->append.prev, id(1, 5)));
}

static void an_offer_carries_read_rounds_and_its_answer_confirms_them(void **state)
{
    struct bench *bench = *state;
    open_leader_with_offer(bench);
    bench_sync(bench);
    accept(bench, 3, 6);

    bench_read(bench, 1);
    assert_int_equal(offer_to(bench, 2)->snapshot.read_round, 1);
    struct message no = append_reject(2, bench->view.term, 5, id(0, 2));
    no.append_reply.read_round = 1;
    bench_receive(bench, no);

    assert_int_equal(bench->ready.reads_count, 1);
    assert_int_equal(bench->ready.reads[0].index, 6);
}

/* Its fetching takes longer than an election timeout: it must be heard meanwhile. */
static void a_peer_that_answers_offers_counts_as_heard(void **state)
{
    struct bench *bench = *state;
    open_leader_with_offer(bench);

    for (size_t i = 0; i < 20; i++) {
        heartbeat(bench);
        reject(bench, 2, 5, id(0, 2));
    }

    assert_int_equal(bench->view.role, RAFT_ROLE_LEADER);
}

static void a_link_that_breaks_and_comes_back_changes_nothing_about_the_offer(void **state)
{
    struct bench *bench = *state;
    open_leader_with_offer(bench);

    bench_link(bench, 2, false, false);
    bench_link(bench, 2, true, false);

    assert_string_equal(peer_state(bench, 2, NULL), "snapshot");
    assert_non_null(offer_to(bench, 2));
}

static void who_was_being_loaded_is_offered_a_snapshot_when_that_part_goes(void **state)
{
    struct bench *bench = *state;
    open_leader(bench);
    reject(bench, 2, 5, id(0, 2));
    assert_string_equal(peer_state(bench, 2, NULL), "load");

    compacted(bench, id(1, 5), 6);
    assert_non_null(offer_to(bench, 2));
    loaded_for(bench, 2, id(1, 1), false); /* late */

    assert_string_equal(peer_state(bench, 2, NULL), "snapshot");
    assert_int_equal(bench->ready.messages_count, 0);
}

static void only_a_leader_wants_snapshots(void **state)
{
    struct bench *bench = *state;
    open_leader(bench);
    reject(bench, 2, 5, id(0, 3));
    loaded_for(bench, 2, id(0, 2), true);
    assert_true(bench->ready.snapshot_wanted);

    bench_receive(bench, append_empty(3, bench->view.term + 1, id(1, 5), 5));

    assert_false(bench->ready.snapshot_wanted);
}

/* ---- a follower: five entries, three of them committed ---- */

static void open_follower(struct bench *bench)
{
    bench_open(bench, (struct bench_setup){TERMS(1, 1, 1, 2), .commit = 3});
    bench_follow(bench, 4);
}

static void an_offer_beyond_the_log_is_passed_on_to_be_fetched(void **state)
{
    struct bench *bench = *state;
    open_follower(bench);
    bench->now += MS(50);
    struct message offer = offer_from(2, 4, id(3, 9));
    offer.snapshot.read_round = 6;

    bench_receive(bench, offer);

    assert_true(bench->ready.has_offer);
    assert_int_equal(bench->ready.offer.from, 2);
    assert_true(entry_id_equal(bench->ready.offer.last, id(3, 9)));
    assert_int_equal(bench->ready.offer.bytes, FILE_BYTES);
    const struct message *reply = sent(bench, MESSAGE_APPEND_REPLY, 2);
    assert_true(reply->append_reply.is_rejected);
    assert_int_equal(reply->append_reply.prev, 9);
    assert_true(entry_id_equal(reply->append_reply.conflict, id(0, 6)));
    assert_int_equal(reply->append_reply.read_round, 6);
    assert_int_equal(bench->view.last_index, 5); /* nothing has happened yet */
    assert_int_equal(bench->view.commit, 3);
    assert_int_equal(bench->ready.deadline, bench->now + BENCH_ELECTION); /* heard the leader */
}

static void an_offer_is_said_once_for_each_time_it_is_made(void **state)
{
    struct bench *bench = *state;
    open_follower(bench);
    bench_receive(bench, offer_from(2, 4, id(3, 9)));

    bench_tick_at(bench, bench->now + 1);
    assert_false(bench->ready.has_offer);
    bench_receive(bench, offer_from(2, 4, id(3, 9)));

    assert_true(bench->ready.has_offer);
}

/* Over all offers up to index 7 and term 3, against the five entries 1 1 1 1 2. */
static void an_offer_is_fetched_only_if_the_log_does_not_hold_its_entry(void **state)
{ /* FAULTS P1 */
    struct bench *bench = *state;
    static const raft_term own[] = {0, 1, 1, 1, 1, 2};
    for (raft_index index = 1; index <= 7; index++) {
        for (raft_term term = 1; term <= 3; term++) {
            if (bench->raft != NULL)
                bench_close(bench);
            open_follower(bench);
            bool is_here = index <= 3 || (index <= 5 && own[index] == term);

            bench_receive(bench, offer_from(2, 4, id(term, index)));

            const struct message *reply = sent(bench, MESSAGE_APPEND_REPLY, 2);
            assert_int_equal(bench->ready.has_offer, !is_here);
            assert_int_equal(reply->append_reply.is_rejected, !is_here);
            if (is_here)
                assert_int_equal(reply->append_reply.match, index);
            assert_int_equal(bench->view.commit, is_here ? MAX(index, (raft_index)3) : 3);
            assert_int_equal(bench->view.last_index, 5);
        }
    }
}

static void what_is_not_on_disk_is_not_acknowledged_to_an_offer_either(void **state)
{
    struct bench *bench = *state;
    open_follower(bench);
    struct entry *entry = bench_sealed(bench, 4, 6);
    bench_receive(bench, append_entries(2, 4, id(2, 5), 6, &entry, 1));
    assert_int_equal(bench->view.commit, 6);

    bench_receive(bench, offer_from(2, 4, id(4, 6)));
    assert_int_equal(sent(bench, MESSAGE_APPEND_REPLY, 2)->append_reply.match, 5);
    bench_sync(bench);

    assert_int_equal(sent(bench, MESSAGE_APPEND_REPLY, 2)->append_reply.match, 6);
}

static void an_offer_of_an_older_term_tells_its_sender_the_term(void **state) /* FAULTS C16 */
{
    struct bench *bench = *state;
    open_follower(bench);

    bench_receive(bench, offer_from(3, 3, id(3, 9)));

    assert_false(bench->ready.has_offer);
    assert_true(sent(bench, MESSAGE_APPEND_REPLY, 3)->append_reply.is_rejected);
    assert_int_equal(bench->view.leader, 2);
}

static void a_candidate_takes_an_offer_of_its_term(void **state) /* FAULTS P10 */
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){TERMS(1), .commit = 1});
    bench_campaign(bench);
    bench_receive(bench, vote_reply(MESSAGE_PRE_VOTE_REPLY, 2, 2, true));
    assert_int_equal(bench->view.role, RAFT_ROLE_CANDIDATE);

    bench_receive(bench, offer_from(3, 2, id(1, 9)));

    assert_int_equal(bench->view.role, RAFT_ROLE_FOLLOWER);
    assert_int_equal(bench->view.leader, 3);
    assert_true(bench->ready.has_offer);
}

static void an_offer_that_makes_no_sense_is_dropped(void **state)
{
    struct bench *bench = *state;
    open_follower(bench);
    struct message offers[] = {offer_from(2, 4, id(0, 9)), offer_from(2, 4, id(3, 0)),
                               offer_from(2, 4, id(5, 9)), offer_from(2, 4, id(3, 9))};
    offers[3].snapshot.commit = 8;

    for (size_t i = 0; i < ARRAY_COUNT(offers); i++) {
        bench_receive(bench, offers[i]);
        assert_false(bench->ready.has_offer);
        assert_int_equal(bench->ready.messages_count, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(who_needs_what_the_log_has_left_behind_is_offered_a_snapshot),
        BENCH_TEST(who_needs_what_the_disk_still_has_gets_that),
        BENCH_TEST(a_disk_that_has_left_it_behind_says_so),
        BENCH_TEST(an_entry_whose_predecessor_is_gone_is_as_good_as_gone),
        BENCH_TEST(the_entry_before_the_log_is_known_from_the_snapshot),
        BENCH_TEST(a_snapshot_is_wanted_while_there_is_none_and_offered_as_soon_as_there_is),
        BENCH_TEST(an_offer_is_repeated_with_each_heartbeat_and_not_in_between),
        BENCH_TEST(a_newer_snapshot_takes_the_place_of_the_one_on_offer),
        BENCH_TEST(only_the_peers_word_moves_match_and_ends_the_offer),
        BENCH_TEST(a_snapshot_that_was_overtaken_meanwhile_is_continued_from_the_disk),
        BENCH_TEST(an_offer_carries_read_rounds_and_its_answer_confirms_them),
        BENCH_TEST(a_peer_that_answers_offers_counts_as_heard),
        BENCH_TEST(a_link_that_breaks_and_comes_back_changes_nothing_about_the_offer),
        BENCH_TEST(who_was_being_loaded_is_offered_a_snapshot_when_that_part_goes),
        BENCH_TEST(only_a_leader_wants_snapshots),
        BENCH_TEST(an_offer_beyond_the_log_is_passed_on_to_be_fetched),
        BENCH_TEST(an_offer_is_said_once_for_each_time_it_is_made),
        BENCH_TEST(an_offer_is_fetched_only_if_the_log_does_not_hold_its_entry),
        BENCH_TEST(what_is_not_on_disk_is_not_acknowledged_to_an_offer_either),
        BENCH_TEST(an_offer_of_an_older_term_tells_its_sender_the_term),
        BENCH_TEST(a_candidate_takes_an_offer_of_its_term),
        BENCH_TEST(an_offer_that_makes_no_sense_is_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
