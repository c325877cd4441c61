/* Workers on threads: jobs in order, handed over and back, and what becomes of them at the end. */
#include "unit/uv/uv_fixture.h"

#include <stdatomic.h>

#include "base/mem.h"

enum { JOBS = 300, ROUNDS = 20, BLOCK_BYTES = 4096 };

/* What the jobs of one worker share. Not atomic: only one job runs at a time, and what it has done
 * is the owner's once it was waited for. */
struct record {
    int begun_count;
    int done_count;
};

struct probe {
    struct env_job job;
    struct record *record;
    int order; /* in which it was carried out, from 1 */
    int input, output;
};

static void work(void *ctx)
{
    struct probe *probe = ctx;
    probe->order = ++probe->record->begun_count;
    probe->output = probe->input * 2 + 1;
    probe->record->done_count++;
}

static struct probe *new_probes(struct record *record)
{
    struct probe *probes = mem_alloc_array(JOBS, sizeof *probes);
    for (int i = 0; i < JOBS; i++) {
        probes[i].job = (struct env_job){.work = work, .ctx = &probes[i]};
        probes[i].record = record;
    }
    return probes;
}

static void jobs_are_carried_out_in_the_order_started_and_can_be_started_again(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, true);
    struct record record = {0};
    struct probe *probes = new_probes(&record);
    struct env_worker *worker = env_worker_open(fixture.env);

    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < JOBS; i++) {
            probes[i].input = round * JOBS + i;
            env_worker_start(worker, &probes[i].job);
        }
        for (int i = 0; i < JOBS; i++) {
            env_worker_wait(worker, &probes[i].job);

            assert_int_equal(probes[i].order, round * JOBS + i + 1);
            assert_int_equal(probes[i].output, (round * JOBS + i) * 2 + 1);
        }
    }

    env_worker_close(worker);
    mem_free(probes);
    fixture_close(&fixture);
}

/* Each is started again as soon as it has been waited for, while those behind it go on. */
static void a_ring_of_jobs_goes_round(void **state)
{
    enum { RING = 4, TURNS = 2000 };
    struct fixture fixture;
    fixture_open(&fixture, true);
    struct record record = {0};
    struct probe *probes = new_probes(&record);
    struct env_worker *worker = env_worker_open(fixture.env);
    for (int i = 0; i < RING; i++)
        env_worker_start(worker, &probes[i].job);

    for (int turn = 0; turn < TURNS; turn++) {
        struct probe *probe = &probes[turn % RING];
        env_worker_wait(worker, &probe->job);
        assert_int_equal(probe->order, turn + 1);
        env_worker_start(worker, &probe->job);
    }

    env_worker_close(worker);
    mem_free(probes);
    fixture_close(&fixture);
}

/* Takes a while, so that the worker is closed while it has work left: the first one tells when. */
struct slow_probe {
    struct probe probe;
    atomic_bool has_begun;
};

static void work_slowly(void *ctx)
{
    struct slow_probe *slow = ctx;
    slow->probe.order = ++slow->probe.record->begun_count;
    atomic_store(&slow->has_begun, true);
    for (volatile int i = 0; i < 100000; i = i + 1)
        continue;
    slow->probe.record->done_count++;
}

static void closing_ends_the_job_under_way_and_begins_no_other(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, true);
    int left_count = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct record record = {0};
        struct slow_probe *probes = mem_alloc_array(JOBS, sizeof *probes);
        struct env_worker *worker = env_worker_open(fixture.env);
        for (int i = 0; i < JOBS; i++) {
            probes[i].probe.record = &record;
            probes[i].probe.job = (struct env_job){.work = work_slowly, .ctx = &probes[i]};
            env_worker_start(worker, &probes[i].probe.job);
        }
        while (!atomic_load(&probes[0].has_begun))
            continue;

        env_worker_close(worker);

        assert_int_equal(record.done_count, record.begun_count);
        for (int i = 0; i < JOBS; i++) /* those that were, in order, and none behind them */
            assert_int_equal(probes[i].probe.order, i < record.begun_count ? i + 1 : 0);
        left_count += JOBS - record.begun_count;
        mem_free(probes);
    }
    assert_true(left_count > 0); /* a busy machine may be slow to close, but not each time */
    env_worker_close(NULL);
    fixture_close(&fixture);
}

static void a_worker_that_nobody_gave_work_can_be_closed(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, true);
    for (int round = 0; round < ROUNDS; round++)
        env_worker_close(env_worker_open(fixture.env));
    fixture_close(&fixture);
}

struct reading {
    struct env_job job;
    struct env_file *file;
    uint64_t offset;
    uint8_t block[BLOCK_BYTES];
    size_t count;
    enum status status;
};

static void read_block(void *ctx)
{
    struct reading *reading = ctx;
    reading->status =
        env_file_read(reading->file, reading->offset, reading->block, BLOCK_BYTES, &reading->count);
}

static void jobs_read_files_while_the_loop_writes_others(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, true);
    struct env_file *file = fixture_create(&fixture, "read"), *other;
    struct reading *readings = mem_alloc_array(ROUNDS, sizeof *readings);
    uint8_t block[BLOCK_BYTES];
    for (int i = 0; i < ROUNDS; i++) {
        memset(block, i, sizeof block);
        assert_int_equal(env_file_write(file, (uint64_t)i * BLOCK_BYTES, bytes_of(block, 4096)),
                         ST_OK);
    }
    struct env_worker *worker = env_worker_open(fixture.env);

    for (int i = 0; i < ROUNDS; i++) {
        readings[i] = (struct reading){.file = file, .offset = (uint64_t)i * BLOCK_BYTES};
        readings[i].job = (struct env_job){.work = read_block, .ctx = &readings[i]};
        env_worker_start(worker, &readings[i].job);
    }
    other = fixture_create(&fixture, "written");
    assert_int_equal(env_file_write(other, 0, bytes_of(block, sizeof block)), ST_OK);

    for (int i = 0; i < ROUNDS; i++) {
        env_worker_wait(worker, &readings[i].job);
        assert_int_equal(readings[i].status, ST_OK);
        assert_int_equal(readings[i].count, BLOCK_BYTES);
        assert_int_equal(readings[i].block[BLOCK_BYTES - 1], i);
    }
    env_worker_close(worker);
    mem_free(readings);
    env_file_close(file);
    env_file_close(other);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_are_carried_out_in_the_order_started_and_can_be_started_again),
        cmocka_unit_test(a_ring_of_jobs_goes_round),
        cmocka_unit_test(closing_ends_the_job_under_way_and_begins_no_other),
        cmocka_unit_test(a_worker_that_nobody_gave_work_can_be_closed),
        cmocka_unit_test(jobs_read_files_while_the_loop_writes_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
