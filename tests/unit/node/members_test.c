/* Members come, move, get votes and go, and nodes die meanwhile. */
#include "trial_rig.h"

enum { FRESH = 4 };

static void open_three(struct trial *trial, uint64_t seed)
{
    trial_open(trial, 3, seed);
    trial_work(trial, 4);
    trial_settle(trial);
}

static unsigned follower_of(const struct trial *trial)
{
    return trial_leader(trial) == 1 ? 2 : 1;
}

/* Machine FRESH starts empty, and asks through a follower to be taken in. */
static void let_join(struct trial *trial)
{
    trial_boot(trial, FRESH);
    struct command command = trial_joining(trial, FRESH);
    assert_int_equal(trial_ask(trial, follower_of(trial), &command), ST_OK);
}

static enum status remove_member(struct trial *trial, unsigned at, unsigned id)
{
    struct command command = trial_removing(id);
    return trial_ask(trial, at, &command);
}

static bool has_link(const struct trial *trial, unsigned at, unsigned to)
{
    struct peer_stats stats[LIMIT_MEMBERS];
    size_t count = node_peer_stats(trial->nodes[at], stats, ARRAY_COUNT(stats));
    for (size_t i = 0; i < count; i++)
        if (stats[i].id == to)
            return true;
    return false;
}

/* ---- coming ---- */

static void who_joins_learns_everything_and_gets_a_vote(void **state)
{
    (void)state;
    struct trial trial;
    open_three(&trial, 1);

    let_join(&trial);
    trial_work(&trial, 10);
    TRIAL_UNTIL(&trial, trial_votes(&trial, trial_leader(&trial), FRESH), "it gets a vote");

    trial_settle(&trial);
    assert_int_equal(trial_installs(&trial, FRESH), 1);
    trial_close(&trial);
}

static void who_joins_when_there_is_no_snapshot_has_one_taken(void **state)
{
    (void)state;
    struct trial trial;
    trial_open(&trial, 3, 2);
    trial_settle(&trial);
    assert_int_equal(trial_newest(&trial, 1).last.index, 0);

    let_join(&trial);
    TRIAL_UNTIL(&trial, trial_votes(&trial, trial_leader(&trial), FRESH), "it gets a vote");

    trial_settle(&trial);
    trial_close(&trial);
}

static void joining_again_is_no_change(void **state)
{
    (void)state;
    struct trial trial;
    open_three(&trial, 3);
    let_join(&trial);
    TRIAL_UNTIL(&trial, trial_votes(&trial, trial_leader(&trial), FRESH), "it gets a vote");

    struct command command = trial_joining(&trial, FRESH);
    for (unsigned at = 1; at <= FRESH; at++)
        assert_int_equal(trial_ask(&trial, at, &command), ST_OK);

    assert_true(trial_votes(&trial, trial_leader(&trial), FRESH));
    trial_settle(&trial);
    trial_close(&trial);
}

static void a_node_that_restarts_before_it_has_a_snapshot_goes_on_joining(void **state)
{
    (void)state;
    struct trial trial;
    open_three(&trial, 4);
    trial_boot(&trial, FRESH);
    struct command command = trial_joining(&trial, FRESH);
    for (unsigned id = 1; id <= 3; id++)
        world_cut(trial.world, id, FRESH, true);
    assert_int_equal(trial_ask(&trial, 1, &command), ST_OK);
    trial_run(&trial, 1000);
    assert_int_equal(node_applied(trial.nodes[FRESH]), 0);

    trial_stop(&trial, FRESH, WORLD_STOP_POWER_OFF);
    trial_boot(&trial, FRESH);
    world_heal(trial.world);
    TRIAL_UNTIL(&trial, trial_votes(&trial, trial_leader(&trial), FRESH), "it gets a vote");

    trial_settle(&trial);
    trial_close(&trial);
}

static void an_empty_disk_under_an_old_id_is_kept_out_until_that_member_is_removed(void **state)
{
    (void)state;
    struct trial trial;
    open_three(&trial, 5);
    unsigned lost = follower_of(&trial);
    trial_stop(&trial, lost, WORLD_STOP_CRASH);
    world_wipe(trial.world, lost);
    trial.founders_count = lost == 1 ? 0 : lost - 1; /* it comes as one that joins */
    trial_boot(&trial, lost);

    struct command command = trial_joining(&trial, lost);
    assert_int_equal(trial_ask(&trial, 3, &command), ST_MEMBER_EXISTS);
    trial_run(&trial, 2000);
    assert_int_equal(node_applied(trial.nodes[lost]), 0);

    assert_int_equal(remove_member(&trial, 3, lost), ST_OK);
    assert_int_equal(trial_ask(&trial, 3, &command), ST_OK);
    assert_false(trial_votes(&trial, 3, lost));
    TRIAL_UNTIL(&trial, trial_votes(&trial, trial_leader(&trial), lost), "it gets a vote");
    trial_work(&trial, 4);
    trial_settle(&trial);
    trial_close(&trial);
}

/* ---- votes ---- */

static void who_lags_gets_no_vote(void **state)
{
    (void)state;
    struct trial trial;
    open_three(&trial, 6);
    let_join(&trial);
    for (unsigned id = 1; id <= 3; id++)
        world_cut(trial.world, id, FRESH, true);
    if (trial_votes(&trial, trial_leader(&trial), FRESH))
        fail_msg("it should not have been so quick");

    struct command command = trial_promoting(FRESH);
    assert_int_equal(trial_ask(&trial, trial_leader(&trial), &command), ST_NOT_CAUGHT_UP);
    trial_work(&trial, 4);
    trial_run(&trial, 3000);
    assert_false(trial_votes(&trial, trial_leader(&trial), FRESH));

    world_heal(trial.world);
    TRIAL_UNTIL(&trial, trial_votes(&trial, trial_leader(&trial), FRESH), "it gets a vote");
    trial_settle(&trial);
    trial_close(&trial);
}

static void a_learner_can_be_given_its_vote_by_hand(void **state)
{
    (void)state;
    struct trial trial;
    open_three(&trial, 7);
    let_join(&trial);
    struct command command = trial_promoting(FRESH);

    enum status status = ST_NOT_CAUGHT_UP;
    for (unsigned i = 0; i < 400 && status != ST_OK; i++) {
        status = trial_ask(&trial, follower_of(&trial), &command);
        trial_run(&trial, 5);
    }

    assert_int_equal(status, ST_OK);
    assert_true(trial_votes(&trial, trial_leader(&trial), FRESH));
    command = trial_promoting(9);
    assert_int_equal(trial_ask(&trial, 1, &command), ST_UNKNOWN_MEMBER);
    trial_settle(&trial);
    trial_close(&trial);
}

/* ---- moving ---- */

static void a_member_moves_to_another_address_by_joining_from_there(void **state)
{
    (void)state;
    struct trial trial;
    open_three(&trial, 8);
    unsigned mover = follower_of(&trial);
    trial_stop(&trial, mover, WORLD_STOP_CRASH);
    trial.port = 7002;
    trial_boot(&trial, mover);

    struct command command = trial_joining(&trial, mover);
    assert_int_equal(command.peer.port, 7002);
    trial.port = 0;
    assert_int_equal(trial_ask(&trial, trial_leader(&trial), &command), ST_OK);

    assert_int_equal(trial_member(&trial, trial_leader(&trial), mover)->peer.port, 7002);
    trial_work(&trial, 4);
    trial_settle(&trial);
    trial_close(&trial);
}

static void nobody_else_can_move_a_member(void **state)
{
    (void)state;
    struct trial trial;
    open_three(&trial, 9);
    struct command command = trial_joining(&trial, 2);
    command.peer.port = 7002;
    command.member_identity ^= 2;

    assert_int_equal(trial_ask(&trial, 1, &command), ST_MEMBER_EXISTS);

    assert_int_equal(trial_member(&trial, 1, 2)->peer.port, 7001);
    trial_close(&trial);
}

/* ---- going ---- */

static void a_leader_that_is_removed_goes_and_the_others_go_on(void **state)
{
    (void)state;
    struct trial trial;
    open_three(&trial, 10);
    unsigned leader = trial_leader(&trial);
    unsigned other = follower_of(&trial);

    assert_int_equal(remove_member(&trial, leader, leader), ST_OK);
    TRIAL_UNTIL(&trial,
                node_view(trial.nodes[other])->leader != leader &&
                    node_view(trial.nodes[other])->leader != NODE_NONE,
                "another one leads");

    assert_int_not_equal(node_view(trial.nodes[leader])->role, RAFT_ROLE_LEADER);
    trial_stop(&trial, leader, WORLD_STOP_KILL);
    trial_work(&trial, 4);
    trial_settle(&trial);
    trial_close(&trial);
}

static void a_leader_that_is_removed_through_another_node_says_so_there(void **state)
{
    (void)state;
    struct trial trial;
    open_three(&trial, 11);
    unsigned leader = trial_leader(&trial);
    unsigned other = follower_of(&trial);

    assert_int_equal(remove_member(&trial, other, leader), ST_OK);

    TRIAL_UNTIL(&trial,
                node_view(trial.nodes[other])->leader != leader &&
                    node_view(trial.nodes[other])->leader != NODE_NONE,
                "another one leads");
    trial_close(&trial);
}

static void a_removed_node_that_runs_on_disturbs_nobody(void **state)
{
    (void)state;
    struct trial trial;
    open_three(&trial, 12);
    unsigned leader = trial_leader(&trial);
    unsigned gone = follower_of(&trial);
    world_cut(trial.world, leader, gone, true); /* it does not hear of it */
    assert_int_equal(remove_member(&trial, leader, gone), ST_OK);
    raft_term term = node_view(trial.nodes[leader])->term;

    world_heal(trial.world);
    trial_run(&trial, 10000);
    trial_stop(&trial, gone, WORLD_STOP_KILL);
    trial_boot(&trial, gone);
    trial_run(&trial, 10000);

    assert_int_equal(trial_leader(&trial), leader);
    assert_int_equal(node_view(trial.nodes[leader])->term, term);
    assert_int_equal(node_view(trial.nodes[gone])->leader, NODE_NONE);
    assert_false(node_is_ready(trial.nodes[gone]));
    trial_close(&trial);
}

static void a_removed_node_that_kept_its_disk_can_join_again(void **state)
{
    (void)state;
    struct trial trial;
    open_three(&trial, 13);
    unsigned gone = follower_of(&trial);
    assert_int_equal(remove_member(&trial, 3, gone), ST_OK);
    trial_work(&trial, 10);

    struct command command = trial_joining(&trial, gone);
    assert_int_equal(trial_ask(&trial, 3, &command), ST_OK);
    TRIAL_UNTIL(&trial, trial_votes(&trial, trial_leader(&trial), gone), "it gets a vote");

    trial_work(&trial, 4);
    trial_settle(&trial);
    trial_close(&trial);
}

static void a_cluster_shrinks_to_one_and_grows_again(void **state)
{
    (void)state;
    struct trial trial;
    open_three(&trial, 14);

    for (unsigned left = 3; left > 1; left--) {
        unsigned leader = trial_leader(&trial);
        unsigned gone =
            trial_member(&trial, leader, leader == 1 ? 2 : 1) != NULL ? (leader == 1 ? 2u : 1u) : 3;
        assert_int_equal(remove_member(&trial, leader, gone), ST_OK);
        trial_stop(&trial, gone, WORLD_STOP_KILL);
        trial_work(&trial, 2);
    }
    unsigned last = trial_leader(&trial);
    assert_int_equal(remove_member(&trial, last, last), ST_LAST_VOTER);
    trial.joined_hint = *kv_config(node_kv(trial.nodes[last]));
    for (unsigned id = FRESH; id <= 5; id++) {
        trial_boot(&trial, id);
        struct command command = trial_joining(&trial, id);
        assert_int_equal(trial_ask(&trial, last, &command), ST_OK);
        TRIAL_UNTIL(&trial, trial_votes(&trial, trial_leader(&trial), id), "it gets a vote");
    }
    trial_work(&trial, 4);

    trial_settle(&trial);
    trial_close(&trial);
}

/* ---- one at a time ---- */

static void a_second_change_waits_until_the_first_one_is_committed(void **state)
{
    (void)state;
    struct trial trial;
    struct trial_question first, second;
    open_three(&trial, 15);
    unsigned leader = trial_leader(&trial);
    struct command joining = trial_joining(&trial, FRESH);
    struct command removing = trial_removing(follower_of(&trial));

    trial_submit(&trial, leader, &joining, &first);
    trial_submit(&trial, leader, &removing, &second);

    assert_int_equal(trial_answer(&trial, &first), ST_OK);
    assert_int_equal(trial_answer(&trial, &second), ST_CHANGE_OPEN);
    assert_int_equal(second.answer.effect, EFFECT_NONE);
    assert_int_equal(remove_member(&trial, leader, follower_of(&trial)), ST_OK);
    trial_close(&trial);
}

static void a_change_that_is_cut_off_is_forgotten_down_to_the_links(void **state)
{
    (void)state;
    struct trial trial;
    struct trial_question question;
    open_three(&trial, 16);
    unsigned leader = trial_leader(&trial);
    unsigned machines[] = {leader, leader % 3 + 1, (leader + 1) % 3 + 1};
    struct command joining = trial_joining(&trial, FRESH);
    world_partition(trial.world, WORLD_SHAPE_ALONE, machines, 3);

    trial_submit(&trial, leader, &joining, &question);
    trial_run(&trial, 100);
    assert_true(has_link(&trial, leader, FRESH));
    node_cancel(trial.nodes[leader], &question.request); /* else it is sent again */
    buf_release(&question.command);
    for (unsigned i = 0; i < TRIAL_CLIENTS; i++)
        trial.clients[i].last++;
    trial_run(&trial, 4000);
    world_heal(trial.world);
    trial_work(&trial, 1);
    trial_settle(&trial);

    assert_null(trial_member(&trial, leader, FRESH));
    assert_false(has_link(&trial, leader, FRESH));
    trial_close(&trial);
}

static void on_snapshot(void *ctx, enum status status, const struct snapshot_info *info)
{
    struct snapshot_info *out_info = ctx;
    assert_int_equal(status, ST_OK);
    *out_info = *info;
}

/* FAULTS P7. */
static void a_change_that_is_cut_off_is_not_in_a_snapshot_taken_before(void **state)
{
    (void)state;
    struct trial trial;
    struct trial_question question;
    struct snapshot_info info = {.bytes = 0};
    open_three(&trial, 17);
    unsigned leader = trial_leader(&trial);
    unsigned machines[] = {leader, leader % 3 + 1, (leader + 1) % 3 + 1};
    struct command joining = trial_joining(&trial, FRESH);
    struct node_snapshot_wait wait = {
        .index = node_applied(trial.nodes[leader]), .on_done = on_snapshot, .ctx = &info};
    world_partition(trial.world, WORLD_SHAPE_ALONE, machines, 3);
    trial_submit(&trial, leader, &joining, &question);
    trial_run(&trial, 50);

    node_snapshot_await(trial.nodes[leader], &wait);
    trial_run(&trial, 200);
    assert_true(info.last.index >= wait.index);
    trial_stop(&trial, leader, WORLD_STOP_CRASH);
    buf_release(&question.command);
    trial_work(&trial, 1);
    world_heal(trial.world);
    trial_boot(&trial, leader);

    trial_settle(&trial);
    assert_null(trial_member(&trial, leader, FRESH));
    assert_false(has_link(&trial, leader, FRESH));
    trial_close(&trial);
}

/* ---- dying meanwhile ---- */

static bool join_while_one_dies(unsigned machine, uint64_t number)
{
    struct trial trial;
    trial_open(&trial, 3, number);
    trial.value_bytes = 16 * KIB;
    trial_work(&trial, 6);
    uint64_t at = machine == FRESH ? 0 : world_io_count(trial.world, machine);
    world_crash_at_io(trial.world, machine, at + number,
                      number % 2 == 0 ? WORLD_STOP_KILL : WORLD_STOP_POWER_OFF);
    trial_boot(&trial, FRESH);
    if (trial.nodes[FRESH] == NULL)
        trial_run(&trial, 500); /* it died at once, and starts again */

    for (unsigned i = 0;; i++) {
        unsigned leader = trial_leader(&trial);
        trial_work(&trial, 1);
        if (leader != 0 && trial.nodes[leader] != NULL && trial.nodes[FRESH] != NULL) {
            struct command command = trial_joining(&trial, FRESH);
            (void)trial_ask(&trial, leader, &command); /* as one does that starts */
        }
        leader = trial_leader(&trial);
        if (leader != 0 && trial_votes(&trial, leader, FRESH))
            break;
        assert_true(i < 1000);
    }
    trial_work(&trial, 4);

    bool has_stopped = trial.stops_count > 0;
    trial_settle(&trial);
    trial_close(&trial);
    return has_stopped;
}

static void a_node_that_dies_while_it_joins_loses_nothing(void **state)
{
    (void)state;
    unsigned trials_count = 0;
    unsigned stride = getenv("TRIALS") != NULL ? (unsigned)atoi(getenv("TRIALS")) : 5;

    for (uint64_t number = 1; join_while_one_dies(FRESH, number); number += stride)
        trials_count++;

    assert_true(trials_count >= 5);
}

static void a_node_that_dies_while_another_one_joins_loses_nothing(void **state)
{
    (void)state;
    unsigned trials_count = 0;
    unsigned stride = getenv("TRIALS") != NULL ? (unsigned)atoi(getenv("TRIALS")) : 5;

    for (uint64_t number = 1; join_while_one_dies(1 + number % 3, number); number += stride)
        trials_count++;

    assert_true(trials_count >= 3);
}

int main(void)
{
    diag_set_level(getenv("TRIALS_TELL") != NULL ? DIAG_INFO : DIAG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_joins_learns_everything_and_gets_a_vote),
        cmocka_unit_test(who_joins_when_there_is_no_snapshot_has_one_taken),
        cmocka_unit_test(joining_again_is_no_change),
        cmocka_unit_test(a_node_that_restarts_before_it_has_a_snapshot_goes_on_joining),
        cmocka_unit_test(an_empty_disk_under_an_old_id_is_kept_out_until_that_member_is_removed),
        cmocka_unit_test(who_lags_gets_no_vote),
        cmocka_unit_test(a_learner_can_be_given_its_vote_by_hand),
        cmocka_unit_test(a_member_moves_to_another_address_by_joining_from_there),
        cmocka_unit_test(nobody_else_can_move_a_member),
        cmocka_unit_test(a_leader_that_is_removed_goes_and_the_others_go_on),
        cmocka_unit_test(a_leader_that_is_removed_through_another_node_says_so_there),
        cmocka_unit_test(a_removed_node_that_runs_on_disturbs_nobody),
        cmocka_unit_test(a_removed_node_that_kept_its_disk_can_join_again),
        cmocka_unit_test(a_cluster_shrinks_to_one_and_grows_again),
        cmocka_unit_test(a_second_change_waits_until_the_first_one_is_committed),
        cmocka_unit_test(a_change_that_is_cut_off_is_forgotten_down_to_the_links),
        cmocka_unit_test(a_change_that_is_cut_off_is_not_in_a_snapshot_taken_before),
        cmocka_unit_test(a_node_that_dies_while_it_joins_loses_nothing),
        cmocka_unit_test(a_node_that_dies_while_another_one_joins_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
