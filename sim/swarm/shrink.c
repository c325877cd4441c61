#include "sim/swarm/shrink.h"

#include "base/check.h"

/* What a run costs: its virtual time on each node. That of the usual one, and how many neighbours
 * more there are at most for cheap ones. */
enum { COST_USUAL_S = 150, NEIGHBOURS_FACTOR_MAX = 4 };

struct search {
    const struct shrink *shrink;
    struct fleet_case *best;
    unsigned runs_count;
};

static bool is_over(const struct search *search)
{
    const struct shrink *shrink = search->shrink;
    return search->runs_count >= shrink->runs_max ||
           (shrink->may_go_on != NULL && !shrink->may_go_on(shrink->ctx, search->runs_count));
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

/* These pins with so many seeds from `first` on. */
static bool try_seeds(struct search *search, const struct plan_pins *pins, uint64_t first,
                      size_t count)
{
    struct fleet_case runs[SHRINK_BATCH_MAX] = {0};
    REQUIRE(count > 0 && count <= SHRINK_BATCH_MAX);
    if (is_over(search))
        return false;
    count = MIN(count, (size_t)(search->shrink->runs_max - search->runs_count));
    for (size_t i = 0; i < count; i++)
        runs[i] = (struct fleet_case){first + i, *pins};
    search->runs_count += (unsigned)count;
    time_us at = 0;
    size_t found = search->shrink->find(search->shrink->ctx, runs, count, &at);
    if (found < count)
        accept(search, &runs[found], at);
    return found < count;
}

static unsigned neighbours_of(const struct search *search, const struct plan_pins *pins)
{
    uint64_t cost = pins->duration / 1000000 * pins->nodes_count;
    uint64_t factor = COST_USUAL_S / MAX(cost, (uint64_t)1);
    return search->shrink->neighbours *
           (unsigned)MIN(MAX(factor, (uint64_t)1), (uint64_t)NEIGHBOURS_FACTOR_MAX);
}

/* The same seed first: it is the likeliest, and keeps what is known about the run. */
static bool try_pins(struct search *search, const struct plan_pins *pins)
{
    uint64_t seed = search->best->seed;
    unsigned neighbours = neighbours_of(search, pins);
    unsigned batch = MIN(search->shrink->batch, (unsigned)SHRINK_BATCH_MAX);
    REQUIRE(batch > 0);
    if (try_seeds(search, pins, seed, 1))
        return true;
    for (unsigned i = 1; i <= neighbours; i += batch)
        if (try_seeds(search, pins, seed + i, MIN(batch, neighbours - i + 1)))
            return true;
    return false;
}

/* First many kinds at once, then one after the other. */
static bool shrink_faults(struct search *search)
{
    uint32_t faults = search->best->pins.faults;
    for (unsigned size = FAULT_COUNT; size > 0; size /= 2) {
        for (unsigned first = 0; first < FAULT_COUNT; first += size) {
            struct plan_pins pins = search->best->pins;
            pins.faults = faults & ~(uint32_t)(((UINT64_C(1) << size) - 1) << first);
            if (pins.faults != faults && try_pins(search, &pins))
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

static bool shrink_customers(struct search *search)
{
    for (unsigned count = 0; count < search->best->pins.customers_count; count++) {
        struct plan_pins pins = search->best->pins;
        pins.customers_count = count;
        if (try_pins(search, &pins))
            return true;
    }
    return false;
}

/* Part by part less: a sixteenth, an eighth, … seven eighths. `number` is a member of `pins`. */
static bool shrink_number(struct search *search, unsigned *number, struct plan_pins *pins)
{
    static const unsigned sixteenths[] = {1, 2, 4, 8, 12, 14};
    unsigned before = *number, last = 0;
    for (size_t i = 0; i < ARRAY_COUNT(sixteenths); i++) {
        *number = before * sixteenths[i] / 16;
        if (*number == last)
            continue;
        last = *number;
        if (try_pins(search, pins))
            return true;
    }
    return false;
}

static bool shrink_time(struct search *search)
{
    static const unsigned sixteenths[] = {2, 5, 8, 12};
    time_us before = search->best->pins.duration;
    for (size_t i = 0; i < ARRAY_COUNT(sixteenths); i++) {
        struct plan_pins pins = search->best->pins;
        pins.duration = before * sixteenths[i] / 16 / TIME_US_PER_MS * TIME_US_PER_MS;
        if (pins.duration > 0 && try_pins(search, &pins))
            return true;
    }
    return false;
}

static bool shrink_operations(struct search *search)
{
    struct plan_pins pins = search->best->pins;
    return shrink_number(search, &pins.operations_max, &pins);
}

static bool shrink_clients(struct search *search)
{
    struct plan_pins pins = search->best->pins;
    return shrink_number(search, &pins.clients_count, &pins);
}

/* Each as far as it goes, and all of them again until none gets any further. What makes runs
 * cheaper comes first. */
static bool shrink_round(struct search *search)
{
    static bool (*const steps[])(struct search *) = {shrink_customers,  shrink_time,
                                                     shrink_operations, shrink_nodes,
                                                     shrink_faults,     shrink_clients};
    bool has_shrunk = false;
    for (size_t i = 0; i < ARRAY_COUNT(steps); i++)
        while (steps[i](search))
            has_shrunk = true;
    return has_shrunk;
}

/* Everything that the seed drew is pinned, so that less of it can be asked for. */
static struct fleet_case pin_all(const struct fleet_case *run, time_us at)
{
    struct plan plan;
    plan_draw(&plan, run->seed, &run->pins);
    struct fleet_case pinned = {run->seed,
                                {.nodes_count = plan.nodes_count,
                                 .duration = plan.duration,
                                 .operations_max = plan.operations_max,
                                 .clients_count = plan.clients_count,
                                 .has_customers = true,
                                 .customers_count = plan.customers_count,
                                 .has_faults = true,
                                 .faults = plan.faults}};
    if (at != 0 && at < plan.duration)
        pinned.pins.duration = MAX(at / TIME_US_PER_MS, (time_us)1) * TIME_US_PER_MS;
    return pinned;
}

void shrink_case(const struct shrink *shrink, struct fleet_case *run, time_us at)
{
    struct fleet_case cut = pin_all(run, at), whole = pin_all(run, 0);
    struct search search = {shrink, run, 0};
    /* It may have been in the second phase, or the time may decide what happens. */
    if (!try_seeds(&search, &cut.pins, cut.seed, 1) &&
        !try_seeds(&search, &whole.pins, whole.seed, 1))
        return; /* what was drawn with the rest matters too: leave it as it is */
    while (shrink_round(&search))
        ;
}
