/* The disks of the simulated world: what a failure leaves of files and names, and how else a disk
 * can break. */
#include "unit/sim/disk_rig.h"

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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
