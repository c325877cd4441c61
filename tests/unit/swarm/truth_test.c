/* What is on a disk for certain, read from what a machine does with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "sim/swarm/truth.h"
#include "storage/snapfile_format.h"

enum { MACHINE = 1, SALT = 7 };

struct rig {
    struct world *world;
    struct env *env;
    struct truth truth;
    struct env_file *log;
    uint64_t offset, seq; /* of the next frame */
};

static void on_event(void *ctx, const struct world_event *event)
{
    struct rig *rig = ctx;
    truth_on_event(&rig->truth, event);
}

static void must(enum status status)
{
    assert_int_equal(status, ST_OK);
}

static struct env_file *create(struct rig *rig, const char *path)
{
    struct env_file *file = NULL;
    struct errtext error;
    must(env_file_open(rig->env, path, ENV_OPEN_CREATE, &file, &error));
    return file;
}

/* A machine with a log of one segment, in which there is nothing yet. */
static int set_up(void **state)
{
    static struct rig rig;
    struct world_options options = {.seed = 1};
    uint8_t block[WAL_BLOCK_BYTES];
    struct wal_segment_header header = {.segment = 1, .salt = SALT, .first_seq = 1};
    rig = (struct rig){.world = world_new(&options), .offset = WAL_BLOCK_BYTES, .seq = 1};
    world_trace(rig.world, on_event, &rig);
    rig.env = world_boot(rig.world, MACHINE);
    rig.truth.is_starting = false;
    must(env_dir_make(rig.env, "wal"));
    must(env_dir_make(rig.env, "snap"));
    must(env_dir_sync(rig.env, "."));
    rig.log = create(&rig, "wal/0000000000000001.log");
    wal_format_encode_segment(&header, block);
    must(env_file_write(rig.log, 0, bytes_of(block, sizeof block)));
    must(env_file_sync(rig.log));
    must(env_dir_sync(rig.env, "wal"));
    *state = &rig;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *rig = *state;
    env_file_close(rig->log);
    truth_release(&rig->truth);
    world_free(rig->world);
    return 0;
}

/* One frame with this record, or two. */
static void write_frame(struct rig *rig, const struct buf *records)
{
    struct buf frame;
    struct wal_frame_header header = {.records_bytes = (uint32_t)records->count,
                                      .segment = 1,
                                      .seq = rig->seq++,
                                      .records_count = 1};
    buf_init(&frame, SIZE_MAX / 2);
    buf_put_zeros(&frame, WAL_FRAME_HEADER_BYTES);
    buf_put(&frame, buf_bytes(records));
    buf_put_zeros(&frame, wal_format_frame_bytes(records->count) - frame.count);
    wal_format_seal_frame(&header, SALT, rig->offset, frame.data);
    must(env_file_write(rig->log, rig->offset, buf_bytes(&frame)));
    rig->offset += frame.count;
    buf_release(&frame);
}

static void write_entry(struct rig *rig, struct entry_id id)
{
    struct buf records;
    struct entry *entry = entry_new(ENTRY_NOOP, 0);
    entry_seal(entry, id);
    buf_init(&records, SIZE_MAX / 2);
    wal_format_put_entry(entry, &records);
    write_frame(rig, &records);
    buf_release(&records);
    entry_unref(entry);
}

static void write_mark(struct rig *rig, struct entry_id id, bool begins_anew)
{
    struct buf records;
    struct wal_mark mark = {id, begins_anew};
    buf_init(&records, SIZE_MAX / 2);
    wal_format_put_mark(&mark, &records);
    write_frame(rig, &records);
    buf_release(&records);
}

static struct entry_id id_of(raft_term term, raft_index index)
{
    return (struct entry_id){.term = term, .index = index};
}

static void an_entry_counts_once_its_frame_is_synced(void **state)
{
    struct rig *rig = *state;

    write_entry(rig, id_of(3, 2));
    assert_false(truth_has(&rig->truth, id_of(3, 2)));
    must(env_file_sync(rig->log));

    assert_true(truth_has(&rig->truth, id_of(3, 2)));
    assert_false(truth_has(&rig->truth, id_of(4, 2)));
    assert_int_equal(truth_end(&rig->truth), 2);
}

static void the_sync_of_another_file_makes_nothing_count(void **state)
{
    struct rig *rig = *state;
    struct env_file *spare = create(rig, "wal/spare");

    write_entry(rig, id_of(3, 2));
    must(env_file_sync(spare));

    assert_false(truth_has(&rig->truth, id_of(3, 2)));
    env_file_close(spare);
}

static void a_mark_behind_which_the_log_begins_anew_takes_away_what_was_there(void **state)
{
    struct rig *rig = *state;
    for (raft_index i = 2; i < 12; i++)
        write_entry(rig, id_of(3, i));

    write_mark(rig, id_of(5, 8), true);
    must(env_file_sync(rig->log));

    assert_int_equal(truth_end(&rig->truth), 8);
    assert_false(truth_has(&rig->truth, id_of(3, 9)));
    assert_true(truth_has(&rig->truth, id_of(5, 8)));
}

static void a_mark_in_a_log_that_goes_on_changes_nothing(void **state)
{
    struct rig *rig = *state;
    for (raft_index i = 2; i < 12; i++)
        write_entry(rig, id_of(3, i));

    write_mark(rig, id_of(3, 8), false);
    must(env_file_sync(rig->log));

    assert_int_equal(truth_end(&rig->truth), 11);
}

static void a_sync_after_one_that_failed_is_noticed(void **state)
{
    struct rig *rig = *state;
    write_entry(rig, id_of(3, 2));
    world_fault_at_io(rig->world, MACHINE, world_io_count(rig->world, MACHINE) + 1, WORLD_IO_ERROR);

    assert_int_equal(env_file_sync(rig->log), ST_IO);
    assert_false(rig->truth.has_gone_on);
    must(env_file_sync(rig->log));

    assert_true(rig->truth.has_gone_on);
}

/* A snapshot file with little in it; whole, or without its last byte. */
static void write_snapshot(struct rig *rig, struct entry_id id, bool is_whole)
{
    struct snapfile_stream stream = {0};
    struct buf bytes;
    buf_init(&bytes, SIZE_MAX / 2);
    snapfile_format_begin(&stream, 1, id, 4096, &bytes);
    snapfile_format_put_block(&stream, BYTES_LITERAL("content"), true, &bytes);
    snapfile_format_end(&stream, &bytes);
    struct env_file *file = create(rig, "snap/new");
    must(env_file_write(file, 0, bytes_of(bytes.data, bytes.count - !is_whole)));
    must(env_file_sync(file));
    must(env_rename(rig->env, "snap/new", "snap/0000000000000009-0000000000000004.snap"));
    env_file_close(file);
    buf_release(&bytes);
}

static void a_snapshot_counts_once_its_name_lasts(void **state)
{
    struct rig *rig = *state;

    write_snapshot(rig, id_of(4, 9), true);
    truth_look(&rig->truth, rig->world, MACHINE);
    assert_int_equal(truth_end(&rig->truth), 0);
    must(env_dir_sync(rig->env, "snap"));
    truth_look(&rig->truth, rig->world, MACHINE);

    assert_int_equal(truth_end(&rig->truth), 9);
    assert_true(truth_has(&rig->truth, id_of(2, 5)));
}

static void a_snapshot_that_is_cut_short_never_counts(void **state)
{
    struct rig *rig = *state;

    write_snapshot(rig, id_of(4, 9), false);
    must(env_dir_sync(rig->env, "snap"));
    truth_look(&rig->truth, rig->world, MACHINE);

    assert_int_equal(truth_end(&rig->truth), 0);
}

static void the_end_of_the_log_is_read_from_the_disk_alone(void **state)
{
    struct rig *rig = *state;
    raft_index end = 0;
    (void)strcpy(rig->truth.path, "wal/0000000000000001.log");
    for (raft_index i = 2; i < 12; i++)
        write_entry(rig, id_of(3, i));
    must(env_file_sync(rig->log));

    write_entry(rig, id_of(3, 12));

    assert_true(truth_read_end(&rig->truth, rig->world, MACHINE, &end));
    assert_int_equal(end, 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_entry_counts_once_its_frame_is_synced, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_sync_of_another_file_makes_nothing_count, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            a_mark_behind_which_the_log_begins_anew_takes_away_what_was_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_mark_in_a_log_that_goes_on_changes_nothing, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_sync_after_one_that_failed_is_noticed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_snapshot_counts_once_its_name_lasts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_snapshot_that_is_cut_short_never_counts, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_end_of_the_log_is_read_from_the_disk_alone, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
