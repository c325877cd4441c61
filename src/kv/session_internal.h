/* Session, from within: what the session_*.c files share.
 *
 * A session is an item of a tree of its own, keyed by the byte of its kind and the id, and stands
 * in a list by last use. It is changed where it stands, unless a pin sees it: then a copy takes its
 * place before its first change after the pin, and other slots that of its writes before theirs.
 * The list is of the present only: in a session that a pin sees, use_link means nothing. That is
 * why the format has the order of the keys, not of the list. */
#ifndef MINIKV_KV_SESSION_INTERNAL_H
#define MINIKV_KV_SESSION_INTERNAL_H

#include "base/limits.h"
#include "base/list.h"
#include "kv/session_writes.h"
#include "kv/tree.h"

enum {
    SESSION_SEQUENCE_BITS = 63,
    SESSION_KEY_BYTES_MAX = 1 + MAX(LIMIT_CLIENT_ID_BYTES, LIMIT_IDEMPOTENCY_KEY_BYTES)
};

struct session {
    struct tree_item tree;
    struct session_writes writes; /* owned; all above the floor */
    struct list use_link;         /* of sessions.by_use; not read through a pin */
    uint64_t key_hash;
    uint64_t hash;         /* its part of the digest */
    raft_index used_index; /* of the entry that used it last */
    uint64_t used_us;      /* its stamp */
    uint64_t acked;
    uint8_t key[]; /* enum client_kind, then the id */
};

struct sessions {
    struct tree *tree;  /* owned: all sessions, by key */
    struct list by_use; /* all sessions, oldest use first */
    uint64_t sessions_max;
    uint64_t bytes_max;
    uint64_t results_count;
    uint64_t held_count; /* of these, with results of a transaction */
    uint64_t held_bytes; /* of which so many */
    uint64_t bytes;      /* K23 */
    uint64_t hash;       /* sum of session.hash, modulo 2^64 */
    uint64_t replayed_count, refused_count, expired_count;

    /* borrowed */
    struct session *current; /* judged FRESH by sessions_begin, to be recorded; NULL: none */
};

/* With other limits than those of base/limits.h: for tests of what happens at them. */
struct sessions *sessions_new_limited(uint64_t sessions_max, uint64_t bytes_max);

/* The key of a session in the tree, built in `room`. */
struct bytes session_key(enum client_kind kind, struct bytes client,
                         uint8_t room[SESSION_KEY_BYTES_MAX]);
/* Without writes and not yet used. The caller puts it where it belongs. */
struct session *session_new(struct bytes key);
/* An allotted id: its session is opened by COMMAND_OPEN_SESSION only. */
bool session_is_allotted(enum client_kind kind, struct bytes client, raft_index *out_index);
/* What it counts: the session, its id and its writes. */
uint64_t session_bytes(const struct session *session);
/* Computed anew, as K24 defines it. */
uint64_t session_hash(const struct session *session);

static inline enum client_kind session_kind(const struct session *session)
{
    return (enum client_kind)session->key[0];
}

static inline struct bytes session_client(const struct session *session)
{
    return bytes_of(session->key + 1, session->tree.key_bytes - 1);
}

/* The highest sequence that was recorded, sealed or acknowledged; 0: none. */
static inline uint64_t session_highest(const struct session *session)
{
    const struct session_writes *writes = &session->writes;
    return writes->count != 0 ? session_writes_at(writes, writes->count - 1)->sequence
                              : session->acked;
}

/* What is at or below it never executes and is not remembered. */
static inline uint64_t session_floor(uint64_t highest, uint64_t acked)
{
    return MAX(acked, highest - MIN(highest, (uint64_t)LIMIT_SESSION_WINDOW));
}

static inline struct session *session_of(const struct tree_item *item)
{
    return (struct session *)(uintptr_t)item;
}

static inline struct session *session_of_use(const struct list *link)
{
    return (struct session *)((uintptr_t)link - offsetof(struct session, use_link));
}

#endif
