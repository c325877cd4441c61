/* Customers: seeds with them are drawn apart, run alike, and lies of the library are found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "sim/swarm/customer.h"
#include "sim/swarm/fleet.h"

enum { FRESH_SEEDS = 8 };

static struct fleet_case case_of(uint64_t seed)
{
    struct plan_pins pins = {.nodes_count = 3,
                             .duration = 10000 * TIME_US_PER_MS,
                             .has_customers = true,
                             .customers_count = 2};
    return (struct fleet_case){seed, pins};
}

static void the_draw_of_customers_moves_nothing_else(void **state)
{
    unsigned count = 0;
    for (uint64_t seed = 0; seed < 600; seed++) {
        struct plan plan, with;
        struct plan_pins none = {0}, three = {.has_customers = true, .customers_count = 3};

        plan_draw(&plan, seed, &none);
        plan_draw(&with, seed, &three);

        count += plan.customers_count > 0;
        assert_true(plan.customers_count <= PLAN_CUSTOMERS_MAX);
        assert_int_equal(with.customers_count, 3);
        with.customers_count = plan.customers_count;
        assert_memory_equal(&plan, &with, sizeof plan);
    }
    assert_in_range(count, 150, 250);
}

static void the_same_seed_is_the_same_run_with_customers_too(void **state)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct fleet_case run = case_of(seed);
        struct trace trace = {.keeps = true};
        struct fleet_result first, again, watched;

        fleet_run(&run, NULL, NULL, NULL, &first);
        fleet_run(&run, NULL, NULL, NULL, &again);
        fleet_run(&run, &trace, NULL, NULL, &watched);

        assert_int_equal(first.verdict, VERDICT_PASS);
        assert_true(first.totals.calls > 10);
        assert_int_equal(first.digest, again.digest);
        assert_int_equal(first.digest, watched.digest);
    }
}

/* Plays a run, then changes what the library has said to one kind of call. */
static void expect_found(enum fate from, enum fate to, const char *oracle)
{
    struct plan plan;
    struct model model;
    struct fleet_case run = case_of(1);
    run.pins.has_faults = true; /* none */
    plan_draw(&plan, run.seed, &run.pins);
    struct swarm *swarm = swarm_new(&plan, NULL);
    assert_int_equal(swarm_play(swarm), VERDICT_PASS);
    model_init(&model);
    for (raft_index i = 2; i <= chronicle_last(&swarm->chronicle); i++)
        model_apply(&model, chronicle_at(&swarm->chronicle, i)->entry);

    customers_judge(swarm->customers, &model);
    assert_false(swarm_is_violated(swarm));
    for (size_t i = 0; i < swarm->customers->calls_count; i++) {
        struct customer_call *call = swarm->customers->calls[i];
        if (call->errand == ERRAND_OWN && call->fate == from)
            call->fate = to;
    }
    customers_judge(swarm->customers, &model);

    assert_string_equal(swarm->violation.oracle, oracle);
    model_release(&model);
    swarm_free(swarm);
}

static void a_write_that_is_there_though_it_was_said_not_to_be_is_found(void **state)
{
    expect_found(FATE_APPLIED, FATE_NONE, "truth");
}

static void an_increment_that_nobody_counts_is_found(void **state)
{
    struct plan plan;
    struct fleet_case run = case_of(2);
    run.pins.has_faults = true;
    plan_draw(&plan, run.seed, &run.pins);
    struct swarm *swarm = swarm_new(&plan, NULL);
    swarm->shared_acked = 1000000;

    enum verdict verdict = swarm_play(swarm);

    assert_int_equal(verdict, VERDICT_SAFETY);
    assert_string_equal(swarm->violation.oracle, "reads");
    swarm_free(swarm);
}

static void fresh_seeds_with_customers_pass_in_this_build_too(void **state)
{
    const char *text = getenv("MINIKV_SEED");
    uint64_t first = text != NULL ? strtoull(text, NULL, 10) : (uint64_t)time(NULL) * 1000;
    for (uint64_t seed = first; seed < first + FRESH_SEEDS; seed++) {
        struct fleet_case run = case_of(seed);
        struct fleet_result result;
        run.pins.nodes_count = 0;

        fleet_run(&run, NULL, NULL, NULL, &result);

        if (result.verdict != VERDICT_PASS)
            fail_msg("minikv-sim --seed %llu --time 10s --customers 2: %s: %s",
                     (unsigned long long)seed, result.oracle, result.text);
    }
}

int main(void)
{
    diag_set_level(DIAG_NOTHING);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_draw_of_customers_moves_nothing_else),
        cmocka_unit_test(the_same_seed_is_the_same_run_with_customers_too),
        cmocka_unit_test(a_write_that_is_there_though_it_was_said_not_to_be_is_found),
        cmocka_unit_test(an_increment_that_nobody_counts_is_found),
        cmocka_unit_test(fresh_seeds_with_customers_pass_in_this_build_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
