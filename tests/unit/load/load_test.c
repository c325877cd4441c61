/* Load on a real socket, held against the books of the server at the other end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "load_server.h"

#define SECOND_NS UINT64_C(1000000000)

static struct load_server server, other;
static struct template put, get;
static struct load_result result;
static struct load_target targets[2];
static struct errtext error;

static int set_up(void **state)
{
    (void)state;
    struct template_text text = {
        .host = "h:1",
        .method = "PUT",
        .path = "/v1/kv/%k",
        .headers = {"X-MiniKV-Client-Id: bench-%c", "X-MiniKV-Sequence: %s"},
        .headers_count = 2,
        .body = "%v",
        .value_bytes = 100};
    memset(&server, 0, sizeof server);
    memset(&other, 0, sizeof other);
    if (template_render(&put, &text) != ST_OK)
        return 1;
    text = (struct template_text){.host = "h:1", .method = "GET", .path = "/v1/kv/%k"};
    return template_render(&get, &text) != ST_OK;
}

static int tear_down(void **state)
{
    (void)state;
    template_release(&put);
    template_release(&get);
    return 0;
}

/* Puts at one server, until something ends it: no time limit that a slow machine could meet. */
static struct load_plan plan_for(uint64_t requests_max)
{
    targets[0] = server.target;
    targets[1] = other.target;
    return (struct load_plan){.targets = targets,
                              .targets_count = 1,
                              .primaries_count = 1,
                              .kinds = {{&put, true}, {&get, false}},
                              .kinds_count = 1,
                              .connections_count = 4,
                              .pipeline = 1,
                              .keys_count = 1000,
                              .requests_max = requests_max,
                              .run_ns = 600 * SECOND_NS,
                              .timeout_ns = 60 * SECOND_NS,
                              .waits_at_end = true};
}

static uint64_t good(void)
{
    return result.latencies[0].count + result.latencies[1].count;
}

static uint64_t error_count(const char *word, enum effect effect)
{
    for (size_t i = 0; i < result.errors.count; i++)
        if (strcmp(result.errors.errors[i].word, word) == 0 &&
            result.errors.errors[i].effect == effect)
            return result.errors.errors[i].count;
    return 0;
}

static void as_many_requests_are_sent_as_were_asked_for_and_no_more(void **state)
{
    (void)state;
    server_start(&server);
    struct load_plan plan = plan_for(1001);

    assert_true(load_run(&plan, &result, &error));
    server_stop(&server);

    assert_int_equal(server.requests, 1001);
    assert_int_equal(result.sent_count, 1001);
    assert_int_equal(result.all_count, 1001);
    assert_int_equal(good(), 1001);
    assert_int_equal(server.connections_count, 4);
    assert_int_equal(server.open_max, 1);
    assert_int_equal(result.lost_count + result.failed_count + result.bad_count, 0);
    assert_false(server.has_duplicate);
    assert_int_equal(result.target_counts[0], 1001);
}

static void sequential_keys_come_once_each(void **state)
{
    (void)state;
    server_start(&server);
    struct load_plan plan = plan_for(1000);
    plan.is_sequential = true;
    plan.pipeline = 7;

    assert_true(load_run(&plan, &result, &error));
    server_stop(&server);

    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(server.keys[i], 1);
    assert_int_equal(good(), 1000);
}

static void so_many_are_under_way_on_a_connection_as_the_pipeline_says(void **state)
{
    (void)state;
    server.stall_after = 1; /* what has been sent meanwhile comes together */
    server.stall_ms = 100;
    server_start(&server);
    struct load_plan plan = plan_for(5000);
    plan.pipeline = 32;
    plan.connections_count = 1;

    assert_true(load_run(&plan, &result, &error));
    server_stop(&server);

    assert_int_equal(server.requests, 5000);
    assert_int_equal(good(), 5000);
    assert_in_range(server.open_max, 2, 32);
    assert_false(server.has_duplicate);
}

static void requests_that_fill_the_socket_leave_when_there_is_room(void **state)
{
    (void)state;
    struct template_text text = {
        .host = "h:1", .method = "PUT", .path = "/v1/kv/%k", .body = "%v", .value_bytes = 60000};
    template_release(&put);
    assert_int_equal(template_render(&put, &text), ST_OK);
    server.stall_after = 1;
    server.stall_ms = 100;
    server_start(&server);
    struct load_plan plan = plan_for(700);
    plan.pipeline = 128;
    plan.connections_count = 2;

    assert_true(load_run(&plan, &result, &error));
    server_stop(&server);

    assert_int_equal(server.requests, 700);
    assert_int_equal(good(), 700);
    assert_int_equal(result.lost_count, 0);
}

static void refusals_are_counted_apart_by_their_word(void **state)
{
    (void)state;
    server.refuse_every = 10;
    server_start(&server);
    struct load_plan plan = plan_for(1000);

    assert_true(load_run(&plan, &result, &error));
    server_stop(&server);

    assert_int_equal(server.refused, 100);
    assert_int_equal(result.bad_count, 100);
    assert_int_equal(good(), 900);
    assert_int_equal(error_count("busy", EFFECT_NONE), 100);
    assert_non_null(strstr(result.first_bad, "urn:minikv:busy"));
}

static void a_lost_connection_goes_on_and_what_was_under_way_may_have_happened(void **state)
{
    (void)state;
    server.hang_up_every = 100;
    server_start(&server);
    struct load_plan plan = plan_for(1000);

    assert_true(load_run(&plan, &result, &error));
    server_stop(&server);

    assert_int_equal(server.requests, 1000); /* none of them twice */
    assert_int_equal(server.hung_up, 10);
    assert_int_equal(result.lost_count, 10);
    assert_int_equal(result.failed_count, 10);
    assert_int_equal(error_count(LOAD_WORD_LOST, EFFECT_MAYBE), 10);
    assert_int_equal(good(), 990);
    assert_int_equal(result.moved_count, 0);
    assert_false(server.has_duplicate);
}

static void of_a_read_that_is_lost_it_is_certain_that_nothing_happened(void **state)
{
    (void)state;
    server.hang_up_every = 50;
    server_start(&server);
    struct load_plan plan = plan_for(100);
    plan.kinds[0] = (struct load_kind){&get, false};

    assert_true(load_run(&plan, &result, &error));
    server_stop(&server);

    assert_int_equal(error_count(LOAD_WORD_LOST, EFFECT_NONE), 2);
    assert_int_equal(load_errors_total(&result.errors, EFFECT_MAYBE), 0);
}

static void when_a_target_is_gone_its_connections_go_on_at_the_next(void **state)
{
    (void)state;
    server.hang_up_every = 200;
    server.closes_listener = true;
    server_start(&server);
    server_start(&other);
    struct load_plan plan = plan_for(2000);
    plan.targets_count = 2;
    plan.connections_count = 1; /* so that all of the server is gone */

    assert_true(load_run(&plan, &result, &error));
    server_stop(&server);
    server_stop(&other);

    assert_int_equal(server.requests, 200);
    assert_int_equal(other.requests, 1800);
    assert_int_equal(result.moved_count, 1);
    assert_int_equal(result.target_counts[0], 199);
    assert_int_equal(result.target_counts[1], 1800);
}

/* As a proxy whose server has gone, or a process that is just being killed. */
static void a_target_that_takes_connections_and_hangs_up_is_gone_too(void **state)
{
    (void)state;
    server.hang_up_every = 1;
    server_start(&server);
    server_start(&other);
    struct load_plan plan = plan_for(100);
    plan.targets_count = 2;
    plan.connections_count = 3;

    assert_true(load_run(&plan, &result, &error));
    server_stop(&server);
    server_stop(&other);

    assert_int_equal(server.requests, 3);
    assert_int_equal(other.requests, 97);
    assert_int_equal(result.moved_count, 3);
}

static void a_load_that_stays_ends_when_its_target_is_gone(void **state)
{
    (void)state;
    server.hang_up_every = 200;
    server.closes_listener = true;
    server_start(&server);
    struct load_plan plan = plan_for(2000);
    plan.stays = true;
    plan.connections_count = 1;

    assert_false(load_run(&plan, &result, &error));
    server_stop(&server);

    assert_non_null(strstr(error.text, "connect: "));
    assert_int_equal(good(), 199);
}

static void without_an_answer_in_time_a_request_is_given_up(void **state)
{
    (void)state;
    server.mute_after = 10;
    server_start(&server);
    struct load_plan plan = plan_for(14);
    plan.timeout_ns = SECOND_NS / 5;

    assert_true(load_run(&plan, &result, &error));
    server_stop(&server);

    assert_int_equal(good() + result.failed_count, 14);
    assert_true(good() <= 10);
    assert_int_equal(error_count(LOAD_WORD_SILENT, EFFECT_MAYBE), result.failed_count);
}

/* The share is drawn: of 10000 with 80 %, 150 more or less would be four standard deviations. */
static void a_mix_has_both_kinds_in_their_shares(void **state)
{
    (void)state;
    server_start(&server);
    struct load_plan plan = plan_for(10000);
    plan.kinds_count = 2;
    plan.first_percent = 80;
    plan.pipeline = 16;

    assert_true(load_run(&plan, &result, &error));
    server_stop(&server);

    assert_int_equal(server.puts + server.gets, 10000);
    assert_in_range(server.puts, 7850, 8150);
    assert_int_equal(result.latencies[0].count, server.puts);
    assert_int_equal(result.latencies[1].count, server.gets);
}

/* Twenty requests become due in the half second that the server stands still for; all must be late,
 * not just the one that it stood still in. */
static void with_a_rate_all_that_a_stall_delays_is_late(void **state)
{
    (void)state;
    server.stall_after = 20;
    server.stall_ms = 500;
    server_start(&server);
    struct load_plan plan = plan_for(60);
    plan.rate = 40;
    plan.connections_count = 1;

    assert_true(load_run(&plan, &result, &error));
    server_stop(&server);

    const struct histogram *latency = &result.latencies[0];
    uint64_t late = latency->count - histogram_count_below(latency, 20 * 1000 * 1000);
    assert_int_equal(latency->count, 60);
    assert_true(late >= 15);
    assert_true(latency->max >= 490 * UINT64_C(1000000));
    assert_true(result.seconds >= 59.0 / 40 - 0.001);
}

static bool stop_at_once(void *ctx, const struct load_result *so_far, uint64_t age_ns)
{
    (void)so_far;
    *(uint64_t *)ctx = age_ns;
    return false;
}

static void a_run_that_is_stopped_has_what_was_measured_by_then(void **state)
{
    (void)state;
    uint64_t stopped_ns = 0;
    server_start(&server);
    struct load_plan plan = plan_for(0);
    plan.on_tick = stop_at_once;
    plan.ctx = &stopped_ns;

    assert_true(load_run(&plan, &result, &error));
    server_stop(&server);

    assert_true(stopped_ns >= LOAD_TICK_NS);
    assert_true(good() > 0);
    assert_int_equal(good(), server.answered); /* those under way have been waited for */
    assert_true(result.seconds > 0.09 && result.seconds < 60);
}

static void what_a_rate_had_no_connection_for_is_told(void **state)
{
    (void)state;
    server.mute_after = 10;
    server_start(&server);
    struct load_plan plan = plan_for(0);
    plan.rate = 1000;
    plan.connections_count = 2;
    plan.run_ns = SECOND_NS;
    plan.timeout_ns = 3 * SECOND_NS / 2;

    assert_true(load_run(&plan, &result, &error));
    server_stop(&server);

    assert_int_equal(good(), 10);
    assert_int_equal(result.failed_count, 2);
    assert_in_range(result.unsent_count, 987, 989);
}

static void nobody_there_is_said_at_once(void **state)
{
    (void)state;
    server_start(&server);
    struct load_plan plan = plan_for(10);
    server_stop(&server);

    assert_false(load_run(&plan, &result, &error));

    assert_non_null(strstr(error.text, "connect: "));
    assert_int_equal(result.sent_count, 0);
}

static void more_memory_than_allowed_is_refused(void **state)
{
    (void)state;
    struct template_text text = {
        .host = "h:1", .method = "PUT", .path = "/", .body = "%v", .value_bytes = MIB};
    template_release(&put);
    assert_int_equal(template_render(&put, &text), ST_OK);
    struct load_plan plan = plan_for(10);
    plan.connections_count = 512;
    plan.pipeline = 2;

    assert_false(load_run(&plan, &result, &error));

    assert_non_null(strstr(error.text, "memory"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(as_many_requests_are_sent_as_were_asked_for_and_no_more),
        TEST(sequential_keys_come_once_each),
        TEST(so_many_are_under_way_on_a_connection_as_the_pipeline_says),
        TEST(requests_that_fill_the_socket_leave_when_there_is_room),
        TEST(refusals_are_counted_apart_by_their_word),
        TEST(a_lost_connection_goes_on_and_what_was_under_way_may_have_happened),
        TEST(of_a_read_that_is_lost_it_is_certain_that_nothing_happened),
        TEST(when_a_target_is_gone_its_connections_go_on_at_the_next),
        TEST(a_target_that_takes_connections_and_hangs_up_is_gone_too),
        TEST(a_load_that_stays_ends_when_its_target_is_gone),
        TEST(without_an_answer_in_time_a_request_is_given_up),
        TEST(a_mix_has_both_kinds_in_their_shares),
        TEST(with_a_rate_all_that_a_stall_delays_is_late),
        TEST(a_run_that_is_stopped_has_what_was_measured_by_then),
        TEST(what_a_rate_had_no_connection_for_is_told),
        TEST(nobody_there_is_said_at_once),
        TEST(more_memory_than_allowed_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
