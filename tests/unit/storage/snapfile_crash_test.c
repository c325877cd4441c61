/* Snapshots when the process, the power or the disk fails at any operation. */
#include "unit/storage/snapfile_rig.h"

enum { CONTENT_BYTES = 30000 };

/* Writes snapshot 7, or receives it from `maker`, on a disk that has snapshot 5. */
struct attempt {
    struct env *env;
    bool is_received;
    struct bytes whole; /* of snapshot 7, to be received; borrowed */
    struct snapshot_info info;
    bool is_done;
    enum status status;
    struct source source;
    struct loaded loaded;
};

static void on_received(void *ctx, enum status status)
{
    struct attempt *attempt = ctx;
    attempt->is_done = true;
    attempt->status = status;
}

static void receive(struct attempt *attempt)
{
    struct snapfile_receiver *receiver;
    struct errtext error;
    attempt->loaded = (struct loaded){.version = 7};
    attempt->status = snapfile_receiver_new(attempt->env, RIG_CLUSTER, &attempt->info, loaded_feed,
                                            &attempt->loaded, &receiver, &error);
    if (attempt->status != ST_OK)
        return;
    uint64_t offset;
    while (attempt->status == ST_OK &&
           (offset = snapfile_receiver_offset(receiver)) < attempt->info.bytes) {
        size_t count = (size_t)MIN((uint64_t)5000, attempt->info.bytes - offset);
        attempt->status = snapfile_receiver_put(
            receiver, offset, bytes_of(attempt->whole.data + offset, count), &error);
        (void)disk_env_step(attempt->env);
    }
    if (attempt->status == ST_OK) {
        snapfile_receiver_finish(receiver, on_received, attempt);
        run_until(attempt->env, &attempt->is_done);
        if (!attempt->is_done)
            attempt->status = ST_IO;
    }
    snapfile_receiver_free(receiver);
}

static void try(struct attempt *attempt)
{
    attempt->is_done = false;
    if (attempt->is_received) {
        receive(attempt);
        return;
    }
    attempt->source = source_of(7, CONTENT_BYTES, 1000);
    struct snapfile_writer *writer =
        begin_writing(attempt->env, &attempt->source, 7, RIG_BLOCK_BYTES);
    run_until(attempt->env, &attempt->source.is_done);
    attempt->status = attempt->source.is_done ? attempt->source.status : ST_IO;
    if (!attempt->source.is_done)
        snapfile_write_cancel(writer);
}

static void prepare(struct attempt *attempt, uint64_t seed, bool is_received, struct env *maker)
{
    char path[64];
    *attempt = (struct attempt){.env = disk_env_new(seed), .is_received = is_received};
    struct source source = source_of(5, CONTENT_BYTES / 2, 1000);
    assert_int_equal(write_one(attempt->env, &source, 5, RIG_BLOCK_BYTES), ST_OK);
    attempt->whole = disk_env_peek(maker, path_of(7, ".snap", path));
    attempt->info = (struct snapshot_info){id_of(7), attempt->whole.count};
}

static struct env *make(void)
{
    struct env *maker = disk_env_new(1);
    struct source source = source_of(7, CONTENT_BYTES, 1000);
    assert_int_equal(write_one(maker, &source, 7, RIG_BLOCK_BYTES), ST_OK);
    return maker;
}

/* Either snapshot is there, whole; the new one for certain if that was said. */
static void assert_whole(struct env *env, bool must_be_new, uint64_t op)
{
    struct loaded loaded = {0};
    struct errtext error;
    enum status status = load(env, &loaded);
    if (status != ST_OK || loaded.is_wrong || loaded.damaged_count > 0)
        fail_msg("operation %llu: %s: %s%s", (unsigned long long)op, status_info(status)->name,
                 loaded.error.text, loaded.damaged.text);
    raft_index index = loaded.info.last.index;
    assert_true(index == 7 || (index == 5 && !must_be_new));
    assert_int_equal(loaded.count, index == 7 ? CONTENT_BYTES : CONTENT_BYTES / 2);

    /* What was loaded stays when the power fails right after. */
    disk_env_cut_power(env);
    loaded = (struct loaded){0};
    assert_int_equal(load(env, &loaded), ST_OK);
    assert_int_equal(loaded.info.last.index, index);
    assert_int_equal(snapfile_clean(env, &error), ST_OK);
    char path[64];
    assert_false(disk_env_exists(env, path_of(7, ".tmp", path)));
    assert_false(disk_env_exists(env, path_of(7, ".part", path)));
}

static void die_everywhere(bool is_received, bool is_power)
{
    struct env *maker = make();
    bool was_done = false;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        was_done = false;
        for (uint64_t op = 1; !was_done; op++) {
            struct attempt attempt;
            prepare(&attempt, seed * 1000 + op, is_received, maker);
            disk_env_die_at(attempt.env, disk_env_ops(attempt.env) + op);
            try(&attempt);
            was_done = attempt.status == ST_OK;
            if (is_power)
                disk_env_cut_power(attempt.env);
            else
                disk_env_kill(attempt.env);

            assert_whole(attempt.env, was_done, op);
            try(&attempt);
            assert_int_equal(attempt.status, ST_OK);
            assert_whole(attempt.env, true, op);
            disk_env_free(attempt.env);
        }
    }
    disk_env_free(maker);
}

static void a_power_cut_at_any_operation_of_writing_leaves_a_whole_one(void **state)
{
    die_everywhere(false, true);
}

static void a_killed_process_at_any_operation_of_writing_leaves_a_whole_one(void **state)
{
    die_everywhere(false, false);
}

static void a_power_cut_at_any_operation_of_receiving_leaves_a_whole_one(void **state)
{
    die_everywhere(true, true);
}

static void a_killed_process_at_any_operation_of_receiving_leaves_a_whole_one(void **state)
{
    die_everywhere(true, false);
}

/* A failure is told, leaves nothing but what was there, and the next attempt succeeds. */
static void fail_everywhere(bool is_received, enum status error)
{
    struct env *maker = make();
    bool was_done = false;
    for (uint64_t op = 1; !was_done; op++) {
        char path[64];
        struct attempt attempt;
        prepare(&attempt, op, is_received, maker);
        uint64_t before = disk_env_ops(attempt.env);
        disk_env_fail_at(attempt.env, before + op, error);
        try(&attempt);
        was_done = disk_env_ops(attempt.env) < before + op;
        assert_true(attempt.status == ST_OK || attempt.status == error || attempt.status == ST_IO);
        disk_env_run(attempt.env, RIG_WHILE_US);
        disk_env_fail_at(attempt.env, 0, ST_OK);
        if (attempt.status != ST_OK) {
            assert_false(disk_env_exists(attempt.env, path_of(7, ".tmp", path)));
            assert_false(disk_env_exists(attempt.env, path_of(7, ".part", path)));
        }

        assert_whole(attempt.env, attempt.status == ST_OK, op);
        try(&attempt);
        assert_int_equal(attempt.status, ST_OK);
        assert_whole(attempt.env, true, op);
        disk_env_free(attempt.env);
    }
    disk_env_free(maker);
}

static void an_error_at_any_operation_is_told_and_leaves_nothing(void **state)
{
    fail_everywhere(false, ST_IO);
    fail_everywhere(true, ST_IO);
}

static void a_full_disk_at_any_operation_is_told_and_leaves_nothing(void **state)
{
    fail_everywhere(false, ST_NO_SPACE);
    fail_everywhere(true, ST_NO_SPACE);
}

static void a_disk_that_fills_up_gives_its_room_back(void **state)
{
    struct env *maker = make();
    for (uint64_t capacity = 20000; capacity < 60000; capacity += 700) {
        for (int is_received = 0; is_received < 2; is_received++) {
            char path[64];
            struct attempt attempt;
            prepare(&attempt, capacity, is_received == 1, maker);
            disk_env_set_capacity(attempt.env, capacity);
            try(&attempt);
            assert_true(attempt.status == ST_OK || attempt.status == ST_NO_SPACE);
            assert_true(attempt.status == ST_OK ||
                        !disk_env_exists(attempt.env, path_of(7, ".tmp", path)));

            disk_env_set_capacity(attempt.env, 0);
            assert_whole(attempt.env, attempt.status == ST_OK, capacity);
            disk_env_free(attempt.env);
        }
    }
    disk_env_free(maker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_power_cut_at_any_operation_of_writing_leaves_a_whole_one),
        cmocka_unit_test(a_killed_process_at_any_operation_of_writing_leaves_a_whole_one),
        cmocka_unit_test(a_power_cut_at_any_operation_of_receiving_leaves_a_whole_one),
        cmocka_unit_test(a_killed_process_at_any_operation_of_receiving_leaves_a_whole_one),
        cmocka_unit_test(an_error_at_any_operation_is_told_and_leaves_nothing),
        cmocka_unit_test(a_full_disk_at_any_operation_is_told_and_leaves_nothing),
        cmocka_unit_test(a_disk_that_fills_up_gives_its_room_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
