/* Runs: the same seed is the same run, and the oracles speak up when what they guard is broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/mem.h"
#include "sim/swarm/fleet.h"

enum { FRESH_SEEDS = 12 };

static struct fleet_case short_case(uint64_t seed)
{
    return (struct fleet_case){seed, {.nodes_count = 3, .duration = 10000 * TIME_US_PER_MS}};
}

static struct swarm *new_swarm(uint64_t seed)
{
    struct fleet_case run = short_case(seed);
    struct plan plan;
    run.pins.has_faults = true; /* none */
    plan_draw(&plan, run.seed, &run.pins);
    return swarm_new(&plan, NULL);
}

static void expect_violation(struct swarm *swarm, const char *oracle)
{
    enum verdict verdict = swarm_play(swarm);

    assert_int_equal(verdict, VERDICT_SAFETY);
    assert_string_equal(swarm->violation.oracle, oracle);
    swarm_free(swarm);
}

static void the_same_seed_is_the_same_run_whether_somebody_watches_or_not(void **state)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct fleet_case run = short_case(seed), other = short_case(seed + 1);
        struct trace trace = {.keeps = true};
        struct fleet_result first, again, watched, apart, next;

        fleet_run(&run, NULL, NULL, NULL, &first);
        fleet_run(&run, NULL, NULL, NULL, &again);
        fleet_run(&run, &trace, NULL, NULL, &watched);
        fleet_run_apart(&run, &apart);
        fleet_run(&other, NULL, NULL, NULL, &next);

        assert_int_equal(first.verdict, VERDICT_PASS);
        assert_int_equal(first.digest, again.digest);
        assert_int_equal(first.digest, watched.digest);
        assert_int_equal(first.digest, apart.digest);
        assert_int_not_equal(first.digest, next.digest);
    }
}

static void a_node_that_commits_something_else_is_found(void **state)
{
    struct swarm *swarm = new_swarm(1);
    struct entry *entry = entry_new(ENTRY_NOOP, 0);
    entry_seal(entry, (struct entry_id){.term = 1, .index = 2});
    chronicle_add(&swarm->chronicle, entry, 9, 99, 0); /* in a term that no leader comes after */
    entry_unref(entry);

    expect_violation(swarm, "log matching");
}

static void a_leader_without_what_was_committed_before_is_found(void **state)
{
    struct swarm *swarm = new_swarm(1);
    for (raft_index i = 2; i < 5; i++) {
        struct entry *entry = entry_new(ENTRY_NOOP, 0);
        entry_seal(entry, (struct entry_id){.term = 1, .index = i});
        chronicle_add(&swarm->chronicle, entry, 9, 1, 0);
        entry_unref(entry);
    }

    expect_violation(swarm, "leader completeness");
}

static void a_second_leader_of_a_term_is_found(void **state)
{
    struct swarm *swarm = new_swarm(1);
    swarm->leaders_capacity = 16;
    swarm->leaders = mem_alloc_array(swarm->leaders_capacity, sizeof swarm->leaders[0]);
    for (size_t term = 0; term < swarm->leaders_capacity; term++)
        swarm->leaders[term] = 9;

    expect_violation(swarm, "election safety");
}

static void a_read_that_misses_what_was_shown_is_found(void **state)
{
    struct swarm *swarm = new_swarm(1);
    swarm->shared_seen = 1000000;

    expect_violation(swarm, "reads");
}

static void a_value_that_nobody_wrote_is_found(void **state)
{
    struct swarm *swarm = new_swarm(1);
    struct linear_op *op =
        swarm_append((void **)&swarm->registers[0].ops, &swarm->registers[0].ops_count, sizeof *op);
    *op = (struct linear_op){.kind = LINEAR_READ,
                             .expected = 4711,
                             .called = UINT64_MAX - 3,
                             .answered = UINT64_MAX - 2};

    expect_violation(swarm, "linearizable");
}

static void a_run_that_ends_the_program_takes_only_its_process_with_it(void **state)
{
    struct fleet_case run = short_case(1);
    struct fleet_result result;
    run.pins.nodes_count = PLAN_NODES_MAX + 1; /* against what plan_draw requires */

    fleet_run_apart(&run, &result);

    assert_int_equal(result.verdict, VERDICT_CRASH);
    assert_int_equal(result.run.seed, 1);
}

/* What script/test runs by the thousand in a release build, some of it with every invariant checked
 * after every step, and under sanitizers. */
static void fresh_seeds_pass_in_this_build_too(void **state)
{
    const char *text = getenv("MINIKV_SEED");
    uint64_t first = text != NULL ? strtoull(text, NULL, 10) : (uint64_t)time(NULL) * 1000;
    for (uint64_t seed = first; seed < first + FRESH_SEEDS; seed++) {
        struct fleet_case run = {seed, {.duration = 20000 * TIME_US_PER_MS}};
        struct fleet_result result;

        fleet_run(&run, NULL, NULL, NULL, &result);

        if (result.verdict != VERDICT_PASS)
            fail_msg("minikv-sim --seed %llu --time 20s: %s: %s", (unsigned long long)seed,
                     result.oracle, result.text);
    }
}

int main(void)
{
    diag_set_level(DIAG_NOTHING);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_seed_is_the_same_run_whether_somebody_watches_or_not),
        cmocka_unit_test(a_node_that_commits_something_else_is_found),
        cmocka_unit_test(a_leader_without_what_was_committed_before_is_found),
        cmocka_unit_test(a_second_leader_of_a_term_is_found),
        cmocka_unit_test(a_read_that_misses_what_was_shown_is_found),
        cmocka_unit_test(a_value_that_nobody_wrote_is_found),
        cmocka_unit_test(fresh_seeds_pass_in_this_build_too),
        cmocka_unit_test(a_run_that_ends_the_program_takes_only_its_process_with_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
