/* The public API over real sockets: blocking calls, many threads, callbacks in a poll loop of the
 * caller's, cancelling and closing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "minikv/minikv.h"
#include "unit/client/fake_server.h"
#include "unit/client/toy_server.h"

#define COUNTER minikv_text("n")

static struct minikv *open_at(const char *endpoints, const struct minikv_options *options)
{
    struct minikv *kv = NULL;
    assert_int_equal(minikv_open(endpoints, options, &kv), MINIKV_OK);
    return kv;
}

static void drop_toy(struct toy_server *server)
{
    toy_stop(server);
    free(server);
}

/* ---- opening ---- */

static void endpoints_are_checked_before_anything_is_sent(void **state)
{
    (void)state;
    static const char *const bad[] = {"",         "localhost", ":8081",       "a:1,",  ",a:1",
                                      "a:1,,b:2", "a:0",       "https://a:1", "a:1/x", "a b:1"};
    struct minikv *kv = NULL;
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_int_equal(minikv_open(bad[i], NULL, &kv), MINIKV_INVALID);
    assert_int_equal(minikv_open(NULL, NULL, &kv), MINIKV_INVALID);
    assert_null(kv);

    assert_int_equal(minikv_open("http://a:1/, b:2 ,[::1]:3,a:1", NULL, &kv), MINIKV_OK);
    minikv_close(kv);
    minikv_close(NULL);
}

static void a_request_out_of_range_is_invalid_and_says_how(void **state)
{
    (void)state;
    struct minikv_result result = {0};
    struct minikv *kv = open_at("127.0.0.1:1", NULL);
    struct minikv_request request = {.op = MINIKV_CALL, .method = "GET", .target = "/a b"};

    assert_int_equal(minikv_put(kv, minikv_text(""), minikv_text("v"), &result), MINIKV_INVALID);
    assert_string_equal(result.word, "key-empty");
    minikv_result_release(&result);
    assert_int_equal(minikv_perform(kv, &request, &result), MINIKV_INVALID);
    assert_string_equal(result.word, "bad-target");
    assert_int_equal(minikv_start(kv, &request, NULL, NULL, NULL), MINIKV_INVALID);

    minikv_result_release(&result);
    minikv_close(kv);
}

/* ---- one after the other ---- */

static void writes_and_reads_give_what_the_server_said(void **state)
{
    (void)state;
    struct toy_server *server = toy_start(0);
    struct minikv *kv = open_at(server->endpoint, NULL);
    struct minikv_result result;

    assert_int_equal(minikv_incr(kv, COUNTER, 1, &result), MINIKV_OK);
    assert_int_equal(result.number, 1);
    assert_int_equal(result.effect, MINIKV_APPLIED);
    assert_string_equal(result.identity.client, "session-1-a");
    minikv_result_release(&result);
    assert_int_equal(minikv_get(kv, minikv_text("k"), &result), MINIKV_OK);
    assert_int_equal(result.items_count, 1);
    assert_memory_equal(result.items[0].value.data, "v", 1);
    assert_int_equal(result.revision, 3);
    minikv_result_release(&result);
    minikv_result_release(&result); /* twice is once */
    minikv_result_release(NULL);

    minikv_close(kv);
    assert_int_equal(server->closed_sessions_count, 1);
    drop_toy(server);
}

static void a_server_that_hangs_up_after_every_third_write_costs_nothing_but_time(void **state)
{
    (void)state;
    struct toy_server *server = toy_start(3);
    struct minikv *kv = open_at(server->endpoint, NULL);
    struct minikv_result result;

    for (int64_t i = 1; i <= 60; i++) {
        assert_int_equal(minikv_incr(kv, COUNTER, 1, &result), MINIKV_OK);
        assert_int_equal(result.number, i);
        minikv_result_release(&result);
    }

    minikv_close(kv);
    toy_stop(server);
    assert_int_equal(server->counter, 60);
    assert_true(server->replays_count >= 20);
    free(server);
}

static void nobody_at_the_endpoint_is_unavailable_and_not_applied(void **state)
{
    (void)state;
    struct address dead = fake_closed_address();
    char endpoint[LIMIT_ADDRESS_BYTES];
    struct minikv_options options = {.timeout_ms = 1000};
    struct minikv *kv = open_at(address_format(&dead, endpoint), &options);
    struct minikv_result result;

    assert_int_equal(minikv_put(kv, COUNTER, minikv_text("v"), &result), MINIKV_UNAVAILABLE);

    assert_int_equal(result.effect, MINIKV_NOT_APPLIED);
    assert_non_null(strstr(result.detail, "Connection refused"));
    assert_true(result.http_code == 0);
    minikv_result_release(&result);
    minikv_close(kv);
}

static void a_name_is_resolved_and_each_of_its_addresses_tried(void **state)
{
    (void)state;
    struct toy_server *server = toy_start(0); /* on 127.0.0.1; localhost may be ::1 first */
    char endpoint[32];
    struct minikv_result result;
    (void)snprintf(endpoint, sizeof endpoint, "localhost%s", strchr(server->endpoint, ':'));
    struct minikv *kv = open_at(endpoint, NULL);

    assert_int_equal(minikv_get(kv, minikv_text("k"), &result), MINIKV_OK);

    minikv_result_release(&result);
    minikv_close(kv);
    drop_toy(server);
}

static void a_mute_server_leaves_a_write_unknown_at_the_deadline(void **state)
{
    (void)state;
    struct toy_server *server = toy_start(0);
    struct minikv_options options = {.timeout_ms = 1000, .without_session = true};
    struct minikv *kv = open_at(server->endpoint, &options);
    struct minikv_result result;
    atomic_store(&server->is_mute, true);

    assert_int_equal(minikv_incr(kv, COUNTER, 1, &result), MINIKV_UNKNOWN);

    assert_int_equal(result.effect, MINIKV_MAYBE_APPLIED);
    assert_int_equal(result.attempts_count, 1);
    minikv_result_release(&result);
    minikv_close(kv);
    drop_toy(server);
}

static void a_connection_that_the_server_closed_while_idle_is_no_loss(void **state)
{
    (void)state;
    static const struct fake_act acts[] = {
        {.reply = "HTTP/1.1 204 No Content\r\nX-MiniKV-Node: 1\r\n\r\n", .closes = true},
        {.reply = "HTTP/1.1 204 No Content\r\nX-MiniKV-Node: 1\r\n\r\n"}};
    struct fake_server *server = fake_start(acts, 2);
    char endpoint[LIMIT_ADDRESS_BYTES];
    struct minikv_options options = {.without_session = true}; /* so a loss would show */
    struct minikv *kv = open_at(address_format(&server->address, endpoint), &options);
    struct minikv_result result;
    assert_int_equal(minikv_put(kv, COUNTER, minikv_text("a"), &result), MINIKV_OK);
    minikv_result_release(&result);
    (void)poll(NULL, 0, 20); /* the end has come in by then, or the next write meets it anyway */

    assert_int_equal(minikv_put(kv, COUNTER, minikv_text("b"), &result), MINIKV_OK);

    assert_int_equal(result.attempts_count, 1);
    minikv_result_release(&result);
    minikv_close(kv);
    fake_stop(server);
    free(server);
}

/* ---- redirects by hand ---- */

static void a_redirect_is_reported_and_followed_with_the_same_sequence(void **state)
{
    (void)state;
    struct toy_server *leader = toy_start(0);
    char reply[512], followers_endpoint[LIMIT_ADDRESS_BYTES];
    (void)snprintf(reply, sizeof reply,
                   "HTTP/1.1 307 Temporary Redirect\r\nX-MiniKV-Node: 2\r\nX-MiniKV-Term: 4\r\n"
                   "X-MiniKV-Effect: none\r\nLocation: http://%s/v1/incr/n\r\n"
                   "Content-Length: 32\r\n\r\n{\"type\":\"urn:minikv:not-leader\"}",
                   leader->endpoint);
    struct fake_act act = {.reply = reply};
    struct fake_server *follower = fake_start(&act, 1);
    struct minikv *kv = open_at(leader->endpoint, NULL);
    struct minikv_request request = {.op = MINIKV_INCR, .key = COUNTER, .by = 1};
    struct redirect_msg message;
    struct minikv_result result;

    assert_int_equal(client_send_request(kv, address_format(&follower->address, followers_endpoint),
                                         &request, &message, &result),
                     MINIKV_UNAVAILABLE);
    assert_int_equal(message.redirect, 1);
    assert_int_equal(message.leader_known, 1);
    assert_string_equal(message.leader_host, "127.0.0.1");
    assert_int_equal(message.term, 4);
    uint64_t sequence = result.identity.sequence;
    assert_int_equal(client_follow_redirect(kv, &message, &request, &result), MINIKV_OK);

    assert_int_equal(result.identity.sequence, sequence);
    assert_int_equal(result.number, 1);
    minikv_result_release(&result);
    minikv_close(kv);
    fake_stop(follower);
    assert_non_null(strstr(follower->requests[0], "X-MiniKV-Route: redirect\r\n"));
    free(follower);
    drop_toy(leader);
}

/* ---- what became of a write ---- */

static void the_outcome_of_a_write_is_told_as_its_own_result(void **state)
{
    (void)state;
    static const struct fake_act acts[] = {
        {.reply =
             "HTTP/1.1 200 OK\r\nContent-Length: 94\r\n\r\n{\"outcome\":\"applied\",\"answer\":"
             "{\"status\":200,\"etag\":\"\\\"12\\\"\",\"body\":{\"value\":-7},\"more\":[1,2]}}"},
        {.reply = "HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n{\"outcome\":\"never\"}"},
        {.reply = "HTTP/1.1 410 Gone\r\nX-MiniKV-Node: 1\r\nContent-Length: 37\r\n\r\n"
                  "{\"type\":\"urn:minikv:session-expired\"}"},
        {.reply = "HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n{\"outcome\":\"perhaps\"}"},
    };
    struct fake_server *server = fake_start(acts, ARRAY_COUNT(acts));
    char endpoint[LIMIT_ADDRESS_BYTES];
    struct minikv *kv = open_at(address_format(&server->address, endpoint), NULL);
    struct minikv_identity identity = {.client = "a\"b", .sequence = 9};
    enum minikv_fate fate;
    struct minikv_result result;

    assert_int_equal(minikv_outcome(kv, &identity, false, &fate, &result), MINIKV_OK);
    assert_int_equal(fate, MINIKV_FATE_APPLIED);
    assert_int_equal(result.code, MINIKV_OK);
    assert_int_equal(result.number, -7);
    assert_int_equal(result.revision, 12);
    minikv_result_release(&result);
    result = (struct minikv_result){.identity = identity}; /* asked about and filled at once */
    assert_int_equal(minikv_outcome(kv, &result.identity, true, &fate, &result), MINIKV_OK);
    assert_int_equal(fate, MINIKV_FATE_NEVER);
    assert_int_equal(result.effect, MINIKV_NOT_APPLIED);
    assert_string_equal(result.identity.client, "a\"b");
    assert_int_equal(result.identity.sequence, 9);
    minikv_result_release(&result);
    assert_int_equal(minikv_outcome(kv, &identity, true, &fate, &result), MINIKV_OK);
    assert_int_equal(fate, MINIKV_FATE_EXPIRED);
    minikv_result_release(&result);
    assert_int_equal(minikv_outcome(kv, &identity, false, &fate, &result), MINIKV_UNAVAILABLE);
    minikv_result_release(&result);

    minikv_close(kv);
    fake_stop(server);
    assert_non_null(strstr(server->requests[0], "GET /v1/outcome?client=a%22b&sequence=9 "));
    assert_non_null(strstr(server->requests[1], "{\"client\":\"a\\\"b\",\"sequence\":9}"));
    free(server);
}

/* ---- threads ---- */

enum { THREADS = 8, PER_THREAD = 100 };

struct worker {
    struct minikv *kv;
    pthread_t thread;
    int64_t sums[PER_THREAD];
    unsigned failures_count;
};

static void *work(void *ctx)
{
    struct worker *worker = ctx;
    for (size_t i = 0; i < PER_THREAD; i++) {
        struct minikv_result result;
        if (minikv_incr(worker->kv, COUNTER, 1, &result) != MINIKV_OK)
            worker->failures_count++;
        worker->sums[i] = result.number;
        minikv_result_release(&result);
    }
    return NULL;
}

static void play_threads(unsigned hang_up_every)
{
    static bool seen[THREADS * PER_THREAD + 1];
    static struct worker workers[THREADS];
    struct toy_server *server = toy_start(hang_up_every);
    struct minikv *kv = open_at(server->endpoint, NULL);
    memset(seen, 0, sizeof seen);
    for (size_t i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.kv = kv};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }

    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        assert_int_equal(workers[i].failures_count, 0);
        for (size_t j = 0; j < PER_THREAD; j++) {
            assert_in_range(workers[i].sums[j], 1, THREADS * PER_THREAD);
            assert_false(seen[workers[i].sums[j]]); /* every answer is somebody's own */
            seen[workers[i].sums[j]] = true;
        }
    }

    minikv_close(kv);
    toy_stop(server);
    assert_int_equal(server->counter, THREADS * PER_THREAD);
    if (hang_up_every == 0)
        assert_int_equal(server->connections_count, 1);
    free(server);
}

static void eight_threads_share_one_connection(void **state)
{
    (void)state;
    play_threads(0);
}

static void eight_threads_get_exact_answers_though_the_server_hangs_up(void **state)
{
    (void)state;
    play_threads(50);
}

/* ---- callbacks ---- */

struct tally {
    struct minikv *kv;
    unsigned done_count, ok_count, cancelled_count, again_count;
    bool is_in_start;
};

static void on_done(void *ctx, struct minikv_result *result)
{
    struct tally *tally = ctx;
    struct minikv_request request = {.op = MINIKV_INCR, .key = COUNTER, .by = 1};
    assert_false(tally->is_in_start);
    tally->done_count++;
    tally->ok_count += result->code == MINIKV_OK;
    tally->cancelled_count += result->code == MINIKV_CANCELLED;
    minikv_result_release(result);
    if (tally->again_count != 0) { /* any function may be called */
        tally->again_count--;
        (void)minikv_timeout(tally->kv);
        (void)minikv_start(tally->kv, &request, on_done, tally, NULL);
    }
}

static void start_many(struct tally *tally, unsigned count)
{
    struct minikv_request request = {.op = MINIKV_INCR, .key = COUNTER, .by = 1};
    tally->is_in_start = true;
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(minikv_start(tally->kv, &request, on_done, tally, NULL), MINIKV_OK);
    tally->is_in_start = false;
}

static void poll_once(struct minikv *kv)
{
    struct pollfd fds[MINIKV_POLLFDS_MAX];
    size_t count = minikv_pollfds(kv, fds, MINIKV_POLLFDS_MAX);
    (void)poll(fds, count, minikv_timeout(kv));
    minikv_process(kv, fds, count);
}

static void a_loop_of_the_callers_own_carries_a_thousand_requests_at_once(void **state)
{
    (void)state;
    struct toy_server *server = toy_start(0);
    struct tally tally = {.kv = open_at(server->endpoint, NULL), .again_count = 500};
    struct minikv_request request = {.op = MINIKV_INCR, .key = COUNTER, .by = 1};
    start_many(&tally, MINIKV_REQUESTS_MAX);
    assert_int_equal(minikv_start(tally.kv, &request, on_done, &tally, NULL), MINIKV_FULL);
    struct minikv_result result;
    assert_int_equal(minikv_perform(tally.kv, &request, &result), MINIKV_FULL);
    assert_string_equal(result.word, "busy");
    assert_string_not_equal(result.detail, "");
    minikv_result_release(&result);

    while (tally.done_count < MINIKV_REQUESTS_MAX + 500)
        poll_once(tally.kv);

    assert_int_equal(tally.ok_count, MINIKV_REQUESTS_MAX + 500);
    for (int i = 0; i < 3 && minikv_timeout(tally.kv) <= 1000; i++)
        poll_once(tally.kv); /* what was timed while it was busy */
    assert_true(minikv_timeout(tally.kv) > 1000);
    minikv_close(tally.kv);
    toy_stop(server);
    assert_int_equal(server->counter, MINIKV_REQUESTS_MAX + 500);
    assert_int_equal(server->connections_count, 1);
    free(server);
}

static void *poll_until_done(void *ctx)
{
    struct tally *tally = ctx;
    while (tally->done_count < 20)
        poll_once(tally->kv);
    return NULL;
}

/* The poller sleeps without a timeout; each start of this thread must wake it where needed. */
static void a_start_in_another_thread_wakes_the_poller(void **state)
{
    (void)state;
    struct toy_server *server = toy_start(4);
    struct tally tally = {.kv = open_at(server->endpoint, NULL)};
    struct minikv_request request = {.op = MINIKV_INCR, .key = COUNTER, .by = 1};
    pthread_t poller;
    assert_int_equal(pthread_create(&poller, NULL, poll_until_done, &tally), 0);
    for (int i = 0; i < 20; i++) {
        (void)poll(NULL, 0, 5);
        assert_int_equal(minikv_start(tally.kv, &request, on_done, &tally, NULL), MINIKV_OK);
    }

    assert_int_equal(pthread_join(poller, NULL), 0);

    assert_int_equal(tally.ok_count, 20);
    minikv_close(tally.kv);
    drop_toy(server);
}

static void a_cancelled_request_ends_at_once_and_once(void **state)
{
    (void)state;
    struct toy_server *server = toy_start(0);
    struct minikv_options options = {.without_session = true};
    struct tally tally = {.kv = open_at(server->endpoint, &options)};
    struct minikv_request request = {.op = MINIKV_INCR, .key = COUNTER, .by = 1};
    uint64_t id;
    atomic_store(&server->is_mute, true);
    assert_int_equal(minikv_start(tally.kv, &request, on_done, &tally, &id), MINIKV_OK);

    assert_true(minikv_cancel(tally.kv, id));

    assert_int_equal(tally.cancelled_count, 1);
    assert_false(minikv_cancel(tally.kv, id));
    assert_false(minikv_cancel(tally.kv, id + 1));
    minikv_close(tally.kv);
    assert_int_equal(tally.done_count, 1);
    drop_toy(server);
}

static void closing_while_busy_calls_every_callback_and_takes_no_longer_than_it_says(void **state)
{
    (void)state;
    struct toy_server *server = toy_start(0);
    struct tally tally = {.kv = open_at(server->endpoint, NULL)};
    struct minikv_result result;
    struct timespec before, after;
    assert_int_equal(minikv_incr(tally.kv, COUNTER, 1, &result), MINIKV_OK); /* a session */
    minikv_result_release(&result);
    atomic_store(&server->is_mute, true);
    start_many(&tally, 100);
    (void)clock_gettime(CLOCK_MONOTONIC, &before);

    minikv_close(tally.kv);

    (void)clock_gettime(CLOCK_MONOTONIC, &after);
    assert_int_equal(tally.cancelled_count, 100);
    assert_true((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 <
                3000); /* the requests' time is 5 s */
    drop_toy(server);
}

static void every_code_has_a_name(void **state)
{
    (void)state;
    for (int code = MINIKV_OK; code <= MINIKV_HELD; code++)
        assert_string_not_equal(minikv_code_name((enum minikv_code)code), "?");
    assert_string_equal(minikv_code_name((enum minikv_code)99), "?");
    assert_non_null(minikv_version());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endpoints_are_checked_before_anything_is_sent),
        cmocka_unit_test(a_request_out_of_range_is_invalid_and_says_how),
        cmocka_unit_test(writes_and_reads_give_what_the_server_said),
        cmocka_unit_test(a_server_that_hangs_up_after_every_third_write_costs_nothing_but_time),
        cmocka_unit_test(nobody_at_the_endpoint_is_unavailable_and_not_applied),
        cmocka_unit_test(a_name_is_resolved_and_each_of_its_addresses_tried),
        cmocka_unit_test(a_mute_server_leaves_a_write_unknown_at_the_deadline),
        cmocka_unit_test(a_connection_that_the_server_closed_while_idle_is_no_loss),
        cmocka_unit_test(a_redirect_is_reported_and_followed_with_the_same_sequence),
        cmocka_unit_test(the_outcome_of_a_write_is_told_as_its_own_result),
        cmocka_unit_test(eight_threads_share_one_connection),
        cmocka_unit_test(eight_threads_get_exact_answers_though_the_server_hangs_up),
        cmocka_unit_test(a_loop_of_the_callers_own_carries_a_thousand_requests_at_once),
        cmocka_unit_test(a_start_in_another_thread_wakes_the_poller),
        cmocka_unit_test(a_cancelled_request_ends_at_once_and_once),
        cmocka_unit_test(closing_while_busy_calls_every_callback_and_takes_no_longer_than_it_says),
        cmocka_unit_test(every_code_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
