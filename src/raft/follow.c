/* Following: taking the leader's appends (Raft §5.3, figure 2), and saying what is durable. */
#include "raft/raft_internal.h"

/* Consecutive, in terms that never decrease and none of them later than the sender's; and what it
 * says about members can be read. What is not sound is dropped like a message that got lost. */
static bool is_sound(const struct message *message)
{
    struct entry_id last = message->append.prev;
    if ((last.index == 0) != (last.term == 0))
        return false;
    for (uint32_t i = 0; i < message->append.entries_count; i++) {
        const struct entry *entry = message->append.entries[i];
        if (entry->id.index != last.index + 1 || entry->id.term < last.term)
            return false;
        struct config config;
        if (entry->type == ENTRY_CONFIG && entry_config(entry, &config) != ST_OK)
            return false;
        last = entry->id;
    }
    return last.term <= message->term;
}

static void hear_leader(struct raft *raft, node_id leader, uint64_t round)
{
    INVARIANT(raft->role != RAFT_ROLE_LEADER); /* R1: one leader in a term */
    INVARIANT(raft->leader == NODE_NONE || raft->leader == leader);
    raft_become_follower(raft, raft->hard_state.term, leader);
    raft_election_hear_leader(raft);
    raft->follow.round = MAX(raft->follow.round, round);
}

/* What is committed is in every leader's log (Raft §5.4.3), in memory or not. */
static bool has_prev(const struct raft *raft, struct entry_id prev)
{
    return prev.index <= raft->commit || raft_log_has(&raft->log, prev);
}

/* Where to look next, a term at a time instead of an entry at a time (Raft §5.3, last part). */
static struct entry_id conflict_at(const struct raft *raft, raft_index prev)
{
    struct entry_id last = raft_log_last(&raft->log);
    if (prev > last.index)
        return (struct entry_id){.index = last.index + 1};
    raft_index first = raft_log_term_first(&raft->log, prev);
    return (struct entry_id){.term = raft_log_id(&raft->log, prev).term,
                             .index = MAX(first, raft->commit + 1)};
}

static void reject(struct raft *raft, const struct message *message, raft_index prev)
{
    struct message *reply = raft_send(raft, MESSAGE_APPEND_REPLY, message->from);
    reply->append_reply.is_rejected = true;
    reply->append_reply.prev = prev;
    reply->append_reply.conflict = conflict_at(raft, prev);
    reply->append_reply.read_round = raft->follow.round;
}

static void accept(struct raft *raft, node_id leader)
{
    raft_index match = MIN(raft->follow.verified, raft->log.durable);
    struct message *reply = raft_send(raft, MESSAGE_APPEND_REPLY, leader);
    reply->append_reply.match = match;
    reply->append_reply.read_round = raft->follow.round;
    raft->follow.acked = MAX(raft->follow.acked, match);
}

static void cut(struct raft *raft, raft_index first)
{
    INVARIANT(first > raft->commit);          /* R7: FAULTS C9 */
    INVARIANT(first > raft->follow.verified); /* R8: a leader never changes its log */
    raft_log_cut(&raft->log, first);
    raft_change_on_cut(raft, first);
}

/* Skips what is there already; only a different term at the same index cuts the log, never an old
 * or short message (FAULTS C8). Returns whether anything was added. */
static bool add_entries(struct raft *raft, const struct message *message)
{
    bool has_added = false;
    for (uint32_t i = 0; i < message->append.entries_count; i++) {
        struct entry *entry = message->append.entries[i];
        const struct entry *own = raft_log_entry(&raft->log, entry->id.index);
        bool is_same = own != NULL && own->id.term == entry->id.term;
        if (is_same || entry->id.index <= raft->log.base.index)
            continue;
        if (own != NULL)
            cut(raft, entry->id.index);
        raft_log_append(&raft->log, entry);
        if (entry->type == ENTRY_CONFIG)
            raft_change_on_append(raft, entry);
        has_added = true;
    }
    return has_added;
}

/* There is one leader in a term (R1). Whoever else says so here is none of this cluster. */
static bool is_pretender(const struct raft *raft, const struct message *message)
{
    return raft->role == RAFT_ROLE_LEADER ||
           (raft->leader != NODE_NONE && raft->leader != message->from);
}

void raft_follow_on_append(struct raft *raft, const struct message *message)
{
    REQUIRE(message->term == raft->hard_state.term);
    if (!is_sound(message) || is_pretender(raft, message))
        return;
    bool is_round_new = message->append.read_round > raft->follow.round;
    hear_leader(raft, message->from, message->append.read_round);
    if (!has_prev(raft, message->append.prev)) {
        reject(raft, message, message->append.prev.index);
        return;
    }

    bool has_added = add_entries(raft, message);
    raft_index covered = message->append.prev.index + message->append.entries_count;
    raft->follow.verified = MAX(raft->follow.verified, covered);
    raft_commit_to(raft, MIN(message->append.commit, raft->follow.verified));
    if (!has_added || is_round_new)
        accept(raft, message->from);
}

void raft_follow_on_durable(struct raft *raft)
{
    if (raft->leader == NODE_NONE || raft->leader == raft->options.self)
        return;
    if (MIN(raft->follow.verified, raft->log.durable) > raft->follow.acked)
        accept(raft, raft->leader);
}

static bool is_offer_sound(const struct message *message)
{
    struct entry_id last = message->snapshot.last;
    return last.index > 0 && last.term > 0 && last.term <= message->term &&
           message->snapshot.commit >= last.index;
}

/* An offer asks what an empty append would: whether the logs agree at the snapshot's entry. Only
 * when they do not it is news: this log has not got so far, or what it has there was never
 * committed (FAULTS P1). */
void raft_follow_on_snapshot(struct raft *raft, const struct message *message)
{
    REQUIRE(message->term == raft->hard_state.term);
    if (!is_offer_sound(message) || is_pretender(raft, message))
        return;
    struct entry_id last = message->snapshot.last;
    hear_leader(raft, message->from, message->snapshot.read_round);
    if (!has_prev(raft, last)) {
        reject(raft, message, last.index);
        raft->output.offer = (struct raft_offer){
            .from = message->from, .last = last, .bytes = message->snapshot.bytes};
        return;
    }
    raft->follow.verified = MAX(raft->follow.verified, last.index);
    raft_commit_to(raft, MIN(message->snapshot.commit, raft->follow.verified));
    accept(raft, message->from);
}
