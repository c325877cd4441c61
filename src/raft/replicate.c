/* Replication: at the end of a leader's step each peer gets what it lacks, in as few messages as
 * fit, and at most one empty append when there is nothing new but something to tell. */
#include "raft/raft_internal.h"

/* Whatever a leader sends carries two things besides: the commit index, the newest read round. */
static struct message *send_to(struct raft *raft, enum message_type type, struct raft_peer *peer)
{
    peer->is_heartbeat_due = false;
    peer->commit_sent = raft->commit;
    peer->round_sent = raft->reads.round;
    return raft_send(raft, type, peer->id);
}

static struct message *send_append(struct raft *raft, struct raft_peer *peer, struct entry_id prev)
{
    struct message *message = send_to(raft, MESSAGE_APPEND, peer);
    message->append.prev = prev;
    message->append.commit = raft->commit;
    message->append.read_round = raft->reads.round;
    return message;
}

/* Puts in as many entries as fit; returns their bytes. */
static size_t fill_append(struct message *message, struct entry **entries, size_t entries_count)
{
    size_t bytes = 0;
    message->append.entries_count = (uint32_t)raft_entries_fit(entries, entries_count, &bytes);
    message->append.entries = entries;
    return bytes;
}

static struct entry_id last_of(const struct message *message)
{
    uint32_t count = message->append.entries_count;
    return count == 0 ? message->append.prev : message->append.entries[count - 1]->id;
}

/* Asks whether the peer has everything that was sent; if not it rejects, and is probed. Where the
 * term of the last entry sent is not known any more it asks nothing: every log has index 0. */
static void send_empty(struct raft *raft, struct raft_peer *peer)
{
    struct entry_id prev = {0};
    if (raft_log_knows(&raft->log, peer->next - 1))
        prev = raft_log_id(&raft->log, peer->next - 1);
    else if (peer->sent.index == peer->next - 1)
        prev = peer->sent;
    send_append(raft, peer, prev);
}

static struct message *send_entries(struct raft *raft, struct raft_peer *peer, size_t *out_bytes)
{
    size_t count = 0;
    struct entry **entries = raft_log_tail(&raft->log, peer->next, &count);
    struct message *message = send_append(raft, peer, raft_log_id(&raft->log, peer->next - 1));
    *out_bytes = fill_append(message, entries, count);
    return message;
}

/* The first probe carries entries, for it is usually right. Until it is answered only heartbeats
 * and read rounds follow it, empty. */
static void feed_probe(struct raft *raft, struct raft_peer *peer, bool must_send)
{
    size_t bytes = 0;
    if (!peer->is_waiting) {
        peer->sent = last_of(send_entries(raft, peer, &bytes));
        peer->is_waiting = true;
    } else if (must_send) {
        send_empty(raft, peer);
    }
}

/* A full window stops entries, never heartbeats (FAULTS C28). A commit advance is told at once:
 * the followers answer their clients by it. */
static void feed_stream(struct raft *raft, struct raft_peer *peer, bool must_send)
{
    must_send |= peer->commit_sent < raft->commit;
    while (peer->next <= raft_log_last(&raft->log).index && raft_peer_has_room(peer)) {
        size_t bytes = 0;
        raft_index last = last_of(send_entries(raft, peer, &bytes)).index;
        raft_peer_send(peer, last, bytes);
        must_send = false;
    }
    if (must_send)
        send_empty(raft, peer);
}

static void feed_load(struct raft *raft, struct raft_peer *peer, bool must_send)
{
    if (peer->is_heartbeat_due && peer->sent.index == 0)
        peer->is_waiting = false; /* the disk had nothing; perhaps now */
    if (!peer->is_loading && !peer->is_waiting) {
        raft_ask_load(raft, peer->id, peer->next);
        peer->is_loading = true;
    }
    if (must_send)
        send_empty(raft, peer);
}

/* What is on offer asks nothing new of a peer that has not got it: to it, it is a heartbeat. While
 * there is nothing to offer, plain ones keep it calm. */
static void feed_snapshot(struct raft *raft, struct raft_peer *peer, bool must_send)
{
    if (!raft_snapshot_serves(raft, peer)) {
        if (must_send)
            send_empty(raft, peer);
        return;
    }
    if (peer->is_waiting && !must_send)
        return;
    struct message *message = send_to(raft, MESSAGE_SNAPSHOT, peer);
    message->snapshot.last = raft->snapshot.last;
    message->snapshot.bytes = raft->snapshot.bytes;
    message->snapshot.commit = raft->commit;
    message->snapshot.read_round = raft->reads.round;
    peer->is_waiting = true;
}

/* Loading ends when all loaded entries are acknowledged and the rest is in memory, it starts when
 * what comes next is not. What is not on disk either comes as a snapshot, and that ends with the
 * peer's word that it has it. */
static void choose_state(struct raft *raft, struct raft_peer *peer)
{
    bool is_in_memory = peer->next > raft->log.base.index;
    if (peer->state == RAFT_PEER_SNAPSHOT)
        return;
    if (!is_in_memory && peer->next < raft->snapshot.log_first)
        raft_peer_snapshot(peer);
    else if (!is_in_memory && peer->state != RAFT_PEER_LOAD)
        raft_peer_load(peer);
    else if (is_in_memory && peer->state == RAFT_PEER_LOAD && !peer->is_waiting)
        raft_peer_probe(peer, peer->next);
}

static void feed(struct raft *raft, struct raft_peer *peer)
{
    choose_state(raft, peer);
    bool is_round_due = peer->is_voter && peer->round_sent < raft->reads.round;
    bool must_send = peer->is_heartbeat_due || is_round_due;
    switch (peer->state) {
    case RAFT_PEER_PROBE:
        feed_probe(raft, peer, must_send);
        break;
    case RAFT_PEER_STREAM:
        feed_stream(raft, peer, must_send);
        break;
    case RAFT_PEER_LOAD:
        feed_load(raft, peer, must_send);
        break;
    case RAFT_PEER_SNAPSHOT:
        feed_snapshot(raft, peer, must_send);
        break;
    }
}

void raft_replicate(struct raft *raft)
{
    REQUIRE(raft->role == RAFT_ROLE_LEADER);
    for (size_t i = 0; i < raft->peers_count; i++)
        feed(raft, &raft->peers[i]);
}

/* Where the log on disk begins, the entry before it may be known from a snapshot only. */
static struct entry_id prev_of(const struct raft *raft, const struct raft_event *event)
{
    struct entry_id prev = event->loaded.prev;
    return prev.index == raft->snapshot.last.index ? raft->snapshot.last : prev;
}

static bool is_left_behind(const struct raft_peer *peer, const struct raft_event *event,
                           struct entry_id prev)
{
    if (event->loaded.is_gone || event->loaded.entries_count == 0)
        return event->loaded.is_gone;
    bool is_behind = event->loaded.is_oldest && prev.index + 1 > peer->next;
    return is_behind || (prev.index > 0 && prev.term == 0);
}

/* A disk that had nothing is asked again with the next heartbeat, as is a peer that fell silent. */
void raft_replicate_on_loaded(struct raft *raft, const struct raft_event *event)
{
    struct raft_peer *peer = raft_peer_find(raft, event->loaded.peer);
    if (raft->role != RAFT_ROLE_LEADER || peer == NULL || peer->state != RAFT_PEER_LOAD ||
        !peer->is_loading)
        return;
    peer->is_loading = false;
    size_t count = event->loaded.entries_count;
    struct entry_id prev = prev_of(raft, event);
    if (is_left_behind(peer, event, prev)) {
        raft_peer_snapshot(peer);
        return;
    }
    if (count > 0 && prev.index + 1 != peer->next)
        return; /* the answer to an earlier question */

    peer->is_waiting = true;
    peer->sent = (struct entry_id){0};
    if (count == 0)
        return;
    INVARIANT(event->loaded.entries[0]->id.index == peer->next);
    struct message *message = send_append(raft, peer, prev);
    fill_append(message, raft_hold(raft, event->loaded.entries, count), count);
    peer->sent = last_of(message);
    peer->next = peer->sent.index + 1;
}
