/* Pieces of snapshots, asked for and sent: no field out of range gets through, and no size that
 * another one contradicts. Round trips, cuts and changed bytes: codec_test.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/fetch.h"

enum { BODY_BYTES_MAX = SNAPSHOT_CHUNK_HEADER_BYTES + 2 * LIMIT_SNAPSHOT_CHUNK_BYTES };
static const uint64_t number_max = (uint64_t)INT64_MAX;

/* The fields as bytes, without the checks of an encoder. */
struct fields {
    uint64_t number, term, index, offset, total;
    uint32_t bytes_max, state, unpacked_bytes, bytes_count;
};

static const struct fields good_fetch = {
    .number = 1, .term = 5, .index = 1000, .offset = 4096, .bytes_max = 10};
static const struct fields good_chunk = {
    .number = 1, .term = 5, .index = 1000, .offset = 4096, .total = 4106, .bytes_count = 10};

static void put_place(struct buf *body, struct fields fields)
{
    buf_put_u64(body, fields.number);
    buf_put_u64(body, fields.term);
    buf_put_u64(body, fields.index);
    buf_put_u64(body, fields.offset);
}

static enum status status_of_fetch(struct fields fields)
{
    struct buf body;
    struct snapshot_fetch fetch;
    buf_init(&body, 4096);
    put_place(&body, fields);
    buf_put_u32(&body, fields.bytes_max);
    enum status status = snapshot_fetch_decode(buf_bytes(&body), &fetch);
    buf_release(&body);
    return status;
}

/* With as many bytes behind the fields as they say, as far as a body has room. */
static enum status status_of_chunk(struct fields fields)
{
    struct buf body;
    struct snapshot_chunk chunk;
    buf_init(&body, BODY_BYTES_MAX);
    put_place(&body, fields);
    buf_put_u64(&body, fields.total);
    buf_put_u32(&body, fields.state);
    buf_put_u32(&body, fields.unpacked_bytes);
    buf_put_u32(&body, fields.bytes_count);
    buf_put_zeros(&body, MIN(fields.bytes_count, 2 * LIMIT_SNAPSHOT_CHUNK_BYTES));
    enum status status = snapshot_chunk_decode(buf_bytes(&body), &chunk);
    if (status == ST_OK) {
        assert_int_equal(chunk.bytes.count, fields.bytes_count);
        assert_int_equal(chunk.state, fields.state);
        assert_int_equal(chunk.unpacked_bytes, fields.unpacked_bytes);
    }
    buf_release(&body);
    return status;
}

static void check_places(enum status (*status_of)(struct fields), struct fields good)
{
    struct fields bad;
    assert_int_equal(status_of(good), ST_OK);
    bad = good, bad.number = number_max;
    assert_int_equal(status_of(bad), ST_OK);
    bad = good, bad.number = 0;
    assert_int_equal(status_of(bad), ST_FORMAT);
    bad = good, bad.number = number_max + 1;
    assert_int_equal(status_of(bad), ST_FORMAT);
    bad = good, bad.term = 0;
    assert_int_equal(status_of(bad), ST_FORMAT);
    bad = good, bad.index = 0;
    assert_int_equal(status_of(bad), ST_FORMAT);
    bad = good, bad.term = bad.index = 0; /* before the first entry there is no snapshot */
    assert_int_equal(status_of(bad), ST_FORMAT);
    bad = good, bad.term = number_max + 1;
    assert_int_equal(status_of(bad), ST_FORMAT);
    bad = good, bad.index = UINT64_MAX;
    assert_int_equal(status_of(bad), ST_FORMAT);
    bad = good, bad.offset = number_max + 1;
    assert_int_equal(status_of(bad), ST_FORMAT);
}

static void number_snapshot_and_offset_have_ranges(void **state)
{
    check_places(status_of_fetch, good_fetch);
    check_places(status_of_chunk, good_chunk);
}

static void a_fetch_asks_for_a_byte_at_least_and_a_chunk_at_most(void **state)
{
    struct fields fields = good_fetch;

    fields.bytes_max = 0;
    assert_int_equal(status_of_fetch(fields), ST_FORMAT);
    fields.bytes_max = 1;
    assert_int_equal(status_of_fetch(fields), ST_OK);
    fields.bytes_max = LIMIT_SNAPSHOT_CHUNK_BYTES;
    assert_int_equal(status_of_fetch(fields), ST_OK);
    fields.bytes_max = LIMIT_SNAPSHOT_CHUNK_BYTES + 1;
    assert_int_equal(status_of_fetch(fields), ST_LIMIT);
    fields.bytes_max = UINT32_MAX;
    assert_int_equal(status_of_fetch(fields), ST_LIMIT);
    fields = good_fetch, fields.offset = 0;
    assert_int_equal(status_of_fetch(fields), ST_OK);
    fields.offset = number_max;
    assert_int_equal(status_of_fetch(fields), ST_OK);
}

static void a_chunk_that_is_here_has_bytes_within_its_file(void **state)
{
    struct fields fields = good_chunk;

    fields.total = 4107; /* and one more */
    assert_int_equal(status_of_chunk(fields), ST_OK);
    fields.total = 4105; /* one too few */
    assert_int_equal(status_of_chunk(fields), ST_FORMAT);
    fields.total = 4000; /* behind the end */
    assert_int_equal(status_of_chunk(fields), ST_FORMAT);
    fields.total = 0;
    assert_int_equal(status_of_chunk(fields), ST_FORMAT);
    fields.total = number_max + 1;
    assert_int_equal(status_of_chunk(fields), ST_FORMAT);
    fields = good_chunk, fields.bytes_count = 0;
    assert_int_equal(status_of_chunk(fields), ST_FORMAT);
}

static void packed_bytes_are_fewer_than_what_they_unpack_to(void **state)
{
    struct fields fields = good_chunk;

    fields.unpacked_bytes = 11, fields.total = 4107;
    assert_int_equal(status_of_chunk(fields), ST_OK);
    fields.total = 4106; /* it is the unpacked bytes that are of the file */
    assert_int_equal(status_of_chunk(fields), ST_FORMAT);
    fields.unpacked_bytes = 10;
    assert_int_equal(status_of_chunk(fields), ST_FORMAT);
    fields.unpacked_bytes = 9;
    assert_int_equal(status_of_chunk(fields), ST_FORMAT);
    fields.unpacked_bytes = 11, fields.total = 4107, fields.bytes_count = 0;
    assert_int_equal(status_of_chunk(fields), ST_FORMAT);
}

static void a_chunk_carries_no_more_than_the_limit_however_it_is_packed(void **state)
{
    struct fields fields = good_chunk;
    fields.total = number_max;

    fields.bytes_count = LIMIT_SNAPSHOT_CHUNK_BYTES;
    assert_int_equal(status_of_chunk(fields), ST_OK);
    fields.bytes_count = LIMIT_SNAPSHOT_CHUNK_BYTES + 1;
    assert_int_equal(status_of_chunk(fields), ST_LIMIT);
    fields.bytes_count = UINT32_MAX;
    assert_int_equal(status_of_chunk(fields), ST_LIMIT);
    fields.bytes_count = 10, fields.unpacked_bytes = LIMIT_SNAPSHOT_CHUNK_BYTES;
    assert_int_equal(status_of_chunk(fields), ST_OK);
    fields.unpacked_bytes = LIMIT_SNAPSHOT_CHUNK_BYTES + 1;
    assert_int_equal(status_of_chunk(fields), ST_LIMIT);
    fields.unpacked_bytes = UINT32_MAX;
    assert_int_equal(status_of_chunk(fields), ST_LIMIT);
}

static void a_chunk_that_is_not_here_carries_nothing(void **state)
{
    struct fields empty = good_chunk, fields;
    empty.total = empty.bytes_count = 0;

    for (uint32_t chunk_state = CHUNK_GONE; chunk_state <= CHUNK_BUSY; chunk_state++) {
        empty.state = chunk_state;
        assert_int_equal(status_of_chunk(empty), ST_OK);
        fields = empty, fields.total = 4106;
        assert_int_equal(status_of_chunk(fields), ST_FORMAT);
        fields = empty, fields.unpacked_bytes = 10;
        assert_int_equal(status_of_chunk(fields), ST_FORMAT);
        fields = empty, fields.bytes_count = 10;
        assert_int_equal(status_of_chunk(fields), ST_FORMAT);
    }
}

static void states_that_are_unknown_are_refused(void **state)
{
    struct fields fields = good_chunk;
    static const uint32_t bad[] = {CHUNK_BUSY + 1, 255, 0x100, 0x01000000, UINT32_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        fields.state = bad[i];
        assert_int_equal(status_of_chunk(fields), ST_FORMAT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(number_snapshot_and_offset_have_ranges),
        cmocka_unit_test(a_fetch_asks_for_a_byte_at_least_and_a_chunk_at_most),
        cmocka_unit_test(a_chunk_that_is_here_has_bytes_within_its_file),
        cmocka_unit_test(packed_bytes_are_fewer_than_what_they_unpack_to),
        cmocka_unit_test(a_chunk_carries_no_more_than_the_limit_however_it_is_packed),
        cmocka_unit_test(a_chunk_that_is_not_here_carries_nothing),
        cmocka_unit_test(states_that_are_unknown_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
