/* Logs whose checksums are right and that say what cannot be: another program has written them, or
 * this one has a mistake. Each is named as damage; none is believed, and none is cut. Nor is a log
 * that cannot be read taken for one that is damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "storage/wal_format.h"
#include "support/wal_rig.h"

#define SEGMENT_1 "wal/0000000000000001.log"

enum { SALT = 0x1234 };

/* A log of one segment with one frame behind the sealed beginning; the records are the test's. */
struct forgery {
    struct wal_segment_header header;
    struct buf records;
    uint32_t records_count;
    bool has_no_number; /* the header names no segment */
};

static void begin(struct forgery *forgery)
{
    *forgery = (struct forgery){
        .header = {.owner = {0x1111, 0x2222}, .segment = 1, .salt = SALT, .first_seq = 1}};
    buf_init(&forgery->records, RIG_SEGMENT_BYTES);
}

static void put_frame(struct buf *file, struct wal_frame_header *frame, struct bytes records)
{
    size_t offset = file->count;
    frame->records_bytes = (uint32_t)records.count;
    buf_put_zeros(file, WAL_FRAME_HEADER_BYTES);
    buf_put(file, records);
    wal_format_seal_frame(frame, SALT, offset, file->data + offset);
    buf_put_zeros(file, offset + wal_format_frame_bytes(frame->records_bytes) - file->count);
}

/* Opens it, and expects to be told of damage in these words, with the name of the file. */
static void assert_is_damage(struct forgery *forgery, const char *words)
{
    struct buf file;
    struct wal_rig rig;
    buf_init(&file, RIG_SEGMENT_BYTES);
    buf_put_zeros(&file, WAL_BLOCK_BYTES);
    wal_format_encode_segment(&forgery->header, file.data);
    if (forgery->has_no_number) {
        store_u64(file.data + 32, 0);
        store_u32(file.data, crc32c(0, bytes_of(file.data + 4, WAL_BLOCK_BYTES - 4)));
    }
    struct wal_frame_header first = {.segment = 1, .seq = forgery->header.first_seq};
    put_frame(&file, &first, (struct bytes){0});
    struct wal_frame_header second = {.segment = 1,
                                      .seq = first.seq + 1,
                                      .durable_seq = first.seq,
                                      .records_count = forgery->records_count,
                                      .chain = first.checksum};
    put_frame(&file, &second, buf_bytes(&forgery->records));
    buf_put_zeros(&file, RIG_SEGMENT_BYTES - file.count);
    wal_rig_init(&rig, disk_env_new(1));
    disk_env_put(rig.env, SEGMENT_1, buf_bytes(&file));
    uint32_t digest = disk_env_digest(rig.env);

    assert_int_equal(wal_rig_open(&rig), ST_CORRUPT);

    assert_non_null(strstr(rig.error.text, SEGMENT_1));
    assert_non_null(strstr(rig.error.text, words));
    assert_int_equal(disk_env_digest(rig.env), digest);
    wal_rig_release(&rig);
    buf_release(&file);
    buf_release(&forgery->records);
}

static void a_vote_for_an_id_that_nobody_can_have_is_damage(void **state)
{
    struct forgery forgery;
    begin(&forgery);
    struct hard_state hard_state = {.term = 3, .vote = NODE_ID_MAX + 1};
    wal_format_put_hard_state(&hard_state, &forgery.records);
    forgery.records_count = 1;

    assert_is_damage(&forgery, "a hard state is malformed");
}

static void a_mark_with_a_field_of_another_time_is_damage(void **state)
{
    struct forgery forgery;
    begin(&forgery);
    wal_format_put_mark(&(struct wal_mark){.snapshot = {1, 1}}, &forgery.records);
    forgery.records.data[forgery.records.count - 1] = 1; /* reserved, and so zero */
    forgery.records_count = 1;

    assert_is_damage(&forgery, "a snapshot mark is malformed");
}

static void a_first_file_that_begins_in_the_middle_is_damage(void **state)
{
    struct forgery forgery;
    begin(&forgery);
    forgery.header.first_seq = 7;

    assert_is_damage(&forgery, "the first segment does not begin with the first frame");
}

static void a_header_that_nobody_writes_is_damage(void **state)
{
    struct forgery forgery;
    begin(&forgery);
    forgery.has_no_number = true;

    assert_is_damage(&forgery, "impossible numbers in the header");
}

static void a_header_that_knows_of_what_never_was_is_damage(void **state)
{
    static const struct wal_segment_header claims[] = {
        {.hard_state = {.term = 5}}, {.hard_state = {.vote = 1}}, {.commit = 3}, {.last = {1, 3}},
        {.snapshot = {1, 3}},
    };
    for (size_t i = 0; i < ARRAY_COUNT(claims); i++) {
        struct forgery forgery;
        begin(&forgery);
        forgery.header.hard_state = claims[i].hard_state;
        forgery.header.commit = claims[i].commit;
        forgery.header.last = claims[i].last;
        forgery.header.snapshot = claims[i].snapshot;

        assert_is_damage(&forgery, "the header contradicts the segments before it");
    }
}

static struct env *disk_with_a_log(void)
{
    struct wal_rig rig;
    wal_rig_init(&rig, disk_env_new(1));
    assert_int_equal(wal_rig_open(&rig), ST_OK);
    struct prng prng;
    prng_init(&prng, 1);
    for (int i = 0; i < 60; i++) {
        assert_int_equal(wal_rig_append_random(&rig, &prng), ST_OK);
        assert_true(wal_rig_settle(&rig));
    }
    struct env *disk = disk_env_copy(rig.env, 2);
    wal_rig_release(&rig);
    return disk;
}

/* Any operation of a start fails once: the start fails, as an error of the disk and not as damage,
 * and the next one finds all that there was. */
static void a_log_that_cannot_be_read_is_not_damaged(void **state)
{
    struct env *disk = disk_with_a_log();
    struct wal_rig whole;
    wal_rig_init(&whole, disk_env_copy(disk, 3));
    uint64_t before = disk_env_ops(whole.env);
    assert_int_equal(wal_rig_open(&whole), ST_CONDITION_FAILED); /* this rig knows of no entry */
    uint64_t ops = disk_env_ops(whole.env) - before;
    raft_index last = whole.recovered.last.index;
    assert_true(ops > 10 && last > 0);
    wal_rig_release(&whole);

    for (uint64_t op = 1; op <= ops; op++) {
        struct wal_rig rig;
        wal_rig_init(&rig, disk_env_copy(disk, 4));
        disk_env_fail_at(rig.env, disk_env_ops(rig.env) + op, ST_IO);

        assert_int_equal(wal_rig_open(&rig), ST_IO);

        assert_non_null(strstr(rig.error.text, "wal"));
        wal_rig_kill(&rig);
        disk_env_fail_at(rig.env, 0, ST_OK);
        assert_int_equal(wal_rig_open(&rig), ST_CONDITION_FAILED);
        assert_int_equal(rig.recovered.last.index, last);
        wal_rig_release(&rig);
    }
    disk_env_free(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_vote_for_an_id_that_nobody_can_have_is_damage),
        cmocka_unit_test(a_mark_with_a_field_of_another_time_is_damage),
        cmocka_unit_test(a_first_file_that_begins_in_the_middle_is_damage),
        cmocka_unit_test(a_header_that_nobody_writes_is_damage),
        cmocka_unit_test(a_header_that_knows_of_what_never_was_is_damage),
        cmocka_unit_test(a_log_that_cannot_be_read_is_not_damaged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
