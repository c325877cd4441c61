/* Packing: what is unpacked is what was packed, and bytes that claim to be what they are not are
 * found out before anything is done with them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <malloc.h>
#include <zstd.h>

#include "base/mem.h"
#include "base/prng.h"
#include "peer/chunk.h"

struct bench {
    struct chunk_packer packer;
    uint8_t *content; /* LIMIT_SNAPSHOT_CHUNK_BYTES of it */
    uint8_t *packed;  /* made by a test, at most as much */
};

static int set_up(void **state)
{
    struct bench *bench = mem_alloc(sizeof *bench);
    chunk_packer_init(&bench->packer);
    bench->content = mem_alloc(LIMIT_SNAPSHOT_CHUNK_BYTES);
    bench->packed = mem_alloc(LIMIT_SNAPSHOT_CHUNK_BYTES);
    *state = bench;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *bench = *state;
    chunk_packer_release(&bench->packer);
    mem_free(bench->content);
    mem_free(bench->packed);
    mem_free(bench);
    return 0;
}

/* Text over and over, or noise. */
static void fill(struct bench *bench, bool is_noise)
{
    struct prng prng;
    prng_init(&prng, 7);
    for (size_t i = 0; i < LIMIT_SNAPSHOT_CHUNK_BYTES; i++)
        bench->content[i] =
            is_noise ? (uint8_t)prng_next(&prng) : (uint8_t) "key and value; "[i % 15];
}

static struct snapshot_chunk chunk_of(struct bytes bytes, uint32_t unpacked_bytes)
{
    return (struct snapshot_chunk){.number = 1,
                                   .snapshot = {.term = 5, .index = 1000},
                                   .offset = 4096,
                                   .total = 4096 + LIMIT_SNAPSHOT_CHUNK_BYTES,
                                   .unpacked_bytes = unpacked_bytes,
                                   .bytes = bytes};
}

static void check_round_trip(struct bench *bench, size_t count)
{
    struct snapshot_chunk chunk = chunk_of(bytes_of(bench->content, count), 0), out;

    struct snapshot_chunk packed = chunk_pack(&bench->packer, &chunk);
    assert_true(packed.bytes.count <= count);
    assert_int_equal(packed.unpacked_bytes, packed.bytes.count < count ? count : 0);
    assert_int_equal(chunk_unpack(&bench->packer, &packed, &out), ST_OK);

    assert_int_equal(out.unpacked_bytes, 0);
    assert_int_equal(out.offset, chunk.offset);
    assert_int_equal(out.total, chunk.total);
    assert_true(bytes_equal(out.bytes, chunk.bytes));
}

static void what_is_unpacked_is_what_was_packed(void **state)
{
    static const size_t counts[] = {0, 1, 2, 3, 20, 100, 4096, 65537};
    struct bench *bench = *state;
    for (int is_noise = 0; is_noise <= 1; is_noise++) {
        fill(bench, is_noise);
        for (size_t i = 0; i < ARRAY_COUNT(counts); i++)
            check_round_trip(bench, counts[i]);
        check_round_trip(bench, LIMIT_SNAPSHOT_CHUNK_BYTES);
    }
}

static void what_does_not_get_smaller_goes_as_it_is(void **state)
{
    struct bench *bench = *state;
    fill(bench, true);
    struct snapshot_chunk chunk = chunk_of(bytes_of(bench->content, LIMIT_SNAPSHOT_CHUNK_BYTES), 0);

    struct snapshot_chunk packed = chunk_pack(&bench->packer, &chunk);

    assert_int_equal(packed.unpacked_bytes, 0);
    assert_ptr_equal(packed.bytes.data, bench->content);
    assert_int_equal(packed.bytes.count, LIMIT_SNAPSHOT_CHUNK_BYTES);
}

static void text_gets_smaller(void **state)
{
    struct bench *bench = *state;
    fill(bench, false);
    struct snapshot_chunk chunk = chunk_of(bytes_of(bench->content, LIMIT_SNAPSHOT_CHUNK_BYTES), 0);

    struct snapshot_chunk packed = chunk_pack(&bench->packer, &chunk);

    assert_int_equal(packed.unpacked_bytes, LIMIT_SNAPSHOT_CHUNK_BYTES);
    assert_in_range(packed.bytes.count, 1, 1000);
}

static void a_chunk_given_by_one_call_outlives_calls_of_the_other_kind(void **state)
{
    struct bench *bench = *state;
    fill(bench, false);
    struct snapshot_chunk chunk = chunk_of(bytes_of(bench->content, 1000), 0), got;
    struct snapshot_chunk packed = chunk_pack(&bench->packer, &chunk);
    assert_int_equal(chunk_unpack(&bench->packer, &packed, &got), ST_OK);

    struct snapshot_chunk other = chunk_of(bytes_of(bench->content + 7, 60000), 0);
    (void)chunk_pack(&bench->packer, &other); /* an answer, sent while reading what was got */

    assert_true(bytes_equal(got.bytes, chunk.bytes));
}

static void packing_allocates_nothing_after_the_first_time(void **state)
{
    struct bench *bench = *state;
    fill(bench, false);
    check_round_trip(bench, LIMIT_SNAPSHOT_CHUNK_BYTES);
    struct mallinfo2 before = mallinfo2();

    for (size_t round = 0; round < 300; round++)
        check_round_trip(bench, 100 + round * 400);

    struct mallinfo2 after = mallinfo2();
    assert_int_equal(after.uordblks + after.hblkhd, before.uordblks + before.hblkhd);
}

/* ---- bytes that claim to be what they are not ---- */

static enum status unpack(struct bench *bench, size_t packed_count, uint32_t unpacked_bytes)
{
    /* In memory of exactly this size, for the address sanitizer. */
    uint8_t *copy = mem_alloc_raw(MAX(packed_count, 1));
    memcpy(copy, bench->packed, packed_count);
    struct snapshot_chunk chunk = chunk_of(bytes_of(copy, packed_count), unpacked_bytes), out;
    enum status status = chunk_unpack(&bench->packer, &chunk, &out);
    if (status == ST_OK)
        assert_int_equal(out.bytes.count, unpacked_bytes);
    mem_free(copy);
    return status;
}

/* As zstd packs `count` bytes of content. */
static size_t pack(struct bench *bench, size_t count)
{
    size_t packed_count =
        ZSTD_compress(bench->packed, LIMIT_SNAPSHOT_CHUNK_BYTES, bench->content, count, 1);
    assert_false(ZSTD_isError(packed_count));
    return packed_count;
}

static void a_frame_of_another_length_than_claimed_is_refused(void **state)
{
    struct bench *bench = *state;
    fill(bench, false);
    size_t count = pack(bench, 1000);

    assert_int_equal(unpack(bench, count, 1000), ST_OK);
    assert_int_equal(unpack(bench, count, 999), ST_FORMAT);
    assert_int_equal(unpack(bench, count, 1001), ST_FORMAT);
    assert_int_equal(unpack(bench, count, LIMIT_SNAPSHOT_CHUNK_BYTES), ST_FORMAT);
    assert_int_equal(unpack(bench, count, 1000), ST_OK); /* and the next one is none the worse */
}

/* The length that stands in the frame agrees with the chunk; what is in the frame does not. */
static void a_frame_that_lies_about_its_length_is_refused(void **state)
{
    static const uint16_t lengths[] = {1, 743, 744 - 256, 2000, 65535};
    struct bench *bench = *state;
    fill(bench, false);
    size_t count = pack(bench, 1000);
    assert_int_equal(bench->packed[4], 0x60);           /* two bytes of length, one segment */
    assert_int_equal(load_u16(bench->packed + 5), 744); /* 1000 less 256, as the format has it */

    for (size_t i = 0; i < ARRAY_COUNT(lengths); i++) {
        store_u16(bench->packed + 5, lengths[i]);
        assert_int_equal(unpack(bench, count, lengths[i] + 256u), ST_FORMAT);
    }
}

static void a_frame_cut_at_any_byte_is_refused(void **state)
{
    struct bench *bench = *state;
    fill(bench, false);
    size_t count = pack(bench, 5000);
    assert_int_equal(unpack(bench, count, 5000), ST_OK);

    for (size_t cut = 0; cut < count; cut++)
        assert_int_equal(unpack(bench, cut, 5000), ST_FORMAT);
}

static void nothing_may_follow_the_frame(void **state)
{
    struct bench *bench = *state;
    fill(bench, false);

    size_t count = pack(bench, 5000);
    assert_int_equal(unpack(bench, count + 1, 5000), ST_FORMAT);

    memmove(bench->packed + count, bench->packed, count); /* another frame */
    assert_int_equal(unpack(bench, 2 * count, 5000), ST_FORMAT);
    assert_int_equal(unpack(bench, 2 * count, 10000), ST_FORMAT);
}

/* zstd skips these, and reads frames of its own past: none is what this side makes. */
static void frames_to_be_skipped_and_formats_of_long_ago_are_refused(void **state)
{
    static const uint32_t magics[] = {0x184D2A50, 0x184D2A5F, 0x1EB52FFD, 0xFD2FB522,
                                      0xFD2FB523, 0xFD2FB524, 0xFD2FB525, 0xFD2FB526,
                                      0xFD2FB527, 0xEC30A437, 0};
    struct bench *bench = *state;
    fill(bench, false);
    size_t count = pack(bench, 5000);

    for (size_t i = 0; i < ARRAY_COUNT(magics); i++) {
        store_u32(bench->packed, magics[i]);
        store_u32(bench->packed + 4, (uint32_t)count - 8); /* bytes to skip */
        assert_int_equal(unpack(bench, count, 5000), ST_FORMAT);
    }
}

/* One byte a hundred times over, in the format of zstd 0.7, which the library still reads. */
static void a_whole_frame_of_a_format_of_long_ago_is_refused(void **state)
{
    static const uint8_t frame[] = {0x27, 0xb5, 0x2f, 0xfd, 0x20, 100, 0x80,
                                    0x00, 100,  'x',  0xc0, 0x00, 0x00};
    struct bench *bench = *state;
    memcpy(bench->packed, frame, sizeof frame);

    assert_int_equal(unpack(bench, sizeof frame, 100), ST_FORMAT);
}

static void a_frame_that_does_not_say_its_length_is_refused(void **state)
{
    struct bench *bench = *state;
    fill(bench, false);
    ZSTD_CCtx *context = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0);
    size_t count =
        ZSTD_compress2(context, bench->packed, LIMIT_SNAPSHOT_CHUNK_BYTES, bench->content, 5000);
    assert_false(ZSTD_isError(count));
    ZSTD_freeCCtx(context);

    assert_int_equal(unpack(bench, count, 5000), ST_FORMAT);
}

/* A megabyte and more of zeros in a few bytes: refused by what it says, not by unpacking it. */
static void a_frame_of_more_than_a_chunk_is_refused(void **state)
{
    struct bench *bench = *state;
    size_t bomb_bytes = 64 * MIB;
    uint8_t *zeros = mem_alloc(bomb_bytes);
    size_t count = ZSTD_compress(bench->packed, LIMIT_SNAPSHOT_CHUNK_BYTES, zeros, bomb_bytes, 1);
    assert_false(ZSTD_isError(count));
    mem_free(zeros);
    struct mallinfo2 before = mallinfo2();

    assert_int_equal(unpack(bench, count, LIMIT_SNAPSHOT_CHUNK_BYTES), ST_FORMAT);
    assert_int_equal(unpack(bench, count, 1), ST_FORMAT);

    struct mallinfo2 after = mallinfo2();
    assert_int_equal(after.uordblks + after.hblkhd, before.uordblks + before.hblkhd);
}

/* Any result but more bytes than claimed, a crash, or an error that stays. */
static void changed_bytes_do_no_harm(void **state)
{
    const uint64_t seed = 11;
    struct bench *bench = *state;
    struct prng prng;
    prng_init(&prng, seed);
    fill(bench, true);
    memset(bench->content + 600, 'x', 3000); /* literals and matches */
    size_t count = pack(bench, 5000);
    uint8_t *good = mem_alloc_raw(count);
    memcpy(good, bench->packed, count);

    for (int round = 0; round < 20000; round++) {
        memcpy(bench->packed, good, count);
        for (uint64_t changes = 1 + prng_below(&prng, 4); changes > 0; changes--)
            bench->packed[prng_below(&prng, count)] = (uint8_t)prng_next(&prng);
        (void)unpack(bench, count, 5000);
    }

    memcpy(bench->packed, good, count);
    assert_int_equal(unpack(bench, count, 5000), ST_OK);
    mem_free(good);
}

#define CHUNK_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHUNK_TEST(what_is_unpacked_is_what_was_packed),
        CHUNK_TEST(what_does_not_get_smaller_goes_as_it_is),
        CHUNK_TEST(text_gets_smaller),
        CHUNK_TEST(a_chunk_given_by_one_call_outlives_calls_of_the_other_kind),
        CHUNK_TEST(packing_allocates_nothing_after_the_first_time),
        CHUNK_TEST(a_frame_of_another_length_than_claimed_is_refused),
        CHUNK_TEST(a_frame_that_lies_about_its_length_is_refused),
        CHUNK_TEST(a_frame_cut_at_any_byte_is_refused),
        CHUNK_TEST(nothing_may_follow_the_frame),
        CHUNK_TEST(frames_to_be_skipped_and_formats_of_long_ago_are_refused),
        CHUNK_TEST(a_whole_frame_of_a_format_of_long_ago_is_refused),
        CHUNK_TEST(a_frame_that_does_not_say_its_length_is_refused),
        CHUNK_TEST(a_frame_of_more_than_a_chunk_is_refused),
        CHUNK_TEST(changed_bytes_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
