/* Eight bytes at once say what each of them says. */
#include <stdarg.h>
#include <stddef.h>

#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/octets.h"

/* Every byte at every place, among others that borrow from it or lend to it. */
static void a_word_has_what_one_of_its_bytes_is(void **state)
{
    static const uint8_t others[] = {0x00, 0x1f, 0x20, 0x5c, 0x61, 0x7f, 0x80, 0xff};
    static const uint8_t bounds[] = {0x01, 0x20, 0x21, 0x80};
    (void)state;
    for (int value = 0; value < 256; value++) {
        for (size_t at = 0; at < 8 * sizeof others; at++) {
            uint8_t other = others[at / 8];
            uint8_t bytes[8];
            memset(bytes, other, sizeof bytes);
            bytes[at % 8] = (uint8_t)value;
            uint64_t word = octets_load(bytes);

            for (size_t i = 0; i < sizeof bounds; i++)
                assert_int_equal(octets_have_below(word, bounds[i]),
                                 value < bounds[i] || other < bounds[i]);
            assert_int_equal(octets_have_high(word), value > 127 || other > 127);
            assert_true(octets_have(word, (uint8_t)value));
            assert_int_equal(octets_have(word, '\\'), value == '\\' || other == '\\');
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_word_has_what_one_of_its_bytes_is),
    };
    return cmocka_run_group_tests_name("base octets", tests, NULL, NULL);
}
