/* libminikv: a client of a MiniKV cluster.
 *
 *      struct minikv *kv;
 *      struct minikv_result result;
 *
 *      if (minikv_open("127.0.0.1:8081,127.0.0.1:8082,127.0.0.1:8083", NULL, &kv) != MINIKV_OK)
 *              return 1;
 *      minikv_put(kv, minikv_text("greeting"), minikv_text("hello"), &result);
 *      minikv_result_release(&result);
 *      minikv_close(kv);
 *
 * Every write takes effect exactly once: the library opens a session, gives each write a sequence,
 * and sends it again, to whichever node can take it, until there is an answer or the deadline has
 * passed. A result always says which of three things is true: applied, not applied, or unknown
 * (`effect`); an unknown write can be asked about, or settled, later with minikv_outcome.
 *
 * Leases, locks and elections are holds: what the cluster gives for a time, kept alive by whoever
 * waits here. A hold always says for how long it is certain, and the token that goes with a lock or
 * an office guards what is written under it.
 *
 * The library finds the leader by itself: it asks all endpoints at once while it knows none, keeps
 * the one with the highest term, follows redirects a bounded number of times, never follows a hint
 * of a lower term, and waits between rounds with jitter. Many requests share one connection.
 *
 * Threads      all functions may be called from any thread at any time, but minikv_close, which is
 *              the last. There are no globals and no hidden threads: whoever waits does the work.
 * Names        are resolved when a connection is made, by getaddrinfo, which waits as long as the
 *              system's resolver does, deadline or not; numeric addresses take no time
 * Ownership    requests are copied; results own their memory until minikv_result_release
 * Errors       enum minikv_code; nothing is printed and the process is never ended. SIGPIPE is
 *              never raised
 * Limits       MINIKV_REQUESTS_MAX, MINIKV_HOLDS_MAX, MINIKV_ENDPOINTS_MAX, MINIKV_REDIRECTS_MAX */
#ifndef MINIKV_MINIKV_H
#define MINIKV_MINIKV_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "minikv/redirect.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MINIKV_API __attribute__((visibility("default")))

enum {
    MINIKV_ENDPOINTS_MAX = 16,
    MINIKV_REQUESTS_MAX = 1024, /* under way at once; as many as the server's window */
    MINIKV_REDIRECTS_MAX = 5,   /* in a row; more is a circle */
    MINIKV_CLIENT_ID_MAX = 64,
    MINIKV_HOLDS_MAX = 64, /* of one client */
    MINIKV_POLLFDS_MAX = MINIKV_ENDPOINTS_MAX + 12
};

/* The version of the library at run time: "0.1.0". */
MINIKV_API const char *minikv_version(void);

/* ---- what comes back ---- */

enum minikv_code {
    MINIKV_OK = 0,
    MINIKV_NOT_FOUND = 1,        /* no such key */
    MINIKV_CONDITION_FAILED = 2, /* `revision` is the key's present one; 0: it does not exist */
    MINIKV_NOT_INTEGER = 3,
    MINIKV_OVERFLOW = 4,
    MINIKV_REFUSED = 5,     /* the request itself is wrong: `word` and `detail` say how */
    MINIKV_FULL = 6,        /* memory, disk or table of clients: may pass */
    MINIKV_UNAVAILABLE = 7, /* nobody could take it before the deadline */
    MINIKV_UNKNOWN = 8,     /* sent, and no answer came that settles it; see `effect` */
    MINIKV_NO_MEMORY = 9,   /* here, in this process */
    MINIKV_INVALID = 10,    /* an argument is out of its range; nothing was sent */
    MINIKV_CANCELLED = 11,  /* by minikv_cancel or minikv_close; see `effect` */
    MINIKV_LOST = 12,       /* the hold, or the one that a fence names, is no more */
    MINIKV_HELD = 13        /* by somebody else, as long as there was time to wait */
};

/* "not-found", …: one word for logs; never NULL. */
MINIKV_API const char *minikv_code_name(enum minikv_code code);

enum minikv_effect {
    MINIKV_NOT_APPLIED = 0, /* certainly not, and it never will be */
    MINIKV_MAYBE_APPLIED = 1,
    MINIKV_APPLIED = 2
};

struct minikv_bytes {
    const void *data;
    size_t count;
};

/* A NUL-terminated text as bytes. */
MINIKV_API struct minikv_bytes minikv_text(const char *text);

struct minikv_item {
    struct minikv_bytes key;
    struct minikv_bytes value; /* empty with keys_only */
    uint64_t create_revision, mod_revision, version, lease;
};

/* Which write of which client: what to ask about when a result is unknown. */
struct minikv_identity {
    char client[MINIKV_CLIENT_ID_MAX + 1]; /* "": none */
    uint64_t sequence;
};

struct minikv_result {
    enum minikv_code code;
    /* Of a write; reads are MINIKV_NOT_APPLIED. Of one under an identity of the caller's own it is
     * what this call has sent: of other calls under that identity it does not speak. */
    enum minikv_effect effect;
    uint64_t revision; /* put, delete, incr, get: of the key; list: of the listing */
    int64_t number;    /* incr: the sum */
    bool is_replayed;  /* the answer to an earlier delivery of the same write */

    const struct minikv_item *items; /* get: one; list: a page in key order */
    size_t items_count;
    struct minikv_bytes next; /* list: pass as `after` for the next page; empty: that was all */
    struct minikv_bytes body; /* of the reply to MINIKV_CALL, whatever its code */

    struct minikv_identity identity; /* of a write that was sent */
    int http_code;                   /* of the last reply; 0: there was none */
    char word[32];                   /* what the server says it is: "no-leader"; "" without */
    char detail[256];                /* one sentence for people; "" when all is well */
    unsigned attempts_count, redirects_count;
    int node; /* that answered; 0: none */
    uint64_t term;

    void *memory; /* of items, next and body; the library's */
};

/* Gives back what the result owns; a released result can be used again. NULL is a no-op. */
MINIKV_API void minikv_result_release(struct minikv_result *result);

/* ---- opening ---- */

enum minikv_hop_next {
    MINIKV_HOP_FINISH,   /* this was the last */
    MINIKV_HOP_REDIRECT, /* to the leader that the reply names */
    MINIKV_HOP_ELSEWHERE /* another endpoint, after `pause_ms` */
};

/* One attempt, for showing. Everything is borrowed for the call. */
struct minikv_hop {
    unsigned number;     /* from 1, of this request */
    const char *method;  /* "PUT" */
    const char *target;  /* "/v1/kv/greeting" */
    const char *address; /* "127.0.0.1:8081" */
    int http_code;       /* 0: no reply */
    int node;            /* that answered; 0: not said */
    uint64_t term;       /* 0: not said */
    unsigned forwards;   /* X-MiniKV-Hops */
    const char *word;    /* as in struct minikv_result */
    const char *error;   /* why there is no reply; "" with one */
    enum minikv_hop_next next;
    unsigned pause_ms;
};

struct minikv_options {
    unsigned timeout_ms;             /* of a whole request, all attempts together; 0: 5000 */
    unsigned unknown_leader_wait_ms; /* before asking again when there is no leader; 0: 200 */
    unsigned connect_timeout_ms;     /* 0: 1000 */
    bool redirect; /* ask nodes to redirect rather than forward: leader-aware, no extra hop */
    bool without_session; /* writes carry no identity: an unknown one is never sent again */
    uint64_t seed;        /* of the jitter; 0: from the system */
    /* Told of each attempt when it has ended, also of those to open the session, but not of what
     * else the library sends for itself; NULL: none. It is called in the middle of things and may
     * call nothing here. */
    void (*on_hop)(void *ctx, const struct minikv_hop *hop);
    void *ctx;
};

struct minikv;

/* `endpoints`: "host:port[,host:port…]" of any nodes; http:// in front is fine. Nothing is sent
 * before the first request. `options` NULL: the defaults.
 * return   MINIKV_OK; MINIKV_INVALID (no or malformed endpoints), MINIKV_NO_MEMORY */
MINIKV_API enum minikv_code minikv_open(const char *endpoints, const struct minikv_options *options,
                                        struct minikv **out_kv);
/* Ends what is under way (MINIKV_CANCELLED, callbacks are called), forgets the session at the
 * cluster if that takes no longer than 200 ms and no write of it is unknown, and frees. NULL is a
 * no-op. */
MINIKV_API void minikv_close(struct minikv *kv);

/* ---- one request ---- */

enum minikv_op {
    MINIKV_PUT = 1, /* key, value, condition, lease, fence */
    MINIKV_GET,     /* key, revision, is_stale */
    MINIKV_DELETE,  /* key, condition, fence */
    MINIKV_INCR,    /* key, by */
    MINIKV_LIST,    /* range, is_stale */
    MINIKV_CALL     /* method, target, value as body: any request of docs/http-api.md. It is one of
                       the session's writes, carried out once, if `is_once` says so */
};

enum minikv_condition {
    MINIKV_ALWAYS,
    MINIKV_IF_REVISION, /* `revision`, which is not 0, is the key's */
    MINIKV_IF_EXISTS,
    MINIKV_IF_ABSENT
};

struct minikv_range {
    struct minikv_bytes prefix; /* empty: any */
    struct minikv_bytes start;  /* inclusive; empty: from the first */
    struct minikv_bytes end;    /* exclusive; empty: to the last */
    struct minikv_bytes after;  /* exclusive start: `next` of the page before */
    unsigned limit;             /* of one page; 0: the server's */
    uint64_t revision;          /* as it was then; 0: as it is. For the pages of one listing:
                                   `revision` of the first one's result */
    bool is_descending;         /* from the last to the first; `after` is what lies behind */
    bool keys_only;
};

/* What a write is guarded with: it is carried out only while `key` is the one that was created at
 * revision `token`, as the key of a lock is for as long as its holder has it. */
struct minikv_fence {
    struct minikv_bytes key;
    uint64_t token; /* 0: no fence */
};

struct minikv_request {
    enum minikv_op op;
    struct minikv_bytes key, value;
    enum minikv_condition condition;
    uint64_t revision; /* of the condition; MINIKV_GET: as the key was then; 0: as it is */
    uint64_t lease;    /* that the key goes with; 0: none, the key stays */
    /* MINIKV_LOST, and nothing has changed, when it does not hold; minikv_outcome of a write says
     * MINIKV_CONDITION_FAILED then. */
    struct minikv_fence fence;
    int64_t by;
    bool is_stale; /* any node's own state, however old */
    struct minikv_range range;
    const char *method, *target; /* MINIKV_CALL; the target is percent-encoded */
    bool is_repeatable;          /* MINIKV_CALL: doing it twice is as good as once */
    bool is_once; /* MINIKV_CALL: it takes an identity, and is to have the session's: a transaction,
                     a lease granted or revoked */
    unsigned timeout_ms; /* 0: the client's */
    /* A write of the caller's own identity instead of the session's; client "": the session's. */
    struct minikv_identity identity;
};

/* Sends it, waits for the result, and gives that. `out_result` is to be released in every case.
 * What is out of range (an empty key, one of more than 4096 bytes, a value of more than 1 MiB …) is
 * MINIKV_INVALID; `word` and `detail` say how. Returns out_result->code. */
MINIKV_API enum minikv_code minikv_perform(struct minikv *kv, const struct minikv_request *request,
                                           struct minikv_result *out_result);

/* The common ones. */
MINIKV_API enum minikv_code minikv_put(struct minikv *kv, struct minikv_bytes key,
                                       struct minikv_bytes value, struct minikv_result *out_result);
MINIKV_API enum minikv_code minikv_get(struct minikv *kv, struct minikv_bytes key,
                                       struct minikv_result *out_result);
MINIKV_API enum minikv_code minikv_delete(struct minikv *kv, struct minikv_bytes key,
                                          struct minikv_result *out_result);
MINIKV_API enum minikv_code minikv_incr(struct minikv *kv, struct minikv_bytes key, int64_t by,
                                        struct minikv_result *out_result);
/* Puts `value` if the key's revision is `revision`; 0: if it does not exist. */
MINIKV_API enum minikv_code minikv_cas(struct minikv *kv, struct minikv_bytes key,
                                       uint64_t revision, struct minikv_bytes value,
                                       struct minikv_result *out_result);
MINIKV_API enum minikv_code minikv_list(struct minikv *kv, const struct minikv_range *range,
                                        struct minikv_result *out_result);

/* ---- what became of a write ---- */

enum minikv_fate {
    MINIKV_FATE_APPLIED = 1, /* carried out: the result is its answer */
    MINIKV_FATE_PENDING,     /* on its way */
    MINIKV_FATE_UNSEEN,      /* not carried out up to now; a copy may be on its way */
    MINIKV_FATE_NEVER,       /* sealed: it never will be */
    MINIKV_FATE_EXPIRED      /* no longer remembered, and will not be carried out any more */
};

/* Asks; with `seal`, settles it first: then the answer is APPLIED or NEVER, for good. On MINIKV_OK
 * `out_fate` is written, and with APPLIED out_result is what the write's own would have been; with
 * the others its effect says what is known. For writes whose result was UNKNOWN or CANCELLED: those
 * that were answered are acknowledged with the next writes, forgotten, and EXPIRED. So are these in
 * the end: a write can be settled as long as its session lives, and before MINIKV_REQUESTS_MAX
 * later writes of it. `identity` may be that in out_result. */
MINIKV_API enum minikv_code minikv_outcome(struct minikv *kv,
                                           const struct minikv_identity *identity, bool seal,
                                           enum minikv_fate *out_fate,
                                           struct minikv_result *out_result);

/* ---- many requests at once, and your own poll loop ----
 *
 *      minikv_start(kv, &request, on_done, ctx, &id);          as many as you like
 *      for (;;) {
 *              n = minikv_pollfds(kv, fds, MINIKV_POLLFDS_MAX);
 *              poll(fds, n, minikv_timeout(kv));                or your loop's own way
 *              minikv_process(kv, fds, n);                     calls on_done
 *      }
 *
 * One such loop per client, in that order; any number of threads in the other functions. Whatever
 * they start, or call back, ends its poll(). */

/* `result` is the callee's: to be released by it, now or later. Called from minikv_process,
 * minikv_perform, minikv_cancel, minikv_close, or a function of holds but minikv_hold_look, of
 * whichever thread, with no lock held; it may call any function but minikv_close. */
typedef void (*minikv_done_fn)(void *ctx, struct minikv_result *result);

/* Takes the request on; on_done is called exactly once, and not from within. `on_done` NULL: the
 * result is of no interest; `out_id` may be NULL too.
 * return   MINIKV_OK; MINIKV_INVALID; MINIKV_FULL (MINIKV_REQUESTS_MAX under way, or it is being
 *          closed); MINIKV_NO_MEMORY; then on_done is not called */
MINIKV_API enum minikv_code minikv_start(struct minikv *kv, const struct minikv_request *request,
                                         minikv_done_fn on_done, void *ctx, uint64_t *out_id);
/* Gives it up: on_done gets MINIKV_CANCELLED with what is known of the effect. False: it has ended
 * already. */
MINIKV_API bool minikv_cancel(struct minikv *kv, uint64_t id);
/* What to wait for; returns how many were written. */
MINIKV_API size_t minikv_pollfds(struct minikv *kv, struct pollfd *out_fds, size_t fds_max);
/* Milliseconds until minikv_process has something to do even without an event; -1: never. */
MINIKV_API int minikv_timeout(struct minikv *kv);
/* Does what can be done without waiting. `fds` as poll() left them; 0 of them is fine. */
MINIKV_API void minikv_process(struct minikv *kv, const struct pollfd *fds, size_t fds_count);

/* ---- holds: leases, locks, elections ----
 *
 *      struct minikv_hold *lock;
 *      struct minikv_holding holding;
 *
 *      if (minikv_lock_acquire(kv, minikv_text("job"), 0, 30000, &lock, &result) == MINIKV_OK) {
 *              minikv_hold_look(lock, &holding);
 *              ...                           writes with request.fence = holding.fence
 *              minikv_hold_keep(lock, 1000); now and then, in longer work
 *              minikv_hold_release(lock, &result);
 *      }
 *
 * A hold is a lease, which ends when nobody keeps it alive, and, with a name, a place among those
 * who want that name, first come, first served, as `minikv lock` and `minikv elect` take them too:
 * a key NAME/<lease in 16 hex digits> under the lease. Its revision of creation is the fencing
 * token, which grows with every holder; the lowest one holds the name.
 *
 * It is kept alive by whoever waits: in minikv_perform, in a poll loop, in minikv_hold_keep. A
 * keep-alive is sent when a third of the time to live has gone by. While nobody calls anything
 * here, nothing is sent: this library has no threads.
 *
 * What is certain  A lease lasts its time to live from the moment when the keep-alive that was
 *                  answered last had been *sent*; up to then, less a thousandth for the speed of
 *                  clocks, nobody else can hold the name. `certain_ms` says how long that still is,
 *                  by a clock that nobody sets and that goes on while the machine sleeps
 *                  (CLOCK_BOOTTIME). At 0 nothing is certain: the hold may be there, or another's.
 *                  Somebody who deletes its key, or revokes its lease, takes it away all the same;
 *                  who waits here is told soon.
 * What is not      That it is certain *when a write arrives*: this process may stand still between
 *                  looking and acting. So what is protected looks at the token: a write here by its
 *                  `fence`, something else by refusing one lower than the highest it has seen.
 * Crashes          of this process end the lease, and with it the place, after its time to live.
 *                  Answers that get lost are settled by the identity of the request: no second
 *                  lease, no second place.
 * Ownership        a hold is its caller's, until minikv_hold_release or minikv_hold_free, which are
 *                  the last for it in any thread. Those left at minikv_close go with it. */

struct minikv_hold;

struct minikv_hold_request {
    uint64_t ttl_ms; /* 0: 10000; at least 1000 */
    uint64_t lease;  /* one that is there, to be kept alive here; 0: a new one is granted */
    struct minikv_bytes name;  /* of the lock or election; empty: only the lease */
    struct minikv_bytes value; /* of the key that stands for it: what others see */
};

enum minikv_hold_state {
    MINIKV_HOLD_ENTERING = 1, /* lease and place are being asked for */
    MINIKV_HOLD_WAITING,      /* has a place; somebody else holds the name */
    MINIKV_HOLD_HELD,
    MINIKV_HOLD_LEAVING, /* being given back */
    MINIKV_HOLD_LEFT,    /* given back */
    MINIKV_HOLD_LOST,    /* for good; `detail` says how */
    MINIKV_HOLD_FAILED   /* refused: `code`, `word` and `detail` say why */
};

struct minikv_holding {
    enum minikv_hold_state state;
    /* Of the lease, from now on; 0: it is not known to be there. A lock is certain while it is
     * HELD and this is not 0. */
    uint64_t certain_ms;
    uint64_t ttl_ms;
    uint64_t lease;            /* 0: not yet granted */
    struct minikv_fence fence; /* token 0 but in HELD; its key is borrowed from the hold */
    enum minikv_code code;     /* MINIKV_OK while all is well; else what is in the way, or was */
    char word[32];             /* as in struct minikv_result */
    char detail[256];
};

/* Begins to take it, and waits for nothing: minikv_hold_wait does, or a poll loop, where
 * minikv_hold_look tells how it goes. As long as no node answers it goes on trying.
 * return   MINIKV_OK; MINIKV_INVALID (a name that leaves no room in a key, a value that is too
 *          long, a time to live below 1000 ms or above a year), MINIKV_FULL (MINIKV_HOLDS_MAX, or
 *          it is being closed), MINIKV_NO_MEMORY */
MINIKV_API enum minikv_code minikv_hold_start(struct minikv *kv,
                                              const struct minikv_hold_request *request,
                                              struct minikv_hold **out_hold);
/* As it is known now; sends nothing, waits for nothing. */
MINIKV_API void minikv_hold_look(struct minikv_hold *hold, struct minikv_holding *out_holding);
/* Until it is held. -1 waits for ever.
 * return   MINIKV_OK; after wait_ms MINIKV_HELD (by somebody else) or MINIKV_UNAVAILABLE (no node
 *          has answered): it stays, and goes on; MINIKV_LOST; or why it failed */
MINIKV_API enum minikv_code minikv_hold_wait(struct minikv_hold *hold, int wait_ms);
/* Keeps it alive: when a keep-alive is due, or under way, waits for its answer, at most wait_ms;
 * else returns at once.
 * return   MINIKV_OK: certain_ms is not 0; MINIKV_UNAVAILABLE: it is, as no node answers. What
 *          needs the hold is to stop; later it may be certain again, and was never another's.
 *          MINIKV_LOST. Before it is held, after it was left: what minikv_hold_wait says. */
MINIKV_API enum minikv_code minikv_hold_keep(struct minikv_hold *hold, int wait_ms);
/* Begins to give it back; minikv_hold_look tells when it is LEFT. */
MINIKV_API void minikv_hold_leave(struct minikv_hold *hold);
/* Gives it back, waits for the answer as any request does, and frees the hold in every case.
 * return   MINIKV_OK; MINIKV_LOST: it had been lost before, so that another may have held it
 *          meanwhile; else it ends with its lease, ttl_ms after this at the latest */
MINIKV_API enum minikv_code minikv_hold_release(struct minikv_hold *hold,
                                                struct minikv_result *out_result);
/* Frees it without a word to the cluster: unless it is LEFT the lease lives out its time, as it is
 * meant to do when somebody else keeps it alive from now on. NULL is a no-op. */
MINIKV_API void minikv_hold_free(struct minikv_hold *hold);

/* Grants a lease, as a hold without a name: put keys under minikv_holding.lease. To be released
 * (the keys go) or freed; `out_hold` is written only with MINIKV_OK. */
MINIKV_API enum minikv_code minikv_lease_grant(struct minikv *kv, uint64_t ttl_ms,
                                               struct minikv_hold **out_hold,
                                               struct minikv_result *out_result);

/* What the cluster says of a lease, anybody's. */
struct minikv_lease {
    uint64_t ttl_ms;
    uint64_t remaining_ms; /* if nobody keeps it alive: at least that */
    uint64_t keys_count;
};
/* return   MINIKV_OK; MINIKV_NOT_FOUND: it has ended; … */
MINIKV_API enum minikv_code minikv_lease_look(struct minikv *kv, uint64_t lease,
                                              struct minikv_lease *out_lease,
                                              struct minikv_result *out_result);

/* Takes the lock: MINIKV_OK with the hold, and its token as `revision` of the result. ttl_ms 0: 10
 * s. wait_ms is for those before; -1: for ever, 0: not at all. While no node answers it goes on for
 * as long as a request does, at least.
 * return   MINIKV_OK; MINIKV_HELD; MINIKV_UNAVAILABLE; MINIKV_LOST: the place was lost before it
 *          was the first; MINIKV_INVALID, MINIKV_REFUSED, MINIKV_FULL, MINIKV_NO_MEMORY. But for
 *          MINIKV_OK there is no hold; effect MINIKV_MAYBE_APPLIED: a place may be there until its
 *          lease ends, as no node answered when it was to be given back */
MINIKV_API enum minikv_code minikv_lock_acquire(struct minikv *kv, struct minikv_bytes name,
                                                uint64_t ttl_ms, int wait_ms,
                                                struct minikv_hold **out_hold,
                                                struct minikv_result *out_result);

/* An election is a lock whose key has a value: who leads holds it. Resigning is releasing. */
MINIKV_API enum minikv_code minikv_election_campaign(struct minikv *kv, struct minikv_bytes name,
                                                     struct minikv_bytes value, uint64_t ttl_ms,
                                                     int wait_ms, struct minikv_hold **out_hold,
                                                     struct minikv_result *out_result);
/* Another value for who leads: MINIKV_OK; MINIKV_LOST: it does not any more; or as of a put. */
MINIKV_API enum minikv_code minikv_election_proclaim(struct minikv_hold *hold,
                                                     struct minikv_bytes value,
                                                     struct minikv_result *out_result);
/* Who leads: items[0] is the key, with the value; its create_revision is the token.
 * MINIKV_NOT_FOUND: nobody does. `revision` is when that was so. */
MINIKV_API enum minikv_code minikv_election_leader(struct minikv *kv, struct minikv_bytes name,
                                                   struct minikv_result *out_result);
/* The same, once it is another one, or has another value, than `known`: items[0].mod_revision of
 * the result before, 0 if nobody led. After wait_ms also if it is not; -1: for ever. */
MINIKV_API enum minikv_code minikv_election_observe(struct minikv *kv, struct minikv_bytes name,
                                                    uint64_t known, int wait_ms,
                                                    struct minikv_result *out_result);

/* ---- redirects by hand (Raft §8) ---- */

/* One attempt at one node, that neither forwards nor retries: what a node says to a client that
 * routes for itself. MINIKV_OK or the answer's code, with out_message->redirect 0; or
 * MINIKV_UNAVAILABLE with out_message->redirect 1 and who leads, if that is known. */
MINIKV_API enum minikv_code client_send_request(struct minikv *kv, const char *endpoint,
                                                const struct minikv_request *request,
                                                struct redirect_msg *out_message,
                                                struct minikv_result *out_result);
/* What follows client_send_request, with what that left in `response` and `result`; where that was
 * not redirected, nothing does. Reads the redirect, connects to the leader it names and sends the
 * same request there, with the same client id and sequence: those of `request`, else those in
 * `result`, which is what the attempt before left. Goes round again, at most MINIKV_REDIRECTS_MAX
 * times, when that node points elsewhere, never to a lower term; waits (unknown_leader_wait_ms) and
 * asks the endpoints when no leader is known. `result` is released and filled again. Returns
 * result->code. */
MINIKV_API enum minikv_code client_follow_redirect(struct minikv *kv,
                                                   const struct redirect_msg *response,
                                                   const struct minikv_request *request,
                                                   struct minikv_result *result);

#ifdef __cplusplus
}
#endif

#endif
