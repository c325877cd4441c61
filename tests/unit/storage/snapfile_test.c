/* Snapshot files, case by case: written, listed, loaded, served and pruned. */
#include "unit/storage/snapfile_rig.h"

static void write_ok(struct env *env, raft_index index, size_t bytes_total)
{
    struct source source = source_of(index, bytes_total, 1000);
    assert_int_equal(write_one(env, &source, index, RIG_BLOCK_BYTES), ST_OK);
}

/* A copy of what is in the file; the caller frees it. */
static struct bytes copy_file(struct env *env, const char *path)
{
    struct bytes bytes = disk_env_peek(env, path);
    uint8_t *copy = mem_alloc_raw(bytes.count);
    memcpy(copy, bytes.data, bytes.count);
    return bytes_of(copy, bytes.count);
}

static void what_is_written_is_loaded(void **state)
{
    static const size_t sizes[] = {1,    100,  4095,  4096,  4097,   8191,
                                   8192, 8193, 12288, 50000, 262144, 1000000};
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        for (uint32_t block_bytes = 0; block_bytes <= RIG_BLOCK_BYTES;
             block_bytes += RIG_BLOCK_BYTES) {
            struct env *env = disk_env_new(i);
            struct source source = source_of(5, sizes[i], 777);
            assert_int_equal(write_one(env, &source, 5, block_bytes), ST_OK);
            disk_env_cut_power(env);

            struct loaded loaded = {0};
            assert_int_equal(load(env, &loaded), ST_OK);

            assert_int_equal(loaded.count, sizes[i]);
            assert_false(loaded.is_wrong);
            assert_int_equal(loaded.begun_count, 1);
            assert_true(entry_id_equal(loaded.info.last, id_of(5)));
            assert_int_equal(loaded.info.bytes, source.info.bytes);
            char path[64];
            assert_int_equal(disk_env_peek(env, path_of(5, ".snap", path)).count,
                             source.info.bytes);
            disk_env_free(env);
        }
    }
}

static void an_empty_state_is_a_snapshot_too(void **state)
{
    struct env *env = disk_env_new(1);
    write_ok(env, 5, 0);

    struct loaded loaded = {0};
    assert_int_equal(load(env, &loaded), ST_OK);

    assert_int_equal(loaded.count, 0);
    assert_int_equal(loaded.begun_count, 1);
    disk_env_free(env);
}

/* Two nodes pull in other pieces, at another pace; the file is the same. */
static void the_same_content_gives_the_same_bytes(void **state)
{
    char path[64];
    (void)path_of(5, ".snap", path);
    struct env *one = disk_env_new(1), *other = disk_env_new(2);
    struct source in_one = source_of(5, 100000, 100000), in_other = source_of(5, 100000, 13);
    assert_int_equal(write_one(one, &in_one, 5, RIG_BLOCK_BYTES), ST_OK);
    assert_int_equal(write_one(other, &in_other, 5, RIG_BLOCK_BYTES), ST_OK);

    assert_true(bytes_equal(disk_env_peek(one, path), disk_env_peek(other, path)));
    disk_env_free(one);
    disk_env_free(other);
}

static void writing_keeps_to_its_pace(void **state)
{
    struct env *env = disk_env_new(1);
    struct source source = source_of(5, 2000000, 64 * 1024);
    struct snapfile_options options = {
        .cluster_id = RIG_CLUSTER, .last = id_of(5), .bytes_per_second = 1000000};
    time_us began = env_now(env);
    (void)snapfile_write_start(env, &options, source_read, source_done, &source);
    run_until(env, &source.is_done);

    assert_int_equal(source.status, ST_OK);
    assert_in_range(env_now(env) - began, 1800000, 2200000);
    disk_env_free(env);
}

static void a_writer_that_was_cancelled_leaves_nothing(void **state)
{
    char path[64];
    for (int steps = 0; steps < 60; steps++) {
        struct env *env = disk_env_new(1);
        struct source source = source_of(5, 2000000, 64 * 1024);
        struct snapfile_writer *writer = begin_writing(env, &source, 5, 0);
        for (int i = 0; i < steps && !source.is_done; i++)
            (void)disk_env_step(env);
        if (source.is_done) {
            disk_env_free(env);
            break;
        }
        snapfile_write_cancel(writer);
        disk_env_run(env, RIG_WHILE_US);

        assert_false(source.is_done);
        assert_false(disk_env_exists(env, path_of(5, ".tmp", path)));
        assert_false(disk_env_exists(env, path_of(5, ".snap", path)));
        disk_env_free(env);
    }
}

/* ---- loading ---- */

static void without_any_there_is_none(void **state)
{
    struct env *env = disk_env_new(1);
    struct loaded loaded = {0};

    assert_int_equal(load(env, &loaded), ST_NOT_FOUND);

    disk_env_put(env, "snap/notes.txt", BYTES_LITERAL("mine"));
    disk_env_put(env, "snap/0000000000000005-0000000000000001.tmp", BYTES_LITERAL("x"));
    assert_int_equal(load(env, &loaded), ST_NOT_FOUND);
    disk_env_free(env);
}

static void the_newest_whole_one_is_loaded(void **state)
{
    char path[64];
    struct env *env = disk_env_new(1);
    write_ok(env, 5, 10000);
    write_ok(env, 300, 20000);
    write_ok(env, 17, 30000);
    struct loaded loaded = {0};
    assert_int_equal(load(env, &loaded), ST_OK);
    assert_int_equal(loaded.info.last.index, 300);
    assert_int_equal(loaded.count, 20000);

    uint8_t byte = (uint8_t)~disk_env_peek(env, path_of(300, ".snap", path)).data[9000];
    disk_env_poke(env, path, 9000, bytes_of(&byte, 1));
    loaded = (struct loaded){0};
    assert_int_equal(load(env, &loaded), ST_OK);

    assert_int_equal(loaded.info.last.index, 17);
    assert_int_equal(loaded.count, 30000);
    assert_false(loaded.is_wrong);
    assert_int_equal(loaded.damaged_count, 1);
    assert_non_null(strstr(loaded.damaged.text, path));
    assert_non_null(strstr(loaded.damaged.text, "at offset 8216")); /* of the second block */
    disk_env_free(env);
}

static void content_that_its_reader_refuses_is_damage(void **state)
{
    struct env *env = disk_env_new(1);
    write_ok(env, 5, 10000);
    write_ok(env, 6, 20000);
    struct loaded loaded = {.refuse_at = 15000};

    assert_int_equal(load(env, &loaded), ST_OK);

    assert_int_equal(loaded.info.last.index, 5);
    assert_non_null(strstr(loaded.damaged.text, "the content is malformed"));
    disk_env_free(env);
}

static void damage_to_all_of_them_is_lost_data(void **state)
{
    char path[64];
    struct env *env = disk_env_new(1);
    write_ok(env, 5, 10000);
    write_ok(env, 6, 20000);
    disk_env_truncate(env, path_of(5, ".snap", path), 9000);
    disk_env_truncate(env, path_of(6, ".snap", path), 0);
    struct loaded loaded = {0};

    assert_int_equal(load(env, &loaded), ST_CORRUPT);

    assert_int_equal(loaded.damaged_count, 2);
    assert_non_null(strstr(loaded.error.text, path)); /* the newest is named */
    disk_env_free(env);
}

/* Whichever read it is, and however many lie ahead of it: an older snapshot is not loaded instead,
 * for the next start may be able to read this one. */
static void a_read_error_is_not_taken_for_damage(void **state)
{
    (void)state;
    struct env *env = disk_env_new(1);
    write_ok(env, 5, 10000);
    struct source source = source_of(300, 5 * SNAPFILE_UNIT_BYTES_MAX, 100000);
    assert_int_equal(write_one(env, &source, 300, 0), ST_OK);
    uint64_t ops = disk_env_ops(env);
    struct loaded whole = {0};
    assert_int_equal(load(env, &whole), ST_OK);
    uint64_t load_ops = disk_env_ops(env) - ops, cannot_read_count = 0;

    for (uint64_t op = 1; op <= load_ops; op++) {
        struct loaded loaded = {0};
        disk_env_fail_at(env, disk_env_ops(env) + op, ST_IO);

        enum status status = load(env, &loaded);

        assert_int_equal(loaded.damaged_count, 0);
        assert_true(loaded.begun_count == 0 || loaded.last.index == 300);
        assert_true(status == ST_IO || (status == ST_OK && loaded.count == whole.count));
        bool is_read = strstr(loaded.error.text, "cannot read") != NULL;
        assert_true(!is_read || status == ST_IO);
        cannot_read_count += is_read;
    }
    assert_true(cannot_read_count >= 6); /* each window of the newest */
    disk_env_free(env);
}

/* Without threads: what lies behind the end of the matter is not even read. */
static void nothing_is_read_behind_what_ends_the_loading(void **state)
{
    (void)state;
    char path[64];
    struct env *env = disk_env_new(1);
    struct source source = source_of(5, 9 * SNAPFILE_UNIT_BYTES_MAX, 100000);
    assert_int_equal(write_one(env, &source, 5, 0), ST_OK);
    uint64_t before = disk_env_ops(env);
    struct loaded loaded = {0};
    assert_int_equal(load(env, &loaded), ST_OK);
    uint64_t whole_ops = disk_env_ops(env) - before;

    uint8_t byte = (uint8_t)~disk_env_peek(env, path_of(5, ".snap", path)).data[600000];
    disk_env_poke(env, path, 600000, bytes_of(&byte, 1)); /* in the third of ten blocks */
    before = disk_env_ops(env);
    loaded = (struct loaded){0};
    assert_int_equal(load(env, &loaded), ST_CORRUPT);

    assert_true(disk_env_ops(env) - before <= whole_ops - 6);
    disk_env_free(env);
}

static void the_snapshot_of_another_cluster_or_version_is_refused(void **state)
{
    struct env *env = disk_env_new(1);
    struct source source = source_of(5, 1000, 1000);
    struct snapfile_options options = {.cluster_id = 0x99, .last = id_of(5)};
    (void)snapfile_write_start(env, &options, source_read, source_done, &source);
    run_until(env, &source.is_done);
    struct loaded loaded = {0};

    assert_int_equal(load(env, &loaded), ST_FORMAT);

    assert_non_null(strstr(loaded.error.text, "another cluster"));
    assert_int_equal(loaded.begun_count, 0);
    disk_env_free(env);
}

static void a_snapshot_under_another_name_is_damage(void **state)
{
    char from[64], to[64];
    struct env *env = disk_env_new(1);
    write_ok(env, 5, 1000);
    assert_int_equal(env_rename(env, path_of(5, ".snap", from), path_of(6, ".snap", to)), ST_OK);
    struct loaded loaded = {0};

    assert_int_equal(load(env, &loaded), ST_CORRUPT);

    assert_non_null(strstr(loaded.error.text, "another snapshot than its name says"));
    disk_env_free(env);
}

static void any_flipped_bit_is_damage(void **state)
{
    char path[64];
    struct env *env = disk_env_new(1);
    struct source source = source_of(5, 700, 100);
    assert_int_equal(write_one(env, &source, 5, 256), ST_OK);
    struct bytes whole = copy_file(env, path_of(5, ".snap", path));

    for (size_t bit = 0; bit < whole.count * 8; bit++) {
        uint8_t byte = whole.data[bit / 8] ^ (uint8_t)(1u << (bit % 8));
        disk_env_poke(env, path, bit / 8, bytes_of(&byte, 1));
        struct loaded loaded = {0};
        if (load(env, &loaded) != ST_CORRUPT)
            fail_msg("bit %zu was flipped and not noticed", bit);
        disk_env_poke(env, path, bit / 8, bytes_of(whole.data + bit / 8, 1));
    }
    struct loaded loaded = {0};
    assert_int_equal(load(env, &loaded), ST_OK);
    mem_free((void *)whole.data);
    disk_env_free(env);
}

static void any_other_length_is_damage(void **state)
{
    char path[64];
    struct env *env = disk_env_new(1);
    struct source source = source_of(5, 700, 100);
    assert_int_equal(write_one(env, &source, 5, 256), ST_OK);
    struct bytes whole = copy_file(env, path_of(5, ".snap", path));

    for (size_t count = 0; count <= whole.count + 3; count++) {
        disk_env_put(env, path, bytes_of(whole.data, MIN(count, whole.count)));
        if (count > whole.count)
            disk_env_truncate(env, path, count);
        struct loaded loaded = {0};
        assert_int_equal(load(env, &loaded), count == whole.count ? ST_OK : ST_CORRUPT);
    }
    mem_free((void *)whole.data);
    disk_env_free(env);
}

/* Blocks of the same length, whole, but not of this file, or not in this place. */
static void blocks_that_are_swapped_or_of_another_snapshot_are_damage(void **state)
{
    enum { UNIT = SNAPFILE_BLOCK_HEADER_BYTES + 256, FIRST = SNAPFILE_HEADER_BYTES };
    char path[64], other_path[64];
    struct env *env = disk_env_new(1);
    struct source source = source_of(6, 1024, 100), other = source_of(6, 1024, 100);
    assert_int_equal(write_one(env, &source, 6, 256), ST_OK);
    assert_int_equal(write_one(env, &other, 5, 256), ST_OK); /* the same content at another index */
    struct bytes whole = copy_file(env, path_of(6, ".snap", path));
    struct loaded loaded = {0};

    disk_env_poke(env, path, FIRST, bytes_of(whole.data + FIRST + UNIT, UNIT));
    disk_env_poke(env, path, FIRST + UNIT, bytes_of(whole.data + FIRST, UNIT));
    assert_int_equal(load(env, &loaded), ST_OK);
    assert_int_equal(loaded.info.last.index, 5);
    disk_env_poke(env, path, 0, whole);

    struct bytes foreign = disk_env_peek(env, path_of(5, ".snap", other_path));
    disk_env_poke(env, path, FIRST + UNIT, bytes_of(foreign.data + FIRST + UNIT, UNIT));
    loaded = (struct loaded){0};
    assert_int_equal(load(env, &loaded), ST_OK);
    assert_int_equal(loaded.info.last.index, 5);
    mem_free((void *)whole.data);
    disk_env_free(env);
}

/* ---- listing, serving, pruning ---- */

static void names_are_listed_the_newest_first(void **state)
{
    struct env *env = disk_env_new(1);
    struct snapshot_info infos[2];
    size_t count = 9;
    assert_int_equal(snapfile_list(env, infos, 2, &count), ST_OK);
    assert_int_equal(count, 0);
    write_ok(env, 5, 100);
    write_ok(env, 70, 200);
    write_ok(env, 6, 300);

    assert_int_equal(snapfile_list(env, infos, 2, &count), ST_OK);

    assert_int_equal(count, 3);
    assert_int_equal(infos[0].last.index, 70);
    assert_int_equal(infos[1].last.index, 6);
    assert_int_equal(infos[1].bytes, SNAPFILE_HEADER_BYTES + SNAPFILE_BLOCK_HEADER_BYTES + 300 +
                                         SNAPFILE_FOOTER_BYTES);
    disk_env_free(env);
}

static void any_piece_of_a_file_can_be_read_also_when_it_is_pruned_meanwhile(void **state)
{
    char path[64];
    struct env *env = disk_env_new(1);
    struct errtext error;
    struct snapfile *file;
    write_ok(env, 5, 10000);
    struct bytes whole = copy_file(env, path_of(5, ".snap", path));
    assert_int_equal(snapfile_open(env, id_of(6), &file, &error), ST_NOT_FOUND);
    assert_int_equal(snapfile_open(env, id_of(5), &file, &error), ST_OK);
    assert_int_equal(snapfile_bytes(file), whole.count);
    assert_int_equal(snapfile_prune(env, 6, &error), ST_OK);
    assert_false(disk_env_exists(env, path));

    for (uint64_t offset = 0; offset < whole.count + 1000; offset += 997) {
        uint8_t bytes[1500];
        size_t count;
        assert_int_equal(snapfile_read(file, offset, bytes, sizeof bytes, &count), ST_OK);
        size_t rest = offset < whole.count ? whole.count - (size_t)offset : 0;
        assert_int_equal(count, MIN(rest, sizeof bytes));
        if (count > 0)
            assert_memory_equal(bytes, whole.data + offset, count);
    }
    snapfile_close(file);
    snapfile_close(NULL);
    mem_free((void *)whole.data);
    disk_env_free(env);
}

/* All of it, in pieces that do not begin where parts do. */
static enum status read_all(struct snapfile *file, struct bytes whole)
{
    for (uint64_t offset = 0; offset < whole.count; offset += 997) {
        uint8_t bytes[997];
        size_t count;
        enum status status = snapfile_read(file, offset, bytes, sizeof bytes, &count);
        if (status != ST_OK)
            return status;
        assert_memory_equal(bytes, whole.data + offset, count);
    }
    return ST_OK;
}

static void no_damage_of_a_file_is_read_as_if_nothing_were(void **state)
{
    (void)state;
    char path[64];
    struct env *env = disk_env_new(1);
    struct errtext error;
    struct snapfile *file;
    struct env_file *raw;
    write_ok(env, 5, 10000);
    struct bytes whole = copy_file(env, path_of(5, ".snap", path));
    assert_int_equal(env_file_open(env, path, ENV_OPEN_WRITE, &raw, &error), ST_OK);

    for (size_t at = 0; at < whole.count; at += at < 200 || at + 200 > whole.count ? 1 : 37) {
        uint8_t damaged = whole.data[at] ^ 0x20;
        assert_int_equal(env_file_write(raw, at, bytes_of(&damaged, 1)), ST_OK);
        assert_int_equal(snapfile_open(env, id_of(5), &file, &error), ST_OK);
        assert_int_equal(read_all(file, whole), ST_CORRUPT);
        snapfile_close(file);
        assert_int_equal(env_file_write(raw, at, bytes_of(whole.data + at, 1)), ST_OK);
    }

    assert_int_equal(snapfile_open(env, id_of(5), &file, &error), ST_OK);
    assert_int_equal(read_all(file, whole), ST_OK);
    snapfile_close(file);
    env_file_close(raw);
    mem_free((void *)whole.data);
    disk_env_free(env);
}

static void what_is_not_as_long_as_any_snapshot_is_damaged(void **state)
{
    (void)state;
    struct errtext error;
    struct bytes whole;
    char path[64];
    struct env *env = disk_env_new(1);
    write_ok(env, 6, 10000);
    whole = copy_file(env, path_of(6, ".snap", path));
    for (size_t count = 0; count < whole.count; count += count < 200 ? 1 : 613) {
        struct env_file *raw;
        struct snapfile *file;
        assert_int_equal(env_unlink(env, path), ST_OK);
        assert_int_equal(env_file_open(env, path, ENV_OPEN_CREATE, &raw, &error), ST_OK);
        assert_int_equal(env_file_write(raw, 0, bytes_of(whole.data, count)), ST_OK);
        env_file_close(raw);
        assert_int_equal(snapfile_open(env, id_of(6), &file, &error), ST_OK);
        assert_int_equal(read_all(file, bytes_of(whole.data, MAX(count, (size_t)1))),
                         count == 0 ? ST_OK : ST_CORRUPT);
        snapfile_close(file);
    }
    mem_free((void *)whole.data);
    disk_env_free(env);
}

static void pruning_removes_what_is_older_and_nothing_else(void **state)
{
    char path[64];
    struct env *env = disk_env_new(1);
    struct errtext error;
    assert_int_equal(snapfile_prune(env, 9, &error), ST_OK);
    assert_int_equal(snapfile_clean(env, &error), ST_OK);
    write_ok(env, 5, 100);
    write_ok(env, 6, 100);
    write_ok(env, 7, 100);
    disk_env_put(env, path_of(8, ".part", path), BYTES_LITERAL("x"));
    disk_env_put(env, path_of(9, ".tmp", path), BYTES_LITERAL("x"));
    disk_env_put(env, "snap/notes.txt", BYTES_LITERAL("mine"));

    assert_int_equal(snapfile_prune(env, 6, &error), ST_OK);
    assert_false(disk_env_exists(env, path_of(5, ".snap", path)));
    assert_true(disk_env_exists(env, path_of(6, ".snap", path)));
    assert_true(disk_env_exists(env, path_of(7, ".snap", path)));
    assert_true(disk_env_exists(env, path_of(8, ".part", path)));
    assert_int_equal(snapfile_clean(env, &error), ST_OK);

    assert_false(disk_env_exists(env, path_of(8, ".part", path)));
    assert_false(disk_env_exists(env, path_of(9, ".tmp", path)));
    assert_true(disk_env_exists(env, path_of(7, ".snap", path)));
    assert_true(disk_env_exists(env, "snap/notes.txt"));
    disk_env_free(env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_loaded),
        cmocka_unit_test(an_empty_state_is_a_snapshot_too),
        cmocka_unit_test(the_same_content_gives_the_same_bytes),
        cmocka_unit_test(writing_keeps_to_its_pace),
        cmocka_unit_test(a_writer_that_was_cancelled_leaves_nothing),
        cmocka_unit_test(without_any_there_is_none),
        cmocka_unit_test(the_newest_whole_one_is_loaded),
        cmocka_unit_test(content_that_its_reader_refuses_is_damage),
        cmocka_unit_test(damage_to_all_of_them_is_lost_data),
        cmocka_unit_test(a_read_error_is_not_taken_for_damage),
        cmocka_unit_test(nothing_is_read_behind_what_ends_the_loading),
        cmocka_unit_test(the_snapshot_of_another_cluster_or_version_is_refused),
        cmocka_unit_test(a_snapshot_under_another_name_is_damage),
        cmocka_unit_test(any_flipped_bit_is_damage),
        cmocka_unit_test(any_other_length_is_damage),
        cmocka_unit_test(blocks_that_are_swapped_or_of_another_snapshot_are_damage),
        cmocka_unit_test(names_are_listed_the_newest_first),
        cmocka_unit_test(any_piece_of_a_file_can_be_read_also_when_it_is_pruned_meanwhile),
        cmocka_unit_test(no_damage_of_a_file_is_read_as_if_nothing_were),
        cmocka_unit_test(what_is_not_as_long_as_any_snapshot_is_damaged),
        cmocka_unit_test(pruning_removes_what_is_older_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
