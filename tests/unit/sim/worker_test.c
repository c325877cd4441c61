/* Workers of the simulator: what they do, they do when it is waited for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim/world.h"

enum { JOBS = 5 };

struct probe {
    struct env_job job;
    int *done_count;
    int order; /* in which it was carried out, from 1 */
};

static void work(void *ctx)
{
    struct probe *probe = ctx;
    probe->order = ++*probe->done_count;
}

static void a_job_is_carried_out_when_it_is_waited_for_and_else_not(void **state)
{
    (void)state;
    struct world_options options = {.seed = 1};
    struct world *world = world_new(&options);
    struct env_worker *worker = env_worker_open(world_boot(world, 1));
    struct probe probes[JOBS];
    int done_count = 0;
    for (int i = 0; i < JOBS; i++) {
        probes[i] = (struct probe){.done_count = &done_count};
        probes[i].job = (struct env_job){.work = work, .ctx = &probes[i]};
        env_worker_start(worker, &probes[i].job);
    }
    assert_int_equal(done_count, 0);

    for (int i = 0; i < JOBS - 1; i++) {
        env_worker_wait(worker, &probes[i].job);
        assert_int_equal(done_count, i + 1);
        assert_int_equal(probes[i].order, i + 1);
    }
    env_worker_start(worker, &probes[0].job); /* again, behind the last one */
    env_worker_wait(worker, &probes[JOBS - 1].job);
    assert_int_equal(probes[JOBS - 1].order, JOBS);
    env_worker_close(worker);

    assert_int_equal(done_count, JOBS);
    env_worker_close(NULL);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_is_carried_out_when_it_is_waited_for_and_else_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
