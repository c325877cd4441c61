/* Invariants: what docs/invariants.md numbers R1 …, as code that aborts.
 *
 * R1 and R2 speak of several nodes and are checked by the cluster test and the simulator; the
 * others hold in every node alone. Those marked "step" compare the start of a step with its end. */
#include "raft/raft_internal.h"

static void check_log(const struct raft_log *log) /* R3 */
{
    INVARIANT(log->base.index <= log->durable);
    INVARIANT(log->durable <= log->handed);
    INVARIANT(log->handed <= raft_log_last(log).index);
    INVARIANT(log->head + log->count <= log->capacity);
}

static void check_indexes(const struct raft *raft) /* R5, R9 */
{
    INVARIANT(raft->log.base.index <= raft->commit);
    INVARIANT(raft->applied <= raft->commit);
    INVARIANT(raft->commit <= raft_log_last(&raft->log).index);
    INVARIANT(raft->follow.verified <= raft_log_last(&raft->log).index);
    INVARIANT(raft->follow.acked <= raft->follow.verified);
    INVARIANT(raft_log_last(&raft->log).term <= raft->hard_state.term);
}

static void check_role(const struct raft *raft) /* R10 */
{
    node_id self = raft->options.self;
    bool may_lead = raft_may_lead(raft);
    switch (raft->role) {
    case RAFT_ROLE_FOLLOWER:
    case RAFT_ROLE_LEARNER:
        INVARIANT(may_lead == (raft->role == RAFT_ROLE_FOLLOWER));
        INVARIANT(raft->leader != self);
        break;
    case RAFT_ROLE_CANDIDATE:
        INVARIANT(raft->hard_state.vote == self);
        INVARIANT(may_lead);
        INVARIANT(raft->leader == NODE_NONE);
        break;
    case RAFT_ROLE_PRE_CANDIDATE:
        INVARIANT(may_lead);
        INVARIANT(raft->leader == NODE_NONE);
        break;
    case RAFT_ROLE_LEADER:
        INVARIANT(raft->leader == self);
        INVARIANT(raft->hard_state.vote == self);
        break;
    }
}

static void check_configs(const struct raft *raft) /* R11 */
{
    const struct raft_configs *configs = &raft->configs;
    INVARIANT(configs->count >= 1);
    INVARIANT(configs->items[0].index <= raft->commit);
    for (size_t i = 1; i < configs->count; i++) {
        INVARIANT(configs->items[i].index > configs->items[i - 1].index);
        INVARIANT(configs->items[i].index > raft->commit);
    }
    INVARIANT(configs->items[configs->count - 1].index <= raft_log_last(&raft->log).index);

    const struct config *config = raft_config(raft);
    bool is_member = config_find(config, raft->options.self) != NULL;
    INVARIANT(raft->peers_count + is_member == config->members_count);
}

static void check_peer(const struct raft *raft, const struct raft_peer *peer) /* R12, R13 */
{
    INVARIANT(peer->match < peer->next);
    INVARIANT(peer->next <= raft_log_last(&raft->log).index + 1);
    INVARIANT(peer->flights_count <= LIMIT_INFLIGHT_APPENDS);
    INVARIANT(peer->flights_bytes < LIMIT_INFLIGHT_BYTES + LIMIT_APPEND_BYTES);
    INVARIANT(IMPLIES(peer->state != RAFT_PEER_STREAM, peer->flights_count == 0));
    INVARIANT(IMPLIES(peer->is_loading, peer->state == RAFT_PEER_LOAD));
    INVARIANT(peer->round_echoed <= raft->reads.round);
    INVARIANT(IMPLIES(peer->state == RAFT_PEER_PROBE, peer->next > raft->log.base.index));
    INVARIANT(IMPLIES(peer->state == RAFT_PEER_SNAPSHOT, peer->next <= raft->log.base.index));
}

static void check_lead(const struct raft *raft) /* R14, R16 */
{
    const struct raft_leading *lead = &raft->lead;
    if (raft->role != RAFT_ROLE_LEADER) {
        INVARIANT(lead->term_start == 0);
        INVARIANT(lead->transfer_to == NODE_NONE);
        INVARIANT(raft->reads.waits_count == 0);
        INVARIANT(raft->reads.rounds_count == 0);
        return;
    }
    INVARIANT(lead->term_start != 0);
    if (raft_log_knows(&raft->log, lead->term_start))
        INVARIANT(raft_log_id(&raft->log, lead->term_start).term == raft->hard_state.term);
    INVARIANT(raft->reads.asked_count == 0);
    for (size_t i = 0; i < raft->peers_count; i++)
        check_peer(raft, &raft->peers[i]);
}

static void check_snapshot(const struct raft *raft) /* R23 */
{
    const struct raft_snapshot *snapshot = &raft->snapshot;
    INVARIANT(snapshot->last.index <= raft->commit);
    if (snapshot->last.index != 0) {
        INVARIANT(snapshot->log_first <= snapshot->last.index + 1);
        if (raft_log_knows(&raft->log, snapshot->last.index))
            INVARIANT(raft_log_has(&raft->log, snapshot->last));
    }
    const struct raft_offer *offer = &raft->output.offer;
    if (offer->from != NODE_NONE) {
        INVARIANT(offer->from == raft->leader);
        INVARIANT(offer->last.index > raft->commit);
    }
}

static void check_reads(const struct raft *raft) /* R15 */
{
    const struct raft_reads *reads = &raft->reads;
    size_t waits_count = 0;
    for (size_t i = 0; i < reads->rounds_count; i++) {
        INVARIANT(reads->rounds[i].number == reads->round - (reads->rounds_count - 1 - i));
        INVARIANT(reads->rounds[i].index >= raft->lead.term_start);
        waits_count += reads->rounds[i].waits_count;
    }
    INVARIANT(waits_count == reads->waits_sent_count);
    INVARIANT(reads->waits_sent_count <= reads->waits_count);
    INVARIANT(reads->waits_count <= LIMIT_READS_WAITING);
    INVARIANT(reads->asked_count <= LIMIT_READS_ASKED);
}

static void check_state(const struct raft *raft)
{
    check_log(&raft->log);
    check_indexes(raft);
    check_role(raft);
    check_configs(raft);
    check_lead(raft);
    check_snapshot(raft);
    check_reads(raft);
}

static void check_entries(const struct raft_log *log) /* R4 */
{
    struct entry_id last = log->base;
    size_t bytes = 0;
    for (size_t i = 0; i < log->count; i++) {
        const struct entry *entry = log->slots[log->head + i];
        INVARIANT(entry->id.index == last.index + 1);
        INVARIANT(entry->id.term >= last.term);
        INVARIANT(entry->refs_count > 0);
        bytes += entry_bytes(entry);
        last = entry->id;
    }
    INVARIANT(bytes == log->bytes);
}

void raft_check(const struct raft *raft)
{
    check_state(raft);
    check_entries(&raft->log);
}

static void check_hard_state_step(const struct raft *raft) /* R6 */
{
    const struct raft_mark *mark = &raft->mark;
    INVARIANT(raft->hard_state.term >= mark->hard_state.term);
    if (raft->hard_state.term == mark->hard_state.term && mark->hard_state.vote != NODE_NONE)
        INVARIANT(raft->hard_state.vote == mark->hard_state.vote);
}

static void check_log_step(const struct raft *raft) /* R5, R7, R8 */
{
    const struct raft_mark *mark = &raft->mark;
    INVARIANT(raft->commit >= mark->commit);
    bool was_leader = mark->role == RAFT_ROLE_LEADER;
    if (!was_leader || raft->role != RAFT_ROLE_LEADER)
        return;
    INVARIANT(raft->hard_state.term == mark->hard_state.term);
    if (raft_log_knows(&raft->log, mark->last.index))
        INVARIANT(entry_id_equal(raft_log_id(&raft->log, mark->last.index), mark->last));
    if (raft->commit > mark->commit)
        INVARIANT(raft_log_id(&raft->log, raft->commit).term == raft->hard_state.term);
}

static void check_message(const struct raft *raft, const struct message *message) /* R17 */
{
    bool is_ahead = message->type == MESSAGE_PRE_VOTE;
    is_ahead |= message->type == MESSAGE_PRE_VOTE_REPLY && message->vote_reply.is_granted;
    INVARIANT(is_ahead || message->term <= raft->hard_state.term);
    INVARIANT(message->from == raft->options.self);
    INVARIANT(message->to != raft->options.self);
    if (message->type == MESSAGE_APPEND_REPLY && !message->append_reply.is_rejected)
        INVARIANT(message->append_reply.match <= raft->log.durable);
}

void raft_check_step(const struct raft *raft, const struct raft_ready *ready)
{
    check_state(raft);
    check_hard_state_step(raft);
    check_log_step(raft);
    for (size_t i = 0; i < ready->messages_count; i++)
        check_message(raft, &ready->messages[i]);
    INVARIANT(ready->reads_count == raft->output.reads_count);
}
