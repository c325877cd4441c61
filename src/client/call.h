/* Call: one request on its way to a result: what to send, how long to try, what is known so far.
 *
 *      READY ─▶ ASSIGNED ─▶ SENT ─▶ DONE
 *        ▲         │          │
 *        └─ PAUSED ◀──────────┘         NEEDS_IDENTITY ─▶ READY, once there is a session
 *
 * Ownership    one block of memory with all its texts; owns its result until that is handed over
 * Calling      the engine only */
#ifndef MINIKV_CLIENT_CALL_H
#define MINIKV_CLIENT_CALL_H

#include "base/list.h"
#include "base/status.h"
#include "client/blob.h"
#include "minikv/minikv.h"
#include "types/address.h"
#include "types/ids.h"

enum call_state {
    CALL_READY,          /* to be given to a connection */
    CALL_PAUSED,         /* until resume_at, or until something is heard */
    CALL_NEEDS_IDENTITY, /* no session is open, or its window is full */
    CALL_ASSIGNED,       /* to a connection that is not open yet, or has enough under way */
    CALL_SENT,
    CALL_DONE /* the result is to be handed over */
};

enum call_kind {
    CALL_USER,
    CALL_OPEN_SESSION,
    CALL_CLOSE_SESSION,
    CALL_PROBE /* one endpoint's word on who leads */
};

/* How much an attempt says about why there is no better answer. */
enum telling { TELLING_NOTHING, TELLING_UNSENT, TELLING_REDIRECT, TELLING_ANSWER, TELLING_MAYBE };

struct call {
    struct list link; /* in the queue of its state */
    enum call_state state;
    uint64_t id;

    /* what is asked: borrowed from this block */
    enum call_kind kind;
    enum minikv_op op;
    const char *method, *target, *headers; /* headers: lines, each with its CR LF */
    struct bytes body;
    bool has_body, is_head_only;
    bool is_write;      /* by its method */
    bool is_stale;      /* any node will do */
    bool is_slow;       /* a long poll: its answer may take as long as it likes */
    bool is_for_hold;   /* see struct engine_way */
    uint64_t token;     /* of the fence; 0: there is none */
    bool is_repeatable; /* changes nothing, or may be done twice: the caller says so */
    bool is_once;       /* takes an identity of the session */
    bool wants_identity;
    bool wants_redirect;   /* X-MiniKV-Route: redirect */
    bool is_single;        /* one attempt, whatever comes of it */
    struct address pinned; /* the node to ask; unset: any */
    minikv_done_fn on_done;
    void *ctx;

    /* how it goes */
    time_us deadline, attempt_deadline, resume_at;
    unsigned follows_count;  /* in a row */
    unsigned restarts_count; /* in another session, as its own was gone */
    bool follows;            /* the next attempt goes to the leader */
    size_t channel;          /* ASSIGNED, SENT */
    unsigned session;     /* that its sequence is of; 0: none, or an identity of the caller's own */
    enum effect effect;   /* of all attempts so far */
    enum telling telling; /* of what is noted in the result */
    enum status status;   /* likewise */
    struct redirect_msg redirect; /* likewise */
    bool is_patient;              /* PAUSED until resume_at, whatever is heard meanwhile */
    struct minikv_result result;
};

/* A copy of the request, or NULL without memory. Requires that call_check has said ST_OK. */
struct call *call_new(const struct minikv_request *request);
void call_free(struct call *call); /* with its result; NULL is a no-op */

/* What is wrong with it, in the server's words: ST_OK, or ST_KEY_EMPTY, ST_BAD_IDENTITY, … */
enum status call_check(const struct minikv_request *request);
/* Has an identity, own or of a session. */
bool call_has_identity(const struct call *call);
/* Sending it again does no harm. */
bool call_is_repeatable(const struct call *call);

/* Appends one delivery of it: head and body. `acked` 0: not said. Nothing remains in `out` when
 * that has no memory: then false. */
bool call_encode(const struct call *call, const struct address *to, uint64_t acked,
                 uint64_t timeout_ms, struct blob *out);

#endif
