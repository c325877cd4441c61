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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stale_read_waits_for_an_endpoint_though_a_leader_is_known),
        cmocka_unit_test(calls_get_past_several_nodes_that_cannot_serve_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
