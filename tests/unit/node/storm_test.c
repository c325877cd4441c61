/* Whole clusters under random faults on the simulated world: crashes, pauses, cut and reset links.
 *
 * Clients increment keys of their own, one increment per key, and one shared counter, at random
 * nodes. Afterwards everything heals, and:
 *
 *      safety      an acknowledged increment is there exactly once, one with effect none is not
 *                  there, one with effect maybe at most once; a read of the shared counter shows
 *                  every increment acknowledged before it was asked and none that was not yet sent
 *      liveness    every node takes a write within a bound, all digests are equal
 *
 * MINIKV_SEED sets the first seed (default: from the clock, printed), MINIKV_SEEDS how many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/mem.h"
#include "node/node.h"
#include "sim/world.h"
#include "support/world_node.h"

enum { NODES_MAX = 5, CALLS_MAX = 4000, STORM_MS = 8000, HEAL_MS = 8000, SEEDS_DEFAULT = 40 };

enum fate { FATE_OPEN, FATE_APPLIED, FATE_NONE, FATE_MAYBE };

struct storm;

struct call {
    struct node_request request;
    struct storm *storm;
    unsigned at, number;
    bool is_shared; /* increments the shared counter; else a key of its own */
    enum fate fate;
    uint64_t acked_before; /* reads: shared increments acknowledged when it was asked */
    struct buf command;
};

struct storm {
    uint64_t seed;
    struct prng prng;
    struct world *world;
    struct node *nodes[NODES_MAX + 1]; /* NULL: off */
    unsigned count;
    struct call *calls;
    unsigned calls_count;
    uint64_t shared_acked, shared_sent, shared_seen;
    bool is_paused[NODES_MAX + 1];
};

static void fail_seed(const struct storm *storm, const char *what, unsigned number)
{
    fail_msg("MINIKV_SEED=%llu: call %u: %s", (unsigned long long)storm->seed, number, what);
}

static void boot(struct storm *storm, unsigned id)
{
    struct node_options options = world_node_options(id, storm->count, true);
    struct node_callbacks callbacks = {0};
    struct errtext error = {0};
    enum status status =
        node_open(world_boot(storm->world, id), &options, &callbacks, &storm->nodes[id], &error);
    if (status != ST_OK)
        fail_msg("MINIKV_SEED=%llu: node %u: %s", (unsigned long long)storm->seed, id, error.text);
    storm->is_paused[id] = false;
}

static void crash(struct storm *storm, unsigned id)
{
    struct node *node = storm->nodes[id];
    world_crash(storm->world, id);
    storm->nodes[id] = NULL; /* on_done: its clients learn nothing */
    node_close(node);
}

static void on_read(struct call *call, const struct node_answer *answer)
{
    struct storm *storm = call->storm;
    struct kv_item item;
    uint64_t shown = 0;
    if (answer->status != ST_OK)
        return;
    if (kv_get(node_kv(storm->nodes[call->at]), BYTES_LITERAL("shared"), &item))
        for (size_t i = 0; i < item.value.count; i++)
            shown = shown * 10 + (uint64_t)(item.value.data[i] - '0');
    if (shown < call->acked_before)
        fail_seed(storm, "a read misses an acknowledged increment", call->number);
    if (shown > storm->shared_sent)
        fail_seed(storm, "a read shows an increment that nobody sent", call->number);
    storm->shared_seen = MAX(storm->shared_seen, shown);
}

static void on_done(void *ctx, const struct node_answer *answer)
{
    struct call *call = ctx;
    struct storm *storm = call->storm;
    bool is_alive = storm->nodes[call->at] != NULL;
    call->fate = FATE_MAYBE;
    if (is_alive && call->request.kind == NODE_READ) {
        on_read(call, answer);
    } else if (is_alive) {
        call->fate = answer->effect == EFFECT_APPLIED ? FATE_APPLIED
                     : answer->effect == EFFECT_NONE  ? FATE_NONE
                                                      : FATE_MAYBE;
        storm->shared_acked += call->is_shared && call->fate == FATE_APPLIED;
    }
    buf_release(&call->command);
}

static struct call *submit(struct storm *storm, unsigned at, bool is_read, bool is_shared)
{
    struct call *call = &storm->calls[storm->calls_count];
    char key[32];
    (void)snprintf(key, sizeof key, "own-%u", storm->calls_count);
    struct command command = {.op = COMMAND_INCR, .by = 1, .key = bytes_of_text(key)};
    if (is_shared)
        command.key = BYTES_LITERAL("shared");
    *call = (struct call){.storm = storm,
                          .at = at,
                          .number = storm->calls_count++,
                          .is_shared = is_shared,
                          .acked_before = MAX(storm->shared_acked, storm->shared_seen)};
    buf_init(&call->command, LIMIT_COMMAND_BYTES);
    command_encode(&command, &call->command);
    call->request = (struct node_request){
        .kind = is_read ? NODE_READ : NODE_WRITE,
        .deadline = world_now(storm->world) + (200 + prng_below(&storm->prng, 4000)) * 1000,
        .command = buf_bytes(&call->command),
        .on_done = on_done,
        .ctx = call,
    };
    storm->shared_sent += is_shared && !is_read;
    node_submit(storm->nodes[at], &call->request);
    return call;
}

static unsigned any_node(struct storm *storm)
{
    return 1 + (unsigned)prng_below(&storm->prng, storm->count);
}

static void heal_links(struct storm *storm)
{
    for (unsigned a = 1; a <= storm->count; a++)
        for (unsigned b = 1; b <= storm->count; b++)
            world_cut(storm->world, a, b, false);
}

static void strike(struct storm *storm)
{
    unsigned a = any_node(storm), b = any_node(storm);
    switch (prng_below(&storm->prng, 12)) {
    case 0:
        if (storm->nodes[a] != NULL)
            crash(storm, a);
        break;
    case 1:
    case 2:
        if (storm->nodes[a] == NULL)
            boot(storm, a);
        break;
    case 3:
        for (unsigned i = 1; i <= storm->count; i++) /* all at once */
            if (storm->nodes[i] != NULL && prng_below(&storm->prng, 8) == 0)
                crash(storm, i);
        break;
    case 4:
        storm->is_paused[a] = storm->nodes[a] != NULL && !storm->is_paused[a];
        world_pause(storm->world, a, storm->is_paused[a]);
        break;
    case 5:
    case 6:
        if (a != b)
            world_cut(storm->world, a, b, true);
        break;
    case 7:
        heal_links(storm);
        break;
    case 8:
        for (unsigned i = 1; i <= storm->count; i++) { /* alone */
            world_cut(storm->world, a, i, a != i);
            world_cut(storm->world, i, a, a != i);
        }
        break;
    default:
        if (a != b)
            world_reset_links(storm->world, a, b);
        break;
    }
}

static void run_ms(struct storm *storm, uint64_t ms)
{
    time_us until = world_now(storm->world) + ms * TIME_US_PER_MS;
    while (world_step(storm->world, until))
        ;
}

static void rage(struct storm *storm)
{
    time_us until = world_now(storm->world) + STORM_MS * TIME_US_PER_MS;
    uint64_t calm = 20 + prng_below(&storm->prng, 400); /* one strike in so many steps */
    while (world_now(storm->world) < until) {
        unsigned at = any_node(storm);
        if (storm->nodes[at] != NULL && storm->calls_count < CALLS_MAX - 64)
            (void)submit(storm, at, prng_below(&storm->prng, 4) == 0,
                         prng_below(&storm->prng, 2) == 0);
        if (prng_below(&storm->prng, calm) == 0)
            strike(storm);
        run_ms(storm, 1 + prng_below(&storm->prng, 8));
    }
}

static void heal(struct storm *storm)
{
    heal_links(storm);
    for (unsigned i = 1; i <= storm->count; i++) {
        if (storm->is_paused[i])
            world_pause(storm->world, i, false);
        if (storm->nodes[i] == NULL)
            boot(storm, i);
    }
    run_ms(storm, HEAL_MS);
}

static void check_liveness(struct storm *storm)
{
    unsigned first = storm->calls_count;
    for (unsigned i = 1; i <= storm->count; i++)
        submit(storm, i, false, false)->request.deadline += HEAL_MS * TIME_US_PER_MS;
    run_ms(storm, HEAL_MS);
    for (unsigned number = first; number < storm->calls_count; number++)
        if (storm->calls[number].fate != FATE_APPLIED)
            fail_seed(storm, "after everything healed a write is not taken", number);
    for (unsigned i = 2; i <= storm->count; i++)
        if (kv_digest(node_kv(storm->nodes[i])) != kv_digest(node_kv(storm->nodes[1])))
            fail_seed(storm, "two nodes differ", i);
}

static void check_call(struct storm *storm, const struct call *call)
{
    if (call->fate == FATE_OPEN)
        fail_seed(storm, "was never answered", call->number);
    if (call->request.kind == NODE_READ || call->is_shared)
        return;
    char key[32];
    struct kv_item item;
    (void)snprintf(key, sizeof key, "own-%u", call->number);
    bool is_there = kv_get(node_kv(storm->nodes[1]), bytes_of_text(key), &item);
    if (is_there && item.version != 1)
        fail_seed(storm, "took effect twice", call->number);
    if (call->fate == FATE_APPLIED && !is_there)
        fail_seed(storm, "was acknowledged and is lost", call->number);
    if (call->fate == FATE_NONE && is_there)
        fail_seed(storm, "was answered with effect none and took effect", call->number);
}

static void play(uint64_t seed, uint64_t *applied_count)
{
    struct storm storm = {.seed = seed};
    prng_init(&storm.prng, seed);
    struct world_options options = {.seed = seed,
                                    .delay_min = 20,
                                    .delay_max = 20 + prng_below(&storm.prng, 20000),
                                    .sync_min = 30,
                                    .sync_max = 30 + prng_below(&storm.prng, 30000)};
    storm.world = world_new(&options);
    storm.count = 1 + (unsigned)prng_below(&storm.prng, NODES_MAX);
    storm.calls = mem_alloc_array(CALLS_MAX, sizeof storm.calls[0]);
    for (unsigned i = 1; i <= storm.count; i++)
        boot(&storm, i);

    rage(&storm);
    heal(&storm);
    check_liveness(&storm);
    for (unsigned i = 0; i < storm.calls_count; i++) {
        check_call(&storm, &storm.calls[i]);
        *applied_count += storm.calls[i].fate == FATE_APPLIED;
    }
    for (unsigned i = 1; i <= storm.count; i++)
        crash(&storm, i);
    world_free(storm.world);
    mem_free(storm.calls);
}

static uint64_t number_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void whatever_breaks_no_answer_lies_and_the_cluster_recovers(void **state)
{
    uint64_t first = number_from("MINIKV_SEED", (uint64_t)time(NULL) * 1000);
    uint64_t count = number_from("MINIKV_SEEDS", SEEDS_DEFAULT);
    uint64_t applied_count = 0;
    for (uint64_t seed = first; seed < first + count; seed++)
        play(seed, &applied_count);
    printf("seeds %llu-%llu, %llu writes acknowledged\n", (unsigned long long)first,
           (unsigned long long)(first + count - 1), (unsigned long long)applied_count);
    assert_true(applied_count > 0);
}

int main(void)
{
    diag_set_level(DIAG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_breaks_no_answer_lies_and_the_cluster_recovers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
