/* Bars and sizes, as people read them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "cli/bar.h"

static struct buf text;

static int make_text(void **state)
{
    (void)state;
    buf_init(&text, 1000);
    return 0;
}

static int release_text(void **state)
{
    (void)state;
    buf_release(&text);
    return 0;
}

static void sizes_have_three_digits_and_a_unit(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *wanted;
    } cases[] = {{0, "0 B"},
                 {999, "999 B"},
                 {1000, "1.0 kB"},
                 {999949, "999.9 kB"},
                 {999950, "1.0 MB"},
                 {12345678, "12.3 MB"},
                 {1000000000, "1.0 GB"},
                 {UINT64_MAX, "18446744.1 TB"}};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        buf_reset(&text);
        bar_put_bytes(&text, cases[i].bytes);
        assert_string_equal(buf_text(&text), cases[i].wanted);
    }
}

static void progress_tells_share_rate_and_time_left(void **state)
{
    (void)state;
    bar_put_progress(&text, 25000000, 100000000, 10000000);
    assert_string_equal(buf_text(&text), "[######------------------]  25%  25.0 MB of 100.0 MB  "
                                         "10.0 MB/s  0:08 left");
    buf_reset(&text);
    bar_put_progress(&text, 0, 8000, 1);
    assert_non_null(strstr(buf_text(&text), "]   0%  0 B of 8.0 kB  1 B/s  2:13:20 left"));
}

static void other_things_than_bytes_are_counted_one_by_one(void **state)
{
    (void)state;
    bar_put_count(&text, 1000, 4000, 500, "keys");
    assert_string_equal(buf_text(&text), "[######------------------]  25%  1000 of 4000 keys  "
                                         "500 keys/s  0:06 left");
    buf_reset(&text);
    bar_put_count(&text, 1, 2, 0, "keys");
    assert_string_equal(buf_text(&text), "[############------------]  50%  1 of 2 keys");
}

static void a_rate_that_is_not_known_yet_is_not_told(void **state)
{
    (void)state;
    bar_put_progress(&text, 50, 100, 0);
    assert_string_equal(buf_text(&text), "[############------------]  50%  50 B of 100 B");
}

static void what_is_over_or_of_nothing_stays_within_the_bar(void **state)
{
    (void)state;
    bar_put_progress(&text, 300, 100, 7);
    assert_string_equal(buf_text(&text),
                        "[########################] 100%  300 B of 100 B  7 B/s  0:00 left");
    buf_reset(&text);
    bar_put_progress(&text, 0, 0, 0);
    assert_string_equal(buf_text(&text), "[------------------------]   0%  0 B of 0 B");
    buf_reset(&text);
    bar_put_blocks(&text, 3, 4, 4, '.');
    assert_string_equal(buf_text(&text), "###.");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(sizes_have_three_digits_and_a_unit, make_text,
                                        release_text),
        cmocka_unit_test_setup_teardown(progress_tells_share_rate_and_time_left, make_text,
                                        release_text),
        cmocka_unit_test_setup_teardown(other_things_than_bytes_are_counted_one_by_one, make_text,
                                        release_text),
        cmocka_unit_test_setup_teardown(a_rate_that_is_not_known_yet_is_not_told, make_text,
                                        release_text),
        cmocka_unit_test_setup_teardown(what_is_over_or_of_nothing_stays_within_the_bar, make_text,
                                        release_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
