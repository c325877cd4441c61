/* A customer's life: it starts a client of the library, uses it, gives it up, and is killed. */
#include "sim/swarm/customer.h"
#include "sim/swarm/members.h"

#include "base/mem.h"

/* ---- who they are ---- */

static void choose_endpoints(struct customer *customer)
{
    struct engine_options *options = &customer->options;
    unsigned nodes_count = customer->swarm->plan.nodes_count;
    bool knows_all = prng_below(&customer->prng, 3) != 0;
    unsigned first = (unsigned)prng_below(&customer->prng, nodes_count);
    for (unsigned i = 0; i < nodes_count; i++) {
        unsigned id = 1 + (first + i) % nodes_count;
        if (!knows_all && i > 0 && prng_below(&customer->prng, 2) == 0)
            continue;
        options->endpoints[options->endpoints_count++] = site_http(id);
        customer->endpoints |= 1u << id;
    }
}

static void choose_ways(struct customer *customer)
{
    struct engine_options *options = &customer->options;
    struct prng *prng = &customer->prng;
    options->redirect = prng_below(prng, 2) == 0;
    options->without_session = prng_below(prng, 4) == 0;
    customer->timeout_ms = 500u << prng_below(prng, 5);
    options->timeout = customer->timeout_ms * TIME_US_PER_MS;
    options->unknown_leader_wait = (20 + prng_below(prng, 400)) * TIME_US_PER_MS;
    options->connect_timeout = (100 + prng_below(prng, 2000)) * TIME_US_PER_MS;
    customer->send_bytes = (size_t)256 << prng_below(prng, 9);
}

static void set_clock(struct customer *customer)
{
    struct swarm *swarm = customer->swarm;
    unsigned percent = 80 + (unsigned)prng_below(&customer->prng, 46);
    time_us shows = TIME_US_PER_MS * (1 + prng_below(&customer->prng, 1u << 30));
    if ((swarm->plan.faults & 1u << FAULT_CLOCK) == 0)
        return;
    world_clock(swarm->world, customer->machine, percent, 0);
    world_monotonic(swarm->world, customer->machine, shows);
}

/* ---- on and off ---- */

/* For --messages: each attempt, when it has ended. */
static void on_hop(void *ctx, const struct minikv_hop *hop)
{
    struct customer *customer = ctx;
    struct swarm *swarm = customer->swarm;
    if (trace_wants_text(&swarm->trace))
        swarm_note(swarm, TRACE_MESSAGE, 0, customer->machine, 0, 0,
                   "customer %u, attempt %u at %s: %s %s: %d %s%s", customer->number, hop->number,
                   hop->address, hop->method, hop->target, hop->http_code, hop->word, hop->error);
}

static void new_engine(struct customer *customer)
{
    customer->options.on_hop = on_hop;
    customer->options.ctx = customer;
    customer->options.seed = prng_next(&customer->prng);
    customer->engine = engine_new(&customer->options);
    REQUIRE(customer->engine != NULL);
    customer->is_leaving = false;
    customer_link_init(customer);
}

static void drop_engine(struct customer *customer)
{
    customer_links_close(customer);
    engine_free(customer->engine);
    customer->engine = NULL;
}

/* Some at once, then a pause, as for the clients of work.c. */
static void plan_act(struct customer *customer)
{
    const struct plan *plan = &customer->swarm->plan;
    bool is_soon = prng_below(&customer->prng, 2) == 0;
    time_us pause =
        1 + prng_below(&customer->prng, is_soon ? plan->call_every / 4 + 1 : plan->call_every * 4);
    env_timer_set(customer->env, &customer->act_timer,
                  customer->calls_left > 0 ? env_now(customer->env) + pause : TIME_NEVER);
}

bool customer_is_ready(struct customer *customer)
{
    if (customer->is_leaving && engine_is_closed(customer->engine)) {
        drop_engine(customer);
        new_engine(customer);
    }
    return !customer->is_leaving;
}

static void on_act(void *ctx)
{
    struct customer *customer = ctx;
    if (customer->swarm->is_healing)
        return;
    if (customer_is_ready(customer))
        customer_act(customer);
    customer_run(customer);
    plan_act(customer);
}

static void boot(struct customer *customer)
{
    struct swarm *swarm = customer->swarm;
    REQUIRE(customer->env == NULL);
    set_clock(customer);
    swarm_note(swarm, TRACE_BOOT, 0, customer->machine, 0, 0, "customer %u starts",
               customer->number);
    customer->boot_at = TIME_NEVER;
    customer->env = world_boot(swarm->world, customer->machine);
    env_timer_init(&customer->act_timer, on_act, customer);
    customer_trouble_init(customer);
    new_engine(customer);
    plan_act(customer);
}

static void forget_calls(struct customer *customer)
{
    struct customers *customers = customer->swarm->customers;
    for (size_t i = 0; i < customers->calls_count; i++)
        if (customers->calls[i]->customer == customer && customers->calls[i]->fate == FATE_OPEN)
            customer_forget_call(customers->calls[i]);
}

void customer_stop(struct customer *customer, enum world_stop how)
{
    struct swarm *swarm = customer->swarm;
    REQUIRE(customer->env != NULL);
    world_stop(swarm->world, customer->machine, how);
    drop_engine(customer);
    forget_calls(customer);
    customer->env = NULL;
    customer->is_paused = false;
    customer->boot_at =
        world_now(swarm->world) + (10 + prng_below(&customer->prng, 3000)) * TIME_US_PER_MS;
    swarm_note(swarm, TRACE_STOP, 0, customer->machine, how, 0, "customer %u stops",
               customer->number);
}

void customer_pause(struct customer *customer, bool is_paused)
{
    struct swarm *swarm = customer->swarm;
    customer->is_paused = is_paused;
    customer->disturbances++;
    world_pause(swarm->world, customer->machine, is_paused);
    swarm_note(swarm, is_paused ? TRACE_PAUSE : TRACE_RESUME, 0, customer->machine, 0, 0,
               "customer %u %s", customer->number, is_paused ? "is paused" : "goes on");
}

bool customer_is_owed(const struct customer *customer)
{
    for (unsigned i = 1; i <= customer->swarm->plan.nodes_count; i++)
        if ((customer->endpoints & 1u << i) != 0 && members_are_owed(customer->swarm, i))
            return true;
    return false;
}

/* ---- all of them ---- */

struct customers *customers_open(struct swarm *swarm)
{
    struct prng prng;
    if (swarm->plan.customers_count == 0)
        return NULL;
    struct customers *customers = mem_alloc(sizeof *customers);
    swarm->customers = customers;
    customers->count = swarm->plan.customers_count;
    plan_prng(swarm->plan.seed, PURPOSE_CUSTOMERS, &prng);
    prng_init(&customers->faults, prng_next(&prng));
    for (unsigned i = 0; i < customers->count; i++) {
        struct customer *customer = &customers->items[i];
        customer->swarm = swarm;
        customer->number = i + 1;
        customer->machine = CUSTOMER_MACHINE_FIRST + i;
        customer->calls_left = swarm->plan.calls_max;
        prng_init(&customer->prng, prng_next(&prng));
        choose_endpoints(customer);
        choose_ways(customer);
        boot(customer);
    }
    customers_strike_begin(customers);
    return customers;
}

void customers_free(struct customers *customers)
{
    if (customers == NULL)
        return;
    for (unsigned i = 0; i < customers->count; i++) {
        struct customer *customer = &customers->items[i];
        if (customer->env == NULL)
            continue;
        world_stop(customer->swarm->world, customer->machine, WORLD_STOP_KILL);
        drop_engine(customer);
    }
    for (size_t i = 0; i < customers->calls_count; i++)
        mem_free(customers->calls[i]);
    mem_free(customers->calls);
    mem_free(customers);
}

time_us customers_next(const struct customers *customers)
{
    if (customers == NULL)
        return TIME_NEVER;
    time_us next = customers_strike_next(customers);
    for (unsigned i = 0; i < customers->count; i++)
        next = MIN(next, customers->items[i].boot_at);
    return next;
}

void customers_due(struct customers *customers)
{
    for (unsigned i = 0; customers != NULL && i < customers->count; i++) {
        struct customer *customer = &customers->items[i];
        if (customer->boot_at <= world_now(customer->swarm->world))
            boot(customer);
    }
    if (customers != NULL)
        customers_strike_due(customers);
}

void customers_heal(struct customers *customers)
{
    if (customers == NULL)
        return;
    customers_strike_heal(customers);
    for (unsigned i = 0; i < customers->count; i++) {
        struct customer *customer = &customers->items[i];
        if (customer->is_paused)
            customer_pause(customer, false);
        if (customer->env == NULL)
            boot(customer);
    }
}

bool customers_write_last(struct customers *customers)
{
    bool is_done = true;
    for (unsigned i = 0; customers != NULL && i < customers->count; i++)
        is_done = customer_write_last(&customers->items[i]) && is_done;
    return is_done;
}

void customers_expect_last(const struct customers *customers)
{
    for (unsigned i = 0; customers != NULL && i < customers->count; i++) {
        const struct customer *customer = &customers->items[i];
        bool is_taken = customer->last != NULL && customer->last->fate == FATE_APPLIED;
        if (customer_is_owed(customer) && !is_taken)
            swarm_violate(customer->swarm, VERDICT_LIVENESS, "every customer writes",
                          "customer %u has had no write taken since everything healed",
                          customer->number);
    }
}

bool customers_are_quiet(const struct customers *customers)
{
    return customers == NULL || customers->open_count == 0;
}
