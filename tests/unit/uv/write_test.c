/* env_write_start, by the loop and by the writer thread: every test runs in both modes. */
#include "unit/uv/uv_fixture.h"

#include "base/limits.h"
#include "base/mem.h"
#include "uv/uv_internal.h"

enum {
    WRITES = 200,
    WRITE_BYTES = 4096,
    CHAIN = 100,
    LARGE_WRITES = 8,
    LARGE_BYTES = 4 * 1024 * 1024
};

struct probe {
    struct env *env;
    struct env_write write;
    enum status status;
    int order; /* of completion, from 1; 0: not yet */
    int chain_left;
    bool is_done;
};

static int completed_total;

static void on_done_note(void *ctx, enum status status)
{
    struct probe *probe = ctx;
    probe->status = status;
    probe->order = ++completed_total;
    probe->is_done = true;
}

static void on_done_next(void *ctx, enum status status)
{
    struct probe *probe = ctx;
    assert_int_equal(status, ST_OK);
    probe->is_done = --probe->chain_left == 0;
    if (probe->is_done)
        return;
    probe->write.offset += probe->write.bytes.count;
    env_write_start(probe->env, &probe->write);
}

static struct probe probe_of(struct fixture *fixture, struct env_file *file, struct bytes bytes)
{
    return (struct probe){.env = fixture->env,
                          .write = {.on_done = on_done_note, .file = file, .bytes = bytes}};
}

static void start(struct probe *probe)
{
    probe->write.ctx = probe;
    env_write_start(probe->env, &probe->write);
}

static bool is_on_thread(void **state)
{
    return *state != NULL;
}

static void many_writes_complete_in_the_order_started(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, is_on_thread(state));
    struct env_file *file = fixture_create(&fixture, "log");
    struct probe *probes = mem_alloc_array(WRITES, sizeof *probes);
    uint8_t *pages = mem_alloc((size_t)WRITES * WRITE_BYTES);
    uint8_t page[WRITE_BYTES];
    size_t count;
    completed_total = 0;

    for (int i = 0; i < WRITES; i++) {
        memset(pages + (size_t)i * WRITE_BYTES, i, WRITE_BYTES);
        probes[i] =
            probe_of(&fixture, file, bytes_of(pages + (size_t)i * WRITE_BYTES, WRITE_BYTES));
        probes[i].write.offset = (uint64_t)i * WRITE_BYTES;
        probes[i].write.skip_sync = i % 8 != 7;
        start(&probes[i]);
    }
    assert_int_equal(completed_total, 0); /* never inside the starting call */
    RUN_UNTIL(&fixture, probes[WRITES - 1].is_done);

    for (int i = 0; i < WRITES; i++) {
        assert_int_equal(probes[i].order, i + 1);
        assert_int_equal(probes[i].status, ST_OK);
        assert_int_equal(env_file_read(file, (uint64_t)i * WRITE_BYTES, page, WRITE_BYTES, &count),
                         ST_OK);
        assert_memory_equal(page, pages + (size_t)i * WRITE_BYTES, WRITE_BYTES);
    }
    mem_free(pages);
    mem_free(probes);
    env_file_close(file);
    fixture_close(&fixture);
}

static void a_completion_can_start_the_next_write(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, is_on_thread(state));
    struct env_file *file = fixture_create(&fixture, "log");
    struct probe probe = probe_of(&fixture, file, BYTES_LITERAL("ring"));
    probe.write.on_done = on_done_next;
    probe.chain_left = CHAIN;
    uint64_t bytes_count;

    start(&probe);
    RUN_UNTIL(&fixture, probe.is_done);

    assert_int_equal(env_file_size(file, &bytes_count), ST_OK);
    assert_int_equal(bytes_count, CHAIN * 4);
    env_file_close(file);
    fixture_close(&fixture);
}

struct watch {
    struct env_timer timer;
    const struct probe *probe;
    int chain_left; /* of the probe when the timer fired */
};

static void on_fire_look(void *ctx)
{
    struct watch *watch = ctx;
    watch->chain_left = watch->probe->chain_left;
}

/* Between two rounds of the loop's own writes, everybody else has a turn. */
static void a_chain_of_writes_does_not_hold_up_the_loop(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, is_on_thread(state));
    struct env_file *file = fixture_create(&fixture, "log");
    struct probe probe = probe_of(&fixture, file, BYTES_LITERAL("ring"));
    struct watch watch = {.probe = &probe};
    probe.write.on_done = on_done_next;
    probe.chain_left = CHAIN;

    env_timer_init(&watch.timer, on_fire_look, &watch);
    env_timer_set(fixture.env, &watch.timer, env_now(fixture.env));
    start(&probe);
    RUN_UNTIL(&fixture, probe.is_done);

    assert_true(watch.chain_left > CHAIN / 2);
    env_file_close(file);
    fixture_close(&fixture);
}

static void an_empty_write_is_a_sync(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, is_on_thread(state));
    struct env_file *file = fixture_create(&fixture, "log");
    struct probe probe = probe_of(&fixture, file, bytes_of(NULL, 0));

    start(&probe);
    RUN_UNTIL(&fixture, probe.is_done);

    assert_int_equal(probe.status, ST_OK);
    env_file_close(file);
    fixture_close(&fixture);
}

static void each_failure_is_reported_to_its_own_write(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, is_on_thread(state));
    char path[192];
    (void)snprintf(path, sizeof path, "%s/full", fixture.dir);
    assert_int_equal(symlink("/dev/full", path), 0);
    struct env_file *good = fixture_create(&fixture, "log");
    struct env_file *full = NULL;
    struct env_file *read_only = NULL;
    struct errtext error;
    assert_int_equal(env_file_open(fixture.env, "full", ENV_OPEN_WRITE, &full, &error), ST_OK);
    assert_int_equal(env_file_open(fixture.env, "log", ENV_OPEN_READ, &read_only, &error), ST_OK);
    struct probe first = probe_of(&fixture, full, BYTES_LITERAL("no room"));
    struct probe second = probe_of(&fixture, read_only, BYTES_LITERAL("not allowed"));
    struct probe third = probe_of(&fixture, full, bytes_of(NULL, 0));
    struct probe last = probe_of(&fixture, good, BYTES_LITERAL("fine"));

    start(&first);
    start(&second);
    start(&third);
    start(&last);
    RUN_UNTIL(&fixture, last.is_done);

    assert_int_equal(first.status, ST_NO_SPACE);
    assert_int_equal(second.status, ST_IO);
    assert_int_equal(third.status, ST_IO); /* a device cannot be synced */
    assert_int_equal(last.status, ST_OK);
    env_file_close(full);
    env_file_close(read_only);
    env_file_close(good);
    fixture_close(&fixture);
}

/* The large ones are started first and are still under way when the small one is done. */
static void writes_in_the_background_are_in_order_and_hold_up_no_other(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, is_on_thread(state));
    struct env_file *log = fixture_create(&fixture, "log");
    struct env_file *large = fixture_create(&fixture, "large");
    uint8_t *bytes = mem_alloc(LARGE_BYTES);
    struct probe probes[LARGE_WRITES], small = probe_of(&fixture, log, BYTES_LITERAL("small"));
    completed_total = 0;

    for (size_t i = 0; i < LARGE_WRITES; i++) {
        probes[i] = probe_of(&fixture, large, bytes_of(bytes, LARGE_BYTES));
        probes[i].write.offset = i * LARGE_BYTES;
        probes[i].write.is_background = true;
        start(&probes[i]);
    }
    start(&small);
    RUN_UNTIL(&fixture, probes[LARGE_WRITES - 1].is_done);

    assert_int_equal(small.status, ST_OK);
    assert_true(small.order > 0 && small.order < probes[LARGE_WRITES - 1].order);
    for (size_t i = 0; i < LARGE_WRITES; i++) {
        assert_int_equal(probes[i].status, ST_OK);
        assert_true(i == 0 || probes[i].order > probes[i - 1].order);
    }
    uint64_t size = 0;
    assert_int_equal(env_file_size(large, &size), ST_OK);
    assert_int_equal(size, (uint64_t)LARGE_WRITES * LARGE_BYTES);
    env_file_close(log);
    env_file_close(large);
    mem_free(bytes);
    fixture_close(&fixture);
}

static void a_write_in_the_background_completes_when_the_env_is_freed(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, is_on_thread(state));
    struct env_file *file = fixture_create(&fixture, "large");
    struct probe probe = probe_of(&fixture, file, BYTES_LITERAL("last"));
    probe.write.is_background = true;
    start(&probe);

    fixture_close(&fixture);

    assert_true(probe.is_done);
    assert_int_equal(probe.status, ST_OK);
}

struct batch {
    struct probe first;
    struct probe second;
    struct env_task task;
    bool has_task_run;
};

static void on_run_start_second(void *ctx)
{
    struct batch *batch = ctx;
    batch->has_task_run = true;
    assert_int_equal(batch->first.order, 0);
    start(&batch->second);
}

/* What the tasks of a turn send to the followers must leave before the loop is held up by its own
 * disk. */
static void the_loop_writes_after_the_tasks_of_the_turn(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, false);
    struct env_file *file = fixture_create(&fixture, "log");
    struct batch batch = {.first = probe_of(&fixture, file, BYTES_LITERAL("first")),
                          .second = probe_of(&fixture, file, BYTES_LITERAL("second"))};
    completed_total = 0;

    start(&batch.first);
    env_task_init(&batch.task, on_run_start_second, &batch);
    env_task_post(fixture.env, &batch.task);
    RUN_UNTIL(&fixture, batch.second.is_done);

    assert_true(batch.has_task_run);
    assert_int_equal(batch.first.order, 1);
    assert_int_equal(batch.second.order, 2);
    env_file_close(file);
    fixture_close(&fixture);
}

/* ---- what may block the loop ---- */

static void started_and_done(struct fixture *fixture, struct env_file *file, bool may_block)
{
    struct probe probe = probe_of(fixture, file, BYTES_LITERAL("frame"));
    probe.write.may_block = may_block;
    start(&probe);
    RUN_UNTIL(fixture, probe.is_done);
    assert_int_equal(probe.status, ST_OK);
}

/* The thread is made by the first write that it gets. */
static void the_loop_does_what_may_block_it_and_no_thread_is_woken(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, true);
    struct env_file *file = fixture_create(&fixture, "log");

    started_and_done(&fixture, file, true);

    assert_false(fixture.env->writer.has_thread);
    started_and_done(&fixture, file, false);
    assert_true(fixture.env->writer.has_thread);
    env_file_close(file);
    fixture_close(&fixture);
}

static void after_a_slow_write_the_thread_does_the_next_for_long(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, true);
    struct env_file *file = fixture_create(&fixture, "log");
    struct env_writer *writer = &fixture.env->writer;
    struct probe probe = probe_of(&fixture, file, BYTES_LITERAL("frame"));
    probe.write.may_block = true;
    time_us now = (time_us)(uv_hrtime() / 1000);
    const time_us second = 1000 * TIME_US_PER_MS;
    env_writer_note(writer, LIMIT_WRITE_IN_LOOP_US, now);
    assert_int_equal(writer->thread_until, 0);
    env_writer_note(writer, second, now);
    assert_int_equal(writer->thread_until, now + second * LIMIT_WRITE_IN_LOOP_SHARE);
    env_writer_note(writer, LIMIT_WRITE_IN_LOOP_US + 1, now);
    assert_int_equal(writer->thread_until, now + second * LIMIT_WRITE_IN_LOOP_SHARE);

    start(&probe);

    assert_true(list_is_empty(&writer->in_loop));
    assert_int_equal(writer->threaded_count, 1);
    RUN_UNTIL(&fixture, probe.is_done);
    assert_int_equal(writer->threaded_count, 0);
    writer->thread_until = now;
    start(&probe);
    assert_int_equal(writer->threaded_count, 0);
    assert_false(list_is_empty(&writer->in_loop));
    probe.is_done = false;
    RUN_UNTIL(&fixture, probe.is_done);
    env_file_close(file);
    fixture_close(&fixture);
}

static void nothing_overtakes_what_was_started_before(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, true);
    struct env_file *file = fixture_create(&fixture, "log");
    struct probe probes[6];
    completed_total = 0;

    for (size_t i = 0; i < ARRAY_COUNT(probes); i++) {
        probes[i] = probe_of(&fixture, file, BYTES_LITERAL("frame"));
        probes[i].write.may_block =
            i != 2; /* 0 and 1 by the loop, 2 and what follows behind them */
        start(&probes[i]);
    }
    RUN_UNTIL(&fixture, probes[5].is_done);
    for (size_t i = 0; i < ARRAY_COUNT(probes); i++) {
        assert_int_equal(probes[i].order, i + 1);
        probes[i].is_done = false;
        probes[i].write.may_block = i != 0; /* now 0 by the thread, and the others behind it */
        start(&probes[i]);
    }
    RUN_UNTIL(&fixture, probes[5].is_done);

    for (size_t i = 0; i < ARRAY_COUNT(probes); i++)
        assert_int_equal(probes[i].order, ARRAY_COUNT(probes) + i + 1);
    env_file_close(file);
    fixture_close(&fixture);
}

static void what_may_block_the_loop_is_done_before_the_env_is_freed(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, true);
    struct env_file *file = fixture_create(&fixture, "log");
    struct probe probe = probe_of(&fixture, file, BYTES_LITERAL("last"));
    probe.write.may_block = true;
    start(&probe);

    fixture_close(&fixture);

    assert_true(probe.is_done);
    assert_int_equal(probe.status, ST_OK);
}

int main(void)
{
    static char on_thread[] = "on thread";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_writes_complete_in_the_order_started),
        cmocka_unit_test_prestate(many_writes_complete_in_the_order_started, on_thread),
        cmocka_unit_test(a_completion_can_start_the_next_write),
        cmocka_unit_test_prestate(a_completion_can_start_the_next_write, on_thread),
        cmocka_unit_test(a_chain_of_writes_does_not_hold_up_the_loop),
        cmocka_unit_test_prestate(a_chain_of_writes_does_not_hold_up_the_loop, on_thread),
        cmocka_unit_test(an_empty_write_is_a_sync),
        cmocka_unit_test_prestate(an_empty_write_is_a_sync, on_thread),
        cmocka_unit_test(each_failure_is_reported_to_its_own_write),
        cmocka_unit_test_prestate(each_failure_is_reported_to_its_own_write, on_thread),
        cmocka_unit_test(writes_in_the_background_are_in_order_and_hold_up_no_other),
        cmocka_unit_test_prestate(writes_in_the_background_are_in_order_and_hold_up_no_other,
                                  on_thread),
        cmocka_unit_test(a_write_in_the_background_completes_when_the_env_is_freed),
        cmocka_unit_test(the_loop_writes_after_the_tasks_of_the_turn),
        cmocka_unit_test(the_loop_does_what_may_block_it_and_no_thread_is_woken),
        cmocka_unit_test(after_a_slow_write_the_thread_does_the_next_for_long),
        cmocka_unit_test(nothing_overtakes_what_was_started_before),
        cmocka_unit_test(what_may_block_the_loop_is_done_before_the_env_is_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
