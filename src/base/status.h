/* Status: every way in which a request or an operation can end, in one table.
 *
 * The enum, the HTTP answer, the truth about the effect, the retry rule, the exit code of the
 * command line and docs/http-api.md all come from STATUS_TABLE; a new outcome is one new line.
 *
 * effect  NONE     the operation certainly did not happen and, of this delivery, never will
 *         MAYBE    it may have happened or may still happen
 *         APPLIED  it happened
 * retry   NEVER    the same request will fail in the same way
 *         LATER    the same request may succeed later
 *         OUTCOME  only safe with the same client id and sequence; ask for the outcome first */
#ifndef MINIKV_BASE_STATUS_H
#define MINIKV_BASE_STATUS_H

enum effect { EFFECT_NONE, EFFECT_MAYBE, EFFECT_APPLIED };
enum retry { RETRY_NEVER, RETRY_LATER, RETRY_OUTCOME };

/* Exit codes of the command line. */
enum exit_code {
    EXIT_CODE_OK = 0,
    EXIT_CODE_FAILURE = 1,     /* anything that has no code of its own */
    EXIT_CODE_USAGE = 2,       /* the command line or the request is malformed */
    EXIT_CODE_NOT_FOUND = 3,   /* no such key, member or resource */
    EXIT_CODE_CONDITION = 4,   /* a compare-and-set did not hold */
    EXIT_CODE_UNAVAILABLE = 5, /* not applied; the cluster could not take it now */
    EXIT_CODE_UNKNOWN = 6,     /* may or may not have been applied */
    EXIT_CODE_LOST = 7,        /* a lease ended that was to be kept, and what stood under it */
    EXIT_CODE_LOCKED = 10,     /* minikvd: the data directory is in use */
    EXIT_CODE_STORAGE = 11,    /* minikvd: a write or sync failed; the node stopped */
    EXIT_CODE_CORRUPT = 12,    /* minikvd: synced data is damaged */
    EXIT_CODE_FORMAT = 13      /* minikvd: data of another format version or another node */
};

/* X(NAME, code, http, effect, retry, exit, title)
 * NAME becomes ST_NAME; `code` is the stable word users see in "type" ("urn:minikv:code"). */
#define STATUS_TABLE(X)                                                                            \
    X(OK, "ok", 200, APPLIED, NEVER, OK, "done")                                                   \
    /* The request met the state and the state said no. */                                         \
    X(NOT_FOUND, "not-found", 404, NONE, NEVER, NOT_FOUND, "no such key")                          \
    X(CONDITION_FAILED, "condition-failed", 412, NONE, NEVER, CONDITION, "condition not met")      \
    X(NOT_INTEGER, "not-integer", 409, NONE, NEVER, FAILURE, "the value is not an integer")        \
    X(OVERFLOW, "overflow", 409, NONE, NEVER, FAILURE, "the result would overflow 64 bits")        \
    X(UNKNOWN_MEMBER, "unknown-member", 404, NONE, NEVER, NOT_FOUND, "no member has this id")      \
    X(MEMBER_EXISTS, "member-exists", 409, NONE, NEVER, FAILURE,                                   \
      "the id or the peer address is another member's")                                            \
    X(MEMBERS_FULL, "members-full", 409, NONE, NEVER, FAILURE,                                     \
      "the cluster has as many members as it may have")                                            \
    X(LAST_VOTER, "last-voter", 409, NONE, NEVER, FAILURE,                                         \
      "no other member votes, so this one cannot leave")                                           \
    X(NOT_CAUGHT_UP, "not-caught-up", 409, NONE, LATER, UNAVAILABLE,                               \
      "the learner does not have what it needs to vote")                                           \
    X(REVISION_FUTURE, "revision-future", 400, NONE, NEVER, USAGE, "revision not reached yet")     \
    X(COMPACTED, "compacted", 410, NONE, NEVER, FAILURE, "the revision has been compacted")        \
    X(SEQUENCE_TOO_OLD, "sequence-too-old", 409, NONE, NEVER, FAILURE,                             \
      "the sequence is below the client's window")                                                 \
    X(SEALED, "sealed", 409, NONE, NEVER, FAILURE,                                                 \
      "the request was sealed: it never takes effect")                                             \
    X(SESSION_EXPIRED, "session-expired", 410, NONE, NEVER, FAILURE, "the session has expired")    \
    X(IDENTITY_REUSED, "identity-reused", 422, NONE, NEVER, USAGE,                                 \
      "another request had this identity")                                                         \
    X(LEASE_NOT_FOUND, "lease-not-found", 404, NONE, NEVER, NOT_FOUND, "no such lease")            \
    X(LEASE_EXISTS, "lease-exists", 409, NONE, NEVER, FAILURE, "the lease exists already")         \
    X(LEASES_FULL, "leases-full", 503, NONE, LATER, UNAVAILABLE,                                   \
      "there are as many leases, or keys of one, as there may be")                                 \
    X(DUPLICATE_KEY, "duplicate-key", 400, NONE, NEVER, USAGE,                                     \
      "a transaction changes a key twice")                                                         \
    X(TXN_TOO_LARGE, "txn-too-large", 413, NONE, NEVER, USAGE,                                     \
      "a transaction is, reads or deletes more than one may")                                      \
    X(STATE_FULL, "state-full", 507, NONE, LATER, UNAVAILABLE, "the memory limit is reached")      \
    /* The request itself is wrong. */                                                             \
    X(BAD_REQUEST, "bad-request", 400, NONE, NEVER, USAGE, "malformed request")                    \
    X(BAD_TARGET, "bad-target", 400, NONE, NEVER, USAGE, "malformed request target")               \
    X(BAD_HEADER, "bad-header", 400, NONE, NEVER, USAGE, "malformed header")                       \
    X(BAD_HOST, "bad-host", 400, NONE, NEVER, USAGE, "missing, doubled or malformed Host")         \
    X(BAD_LENGTH, "bad-length", 400, NONE, NEVER, USAGE, "malformed message length")               \
    X(BAD_JSON, "bad-json", 400, NONE, NEVER, USAGE, "malformed JSON")                             \
    X(BAD_FIELD, "bad-field", 400, NONE, NEVER, USAGE, "unknown or malformed field")               \
    X(BAD_QUERY, "bad-query", 400, NONE, NEVER, USAGE, "unknown or malformed query parameter")     \
    X(BAD_ENCODING, "bad-encoding", 400, NONE, NEVER, USAGE, "malformed encoding")                 \
    X(BAD_CONDITION, "bad-condition", 400, NONE, NEVER, USAGE, "malformed condition")              \
    X(BAD_IDENTITY, "bad-identity", 400, NONE, NEVER, USAGE,                                       \
      "malformed client id, sequence or idempotency key")                                          \
    X(BAD_ADDRESS, "bad-address", 400, NONE, NEVER, USAGE, "malformed or unusable address")        \
    X(KEY_EMPTY, "key-empty", 400, NONE, NEVER, USAGE, "the key is empty")                         \
    X(KEY_TOO_LONG, "key-too-long", 414, NONE, NEVER, USAGE, "the key is too long")                \
    X(VALUE_TOO_LONG, "value-too-long", 413, NONE, NEVER, USAGE, "the value is too long")          \
    X(BODY_TOO_LONG, "body-too-long", 413, NONE, NEVER, USAGE, "the request body is too long")     \
    X(TARGET_TOO_LONG, "target-too-long", 414, NONE, NEVER, USAGE, "the target is too long")       \
    X(HEADERS_TOO_LONG, "headers-too-long", 431, NONE, NEVER, USAGE, "the headers are too long")   \
    X(NO_RESOURCE, "no-resource", 404, NONE, NEVER, NOT_FOUND, "no such resource")                 \
    X(METHOD_NOT_ALLOWED, "method-not-allowed", 405, NONE, NEVER, USAGE, "method not allowed")     \
    X(NOT_ACCEPTABLE, "not-acceptable", 406, NONE, NEVER, USAGE, "no acceptable representation")   \
    X(EXPECTATION_FAILED, "expectation-failed", 417, NONE, NEVER, USAGE, "unknown expectation")    \
    X(UNSUPPORTED_CODING, "unsupported-coding", 501, NONE, NEVER, USAGE,                           \
      "unsupported transfer coding")                                                               \
    X(UNSUPPORTED_VERSION, "unsupported-version", 505, NONE, NEVER, USAGE,                         \
      "unsupported HTTP version")                                                                  \
    X(REQUEST_TIMEOUT, "request-timeout", 408, NONE, LATER, UNAVAILABLE,                           \
      "the request did not arrive in time")                                                        \
    X(ADDRESS_MISMATCH, "address-mismatch", 422, NONE, LATER, FAILURE,                             \
      "the address does not answer as that node")                                                  \
    /* The cluster cannot take it now; this attempt did nothing. */                                \
    X(NO_LEADER, "no-leader", 503, NONE, LATER, UNAVAILABLE, "no leader is known")                 \
    X(LEADER_UNREACHABLE, "leader-unreachable", 503, NONE, LATER, UNAVAILABLE,                     \
      "this node has no link to the leader")                                                       \
    X(NOT_LEADER, "not-leader", 307, NONE, LATER, UNAVAILABLE, "another node leads")               \
    X(LEADER_NOT_ANNOUNCED, "leader-not-announced", 503, NONE, LATER, UNAVAILABLE,                 \
      "the leader has announced no client address")                                                \
    X(ALREADY_FORWARDED, "already-forwarded", 503, NONE, LATER, UNAVAILABLE,                       \
      "the request has been forwarded before")                                                     \
    X(BUSY, "busy", 503, NONE, LATER, UNAVAILABLE, "a bounded queue is full")                      \
    X(SESSIONS_FULL, "sessions-full", 503, NONE, LATER, UNAVAILABLE,                               \
      "the table of clients is full")                                                              \
    X(CHANGE_OPEN, "change-open", 503, NONE, LATER, UNAVAILABLE,                                   \
      "another change of the members is under way")                                                \
    X(FENCED, "fenced", 503, NONE, LATER, UNAVAILABLE, "leadership changed before it was taken")   \
    X(NOT_READY, "not-ready", 503, NONE, LATER, UNAVAILABLE, "the node is still catching up")      \
    X(SHUTTING_DOWN, "shutting-down", 503, NONE, LATER, UNAVAILABLE, "the node is shutting down")  \
    X(NO_SPACE, "no-space", 507, NONE, LATER, UNAVAILABLE, "the disk is full")                     \
    /* It may have happened. */                                                                    \
    X(LINK_LOST, "link-lost", 502, MAYBE, OUTCOME, UNKNOWN,                                        \
      "the link to the leader was lost before the outcome was known")                              \
    X(TIMEOUT, "timeout", 504, MAYBE, OUTCOME, UNKNOWN, "no outcome within the deadline")          \
    /* Inside the node; these reach no client. */                                                  \
    X(IO, "io", 500, MAYBE, OUTCOME, FAILURE, "input/output error")                                \
    X(CORRUPT, "corrupt", 500, NONE, NEVER, CORRUPT, "synced data is damaged")                     \
    X(FORMAT, "format", 500, NONE, NEVER, FORMAT, "unknown format or version")                     \
    X(LOCKED, "locked", 500, NONE, LATER, LOCKED, "the data directory is in use")                  \
    X(LIMIT, "limit", 500, NONE, NEVER, FAILURE, "a limit would be passed")                        \
    X(SHORT, "short", 500, NONE, NEVER, FAILURE, "the input ends early")                           \
    X(NO_MEMORY, "no-memory", 503, NONE, LATER, UNAVAILABLE, "out of memory")                      \
    X(CLOSED, "closed", 500, NONE, LATER, FAILURE, "the connection or file is closed")

enum status {
#define STATUS_ENUM(name, code, http, effect, retry, exit, title) ST_##name,
    STATUS_TABLE(STATUS_ENUM)
#undef STATUS_ENUM
        STATUS_COUNT
};

struct status_info {
    const char *name; /* "NO_LEADER" */
    const char *code; /* "no-leader" */
    const char *title;
    int http;
    enum effect effect;
    enum retry retry;
    enum exit_code exit;
};

/* Static text and facts of a status; never NULL. Requires a value of the enum. */
const struct status_info *status_info(enum status status);
/* "none" | "maybe" | "applied". */
const char *effect_name(enum effect effect);

#endif
