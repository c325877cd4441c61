/* No memory: the first, the second, the third … allocation of a whole scenario fails, once or from
 * there on, until there is none left to fail. Nothing crashes, nothing is lost track of, every
 * request ends, and what it says of its effect is true.
 *
 * Linked with --wrap for malloc, calloc and realloc (tests/CMakeLists.txt). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "minikv/minikv.h"
#include "unit/client/toy_server.h"
#include "unit/client/virtual_cluster.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *data, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *data, size_t size);

/* Of the thread under test; the server's has its own, and never fails. */
static _Thread_local struct {
    bool is_armed, stays;
    unsigned left;
    unsigned failed_count;
} memory;

static bool fails(void)
{
    if (!memory.is_armed)
        return false;
    if (memory.left != 0) {
        memory.left--;
        return false;
    }
    memory.is_armed = memory.stays;
    memory.failed_count++;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *data, size_t size)
{
    return fails() ? NULL : __real_realloc(data, size);
}

static void arm(unsigned nth, bool stays)
{
    memory.is_armed = true;
    memory.stays = stays;
    memory.left = nth;
    memory.failed_count = 0;
}

/* ---- the engine, at a cluster that is well, then loses a connection ---- */

enum { CALLS = 12 };

static void assert_true_of(const struct minikv_result *result, bool is_read, int64_t count)
{
    if (is_read)
        assert_int_equal(result->effect, MINIKV_NOT_APPLIED);
    else if (result->effect == MINIKV_NOT_APPLIED)
        assert_int_equal(count, 0);
    else if (result->effect == MINIKV_APPLIED)
        assert_int_equal(count, 1);
    assert_in_range(count, 0, 1);
}

static void start_call(struct vc *vc, unsigned number, unsigned *started_count)
{
    char key[8];
    uint64_t id;
    (void)snprintf(key, sizeof key, "c%u", number);
    struct minikv_request request = {.op = number % 3 == 2 ? MINIKV_GET : MINIKV_INCR,
                                     .key = minikv_text(key),
                                     .by = 1,
                                     .timeout_ms = 1000};
    enum minikv_code code =
        engine_start(vc->engine, vc->now, &request, NULL, NULL, (void *)(uintptr_t)number, &id);
    assert_true(code == MINIKV_OK || code == MINIKV_NO_MEMORY);
    *started_count += code == MINIKV_OK;
}

static void play_engine(struct vc *vc, unsigned seed)
{
    struct engine_options options = {.endpoints_count = VC_NODES,
                                     .timeout = 1000000,
                                     .unknown_leader_wait = 50000,
                                     .connect_timeout = 200000,
                                     .seed = seed};
    static struct minikv_result results[CALLS];
    bool is_done[CALLS] = {false};
    unsigned started_count = 0, done_count = 0;
    for (int node = 0; node < VC_NODES; node++)
        options.endpoints[node] =
            (struct address){.host = "127.0.0.1", .port = (uint16_t)(8001 + node)};
    struct engine *engine = engine_new(&options);
    if (engine == NULL)
        return;
    vc_init(vc, engine, seed, 1000000000);
    vc->has_faults = false;
    for (unsigned step = 0; step < CALLS || vc->now < 1004000000; step++) {
        if (step < CALLS)
            start_call(vc, step, &started_count);
        if (step == 6)
            vc_reset(vc, 0, true);
        if (step == 9)
            vc->nodes[1].believed = -1;
        vc_step(vc, vc->now + (step < CALLS ? 2000 : 100000));
        struct call *call;
        while ((call = engine_take_done(engine)) != NULL) {
            size_t number = (size_t)call->ctx;
            assert_false(is_done[number]);
            is_done[number] = true;
            done_count++;
            results[number] = call->result;
            call->result = (struct minikv_result){0};
            call_free(call);
        }
    }
    assert_int_equal(done_count, started_count);
    for (unsigned number = 0; number < CALLS; number++) {
        if (!is_done[number])
            continue;
        assert_true_of(&results[number], number % 3 == 2, vc->counters[number]);
        minikv_result_release(&results[number]);
    }
    engine_free(engine);
}

static void sweep_engine(bool stays)
{
    static struct vc vc;
    unsigned nth = 0;
    do {
        arm(nth++, stays);
        play_engine(&vc, 7);
        memory.is_armed = false;
    } while (memory.failed_count != 0);
    assert_true(nth > 20); /* so many there were to fail */
}

static void the_engine_survives_any_one_allocation_failing(void **state)
{
    (void)state;
    sweep_engine(false);
}

static void the_engine_survives_all_allocations_failing_from_any_one_on(void **state)
{
    (void)state;
    sweep_engine(true);
}

/* ---- one request ---- */

static void a_request_that_finds_no_memory_leaves_nothing_on_the_wire(void **state)
{
    (void)state;
    static const uint8_t value[8192];
    static const struct address node = {.host = "h", .port = 1};
    struct minikv_request large = {
        .op = MINIKV_PUT, .key = minikv_text("k"), .value = {value, sizeof value}};
    struct call *call = call_new(&large);
    struct blob out;
    blob_init(&out);
    blob_put_text(&out, "before"); /* with room for a head, not for a body */
    assert_non_null(call);

    arm(0, false);
    bool is_whole = call_encode(call, &node, 0, 1, &out);

    assert_false(is_whole);
    assert_int_equal(memory.failed_count, 1);
    assert_int_equal(out.count, 6);
    assert_true(call_encode(call, &node, 0, 1, &out)); /* sound again */
    assert_true(out.count > sizeof value);
    call_free(call);
    blob_release(&out);
}

/* ---- the whole library, over real sockets ---- */

static void play_library(struct toy_server *server)
{
    struct minikv *kv;
    struct minikv_result result;
    struct minikv_options options = {.timeout_ms = 500};
    struct minikv_identity identity = {.client = "me", .sequence = 1};
    enum minikv_fate fate;
    enum minikv_code code = minikv_open(server->endpoint, &options, &kv);
    if (code != MINIKV_OK) {
        assert_int_equal(code, MINIKV_NO_MEMORY);
        return;
    }
    for (int i = 0; i < 3; i++) {
        code = minikv_incr(kv, minikv_text("n"), 1, &result);
        assert_true(code == MINIKV_OK || code == MINIKV_NO_MEMORY || code == MINIKV_UNKNOWN);
        minikv_result_release(&result);
        code = minikv_get(kv, minikv_text("k"), &result);
        assert_true(code == MINIKV_OK || code == MINIKV_NO_MEMORY);
        minikv_result_release(&result);
    }
    (void)minikv_outcome(kv, &identity, true, &fate, &result);
    minikv_result_release(&result);
    (void)minikv_start(kv, &(struct minikv_request){.op = MINIKV_GET, .key = minikv_text("k")},
                       NULL, NULL, NULL);
    minikv_close(kv);
}

/* A lock is had, or not for want of memory; then nothing is said of it that is not so. */
static void play_lock(struct toy_server *server)
{
    struct minikv *kv;
    struct minikv_hold *lock = NULL;
    struct minikv_result result;
    struct minikv_holding holding;
    struct minikv_options options = {.timeout_ms = 2000};
    if (minikv_open(server->endpoint, &options, &kv) != MINIKV_OK)
        return;
    enum minikv_code code = minikv_lock_acquire(kv, minikv_text("job"), 0, 1000, &lock, &result);
    assert_true(code == MINIKV_OK || code == MINIKV_NO_MEMORY || code == MINIKV_UNAVAILABLE);
    minikv_result_release(&result);
    if (code == MINIKV_OK) {
        minikv_hold_look(lock, &holding);
        assert_int_equal(holding.state, MINIKV_HOLD_HELD);
        assert_int_equal(holding.fence.token, 12);
        struct minikv_request request = {
            .op = MINIKV_PUT, .key = {"k", 1}, .value = {"v", 1}, .fence = holding.fence};
        (void)minikv_perform(kv, &request, &result);
        minikv_result_release(&result);
        code = minikv_hold_release(lock, &result);
        assert_true(code == MINIKV_OK || result.effect == MINIKV_MAYBE_APPLIED);
        minikv_result_release(&result);
    }
    code = minikv_election_leader(kv, minikv_text("job"), &result);
    assert_true(code == MINIKV_OK || code == MINIKV_NO_MEMORY);
    minikv_result_release(&result);
    minikv_close(kv);
}

static void a_lock_survives_any_one_allocation_failing(void **state)
{
    (void)state;
    struct toy_server *server = toy_start(0);
    unsigned nth = 0;

    do {
        arm(nth++, false);
        play_lock(server);
        memory.is_armed = false;
    } while (memory.failed_count != 0);

    assert_true(nth > 15);
    toy_stop(server);
    free(server);
}

static void the_library_survives_any_one_allocation_failing(void **state)
{
    (void)state;
    struct toy_server *server = toy_start(0);
    unsigned nth = 0;

    do {
        arm(nth++, false);
        play_library(server);
        memory.is_armed = false;
    } while (memory.failed_count != 0);

    assert_true(nth > 15);
    toy_stop(server);
    free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_engine_survives_any_one_allocation_failing),
        cmocka_unit_test(the_engine_survives_all_allocations_failing_from_any_one_on),
        cmocka_unit_test(a_request_that_finds_no_memory_leaves_nothing_on_the_wire),
        cmocka_unit_test(the_library_survives_any_one_allocation_failing),
        cmocka_unit_test(a_lock_survives_any_one_allocation_failing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
