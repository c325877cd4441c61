/* Snapshots of whole nodes: taken while clients write, fetched by who was away, whatever becomes of
 * links, leaders and files in between. */
#include "node/fetching.h"
#include "node/node_internal.h"
#include "trial_rig.h"

/* Node 3 has been away for so long that only a snapshot helps, and a fetch takes a while: the links
 * carry `bytes_per_second`. */
static void open_with_node_3_behind(struct trial *trial, uint64_t seed, uint64_t bytes_per_second)
{
    trial_open_sized(trial, 3, seed, 1024 * MIB); /* so node 3 has none of its own */
    trial->value_bytes = 16 * KIB;
    trial_work(trial, 4);
    trial_settle(trial);
    trial_stop(trial, 3, WORLD_STOP_CRASH);
    trial->snapshot_bytes = 48 * KIB;
    for (unsigned id = 1; id <= 2; id++) {
        trial_stop(trial, id, WORLD_STOP_CRASH);
        trial_boot(trial, id);
    }
    trial_work(trial, 40);
    for (unsigned id = 1; id <= 2; id++) { /* what is in memory could feed it, too */
        trial_stop(trial, id, WORLD_STOP_CRASH);
        trial_boot(trial, id);
    }
    trial_settle(trial);
    struct world_link link;
    world_link_get(trial->world, 1, 3, &link);
    link.bytes_per_second = bytes_per_second;
    world_link_set(trial->world, 1, 3, &link);
    world_link_set(trial->world, 2, 3, &link);
}

static struct node_progress progress_of(const struct trial *trial, unsigned id)
{
    struct node_progress progress = {.is_fetching = false};
    if (trial->nodes[id] != NULL)
        node_progress(trial->nodes[id], &progress);
    return progress;
}

static void until_half_is_fetched(struct trial *trial)
{
    TRIAL_UNTIL(trial,
                progress_of(trial, 3).fetched_bytes > progress_of(trial, 3).fetching_bytes / 3,
                "node 3 fetches a part of the snapshot");
    assert_true(progress_of(trial, 3).fetched_bytes < progress_of(trial, 3).fetching_bytes);
}

static void who_was_away_for_long_goes_on_behind_a_snapshot(void **state)
{
    (void)state;
    struct trial trial;
    open_with_node_3_behind(&trial, 1, 0);

    trial_boot(&trial, 3);
    trial_work(&trial, 10);

    trial_settle(&trial);
    assert_int_equal(trial_installs(&trial, 3), 1);
    trial_close(&trial);
}

static void what_was_installed_is_there_after_a_restart(void **state)
{
    (void)state;
    struct trial trial;
    open_with_node_3_behind(&trial, 2, 0);
    trial_boot(&trial, 3);
    trial_settle(&trial);

    trial_stop(&trial, 3, WORLD_STOP_POWER_OFF);
    trial_boot(&trial, 3);
    trial_work(&trial, 2);

    trial_settle(&trial);
    assert_int_equal(trial_installs(&trial, 3), 0);
    trial_close(&trial);
}

static void a_transfer_goes_on_with_the_next_leader(void **state)
{
    (void)state;
    struct trial trial;
    open_with_node_3_behind(&trial, 3, 512 * KIB);
    trial_boot(&trial, 3);
    until_half_is_fetched(&trial);
    unsigned leader = trial_leader(&trial);
    struct node_progress before = progress_of(&trial, 3);

    struct command command = {.op = COMMAND_TRANSFER, .member = 3 - leader};
    assert_int_equal(trial_ask(&trial, leader, &command), ST_OK);
    TRIAL_UNTIL(&trial,
                trial_installs(&trial, 3) == 1 || progress_of(&trial, 3).source == 3 - leader,
                "node 3 turns to the new leader");

    struct node_progress after = progress_of(&trial, 3);
    if (after.is_fetching && after.fetched.index == before.fetched.index)
        assert_true(after.fetched_bytes >= before.fetched_bytes);
    trial_work(&trial, 2);
    trial_settle(&trial);
    assert_int_equal(trial_installs(&trial, 3), 1);
    trial_close(&trial);
}

static void a_transfer_survives_the_death_of_its_source(void **state)
{
    (void)state;
    struct trial trial;
    open_with_node_3_behind(&trial, 4, 512 * KIB);
    trial_boot(&trial, 3);
    until_half_is_fetched(&trial);

    trial_stop(&trial, trial_leader(&trial), WORLD_STOP_POWER_OFF);
    trial_run(&trial, 6000); /* two of three, one of which has nothing to vote with but its log */
    for (unsigned id = 1; id <= 2; id++)
        if (trial.nodes[id] == NULL)
            trial_boot(&trial, id);
    trial_work(&trial, 2);

    trial_settle(&trial);
    assert_int_equal(trial_installs(&trial, 3), 1);
    trial_close(&trial);
}

static void links_that_break_again_and_again_delay_a_transfer_and_no_more(void **state)
{
    (void)state;
    struct trial trial;
    open_with_node_3_behind(&trial, 5, 1024 * KIB);
    trial_boot(&trial, 3);

    for (unsigned i = 0; i < 40 && trial_installs(&trial, 3) == 0; i++) {
        trial_run(&trial, 130);
        world_reset_links(trial.world, trial_leader(&trial) == 1 ? 1 : 2, 3);
    }
    trial_work(&trial, 2);

    trial_settle(&trial);
    assert_int_equal(trial_installs(&trial, 3), 1);
    trial_close(&trial);
}

static void who_fetches_a_file_that_is_thrown_away_takes_the_next_one(void **state)
{
    (void)state;
    struct trial trial;
    open_with_node_3_behind(&trial, 6, 512 * KIB);
    trial_boot(&trial, 3);
    until_half_is_fetched(&trial);
    raft_index before = progress_of(&trial, 3).fetched.index;

    for (unsigned id = 1; id <= 2; id++) {
        world_cut(trial.world, 3, id, true);
        world_cut(trial.world, id, 3, true);
    }
    trial_work(&trial, 60);
    world_heal(trial.world);
    trial_work(&trial, 4);

    trial_settle(&trial);
    assert_true(trial_newest(&trial, 3).last.index > before);
    trial_close(&trial);
}

/* Who fetches must not keep half a state for ever. */
static void a_fetch_that_nobody_answers_any_more_is_given_up(void **state)
{
    (void)state;
    struct trial trial;
    open_with_node_3_behind(&trial, 14, 512 * KIB);
    diag_set_level(DIAG_NOTHING);
    trial_boot(&trial, 3);
    until_half_is_fetched(&trial);

    for (unsigned id = 1; id <= 2; id++) {
        world_cut(trial.world, id, 3, true); /* what is on its way does not arrive, either */
        world_cut(trial.world, 3, id, true);
    }
    trial_run(&trial, FETCHING_ABANDON_US / TIME_US_PER_MS - 4000);
    assert_true(progress_of(&trial, 3).is_fetching);
    trial_run(&trial, 5000);
    assert_false(progress_of(&trial, 3).is_fetching);

    world_heal(trial.world);
    trial_work(&trial, 2);
    trial_settle(&trial);
    assert_int_equal(trial_installs(&trial, 3), 1);
    trial_close(&trial);
}

static void damage_the_newest(struct trial *trial, unsigned id)
{
    struct entry_id last = trial_newest(trial, id).last;
    char path[64];
    (void)snprintf(path, sizeof path, "snap/%016llx-%016llx.snap", (unsigned long long)last.index,
                   (unsigned long long)last.term);
    assert_true(world_disk_flip(trial->world, id, path, trial_newest(trial, id).bytes / 2, 0x10));
}

static void a_damaged_snapshot_is_replaced_when_it_is_to_be_sent(void **state)
{
    (void)state;
    struct trial trial;
    open_with_node_3_behind(&trial, 15, 0);
    diag_set_level(DIAG_NOTHING);
    for (unsigned id = 1; id <= 2; id++)
        damage_the_newest(&trial, id);

    trial_boot(&trial, 3);
    TRIAL_UNTIL(&trial, trial_installs(&trial, 3) == 1, "node 3 gets a snapshot");

    trial_work(&trial, 2);
    trial_settle(&trial);
    trial_close(&trial);
}

static void on_taken(void *ctx, enum status status, const struct snapshot_info *info)
{
    struct snapshot_info *taken = ctx;
    assert_int_equal(status, ST_OK);
    *taken = *info;
}

/* There may be no newer state than that which it was taken of. */
static void a_damaged_snapshot_of_the_present_is_made_again(void **state)
{
    (void)state;
    struct trial trial;
    open_with_node_3_behind(&trial, 16, 0);
    diag_set_level(DIAG_NOTHING);
    unsigned leader = trial_leader(&trial);
    struct node *node = trial.nodes[leader];
    struct snapshot_info taken = {0};
    struct node_snapshot_wait wait = {
        .index = node_applied(node), .on_done = on_taken, .ctx = &taken};
    node_snapshot_await(node, &wait);
    TRIAL_UNTIL(&trial, taken.last.index != 0, "a snapshot of the present");
    assert_int_equal(taken.last.index, node_applied(node));
    damage_the_newest(&trial, leader);

    trial_boot(&trial, 3);
    TRIAL_UNTIL(&trial, trial_installs(&trial, 3) == 1, "node 3 gets a snapshot");

    assert_int_equal(trial_newest(&trial, leader).last.index, taken.last.index);
    trial_work(&trial, 2);
    trial_settle(&trial);
    trial_close(&trial);
}

/* More is written all the time than a snapshot wants. */
static void who_fetches_slowly_under_load_gets_to_the_end(void **state)
{
    (void)state;
    struct trial trial;
    open_with_node_3_behind(&trial, 7, 256 * KIB);
    trial.snapshot_bytes = 48 * KIB;

    trial_boot(&trial, 3);
    for (unsigned i = 0; i < TRIAL_CLIENTS; i++)
        trial.clients[i].last += 100000;
    TRIAL_UNTIL(&trial, trial_installs(&trial, 3) > 0, "node 3 gets a whole snapshot");
    for (unsigned i = 0; i < TRIAL_CLIENTS; i++)
        trial.clients[i].last = trial.clients[i].sequence;

    trial_work(&trial, 1);
    struct world_link link;
    world_link_get(trial.world, 1, 3, &link);
    link.bytes_per_second = 0;
    world_link_set(trial.world, 1, 3, &link);
    world_link_set(trial.world, 2, 3, &link);
    trial_settle(&trial);
    trial_close(&trial);
}

static void the_log_and_the_snapshots_stay_within_bounds(void **state)
{
    (void)state;
    struct trial trial;
    trial_open(&trial, 3, 8);

    for (unsigned round = 0; round < 12; round++) {
        struct node_stats stats;
        trial_work(&trial, 40);
        trial_run(&trial, 3000); /* segments go one at a time */
        node_stats(trial.nodes[1], &stats);
        assert_true(stats.wal.segments_count <= 4);
    }

    trial_settle(&trial);
    trial_close(&trial);
}

/* Each of them that is synced alone takes a block of the log. */
static void small_writes_bring_a_snapshot_about_by_the_room_they_take(void **state)
{
    (void)state;
    struct trial trial;
    trial_open(&trial, 3, 8);
    trial.value_bytes = 1;

    trial_work(&trial, 30);

    for (unsigned id = 1; id <= 3; id++)
        assert_true(trial_newest(&trial, id).last.index > 0);
    trial_settle(&trial);
    trial_close(&trial);
}

/* No life of the first node writes as much log as brings a snapshot about, but together they do. */
static void what_was_written_before_a_restart_counts_as_much(void **state)
{
    (void)state;
    struct trial trial;
    trial_open_sized(&trial, 3, 8, 512 * KIB);
    trial.value_bytes = 1;
    unsigned lives_count = 0;
    for (; trial_newest(&trial, 1).last.index == 0 && lives_count < 16; lives_count++) {
        struct node_stats stats;
        trial_work(&trial, 5);
        node_stats(trial.nodes[1], &stats);
        assert_true(stats.wal.bytes_written < 256 * KIB);
        trial_stop(&trial, 1, WORLD_STOP_KILL);
        trial_boot(&trial, 1);
        trial_settle(&trial);
    }
    assert_in_range(lives_count, 2, 15);
    trial_settle(&trial);
    trial_close(&trial);
}

static void on_snapshot(void *ctx, enum status status, const struct snapshot_info *info)
{
    struct snapshot_info *out_info = ctx;
    assert_int_equal(status, ST_OK);
    *out_info = *info;
}

static raft_index durable_at(const struct trial *trial, unsigned id)
{
    struct raft_view view;
    raft_view(trial->nodes[id]->raft, &view);
    return view.durable;
}

/* What a majority has is applied at a node whose own log has it not yet. A mark of that snapshot
 * would let the log begin anew behind what is missing. */
static void a_snapshot_ahead_of_the_own_log_is_marked_when_that_has_caught_up(void **state)
{
    (void)state;
    struct trial trial;
    trial_open_sized(&trial, 3, 12, 1024 * MIB); /* none is due by itself */
    trial_work(&trial, 4);
    trial_settle(&trial);
    unsigned slow = trial_leader(&trial) % 3 + 1;
    world_slow_disk(trial.world, slow, 10000 * TIME_US_PER_MS);
    trial_work(&trial, 4);
    world_slow_disk(trial.world, slow, 0); /* for what comes: the file, not what is under way */
    struct snapshot_info info = {.bytes = 0};
    struct node_snapshot_wait wait = {
        .index = node_applied(trial.nodes[slow]), .on_done = on_snapshot, .ctx = &info};
    assert_true(durable_at(&trial, slow) < wait.index);

    node_snapshot_await(trial.nodes[slow], &wait);
    TRIAL_UNTIL(&trial, trial.nodes[slow]->snapshot.unmarked.last.index >= wait.index,
                "the snapshot is on the disk");

    assert_true(durable_at(&trial, slow) < wait.index);
    trial_run(&trial, 100);
    assert_int_equal(trial_newest(&trial, slow).last.index, 0);
    TRIAL_UNTIL(&trial, info.bytes != 0, "it is there for whoever waits for it");
    assert_true(durable_at(&trial, slow) >= info.last.index);
    trial_settle(&trial);
    trial_close(&trial);
}

/* FAULTS P8: the one that is being taken is of the state that goes. */
static void a_snapshot_that_is_being_taken_gives_way_to_one_that_is_installed(void **state)
{
    (void)state;
    struct trial trial;
    struct snapshot_info info = {.bytes = 0};
    open_with_node_3_behind(&trial, 11, 0);
    trial.snapshot_rate = 4 * KIB;
    for (unsigned id = 1; id <= 2; id++)
        world_cut(trial.world, 3, id, true);
    trial_boot(&trial, 3);
    struct node_snapshot_wait wait = {
        .index = node_applied(trial.nodes[3]), .on_done = on_snapshot, .ctx = &info};
    node_snapshot_await(trial.nodes[3], &wait);
    trial_run(&trial, 500);
    assert_true(progress_of(&trial, 3).is_taking);

    world_heal(trial.world);
    TRIAL_UNTIL(&trial, info.bytes != 0, "whoever waits for a snapshot gets one");

    assert_int_equal(trial_installs(&trial, 3), 1);
    assert_true(entry_id_equal(info.last, trial_newest(&trial, 3).last));
    trial_work(&trial, 4);
    trial_settle(&trial);
    trial_stop(&trial, 3, WORLD_STOP_POWER_OFF);
    trial_boot(&trial, 3);
    trial_settle(&trial);
    trial_close(&trial);
}

/* ---- what is open while a snapshot is put in place ---- */

/* Node 3 can send, and hears nothing: what it passes on is carried out, and it cannot know. */
static void open_deaf(struct trial *trial, uint64_t seed, const struct command *command,
                      struct trial_question *question)
{
    trial_open(trial, 3, seed);
    trial->value_bytes = 16 * KIB;
    trial_work(trial, 4);
    trial_settle(trial);
    if (trial_leader(trial) == 3) {
        struct command hand_over = {.op = COMMAND_TRANSFER, .member = 1};
        assert_int_equal(trial_ask(trial, 3, &hand_over), ST_OK);
        trial_settle(trial);
    }
    trial_submit(trial, 3, command, question);
    trial_run(trial, 0);
    for (unsigned id = 1; id <= 2; id++)
        world_cut(trial->world, id, 3, true);
    trial_run(trial, 20);
    assert_false(question->is_answered);
}

/* All that was in memory is gone, and the log is cut: only a snapshot helps. */
static void let_it_install(struct trial *trial)
{
    for (unsigned id = 1; id <= 2; id++) {
        world_cut(trial->world, 3, id, true);
        world_reset_links(trial->world, 3, id); /* what was on its way does not come later */
    }
    for (unsigned i = 0; i < TRIAL_CLIENTS; i++) /* those at node 3 may wait */
        trial->clients[i].attempts_count = i;
    trial_work(trial, 30);
    for (unsigned id = 1; id <= 2; id++) {
        trial_stop(trial, id, WORLD_STOP_CRASH);
        trial_boot(trial, id);
    }
    world_heal(trial->world);
    TRIAL_UNTIL(trial, trial_installs(trial, 3) == 1, "node 3 installs a snapshot");
}

static void an_open_write_that_the_snapshot_remembers_is_answered_with_its_result(void **state)
{
    (void)state;
    struct trial trial;
    struct trial_question question;
    struct command command = {.op = COMMAND_INCR,
                              .key = BYTES_LITERAL("once"),
                              .by = 1,
                              .identity = {CLIENT_ID, BYTES_LITERAL("deaf"), 1, 0}};
    open_deaf(&trial, 9, &command, &question);

    let_it_install(&trial);

    struct kv_item item;
    assert_true(kv_get(node_kv(trial.nodes[3]), BYTES_LITERAL("once"), &item));
    assert_int_equal(trial_answer(&trial, &question), ST_OK);
    assert_int_equal(question.answer.effect, EFFECT_APPLIED);
    assert_int_equal(question.answer.result.number, 1);
    trial_settle(&trial);
    trial_close(&trial);
}

static void an_open_write_without_an_identity_has_perhaps_happened(void **state)
{
    (void)state;
    struct trial trial;
    struct trial_question question;
    struct command command = {.op = COMMAND_INCR, .key = BYTES_LITERAL("once"), .by = 1};
    open_deaf(&trial, 10, &command, &question);

    let_it_install(&trial);

    struct kv_item item;
    assert_int_equal(trial_answer(&trial, &question), ST_TIMEOUT);
    assert_int_equal(question.answer.effect, EFFECT_MAYBE);
    assert_true(kv_get(node_kv(trial.nodes[3]), BYTES_LITERAL("once"), &item));
    assert_int_equal(item.version, 1);
    trial_settle(&trial);
    trial_close(&trial);
}

static void only_a_large_state_stays_in_the_page_cache(void **state)
{
    assert_true(snapshot_leaves_cache(0));
    assert_true(snapshot_leaves_cache(256 * (uint64_t)MIB - 1));
    assert_false(snapshot_leaves_cache(256 * (uint64_t)MIB));
    assert_false(snapshot_leaves_cache(8192 * (uint64_t)MIB));
}

static void a_large_state_is_written_in_proportion_to_the_log(void **state)
{
    const uint64_t mib = MIB;

    assert_int_equal(snapshot_log_wanted(0, 0, false), 64 * mib);
    assert_int_equal(snapshot_log_wanted(0, 16 * mib, false), 64 * mib);
    assert_int_equal(snapshot_log_wanted(0, 17 * mib, false), 68 * mib);
    assert_int_equal(snapshot_log_wanted(0, 64 * mib - 1, false), 256 * mib - 4);
    assert_int_equal(snapshot_log_wanted(0, 65 * mib, false), 256 * mib);
    assert_int_equal(snapshot_log_wanted(0, 129 * mib, false), 258 * mib);
    assert_int_equal(snapshot_log_wanted(4096 * mib, 2047 * mib, false), 4096 * mib);
    assert_int_equal(snapshot_log_wanted(1, 64 * mib - 1, false), 4); /* no more than the option */
    assert_int_equal(snapshot_log_wanted(1, 64 * mib, false), 128 * mib);
    assert_int_equal(snapshot_log_wanted(512 * mib, 128 * mib, false), 512 * mib);
    assert_int_equal(snapshot_log_wanted(64 * mib, 2048 * mib, false), 4096 * mib);
    assert_int_equal(snapshot_log_wanted(mib, 8 * mib, true), 8 * mib); /* others fetch it */
    assert_int_equal(snapshot_log_wanted(64 * mib, 64 * mib, true), 256 * mib);
    assert_int_equal(snapshot_log_wanted(mib, 128 * mib, true), 256 * mib);
}

int main(void)
{
    diag_set_level(DIAG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_was_away_for_long_goes_on_behind_a_snapshot),
        cmocka_unit_test(what_was_installed_is_there_after_a_restart),
        cmocka_unit_test(a_transfer_goes_on_with_the_next_leader),
        cmocka_unit_test(a_transfer_survives_the_death_of_its_source),
        cmocka_unit_test(links_that_break_again_and_again_delay_a_transfer_and_no_more),
        cmocka_unit_test(who_fetches_a_file_that_is_thrown_away_takes_the_next_one),
        cmocka_unit_test(a_fetch_that_nobody_answers_any_more_is_given_up),
        cmocka_unit_test(a_damaged_snapshot_is_replaced_when_it_is_to_be_sent),
        cmocka_unit_test(a_damaged_snapshot_of_the_present_is_made_again),
        cmocka_unit_test(who_fetches_slowly_under_load_gets_to_the_end),
        cmocka_unit_test(the_log_and_the_snapshots_stay_within_bounds),
        cmocka_unit_test(small_writes_bring_a_snapshot_about_by_the_room_they_take),
        cmocka_unit_test(what_was_written_before_a_restart_counts_as_much),
        cmocka_unit_test(a_snapshot_ahead_of_the_own_log_is_marked_when_that_has_caught_up),
        cmocka_unit_test(a_snapshot_that_is_being_taken_gives_way_to_one_that_is_installed),
        cmocka_unit_test(an_open_write_that_the_snapshot_remembers_is_answered_with_its_result),
        cmocka_unit_test(an_open_write_without_an_identity_has_perhaps_happened),
        cmocka_unit_test(only_a_large_state_stays_in_the_page_cache),
        cmocka_unit_test(a_large_state_is_written_in_proportion_to_the_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
