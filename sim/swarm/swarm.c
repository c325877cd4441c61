/* A run: faults and load for a while, then none, and what must hold in each. */
#include "sim/swarm/swarm.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "sim/swarm/customer.h"
#include "sim/swarm/data.h"
#include "sim/swarm/members.h"

void swarm_violate(struct swarm *swarm, enum verdict verdict, const char *oracle,
                   const char *format, ...)
{
    struct violation *violation = &swarm->violation;
    if (violation->verdict != VERDICT_PASS)
        return;
    *violation =
        (struct violation){.verdict = verdict, .oracle = oracle, .at = world_now(swarm->world)};
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(violation->text, sizeof violation->text, format, arguments);
    va_end(arguments);
    swarm_note(swarm, TRACE_VIOLATION, 0, 0, 0, 0, "%s: %s", oracle, violation->text);
}

void swarm_note(struct swarm *swarm, enum trace_kind kind, unsigned machine, unsigned other,
                uint64_t a, uint64_t b, const char *format, ...)
{
    struct trace_event event = {.at = world_now(swarm->world),
                                .kind = kind,
                                .machine = machine,
                                .other = other,
                                .a = a,
                                .b = b};
    event.text[0] = '\0';
    if (trace_wants_text(&swarm->trace)) {
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(event.text, sizeof event.text, format, arguments);
        va_end(arguments);
    }
    trace_add(&swarm->trace, &event);
}

bool swarm_one_in(struct prng *prng, unsigned count)
{
    return prng_below(prng, count) == 0;
}

void *swarm_append(void **array, size_t *count, size_t item_bytes)
{
    if ((*count & (*count - 1)) == 0)
        *array = mem_realloc(*array, MAX(*count * 2, (size_t)1) * item_bytes);
    void *item = (char *)*array + (*count)++ * item_bytes;
    memset(item, 0, item_bytes);
    return item;
}

struct swarm *swarm_new(const struct plan *plan, const struct trace *trace)
{
    struct swarm *swarm = mem_alloc(sizeof *swarm);
    struct prng prng;
    swarm->plan = *plan;
    if (trace != NULL)
        swarm->trace = *trace;
    plan_prng(plan->seed, PURPOSE_WORLD, &prng);
    plan_prng(plan->seed, PURPOSE_FAULTS, &swarm->faults);
    plan_prng(plan->seed, PURPOSE_WORK, &swarm->work);
    plan_prng(plan->seed, PURPOSE_CHECKS, &swarm->checks);
    plan_prng(plan->seed, PURPOSE_OPERATORS, &swarm->operators);
    plan_prng(plan->seed, PURPOSE_LATE_FAULTS, &swarm->late);
    struct world_options options = {.seed = prng_next(&prng),
                                    .delay_min = plan->delay_min,
                                    .delay_max = plan->delay_max,
                                    .sync_min = plan->sync_min,
                                    .sync_max = plan->sync_max};
    swarm->world = world_new(&options);
    world_trace(swarm->world, traffic_on_event, swarm);
    chronicle_init(&swarm->chronicle, 2);
    return swarm;
}

static void free_operation(struct operation *operation)
{
    buf_release(&operation->command);
    mem_free(operation);
}

void swarm_free(struct swarm *swarm)
{
    customers_free(swarm->customers);
    for (unsigned i = 1; i <= swarm->plan.nodes_count; i++) {
        struct site *site = &swarm->sites[i];
        if (world_is_on(swarm->world, i))
            world_stop(swarm->world, i, WORLD_STOP_KILL);
        struct node *node = site->node;
        site->node = NULL;
        node_close(node);
        keep_close(site);
        front_close(site);
        truth_release(&site->truth);
        truth_release(&site->truth_wiped);
        lose_release(site);
    }
    world_free(swarm->world);
    for (size_t i = 0; i < swarm->operations_count; i++)
        free_operation(swarm->operations[i]);
    for (size_t i = 0; i < swarm->clients_count; i++)
        mem_free(swarm->clients[i].writes);
    for (size_t i = 0; i < PLAN_KEYS_MAX; i++)
        mem_free(swarm->registers[i].ops);
    mem_free(swarm->operations);
    mem_free(swarm->writes);
    mem_free(swarm->clients);
    mem_free(swarm->questions);
    mem_free(swarm->configs);
    mem_free(swarm->leaders);
    mem_free(swarm->changes);
    data_free(swarm->data);
    mem_free(swarm->flights);
    chronicle_release(&swarm->chronicle);
    trace_release(&swarm->trace);
    mem_free(swarm);
}

uint64_t swarm_digest(const struct swarm *swarm)
{
    return swarm->trace.digest ^ world_digest(swarm->world);
}

/* ---- time ---- */

void swarm_run_until(struct swarm *swarm, time_us until)
{
    for (bool is_first = true; !swarm_is_violated(swarm) && world_step(swarm->world, until);
         is_first = false) {
        swarm->totals.steps++;
        sites_collect(swarm);
        watch_step(swarm, is_first);
        sites_end_stopped(swarm); /* after a look at the last that they did */
    }
}

static time_us next_due(const struct swarm *swarm, time_us end)
{
    time_us next = end;
    for (unsigned i = 1; i <= swarm->plan.nodes_count; i++)
        if (swarm->sites[i].node == NULL && !swarm->sites[i].is_out)
            next = MIN(next, swarm->sites[i].boot_at);
    next = MIN(MIN(next, members_next(swarm)), sites_stop_next(swarm));
    for (size_t i = 0; i < swarm->questions_count; i++)
        if (!swarm->sites[swarm->questions[i].site].is_paused) /* else once it goes on */
            next = MIN(next, swarm->questions[i].at);
    if (!swarm->is_healing)
        next = MIN(MIN(next, MIN(customers_next(swarm->customers), data_next(swarm->data))),
                   MIN(MIN(strike_next(swarm), rolling_next(swarm)), swarm->next_work_at));
    return MAX(next, world_now(swarm->world) + 1);
}

/* Lets time pass, and does what is due on the way. */
static void pass(struct swarm *swarm, time_us end)
{
    while (world_now(swarm->world) < end && !swarm_is_violated(swarm)) {
        swarm_run_until(swarm, next_due(swarm, end));
        if (swarm_is_violated(swarm))
            return;
        sites_stop_due(swarm);
        sites_boot_due(swarm);
        sites_answer_questions(swarm);
        members_due(swarm);
        if (!swarm->is_healing) {
            strike_due(swarm);
            rolling_due(swarm);
            work_due(swarm);
            data_due(swarm->data);
            customers_due(swarm->customers);
        }
        if (swarm_one_in(&swarm->checks, 64))
            watch_closely(swarm);
    }
}

/* ---- the second phase ---- */

/* Of the largest state there is, with its past; sessions and all else are small. */
static uint64_t snapshot_bytes_max(const struct swarm *swarm)
{
    uint64_t bytes_max = 0;
    for (unsigned i = 1; i <= swarm->plan.nodes_count; i++) {
        struct kv_stats stats = {.state_bytes = 0};
        if (swarm->sites[i].node != NULL)
            kv_stats(node_kv(swarm->sites[i].node), &stats);
        bytes_max = MAX(bytes_max, stats.state_bytes + stats.past_bytes);
    }
    return bytes_max + 64 * KIB;
}

/* Where snapshots are slow on purpose, each may have to be taken, and fetched by all the others,
 * one beside the other, and again when it has become old meanwhile. */
time_us swarm_bound(const struct swarm *swarm)
{
    const struct plan *plan = &swarm->plan;
    uint64_t fetched_bytes =
        plan->snapshot_rate != 0 ? 2 * plan->nodes_count * snapshot_bytes_max(swarm) : 0;
    time_us fetched_in = fetched_bytes * 1000 * TIME_US_PER_MS / MAX(plan->snapshot_rate, 1);
    return 10000 * TIME_US_PER_MS + 10 * plan->election + fetched_in;
}

/* Passes time until nobody waits any more. */
static void pass_until_answered(struct swarm *swarm)
{
    time_us end = world_now(swarm->world) + swarm_bound(swarm);
    while (world_now(swarm->world) < end && !swarm_is_violated(swarm) &&
           (swarm->open_count > 0 || !customers_are_quiet(swarm->customers)))
        pass(swarm, world_now(swarm->world) + 10 * TIME_US_PER_MS);
    for (size_t i = 0; i < swarm->operations_count && !swarm_is_violated(swarm); i++) {
        char text[64];
        const struct operation *operation = swarm->operations[i];
        bool is_owed = members_are_owed(swarm, operation->at);
        if (operation->fate == FATE_OPEN && is_owed)
            swarm_violate(swarm, VERDICT_LIVENESS, "everything is answered",
                          "#%u (%s at n%u) has no answer %llu ms after everything healed",
                          operation->number, operation_format(operation, text), operation->at,
                          (unsigned long long)(swarm_bound(swarm) / TIME_US_PER_MS));
    }
    if (!customers_are_quiet(swarm->customers))
        swarm_violate(swarm, VERDICT_LIVENESS, "everything is answered",
                      "a customer has no answer from its library");
}

static bool takes_writes(const struct swarm *swarm, unsigned id, size_t first, bool *out_is_open)
{
    *out_is_open = false;
    for (size_t i = first; i < swarm->operations_count; i++) {
        const struct operation *operation = swarm->operations[i];
        if (operation->at != id)
            continue;
        *out_is_open = *out_is_open || operation->fate == FATE_OPEN;
        if (operation->fate == FATE_APPLIED)
            return true;
    }
    return false;
}

/* Asks again where nobody waits for an answer; false: somebody has not taken a write yet. */
static bool write_everywhere(struct swarm *swarm, size_t first)
{
    bool is_done = true, is_open;
    for (unsigned i = 1; i <= swarm->plan.nodes_count; i++) {
        if (!members_are_owed(swarm, i) || takes_writes(swarm, i, first, &is_open))
            continue;
        is_done = false;
        if (!is_open && swarm->sites[i].node != NULL)
            work_last(swarm, i);
    }
    return is_done;
}

/* A node may refuse while there is no leader; what it must not do is refuse for ever. */
static void pass_until_written(struct swarm *swarm)
{
    time_us end = world_now(swarm->world) + swarm_bound(swarm);
    size_t first = swarm->operations_count;
    bool is_open;
    bool is_done = false;
    while (!is_done && world_now(swarm->world) < end && !swarm_is_violated(swarm)) {
        bool has_nodes = write_everywhere(swarm, first);
        is_done = customers_write_last(swarm->customers) && has_nodes;
        if (!is_done)
            pass(swarm, world_now(swarm->world) + 10 * TIME_US_PER_MS);
    }
    for (unsigned i = 1; i <= swarm->plan.nodes_count; i++)
        if (members_are_owed(swarm, i) && !takes_writes(swarm, i, first, &is_open))
            swarm_violate(swarm, VERDICT_LIVENESS, "every node takes a write",
                          "n%u has taken no write in the %llu ms after everything healed", i,
                          (unsigned long long)(swarm_bound(swarm) / TIME_US_PER_MS));
    customers_expect_last(swarm->customers);
}

/* Equal logs, applied to the end, make equal states. */
static bool has_caught_up(struct swarm *swarm)
{
    raft_index last = chronicle_last(&swarm->chronicle);
    for (unsigned i = 1; i <= swarm->plan.nodes_count; i++)
        if (members_are_owed(swarm, i) &&
            (swarm->sites[i].node == NULL || node_applied(swarm->sites[i].node) < last))
            return false;
    return true;
}

static void pass_until_caught_up(struct swarm *swarm)
{
    time_us end = world_now(swarm->world) + swarm_bound(swarm);
    while (world_now(swarm->world) < end && !has_caught_up(swarm) && !swarm_is_violated(swarm))
        pass(swarm, world_now(swarm->world) + 10 * TIME_US_PER_MS);
    if (!has_caught_up(swarm))
        swarm_violate(swarm, VERDICT_LIVENESS, "everybody catches up",
                      "not all nodes have applied index %llu",
                      (unsigned long long)chronicle_last(&swarm->chronicle));
}

/* Who is healed: all that can be, or a majority of them; while members come and go nobody can say
 * whose majority, so all. */
static void choose_core(struct swarm *swarm)
{
    unsigned count = swarm->plan.nodes_count, chosen = 0;
    unsigned wanted = config_voters_count(members_now(swarm)) / 2 + 1;
    unsigned first = (unsigned)prng_below(&swarm->faults, count);
    swarm->plan.heals_all = swarm->plan.heals_all || !members_are_settled(swarm);
    for (unsigned i = 0; i < count; i++) {
        const struct site *site = &swarm->sites[1 + (first + i) % count];
        bool can_heal = !site->is_lost && !site->may_be_damaged && !site->is_out;
        bool is_wanted = members_has(swarm, site->id) || swarm->plan.heals_all;
        if (!can_heal || !is_wanted || (chosen >= wanted && !swarm->plan.heals_all))
            continue;
        swarm->core |= 1u << site->id;
        chosen += members_has(swarm, site->id);
    }
    INVARIANT(chosen >= wanted);
}

static void pass_until_joined(struct swarm *swarm)
{
    time_us end = world_now(swarm->world) + swarm_bound(swarm);
    while (world_now(swarm->world) < end && members_wait(swarm) && !swarm_is_violated(swarm))
        pass(swarm, world_now(swarm->world) + 10 * TIME_US_PER_MS);
    if (members_wait(swarm))
        swarm_violate(swarm, VERDICT_LIVENESS, "everybody gets a vote",
                      "a healed machine that has asked to join is no voter %llu ms later",
                      (unsigned long long)(swarm_bound(swarm) / TIME_US_PER_MS));
}

/* Nobody keeps them alive any more. */
static void pass_until_leases_end(struct swarm *swarm)
{
    time_us bound = swarm_bound(swarm) + data_lease_bound();
    time_us end = world_now(swarm->world) + bound;
    while (world_now(swarm->world) < end && data_has_leases(swarm) && !swarm_is_violated(swarm))
        pass(swarm, world_now(swarm->world) + 10 * TIME_US_PER_MS);
    if (data_has_leases(swarm))
        swarm_violate(swarm, VERDICT_LIVENESS, "leases end",
                      "a lease that nobody renews is there %llu ms after everything healed",
                      (unsigned long long)(bound / TIME_US_PER_MS));
}

static void recover(struct swarm *swarm)
{
    swarm->is_healing = true;
    choose_core(swarm);
    swarm_note(swarm, TRACE_PHASE, 0, 0, swarm->core, 0,
               swarm->plan.heals_all ? "everything heals" : "a majority heals");
    members_heal(swarm);
    strike_heal(swarm);
    customers_heal(swarm->customers);
    pass(swarm, world_now(swarm->world) + TIME_US_PER_MS); /* who was off is on again */
    pass_until_answered(swarm);
    if (!swarm_is_violated(swarm))
        pass_until_joined(swarm);
    if (swarm_is_violated(swarm))
        return;
    pass_until_written(swarm);
    pass_until_answered(swarm);
    if (swarm->data != NULL && !swarm_is_violated(swarm))
        pass_until_leases_end(swarm);
    pass_until_caught_up(swarm);
}

enum verdict swarm_play(struct swarm *swarm)
{
    swarm_note(swarm, TRACE_PHASE, 0, 0, 0, 0, "%u nodes", swarm->plan.nodes_count);
    sites_open(swarm);
    strike_begin(swarm);
    work_begin(swarm);
    swarm->customers = customers_open(swarm);
    swarm->data = data_open(swarm);
    pass(swarm, world_now(swarm->world) + swarm->plan.duration);
    if (!swarm_is_violated(swarm))
        recover(swarm);
    if (!swarm_is_violated(swarm))
        judge(swarm);
    sites_sum_up(swarm);
    for (unsigned i = 0; i < FAULT_COUNT; i++)
        swarm->totals.faults_count += swarm->totals.faults[i];
    return swarm->violation.verdict;
}
