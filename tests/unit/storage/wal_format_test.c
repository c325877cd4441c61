/* The bytes of the log: what is a frame, and what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "storage/wal_format.h"
#include "support/golden.h"

#define GOLDEN_DIR TEST_SOURCE_DIR "/golden"

enum { SALT = 0x5a17, OFFSET = 2 * WAL_BLOCK_BYTES, SEGMENT = 1 };

static const struct wal_segment_header segment_header = {
    .owner = {0x1122334455667788, 0x99aabbccddeeff00},
    .segment = SEGMENT,
    .salt = SALT,
    .first_seq = 1,
};

static void put_entry(struct buf *records, enum entry_type type, struct entry_id id,
                      const char *data)
{
    struct entry *entry = entry_new(type, strlen(data));
    memcpy(entry->data, data, strlen(data));
    entry_seal(entry, id);
    wal_format_put_entry(entry, records);
    entry_unref(entry);
}

/* Adds a frame at the end of `file`, padded; its header's chain, seq and sizes are filled in. */
static void put_frame(struct buf *file, struct wal_frame_header *header, struct bytes records)
{
    size_t offset = file->count;
    header->records_bytes = (uint32_t)records.count;
    buf_put_zeros(file, WAL_FRAME_HEADER_BYTES);
    buf_put(file, records);
    wal_format_seal_frame(header, SALT, offset, file->data + offset);
    buf_put_zeros(file, offset + wal_format_frame_bytes(records.count) - file->count);
    header->chain = header->checksum;
    header->durable_seq = header->seq++;
    header->records_count = 0;
}

static void every_byte_of_a_segment_is_as_documented(void **state)
{
    /* given one of everything */
    struct buf file, records;
    buf_init(&file, 16 * WAL_BLOCK_BYTES);
    buf_init(&records, WAL_BLOCK_BYTES);
    buf_put_zeros(&file, WAL_BLOCK_BYTES);
    struct wal_frame_header frame = {.segment = SEGMENT, .seq = 1};

    /* when it is encoded */
    wal_format_encode_segment(&segment_header, file.data);
    put_frame(&file, &frame, buf_bytes(&records));
    wal_format_put_hard_state(&(struct hard_state){.term = 3, .vote = 2}, &records);
    put_entry(&records, ENTRY_NOOP, (struct entry_id){3, 1}, "");
    put_entry(&records, ENTRY_COMMAND, (struct entry_id){3, 2}, "hello, log");
    frame.records_count = 3;
    put_frame(&file, &frame, buf_bytes(&records));
    buf_reset(&records);
    put_entry(&records, ENTRY_COMMAND, (struct entry_id){4, 2}, "supersedes");
    frame.records_count = 1;
    frame.commit = 1;
    put_frame(&file, &frame, buf_bytes(&records));
    put_frame(&file, &frame, bytes_of(NULL, 0));
    buf_put_zeros(&file, WAL_BLOCK_BYTES);

    /* then the bytes are those of every release of this version */
    assert_true(golden_matches(GOLDEN_DIR, "wal/0000000000000001.log", buf_bytes(&file)));
    buf_release(&records);
    buf_release(&file);
}

static void a_segment_header_comes_back_as_it_went_in(void **state)
{
    struct wal_segment_header in = {.owner = {1, UINT64_MAX},
                                    .segment = 0xfedcba9876543210,
                                    .salt = 0x0123456789abcdef,
                                    .first_seq = 77,
                                    .chain = 0xdeadbeef,
                                    .hard_state = {.term = 9, .vote = NODE_ID_MAX},
                                    .commit = 5,
                                    .last = {8, 6},
                                    .snapshot = {4, 3}};
    struct wal_segment_header out = {0};
    struct errtext error;
    uint8_t block[WAL_BLOCK_BYTES], again[WAL_BLOCK_BYTES];

    wal_format_encode_segment(&in, block);
    assert_int_equal(wal_format_decode_segment(bytes_of(block, sizeof block), &out, &error), ST_OK);

    wal_format_encode_segment(&out, again);
    assert_memory_equal(block, again, sizeof block);
    assert_int_equal(out.hard_state.vote, NODE_ID_MAX);
    assert_int_equal(out.snapshot.index, 3);
}

static void any_flipped_bit_of_a_segment_header_is_damage(void **state)
{
    uint8_t block[WAL_BLOCK_BYTES];
    struct wal_segment_header out;
    struct errtext error;
    wal_format_encode_segment(&segment_header, block);
    for (size_t bit = 0; bit < sizeof block * 8; bit++) {
        block[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(wal_format_decode_segment(bytes_of(block, sizeof block), &out, &error),
                         ST_CORRUPT);
        block[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(wal_format_decode_segment(bytes_of(block, sizeof block - 1), &out, &error),
                     ST_SHORT);
}

static void another_version_is_refused_by_its_number(void **state)
{
    uint8_t block[WAL_BLOCK_BYTES];
    struct wal_segment_header out;
    struct errtext error;
    wal_format_encode_segment(&segment_header, block);

    store_u32(block + 4, 7);
    store_u32(block, crc32c(0, bytes_of(block + 4, sizeof block - 4)));

    assert_int_equal(wal_format_decode_segment(bytes_of(block, sizeof block), &out, &error),
                     ST_FORMAT);
    assert_non_null(strstr(error.text, "version 7"));
}

struct frame_fixture {
    struct buf bytes;
    struct wal_frame_header header;
};

static int set_up_frame(void **state)
{
    static struct frame_fixture fixture;
    struct buf records;
    buf_init(&records, WAL_BLOCK_BYTES);
    wal_format_put_hard_state(&(struct hard_state){.term = 3, .vote = 2}, &records);
    put_entry(&records, ENTRY_COMMAND, (struct entry_id){3, 2}, "odd sized");
    fixture.header = (struct wal_frame_header){.records_bytes = (uint32_t)records.count,
                                               .segment = SEGMENT,
                                               .seq = 9,
                                               .durable_seq = 8,
                                               .commit = 1,
                                               .records_count = 2,
                                               .chain = 0xabcd};
    buf_init(&fixture.bytes, WAL_BLOCK_BYTES);
    buf_put_zeros(&fixture.bytes, WAL_FRAME_HEADER_BYTES);
    buf_put(&fixture.bytes, buf_bytes(&records));
    wal_format_seal_frame(&fixture.header, SALT, OFFSET, fixture.bytes.data);
    buf_release(&records);
    *state = &fixture;
    return 0;
}

static int tear_down_frame(void **state)
{
    struct frame_fixture *fixture = *state;
    buf_release(&fixture->bytes);
    return 0;
}

static enum status decode(const struct frame_fixture *fixture, uint64_t segment, uint64_t salt,
                          uint64_t offset)
{
    struct wal_frame_header header;
    struct bytes records;
    return wal_format_decode_frame(buf_bytes(&fixture->bytes), segment, salt, offset, &header,
                                   &records);
}

static void a_frame_comes_back_as_it_went_in(void **state)
{
    const struct frame_fixture *fixture = *state;
    struct wal_frame_header header;
    struct bytes records;
    struct wal_record record;
    struct hard_state hard_state;
    struct entry *entry;

    assert_int_equal(wal_format_decode_frame(buf_bytes(&fixture->bytes), SEGMENT, SALT, OFFSET,
                                             &header, &records),
                     ST_OK);
    assert_memory_equal(&header, &fixture->header, sizeof header);

    struct cursor cursor = cursor_of(records);
    assert_int_equal(wal_format_next_record(&cursor, &record), ST_OK);
    assert_int_equal(record.type, WAL_RECORD_HARD_STATE);
    assert_int_equal(wal_format_decode_hard_state(record.payload, &hard_state), ST_OK);
    assert_int_equal(hard_state.term, 3);
    assert_int_equal(hard_state.vote, 2);
    assert_int_equal(wal_format_next_record(&cursor, &record), ST_OK);
    assert_int_equal(record.type, WAL_RECORD_ENTRY);
    assert_int_equal(wal_format_decode_entry(record.payload, &entry), ST_OK);
    assert_true(bytes_equal_text(entry_data(entry), "odd sized"));
    entry_unref(entry);
    assert_int_equal(wal_format_next_record(&cursor, &record), ST_NOT_FOUND);
}

static void a_frame_is_valid_in_its_own_place_only(void **state)
{
    const struct frame_fixture *fixture = *state;

    assert_int_equal(decode(fixture, SEGMENT, SALT, OFFSET), ST_OK);
    assert_int_equal(decode(fixture, SEGMENT + 1, SALT, OFFSET), ST_CORRUPT);
    assert_int_equal(decode(fixture, SEGMENT, SALT, OFFSET + WAL_BLOCK_BYTES), ST_CORRUPT);
    for (int bit = 0; bit < 64; bit++) {
        assert_int_equal(decode(fixture, SEGMENT, SALT ^ UINT64_C(1) << bit, OFFSET), ST_CORRUPT);
        assert_int_equal(decode(fixture, SEGMENT, SALT, OFFSET ^ UINT64_C(1) << bit), ST_CORRUPT);
    }
}

static void any_flipped_bit_of_a_frame_makes_it_invalid(void **state)
{
    struct frame_fixture *fixture = *state;
    for (size_t bit = 0; bit < fixture->bytes.count * 8; bit++) {
        fixture->bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        enum status status = decode(fixture, SEGMENT, SALT, OFFSET);
        assert_true(status == ST_CORRUPT || status == ST_SHORT);
        fixture->bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void a_frame_cut_at_any_byte_is_short(void **state)
{
    const struct frame_fixture *fixture = *state;
    struct wal_frame_header header;
    struct bytes records;
    for (size_t count = 0; count < fixture->bytes.count; count++)
        assert_int_equal(wal_format_decode_frame(bytes_of(fixture->bytes.data, count), SEGMENT,
                                                 SALT, OFFSET, &header, &records),
                         ST_SHORT);
}

static void zeros_are_no_frame(void **state)
{
    static const uint8_t zeros[WAL_BLOCK_BYTES];
    struct wal_frame_header header;
    struct bytes records;
    assert_int_equal(wal_format_decode_frame(bytes_of(zeros, sizeof zeros), SEGMENT, SALT, OFFSET,
                                             &header, &records),
                     ST_CORRUPT);
}

static void a_size_that_no_frame_has_is_not_believed(void **state)
{
    struct frame_fixture *fixture = *state;
    struct wal_frame_header header;
    static const uint32_t sizes[] = {UINT32_MAX, UINT32_MAX - 7, LIMIT_WAL_FRAME_BYTES, 1};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        store_u32(fixture->bytes.data + 4, sizes[i]);
        assert_int_equal(wal_format_peek_frame(buf_bytes(&fixture->bytes), SEGMENT, &header),
                         ST_CORRUPT);
    }
}

static void malformed_records_are_damage(void **state)
{
    static const struct {
        size_t at;
        uint8_t value;
    } faults[] = {
        {0, 0xff}, /* bytes: more than there are */
        {3, 0xff}, /* bytes: far more */
        {4, 0},    /* no type */
        {4, 4},    /* an unknown type */
        {5, 1},    /* reserved, not zero */
        {7, 1},    /* reserved, not zero */
        {23, 1},   /* padding, not zero */
    };
    struct wal_record record;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        uint8_t bytes[24] = {13, 0, 0, 0, WAL_RECORD_ENTRY};
        struct cursor whole = cursor_of(bytes_of(bytes, sizeof bytes));
        assert_int_equal(wal_format_next_record(&whole, &record), ST_OK);

        bytes[faults[i].at] = faults[i].value;

        struct cursor faulty = cursor_of(bytes_of(bytes, sizeof bytes));
        assert_int_equal(wal_format_next_record(&faulty, &record), ST_CORRUPT);
    }
}

static void malformed_payloads_are_damage(void **state)
{
    uint8_t hard_state_bytes[WAL_HARD_STATE_BYTES + 1] = {0};
    struct hard_state hard_state;
    struct entry *entry;
    struct bytes short_one = bytes_of(hard_state_bytes, WAL_HARD_STATE_BYTES - 1);
    struct bytes long_one = bytes_of(hard_state_bytes, WAL_HARD_STATE_BYTES + 1);
    struct bytes whole = bytes_of(hard_state_bytes, WAL_HARD_STATE_BYTES);

    assert_int_equal(wal_format_decode_hard_state(short_one, &hard_state), ST_CORRUPT);
    assert_int_equal(wal_format_decode_hard_state(long_one, &hard_state), ST_CORRUPT);
    hard_state_bytes[15] = 1;
    assert_int_equal(wal_format_decode_hard_state(whole, &hard_state), ST_CORRUPT);
    hard_state_bytes[15] = 0;
    hard_state_bytes[11] = 0x80; /* an id above NODE_ID_MAX */
    assert_int_equal(wal_format_decode_hard_state(whole, &hard_state), ST_CORRUPT);
    assert_int_equal(wal_format_decode_entry(whole, &entry), ST_CORRUPT);
}

int main(void)
{
#define FRAME_TEST(test) cmocka_unit_test_setup_teardown(test, set_up_frame, tear_down_frame)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_of_a_segment_is_as_documented),
        cmocka_unit_test(a_segment_header_comes_back_as_it_went_in),
        cmocka_unit_test(any_flipped_bit_of_a_segment_header_is_damage),
        cmocka_unit_test(another_version_is_refused_by_its_number),
        FRAME_TEST(a_frame_comes_back_as_it_went_in),
        FRAME_TEST(a_frame_is_valid_in_its_own_place_only),
        FRAME_TEST(any_flipped_bit_of_a_frame_makes_it_invalid),
        FRAME_TEST(a_frame_cut_at_any_byte_is_short),
        cmocka_unit_test(zeros_are_no_frame),
        FRAME_TEST(a_size_that_no_frame_has_is_not_believed),
        cmocka_unit_test(malformed_records_are_damage),
        cmocka_unit_test(malformed_payloads_are_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
