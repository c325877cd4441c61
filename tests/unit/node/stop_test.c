/* Hand-overs and orderly stops: whatever arrives meanwhile, and wherever, is carried out. */
#include "trial_rig.h"

enum {
    SEEDS = 6,
    EVERY_US = 40, /* less than any message takes */
    ARRIVALS_US = 8000,
    ARRIVALS_MAX = 3 * 5 * (ARRIVALS_US / EVERY_US + 1),
    FRESH = 4
};

static void open_three(struct trial *trial, uint64_t seed)
{
    trial_open(trial, 3, seed);
    trial_work(trial, 4);
    trial_settle(trial);
}

/* ---- what arrives ---- */

struct arrivals {
    struct trial_question *questions;
    size_t count;
    uint64_t reads_count, incr_count, sequence;
};

static struct trial_question *add_question(struct arrivals *arrivals)
{
    assert_true(arrivals->count < ARRIVALS_MAX);
    return &arrivals->questions[arrivals->count++];
}

static void submit_read(struct trial *trial, unsigned at, struct arrivals *arrivals)
{
    struct trial_question *question = add_question(arrivals);
    *question = (struct trial_question){
        .request = {.kind = NODE_READ,
                    .deadline = world_now_at(trial->world, at) + 5000 * TIME_US_PER_MS,
                    .on_done = trial_on_answer,
                    .ctx = question}};
    arrivals->reads_count++;
    handle_client_request(trial->nodes[at], &question->request);
}

/* One of each kind at node `at`. */
static void submit_all(struct trial *trial, unsigned at, struct arrivals *arrivals)
{
    struct client_identity identity = {CLIENT_ID, BYTES_LITERAL("arrivals"), ++arrivals->sequence,
                                       0};
    struct command commands[] = {
        {.op = COMMAND_INCR, .key = BYTES_LITERAL("arrived"), .by = 1},
        {.op = COMMAND_PUT,
         .key = BYTES_LITERAL("k"),
         .value = BYTES_LITERAL("v"),
         .identity = identity},
        {.op = COMMAND_OPEN_SESSION, .nonce = arrivals->sequence},
        trial_promoting(at),
    };
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++)
        trial_submit(trial, at, &commands[i], add_question(arrivals));
    arrivals->incr_count++;
    submit_read(trial, at, arrivals);
}

/* At every node, in every moment of the next milliseconds. */
static void let_arrive(struct trial *trial, struct arrivals *arrivals)
{
    *arrivals =
        (struct arrivals){.questions = mem_alloc_array(ARRIVALS_MAX, sizeof *arrivals->questions)};
    for (time_us us = 0; us < ARRIVALS_US; us += EVERY_US) {
        for (unsigned at = 1; at <= 3; at++)
            submit_all(trial, at, arrivals);
        time_us until = world_now(trial->world) + EVERY_US;
        while (world_step(trial->world, until))
            ;
    }
}

static const char *name_of(const struct trial_question *question)
{
    bool is_read = question->request.kind == NODE_READ;
    return is_read ? "read" : command_op_name(command_peek(buf_bytes(&question->command)));
}

static void assert_all_carried_out(struct trial *trial, struct arrivals *arrivals, uint64_t seed)
{
    trial_run(trial, 1000);
    for (size_t i = 0; i < arrivals->count; i++) {
        struct trial_question *question = &arrivals->questions[i];
        const char *name = name_of(question);
        if (!question->is_answered)
            fail_msg("seed %llu: %s %zu got no answer", (unsigned long long)seed, name, i);
        enum status status = trial_answer(trial, question);
        if (status != ST_OK)
            fail_msg("seed %llu: %s %zu got %s", (unsigned long long)seed, name, i,
                     status_info(status)->code);
    }
    struct kv_item item;
    char wanted[32];
    (void)snprintf(wanted, sizeof wanted, "%llu", (unsigned long long)arrivals->incr_count);
    assert_true(kv_get(node_kv(trial->nodes[3]), BYTES_LITERAL("arrived"), &item));
    assert_true(bytes_equal(item.value, bytes_of_text(wanted)));
    mem_free(arrivals->questions);
}

/* ---- hand-overs ---- */

static void note_stopped(void *ctx)
{
    ++*(unsigned *)ctx;
}

static void stop(struct trial *trial, unsigned id, unsigned *stops)
{
    node_stop(trial->nodes[id], world_now_at(trial->world, id) + 5000 * TIME_US_PER_MS,
              note_stopped, stops);
}

static void what_arrives_while_a_leader_stops_is_carried_out(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct trial trial;
        struct arrivals arrivals;
        unsigned stops = 0;
        open_three(&trial, seed);
        unsigned leader = trial_leader(&trial);

        stop(&trial, leader, &stops);
        let_arrive(&trial, &arrivals);

        assert_all_carried_out(&trial, &arrivals, seed);
        assert_int_equal(stops, 1);
        assert_int_not_equal(trial_leader(&trial), leader);
        trial_close(&trial);
    }
}

static void what_arrives_during_a_transfer_is_carried_out(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct trial trial;
        struct arrivals arrivals;
        struct trial_question question;
        open_three(&trial, seed);
        unsigned to = trial_leader(&trial) % 3 + 1;
        struct command command = {.op = COMMAND_TRANSFER, .member = to};

        trial_submit(&trial, 1, &command, &question);
        let_arrive(&trial, &arrivals);

        assert_all_carried_out(&trial, &arrivals, seed);
        assert_int_equal(trial_answer(&trial, &question), ST_OK);
        assert_int_equal(trial_leader(&trial), to);
        trial_close(&trial);
    }
}

static void nobody_waits_for_a_member_that_is_off(void **state)
{
    (void)state;
    struct trial trial;
    struct trial_question transfer, write;
    open_three(&trial, 1);
    unsigned leader = trial_leader(&trial);
    unsigned off = leader % 3 + 1;
    struct command command = {.op = COMMAND_TRANSFER, .member = off};
    struct command incr = {.op = COMMAND_INCR, .key = BYTES_LITERAL("k"), .by = 1};
    trial_stop(&trial, off, WORLD_STOP_KILL);
    trial_run(&trial, 50);
    trial_submit(&trial, leader, &command, &transfer);
    trial_run(&trial, 5);

    trial_submit(&trial, leader, &incr, &write);
    trial_run(&trial, 20);

    assert_true(write.is_answered);
    assert_int_equal(trial_answer(&trial, &write), ST_OK);
    assert_int_equal(trial_answer(&trial, &transfer), ST_TIMEOUT);
    trial_close(&trial);
}

/* Thesis §4.1 with the correction of 2015: it may not take the change yet, so the change waits. */
static void a_change_of_members_waits_until_a_new_leader_may_take_it(void **state)
{
    (void)state;
    for (unsigned asked = 1; asked <= 3; asked++) {
        struct trial trial;
        struct trial_question transfer, join;
        open_three(&trial, asked);
        unsigned to = trial_leader(&trial) % 3 + 1;
        struct command command = {.op = COMMAND_TRANSFER, .member = to};
        trial_boot(&trial, FRESH);
        trial_submit(&trial, to, &command, &transfer);
        while (trial_leader(&trial) != to || node_view(trial.nodes[asked])->leader != to)
            (void)world_step(trial.world, world_now(trial.world) + EVERY_US);

        struct command joining = trial_joining(&trial, FRESH);
        trial_submit(&trial, asked, &joining, &join);

        assert_int_equal(trial_answer(&trial, &join), ST_OK);
        assert_int_equal(trial_answer(&trial, &transfer), ST_OK);
        trial_close(&trial);
    }
}

static bool has_caught_up(const struct trial *trial, unsigned at, unsigned id)
{
    struct raft_peer_view peers[LIMIT_MEMBERS];
    struct raft_view view;
    const struct kv_member *member = kv_member(node_kv(trial->nodes[at]), id);
    size_t count = raft_peers(node_raft(trial->nodes[at]), peers, ARRAY_COUNT(peers));
    raft_view(node_raft(trial->nodes[at]), &view);
    for (size_t i = 0; i < count; i++)
        if (peers[i].id == id)
            return peers[i].match == view.last_index && member != NULL && member->identity != 0;
    return false;
}

/* Which it cannot tell at once, and does not deny therefore. */
static void a_new_leader_says_of_no_learner_that_it_is_behind_before_it_has_looked(void **state)
{
    (void)state;
    struct trial trial;
    struct trial_question transfer, promote;
    open_three(&trial, 1);
    unsigned leader = trial_leader(&trial);
    unsigned to = leader % 3 + 1;
    struct command command = {.op = COMMAND_TRANSFER, .member = to};
    trial_boot(&trial, FRESH);
    struct command joining = trial_joining(&trial, FRESH);
    assert_int_equal(trial_ask(&trial, leader, &joining), ST_OK);
    while (!has_caught_up(&trial, leader, FRESH))
        (void)world_step(trial.world, world_now(trial.world) + EVERY_US);
    assert_false(trial_votes(&trial, leader, FRESH));
    trial_submit(&trial, to, &command, &transfer);
    while (trial_leader(&trial) != to)
        (void)world_step(trial.world, world_now(trial.world) + EVERY_US);
    assert_false(trial_votes(&trial, to, FRESH));

    struct command promoting = trial_promoting(FRESH);
    trial_submit(&trial, to, &promoting, &promote);

    assert_int_equal(trial_answer(&trial, &promote), ST_OK);
    assert_true(trial_votes(&trial, to, FRESH));
    assert_int_equal(trial_answer(&trial, &transfer), ST_OK);
    trial_close(&trial);
}

/* ---- between what is taken and what is proposed ---- */

static struct {
    struct trial_place *place; /* who asks; NULL: nobody */
    struct node_verify verify;
} asked;

static void on_verify(void *ctx, const struct node_verify *verify)
{
    asked.place = ctx;
    asked.verify = *verify;
}

/* The leader has been told that the address is right, and that it shall stop, in one turn. */
static void what_has_been_taken_when_the_stop_comes_waits_for_the_heir(void **state)
{
    (void)state;
    struct trial trial;
    struct trial_question question;
    unsigned stops = 0;
    open_three(&trial, 1);
    trial.verify = on_verify;
    for (unsigned id = 1; id <= 3; id++) {
        trial_stop(&trial, id, WORLD_STOP_KILL);
        trial_boot(&trial, id);
    }
    trial_settle(&trial);
    unsigned leader = trial_leader(&trial);
    struct command command = {.op = COMMAND_ANNOUNCE, .member = 1};
    assert_int_equal(address_parse(BYTES_LITERAL("10.0.0.1:8099"), &command.http), ST_OK);
    asked.place = NULL;
    trial_submit(&trial, leader % 3 + 1, &command, &question);
    TRIAL_UNTIL(&trial, asked.place != NULL, "the leader asks who is there");
    assert_int_equal(asked.place->id, leader);

    node_verified(trial.nodes[leader], &asked.verify, ST_OK);
    stop(&trial, leader, &stops);
    asked.place = NULL;
    TRIAL_UNTIL(&trial, asked.place != NULL, "the heir asks who is there");
    node_verified(trial.nodes[asked.place->id], &asked.verify, ST_OK);

    assert_int_equal(trial_answer(&trial, &question), ST_OK);
    trial_close(&trial);
}

/* ---- who leads after that ---- */

static raft_term term_of(const struct trial *trial)
{
    raft_term term = 0;
    for (unsigned id = 1; id <= 3; id++)
        term = MAX(term, node_view(trial->nodes[id])->term);
    return term;
}

/* What a process does that has stopped. */
static void end_stopped(struct trial *trial, const unsigned *stops)
{
    for (unsigned id = 1; id <= 3; id++)
        if (stops[id] != 0 && trial->nodes[id] != NULL)
            trial_stop(trial, id, WORLD_STOP_KILL);
}

static void leadership_never_goes_to_a_node_that_stops(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct trial trial;
        unsigned stops = 0;
        open_three(&trial, seed);
        unsigned leader = trial_leader(&trial);
        unsigned leaving = leader % 3 + 1 + (unsigned)(seed % 2);
        leaving = leaving > 3 ? leaving - 3 : leaving;
        raft_term term = term_of(&trial);
        stop(&trial, leaving, &stops);
        trial_run(&trial, 5);

        stop(&trial, leader, &stops);
        trial_run(&trial, 1000);

        assert_int_equal(stops, 2);
        assert_int_equal(trial_leader(&trial), 6 - leader - leaving);
        assert_int_equal(term_of(&trial), term + 1);
        trial_close(&trial);
    }
}

static void when_all_stop_at_once_leadership_stays_where_it_is(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct trial trial;
        unsigned stops[4] = {0};
        open_three(&trial, seed);
        raft_term term = term_of(&trial);
        unsigned leader = trial_leader(&trial);
        trial.boots_again = false;

        for (unsigned i = 0; i < 3; i++) { /* the leader last: nobody to hand over to is left */
            unsigned id = (leader + i) % 3 + 1;
            stop(&trial, id, &stops[id]);
            trial_run(&trial, 1);
        }
        trial_run(&trial, 100);

        assert_int_equal(stops[leader], 0); /* the others can still be reached */
        assert_int_equal(term_of(&trial), term);
        end_stopped(&trial, stops);
        trial_run(&trial, 100);
        assert_int_equal(stops[leader], 1);
        trial_close(&trial);
    }
}

/* It would hold up for an election timeout whoever still waits for an answer. */
static void a_member_that_stands_still_is_no_heir(void **state)
{
    (void)state;
    struct trial trial;
    struct trial_question question;
    unsigned stops = 0;
    open_three(&trial, 1);
    unsigned leader = trial_leader(&trial);
    unsigned frozen = leader % 3 + 1;
    unsigned other = 6 - leader - frozen;
    struct command command = {.op = COMMAND_INCR, .key = BYTES_LITERAL("k"), .by = 1};
    world_pause(trial.world, frozen, true);
    trial_run(&trial, 600); /* longer than an election timeout */
    stop(&trial, other, &stops);
    trial_run(&trial, 5);

    stop(&trial, leader, &stops);
    trial_submit(&trial, other, &command, &question);
    trial_run(&trial, 50);

    assert_true(question.is_answered);
    assert_int_equal(trial_answer(&trial, &question), ST_OK);
    assert_int_equal(trial_leader(&trial), leader);
    world_pause(trial.world, frozen, false);
    trial_close(&trial);
}

static void a_node_that_has_started_again_may_be_the_heir(void **state)
{
    (void)state;
    struct trial trial;
    unsigned stops = 0;
    open_three(&trial, 1);
    unsigned leader = trial_leader(&trial);
    unsigned restarted = leader % 3 + 1;
    unsigned other = 6 - leader - restarted;
    stop(&trial, restarted, &stops);
    trial_run(&trial, 100);
    assert_int_equal(stops, 1);
    trial_stop(&trial, restarted, WORLD_STOP_KILL);
    trial_boot(&trial, restarted);
    trial_settle(&trial);
    assert_int_equal(trial_leader(&trial), leader);
    stop(&trial, other, &stops);
    trial_run(&trial, 5);

    stop(&trial, leader, &stops);
    trial_run(&trial, 100);

    assert_int_equal(trial_leader(&trial), restarted);
    trial_close(&trial);
}

static void the_last_node_waits_for_nobody(void **state)
{
    (void)state;
    struct trial trial;
    struct trial_question write;
    struct arrivals arrivals = {.questions =
                                    mem_alloc_array(ARRIVALS_MAX, sizeof *arrivals.questions)};
    unsigned stops = 0;
    open_three(&trial, 1);
    unsigned last = trial_leader(&trial) % 3 + 1;
    for (unsigned id = 1; id <= 3; id++)
        if (id != last)
            trial_stop(&trial, id, WORLD_STOP_KILL);
    TRIAL_UNTIL(&trial, node_view(trial.nodes[last])->leader == NODE_NONE, "it notices");
    struct command command = {.op = COMMAND_INCR, .key = BYTES_LITERAL("k"), .by = 1};
    trial_submit(&trial, last, &command, &write);
    submit_read(&trial, last, &arrivals);

    stop(&trial, last, &stops);
    trial_run(&trial, 200); /* requests may be held for 2000 */

    assert_int_equal(stops, 1);
    assert_true(write.is_answered && arrivals.questions[0].is_answered);
    assert_int_equal(trial_answer(&trial, &write), ST_SHUTTING_DOWN);
    assert_int_equal(trial_answer(&trial, &arrivals.questions[0]), ST_SHUTTING_DOWN);
    mem_free(arrivals.questions);
    trial_close(&trial);
}

int main(void)
{
    diag_set_level(DIAG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_arrives_while_a_leader_stops_is_carried_out),
        cmocka_unit_test(what_arrives_during_a_transfer_is_carried_out),
        cmocka_unit_test(nobody_waits_for_a_member_that_is_off),
        cmocka_unit_test(a_change_of_members_waits_until_a_new_leader_may_take_it),
        cmocka_unit_test(a_new_leader_says_of_no_learner_that_it_is_behind_before_it_has_looked),
        cmocka_unit_test(what_has_been_taken_when_the_stop_comes_waits_for_the_heir),
        cmocka_unit_test(leadership_never_goes_to_a_node_that_stops),
        cmocka_unit_test(when_all_stop_at_once_leadership_stays_where_it_is),
        cmocka_unit_test(a_member_that_stands_still_is_no_heir),
        cmocka_unit_test(a_node_that_has_started_again_may_be_the_heir),
        cmocka_unit_test(the_last_node_waits_for_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
