/* What a node takes on at once, at each bound and one beyond: the last one that fits is answered
 * like all others, the next is refused with `busy` and has no effect. And what is asked of nodes
 * without a majority costs no memory that grows. */
#include <malloc.h>

#include "node/node_internal.h"
#include "trial_rig.h"

struct asked {
    struct crowd *crowd;
    struct node_request request;
    bool is_answered;
    enum status status;
    enum effect effect;
};

/* Requests that are submitted together, all with the same command. */
struct crowd {
    struct buf command;
    struct asked *asked; /* owned */
    size_t count, answered_count, ok_count, busy_count, other_count;
};

static void on_asked(void *ctx, const struct node_answer *answer)
{
    struct asked *asked = ctx;
    assert_false(asked->is_answered);
    asked->is_answered = true;
    asked->status = answer->status != ST_OK ? answer->status : answer->result.status;
    asked->effect = answer->effect;
    asked->crowd->answered_count++;
    asked->crowd->ok_count += asked->status == ST_OK;
    asked->crowd->busy_count += asked->status == ST_BUSY && asked->effect == EFFECT_NONE;
    asked->crowd->other_count += asked->status != ST_OK && asked->status != ST_BUSY;
}

static void crowd_open(struct crowd *crowd, size_t count, const struct command *command)
{
    *crowd = (struct crowd){.count = count};
    crowd->asked = mem_alloc_array(count, sizeof *crowd->asked);
    buf_init(&crowd->command, LIMIT_COMMAND_BYTES);
    command_encode(command, &crowd->command);
}

static void crowd_ask(struct crowd *crowd, struct trial *trial, unsigned at, size_t number,
                      enum node_request_kind kind, unsigned long timeout_ms)
{
    struct asked *asked = &crowd->asked[number];
    *asked = (struct asked){
        .crowd = crowd,
        .request = {.kind = kind,
                    .deadline = world_now_at(trial->world, at) + timeout_ms * TIME_US_PER_MS,
                    .command = buf_bytes(&crowd->command),
                    .on_done = on_asked,
                    .ctx = asked,
                    .is_internal = true}};
    handle_client_request(trial->nodes[at], &asked->request);
}

static void crowd_submit(struct crowd *crowd, struct trial *trial, unsigned at,
                         enum node_request_kind kind, unsigned long timeout_ms)
{
    for (size_t i = 0; i < crowd->count; i++)
        crowd_ask(crowd, trial, at, i, kind, timeout_ms);
}

static void crowd_wait(struct crowd *crowd, struct trial *trial)
{
    for (unsigned ms = 0; crowd->answered_count < crowd->count; ms += 20) {
        if (ms > TRIAL_PATIENCE_MS)
            fail_msg("only %zu of %zu are answered", crowd->answered_count, crowd->count);
        trial_run(trial, 20);
    }
}

static void crowd_close(struct crowd *crowd)
{
    buf_release(&crowd->command);
    mem_free(crowd->asked);
}

static struct command put_command(void)
{
    return (struct command){
        .op = COMMAND_PUT, .key = BYTES_LITERAL("k"), .value = BYTES_LITERAL("v")};
}

/* Three nodes that are as one; the leader. */
static unsigned begin(struct trial *trial, uint64_t seed)
{
    unsigned leader = 0;
    trial_open(trial, 3, seed);
    trial_settle(trial);
    assert_true(trial_is_one(trial, &leader));
    return leader;
}

static void so_many_requests_are_taken_on_and_the_next_is_refused(void **state)
{
    struct trial trial;
    struct crowd crowd;
    struct command command = put_command();
    unsigned leader = begin(&trial, 1);
    size_t open = trial.nodes[leader]->requests_count;
    crowd_open(&crowd, LIMIT_REQUESTS - open + 1, &command);

    crowd_submit(&crowd, &trial, leader, NODE_READ, 30000);
    assert_int_equal(trial.nodes[leader]->requests_count, LIMIT_REQUESTS + 1);
    crowd_wait(&crowd, &trial);

    assert_int_equal(crowd.ok_count, crowd.count - 1);
    assert_int_equal(crowd.asked[crowd.count - 1].status, ST_BUSY);
    assert_int_equal(crowd.asked[crowd.count - 1].effect, EFFECT_NONE);
    crowd_close(&crowd);
    trial_close(&trial);
}

/* Others that stay away: who is left holds what it is asked, for a while. */
static void so_many_wait_for_a_leader_and_the_next_is_refused(void **state)
{
    struct trial trial;
    struct crowd crowd;
    struct command command = put_command();
    unsigned leader = begin(&trial, 2);
    for (unsigned i = 1; i <= 3; i++)
        if (i != leader)
            trial_stop(&trial, i, WORLD_STOP_KILL);
    while (node_view(trial.nodes[leader])->leader != NODE_NONE)
        trial_run(&trial, 20);
    size_t held = trial.nodes[leader]->held_count;
    crowd_open(&crowd, LIMIT_HELD - held + 1, &command);

    crowd_submit(&crowd, &trial, leader, NODE_WRITE, 30000);
    trial_run(&trial, 1);
    assert_int_equal(trial.nodes[leader]->held_count, LIMIT_HELD);
    assert_int_equal(crowd.answered_count, 1);
    assert_int_equal(crowd.busy_count, 1);
    assert_true(crowd.asked[crowd.count - 1].is_answered);
    crowd_wait(&crowd, &trial);

    for (size_t i = 0; i + 1 < crowd.count; i++) { /* nobody came */
        assert_int_equal(crowd.asked[i].effect, EFFECT_NONE);
        assert_int_equal(crowd.asked[i].status, ST_NO_LEADER);
    }
    crowd_close(&crowd);
    trial_close(&trial);
}

static void so_many_are_forwarded_at_once_and_the_next_is_refused(void **state)
{
    struct trial trial;
    struct crowd crowd;
    struct command command = put_command();
    unsigned leader = begin(&trial, 3), follower = leader % 3 + 1;
    struct node *node = trial.nodes[follower];
    assert_int_equal(node->stats.requests_forwarded_open, 0);
    crowd_open(&crowd, LIMIT_FORWARD_OPEN + 1, &command);

    crowd_submit(&crowd, &trial, follower, NODE_WRITE, 30000);
    while (node->stats.requests_forwarded_open == 0)
        assert_true(world_step(trial.world, world_now(trial.world) + 1000 * TIME_US_PER_MS));
    assert_int_equal(node->stats.requests_forwarded_open, LIMIT_FORWARD_OPEN);
    crowd_wait(&crowd, &trial);

    assert_int_equal(crowd.ok_count, LIMIT_FORWARD_OPEN);
    assert_int_equal(crowd.asked[LIMIT_FORWARD_OPEN].status, ST_BUSY);
    assert_int_equal(crowd.asked[LIMIT_FORWARD_OPEN].effect, EFFECT_NONE);
    assert_int_equal(node->stats.requests_forwarded_open, 0);
    crowd_close(&crowd);
    trial_close(&trial);
}

static void more_proposals_than_one_event_takes_go_in_two(void **state)
{
    struct trial trial;
    struct crowd crowd;
    struct command command = put_command();
    unsigned leader = begin(&trial, 4);
    uint64_t before = trial.nodes[leader]->stats.proposed_count;
    crowd_open(&crowd, LIMIT_PROPOSALS + 1, &command);

    crowd_submit(&crowd, &trial, leader, NODE_WRITE, 30000);
    crowd_wait(&crowd, &trial);

    assert_int_equal(crowd.ok_count, LIMIT_PROPOSALS + 1);
    assert_true(trial.nodes[leader]->stats.proposed_count - before >= LIMIT_PROPOSALS + 1);
    crowd_close(&crowd);
    trial_close(&trial);
}

static void reads_beyond_so_many_batches_share_the_next_one(void **state)
{
    struct trial trial;
    struct crowd crowd;
    struct command command = put_command();
    unsigned leader = begin(&trial, 5), follower = leader % 3 + 1;
    struct node *node = trial.nodes[follower];
    crowd_open(&crowd, LIMIT_READ_BATCHES + 10, &command);
    world_cut(trial.world, follower, leader, true); /* what it asks stays on the way */

    for (size_t i = 0; i < crowd.count; i++) {
        crowd_ask(&crowd, &trial, follower, i, NODE_READ, 30000);
        trial_run(&trial, 1);
        assert_true(node->read_batches_count <= LIMIT_READ_BATCHES);
    }
    assert_int_equal(node->read_batches_count, LIMIT_READ_BATCHES);
    assert_int_equal(crowd.answered_count, 0);
    world_heal(trial.world);
    crowd_wait(&crowd, &trial);

    assert_int_equal(crowd.ok_count, crowd.count);
    crowd_close(&crowd);
    trial_close(&trial);
}

static void verify_nothing(void *ctx, const struct node_verify *verify)
{
}

static void so_many_announcements_are_verified_and_the_next_is_refused(void **state)
{
    struct trial trial;
    struct crowd crowd;
    struct command command = {.op = COMMAND_ANNOUNCE, .member = 2, .http = {"10.0.0.77", 80}};
    unsigned leader = begin(&trial, 6);
    struct node *node = trial.nodes[leader];
    assert_int_equal(node->verifying_count, 0);
    node->callbacks.verify = verify_nothing; /* nobody answers at that address */
    crowd_open(&crowd, LIMIT_VERIFYING + 1, &command);

    crowd_submit(&crowd, &trial, leader, NODE_WRITE, 30000);
    trial_run(&trial, 1);

    assert_int_equal(node->verifying_count, LIMIT_VERIFYING);
    assert_int_equal(crowd.answered_count, 1);
    assert_int_equal(crowd.asked[LIMIT_VERIFYING].status, ST_BUSY);
    assert_int_equal(crowd.asked[LIMIT_VERIFYING].effect, EFFECT_NONE);
    crowd_wait(&crowd, &trial);
    crowd_close(&crowd);
    trial_close(&trial);
}

/* ---- without a majority ---- */

enum { MINUTES = 10, ASKERS = 400, ROUND_MS = 500 };

static size_t heap_bytes(void)
{
    return mallinfo2().uordblks;
}

/* Everybody asks again as soon as it has been answered, or at the latest in the next round. */
static void ask_for(struct trial *trial, struct crowd *crowds, unsigned long seconds)
{
    for (unsigned long ms = 0; ms < seconds * 1000; ms += ROUND_MS) {
        for (unsigned at = 1; at <= 3; at++)
            for (size_t i = 0; i < ASKERS; i++)
                if (crowds[at].asked[i].crowd == NULL || crowds[at].asked[i].is_answered)
                    crowd_ask(&crowds[at], trial, at, i, i % 2 ? NODE_WRITE : NODE_READ, 1000);
        trial_run(trial, ROUND_MS);
    }
}

static void ten_minutes_without_a_majority_cost_no_memory(void **state)
{
    struct trial trial;
    struct crowd crowds[4];
    struct command command = put_command();
    unsigned leader = begin(&trial, 7);
    for (unsigned at = 1; at <= 3; at++)
        crowd_open(&crowds[at], ASKERS, &command);
    for (unsigned from = 1; from <= 3; from++)
        for (unsigned to = 1; to <= 3; to++)
            if (from != to)
                world_cut(trial.world, from, to, true);

    ask_for(&trial, crowds, 60); /* what is allocated once */
    size_t before = heap_bytes();
    raft_index last = trial.nodes[leader]->appended;
    raft_term term = node_view(trial.nodes[leader])->term;
    ask_for(&trial, crowds, (MINUTES - 1) * 60);
    size_t after = heap_bytes();

    if (after > before + MIB)
        fail_msg("%zu bytes in use after a minute, %zu after ten", before, after);
    for (unsigned at = 1; at <= 3; at++) {
        assert_int_equal(crowds[at].ok_count, 0);
        assert_true(crowds[at].answered_count >= ASKERS * (MINUTES - 1) * 20);
        assert_true(trial.nodes[at]->requests_count <= ASKERS + 1);
    }
    assert_int_equal(trial.nodes[leader]->appended, last);
    assert_int_equal(node_view(trial.nodes[leader])->term, term); /* pre-votes alone */

    world_heal(trial.world);
    trial_settle(&trial);
    for (unsigned at = 1; at <= 3; at++)
        crowd_wait(&crowds[at], &trial);
    trial_settle(&trial);
    for (unsigned at = 1; at <= 3; at++)
        crowd_close(&crowds[at]);
    trial_close(&trial);
}

int main(void)
{
    diag_set_level(DIAG_NOTHING);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(so_many_requests_are_taken_on_and_the_next_is_refused),
        cmocka_unit_test(so_many_wait_for_a_leader_and_the_next_is_refused),
        cmocka_unit_test(so_many_are_forwarded_at_once_and_the_next_is_refused),
        cmocka_unit_test(more_proposals_than_one_event_takes_go_in_two),
        cmocka_unit_test(reads_beyond_so_many_batches_share_the_next_one),
        cmocka_unit_test(so_many_announcements_are_verified_and_the_next_is_refused),
        cmocka_unit_test(ten_minutes_without_a_majority_cost_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
