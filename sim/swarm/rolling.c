/* Rolling restarts: all machines restart, one after the other, as when a new version is rolled out.
 * Each is told to stop, as by SIGTERM, or killed; the next one follows when this one is ready
 * again, or when its operator has waited long enough. Sometimes twice in a row.
 *
 * Where nothing else happens (plan_is_calm) this must cost nobody an answer, and every node is
 * ready again in time; what answers may say then is in answers.c.
 *
 *      wait until it is on ─▶ stop it ─▶ wait until it is ready ─▶ the next one */
#include "sim/swarm/members.h"

enum { LOOK_AGAIN_MS = 20, AWAY_MS = 1500, PATIENCE_MIN_MS = 1000, PATIENCE_MAX_MS = 15000 };

static uint64_t below(struct swarm *swarm, uint64_t limit)
{
    return prng_below(&swarm->late, limit);
}

static time_us in_ms(const struct swarm *swarm, uint64_t ms)
{
    return world_now(swarm->world) + ms * TIME_US_PER_MS;
}

static struct site *site_at_turn(struct swarm *swarm)
{
    return &swarm->sites[swarm->rolling.order[swarm->rolling.at]];
}

static bool is_ready(const struct site *site)
{
    return site->node != NULL && !site->is_paused && !site->is_stopping &&
           node_is_ready(site->node);
}

/* ---- one machine after the other ---- */

static void begin_turn(struct swarm *swarm)
{
    struct rolling *rolling = &swarm->rolling;
    uint64_t ms = PATIENCE_MIN_MS + below(swarm, PATIENCE_MAX_MS - PATIENCE_MIN_MS);
    rolling->has_stopped = false;
    rolling->until = plan_is_calm(&swarm->plan) ? world_now(swarm->world) + swarm_bound(swarm)
                                                : in_ms(swarm, ms);
}

/* In the order of their numbers, or in any. */
static void begin_round(struct swarm *swarm)
{
    struct rolling *rolling = &swarm->rolling;
    unsigned count = swarm->plan.nodes_count;
    bool in_order = below(swarm, 2) == 0;
    for (unsigned i = 0; i < count; i++)
        rolling->order[i] = i + 1;
    for (unsigned i = 0; i < count && !in_order; i++) {
        unsigned at = i + (unsigned)below(swarm, count - i), id = rolling->order[at];
        rolling->order[at] = rolling->order[i];
        rolling->order[i] = id;
    }
    rolling->kills = swarm->plan.rolling_kills ? (enum rolling_kills)below(swarm, 3) : KILLS_NONE;
    rolling->at = 0;
    swarm->totals.faults[FAULT_ROLLING]++;
    swarm_note(swarm, TRACE_FAULT, 0, 0, FAULT_ROLLING, rolling->kills,
               "all restart, one after the other, beginning with n%u", rolling->order[0]);
    begin_turn(swarm);
}

static void end_turn(struct swarm *swarm)
{
    struct rolling *rolling = &swarm->rolling;
    if (++rolling->at < swarm->plan.nodes_count) {
        begin_turn(swarm);
        return;
    }
    if (--rolling->rounds_left > 0) {
        begin_round(swarm);
        return;
    }
    rolling->is_on = false;
    swarm_note(swarm, TRACE_HEAL, 0, 0, FAULT_ROLLING, 0, "all have restarted");
}

static void stop(struct swarm *swarm, struct site *site)
{
    struct rolling *rolling = &swarm->rolling;
    bool is_killed =
        rolling->kills == KILLS_ALL || (rolling->kills == KILLS_SOME && below(swarm, 2) == 0);
    time_us away = (10 + below(swarm, AWAY_MS)) * TIME_US_PER_MS;
    rolling->has_stopped = true;
    if (!is_killed) {
        swarm_note(swarm, TRACE_FAULT, site->id, 0, FAULT_ROLLING, 0, "is told to stop");
        site_stop_gently(site, away, below(swarm, 4) != 0);
        return;
    }
    site_stop(site, WORLD_STOP_KILL, "is killed, to be started again");
    site->boot_at = world_now(swarm->world) + away;
}

/* Nobody has a reason not to be ready. */
static void check_patience(struct swarm *swarm, const struct site *site)
{
    if (plan_is_calm(&swarm->plan))
        swarm_violate(swarm, VERDICT_LIVENESS, "ready again",
                      "n%u is not ready %llu ms after it was told to restart", site->id,
                      (unsigned long long)(swarm_bound(swarm) / TIME_US_PER_MS));
}

static void look(struct swarm *swarm)
{
    struct rolling *rolling = &swarm->rolling;
    struct site *site = site_at_turn(swarm);
    bool is_late = world_now(swarm->world) >= rolling->until;
    bool can_stop = site->node != NULL && !site->is_paused && !site->is_stopping;
    rolling->look_at = in_ms(swarm, LOOK_AGAIN_MS);
    if (site->is_out) { /* not one of theirs */
        end_turn(swarm);
    } else if (!rolling->has_stopped && can_stop) {
        stop(swarm, site);
    } else if (rolling->has_stopped && is_ready(site)) {
        end_turn(swarm);
    } else if (is_late) {
        check_patience(swarm, site);
        end_turn(swarm);
    }
}

/* ---- when ---- */

static bool are_all_ready(const struct swarm *swarm)
{
    for (unsigned i = 1; i <= swarm->plan.nodes_count; i++)
        if (!is_ready(&swarm->sites[i]))
            return false;
    return true;
}

void rolling_strike(struct swarm *swarm)
{
    struct rolling *rolling = &swarm->rolling;
    if (rolling->is_on || (plan_is_calm(&swarm->plan) && !are_all_ready(swarm)))
        return;
    rolling->is_on = rolling->has_begun = true;
    rolling->rounds_left = below(swarm, 3) == 0 ? 2 : 1;
    rolling->look_at = world_now(swarm->world);
    begin_round(swarm);
}

time_us rolling_next(const struct swarm *swarm)
{
    return swarm->rolling.is_on ? swarm->rolling.look_at : TIME_NEVER;
}

void rolling_due(struct swarm *swarm)
{
    while (rolling_next(swarm) <= world_now(swarm->world) && !swarm_is_violated(swarm))
        look(swarm);
}

void rolling_heal(struct swarm *swarm)
{
    swarm->rolling.is_on = false; /* who is stopping still does, and is on again soon */
}
