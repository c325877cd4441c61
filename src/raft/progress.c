#include "raft/progress.h"

#include "base/check.h"

const char *raft_peer_state_name(enum raft_peer_state state)
{
    switch (state) {
    case RAFT_PEER_PROBE:
        return "probe";
    case RAFT_PEER_STREAM:
        return "stream";
    case RAFT_PEER_LOAD:
        return "load";
    case RAFT_PEER_SNAPSHOT:
        return "snapshot";
    }
    UNREACHABLE();
}

static void enter(struct raft_peer *peer, enum raft_peer_state state)
{
    peer->state = state;
    peer->is_waiting = peer->is_loading = false;
    peer->sent = (struct entry_id){0};
    peer->flights_head = peer->flights_count = peer->flights_bytes = 0;
}

void raft_peer_restart(struct raft_peer *peer, raft_index next, time_us now)
{
    REQUIRE(peer->id != NODE_NONE);
    REQUIRE(next > 0);
    *peer = (struct raft_peer){.id = peer->id,
                               .is_voter = peer->is_voter,
                               .is_gone = peer->is_gone,
                               .heard_at = peer->heard_at,
                               .since = now};
    raft_peer_probe(peer, next);
}

void raft_peer_probe(struct raft_peer *peer, raft_index next)
{
    REQUIRE(next > peer->match);
    enter(peer, RAFT_PEER_PROBE);
    peer->next = next;
}

void raft_peer_load(struct raft_peer *peer)
{
    REQUIRE(peer->state != RAFT_PEER_LOAD);
    enter(peer, RAFT_PEER_LOAD);
}

void raft_peer_snapshot(struct raft_peer *peer)
{
    REQUIRE(peer->state != RAFT_PEER_SNAPSHOT);
    enter(peer, RAFT_PEER_SNAPSHOT);
}

static void land_flights(struct raft_peer *peer)
{
    while (peer->flights_count > 0 && peer->flights[peer->flights_head].last <= peer->match) {
        peer->flights_bytes -= peer->flights[peer->flights_head].bytes;
        peer->flights_head = (peer->flights_head + 1) % LIMIT_INFLIGHT_APPENDS;
        peer->flights_count--;
    }
}

void raft_peer_accept(struct raft_peer *peer, raft_index match)
{
    bool is_past_next = match >= peer->next; /* it has what could not be sent */
    peer->match = MAX(peer->match, match);
    peer->next = MAX(peer->next, peer->match + 1);
    switch (peer->state) {
    case RAFT_PEER_PROBE: {
        raft_index next = MAX(peer->sent.index, peer->match) + 1;
        /* What the first probe carried may be on its way to that disk, or lost. Ask at once. */
        peer->is_heartbeat_due |= peer->sent.index > peer->match;
        enter(peer, RAFT_PEER_STREAM);
        peer->next = next;
        break;
    }
    case RAFT_PEER_STREAM:
        land_flights(peer);
        break;
    case RAFT_PEER_LOAD:
        if (peer->sent.index != 0 && peer->match >= peer->sent.index)
            peer->is_waiting = false;
        break;
    case RAFT_PEER_SNAPSHOT:
        if (is_past_next)
            raft_peer_probe(peer, peer->match + 1);
        break;
    }
    ENSURE(peer->match < peer->next);
}

void raft_peer_send(struct raft_peer *peer, raft_index last, size_t bytes)
{
    REQUIRE(peer->state == RAFT_PEER_STREAM);
    REQUIRE(raft_peer_has_room(peer));
    size_t at = (peer->flights_head + peer->flights_count++) % LIMIT_INFLIGHT_APPENDS;
    peer->flights[at] = (struct raft_flight){.last = last, .bytes = bytes};
    peer->flights_bytes += bytes;
    peer->next = last + 1;
}

bool raft_peer_has_room(const struct raft_peer *peer)
{
    return peer->flights_count < LIMIT_INFLIGHT_APPENDS &&
           peer->flights_bytes < LIMIT_INFLIGHT_BYTES;
}

bool raft_peer_is_current(const struct raft_peer *peer, raft_index prev)
{
    if (prev <= peer->match)
        return false;
    switch (peer->state) {
    case RAFT_PEER_PROBE:
        return prev + 1 == peer->next;
    case RAFT_PEER_STREAM:
    case RAFT_PEER_LOAD:
        return prev < peer->next;
    case RAFT_PEER_SNAPSHOT:
        return false; /* that it lacks the snapshot is no news */
    }
    UNREACHABLE();
}
