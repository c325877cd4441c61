/* Operators who change the members: they take one out, let it in again later with an empty disk or
 * the one it had, put another machine in the place of one whose disk is gone, and let the cluster
 * grow from few. They ask any node, again and again until one says that it is done, sometimes
 * twice at once, and never look whether a change is open.
 *
 * What they never do is ask for a cluster that could not go on: of all members that may have a vote
 * when everything asked for has come about, a majority keeps its data. */
#include "sim/swarm/members.h"

#include <stdio.h>

enum {
    ASK_AGAIN_MS = 1000,
    JOIN_AGAIN_MS = 3000, /* as minikvd does, until a snapshot is there */
    GRACE_MS = 6000       /* how long a removed process may go on */
};

static uint64_t below(struct swarm *swarm, uint64_t limit)
{
    return prng_below(&swarm->operators, limit);
}

static time_us in_ms(struct swarm *swarm, uint64_t ms_max)
{
    return world_now(swarm->world) + (1 + below(swarm, ms_max)) * TIME_US_PER_MS;
}

/* ---- who is a member ---- */

const struct config *members_now(const struct swarm *swarm)
{
    REQUIRE(swarm->configs_count > 0);
    return &swarm->configs[swarm->configs_count - 1].config;
}

bool members_has(const struct swarm *swarm, unsigned id)
{
    return config_find(members_now(swarm), id) != NULL;
}

static void note_config(struct swarm *swarm, raft_index index, const struct config *config)
{
    if (swarm->configs_count > 0 && swarm->configs[swarm->configs_count - 1].index >= index)
        return;
    struct truth_config *line =
        swarm_append((void **)&swarm->configs, &swarm->configs_count, sizeof swarm->configs[0]);
    *line = (struct truth_config){index, *config};
    swarm->totals.changes += swarm->configs_count > 1;
}

void members_on_committed(const struct site *site, raft_index index, const struct entry *entry)
{
    struct config config;
    const struct config *written = truth_config_at(&site->truth, index);
    if (entry != NULL && entry->type == ENTRY_CONFIG && entry_config(entry, &config) == ST_OK)
        note_config(site->swarm, index, &config);
    else if (entry == NULL && written != NULL)
        note_config(site->swarm, index, written);
}

/* A configuration counts from the moment it is in the log (thesis §4.1). */
struct config members_in_force(const struct site *site, raft_index last)
{
    const struct swarm *swarm = site->swarm;
    const struct raft *raft = node_raft(site->node);
    raft_index known = chronicle_last(&swarm->chronicle);
    struct config config;
    for (raft_index i = last; i > known; i--) {
        const struct entry *entry = raft_entry(raft, i);
        if (entry != NULL && entry->type == ENTRY_CONFIG && entry_config(entry, &config) == ST_OK)
            return config;
    }
    size_t at = swarm->configs_count;
    while (at > 1 && swarm->configs[at - 1].index > last)
        at--;
    return swarm->configs[at - 1].config;
}

/* ---- what the cluster can bear ---- */

/* A request without an answer may be carried out as long as its term lasts, and no longer: what is
 * committed of a later one stands in front of it. */
static bool may_happen(const struct swarm *swarm, raft_term asked_in)
{
    return asked_in != 0 && asked_in >= swarm->term_committed;
}

static bool may_leave(const struct site *site)
{
    return site->wish == WISH_REMOVED || site->removes_open > 0 ||
           may_happen(site->swarm, site->removed_in);
}

static bool may_vote(const struct swarm *swarm, const struct site *site)
{
    return members_has(swarm, site->id) || site->wish == WISH_JOINED || site->joins_open > 0 ||
           may_happen(swarm, site->joined_in);
}

bool members_can_do_without(const struct swarm *swarm, unsigned id)
{
    unsigned healthy = 0, voters = 0;
    for (unsigned i = 1; i <= swarm->plan.nodes_count; i++) {
        const struct site *site = &swarm->sites[i];
        const struct member *member = config_find(members_now(swarm), i);
        bool is_good = !site->is_lost && !site->may_be_damaged && !site->is_out;
        voters += may_vote(swarm, site);
        healthy += i != id && member != NULL && member->is_voter && is_good && !may_leave(site);
    }
    return healthy >= voters / 2 + 1;
}

bool members_are_settled(const struct swarm *swarm)
{
    raft_index known = swarm->configs[swarm->configs_count - 1].index;
    for (unsigned i = 1; i <= swarm->plan.nodes_count; i++) {
        const struct site *site = &swarm->sites[i];
        const struct member *member = config_find(members_now(swarm), i);
        bool has_more = site->truth.configs_count > 0 &&
                        site->truth.configs[site->truth.configs_count - 1].index > known;
        bool is_learner = member != NULL && !member->is_voter;
        /* what it goes by may be older, or not yet committed */
        bool is_apart = site->node != NULL && members_has(swarm, i) &&
                        config_voters_count(raft_config(node_raft(site->node))) !=
                            config_voters_count(members_now(swarm));
        if (may_leave(site) || is_learner || has_more || is_apart ||
            (member == NULL && may_vote(swarm, site)) || (member != NULL && site->is_out))
            return false;
    }
    return true;
}

/* ---- asking ---- */

static bool may_be_asked(const struct site *site)
{
    return site->node != NULL && !site->is_paused;
}

/* Any node that is on, but for `other`; 0: there is none. One that is no member is taken only if
 * there is no other: it can but wait for a leader that it will never hear of. */
static unsigned any_node(struct swarm *swarm, unsigned other)
{
    unsigned left = 0;
    unsigned count = swarm->plan.nodes_count, first = (unsigned)below(swarm, count);
    for (unsigned i = 0; i < count; i++) {
        unsigned id = 1 + (first + i) % count;
        if (id == other || !may_be_asked(&swarm->sites[id]))
            continue;
        if (members_has(swarm, id))
            return id;
        left = id;
    }
    return left;
}

static void ask(struct site *site)
{
    struct swarm *swarm = site->swarm;
    bool is_join = site->wish == WISH_JOINED;
    unsigned at = any_node(swarm, is_join ? site->id : 0);
    site->ask_at = in_ms(swarm, ASK_AGAIN_MS);
    if (at == 0 || (is_join && site->node == NULL))
        return;
    if (is_join && members_has(swarm, site->id) && node_applied(site->node) > 0) {
        site->wish = WISH_NOTHING; /* as minikvd: it has a state, and is in it */
        return;
    }
    struct command command = {.op = is_join ? COMMAND_JOIN : COMMAND_REMOVE, .member = site->id};
    if (is_join) {
        command.peer = site_peer(site->id);
        command.member_identity = node_identity(site->node);
        if (node_applied(swarm->sites[at].node) > 0) {
            struct config hint = members_hint(&swarm->sites[at], site->id);
            node_hint(site->node, &hint);
        }
    }
    site->joins_open += is_join;
    site->removes_open += !is_join;
    site->ask_at = TIME_NEVER;
    work_change_members(swarm, at, &command);
}

/* What a member tells a node that is about to join. */
struct config members_hint(const struct site *at, unsigned id)
{
    const struct config *members = kv_config(node_kv(at->node));
    struct config hint = {0};
    for (uint32_t i = 0; i < members->members_count; i++)
        if (members->members[i].id != id && config_add(&hint, &members->members[i]) != ST_OK)
            break;
    return hint;
}

const struct site *members_find_guide(const struct swarm *swarm)
{
    for (unsigned i = 1; i <= swarm->plan.nodes_count; i++) {
        const struct site *site = &swarm->sites[i];
        if (site->node != NULL && node_applied(site->node) > 0 && members_has(swarm, i))
            return site;
    }
    return NULL;
}

static void on_removed(struct site *site)
{
    struct swarm *swarm = site->swarm;
    bool must_return = site->may_be_damaged || site->is_lost;
    site->wish = WISH_NOTHING;
    site->is_out = true;
    site->leave_at = in_ms(swarm, GRACE_MS);
    site->return_at = must_return || below(swarm, 2) == 0 ? in_ms(swarm, 10000) : TIME_NEVER;
    swarm_note(swarm, TRACE_HEAL, site->id, 0, FAULT_MEMBERS, 0, "is a member no more");
}

static void on_joined(struct site *site)
{
    bool is_known = site->node != NULL && node_applied(site->node) > 0;
    site->wish = is_known ? WISH_NOTHING : WISH_JOINED;
    site->ask_at = world_now(site->swarm->world) + JOIN_AGAIN_MS * TIME_US_PER_MS;
    swarm_note(site->swarm, TRACE_HEAL, site->id, 0, FAULT_MEMBERS, 0, "has been let in");
}

/* Which term the cluster may be in, as far as anybody has shown. */
static raft_term newest_term(const struct swarm *swarm)
{
    raft_term term = 0;
    for (unsigned i = 1; i <= swarm->plan.nodes_count; i++)
        term = MAX(term, swarm->sites[i].term_seen);
    return term;
}

void members_on_answer(const struct operation *operation, enum status status)
{
    struct swarm *swarm = operation->swarm;
    struct site *site = &swarm->sites[operation->member];
    bool is_join = operation->is_join;
    enum wish wish = is_join ? WISH_JOINED : WISH_REMOVED;
    raft_term *asked_in = is_join ? &site->joined_in : &site->removed_in;
    unsigned *open = is_join ? &site->joins_open : &site->removes_open;
    (*open)--;
    if (operation->fate == FATE_MAYBE)
        *asked_in = newest_term(swarm);
    if (site->wish != wish) /* the other of two requests was quicker */
        return;
    site->ask_at = in_ms(swarm, ASK_AGAIN_MS);
    if (status == ST_OK && is_join)
        on_joined(site);
    else if (status == ST_OK)
        on_removed(site);
    else if (status == ST_LAST_VOTER)
        site->wish = WISH_NOTHING;
    else if (status == ST_MEMBER_EXISTS && !swarm->is_healing)
        site->wish = WISH_REMOVED; /* its operator has to take the old one out first */
}

/* ---- what they do ---- */

/* The machine comes with an empty disk, or with what it knew when it was taken out. */
static void let_in(struct site *site)
{
    struct swarm *swarm = site->swarm;
    bool is_new = site->is_fresh || site->may_be_damaged || site->is_lost || below(swarm, 4) != 0;
    if (site->node != NULL)
        site_stop(site, WORLD_STOP_KILL, "is switched off by its operator");
    else if (world_is_on(swarm->world, site->id))
        world_stop(swarm->world, site->id, WORLD_STOP_KILL);
    if (is_new)
        site_wipe(site);
    site->is_fresh = is_new;
    site->may_be_damaged = site->is_lost = site->is_out = false;
    site->joins = true;
    site->wish = WISH_JOINED;
    site->return_at = TIME_NEVER;
    site->boot_at = site->ask_at = world_now(swarm->world);
    swarm->totals.faults[FAULT_MEMBERS]++;
    swarm_note(swarm, TRACE_FAULT, site->id, 0, FAULT_MEMBERS, 0, "asks to join with %s disk",
               is_new ? "an empty" : "its old");
}

void members_replace(struct site *site)
{
    site->wish = WISH_REMOVED;
    site->ask_at = in_ms(site->swarm, 8000);
}

void members_strike(struct swarm *swarm)
{
    struct site *site = &swarm->sites[1 + below(swarm, swarm->plan.nodes_count)];
    bool is_member = members_has(swarm, site->id);
    if (site->wish != WISH_NOTHING) {
        if (site->ask_at == TIME_NEVER)
            ask(site); /* a second time, at another node */
    } else if (site->is_out) {
        if (!is_member)
            let_in(site);
    } else if (!is_member) { /* a request that had no answer took it out */
        site->wish = WISH_JOINED;
        site->ask_at = world_now(swarm->world);
    } else if (members_can_do_without(swarm, site->id)) {
        swarm->totals.faults[FAULT_MEMBERS]++;
        swarm_note(swarm, TRACE_FAULT, site->id, 0, FAULT_MEMBERS, 0, "is to be removed");
        site->wish = WISH_REMOVED;
        site->ask_at = world_now(swarm->world);
    }
}

void members_begin(struct swarm *swarm)
{
    struct config founders = {0};
    for (unsigned i = 1; i <= swarm->plan.nodes_count; i++) {
        struct site *site = &swarm->sites[i];
        struct member member = {.id = i, .is_voter = true, .peer = site_peer(i)};
        site->ask_at = site->leave_at = site->return_at = TIME_NEVER;
        site->is_out = i > plan_founders(&swarm->plan);
        site->is_fresh = site->is_out;
        if (site->is_out) {
            site->return_at = in_ms(swarm, 20000);
            continue;
        }
        enum status status = config_add(&founders, &member);
        REQUIRE(status == ST_OK);
    }
    note_config(swarm, 1, &founders);
}

static void site_due(struct site *site, time_us now)
{
    struct swarm *swarm = site->swarm;
    if (site->is_out && site->leave_at <= now) {
        site->leave_at = TIME_NEVER;
        if (members_has(swarm, site->id))
            site->is_out = false; /* a request to join that had no answer has come about */
        else if (site->node != NULL)
            site_stop(site, WORLD_STOP_KILL, "is switched off by its operator");
    }
    if (site->is_out && site->return_at <= now && !swarm->is_healing) {
        site->return_at = TIME_NEVER;
        if (!members_has(swarm, site->id))
            let_in(site);
    }
    if (site->wish != WISH_NOTHING && site->ask_at <= now)
        ask(site);
}

void members_due(struct swarm *swarm)
{
    for (unsigned i = 1; i <= swarm->plan.nodes_count; i++)
        site_due(&swarm->sites[i], world_now(swarm->world));
}

time_us members_next(const struct swarm *swarm)
{
    time_us next = TIME_NEVER;
    for (unsigned i = 1; i <= swarm->plan.nodes_count; i++) {
        const struct site *site = &swarm->sites[i];
        if (site->wish != WISH_NOTHING)
            next = MIN(next, site->ask_at);
        if (site->is_out)
            next = MIN(next, MIN(site->leave_at, swarm->is_healing ? TIME_NEVER : site->return_at));
    }
    return next;
}

/* ---- in the end ---- */

/* Nobody is taken out any more; who has been asking to join still does, and does not wait for one
 * that may be off for good. */
void members_heal(struct swarm *swarm)
{
    for (unsigned i = 1; i <= swarm->plan.nodes_count; i++) {
        struct site *site = &swarm->sites[i];
        if (site->wish == WISH_REMOVED)
            site->wish = WISH_NOTHING;
        else if (site->wish == WISH_JOINED)
            site->ask_at = world_now(swarm->world);
    }
}

bool members_are_owed(const struct swarm *swarm, unsigned id)
{
    return (swarm->core & 1u << id) != 0 && members_has(swarm, id);
}

bool members_wait(const struct swarm *swarm)
{
    for (unsigned i = 1; i <= swarm->plan.nodes_count; i++) {
        const struct member *member = config_find(members_now(swarm), i);
        bool is_learner = member != NULL && !member->is_voter;
        if ((swarm->core & 1u << i) != 0 && (is_learner || swarm->sites[i].wish == WISH_JOINED))
            return true;
    }
    return false;
}
