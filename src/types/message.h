/* Message: what one raft core says to another. Values only; wire/codec.h turns them into bytes.
 *
 * There is no separate heartbeat: an append without entries is one. Every append carries the
 * number of the newest read round, every reply echoes it; that is how reads are confirmed and how
 * the leader knows that a majority still hears it. */
#ifndef MINIKV_TYPES_MESSAGE_H
#define MINIKV_TYPES_MESSAGE_H

#include "types/entry.h"
#include "types/ids.h"

enum message_type {
    MESSAGE_PRE_VOTE = 1, /* thesis §9.6: would you vote for me in term + 1? */
    MESSAGE_PRE_VOTE_REPLY,
    MESSAGE_VOTE, /* Raft §5.2 RequestVote */
    MESSAGE_VOTE_REPLY,
    MESSAGE_APPEND, /* Raft §5.3 AppendEntries; with no entries, a heartbeat */
    MESSAGE_APPEND_REPLY,
    MESSAGE_READ_INDEX, /* thesis §6.4, asked by a follower for a batch of its reads */
    MESSAGE_READ_INDEX_REPLY,
    MESSAGE_TIMEOUT_NOW, /* thesis §3.10: campaign at once, leadership is yours to take */
    MESSAGE_SNAPSHOT /* in place of Raft §7 InstallSnapshot: the leader has left behind what the
                        peer lacks, and offers a snapshot; the peer fetches it by itself */
};

/* Names a batch of reads so that a late answer cannot be taken for another's (FAULTS C2). */
struct read_id {
    uint64_t incarnation; /* of the asking process */
    uint64_t number;      /* rising within it */
};

struct message {
    enum message_type type;
    node_id from, to;
    raft_term term; /* sender's; in PRE_VOTE and a granted PRE_VOTE_REPLY the term campaigned for */
    union {
        struct {
            struct entry_id last; /* of the candidate's log */
            bool is_transfer;     /* told to by the leader: voters do not hold on to it */
        } vote;                   /* PRE_VOTE, VOTE */
        struct {
            bool is_granted;
        } vote_reply; /* PRE_VOTE_REPLY, VOTE_REPLY */
        struct {
            struct entry_id prev; /* the entry just before the first one here */
            raft_index commit;
            uint64_t read_round;    /* newest round of this leader; 0: none yet */
            uint32_t entries_count; /* consecutive from prev.index + 1; 0 … LIMIT_APPEND_ENTRIES */
            struct entry **entries; /* borrowed until the next raft_step of the sender */
        } append;
        struct {
            bool is_rejected;
            raft_index match;         /* accepted: durable here and known equal to the leader's log,
                                         never beyond what the message covered (FAULTS C7) */
            raft_index prev;          /* rejected: prev.index of the message, so that a late one is
                                         told from a current one */
            struct entry_id conflict; /* rejected: term that disagrees here and its first index, or
                                        term 0 and last index + 1 when the log is too short */
            uint64_t read_round;
        } append_reply; /* to APPEND, and to SNAPSHOT as if that were an append with prev = last */
        struct {
            struct read_id id;
        } read_index;
        struct {
            struct read_id id;
            bool is_refused;  /* not leader, or no room: ask again */
            raft_index index; /* answer once this is applied */
        } read_index_reply;
        struct {
            struct entry_id last; /* the entry that the snapshot was taken at; committed */
            uint64_t bytes;       /* of its file */
            raft_index commit;    /* at least last.index */
            uint64_t read_round;
        } snapshot; /* repeated with each heartbeat, and as good as one */
    };
};

#endif
