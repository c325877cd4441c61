/* Node: one replica, and the only place that orders effects: persist → send → apply → answer.
 *
 * A front door turns bytes into a request, submits it, and turns the answer into bytes. Forwarding,
 * holding during elections, proof of non-application and deadlines exist once, here, and serve
 * every front door alike.
 *
 *      node_submit ─▶ route ─▶ propose ─▶ log ─▶ apply ─▶ on_done      (leader)
 *                        └───▶ envelope ─▶ leader … apply here ─▶ on_done  (elsewhere)
 *
 * Ownership    the node owns raft, kv, log and links; requests are embedded in their owner and
 *              stay until on_done or node_cancel
 * Limits       LIMIT_REQUESTS, LIMIT_HELD, LIMIT_FORWARD_OPEN
 * Calling      the loop's thread; on_done never runs inside node_submit */
#ifndef MINIKV_NODE_NODE_H
#define MINIKV_NODE_NODE_H

#include "base/list.h"
#include "env/env.h"
#include "kv/kv.h"
#include "peer/peer.h"
#include "raft/raft.h"
#include "route/redirect.h"
#include "route/route.h"
#include "storage/snapfile.h"
#include "storage/wal.h"

struct node;
struct trace; /* base/trace.h */

/* ---- requests ---- */

enum node_request_kind {
    NODE_WRITE, /* order and apply `command` */
    NODE_READ   /* answer when this node's state may be read linearizably; then look at node_kv */
};

struct node_answer {
    enum status status;
    enum effect effect; /* the truth about this delivery */
    /* Of a command that was applied, now or by an earlier delivery; its results are borrowed until
     * on_done returns. */
    struct kv_result result;
    struct redirect_msg redirect; /* where to go when this node did not take it; else all 0 */
    unsigned hops_count;          /* forwards it took: 0 or 1 */
    uint32_t retry_after_ms;      /* 0: no advice */
};

struct node_request {
    /* filled in by the front door */
    enum node_request_kind kind;
    enum route_policy policy;
    bool is_forwarded;    /* the client says that it has been forwarded before */
    bool is_internal;     /* exempt from the announce policy */
    time_us deadline;     /* monotonic; the answer comes by then */
    struct bytes command; /* encoded kv/command.h; borrowed until on_done */
    struct bytes key;     /* of a read: what on_done will look up, so that it is near; borrowed
                             until on_done; empty: unknown */
    void (*on_done)(void *ctx, const struct node_answer *answer);
    void *ctx;

    /* private to the node */
    struct list link;
    unsigned state;
    uint64_t number; /* of the attempt under way */
    raft_term fence; /* term the attempt is bound to */
    time_us hold_until;
    unsigned hops_count;
    bool link_was_lost;  /* since the attempt was sent */
    bool is_client;      /* what has been applied here may answer it */
    raft_index asked_at; /* the applied index at which the table of sessions was last asked */
    node_id sent_to;     /* the leader that the attempt went to; this node: proposed here */
    struct env_timer timer;
    struct node_request *hash_next;
    struct node *node;
    struct node_answer answer;
    uint8_t *results; /* owned: those of the answer; NULL: it has none */
};

/* Takes a client's request on (Raft §8): a write that this node has applied before is answered from
 * the table of sessions; the leader orders it; another node forwards it, or answers with a
 * redirect_msg, as the policy says. on_done will be called exactly once, unless cancelled.
 *
 * The table is asked again each time the request is routed. A duplicate of a write that is still
 * under way gets an entry of its own; it stands behind the first in the log and finds its result.
 */
void handle_client_request(struct node *node, struct node_request *request);
/* Somebody wants something of this node, if only a word: for a disk the loop blocks only when next
 * to nobody does. */
void node_note_arrival(struct node *node);
/* The same without looking at what this node has applied: for commands of the node's own. */
void node_submit(struct node *node, struct node_request *request);
/* The client is gone: on_done will not be called. What was proposed may still happen. */
void node_cancel(struct node *node, struct node_request *request);

/* ---- lifecycle ---- */

/* Asks whether `http` answers as member `id` of this cluster; then calls node_verified with a copy
 * of the question. An answer to a question that no longer stands is ignored. */
struct node_verify {
    uint64_t number; /* names this question in node_verified */
    node_id id;
    uint64_t cluster_id;
    struct address http;
};
typedef void (*node_verify_fn)(void *ctx, const struct node_verify *verify);

struct node_options {
    node_id self;
    struct config initial; /* of a new cluster; ignored once the data directory has one */
    struct address listen_peer;
    struct address advertise_http; /* what this node announces; unset: nothing */
    bool announces;
    enum route_policy policy; /* default for front doors: node_policy */
    time_us heartbeat, election, hold;
    time_us session_ttl; /* of log time since a client's last use, when this node leads; 0: 24 h */
    uint64_t wal_segment_bytes; /* 0: the default, or less where snapshots are taken more often */
    uint64_t snapshot_bytes;    /* of log after which a snapshot is taken; 0: the default */
    uint64_t snapshot_rate;     /* bytes per second written, and sent to others; 0: the default */
    struct trace *trace;        /* borrowed; for the report of a crash; NULL: none is kept */

    /* A fresh data directory of a node that joins a cluster (`initial` counts for nothing then). */
    bool joins;
    uint64_t cluster_id;
    struct config
        hint; /* its members, as one of them told: whom to dial until a snapshot is here */
};

enum { SNAPSHOT_BYTES_DEFAULT = 64 * MIB, SNAPSHOT_RATE_DEFAULT = 64 * MIB };

struct node_callbacks {
    void *ctx;
    node_verify_fn verify; /* NULL: announced addresses are taken unverified (tests) */
    /* Serving is over: a disk failed or data is damaged. The process exits with this status. */
    void (*on_fatal)(void *ctx, enum status status);
    /* role, term, leader or leader's address changed */
    void (*on_view)(void *ctx);
    /* Entries have been applied, or another state was installed: node_kv may say something new. At
     * most once a turn, behind all of them, and before requests are answered. */
    void (*on_applied)(void *ctx);
};

/* Locks and recovers the data directory, listens for peers, joins the cluster.
 * return   ST_OK; ST_LOCKED, ST_CORRUPT, ST_FORMAT, ST_IO, ST_NO_SPACE, ST_BUSY (port taken),
 *          ST_BAD_ADDRESS, ST_BAD_REQUEST (no members known), all with `error` */
MUST_CHECK enum status node_open(struct env *env, const struct node_options *options,
                                 const struct node_callbacks *callbacks, struct node **out_node,
                                 struct errtext *error);
/* Hands leadership over and finishes what is in flight, at most until `deadline`; then on_stopped.
 * New requests are refused with ST_SHUTTING_DOWN once nobody can take them. */
void node_stop(struct node *node, time_us deadline, void (*on_stopped)(void *ctx), void *ctx);
/* Frees everything at once; open requests are answered first, truthfully. NULL is a no-op. */
void node_close(struct node *node);

/* The members of the cluster that this node is about to join may have changed. No effect on a node
 * that has a state. */
void node_hint(struct node *node, const struct config *members);

void node_verified(struct node *node, const struct node_verify *verify, enum status status);

/* ---- what front doors look at ---- */

struct node_view {
    uint64_t version; /* grows with every change of the fields below */
    node_id self;
    uint64_t cluster_id;
    enum raft_role role;
    raft_term term;
    node_id leader;             /* NODE_NONE: unknown */
    struct address leader_peer; /* unset: unknown */
    struct address leader_http; /* unset: unknown or not announced */
    struct known_leader known;  /* the same for clients: follows every append and heartbeat */
};
const struct node_view *node_view(const struct node *node);
/* Of its data directory. */
uint64_t node_identity(const struct node *node);
/* A write with this identity is waiting or under way at this node, or in its log and not yet
 * applied. Looks at all of them: for questions of clients, not for every request. */
bool node_is_pending(const struct node *node, const struct client_identity *identity);
const struct kv *node_kv(const struct node *node);
/* Grows when node_kv becomes another struct kv, fetched from another node: the same revisions, but
 * with events of other numbers. */
uint64_t node_kv_epoch(const struct node *node);
const struct raft *node_raft(const struct node *node);
enum route_policy node_policy(const struct node *node);
raft_index node_applied(const struct node *node);
/* Log time now, in which leases expire, as far as this node can tell: never less than it is;
 * UINT64_MAX: unknown. */
uint64_t node_log_time(struct node *node);
/* How old a stale read may be: the time since everything that a leader had said to be committed was
 * applied here; 0 at the leader; TIME_NEVER when that has not been the case since the start. */
time_us node_staleness(const struct node *node);
/* Ready: a leader is known and can be reached, and everything that was committed when this process
 * first heard a leader has been applied. */
bool node_is_ready(const struct node *node);
/* What keeps the node from ever becoming ready as it was started, and what to do; NULL: nothing. */
const char *node_note(const struct node *node);

/* Turns what an operator typed for member `id` into an address that others can dial: a bare :port
 * or wildcard becomes the member's own host when all members are on one host, else
 * ST_BAD_ADDRESS with the reason. ST_UNKNOWN_MEMBER. */
MUST_CHECK enum status node_resolve_http(const struct node *node, node_id id,
                                         const struct address *typed, struct address *out_address,
                                         struct errtext *error);

/* The same for the peer address of a node that joins; a wildcard becomes the host that all members
 * are on. ST_OK; ST_BAD_ADDRESS. */
MUST_CHECK enum status node_resolve_peer(const struct node *node, const struct address *typed,
                                         struct address *out_address, struct errtext *error);

/* Asks for a snapshot at `index` or later, which must be applied. on_done comes once, unless
 * cancelled, never inside the call: ST_OK and the snapshot, which stays for at least as long as it
 * is the newest but one; ST_IO, ST_NO_SPACE; ST_SHUTTING_DOWN. */
struct node_snapshot_wait {
    raft_index index;
    void (*on_done)(void *ctx, enum status status, const struct snapshot_info *info);
    void *ctx;
    struct list link; /* private to the node */
};
void node_snapshot_await(struct node *node, struct node_snapshot_wait *wait);
void node_snapshot_cancel(struct node_snapshot_wait *wait);

struct node_progress {
    struct snapshot_info newest; /* index 0: none */
    bool is_taking;
    uint64_t taken_bytes, taking_bytes; /* written so far, and of all */
    bool is_fetching;
    struct entry_id fetched;
    node_id source;
    uint64_t fetched_bytes, fetching_bytes; /* received so far, and of all */
};
void node_progress(const struct node *node, struct node_progress *out_progress);

struct node_stats {
    uint64_t requests_open, requests_held, requests_forwarded_open;
    uint64_t proposed_count, forwarded_count, taken_count, resent_count, proven_count;
    uint64_t elections_count, leader_changes_count;
    uint64_t reads_count, read_rounds_count;
    uint64_t replayed_count, refused_count; /* writes answered from the table without an entry */
    uint64_t snapshots_count, snapshot_failures_count, installs_count;
    uint64_t leases_expired_count; /* by commands applied here */
    struct wal_stats wal;
};
void node_stats(const struct node *node, struct node_stats *out_stats);
size_t node_peer_stats(const struct node *node, struct peer_stats *out_stats, size_t stats_max);

#endif
