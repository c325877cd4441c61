/* A run over time, in steps that become longer as it does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/prng.h"
#include "load/series.h"

static struct series series;

static void a_short_run_has_steps_of_a_tenth_of_a_second(void **state)
{
    (void)state;
    series_init(&series);

    series_at(&series, 0)->good++;
    series_at(&series, 99999999)->good++;
    series_at(&series, 250000000)->bad++;

    assert_int_equal(series.count, 3);
    assert_int_equal(series.steps[0].good, 2);
    assert_int_equal(series.steps[1].good, 0);
    assert_int_equal(series.steps[2].bad, 1);
}

/* Whatever happens when, nothing is lost when steps are put together, and it lies in the step of
 * its time. */
static void a_long_run_keeps_all_counts_and_the_slowest_where_they_belong(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct prng prng;
        uint64_t age = 0, good = 0, bad = 0, slowest = 0, slowest_age = 0;
        prng_init(&prng, seed);
        series_init(&series);
        while (age < UINT64_C(3600000000000)) {
            struct series_step *step = series_at(&series, age);
            uint64_t latency = prng_below(&prng, 1000000);
            step->good += 1;
            step->bad += latency % 2;
            step->max = MAX(step->max, latency);
            good++;
            bad += latency % 2;
            if (latency > slowest) {
                slowest = latency;
                slowest_age = age;
            }
            age += prng_below(&prng, UINT64_C(2000000000) * seed);
        }

        uint64_t good_kept = 0, bad_kept = 0;
        for (size_t i = 0; i < SERIES_STEPS; i++) {
            good_kept += series.steps[i].good;
            bad_kept += series.steps[i].bad;
            assert_true(i < series.count || series.steps[i].good == 0);
        }
        if (good_kept != good || bad_kept != bad ||
            series.steps[slowest_age / series.step_ns].max != slowest)
            fail_msg("seed %llu: %llu of %llu, %llu of %llu", (unsigned long long)seed,
                     (unsigned long long)good_kept, (unsigned long long)good,
                     (unsigned long long)bad_kept, (unsigned long long)bad);
        assert_true(series.count <= SERIES_STEPS && series.count > SERIES_STEPS / 2 - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_short_run_has_steps_of_a_tenth_of_a_second),
        cmocka_unit_test(a_long_run_keeps_all_counts_and_the_slowest_where_they_belong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
