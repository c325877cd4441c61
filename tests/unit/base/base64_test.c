/* Base64 against RFC 4648 §10, and every way to be malformed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/base64.h"
#include "base/prng.h"

static void the_vectors_of_the_rfc_go_both_ways(void **state)
{
    (void)state;
    static const char *const rows[][2] = {{"", ""},
                                          {"f", "Zg=="},
                                          {"fo", "Zm8="},
                                          {"foo", "Zm9v"},
                                          {"foob", "Zm9vYg=="},
                                          {"fooba", "Zm9vYmE="},
                                          {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct buf text, bytes;
        buf_init(&text, 100);
        buf_init(&bytes, 100);
        base64_put(&text, bytes_of_text(rows[i][0]));
        assert_string_equal(buf_text(&text), rows[i][1]);
        assert_int_equal(base64_decode(buf_bytes(&text), &bytes), ST_OK);
        assert_true(bytes_equal_text(buf_bytes(&bytes), rows[i][0]));
        buf_release(&text);
        buf_release(&bytes);
    }
}

static void any_bytes_come_back(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 42);
    for (size_t count = 0; count < 300; count++) {
        uint8_t source[300];
        struct buf text, bytes;
        for (size_t i = 0; i < count; i++)
            source[i] = (uint8_t)prng_next(&prng);
        buf_init(&text, 1000);
        buf_init(&bytes, 1000);
        base64_put(&text, bytes_of(source, count));
        assert_int_equal(base64_decode(buf_bytes(&text), &bytes), ST_OK);
        assert_true(bytes_equal(buf_bytes(&bytes), bytes_of(source, count)));
        buf_release(&text);
        buf_release(&bytes);
    }
}

static void malformed_text_is_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {"A",    "AA",   "AAA",      "A===",  "====",     "AA=A",
                                       "AAA.", "AA A", "AA==AAAA", "Zh==",  "Zm9=",     "A-_A",
                                       "=AAA", "A=AA", "AAA=AAAA", "AAAA=", "AAAA\nAAA"};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct buf bytes;
        buf_init(&bytes, 100);
        if (base64_decode(bytes_of_text(rows[i]), &bytes) != ST_BAD_ENCODING)
            fail_msg("\"%s\" was taken", rows[i]);
        buf_release(&bytes);
    }
}

static void no_room_is_refused(void **state)
{
    (void)state;
    struct buf bytes;
    buf_init(&bytes, 2);
    assert_int_equal(base64_decode(bytes_of_text("Zm9v"), &bytes), ST_BAD_ENCODING);
    assert_int_equal(bytes.count, 0);
    buf_release(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_the_rfc_go_both_ways),
        cmocka_unit_test(any_bytes_come_back),
        cmocka_unit_test(malformed_text_is_refused),
        cmocka_unit_test(no_room_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
