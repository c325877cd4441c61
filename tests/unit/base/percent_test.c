/* Percent-encoding, byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/percent.h"

static void assert_encodes(struct bytes bytes, const char *wanted)
{
    char out[64];
    size_t count = percent_encode(bytes, out);
    assert_int_equal(count, strlen(wanted));
    assert_memory_equal(out, wanted, count);
}

static void unreserved_characters_stay_and_all_other_bytes_are_escaped(void **state)
{
    (void)state;
    static const char unreserved[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"; /* RFC 3986 §2.3 */
    for (unsigned c = 0; c < 256; c++) {
        uint8_t byte = (uint8_t)c;
        char wanted[8] = {(char)byte};
        if (c == 0 || strchr(unreserved, (int)c) == NULL)
            (void)snprintf(wanted, sizeof wanted, "%%%02X", c);
        assert_encodes(bytes_of(&byte, 1), wanted);
    }
}

static void bytes_are_encoded_one_behind_the_other(void **state)
{
    (void)state;
    assert_encodes(BYTES_LITERAL(""), "");
    assert_encodes(BYTES_LITERAL("a/b c\r\n"), "a%2Fb%20c%0D%0A");
    assert_encodes(BYTES_LITERAL("\xc3\xbc?100%"), "%C3%BC%3F100%25");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unreserved_characters_stay_and_all_other_bytes_are_escaped),
        cmocka_unit_test(bytes_are_encoded_one_behind_the_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
