/* Progress: what a leader knows of one peer's log, and how it feeds it.
 *
 *      probe    where the logs agree is a guess: one append on its way, again with each heartbeat
 *      stream   they agree up to `next - 1`: appends follow one another, bounded by a window
 *      load     what comes next has left memory: read back from disk, one piece on its way
 *      snapshot what comes next has left the disk as well: a snapshot is offered with each
 * heartbeat until the peer has it
 *
 * Every member but this node has one, in all roles; what is below `since` means something at a
 * leader only.
 *
 * Invariants   R12 match < next <= last + 1; match only rises while the link stays
 *              R13 the window: at most LIMIT_INFLIGHT_APPENDS; beyond LIMIT_INFLIGHT_BYTES nothing
 *                  is added */
#ifndef MINIKV_RAFT_PROGRESS_H
#define MINIKV_RAFT_PROGRESS_H

#include <stddef.h>

#include "base/limits.h"
#include "types/ids.h"

enum raft_peer_state { RAFT_PEER_PROBE, RAFT_PEER_STREAM, RAFT_PEER_LOAD, RAFT_PEER_SNAPSHOT };
const char *raft_peer_state_name(enum raft_peer_state state); /* "probe" | "stream" | … */

enum raft_vote { RAFT_VOTE_UNKNOWN, RAFT_VOTE_GRANTED, RAFT_VOTE_REFUSED };

struct raft_flight { /* one append on its way */
    raft_index last; /* of its entries */
    size_t bytes;
};

struct raft_peer {
    node_id id;
    bool is_voter;
    bool is_gone;        /* its link is down, so no answer can be expected */
    enum raft_vote vote; /* its answer in the election under way */
    time_us heard_at;    /* newest answer in this term; 0: never */
    time_us since;       /* counted as heard then: taking office, or joining */

    enum raft_peer_state state;
    raft_index match; /* durable there and equal to this log up to here */
    raft_index next;  /* the next entry to send */
    bool is_heartbeat_due;

    bool is_waiting;      /* probe, load: for an answer, or for the next heartbeat */
    bool is_loading;      /* load: for this node's disk */
    struct entry_id sent; /* probe, load: the last entry that has been offered; index 0: none */

    raft_index commit_sent;
    uint64_t round_sent; /* read rounds: newest asked and newest confirmed */
    uint64_t round_echoed;

    struct raft_flight flights[LIMIT_INFLIGHT_APPENDS]; /* a ring, oldest at flights_head */
    size_t flights_head, flights_count, flights_bytes;
};

/* A peer of which nothing is known, at the start of a leadership or of its membership. */
void raft_peer_restart(struct raft_peer *peer, raft_index next, time_us now);
/* Start over with a probe at `next`. */
void raft_peer_probe(struct raft_peer *peer, raft_index next);
void raft_peer_load(struct raft_peer *peer);
void raft_peer_snapshot(struct raft_peer *peer);
/* It has everything up to `match`. A probe answered well opens the stream. */
void raft_peer_accept(struct raft_peer *peer, raft_index match);
/* Entries up to `last` are on their way. */
void raft_peer_send(struct raft_peer *peer, raft_index last, size_t bytes);
bool raft_peer_has_room(const struct raft_peer *peer);
/* Whether a rejection of an append at `prev` speaks of the present (not late, not doubled). */
bool raft_peer_is_current(const struct raft_peer *peer, raft_index prev);

#endif
