/* Roles: every move between them, in one place, against one table. */
#include "raft/raft_internal.h"

#define TO(role) (1u << RAFT_ROLE_##role)

/* A learner is whoever may not lead: one that joins, and one whose removal is committed. It never
 * campaigns (FAULTS M5). */
static const unsigned MOVES[] = {
    [RAFT_ROLE_FOLLOWER] = TO(PRE_CANDIDATE) | TO(CANDIDATE) | TO(LEARNER),
    [RAFT_ROLE_PRE_CANDIDATE] = TO(CANDIDATE) | TO(FOLLOWER) | TO(LEARNER),
    [RAFT_ROLE_CANDIDATE] = TO(LEADER) | TO(PRE_CANDIDATE) | TO(FOLLOWER) | TO(LEARNER),
    [RAFT_ROLE_LEADER] = TO(FOLLOWER) | TO(LEARNER),
    [RAFT_ROLE_LEARNER] = TO(FOLLOWER),
};

static void move(struct raft *raft, enum raft_role role)
{
    INVARIANT(role == raft->role || (MOVES[raft->role] & (1u << role)) != 0);
    raft->role = role;
}

static void raise_term(struct raft *raft, raft_term term, node_id vote)
{
    REQUIRE(term > raft->hard_state.term);
    raft->hard_state = (struct hard_state){.term = term, .vote = vote};
    raft->follow = (struct raft_following){0};
    for (size_t i = 0; i < raft->peers_count; i++)
        raft->peers[i].vote = RAFT_VOTE_UNKNOWN;
}

void raft_set_leader(struct raft *raft, node_id leader)
{
    if (leader == raft->leader)
        return;
    raft_read_refuse_asked(raft);
    raft->leader = leader;
    raft->leader_since = raft->now;
}

void raft_become_follower(struct raft *raft, raft_term term, node_id leader)
{
    REQUIRE(term >= raft->hard_state.term);
    REQUIRE(leader != raft->options.self);
    bool was_active = raft->role != RAFT_ROLE_FOLLOWER && raft->role != RAFT_ROLE_LEARNER;
    bool was_leader = raft->role == RAFT_ROLE_LEADER;
    if (term > raft->hard_state.term)
        raise_term(raft, term, NODE_NONE);
    raft_set_leader(raft, leader);
    move(raft, raft_may_lead(raft) ? RAFT_ROLE_FOLLOWER : RAFT_ROLE_LEARNER);
    if (was_leader)
        raft_lead_stop(raft);
    if (was_active)
        raft_election_pause(raft);
}

void raft_become_pre_candidate(struct raft *raft)
{
    REQUIRE(raft_may_lead(raft));
    move(raft, RAFT_ROLE_PRE_CANDIDATE);
    raft_set_leader(raft, NODE_NONE);
    for (size_t i = 0; i < raft->peers_count; i++)
        raft->peers[i].vote = RAFT_VOTE_UNKNOWN;
}

void raft_become_candidate(struct raft *raft)
{
    REQUIRE(raft_may_lead(raft));
    move(raft, RAFT_ROLE_CANDIDATE);
    raft_set_leader(raft, NODE_NONE);
    raise_term(raft, raft->hard_state.term + 1, raft->options.self);
}

void raft_become_leader(struct raft *raft)
{
    REQUIRE(raft->hard_state.vote == raft->options.self);
    move(raft, RAFT_ROLE_LEADER);
    raft_set_leader(raft, raft->options.self);
}

void raft_role_refresh(struct raft *raft)
{
    bool may_lead = raft_may_lead(raft);
    if (raft->role == RAFT_ROLE_LEARNER && may_lead) {
        move(raft, RAFT_ROLE_FOLLOWER);
        raft_election_rest(raft);
        if (config_voters_count(raft_config(raft)) == 1 && raft_is_voter(raft, raft->options.self))
            raft->election.at = raft->now; /* nobody to wait for */
    } else if (raft->role == RAFT_ROLE_FOLLOWER && !may_lead) {
        move(raft, RAFT_ROLE_LEARNER);
    }
}
