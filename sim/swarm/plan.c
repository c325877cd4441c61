#include "sim/swarm/plan.h"

#include <stdio.h>
#include <string.h>

#include "base/limits.h"

enum { SECOND = 1000 * TIME_US_PER_MS };

static const struct fault_info infos[FAULT_COUNT] = {
#define FAULT_INFO(name, word, every_ms, text) [FAULT_##name] = {word, every_ms, text},
    FAULT_TABLE(FAULT_INFO)
#undef FAULT_INFO
};

const struct fault_info *fault_info(enum fault fault)
{
    REQUIRE(fault < FAULT_COUNT);
    return &infos[fault];
}

void plan_prng(uint64_t seed, enum purpose purpose, struct prng *out_prng)
{
    prng_init(out_prng, seed * UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)purpose);
}

/* Uniform in the number of halvings: small and large values are equally frequent. */
static uint64_t draw_scaled(struct prng *prng, uint64_t min, uint64_t max)
{
    REQUIRE(min > 0 && min <= max);
    unsigned doublings = 0;
    while (min << (doublings + 1) <= max)
        doublings++;
    uint64_t low = min << prng_below(prng, doublings + 1);
    uint64_t value = low + prng_below(prng, low);
    return MIN(value, max);
}

static bool one_in(struct prng *prng, unsigned count)
{
    return prng_below(prng, count) == 0;
}

static void draw_faults(struct plan *plan, struct prng *prng, bool leaves_out, unsigned first,
                        unsigned end)
{
    for (unsigned i = first; i < end; i++) {
        bool is_out = one_in(prng, 2);
        uint64_t percent = draw_scaled(prng, 25, 400); /* of the usual time between two */
        if (leaves_out && is_out)
            continue;
        plan->faults |= 1u << i;
        plan->fault_every[i] = infos[i].every_ms * percent / 100 * TIME_US_PER_MS;
    }
}

static void draw_times(struct plan *plan, struct prng *prng)
{
    plan->heartbeat = draw_scaled(prng, 30, 120) * TIME_US_PER_MS;
    plan->election = plan->heartbeat * (5 + prng_below(prng, 10));
    plan->hold = draw_scaled(prng, 250, 4000) * TIME_US_PER_MS;
    if (one_in(prng, 3))
        plan->session_ttl = draw_scaled(prng, 1000, 8000) * TIME_US_PER_MS;
    plan->delay_min = draw_scaled(prng, 10, 200);
    plan->delay_max = plan->delay_min + draw_scaled(prng, 10, 20000);
    plan->sync_min = draw_scaled(prng, 20, 200);
    plan->sync_max = plan->sync_min + draw_scaled(prng, 20, 30000);
}

static void draw_work(struct plan *plan, struct prng *prng)
{
    plan->operations_max = (unsigned)draw_scaled(prng, 100, 1600);
    plan->operation_every = plan->duration / plan->operations_max;
    plan->clients_count = 1 + (unsigned)prng_below(prng, 8);
    plan->keys_count = 1 + (unsigned)prng_below(prng, PLAN_KEYS_MAX);
    plan->copies_max = 1 + (unsigned)prng_below(prng, 3);
    plan->value_bytes_max = one_in(prng, 8) ? 40000 : 200;
    for (unsigned i = 0; i < WORK_KINDS; i++) {
        plan->shares[i] = 1 + (unsigned)prng_below(prng, 8);
        plan->share_sum += plan->shares[i];
    }
}

/* From a generator of its own: a seed without customers is what it was before there were any. */
static void draw_customers(struct plan *plan)
{
    struct prng prng;
    plan_prng(plan->seed, PURPOSE_CUSTOMERS_PLAN, &prng);
    bool has_customers = one_in(&prng, 3);
    unsigned count = 1 + (unsigned)prng_below(&prng, PLAN_CUSTOMERS_MAX);
    plan->customers_count = has_customers ? count : 0;
    plan->calls_max = (unsigned)draw_scaled(&prng, 30, 300);
    plan->call_every = plan->duration / plan->calls_max;
    plan->troubles_every = draw_scaled(&prng, 500, 8000) * TIME_US_PER_MS;
    plan->doors_redirect = one_in(&prng, 3);
    plan->request_timeout = draw_scaled(&prng, 500, 8000) * TIME_US_PER_MS;
    plan->idle_timeout = draw_scaled(&prng, 1000, 64000) * TIME_US_PER_MS;
}

/* All others may fetch from one at once, window by window, and begin anew when their turn does not
 * come for half a minute: of a large state none would ever be there. No node of minikvd is as slow
 * as that. */
static uint64_t least_rate(const struct plan *plan)
{
    enum { SECONDS = 24 }; /* half a minute by the fastest clock */
    uint64_t others_count = plan->nodes_count > 2 ? plan->nodes_count - 2 : 0;
    bool is_large = plan->value_bytes_max > 4 * KIB; /* more than one window */
    return is_large ? others_count * LIMIT_FETCH_WINDOW_BYTES / SECONDS : 0;
}

/* From a generator of its own too. The bound of minikvd is of no use here: with less log between
 * two snapshots there are more of them in a minute. */
static void draw_cluster(struct plan *plan, bool leaves_out)
{
    struct prng prng;
    plan_prng(plan->seed, PURPOSE_CLUSTER_PLAN, &prng);
    bool has_snapshots = !one_in(&prng, 3), is_slow = one_in(&prng, 3);
    uint64_t bytes = draw_scaled(&prng, KIB, 64 * KIB);
    uint64_t rate = draw_scaled(&prng, 16 * KIB, 2 * MIB);
    plan->snapshot_bytes = has_snapshots ? 8 * bytes : 0; /* a commit alone takes 4 KiB of log */
    plan->snapshot_rate = is_slow ? MAX(rate, least_rate(plan)) : 0; /* crashes strike meanwhile */
    draw_faults(plan, &prng, leaves_out, FAULT_MEMBERS, FAULT_LATE_FIRST);
    bool begins_small = one_in(&prng, 4);
    unsigned founders = 1 + (unsigned)prng_below(&prng, PLAN_NODES_MAX);
    plan->founders_max = begins_small ? founders : PLAN_NODES_MAX;
}

/* From a generator of its own too. A few seeds are calm but for rolling restarts: what these must
 * not cost anybody shows only where nothing else may be the reason. */
static void draw_late(struct plan *plan, bool leaves_out)
{
    struct prng prng;
    plan_prng(plan->seed, PURPOSE_LATE_PLAN, &prng);
    draw_faults(plan, &prng, leaves_out, FAULT_LATE_FIRST, FAULT_WINDOWS);
    bool has_windows = one_in(&prng, 3);
    plan->window_bytes = draw_scaled(&prng, 8 * KIB, 512 * KIB);
    bool kills = one_in(&prng, 2), is_calm = one_in(&prng, 24);
    plan->faults |= has_windows ? 1u << FAULT_WINDOWS : 0;
    plan->rolling_kills = kills && !is_calm;
    if (!is_calm)
        return;
    plan->faults = 1u << FAULT_ROLLING;
    if (plan->fault_every[FAULT_ROLLING] == 0)
        plan->fault_every[FAULT_ROLLING] = infos[FAULT_ROLLING].every_ms * TIME_US_PER_MS;
}

/* From a generator of its own too: two seeds in three are what they were before. */
static void draw_data(struct plan *plan)
{
    struct prng prng;
    plan_prng(plan->seed, PURPOSE_DATA_PLAN, &prng);
    bool has_data = one_in(&prng, 3), is_calm = plan->faults == 1u << FAULT_ROLLING;
    plan->data_every = draw_scaled(&prng, 40, 640) * TIME_US_PER_MS;
    plan->faults |= has_data && !is_calm ? 1u << FAULT_DATA : 0;
}

static void pin(struct plan *plan, const struct plan_pins *pins)
{
    if (pins->nodes_count != 0)
        plan->nodes_count = pins->nodes_count;
    if (pins->operations_max != 0) { /* as fast as before, but no longer */
        plan->operations_max = pins->operations_max;
        plan->calls_max = MIN(plan->calls_max, pins->operations_max);
    }
    if (pins->clients_count != 0)
        plan->clients_count = pins->clients_count;
    if (pins->has_customers)
        plan->customers_count = pins->customers_count;
    if (pins->has_faults) {
        for (unsigned i = 0; i < FAULT_COUNT; i++) /* also those that the seed leaves out */
            if (plan->fault_every[i] == 0)
                plan->fault_every[i] = infos[i].every_ms * TIME_US_PER_MS;
        plan->faults = pins->faults;
    }
    plan->faults &= ~pins->without;
}

bool plan_is_calm(const struct plan *plan)
{
    return plan->faults == 1u << FAULT_ROLLING && !plan->rolling_kills && plan->nodes_count >= 3;
}

unsigned plan_founders(const struct plan *plan)
{
    bool can_grow = (plan->faults & 1u << FAULT_MEMBERS) != 0;
    return can_grow ? MIN(plan->founders_max, plan->nodes_count) : plan->nodes_count;
}

void plan_draw(struct plan *plan, uint64_t seed, const struct plan_pins *pins)
{
    static const unsigned sizes[] = {1, 2, 3, 3, 3, 4, 5, 5, 5, 5, 6, 7};
    struct prng prng;
    plan_prng(seed, PURPOSE_PLAN, &prng);
    *plan = (struct plan){.seed = seed, .duration = 60 * (time_us)SECOND};
    plan->nodes_count = sizes[prng_below(&prng, ARRAY_COUNT(sizes))];
    draw_times(plan, &prng);
    draw_work(plan, &prng);
    bool leaves_out = one_in(&prng, 2);
    draw_faults(plan, &prng, leaves_out, 0, FAULT_MEMBERS);
    plan->heals_all = one_in(&prng, 2);
    plan->wal_segment_bytes = WAL_SEGMENT_BYTES_MIN << prng_below(&prng, 4);
    draw_customers(plan);
    draw_cluster(plan, leaves_out);
    draw_late(plan, leaves_out);
    draw_data(plan);
    pin(plan, pins);
    if (pins->duration != 0)
        plan->duration = pins->duration; /* the load goes on at the same rate */
    ENSURE(plan->nodes_count >= 1 && plan->nodes_count <= PLAN_NODES_MAX);
}

static bool find_fault(struct bytes word, uint32_t *faults)
{
    if (bytes_equal_text(word, "all")) {
        *faults = (1u << FAULT_COUNT) - 1;
        return true;
    }
    if (bytes_equal_text(word, "none"))
        return true;
    for (unsigned i = 0; i < FAULT_COUNT; i++) {
        if (bytes_equal_text(word, infos[i].word)) {
            *faults |= 1u << i;
            return true;
        }
    }
    return false;
}

bool plan_parse_faults(const char *text, uint32_t *out_faults, struct bytes *out_word)
{
    uint32_t faults = 0;
    for (;;) {
        size_t count = strcspn(text, ",");
        *out_word = bytes_of(text, count);
        if (!find_fault(*out_word, &faults))
            return false;
        if (text[count] == '\0')
            break;
        text += count + 1;
    }
    *out_faults = faults;
    return true;
}

const char *plan_format_faults(uint32_t faults, char out[256])
{
    size_t at = 0;
    if (faults == (1u << FAULT_COUNT) - 1)
        return "all";
    if (faults == 0)
        return "none";
    for (unsigned i = 0; i < FAULT_COUNT; i++)
        if ((faults & 1u << i) != 0)
            at += (size_t)snprintf(out + at, 256 - at, "%s%s", at == 0 ? "" : ",", infos[i].word);
    ENSURE(at < 256);
    return out;
}
