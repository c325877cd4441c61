/* Swarm: one cluster, its clients and all that befalls them, from one seed.
 *
 *      swarm.c      the two phases: safety under faults, then liveness without
 *      sites.c      machines and the nodes on them: start, stop, what is for good
 *      strike.c     the faults of the plan, and their ends
 *      lose.c       faults that take away what a disk held
 *      members.h    who belongs to the cluster, and the operators who change that
 *      work.c       what clients ask
 *      answers.c    what they are told, and what must hold of it at once
 *      history.c    what was done with each register, for linear.h
 *      data.h       transactions, leases and compaction
 *      keep.c       keep-alives of leases, many in one command
 *      front.c      the HTTP front doors of the nodes, where there are customers
 *      customer.h   machines that use libminikv
 *      watch.c      after every step: terms, commits, states, disks
 *      changes.c    the same: the events of each revision
 *      contact.c    the same: who hears whom, and who leads all the same
 *      traffic.c    every message between nodes, as bytes on the wire
 *      judge.c      at the end: the log against the state, the answers and the order of time
 *
 * Nothing here is known to the code under test, which runs unchanged on sim/world.h.
 *
 * Ownership    the swarm owns everything; a run is made, played once and freed
 * Calling      one thread */
#ifndef MINIKV_SIM_SWARM_SWARM_H
#define MINIKV_SIM_SWARM_SWARM_H

#include "http/http.h"
#include "node/node.h"
#include "node/renewals.h"
#include "sim/swarm/chronicle.h"
#include "sim/swarm/linear.h"
#include "sim/swarm/plan.h"
#include "sim/swarm/trace.h"
#include "sim/swarm/truth.h"
#include "sim/world.h"

/* As exit codes: what a run came to. */
enum verdict {
    VERDICT_PASS = 0,
    VERDICT_CRASH = 127,    /* the program aborted: an invariant, a sanitizer */
    VERDICT_LIVENESS = 128, /* after everything healed something was not done in time */
    VERDICT_SAFETY = 129    /* something happened that must never */
};

struct violation {
    enum verdict verdict; /* PASS: none */
    const char *oracle;   /* static text: "election safety" */
    char text[256];
    time_us at;
};

struct swarm;
struct model;
struct model_write;

/* ---- machines ---- */

/* What an operator goes on asking for until somebody says that it is done. */
enum wish { WISH_NOTHING, WISH_REMOVED, WISH_JOINED };

/* A write that its disk acknowledges and does not do. */
enum bad_write {
    BAD_WRITE_NONE,
    BAD_WRITE_AHEAD, /* one of the next */
    BAD_WRITE_DONE,
    BAD_WRITE_UNSEEN /* done, where nothing would show it */
};

struct site {
    struct swarm *swarm;
    unsigned id;
    struct node *node;         /* NULL: off */
    struct http *http;         /* NULL: no front door */
    struct renewals *renewals; /* NULL: nobody has leases; owned */
    struct env *env;
    unsigned life;           /* counts its starts: nodes of two lives may lie in one place */
    bool is_paused, is_lost; /* lost: for good */
    bool is_failed;          /* the node wants its process to end */
    bool may_be_damaged;     /* bits have turned round: it may refuse its disk */
    time_us boot_at;         /* TIME_NEVER: not before somebody says so */

    /* told to stop, as by SIGTERM */
    bool is_stopping, node_has_stopped, door_has_stopped;
    time_us door_shuts_at; /* until then requests still come in … */
    unsigned open_count;   /* … and then those without an answer are waited for */
    time_us stop_by;       /* then it is closed whatever is open … */
    time_us away;          /* … and so much later it is on again */

    /* members.c */
    bool is_out;   /* for its operator: taken out, or not let in yet */
    bool joins;    /* its directory is one of a node that joins … */
    bool is_fresh; /* … and is not there yet */
    enum wish wish;
    time_us ask_at, leave_at, return_at;
    unsigned joins_open, removes_open; /* requests without an answer … */
    raft_term joined_in, removed_in; /* … and those that may still be carried out in this term */

    /* strike_disk.c */
    enum bad_write bad_write;
    raft_index bad_write_end; /* of the log when it was done: what comes later stands behind it */

    /* lose.c */
    struct world_copy *copy; /* of its disk at some time; owned; NULL: none */
    struct truth truth_copied;

    /* watch.c; of this life, but for term_told */
    raft_term term_seen, term_told; /* told: in messages */
    raft_term led_term;             /* 0: does not lead */
    raft_index commit_seen, applied_seen;
    raft_index last_seen; /* the end of its log */
    raft_index acked;     /* told a leader in this turn, and not found in the log on disk */
    uint64_t view_version_seen;
    const struct kv *changes_kv;     /* whose events have been looked at … */
    uint64_t changes_seen;           /* … up to this revision … */
    uint64_t changes_number;         /* … which end before this number; 0: not begun */
    struct truth truth, truth_wiped; /* wiped: what an emptied disk had held */

    /* contact.c; on the clock of the machine */
    time_us heard_at[PLAN_NODES_MAX + 1], appended_at[PLAN_NODES_MAX + 1]; /* from whom */
    time_us quiet_since, looked_at;
    enum raft_role role_seen;
    raft_term role_term;
    node_id leader_seen;
    uint32_t voters_seen; /* bits */
    uint64_t round_sent;  /* the highest read round … */
    raft_term round_term; /* … that it has sent, leading in this term */
};

/* An end that is due to something that has begun. */
struct ending {
    time_us at;
    enum fault fault;
    unsigned a, b;
};

/* Which machines a round of restarts kills. */
enum rolling_kills { KILLS_NONE, KILLS_SOME, KILLS_ALL };

struct rolling {
    bool is_on, has_begun;
    unsigned order[PLAN_NODES_MAX], at; /* whose turn it is */
    unsigned rounds_left;
    enum rolling_kills kills;
    bool has_stopped; /* the one at its turn has been stopped */
    time_us look_at;
    time_us until; /* how long its operator waits for it */
};

/* ---- what clients do ---- */

enum operation_kind {
    OPERATION_OWN,     /* increments a key of its own, without an identity */
    OPERATION_SHARED,  /* increments the shared counter, without an identity */
    OPERATION_COUNT,   /* reads the shared counter */
    OPERATION_READ,    /* reads a register */
    OPERATION_CHANGE,  /* changes a register, without an identity */
    OPERATION_DELIVER, /* delivers a write with an identity */
    OPERATION_SEAL,    /* settles one */
    OPERATION_OUTCOME, /* asks what has become of one */
    OPERATION_OPEN,    /* allots a client id */
    OPERATION_CLOSE,
    OPERATION_TRANSFER,
    OPERATION_ANNOUNCE,
    OPERATION_MEMBERS, /* asks for a member to be taken in or out */
    OPERATION_LAST,    /* a write after everything healed: must be taken */
    /* data.c */
    OPERATION_TXN,  /* delivers a transaction with a name of its own */
    OPERATION_SWAP, /* changes a register by a transaction, if it is what it was */
    OPERATION_PAIR, /* reads what transactions change together */
    OPERATION_COMPACT,
    OPERATION_GRANT,
    OPERATION_ATTACH,
    OPERATION_KEEP, /* keeps a lease alive */
    OPERATION_REVOKE
};

enum fate { FATE_OPEN, FATE_APPLIED, FATE_NONE, FATE_MAYBE };

struct operation {
    struct node_request request;
    struct swarm *swarm;
    enum operation_kind kind;
    enum fate fate;
    unsigned number, at;
    time_us asked_at;      /* by the clock of the machine */
    bool is_calm;          /* nothing but rolling restarts may be in its way */
    unsigned write;        /* DELIVER, SEAL, OUTCOME: which */
    unsigned client;       /* OPEN, CLOSE */
    unsigned key;          /* READ, CHANGE */
    size_t history;        /* READ, CHANGE: in swarm->histories[key] */
    uint64_t acked_before; /* COUNT: acknowledged when it was asked */
    uint64_t nonce;        /* OPEN */
    bool was_applied;      /* OUTCOME: somebody had been told so when it was asked */
    unsigned member;       /* MEMBERS */
    bool is_join;          /* MEMBERS */
    time_us called_at;     /* in true time */
    unsigned txn;          /* TXN */
    time_us ttl;           /* GRANT */
    uint64_t lease;        /* KEEP */
    struct renewal renewal;
    struct buf command;
};

/* What a client wants done with a register. */
struct change {
    enum command_op op; /* PUT or DELETE */
    enum condition condition;
    uint64_t condition_revision;
    uint64_t value; /* PUT: a number never written before */
};

enum target { TARGET_OWN, TARGET_SHARED, TARGET_REGISTER };

/* What one client wants done once, however often it is delivered. */
struct write {
    unsigned client;
    uint64_t sequence;
    enum target target;
    unsigned key; /* REGISTER */
    struct change change;
    size_t history;
    unsigned deliveries_count;
    bool is_applied, is_sealed, is_refused; /* somebody was told so; refused: too old */
    unsigned fresh_count;                   /* answers that are no replay: at most one */
    unsigned hopeful_nodes;  /* bits: where a delivery was not answered with effect none */
    enum status status;      /* is_applied: what it came to */
    struct kv_result result; /* is_applied */
};

struct client {
    enum client_kind kind;
    char id[LIMIT_CLIENT_ID_BYTES + 1]; /* "": not allotted yet */
    bool is_expired;
    uint64_t sequence_last, acked;
    unsigned settled_count; /* writes at the front that are answered for good */
    unsigned *writes;       /* owned */
    size_t writes_count;
};

/* Which value stood in a register at a revision. */
struct sighting {
    uint64_t revision, value;
};

struct register_history {
    struct linear_op *ops; /* owned */
    size_t ops_count;
    struct sighting last; /* the newest that somebody was shown */
};

/* An announcement that waits for whoever plays the address. */
struct question {
    struct node_verify verify;
    unsigned site;
    unsigned life; /* of its node */
    time_us at;
};

/* Bytes on the way between nodes. */
struct flight {
    uint64_t stream;
    unsigned from;
    uint64_t end; /* of them, in their stream */
    time_us at;
};

struct customers;
struct data;

struct swarm_totals {
    uint64_t calls; /* those of the operations that customers made */
    uint64_t operations, answered, applied, replayed, sealed, expired, refused;
    uint64_t faults[FAULT_COUNT];
    uint64_t faults_count, commits, elections, steps, messages;
    uint64_t snapshots, installs, changes; /* of the members */
    uint64_t undecided;                    /* registers whose history was too tangled to judge */
};

struct swarm {
    struct plan plan;
    struct world *world;
    struct prng faults, work, checks, operators;
    struct prng late; /* for the faults from FAULT_LATE_FIRST on */
    struct site sites[PLAN_NODES_MAX + 1];
    bool is_healing; /* second phase */
    uint32_t core;   /* bits: machines that are healed */
    struct violation violation;
    struct trace trace;
    struct flight *flights; /* only while the trace is kept; owned */
    size_t flights_count;
    struct swarm_totals totals;

    /* strike.c */
    time_us strikes_at[FAULT_COUNT];
    struct ending endings[64];
    size_t endings_count;
    struct rolling rolling;

    /* work.c, answers.c */
    time_us next_work_at;
    uint64_t moment; /* rises with each call and answer: the order of time for linear.h */
    struct operation **operations;
    size_t operations_count, open_count;
    struct write *writes;
    size_t writes_count;
    struct client *clients;
    size_t clients_count;
    unsigned active[PLAN_CLIENTS_MAX];
    struct register_history registers[PLAN_KEYS_MAX];
    uint64_t value_last;
    uint64_t shared_acked, shared_sent, shared_seen;
    struct question *questions;
    size_t questions_count;

    struct customers *customers; /* NULL: none; owned */
    struct data *data;           /* NULL: none; owned */

    struct truth_config *configs; /* members.c: committed, in rising index; owned */
    size_t configs_count;

    /* watch.c */
    struct chronicle chronicle;
    raft_term term_committed; /* of the newest entry */
    unsigned *leaders;        /* by term: who was elected; 0: nobody */
    size_t leaders_capacity;
    uint64_t *changes; /* by revision: its events, hashed; 0: not seen; owned */
    size_t changes_capacity;
};

/* ---- swarm.c ---- */

/* `trace` says where lines go and whether events are kept; NULL: neither. */
struct swarm *swarm_new(const struct plan *plan, const struct trace *trace);
void swarm_free(struct swarm *swarm);
enum verdict swarm_play(struct swarm *swarm);
uint64_t swarm_digest(const struct swarm *swarm);

/* The first violation is kept, and ends the run at its next step. */
void swarm_violate(struct swarm *swarm, enum verdict verdict, const char *oracle,
                   const char *format, ...) __attribute__((format(printf, 4, 5)));
static inline bool swarm_is_violated(const struct swarm *swarm)
{
    return swarm->violation.verdict != VERDICT_PASS;
}
/* A line of the trace; the text is made only if somebody reads it. */
void swarm_note(struct swarm *swarm, enum trace_kind kind, unsigned machine, unsigned other,
                uint64_t a, uint64_t b, const char *format, ...)
    __attribute__((format(printf, 7, 8)));
bool swarm_one_in(struct prng *prng, unsigned count);
/* In which everything must be done once everybody is healed. */
time_us swarm_bound(const struct swarm *swarm);
/* Runs until then, or until something is violated. */
void swarm_run_until(struct swarm *swarm, time_us until);

/* An item of zeros at the end of an array that doubles as it grows. */
void *swarm_append(void **array, size_t *count, size_t item_bytes);

/* ---- sites.c ---- */

void site_boot(struct site *site);
void site_stop(struct site *site, enum world_stop how, const char *why);
/* As minikvd does when it gets SIGTERM; so much after its end the machine is on again. In use:
 * connections of clients are open. */
void site_stop_gently(struct site *site, time_us away, bool is_in_use);
/* Clients reach it: it is on, and its door is open. */
bool site_is_open(const struct site *site);
/* The world stopped the machine by itself, or the node wants to end: what ran on it is closed. */
void sites_collect(struct swarm *swarm);
/* Who was told to stop and has nothing left to do ends its process. */
void sites_end_stopped(struct swarm *swarm);
/* Who takes too long to stop is not waited for. */
void sites_stop_due(struct swarm *swarm);
time_us sites_stop_next(const struct swarm *swarm);
void sites_boot_due(struct swarm *swarm);
void site_pause(struct site *site, bool is_paused);
void sites_sum_up(struct swarm *swarm);
void sites_open(struct swarm *swarm);
void sites_answer_questions(struct swarm *swarm);
struct address site_http(unsigned id);
struct address site_peer(unsigned id);
/* What was there is remembered as having been there. */
void site_forget_disk(struct site *site);
void site_wipe(struct site *site); /* a machine that is off */

/* ---- front.c ---- */

bool front_is_wanted(const struct swarm *swarm);
/* return   ST_OK, also where none is wanted; as http_open */
enum status front_open(struct site *site, struct errtext *error);
void front_on_view(void *site);
/* After the node has been closed, which answers what is open. */
void front_close(struct site *site);

/* ---- strike.c ---- */

void strike_begin(struct swarm *swarm);
/* How a way that loses or is narrow treats what passes. */
struct world_link strike_usual_link(const struct swarm *swarm);
struct world_link strike_draw_link(const struct swarm *swarm, struct prng *prng, enum fault fault);
/* Strikes what is due, and ends what has lasted long enough. */
void strike_due(struct swarm *swarm);
/* When something is due next. */
time_us strike_next(const struct swarm *swarm);
void strike_heal(struct swarm *swarm);
/* What ends by itself, some time, drawn from `prng`. False: too much lasts already. */
bool strike_lasts(struct swarm *swarm, struct prng *prng, enum fault fault, unsigned a, unsigned b,
                  uint64_t ms_max);

/* ---- strike_disk.c ---- */

void strike_io(struct swarm *swarm, enum fault fault);
void strike_slow_disk(struct swarm *swarm);
void strike_disk(struct swarm *swarm, enum fault fault); /* READ_ERROR or NO_ROOM */
void strike_heal_disk(struct swarm *swarm, unsigned id);
void strike_lost_write(struct swarm *swarm);
/* An event of kind WORLD_FAULT of this machine. */
void strike_on_disk_fault(struct site *site, const struct world_event *event);
/* Its disk is another one now. */
void strike_forget_bad_write(struct site *site);
/* False: its disk has lost something that its node could not notice. */
bool strike_lets_boot(struct site *site);

/* ---- rolling.c ---- */

void rolling_strike(struct swarm *swarm);
void rolling_due(struct swarm *swarm);
time_us rolling_next(const struct swarm *swarm);
void rolling_heal(struct swarm *swarm);

/* ---- lose.c ---- */

void lose_wipe(struct site *site);
void lose_rot(struct site *site);
void lose_old_disk(struct site *site);
void lose_release(struct site *site); /* before the world */

/* ---- work.c ---- */

void work_begin(struct swarm *swarm);
void work_due(struct swarm *swarm);
void work_transfer(struct swarm *swarm, unsigned at, node_id to);
void work_announce(struct swarm *swarm, unsigned at, node_id member, const struct address *http);
/* A JOIN or REMOVE; members_on_answer hears of it. */
void work_change_members(struct swarm *swarm, unsigned at, const struct command *command);
/* One write at this node, which must be taken; and everybody's last word on one session write. */
void work_last(struct swarm *swarm, unsigned at);
struct client_identity work_identity(const struct swarm *swarm, const struct write *write);
const char *operation_format(const struct operation *operation, char out[64]);
struct operation *work_new(struct swarm *swarm, struct prng *prng, unsigned at,
                           enum operation_kind kind);
void work_submit(struct operation *operation, const struct command *command); /* NULL: a read */

/* It is asked for now, in whatever way. */
void work_count(struct operation *operation);

/* ---- keep.c ---- */

void keep_open(struct site *site);
void keep_close(struct site *site);
void keep_submit(struct operation *operation);
void keep_cancel(struct operation *operation); /* nobody waits for it any more */
/* Commands that keep-alives have become, or are about to. */
uint64_t keep_batches(const struct site *site);

/* ---- answers.c ---- */

void answers_on_done(void *ctx, const struct node_answer *answer);

/* ---- history.c ---- */

enum { HISTORY_KEY_BYTES = 32 };
void history_key(unsigned key, char out[HISTORY_KEY_BYTES]);
/* Values are numbers with padding behind them. */
uint64_t history_number(struct bytes value);
void history_put_value(const struct swarm *swarm, const struct change *change, struct buf *out);
struct change history_draw_change(struct swarm *swarm, struct prng *prng, unsigned key);
/* Somebody asks for it now. Return its place. */
size_t history_begin_read(struct swarm *swarm, unsigned key);
size_t history_begin_change(struct swarm *swarm, unsigned key, const struct change *change);
/* What it came to is known now; value 0: there is none. */
void history_end_read(struct swarm *swarm, unsigned key, size_t at, uint64_t revision,
                      uint64_t value);
void history_end_change(struct swarm *swarm, unsigned key, size_t at, enum status status,
                        uint64_t revision);
/* It is known not to have happened, and not to happen, unless it has already ended. */
void history_forget_change(struct swarm *swarm, unsigned key, size_t at);

/* ---- watch.c ---- */

void watch_after_boot(struct site *site);
/* `is_first`: since something was done from outside of the world, which may concern any machine. */
void watch_step(struct swarm *swarm, bool is_first);
/* Of a node that is about to be closed in the turn in which it may have committed something. */
void watch_last_commit(struct site *site);
/* More costly looks at the state of one node, now and then. */
void watch_closely(struct swarm *swarm);

/* ---- changes.c ---- */

/* What a node has applied since the last look, as the events that it tells of it. */
void changes_watch(struct site *site);
void changes_judge(struct swarm *swarm, const struct model *model);

/* ---- contact.c ---- */

/* A message has arrived, at its own clock's time. */
void contact_on_arrival(struct site *site, unsigned from, enum message_type type);
void contact_begin(struct site *site);
void contact_watch(struct site *site, const struct raft_view *view);

/* ---- traffic.c ---- */

void traffic_on_event(void *ctx, const struct world_event *event);

/* ---- judge.c ---- */

void judge(struct swarm *swarm);
/* Of a key that one write alone increments, whoever `who` is. */
void judge_own_key(struct swarm *swarm, const struct model *model, const char *key, enum fate fate,
                   const char *who);
/* What an answer said is what the log comes to. */
bool judge_is_result(const struct model_write *write, enum status status, int64_t number,
                     uint64_t mod_revision);

#endif
