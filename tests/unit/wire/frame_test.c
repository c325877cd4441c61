/* Frames: cut at any place, changed in any bit, they are never taken for something else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "wire/frame.h"

enum { FRAME_BYTES_MAX = 4096 };

static void put_frame(struct buf *out, enum frame_type type, const char *body)
{
    size_t begin = frame_begin(out, type);
    buf_put_text(out, body);
    frame_end(out, begin);
}

static enum status next(struct bytes in, size_t max, enum frame_type *type, struct bytes *body,
                        size_t *count)
{
    return frame_next(in, max, type, body, count);
}

static void frames_come_out_as_they_went_in(void **state)
{
    struct buf buf;
    enum frame_type type;
    struct bytes body, rest;
    size_t count;
    buf_init(&buf, FRAME_BYTES_MAX);
    for (unsigned i = FRAME_HELLO; i <= FRAME_TYPE_LAST; i++)
        put_frame(&buf, (enum frame_type)i, i % 2 ? "body" : "");

    rest = buf_bytes(&buf);
    for (unsigned i = FRAME_HELLO; i <= FRAME_TYPE_LAST; i++) {
        assert_int_equal(next(rest, FRAME_BYTES_MAX, &type, &body, &count), ST_OK);
        assert_int_equal(type, i);
        assert_true(bytes_equal_text(body, i % 2 ? "body" : ""));
        assert_int_equal(count, frame_bytes_wanted(rest));
        rest = bytes_of(rest.data + count, rest.count - count);
    }

    assert_int_equal(rest.count, 0);
    buf_release(&buf);
}

static void the_header_is_laid_out_as_documented(void **state)
{
    struct buf buf;
    buf_init(&buf, FRAME_BYTES_MAX);
    put_frame(&buf, FRAME_PING, "12345678");

    assert_int_equal(load_u32(buf.data), 8);
    assert_int_equal(load_u32(buf.data + 4), crc32c(0, bytes_of("\7\0\0\0"
                                                                "12345678",
                                                                12)));
    assert_memory_equal(buf.data + 8, "\7\0\0\0", 4);
    assert_int_equal(buf.count, FRAME_HEADER_BYTES + 8);
    buf_release(&buf);
}

static void a_frame_cut_at_any_byte_is_short(void **state)
{
    struct buf buf;
    enum frame_type type;
    struct bytes body;
    size_t count;
    buf_init(&buf, FRAME_BYTES_MAX);
    put_frame(&buf, FRAME_MESSAGE, "some body");

    for (size_t cut = 0; cut < buf.count; cut++)
        assert_int_equal(next(bytes_of(buf.data, cut), FRAME_BYTES_MAX, &type, &body, &count),
                         ST_SHORT);
    buf_release(&buf);
}

static void a_frame_with_any_bit_changed_is_not_taken(void **state)
{
    struct buf buf;
    enum frame_type type;
    struct bytes body;
    size_t count;
    buf_init(&buf, FRAME_BYTES_MAX);
    put_frame(&buf, FRAME_MESSAGE, "some body");

    for (size_t bit = 0; bit < buf.count * 8; bit++) {
        buf.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_not_equal(next(buf_bytes(&buf), FRAME_BYTES_MAX, &type, &body, &count), ST_OK);
        buf.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }

    assert_int_equal(next(buf_bytes(&buf), FRAME_BYTES_MAX, &type, &body, &count), ST_OK);
    buf_release(&buf);
}

static void each_kind_of_damage_has_its_status(void **state)
{
    struct buf buf;
    enum frame_type type;
    struct bytes body;
    size_t count;
    buf_init(&buf, FRAME_BYTES_MAX);
    put_frame(&buf, FRAME_MESSAGE, "some body");
    struct bytes in = buf_bytes(&buf);

    assert_int_equal(next(in, buf.count, &type, &body, &count), ST_OK);
    assert_int_equal(next(in, buf.count - 1, &type, &body, &count), ST_LIMIT);
    buf.data[buf.count - 1] ^= 1;
    assert_int_equal(next(in, buf.count, &type, &body, &count), ST_CORRUPT);
    buf.data[8] = 0;
    assert_int_equal(next(in, buf.count, &type, &body, &count), ST_FORMAT);
    buf.data[8] = FRAME_TYPE_LAST + 1;
    assert_int_equal(next(in, buf.count, &type, &body, &count), ST_FORMAT);
    buf.data[8] = FRAME_MESSAGE;
    buf.data[11] = 1;
    assert_int_equal(next(in, buf.count, &type, &body, &count), ST_FORMAT);
    buf_release(&buf);
}

static void the_limit_holds_before_the_body_is_there(void **state)
{
    enum frame_type type;
    struct bytes body;
    size_t count;
    uint8_t header[FRAME_HEADER_BYTES] = {0xff, 0xff, 0xff, 0xff, [8] = FRAME_MESSAGE};

    assert_int_equal(next(bytes_of(header, sizeof header), FRAME_BYTES_MAX, &type, &body, &count),
                     ST_LIMIT);
    assert_true(frame_bytes_wanted(bytes_of(header, sizeof header)) ==
                (uint64_t)UINT32_MAX + FRAME_HEADER_BYTES);
}

static void a_frame_that_does_not_fit_is_taken_out_again(void **state)
{
    struct buf buf;
    buf_init(&buf, 2 * FRAME_HEADER_BYTES + 4);
    put_frame(&buf, FRAME_BYE, "");

    put_frame(&buf, FRAME_PING, "12345678");

    assert_true(buf.is_full);
    assert_int_equal(buf.count, FRAME_HEADER_BYTES);
    buf_release(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_come_out_as_they_went_in),
        cmocka_unit_test(the_header_is_laid_out_as_documented),
        cmocka_unit_test(a_frame_cut_at_any_byte_is_short),
        cmocka_unit_test(a_frame_with_any_bit_changed_is_not_taken),
        cmocka_unit_test(each_kind_of_damage_has_its_status),
        cmocka_unit_test(the_limit_holds_before_the_body_is_there),
        cmocka_unit_test(a_frame_that_does_not_fit_is_taken_out_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
