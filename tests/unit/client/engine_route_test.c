/* Where calls go when nodes do badly; what the simulator has found is here as well. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/client/engine_rig.h"

/* A tick that asks for another one at the same time keeps a processor busy for nothing. */
static void assert_waits(const struct rig *rig)
{
    assert_true(engine_next_tick(rig->engine) > rig->now);
}

static void a_stale_read_waits_for_an_endpoint_though_a_leader_is_known(void **state)
{
    struct rig rig;
    struct minikv_request stale = {.op = MINIKV_GET, .key = minikv_text("a"), .is_stale = true};
    rig_open(&rig, 1, true, false);
    rig_put(&rig, "a");
    rig_accept(&rig, 0);
    (void)rig_output(&rig, 0);
    rig_redirect(&rig, 0, 8009, 6); /* the leader is none of the endpoints, and goes on */
    (void)rig_start(&rig, &stale, NULL, "stale");
    assert_non_null(strstr(rig_output(&rig, 0), "consistency=stale"));

    rig_lose(&rig, 0);
    engine_tick(rig.engine, rig.now);

    assert_waits(&rig);
    rig_wait(&rig, 30);
    assert_true(rig_is_dialling(&rig, 0));
    rig_close(&rig);
}

/* Two nodes are cut off from the others together, and hold what they are asked for nearly as long
 * as a call lasts. */
static void calls_get_past_several_nodes_that_cannot_serve_them(void **state)
{
    struct rig rig;
    rig_open(&rig, 3, false, false);
    rig_put(&rig, "a");
    for (size_t at = 0; at < 2; at++) {
        rig_accept(&rig, at);
        (void)rig_output(&rig, at);
        rig_wait(&rig, 2480);
        rig_refuse(&rig, at, NO_LEADER, "none", "no-leader", "");
    }
    assert_ended(&rig, MINIKV_UNAVAILABLE, MINIKV_NOT_APPLIED);
    rig_wait(&rig, 1000); /* both may be asked again by now */

    rig_put(&rig, "b");

    rig_accept(&rig, 2);
    assert_non_null(strstr(rig_output(&rig, 2), "PUT /v1/kv/b "));
    rig_close(&rig);
}

static uint64_t start_poll(struct rig *rig, const char *target)
{
    struct minikv_request poll = {
        .op = MINIKV_CALL, .method = "GET", .target = target, .is_repeatable = true};
    return rig_start(rig, &poll, NULL, target);
}

/* Answers come in the order of requests: behind a long poll everything would wait for it. */
static void a_long_poll_has_a_connection_of_its_own(void **state)
{
    struct rig rig;
    rig_open(&rig, 1, false, false);
    uint64_t first = start_poll(&rig, "/v1/watch?key=a&poll_ms=2000");
    rig_accept(&rig, ENGINE_ASIDE);
    assert_non_null(strstr(rig_output(&rig, ENGINE_ASIDE), "GET /v1/watch?key=a"));

    rig_put(&rig, "b");
    (void)start_poll(&rig, "/v1/watch?key=c&poll_ms=2000");

    rig_accept(&rig, 0);
    assert_non_null(strstr(rig_output(&rig, 0), "PUT /v1/kv/b "));
    rig_accept(&rig, ENGINE_ASIDE + 1);
    assert_non_null(strstr(rig_output(&rig, ENGINE_ASIDE + 1), "key=c"));
    assert_true(engine_cancel(rig.engine, rig.now, first));
    rig_close(&rig);
}

/* And never one with requests that are answered at once. */
static void long_polls_beyond_the_connections_for_them_share_these(void **state)
{
    struct rig rig;
    rig_open(&rig, 1, false, false);
    for (size_t i = 0; i < 2 * (size_t)ENGINE_ASIDES; i++)
        (void)start_poll(&rig, "/v1/watch?key=a&poll_ms=2000");

    assert_false(rig_is_dialling(&rig, 0));
    for (size_t i = 0; i < ENGINE_ASIDES; i++) {
        rig_accept(&rig, ENGINE_ASIDE + i);
        const char *first = strstr(rig_output(&rig, ENGINE_ASIDE + i), "GET /v1/watch?key=a");
        assert_non_null(first);
        const char *second = strstr(first + 1, "GET /v1/watch?key=a");
        assert_non_null(second);
        assert_null(strstr(second + 1, "GET /v1/watch?key=a"));
    }
    rig_close(&rig);
}

/* Or it would be tried again at once, for ever. */
static void a_node_that_refuses_a_long_poll_is_passed_over_like_any_other(void **state)
{
    struct rig rig;
    rig_open(&rig, 2, false, false);
    (void)start_poll(&rig, "/v1/watch?key=a&poll_ms=2000");
    assert_true(rig_is_dialling(&rig, ENGINE_ASIDE));

    engine_lost(rig.engine, rig.now, ENGINE_ASIDE, false, "refused");
    struct engine_link link;
    size_t at = ENGINE_ASIDE;
    do
        engine_link(rig.engine, at, &link);
    while (link.state != ENGINE_LINK_DIALLING && ++at < ENGINE_CHANNELS);

    assert_true(at < ENGINE_CHANNELS);
    assert_int_equal(link.address.port, 8002);
    engine_lost(rig.engine, rig.now, at, false, "refused");
    assert_waits(&rig);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_long_poll_has_a_connection_of_its_own),
        cmocka_unit_test(long_polls_beyond_the_connections_for_them_share_these),
        cmocka_unit_test(a_node_that_refuses_a_long_poll_is_passed_over_like_any_other),
        cmocka_unit_test(a_stale_read_waits_for_an_endpoint_though_a_leader_is_known),
        cmocka_unit_test(calls_get_past_several_nodes_that_cannot_serve_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
