/* The routing decision over all of its inputs: 2 policies, 6 leaders, 16 flag combinations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "route/route.h"

enum { COMBINATIONS = 2 * 6 * 16 };

static struct route_input combination(unsigned n)
{
    return (struct route_input){
        .policy = n % 2 ? ROUTE_REDIRECT : ROUTE_FORWARD,
        .leader = (enum route_leader)(n / 2 % 6),
        .is_forwarded = n / 12 & 1,
        .is_internal = n / 12 & 2,
        .is_expired = n / 12 & 4,
        .is_stopping = n / 12 & 8,
    };
}

static bool another_leads(const struct route_input *input)
{
    return input->leader == ROUTE_LEADER_ANNOUNCED || input->leader == ROUTE_LEADER_SILENT ||
           input->leader == ROUTE_LEADER_UNANNOUNCED;
}

static void a_forwarded_request_is_never_passed_on(void **state)
{
    for (unsigned n = 0; n < COMBINATIONS; n++) {
        struct route_input input = combination(n);
        enum route_decision decision = route_decide(&input);
        if (!input.is_forwarded)
            continue;

        assert_int_not_equal(decision, ROUTE_SEND);
        assert_int_not_equal(decision, ROUTE_POINT);
        assert_int_not_equal(decision, ROUTE_HOLD);
        if (another_leads(&input))
            assert_int_equal(decision, ROUTE_REFUSE_FORWARDED);
    }
}

static void only_the_leader_proposes_and_it_always_does(void **state)
{
    for (unsigned n = 0; n < COMBINATIONS; n++) {
        struct route_input input = combination(n);
        bool is_local = route_decide(&input) == ROUTE_LOCAL;
        assert_int_equal(is_local, input.leader == ROUTE_LEADER_SELF);
    }
}

static void a_redirect_is_never_held_and_points_only_to_an_announced_leader(void **state)
{
    for (unsigned n = 0; n < COMBINATIONS; n++) {
        struct route_input input = combination(n);
        enum route_decision decision = route_decide(&input);
        if (decision == ROUTE_POINT) {
            assert_int_equal(input.leader, ROUTE_LEADER_ANNOUNCED);
            assert_int_equal(input.policy, ROUTE_REDIRECT);
        }
        if (input.policy == ROUTE_REDIRECT)
            assert_int_not_equal(decision, ROUTE_HOLD);
    }
}

static void nothing_is_held_longer_than_it_may_be(void **state)
{
    for (unsigned n = 0; n < COMBINATIONS; n++) {
        struct route_input input = combination(n);
        if (input.is_expired)
            assert_int_not_equal(route_decide(&input), ROUTE_HOLD);
    }
}

/* Else every hand-over of a node that stops would refuse what came in its few milliseconds. */
static void a_node_that_stops_holds_what_another_would_hold(void **state)
{
    for (unsigned n = 0; n < COMBINATIONS; n++) {
        struct route_input input = combination(n);
        input.is_stopping = false;
        bool is_held = route_decide(&input) == ROUTE_HOLD;
        input.is_stopping = true;
        assert_int_equal(route_decide(&input) == ROUTE_HOLD, is_held);
    }
}

static void clients_are_passed_on_only_to_a_leader_that_announced_itself(void **state)
{
    for (unsigned n = 0; n < COMBINATIONS; n++) {
        struct route_input input = combination(n);
        if (route_decide(&input) == ROUTE_SEND && !input.is_internal)
            assert_int_equal(input.leader, ROUTE_LEADER_ANNOUNCED);
    }
}

static void the_table_of_the_specification(void **state)
{
    static const struct {
        struct route_input input;
        enum route_decision wanted;
    } rows[] = {
        {{.leader = ROUTE_LEADER_ANNOUNCED}, ROUTE_SEND},
        {{.leader = ROUTE_LEADER_ANNOUNCED, .policy = ROUTE_REDIRECT}, ROUTE_POINT},
        {{.leader = ROUTE_LEADER_UNANNOUNCED}, ROUTE_REFUSE_UNANNOUNCED},
        {{.leader = ROUTE_LEADER_UNANNOUNCED, .is_internal = true}, ROUTE_SEND},
        {{.leader = ROUTE_LEADER_SILENT}, ROUTE_HOLD},
        {{.leader = ROUTE_LEADER_SILENT, .is_expired = true}, ROUTE_REFUSE_UNANNOUNCED},
        {{.leader = ROUTE_LEADER_SILENT, .policy = ROUTE_REDIRECT}, ROUTE_REFUSE_UNANNOUNCED},
        {{.leader = ROUTE_LEADER_UNKNOWN}, ROUTE_HOLD},
        {{.leader = ROUTE_LEADER_UNKNOWN, .is_expired = true}, ROUTE_REFUSE_NO_LEADER},
        {{.leader = ROUTE_LEADER_UNKNOWN, .policy = ROUTE_REDIRECT}, ROUTE_REFUSE_NO_LEADER},
        {{.leader = ROUTE_LEADER_UNKNOWN, .is_stopping = true}, ROUTE_HOLD},
        {{.leader = ROUTE_LEADER_UNKNOWN, .is_stopping = true, .is_expired = true},
         ROUTE_REFUSE_STOPPING},
        {{.leader = ROUTE_LEADER_TRANSFERRING}, ROUTE_HOLD},
        {{.leader = ROUTE_LEADER_TRANSFERRING, .is_expired = true}, ROUTE_REFUSE_NO_LEADER},
        {{.leader = ROUTE_LEADER_TRANSFERRING, .is_stopping = true}, ROUTE_HOLD},
        {{.leader = ROUTE_LEADER_ANNOUNCED, .is_forwarded = true}, ROUTE_REFUSE_FORWARDED},
        {{.leader = ROUTE_LEADER_SELF, .is_forwarded = true}, ROUTE_LOCAL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(route_decision_name(route_decide(&rows[i].input)),
                            route_decision_name(rows[i].wanted));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_forwarded_request_is_never_passed_on),
        cmocka_unit_test(only_the_leader_proposes_and_it_always_does),
        cmocka_unit_test(a_redirect_is_never_held_and_points_only_to_an_announced_leader),
        cmocka_unit_test(nothing_is_held_longer_than_it_may_be),
        cmocka_unit_test(a_node_that_stops_holds_what_another_would_hold),
        cmocka_unit_test(clients_are_passed_on_only_to_a_leader_that_announced_itself),
        cmocka_unit_test(the_table_of_the_specification),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
