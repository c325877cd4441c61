/* Rolling restarts: all restart in turn, told to stop or killed, and who refuses what it could hold
 * meanwhile is found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "sim/swarm/fleet.h"
#include "sim/swarm/members.h"

enum { SEEDS = 8 };

static struct fleet_case calm_case(uint64_t seed)
{
    struct fleet_case run = {seed, {.nodes_count = 3, .duration = 30000 * TIME_US_PER_MS}};
    run.pins.has_faults = true;
    run.pins.faults = 1u << FAULT_ROLLING;
    return run;
}

static struct swarm *new_swarm(uint64_t seed, bool kills)
{
    static struct trace trace;
    struct fleet_case run = calm_case(seed);
    struct plan plan;
    plan_draw(&plan, run.seed, &run.pins);
    plan.rolling_kills = kills;
    trace = (struct trace){.keeps = true};
    return swarm_new(&plan, &trace);
}

static bool is_line(const struct trace_event *event, enum trace_kind kind, const char *text)
{
    return event->kind == kind && strcmp(event->text, text) == 0;
}

/* Of machines that were stopped, and not yet on again, the highest number at once; and how often
 * each was stopped in this way. */
static unsigned count_stops(const struct swarm *swarm, const char *text, unsigned *stops)
{
    unsigned away = 0, away_max = 0;
    for (size_t i = 0; i < swarm->trace.events_count; i++) {
        const struct trace_event *event = &swarm->trace.events[i];
        if (event->kind == TRACE_BOOT && event->at > TIME_US_PER_MS * 1000)
            away--;
        if (event->kind != TRACE_STOP)
            continue;
        away++;
        away_max = MAX(away_max, away);
        stops[event->machine] += is_line(event, TRACE_STOP, text);
    }
    return away_max;
}

static void expect_all_restart_in_turn(bool kills, const char *text, unsigned stops_min)
{
    unsigned stops_sum = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        unsigned stops[PLAN_NODES_MAX + 1] = {0};
        struct swarm *swarm = new_swarm(seed, kills);

        enum verdict verdict = swarm_play(swarm);

        assert_int_equal(verdict, VERDICT_PASS);
        assert_in_range(count_stops(swarm, text, stops), 0, 1);
        for (unsigned i = 1; i <= 3; i++)
            stops_sum += stops[i];
        swarm_free(swarm);
    }
    assert_true(stops_sum >= stops_min);
}

static void all_are_told_to_stop_one_after_the_other(void **state)
{
    expect_all_restart_in_turn(false, "has stopped, as it was told", SEEDS * 3);
}

static void all_are_killed_one_after_the_other(void **state)
{
    expect_all_restart_in_turn(true, "is killed, to be started again", SEEDS);
}

/* ---- what is found ---- */

/* A run that is over, its nodes still on; and a request that node 1 answers in this way. */
static const char *answer_in_calm(struct node_request request, enum status status, time_us waited)
{
    static char oracle[32];
    struct swarm *swarm = new_swarm(1, false);
    assert_int_equal(swarm_play(swarm), VERDICT_PASS);
    swarm->is_healing = false;
    swarm->plan.hold = 2000 * TIME_US_PER_MS;
    time_us now = world_now_at(swarm->world, 1);
    struct operation operation = {.request = request,
                                  .swarm = swarm,
                                  .kind = OPERATION_ANNOUNCE,
                                  .at = 1,
                                  .asked_at = now - waited,
                                  .is_calm = true};
    operation.request.deadline = now + 1000 * TIME_US_PER_MS;
    struct node_answer answer = {.status = status, .effect = status_info(status)->effect};
    buf_init(&operation.command, 64);
    swarm->open_count++;
    swarm->sites[1].open_count++;

    answers_on_done(&operation, &answer);

    bool is_violated = swarm_is_violated(swarm);
    (void)snprintf(oracle, sizeof oracle, "%s", is_violated ? swarm->violation.oracle : "");
    swarm_free(swarm);
    return oracle;
}

static const struct node_request forwarded = {.kind = NODE_WRITE, .policy = ROUTE_FORWARD},
                                 redirected = {.kind = NODE_WRITE, .policy = ROUTE_REDIRECT};

static void who_refuses_what_it_may_hold_is_found(void **state)
{
    assert_string_equal(answer_in_calm(forwarded, ST_NO_LEADER, 0), "held, not refused");
    assert_string_equal(answer_in_calm(redirected, ST_NO_LEADER, 0), "");
}

static void who_is_told_to_stop_and_refuses_or_does_not_know_is_found(void **state)
{
    assert_string_equal(answer_in_calm(forwarded, ST_OK, 0), "");
    assert_string_equal(answer_in_calm(forwarded, ST_SHUTTING_DOWN, 0), "held, not refused");
    assert_string_equal(answer_in_calm(forwarded, ST_LINK_LOST, 0), "held, not refused");
    assert_string_equal(answer_in_calm(redirected, ST_SHUTTING_DOWN, 0), "");
}

/* ---- disks that lie ---- */

/* A node that starts on such a disk says so, unless nothing could show it; and never does a cluster
 * lose by it. */
static void a_write_that_was_lost_is_noticed(void **state)
{
    unsigned noticed_count = 0, struck_count = 0;
    for (uint64_t seed = 1; seed <= 24; seed++) {
        struct fleet_case run = calm_case(seed);
        struct trace trace = {.keeps = true};
        struct plan plan;
        run.pins.nodes_count = 5;
        run.pins.faults = 1u << FAULT_LOST_WRITE | 1u << FAULT_CRASH | 1u << FAULT_TORN;
        plan_draw(&plan, run.seed, &run.pins);
        plan.fault_every[FAULT_LOST_WRITE] = 5000 * TIME_US_PER_MS;
        struct swarm *swarm = swarm_new(&plan, &trace);

        enum verdict verdict = swarm_play(swarm);

        if (verdict != VERDICT_PASS)
            fail_msg("seed %llu: %s: %s", (unsigned long long)seed, swarm->violation.oracle,
                     swarm->violation.text);
        struck_count += swarm->totals.faults[FAULT_LOST_WRITE] > 0;
        for (size_t i = 0; i < swarm->trace.events_count; i++) {
            const struct trace_event *event = &swarm->trace.events[i];
            noticed_count +=
                event->kind == TRACE_STOP && strstr(event->text, "does not start") != NULL;
        }
        swarm_free(swarm);
    }
    assert_true(struck_count > 12);
    assert_true(noticed_count > 0);
}

int main(void)
{
    diag_set_level(DIAG_NOTHING);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_are_told_to_stop_one_after_the_other),
        cmocka_unit_test(all_are_killed_one_after_the_other),
        cmocka_unit_test(who_refuses_what_it_may_hold_is_found),
        cmocka_unit_test(who_is_told_to_stop_and_refuses_or_does_not_know_is_found),
        cmocka_unit_test(a_write_that_was_lost_is_noticed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
