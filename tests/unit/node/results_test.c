/* What a transaction came to on its way to who asked: the same bytes at every node, from the table
 * as well, and no more of them at a time than there is room for. */
#include "kv/txn.h"
#include "node/node_internal.h"
#include "trial_rig.h"

struct asker {
    struct node_request request;
    struct buf command;
    struct buf results;
    struct node_answer answer;
    bool is_answered;
    struct node *node;
    struct asker *cancels; /* another one, when it is answered itself; NULL: none */
    size_t results_bytes;  /* held by the node at that moment, without its own */
};

/* The results are those of this command, not of one that was applied behind it. */
static void assert_own_revision(const struct asker *asker)
{
    struct cursor in = cursor_of(buf_bytes(&asker->results));
    bool succeeded;
    uint64_t revision;
    size_t count;
    assert_int_equal(asker->answer.status, ST_OK);
    assert_true(txn_results_head(&in, &succeeded, &revision, &count));
    assert_int_equal(revision, asker->answer.result.revision);
}

static void on_done(void *ctx, const struct node_answer *answer)
{
    struct asker *asker = ctx;
    assert_false(asker->is_answered);
    asker->is_answered = true;
    asker->answer = *answer;
    asker->results_bytes = asker->node->results_bytes;
    buf_reset(&asker->results);
    buf_put(&asker->results, answer->result.results);
    assert_own_revision(asker);
    if (asker->cancels != NULL)
        node_cancel(asker->node, &asker->cancels->request);
}

static void ask(struct trial *trial, unsigned at, struct asker *asker,
                const struct command *command)
{
    struct asker *cancels = asker->cancels;
    *asker = (struct asker){.node = trial->nodes[at], .cancels = cancels};
    buf_init(&asker->command, LIMIT_COMMAND_BYTES);
    buf_init(&asker->results, LIMIT_TXN_RESULTS_BYTES);
    command_encode(command, &asker->command);
    asker->request =
        (struct node_request){.kind = NODE_WRITE,
                              .policy = ROUTE_FORWARD,
                              .deadline = world_now_at(trial->world, at) + 60000 * TIME_US_PER_MS,
                              .command = buf_bytes(&asker->command),
                              .on_done = on_done,
                              .ctx = asker};
    handle_client_request(asker->node, &asker->request);
}

static void await(struct trial *trial, const struct asker *asker)
{
    for (unsigned ms = 0; ms < 60000 && !asker->is_answered; ms++)
        trial_run(trial, 1);
    assert_true(asker->is_answered);
}

static void release(struct asker *asker)
{
    buf_release(&asker->command);
    buf_release(&asker->results);
}

static void open_three(struct trial *trial)
{
    trial_open(trial, 3, 1);
    while (trial_leader(trial) == 0)
        trial_run(trial, 10);
    trial_run(trial, 500);
}

/* Reads `key`; puts "a" too if it `changes` anything. */
static void encode_txn(struct buf *txn, const char *key, bool changes)
{
    buf_init(txn, KIB);
    txn_put_head(txn, 0, 1 + changes, 0);
    if (changes)
        txn_put_operation(txn, &(struct txn_operation){.op = TXN_PUT,
                                                       .key = BYTES_LITERAL("a"),
                                                       .value = BYTES_LITERAL("1")});
    txn_put_operation(txn, &(struct txn_operation){.op = TXN_GET, .key = bytes_of_text(key)});
}

static void results_come_to_who_asked_and_again_from_the_table_of_any_node(void **state)
{
    struct trial trial;
    struct asker first = {0}, again = {0};
    struct buf txn;
    open_three(&trial);
    encode_txn(&txn, "a", true);
    for (unsigned at = 1; at <= 3; at++) {
        struct command command = {.op = COMMAND_TXN,
                                  .identity = {.client = BYTES_LITERAL("me"), .sequence = at},
                                  .value = buf_bytes(&txn)};
        ask(&trial, at, &first, &command);
        await(&trial, &first);
        assert_int_equal(first.answer.status, ST_OK);
        assert_int_equal(first.answer.effect, EFFECT_APPLIED);
        assert_true(txn_results_are_sound(buf_bytes(&first.results)));
        trial_run(&trial, 500); /* applied everywhere */

        for (unsigned other = 1; other <= 3; other++) {
            ask(&trial, other, &again, &command);
            await(&trial, &again);
            assert_int_equal(again.answer.status, ST_OK);
            assert_true(again.answer.result.is_replayed);
            assert_true(bytes_equal(buf_bytes(&again.results), buf_bytes(&first.results)));
            release(&again);
        }
        release(&first);
    }
    buf_release(&txn);
    trial_close(&trial);
}

/* In the turn in which both are answered: what the other one would have been told goes with it. */
static void who_is_cancelled_when_it_is_answered_leaves_nothing_behind(void **state)
{
    struct trial trial;
    struct asker first = {0}, second = {0};
    struct buf txn;
    open_three(&trial);
    unsigned leader = trial_leader(&trial);
    encode_txn(&txn, "a", true);
    struct command command = {.op = COMMAND_TXN, .value = buf_bytes(&txn)};
    first.cancels = &second;
    ask(&trial, leader, &first, &command);
    ask(&trial, leader, &second, &command);
    await(&trial, &first);
    assert_true(first.results_bytes != 0); /* those of the other one */
    trial_run(&trial, 500);

    assert_false(second.is_answered);
    assert_int_equal(trial.nodes[leader]->results_bytes, 0);
    release(&first);
    release(&second);
    buf_release(&txn);
    trial_close(&trial);
}

static void only_so_many_results_are_held_at_a_time(void **state)
{
    enum { ASKERS = 150 };
    static struct asker askers[ASKERS];
    static uint8_t value[LIMIT_VALUE_BYTES];
    struct trial trial;
    struct buf txn;
    size_t held_max = 0;
    open_three(&trial);
    unsigned leader = trial_leader(&trial);
    struct command put = {
        .op = COMMAND_PUT, .key = BYTES_LITERAL("k"), .value = bytes_of(value, sizeof value)};
    assert_int_equal(trial_ask(&trial, leader, &put), ST_OK);
    encode_txn(&txn, "k", false);
    struct command command = {.op = COMMAND_TXN, .value = buf_bytes(&txn)};
    for (size_t i = 0; i < ASKERS; i++)
        ask(&trial, leader, &askers[i], &command);
    for (size_t i = 0; i < ASKERS; i++) {
        await(&trial, &askers[i]);
        assert_int_equal(askers[i].answer.status, ST_OK);
        assert_true(askers[i].results.count > LIMIT_VALUE_BYTES);
        held_max = MAX(held_max, askers[i].results_bytes);
        release(&askers[i]);
    }
    assert_in_range(held_max, LIMIT_ANSWERS_BYTES / 2, LIMIT_ANSWERS_BYTES);
    assert_int_equal(trial.nodes[leader]->results_bytes, 0);
    buf_release(&txn);
    trial_close(&trial);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_come_to_who_asked_and_again_from_the_table_of_any_node),
        cmocka_unit_test(who_is_cancelled_when_it_is_answered_leaves_nothing_behind),
        cmocka_unit_test(only_so_many_results_are_held_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
