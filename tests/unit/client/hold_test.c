/* Holds over sockets: taking, keeping and giving back, by one who waits and by a poll loop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <stdatomic.h>

#include "base/check.h"
#include "client/minikv_internal.h"
#include "unit/client/fake_server.h"

/* What a node says: the body; "" is 204, a problem 404, NULL nothing at all. */
#define NO      ""
#define SESSION "{\"client\":\"session-1-a\"}"
#define GRANTED "{\"lease\":30,\"ttl_ms\":1500}"
#define KEPT    GRANTED
#define ENTERED "{\"succeeded\":true,\"revision\":12,\"results\":[{\"put\":{}}]}"
#define LISTED                                                                                     \
    "{\"items\":[{\"key\":\"job/000000000000001e\",\"create_revision\":12}],\"next\":null,"        \
    "\"revision\":15}"
#define GONE "{\"type\":\"urn:minikv:lease-not-found\"}"

enum { TTL_MS = 1500, SOON_MS = 5000, REPLIES_MAX = 8 };

struct rig {
    struct fake_server *server;
    char replies[REPLIES_MAX][512];
    struct minikv *kv;
    struct minikv_hold *hold;
    struct minikv_result result;
    struct minikv_holding holding;
};

static void begin(struct rig *rig, const char *const *bodies, size_t count)
{
    char endpoint[LIMIT_ADDRESS_BYTES];
    struct fake_act acts[REPLIES_MAX] = {0};
    const struct minikv_options options = {.timeout_ms = SOON_MS};
    *rig = (struct rig){.server = NULL};
    for (size_t i = 0; i < count; i++) {
        const char *body = bodies[i] != NULL ? bodies[i] : "";
        const char *line = strncmp(body, "{\"type\"", 7) == 0 ? "404 Not Found" : "200 OK";
        (void)snprintf(rig->replies[i], sizeof rig->replies[i],
                       "HTTP/1.1 %s\r\nX-MiniKV-Node: 1\r\nContent-Length: %zu\r\n\r\n%s", line,
                       strlen(body), body);
        acts[i].reply = bodies[i] != NULL ? rig->replies[i] : NULL;
        acts[i].stalls = bodies[i] == NULL;
    }
    rig->server = fake_start(acts, count);
    address_format(&rig->server->address, endpoint);
    assert_int_equal(minikv_open(endpoint, &options, &rig->kv), MINIKV_OK);
}

static void end(struct rig *rig)
{
    minikv_result_release(&rig->result);
    minikv_close(rig->kv);
    fake_stop(rig->server);
}

static void assert_sent(const struct rig *rig, size_t at, const char *text)
{
    assert_true(at < rig->server->requests_count);
    if (strstr(rig->server->requests[at], text) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", text, rig->server->requests[at]);
}

static void acquire(struct rig *rig)
{
    assert_int_equal(
        minikv_lock_acquire(rig->kv, minikv_text("job"), 10000, 0, &rig->hold, &rig->result),
        MINIKV_OK);
    assert_int_equal(rig->result.revision, 12);
    minikv_result_release(&rig->result);
}

static const struct minikv_holding *look(struct rig *rig)
{
    minikv_hold_look(rig->hold, &rig->holding);
    return &rig->holding;
}

static void a_lock_is_taken_and_given_back(void **state)
{
    (void)state;
    static const char *const replies[] = {SESSION, GRANTED, ENTERED, LISTED, NO, NO};
    struct rig rig;
    begin(&rig, replies, ARRAY_COUNT(replies));

    acquire(&rig);

    assert_int_equal(look(&rig)->state, MINIKV_HOLD_HELD);
    assert_int_equal(rig.holding.fence.token, 12);
    assert_int_equal(rig.holding.fence.key.count, 20);
    assert_memory_equal(rig.holding.fence.key.data, "job/000000000000001e", 20);
    assert_int_equal(rig.holding.lease, 30);
    assert_in_range(rig.holding.certain_ms, 1, TTL_MS);
    assert_int_equal(minikv_hold_release(rig.hold, &rig.result), MINIKV_OK);
    assert_int_equal(rig.result.effect, MINIKV_APPLIED);
    end(&rig);
    assert_sent(&rig, 1, "POST /v1/leases ");
    assert_sent(&rig, 1, "X-MiniKV-Sequence: 1\r\n");
    assert_sent(&rig, 2, "POST /v1/txn ");
    assert_sent(&rig, 2, "X-MiniKV-Sequence: 2\r\n");
    assert_sent(&rig, 3, "GET /v1/kv?prefix=job%2F&keys_only ");
    assert_sent(&rig, 4, "DELETE /v1/leases/30 ");
    free(rig.server);
}

static void turn(struct minikv *kv)
{
    struct pollfd fds[MINIKV_POLLFDS_MAX];
    size_t count = minikv_pollfds(kv, fds, MINIKV_POLLFDS_MAX);
    int ready = poll(fds, (nfds_t)count, minikv_timeout(kv));
    minikv_process(kv, fds, ready < 0 ? 0 : count);
}

static void a_poll_loop_takes_keeps_and_leaves_it(void **state)
{
    (void)state;
    /* As many keep-alives as a slow machine may take; to the last requests 200 is as good as 204.
     */
    static const char *const replies[] = {SESSION, GRANTED, ENTERED, LISTED,
                                          KEPT,    KEPT,    KEPT,    KEPT};
    struct rig rig;
    const struct minikv_hold_request request = {.name = {"job", 3}, .ttl_ms = 10000};
    begin(&rig, replies, ARRAY_COUNT(replies));
    assert_int_equal(minikv_hold_start(rig.kv, &request, &rig.hold), MINIKV_OK);

    while (look(&rig)->state == MINIKV_HOLD_ENTERING)
        turn(rig.kv);
    assert_int_equal(rig.holding.state, MINIKV_HOLD_HELD);
    assert_in_range(minikv_timeout(rig.kv), 0, TTL_MS / 3 + 1);
    uint64_t least_ms = TTL_MS; /* it goes down for a third, and then is what it was */
    do {
        least_ms = MIN(least_ms, look(&rig)->certain_ms);
        turn(rig.kv);
    } while (look(&rig)->certain_ms <= least_ms);
    assert_int_equal(look(&rig)->state, MINIKV_HOLD_HELD);
    minikv_hold_leave(rig.hold);
    assert_int_equal(look(&rig)->state, MINIKV_HOLD_LEAVING);
    assert_int_equal(rig.holding.certain_ms, 0);
    while (look(&rig)->state == MINIKV_HOLD_LEAVING)
        turn(rig.kv);

    assert_int_equal(rig.holding.state, MINIKV_HOLD_LEFT);
    assert_int_equal(rig.holding.code, MINIKV_OK);
    assert_int_equal(rig.holding.certain_ms, 0);
    minikv_hold_free(rig.hold);
    end(&rig);
    assert_sent(&rig, 4, "POST /v1/leases/30/keepalive ");
    size_t at = 5;
    while (at < rig.server->requests_count &&
           strstr(rig.server->requests[at], "DELETE /v1/leases/30 ") == NULL)
        at++;
    assert_true(at < rig.server->requests_count);
    free(rig.server);
}

static void keeping_asks_when_it_is_time_and_tells_of_a_loss(void **state)
{
    (void)state;
    static const char *const replies[] = {SESSION, GRANTED, ENTERED, LISTED, KEPT, GONE};
    struct rig rig;
    begin(&rig, replies, ARRAY_COUNT(replies));
    acquire(&rig);

    enum minikv_code code;
    while ((code = minikv_hold_keep(rig.hold, SOON_MS)) == MINIKV_OK)
        (void)poll(NULL, 0, 20);

    assert_int_equal(code, MINIKV_LOST);
    assert_int_equal(look(&rig)->state, MINIKV_HOLD_LOST);
    assert_int_equal(rig.holding.fence.token, 0);
    assert_string_equal(rig.holding.word, "lease-not-found");
    assert_int_equal(minikv_hold_release(rig.hold, &rig.result), MINIKV_LOST);
    assert_int_equal(rig.result.effect, MINIKV_NOT_APPLIED);
    end(&rig);
    assert_int_equal(rig.server->requests_count, 6);
    free(rig.server);
}

static void without_an_answer_nothing_is_certain_and_nothing_lost(void **state)
{
    (void)state;
    static const char *const replies[] = {SESSION, GRANTED, ENTERED, LISTED, NULL};
    struct rig rig;
    begin(&rig, replies, ARRAY_COUNT(replies));
    acquire(&rig);
    (void)poll(NULL, 0, TTL_MS / 2);

    time_us begun = driver_now();
    assert_int_equal(minikv_hold_keep(rig.hold, 2 * TTL_MS), MINIKV_UNAVAILABLE);

    assert_true(driver_now() - begun >= TTL_MS * TIME_US_PER_MS);
    assert_int_equal(look(&rig)->state, MINIKV_HOLD_HELD);
    assert_int_equal(rig.holding.certain_ms, 0);
    assert_int_equal(minikv_hold_keep(rig.hold, 0), MINIKV_UNAVAILABLE);
    minikv_hold_free(rig.hold);
    end(&rig);
    free(rig.server);
}

/* ---- fences ---- */

static void a_write_with_a_fence_says_what_did_not_hold(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        enum minikv_code code;
        enum minikv_effect effect;
        uint64_t revision;
    } cases[] = {
        {"{\"succeeded\":true,\"revision\":40,\"results\":[{\"put\":{}}]}", MINIKV_OK,
         MINIKV_APPLIED, 40},
        {"{\"succeeded\":false,\"revision\":40,\"results\":[{\"get\":{\"items\":[{"
         "\"create_revision\":13}]}},{\"get\":{\"items\":[{\"mod_revision\":9}]}}]}",
         MINIKV_LOST, MINIKV_NOT_APPLIED, 0},
        {"{\"succeeded\":false,\"revision\":40,\"results\":[{\"get\":{\"items\":[{"
         "\"create_revision\":12}]}},{\"get\":{\"items\":[{\"mod_revision\":9}]}}]}",
         MINIKV_CONDITION_FAILED, MINIKV_NOT_APPLIED, 9},
        {"{\"succeeded\":false,\"revision\":40,\"results\":[{\"get\":{\"items\":[]}},"
         "{\"get\":{\"items\":[]}}]}",
         MINIKV_LOST, MINIKV_NOT_APPLIED, 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct rig rig;
        const char *const replies[] = {SESSION, cases[i].body, NO};
        const struct minikv_request request = {.op = MINIKV_PUT,
                                               .key = {"k", 1},
                                               .value = {"v", 1},
                                               .condition = MINIKV_IF_REVISION,
                                               .revision = 8,
                                               .fence = {{"job/1", 5}, 12}};
        begin(&rig, replies, ARRAY_COUNT(replies));

        assert_int_equal(minikv_perform(rig.kv, &request, &rig.result), cases[i].code);

        assert_int_equal(rig.result.effect, cases[i].effect);
        assert_int_equal(rig.result.revision, cases[i].revision);
        end(&rig);
        assert_sent(&rig, 1, "POST /v1/txn HTTP/1.1\r\n");
        assert_sent(&rig, 1, "X-MiniKV-Sequence: 1\r\n");
        free(rig.server);
    }
}

static void the_outcome_of_a_fenced_write_says_whether_it_changed_anything(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        "{\"outcome\":\"applied\",\"answer\":{\"status\":200,\"body\":{\"succeeded\":true,"
        "\"revision\":40,\"results\":[{\"put\":{}}]}}}",
        "{\"outcome\":\"applied\",\"answer\":{\"status\":200,\"body\":{\"succeeded\":false,"
        "\"revision\":40,\"results\":[{\"get\":{\"items\":[]}},{\"get\":{\"items\":[]}}]}}}"};
    for (size_t i = 0; i < ARRAY_COUNT(bodies); i++) {
        struct rig rig;
        enum minikv_fate fate;
        const struct minikv_identity identity = {.client = "me", .sequence = 7};
        begin(&rig, &bodies[i], 1);

        assert_int_equal(minikv_outcome(rig.kv, &identity, true, &fate, &rig.result), MINIKV_OK);

        assert_int_equal(fate, MINIKV_FATE_APPLIED);
        assert_int_equal(rig.result.code, i == 0 ? MINIKV_OK : MINIKV_CONDITION_FAILED);
        assert_int_equal(rig.result.effect, i == 0 ? MINIKV_APPLIED : MINIKV_NOT_APPLIED);
        assert_int_equal(rig.result.revision, 40);
        end(&rig);
        free(rig.server);
    }
}

/* ---- bounds and ends ---- */

static void there_are_only_so_many_and_closing_takes_them_all(void **state)
{
    (void)state;
    struct address dead = fake_closed_address();
    char endpoint[LIMIT_ADDRESS_BYTES];
    struct minikv *kv;
    struct minikv_hold *hold = NULL;
    const struct minikv_hold_request request = {.name = {"job", 3}}, bad = {.ttl_ms = 1};
    assert_int_equal(minikv_open(address_format(&dead, endpoint), NULL, &kv), MINIKV_OK);

    for (int i = 0; i < MINIKV_HOLDS_MAX; i++)
        assert_int_equal(minikv_hold_start(kv, &request, &hold), MINIKV_OK);
    struct minikv_hold *last = hold;
    assert_int_equal(minikv_hold_start(kv, &request, &hold), MINIKV_FULL);
    minikv_hold_free(last);
    minikv_hold_free(NULL);
    assert_int_equal(minikv_hold_start(kv, &request, &hold), MINIKV_OK);
    assert_int_equal(minikv_hold_start(kv, &bad, &hold), MINIKV_INVALID);

    minikv_close(kv);
}

static void who_never_reached_a_node_has_nothing_to_give_back(void **state)
{
    (void)state;
    struct address dead = fake_closed_address();
    char endpoint[LIMIT_ADDRESS_BYTES];
    struct minikv *kv;
    struct minikv_hold *hold;
    struct minikv_result result;
    const struct minikv_options options = {.timeout_ms = 300};
    assert_int_equal(minikv_open(address_format(&dead, endpoint), &options, &kv), MINIKV_OK);

    assert_int_equal(minikv_lock_acquire(kv, minikv_text("job"), 0, 10, &hold, &result),
                     MINIKV_UNAVAILABLE);

    assert_int_equal(result.effect, MINIKV_NOT_APPLIED);
    assert_true(result.detail[0] != '\0');
    minikv_result_release(&result);
    minikv_close(kv);
}

/* ---- two threads ---- */

struct looper {
    struct minikv *kv;
    bool is_over; /* under the lock of the test's own */
    pthread_mutex_t mutex;
};

static void *loop(void *ctx)
{
    struct looper *looper = ctx;
    for (;;) {
        (void)pthread_mutex_lock(&looper->mutex);
        bool is_over = looper->is_over;
        (void)pthread_mutex_unlock(&looper->mutex);
        if (is_over)
            return NULL;
        turn(looper->kv);
    }
}

static void who_waits_hears_of_what_another_thread_has_read(void **state)
{
    (void)state;
    static const char *const replies[] = {SESSION, GRANTED, ENTERED, LISTED, NO, NO};
    struct rig rig;
    pthread_t thread;
    begin(&rig, replies, ARRAY_COUNT(replies));
    struct looper looper = {.kv = rig.kv, .mutex = PTHREAD_MUTEX_INITIALIZER};
    assert_int_equal(pthread_create(&thread, NULL, loop, &looper), 0);
    time_us begun = driver_now();

    acquire(&rig);
    assert_int_equal(minikv_hold_release(rig.hold, &rig.result), MINIKV_OK);

    assert_true(driver_now() - begun < SOON_MS * TIME_US_PER_MS); /* and not at a deadline */
    (void)pthread_mutex_lock(&looper.mutex);
    looper.is_over = true;
    (void)pthread_mutex_unlock(&looper.mutex);
    (void)minikv_start(rig.kv, &(struct minikv_request){.op = MINIKV_GET, .key = {"k", 1}}, NULL,
                       NULL, NULL); /* which ends its poll() */
    assert_int_equal(pthread_join(thread, NULL), 0);
    end(&rig);
    free(rig.server);
}

struct poller {
    struct minikv *kv;
    atomic_bool has_ended;
};

static void *poll_long(void *ctx)
{
    struct poller *poller = ctx;
    struct minikv_result result;
    const struct minikv_request request = {.op = MINIKV_CALL,
                                           .method = "GET",
                                           .target = "/v1/watch?key=a&poll_ms=60000",
                                           .is_repeatable = true,
                                           .timeout_ms = 3000};
    (void)minikv_perform(poller->kv, &request, &result);
    minikv_result_release(&result);
    atomic_store(&poller->has_ended, true);
    return NULL;
}

static bool is_driven(struct minikv *kv)
{
    door_lock(kv);
    bool is_driven = kv->driving != NULL;
    door_unlock(kv);
    return is_driven;
}

/* The server attends to one connection at a time: that of the long poll waits. */
static void who_sleeps_while_another_one_polls_is_woken_when_it_is_held(void **state)
{
    (void)state;
    static const char *const replies[] = {"{\"key\":\"k\"}", SESSION, GRANTED, NO, NO};
    struct rig rig;
    pthread_t thread;
    begin(&rig, replies, ARRAY_COUNT(replies));
    struct poller poller = {.kv = rig.kv};
    assert_int_equal(minikv_get(rig.kv, minikv_text("k"), &rig.result), MINIKV_OK);
    minikv_result_release(&rig.result);
    assert_int_equal(pthread_create(&thread, NULL, poll_long, &poller), 0);
    while (!is_driven(rig.kv))
        (void)poll(NULL, 0, 1);

    assert_int_equal(minikv_lease_grant(rig.kv, 10000, &rig.hold, &rig.result), MINIKV_OK);

    assert_false(atomic_load(&poller.has_ended));
    minikv_hold_free(rig.hold);
    assert_int_equal(pthread_join(thread, NULL), 0);
    end(&rig);
    free(rig.server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lock_is_taken_and_given_back),
        cmocka_unit_test(a_poll_loop_takes_keeps_and_leaves_it),
        cmocka_unit_test(keeping_asks_when_it_is_time_and_tells_of_a_loss),
        cmocka_unit_test(without_an_answer_nothing_is_certain_and_nothing_lost),
        cmocka_unit_test(a_write_with_a_fence_says_what_did_not_hold),
        cmocka_unit_test(the_outcome_of_a_fenced_write_says_whether_it_changed_anything),
        cmocka_unit_test(there_are_only_so_many_and_closing_takes_them_all),
        cmocka_unit_test(who_never_reached_a_node_has_nothing_to_give_back),
        cmocka_unit_test(who_waits_hears_of_what_another_thread_has_read),
        cmocka_unit_test(who_sleeps_while_another_one_polls_is_woken_when_it_is_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
