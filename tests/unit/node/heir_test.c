/* Full disks: who leads, what is refused, and that all goes on by itself once there is room. */
#include "node/node_internal.h"
#include "trial_rig.h"

enum {
    EVERYBODY = 7,
    MACHINES = 3,
    VALUE_BYTES = 20 * KIB, /* a file has 128 KiB */
    PUTS_OF_ONE_FILE = 6,
    WORK_OF_MORE_FILES = 40,
    LONG_MS = 8000
};

/* The disks of the machines of this set take nothing more than what is there. */
static void fill(struct trial *trial, unsigned machines)
{
    for (unsigned id = 1; id <= MACHINES; id++) {
        struct world_disk disk;
        world_disk_get(trial->world, id, &disk);
        disk.capacity_bytes = (machines & 1u << (id - 1)) != 0;
        world_disk_set(trial->world, id, &disk);
    }
}

static bool is_in(unsigned machines, unsigned id)
{
    return (machines & 1u << (id - 1)) != 0;
}

static enum status put(struct trial *trial, unsigned at, size_t bytes)
{
    static const uint8_t value[VALUE_BYTES];
    struct command command = {
        .op = COMMAND_PUT, .key = BYTES_LITERAL("k"), .value = bytes_of(value, bytes)};
    return trial_ask(trial, at, &command);
}

/* Full disks; then so much is written that the file that was ready is used up. */
static void open_full(struct trial *trial, unsigned machines, uint64_t seed)
{
    trial_open(trial, MACHINES, seed);
    trial_settle(trial);
    trial_run(trial, 1000);
    fill(trial, machines);
    for (unsigned i = 0; i < PUTS_OF_ONE_FILE; i++) {
        enum status status = put(trial, trial_leader(trial), VALUE_BYTES);
        assert_true(status == ST_OK || (status == ST_NO_SPACE && machines == EVERYBODY));
    }
    trial_run(trial, LONG_MS);
}

static enum status read(struct trial *trial, unsigned at)
{
    struct trial_question question = {
        .request = {.kind = NODE_READ,
                    .deadline = world_now_at(trial->world, at) + 5000 * TIME_US_PER_MS,
                    .on_done = trial_on_answer,
                    .ctx = &question}};
    handle_client_request(trial->nodes[at], &question.request);
    return trial_answer(trial, &question);
}

static void who_has_room_leads_and_everything_is_carried_out(void **state)
{
    (void)state;
    for (unsigned full = 1; full < EVERYBODY; full++) {
        struct trial trial;
        open_full(&trial, full, full);

        assert_false(is_in(full, trial_leader(&trial)));
        for (unsigned at = 1; at <= MACHINES; at++)
            assert_int_equal(put(&trial, at, 1), ST_OK);
        raft_term term = node_view(trial.nodes[1])->term;
        trial_run(&trial, LONG_MS);

        assert_int_equal(node_view(trial.nodes[1])->term, term);
        trial_settle(&trial);
        trial_close(&trial);
    }
}

static void where_nobody_has_room_writes_are_refused_and_reads_go_on(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct trial trial;
        open_full(&trial, EVERYBODY, seed);

        raft_term term = node_view(trial.nodes[1])->term;
        for (unsigned at = 1; at <= MACHINES; at++) {
            assert_int_equal(put(&trial, at, 1), ST_NO_SPACE);
            assert_int_equal(read(&trial, at), ST_OK);
        }
        trial_run(&trial, LONG_MS);
        assert_int_equal(node_view(trial.nodes[1])->term, term); /* leadership does not wander */

        fill(&trial, 0);
        trial_work(&trial, 4);
        for (unsigned at = 1; at <= MACHINES; at++)
            assert_int_equal(put(&trial, at, 1), ST_OK);
        trial_settle(&trial);
        trial_close(&trial);
    }
}

/* More is written than the first file of the log has room for. */
static void a_follower_without_any_room_waits_and_catches_up(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct trial trial;
        trial_open(&trial, MACHINES, seed);
        trial.value_bytes = VALUE_BYTES;
        trial_settle(&trial);
        unsigned full = trial_leader(&trial) % MACHINES + 1;
        fill(&trial, 1u << (full - 1));

        trial_work(&trial, WORK_OF_MORE_FILES);
        assert_non_null(trial.nodes[full]); /* it has not stopped */
        assert_int_equal(trial.stops_count, 0);

        fill(&trial, 0);
        trial_work(&trial, 4);
        trial_settle(&trial);
        trial_close(&trial);
    }
}

/* A new term that the full disk cannot take: this node can promise nothing, and says so. */
static void a_full_node_in_a_new_term_refuses_and_comes_back_with_room(void **state)
{
    (void)state;
    struct trial trial;
    trial_open(&trial, MACHINES, 1);
    trial.value_bytes = VALUE_BYTES;
    trial_settle(&trial);
    unsigned leader = trial_leader(&trial);
    unsigned full = leader % MACHINES + 1;
    fill(&trial, 1u << (full - 1));
    trial_work(&trial, WORK_OF_MORE_FILES);
    trial_stop(&trial, leader, WORLD_STOP_KILL);
    trial_run(&trial, 3000);
    trial_boot(&trial, leader);
    trial_run(&trial, 1200 * 1000);

    assert_true(ready_is_mute(trial.nodes[full]));
    assert_int_equal(trial.nodes[full]->gated_count, LIMIT_GATED_MESSAGES);
    assert_int_equal(put(&trial, full, 1), ST_NO_SPACE);
    assert_int_equal(read(&trial, full), ST_NO_SPACE);
    assert_int_equal(put(&trial, leader, 1), ST_OK);

    fill(&trial, 0);
    trial_run(&trial, LONG_MS);
    assert_false(ready_is_mute(trial.nodes[full]));
    assert_int_equal(put(&trial, full, 1), ST_OK);
    trial_settle(&trial);
    trial_close(&trial);
}

static void note_stopped(void *ctx)
{
    assert_null(ctx);
}

static void a_full_leader_that_stops_hands_over_all_the_same(void **state)
{
    (void)state;
    struct trial trial;
    open_full(&trial, EVERYBODY, 3);
    unsigned leader = trial_leader(&trial);

    node_stop(trial.nodes[leader], world_now_at(trial.world, leader) + 5000 * TIME_US_PER_MS,
              note_stopped, NULL);
    trial_run(&trial, 300);

    assert_int_not_equal(trial_leader(&trial), leader);
    trial_close(&trial);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_has_room_leads_and_everything_is_carried_out),
        cmocka_unit_test(where_nobody_has_room_writes_are_refused_and_reads_go_on),
        cmocka_unit_test(a_follower_without_any_room_waits_and_catches_up),
        cmocka_unit_test(a_full_node_in_a_new_term_refuses_and_comes_back_with_room),
        cmocka_unit_test(a_full_leader_that_stops_hands_over_all_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
