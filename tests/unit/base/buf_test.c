/* Buf and cursor: bounded writing, bounded reading, little-endian on every machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/cursor.h"
#include "base/mem.h"
#include "base/prng.h"

static void integers_are_little_endian_at_any_place(void **state)
{
    uint8_t raw[16] = {0};

    store_u16(raw + 1, 0x0102);
    assert_memory_equal(raw, "\0\2\1\0", 4);
    assert_int_equal(load_u16(raw + 1), 0x0102);
    store_u32(raw + 1, 0x80c0e0f0);
    assert_memory_equal(raw, "\0\xf0\xe0\xc0\x80\0", 6);
    assert_int_equal(load_u32(raw + 1), 0x80c0e0f0);
    store_u64(raw + 3, 0xfedcba9876543210u);
    assert_memory_equal(raw + 3, "\x10\x32\x54\x76\x98\xba\xdc\xfe", 8);
    assert_true(load_u64(raw + 3) == 0xfedcba9876543210u);
}

static void what_was_put_is_read_back(void **state)
{
    struct buf buf;
    buf_init(&buf, 1000);
    buf_put_u8(&buf, 0xab);
    buf_put_u16(&buf, 0xffee);
    buf_put_u32(&buf, 0xdeadbeef);
    buf_put_u64(&buf, UINT64_MAX - 1);
    buf_put_sized(&buf, BYTES_LITERAL("sized"));
    buf_put_sized(&buf, bytes_of(NULL, 0));
    buf_put_zeros(&buf, 3);
    buf_put_text(&buf, "text");

    struct cursor cursor = cursor_of(buf_bytes(&buf));
    assert_int_equal(cursor_u8(&cursor), 0xab);
    assert_int_equal(cursor_u16(&cursor), 0xffee);
    assert_int_equal(cursor_u32(&cursor), 0xdeadbeef);
    assert_true(cursor_u64(&cursor) == UINT64_MAX - 1);
    assert_true(bytes_equal_text(cursor_sized(&cursor, 5), "sized"));
    assert_int_equal(cursor_sized(&cursor, 0).count, 0);
    assert_memory_equal(cursor_take(&cursor, 3).data, "\0\0\0", 3);
    assert_false(cursor_is_done(&cursor));
    assert_true(bytes_equal_text(cursor_take(&cursor, 4), "text"));
    assert_true(cursor_is_done(&cursor));
    assert_false(buf.is_full);
    buf_release(&buf);
}

static void aligned_memory_is_there_from_the_start_and_stays(void **state)
{
    enum { ALIGNMENT = 4096, COUNT = 3 * ALIGNMENT };
    struct buf buf;
    buf_init_aligned(&buf, COUNT, ALIGNMENT);
    const uint8_t *data = buf.data;

    assert_int_equal((uintptr_t)data % ALIGNMENT, 0);
    assert_int_equal(buf.count, 0);
    buf_put_u8(&buf, 1);
    buf_put_zeros(&buf, COUNT - 2);
    buf_put_u8(&buf, 2);
    assert_false(buf.is_full);
    assert_ptr_equal(buf.data, data);
    assert_int_equal(data[COUNT - 1], 2);
    buf_put_u8(&buf, 3);
    assert_true(buf.is_full);
    assert_int_equal(buf.count, COUNT);
    buf_reset(&buf);
    buf_put_zeros(&buf, COUNT);
    assert_ptr_equal(buf.data, data);
    buf_release(&buf);
}

static void decimals_are_exact_to_the_last_digit(void **state)
{
    static const struct {
        uint64_t value;
        const char *text;
    } cases[] = {{0, "0"}, {9, "9"}, {10, "10"}, {UINT64_MAX, "18446744073709551615"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf buf;
        buf_init(&buf, 20);
        buf_put_decimal(&buf, cases[i].value);
        assert_string_equal(buf_text(&buf), cases[i].text);
        buf_release(&buf);
    }
}

static void writing_stops_at_the_maximum_and_stays_stopped(void **state)
{
    struct buf buf;
    buf_init(&buf, 6);

    buf_put_u32(&buf, 1);
    assert_false(buf.is_full);
    buf_put_u32(&buf, 2); /* does not fit: nothing of it is written */
    assert_true(buf.is_full);
    assert_int_equal(buf.count, 4);
    buf_put_u8(&buf, 3); /* would fit, but comes after what is missing */
    assert_int_equal(buf.count, 4);
    assert_false(buf_reserve(&buf, 0));

    buf_reset(&buf);
    buf_put_zeros(&buf, 6);
    assert_int_equal(buf.count, 6);
    assert_false(buf.is_full);
    buf_put_zeros(&buf, SIZE_MAX);
    assert_true(buf.is_full);
    buf_release(&buf);
}

static void printed_text_may_fill_the_buf_to_the_last_byte(void **state)
{
    struct buf buf;
    buf_init(&buf, 5);

    buf_printf(&buf, "%s", "abc");
    buf_printf(&buf, "%d", 42);
    assert_false(buf.is_full);
    assert_int_equal(buf.count, 5);
    assert_string_equal(buf_text(&buf), "abc42");
    buf_printf(&buf, "x");
    assert_true(buf.is_full);
    assert_string_equal(buf_text(&buf), "abc42");
    buf_release(&buf);
}

static void text_is_terminated_whatever_the_capacity(void **state)
{
    for (size_t count = 0; count < 200; count++) {
        struct buf buf;
        buf_init(&buf, 200);
        for (size_t i = 0; i < count; i++)
            buf_put_u8(&buf, 'x');
        assert_int_equal(strlen(buf_text(&buf)), count);
        buf_put_text(&buf, ""); /* still writable */
        assert_int_equal(buf.count, count);
        buf_release(&buf);
    }
}

static void consuming_moves_the_rest_down(void **state)
{
    struct buf buf;
    buf_init(&buf, 100);
    buf_put_text(&buf, "abcdef");

    buf_consume(&buf, 0);
    assert_string_equal(buf_text(&buf), "abcdef");
    buf_consume(&buf, 2);
    assert_string_equal(buf_text(&buf), "cdef");
    buf_consume(&buf, 4);
    assert_string_equal(buf_text(&buf), "");
    buf_release(&buf);
}

static void growth_keeps_every_byte(void **state)
{
    struct buf buf;
    buf_init(&buf, 1 << 20);

    for (uint32_t i = 0; i < 100000; i++)
        buf_put_u32(&buf, i);
    struct cursor cursor = cursor_of(buf_bytes(&buf));
    for (uint32_t i = 0; i < 100000; i++)
        assert_int_equal(cursor_u32(&cursor), i);

    assert_true(cursor_is_done(&cursor));
    buf_release(&buf);
}

static void a_read_past_the_end_gives_zeros_for_ever(void **state)
{
    struct cursor cursor = cursor_of(BYTES_LITERAL("\1\2\3"));

    assert_int_equal(cursor_u16(&cursor), 0x0201);
    assert_int_equal(cursor_u16(&cursor), 0);
    assert_true(cursor.is_short);
    assert_int_equal(cursor_u8(&cursor), 0); /* there, but what came before it was not */
    assert_int_equal(cursor_u64(&cursor), 0);
    assert_null(cursor_take(&cursor, 0).data);
    assert_false(cursor_is_done(&cursor));
}

static void a_sized_field_beyond_its_limit_is_short(void **state)
{
    struct cursor cursor = cursor_of(BYTES_LITERAL("\5\0\0\0hello"));
    assert_int_equal(cursor_sized(&cursor, 4).count, 0);
    assert_true(cursor.is_short);

    cursor = cursor_of(BYTES_LITERAL("\6\0\0\0hello"));
    assert_int_equal(cursor_sized(&cursor, 100).count, 0);
    assert_true(cursor.is_short);

    cursor = cursor_of(BYTES_LITERAL("\xff\xff\xff\xff"));
    assert_int_equal(cursor_sized(&cursor, SIZE_MAX).count, 0);
    assert_true(cursor.is_short);
}

static void a_cursor_over_nothing_is_done(void **state)
{
    struct cursor cursor = cursor_of(bytes_of(NULL, 0));

    assert_true(cursor_is_done(&cursor));
    assert_int_equal(cursor_take(&cursor, 0).count, 0);
    assert_true(cursor_is_done(&cursor));
    assert_int_equal(cursor_u8(&cursor), 0);
    assert_false(cursor_is_done(&cursor));
}

static void bytes_are_ordered_as_unsigned_with_prefixes_first(void **state)
{
    static const struct bytes rising[] = {{NULL, 0},
                                          {(const uint8_t *)"\0", 1},
                                          {(const uint8_t *)"a", 1},
                                          {(const uint8_t *)"a\0", 2},
                                          {(const uint8_t *)"ab", 2},
                                          {(const uint8_t *)"b", 1},
                                          {(const uint8_t *)"\x80", 1},
                                          {(const uint8_t *)"\xff", 1}};
    size_t count = sizeof rising / sizeof rising[0];
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < count; k++) {
            int order = bytes_compare(rising[i], rising[k]);
            assert_int_equal((order > 0) - (order < 0), (i > k) - (i < k));
            assert_int_equal(bytes_equal(rising[i], rising[k]), i == k);
        }
    assert_true(bytes_has_prefix(BYTES_LITERAL("abc"), BYTES_LITERAL("ab")));
    assert_true(bytes_has_prefix(BYTES_LITERAL("abc"), bytes_of(NULL, 0)));
    assert_false(bytes_has_prefix(BYTES_LITERAL("ab"), BYTES_LITERAL("abc")));
    assert_false(bytes_has_prefix(BYTES_LITERAL("xbc"), BYTES_LITERAL("ab")));
}

/* A model of the buf: an array, a count and a maximum. */
static void random_writes_agree_with_a_model(void **state)
{
    const uint64_t seed = 11;
    enum { MAXIMUM = 500 };
    uint8_t model[MAXIMUM];
    struct prng prng;
    prng_init(&prng, seed);

    for (int round = 0; round < 200; round++) {
        size_t model_count = 0;
        bool is_full = false;
        struct buf buf;
        buf_init(&buf, MAXIMUM);
        for (int step = 0; step < 60; step++) {
            uint8_t raw[40];
            size_t count = prng_below(&prng, sizeof raw);
            for (size_t i = 0; i < count; i++)
                raw[i] = (uint8_t)prng_next(&prng);
            if (prng_below(&prng, 8) == 0) {
                size_t gone = prng_below(&prng, buf.count + 1);
                buf_consume(&buf, gone);
                memmove(model, model + gone, model_count - gone);
                model_count -= gone;
            }
            buf_put(&buf, bytes_of(raw, count));
            is_full |= count > MAXIMUM - model_count;
            if (!is_full && count != 0) {
                memcpy(model + model_count, raw, count);
                model_count += count;
            }
            assert_int_equal(buf.count, model_count);
            assert_int_equal(buf.is_full, is_full);
            if (model_count != 0)
                assert_memory_equal(buf.data, model, model_count);
        }
        buf_release(&buf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_are_little_endian_at_any_place),
        cmocka_unit_test(what_was_put_is_read_back),
        cmocka_unit_test(aligned_memory_is_there_from_the_start_and_stays),
        cmocka_unit_test(decimals_are_exact_to_the_last_digit),
        cmocka_unit_test(writing_stops_at_the_maximum_and_stays_stopped),
        cmocka_unit_test(printed_text_may_fill_the_buf_to_the_last_byte),
        cmocka_unit_test(text_is_terminated_whatever_the_capacity),
        cmocka_unit_test(consuming_moves_the_rest_down),
        cmocka_unit_test(growth_keeps_every_byte),
        cmocka_unit_test(a_read_past_the_end_gives_zeros_for_ever),
        cmocka_unit_test(a_sized_field_beyond_its_limit_is_short),
        cmocka_unit_test(a_cursor_over_nothing_is_done),
        cmocka_unit_test(bytes_are_ordered_as_unsigned_with_prefixes_first),
        cmocka_unit_test(random_writes_agree_with_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
