/* Shrinking, on runs that fail for a reason that is known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim/swarm/shrink.h"

enum { NEED_NODES = 3, NEED_OPERATIONS = 20 };

struct failure {
    uint64_t seed_multiple; /* only seeds that this divides fail */
    time_us at;
    unsigned runs_count;
};

/* Needs crashes and cuts, three nodes, twenty operations, and to come as far as `at`. */
static bool fails(void *ctx, const struct fleet_case *run, time_us *out_at)
{
    struct failure *failure = ctx;
    const uint32_t needed = 1u << FAULT_CRASH | 1u << FAULT_CUT;
    failure->runs_count++;
    *out_at = failure->at;
    return run->pins.nodes_count >= NEED_NODES && run->pins.operations_max >= NEED_OPERATIONS &&
           (run->pins.faults & needed) == needed && run->pins.duration >= failure->at &&
           run->seed % failure->seed_multiple == 0;
}

static struct fleet_case large(void)
{
    uint32_t all = (1u << FAULT_COUNT) - 1;
    return (struct fleet_case){12,
                               {.nodes_count = 7,
                                .operations_max = 1600,
                                .clients_count = 8,
                                .has_faults = true,
                                .faults = all}};
}

static void everything_that_does_not_matter_is_left_out(void **state)
{
    struct failure failure = {.seed_multiple = 1, .at = 7000 * TIME_US_PER_MS};
    struct shrink shrink = {.fails = fails, .ctx = &failure, .neighbours = 0, .runs_max = 1000};
    struct fleet_case run = large();

    shrink_case(&shrink, &run, failure.at);

    time_us at;
    assert_true(fails(&failure, &run, &at));
    assert_int_equal(run.pins.nodes_count, NEED_NODES);
    assert_int_equal(run.pins.faults, 1u << FAULT_CRASH | 1u << FAULT_CUT);
    assert_in_range(run.pins.operations_max, NEED_OPERATIONS, 2 * NEED_OPERATIONS - 1);
    assert_int_equal(run.pins.clients_count, 1);
    assert_int_equal(run.pins.duration, failure.at);
}

static void neighbours_are_tried_where_the_same_seed_passes(void **state)
{
    struct failure failure = {.seed_multiple = 4, .at = 1000 * TIME_US_PER_MS};
    struct shrink shrink = {.fails = fails, .ctx = &failure, .neighbours = 4, .runs_max = 1000};
    struct fleet_case run = large();

    shrink_case(&shrink, &run, failure.at);

    assert_int_equal(run.seed % 4, 0);
    assert_int_equal(run.pins.nodes_count, NEED_NODES);
}

static void the_search_ends_after_so_many_runs(void **state)
{
    struct failure failure = {.seed_multiple = 1, .at = 1000 * TIME_US_PER_MS};
    struct shrink shrink = {.fails = fails, .ctx = &failure, .neighbours = 0, .runs_max = 5};
    struct fleet_case run = large();

    shrink_case(&shrink, &run, failure.at);

    assert_int_equal(failure.runs_count, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_that_does_not_matter_is_left_out),
        cmocka_unit_test(neighbours_are_tried_where_the_same_seed_passes),
        cmocka_unit_test(the_search_ends_after_so_many_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
