/* The bytes of a snapshot file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "storage/snapfile_format.h"
#include "support/golden.h"

#define GOLDEN_DIR TEST_SOURCE_DIR "/golden"
#define CLUSTER    0x0102030405060708ull

enum { BLOCK_BYTES = 64 };

static const struct entry_id last = {1, 3};

/* The example of docs/formats/state.md. */
static const uint8_t example[] = {
    0x02, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x0d, 0x00,
    0x00, 0x00, 0x31, 0x30, 0x2e, 0x30, 0x2e, 0x30, 0x2e, 0x31, 0x3a, 0x37, 0x30, 0x30, 0x30, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x6e,
    0x01, 0x00, 0x00, 0x00, 0x35, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x6d,
    0x65, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x04, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x07, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0xd5, 0x53, 0x70, 0x6b, 0xd6, 0x28, 0x12, 0xe1, 0x02, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x05, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x03, 0x00, 0x01, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0xf3, 0x20, 0x8a, 0x9f, 0x74, 0x77, 0x9a, 0x32,
};

/* The whole file; the caller releases it. */
static void make(struct bytes content, uint32_t block_bytes, struct buf *file)
{
    struct snapfile_stream stream;
    buf_init(file, SIZE_MAX / 2);
    snapfile_format_begin(&stream, CLUSTER, last, block_bytes, file);
    for (; content.count > block_bytes;
         content = bytes_of(content.data + block_bytes, content.count - block_bytes))
        snapfile_format_put_block(&stream, bytes_of(content.data, block_bytes), false, file);
    snapfile_format_put_block(&stream, content, true, file);
    snapfile_format_end(&stream, file);
    assert_int_equal(stream.file_bytes, file->count);
}

/* Takes everything from `file`; the content is compared with the example. */
static enum status take_all(struct bytes file, size_t *out_content_bytes)
{
    struct snapfile_stream stream = {0};
    struct errtext error;
    size_t at = 0, seen = 0;
    for (;;) {
        size_t taken = 0;
        struct bytes content;
        assert_int_equal(stream.file_bytes, at);
        enum status status = snapfile_format_take(
            &stream, bytes_of(file.data + at, file.count - at), &taken, &content, &error);
        if (status != ST_OK) {
            *out_content_bytes = seen;
            return status;
        }
        if (content.count > 0)
            assert_memory_equal(content.data, example + seen, content.count);
        seen += content.count;
        at += taken;
    }
}

static void every_byte_of_a_snapshot_is_as_documented(void **state)
{
    struct buf file;
    make(bytes_of(example, sizeof example), BLOCK_BYTES, &file);

    assert_true(golden_matches(GOLDEN_DIR, "snapshot/0000000000000003-0000000000000001.snap",
                               buf_bytes(&file)));
    buf_release(&file);
}

static void content_comes_back_as_it_went_in(void **state)
{
    for (uint32_t block_bytes = 1; block_bytes <= sizeof example + 1; block_bytes++) {
        struct buf file;
        size_t seen;
        make(bytes_of(example, sizeof example), block_bytes, &file);

        assert_int_equal(take_all(buf_bytes(&file), &seen), ST_NOT_FOUND);

        assert_int_equal(seen, sizeof example);
        buf_release(&file);
    }
}

static void a_file_cut_at_any_byte_is_short(void **state)
{
    struct buf file;
    size_t seen;
    make(bytes_of(example, sizeof example), BLOCK_BYTES, &file);

    for (size_t count = 0; count < file.count; count++)
        assert_int_equal(take_all(bytes_of(file.data, count), &seen), ST_SHORT);
    buf_release(&file);
}

static void any_flipped_bit_is_damage(void **state)
{
    struct buf file;
    size_t seen;
    make(bytes_of(example, sizeof example), BLOCK_BYTES, &file);

    for (size_t bit = 0; bit < file.count * 8; bit++) {
        file.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        enum status status = take_all(buf_bytes(&file), &seen);
        if (status != ST_CORRUPT)
            fail_msg("bit %zu: %s", bit, status_info(status)->name);
        file.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    buf_release(&file);
}

static void another_version_is_refused_by_its_number(void **state)
{
    struct buf file;
    struct snapfile_stream stream = {0};
    struct errtext error;
    struct bytes content;
    size_t taken;
    make(bytes_of(example, sizeof example), BLOCK_BYTES, &file);
    store_u32(file.data + 4, 9);
    store_u32(file.data, crc32c(0, bytes_of(file.data + 4, SNAPFILE_HEADER_BYTES - 4)));

    assert_int_equal(snapfile_format_take(&stream, buf_bytes(&file), &taken, &content, &error),
                     ST_FORMAT);

    assert_non_null(strstr(error.text, "snapshot format version 9"));
    buf_release(&file);
}

/* Each with a good checksum: no correct program makes them. */
static void impossible_numbers_are_damage(void **state)
{
    static const struct {
        size_t at;
        uint32_t value;
    } changes[] = {{32, 0}, {40, 0}, {40, LIMIT_SNAPSHOT_BLOCK_BYTES + 1}};
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        struct buf file;
        size_t seen;
        make(bytes_of(example, sizeof example), BLOCK_BYTES, &file);
        store_u32(file.data + changes[i].at, changes[i].value);
        store_u32(file.data, crc32c(0, bytes_of(file.data + 4, SNAPFILE_HEADER_BYTES - 4)));

        assert_int_equal(take_all(buf_bytes(&file), &seen), ST_CORRUPT);
        buf_release(&file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_of_a_snapshot_is_as_documented),
        cmocka_unit_test(content_comes_back_as_it_went_in),
        cmocka_unit_test(a_file_cut_at_any_byte_is_short),
        cmocka_unit_test(any_flipped_bit_is_damage),
        cmocka_unit_test(another_version_is_refused_by_its_number),
        cmocka_unit_test(impossible_numbers_are_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
