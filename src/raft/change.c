/* Members: one change at a time (thesis §4.1).
 *
 * A configuration counts from the moment its entry is in the log, committed or not, and goes when
 * the entry is cut. So all above commit are remembered, and the one they rest on. */
#include <string.h>

#include "base/mem.h"
#include "raft/raft_internal.h"

static struct raft_config_item *newest(const struct raft *raft)
{
    return &raft->configs.items[raft->configs.count - 1];
}

/* The peers follow the configuration; those that stay keep what is known of them. */
static void refresh_peers(struct raft *raft)
{
    struct raft_peer old[LIMIT_MEMBERS];
    size_t old_count = raft->peers_count;
    memcpy(old, raft->peers, old_count * sizeof *old);
    const struct config *config = raft_config(raft);
    raft->peers_count = 0;
    for (uint32_t i = 0, at = 0; i < config->members_count; i++) {
        const struct member *member = &config->members[i];
        if (member->id == raft->options.self)
            continue;
        while (at < old_count && old[at].id < member->id)
            at++;
        struct raft_peer *peer = &raft->peers[raft->peers_count++];
        if (at < old_count && old[at].id == member->id) {
            *peer = old[at];
            peer->is_voter = member->is_voter;
        } else {
            *peer = (struct raft_peer){.id = member->id, .is_voter = member->is_voter};
            raft_peer_restart(peer, raft_log_last(&raft->log).index + 1, raft->now);
        }
    }
}

static void refresh(struct raft *raft)
{
    refresh_peers(raft);
    raft_role_refresh(raft);
}

static void push(struct raft *raft, raft_index index, const struct config *config)
{
    struct raft_configs *configs = &raft->configs;
    raft_grow((void **)&configs->items, configs->count, &configs->capacity, sizeof *configs->items);
    configs->items[configs->count++] = (struct raft_config_item){index, *config};
    refresh(raft);
}

void raft_change_init(struct raft *raft, const struct config *config)
{
    REQUIRE(raft->configs.count == 0);
    push(raft, 0, config);
}

/* Any two majorities of old and new share a voter as long as one voter comes or goes at a time. */
static bool is_single_step(const struct config *from, const struct config *to)
{
    size_t voters_changed = 0;
    for (uint32_t i = 0; i < from->members_count; i++) {
        const struct member *other = config_find(to, from->members[i].id);
        voters_changed += from->members[i].is_voter && (other == NULL || !other->is_voter);
    }
    for (uint32_t i = 0; i < to->members_count; i++) {
        const struct member *other = config_find(from, to->members[i].id);
        voters_changed += to->members[i].is_voter && (other == NULL || !other->is_voter);
    }
    return voters_changed <= 1 && config_voters_count(to) > 0;
}

/* A change before the leader has committed an entry of its own term could make two majorities
 * that do not meet (Ongaro's correction of 2015; FAULTS M1, M2). */
bool raft_change_open(const struct raft *raft)
{
    return raft->role == RAFT_ROLE_LEADER && raft->commit >= raft->lead.term_start &&
           !raft_change_is_open(raft);
}

enum status raft_change_check(const struct raft *raft, const struct entry *entry)
{
    struct config config;
    if (entry_config(entry, &config) != ST_OK)
        return ST_BAD_REQUEST;
    if (!raft_change_open(raft))
        return ST_BAD_REQUEST;
    return is_single_step(raft_config(raft), &config) ? ST_OK : ST_BAD_REQUEST;
}

void raft_change_on_append(struct raft *raft, const struct entry *entry)
{
    REQUIRE(entry->type == ENTRY_CONFIG);
    struct config config;
    enum status status = entry_config(entry, &config);
    INVARIANT(status == ST_OK); /* checked when it was proposed, and when it was received */
    push(raft, entry->id.index, &config);
}

/* FAULTS M7. The first one is at or below commit and stays. */
void raft_change_on_cut(struct raft *raft, raft_index first)
{
    bool has_dropped = false;
    for (; raft->configs.count > 1 && newest(raft)->index >= first; has_dropped = true)
        raft->configs.count--;
    ENSURE(newest(raft)->index < first);
    if (has_dropped)
        refresh(raft);
}

void raft_change_on_commit(struct raft *raft)
{
    struct raft_configs *configs = &raft->configs;
    size_t done = 0;
    while (done + 1 < configs->count && configs->items[done + 1].index <= raft->commit)
        done++;
    if (done == 0)
        return;
    configs->count -= done;
    memmove(configs->items, configs->items + done, configs->count * sizeof *configs->items);
    raft_role_refresh(raft);
}

void raft_change_on_installed(struct raft *raft, raft_index index, const struct config *config)
{
    REQUIRE(index == raft->commit);
    raft->configs.count = 0;
    push(raft, index, config);
}

bool raft_change_is_open(const struct raft *raft)
{
    return newest(raft)->index > raft->commit;
}

void raft_admit(struct raft *raft, bool is_admitted)
{
    bool is_standing = raft->role == RAFT_ROLE_PRE_CANDIDATE || raft->role == RAFT_ROLE_CANDIDATE;
    raft->options.is_barred = !is_admitted;
    if (!is_admitted && is_standing)
        raft_become_follower(raft, raft->hard_state.term, NODE_NONE);
    raft_role_refresh(raft);
}

/* Who comes back with an empty disk under an id that had a vote before passes through
 * configurations in which that other one had it, perhaps alone: it must not win by them.
 *
 * Thesis §4.2.2: a server that its own newest configuration has removed, but nobody has committed
 * that, may be the only one that can win; without it the others would wait for ever. It does not
 * count its own vote then. */
bool raft_may_lead(const struct raft *raft)
{
    if (raft->options.is_barred)
        return false;
    for (size_t i = 0; i < raft->configs.count; i++) {
        const struct config *config = &raft->configs.items[i].config;
        const struct member *member = config_find(config, raft->options.self);
        if (member != NULL && member->is_voter)
            return true;
    }
    return false;
}
