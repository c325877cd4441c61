#include "sim/swarm/shrink.h"

struct search {
    const struct shrink *shrink;
    struct fleet_case *best;
    unsigned runs_count;
};

static bool fails(struct search *search, const struct fleet_case *run, time_us *out_at)
{
    if (search->runs_count >= search->shrink->runs_max)
        return false;
    search->runs_count++;
    return search->shrink->fails(search->shrink->ctx, run, out_at);
}

/* Nothing that happens behind the failure matters: the time ends there. */
static void accept(struct search *search, const struct fleet_case *run, time_us at)
{
    time_us duration = MAX(at / TIME_US_PER_MS, (time_us)1) * TIME_US_PER_MS;
    *search->best = *run;
    if (at != 0 && duration < run->pins.duration)
        search->best->pins.duration = duration;
    if (search->shrink->on_step != NULL)
        search->shrink->on_step(search->shrink->ctx, search->best);
}

static bool try_pins(struct search *search, const struct plan_pins *pins)
{
    for (unsigned i = 0; i <= search->shrink->neighbours; i++) {
        struct fleet_case run = {search->best->seed + i, *pins};
        time_us at = 0;
        if (fails(search, &run, &at)) {
            accept(search, &run, at);
            return true;
        }
    }
    return false;
}

static bool shrink_nodes(struct search *search)
{
    for (unsigned count = 1; count < search->best->pins.nodes_count; count++) {
        struct plan_pins pins = search->best->pins;
        pins.nodes_count = count;
        if (try_pins(search, &pins))
            return true;
    }
    return false;
}

/* First half of the kinds at once, then one after the other. */
static bool shrink_faults(struct search *search)
{
    uint32_t faults = search->best->pins.faults;
    for (unsigned size = FAULT_COUNT / 2; size > 0; size /= 2) {
        for (unsigned first = 0; first < FAULT_COUNT; first += size) {
            struct plan_pins pins = search->best->pins;
            pins.faults = faults & ~(((1u << size) - 1) << first);
            if (pins.faults != faults && try_pins(search, &pins))
                return true;
        }
    }
    return false;
}

static bool shrink_number(struct search *search, unsigned *number, struct plan_pins *pins)
{
    unsigned before = *number;
    for (unsigned divisor = 4; divisor > 1; divisor /= 2) {
        *number = before / divisor;
        if (*number > 0 && *number < before && try_pins(search, pins))
            return true;
    }
    return false;
}

static bool shrink_time(struct search *search)
{
    struct plan_pins pins = search->best->pins;
    pins.duration = pins.duration * 2 / 3 / TIME_US_PER_MS * TIME_US_PER_MS;
    return pins.duration > 0 && try_pins(search, &pins);
}

static bool step(struct search *search)
{
    struct plan_pins operations = search->best->pins, clients = search->best->pins;
    return shrink_faults(search) || shrink_nodes(search) ||
           shrink_number(search, &operations.operations_max, &operations) ||
           shrink_number(search, &clients.clients_count, &clients) || shrink_time(search);
}

/* Everything that the seed drew is pinned, so that less of it can be asked for. */
static void pin_all(struct fleet_case *run, time_us at)
{
    struct plan plan;
    plan_draw(&plan, run->seed, &run->pins);
    run->pins = (struct plan_pins){.nodes_count = plan.nodes_count,
                                   .duration = plan.duration,
                                   .operations_max = plan.operations_max,
                                   .clients_count = plan.clients_count,
                                   .has_faults = true,
                                   .faults = plan.faults};
    if (at != 0 && at < plan.duration)
        run->pins.duration = MAX(at / TIME_US_PER_MS, (time_us)1) * TIME_US_PER_MS;
}

void shrink_case(const struct shrink *shrink, struct fleet_case *run, time_us at)
{
    struct fleet_case pinned = *run;
    struct search search = {shrink, run, 0};
    pin_all(&pinned, at);
    time_us found_at = 0;
    if (!fails(&search, &pinned, &found_at)) {
        pin_all(&pinned, 0); /* it was in the second phase, or the time decides what happens */
        pinned.pins.duration = 0;
        struct plan plan;
        plan_draw(&plan, run->seed, &run->pins);
        pinned.pins.duration = plan.duration;
        if (!fails(&search, &pinned, &found_at))
            return; /* what was drawn with the rest matters too: leave it as it is */
    }
    accept(&search, &pinned, found_at);
    while (step(&search))
        ;
}
