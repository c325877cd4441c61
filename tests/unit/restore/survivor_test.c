/* What is read out of the data directory of a node that does not run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/mem.h"
#include "restore/restore.h"
#include "storage/meta.h"
#include "storage/snapfile.h"
#include "storage/wal.h"
#include "support/disk_env.h"
#include "unit/kv/kv_fixture.h"

enum { CLUSTER = 0x77, IDENTITY = 0x99, WHILE_US = 5000000 };

/* A directory, and beside it the state that its log makes. */
struct rig {
    struct env *env;
    struct wal *wal;
    struct kv *kv;
    struct kv_image *image;
};

static void on_durable(void *ctx, uint64_t sequence)
{
}

static void on_failed(void *ctx, enum status status)
{
    fail_msg("the log fails: %s", status_info(status)->name);
}

static void rig_open(struct rig *rig, bool is_founder)
{
    struct errtext error;
    struct wal_recovered found;
    struct meta meta = {.cluster_id = CLUSTER, .identity = IDENTITY, .node = 1, .has_log = true};
    *rig = (struct rig){.env = disk_env_new(1), .kv = fixture_new()};
    if (is_founder)
        meta.initial = fixture_config((const node_id[]){1, 2, 3}, 3);
    struct wal_options options = {.directory = "wal",
                                  .segment_bytes = WAL_SEGMENT_BYTES_DEFAULT,
                                  .owner = {CLUSTER, IDENTITY}};
    struct wal_callbacks callbacks = {.on_durable = on_durable, .on_failed = on_failed};
    assert_int_equal(meta_save(rig->env, &meta, &error), ST_OK);
    assert_int_equal(
        wal_open(rig->env, &options, &callbacks, NULL, NULL, &rig->wal, &found, &error), ST_OK);
    if (is_founder)
        kv_apply_config(rig->kv, (struct entry_id){1, 1}, &meta.initial);
}

/* The process has ended. */
static void rig_end(struct rig *rig)
{
    disk_env_run(rig->env, WHILE_US);
    wal_close(rig->wal);
    rig->wal = NULL;
    disk_env_kill(rig->env);
}

static void rig_free(struct rig *rig)
{
    wal_close(rig->wal);
    kv_free(rig->kv);
    disk_env_free(rig->env);
}

/* One put; `commit` is what the node knew then. */
static void append(struct rig *rig, raft_index commit)
{
    char key[32];
    struct kv_stats stats;
    struct buf command;
    uint64_t sequence;
    kv_stats(rig->kv, &stats);
    struct entry_id id = {.term = 2 + stats.applied.index / 10, .index = stats.applied.index + 1};
    (void)snprintf(key, sizeof key, "key-%llu", (unsigned long long)id.index);
    struct command put = {
        .op = COMMAND_PUT, .key = bytes_of_text(key), .value = bytes_of_text("value")};
    buf_init(&command, LIMIT_COMMAND_BYTES);
    command_encode(&put, &command);
    struct proposal proposal = {.stamp_us = id.index, .command = buf_bytes(&command)};
    struct entry *entry = entry_new(ENTRY_COMMAND, PROPOSAL_HEADER_BYTES + command.count);
    proposal_encode_header(&proposal, entry->data);
    memcpy(entry->data + PROPOSAL_HEADER_BYTES, command.data, command.count);
    entry_seal(entry, id);
    assert_int_equal(wal_append(rig->wal, NULL, &entry, 1, commit, &sequence), ST_OK);
    struct kv_result result;
    kv_apply(rig->kv, id, &proposal, &result);
    assert_int_equal(result.status, ST_OK);
    entry_unref(entry);
    buf_release(&command);
}

static bool read_image(void *ctx, size_t bytes_max, struct buf *out)
{
    struct rig *rig = ctx;
    return kv_image_read(rig->image, bytes_max, out);
}

static void on_written(void *ctx, enum status status, const struct snapshot_info *info)
{
    struct rig *rig = ctx;
    assert_int_equal(status, ST_OK);
    kv_unpin(rig->kv, rig->image);
    rig->image = NULL;
}

static void snapshot(struct rig *rig, bool is_marked)
{
    uint64_t sequence;
    rig->image = kv_pin(rig->kv);
    struct snapfile_options options = {.cluster_id = CLUSTER, .last = kv_image_applied(rig->image)};
    (void)snapfile_write_start(rig->env, &options, read_image, on_written, rig);
    disk_env_run(rig->env, WHILE_US);
    assert_null(rig->image);
    if (is_marked)
        assert_int_equal(wal_mark(rig->wal, options.last, &sequence), ST_OK);
}

static enum status read_back(struct rig *rig, struct errtext *error)
{
    struct kv *kv;
    uint64_t cluster_id;
    enum status status = restore_read_directory(rig->env, &kv, &cluster_id, error);
    if (status != ST_OK)
        return status;
    assert_int_equal(cluster_id, CLUSTER);
    assert_int_equal(kv_digest(kv), kv_digest(rig->kv));
    kv_check(kv);
    kv_free(kv);
    return ST_OK;
}

static void all_of_the_log_counts_not_only_what_was_known_to_be_committed(void **state)
{
    struct rig rig;
    struct errtext error;
    (void)state;
    rig_open(&rig, true);
    for (int i = 0; i < 35; i++)
        append(&rig, 3);
    rig_end(&rig);

    assert_int_equal(read_back(&rig, &error), ST_OK);
    assert_int_equal(read_back(&rig, &error), ST_OK); /* and again */
    rig_free(&rig);
}

static void the_log_goes_on_where_the_snapshot_ends(void **state)
{
    struct errtext error;
    (void)state;
    for (int is_marked = 0; is_marked < 2; is_marked++)
        for (int behind = 0; behind < 3; behind++) {
            struct rig rig;
            rig_open(&rig, true);
            for (int i = 0; i < 20; i++)
                append(&rig, 3);
            snapshot(&rig, is_marked);
            for (int i = 0; i < behind * 10; i++)
                append(&rig, 20);
            rig_end(&rig);

            assert_int_equal(read_back(&rig, &error), ST_OK);
            rig_free(&rig);
        }
}

static void a_snapshot_that_is_newer_than_the_log_stands_alone(void **state)
{
    struct rig rig;
    struct errtext error;
    (void)state;
    rig_open(&rig, true);
    for (int i = 0; i < 5; i++)
        append(&rig, 3);
    for (int i = 0; i < 20; i++) /* fetched, with entries that the log never had */
        (void)fixture_put(rig.kv, "other", "value");
    snapshot(&rig, false);
    rig_end(&rig);

    assert_int_equal(read_back(&rig, &error), ST_OK);
    rig_free(&rig);
}

static void what_is_missing_is_told(void **state)
{
    struct rig rig;
    struct errtext error = {""};
    char path[64];
    (void)state;
    rig_open(&rig, true);
    for (int i = 0; i < 20; i++)
        append(&rig, 3);
    snapshot(&rig, true);
    append(&rig, 20);
    rig_end(&rig);
    (void)snprintf(path, sizeof path, "snap/%016x-%016x.snap", 21, 4);
    assert_true(disk_env_exists(rig.env, path));
    disk_env_remove(rig.env, path);
    assert_int_equal(read_back(&rig, &error), ST_CORRUPT);
    assert_non_null(strstr(error.text, "the snapshot at 21"));
    rig_free(&rig);

    rig_open(&rig, false); /* joined, and got nothing yet */
    rig_end(&rig);
    assert_int_equal(read_back(&rig, &error), ST_CORRUPT);
    assert_non_null(strstr(error.text, "had not got a state yet"));
    rig_free(&rig);

    rig = (struct rig){.env = disk_env_new(1), .kv = fixture_new()};
    assert_int_equal(read_back(&rig, &error), ST_NOT_FOUND);
    rig_free(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_the_log_counts_not_only_what_was_known_to_be_committed),
        cmocka_unit_test(the_log_goes_on_where_the_snapshot_ends),
        cmocka_unit_test(a_snapshot_that_is_newer_than_the_log_stands_alone),
        cmocka_unit_test(what_is_missing_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
