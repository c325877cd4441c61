/* The faults of the plan. Each kind strikes at times of its own; what lasts has an end of its own,
 * and all of it ends when the cluster heals. */
#include <stdio.h>

#include "sim/swarm/members.h"

static uint64_t below(struct swarm *swarm, uint64_t limit)
{
    return prng_below(&swarm->faults, limit);
}

static unsigned any_site(struct swarm *swarm)
{
    return 1 + (unsigned)below(swarm, swarm->plan.nodes_count);
}

bool strike_lasts(struct swarm *swarm, struct prng *prng, enum fault fault, unsigned a, unsigned b,
                  uint64_t ms_max)
{
    if (swarm->endings_count == ARRAY_COUNT(swarm->endings))
        return false;
    time_us at = world_now(swarm->world) + (1 + prng_below(prng, ms_max)) * TIME_US_PER_MS;
    swarm->endings[swarm->endings_count++] = (struct ending){at, fault, a, b};
    return true;
}

static bool lasts(struct swarm *swarm, enum fault fault, unsigned a, unsigned b, uint64_t ms_max)
{
    return strike_lasts(swarm, &swarm->faults, fault, a, b, ms_max);
}

#define NOTE(swarm, fault, a, b, ...)                                                              \
    do {                                                                                           \
        (swarm)->totals.faults[fault]++;                                                           \
        swarm_note(swarm, TRACE_FAULT, a, b, fault, 0, __VA_ARGS__);                               \
    } while (0)

/* ---- processes ---- */

static void strike_crash(struct swarm *swarm)
{
    static const char *const words[] = {"is killed", "crashes", "loses power"};
    struct site *site = &swarm->sites[any_site(swarm)];
    enum world_stop how = (enum world_stop)below(swarm, ARRAY_COUNT(words));
    if (site->node == NULL)
        return;
    NOTE(swarm, FAULT_CRASH, site->id, 0, "%s", words[how]);
    site_stop(site, how, words[how]);
}

static void strike_power_cut(struct swarm *swarm)
{
    unsigned share = 1 + (unsigned)below(swarm, 3); /* all, or each with a chance */
    NOTE(swarm, FAULT_POWER_CUT, 0, 0, "the power fails");
    for (unsigned i = 1; i <= swarm->plan.nodes_count; i++)
        if (swarm->sites[i].node != NULL && (share == 1 || below(swarm, share) == 0))
            site_stop(&swarm->sites[i], WORLD_STOP_POWER_OFF, "loses power with others");
}

static void strike_pause(struct swarm *swarm)
{
    struct site *site = &swarm->sites[any_site(swarm)];
    uint64_t ms = below(swarm, 4) == 0 ? 15000 : 1500;
    if (site->node == NULL || site->is_paused || !lasts(swarm, FAULT_PAUSE, site->id, 0, ms))
        return;
    swarm->totals.faults[FAULT_PAUSE]++;
    site_pause(site, true);
}

static void strike_slow_cpu(struct swarm *swarm)
{
    unsigned id = any_site(swarm);
    if (!lasts(swarm, FAULT_SLOW_CPU, id, 0, 10000))
        return;
    time_us cost = 100 + below(swarm, 3000);
    NOTE(swarm, FAULT_SLOW_CPU, id, 0, "takes %llu us for everything", (unsigned long long)cost);
    world_slow_cpu(swarm->world, id, cost);
}

/* ---- the network ---- */

static void cut(struct swarm *swarm, unsigned a, unsigned b, bool is_cut)
{
    world_cut(swarm->world, a, b, is_cut);
}

static void strike_cut(struct swarm *swarm)
{
    unsigned a = any_site(swarm), b = any_site(swarm);
    if (a == b || !lasts(swarm, FAULT_CUT, a, b, 10000))
        return;
    NOTE(swarm, FAULT_CUT, a, b, "nothing passes to n%u", b);
    cut(swarm, a, b, true);
}

static void set_apart(struct swarm *swarm, unsigned id, bool is_apart)
{
    for (unsigned i = 1; i <= swarm->plan.nodes_count; i++) {
        if (i == id)
            continue;
        cut(swarm, id, i, is_apart);
        cut(swarm, i, id, is_apart);
    }
}

static void strike_isolate(struct swarm *swarm)
{
    unsigned id = any_site(swarm);
    if (!lasts(swarm, FAULT_ISOLATE, id, 0, 10000))
        return;
    NOTE(swarm, FAULT_ISOLATE, id, 0, "is cut off from all others");
    set_apart(swarm, id, true);
}

static void shuffle(struct swarm *swarm, unsigned *ids, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        unsigned at = i + (unsigned)below(swarm, count - i);
        unsigned chosen = ids[at];
        ids[at] = ids[i];
        ids[i] = chosen;
    }
}

static void strike_partition(struct swarm *swarm)
{
    static const char *const names[WORLD_SHAPES_COUNT] = {
        "whole", "one alone", "halves", "a bridge", "a star", "a chain", "a ring of majorities"};
    unsigned ids[PLAN_NODES_MAX], count = swarm->plan.nodes_count;
    for (unsigned i = 0; i < count; i++)
        ids[i] = i + 1;
    shuffle(swarm, ids, count);
    enum world_shape shape = (enum world_shape)(1 + below(swarm, WORLD_SHAPES_COUNT - 1));
    if (!lasts(swarm, FAULT_PARTITION, 0, 0, 15000))
        return;
    NOTE(swarm, FAULT_PARTITION, 0, 0, "the network becomes %s, beginning with n%u", names[shape],
         ids[0]);
    world_partition(swarm->world, shape, ids, count);
}

static void strike_streams(struct swarm *swarm, enum fault fault)
{
    unsigned a = any_site(swarm), b = any_site(swarm);
    if (a == b)
        return;
    NOTE(swarm, fault, a, b,
         fault == FAULT_RESET ? "connections with n%u are reset"
                              : "its side of the connections with n%u is gone",
         b);
    if (fault == FAULT_RESET)
        world_reset_links(swarm->world, a, b);
    else
        world_half_open(swarm->world, a, b);
}

struct world_link strike_usual_link(const struct swarm *swarm)
{
    bool has_windows = (swarm->plan.faults & 1u << FAULT_WINDOWS) != 0;
    return (struct world_link){.delay_min = swarm->plan.delay_min,
                               .delay_max = swarm->plan.delay_max,
                               .window_bytes = has_windows ? swarm->plan.window_bytes : 0};
}

struct world_link strike_draw_link(const struct swarm *swarm, struct prng *prng, enum fault fault)
{
    struct world_link link = strike_usual_link(swarm);
    if (fault == FAULT_LOSSY) {
        link.loss_chance = (uint32_t)prng_below(prng, WORLD_ALWAYS / 3);
        link.spike_chance = (uint32_t)prng_below(prng, WORLD_ALWAYS / 10);
        link.spike_max = (1 + prng_below(prng, 3000)) * TIME_US_PER_MS;
        link.split_chance = (uint32_t)prng_below(prng, WORLD_ALWAYS / 2);
        link.reset_chance = (uint32_t)prng_below(prng, WORLD_ALWAYS / 100);
        link.retry_max = 200 * TIME_US_PER_MS;
    } else {
        link.bytes_per_second = 2000 + prng_below(prng, 60000);
        link.window_bytes = 1000 + prng_below(prng, 60000);
    }
    return link;
}

static void strike_link(struct swarm *swarm, enum fault fault)
{
    unsigned a = any_site(swarm), b = any_site(swarm);
    if (a == b || !lasts(swarm, fault, a, b, 10000))
        return;
    struct world_link link = strike_draw_link(swarm, &swarm->faults, fault);
    if (fault == FAULT_LOSSY)
        NOTE(swarm, fault, a, b, "the way to n%u loses %u per mille", b, link.loss_chance / 1000);
    else
        NOTE(swarm, fault, a, b, "the way to n%u carries %llu bytes a second", b,
             (unsigned long long)link.bytes_per_second);
    world_link_set(swarm->world, a, b, &link);
}

/* ---- clocks ---- */

static void strike_clock_jump(struct swarm *swarm)
{
    unsigned id = any_site(swarm);
    int64_t seconds = (int64_t)below(swarm, 200000) - 100000;
    NOTE(swarm, FAULT_CLOCK_JUMP, id, 0, "the wall clock is set by %lld s", (long long)seconds);
    world_wall_jump(swarm->world, id, seconds * 1000000);
}

/* ---- operators ---- */

static void strike_operator(struct swarm *swarm, enum fault fault)
{
    unsigned at = any_site(swarm), id = any_site(swarm);
    if (!site_is_open(&swarm->sites[at]))
        return;
    if (fault == FAULT_TRANSFER) {
        NOTE(swarm, fault, at, id, "is asked to make n%u lead", id);
        work_transfer(swarm, at, id);
        return;
    }
    struct address http = site_http(any_site(swarm));
    if (below(swarm, 2) == 0)
        http.port = (uint16_t)(1 + below(swarm, 65535));
    NOTE(swarm, fault, at, id, "is told that n%u is at %s:%u", id, http.host, http.port);
    work_announce(swarm, at, id, &http);
}

/* ---- when ---- */

static void strike_disks(struct swarm *swarm, enum fault fault)
{
    switch ((int)fault) {
    case FAULT_IO_CRASH:
    case FAULT_DISK_FULL:
    case FAULT_IO_ERROR:
        strike_io(swarm, fault);
        return;
    case FAULT_READ_ERROR:
    case FAULT_NO_ROOM:
        strike_disk(swarm, fault);
        return;
    case FAULT_SLOW_DISK:
        strike_slow_disk(swarm);
        return;
    case FAULT_LOST_WRITE:
        strike_lost_write(swarm);
        return;
    case FAULT_WIPE:
        lose_wipe(&swarm->sites[any_site(swarm)]);
        return;
    case FAULT_ROT:
        lose_rot(&swarm->sites[any_site(swarm)]);
        return;
    case FAULT_OLD_DISK:
        lose_old_disk(&swarm->sites[any_site(swarm)]);
        return;
    default:
        UNREACHABLE();
    }
}

static void strike(struct swarm *swarm, enum fault fault)
{
    switch (fault) {
    case FAULT_CRASH:
        strike_crash(swarm);
        return;
    case FAULT_POWER_CUT:
        strike_power_cut(swarm);
        return;
    case FAULT_PAUSE:
        strike_pause(swarm);
        return;
    case FAULT_CUT:
        strike_cut(swarm);
        return;
    case FAULT_ISOLATE:
        strike_isolate(swarm);
        return;
    case FAULT_PARTITION:
        strike_partition(swarm);
        return;
    case FAULT_RESET:
    case FAULT_HALF_OPEN:
        strike_streams(swarm, fault);
        return;
    case FAULT_LOSSY:
    case FAULT_NARROW:
        strike_link(swarm, fault);
        return;
    case FAULT_SLOW_CPU:
        strike_slow_cpu(swarm);
        return;
    case FAULT_CLOCK_JUMP:
        strike_clock_jump(swarm);
        return;
    case FAULT_ROLLING:
        rolling_strike(swarm);
        return;
    case FAULT_MEMBERS:
        members_strike(swarm);
        return;
    case FAULT_TRANSFER:
    case FAULT_ANNOUNCE:
        strike_operator(swarm, fault);
        return;
    case FAULT_IO_CRASH:
    case FAULT_DISK_FULL:
    case FAULT_IO_ERROR:
    case FAULT_READ_ERROR:
    case FAULT_NO_ROOM:
    case FAULT_SLOW_DISK:
    case FAULT_LOST_WRITE:
    case FAULT_WIPE:
    case FAULT_ROT:
    case FAULT_OLD_DISK:
        strike_disks(swarm, fault);
        return;
    case FAULT_TORN: /* in effect from the start: sites.c */
    case FAULT_CLOCK:
    case FAULT_WINDOWS:
    case FAULT_DATA:
    case FAULT_COUNT:
        break;
    }
    UNREACHABLE();
}

static void end(struct swarm *swarm, const struct ending *ending)
{
    struct world_link link = strike_usual_link(swarm);
    swarm_note(swarm, TRACE_HEAL, ending->a, ending->b, ending->fault, 0, "%s is over",
               fault_info(ending->fault)->word);
    switch ((int)ending->fault) {
    case FAULT_PAUSE:
        if (swarm->sites[ending->a].is_paused)
            site_pause(&swarm->sites[ending->a], false);
        return;
    case FAULT_SLOW_CPU:
        world_slow_cpu(swarm->world, ending->a, 0);
        return;
    case FAULT_CUT:
        cut(swarm, ending->a, ending->b, false);
        return;
    case FAULT_ISOLATE:
        set_apart(swarm, ending->a, false);
        return;
    case FAULT_PARTITION:
        world_heal(swarm->world);
        return;
    case FAULT_LOSSY:
    case FAULT_NARROW:
        world_link_set(swarm->world, ending->a, ending->b, &link);
        return;
    case FAULT_SLOW_DISK:
        world_slow_disk(swarm->world, ending->a, 0);
        return;
    case FAULT_READ_ERROR:
    case FAULT_NO_ROOM:
        strike_heal_disk(swarm, ending->a);
        return;
    default:
        UNREACHABLE();
    }
}

/* Times between two are spread so that they come in bursts and lulls. */
static time_us next_of(struct swarm *swarm, enum fault fault)
{
    struct prng *prng = fault < FAULT_LATE_FIRST ? &swarm->faults : &swarm->late;
    time_us every = swarm->plan.fault_every[fault];
    time_us share = prng_below(prng, 3) == 0 ? 4 * every : every / 2;
    return world_now(swarm->world) + 1 + prng_below(prng, MAX(share, (time_us)1));
}

void strike_begin(struct swarm *swarm)
{
    for (unsigned i = 0; i < FAULT_COUNT; i++) {
        bool strikes = (swarm->plan.faults & 1u << i) != 0 && fault_info((enum fault)i)->every_ms;
        swarm->strikes_at[i] = strikes ? next_of(swarm, (enum fault)i) : TIME_NEVER;
    }
}

time_us strike_next(const struct swarm *swarm)
{
    time_us next = TIME_NEVER;
    for (unsigned i = 0; i < FAULT_COUNT; i++)
        next = MIN(next, swarm->strikes_at[i]);
    for (size_t i = 0; i < swarm->endings_count; i++)
        next = MIN(next, swarm->endings[i].at);
    return next;
}

void strike_due(struct swarm *swarm)
{
    time_us now = world_now(swarm->world);
    for (size_t i = 0; i < swarm->endings_count;) {
        struct ending ending = swarm->endings[i];
        if (ending.at > now) {
            i++;
            continue;
        }
        swarm->endings[i] = swarm->endings[--swarm->endings_count];
        end(swarm, &ending);
    }
    for (unsigned i = 0; i < FAULT_COUNT; i++) {
        if (swarm->strikes_at[i] > now)
            continue;
        strike(swarm, (enum fault)i);
        swarm->strikes_at[i] = next_of(swarm, (enum fault)i);
    }
}

/* ---- the end of all ---- */

static void heal_site(struct swarm *swarm, struct site *site)
{
    world_crash_at_io(swarm->world, site->id, 0, WORLD_STOP_CRASH);
    world_fault_at_io(swarm->world, site->id, 0, WORLD_IO_GOOD);
    world_slow_disk(swarm->world, site->id, 0);
    world_slow_cpu(swarm->world, site->id, 0);
    strike_heal_disk(swarm, site->id);
    if (site->is_paused)
        site_pause(site, false);
    if (site->node == NULL)
        site->boot_at = world_now(swarm->world);
}

/* The core is healed; the others stay as they are, but for pauses, and far away. */
void strike_heal(struct swarm *swarm)
{
    struct world_link link = strike_usual_link(swarm);
    swarm->endings_count = 0;
    rolling_heal(swarm);
    world_heal(swarm->world);
    world_link_set_all(swarm->world, &link);
    for (unsigned i = 1; i <= swarm->plan.nodes_count; i++) {
        struct site *site = &swarm->sites[i];
        if ((swarm->core & 1u << i) != 0) {
            heal_site(swarm, site);
            continue;
        }
        set_apart(swarm, i, true);
        if (site->is_paused) /* who has asked it something is told that it cannot */
            site_pause(site, false);
        if (site->node == NULL)
            site->boot_at = TIME_NEVER;
    }
}
