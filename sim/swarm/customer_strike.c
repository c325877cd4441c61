/* What befalls customers: their ways to the nodes break as those between nodes do, and their own
 * machines stop and stand still. Of the kinds of the plan, at times of their own. */
#include "sim/swarm/customer.h"

static uint64_t below(struct customers *customers, uint64_t limit)
{
    return prng_below(&customers->faults, limit);
}

static struct swarm *swarm_of(const struct customers *customers)
{
    return customers->items[0].swarm;
}

static void note(struct customer *customer, enum fault fault, unsigned node, const char *what)
{
    struct swarm *swarm = customer->swarm;
    swarm->totals.faults[fault]++;
    swarm_note(swarm, TRACE_FAULT, 0, customer->machine, fault, node, "customer %u %s n%u",
               customer->number, what, node);
}

static void cut_all(const struct customer *customer, bool is_cut)
{
    struct swarm *swarm = customer->swarm;
    for (unsigned i = 1; i <= swarm->plan.nodes_count; i++) {
        world_cut(swarm->world, customer->machine, i, is_cut);
        world_cut(swarm->world, i, customer->machine, is_cut);
    }
}

static bool lasts(struct customers *customers, enum fault fault, unsigned a, unsigned b)
{
    if (customers->endings_count == ARRAY_COUNT(customers->endings))
        return false;
    time_us at =
        world_now(swarm_of(customers)->world) + (1 + below(customers, 6000)) * TIME_US_PER_MS;
    customers->endings[customers->endings_count++] = (struct ending){at, fault, a, b};
    return true;
}

/* ---- beginning ---- */

/* One direction between the two. */
static void strike_way(struct customers *customers, struct customer *customer, enum fault fault,
                       unsigned node)
{
    struct swarm *swarm = customer->swarm;
    bool is_back = below(customers, 2) == 0;
    unsigned from = is_back ? node : customer->machine, to = is_back ? customer->machine : node;
    if (!lasts(customers, fault, from, to))
        return;
    if (fault == FAULT_CUT) {
        note(customer, fault, node, is_back ? "hears nothing of" : "does not reach");
        world_cut(swarm->world, from, to, true);
        return;
    }
    struct world_link link = strike_draw_link(swarm, &customers->faults, fault);
    note(customer, fault, node, is_back ? "has a bad way back from" : "has a bad way to");
    world_link_set(swarm->world, from, to, &link);
}

static void strike_streams(struct customers *customers, struct customer *customer, enum fault fault,
                           unsigned node)
{
    struct world *world = customer->swarm->world;
    if (fault == FAULT_RESET) {
        note(customer, fault, node, "loses its connections with");
        world_reset_links(world, customer->machine, node);
        return;
    }
    bool is_nodes = below(customers, 2) == 0;
    note(customer, fault, node, "keeps half of its connections with");
    if (is_nodes)
        world_half_open(world, node, customer->machine);
    else
        world_half_open(world, customer->machine, node);
}

/* Answers are lost in a moment that is short, and passes unseen by faults at any odd time. */
static void on_trouble(void *ctx)
{
    struct customer *customer = ctx;
    struct swarm *swarm = customer->swarm;
    bool is_reset = prng_below(&customer->prng, 2) == 0;
    enum fault fault = is_reset ? FAULT_RESET : FAULT_HALF_OPEN;
    if (swarm->is_healing || (swarm->plan.faults & 1u << fault) == 0)
        return;
    note(customer, fault, 0, "loses its connections with all nodes:");
    for (unsigned i = 1; i <= swarm->plan.nodes_count; i++) {
        if (is_reset)
            world_reset_links(swarm->world, customer->machine, i);
        else
            world_half_open(swarm->world, customer->machine, i);
    }
}

void customer_trouble_init(struct customer *customer)
{
    env_timer_init(&customer->trouble_timer, on_trouble, customer);
}

void customer_trouble_soon(struct customer *customer)
{
    const struct plan *plan = &customer->swarm->plan;
    time_us usual = 4 * plan->delay_max + 2 * plan->sync_max; /* of one request, at most */
    env_timer_set(customer->env, &customer->trouble_timer,
                  customer_now(customer) + 1 + prng_below(&customer->prng, usual));
}

static void strike_customer(struct customers *customers, struct customer *customer,
                            enum fault fault, unsigned node)
{
    switch ((int)fault) {
    case FAULT_CUT:
    case FAULT_LOSSY:
    case FAULT_NARROW:
        strike_way(customers, customer, fault, node);
        return;
    case FAULT_RESET:
    case FAULT_HALF_OPEN:
        strike_streams(customers, customer, fault, node);
        return;
    case FAULT_ISOLATE:
        if (!lasts(customers, fault, customer->machine, 0))
            return;
        note(customer, fault, 0, "is cut off from all nodes:");
        cut_all(customer, true);
        return;
    case FAULT_PAUSE:
        if (customer->is_paused || !lasts(customers, fault, customer->machine, 0))
            return;
        customer->swarm->totals.faults[fault]++;
        customer_pause(customer, true);
        return;
    case FAULT_CRASH:
        customer->swarm->totals.faults[fault]++;
        customer_stop(customer, (enum world_stop)below(customers, 3));
        return;
    default:
        UNREACHABLE();
    }
}

static void strike(struct customers *customers)
{
    static const enum fault kinds[] = {FAULT_CUT,   FAULT_CUT,       FAULT_ISOLATE, FAULT_RESET,
                                       FAULT_RESET, FAULT_HALF_OPEN, FAULT_LOSSY,   FAULT_NARROW,
                                       FAULT_PAUSE, FAULT_CRASH};
    const struct plan *plan = &swarm_of(customers)->plan;
    struct customer *customer = &customers->items[below(customers, customers->count)];
    unsigned node = 1 + (unsigned)below(customers, plan->nodes_count);
    enum fault fault = kinds[below(customers, ARRAY_COUNT(kinds))];
    if ((plan->faults & 1u << fault) != 0 && customer->env != NULL)
        strike_customer(customers, customer, fault, node);
}

/* ---- ending ---- */

static struct customer *customer_at(struct customers *customers, unsigned machine)
{
    REQUIRE(machine >= CUSTOMER_MACHINE_FIRST);
    return &customers->items[machine - CUSTOMER_MACHINE_FIRST];
}

static void end(struct customers *customers, const struct ending *ending)
{
    struct swarm *swarm = swarm_of(customers);
    struct world_link link = strike_usual_link(swarm);
    swarm_note(swarm, TRACE_HEAL, 0, MAX(ending->a, ending->b), ending->fault, 0,
               "%s of a customer is over", fault_info(ending->fault)->word);
    switch ((int)ending->fault) {
    case FAULT_CUT:
        world_cut(swarm->world, ending->a, ending->b, false);
        return;
    case FAULT_ISOLATE:
        cut_all(customer_at(customers, ending->a), false);
        return;
    case FAULT_LOSSY:
    case FAULT_NARROW:
        world_link_set(swarm->world, ending->a, ending->b, &link);
        return;
    case FAULT_PAUSE:
        if (customer_at(customers, ending->a)->is_paused)
            customer_pause(customer_at(customers, ending->a), false);
        return;
    default:
        UNREACHABLE();
    }
}

/* ---- when ---- */

static void plan_next(struct customers *customers)
{
    time_us every = swarm_of(customers)->plan.troubles_every;
    time_us share = below(customers, 3) == 0 ? 4 * every : every / 2;
    customers->strike_at = world_now(swarm_of(customers)->world) + 1 + below(customers, share);
}

void customers_strike_begin(struct customers *customers)
{
    plan_next(customers);
}

time_us customers_strike_next(const struct customers *customers)
{
    time_us next = customers->strike_at;
    for (size_t i = 0; i < customers->endings_count; i++)
        next = MIN(next, customers->endings[i].at);
    return next;
}

void customers_strike_due(struct customers *customers)
{
    time_us now = world_now(swarm_of(customers)->world);
    for (size_t i = 0; i < customers->endings_count;) {
        struct ending ending = customers->endings[i];
        if (ending.at > now) {
            i++;
            continue;
        }
        customers->endings[i] = customers->endings[--customers->endings_count];
        end(customers, &ending);
    }
    if (customers->strike_at > now)
        return;
    strike(customers);
    plan_next(customers);
}

/* All ways are free again by now. Nodes that stay away from the others may still be reached: they
 * answer, but cannot serve. */
void customers_strike_heal(struct customers *customers)
{
    struct swarm *swarm = swarm_of(customers);
    bool are_away = below(customers, 2) == 0;
    customers->endings_count = 0;
    for (unsigned i = 1; i <= swarm->plan.nodes_count; i++) {
        if (!are_away || (swarm->core & 1u << i) != 0)
            continue;
        for (unsigned c = 0; c < customers->count; c++) {
            world_cut(swarm->world, i, customers->items[c].machine, true);
            world_cut(swarm->world, customers->items[c].machine, i, true);
        }
    }
}
