/* Nearest: distances against known values, and the choice among names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "program/nearest.h"

static void a_distance_counts_single_edits(void **state)
{
    (void)state;
    assert_int_equal(nearest_distance("", ""), 0);
    assert_int_equal(nearest_distance("same", "same"), 0);
    assert_int_equal(nearest_distance("", "abc"), 3);
    assert_int_equal(nearest_distance("abc", ""), 3);
    assert_int_equal(nearest_distance("listen", "listn"), 1);
    assert_int_equal(nearest_distance("listn", "listen"), 1);
    assert_int_equal(nearest_distance("route", "routs"), 1);
    assert_int_equal(nearest_distance("kitten", "sitting"), 3);
    assert_int_equal(nearest_distance("saturday", "sunday"), 3);
}

static void neighbours_swapped_are_one_edit(void **state)
{
    (void)state;
    assert_int_equal(nearest_distance("stauts", "status"), 1);
    assert_int_equal(nearest_distance("ab", "ba"), 1);
    assert_int_equal(nearest_distance("abcd", "badc"), 2);
}

static void the_first_of_the_nearest_names_is_chosen(void **state)
{
    (void)state;
    static const char *const names[] = {"get", "put", "del", "status"};
    assert_string_equal(nearest_name("pit", names, 4), "put");
    assert_string_equal(nearest_name("stat", names, 4), "status");
    assert_string_equal(nearest_name("gut", names, 4), "get"); /* as near to put, but earlier */
    assert_null(nearest_name("xyz", names, 4));
    assert_null(nearest_name("get", names, 0));
}

static void an_overlong_word_is_near_to_nothing(void **state)
{
    (void)state;
    static const char *const names[] = {"get"};
    char word[200];
    memset(word, 'g', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    assert_null(nearest_name(word, names, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_distance_counts_single_edits),
        cmocka_unit_test(neighbours_swapped_are_one_edit),
        cmocka_unit_test(the_first_of_the_nearest_names_is_chosen),
        cmocka_unit_test(an_overlong_word_is_near_to_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
