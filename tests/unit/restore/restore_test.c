/* A new cluster out of the state of an old one: the same beginning on each node, or none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/prng.h"
#include "restore/restore.h"
#include "storage/meta.h"
#include "storage/snapfile.h"
#include "storage/wal.h"
#include "support/disk_env.h"
#include "unit/kv/kv_fixture.h"

enum { OLD_CLUSTER = 0x5555 };

static const char *const MEMBERS = "1=10.0.0.1:7001,2=10.0.0.2:7001,3=10.0.0.3:7001";

/* Keys, an announced address, an identity, and a client with a result that is remembered. */
static struct kv *old_state(unsigned keys)
{
    struct kv *kv = fixture_new();
    const node_id ids[] = {2, 5};
    struct config config = fixture_config(ids, 2);
    kv_apply_config(kv, fixture_next_id(kv), &config);
    (void)fixture_announce(kv, 2, "h:8082");
    (void)fixture_register(kv, 2, 77);
    for (unsigned i = 0; i < keys; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "key-%u", i);
        (void)fixture_put(kv, key, "a value of some length, so that blocks fill");
    }
    (void)fixture_apply(
        kv, &(struct command){
                .op = COMMAND_INCR,
                .key = bytes_of_text("n"),
                .by = 3,
                .identity = {.kind = CLIENT_ID, .client = bytes_of_text("me"), .sequence = 1}});
    return kv;
}

static struct restore_options options_of(node_id self, const char *members)
{
    struct errtext error;
    struct restore_options options = {.self = self, .from_cluster_id = OLD_CLUSTER};
    assert_int_equal(config_parse(members, &options.members, &error), ST_OK);
    return options;
}

/* One restore on a disk. */
struct run {
    struct env *env;
    struct kv *kv;
    struct restore *restore;
    bool is_done;
    enum status status;
    uint64_t cluster_id;
};

static void on_done(void *ctx, enum status status, uint64_t cluster_id)
{
    struct run *run = ctx;
    assert_false(run->is_done);
    run->is_done = true;
    run->status = status;
    run->cluster_id = cluster_id;
}

static void restore_it(struct run *run, struct env *env, const struct restore_options *options)
{
    struct errtext error;
    *run = (struct run){.env = env, .kv = old_state(200)};
    run->status = restore_start(env, options, run->kv, on_done, run, &run->restore, &error);
    if (run->status == ST_OK)
        while (!run->is_done && disk_env_step(env))
            continue;
    if (!run->is_done && run->status == ST_OK)
        run->status = ST_IO;
    restore_free(run->restore);
}

static void run_release(struct run *run)
{
    kv_free(run->kv);
}

/* ---- what there is of it ---- */

struct found {
    struct meta meta;
    struct kv_loader *loader;
    struct snapshot_info info;
    struct wal_recovered log;
    struct kv *kv;
};

static void on_begin(void *ctx, struct entry_id last)
{
    (void)last; /* the state says it too */
    struct found *found = ctx;
    found->loader = kv_loader_new(&(struct kv_options){0});
}

static enum status on_feed(void *ctx, struct bytes content)
{
    struct found *found = ctx;
    return kv_loader_feed(found->loader, content);
}

static void on_durable(void *ctx, uint64_t sequence)
{
}

static void on_failed(void *ctx, enum status status)
{
    fail_msg("the log fails: %s", status_info(status)->name);
}

/* As a node opens it. Only what has a meta is one's. */
static bool open_directory(struct env *env, struct found *found)
{
    struct errtext error = {""};
    struct wal *wal;
    *found = (struct found){0};
    if (meta_load(env, &found->meta, &error) != ST_OK)
        return false;
    struct snapfile_sink sink = {.begin = on_begin, .feed = on_feed, .ctx = found};
    assert_int_equal(snapfile_load_newest(env, found->meta.cluster_id, &sink, &found->info, &error),
                     ST_OK);
    assert_int_equal(kv_loader_finish(found->loader, &found->kv), ST_OK);
    struct wal_options options = {.directory = "wal",
                                  .segment_bytes = WAL_SEGMENT_BYTES_DEFAULT,
                                  .owner = {found->meta.cluster_id, found->meta.identity},
                                  .must_exist = true};
    struct wal_callbacks callbacks = {.on_durable = on_durable, .on_failed = on_failed};
    assert_int_equal(wal_open(env, &options, &callbacks, NULL, NULL, &wal, &found->log, &error),
                     ST_OK);
    wal_close(wal);
    assert_true(found->meta.has_log);
    assert_true(entry_id_equal(found->log.snapshot, found->info.last));
    return true;
}

/* ---- tests ---- */

static void each_node_begins_with_the_same_snapshot_and_nothing_of_the_old_members(void **state)
{
    uint64_t ids[3], identities[3];
    uint32_t sums[3];
    for (node_id id = 1; id <= 3; id++) {
        struct restore_options options = options_of(id, MEMBERS);
        struct run run;
        struct found found;
        struct env *env = disk_env_new(id);
        restore_it(&run, env, &options);
        assert_int_equal(run.status, ST_OK);
        disk_env_cut_power(env);

        assert_true(open_directory(env, &found));
        assert_int_equal(found.meta.node, id);
        assert_int_equal(found.meta.cluster_id, run.cluster_id);
        assert_int_equal(kv_config(found.kv)->members_count, 3);
        assert_null(kv_member(found.kv, 5));
        assert_false(address_is_set(&kv_member(found.kv, 2)->http));
        assert_int_equal(kv_member(found.kv, 2)->identity, 0);
        assert_string_equal(kv_member(found.kv, 2)->member.peer.host, "10.0.0.2");
        char path[64];
        (void)snprintf(path, sizeof path, "snap/%016llx-%016llx.snap",
                       (unsigned long long)found.info.last.index,
                       (unsigned long long)found.info.last.term);
        struct bytes file = disk_env_peek(env, path);
        ids[id - 1] = found.meta.cluster_id;
        identities[id - 1] = found.meta.identity;
        sums[id - 1] = 0;
        for (size_t i = 0; i < file.count; i++)
            sums[id - 1] = sums[id - 1] * 31 + file.data[i];
        kv_free(found.kv);
        run_release(&run);
        disk_env_free(env);
    }
    assert_true(ids[0] == ids[1] && ids[1] == ids[2] && ids[0] != OLD_CLUSTER);
    assert_true(sums[0] == sums[1] && sums[1] == sums[2]);
    assert_true(identities[0] != identities[1] && identities[1] != identities[2]);
    struct restore_options options = options_of(1, MEMBERS);
    assert_int_not_equal(ids[0], config_cluster_id(&options.members)); /* made anew */
}

static void keys_revisions_and_clients_stay(void **state)
{
    struct restore_options options = options_of(2, MEMBERS);
    struct env *env = disk_env_new(4);
    struct kv *old = old_state(200);
    struct run run;
    struct found found;
    restore_it(&run, env, &options);
    assert_true(open_directory(env, &found));

    struct kv_stats was, is;
    struct kv_item item;
    struct kv_result result;
    kv_stats(old, &was);
    kv_stats(found.kv, &is);
    was.history = 0; /* another one begins */
    assert_memory_equal(&was, &is, sizeof was);
    assert_true(kv_get(found.kv, bytes_of_text("key-17"), &item));
    assert_int_equal(item.mod_revision, 19);
    struct client_identity me = {.kind = CLIENT_ID, .client = bytes_of_text("me"), .sequence = 1};
    kv_outcome(found.kv, &me, &result);
    assert_int_equal(result.outcome, KV_OUTCOME_APPLIED);
    assert_int_equal(result.number, 3);
    kv_check(found.kv);

    kv_free(found.kv);
    kv_free(old);
    run_release(&run);
    disk_env_free(env);
}

static uint64_t cluster_id_of(const char *members, uint64_t from_cluster_id, unsigned keys,
                              const char *last)
{
    struct restore_options options = options_of(1, members);
    struct errtext error;
    struct run run = {.env = disk_env_new(1), .kv = old_state(keys)};
    options.from_cluster_id = from_cluster_id;
    (void)fixture_put(run.kv, "last", last);
    assert_int_equal(restore_start(run.env, &options, run.kv, on_done, &run, &run.restore, &error),
                     ST_OK);
    while (!run.is_done && disk_env_step(run.env))
        continue;
    restore_free(run.restore);
    run_release(&run);
    disk_env_free(run.env);
    return run.cluster_id;
}

static void another_backup_or_other_members_make_another_cluster(void **state)
{
    uint64_t id = cluster_id_of(MEMBERS, OLD_CLUSTER, 3, "a");
    assert_int_equal(cluster_id_of(MEMBERS, OLD_CLUSTER, 3, "a"), id);
    assert_int_not_equal(cluster_id_of(MEMBERS, OLD_CLUSTER, 3, "b"), id);
    assert_int_not_equal(cluster_id_of(MEMBERS, OLD_CLUSTER, 4, "a"), id);
    assert_int_not_equal(cluster_id_of(MEMBERS, OLD_CLUSTER + 1, 3, "a"), id);
    assert_int_not_equal(cluster_id_of("1=10.0.0.1:7001", OLD_CLUSTER, 3, "a"), id);
}

static void whenever_the_power_fails_there_is_a_whole_directory_or_none(void **state)
{
    struct restore_options options = options_of(3, MEMBERS);
    for (uint64_t seed = 1; seed <= 4; seed++) {
        bool was_done = false;
        unsigned none_count = 0;
        for (uint64_t op = 1; !was_done; op++) {
            struct run run;
            struct found found;
            struct env *env = disk_env_new(seed * 100 + op);
            disk_env_die_at(env, op);
            restore_it(&run, env, &options);
            was_done = run.status == ST_OK;
            disk_env_cut_power(env);

            bool is_there = open_directory(env, &found);
            if (was_done && !is_there)
                fail_msg("seed %llu, operation %llu: gone after it was done",
                         (unsigned long long)seed, (unsigned long long)op);
            none_count += !is_there;
            kv_free(found.kv);
            run_release(&run);
            disk_env_free(env);
        }
        assert_true(none_count > 5);
    }
}

static void a_disk_that_fails_is_told_of(void **state)
{
    struct restore_options options = options_of(1, MEMBERS);
    struct run run;
    struct env *env = disk_env_new(1);
    restore_it(&run, env, &options);
    uint64_t ops = disk_env_ops(env);
    run_release(&run);
    disk_env_free(env);
    for (uint64_t op = 1; op <= ops; op++) {
        struct found found;
        env = disk_env_new(op);
        disk_env_fail_at(env, op, ST_NO_SPACE);
        restore_it(&run, env, &options);
        bool is_there = open_directory(env, &found);
        assert_true(run.status != ST_OK || is_there);
        kv_free(found.kv);
        run_release(&run);
        disk_env_free(env);
    }
}

/* ---- reading a file ---- */

/* The file of a snapshot, as a node makes it. */
static struct env *write_file(struct bytes *out_file)
{
    struct restore_options options = options_of(1, MEMBERS);
    struct run run;
    struct found found;
    char path[64];
    struct env *env = disk_env_new(9);
    restore_it(&run, env, &options);
    assert_true(open_directory(env, &found));
    (void)snprintf(path, sizeof path, "snap/%016llx-%016llx.snap",
                   (unsigned long long)found.info.last.index,
                   (unsigned long long)found.info.last.term);
    *out_file = disk_env_peek(env, path);
    kv_free(found.kv);
    run_release(&run);
    return env;
}

static enum status read_file(struct bytes file, size_t piece_bytes, struct kv **out_kv)
{
    struct restore_reader *reader = restore_reader_new();
    struct errtext error;
    uint64_t cluster_id;
    enum status status = ST_OK;
    for (size_t at = 0; at < file.count && status == ST_OK; at += piece_bytes)
        status = restore_reader_feed(
            reader, bytes_of(file.data + at, MIN(piece_bytes, file.count - at)), &error);
    if (status == ST_OK)
        status = restore_reader_finish(reader, out_kv, &cluster_id, &error);
    restore_reader_free(reader);
    return status;
}

static void a_file_comes_in_pieces_of_any_size(void **state)
{
    static const size_t sizes[] = {1, 7, 64, 4096, 4097, SIZE_MAX / 2};
    struct bytes file;
    struct env *env = write_file(&file);
    uint64_t digest = 0;
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        struct kv *kv;
        assert_int_equal(read_file(file, sizes[i], &kv), ST_OK);
        assert_true(digest == 0 || digest == kv_digest(kv));
        digest = kv_digest(kv);
        kv_free(kv);
    }
    disk_env_free(env);
}

static void a_file_that_is_not_whole_is_refused(void **state)
{
    struct bytes file;
    struct env *env = write_file(&file);
    struct buf copy;
    struct kv *kv;
    struct prng random;
    prng_init(&random, 1);
    buf_init(&copy, file.count + 1);
    for (unsigned i = 0; i < 300; i++) {
        size_t at = (size_t)prng_below(&random, file.count);
        assert_int_equal(read_file(bytes_of(file.data, at), 1000, &kv), ST_CORRUPT);
        buf_reset(&copy);
        buf_put(&copy, file);
        copy.data[at] ^= (uint8_t)(1 + prng_below(&random, 255));
        assert_int_not_equal(read_file(buf_bytes(&copy), 1000, &kv), ST_OK);
    }
    buf_reset(&copy);
    buf_put(&copy, file);
    buf_put_u8(&copy, 0);
    assert_int_equal(read_file(buf_bytes(&copy), 1000, &kv), ST_CORRUPT);
    buf_release(&copy);
    disk_env_free(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_node_begins_with_the_same_snapshot_and_nothing_of_the_old_members),
        cmocka_unit_test(keys_revisions_and_clients_stay),
        cmocka_unit_test(another_backup_or_other_members_make_another_cluster),
        cmocka_unit_test(whenever_the_power_fails_there_is_a_whole_directory_or_none),
        cmocka_unit_test(a_disk_that_fails_is_told_of),
        cmocka_unit_test(a_file_comes_in_pieces_of_any_size),
        cmocka_unit_test(a_file_that_is_not_whole_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
