/* Transfer: leadership handed over without waiting for a timeout (thesis §3.10).
 *
 * The leader takes no more proposals, brings the target's log up to its own, and tells it to stand
 * at once; voters do not hold on to the old leader then. If nothing comes of it within an election
 * timeout the leader goes on as before (FAULTS C26). */
#include "raft/raft_internal.h"

node_id raft_transfer_best(const struct raft *raft)
{
    const struct raft_peer *best = NULL;
    for (size_t i = 0; i < raft->peers_count; i++) {
        const struct raft_peer *peer = &raft->peers[i];
        if (!peer->is_voter || (peer->is_gone && best != NULL))
            continue;
        if (best == NULL || best->is_gone || peer->match > best->match ||
            (peer->match == best->match && peer->heard_at > best->heard_at))
            best = peer;
    }
    return best == NULL ? NODE_NONE : best->id;
}

enum status raft_transfer_start(struct raft *raft, node_id to)
{
    if (raft->role != RAFT_ROLE_LEADER)
        return ST_NOT_LEADER;
    if (to == NODE_NONE)
        to = raft_transfer_best(raft);
    if (!raft_is_voter(raft, to))
        return ST_UNKNOWN_MEMBER;
    if (to == raft->options.self)
        return ST_OK;
    raft->lead.transfer_to = to;
    raft->lead.transfer_until = raft->now + raft->options.election;
    raft->lead.is_told = false;
    return ST_OK;
}

void raft_transfer_on_tick(struct raft *raft, bool is_heartbeat)
{
    REQUIRE(raft->role == RAFT_ROLE_LEADER);
    if (raft->now >= raft->lead.transfer_until)
        raft->lead.transfer_to = NODE_NONE;
    if (is_heartbeat)
        raft->lead.is_told = false; /* the message may be lost */
}

void raft_transfer_finish(struct raft *raft)
{
    REQUIRE(raft->role == RAFT_ROLE_LEADER);
    if (raft->lead.transfer_to == NODE_NONE || raft->lead.is_told)
        return;
    const struct raft_peer *peer = raft_peer_find(raft, raft->lead.transfer_to);
    INVARIANT(peer != NULL); /* no change of members is taken meanwhile */
    if (peer->match < raft_log_last(&raft->log).index)
        return;
    raft_send(raft, MESSAGE_TIMEOUT_NOW, peer->id);
    raft->lead.is_told = true;
}

void raft_transfer_on_timeout_now(struct raft *raft, const struct message *message)
{
    REQUIRE(message->term == raft->hard_state.term);
    if (message->from == raft->leader && raft->role == RAFT_ROLE_FOLLOWER)
        raft_election_stand(raft, true);
}
