/* Several who wait: threads in minikv_perform, and beside them a poll loop of the caller's. Whoever
 * leaves must not leave the others behind, asleep with nobody to wake them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "client/minikv_internal.h"
#include "unit/client/toy_server.h"

enum { SOON_MS = 20000 }; /* far below the deadlines, far above what anything here takes */

static struct minikv *open_at(const char *endpoint)
{
    struct minikv_options options = {.timeout_ms = 60000, .without_session = true};
    struct minikv *kv = NULL;
    assert_int_equal(minikv_open(endpoint, &options, &kv), MINIKV_OK);
    return kv;
}

static void drop_toy(struct toy_server *server)
{
    toy_stop(server);
    free(server);
}

static enum minikv_code get(struct minikv *kv, unsigned timeout_ms)
{
    struct minikv_request request = {
        .op = MINIKV_GET, .key = minikv_text("k"), .timeout_ms = timeout_ms};
    struct minikv_result result;
    enum minikv_code code = minikv_perform(kv, &request, &result);
    minikv_result_release(&result);
    return code;
}

static void count_done(void *ctx, struct minikv_result *result)
{
    atomic_uint *done_count = ctx;
    minikv_result_release(result);
    atomic_fetch_add(done_count, 1);
}

static void start_get(struct minikv *kv, atomic_uint *done_count)
{
    struct minikv_request request = {.op = MINIKV_GET, .key = minikv_text("k")};
    assert_int_equal(minikv_start(kv, &request, count_done, done_count, NULL), MINIKV_OK);
}

/* ---- a loop, and one in minikv_perform ---- */

static void a_loop_wakes_up_when_somebody_else_has_run_its_callback(void **state)
{
    (void)state;
    struct toy_server *server = toy_start(0);
    struct minikv *kv = open_at(server->endpoint);
    atomic_uint done_count = 0;
    struct pollfd fds[MINIKV_POLLFDS_MAX];
    assert_int_equal(get(kv, 0), MINIKV_OK); /* so the connection is there */
    start_get(kv, &done_count);
    size_t count = minikv_pollfds(kv, fds, MINIKV_POLLFDS_MAX);

    while (atomic_load(&done_count) == 0) /* as another thread could, while the loop polls */
        assert_int_equal(get(kv, 0), MINIKV_OK);

    assert_true(poll(fds, (nfds_t)count, SOON_MS) > 0);
    minikv_process(kv, fds, count);
    minikv_close(kv);
    drop_toy(server);
}

static void a_loop_does_not_sleep_if_its_callback_has_run_since_it_was_here_last(void **state)
{
    (void)state;
    struct toy_server *server = toy_start(0);
    struct minikv *kv = open_at(server->endpoint);
    atomic_uint done_count = 0;
    struct pollfd fds[MINIKV_POLLFDS_MAX];
    start_get(kv, &done_count);

    while (atomic_load(&done_count) == 0) /* after the loop has looked whether it is done */
        assert_int_equal(get(kv, 0), MINIKV_OK);
    size_t count = minikv_pollfds(kv, fds, MINIKV_POLLFDS_MAX);

    assert_true(poll(fds, (nfds_t)count, SOON_MS) > 0);
    minikv_process(kv, fds, count);
    count = minikv_pollfds(kv, fds, MINIKV_POLLFDS_MAX);
    assert_int_equal(poll(fds, (nfds_t)count, 0), 0); /* once is enough */
    minikv_close(kv);
    drop_toy(server);
}

static void a_loop_wakes_up_for_a_connection_that_somebody_else_has_made(void **state)
{
    (void)state;
    struct toy_server *server = toy_start(0);
    struct minikv *kv = open_at(server->endpoint);
    struct pollfd fds[MINIKV_POLLFDS_MAX];
    size_t count = minikv_pollfds(kv, fds, MINIKV_POLLFDS_MAX);

    assert_int_equal(get(kv, 0), MINIKV_OK);

    assert_true(poll(fds, (nfds_t)count, SOON_MS) > 0);
    minikv_process(kv, fds, count);
    assert_int_equal(minikv_pollfds(kv, fds, MINIKV_POLLFDS_MAX), count + 1);
    minikv_close(kv);
    drop_toy(server);
}

static void a_loop_that_runs_its_callbacks_itself_is_not_woken_for_them(void **state)
{
    (void)state;
    struct toy_server *server = toy_start(0);
    struct minikv *kv = open_at(server->endpoint);
    atomic_uint done_count = 0;
    struct pollfd fds[MINIKV_POLLFDS_MAX];
    size_t count = 0;
    assert_int_equal(get(kv, 0), MINIKV_OK);
    start_get(kv, &done_count);

    while (atomic_load(&done_count) == 0) {
        count = minikv_pollfds(kv, fds, MINIKV_POLLFDS_MAX);
        (void)poll(fds, (nfds_t)count, minikv_timeout(kv));
        minikv_process(kv, fds, count);
    }
    count = minikv_pollfds(kv, fds, MINIKV_POLLFDS_MAX);

    assert_int_equal(poll(fds, (nfds_t)count, 0), 0);
    minikv_close(kv);
    drop_toy(server);
}

struct looper {
    struct minikv *kv;
    atomic_bool is_over;
};

static void *loop(void *ctx)
{
    struct looper *looper = ctx;
    while (!atomic_load(&looper->is_over)) {
        struct pollfd fds[MINIKV_POLLFDS_MAX];
        size_t count = minikv_pollfds(looper->kv, fds, MINIKV_POLLFDS_MAX);
        (void)poll(fds, (nfds_t)count, minikv_timeout(looper->kv));
        minikv_process(looper->kv, fds, count);
    }
    return NULL;
}

static void one_in_perform_returns_though_the_loop_takes_its_reply(void **state)
{
    (void)state;
    struct toy_server *server = toy_start(0);
    struct looper looper = {.kv = open_at(server->endpoint)};
    atomic_uint done_count = 0;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, loop, &looper), 0);
    time_us begin = driver_now();

    for (int i = 0; i < 300; i++) /* both see the reply come in; either may take it */
        assert_int_equal(get(looper.kv, 0), MINIKV_OK);

    time_us took = driver_now() - begin;
    atomic_store(&looper.is_over, true);
    start_get(looper.kv, &done_count); /* which ends its poll() */
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(took < 10000 * TIME_US_PER_MS); /* one lost wake-up costs half a minute */
    minikv_close(looper.kv);
    drop_toy(server);
}

/* ---- several in minikv_perform ---- */

struct holder {
    struct minikv *kv;
    pthread_mutex_t mutex;
    atomic_bool is_held;
    bool was_taken; /* by the callback */
    time_us ended_at;
};

static void take_mutex(void *ctx, struct minikv_result *result)
{
    struct holder *holder = ctx;
    struct timespec until;
    minikv_result_release(result);
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    holder->was_taken = pthread_mutex_timedlock(&holder->mutex, &until) == 0;
    if (holder->was_taken)
        (void)pthread_mutex_unlock(&holder->mutex);
}

static void *drive_first(void *ctx)
{
    struct holder *holder = ctx;
    (void)get(holder->kv, 1500);
    return NULL;
}

static void *perform_holding(void *ctx)
{
    struct holder *holder = ctx;
    (void)pthread_mutex_lock(&holder->mutex);
    atomic_store(&holder->is_held, true);
    (void)get(holder->kv, 1000);
    holder->ended_at = driver_now();
    (void)pthread_mutex_unlock(&holder->mutex);
    return NULL;
}

static bool is_driven(struct minikv *kv)
{
    (void)pthread_mutex_lock(&kv->mutex);
    bool is_driven = kv->driving != NULL;
    (void)pthread_mutex_unlock(&kv->mutex);
    return is_driven;
}

/* One polls for both, and meets a callback that waits for what the other one holds. */
static void a_callback_that_blocks_keeps_nobody_else_from_its_deadline(void **state)
{
    (void)state;
    struct toy_server *server = toy_start(0);
    struct holder holder = {.kv = open_at(server->endpoint), .mutex = PTHREAD_MUTEX_INITIALIZER};
    struct minikv_request request = {.op = MINIKV_GET, .key = minikv_text("k"), .timeout_ms = 500};
    pthread_t driving, holding;
    atomic_store(&server->is_mute, true);
    assert_int_equal(pthread_create(&driving, NULL, drive_first, &holder), 0);
    while (!is_driven(holder.kv))
        (void)poll(NULL, 0, 1);
    time_us begin = driver_now();
    assert_int_equal(pthread_create(&holding, NULL, perform_holding, &holder), 0);
    while (!atomic_load(&holder.is_held))
        (void)poll(NULL, 0, 1);

    assert_int_equal(minikv_start(holder.kv, &request, take_mutex, &holder, NULL), MINIKV_OK);

    assert_int_equal(pthread_join(holding, NULL), 0);
    assert_int_equal(pthread_join(driving, NULL), 0);
    assert_true(holder.was_taken);
    assert_true(holder.ended_at - begin < 15000 * TIME_US_PER_MS); /* it gives up after 20 s */
    minikv_close(holder.kv);
    drop_toy(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loop_wakes_up_when_somebody_else_has_run_its_callback),
        cmocka_unit_test(a_loop_does_not_sleep_if_its_callback_has_run_since_it_was_here_last),
        cmocka_unit_test(a_loop_wakes_up_for_a_connection_that_somebody_else_has_made),
        cmocka_unit_test(a_loop_that_runs_its_callbacks_itself_is_not_woken_for_them),
        cmocka_unit_test(one_in_perform_returns_though_the_loop_takes_its_reply),
        cmocka_unit_test(a_callback_that_blocks_keeps_nobody_else_from_its_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
