/* Raft: the consensus core, one node's side of it, pure.
 *
 * One door: raft_step(raft, event, &ready). An event goes in, a struct raft_ready says what must
 * be done, in which order. No clock, no I/O, no randomness of its own, no callbacks: the same
 * state and the same event give the same result, on a real machine and in the simulator.
 *
 *      event ──▶ raft_step ──▶ ready: (1) hard state  (2) entries  (3) messages
 *                                     (4) commit      (5) reads    (6) deadline
 *
 * Sources      Raft (Ongaro, Ousterhout 2014) and the thesis (Ongaro 2014), cited at the line
 * Invariants   docs/invariants.md R1 …; raft_check walks them
 * Ownership    raft owns the entries of its log by reference; everything in a ready is borrowed
 *              until the next raft_step
 * Limits       LIMIT_UNCOMMITTED_BYTES, LIMIT_LOG_CACHE_BYTES, LIMIT_APPEND_*, LIMIT_INFLIGHT_*,
 *              LIMIT_READ_ROUNDS, LIMIT_READS_WAITING
 * Calling      carry out a whole ready before or while stepping on, in its order; entries may be
 *              written while later steps run, durable events then arrive in log order */
#ifndef MINIKV_RAFT_RAFT_H
#define MINIKV_RAFT_RAFT_H

#include "base/buf.h"
#include "base/check.h"
#include "types/entry.h"
#include "types/ids.h"
#include "types/member.h"
#include "types/message.h"

struct raft;

enum raft_role { /* moves between them: the table in raft/role.c */
                 RAFT_ROLE_FOLLOWER,
                 RAFT_ROLE_PRE_CANDIDATE,
                 RAFT_ROLE_CANDIDATE,
                 RAFT_ROLE_LEADER,
                 RAFT_ROLE_LEARNER
};
const char *raft_role_name(enum raft_role role); /* "follower", "pre-candidate", … */

struct raft_options {
    node_id self;
    uint64_t seed; /* of the election jitter; must differ between nodes */
    time_us heartbeat;
    time_us election; /* a follower waits for one to one and a half of these; above heartbeat */
    size_t log_cache_bytes; /* applied entries kept in memory; 0: LIMIT_LOG_CACHE_BYTES */
    bool is_barred;         /* until raft_admit: its disk may not be the one that its id stands for
                               in the configurations, so it never stands */
};

/* What was found on disk: everything durable. */
struct raft_start {
    struct hard_state hard_state;
    raft_index commit;      /* known committed, at least base.index; 0 when unknown */
    struct config config;   /* the newest configuration at or before `base`. Of a node that is no
                               member yet: what it has been told, without itself, or empty; it
                               listens then and never stands */
    struct entry_id base;   /* the entry before the first of `entries`; {0,0} on an empty disk:
                               only a snapshot helps, and until then it votes for nobody */
    struct entry **entries; /* borrowed, referenced on copy; the tail of the log */
    size_t entries_count;
    time_us now;
};

enum raft_event_type {
    RAFT_EVENT_TICK,      /* the deadline of the last ready has come (early or late is harmless) */
    RAFT_EVENT_MESSAGE,   /* from a peer, already checked for shape */
    RAFT_EVENT_PROPOSE,   /* new entries; on ST_OK raft takes a reference on each and seals them */
    RAFT_EVENT_DURABLE,   /* own disk holds everything up to this entry (term and index: a late
                             completion must not count for a newer entry at the same index) */
    RAFT_EVENT_APPLIED,   /* the state machine has applied up to this index */
    RAFT_EVENT_READ,      /* a batch of local linearizable reads asks for an index */
    RAFT_EVENT_LINK,      /* the links to and from a peer changed */
    RAFT_EVENT_LOADED,    /* entries asked for in ready.loads, read back from disk */
    RAFT_EVENT_TRANSFER,  /* hand leadership to a peer (NODE_NONE: to the most caught-up voter) */
    RAFT_EVENT_CAMPAIGN,  /* stand for election now (tests, single nodes) */
    RAFT_EVENT_COMPACTED, /* this disk holds a whole snapshot, and the log behind it: offer it */
    RAFT_EVENT_INSTALLED  /* this disk holds a whole snapshot of the leader's that this log lacks;
                             the state machine is at it */
};

struct raft_event {
    enum raft_event_type type;
    time_us now; /* never goes back */
    union {
        const struct message *message;
        struct {
            struct entry **entries; /* only ENTRY_COMMAND and ENTRY_CONFIG, unsealed, refs 1 */
            size_t entries_count;   /* 1 … LIMIT_PROPOSALS */
        } propose;
        struct entry_id durable;
        raft_index applied;
        struct read_id read;
        struct {
            node_id peer;
            bool is_up;   /* up: messages sent before may be lost; start over with a probe */
            bool is_dead; /* down by end of file or reset: the process is probably gone */
        } link;
        struct {
            node_id peer;
            struct entry_id prev;   /* the entry before the first one; index 0 at the log's start,
                                       term 0 when the disk does not know it any more */
            struct entry **entries; /* borrowed; may be none when disk had nothing */
            size_t entries_count;
            bool is_oldest; /* the log begins with these; perhaps behind the index asked for */
            bool is_gone;   /* the log begins behind the index asked for */
        } loaded;
        struct {
            node_id to;
        } transfer;
        struct {
            struct entry_id snapshot; /* the newest; at or below what is applied */
            uint64_t bytes;           /* of its file */
            raft_index log_first;     /* the oldest entry that the log on disk still has, at most
                                         snapshot.index + 1; a step at each start and whenever
                                         one of the three changes */
        } compacted;
        struct {
            struct entry_id last;        /* the snapshot's; at or below commit: nothing happens */
            const struct config *config; /* in force there; borrowed during the step */
        } installed;
    };
};

struct raft_read {
    struct read_id id;
    bool is_refused;  /* no leader, deposed, or no room: ask again later */
    raft_index index; /* the batch may be answered once this is applied */
};

struct raft_load {
    node_id peer;
    raft_index first; /* send entries from here on; also its predecessor's term is wanted */
    size_t bytes_max; /* a predecessor of any size and one message's worth of entries */
};

/* The leader has a snapshot that this node needs. */
struct raft_offer {
    node_id from;
    struct entry_id last;
    uint64_t bytes; /* of its file */
};

/* What to do, in this order. The one exception that makes Raft fast is written here: messages do
 * not wait for (2); a leader's entries leave while its own disk writes them, because it counts
 * itself only at RAFT_EVENT_DURABLE, and followers acknowledge only what is durable. */
struct raft_ready {
    /* (1) Must be durable before any message of this or a later ready leaves. */
    bool hard_state_changed;
    struct hard_state hard_state;

    /* (2) Append to the log, in order; the first may have an index that exists already, then it
     * supersedes everything from there on. Report RAFT_EVENT_DURABLE when synced. */
    struct entry **entries;
    size_t entries_count;

    /* (3) Send, after (1). */
    struct message *messages;
    size_t messages_count;

    /* (4) Everything up to here may be applied, in order. Rises only. */
    raft_index commit;

    /* (5) Answers to RAFT_EVENT_READ of this node. */
    struct raft_read *reads;
    size_t reads_count;

    /* Entries for slow peers that are no longer in memory: read them back, then LOADED. */
    struct raft_load *loads;
    size_t loads_count;

    /* Fetch it, from whoever has it, then INSTALLED. Said again with every heartbeat; a ready
     * without an offer takes none back. */
    bool has_offer;
    struct raft_offer offer;
    /* A peer needs a snapshot and there is none to offer: take one now, then COMPACTED. True in
     * every ready while it is so. */
    bool snapshot_wanted;

    /* (6) Step a TICK at this time at the latest. */
    time_us deadline;

    /* Something in raft_view changed: role, term, leader. */
    bool view_changed;
};

struct raft_view {
    enum raft_role role;
    raft_term term;
    node_id leader;         /* NODE_NONE when unknown; self when leading */
    time_us leader_since;   /* when this leader became known in this term */
    raft_index first_index; /* oldest entry still in memory */
    raft_index last_index;
    raft_index commit;
    raft_index durable;    /* own disk */
    raft_index term_start; /* the leader's no-op of this term; 0 when not leading */
    node_id transfer_to;   /* leadership is being handed over; proposals are refused */
    size_t uncommitted_bytes;
};

struct raft_peer_view {
    node_id id;
    bool is_voter;
    const char *state; /* "probe" | "stream" | "load" | "snapshot" */
    raft_index match, next;
    uint64_t snapshot_bytes; /* of what is on offer to it; 0: nothing */
    time_us heard_at;        /* last message from it; 0: never */
};

/* Gives ownership. */
struct raft *raft_new(const struct raft_options *options, const struct raft_start *start);
void raft_free(struct raft *raft);

/* return   ST_OK; for PROPOSE also ST_NOT_LEADER, ST_BUSY (LIMIT_UNCOMMITTED_BYTES, or a transfer
 *          is under way), ST_BAD_REQUEST (a second open configuration change, or one before an
 *          entry of this term is committed); for TRANSFER ST_NOT_LEADER, ST_UNKNOWN_MEMBER.
 *          On failure nothing changed; `out_ready` is valid all the same */
MUST_CHECK enum status raft_step(struct raft *raft, const struct raft_event *event,
                                 struct raft_ready *out_ready);

/* Whether, by what its log says, this very disk belongs to the member: only then it stands. */
void raft_admit(struct raft *raft, bool is_admitted);
void raft_view(const struct raft *raft, struct raft_view *out_view);
/* The configuration in force: the newest in the log, committed or not (thesis §4.1). */
const struct config *raft_config(const struct raft *raft);
/* Whether a change of members may be proposed now: this node leads, has committed an entry of its
 * term, and no change is open (thesis §4.1, FAULTS M1, M2). */
bool raft_change_open(const struct raft *raft);
/* At most `peers_max` peers in rising id; how many. Match and next mean something at a leader. */
size_t raft_peers(const struct raft *raft, struct raft_peer_view *out_peers, size_t peers_max);
/* The entry at `index`, borrowed until the next step; NULL when not in memory. */
struct entry *raft_entry(const struct raft *raft, raft_index index);

/* Walks every invariant and aborts if one fails. Called after each step in checked builds. */
void raft_check(const struct raft *raft);
/* One line of text, for traces and scenario files. */
void raft_format(const struct raft *raft, struct buf *out);

#endif
