/* Peer: the links of one node to all others.
 *
 * Each node dials every other and sends on the link it dialled; it receives on those it accepted.
 *
 *      node 1 ──dialled──▶ node 2      messages, envelopes, pings, fetches
 *             ◀──────────             welcome, pongs, refusals of envelopes, chunks
 *      node 1 ◀──dialled── node 2      the same, the other way round
 *
 * What is sent in one turn of the loop leaves in one write per link. A link that is down, or whose
 * outbox is full, drops messages (raft sends again); envelopes are kept by the node.
 *
 * Whoever dials in says where it is reached. That is tried as well as the address in the
 * configuration, which may be old; and a guest, who is in no configuration here, is dialled there
 * for as long as its own link lasts.
 *
 * Ownership    peers own links, listener and outboxes; everything given to a callback is borrowed
 * Limits       LIMIT_FRAME_BYTES, LIMIT_OUTBOX_BYTES, LIMIT_LINKS_INBOUND, LIMIT_GUESTS,
 *              LIMIT_CHUNKS_BYTES
 * Calling      the loop's thread; no callback runs inside a call but `check`; a callback may call
 *              anything here but peers_close
 * Format       docs/formats/peer.md */
#ifndef MINIKV_PEER_PEER_H
#define MINIKV_PEER_PEER_H

#include "env/env.h"
#include "types/member.h"
#include "wire/codec.h"
#include "wire/fetch.h"
#include "wire/hello.h"

struct peers;

struct peers_options {
    uint64_t cluster_id;
    node_id self;
    uint64_t identity;
    uint64_t incarnation;
    struct address listen;
    time_us ping;       /* how often a link shows that it lives */
    time_us dead_after; /* no pong for so long: half-open; closed and dialled anew */
};

enum link_state {
    LINK_UP,     /* the outgoing link is welcomed; what was sent on an older one may be lost */
    LINK_CLOSED, /* down for a reason that is no sign of death: bye, newer link, no pong, refusal */
    LINK_DEAD    /* down by end of file or reset: the process is probably gone */
};

struct peers_callbacks {
    void *ctx;
    /* From a welcomed peer: message->from is the sender, to is this node. `sender` is what it said
     * when it was welcomed. */
    void (*on_message)(void *ctx, const struct hello *sender, const struct message *message,
                       const struct address *leader_http);
    void (*on_envelope)(void *ctx, const struct hello *sender, const struct envelope *envelope);
    void (*on_refusal)(void *ctx, node_id from, const struct envelope_refusal *refusal);
    /* `welcome` only with LINK_UP; else NULL. */
    void (*on_link)(void *ctx, node_id peer, enum link_state state, const struct welcome *welcome);
    /* Somebody with good version, cluster and addressee dials, or did and is looked at again
     * (peers_review). 0: it may stay; else why not. Changes nothing. */
    enum refusal (*check)(void *ctx, const struct hello *hello);
    /* It has been let in. From here on older inbound links of the same peer are discarded unread.
     */
    void (*on_hello)(void *ctx, const struct hello *hello, struct welcome *out_welcome);
    /* A welcomed peer wants a piece of a snapshot: peers_chunk answers, now or later. */
    void (*on_fetch)(void *ctx, const struct hello *sender, const struct snapshot_fetch *fetch);
    /* A piece, unpacked; or why there is none. May be late: number, snapshot and offset tell. */
    void (*on_chunk)(void *ctx, node_id from, const struct snapshot_chunk *chunk);
};

/* Listens. ST_OK; as env_listen. */
MUST_CHECK enum status peers_open(struct env *env, const struct peers_options *options,
                                  const struct peers_callbacks *callbacks, struct peers **out_peers,
                                  struct errtext *error);
/* Says bye on every link, then closes; the byes need the env to run on for a moment, else the
 * others may take this for a death. NULL is a no-op. */
void peers_close(struct peers *peers);

/* Dial these, and of others only guests; called again whenever the configuration changes. What it
 * says of this node itself is what others are told. */
void peers_set(struct peers *peers, const struct config *config);
/* What others are told from now on of the log here: struct hello. */
void peers_set_history(struct peers *peers, uint64_t history);
/* Looks again at everybody who is connected, and closes the links of those who may not stay. */
void peers_review(struct peers *peers);

/* Queues; leaves at the end of this turn. Dropped when the link is down or its outbox full. */
void peers_send(struct peers *peers, const struct message *message,
                const struct address *leader_http);
/* ST_OK: queued; ST_CLOSED: no welcomed link; ST_BUSY: outbox full. */
MUST_CHECK enum status peers_forward(struct peers *peers, const struct envelope *envelope);
/* Back on the newest inbound link of `to`; dropped when there is none, or when another process of
 * that node has it: numbers begin anew with each, and the refusal would be taken for another's. */
void peers_refuse(struct peers *peers, node_id to, uint64_t incarnation,
                  const struct envelope_refusal *refusal);
/* ST_OK: queued; ST_CLOSED: no welcomed link; ST_BUSY: outbox full. */
MUST_CHECK enum status peers_fetch(struct peers *peers, node_id from,
                                   const struct snapshot_fetch *fetch);
/* Back on the newest inbound link of `to`; packs what it carries, which must not be packed.
 * ST_OK: queued; ST_CLOSED: no such link; ST_BUSY: LIMIT_CHUNKS_BYTES wait there already. */
MUST_CHECK enum status peers_chunk(struct peers *peers, node_id to,
                                   const struct snapshot_chunk *chunk);

struct peer_stats {
    node_id id;
    bool is_up;
    uint64_t links_count;                                  /* welcomed so far */
    uint64_t sent_bytes, received_bytes;                   /* on the links of both directions */
    uint64_t snapshot_sent_bytes, snapshot_received_bytes; /* of chunks, unpacked */
    uint64_t dropped_count;
    size_t outbox_bytes;
    time_us round_trip;   /* of the last ping */
    enum refusal refused; /* why the peer last refused us; 0: it did not */
};
size_t peers_stats(const struct peers *peers, struct peer_stats *out_stats, size_t stats_max);

#endif
