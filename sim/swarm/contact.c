/* Who hears whom: a leader that no majority answers gives up, and a follower whose leader is
 * silent stops following it (Raft §5.2, thesis §6.2). Both within an election timeout or two, by
 * the machine's own clock; here it is given a second more, and only counts while it runs. */
#include "sim/swarm/members.h"

enum { STILL_US = 300 * 1000 }; /* between two looks: it was paused, off, or busy */

void contact_on_arrival(struct site *site, unsigned from, enum message_type type)
{
    time_us now = world_now_at(site->swarm->world, site->id);
    REQUIRE(from >= 1 && from <= PLAN_NODES_MAX);
    site->heard_at[from] = now;
    if (type == MESSAGE_APPEND || type == MESSAGE_SNAPSHOT)
        site->appended_at[from] = now;
}

void contact_begin(struct site *site)
{
    time_us now = world_now_at(site->swarm->world, site->id);
    for (unsigned i = 0; i <= PLAN_NODES_MAX; i++)
        site->heard_at[i] = site->appended_at[i] = now;
    site->quiet_since = site->looked_at = now;
    site->role_term = 0;
    site->leader_seen = NODE_NONE;
}

static void watch_leader(struct site *site, time_us now, time_us patience)
{
    struct config config = members_in_force(site, site->last_seen);
    unsigned heard = 0;
    uint32_t voters = 0;
    for (uint32_t i = 0; i < config.members_count; i++)
        if (config.members[i].is_voter)
            voters |= 1u << config.members[i].id;
    if (voters != site->voters_seen) /* other majorities: they may need to be heard first */
        site->quiet_since = now;
    site->voters_seen = voters;
    for (uint32_t i = 0; i < config.members_count; i++) {
        const struct member *member = &config.members[i];
        bool is_heard = member->id == site->id ||
                        MAX(site->heard_at[member->id], site->quiet_since) + patience >= now;
        heard += member->is_voter && is_heard;
    }
    if (heard < config_voters_count(&config) / 2 + 1)
        swarm_violate(site->swarm, VERDICT_SAFETY, "leads unheard",
                      "n%u leads, and has not heard a majority for %llu ms", site->id,
                      (unsigned long long)(patience / TIME_US_PER_MS));
}

void contact_watch(struct site *site, const struct raft_view *view)
{
    const struct swarm *swarm = site->swarm;
    time_us now = world_now_at(swarm->world, site->id);
    time_us patience = 2 * swarm->plan.election + 1000 * TIME_US_PER_MS;
    bool is_new = view->role != site->role_seen || view->term != site->role_term ||
                  view->leader != site->leader_seen;
    if (is_new || site->is_paused || now > site->looked_at + STILL_US)
        site->quiet_since = now;
    site->looked_at = now;
    site->role_seen = view->role;
    site->role_term = view->term;
    site->leader_seen = view->leader;
    if (now < patience)
        return;
    if (view->role == RAFT_ROLE_LEADER)
        watch_leader(site, now, patience);
    else if (view->leader != NODE_NONE &&
             MAX(site->appended_at[view->leader], site->quiet_since) + patience < now)
        swarm_violate(site->swarm, VERDICT_SAFETY, "follows a silent leader",
                      "n%u follows n%u, which has been silent for %llu ms", site->id, view->leader,
                      (unsigned long long)(patience / TIME_US_PER_MS));
}
