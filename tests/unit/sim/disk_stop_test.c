/* Disks over time: copies, writes that complete later, machines that stop in the middle of one. */
#include "unit/sim/disk_rig.h"

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

static void writes_in_the_background_are_in_order_and_hold_up_no_other(void **state)
{
    struct world *world = new_world(1);
    struct env *env = world_boot(world, 1);
    struct env_file *file = make_durable(env, "a"), *log = make_durable(env, "b");
    struct pending pending[4];
    unsigned done_count = 0;
    time_us began = world_now(world);
    world_slow_disk(world, 1, 5000);

    for (unsigned i = 0; i < 3; i++) {
        pending[i] = (struct pending){.world = world, .done_count = &done_count};
        pending[i].write = (struct env_write){.on_done = on_done,
                                              .ctx = &pending[i],
                                              .file = file,
                                              .bytes = pattern(1),
                                              .is_background = true};
        env_write_start(env, &pending[i].write);
    }
    start(env, &pending[3], world, log, pattern(1), &done_count);
    run(world);

    assert_in_range(pending[3].done_at - began, 5100, 5200);
    for (unsigned i = 0; i < 3; i++)
        assert_in_range(pending[i].done_at - began, 5100 * (i + 1), 5200 * (i + 1));
    assert_true(pending[0].number < pending[1].number && pending[1].number < pending[2].number);
    world_crash(world, 1);
    env_file_close(file);
    env_file_close(log);
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
        cmocka_unit_test(a_disk_restored_is_what_was_durable_when_it_was_copied),
        cmocka_unit_test(a_wiped_disk_is_empty),
        cmocka_unit_test(writes_complete_in_order_each_after_its_time),
        cmocka_unit_test(writes_in_the_background_are_in_order_and_hold_up_no_other),
        cmocka_unit_test(a_write_that_no_one_completed_ends_with_its_world),
        cmocka_unit_test(slow_syncs_take_longer),
        cmocka_unit_test(a_machine_stops_at_any_operation_and_a_replaced_file_is_old_or_new),
        cmocka_unit_test(a_stop_in_the_middle_of_a_sync_leaves_it_done_or_not),
        cmocka_unit_test(a_stop_in_the_middle_of_a_write_leaves_a_prefix_in_the_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
