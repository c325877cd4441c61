/* KV: the replicated state: keys with their revisions, and the directory of members. Pure.
 *
 * The data model is etcd's. One cluster-wide `revision` grows by one with each changing
 * transaction; each key has create_revision, mod_revision and version. Commands are applied in log
 * order; every node that has applied the same entries has the same state, which kv_digest proves.
 * A command with an identity is carried out once (kv/session.h), however often it is in the log.
 *
 * Keys live in an ordered copy-on-write B+tree (kv/tree.h): a pinned root is a snapshot that later
 * writes do not disturb.
 *
 * Invariants   docs/invariants.md K1 …; kv_check walks them
 * Ownership    kv owns all keys and values; items given out are borrowed until the next kv_apply
 * Limits       LIMIT_KEY_BYTES, LIMIT_VALUE_BYTES, options.state_bytes_max
 * Calling      one thread */
#ifndef MINIKV_KV_KV_H
#define MINIKV_KV_KV_H

#include "base/mem.h"
#include "kv/session.h"
#include "types/member.h"
#include "types/proposal.h"

struct kv;

struct kv_options {
    /* Counted as K4 in docs/invariants.md has it; 0: the default. What commands come to depends on
     * it: it must be the same on all nodes and for all of one log. */
    uint64_t state_bytes_max;
    /* The same for the past; 0: LIMIT_PAST_EVENTS, LIMIT_PAST_MIB. For tests. */
    uint64_t past_events_max;
    uint64_t past_bytes_max;
};

struct kv_item {
    struct bytes key;
    struct bytes value;
    uint64_t create_revision;
    uint64_t mod_revision;
    uint64_t version; /* 1 at creation; 0: deleted at mod_revision */
    uint64_t lease;   /* 0: none */
};

/* What has become of a write with an identity. */
enum kv_outcome {
    KV_OUTCOME_APPLIED = 1, /* carried out; what it came to is remembered */
    KV_OUTCOME_UNSEEN,      /* not carried out up to now, as far as the client is remembered (for
                               an own id or a key: since its last use); a copy may be on its way */
    KV_OUTCOME_NEVER,       /* sealed, as far as the client is remembered */
    KV_OUTCOME_EXPIRED      /* no longer remembered, and will not be carried out any more */
};

/* What a command came to. Every status but OK changed no key and no member. */
struct kv_result {
    enum status status;    /* OK, CONDITION_FAILED, NOT_INTEGER, OVERFLOW, STATE_FULL,
                              UNKNOWN_MEMBER, BAD_REQUEST (a malformed command), ADDRESS_MISMATCH
                              (REGISTER of another identity than the recorded one);
                              of JOIN, REMOVE and PROMOTE what kv/membership.h says, and CHANGE_OPEN
                              when nothing speaks against it;
                              SEQUENCE_TOO_OLD, SEALED, SESSION_EXPIRED, IDENTITY_REUSED,
                              SESSIONS_FULL (of the identity; nothing was carried out) */
    bool changed;          /* the revision grew */
    bool is_replayed;      /* the result of an earlier delivery of the same write */
    uint64_t revision;     /* of the state after this command; 1 while nothing has been changed */
    uint64_t mod_revision; /* of the key after this command; 0: it does not exist */
    int64_t number;        /* INCR: the new value; OPEN_SESSION: the index in the id;
                              EXPIRE_SESSIONS: how many */

    uint64_t lease; /* GRANT_LEASE: its id */
    /* TXN: what it came to, as kv/txn.h has it; borrowed until the next kv_apply */
    struct bytes results;

    /* SEAL and kv_outcome: of the write asked about */
    enum kv_outcome outcome;
    enum command_op applied_op; /* APPLIED: what it was; mod_revision and number are its own */
    enum status applied_status; /* APPLIED: what it came to */
};

/* A member as the state knows it. The configuration entry gives id, role and peer address, commands
 * add the rest; removing the member removes all of it. */
struct kv_member {
    struct member member;
    struct address http; /* unset: not announced */
    uint64_t identity;   /* 0: not registered */
};

struct kv *kv_new(const struct kv_options *options);
void kv_free(struct kv *kv); /* NULL is a no-op */
/* Another state that nobody needs any more: kv_collect of `kv` frees it piece by piece, since all
 * of it at once takes long. Requires that no image of it is left. */
void kv_discard(struct kv *kv, struct kv *gone);

/* Applies the command of one entry. Requires id.index == applied index + 1. */
void kv_apply(struct kv *kv, struct entry_id id, const struct proposal *proposal,
              struct kv_result *out_result);
void kv_apply_config(struct kv *kv, struct entry_id id, const struct config *config);
void kv_apply_noop(struct kv *kv, struct entry_id id);

/* Hints, and of no effect but on time: asks for the memory that applying these encoded commands, or
 * reading these keys, will touch, for all of them at once. For batches, just before they run; any
 * number is fine, some tens are best. */
void kv_prefetch(const struct kv *kv, const struct bytes *keys, size_t keys_count);
void kv_prefetch_commands(const struct kv *kv, const struct bytes *commands, size_t commands_count);

/* What this state alone already knows of a write that is sent again: true when its result is final
 * (done, reused, sealed, too old, expired), so that no entry is needed. `command` is encoded.
 *
 * used_since_us   log time; a session last used before it is not asked: an answer from here is no
 * use that the log knows of, so the write has to go there for the session to be kept */
bool kv_recall(const struct kv *kv, struct bytes command, uint64_t used_since_us,
               struct kv_result *out_result);
/* What has become of the write with this identity, up to the applied index. */
void kv_outcome(const struct kv *kv, const struct client_identity *identity,
                struct kv_result *out_result);

bool kv_get(const struct kv *kv, struct bytes key, struct kv_item *out_item);
/* The same at a past revision: ST_OK; ST_NOT_FOUND; ST_COMPACTED; ST_REVISION_FUTURE. */
MUST_CHECK enum status kv_get_at(const struct kv *kv, struct bytes key, uint64_t revision,
                                 struct kv_item *out_item);

struct kv_range {
    struct bytes prefix; /* only keys with it; empty: all */
    struct bytes start;  /* inclusive; empty: from the first */
    struct bytes end;    /* exclusive; empty: to the last */
    struct bytes after;  /* the last key of the page before, exclusive; empty: none */
    bool is_descending;  /* from the last key to the first; `after` is then an upper bound */
};
bool kv_range_has(const struct kv_range *range, struct bytes key); /* but for `after` */
/* Calls on_item in key order until it returns false or the range ends. */
void kv_scan(const struct kv *kv, const struct kv_range *range,
             bool (*on_item)(void *ctx, const struct kv_item *item), void *ctx);
/* May this revision be read? ST_OK; ST_COMPACTED; ST_REVISION_FUTURE. */
MUST_CHECK enum status kv_may_read(const struct kv *kv, uint64_t revision);
/* How much of a range may be looked at: each key, deleted ones too, and each version that is passed
 * over on the way to an older one. */
struct kv_looks {
    uint64_t left;     /* in: at least 1. Counted down; a key may take a few more than there are */
    struct bytes last; /* out: all are used up and there are more keys: the last one looked at, for
                          `after`; borrowed until the next kv_apply. Empty: the scan has ended */
};
/* The same at a past revision, with so many looks: ST_OK; ST_COMPACTED; ST_REVISION_FUTURE. */
MUST_CHECK enum status kv_scan_at(const struct kv *kv, const struct kv_range *range,
                                  uint64_t revision, struct kv_looks *looks,
                                  bool (*on_item)(void *ctx, const struct kv_item *item),
                                  void *ctx);

/* One change of one key, of a revision that is kept. */
struct kv_event {
    struct kv_item item; /* as it was changed to; version 0: deleted */
    bool has_previous;   /* false: there was none, or it is compacted */
    struct kv_item previous;
    unsigned nth; /* among the events of its revision, from 1, in the order of keys */
    bool is_last; /* of its revision */
};
/* Events that are kept have numbers without gaps, in the order of revision, then key. Numbers are
 * of this struct kv: not the same on other nodes, nor after a restart. */
uint64_t kv_events_end(const struct kv *kv); /* the number that the next one will have */
/* The first event of that revision or later; kv_events_end when there is none yet. Revisions above
 * the present are fine. ST_OK; ST_COMPACTED: events of that revision may be gone. */
MUST_CHECK enum status kv_events_find(const struct kv *kv, uint64_t revision, uint64_t *out_number);
/* Borrowed until the next kv_apply. ST_OK; ST_COMPACTED: gone. Requires number < kv_events_end. */
MUST_CHECK enum status kv_event_at(const struct kv *kv, uint64_t number,
                                   struct kv_event *out_event);

struct kv_lease {
    uint64_t lease;
    uint64_t ttl_ms;
    uint64_t expires_us; /* log time */
    uint64_t keys_count;
};
bool kv_lease(const struct kv *kv, uint64_t lease, struct kv_lease *out_lease);
/* By rising id, from `from` on, until on_lease returns false. */
void kv_leases_scan(const struct kv *kv, uint64_t from,
                    bool (*on_lease)(void *ctx, const struct kv_lease *lease), void *ctx);
/* The keys of a lease in order, until on_key returns false. */
void kv_lease_keys(const struct kv *kv, uint64_t lease, bool (*on_key)(void *ctx, struct bytes key),
                   void *ctx);

/* Makes these the members, of whom nothing more is known: no client address, no identity. For a
 * state that becomes the beginning of another cluster. */
void kv_replace_members(struct kv *kv, const struct config *config);

struct kv_stats {
    struct entry_id applied;
    uint64_t revision;
    uint64_t keys_count;
    uint64_t state_bytes; /* keys, values and their overhead */
    uint64_t compacted;   /* revisions below it cannot be read any more; 1: none is compacted */
    uint64_t past_events_count;
    uint64_t past_bytes; /* of replaced versions and deleted keys */
    uint64_t leases_count;
    uint64_t next_expiry_us; /* log time; UINT64_MAX: there is no lease */
    uint64_t stamp_us;       /* log time: the stamp of the last command applied */
    uint64_t history; /* the first identity that was ever registered: tells this log from another
                         that the same founders have begun; 0: none was yet */
};
void kv_stats(const struct kv *kv, struct kv_stats *out_stats);
const struct kv_member *kv_member(const struct kv *kv, node_id id); /* NULL: no such member */
const struct config *kv_config(const struct kv *kv);                /* as applied */

void kv_sessions_stats(const struct kv *kv, struct sessions_stats *out_stats);

/* The whole replicated state as bytes (docs/formats/state.md), the same on all nodes at the same
 * index; kv_decode makes a state of them with the same digest.
 * return   ST_OK; ST_SHORT, ST_FORMAT, ST_LIMIT, ST_CORRUPT (the digest does not hold) */
void kv_encode(const struct kv *kv, struct buf *out);
MUST_CHECK enum status kv_decode(struct bytes in, const struct kv_options *options,
                                 struct kv **out_kv);

/* One moment of the state, read out while commands go on: the same bytes as kv_encode at the moment
 * of kv_pin, in pieces. Several may be there at once; each costs what commands change meanwhile. */
struct kv_image;
struct kv_image *kv_pin(struct kv *kv);
/* Required of every image before kv_free. What only it kept is freed by later commands, and by
 * kv_collect. */
void kv_unpin(struct kv *kv, struct kv_image *image);
struct entry_id kv_image_applied(const struct kv_image *image);
/* All of it, exactly. */
uint64_t kv_image_bytes(const struct kv_image *image);
/* Appends the next piece: whole records, at least one, until there are `bytes_max` or more; so at
 * most one record more than that. False: with this piece that was all; later ones are empty. */
bool kv_image_read(struct kv_image *image, size_t bytes_max, struct buf *out);
/* Frees about `objects_max` of what only images that are gone kept, and of what was discarded;
 * false: nothing is left. */
bool kv_collect(struct kv *kv, size_t objects_max);

/* The reverse: a state out of such bytes, in pieces of any size. */
struct kv_loader;
struct kv_loader *kv_loader_new(const struct kv_options *options);
/* Statuses are kv_decode's, but ST_SHORT; after a failure it is always the same. */
MUST_CHECK enum status kv_loader_feed(struct kv_loader *loader, struct bytes piece);
/* Of the heap, the next at most `bytes_max` bytes that records to come will most likely fill, each
 * given once: for whoever makes them ready on the side (mem_make_ready). Empty: none for now. */
struct mem_room kv_loader_take_room(struct kv_loader *loader, size_t bytes_max);
/* Frees the loader in any case; gives a state on ST_OK. ST_SHORT when bytes are missing. */
MUST_CHECK enum status kv_loader_finish(struct kv_loader *loader, struct kv **out_kv);
void kv_loader_free(struct kv_loader *loader); /* NULL is a no-op */
/* The same, but what it has loaded is discarded, as by kv_discard. */
void kv_loader_discard(struct kv_loader *loader, struct kv *kv);

/* 64 bits over the whole state; equal at equal applied index on all nodes. O(1) per change. */
uint64_t kv_digest(const struct kv *kv);
/* Walks tree and sums, recomputes the digest, and aborts on a difference. For tests. */
void kv_check(const struct kv *kv);

#endif
