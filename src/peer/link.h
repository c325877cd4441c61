/* Link: what the files of this module share; nobody else includes it.
 *
 *      peers ─┬─ link_out   one per other member: dialled, sends messages, envelopes and pings
 *             └─ link_in    one per accepted connection: receives them
 *
 * A closed link_in and a removed link_out go to the list `gone` and are freed at the end of the
 * turn: whoever is up the stack may still look at them. */
#ifndef MINIKV_PEER_LINK_H
#define MINIKV_PEER_LINK_H

#include "base/prng.h"
#include "peer/chunk.h"
#include "peer/complaint.h"
#include "peer/inbox.h"
#include "peer/outbox.h"
#include "peer/peer.h"

enum {
    LINK_GREETING_BYTES = 256,  /* a frame before the link is greeted */
    LINK_BACK_BYTES = 1 * MIB,  /* outbox of an accepted link, beside chunks: pongs, refusals */
    LINK_QUEUED_BYTES = 1 * MIB /* beyond it in the env, the rest waits in the outbox */
};

#define LINK_GREETING_TIMEOUT (2000 * (time_us)TIME_US_PER_MS) /* to connect and to be greeted */
#define LINK_LINGER           (200 * (time_us)TIME_US_PER_MS)  /* for a last word to leave */
#define LINK_BACKOFF_MIN      (10 * (time_us)TIME_US_PER_MS)
#define LINK_BACKOFF_MAX      (1000 * (time_us)TIME_US_PER_MS)

/* Everything waiting in one list of `gone`. */
struct link_gone {
    struct list link;
    void (*free)(struct link_gone *gone);
};

enum out_state {
    OUT_CLOSED,     /* waiting to dial */
    OUT_CONNECTING, /* dialled */
    OUT_GREETING,   /* hello sent */
    OUT_WELCOMED
};

struct link_out {
    struct outbox outbox;   /* owned */
    struct inbox inbox;     /* owned */
    struct env_timer timer; /* when to dial, to give up, or to ping, by state */
    struct link_gone gone;

    node_id peer;
    struct address address; /* dialled now, or next: one of the two below */
    struct address home;    /* by the configuration; unset: a guest */
    struct address said;    /* by the peer, when it last dialled in; unset: nothing */
    enum out_state state;
    struct env_stream *stream; /* NULL while closed; belongs to the env */
    time_us backoff;           /* of the next dial, before jitter */
    uint32_t pings_unanswered;
    uint64_t stream_bytes;  /* given to this stream so far */
    uint64_t moved_bytes;   /* of these, out of the env's queue at the last ping */
    size_t queued_bytes;    /* the rest, at the last ping */
    bool is_report_pending; /* LINK_CLOSED, closed inside a call */
    uint64_t incarnation;   /* of the process that welcomed last */

    enum refusal refused;
    uint64_t links_count;
    uint64_t sent_bytes, received_bytes, dropped_count;
    uint64_t snapshot_sent_bytes, snapshot_received_bytes;
    time_us round_trip;

    struct peers *peers; /* borrowed */
};

struct link_in {
    struct outbox outbox;   /* owned */
    struct inbox inbox;     /* owned */
    struct env_timer timer; /* until greeted */
    struct list link;       /* peers->ins, the newest last */
    struct link_gone gone;

    struct env_stream *stream; /* NULL once closed; belongs to the env */
    struct address address;    /* of the other end of it */
    bool is_greeted;
    bool is_death_known; /* reported when the link to the same process ended */
    time_us heard_at;
    struct hello hello; /* once greeted */

    struct peers *peers; /* borrowed */
};

struct peers {
    struct env_listener *listener;                       /* belongs to the env */
    struct link_out *outs[LIMIT_MEMBERS + LIMIT_GUESTS]; /* owned */
    size_t outs_count;
    struct address own; /* by the configuration; unset: that does not say */
    uint64_t history;
    struct list ins; /* owned */
    size_t ins_count;
    struct list gone;              /* owned */
    struct message_in *message_in; /* owned: what is being decoded */
    struct chunk_packer packer;    /* owned */
    struct env_task turn_end;
    struct complaints complaints;
    struct prng prng; /* for jitter */

    struct env *env; /* borrowed */
    struct peers_options options;
    struct peers_callbacks callbacks;
};

/* ---- peers.c ---- */

struct link_out *peers_find_out(struct peers *peers, node_id peer); /* NULL: not dialled */
struct link_in *peers_find_in(struct peers *peers, node_id peer);   /* greeted; NULL: none */
/* Something waits for the end of this turn. */
void peers_post_turn_end(struct peers *peers);
/* Somebody has been let in: where it says it is reached, it is dialled. */
void peers_meet(struct peers *peers, const struct hello *hello);
/* The last link from this peer is gone: a guest is dialled no more. */
void peers_part(struct peers *peers, node_id peer);

/* ---- link_out.c ---- */

struct link_out *link_out_new(struct peers *peers, node_id peer, const struct address *address);
/* Says bye, closes, and leaves the rest to the end of the turn. */
void link_out_remove(struct link_out *link);
/* The configuration has another address, or has one now: what was open elsewhere is closed, and
 * reported at the end of the turn. */
void link_out_move_to(struct link_out *link, const struct address *home);
/* What a hello of this node says has changed. */
void link_out_greet_again(struct link_out *link);
void link_out_flush(struct link_out *link);
/* The peer shows that it is there: a waiting dial need not wait, and goes to where it says. */
void link_out_on_sign_of_life(struct link_out *link, const struct hello *hello);
/* The link from the peer ended as if its process had. */
void link_out_on_sign_of_death(struct link_out *link);

/* ---- link_in.c ---- */

void link_in_accept(struct peers *peers, struct env_stream *stream);
/* Ends it with a bye, if it was greeted, and leaves the rest to the end of the turn. */
void link_in_close(struct link_in *link);
/* Closes it if who was let in may not stay. */
void link_in_review(struct link_in *link);
/* A refusal for the one who dialled; a link that cannot take it is closed. */
void link_in_refuse_envelope(struct link_in *link, const struct envelope_refusal *refusal);
/* As peers_chunk. */
MUST_CHECK enum status link_in_send_chunk(struct link_in *link, const struct snapshot_chunk *chunk);
void link_in_flush(struct link_in *link);

#endif
