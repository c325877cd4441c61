/* What customers ask of the library: calls one by one and many at once, given up half-way, with
 * time and without. */
#include <stdio.h>

#include "base/mem.h"
#include "client/outcome.h"
#include "sim/swarm/customer.h"

static uint64_t below(struct customer *customer, uint64_t limit)
{
    return prng_below(&customer->prng, limit);
}

const char *call_format(const struct customer_call *call, char out[96])
{
    static const char *const names[] = {
        [ERRAND_OWN] = "increment",          [ERRAND_SHARED] = "increment the counter",
        [ERRAND_COUNT] = "read the counter", [ERRAND_READ] = "read register",
        [ERRAND_CHANGE] = "change register", [ERRAND_OUTCOME] = "outcome of call",
        [ERRAND_LAST] = "last write"};
    int count = snprintf(out, 96, "customer %u, call %u: %s%s", call->customer->number,
                         call->number, call->seals ? "seal, " : "", names[call->errand]);
    bool names_key = call->errand == ERRAND_READ || call->errand == ERRAND_CHANGE;
    if (names_key || call->errand == ERRAND_OUTCOME)
        (void)snprintf(out + count, 96 - (size_t)count, " %u",
                       names_key ? call->key : call->about->number);
    return out;
}

/* ---- one call ---- */

static struct customer_call *new_call(struct customer *customer, enum errand errand)
{
    struct customers *customers = customer->swarm->customers;
    struct customer_call *call = mem_alloc(sizeof *call);
    struct customer_call **slot = swarm_append((void **)&customers->calls, &customers->calls_count,
                                               sizeof customers->calls[0]);
    *slot = call;
    *call = (struct customer_call){.customer = customer,
                                   .errand = errand,
                                   .number = (unsigned)customers->calls_count - 1,
                                   .disturbances_before = customer->disturbances};
    return call;
}

static void start(struct customer_call *call, struct minikv_request *request)
{
    struct customer *customer = call->customer;
    struct swarm *swarm = customer->swarm;
    char text[96];
    if (call->errand == ERRAND_LAST)
        request->timeout_ms = 2000;
    else if (below(customer, 4) == 0)
        request->timeout_ms = 50u << below(customer, 7);
    unsigned timeout_ms = request->timeout_ms != 0 ? request->timeout_ms : customer->timeout_ms;
    time_us now = customer_now(customer);
    call->deadline = now + timeout_ms * TIME_US_PER_MS;
    swarm->customers->open_count++;
    swarm->totals.operations++;
    swarm->totals.calls++;
    swarm_note(swarm, TRACE_CALL, 0, customer->machine, CUSTOMER_NOTE_FIRST + call->number,
               call->errand, "%s", call_format(call, text));
    enum minikv_code code =
        engine_start(customer->engine, now, request, NULL, customer_on_done, call, &call->id);
    REQUIRE(code == MINIKV_OK);
}

static struct minikv_bytes slice(struct bytes bytes)
{
    return (struct minikv_bytes){bytes.data, bytes.count};
}

static void increment(struct customer *customer, enum errand errand)
{
    struct swarm *swarm = customer->swarm;
    struct customer_call *call = new_call(customer, errand);
    char key[32] = "shared";
    if (errand == ERRAND_SHARED)
        swarm->shared_sent++;
    else
        (void)snprintf(key, sizeof key, "call-%u", call->number);
    if (errand == ERRAND_LAST)
        customer->last = call;
    call->acked_before = MAX(swarm->shared_acked, swarm->shared_seen);
    struct minikv_request request = {.op = MINIKV_INCR, .by = 1, .key = minikv_text(key)};
    start(call, &request);
}

static void count(struct customer *customer)
{
    struct swarm *swarm = customer->swarm;
    struct customer_call *call = new_call(customer, ERRAND_COUNT);
    call->is_stale = below(customer, 5) == 0;
    call->acked_before = MAX(swarm->shared_acked, swarm->shared_seen);
    struct minikv_request request = {
        .op = MINIKV_GET, .key = minikv_text("shared"), .is_stale = call->is_stale};
    start(call, &request);
}

static void read_register(struct customer *customer)
{
    char key[HISTORY_KEY_BYTES];
    struct customer_call *call = new_call(customer, ERRAND_READ);
    call->key = (unsigned)below(customer, customer->swarm->plan.keys_count);
    call->history = history_begin_read(customer->swarm, call->key);
    history_key(call->key, key);
    struct minikv_request request = {.op = MINIKV_GET, .key = minikv_text(key)};
    start(call, &request);
}

static enum minikv_condition condition_of(const struct change *change)
{
    switch ((int)change->condition) { /* no other is drawn */
    case CONDITION_REVISION:
        return MINIKV_IF_REVISION;
    case CONDITION_ABSENT:
        return MINIKV_IF_ABSENT;
    default:
        REQUIRE(change->condition == CONDITION_NONE);
        return MINIKV_ALWAYS;
    }
}

static void change_register(struct customer *customer)
{
    struct buf value;
    char key[HISTORY_KEY_BYTES];
    struct swarm *swarm = customer->swarm;
    struct customer_call *call = new_call(customer, ERRAND_CHANGE);
    call->key = (unsigned)below(customer, swarm->plan.keys_count);
    struct change change = history_draw_change(swarm, &customer->prng, call->key);
    call->history = history_begin_change(swarm, call->key, &change);
    history_key(call->key, key);
    buf_init(&value, LIMIT_VALUE_BYTES);
    if (change.op == COMMAND_PUT)
        history_put_value(swarm, &change, &value);
    struct minikv_request request = {.op = change.op == COMMAND_PUT ? MINIKV_PUT : MINIKV_DELETE,
                                     .key = minikv_text(key),
                                     .value = slice(buf_bytes(&value)),
                                     .condition = condition_of(&change),
                                     .revision = change.condition_revision};
    start(call, &request);
    buf_release(&value);
}

/* ---- what became of a write ---- */

static bool is_open_question(const struct customer *customer, const struct customer_call *call)
{
    return call->customer == customer && call->fate == FATE_MAYBE && call->asked.sequence != 0;
}

/* One of its last writes whose fate is open; NULL: there is none. */
static struct customer_call *pick_question(struct customer *customer)
{
    const struct customers *customers = customer->swarm->customers;
    for (size_t i = customers->calls_count; i > 0; i--)
        if (is_open_question(customer, customers->calls[i - 1]) && below(customer, 2) == 0)
            return customers->calls[i - 1];
    return NULL;
}

static void ask(struct customer *customer)
{
    char text[OUTCOME_TEXT_BYTES];
    struct customer_call *about = pick_question(customer);
    if (about == NULL)
        return;
    struct customer_call *call = new_call(customer, ERRAND_OUTCOME);
    call->about = about;
    call->asked = about->asked;
    call->seals = below(customer, 2) == 0;
    call->was_applied = call_is_carried_out(about);
    struct minikv_request request = outcome_request(&call->asked, call->seals, text);
    start(call, &request);
}

/* ---- when ---- */

/* Some call that is under way, of this client or of one before it. */
static void give_up(struct customer *customer)
{
    const struct customers *customers = customer->swarm->customers;
    for (size_t i = customers->calls_count; i > 0; i--) {
        const struct customer_call *call = customers->calls[i - 1];
        if (call->customer != customer || call->fate != FATE_OPEN || below(customer, 2) == 0)
            continue;
        (void)engine_cancel(customer->engine, customer_now(customer), call->id);
        return;
    }
}

static void act_once(struct customer *customer)
{
    uint64_t kind = below(customer, 12);
    if (kind < 3)
        increment(customer, ERRAND_OWN);
    else if (kind < 5)
        increment(customer, ERRAND_SHARED);
    else if (kind < 7)
        count(customer);
    else if (kind < 9)
        read_register(customer);
    else if (kind < 11)
        change_register(customer);
    else
        ask(customer);
}

void customer_act(struct customer *customer)
{
    unsigned times = below(customer, 8) == 0 ? 2 + (unsigned)below(customer, 10) : 1;
    for (; times > 0 && customer->calls_left > 0; times--) {
        customer->calls_left--;
        act_once(customer);
    }
    if (below(customer, 5) == 0)
        customer_trouble_soon(customer);
    if (below(customer, 25) == 0)
        give_up(customer);
    if (below(customer, 60) != 0)
        return;
    time_us now = customer_now(customer);
    customer->is_leaving = true;
    engine_close(customer->engine, now, now + 200 * TIME_US_PER_MS);
}

bool customer_write_last(struct customer *customer)
{
    bool is_taken = customer->last != NULL && customer->last->fate == FATE_APPLIED;
    bool is_open = customer->last != NULL && customer->last->fate == FATE_OPEN;
    if (is_taken || !customer_is_owed(customer))
        return true;
    if (!is_open && customer_is_ready(customer)) {
        increment(customer, ERRAND_LAST);
        customer_run(customer);
    }
    return false;
}
