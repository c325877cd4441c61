/* Faults that take away what a disk held: all of it, a bit of it, or what is younger than a copy.
 *
 * Never so much that what was promised goes with it. A machine whose disk is emptied or damaged is
 * lost: it counts for nothing until its operator has put another one in its place, and a majority
 * of all that may come to have a vote stays without it.
 *
 * An older copy of its own disk is something that nobody notices, and Raft does not survive it in
 * general: the machine may vote a second time in a term, and has forgotten what it acknowledged.
 * So here it comes back only where neither matters: it has not voted since, and each entry that it
 * loses is on the disks of so many others that every majority has one of them. Then it must be as
 * good as a machine that was slow. */
#include <stdio.h>

#include "sim/swarm/members.h"
#include "storage/wal_format.h"

static uint64_t below(struct swarm *swarm, uint64_t limit)
{
    return prng_below(&swarm->faults, limit);
}

static bool can_lose(const struct site *site)
{
    return site->node != NULL && !site->may_be_damaged && !site->is_out &&
           members_can_do_without(site->swarm, site->id);
}

/* From when on an empty disk is known for what it is: every member has applied who has which. */
static bool is_registered(const struct swarm *swarm, unsigned id)
{
    const struct config *members = members_now(swarm);
    for (uint32_t i = 0; i < members->members_count; i++) {
        const struct node *node = swarm->sites[members->members[i].id].node;
        const struct kv_member *member = node != NULL ? kv_member(node_kv(node), id) : NULL;
        if (member == NULL || member->identity == 0)
            return false;
    }
    return true;
}

/* Founders with empty disks that are a majority of all founders are a cluster of their own: nobody
 * could tell that it is not a new one. */
static bool may_found(const struct site *site)
{
    const struct config *founders = &site->swarm->configs[0].config;
    unsigned empty = 1;
    for (uint32_t i = 0; i < founders->members_count; i++) {
        const struct site *founder = &site->swarm->sites[founders->members[i].id];
        empty += founder != site && !founder->joins && founder->may_be_damaged;
    }
    return empty < founders->members_count / 2 + 1;
}

void lose_wipe(struct site *site)
{
    struct swarm *swarm = site->swarm;
    if (!can_lose(site) || site->joins || !may_found(site) || !is_registered(swarm, site->id))
        return;
    swarm->totals.faults[FAULT_WIPE]++;
    swarm_note(swarm, TRACE_FAULT, site->id, 0, FAULT_WIPE, 0, "gets an empty disk");
    site_stop(site, WORLD_STOP_CRASH, "loses its disk");
    site_wipe(site);
    site->may_be_damaged = true; /* it comes back, and the others must not let it in */
    members_replace(site);
}

/* In a segment that is not the last: what stands behind it proves that it was synced. Or in the
 * newest snapshot. */
static bool flip(struct site *site, char path[64])
{
    struct swarm *swarm = site->swarm;
    const struct truth *truth = &site->truth;
    uint64_t back = 1 + below(swarm, 4), block = 1 + below(swarm, 16);
    uint64_t offset = block * WAL_BLOCK_BYTES + below(swarm, 200);
    uint8_t mask = (uint8_t)(1u << below(swarm, 8));
    if (truth->snapshot.index != 0 && below(swarm, 3) == 0)
        (void)snprintf(path, 64, "snap/%016llx-%016llx.snap",
                       (unsigned long long)truth->snapshot.index,
                       (unsigned long long)truth->snapshot.term);
    else if (truth->segment > back)
        (void)snprintf(path, 64, "wal/%016llx.log", (unsigned long long)(truth->segment - back));
    else
        return false;
    return world_disk_flip(swarm->world, site->id, path, offset, mask);
}

void lose_rot(struct site *site)
{
    char path[64];
    if (!can_lose(site) || !flip(site, path))
        return;
    site->swarm->totals.faults[FAULT_ROT]++;
    swarm_note(site->swarm, TRACE_FAULT, site->id, 0, FAULT_ROT, 0, "a bit of %s turns round",
               path);
    site->may_be_damaged = true;
    members_replace(site);
}

/* ---- an older copy ---- */

void lose_release(struct site *site)
{
    world_copy_free(site->copy);
    truth_release(&site->truth_copied);
    site->copy = NULL;
}

static void take_copy(struct site *site)
{
    lose_release(site);
    site->copy = world_disk_copy(site->swarm->world, site->id);
    site->truth_copied = truth_copy(&site->truth);
}

/* So many that every majority of the voters has one of them. */
static bool is_on_enough(const struct site *site, struct entry_id id)
{
    const struct swarm *swarm = site->swarm;
    const struct config *members = members_now(swarm);
    unsigned voters = config_voters_count(members), count = 0;
    for (uint32_t i = 0; i < members->members_count; i++) {
        const struct site *other = &swarm->sites[members->members[i].id];
        count += members->members[i].is_voter && other != site && !other->may_be_damaged &&
                 truth_has(&other->truth, id);
    }
    return count >= voters - voters / 2;
}

/* With an older configuration go back those who counted then: a majority of these may be others. */
static bool knows_members(const struct site *site, raft_index end)
{
    const struct swarm *swarm = site->swarm;
    return swarm->configs[swarm->configs_count - 1].index <= end;
}

static bool can_go_back(const struct site *site)
{
    const struct truth *now = &site->truth, *then = &site->truth_copied;
    bool is_same_vote = now->hard_state.term == then->hard_state.term &&
                        now->hard_state.vote == then->hard_state.vote;
    if (site->copy == NULL || !is_same_vote || !members_are_settled(site->swarm) ||
        !knows_members(site, truth_end(then)))
        return false;
    for (raft_index i = truth_end(then) + 1; i <= truth_end(now); i++) {
        raft_term term = i <= now->last ? now->terms[i] : 0;
        if (term == 0 || !is_on_enough(site, (struct entry_id){.term = term, .index = i}))
            return false;
    }
    return true;
}

void lose_old_disk(struct site *site)
{
    struct swarm *swarm = site->swarm;
    if (!can_lose(site))
        return;
    if (!can_go_back(site) || below(swarm, 4) == 0) {
        take_copy(site);
        return;
    }
    swarm->totals.faults[FAULT_OLD_DISK]++;
    swarm_note(swarm, TRACE_FAULT, site->id, 0, FAULT_OLD_DISK, 0,
               "its disk becomes what it was: the log ends with %llu instead of %llu",
               (unsigned long long)truth_end(&site->truth_copied),
               (unsigned long long)truth_end(&site->truth));
    site_stop(site, WORLD_STOP_CRASH, "gets an older copy of its disk");
    world_disk_restore(swarm->world, site->id, site->copy);
    struct truth then = truth_copy(&site->truth_copied);
    raft_term told = site->term_told;
    site_forget_disk(site);
    site->truth = then;
    site->term_told = told; /* the same on both */
}
