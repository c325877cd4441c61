#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/prng.h"
#include "kv/decimal.h"

static void only_the_one_form_of_a_number_is_one(void **state)
{
    (void)state;
    static const char *const others[] = {
        "",
        "-",
        "+1",
        "01",
        "-0",
        "00",
        "-01",
        " 1",
        "1 ",
        "1\n",
        "0x1",
        "1e3",
        "1.0",
        "--1",
        "1-",
        "a",
        "9223372036854775808",
        "-9223372036854775809",
        "10000000000000000000",
        "18446744073709551616",
        "-18446744073709551615",
        "99999999999999999999",
        "99999999999999999999999999999999999999",
        "/",
        ":",
        "-:",
    };

    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        int64_t number = 42;
        print_message("\"%s\"\n", others[i]);
        assert_false(decimal_parse(bytes_of_text(others[i]), &number));
        assert_int_equal(number, 42);
    }
    int64_t number;
    assert_false(decimal_parse(bytes_of("1\0", 2), &number));
}

static void the_whole_range_comes_back(void **state)
{
    (void)state;
    static const struct {
        int64_t number;
        const char *text;
    } cases[] = {
        {0, "0"},
        {1, "1"},
        {-1, "-1"},
        {9, "9"},
        {10, "10"},
        {-10, "-10"},
        {INT64_MAX, "9223372036854775807"},
        {INT64_MIN, "-9223372036854775808"},
        {INT64_MIN + 1, "-9223372036854775807"},
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        uint8_t text[DECIMAL_BYTES_MAX];
        int64_t number = 0;
        assert_true(bytes_equal_text(decimal_format(cases[i].number, text), cases[i].text));
        assert_true(decimal_parse(bytes_of_text(cases[i].text), &number));
        assert_true(number == cases[i].number);
    }
}

static void any_number_comes_back(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 1);
    for (int i = 0; i < 100000; i++) {
        int64_t number = (int64_t)prng_next(&prng) >> prng_below(&prng, 64);
        uint8_t text[DECIMAL_BYTES_MAX];
        int64_t again;
        assert_true(decimal_parse(decimal_format(number, text), &again));
        assert_true(again == number);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_the_one_form_of_a_number_is_one),
        cmocka_unit_test(the_whole_range_comes_back),
        cmocka_unit_test(any_number_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
