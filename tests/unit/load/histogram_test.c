/* Histograms of latencies, held against the sorted values themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/prng.h"
#include "load/histogram.h"

enum { VALUES = 20000 };

static struct histogram histogram;
static uint64_t values[VALUES];

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

/* Latencies of every size: from nanoseconds to hours, more small ones than large ones. */
static void draw_values(uint64_t seed)
{
    struct prng prng;
    prng_init(&prng, seed);
    memset(&histogram, 0, sizeof histogram);
    for (size_t i = 0; i < VALUES; i++) {
        values[i] = prng_next(&prng) >> (20 + prng_below(&prng, 44));
        histogram_add(&histogram, values[i]);
    }
    qsort(values, VALUES, sizeof values[0], compare);
}

static void a_percentile_is_that_of_the_sorted_values_or_a_64th_below(void **state)
{
    (void)state;
    static const double shares[] = {0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 0.9999, 1};
    for (uint64_t seed = 1; seed <= 20; seed++) {
        draw_values(seed);

        for (size_t i = 0; i < ARRAY_COUNT(shares); i++) {
            size_t rank = (size_t)(shares[i] * VALUES + 0.999999);
            double exact = (double)values[MAX(rank, (size_t)1) - 1];
            double got = histogram_percentile_us(&histogram, shares[i]) * 1000;
            if (got > exact + 0.5 || got < exact - exact / 64 - 0.5)
                fail_msg("seed %llu, %f: got %f, the values say %f", (unsigned long long)seed,
                         shares[i], got, exact);
        }
    }
}

static void small_values_are_kept_as_they_are(void **state)
{
    (void)state;
    memset(&histogram, 0, sizeof histogram);
    for (uint64_t value = 0; value < 128; value++)
        histogram_add(&histogram, value);

    for (size_t bucket = 0; bucket < 128; bucket++) {
        assert_int_equal(histogram_bucket_ns(bucket), bucket);
        assert_int_equal(histogram.buckets[bucket], 1);
    }
}

static void mean_and_maximum_are_exact(void **state)
{
    (void)state;
    draw_values(7);
    double sum = 0;
    for (size_t i = 0; i < VALUES; i++)
        sum += (double)values[i];

    assert_int_equal(histogram.max, values[VALUES - 1]);
    assert_int_equal(histogram.count, VALUES);
    assert_true(histogram_mean_us(&histogram) > sum / VALUES / 1000 * 0.999999);
    assert_true(histogram_mean_us(&histogram) < sum / VALUES / 1000 * 1.000001);
}

static void two_histograms_merged_are_that_of_all_values(void **state)
{
    (void)state;
    static struct histogram parts[2];
    draw_values(3);
    memset(parts, 0, sizeof parts);
    for (size_t i = 0; i < VALUES; i++)
        histogram_add(&parts[i % 3 != 0], values[i]); /* the slowest is in the second */

    histogram_merge(&parts[0], &parts[1]);

    assert_memory_equal(&parts[0], &histogram, sizeof histogram);
}

static void those_below_a_bucket_are_counted(void **state)
{
    (void)state;
    draw_values(5);
    for (size_t bucket = 0; bucket < HISTOGRAM_BUCKETS / 2; bucket += 7) {
        uint64_t edge = histogram_bucket_ns(bucket), below = 0;
        while (below < VALUES && values[below] < edge)
            below++;

        assert_int_equal(histogram_count_below(&histogram, edge), below);
    }
}

static void of_nothing_every_figure_is_zero(void **state)
{
    (void)state;
    memset(&histogram, 0, sizeof histogram);

    assert_true(histogram_percentile_us(&histogram, 0.99) == 0);
    assert_true(histogram_mean_us(&histogram) == 0);
    assert_int_equal(histogram_count_below(&histogram, UINT64_MAX), 0);
}

static void the_percentile_of_nothing_in_front_is_the_smallest(void **state)
{
    (void)state;
    memset(&histogram, 0, sizeof histogram);
    histogram_add(&histogram, 100);
    histogram_add(&histogram, 100000);

    assert_true(histogram_percentile_us(&histogram, 0) == 0.1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_percentile_is_that_of_the_sorted_values_or_a_64th_below),
        cmocka_unit_test(small_values_are_kept_as_they_are),
        cmocka_unit_test(mean_and_maximum_are_exact),
        cmocka_unit_test(two_histograms_merged_are_that_of_all_values),
        cmocka_unit_test(those_below_a_bucket_are_counted),
        cmocka_unit_test(of_nothing_every_figure_is_zero),
        cmocka_unit_test(the_percentile_of_nothing_in_front_is_the_smallest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
