/* Command: one change of the replicated state, as it travels in entries and envelopes.
 *
 * A front door makes it, the log carries it, kv_apply carries it out, on every node alike. Reads
 * are not commands.
 *
 * Format       docs/formats/command.md */
#ifndef MINIKV_KV_COMMAND_H
#define MINIKV_KV_COMMAND_H

#include "base/buf.h"
#include "base/check.h"
#include "base/cursor.h"
#include "base/status.h"
#include "types/address.h"
#include "types/ids.h"

enum command_op {
    COMMAND_PUT = 1,      /* key, value, condition, lease */
    COMMAND_DELETE = 2,   /* key, condition */
    COMMAND_INCR = 3,     /* key, by */
    COMMAND_ANNOUNCE = 4, /* member, http: its client address; unset: removed */
    COMMAND_REGISTER = 5, /* member, identity: the data directory that may vote as this member */
    COMMAND_OPEN_SESSION = 6,    /* nonce: allots a client id; no identity */
    COMMAND_CLOSE_SESSION = 7,   /* identity.client: forgets an allotted session; sequence 0 */
    COMMAND_EXPIRE_SESSIONS = 8, /* cutoff_us: forgets what was last used before; no identity */
    COMMAND_SEAL = 9,            /* identity names the write to be settled, not this command */
    COMMAND_TRANSFER = 10,       /* member: whoever leads shall hand over to it; no state changes */
    /* What the leader makes a configuration entry of; in the log they only say why it made none. */
    COMMAND_JOIN = 11,   /* member, peer, member_identity (0: not told): a learner, or an address */
    COMMAND_REMOVE = 12, /* member */
    COMMAND_PROMOTE = 13,      /* member: a learner shall vote */
    COMMAND_TXN = 14,          /* value: an encoded kv/txn.h */
    COMMAND_COMPACT = 15,      /* revision: the past up to it is given up */
    COMMAND_GRANT_LEASE = 16,  /* lease (0: the cluster allots one), ttl_ms */
    COMMAND_REVOKE_LEASE = 17, /* lease: with its keys */
    COMMAND_RENEW_LEASES = 18, /* value: leases, u64 each; those that are gone are passed over; no
                                  identity */
    COMMAND_EXPIRE_LEASES = 19 /* cutoff_us: those that expire by then, with their keys; no
                                  identity */
};

enum condition {
    CONDITION_NONE,
    CONDITION_REVISION,    /* If-Match: "n": exists and mod_revision is n */
    CONDITION_EXISTS,      /* If-Match: * */
    CONDITION_ABSENT,      /* If-None-Match: * */
    CONDITION_NOT_REVISION /* If-None-Match: "n": absent, or mod_revision is not n */
};

enum client_kind {
    CLIENT_ID, /* X-MiniKV-Client-Id: of the client's own choosing, or allotted */
    CLIENT_KEY /* Idempotency-Key: a client of one write, sequence 1 */
};

/* Exactly once: which write of which client this is. */
struct client_identity {
    enum client_kind kind;
    struct bytes client; /* empty: none given */
    uint64_t sequence;
    uint64_t acked; /* every sequence up to here has been answered; below `sequence` */
};

struct command {
    enum command_op op;
    struct client_identity identity;
    struct bytes key;
    struct bytes value;
    enum condition condition;
    uint64_t condition_revision;
    int64_t by;
    node_id member;
    struct address http;
    struct address peer;
    uint64_t member_identity;
    uint64_t nonce;
    uint64_t cutoff_us; /* log time */
    uint64_t revision;
    uint64_t lease; /* PUT: 0: none */
    uint64_t ttl_ms;
};

/* Requires a command within the limits; every field that its op does not name is left out. */
void command_encode(const struct command *command, struct buf *out);
/* Slices borrow from `in`. What decodes encodes to the same bytes.
 * return   ST_OK; ST_SHORT; ST_FORMAT for an unknown version, op or condition, a number out of its
 *          range, an address in another form than address_format's, or trailing bytes; ST_LIMIT
 *          for an empty key, or a key, value or id over its limit */
MUST_CHECK enum status command_decode(struct bytes in, struct command *out_command);
/* The op alone, without decoding the rest; 0 when `in` is no command. */
enum command_op command_peek(struct bytes in);
/* Who sent it, without decoding the rest; false when it has no identity or `in` is no command. */
bool command_peek_identity(struct bytes in, struct client_identity *out_identity);
/* 64 bits over all that the command asks for and nothing of who asks: the same request has the same
 * one wherever and however often it is sent. Requires a command that decodes. */
uint64_t command_fingerprint(struct bytes in);
/* The key alone; empty when it has none or `in` is no command. */
struct bytes command_peek_key(struct bytes in);
const char *command_op_name(enum command_op op); /* "put", … */

#endif
