/* Session: which writes of which clients have been carried out, and what they came to. Pure.
 *
 * The table is part of the replicated state: it is looked at and changed only where a command is
 * applied, in log order, so all nodes have the same one (Raft §8, thesis §6.3). A duplicate finds
 * the result of the first and changes nothing.
 *
 *      floor            highest                     sequences of one client
 *        │▒▒▒▒ window ▒▒▒▒│                         ▒ judged one by one: done, sealed or fresh
 *      ──┴────────────────┴──────────▶              at or below the floor: too old, never executes
 *
 * floor = max(acked, highest - LIMIT_SESSION_WINDOW). A sequence above `highest` moves the window
 * when it is carried out or sealed; refused, it moves nothing.
 *
 * Three kinds of client, told apart by kind and by the form of the id:
 *   allotted   "session-<log index>-<16 hex digits>", made by COMMAND_OPEN_SESSION. Absent means
 *              expired, for ever: an index is allotted once, so no tombstone is needed.
 *   own        any other id: opened by its first use, forgotten after the time to live
 *   key        an Idempotency-Key: a client of one write, sequence 1
 *
 * Time is the log's (struct proposal, stamp_us): clocks decide nothing here. What is forgotten and
 * when is a command of the log too (COMMAND_EXPIRE_SESSIONS).
 *
 * Invariants   K20 … in docs/invariants.md; sessions_check walks them
 * Ownership    the table owns everything
 * Limits       LIMIT_SESSIONS, LIMIT_SESSIONS_MIB, LIMIT_SESSION_WINDOW, LIMIT_SESSIONS_EXPIRED,
 *              LIMIT_REMEMBERED_RESULT_BYTES, LIMIT_SESSION_RESULTS_BYTES
 * Calling      one thread
 * Format       docs/formats/state.md (sessions_encode) */
#ifndef MINIKV_KV_SESSION_H
#define MINIKV_KV_SESSION_H

#include "kv/command.h"
#include "kv/tree.h"

/* What a session and a remembered result count against LIMIT_SESSIONS_MIB, beside the id: the same
 * on every platform, and not less than what they take. */
enum { SESSION_BYTES = 288, SESSION_RESULT_BYTES = 96 };
/* What the results of a transaction count, beside their bytes. */
enum { SESSION_HELD_BYTES = 48 };

/* What a write came to, as its client was or would have been told. */
struct session_result {
    enum command_op op;
    enum status status; /* of kv_result */
    bool changed;
    uint64_t revision;
    uint64_t mod_revision;
    int64_t number;
    struct bytes results; /* TXN, OK; what is read from the table is borrowed until it is changed */
};

enum session_verdict {
    SESSION_FRESH = 1, /* not seen: to be carried out */
    SESSION_DONE,      /* carried out before: the result is at hand */
    SESSION_SEALED,    /* sealed before it was seen: never to be carried out */
    SESSION_REUSED,    /* carried out with another body */
    SESSION_TOO_OLD,   /* at or below the floor */
    SESSION_EXPIRED,   /* an allotted session that is no more, or never was */
    SESSION_FULL       /* no room for another session or result */
};

struct sessions;

struct sessions *sessions_new(void);
void sessions_free(struct sessions *sessions); /* NULL is a no-op */
/* The same in pieces, as tree_drain. */
bool sessions_drain(struct sessions *sessions, size_t objects_max);

/* What would become of a write with this identity and body now. Changes nothing. All verdicts but
 * FRESH, FULL and, for an allotted session, EXPIRED are final: later entries cannot revoke them
 * while the session lives. EXPIRED is final once this node has applied the index in the id.
 * `out_result` is written on DONE. Requires an identity. */
enum session_verdict sessions_judge(const struct sessions *sessions,
                                    const struct client_identity *identity, uint64_t fingerprint,
                                    struct session_result *out_result);
/* What is known of the write with this identity whatever its body: DONE, with the result; SEALED,
 * TOO_OLD, EXPIRED; else FRESH. Changes nothing.
 *
 * out_used_us   log time of the client's last use; UINT64_MAX: it has no session */
enum session_verdict sessions_look_up(const struct sessions *sessions,
                                      const struct client_identity *identity,
                                      struct session_result *out_result, uint64_t *out_used_us);
/* The same as sessions_judge while applying an entry: opens the session of an own id or key, notes
 * its use and what the client has acknowledged, then judges. After FRESH comes
 * sessions_record. */
enum session_verdict sessions_begin(struct sessions *sessions,
                                    const struct client_identity *identity, uint64_t fingerprint,
                                    struct entry_id at, uint64_t stamp_us,
                                    struct session_result *out_result);
/* After FRESH: is there room to remember results as large as may be? If not, the write is refused
 * with SESSIONS_FULL, and recorded as that. */
bool sessions_may_hold_results(const struct sessions *sessions);
/* Remembers what the write came to, unless it was refused for a reason that may pass: then nothing
 * was carried out, and the same write may come again. */
void sessions_record(struct sessions *sessions, const struct client_identity *identity,
                     uint64_t fingerprint, const struct session_result *result);

/* Opens an allotted session whose index is `at.index`: ST_OK or ST_SESSIONS_FULL. */
MUST_CHECK enum status sessions_open(struct sessions *sessions, uint64_t nonce, struct entry_id at,
                                     uint64_t stamp_us);
/* Forgets an allotted session; ST_OK also when there is none; ST_BAD_REQUEST for another kind,
 * whose late duplicates would open it anew. */
MUST_CHECK enum status sessions_close(struct sessions *sessions, struct bytes client);
/* Settles what is not yet done: DONE with the result, else SEALED; TOO_OLD, EXPIRED, FULL. A use of
 * the session like any other: opens it, moves its window. */
enum session_verdict sessions_seal(struct sessions *sessions,
                                   const struct client_identity *identity, struct entry_id at,
                                   uint64_t stamp_us, struct session_result *out_result);
/* Forgets sessions last used before `cutoff_us` of log time, oldest use first, at most
 * LIMIT_SESSIONS_EXPIRED. Returns how many. */
size_t sessions_expire(struct sessions *sessions, uint64_t cutoff_us);

/* A hint, and of no effect but on time: asks for the memory that looking up these identities will
 * touch, for all of them at once. */
void sessions_prefetch(const struct sessions *sessions, const struct client_identity *identities,
                       size_t identities_count);

struct sessions_stats {
    uint64_t sessions_count;
    uint64_t results_count;
    uint64_t bytes;                                        /* as counted against the limit */
    uint64_t oldest_use_us;                                /* log time; 0: there are none */
    uint64_t newest_use_us;                                /* 0: there are none */
    raft_index newest_use_index;                           /* of its entry; 0: there are none */
    uint64_t replayed_count, refused_count, expired_count; /* since the start; not replicated */
};
void sessions_stats(const struct sessions *sessions, struct sessions_stats *out_stats);

/* Its part of the digest of the state: O(1), kept with each change. */
uint64_t sessions_hash(const struct sessions *sessions);
void sessions_check(const struct sessions *sessions);

/* ---- one moment of the table, and the table as bytes, session by session ---- */

/* The present; its items are sessions, for session_encode. */
struct tree_view sessions_view(const struct sessions *sessions);
/* Keeps the present, as tree_pin does: sessions that it sees are no longer changed. */
struct tree_pin *sessions_pin(struct sessions *sessions);
void sessions_unpin(struct sessions *sessions, struct tree_pin *pin);
bool sessions_collect(struct sessions *sessions, size_t objects_max);

void session_encode(const struct tree_item *item, struct buf *out);
/* What session_encode writes of all of the present. */
uint64_t sessions_encoded_bytes(const struct sessions *sessions);
/* How many bytes at the start of `in` are a session: at least, as long as it is more than there
 * are. Only what is within the limits is counted in. */
size_t session_encoded_bytes(struct bytes in);
/* ST_OK, or ST_LIMIT for more than there may be. */
MUST_CHECK enum status sessions_load_begin(const struct sessions *sessions, uint64_t count);
/* Adds one, which must stand above all before it.
 * return   ST_OK; ST_SHORT, ST_FORMAT, ST_LIMIT, with the table to be freed */
MUST_CHECK enum status sessions_load(struct sessions *sessions, struct bytes encoded);
/* After the last: puts them in the order of their last use. ST_OK; ST_FORMAT: there is none. */
MUST_CHECK enum status sessions_load_end(struct sessions *sessions);

/* "session-12-00c0ffee00c0ffee"; needs LIMIT_CLIENT_ID_BYTES + 1. Returns `out`. */
const char *session_format_id(raft_index index, uint64_t nonce,
                              char out[LIMIT_CLIENT_ID_BYTES + 1]);
/* False when the id has another form: one of the client's own choosing. */
bool session_parse_id(struct bytes client, raft_index *out_index, uint64_t *out_nonce);

#endif
