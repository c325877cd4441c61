/* What the files of the node share. Nobody outside src/node includes this.
 *
 *      node.c      open, close, stop; the turn; the view
 *      owner.c     whose a data directory is
 *      recover.c   what it holds, and the cores built from it
 *      ready.c     carries out a raft_ready in its order: the only place that does
 *      apply.c     committed entries into kv; recognises own commands; proof of non-application
 *      request.c   the life of a request: table, deadline, answer
 *      propose.c   routes what was submitted; batches what is proposed here
 *      forward.c   envelopes to and from other nodes
 *      read.c      linearizable reads
 *      directory.c register, announce, verify
 *      identity.c  which data directory stands for which member: who is let in, and counted
 *      expiry.c    proposes to forget clients that have been silent for too long, and leases
 *      renewals.c  keep-alives of leases, many in one command
 *      transfer.c  leadership handed over on request
 *      heir.c      who should lead in place of a node that stops, or has a full disk
 *      stop.c      an orderly stop
 *      pending.c   what is under way under an identity
 *      members.c   changes of the members, and votes for learners
 *      snapshot.c  takes snapshots, and cuts the log behind them
 *      fetching.c  which piece of an offered snapshot to ask whom for; pure
 *      install.c   fetches and installs what the leader offers
 *      serve.c     answers what others fetch
 *      status.c    figures for the front doors
 *      traces.c    what the report of a crash says of this node */
#ifndef MINIKV_NODE_NODE_INTERNAL_H
#define MINIKV_NODE_NODE_INTERNAL_H

#include "node/fetching.h"
#include "node/node.h"
#include "node/serve.h"
#include "storage/meta.h"

/* How often requests that wait for a leader, a link or a round are looked at again. Every change of
 * the view does so at once; this is for what no view shows. */
enum { NODE_RETRY_US = 25 * TIME_US_PER_MS };
/* So much may come between two writes of the log in a node with nothing else to do: a request, or
 * the word of what is committed and a heartbeat. When more came, the node is busy for some writes.
 */
enum { NODE_QUIET_ARRIVALS = 2, NODE_BUSY_WRITES = 16 };
/* Applied in one turn, so that a long replay does not hold up the loop. */
enum {
    NODE_APPLY_BATCH = 1024,
    NODE_APPLY_AHEAD = 32 /* of them are looked up together */
};
/* The table of open attempts; numbers are consecutive, so chains stay short. */
enum { NODE_TABLE_SLOTS = 16384 };

/* Other nodes whose envelopes are kept account of; some of them may have left. */
enum { NODE_TAKEN = 2 * LIMIT_MEMBERS };

/* In a refusal: of any attempt. The highest number there may be, which no attempt ever has. */
#define NODE_NUMBER_ANY ((uint64_t)INT64_MAX)

enum request_state {
    REQUEST_NEW = 1,   /* in node->submitted */
    REQUEST_HELD,      /* in node->held: waits for a leader */
    REQUEST_OPEN,      /* in node->open and in the table: an attempt is under way */
    REQUEST_READING,   /* in a list of reads */
    REQUEST_TRANSFER,  /* in node->transfers: applied, waits for the new leader */
    REQUEST_ANSWERING, /* in node->answered: the answer is known, on_done comes next */
    REQUEST_DONE
};

/* A batch of reads that got one read index together. */
struct read_batch {
    struct list link;     /* in node->read_batches, rising number */
    struct list requests; /* REQUEST_READING */
    struct read_id id;
    time_us sent_at;
    bool has_index;
    raft_index index;
};

/* A message that waits until term and vote are durable. */
struct gated_message {
    struct list link;
    struct message message; /* owns `append.entries` and a reference on each */
    struct address leader_http;
};

/* Which write of the log ends with which entry. */
struct pending_append {
    uint64_t sequence;
    struct entry_id last; /* index 0: a hard state alone */
};

/* What this node, leading in `term`, has taken from another node's process. */
struct taken {
    node_id node;
    uint64_t incarnation;
    raft_term term;
    uint64_t number;          /* highest taken */
    struct buf refused;       /* encoded envelope_refusals of this term, for a new link */
    bool must_repeat_refused; /* a new link has been welcomed */
};

/* A member with a link to this node, in one direction or both. */
struct neighbour {
    node_id node;
    uint64_t incarnation; /* of the process that dialled last */
    bool must_be_told;    /* that this node shall not lead */
    bool is_stopping;     /* it said so on the link that this node dialled */
    time_us full_until;   /* its disk is, as it said a moment ago */
};

/* An announcement whose address is being asked for its identity. */
struct verifying {
    struct list link;
    struct node_verify verify;
    struct entry *entry; /* owned; proposed once verified */
    raft_term fence;
};

/* Snapshots of this node's own state. */
struct snapshots {
    struct kv_image *image;         /* owned; NULL: none is being taken */
    struct snapfile_writer *writer; /* borrowed from itself; NULL: none is being taken */
    struct snapshot_info info;      /* the newest durable one; index 0: none */
    struct snapshot_info previous;  /* the one before */
    struct snapshot_info unmarked;  /* durable, and ahead of the log on disk; index 0: none */
    uint64_t mark_sequence;         /* of the newest one's mark in the log; 0: durable */
    uint64_t written_bytes;         /* to the log by this process when the newest one, or the one
                                       being taken, was begun */
    uint64_t replayed_bytes;        /* of log behind the newest one, at the start */
    time_us not_before;
    time_us fetched_at; /* when a peer last asked for a piece of one; 0: never */
    bool is_wanted;     /* by a peer */
    bool is_damaged;    /* the newest one, or not there: found out when it was to be sent */
    bool is_collecting; /* what an image kept, or was discarded, is being freed */
    struct list waits;  /* struct node_snapshot_wait */
};

/* A snapshot of the leader's on its way here. */
struct install {
    struct fetching fetching;
    struct snapfile_receiver *receiver; /* owned; NULL: nothing is on its way */
    struct kv_loader *loader;           /* owned; the state as far as it has come */
    struct kv *loaded;                  /* owned; the whole state, while its file becomes durable */
    struct env_timer timer;
    time_us not_before;
};

struct node {
    struct env *env;
    struct raft *raft;
    struct kv *kv;
    struct wal *wal;
    struct peers *peers;
    struct meta meta;
    struct node_options options;
    struct node_callbacks callbacks;
    uint64_t incarnation;
    struct node_view view;
    /* The leader's client address comes from its appends and from the directory applied here;
     * whichever changed last is the newer word. */
    node_id hint_leader; /* whose last append said `hint_http`, in which term */
    raft_term hint_term;
    struct address hint_http;
    struct address leader_http;
    bool must_reroute; /* the view changed: look at everything held in the next turn */

    /* ready.c */
    struct env_timer tick;
    struct env_task turn;
    struct list gated; /* struct gated_message */
    size_t gated_count;
    uint64_t gate_sequence; /* messages wait until the log is durable up to here */
    uint64_t durable_sequence;
    raft_index appended;            /* the last one given to the log, or found there */
    struct pending_append *appends; /* ring */
    size_t appends_count, appends_capacity, appends_first;
    size_t
        arrivals_count; /* since the last write: requests, and messages that wait for an answer */
    size_t busy_writes; /* so many more are for the writer thread */
    bool is_fatal;
    enum status fatal_status; /* is_fatal: why */
    bool is_stepping;
    time_us heard_at;        /* last append of the current leader; 0: none since start */
    raft_index heard_commit; /* what it said is committed */
    time_us fresh_at; /* the last time that everything it had said was applied here; 0: never */

    /* apply.c */
    /* The log on disk goes back to the entry behind it: the one that stands for the initial
     * configuration, or one that a snapshot was taken at. */
    struct entry_id base;
    raft_index applied;
    raft_index applied_told;  /* to raft */
    raft_index applied_shown; /* to the front door */
    uint64_t kv_epoch;
    raft_index ready_index; /* committed when a leader was first heard; 0: none was yet */
    bool is_caught_up;      /* applied up to there */
    raft_term applied_term; /* of the entry applied last */
    uint64_t log_time_us;   /* a stamp that was of now … */
    time_us log_time_at;    /* … at this moment; 0: none was yet */
    uint64_t stamp_base;    /* log time when this node took office */
    time_us stamp_base_at;  /* monotonic time then, moved on by each standstill since */

    /* request.c, propose.c */
    struct list submitted, held, open, answered;
    size_t requests_count, held_count;
    uint64_t results_bytes; /* of those answered and not yet told */
    struct node_request *table[NODE_TABLE_SLOTS];
    uint64_t number_last;
    struct entry *proposals[LIMIT_PROPOSALS]; /* owned; this turn's batch */
    raft_term proposal_fences[LIMIT_PROPOSALS];
    size_t proposals_count, proposals_bytes;
    struct env_timer retry;
    bool retry_is_armed;

    /* heir.c */
    struct neighbour neighbours[NODE_TAKEN];
    bool is_full; /* the disk: no room for the log */
    struct env_timer room_timer;

    /* stop.c */
    bool is_stopping;
    time_us stop_deadline;
    void (*on_stopped)(void *ctx); /* NULL: not told to stop, or has stopped */
    void *on_stopped_ctx;

    /* forward.c */
    struct taken taken[NODE_TAKEN];

    /* read.c */
    struct list reads_waiting, read_batches;
    size_t read_batches_count;
    uint64_t read_number_last;

    /* directory.c */
    struct list verifying;
    size_t verifying_count;
    uint64_t verify_number_last;
    struct node_request own_request; /* register or announce of this node itself */
    struct buf own_command;
    bool own_is_open;
    enum status own_status;       /* of the last one */
    struct address own_announced; /* by this process; an operator may announce another since */
    bool own_is_unusable;         /* the advertised client address names no host; said once */
    time_us own_not_before;

    /* identity.c */
    raft_index identity_last; /* no entry behind this one says anything about identities */
    bool is_admitted;         /* this node's data directory is the member's: it may stand */
    uint64_t heard_identity;  /* of the process that the leader's messages come from */
    bool must_review;         /* who is connected may be somebody else by now */

    /* expiry.c */
    time_us expiry_not_before;
    time_us lease_not_before;
    struct env_timer lease_timer;
    time_us lease_timer_at; /* TIME_NEVER: not armed */

    /* snapshot.c, install.c, serve.c, members.c */
    struct snapshots snapshot;
    struct install install;
    struct serve serve;
    raft_index commit_before; /* commit as of the last look at the learners; 0: none yet */
    time_us commit_before_at;

    /* transfer.c */
    struct list transfers; /* REQUEST_TRANSFER */
    node_id transfer_to;   /* applied in this turn at the leader; NODE_NONE: nothing to do */

    struct node_stats stats;
};

/* owner.c */
/* Reads whose the data directory is, or makes a fresh one this node's. */
MUST_CHECK enum status owner_load(struct node *node, struct errtext *error);
/* The log has been made. */
MUST_CHECK enum status owner_note_log(struct node *node, struct errtext *error);

/* recover.c */
MUST_CHECK enum status node_recover(struct node *node, struct errtext *error);

/* node.c */
void node_fail(struct node *node, enum status status, const char *what);
void node_wake(struct node *node); /* run a turn after this batch of events */
void node_view_refresh(struct node *node);
/* The directory applied here has changed what it says of the leader. */
void node_on_leader_http(struct node *node);
/* Looks at everything that waits again after NODE_RETRY_US. */
void node_arm_retry(struct node *node);

/* ready.c */
/* Steps raft and carries out what it says. PROPOSE and TRANSFER may be refused, as raft.h says. */
enum status ready_step(struct node *node, const struct raft_event *event);
void ready_on_durable(void *ctx, uint64_t sequence);
void ready_on_failed(void *ctx, enum status status);
/* A new term has come, and the disk has no room to note it: no word of this node may leave. */
bool ready_is_mute(const struct node *node);
bool ready_may_block(void *ctx); /* the loop, for a write of the log */
void ready_release(struct node *node);

/* traces.c */
void traces_on_event(struct node *node, const struct raft_event *event);
void traces_on_step(struct node *node);
void traces_on_view(struct node *node);

/* members.c */
bool members_is_change(struct bytes command);
/* Proposes what the command makes of the configuration. ST_OK or why not. */
MUST_CHECK enum status members_propose(struct node *node, const struct proposal *proposal,
                                       raft_term fence);
void members_on_tick(struct node *node); /* gives votes to learners that have caught up */
void members_on_applied(struct node *node, const struct config *before);
void members_link(struct node *node); /* has links to whom it should have links to */

/* snapshot.c */
void snapshot_init(struct node *node);
/* Bytes of log after which the next one is due, whose predecessor has `newest_bytes`. */
uint64_t snapshot_log_wanted(uint64_t option, uint64_t newest_bytes, bool is_fetched);
/* A small state is written often and read in no time, a large one seldom, and reading it from the
 * disk is most of a restart. */
bool snapshot_leaves_cache(uint64_t state_bytes);
uint64_t snapshot_rate(const struct node *node); /* bytes per second, written or sent */
void snapshot_begin_log(struct node *node);      /* what is in the log now counts no more */
void snapshot_consider(struct node *node);       /* takes one if it is due */
void snapshot_on_tick(struct node *node); /* one that failed is tried again, also in an idle node */
void snapshot_collect(struct node *node); /* frees a slice of what pins kept, or was discarded */
void snapshot_collect_more(struct node *node); /* there is something to free */
/* Of serve: another one is taken if this is the newest. */
void snapshot_on_damaged(void *ctx, struct entry_id last);
/* A durable snapshot, taken or installed: the log is told. */
void snapshot_mark(struct node *node, const struct snapshot_info *info);
void snapshot_tell_raft(struct node *node);
void snapshot_on_durable(struct node *node);
void snapshot_on_log(struct node *node); /* more entries are durable */
void snapshot_drop(struct node *node);   /* the one being taken */
void snapshot_release(struct node *node);

/* install.c */
void install_init(struct node *node);
void install_on_offer(struct node *node, const struct raft_offer *offer);
void install_on_chunk(void *ctx, node_id from, const struct snapshot_chunk *chunk);
void install_on_link(struct node *node, node_id peer);
bool install_is_switching(const struct node *node);
void install_release(struct node *node);

/* apply.c */
void apply_committed(struct node *node);
/* The highest stamp in the log, applied or not; 0: there is none yet. */
uint64_t apply_last_stamp(const struct node *node);
/* Notes the time if everything that the leader has said to be committed is applied. */
void apply_note_fresh(struct node *node);
uint64_t apply_stamp(struct node *node); /* log time now; requires leading */
/* Log time now, as far as this node can tell: never less than it is; UINT64_MAX: unknown. */
uint64_t apply_log_time(struct node *node);

/* request.c */
struct node_request *request_find(struct node *node, uint64_t number);
/* Gives the request a fresh number, a fence and a place in the table. */
void request_open(struct node *node, struct node_request *request, raft_term fence,
                  node_id sent_to);
/* Takes it out of wherever it is: list, table. Its timer goes on. */
void request_detach(struct node *node, struct node_request *request);
void request_hold(struct node *node, struct node_request *request);
void request_answer(struct node *node, struct node_request *request, enum status status,
                    const struct kv_result *result);
/* Its deadline has passed, and no attempt of it is or will be under way. */
void request_expire(struct node *node, struct node_request *request);
/* Calls on_done of all that have been answered. */
void request_deliver(struct node *node);
/* The attempt certainly never took effect: route the request again. */
void request_again(struct node *node, struct node_request *request);

/* propose.c */
void propose_submitted(struct node *node);
void propose_held(struct node *node); /* routes all that is held once more */
void propose_flush(struct node *node);
/* Makes the entry of a command and puts it into this turn's batch, after verification where the
 * command needs it. ST_OK or why not: BUSY, NO_SPACE, FENCED (not leading in `fence`). */
MUST_CHECK enum status propose_command(struct node *node, const struct origin *origin,
                                       struct bytes command, raft_term fence);
/* What to answer when a request that waits for a leader may wait no longer. */
enum status propose_give_up(const struct node *node, const struct node_request *request);
/* What became of an entry that was not proposed: tells whoever asked for it. */
void propose_refuse(struct node *node, const struct origin *origin, raft_term fence,
                    enum status status);
/* An entry with this head; gives one reference. */
struct entry *propose_entry(const struct proposal *head, enum entry_type type, struct bytes body);
void propose_add(struct node *node, struct entry *entry, raft_term fence); /* takes the entry */

/* forward.c */
MUST_CHECK enum status forward_send(struct node *node, struct node_request *request);
void forward_on_envelope(void *ctx, const struct hello *sender, const struct envelope *envelope);
void forward_on_refusal(void *ctx, node_id from, const struct envelope_refusal *refusal);
void forward_on_link(struct node *node, node_id peer, enum link_state state,
                     const struct welcome *welcome);
void forward_welcome(struct node *node, const struct hello *hello, struct welcome *out_welcome);
void forward_refuse(struct node *node, const struct origin *origin, raft_term fence,
                    enum status status);
void forward_repeat_refusals(struct node *node);

/* heir.c */
void heir_init(struct node *node);
void heir_release(struct node *node);
void heir_on_hello(struct node *node, const struct hello *hello);
void heir_on_link_up(struct node *node, node_id peer); /* the link that this node dialled */
/* It shall not lead: SHUTTING_DOWN, NO_SPACE. */
void heir_on_notice(struct node *node, node_id from, enum status status);
void heir_on_room(void *ctx, bool is_out_of_space); /* of the log */
void heir_announce(struct node *node);              /* all must be told that this node is such */
void heir_tell(struct node *node);                  /* tells all who must be told */
void heir_hand_over(struct node *node);             /* if it leads, and another one can */

/* stop.c */
void stop_continue(struct node *node); /* hands over, if it stops and leads */
void stop_check(struct node *node);    /* on_stopped, if it has */
/* Another voter can be reached, so that there may be a leader again. */
bool stop_has_company(const struct node *node);

/* status.c */
bool node_is_linked(const struct node *node, node_id peer);

/* read.c */
void read_add(struct node *node, struct node_request *request);
void read_start_batch(struct node *node);
void read_on_ready(struct node *node, const struct raft_read *read);
void read_complete(struct node *node); /* answers all whose index has been applied */
void read_retry(struct node *node);    /* gives up batches that got no answer */
void read_release(struct node *node);

/* directory.c */
void directory_refresh(struct node *node); /* registers and announces this node where it is owed */
bool directory_needs_verification(const struct node *node, struct bytes command);
MUST_CHECK enum status directory_verify(struct node *node, struct entry *entry, raft_term fence);
void directory_release(struct node *node);

/* identity.c */
/* For every entry that comes into the log. */
void identity_note(struct node *node, const struct entry *entry);
/* Which log this is (struct kv_stats); 0: it cannot be told yet. */
uint64_t identity_history(const struct node *node);
/* Whether it may be connected: 0, or why not. */
enum refusal identity_check(const struct node *node, const struct hello *hello);
/* Whether a member with its own data directory has sent this; if not, only such messages are taken
 * for which that is no matter. */
bool identity_knows(const struct node *node, const struct hello *sender);
bool identity_takes(const struct node *node, const struct hello *sender, enum message_type type);
/* Lets this node stand, or not, by what its log says of its own data directory. */
void identity_admit(struct node *node);

/* expiry.c */
void expiry_init(struct node *node);
void expiry_release(struct node *node);
void expiry_on_tick(struct node *node);
/* Each turn: proposes to take leases away when it is time, or arms a timer for then. */
void expiry_consider_leases(struct node *node);
/* For how long this process has stood still, as far as that has not been asked before. */
time_us expiry_take_standstill(struct node *node);
/* Sessions used since then may be answered from the state here. */
uint64_t expiry_recall_since(struct node *node);
/* A COMMAND_EXPIRE_SESSIONS has been applied and forgot so many. */
void expiry_on_applied(struct node *node, uint64_t expired_count);
/* A COMMAND_EXPIRE_LEASES has been applied and took so many. */
void expiry_on_leases_applied(struct node *node, uint64_t expired_count);

/* transfer.c */
void transfer_on_applied(struct node *node, struct entry_id at, struct bytes command);
void transfer_start(struct node *node); /* what has just been applied, if this node leads */
/* The command has been applied: the answer waits for the member to lead. */
void transfer_await(struct node *node, struct node_request *request,
                    const struct kv_result *result);
void transfer_settle(struct node *node); /* answers all whose member leads */

#endif
