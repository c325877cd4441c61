/* Load: when requests are sent, and what came of them. */
#include "load/load.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "load/load_internal.h"

enum { EVENTS_MAX = 256, LOOK_NS = 20 * 1000 * 1000 };
#define SECOND_NS UINT64_C(1000000000)

uint64_t load_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

static uint64_t wall_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

/* ---- when to send ---- */

static bool may_issue(const struct load *load, uint64_t now)
{
    const struct load_plan *plan = load->plan;
    return !load->is_stopped && now < load->end &&
           (plan->requests_max == 0 || load->issued_count < plan->requests_max);
}

static bool has_room(const struct load *load, const struct load_connection *connection)
{
    return connection->state == LOAD_UP && connection->count < load->plan->pipeline;
}

static void list(struct load *load, struct load_connection *connection)
{
    if (connection->is_listed || !has_room(load, connection))
        return;
    INVARIANT(load->idle_count < load->plan->connections_count);
    size_t at = (load->idle_first + load->idle_count) % load->plan->connections_count;
    load->idle[at] = connection;
    load->idle_count++;
    connection->is_listed = true;
}

static struct load_connection *unlist(struct load *load)
{
    struct load_connection *connection = load->idle[load->idle_first];
    load->idle_first = (load->idle_first + 1) % load->plan->connections_count;
    load->idle_count--;
    connection->is_listed = false;
    return connection;
}

void load_on_room(struct load *load, struct load_connection *connection, uint64_t now)
{
    if (load->plan->rate != 0) {
        list(load, connection);
        return;
    }
    while (has_room(load, connection) && may_issue(load, now))
        connection_put(load, connection, now, now);
    connection_send(load, connection);
}

/* With a rate: when the next request has to leave. */
static uint64_t next_due(const struct load *load)
{
    return load->begin + load->due_count * SECOND_NS / load->plan->rate;
}

/* Sends what is due, as far as there are connections with room; each has its turn. */
static void send_due(struct load *load, uint64_t now)
{
    while (load->idle_count > 0 && next_due(load) <= now && may_issue(load, now)) {
        struct load_connection *connection = unlist(load);
        if (!has_room(load, connection))
            continue; /* it was lost meanwhile */
        connection_put(load, connection, next_due(load), now);
        load->due_count++;
        connection_send(load, connection);
        list(load, connection);
    }
}

/* ---- what came of it ---- */

static bool is_measured(const struct load *load, uint64_t now)
{
    return now >= load->measure_from && load->end >= load->measure_from &&
           (now <= load->end || load->plan->waits_at_end);
}

static struct series_step *step_of(struct load *load, uint64_t now)
{
    return series_at(&load->result->series, MIN(now, load->end) - load->measure_from);
}

static enum effect effect_of(const struct load *load, const struct load_slot *slot,
                             const struct load_reply *reply)
{
    for (int i = EFFECT_NONE; i <= EFFECT_APPLIED; i++)
        if (bytes_equal_text(reply->effect, effect_name((enum effect)i)))
            return (enum effect)i;
    /* Not a node's own words. */
    bool is_refusal = reply->status >= 300 && reply->status < 500;
    return load->plan->kinds[slot->kind].is_write && !is_refusal ? EFFECT_MAYBE : EFFECT_NONE;
}

static void count_bad(struct load *load, const struct load_slot *slot, struct bytes bytes,
                      const struct load_reply *reply)
{
    struct load_result *result = load->result;
    char word[LOAD_WORD_BYTES];
    if (result->bad_count++ == 0)
        memcpy(result->first_bad, bytes.data, MIN(bytes.count, (size_t)LOAD_FIRST_BAD_BYTES));
    load_reply_word(reply, word);
    load_errors_add(&result->errors, word, effect_of(load, slot, reply));
}

void load_on_reply(struct load *load, struct load_connection *connection,
                   const struct load_slot *slot, struct bytes bytes, const struct load_reply *reply,
                   uint64_t now)
{
    struct load_result *result = load->result;
    load->open_count--;
    result->all_count++;
    if (!is_measured(load, now))
        return;
    struct series_step *step = step_of(load, now);
    if (reply->status < 200 || reply->status > 299) {
        count_bad(load, slot, bytes, reply);
        step->bad++;
        return;
    }
    uint64_t latency = now > slot->due ? now - slot->due : 0;
    histogram_add(&result->latencies[slot->kind], latency);
    result->target_counts[connection->target]++;
    step->max = MAX(step->max, latency);
    if (now <= load->end)
        step->good++;
    else
        result->late_count++;
}

void load_on_failure(struct load *load, const struct load_slot *slot, bool was_sent,
                     const char *word)
{
    uint64_t now = load_now_ns();
    bool is_write = load->plan->kinds[slot->kind].is_write;
    load->open_count--;
    if (!is_measured(load, now))
        return;
    load->result->failed_count++;
    load_errors_add(&load->result->errors, word, is_write && was_sent ? EFFECT_MAYBE : EFFECT_NONE);
    step_of(load, now)->bad++;
}

/* ---- the run ---- */

static bool is_finished(const struct load *load, uint64_t now)
{
    if (load->has_failed)
        return true;
    if (may_issue(load, now))
        return false;
    bool is_over = load->is_stopped || now >= load->end;
    return load->open_count == 0 || (is_over && !load->plan->waits_at_end);
}

static void tick(struct load *load, uint64_t now)
{
    const struct load_plan *plan = load->plan;
    if (plan->on_tick == NULL || now < load->next_tick)
        return;
    load->next_tick = now + LOAD_TICK_NS;
    uint64_t age = MIN(now, load->end);
    age -= MIN(age, load->measure_from);
    if (plan->on_tick(plan->ctx, load->result, age))
        return;
    load->is_stopped = true;
    load->end = MIN(load->end, now);
}

/* What needs no event: silent connections, those that are to be opened again, the caller. */
static void look(struct load *load, uint64_t now)
{
    if (now < load->next_look)
        return;
    load->next_look = now + LOOK_NS;
    for (uint32_t i = 0; i < load->plan->connections_count && !load->has_failed; i++)
        connection_look(load, &load->connections[i], now);
    tick(load, now);
}

static uint64_t wait_ns(const struct load *load, uint64_t now)
{
    uint64_t until = load->next_look;
    if (load->plan->rate != 0 && load->idle_count > 0 && may_issue(load, now))
        until = MIN(until, next_due(load));
    return until > now ? until - now : 0;
}

static void run(struct load *load)
{
    struct epoll_event events[EVENTS_MAX];
    for (uint32_t i = 0; i < load->plan->connections_count; i++)
        load_on_room(load, &load->connections[i], load_now_ns());
    for (uint64_t now = load_now_ns(); !is_finished(load, now); now = load_now_ns()) {
        if (load->plan->rate != 0)
            send_due(load, now);
        struct timespec wait = {.tv_nsec = (long)wait_ns(load, now)};
        int count = epoll_pwait2(load->epoll, events, EVENTS_MAX, &wait, NULL);
        for (int i = 0; i < count; i++)
            connection_on_event(load, events[i].data.ptr, events[i].events);
        look(load, load_now_ns());
    }
    load->end = MIN(load->end, load_now_ns());
}

static bool begin(struct load *load)
{
    const struct load_plan *plan = load->plan;
    uint64_t sequence_base = wall_us();
    for (uint32_t i = 0; i < plan->connections_count; i++) {
        struct load_connection *connection = &load->connections[i];
        connection->number = i;
        connection->sequence = sequence_base;
        connection->target = connection->last_target = i % plan->primaries_count;
        connection_open(load, connection);
        if (!connection_begin(load, connection))
            return false;
    }
    load->begin = load_now_ns();
    load->measure_from = load->begin + plan->warm_up_ns;
    load->end = load->measure_from + plan->run_ns;
    load->next_tick = load->begin + LOAD_TICK_NS;
    return true;
}

static void conclude(struct load *load)
{
    const struct load_plan *plan = load->plan;
    struct load_result *result = load->result;
    result->seconds = load->end > load->measure_from
                          ? (double)(load->end - load->measure_from) / (double)SECOND_NS
                          : 0;
    bool is_whole = plan->requests_max != 0 && load->issued_count >= plan->requests_max;
    if (plan->rate != 0 && !is_whole && next_due(load) < load->end)
        result->unsent_count =
            (load->end - load->begin) * plan->rate / SECOND_NS + 1 - load->due_count;
}

static bool prepare(struct load *load)
{
    const struct load_plan *plan = load->plan;
    for (size_t i = 0; i < plan->kinds_count; i++)
        load->request_bytes_max = MAX(load->request_bytes_max, plan->kinds[i].template->count);
    uint64_t slots = (uint64_t)plan->connections_count * plan->pipeline;
    if (slots * load->request_bytes_max > LOAD_REQUESTS_BYTES_MAX) {
        errtext_set(load->error, "the requests under way would need more than %u MiB of memory",
                    LOAD_REQUESTS_BYTES_MAX / MIB);
        return false;
    }
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (load->epoll < 0)
        errtext_set(load->error, "epoll_create1: %s", strerror(errno));
    return load->epoll >= 0;
}

bool load_run(const struct load_plan *plan, struct load_result *out_result, struct errtext *error)
{
    REQUIRE(plan->connections_count >= 1 && plan->connections_count <= LOAD_CONNECTIONS_MAX);
    REQUIRE(plan->pipeline >= 1 && plan->pipeline <= LOAD_PIPELINE_MAX);
    REQUIRE(plan->primaries_count >= 1 && plan->targets_count <= LOAD_TARGETS_MAX);
    REQUIRE(plan->kinds_count >= 1 && plan->kinds_count <= LOAD_KINDS_MAX);
    REQUIRE(plan->keys_count >= 1 && plan->rate <= LOAD_RATE_MAX && plan->timeout_ns > 0);
    struct load load = {.plan = plan, .result = out_result, .epoll = -1, .error = error};
    memset(out_result, 0, sizeof *out_result);
    series_init(&out_result->series);
    prng_init(&load.prng, 0);
    load.connections = mem_alloc_array(plan->connections_count, sizeof *load.connections);
    load.idle = mem_alloc_array(plan->connections_count, sizeof(struct load_connection *));
    for (uint32_t i = 0; i < plan->connections_count; i++)
        load.connections[i].fd = -1;
    bool has_begun = prepare(&load) && begin(&load);
    if (has_begun) {
        run(&load);
        conclude(&load);
    }
    for (uint32_t i = 0; i < plan->connections_count; i++)
        connection_release(&load.connections[i]);
    if (load.epoll >= 0)
        (void)close(load.epoll); /* only watched */
    mem_free(load.connections);
    mem_free(load.idle);
    return has_begun && !load.has_failed;
}
