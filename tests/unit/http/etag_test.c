#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http/etag.h"

static enum status parse(enum etag_header header, const char *text, enum condition *condition,
                         uint64_t *revision, struct errtext *error)
{
    return condition_parse(header, bytes_of_text(text), condition, revision, error);
}

static void a_quoted_revision_and_a_star_are_conditions(void **state)
{
    enum condition condition;
    uint64_t revision;
    struct errtext error;

    assert_int_equal(parse(ETAG_IF_MATCH, "\"17\"", &condition, &revision, &error), ST_OK);
    assert_int_equal(condition, CONDITION_REVISION);
    assert_int_equal(revision, 17);
    assert_int_equal(parse(ETAG_IF_NONE_MATCH, "\"0\"", &condition, &revision, &error), ST_OK);
    assert_int_equal(condition, CONDITION_NOT_REVISION);
    assert_int_equal(revision, 0);
    assert_int_equal(parse(ETAG_IF_MATCH, "*", &condition, &revision, &error), ST_OK);
    assert_int_equal(condition, CONDITION_EXISTS);
    assert_int_equal(parse(ETAG_IF_NONE_MATCH, "*", &condition, &revision, &error), ST_OK);
    assert_int_equal(condition, CONDITION_ABSENT);
}

static void weak_tags_lists_and_bare_numbers_are_refused_and_the_form_is_named(void **state)
{
    static const char *const bad[] = {
        "",       "17",          "\"\"",     "\"",
        "\"17",   "17\"",        "\"a\"",    "\"-1\"",
        "\"+1\"", "\"1 \"",      "\"07\"",   "W/\"17\"",
        "**",     "\"1\",\"2\"", "*, \"1\"", "\"100000000000000000000\""};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        enum condition condition = CONDITION_NONE;
        uint64_t revision = 99;
        struct errtext error = {{0}};
        assert_int_equal(parse(ETAG_IF_MATCH, bad[i], &condition, &revision, &error),
                         ST_BAD_CONDITION);
        assert_non_null(strstr(error.text, "If-Match: "));
        assert_int_equal(condition, CONDITION_NONE);
        assert_int_equal(revision, 99);
    }
}

static void a_condition_holds_as_its_name_says(void **state)
{
    for (uint64_t wanted = 0; wanted < 3; wanted++) {
        for (uint64_t actual = 0; actual < 3; actual++) {
            bool exists = actual != 0;
            assert_true(condition_holds(CONDITION_NONE, wanted, actual));
            assert_int_equal(condition_holds(CONDITION_REVISION, wanted, actual),
                             exists && actual == wanted);
            assert_int_equal(condition_holds(CONDITION_EXISTS, wanted, actual), exists);
            assert_int_equal(condition_holds(CONDITION_ABSENT, wanted, actual), !exists);
            assert_int_equal(condition_holds(CONDITION_NOT_REVISION, wanted, actual),
                             !exists || actual != wanted);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quoted_revision_and_a_star_are_conditions),
        cmocka_unit_test(weak_tags_lists_and_bare_numbers_are_refused_and_the_form_is_named),
        cmocka_unit_test(a_condition_holds_as_its_name_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
