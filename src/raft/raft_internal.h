/* The inside of the core: the state of one node and what its files ask of each other.
 *
 *      raft.c       the door: which file answers which event
 *      role.c       moves between roles, and who leads
 *      election.c   pre-vote, vote, timeouts           transfer.c   handing leadership over
 *      follow.c     taking appends                     commit.c     what is committed
 *      lead.c       proposals, answers, heartbeats     replicate.c  what goes to which peer
 *      read.c       linearizable reads                 change.c     members
 *      snapshot.c   what stands for the beginning of a log
 *      ready.c      what comes out of a step           invariants.c text.c
 *
 * log.h, progress.h and quorum.h know nothing of this struct. */
#ifndef MINIKV_RAFT_RAFT_INTERNAL_H
#define MINIKV_RAFT_RAFT_INTERNAL_H

#include "base/limits.h"
#include "base/prng.h"
#include "raft/log.h"
#include "raft/progress.h"
#include "raft/quorum.h"
#include "raft/raft.h"

/* Configurations: the newest one at or below commit, then all above it. */
struct raft_config_item {
    raft_index index; /* of its entry; 0 for the one the log started with */
    struct config config;
};
struct raft_configs {
    struct raft_config_item *items; /* owned */
    size_t count, capacity;         /* count >= 1 */
};

struct raft_election {
    time_us patience;   /* without a leader; one to one and a half of options.election */
    time_us at;         /* stand, or ask again, at this time */
    time_us fast_until; /* the leader's link died: ask every few milliseconds until then */
};

/* What a follower knows of its leader in this term; all zero when the term changes. */
struct raft_following {
    raft_index verified; /* equal to the leader's log up to here */
    raft_index acked;    /* the newest match sent */
    uint64_t round;      /* the newest read round seen */
};

/* All zero when not leading. */
struct raft_leading {
    raft_index term_start;    /* the no-op of this term */
    size_t uncommitted_bytes; /* of the entries above commit */
    time_us heartbeat_at;
    node_id transfer_to; /* leadership is being handed to it until … */
    time_us transfer_until;
    bool is_told; /* TIMEOUT_NOW has been sent since the last heartbeat */
};

/* Linearizable reads. A leader queues them, those of rounds under way first, then those that wait
 * for the next round. Everybody else remembers what it has asked its leader. */
struct raft_read_wait {
    node_id from;
    struct read_id id;
};
struct raft_read_round {
    uint64_t number;
    raft_index index; /* committed when the round started */
    size_t waits_count;
};
struct raft_read_asked {
    struct read_id id;
    time_us at;
};
struct raft_reads {
    struct raft_read_wait *waits; /* owned */
    size_t waits_count, waits_capacity, waits_sent_count;
    struct raft_read_round rounds[LIMIT_READ_ROUNDS]; /* oldest first */
    size_t rounds_count;
    uint64_t round;                /* newest number of this leadership; 0: none yet */
    struct raft_read_asked *asked; /* owned; oldest first */
    size_t asked_count, asked_capacity;
};

/* The newest one on this disk; last.index 0: none, or not known of. */
struct raft_snapshot {
    struct entry_id last;
    uint64_t bytes;       /* of its file */
    raft_index log_first; /* the oldest entry of the log on disk; 0: not known */
};

/* What the current step has to say; the memory is used again by the next. */
struct raft_output {
    struct message *messages; /* owned */
    size_t messages_count, messages_capacity;
    struct raft_read *reads; /* owned */
    size_t reads_count, reads_capacity;
    struct raft_load loads[LIMIT_MEMBERS];
    size_t loads_count;
    struct raft_offer offer; /* from NODE_NONE: none */
    struct entry **held;     /* owned, with a reference each: loaded entries in messages */
    size_t held_count, held_capacity;
    struct hard_state hard_state; /* as last told */
};

/* What a step started from: for `view_changed`, and for what may not change (docs/invariants.md).
 */
struct raft_mark {
    struct hard_state hard_state;
    enum raft_role role;
    node_id leader;
    raft_index commit;
    struct entry_id last;
};

struct raft {
    struct raft_options options;
    struct prng prng;
    time_us now;

    /* Raft figure 2: persistent, then volatile. */
    struct hard_state hard_state;
    struct raft_log log;
    raft_index commit;
    raft_index applied;
    struct raft_configs configs;
    struct raft_snapshot snapshot;

    enum raft_role role;
    node_id leader;
    time_us leader_since;
    time_us leader_heard_at;

    struct raft_election election;
    struct raft_following follow;
    struct raft_leading lead;
    struct raft_reads reads;
    struct raft_peer peers[LIMIT_MEMBERS]; /* the members but this node, rising id */
    size_t peers_count;

    struct raft_output output;
    struct raft_mark mark;
};

/* ---- raft.c ---- */
struct raft_peer *raft_peer_find(struct raft *raft, node_id id); /* NULL: not a member */
bool raft_is_voter(const struct raft *raft, node_id id);
/* The greatest value that a majority of voters has reached; `own` is this node's. */
uint64_t raft_majority(const struct raft *raft, uint64_t own,
                       uint64_t (*value_of)(const struct raft_peer *peer));

/* ---- role.c ---- */
/* The term may rise; `leader` may be NODE_NONE. */
void raft_become_follower(struct raft *raft, raft_term term, node_id leader);
void raft_become_pre_candidate(struct raft *raft);
void raft_become_candidate(struct raft *raft);
void raft_become_leader(struct raft *raft);
/* Follower or learner, as the configurations say. Leaders leave by themselves. */
void raft_role_refresh(struct raft *raft);
void raft_set_leader(struct raft *raft, node_id leader);

/* ---- election.c ---- */
/* Wait one patience, drawn anew, before standing. */
void raft_election_rest(struct raft *raft);
/* The same, but milliseconds while the death of the leader's link is fresh. */
void raft_election_pause(struct raft *raft);
void raft_election_hear_leader(struct raft *raft);
void raft_election_start(struct raft *raft); /* with a pre-vote */
void raft_election_stand(struct raft *raft, bool is_transfer);
bool raft_election_is_held(const struct raft *raft);
void raft_election_on_pre_vote(struct raft *raft, const struct message *message);
void raft_election_on_vote(struct raft *raft, const struct message *message);
void raft_election_on_reply(struct raft *raft, const struct message *message);
void raft_election_on_link(struct raft *raft, const struct raft_event *event);
void raft_election_on_tick(struct raft *raft);
time_us raft_election_deadline(const struct raft *raft);

/* ---- follow.c ---- */
void raft_follow_on_append(struct raft *raft, const struct message *message);
/* The disk has more: acknowledge it to the leader. */
void raft_follow_on_snapshot(struct raft *raft, const struct message *message);
void raft_follow_on_durable(struct raft *raft);

/* ---- commit.c ---- */
/* For everyone: commit up to `index` unless further already. */
void raft_commit_to(struct raft *raft, raft_index index);
/* For the leader: commit what a majority has. */
void raft_commit_by_count(struct raft *raft);

/* ---- lead.c ---- */
void raft_lead_start(struct raft *raft);
void raft_lead_stop(struct raft *raft);
MUST_CHECK enum status raft_lead_propose(struct raft *raft, const struct raft_event *event);
void raft_lead_on_append_reply(struct raft *raft, const struct message *message);
void raft_lead_on_link(struct raft *raft, const struct raft_event *event);
void raft_lead_on_tick(struct raft *raft);
/* What follows from the step: commit, reads, appends, leaving. */
void raft_lead_finish(struct raft *raft);
time_us raft_lead_deadline(const struct raft *raft);

/* ---- replicate.c ---- */
void raft_replicate(struct raft *raft);
void raft_replicate_on_loaded(struct raft *raft, const struct raft_event *event);

/* ---- read.c ---- */
void raft_read_ask(struct raft *raft, struct read_id id);
void raft_read_on_index(struct raft *raft, const struct message *message);
void raft_read_on_index_reply(struct raft *raft, const struct message *message);
void raft_read_finish(struct raft *raft);       /* leader: confirm and start rounds */
void raft_read_refuse_waits(struct raft *raft); /* leader no more */
void raft_read_refuse_asked(struct raft *raft); /* the leader is another, or its link broke */
void raft_read_on_tick(struct raft *raft);
time_us raft_read_deadline(const struct raft *raft);

/* ---- transfer.c ---- */
MUST_CHECK enum status raft_transfer_start(struct raft *raft, node_id to);
void raft_transfer_on_tick(struct raft *raft, bool is_heartbeat);
void raft_transfer_finish(struct raft *raft);
void raft_transfer_on_timeout_now(struct raft *raft, const struct message *message);
/* To the voter that is furthest; NODE_NONE when there is no other voter. */
node_id raft_transfer_best(const struct raft *raft);

/* ---- change.c ---- */
void raft_change_init(struct raft *raft, const struct config *config);
/* Whether this entry may be proposed now: ST_OK or ST_BAD_REQUEST. */
MUST_CHECK enum status raft_change_check(const struct raft *raft, const struct entry *entry);
void raft_change_on_append(struct raft *raft, const struct entry *entry);
void raft_change_on_cut(struct raft *raft, raft_index first);
void raft_change_on_commit(struct raft *raft);
/* The log begins behind `index`, where this was in force. */
void raft_change_on_installed(struct raft *raft, raft_index index, const struct config *config);
bool raft_change_is_open(const struct raft *raft); /* one is in the log and not committed */
/* Whether this node may stand: a voter, also one whose removal is not committed yet. */
bool raft_may_lead(const struct raft *raft);

/* ---- snapshot.c ---- */
void raft_snapshot_on_compacted(struct raft *raft, const struct raft_event *event);
void raft_snapshot_on_installed(struct raft *raft, struct entry_id last,
                                const struct config *config);
/* Whether there is a snapshot for this peer, and whether one should be taken for some peer. */
bool raft_snapshot_serves(const struct raft *raft, const struct raft_peer *peer);
bool raft_snapshot_is_wanted(const struct raft *raft);

/* ---- ready.c ---- */
void raft_ready_begin(struct raft *raft);
void raft_ready_end(struct raft *raft, struct raft_ready *out_ready);
/* A message with type, from, to and term set; borrowed until the next raft_send. */
struct message *raft_send(struct raft *raft, enum message_type type, node_id to);
void raft_answer_read(struct raft *raft, struct read_id id, bool is_refused, raft_index index);
void raft_ask_load(struct raft *raft, node_id peer, raft_index first);
/* References that last until the next step; the array is borrowed as long. */
struct entry **raft_hold(struct raft *raft, struct entry **entries, size_t entries_count);
/* Room for one more item; the array may move. */
void raft_grow(void **items, size_t count, size_t *capacity, size_t item_bytes);

/* ---- invariants.c ---- */
/* What must hold between the start of a step and its end; cheap. */
void raft_check_step(const struct raft *raft, const struct raft_ready *ready);

#endif
