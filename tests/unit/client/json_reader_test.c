/* JSON reader: what replies hold, and what is no JSON at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "client/json_reader.h"

static bool read_string(const char *text, uint8_t *out, size_t *out_count)
{
    struct reader reader;
    reader_init(&reader, bytes_of_text(text));
    reader_string(&reader, out, out_count);
    return reader_end(&reader);
}

static void strings_are_decoded_with_all_their_escapes(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"\"\"", ""},
        {" \"plain\" ", "plain"},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
        {"\"\\u0041\\u00e9\\u20AC\"", "A\xc3\xa9\xe2\x82\xac"},
        {"\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80"},
        {"\"\xc3\xa9\"", "\xc3\xa9"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint8_t out[64];
        size_t count, measured;
        assert_true(read_string(rows[i].text, out, &count));
        assert_true(bytes_equal_text(bytes_of(out, count), rows[i].want));
        assert_true(read_string(rows[i].text, NULL, &measured));
        assert_int_equal(measured, count);
        assert_true(count <= strlen(rows[i].text));
    }
}

static void what_is_no_string_is_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "\"open",      "\"\\",     "\"\\x\"",     "\"\\u12\"",          "\"\\ud83d\"",
        "\"\\ude00\"", "\"a\nb\"", "\"\\u12g4\"", "\"\\ud83d\\u0041\"", "nope",
        "\"a\"b",      "",         "\"",
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint8_t out[64];
        size_t count;
        assert_false(read_string(rows[i], out, &count));
    }
}

static void base64_is_decoded_and_its_mistakes_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want; /* NULL: refused */
    } rows[] = {{"\"\"", ""},        {"\"Zg==\"", "f"},        {"\"Zm8=\"", "fo"},
                {"\"Zm9v\"", "foo"}, {"\"/+8=\"", "\xff\xef"}, {"\"Zg=\"", NULL},
                {"\"Z===\"", NULL},  {"\"Z!==\"", NULL}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct reader reader;
        uint8_t out[64];
        size_t count;
        reader_init(&reader, bytes_of_text(rows[i].text));
        reader_base64(&reader, out, &count);
        bool is_good = reader_end(&reader);
        assert_int_equal(is_good, rows[i].want != NULL);
        if (is_good)
            assert_true(bytes_equal_text(bytes_of(out, count), rows[i].want));
    }
}

static void numbers_keep_all_64_bits(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_good;
        int64_t want;
    } rows[] = {
        {"0", true, 0},
        {" -1 ", true, -1},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"1.5", false, 0},
        {"1e3", false, 0},
        {"-", false, 0},
        {"99999999999999999999", false, 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct reader reader;
        int64_t value = 42;
        reader_init(&reader, bytes_of_text(rows[i].text));
        reader_i64(&reader, &value);
        assert_int_equal(reader_end(&reader), rows[i].is_good);
        assert_int_equal(value, rows[i].is_good ? rows[i].want : 42);
    }
}

static bool skips(const char *text)
{
    struct reader reader;
    reader_init(&reader, bytes_of_text(text));
    reader_skip(&reader);
    return reader_end(&reader);
}

static void whatever_is_unknown_is_skipped_whole(void **state)
{
    (void)state;
    static const char *const good[] = {
        "{}",         "[]",      "[[],{}]",
        "null",       "-1.5e+3", "{\"a\":[1,{\"b\\\"\":null},\"]\"],\"c\":true}",
        " [ 1 , 2 ] "};
    static const char *const bad[] = {
        "{",     "[",   "[1",         "[1,]", "[,1]", "{\"a\"}",           "{\"a\":}", "{a:1}",
        "[1 2]", "nul", "{\"a\":1,}", "]",    "[}",   "{\"a\":1 \"b\":2}", ""};
    for (size_t i = 0; i < ARRAY_COUNT(good); i++)
        if (!skips(good[i]))
            fail_msg("%s", good[i]);
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        if (skips(bad[i]))
            fail_msg("%s", bad[i]);
}

static void nesting_has_a_limit(void **state)
{
    (void)state;
    char text[2 * READER_DEPTH + 4];
    for (size_t depth = READER_DEPTH; depth <= READER_DEPTH + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        text[2 * depth] = '\0';
        assert_int_equal(skips(text), depth == READER_DEPTH);
    }
}

static void every_prefix_of_a_document_is_refused(void **state)
{
    (void)state;
    static const char text[] =
        "{\"items\":[{\"key\":\"a\\u0041\",\"n\":-12},null],\"x\":{\"y\":[true,false]}}";
    for (size_t count = 0; count < sizeof text - 1; count++) {
        struct reader reader;
        char cut[sizeof text];
        memcpy(cut, text, count);
        reader_init(&reader, bytes_of(cut, count));
        reader_skip(&reader);
        assert_false(reader_end(&reader));
    }
    assert_true(skips(text));
}

static void a_text_that_does_not_fit_is_left_out_and_the_rest_read(void **state)
{
    (void)state;
    struct reader reader;
    struct bytes name;
    char text[4];
    uint64_t number = 0;
    reader_init(&reader, bytes_of_text("{\"long\":\"abcdef\",\"n\":7}"));
    reader_object(&reader);

    assert_true(reader_member(&reader, &name));
    reader_text(&reader, text, sizeof text);
    assert_string_equal(text, "");
    assert_true(reader_member(&reader, &name));
    assert_true(bytes_equal_text(name, "n"));
    reader_u64(&reader, &number);

    assert_int_equal(number, 7);
    assert_false(reader_member(&reader, &name));
    assert_true(reader_end(&reader));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_decoded_with_all_their_escapes),
        cmocka_unit_test(what_is_no_string_is_refused),
        cmocka_unit_test(base64_is_decoded_and_its_mistakes_refused),
        cmocka_unit_test(numbers_keep_all_64_bits),
        cmocka_unit_test(whatever_is_unknown_is_skipped_whole),
        cmocka_unit_test(nesting_has_a_limit),
        cmocka_unit_test(every_prefix_of_a_document_is_refused),
        cmocka_unit_test(a_text_that_does_not_fit_is_left_out_and_the_rest_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
