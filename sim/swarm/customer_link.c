/* The library's engine on the network of the world. */
#include "sim/swarm/customer.h"

enum { TICKS_MAX = 1000 };

time_us customer_now(const struct customer *customer)
{
    return env_now(customer->env);
}

/* ---- what happens to connections ---- */

static void on_open(void *ctx)
{
    struct customer_link *link = ctx;
    struct customer *customer = link->customer;
    engine_opened(customer->engine, customer_now(customer), link->at);
    customer_run(customer);
}

static void on_data(void *ctx, struct bytes bytes)
{
    struct customer_link *link = ctx;
    struct customer *customer = link->customer;
    engine_received(customer->engine, customer_now(customer), link->at, bytes);
    customer_run(customer);
}

static void on_drained(void *ctx)
{
    struct customer_link *link = ctx;
    customer_run(link->customer);
}

static void on_end(void *ctx, enum env_end end)
{
    struct customer_link *link = ctx;
    struct customer *customer = link->customer;
    bool in_order = end == ENV_END_EOF;
    link->stream = NULL; /* freed behind this */
    engine_lost(customer->engine, customer_now(customer), link->at, in_order,
                in_order ? "the connection was closed by the node" : "connection reset");
    customer_run(customer);
}

/* ---- what the engine asks for ---- */

/* True when something was taken. A full send buffer takes no more until it is empty. */
static bool send_output(struct customer_link *link)
{
    struct customer *customer = link->customer;
    bool has_sent = false;
    for (;;) {
        struct bytes output = engine_output(customer->engine, link->at);
        size_t queued = env_stream_queued(link->stream);
        if (output.count == 0 || queued >= customer->send_bytes)
            return has_sent;
        size_t count = MIN(output.count, customer->send_bytes - queued);
        env_stream_send(link->stream, bytes_of(output.data, count));
        engine_sent(customer->engine, customer_now(customer), link->at, count);
        has_sent = true;
    }
}

static void close_stream(struct customer_link *link)
{
    struct env_stream *stream = link->stream;
    link->stream = NULL;
    env_stream_close(stream);
}

/* Brings one stream in line with its link; true when something happened. */
static bool pump_one(struct customer_link *link)
{
    static const struct env_stream_handler handler = {
        .on_open = on_open, .on_data = on_data, .on_drained = on_drained, .on_end = on_end};
    struct customer *customer = link->customer;
    struct engine_link wanted;
    engine_link(customer->engine, link->at, &wanted);
    bool is_other = link->serial != wanted.serial || wanted.state == ENGINE_LINK_CLOSED;
    if (link->stream != NULL && is_other)
        close_stream(link);
    if (wanted.state == ENGINE_LINK_DIALLING && link->stream == NULL) {
        link->serial = wanted.serial;
        link->stream = env_connect(customer->env, &wanted.address, &handler, link);
        return true;
    }
    return wanted.state == ENGINE_LINK_OPEN && link->stream != NULL && send_output(link);
}

static void pump(struct customer *customer)
{
    bool has_changed = true;
    while (has_changed) {
        has_changed = false;
        for (size_t at = 0; at < ENGINE_CHANNELS; at++)
            has_changed = pump_one(&customer->links[at]) || has_changed;
    }
}

static void hand_over(struct customer *customer)
{
    struct call *call;
    while ((call = engine_take_done(customer->engine)) != NULL) {
        struct minikv_result result = call->result;
        call->result = (struct minikv_result){0};
        call->on_done(call->ctx, &result);
        call_free(call);
    }
}

/* As who polls: the time to wait is in whole milliseconds. */
static void set_tick(struct customer *customer)
{
    time_us next = engine_next_tick(customer->engine), now = customer_now(customer);
    if (next != TIME_NEVER) {
        time_us left = next > now ? next - now : 0;
        next = now + (left + TIME_US_PER_MS - 1) / TIME_US_PER_MS * TIME_US_PER_MS;
    }
    env_timer_set(customer->env, &customer->tick_timer, next);
}

void customer_run(struct customer *customer)
{
    engine_tick(customer->engine, customer_now(customer));
    pump(customer);
    hand_over(customer);
    set_tick(customer);
}

/* Who is woken again and again without any time passing would keep a processor busy for nothing. */
static void on_tick(void *ctx)
{
    struct customer *customer = ctx;
    time_us now = customer_now(customer);
    customer->ticks_count = now == customer->ticked_at ? customer->ticks_count + 1 : 0;
    customer->ticked_at = now;
    if (customer->ticks_count > TICKS_MAX)
        swarm_violate(customer->swarm, VERDICT_LIVENESS, "the library waits",
                      "customer %u: its clock is looked at %u times in one microsecond",
                      customer->number, customer->ticks_count);
    customer_run(customer);
}

/* ---- begin and end ---- */

void customer_link_init(struct customer *customer)
{
    env_timer_init(&customer->tick_timer, on_tick, customer);
    for (size_t at = 0; at < ENGINE_CHANNELS; at++)
        customer->links[at] = (struct customer_link){.customer = customer, .at = at};
}

void customer_links_close(struct customer *customer)
{
    for (size_t at = 0; at < ENGINE_CHANNELS; at++)
        close_stream(&customer->links[at]);
    env_timer_set(customer->env, &customer->tick_timer, TIME_NEVER);
}
