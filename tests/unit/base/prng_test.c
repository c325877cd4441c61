/* Prng: the same everywhere, and fair. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/prng.h"

static void the_reference_sequence_comes_out(void **state)
{
    /* xoshiro256** from the state 1, 2, 3, 4, as the authors' code gives it. */
    static const uint64_t wanted[] = {11520u, 0u, 1509978240u, 1215971899390074240u};
    struct prng prng = {{1, 2, 3, 4}};

    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        assert_true(prng_next(&prng) == wanted[i]);
}

static void a_seed_is_spread_as_splitmix64_does(void **state)
{
    struct prng prng;

    prng_init(&prng, 0);

    assert_true(prng.state[0] == 0xe220a8397b1dcdafu);
    assert_true(prng.state[1] == 0x6e789e6aa1b965f4u);
}

static void seeds_give_different_sequences_and_the_same_seed_the_same(void **state)
{
    struct prng a, b, c;
    prng_init(&a, 0);
    prng_init(&b, 0);
    prng_init(&c, 1);

    unsigned equal_count = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t value = prng_next(&a);
        assert_true(value == prng_next(&b));
        equal_count += value == prng_next(&c);
    }

    assert_int_equal(equal_count, 0);
}

static void numbers_below_a_bound_are_below_it_and_even(void **state)
{
    const uint64_t seed = 5;
    struct prng prng;
    unsigned counts[7] = {0};
    prng_init(&prng, seed);

    for (int i = 0; i < 70000; i++) {
        uint64_t value = prng_below(&prng, 7);
        assert_true(value < 7);
        counts[value]++;
    }

    for (int i = 0; i < 7; i++)
        assert_in_range(counts[i], 9500, 10500);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(prng_below(&prng, 1), 0);
        assert_true(prng_below(&prng, UINT64_MAX) < UINT64_MAX);
    }
}

/* A bound of 3/4 of the range: taking the remainder alone would make the lower third twice as
 * likely as the rest. */
static void there_is_no_modulo_bias(void **state)
{
    const uint64_t seed = 6, bound = UINT64_C(3) << 62;
    struct prng prng;
    unsigned low_count = 0;
    prng_init(&prng, seed);

    for (int i = 0; i < 30000; i++)
        low_count += prng_below(&prng, bound) < bound / 3;

    assert_in_range(low_count, 9600, 10400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reference_sequence_comes_out),
        cmocka_unit_test(a_seed_is_spread_as_splitmix64_does),
        cmocka_unit_test(seeds_give_different_sequences_and_the_same_seed_the_same),
        cmocka_unit_test(numbers_below_a_bound_are_below_it_and_even),
        cmocka_unit_test(there_is_no_modulo_bias),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
