#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/prng.h"
#include "http/target.h"

static enum status split(const char *raw, struct target *target)
{
    struct errtext error;
    return target_split(bytes_of_text(raw), target, &error);
}

static void a_path_and_its_query_are_told_apart(void **state)
{
    struct target target;

    assert_int_equal(split("/v1/kv/a?x=1?2&y", &target), ST_OK);

    assert_true(bytes_equal_text(target.path, "/v1/kv/a"));
    assert_true(bytes_equal_text(target.query, "x=1?2&y"));
    assert_true(bytes_equal_text(target.reference, "/v1/kv/a?x=1?2&y"));
    assert_int_equal(target.authority.count, 0);
}

static void an_absolute_target_gives_its_authority_and_the_same_path(void **state)
{
    struct target target;

    assert_int_equal(split("HTTP://h:80/a?b", &target), ST_OK);
    assert_true(bytes_equal_text(target.authority, "h:80"));
    assert_true(bytes_equal_text(target.path, "/a"));
    assert_true(bytes_equal_text(target.reference, "/a?b"));

    assert_int_equal(split("http://h", &target), ST_OK);
    assert_true(bytes_equal_text(target.path, "/"));
}

static void targets_that_are_no_path_are_refused(void **state)
{
    static const char *const bad[] = {"",          "*",          "a",        "https://h/a",
                                      "http:///a", "http://h?a", "ftp://h/", "//"};
    struct target target;
    for (size_t i = 0; i + 1 < ARRAY_COUNT(bad); i++)
        assert_int_equal(split(bad[i], &target), ST_BAD_TARGET);
    assert_int_equal(split("//", &target), ST_OK); /* odd, but a path */
}

static void every_byte_that_a_location_must_not_repeat_is_refused_raw(void **state)
{
    for (int c = 0; c < 256; c++) {
        uint8_t raw[] = {'/', 'a', (uint8_t)c, 'b'};
        struct target target;
        struct errtext error;
        bool is_clean = c > 0x20 && c < 0x7f && c != '#';
        assert_int_equal(target_split(bytes_of(raw, sizeof raw), &target, &error),
                         is_clean ? ST_OK : ST_BAD_TARGET);
    }
}

static void every_byte_survives_percent_encoding(void **state)
{
    static const char *const digits[] = {"0123456789abcdef", "0123456789ABCDEF"};
    struct buf out;
    buf_init(&out, 16);
    for (int c = 0; c < 256; c++) {
        for (int i = 0; i < 2; i++) {
            char text[] = {'%', digits[i][c >> 4], digits[i][c & 15]};
            buf_reset(&out);
            assert_int_equal(percent_decode(bytes_of(text, 3), false, &out), ST_OK);
            assert_int_equal(out.count, 1);
            assert_int_equal(out.data[0], c);
        }
    }
    buf_release(&out);
}

static void a_percent_without_two_hexadecimal_digits_is_refused(void **state)
{
    struct buf out;
    buf_init(&out, 16);
    for (int a = 0; a < 256; a++) {
        for (int b = 0; b < 256; b++) {
            uint8_t text[] = {'%', (uint8_t)a, (uint8_t)b};
            bool is_hex = strchr("0123456789abcdefABCDEF", a) != NULL && a != 0 &&
                          strchr("0123456789abcdefABCDEF", b) != NULL && b != 0;
            buf_reset(&out);
            assert_int_equal(percent_decode(bytes_of(text, 3), false, &out),
                             is_hex ? ST_OK : ST_BAD_ENCODING);
        }
    }
    assert_int_equal(percent_decode(BYTES_LITERAL("a%"), false, &out), ST_BAD_ENCODING);
    assert_int_equal(percent_decode(BYTES_LITERAL("a%4"), false, &out), ST_BAD_ENCODING);
    buf_release(&out);
}

static void a_plus_is_a_blank_in_a_query_and_itself_in_a_path(void **state)
{
    struct buf out;
    buf_init(&out, 16);

    assert_int_equal(percent_decode(BYTES_LITERAL("a+%2B"), true, &out), ST_OK);
    assert_true(bytes_equal_text(buf_bytes(&out), "a +"));

    buf_reset(&out);
    assert_int_equal(percent_decode(BYTES_LITERAL("a+%2B"), false, &out), ST_OK);
    assert_true(bytes_equal_text(buf_bytes(&out), "a++"));
    buf_release(&out);
}

static void known_parameters_are_found_whatever_their_order(void **state)
{
    struct query query;
    struct errtext error;
    unsigned allowed = QUERY_BIT(PREFIX) | QUERY_BIT(LIMIT) | QUERY_BIT(RAW);

    assert_int_equal(
        query_parse(BYTES_LITERAL("&limit=3&&raw&prefix=a=b&"), allowed, &query, &error), ST_OK);

    assert_true(bytes_equal_text(query.values[QUERY_LIMIT], "3"));
    assert_true(bytes_equal_text(query.values[QUERY_PREFIX], "a=b"));
    assert_true(query_has(&query, QUERY_RAW));
    assert_false(query_has(&query, QUERY_AFTER));
}

static void unknown_doubled_and_forbidden_parameters_are_named(void **state)
{
    struct query query;
    struct errtext error;
    unsigned allowed = QUERY_BIT(ROUTE) | QUERY_BIT(REV);

    assert_int_equal(query_parse(BYTES_LITERAL("lease=1"), allowed, &query, &error), ST_BAD_QUERY);
    assert_string_equal(error.text, "unknown query parameter \"lease\"; taken here: rev, route");

    assert_int_equal(query_parse(BYTES_LITERAL("rev=1&rev=1"), allowed, &query, &error),
                     ST_BAD_QUERY);
    assert_string_equal(error.text, "query parameter \"rev\" is given twice");

    assert_int_equal(query_parse(BYTES_LITERAL("raw"), allowed, &query, &error), ST_BAD_QUERY);
    assert_int_equal(query_parse(BYTES_LITERAL("=1"), allowed, &query, &error), ST_BAD_QUERY);
    assert_int_equal(query_parse(BYTES_LITERAL("Rev=1"), allowed, &query, &error), ST_BAD_QUERY);
    assert_int_equal(query_parse(BYTES_LITERAL("x"), 0, &query, &error), ST_BAD_QUERY);
    assert_string_equal(error.text, "unknown query parameter \"x\"; no parameter is taken here");
}

static void every_known_name_can_be_named_in_an_error_without_overflow(void **state)
{
    struct query query;
    struct errtext error;
    char name[300];
    memset(name, 'x', sizeof name);

    assert_int_equal(
        query_parse(bytes_of(name, sizeof name), (1u << QUERY_COUNT) - 1, &query, &error),
        ST_BAD_QUERY);

    assert_true(strlen(error.text) < sizeof error.text);
    assert_non_null(strstr(error.text, "taken here: after, client, consistency, count_only, "));
}

static void flags_and_numbers_take_their_forms_and_no_others(void **state)
{
    static const struct {
        const char *text;
        int flag;   /* -1: refused */
        int number; /* 0: refused */
    } cases[] = {{"", 1, 0},         {"true", 1, 0},
                 {"1", 1, 1},        {"false", 0, 0},
                 {"0", 0, 0},        {"yes", -1, 0},
                 {"1000", -1, 1000}, {"1001", -1, 0},
                 {"01", -1, 0},      {"+1", -1, 0},
                 {"-1", -1, 0},      {"1 ", -1, 0},
                 {"0x1", -1, 0},     {"18446744073709551617", -1, 0}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct query query = {.present = QUERY_BIT(RAW) | QUERY_BIT(LIMIT)};
        struct errtext error;
        bool flag = false;
        uint64_t number = 0;
        query.values[QUERY_RAW] = query.values[QUERY_LIMIT] = bytes_of_text(cases[i].text);

        enum status flag_status = query_flag(&query, QUERY_RAW, &flag, &error);
        enum status number_status = query_number(&query, QUERY_LIMIT, 1000, &number, &error);

        assert_int_equal(flag_status, cases[i].flag < 0 ? ST_BAD_QUERY : ST_OK);
        if (cases[i].flag >= 0)
            assert_int_equal(flag, cases[i].flag);
        assert_int_equal(number_status, cases[i].number == 0 ? ST_BAD_QUERY : ST_OK);
        assert_int_equal(number, cases[i].number);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_and_its_query_are_told_apart),
        cmocka_unit_test(an_absolute_target_gives_its_authority_and_the_same_path),
        cmocka_unit_test(targets_that_are_no_path_are_refused),
        cmocka_unit_test(every_byte_that_a_location_must_not_repeat_is_refused_raw),
        cmocka_unit_test(every_byte_survives_percent_encoding),
        cmocka_unit_test(a_percent_without_two_hexadecimal_digits_is_refused),
        cmocka_unit_test(a_plus_is_a_blank_in_a_query_and_itself_in_a_path),
        cmocka_unit_test(known_parameters_are_found_whatever_their_order),
        cmocka_unit_test(unknown_doubled_and_forbidden_parameters_are_named),
        cmocka_unit_test(every_known_name_can_be_named_in_an_error_without_overflow),
        cmocka_unit_test(flags_and_numbers_take_their_forms_and_no_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
