#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>

#include "base/base64.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/prng.h"
#include "http/body.h"
#include "http/json.h"

/* jansson as the independent judge of UTF-8 and of strings. */
static bool jansson_takes(struct bytes text)
{
    json_t *string = json_stringn((const char *)text.data, text.count);
    bool is_taken = string != NULL;
    json_decref(string);
    return is_taken;
}

static void utf8_is_judged_as_jansson_judges_it(void **state)
{
    uint8_t text[12];
    for (uint32_t i = 0; i < 1u << 24; i++) { /* all of one to three bytes, densely sampled */
        if (i > 0xffff && i % 61 != 0)
            continue;
        text[0] = (uint8_t)i;
        text[1] = (uint8_t)(i >> 8);
        text[2] = (uint8_t)(i >> 16);
        struct bytes three = bytes_of(text, 3);
        if (utf8_is_valid(three) != jansson_takes(three))
            fail_msg("%02x %02x %02x", text[0], text[1], text[2]);
    }
    for (uint32_t first = 0xee; first < 0x100; first++) { /* of four, at every kind of border */
        for (uint32_t second = 0x7f; second < 0xc2; second++) {
            for (int i = 0; i < 16; i++) {
                static const uint8_t edges[] = {0x7f, 0x80, 0xbf, 0xc0};
                memcpy(text, "aaaaaaaa", 8);
                text[4] = (uint8_t)first;
                text[5] = (uint8_t)second;
                text[6] = edges[i % 4];
                text[7] = edges[i / 4];
                struct bytes eight = bytes_of(text, 8);
                assert_int_equal(utf8_is_valid(eight), jansson_takes(eight));
                struct bytes cut = bytes_of(text, 7);
                assert_int_equal(utf8_is_valid(cut), jansson_takes(cut));
            }
        }
    }
}

static void a_string_that_was_written_reads_back_the_same(void **state)
{
    struct prng prng;
    struct buf out;
    buf_init(&out, 4096);
    prng_init(&prng, 7);
    for (int round = 0; round < 20000; round++) {
        uint8_t text[40];
        size_t count = prng_below(&prng, sizeof text);
        for (size_t i = 0; i < count; i++)
            text[i] = (uint8_t)prng_below(&prng, round % 2 == 0 ? 0x80 : 0x30);
        buf_reset(&out);

        json_put_string(&out, bytes_of(text, count));

        json_t *read =
            json_loadb((const char *)out.data, out.count, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        assert_non_null(read);
        assert_int_equal(json_string_length(read), count);
        assert_memory_equal(json_string_value(read), text, count);
        json_decref(read);
    }
    buf_release(&out);
}

/* Eight bytes are looked at together: none of them hides another. */
static void a_byte_that_needs_an_escape_gets_it_at_every_place(void **state)
{
    struct buf out;
    buf_init(&out, 256);
    for (int c = 0; c < 0x80; c++) {
        for (size_t place = 0; place < 18; place++) {
            uint8_t text[19];
            memset(text, place % 2 == 0 ? ' ' : 0x7f, sizeof text);
            text[place] = (uint8_t)c;
            buf_reset(&out);

            json_put_string(&out, bytes_of(text, sizeof text));

            bool is_escaped = c < 0x20 || c == '"' || c == '\\';
            bool is_short = is_escaped && (c >= 0x20 || c == '\n' || c == '\r' || c == '\t');
            size_t added = is_escaped ? (is_short ? 1 : 5) : 0;
            assert_int_equal(out.count, sizeof text + 2 + added);
            assert_int_equal(out.data[1 + place], is_escaped ? '\\' : c);
        }
    }
    buf_release(&out);
}

static void what_is_not_utf8_is_written_as_base64_under_another_name(void **state)
{
    struct buf out;
    buf_init(&out, 256);

    json_put_bytes(&out, "key", BYTES_LITERAL("a\"b\n\x01"));
    assert_string_equal(buf_text(&out), "\"key\":\"a\\\"b\\n\\u0001\"");

    buf_reset(&out);
    json_put_bytes(&out, "key", BYTES_LITERAL("\xff\x00\x80"));
    assert_string_equal(buf_text(&out), "\"key_base64\":\"/wCA\"");

    buf_reset(&out);
    json_put_ascii(&out, "a\"\\\r\n\x80z");
    assert_string_equal(buf_text(&out), "\"a\\\"\\\\???z\"");
    buf_release(&out);
}

static void base64_of_any_bytes_reads_back_and_has_one_text_only(void **state)
{
    struct prng prng;
    struct buf text, back, again;
    buf_init(&text, 256);
    buf_init(&back, 256);
    buf_init(&again, 256);
    prng_init(&prng, 3);
    for (int round = 0; round < 20000; round++) {
        uint8_t bytes[9];
        size_t count = (size_t)round % 10;
        for (size_t i = 0; i < count; i++)
            bytes[i] = (uint8_t)prng_next(&prng);
        buf_reset(&text);
        buf_reset(&back);
        base64_put(&text, bytes_of(bytes, count));

        assert_int_equal(base64_decode(buf_bytes(&text), &back), ST_OK);

        assert_true(bytes_equal(buf_bytes(&back), bytes_of(bytes, count)));
        if (text.count == 0)
            continue;
        text.data[prng_below(&prng, text.count)] = (uint8_t)prng_next(&prng);
        buf_reset(&back);
        buf_reset(&again);
        if (base64_decode(buf_bytes(&text), &back) == ST_OK) {
            base64_put(&again, buf_bytes(&back));
            assert_true(bytes_equal(buf_bytes(&again), buf_bytes(&text)));
        }
    }
    buf_release(&text);
    buf_release(&back);
    buf_release(&again);
}

static void malformed_base64_is_refused(void **state)
{
    static const char *const bad[] = {"A",    "AA",   "AAA",  "AA=",  "A===",  "====", "=AAA",
                                      "AA=A", "AAB=", "AB==", "AA A", "AA\nA", "AA-_", "AAAA="};
    struct buf out;
    buf_init(&out, 64);
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_int_equal(base64_decode(bytes_of_text(bad[i]), &out), ST_BAD_ENCODING);
    assert_int_equal(out.count, 0);
    buf_release(&out);
}

/* ---- bodies ---- */

struct parsed {
    bool is_ok;
    struct bytes value;
    struct problem problem;
    struct buf store;
};

static void parse_value(struct parsed *parsed, struct bytes body)
{
    buf_init(&parsed->store, LIMIT_BODY_BYTES);
    problem_clear(&parsed->problem);
    parsed->is_ok = body_parse_value(body, &parsed->store, &parsed->value, &parsed->problem);
}

static void assert_value(const char *body, const char *value, size_t count)
{
    struct parsed parsed;
    parse_value(&parsed, bytes_of_text(body));
    if (!parsed.is_ok)
        fail_msg("%s: %s", body, parsed.problem.detail.text);
    assert_true(bytes_equal(parsed.value, bytes_of(value, count)));
    buf_release(&parsed.store);
}

static void a_value_is_taken_in_every_spelling_of_json(void **state)
{
    assert_value("{\"value\":\"v\"}", "v", 1);
    assert_value(" {\n\"value\" :\t\"\" } \r\n", "", 0);
    assert_value("{\"value\":\"a\\u00e9\\n\\\"\"}", "a\xc3\xa9\n\"", 5);
    assert_value("{\"v\\u0061lue\":\"x\"}", "x", 1);
    assert_value("{\"value\":\"a\\u0000b\"}", "a\0b", 3);
    assert_value("{\"value_base64\":\"/wA=\"}", "\xff\0", 2);
    assert_value("{\"value\":\"\xf0\x9f\x8e\x89\x7f\"}", "\xf0\x9f\x8e\x89\x7f", 5);
}

static void a_body_that_is_not_one_value_is_refused_with_the_reason(void **state)
{
    static const struct {
        const char *body;
        enum status status;
        const char *detail;
    } cases[] = {
        {"", ST_BAD_JSON, "the body is empty"},
        {" \n", ST_BAD_JSON, "the body is empty"},
        {"{}", ST_BAD_FIELD, "\"value\" or \"value_base64\" is missing"},
        {"[]", ST_BAD_JSON, "no JSON object"},
        {"\"v\"", ST_BAD_JSON, "no JSON"},
        {"{\"value\":\"v\"", ST_BAD_JSON, "no JSON"},
        {"{\"value\":\"v\"}}", ST_BAD_JSON, "end of file expected"},
        {"{\"value\":\"v\"} x", ST_BAD_JSON, "end of file expected"},
        {"{\"value\":\"v\",}", ST_BAD_JSON, "no JSON"},
        {"{\"value\":'v'}", ST_BAD_JSON, "no JSON"},
        {"{\"value\":1}", ST_BAD_FIELD, "\"value\" must be a string"},
        {"{\"value\":null}", ST_BAD_FIELD, "\"value\" must be a string"},
        {"{\"value_base64\":[]}", ST_BAD_FIELD, "\"value_base64\" must be a string"},
        {"{\"value\":\"a\",\"value\":\"b\"}", ST_BAD_JSON, "duplicate"},
        {"{\"value\":\"a\",\"value_base64\":\"\"}", ST_BAD_FIELD, "send one of"},
        {"{\"value\":\"a\",\"lease\":1}", ST_BAD_FIELD, "unknown field \"lease\""},
        {"{\"value\":\"a\nb\"}", ST_BAD_JSON, "unexpected newline"},
        {"{\"value\":\"\xff\"}", ST_BAD_JSON, "unable to decode byte 0xff"},
        {"{\"value\":\"\xc3\"}", ST_BAD_JSON, "unable to decode byte 0xc3"},
        {"{\"value\":\"\\ud800\"}", ST_BAD_JSON, "ode"},
        {"{\"value_base64\":\"a\"}", ST_BAD_ENCODING, "base64"},
        {"value=v", ST_BAD_JSON, "no JSON"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct parsed parsed;
        parse_value(&parsed, bytes_of_text(cases[i].body));
        assert_false(parsed.is_ok);
        assert_int_equal(parsed.problem.status, cases[i].status);
        if (strstr(parsed.problem.detail.text, cases[i].detail) == NULL)
            fail_msg("%s: %s", cases[i].body, parsed.problem.detail.text);
        buf_release(&parsed.store);
    }
}

/* The direct path must never take what jansson would not, nor give another value. */
static void the_direct_path_agrees_with_jansson_on_mutated_bodies(void **state)
{
    static const char seed[] = "{\"value\":\"plain\"}";
    static const char spice[] = "{}\"\\:, \n\t\r\x01\x7f\xc3\xa9value";
    struct prng prng;
    prng_init(&prng, 11);
    for (int round = 0; round < 60000; round++) {
        char body[sizeof seed];
        memcpy(body, seed, sizeof seed);
        for (uint64_t i = prng_below(&prng, 3) + 1; i > 0; i--)
            body[prng_below(&prng, sizeof seed - 1)] = spice[prng_below(&prng, sizeof spice - 1)];
        struct bytes text = bytes_of(body, sizeof seed - 1);
        json_t *root = json_loadb(body, text.count, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
        const json_t *value = json_object_get(root, "value");
        bool is_good = json_object_size(root) == 1 && json_is_string(value);
        struct parsed parsed;

        parse_value(&parsed, text);

        if (parsed.is_ok != is_good)
            fail_msg("seed 11 round %d: %.*s", round, (int)text.count, body);
        if (is_good)
            assert_true(bytes_equal(parsed.value,
                                    bytes_of(json_string_value(value), json_string_length(value))));
        buf_release(&parsed.store);
        json_decref(root);
    }
}

static void an_increment_is_an_integer_of_64_bits_and_one_by_default(void **state)
{
    struct problem problem = {.status = ST_OK};
    int64_t by = 0;
    assert_true(body_parse_by(bytes_of(NULL, 0), &by, &problem));
    assert_int_equal(by, 1);
    assert_true(body_parse_by(BYTES_LITERAL("{}"), &by, &problem));
    assert_int_equal(by, 1);
    assert_true(body_parse_by(BYTES_LITERAL("{\"by\":-9223372036854775808}"), &by, &problem));
    assert_true(by == INT64_MIN);

    assert_false(body_parse_by(BYTES_LITERAL("{\"by\":1.5}"), &by, &problem));
    assert_int_equal(problem.status, ST_BAD_FIELD);
    problem_clear(&problem);
    assert_false(body_parse_by(BYTES_LITERAL("{\"by\":9223372036854775808}"), &by, &problem));
    assert_int_equal(problem.status, ST_BAD_JSON);
    problem_clear(&problem);
    assert_false(body_parse_by(BYTES_LITERAL("{\"BY\":1}"), &by, &problem));
    assert_int_equal(problem.status, ST_BAD_FIELD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8_is_judged_as_jansson_judges_it),
        cmocka_unit_test(a_string_that_was_written_reads_back_the_same),
        cmocka_unit_test(a_byte_that_needs_an_escape_gets_it_at_every_place),
        cmocka_unit_test(what_is_not_utf8_is_written_as_base64_under_another_name),
        cmocka_unit_test(base64_of_any_bytes_reads_back_and_has_one_text_only),
        cmocka_unit_test(malformed_base64_is_refused),
        cmocka_unit_test(a_value_is_taken_in_every_spelling_of_json),
        cmocka_unit_test(a_body_that_is_not_one_value_is_refused_with_the_reason),
        cmocka_unit_test(the_direct_path_agrees_with_jansson_on_mutated_bodies),
        cmocka_unit_test(an_increment_is_an_integer_of_64_bits_and_one_by_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
