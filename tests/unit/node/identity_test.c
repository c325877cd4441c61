/* Who is who: a disk that its log does not know promises nothing, and a log that is old lets in
 * those who have come since. */
#include "trial_rig.h"

static void open_three(struct trial *trial, uint64_t seed)
{
    trial_open(trial, 3, seed);
    trial_work(trial, 4);
    trial_settle(trial);
}

static void let_join(struct trial *trial, unsigned at, unsigned id)
{
    trial_boot(trial, id);
    struct command command = trial_joining(trial, id);
    assert_int_equal(trial_ask(trial, at, &command), ST_OK);
    TRIAL_UNTIL(trial, trial_votes(trial, trial_leader(trial), id), "it gets a vote");
}

static void let_go(struct trial *trial, unsigned at, unsigned id)
{
    struct command command = trial_removing(id);
    assert_int_equal(trial_ask(trial, at, &command), ST_OK);
    trial_stop(trial, id, WORLD_STOP_KILL);
}

/* 1 and 2 have been replaced by 4 and 5 while 3 was away: it knows neither, and they need it. */
static void open_among_strangers(struct trial *trial, uint64_t seed)
{
    open_three(trial, seed);
    trial_stop(trial, 3, WORLD_STOP_KILL);
    let_join(trial, 1, 4);
    let_join(trial, 1, 5);
    let_go(trial, 4, 1);
    TRIAL_UNTIL(trial, trial_leader(trial) != 0, "one of the others leads");
    let_go(trial, 4, 2);
    TRIAL_UNTIL(trial, trial_leader(trial) != 0, "one of the others leads");
    trial_work(trial, 4);
}

static void a_member_that_was_away_follows_a_leader_it_has_never_heard_of(void **state)
{
    (void)state;
    struct trial trial;
    open_among_strangers(&trial, 21);
    unsigned leader = trial_leader(&trial);

    trial_boot(&trial, 3);

    TRIAL_UNTIL(&trial, node_view(trial.nodes[3])->leader == leader, "it follows");
    trial_work(&trial, 4);
    trial_settle(&trial);
    trial_close(&trial);
}

static void a_member_that_was_away_gives_its_vote_to_a_stranger(void **state)
{
    (void)state;
    for (unsigned off = 4; off <= 5; off++) {
        struct trial trial;
        open_among_strangers(&trial, 22);
        trial_stop(&trial, off, WORLD_STOP_CRASH);
        unsigned left = 9 - off;

        trial_boot(&trial, 3);

        TRIAL_UNTIL(&trial, trial_leader(&trial) == left, "it leads with the vote of node 3");
        trial_work(&trial, 4);
        trial_boot(&trial, off);
        trial_settle(&trial);
        trial_close(&trial);
    }
}

/* The disk of a founder is lost, and it starts with an empty one as if nothing had been. */
static unsigned empty_a_disk(struct trial *trial)
{
    unsigned lost = trial_leader(trial) == 1 ? 2 : 1;
    trial_stop(trial, lost, WORLD_STOP_CRASH);
    world_wipe(trial->world, lost);
    trial_boot(trial, lost);
    return lost;
}

static void what_an_empty_disk_acknowledges_commits_nothing(void **state)
{
    (void)state;
    struct trial trial;
    open_three(&trial, 23);
    unsigned lost = empty_a_disk(&trial);
    unsigned leader = trial_leader(&trial);
    trial_stop(&trial, 6 - lost - leader, WORLD_STOP_CRASH);
    raft_index applied = node_applied(trial.nodes[leader]);

    struct command command = {.op = COMMAND_PUT, .key = BYTES_LITERAL("k")};
    struct trial_question question;
    trial_submit(&trial, leader, &command, &question);
    trial_run(&trial, 20000);

    assert_false(question.is_answered);
    assert_int_equal(node_applied(trial.nodes[leader]), applied);
    assert_int_equal(trial_leader(&trial), 0); /* nobody that counts hears it */
    trial_boot(&trial, 6 - lost - leader);
    assert_int_equal(trial_answer(&trial, &question), ST_OK);
    trial_close(&trial);
}

/* Node 4 was removed and has joined again with another disk; now the first one is back. It is let
 * in while nobody leads, and gives its vote. */
static void the_vote_of_a_disk_that_was_replaced_elects_nobody(void **state)
{
    (void)state;
    struct trial trial;
    open_three(&trial, 24);
    let_join(&trial, 1, 4);
    trial_stop(&trial, 4, WORLD_STOP_KILL);
    struct world_copy *first = world_disk_copy(trial.world, 4);
    struct command command = trial_removing(4);
    assert_int_equal(trial_ask(&trial, 1, &command), ST_OK);
    world_wipe(trial.world, 4);
    let_join(&trial, 1, 4);
    trial_work(&trial, 4);
    trial_settle(&trial);
    for (unsigned id = 1; id <= 4; id++)
        trial_stop(&trial, id, WORLD_STOP_KILL);
    world_disk_restore(trial.world, 4, first);
    world_copy_free(first);

    trial_boot(&trial, 1);
    trial_boot(&trial, 2);
    trial_boot(&trial, 4);
    trial_run(&trial, 5000);

    assert_int_equal(trial_leader(&trial), 0); /* two of four */
    trial_boot(&trial, 3);
    TRIAL_UNTIL(&trial, trial_leader(&trial) != 0, "three of four elect");
    trial_work(&trial, 4);
    trial_close(&trial);
}

/* ---- the same founders, begun anew ---- */

/* Of five members the founders 1 and 2 start with empty disks: of three founders they are a
 * majority, and a cluster of their own with the same id. */
static uint64_t open_five(struct trial *trial, uint64_t seed, bool are_removed)
{
    open_three(trial, seed);
    let_join(trial, 1, 4);
    let_join(trial, 1, 5);
    trial_work(trial, 4);
    trial_settle(trial);
    for (unsigned id = 1; id <= 2 && are_removed; id++) {
        struct command command = trial_removing(id);
        assert_int_equal(trial_ask(trial, 4, &command), ST_OK);
        TRIAL_UNTIL(trial, trial_leader(trial) > id, "one of the others leads");
    }
    uint64_t count = trial->acked_incr_count;
    for (unsigned id = 1; id <= 2; id++) {
        trial_stop(trial, id, WORLD_STOP_CRASH);
        world_wipe(trial->world, id);
    }
    return count;
}

static void assert_unharmed(struct trial *trial, uint64_t count)
{
    for (unsigned id = 3; id <= 5; id++) {
        assert_non_null(trial->nodes[id]);
        assert_int_equal(trial_counter(trial->nodes[id]), count);
        assert_true(node_view(trial->nodes[id])->leader >= 3);
    }
}

static void who_follows_nobody_does_not_follow_founders_that_have_begun_anew(void **state)
{
    (void)state;
    for (unsigned are_removed = 0; are_removed <= 1; are_removed++) {
        struct trial trial;
        uint64_t count = open_five(&trial, 31, are_removed);
        for (unsigned id = 1; id <= 2; id++)
            trial_boot(&trial, id);
        trial_run(&trial, 3000);
        for (unsigned off = 3; off <= 5; off++) { /* and the one who leads, at some time */
            trial_stop(&trial, off, WORLD_STOP_CRASH);
            trial_run(&trial, 1500);
            trial_boot(&trial, off);
            trial_run(&trial, 3000);
        }

        assert_unharmed(&trial, count);
        trial_close(&trial);
    }
}

static void who_starts_among_founders_that_have_begun_anew_keeps_its_log(void **state)
{
    (void)state;
    for (unsigned are_removed = 0; are_removed <= 1; are_removed++) {
        struct trial trial;
        uint64_t count = open_five(&trial, 32, are_removed);
        for (unsigned id = 3; id <= 5; id++)
            trial_stop(&trial, id, WORLD_STOP_KILL);
        for (unsigned id = 1; id <= 2; id++)
            trial_boot(&trial, id);
        trial_run(&trial, 3000);
        for (unsigned i = 0; i < 80; i++) { /* their log is longer by now */
            struct command put = {.op = COMMAND_PUT, .key = BYTES_LITERAL("k")};
            assert_int_equal(trial_ask(&trial, 1, &put), ST_OK);
        }

        for (unsigned id = 3; id <= 5; id++)
            trial_boot(&trial, id);
        trial_run(&trial, 8000);

        assert_unharmed(&trial, count);
        trial_close(&trial);
    }
}

/* ---- a leader on its way out ---- */

/* Its removal is on its own disk only, and makes its log the longest: only it can win. */
static void a_leader_that_removes_itself_alone_leads_until_that_is_committed(void **state)
{
    (void)state;
    struct trial trial;
    trial_open(&trial, 1, 51);
    trial_work(&trial, 4);
    let_join(&trial, 1, 4);
    trial_settle(&trial);
    struct command transfer = {.op = COMMAND_TRANSFER, .member = 4};
    assert_int_equal(trial_ask(&trial, 1, &transfer), ST_OK);
    TRIAL_UNTIL(&trial, trial_leader(&trial) == 4, "it leads");
    trial_run(&trial, 500);
    trial_stop(&trial, 1, WORLD_STOP_KILL);
    struct command remove = trial_removing(4);
    struct trial_question question;
    trial_submit(&trial, 4, &remove, &question);
    trial_run(&trial, 20000);

    trial_boot(&trial, 1);

    TRIAL_UNTIL(&trial, trial_leader(&trial) == 1, "the other one leads in the end");
    assert_int_equal(trial_answer(&trial, &question), ST_OK);
    trial_close(&trial);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_member_that_was_away_follows_a_leader_it_has_never_heard_of),
        cmocka_unit_test(a_member_that_was_away_gives_its_vote_to_a_stranger),
        cmocka_unit_test(what_an_empty_disk_acknowledges_commits_nothing),
        cmocka_unit_test(the_vote_of_a_disk_that_was_replaced_elects_nobody),
        cmocka_unit_test(who_follows_nobody_does_not_follow_founders_that_have_begun_anew),
        cmocka_unit_test(who_starts_among_founders_that_have_begun_anew_keeps_its_log),
        cmocka_unit_test(a_leader_that_removes_itself_alone_leads_until_that_is_committed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
