/* Replication: probing, streaming, loading; what is sent to whom and what answers do. */
#include "unit/raft/raft_fixture.h"

static const struct entry_id FIRST = {1, 1};

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

static void heartbeat(struct bench *bench)
{
    bench_tick_at(bench, bench->now + BENCH_HEARTBEAT);
}

/* ---- probing ---- */

static void a_probe_is_one_message_and_is_repeated_empty_with_each_heartbeat(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){TERMS(1, 1)});
    bench_elect(bench);
    assert_int_equal(append_to(bench, 2)->append.entries_count, 1);
    assert_string_equal(peer_state(bench, 2, NULL), "probe");

    bench_propose(bench, 8);
    assert_int_equal(bench->ready.messages_count, 0);
    heartbeat(bench);

    assert_int_equal(append_to(bench, 2)->append.entries_count, 0);
    assert_true(entry_id_equal(append_to(bench, 2)->append.prev, id(1, 3)));
}

static void a_probe_answered_well_opens_the_stream(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_elect(bench);
    bench_propose(bench, 8);

    accept(bench, 2, 1); /* the no-op is there, not yet on its disk */

    assert_string_equal(peer_state(bench, 2, NULL), "stream");
    assert_int_equal(append_to(bench, 2)->append.entries_count, 1);
    assert_int_equal(append_to(bench, 2)->append.entries[0]->id.index, 3);
    bench_propose(bench, 8);
    assert_int_equal(append_to(bench, 2)->append.entries[0]->id.index, 4);
}

static void a_log_too_short_is_found_in_one_step(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){TERMS(1, 1, 2, 2, 2)});
    bench_elect(bench);

    reject(bench, 2, 6, id(0, 3));

    assert_true(entry_id_equal(append_to(bench, 2)->append.prev, id(1, 2)));
    assert_int_equal(append_to(bench, 2)->append.entries_count, 5);
}

static void a_conflict_is_backed_up_over_a_term_at_a_time(void **state) /* Raft §5.3 */
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){TERMS(1, 2, 2, 4, 4)});
    bench_elect(bench);

    reject(bench, 2, 6, id(3, 5)); /* a term this log has not: before all of it */
    assert_true(entry_id_equal(append_to(bench, 2)->append.prev, id(2, 4)));
    reject(bench, 2, 4, id(1, 2)); /* a term this log has: after the last of it */

    assert_true(entry_id_equal(append_to(bench, 2)->append.prev, id(1, 2)));
}

static void every_rejection_leads_further_back(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){TERMS(2, 2, 2, 2)});
    bench_elect(bench);

    reject(bench, 2, 5, id(2, 5)); /* nonsense: that entry is this log's too */
    assert_int_equal(append_to(bench, 2)->append.prev.index, 4);
    reject(bench, 2, 4, id(0, 90));
    assert_int_equal(append_to(bench, 2)->append.prev.index, 3);
}

static void a_rejection_never_moves_match(void **state) /* FAULTS C6 */
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_lead(bench);
    bench_propose(bench, 8);
    struct message message = append_reject(2, 2, 3, id(0, 3));
    message.append_reply.match = 3;

    bench_receive(bench, message);

    struct raft_peer_view peer;
    assert_string_equal(peer_state(bench, 2, &peer), "probe");
    assert_int_equal(peer.match, 2);
    bench_sync(bench);
    assert_int_equal(bench->ready.commit, 2);
}

static void a_late_rejection_is_ignored(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){TERMS(1, 1, 1)});
    bench_elect(bench);
    reject(bench, 2, 4, id(0, 2));
    struct raft_peer_view before, after;
    (void)peer_state(bench, 2, &before);

    reject(bench, 2, 4, id(0, 2)); /* the same again */
    (void)peer_state(bench, 2, &after);
    assert_int_equal(after.next, before.next);
    assert_int_equal(bench->ready.messages_count, 0);

    accept(bench, 2, 5);
    reject(bench, 2, 4, id(0, 2)); /* from before it was accepted */
    assert_string_equal(peer_state(bench, 2, &after), "stream");
    assert_int_equal(after.match, 5);
}

static void a_peer_that_lost_durable_entries_is_not_chased(void **state) /* FAULTS C25 */
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_lead(bench);

    reject(bench, 2, 2, id(0, 1));

    struct raft_peer_view peer;
    (void)peer_state(bench, 2, &peer);
    assert_int_equal(peer.match, 2);
    assert_int_equal(bench->ready.messages_count, 0);
}

static void a_peer_that_lost_durable_entries_is_asked_anew_on_its_next_link(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_lead(bench);

    bench_link(bench, 2, false, true);
    bench_link(bench, 2, true, false);
    assert_int_equal(append_to(bench, 2)->append.prev.index, 2);
    reject(bench, 2, 2, id(0, 2));

    assert_int_equal(append_to(bench, 2)->append.prev.index, 1);
    assert_int_equal(append_to(bench, 2)->append.entries_count, 1);
}

/* ---- streaming ---- */

static void the_window_bounds_what_is_on_its_way_but_not_heartbeats(void **state) /* FAULTS C28 */
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_lead(bench);
    for (size_t i = 0; i < LIMIT_INFLIGHT_APPENDS; i++) {
        bench_propose(bench, 8);
        assert_int_equal(append_to(bench, 2)->append.entries_count, 1);
    }

    bench_propose(bench, 8);
    assert_null(append_to(bench, 2));
    heartbeat(bench);
    assert_int_equal(append_to(bench, 2)->append.entries_count, 0);
    accept(bench, 2, 3); /* room for one */

    assert_int_equal(append_to(bench, 2)->append.entries_count, 1);
}

static void the_window_is_bounded_in_bytes_too(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_lead(bench);
    size_t sent_bytes = 0;
    for (size_t i = 0; i < 40; i++) {
        bench_propose(bench, LIMIT_VALUE_BYTES);
        if (append_to(bench, 2) != NULL)
            sent_bytes += entry_bytes(append_to(bench, 2)->append.entries[0]);
    }

    assert_true(sent_bytes >= LIMIT_INFLIGHT_BYTES);
    assert_true(sent_bytes < LIMIT_INFLIGHT_BYTES + LIMIT_APPEND_BYTES);
}

static void what_does_not_fit_one_message_goes_in_several(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_lead(bench);
    struct entry *entries[5];
    for (size_t i = 0; i < 5; i++)
        entries[i] = bench_entry(bench, ENTRY_COMMAND, LIMIT_VALUE_BYTES);

    bench_step(bench, (struct raft_event){.type = RAFT_EVENT_PROPOSE, .propose = {entries, 5}});

    assert_int_equal(sent_count(bench, MESSAGE_APPEND, 2), 5);
}

static void lost_appends_are_noticed_by_the_next_heartbeat(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_lead(bench);
    bench_propose(bench, 8);
    bench_propose(bench, 8); /* both lost */

    heartbeat(bench);
    assert_int_equal(append_to(bench, 2)->append.prev.index, 4);
    reject(bench, 2, 4, id(0, 3));

    assert_int_equal(append_to(bench, 2)->append.prev.index, 2);
    assert_int_equal(append_to(bench, 2)->append.entries_count, 2);
    accept(bench, 2, 4);
    assert_string_equal(peer_state(bench, 2, NULL), "stream");
}

static void a_link_that_comes_back_is_probed_from_what_is_known(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){0});
    bench_lead(bench);
    bench_propose(bench, 8);

    bench_link(bench, 2, false, true);
    assert_null(append_to(bench, 2));
    bench_propose(bench, 8);
    assert_null(append_to(bench, 2));
    bench_link(bench, 2, true, false);

    assert_int_equal(append_to(bench, 2)->append.prev.index, 2);
    assert_int_equal(append_to(bench, 2)->append.entries_count, 2);
}

static void a_first_link_keeps_the_guess_that_logs_are_equal(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){TERMS(1, 1, 1)});
    bench_elect(bench);

    bench_link(bench, 2, true, false);

    assert_int_equal(append_to(bench, 2)->append.prev.index, 4);
}

static void a_heartbeat_goes_to_everyone_each_interval(void **state)
{
    struct bench *bench = *state;
    bench_open(bench, (struct bench_setup){.learners_count = 1});
    bench_lead(bench);
    assert_int_equal(bench->ready.deadline, bench->now + BENCH_HEARTBEAT);

    bench_tick(bench);

    assert_int_equal(bench->ready.messages_count, 3);
    assert_non_null(append_to(bench, 4));
    assert_int_equal(bench->ready.deadline, bench->now + BENCH_HEARTBEAT);
}

/* ---- entries that have left memory ---- */

static void open_with_evicted(struct bench *bench)
{
    bench_open(bench, (struct bench_setup){TERMS(1, 1, 1, 1), .commit = 5, .log_cache_bytes = 1});
    bench_applied(bench, 5);
    bench_elect(bench);
    assert_int_equal(bench->view.first_index, 6);
}

static void load(struct bench *bench, raft_index first, size_t count)
{
    struct entry *entries[8];
    for (size_t i = 0; i < count; i++)
        entries[i] = bench_sealed(bench, 1, first + i);
    bench_step(bench, (struct raft_event){.type = RAFT_EVENT_LOADED,
                                          .loaded = {.peer = 2,
                                                     .prev = id(first > 1, first - 1),
                                                     .entries = entries,
                                                     .entries_count = count}});
}

static void evicted_entries_are_loaded_sent_and_followed_by_the_rest(void **state)
{
    struct bench *bench = *state;
    open_with_evicted(bench);

    reject(bench, 2, 5, id(0, 2));
    assert_int_equal(bench->ready.loads_count, 1);
    assert_int_equal(bench->ready.loads[0].peer, 2);
    assert_int_equal(bench->ready.loads[0].first, 2);
    assert_true(bench->ready.loads[0].bytes_max >= LIMIT_APPEND_BYTES + LIMIT_ENTRY_BYTES);
    assert_string_equal(peer_state(bench, 2, NULL), "load");
    bench_propose(bench, 8);
    assert_int_equal(bench->ready.loads_count, 0); /* asked once */

    load(bench, 2, 2);
    assert_int_equal(append_to(bench, 2)->append.entries_count, 2);
    assert_true(entry_id_equal(append_to(bench, 2)->append.prev, id(1, 1)));
    accept(bench, 2, 3);
    assert_int_equal(bench->ready.loads[0].first, 4);
    load(bench, 4, 2);
    accept(bench, 2, 5);

    assert_int_equal(bench->ready.loads_count, 0);
    assert_int_equal(append_to(bench, 2)->append.entries[0]->id.index, 6);
    accept(bench, 2, 7);
    assert_string_equal(peer_state(bench, 2, NULL), "stream");
}

static void loaded_entries_outlive_the_event_that_brought_them(void **state)
{
    struct bench *bench = *state;
    open_with_evicted(bench);
    reject(bench, 2, 5, id(0, 2));
    struct entry *entry = entry_new(ENTRY_COMMAND, 8);
    memset(entry->data, 9, 8);
    entry_seal(entry, id(1, 2));

    bench_step(bench,
               (struct raft_event){
                   .type = RAFT_EVENT_LOADED,
                   .loaded = {.peer = 2, .prev = FIRST, .entries = &entry, .entries_count = 1}});
    assert_int_equal(entry->refs_count, 2);
    entry_unref(entry);
    assert_int_equal(append_to(bench, 2)->append.entries[0]->data[7], 9);
}

static void loaded_entries_that_got_lost_are_loaded_again(void **state)
{
    struct bench *bench = *state;
    open_with_evicted(bench);
    reject(bench, 2, 5, id(0, 2));
    load(bench, 2, 2);

    heartbeat(bench);
    assert_true(entry_id_equal(append_to(bench, 2)->append.prev, id(1, 3)));
    reject(bench, 2, 3, id(0, 2));

    assert_int_equal(bench->ready.loads[0].first, 2);
}

static void a_disk_that_had_nothing_is_asked_again_with_the_heartbeat(void **state)
{
    struct bench *bench = *state;
    open_with_evicted(bench);
    reject(bench, 2, 5, id(0, 2));

    load(bench, 2, 0);
    assert_int_equal(bench->ready.loads_count, 0);
    heartbeat(bench);

    assert_int_equal(bench->ready.loads_count, 1);
    assert_int_equal(append_to(bench, 2)->append.entries_count, 0);
    assert_int_equal(append_to(bench, 2)->append.prev.index, 0); /* matches any log */
}

static void an_answer_to_an_earlier_load_is_dropped(void **state)
{
    struct bench *bench = *state;
    open_with_evicted(bench);
    reject(bench, 2, 5, id(0, 2));

    load(bench, 4, 2);

    assert_null(append_to(bench, 2));
    assert_int_equal(bench->ready.loads[0].first, 2); /* asked anew */
}

static void a_log_that_begins_behind_what_was_asked_for_makes_a_snapshot_wanted(void **state)
{
    struct bench *bench = *state;
    open_with_evicted(bench);
    reject(bench, 2, 5, id(0, 1));
    assert_int_equal(bench->ready.loads[0].first, 1);

    struct entry *entry = bench_sealed(bench, 1, 2);
    bench_step(bench, (struct raft_event){.type = RAFT_EVENT_LOADED,
                                          .loaded = {.peer = 2,
                                                     .prev = id(1, 1),
                                                     .is_oldest = true,
                                                     .entries = &entry,
                                                     .entries_count = 1}});

    assert_string_equal(peer_state(bench, 2, NULL), "snapshot");
    assert_true(bench->ready.snapshot_wanted);
    assert_null(append_to(bench, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_TEST(a_probe_is_one_message_and_is_repeated_empty_with_each_heartbeat),
        BENCH_TEST(a_probe_answered_well_opens_the_stream),
        BENCH_TEST(a_log_too_short_is_found_in_one_step),
        BENCH_TEST(a_conflict_is_backed_up_over_a_term_at_a_time),
        BENCH_TEST(every_rejection_leads_further_back),
        BENCH_TEST(a_rejection_never_moves_match),
        BENCH_TEST(a_late_rejection_is_ignored),
        BENCH_TEST(a_peer_that_lost_durable_entries_is_not_chased),
        BENCH_TEST(a_peer_that_lost_durable_entries_is_asked_anew_on_its_next_link),
        BENCH_TEST(the_window_bounds_what_is_on_its_way_but_not_heartbeats),
        BENCH_TEST(the_window_is_bounded_in_bytes_too),
        BENCH_TEST(what_does_not_fit_one_message_goes_in_several),
        BENCH_TEST(lost_appends_are_noticed_by_the_next_heartbeat),
        BENCH_TEST(a_link_that_comes_back_is_probed_from_what_is_known),
        BENCH_TEST(a_first_link_keeps_the_guess_that_logs_are_equal),
        BENCH_TEST(a_heartbeat_goes_to_everyone_each_interval),
        BENCH_TEST(evicted_entries_are_loaded_sent_and_followed_by_the_rest),
        BENCH_TEST(loaded_entries_outlive_the_event_that_brought_them),
        BENCH_TEST(loaded_entries_that_got_lost_are_loaded_again),
        BENCH_TEST(a_disk_that_had_nothing_is_asked_again_with_the_heartbeat),
        BENCH_TEST(an_answer_to_an_earlier_load_is_dropped),
        BENCH_TEST(a_log_that_begins_behind_what_was_asked_for_makes_a_snapshot_wanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
