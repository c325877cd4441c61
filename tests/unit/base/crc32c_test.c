/* CRC32C: the published values, and the processor's answer against the portable one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "base/mem.h"
#include "base/prng.h"

/* The definition, bit by bit. */
static uint32_t by_the_book(struct bytes bytes)
{
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < bytes.count; i++) {
        crc ^= bytes.data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    }
    return ~crc;
}

static void published_values_hold(void **state)
{
    uint8_t zeros[32] = {0}, ones[32], rising[32], falling[32];
    for (int i = 0; i < 32; i++) {
        ones[i] = 0xff;
        rising[i] = (uint8_t)i;
        falling[i] = (uint8_t)(31 - i);
    }

    /* RFC 3720 appendix B.4, and the check value of the catalogues. */
    assert_int_equal(crc32c(0, bytes_of(zeros, 32)), 0x8a9136aa);
    assert_int_equal(crc32c(0, bytes_of(ones, 32)), 0x62a8ab43);
    assert_int_equal(crc32c(0, bytes_of(rising, 32)), 0x46dd794e);
    assert_int_equal(crc32c(0, bytes_of(falling, 32)), 0x113fdb5c);
    assert_int_equal(crc32c(0, BYTES_LITERAL("123456789")), 0xe3069283);
    assert_int_equal(crc32c(0, bytes_of(NULL, 0)), 0);
}

static void all_versions_agree_at_every_length_and_alignment(void **state)
{
    const uint64_t seed = 3;
    enum { BYTES_COUNT = 40000 }; /* long ones are cut up */
    struct prng prng;
    uint8_t *data = mem_alloc(BYTES_COUNT);
    prng_init(&prng, seed);
    for (int i = 0; i < BYTES_COUNT; i++)
        data[i] = (uint8_t)prng_next(&prng);

    for (size_t offset = 0; offset < 17; offset++)
        for (size_t count = 0; count < 300; count++) {
            struct bytes bytes = bytes_of(data + offset, count);
            assert_int_equal(crc32c(0, bytes), by_the_book(bytes));
            assert_int_equal(crc32c_portable(0, bytes), by_the_book(bytes));
        }
    for (int round = 0; round < 200; round++) {
        size_t offset = prng_below(&prng, 64);
        struct bytes bytes = bytes_of(data + offset, prng_below(&prng, BYTES_COUNT - 64));
        uint32_t start = (uint32_t)prng_next(&prng);
        assert_int_equal(crc32c(start, bytes), crc32c_portable(start, bytes));
    }
    mem_free(data);
}

static void it_can_be_continued_at_any_place(void **state)
{
    struct bytes whole = BYTES_LITERAL("The checksum of the whole is that of its parts in turn.");
    uint32_t wanted = crc32c(0, whole);

    for (size_t cut = 0; cut <= whole.count; cut++) {
        struct bytes head = bytes_of(whole.data, cut);
        struct bytes tail = bytes_of(whole.data + cut, whole.count - cut);
        assert_int_equal(crc32c(crc32c(0, head), tail), wanted);
        assert_int_equal(crc32c_portable(crc32c_portable(0, head), tail), wanted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_values_hold),
        cmocka_unit_test(all_versions_agree_at_every_length_and_alignment),
        cmocka_unit_test(it_can_be_continued_at_any_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
