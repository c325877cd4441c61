/* Shrinking, on runs that fail for a reason that is known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim/swarm/shrink.h"
#include "sim/swarm/shrink_run.h"

enum { NEED_NODES = 3, NEED_OPERATIONS = 20 };

struct failure {
    uint64_t seed_multiple; /* only seeds that this divides fail */
    time_us at;
    unsigned runs_count;
};

/* Needs crashes and cuts, three nodes, twenty operations, and to come as far as `at`. */
static bool fails(const struct failure *failure, const struct fleet_case *run)
{
    const uint32_t needed = 1u << FAULT_CRASH | 1u << FAULT_CUT;
    return run->pins.nodes_count >= NEED_NODES && run->pins.operations_max >= NEED_OPERATIONS &&
           (run->pins.faults & needed) == needed && run->pins.duration >= failure->at &&
           run->seed % failure->seed_multiple == 0;
}

static size_t find(void *ctx, const struct fleet_case *runs, size_t count, time_us *out_at)
{
    struct failure *failure = ctx;
    failure->runs_count += (unsigned)count;
    *out_at = failure->at;
    for (size_t i = 0; i < count; i++)
        if (fails(failure, &runs[i]))
            return i;
    return count;
}

static struct shrink shrink_of(struct failure *failure, unsigned neighbours, unsigned runs_max)
{
    return (struct shrink){
        .find = find, .ctx = failure, .neighbours = neighbours, .batch = 4, .runs_max = runs_max};
}

static struct fleet_case large(void)
{
    uint32_t all = (1u << FAULT_COUNT) - 1;
    return (struct fleet_case){12,
                               {.nodes_count = 7,
                                .operations_max = 1600,
                                .clients_count = 8,
                                .has_customers = true,
                                .customers_count = 3,
                                .has_faults = true,
                                .faults = all}};
}

static void everything_that_does_not_matter_is_left_out(void **state)
{
    struct failure failure = {.seed_multiple = 1, .at = 7000 * TIME_US_PER_MS};
    struct shrink shrink = shrink_of(&failure, 0, 1000);
    struct fleet_case run = large();

    shrink_case(&shrink, &run, failure.at);

    assert_true(fails(&failure, &run));
    assert_int_equal(run.pins.nodes_count, NEED_NODES);
    assert_int_equal(run.pins.faults, 1u << FAULT_CRASH | 1u << FAULT_CUT);
    assert_in_range(run.pins.operations_max, NEED_OPERATIONS, NEED_OPERATIONS + 2);
    assert_true(run.pins.has_customers);
    assert_int_equal(run.pins.customers_count, 0);
    assert_int_equal(run.pins.clients_count, 1);
    assert_int_equal(run.pins.duration, failure.at);
}

static void neighbours_are_tried_where_the_same_seed_passes(void **state)
{
    struct failure failure = {.seed_multiple = 4, .at = 1000 * TIME_US_PER_MS};
    struct shrink shrink = shrink_of(&failure, 4, 100000);
    struct fleet_case run = large();

    shrink_case(&shrink, &run, failure.at);

    assert_int_equal(run.seed % 4, 0);
    assert_int_equal(run.pins.nodes_count, NEED_NODES);
}

static bool may_not_go_on(void *ctx, unsigned runs_count)
{
    (void)ctx;
    return runs_count < 3;
}

static void the_search_ends_when_it_is_told_to(void **state)
{
    struct failure failure = {.seed_multiple = 1, .at = 1000 * TIME_US_PER_MS};
    struct shrink shrink = shrink_of(&failure, 0, 1000);
    struct fleet_case run = large();
    shrink.may_go_on = may_not_go_on;

    shrink_case(&shrink, &run, failure.at);

    assert_int_equal(failure.runs_count, 3);
    assert_true(fails(&failure, &run)); /* what it has by then is good */
}

static void a_run_that_passes_once_its_plan_is_pinned_stays_as_it_is(void **state)
{
    struct failure failure = {.seed_multiple = 5, .at = 1000 * TIME_US_PER_MS};
    struct shrink shrink = shrink_of(&failure, 0, 1000);
    struct fleet_case run = {.seed = 12};

    shrink_case(&shrink, &run, failure.at);

    assert_int_equal(run.seed, 12);
    assert_int_equal(run.pins.nodes_count, 0);
}

static void a_crash_is_known_by_its_condition_and_place(void **state)
{
    char cause[200];

    assert_string_equal(shrink_crash_cause("seed\nminikv: INVARIANT failed: (a == b) (raft.c:7). "
                                           "This is a bug in MiniKV.\nmore\n",
                                           cause),
                        "failed: (a == b) (raft.c:7)");
    assert_string_equal(shrink_crash_cause("==77==ERROR: AddressSanitizer: heap-use-after-free on "
                                           "address 0x7f21\n",
                                           cause),
                        "Sanitizer: heap-use-after-free");
    assert_string_equal(shrink_crash_cause("", cause), "");
}

static void the_search_ends_after_so_many_runs(void **state)
{
    struct failure failure = {.seed_multiple = 1, .at = 1000 * TIME_US_PER_MS};
    struct shrink shrink = shrink_of(&failure, 0, 5);
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
        cmocka_unit_test(the_search_ends_when_it_is_told_to),
        cmocka_unit_test(a_run_that_passes_once_its_plan_is_pinned_stays_as_it_is),
        cmocka_unit_test(a_crash_is_known_by_its_condition_and_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
