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
 * Limits       MINIKV_REQUESTS_MAX, MINIKV_ENDPOINTS_MAX, MINIKV_REDIRECTS_MAX */
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
    MINIKV_POLLFDS_MAX = MINIKV_ENDPOINTS_MAX + 4
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
    MINIKV_CANCELLED = 11   /* by minikv_cancel or minikv_close; see `effect` */
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
    MINIKV_PUT = 1, /* key, value, condition, lease */
    MINIKV_GET,     /* key, revision, is_stale */
    MINIKV_DELETE,  /* key, condition */
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

struct minikv_request {
    enum minikv_op op;
    struct minikv_bytes key, value;
    enum minikv_condition condition;
    uint64_t revision; /* of the condition; MINIKV_GET: as the key was then; 0: as it is */
    uint64_t lease;    /* that the key goes with; 0: none, the key stays */
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
 * minikv_perform, minikv_cancel or minikv_close, of whichever thread, with no lock held; it may
 * call any function but minikv_close. */
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
