/* Damage to what was synced: found and named, or harmless; never a shorter log without a word, and
 * never wrong data. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/mem.h"
#include "storage/wal_format.h"
#include "support/wal_rig.h"

#define SEGMENT_1 "wal/0000000000000001.log"
#define SEGMENT_2 "wal/0000000000000002.log"

/* Frames as a test lays them out by hand, in segment 1. */
struct layout {
    struct buf file;
    struct buf records;
    uint64_t seq;
    uint32_t chain;
};

enum { LAYOUT_SALT = 0x1234 };

static void layout_init(struct layout *layout)
{
    *layout = (struct layout){.seq = 1};
    buf_init(&layout->file, RIG_SEGMENT_BYTES);
    buf_init(&layout->records, RIG_SEGMENT_BYTES);
    buf_put_zeros(&layout->file, WAL_BLOCK_BYTES);
    struct wal_segment_header header = {
        .owner = {0x1111, 0x2222}, .segment = 1, .salt = LAYOUT_SALT, .first_seq = 1};
    wal_format_encode_segment(&header, layout->file.data);
}

static void layout_put_entry(struct layout *layout, struct entry_id id)
{
    struct entry *entry = wal_rig_entry(id.index, id, 50);
    wal_format_put_entry(entry, &layout->records);
    entry_unref(entry);
}

/* Ends a frame with whatever records were put since the last one. */
static void layout_end_frame(struct layout *layout, uint32_t records_count, uint64_t durable_seq)
{
    size_t offset = layout->file.count;
    struct wal_frame_header frame = {.records_bytes = (uint32_t)layout->records.count,
                                     .segment = 1,
                                     .seq = layout->seq++,
                                     .durable_seq = durable_seq,
                                     .records_count = records_count,
                                     .chain = layout->chain};
    buf_put_zeros(&layout->file, WAL_FRAME_HEADER_BYTES);
    buf_put(&layout->file, buf_bytes(&layout->records));
    wal_format_seal_frame(&frame, LAYOUT_SALT, offset, layout->file.data + offset);
    uint64_t end = offset + wal_format_frame_bytes(frame.records_bytes);
    buf_put_zeros(&layout->file, end - layout->file.count);
    buf_reset(&layout->records);
    layout->chain = frame.checksum;
}

static enum status layout_open(struct layout *layout, struct wal_rig *rig)
{
    wal_rig_init(rig, disk_env_new(1));
    buf_put_zeros(&layout->file, RIG_SEGMENT_BYTES - layout->file.count);
    disk_env_put(rig->env, SEGMENT_1, buf_bytes(&layout->file));
    enum status status = wal_rig_open(rig);
    buf_release(&layout->file);
    buf_release(&layout->records);
    return status;
}

static void a_log_laid_out_by_hand_is_read(void **state)
{
    struct layout layout;
    struct wal_rig rig;
    layout_init(&layout);
    layout_end_frame(&layout, 0, 0);
    layout_put_entry(&layout, (struct entry_id){1, 5});
    layout_put_entry(&layout, (struct entry_id){1, 6});
    layout_put_entry(&layout, (struct entry_id){2, 6}); /* FAULTS S18: 6(t2) wins, never both */
    layout_end_frame(&layout, 3, 1);

    assert_int_equal(layout_open(&layout, &rig), ST_CONDITION_FAILED); /* the rig knows of none */

    struct entry *entries[4];
    size_t count;
    assert_int_equal(rig.recovered.first, 5);
    assert_int_equal(rig.recovered.last.index, 6);
    assert_int_equal(rig.recovered.last.term, 2);
    assert_int_equal(wal_read(rig.wal, 5, 1000, entries, 4, &count, &rig.error), ST_OK);
    assert_int_equal(count, 2);
    assert_int_equal(entries[1]->id.term, 2);
    entry_unref(entries[0]);
    entry_unref(entries[1]);
    wal_rig_release(&rig);
}

static void a_frame_with_another_predecessor_is_damage(void **state)
{
    /* given a disk that lost a synced write and kept what was there before */
    struct layout layout;
    struct wal_rig rig;
    layout_init(&layout);
    layout_end_frame(&layout, 0, 0);
    layout_put_entry(&layout, (struct entry_id){1, 1});
    layout_end_frame(&layout, 1, 1);
    layout.chain ^= 1;
    layout_put_entry(&layout, (struct entry_id){1, 2});
    layout_end_frame(&layout, 1, 2);

    assert_int_equal(layout_open(&layout, &rig), ST_CORRUPT);
    assert_non_null(strstr(rig.error.text, SEGMENT_1));
    assert_non_null(strstr(rig.error.text, "12288"));
    wal_rig_release(&rig);
}

static void a_frame_number_that_is_left_out_is_damage(void **state)
{
    struct layout layout;
    struct wal_rig rig;
    layout_init(&layout);
    layout_end_frame(&layout, 0, 0);
    layout.seq++;
    layout_end_frame(&layout, 0, 1);

    assert_int_equal(layout_open(&layout, &rig), ST_CORRUPT);
    wal_rig_release(&rig);
}

static void an_index_that_is_left_out_is_damage(void **state)
{
    struct layout layout;
    struct wal_rig rig;
    layout_init(&layout);
    layout_end_frame(&layout, 0, 0);
    layout_put_entry(&layout, (struct entry_id){1, 1});
    layout_put_entry(&layout, (struct entry_id){1, 3});
    layout_end_frame(&layout, 2, 1);

    assert_int_equal(layout_open(&layout, &rig), ST_CORRUPT);
    wal_rig_release(&rig);
}

static void a_frame_that_counts_its_records_wrong_is_damage(void **state)
{
    struct layout layout;
    struct wal_rig rig;
    layout_init(&layout);
    layout_end_frame(&layout, 0, 0);
    layout_put_entry(&layout, (struct entry_id){1, 1});
    layout_end_frame(&layout, 2, 1);

    assert_int_equal(layout_open(&layout, &rig), ST_CORRUPT);
    wal_rig_release(&rig);
}

static void later_blocks_of_an_unsynced_frame_prove_nothing(void **state)
{
    /* given a torn frame whose later blocks survived, and a frame behind it that was written
     * before anyone knew the torn one durable (as a deeper pipeline would) */
    struct layout layout;
    struct wal_rig rig;
    layout_init(&layout);
    layout_end_frame(&layout, 0, 0);
    size_t torn_at = layout.file.count;
    layout_put_entry(&layout, (struct entry_id){1, 1});
    layout_end_frame(&layout, 1, 1);
    layout_put_entry(&layout, (struct entry_id){1, 2});
    layout_end_frame(&layout, 1, 1);
    layout.file.data[torn_at + 100] ^= 1;

    /* then it is a torn tail */
    assert_int_equal(layout_open(&layout, &rig), ST_OK);
    assert_int_equal(rig.recovered.last.index, 0);
    assert_int_equal(rig.recovered.torn_bytes, 2 * WAL_BLOCK_BYTES);
    wal_rig_release(&rig);
}

static void the_next_frame_proves_its_predecessor(void **state)
{
    struct layout layout;
    struct wal_rig rig;
    layout_init(&layout);
    layout_end_frame(&layout, 0, 0);
    size_t damaged_at = layout.file.count;
    layout_put_entry(&layout, (struct entry_id){1, 1});
    layout_end_frame(&layout, 1, 1);
    layout_end_frame(&layout, 0, 2);
    layout.file.data[damaged_at + 100] ^= 1;

    assert_int_equal(layout_open(&layout, &rig), ST_CORRUPT);
    assert_non_null(strstr(rig.error.text, "8192"));
    wal_rig_release(&rig);
}

/* A log that has just moved into segment 2, with one frame there. */
static void make_log_of_two_segments(struct wal_rig *rig)
{
    wal_rig_init(rig, disk_env_new(1));
    rig->options.idle_seal = 0;
    assert_int_equal(wal_rig_open(rig), ST_OK);
    disk_env_run(rig->env, 1000000);
    for (raft_index index = 1; !disk_env_exists(rig->env, SEGMENT_2); index++) {
        assert_int_equal(wal_rig_append(rig, NULL, (struct entry_id){1, index}, 1, 4000), ST_OK);
        assert_true(wal_rig_settle(rig));
    }
    wal_rig_kill(rig);
}

static void damage_to_the_first_frame_of_a_segment_is_never_a_torn_tail(void **state)
{
    struct wal_rig rig;
    make_log_of_two_segments(&rig);

    disk_env_poke(rig.env, SEGMENT_2, WAL_BLOCK_BYTES + 60, BYTES_LITERAL("rot"));

    assert_int_equal(wal_rig_open(&rig), ST_CORRUPT);
    assert_non_null(strstr(rig.error.text, SEGMENT_2 ": at offset 4096"));
    wal_rig_release(&rig);
}

static void damage_to_the_last_frame_of_a_full_segment_is_named_there(void **state)
{
    struct wal_rig rig;
    make_log_of_two_segments(&rig);

    disk_env_poke(rig.env, SEGMENT_1, RIG_SEGMENT_BYTES - 2 * WAL_BLOCK_BYTES + 60,
                  BYTES_LITERAL("rot"));

    assert_int_equal(wal_rig_open(&rig), ST_CORRUPT);
    assert_non_null(strstr(rig.error.text, SEGMENT_1 ": at offset 122880"));
    wal_rig_release(&rig);
}

/* A log of several segments and many kinds of records, at rest. */
static void make_log(struct wal_rig *rig, uint64_t seed, bool is_sealed)
{
    struct prng prng;
    prng_init(&prng, seed);
    wal_rig_init(rig, disk_env_new(seed));
    rig->options.idle_seal = is_sealed ? RIG_IDLE_SEAL_US : 0;
    assert_int_equal(wal_rig_open(rig), ST_OK);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(wal_rig_append_random(rig, &prng), ST_OK);
        disk_env_run(rig->env, 3000);
    }
    assert_true(wal_rig_settle(rig));
    disk_env_run(rig->env, 1000000);
    wal_rig_close(rig);
    disk_env_kill(rig->env);
    assert_true(disk_env_exists(rig->env, SEGMENT_2));
}

/* Another rig that expects the same records, on a copy of the disk. */
static void copy_rig(struct wal_rig *copy, const struct wal_rig *from, uint64_t seed)
{
    wal_rig_init(copy, disk_env_copy(from->env, seed));
    copy->records = mem_alloc_array(from->records_count + 1, sizeof *copy->records);
    memcpy(copy->records, from->records, from->records_count * sizeof *copy->records);
    copy->records_count = copy->records_capacity = from->records_count;
    copy->acked_count = from->acked_count;
    copy->commit = from->commit;
}

static const char *segment_path(struct prng *prng)
{
    return prng_below(prng, 2) == 0 ? SEGMENT_1 : SEGMENT_2;
}

/* One damaged copy: refused with nothing changed, or whole in spite of it. */
static bool refused_or_whole(struct wal_rig *copy, uint64_t seed)
{
    struct prng prng;
    prng_init(&prng, seed);
    uint32_t digest = disk_env_digest(copy->env);
    enum status status = wal_rig_open(copy);
    if (status == ST_CORRUPT) {
        assert_non_null(strstr(copy->error.text, "wal/000000000000000"));
        assert_non_null(strstr(copy->error.text, "offset"));
        assert_int_equal(disk_env_digest(copy->env), digest);
        return true;
    }
    if (status != ST_OK)
        fail_msg("seed %llu: %s: %s", (unsigned long long)seed, status_info(status)->name,
                 copy->error.text);
    const char *wrong = wal_rig_compare(copy, &prng);
    if (wrong != NULL)
        fail_msg("seed %llu: %s", (unsigned long long)seed, wrong);
    return false;
}

static void a_flipped_bit_in_a_sealed_log_is_found_or_harmless(void **state)
{
    struct wal_rig rig;
    struct prng prng;
    prng_init(&prng, 7);
    make_log(&rig, 3, true);
    uint64_t refused = 0;
    for (uint64_t i = 0; i < 800; i++) {
        struct wal_rig copy;
        copy_rig(&copy, &rig, i);
        const char *path = segment_path(&prng);
        struct bytes bytes = disk_env_peek(copy.env, path);
        uint64_t at = prng_below(&prng, bytes.count);
        uint8_t flipped = bytes.data[at] ^ (uint8_t)(1u << prng_below(&prng, 8));
        disk_env_poke(copy.env, path, at, bytes_of(&flipped, 1));
        refused += refused_or_whole(&copy, i);
        wal_rig_release(&copy);
    }
    assert_true(refused > 150); /* most of the log is no padding */
    wal_rig_release(&rig);
}

static void a_lost_or_overwritten_sector_in_a_sealed_log_is_found_or_harmless(void **state)
{
    struct wal_rig rig;
    struct prng prng;
    prng_init(&prng, 8);
    make_log(&rig, 4, true);
    for (uint64_t i = 0; i < 300; i++) {
        struct wal_rig copy;
        uint8_t sector[512] = {0};
        copy_rig(&copy, &rig, i);
        const char *path = segment_path(&prng);
        const char *source = segment_path(&prng);
        uint64_t sectors = disk_env_peek(copy.env, path).count / sizeof sector;
        uint64_t source_sectors = disk_env_peek(copy.env, source).count / sizeof sector;
        if (prng_below(&prng, 2) == 0) /* misdirected: another place's bytes */
            memcpy(sector,
                   disk_env_peek(copy.env, source).data +
                       prng_below(&prng, source_sectors) * sizeof sector,
                   sizeof sector);
        disk_env_poke(copy.env, path, prng_below(&prng, sectors) * sizeof sector,
                      bytes_of(sector, sizeof sector));
        (void)refused_or_whole(&copy, i);
        wal_rig_release(&copy);
    }
    wal_rig_release(&rig);
}

static void a_whole_frame_in_another_place_is_found_or_harmless(void **state)
{
    struct wal_rig rig;
    struct prng prng;
    prng_init(&prng, 9);
    make_log(&rig, 5, true);
    for (uint64_t i = 0; i < 300; i++) {
        struct wal_rig copy;
        copy_rig(&copy, &rig, i);
        const char *path = segment_path(&prng), *source = segment_path(&prng);
        uint64_t blocks = disk_env_peek(rig.env, path).count / WAL_BLOCK_BYTES;
        uint64_t source_blocks = disk_env_peek(rig.env, source).count / WAL_BLOCK_BYTES;
        uint64_t from = prng_below(&prng, source_blocks);
        uint64_t count = 1 + prng_below(&prng, MIN((uint64_t)4, source_blocks - from));
        disk_env_poke(copy.env, path, prng_below(&prng, blocks) * WAL_BLOCK_BYTES,
                      bytes_of(disk_env_peek(rig.env, source).data + from * WAL_BLOCK_BYTES,
                               count * WAL_BLOCK_BYTES));
        (void)refused_or_whole(&copy, i);
        wal_rig_release(&copy);
    }
    wal_rig_release(&rig);
}

/* Without a seal the very last frame cannot be told from a torn write: it may be cut, as documented
 * (FAULTS S8), but nothing before it, and never is anything else read. */
static void damage_to_an_unsealed_last_frame_loses_no_more_than_that_frame(void **state)
{
    struct wal_rig rig;
    wal_rig_init(&rig, disk_env_new(1));
    rig.options.idle_seal = 0;
    assert_int_equal(wal_rig_open(&rig), ST_OK);
    for (raft_index index = 1; index <= 10; index++) {
        assert_int_equal(wal_rig_append(&rig, NULL, (struct entry_id){1, index}, 1, 100), ST_OK);
        assert_true(wal_rig_settle(&rig));
    }
    wal_rig_kill(&rig);
    for (uint64_t frame = 0; frame < 11; frame++) { /* 0 is the empty one of a new log */
        for (uint64_t bit = 0; bit < (48 + 8 + 128) * 8; bit += 7) {
            uint64_t at = (1 + frame) * WAL_BLOCK_BYTES + bit / 8;
            bool is_empty = frame == 0 && bit / 8 >= 48;
            struct wal_rig copy;
            copy_rig(&copy, &rig, bit);
            uint8_t flipped =
                disk_env_peek(copy.env, SEGMENT_1).data[at] ^ (uint8_t)(1u << bit % 8);
            disk_env_poke(copy.env, SEGMENT_1, at, bytes_of(&flipped, 1));
            if (frame == 10)
                copy.acked_count--;

            enum status status = wal_rig_open(&copy);

            assert_int_equal(status, frame == 10 || is_empty ? ST_OK : ST_CORRUPT);
            if (frame == 10)
                assert_int_equal(copy.recovered.last.index, 9);
            wal_rig_release(&copy);
        }
    }
    wal_rig_release(&rig);
}

static void a_log_cut_at_any_byte_of_its_last_frames_keeps_those_before(void **state)
{
    struct wal_rig rig;
    wal_rig_init(&rig, disk_env_new(1));
    rig.options.idle_seal = 0;
    assert_int_equal(wal_rig_open(&rig), ST_OK);
    for (raft_index index = 1; index <= 6; index++) {
        assert_int_equal(wal_rig_append(&rig, NULL, (struct entry_id){1, index}, 1, 100), ST_OK);
        assert_true(wal_rig_settle(&rig));
    }
    wal_rig_kill(&rig);
    enum { USED = 48 + 8 + 128 }; /* of each frame's block; the rest is padding */
    for (uint64_t count = 5 * WAL_BLOCK_BYTES; count <= 8 * WAL_BLOCK_BYTES; count++) {
        if (count % WAL_BLOCK_BYTES > USED + 8 && count % 512 > 1)
            continue;
        struct wal_rig copy;
        copy_rig(&copy, &rig, count);
        uint64_t whole = count / WAL_BLOCK_BYTES - 2 + (count % WAL_BLOCK_BYTES >= USED);
        copy.acked_count = whole;
        disk_env_truncate(copy.env, SEGMENT_1, count);

        assert_int_equal(wal_rig_open(&copy), ST_OK);

        assert_int_equal(copy.recovered.last.index, whole);
        assert_int_equal(wal_rig_append(&copy, NULL, (struct entry_id){2, whole + 1}, 2, 300),
                         ST_OK);
        assert_true(wal_rig_settle(&copy));
        wal_rig_cut_power(&copy);
        assert_int_equal(wal_rig_open(&copy), ST_OK);
        assert_int_equal(copy.recovered.last.index, whole + 2);
        wal_rig_release(&copy);
    }
    wal_rig_release(&rig);
}

static void a_full_segment_cut_inside_its_last_frame_is_refused(void **state)
{
    struct wal_rig rig;
    make_log(&rig, 6, true);
    struct bytes bytes = disk_env_peek(rig.env, SEGMENT_1);
    size_t used = bytes.count; /* up to the padding of its last frame */
    while (used > 0 && bytes.data[used - 1] == 0)
        used--;
    disk_env_truncate(rig.env, SEGMENT_1, used - 1);

    assert_int_equal(wal_rig_open(&rig), ST_CORRUPT);
    wal_rig_release(&rig);
}

static void a_sync_that_kept_nothing_is_found(void **state)
{
    uint64_t found = 0, lied = 0;
    for (uint64_t op = 20; op < 120; op++) {
        /* given a disk that acknowledged a sync and forgot it */
        struct wal_rig rig;
        struct prng prng;
        prng_init(&prng, op);
        wal_rig_init(&rig, disk_env_new(op));
        disk_env_lie_at(rig.env, op);
        assert_int_equal(wal_rig_open(&rig), ST_OK);
        for (int i = 0; i < 40; i++) {
            assert_int_equal(wal_rig_append_random(&rig, &prng), ST_OK);
            disk_env_run(rig.env, 3000);
        }
        assert_true(wal_rig_settle(&rig));
        disk_env_run(rig.env, 10 * RIG_IDLE_SEAL_US);

        /* when the power fails, then the log is refused, or what was forgotten was a spare */
        wal_rig_cut_power(&rig);
        enum status status = wal_rig_open(&rig);
        assert_true(status == ST_OK || status == ST_CORRUPT);
        found += status == ST_CORRUPT;
        lied++;
        wal_rig_release(&rig);
    }
    assert_true(found > lied / 8);
}

/* Behind a damaged frame nothing is left but a proof far away, which takes reads of its own.
 * Whichever of them fails: the log is not taken for whole and shorter. */
static void a_proof_that_cannot_be_read_is_an_error_of_the_disk(void **state)
{
    enum { LONG_BYTES = 2 * MIB, FAR_BYTES = LONG_BYTES * 3 / 4 };
    struct wal_rig rig;
    wal_rig_init(&rig, disk_env_new(1));
    rig.options.segment_bytes = LONG_BYTES;
    assert_int_equal(wal_rig_open(&rig), ST_OK);
    struct wal_stats stats = {0};
    for (raft_index index = 1; stats.log_bytes < MIB + FAR_BYTES + 64 * KIB; index++) {
        assert_int_equal(wal_rig_append(&rig, NULL, (struct entry_id){1, index}, 1, 16000), ST_OK);
        assert_true(wal_rig_settle(&rig));
        wal_stats(rig.wal, &stats);
    }
    wal_rig_kill(&rig);
    struct buf zeros;
    buf_init(&zeros, FAR_BYTES);
    buf_put_zeros(&zeros, FAR_BYTES - 8 * WAL_BLOCK_BYTES);
    disk_env_poke(rig.env, SEGMENT_2, 8 * WAL_BLOCK_BYTES, buf_bytes(&zeros));
    buf_release(&zeros);
    uint64_t before = disk_env_ops(rig.env);
    assert_int_equal(wal_rig_open(&rig), ST_CORRUPT);
    assert_non_null(strstr(rig.error.text, "proves it was synced"));
    uint64_t ops = disk_env_ops(rig.env) - before;

    for (uint64_t op = 1; op <= ops; op++) {
        wal_rig_kill(&rig);
        disk_env_fail_at(rig.env, disk_env_ops(rig.env) + op, ST_IO);
        assert_int_equal(wal_rig_open(&rig), ST_IO);
    }
    wal_rig_release(&rig);
}

static void an_entry_damaged_after_the_start_is_not_given_out(void **state)
{
    struct wal_rig rig;
    struct entry *entries[8];
    size_t count;
    wal_rig_init(&rig, disk_env_new(1));
    assert_int_equal(wal_rig_open(&rig), ST_OK);
    for (raft_index index = 1; index <= 3; index++) {
        assert_int_equal(wal_rig_append(&rig, NULL, (struct entry_id){1, index}, 1, 100), ST_OK);
        assert_true(wal_rig_settle(&rig));
    }

    disk_env_poke(rig.env, SEGMENT_1, 3 * WAL_BLOCK_BYTES + 150, BYTES_LITERAL("rot"));

    assert_int_equal(wal_read(rig.wal, 1, 4000, entries, 8, &count, &rig.error), ST_OK);
    assert_int_equal(count, 1);
    entry_unref(entries[0]);
    assert_int_equal(wal_read(rig.wal, 2, 4000, entries, 8, &count, &rig.error), ST_CORRUPT);
    assert_non_null(strstr(rig.error.text, "offset 12288"));
    wal_rig_release(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_laid_out_by_hand_is_read),
        cmocka_unit_test(a_frame_with_another_predecessor_is_damage),
        cmocka_unit_test(a_frame_number_that_is_left_out_is_damage),
        cmocka_unit_test(an_index_that_is_left_out_is_damage),
        cmocka_unit_test(a_frame_that_counts_its_records_wrong_is_damage),
        cmocka_unit_test(later_blocks_of_an_unsynced_frame_prove_nothing),
        cmocka_unit_test(the_next_frame_proves_its_predecessor),
        cmocka_unit_test(damage_to_the_first_frame_of_a_segment_is_never_a_torn_tail),
        cmocka_unit_test(damage_to_the_last_frame_of_a_full_segment_is_named_there),
        cmocka_unit_test(a_flipped_bit_in_a_sealed_log_is_found_or_harmless),
        cmocka_unit_test(a_lost_or_overwritten_sector_in_a_sealed_log_is_found_or_harmless),
        cmocka_unit_test(a_whole_frame_in_another_place_is_found_or_harmless),
        cmocka_unit_test(damage_to_an_unsealed_last_frame_loses_no_more_than_that_frame),
        cmocka_unit_test(a_log_cut_at_any_byte_of_its_last_frames_keeps_those_before),
        cmocka_unit_test(a_full_segment_cut_inside_its_last_frame_is_refused),
        cmocka_unit_test(a_sync_that_kept_nothing_is_found),
        cmocka_unit_test(a_proof_that_cannot_be_read_is_an_error_of_the_disk),
        cmocka_unit_test(an_entry_damaged_after_the_start_is_not_given_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
