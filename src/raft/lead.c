/* Leading: a term's first entry, proposals, what peers answer, and giving up without a majority.
 * What is sent to whom is in replicate.c. */
#include "raft/raft_internal.h"

static void append_own(struct raft *raft, struct entry *entry)
{
    struct entry_id id = {.term = raft->hard_state.term,
                          .index = raft_log_last(&raft->log).index + 1};
    entry_seal(entry, id);
    raft_log_append(&raft->log, entry);
    raft->lead.uncommitted_bytes += entry_bytes(entry);
    if (entry->type == ENTRY_CONFIG)
        raft_change_on_append(raft, entry);
}

static size_t open_bytes(const struct raft *raft)
{
    size_t bytes = 0;
    for (raft_index i = raft->commit + 1; i <= raft_log_last(&raft->log).index; i++)
        bytes += entry_bytes(raft_log_entry(&raft->log, i));
    return bytes;
}

/* The no-op makes the entries of earlier terms committable, and tells what is committed to the
 * leader itself before it answers a read (Raft §8, FAULTS C1). */
void raft_lead_start(struct raft *raft)
{
    raft_become_leader(raft);
    raft_index next = raft_log_last(&raft->log).index + 1;
    for (size_t i = 0; i < raft->peers_count; i++)
        raft_peer_restart(&raft->peers[i], next, raft->now);
    raft->reads.round = 0;
    raft->lead = (struct raft_leading){.term_start = next,
                                       .uncommitted_bytes = open_bytes(raft),
                                       .heartbeat_at = raft->now + raft->options.heartbeat};
    struct entry *entry = entry_new(ENTRY_NOOP, 0);
    append_own(raft, entry);
    entry_unref(entry);
    ENSURE(raft_log_last(&raft->log).index == raft->lead.term_start);
}

void raft_lead_stop(struct raft *raft)
{
    REQUIRE(raft->role != RAFT_ROLE_LEADER);
    raft_read_refuse_waits(raft);
    raft->lead = (struct raft_leading){0};
}

static enum status check_proposal(const struct raft *raft, const struct raft_event *event)
{
    if (raft->role != RAFT_ROLE_LEADER)
        return ST_NOT_LEADER;
    if (raft->lead.transfer_to != NODE_NONE)
        return ST_BUSY;
    size_t bytes = raft->lead.uncommitted_bytes;
    size_t configs_count = 0;
    for (size_t i = 0; i < event->propose.entries_count; i++) {
        const struct entry *entry = event->propose.entries[i];
        REQUIRE(entry->type == ENTRY_COMMAND || entry->type == ENTRY_CONFIG);
        bytes += entry_bytes(entry);
        if (entry->type != ENTRY_CONFIG)
            continue;
        if (++configs_count > 1 || raft_change_check(raft, entry) != ST_OK)
            return ST_BAD_REQUEST;
    }
    return bytes > LIMIT_UNCOMMITTED_BYTES ? ST_BUSY : ST_OK;
}

enum status raft_lead_propose(struct raft *raft, const struct raft_event *event)
{
    REQUIRE(event->propose.entries_count > 0);
    REQUIRE(event->propose.entries_count <= LIMIT_PROPOSALS);
    enum status status = check_proposal(raft, event);
    if (status != ST_OK)
        return status;
    for (size_t i = 0; i < event->propose.entries_count; i++)
        append_own(raft, event->propose.entries[i]);
    return ST_OK;
}

/* The peer's newest entry of the conflicting term can be no newer than this node's, and its oldest
 * is where nothing matches any more (Raft §5.3, last part). Always further back than `prev`. */
static raft_index next_try(const struct raft *raft, const struct raft_peer *peer,
                           const struct message *message)
{
    struct entry_id conflict = message->append_reply.conflict;
    raft_index next = conflict.index;
    if (conflict.term != 0) {
        raft_index own = raft_log_term_last(&raft->log, conflict.term);
        next = own != 0 ? own + 1 : next;
    }
    next = MIN(next, message->append_reply.prev);
    return MAX(next, peer->match + 1);
}

/* A rejection never moves `match` (FAULTS C6), a late one moves nothing. */
static void on_rejected(struct raft *raft, struct raft_peer *peer, const struct message *message)
{
    if (raft_peer_is_current(peer, message->append_reply.prev))
        raft_peer_probe(peer, next_try(raft, peer, message));
}

void raft_lead_on_append_reply(struct raft *raft, const struct message *message)
{
    struct raft_peer *peer = raft_peer_find(raft, message->from);
    if (raft->role != RAFT_ROLE_LEADER || peer == NULL)
        return;
    peer->heard_at = raft->now;
    peer->round_echoed =
        MAX(peer->round_echoed, MIN(message->append_reply.read_round, raft->reads.round));
    if (message->append_reply.is_rejected)
        on_rejected(raft, peer, message);
    else if (message->append_reply.match <= raft_log_last(&raft->log).index)
        raft_peer_accept(peer, message->append_reply.match);
}

/* What was on its way to a peer is lost with its link. A probe finds out what arrived. */
void raft_lead_on_link(struct raft *raft, const struct raft_event *event)
{
    struct raft_peer *peer = raft_peer_find(raft, event->link.peer);
    if (peer == NULL)
        return;
    bool is_guess = peer->state == RAFT_PEER_PROBE || peer->match == 0;
    is_guess |= peer->state == RAFT_PEER_SNAPSHOT;
    raft_index next = is_guess ? peer->next : peer->match + 1;
    if (event->link.is_up)
        peer->match = 0; /* its disk may have lost what it had acknowledged (FAULTS S8): ask */
    raft_peer_probe(peer, next);
    peer->is_waiting = !event->link.is_up; /* for the heartbeat */
}

static uint64_t heard_of(const struct raft_peer *peer)
{
    return MAX(peer->heard_at, peer->since);
}

/* When the newest sign of life of a majority will be an election timeout old. */
static time_us quorum_until(const struct raft *raft)
{
    time_us heard_at = raft_majority(raft, TIME_NEVER, heard_of);
    return heard_at == TIME_NEVER ? TIME_NEVER : heard_at + raft->options.election;
}

void raft_lead_on_tick(struct raft *raft)
{
    if (raft->now >= quorum_until(raft)) { /* check-quorum, thesis §6.2 */
        raft_become_follower(raft, raft->hard_state.term, NODE_NONE);
        return;
    }
    bool is_heartbeat = raft->now >= raft->lead.heartbeat_at;
    if (is_heartbeat) {
        raft->lead.heartbeat_at = raft->now + raft->options.heartbeat;
        for (size_t i = 0; i < raft->peers_count; i++)
            raft->peers[i].is_heartbeat_due = true;
    }
    raft_transfer_on_tick(raft, is_heartbeat);
}

/* A leader that is no voter any more leaves when that is committed (thesis §4.2.2), and asks the
 * best of the others to go on at once (FAULTS M3). */
static void leave_if_removed(struct raft *raft)
{
    if (raft_change_is_open(raft) || raft_is_voter(raft, raft->options.self))
        return;
    node_id best = raft_transfer_best(raft);
    if (best != NODE_NONE)
        raft_send(raft, MESSAGE_TIMEOUT_NOW, best);
    raft_become_follower(raft, raft->hard_state.term, NODE_NONE);
}

void raft_lead_finish(struct raft *raft)
{
    raft_commit_by_count(raft);
    raft_read_finish(raft);
    raft_replicate(raft);
    raft_transfer_finish(raft);
    leave_if_removed(raft);
}

time_us raft_lead_deadline(const struct raft *raft)
{
    time_us at = quorum_until(raft);
    if (raft->peers_count > 0)
        at = MIN(at, raft->lead.heartbeat_at);
    if (raft->lead.transfer_to != NODE_NONE)
        at = MIN(at, raft->lead.transfer_until);
    return at;
}
