/* Engine: the client of a cluster without a socket, a clock or a thread.
 *
 * Calls go in; connections to be made and bytes to be sent come out; what happens to them goes in;
 * finished calls come out. The same code runs behind sockets (driver.h) and, on virtual time,
 * wherever a test or a simulator plays the network.
 *
 *      start, cancel ─▶ ┌────────┐ ─▶ finished calls
 *      opened, received,│ engine │ ─▶ channel i: connect to this address, or close
 *      sent, lost, tick │        │ ─▶ channel i: these bytes
 *                       └────────┘
 *
 * Where a call goes: to the leader when redirects are asked for, or have been met, and it is known;
 * else to the endpoint that answered last, or the next one that is well. An endpoint that failed is
 * passed over for a while that doubles, with jitter, and calls begin behind it until another one
 * has answered. When all are, calls wait, and all endpoints are asked at once who leads.
 *
 * Ownership    owns its calls until engine_take_done gives them
 * Limits       MINIKV_REQUESTS_MAX, ENGINE_CHANNELS
 * Calling      one thread at a time; every call says what time it is, never less than before */
#ifndef MINIKV_CLIENT_ENGINE_H
#define MINIKV_CLIENT_ENGINE_H

#include "base/check.h"
#include "client/call.h"

enum {
    ENGINE_SPARES = 3, /* for leaders and nodes that are none of the endpoints */
    ENGINE_ASIDE = MINIKV_ENDPOINTS_MAX + ENGINE_SPARES, /* the first of those below */
    ENGINE_ASIDES = 8, /* for long polls, which would hold up the answers behind theirs */
    ENGINE_CHANNELS = ENGINE_ASIDE + ENGINE_ASIDES
};

struct engine;

struct engine_options {
    struct address endpoints[MINIKV_ENDPOINTS_MAX];
    size_t endpoints_count; /* at least 1 */
    time_us timeout, unknown_leader_wait, connect_timeout;
    bool redirect, without_session;
    uint64_t seed;
    void (*on_hop)(void *ctx, const struct minikv_hop *hop); /* may be NULL */
    void *ctx;
};

struct engine *engine_new(const struct engine_options *options); /* NULL: no memory */
void engine_free(struct engine *engine);                         /* NULL is a no-op */

/* ---- calls ---- */

/* How a call differs from what its request says. */
struct engine_way {
    struct address pinned;         /* the only node to ask; unset: any */
    bool is_single;                /* one attempt */
    bool wants_redirect;           /* even where the options do not */
    struct redirect_msg redirect;  /* what a node has said: where to begin; .redirect 0: none */
    enum minikv_effect effect;     /* of what was sent before under the same identity */
    struct minikv_identity retake; /* that goes on; client "": none */
    bool is_for_hold; /* not one of the MINIKV_REQUESTS_MAX: a hold has two at most at a time */
};

/* return   MINIKV_OK; MINIKV_INVALID, MINIKV_FULL, MINIKV_NO_MEMORY. `way` NULL: the usual one */
enum minikv_code engine_start(struct engine *engine, time_us now,
                              const struct minikv_request *request, const struct engine_way *way,
                              minikv_done_fn on_done, void *ctx, uint64_t *out_id);
bool engine_cancel(struct engine *engine, time_us now, uint64_t id);
/* The fate of a write of the session has been found out by asking: it is acknowledged. */
void engine_settled(struct engine *engine, const struct minikv_identity *identity);
/* All of them; nothing new is taken afterwards, and the session is closed at the cluster if there
 * is one: engine_is_closed says when that is over. */
void engine_close(struct engine *engine, time_us now, time_us deadline);
bool engine_is_closing(const struct engine *engine);
bool engine_is_closed(const struct engine *engine);
/* A finished call, given to the caller, who hands the result on and frees it; NULL: none. */
struct call *engine_take_done(struct engine *engine);
bool engine_has_done(const struct engine *engine);

/* ---- connections ---- */

/* What channel `at` is to be; another serial means another connection than the last one. */
struct engine_link {
    enum { ENGINE_LINK_CLOSED, ENGINE_LINK_DIALLING, ENGINE_LINK_OPEN } state;
    unsigned serial;
    struct address address; /* to connect to */
    bool is_idle;           /* nothing is under way on it */
};
void engine_link(const struct engine *engine, size_t at, struct engine_link *out_link);
/* To be sent on an open one; borrowed until the next call. */
struct bytes engine_output(const struct engine *engine, size_t at);

/* What happened to it. */
void engine_opened(struct engine *engine, time_us now, size_t at);
void engine_sent(struct engine *engine, time_us now, size_t at, size_t count);
void engine_received(struct engine *engine, time_us now, size_t at, struct bytes bytes);
/* It could not be made, or has ended: in order (end of file) or not. `reason` is for people. */
void engine_lost(struct engine *engine, time_us now, size_t at, bool in_order, const char *reason);

/* ---- time ---- */

time_us engine_next_tick(const struct engine *engine); /* TIME_NEVER: none is needed */
void engine_tick(struct engine *engine, time_us now);

#endif
