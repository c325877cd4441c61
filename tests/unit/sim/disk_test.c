/* The disks of the simulated world: what a failure leaves of files and names, and how else a disk
 * can break. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "sim/world.h"

enum { SECTOR = WORLD_SECTOR_BYTES, SECTORS = 24, BYTES = SECTORS * SECTOR, SEEDS = 400 };

static struct world *new_world(uint64_t seed)
{
    struct world_options options = {.seed = seed, .sync_min = 100, .sync_max = 200};
    return world_new(&options);
}

static void set_survival(struct world *world, enum world_survival survival)
{
    struct world_disk disk;
    world_disk_get(world, 1, &disk);
    disk.survival = survival;
    world_disk_set(world, 1, &disk);
}

/* Sectors that say in every byte which of them they are, in which version. */
static struct bytes pattern(unsigned version)
{
    static uint8_t bytes[BYTES];
    for (size_t i = 0; i < BYTES; i++)
        bytes[i] = (uint8_t)(version * SECTORS + i / SECTOR + 1);
    return bytes_of(bytes, BYTES);
}

static struct env_file *open_file(struct env *env, const char *path, enum env_open mode)
{
    struct env_file *file = NULL;
    struct errtext error;
    assert_int_equal(env_file_open(env, path, mode, &file, &error), ST_OK);
    return file;
}

static bool exists(struct env *env, const char *path)
{
    struct env_file *file = NULL;
    struct errtext error;
    enum status status = env_file_open(env, path, ENV_OPEN_READ, &file, &error);
    env_file_close(file);
    return status == ST_OK;
}

static void put(struct env_file *file, uint64_t offset, struct bytes bytes)
{
    assert_int_equal(env_file_write(file, offset, bytes), ST_OK);
}

/* A durable file with version 0 of everything, still open. */
static struct env_file *make_durable(struct env *env, const char *path)
{
    struct env_file *file = open_file(env, path, ENV_OPEN_CREATE);
    put(file, 0, pattern(0));
    assert_int_equal(env_file_sync(file), ST_OK);
    assert_int_equal(env_dir_sync(env, "."), ST_OK);
    return file;
}

static size_t read_all(struct env *env, const char *path, uint8_t out[BYTES])
{
    struct env_file *file = open_file(env, path, ENV_OPEN_READ);
    size_t count = 0;
    memset(out, 0, BYTES);
    assert_int_equal(env_file_read(file, 0, out, BYTES, &count), ST_OK);
    env_file_close(file);
    return count;
}

/* The version of a sector that is all of one; -1: it is not. */
static int version_of(const uint8_t *bytes, size_t sector)
{
    const uint8_t *at = bytes + sector * SECTOR;
    for (size_t i = 1; i < SECTOR; i++)
        if (at[i] != at[0])
            return -1;
    if (at[0] == 0)
        return -2; /* nothing */
    return (at[0] - 1) % SECTORS == (int)sector ? (at[0] - 1) / SECTORS : -1;
}

static void run(struct world *world)
{
    while (world_step(world, world_now(world) + 1000000))
        ;
}

/* ---- sectors ---- */

static void what_is_not_synced_is_lost_when_nothing_survives(void **state)
{
    struct world *world = new_world(1);
    struct env *env = world_boot(world, 1);
    struct env_file *file = make_durable(env, "a");
    uint8_t bytes[BYTES];

    put(file, 0, pattern(1));
    world_crash(world, 1);
    env_file_close(file);
    size_t count = read_all(world_boot(world, 1), "a", bytes);

    assert_int_equal(count, BYTES);
    for (size_t i = 0; i < SECTORS; i++)
        assert_int_equal(version_of(bytes, i), 0);
    assert_true(world_faults_count(world, WORLD_FAULT_SECTORS_LOST) > 0);
    world_free(world);
}

static void what_is_synced_survives_every_failure(void **state)
{
    for (uint64_t seed = 0; seed < SEEDS / 4; seed++) {
        struct world *world = new_world(seed);
        struct env *env = world_boot(world, 1);
        struct env_file *file = make_durable(env, "a");
        uint8_t bytes[BYTES];
        set_survival(world, (enum world_survival)(seed % 3));

        put(file, 0, pattern(1));
        assert_int_equal(env_file_sync(file), ST_OK);
        world_crash(world, 1);
        env_file_close(file);
        size_t count = read_all(world_boot(world, 1), "a", bytes);

        assert_int_equal(count, BYTES);
        for (size_t i = 0; i < SECTORS; i++)
            assert_int_equal(version_of(bytes, i), 1);
        world_free(world);
    }
}

static void a_power_failure_keeps_any_subset_of_the_unsynced_sectors(void **state)
{
    unsigned alls = 0, nones = 0, gaps = 0, intermediates = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct world *world = new_world(seed);
        struct env *env = world_boot(world, 1);
        struct env_file *file = make_durable(env, "a");
        uint8_t bytes[BYTES];
        unsigned old = 0, between = 0;
        bool has_gap = false;
        set_survival(world, WORLD_SURVIVES_SOME);

        put(file, 0, pattern(1)); /* written back or not before the next one */
        put(file, 0, pattern(2));
        world_crash(world, 1);
        env_file_close(file);
        (void)read_all(world_boot(world, 1), "a", bytes);

        for (size_t i = 0; i < SECTORS; i++) {
            int version = version_of(bytes, i);
            assert_in_range(version, 0, 2);
            has_gap = has_gap || (version == 2 && i > 0 && version_of(bytes, i - 1) != 2);
            old += version != 2;
            between += version == 1;
        }
        alls += old == 0;
        nones += old == SECTORS;
        gaps += has_gap;
        intermediates += between > 0;
        world_free(world);
    }
    assert_true(alls > 10);
    assert_true(nones > 10);
    assert_true(gaps > 100);
    assert_true(intermediates > 100);
}

static void a_sector_is_torn_only_when_it_may_be(void **state)
{
    for (unsigned may_tear = 0; may_tear <= 1; may_tear++) {
        unsigned torn = 0;
        for (uint64_t seed = 0; seed < SEEDS / 4; seed++) {
            struct world *world = new_world(seed);
            struct env *env = world_boot(world, 1);
            struct env_file *file = make_durable(env, "a");
            struct world_disk disk = {.survival = WORLD_SURVIVES_SOME,
                                      .tear_chance = may_tear ? WORLD_ALWAYS / 10 : 0};
            uint8_t bytes[BYTES];
            world_disk_set(world, 1, &disk);

            put(file, 0, pattern(1));
            world_crash(world, 1);
            env_file_close(file);
            (void)read_all(world_boot(world, 1), "a", bytes);

            for (size_t i = 0; i < SECTORS; i++)
                torn += version_of(bytes, i) == -1;
            assert_int_equal(world_faults_count(world, WORLD_FAULT_TORN) > 0, torn > 0 && may_tear);
            if (torn > 0)
                seed = SEEDS;
            world_free(world);
        }
        assert_int_equal(torn > 0, may_tear);
    }
}

static void a_file_that_grew_ends_anywhere_and_holds_garbage_only_when_it_may(void **state)
{
    unsigned sizes_between = 0, holes = 0, garbage = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct world *world = new_world(seed);
        struct env *env = world_boot(world, 1);
        struct env_file *file = open_file(env, "a", ENV_OPEN_CREATE);
        bool may_be_garbage = seed % 2 == 0;
        struct world_disk disk = {.survival = WORLD_SURVIVES_SOME,
                                  .garbage_chance = may_be_garbage ? WORLD_ALWAYS / 4 : 0};
        uint8_t bytes[BYTES];
        assert_int_equal(env_dir_sync(env, "."), ST_OK);
        world_disk_set(world, 1, &disk);

        put(file, 0, bytes_of(pattern(0).data, BYTES - 100));
        world_crash(world, 1);
        env_file_close(file);
        env = world_boot(world, 1);
        size_t count = read_all(env, "a", bytes);

        sizes_between += count > 0 && count < BYTES;
        for (size_t i = 0; i < count / SECTOR; i++) {
            holes += version_of(bytes, i) == -2;
            garbage += version_of(bytes, i) == -1;
            assert_true(version_of(bytes, i) != -1 || may_be_garbage);
        }
        file = open_file(env, "a", ENV_OPEN_WRITE);
        put(file, BYTES - 1, BYTES_LITERAL("z"));
        (void)read_all(env, "a", bytes);
        for (size_t i = count; i < BYTES - 1; i++)
            assert_int_equal(bytes[i], 0); /* what was behind the end is gone */
        env_file_close(file);
        world_free(world);
    }
    assert_true(sizes_between > 50);
    assert_true(holes > 50);
    assert_true(garbage > 50);
}

static void
a_killed_process_leaves_its_writes_in_the_cache_where_power_still_takes_them(void **state)
{
    struct world *world = new_world(1);
    struct env *env = world_boot(world, 1);
    struct env_file *file = make_durable(env, "a");
    uint8_t bytes[BYTES];

    put(file, 0, pattern(1));
    world_kill(world, 1);
    env_file_close(file);
    (void)read_all(world_boot(world, 1), "a", bytes);
    assert_int_equal(version_of(bytes, 5), 1);

    world_crash(world, 1);
    (void)read_all(world_boot(world, 1), "a", bytes);
    assert_int_equal(version_of(bytes, 5), 0);
    world_free(world);
}

/* ---- names ---- */

static void a_name_lasts_once_its_directory_is_synced(void **state)
{
    struct world *world = new_world(1);
    struct env *env = world_boot(world, 1);
    assert_int_equal(env_dir_make(env, "d"), ST_OK);
    assert_int_equal(env_dir_sync(env, "."), ST_OK);
    struct env_file *kept = open_file(env, "d/kept", ENV_OPEN_CREATE);
    struct env_file *old = open_file(env, "d/old", ENV_OPEN_CREATE);
    assert_int_equal(env_dir_sync(env, "d"), ST_OK);

    struct env_file *lost = open_file(env, "d/lost", ENV_OPEN_CREATE);
    assert_int_equal(env_file_sync(lost), ST_OK); /* what it holds is safe, not how to find it */
    assert_int_equal(env_rename(env, "d/old", "d/new"), ST_OK);
    assert_int_equal(env_unlink(env, "d/kept"), ST_OK);
    assert_false(exists(env, "d/kept"));
    assert_int_equal(env_dir_sync(env, "."), ST_OK); /* of another directory */
    world_crash(world, 1);
    env_file_close(kept);
    env_file_close(old);
    env_file_close(lost);
    env = world_boot(world, 1);

    assert_true(exists(env, "d/kept"));
    assert_true(exists(env, "d/old"));
    assert_false(exists(env, "d/new"));
    assert_false(exists(env, "d/lost"));
    assert_int_equal(world_faults_count(world, WORLD_FAULT_NAME_LOST), 3);
    world_free(world);
}

static void what_is_in_a_directory_that_is_lost_is_lost_with_it(void **state)
{
    struct world *world = new_world(1);
    struct env *env = world_boot(world, 1);
    assert_int_equal(env_dir_make(env, "d"), ST_OK);
    env_file_close(open_file(env, "d/a", ENV_OPEN_CREATE));
    assert_int_equal(env_dir_sync(env, "d"), ST_OK);

    world_crash(world, 1);
    env = world_boot(world, 1);

    assert_false(exists(env, "d/a"));
    assert_int_equal(env_dir_sync(env, "d"), ST_NOT_FOUND);
    world_free(world);
}

/* tmp is made, synced and renamed over a file: afterwards the name leads to one of the two. */
static void a_rename_over_a_file_leaves_one_of_the_two(void **state)
{
    unsigned olds = 0, news = 0, tmps = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct world *world = new_world(seed);
        struct env *env = world_boot(world, 1);
        env_file_close(make_durable(env, "a"));
        uint8_t bytes[BYTES];
        set_survival(world, WORLD_SURVIVES_SOME);

        struct env_file *tmp = open_file(env, "a.tmp", ENV_OPEN_CREATE);
        put(tmp, 0, pattern(1));
        assert_int_equal(env_file_sync(tmp), ST_OK);
        env_file_close(tmp);
        assert_int_equal(env_rename(env, "a.tmp", "a"), ST_OK);
        world_crash(world, 1);
        env = world_boot(world, 1);

        (void)read_all(env, "a", bytes);
        int version = version_of(bytes, 0);
        for (size_t i = 0; i < SECTORS; i++)
            assert_int_equal(version_of(bytes, i), version);
        olds += version == 0;
        news += version == 1;
        tmps += exists(env, "a.tmp");
        assert_true(!exists(env, "a.tmp") || version == 0);
        world_free(world);
    }
    assert_true(olds > 50);
    assert_true(news > 50);
    assert_true(tmps > 20);
}

static void of_changes_of_names_any_subset_lasts_and_often_those_before_some_moment(void **state)
{
    unsigned seen[16] = {0};
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct world *world = new_world(seed);
        struct env *env = world_boot(world, 1);
        unsigned kept = 0;
        set_survival(world, WORLD_SURVIVES_SOME);
        for (unsigned i = 0; i < 4; i++)
            env_file_close(open_file(env, (char[]){(char)('a' + i), 0}, ENV_OPEN_CREATE));

        world_crash(world, 1);
        env = world_boot(world, 1);

        for (unsigned i = 0; i < 4; i++)
            kept |= (unsigned)exists(env, (char[]){(char)('a' + i), 0}) << i;
        seen[kept]++;
        world_free(world);
    }
    for (unsigned kept = 0; kept < 16; kept++)
        assert_true(seen[kept] > 0);
    assert_true(seen[0] + seen[1] + seen[3] + seen[7] + seen[15] > SEEDS / 2);
}

static void count_name(void *ctx, const char *name)
{
    unsigned *seen = ctx;
    assert_int_equal(name[0], 'a' + (*seen)++);
    assert_int_equal(name[1], '\0');
}

static void names_are_listed_in_order_whatever_was_done_to_them(void **state)
{
    struct world *world = new_world(1);
    struct env *env = world_boot(world, 1);
    unsigned seen = 0;
    assert_int_equal(env_dir_make(env, "d"), ST_OK);
    for (const char *at = "xdcab"; *at != '\0'; at++) {
        char path[8];
        (void)snprintf(path, sizeof path, "d/%c", *at);
        env_file_close(open_file(env, path, ENV_OPEN_CREATE));
    }
    assert_int_equal(env_unlink(env, "d/x"), ST_OK);

    assert_int_equal(env_dir_list(env, "d", count_name, &seen), ST_OK);

    assert_int_equal(seen, 4);
    world_free(world);
}

/* ---- errors ---- */

static void a_failed_sync_loses_for_good_and_the_next_one_says_that_all_is_well(void **state)
{
    unsigned lost = 0, kept = 0;
    for (uint64_t seed = 0; seed < SEEDS / 4; seed++) {
        struct world *world = new_world(seed);
        struct env *env = world_boot(world, 1);
        struct env_file *file = make_durable(env, "a");
        uint8_t bytes[BYTES];

        put(file, 0, pattern(1));
        world_fault_at_io(world, 1, world_io_count(world, 1) + 1, WORLD_IO_ERROR);
        assert_int_equal(env_file_sync(file), ST_IO);
        assert_int_equal(env_file_sync(file), ST_OK);
        (void)read_all(env, "a", bytes);
        assert_int_equal(version_of(bytes, 0), 1); /* the cache keeps up appearances */
        world_crash(world, 1);
        env_file_close(file);
        (void)read_all(world_boot(world, 1), "a", bytes);

        for (size_t i = 0; i < SECTORS; i++) {
            lost += version_of(bytes, i) == 0;
            kept += version_of(bytes, i) == 1;
        }
        world_free(world);
    }
    assert_int_equal(lost + kept, SEEDS / 4 * SECTORS);
    assert_true(lost > SECTORS * 10);
    assert_true(kept > SECTORS * 10);
}

static void a_failed_write_has_written_some_prefix(void **state)
{
    unsigned parts = 0;
    for (uint64_t seed = 0; seed < SEEDS / 4; seed++) {
        struct world *world = new_world(seed);
        struct env *env = world_boot(world, 1);
        struct env_file *file = open_file(env, "a", ENV_OPEN_CREATE);
        uint64_t bytes_count = 0;

        world_fault_at_io(world, 1, world_io_count(world, 1) + 1, WORLD_IO_ERROR);
        assert_int_equal(env_file_write(file, 0, pattern(0)), ST_IO);

        assert_int_equal(env_file_size(file, &bytes_count), ST_OK);
        assert_true(bytes_count <= BYTES);
        parts += bytes_count > 0 && bytes_count < BYTES;
        env_file_close(file);
        world_free(world);
    }
    assert_true(parts > SEEDS / 8);
}

static void chances_of_errors_are_about_as_often_as_they_say(void **state)
{
    struct world *world = new_world(1);
    struct env *env = world_boot(world, 1);
    struct env_file *file = make_durable(env, "a");
    struct world_disk disk = {.read_error_chance = WORLD_ALWAYS / 4,
                              .write_error_chance = WORLD_ALWAYS / 4,
                              .sync_error_chance = WORLD_ALWAYS / 4};
    unsigned reads = 0, writes = 0, syncs = 0;
    world_disk_set(world, 1, &disk);

    for (unsigned i = 0; i < 1000; i++) {
        uint8_t byte;
        size_t count;
        writes += env_file_write(file, 0, BYTES_LITERAL("x")) == ST_IO;
        syncs += env_file_sync(file) == ST_IO;
        reads += env_file_read(file, 0, &byte, 1, &count) == ST_IO;
    }

    assert_in_range(writes, 180, 320);
    assert_in_range(syncs, 180, 320);
    assert_in_range(reads, 180, 320);
    assert_int_equal(world_faults_count(world, WORLD_FAULT_WRITE_ERROR), writes);
    assert_int_equal(world_faults_count(world, WORLD_FAULT_SYNC_ERROR), syncs);
    assert_int_equal(world_faults_count(world, WORLD_FAULT_READ_ERROR), reads);
    env_file_close(file);
    world_free(world);
}

static void a_full_disk_takes_a_part_and_room_comes_back(void **state)
{
    struct world *world = new_world(1);
    struct env *env = world_boot(world, 1);
    struct env_file *file = make_durable(env, "a");
    struct env_file *other = open_file(env, "b", ENV_OPEN_CREATE);
    struct world_disk disk = {.capacity_bytes = BYTES + 700};
    uint64_t bytes_count = 0;
    world_disk_set(world, 1, &disk);

    assert_int_equal(env_file_write(other, 0, pattern(1)), ST_NO_SPACE);
    assert_int_equal(env_file_size(other, &bytes_count), ST_OK);
    assert_int_equal(bytes_count, 700);
    put(file, 0, pattern(1)); /* takes no room that it does not have */

    assert_int_equal(env_unlink(env, "a"), ST_OK);
    put(other, 0, bytes_of(pattern(1).data, BYTES));
    assert_int_equal(world_faults_count(world, WORLD_FAULT_NO_SPACE), 1);
    env_file_close(file);
    env_file_close(other);
    world_free(world);
}

static void a_lost_write_is_acknowledged_and_gone_with_the_cache(void **state)
{
    struct world *world = new_world(1);
    struct env *env = world_boot(world, 1);
    struct env_file *file = make_durable(env, "a");
    uint8_t bytes[BYTES];

    world_fault_at_io(world, 1, world_io_count(world, 1) + 1, WORLD_IO_LOST);
    put(file, 2 * SECTOR, bytes_of(pattern(1).data + 2 * SECTOR, SECTOR));
    put(file, 4 * SECTOR, bytes_of(pattern(1).data + 4 * SECTOR, SECTOR));
    assert_int_equal(env_file_sync(file), ST_OK);
    put(file, 6 * SECTOR, bytes_of(pattern(1).data + 6 * SECTOR, SECTOR));
    world_fault_at_io(world, 1, world_io_count(world, 1) + 1, WORLD_IO_LOST);
    assert_int_equal(env_file_sync(file), ST_OK); /* a sync that lies */
    (void)read_all(env, "a", bytes);
    assert_int_equal(version_of(bytes, 2), 1);
    world_crash(world, 1);
    env_file_close(file);
    (void)read_all(world_boot(world, 1), "a", bytes);

    for (size_t i = 0; i < SECTORS; i++)
        assert_int_equal(version_of(bytes, i), i == 4);
    world_free(world);
}

static void a_misdirected_write_changes_another_place_of_the_disk(void **state)
{
    unsigned elsewhere = 0;
    for (uint64_t seed = 0; seed < SEEDS / 4; seed++) {
        struct world *world = new_world(seed);
        struct env *env = world_boot(world, 1);
        struct env_file *file = make_durable(env, "a");
        uint8_t bytes[BYTES], wanted[SECTOR];
        memcpy(wanted, pattern(1).data + 2 * SECTOR, SECTOR);

        world_fault_at_io(world, 1, world_io_count(world, 1) + 1, WORLD_IO_MISDIRECT);
        put(file, 2 * SECTOR, bytes_of(wanted, SECTOR));
        assert_int_equal(env_file_sync(file), ST_OK);
        world_crash(world, 1);
        env_file_close(file);
        (void)read_all(world_boot(world, 1), "a", bytes);

        unsigned places = 0;
        for (size_t i = 0; i < SECTORS; i++)
            places += memcmp(bytes + i * SECTOR, wanted, SECTOR) == 0;
        assert_int_equal(places, 1); /* the only file is the one it goes to */
        elsewhere += version_of(bytes, 2) == 0;
        world_free(world);
    }
    assert_true(elsewhere > SEEDS / 8);
}

static void damage_at_rest_shows_where_it_was_done(void **state)
{
    struct world *world = new_world(1);
    struct env *env = world_boot(world, 1);
    env_file_close(make_durable(env, "a"));
    uint8_t bytes[BYTES], byte = 0;

    assert_true(world_disk_flip(world, 1, "a", 1000, 0x81));
    assert_false(world_disk_flip(world, 1, "a", BYTES, 1));
    assert_false(world_disk_flip(world, 1, "b", 0, 1));
    (void)read_all(env, "a", bytes);

    for (size_t i = 0; i < BYTES; i++)
        assert_int_equal(bytes[i], pattern(0).data[i] ^ (i == 1000 ? 0x81 : 0));
    assert_int_equal(world_disk_peek(world, 1, "a", 1000, &byte, 1), 1);
    assert_int_equal(byte, bytes[1000]);
    assert_true(world_disk_flip_any(world, 1));
    assert_true(world_disk_misplace_any(world, 1));
    (void)read_all(env, "a", bytes);
    assert_true(memcmp(bytes, pattern(0).data, BYTES) != 0);
    world_free(world);
}

/* ---- copies ---- */

static void a_disk_restored_is_what_was_durable_when_it_was_copied(void **state)
{
    struct world *world = new_world(1);
    struct env *env = world_boot(world, 1);
    struct env_file *file = make_durable(env, "a");
    uint8_t bytes[BYTES];

    put(file, 0, pattern(1));
    env_file_close(open_file(env, "b", ENV_OPEN_CREATE));
    struct world_copy *copy = world_disk_copy(world, 1); /* neither is durable */
    assert_int_equal(env_file_sync(file), ST_OK);
    assert_int_equal(env_dir_sync(env, "."), ST_OK);
    world_crash(world, 1);
    env = world_boot(world, 1);
    (void)read_all(env, "a", bytes);
    assert_int_equal(version_of(bytes, 0), 1);
    world_crash(world, 1);

    for (unsigned machine = 1; machine <= 2; machine++) {
        world_disk_restore(world, machine, copy);
        env = world_boot(world, machine);
        (void)read_all(env, "a", bytes);
        for (size_t i = 0; i < SECTORS; i++)
            assert_int_equal(version_of(bytes, i), 0);
        assert_false(exists(env, "b"));
    }
    env_file_close(file); /* its disk has been replaced meanwhile */
    world_copy_free(copy);
    world_free(world);
}

static void a_wiped_disk_is_empty(void **state)
{
    struct world *world = new_world(1);
    env_file_close(make_durable(world_boot(world, 1), "a"));

    world_crash(world, 1);
    world_wipe(world, 1);

    assert_false(exists(world_boot(world, 1), "a"));
    world_free(world);
}

/* ---- writes that complete later ---- */

struct pending {
    struct env_write write;
    struct world *world;
    enum status status;
    time_us done_at;
    unsigned number, *done_count;
};

static void on_done(void *ctx, enum status status)
{
    struct pending *pending = ctx;
    pending->status = status;
    pending->done_at = world_now(pending->world);
    pending->number = ++*pending->done_count;
}

static void start(struct env *env, struct pending *pending, struct world *world,
                  struct env_file *file, struct bytes bytes, unsigned *done_count)
{
    *pending = (struct pending){.world = world, .status = ST_BUSY, .done_count = done_count};
    pending->write =
        (struct env_write){.on_done = on_done, .ctx = pending, .file = file, .bytes = bytes};
    env_write_start(env, &pending->write);
}

static void writes_complete_in_order_each_after_its_time(void **state)
{
    struct world *world = new_world(1);
    struct env *env = world_boot(world, 1);
    struct env_file *file = make_durable(env, "a");
    struct pending pending[3];
    unsigned done_count = 0;
    time_us began = world_now(world);
    world_slow_disk(world, 1, 5000);

    for (unsigned i = 0; i < 3; i++)
        start(env, &pending[i], world, file, pattern(1), &done_count);
    run(world);

    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pending[i].status, ST_OK);
        assert_int_equal(pending[i].number, i + 1);
        assert_in_range(pending[i].done_at - began, 5100 * (i + 1), 5200 * (i + 1));
    }
    world_crash(world, 1);
    env_file_close(file);
    uint8_t bytes[BYTES];
    (void)read_all(world_boot(world, 1), "a", bytes);
    assert_int_equal(version_of(bytes, 0), 1);
    world_free(world);
}

static void a_write_that_no_one_completed_ends_with_its_world(void **state)
{
    struct world *world = new_world(1);
    struct env *env = world_boot(world, 1);
    struct env_file *file = make_durable(env, "a");
    struct pending pending[2];
    unsigned done_count = 0;
    start(env, &pending[0], world, file, pattern(1), &done_count);
    start(env, &pending[1], world, file, pattern(1), &done_count);

    world_crash(world, 1);
    run(world);
    assert_int_equal(done_count, 0);
    env_file_close(file);
    world_free(world);

    assert_int_equal(done_count, 2);
    assert_int_equal(pending[0].status, ST_IO);
}

static void slow_syncs_take_longer(void **state)
{
    struct world *world = new_world(1);
    struct env *env = world_boot(world, 1);
    struct env_file *file = make_durable(env, "a");
    struct world_disk disk = {
        .sync_min = 10, .sync_max = 10, .slow_chance = WORLD_ALWAYS, .slow_max = 1000000};
    time_us longest = 0;
    world_disk_set(world, 1, &disk);

    for (unsigned i = 0; i < 20; i++) {
        struct pending pending;
        unsigned done_count = 0;
        time_us began = world_now(world);
        start(env, &pending, world, file, pattern(1), &done_count);
        run(world);
        longest = MAX(longest, pending.done_at - began);
    }

    assert_in_range(longest, 500000, 1000010);
    assert_int_equal(world_faults_count(world, WORLD_FAULT_SLOW), 20);
    env_file_close(file);
    world_free(world);
}

/* ---- stopping at an operation ---- */

static void on_stop(void *ctx, unsigned machine)
{
    *(unsigned *)ctx = machine;
}

/* The way a file is replaced: new one, sync, rename, sync of the directory. */
static enum status replace(struct env *env)
{
    struct env_file *file = NULL;
    struct errtext error;
    enum status status = env_file_open(env, "a.tmp", ENV_OPEN_CREATE, &file, &error);
    if (status == ST_OK)
        status = env_file_write(file, 0, pattern(1));
    if (status == ST_OK)
        status = env_file_sync(file);
    env_file_close(file);
    if (status == ST_OK)
        status = env_rename(env, "a.tmp", "a");
    if (status == ST_OK)
        status = env_dir_sync(env, ".");
    return status;
}

static void a_machine_stops_at_any_operation_and_a_replaced_file_is_old_or_new(void **state)
{
    unsigned olds = 0, news = 0;
    for (uint64_t seed = 0; seed < SEEDS / 4; seed++) {
        for (unsigned at = 1; at <= 6; at++) {
            struct world *world = new_world(seed);
            struct env *env = world_boot(world, 1);
            unsigned stopped = 0;
            uint8_t bytes[BYTES];
            set_survival(world, WORLD_SURVIVES_SOME);
            env_file_close(make_durable(env, "a"));
            world_on_stop(world, on_stop, &stopped);
            world_crash_at_io(world, 1, world_io_count(world, 1) + at,
                              seed % 2 == 0 ? WORLD_STOP_CRASH : WORLD_STOP_POWER_OFF);

            enum status status = replace(env);
            assert_int_equal(world_is_on(world, 1), at == 6);
            assert_int_equal(status, at == 6 ? ST_OK : ST_IO);
            assert_int_equal(stopped, 0);
            run(world);
            assert_int_equal(stopped, at < 6);
            if (at == 6)
                world_crash(world, 1);
            (void)read_all(world_boot(world, 1), "a", bytes);

            int version = version_of(bytes, 0);
            for (size_t i = 1; i < SECTORS; i++)
                assert_int_equal(version_of(bytes, i), version);
            assert_true(at > 3 || version == 0);
            assert_true(at < 6 || version == 1);
            olds += at >= 4 && version == 0;
            news += at >= 4 && version == 1;
            world_free(world);
        }
    }
    assert_true(olds > 40);
    assert_true(news > 40);
}

static void a_stop_in_the_middle_of_a_sync_leaves_it_done_or_not(void **state)
{
    unsigned done = 0;
    for (uint64_t seed = 0; seed < SEEDS / 4; seed++) {
        struct world *world = new_world(seed);
        struct env *env = world_boot(world, 1);
        struct env_file *file = make_durable(env, "a");
        uint8_t bytes[BYTES];

        put(file, 0, pattern(1));
        world_crash_at_io(world, 1, world_io_count(world, 1) + 1, WORLD_STOP_CRASH);
        assert_int_equal(env_file_sync(file), ST_IO);
        env_file_close(file);
        (void)read_all(world_boot(world, 1), "a", bytes);

        assert_in_range(version_of(bytes, 0), 0, 1);
        done += version_of(bytes, 0) == 1;
        world_free(world);
    }
    assert_in_range(done, SEEDS / 4 / 4, SEEDS / 4 * 3 / 4);
}

static void a_stop_in_the_middle_of_a_write_leaves_a_prefix_in_the_cache(void **state)
{
    unsigned parts = 0;
    for (uint64_t seed = 0; seed < SEEDS / 4; seed++) {
        struct world *world = new_world(seed);
        struct env *env = world_boot(world, 1);
        struct env_file *file = open_file(env, "a", ENV_OPEN_CREATE);
        struct pending pending;
        unsigned done_count = 0;
        uint8_t bytes[BYTES];

        world_crash_at_io(world, 1, world_io_count(world, 1) + 1, WORLD_STOP_KILL);
        start(env, &pending, world, file, pattern(0), &done_count);
        assert_false(world_is_on(world, 1));
        env_file_close(file);
        size_t count = read_all(world_boot(world, 1), "a", bytes);

        parts += count > 0 && count < BYTES;
        assert_memory_equal(bytes, pattern(0).data, count);
        world_free(world);
    }
    assert_true(parts > SEEDS / 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_synced_is_lost_when_nothing_survives),
        cmocka_unit_test(what_is_synced_survives_every_failure),
        cmocka_unit_test(a_power_failure_keeps_any_subset_of_the_unsynced_sectors),
        cmocka_unit_test(a_sector_is_torn_only_when_it_may_be),
        cmocka_unit_test(a_file_that_grew_ends_anywhere_and_holds_garbage_only_when_it_may),
        cmocka_unit_test(
            a_killed_process_leaves_its_writes_in_the_cache_where_power_still_takes_them),
        cmocka_unit_test(a_name_lasts_once_its_directory_is_synced),
        cmocka_unit_test(what_is_in_a_directory_that_is_lost_is_lost_with_it),
        cmocka_unit_test(a_rename_over_a_file_leaves_one_of_the_two),
        cmocka_unit_test(of_changes_of_names_any_subset_lasts_and_often_those_before_some_moment),
        cmocka_unit_test(names_are_listed_in_order_whatever_was_done_to_them),
        cmocka_unit_test(a_failed_sync_loses_for_good_and_the_next_one_says_that_all_is_well),
        cmocka_unit_test(a_failed_write_has_written_some_prefix),
        cmocka_unit_test(chances_of_errors_are_about_as_often_as_they_say),
        cmocka_unit_test(a_full_disk_takes_a_part_and_room_comes_back),
        cmocka_unit_test(a_lost_write_is_acknowledged_and_gone_with_the_cache),
        cmocka_unit_test(a_misdirected_write_changes_another_place_of_the_disk),
        cmocka_unit_test(damage_at_rest_shows_where_it_was_done),
        cmocka_unit_test(a_disk_restored_is_what_was_durable_when_it_was_copied),
        cmocka_unit_test(a_wiped_disk_is_empty),
        cmocka_unit_test(writes_complete_in_order_each_after_its_time),
        cmocka_unit_test(a_write_that_no_one_completed_ends_with_its_world),
        cmocka_unit_test(slow_syncs_take_longer),
        cmocka_unit_test(a_machine_stops_at_any_operation_and_a_replaced_file_is_old_or_new),
        cmocka_unit_test(a_stop_in_the_middle_of_a_sync_leaves_it_done_or_not),
        cmocka_unit_test(a_stop_in_the_middle_of_a_write_leaves_a_prefix_in_the_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
