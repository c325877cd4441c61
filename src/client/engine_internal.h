/* Engine, inside: what its files share.
 *
 *      engine.c          calls come in, are given up, go out
 *      engine_link.c     what happens to connections
 *      engine_time.c     what happens by time; giving work to who can do it
 *      engine_route.c    where a call goes next, and when
 *      engine_settle.c   what an attempt came to, and what follows
 *      engine_session.c  the session, and the sequences of its writes */
#ifndef MINIKV_CLIENT_ENGINE_INTERNAL_H
#define MINIKV_CLIENT_ENGINE_INTERNAL_H

#include "client/answer.h"
#include "client/attempt.h"
#include "client/channel.h"
#include "client/engine.h"
#include "client/leader.h"
#include "client/window.h"

#define ENGINE_MS        ((time_us)TIME_US_PER_MS)
#define ENGINE_SLOW_DIAL (100 * ENGINE_MS) /* then the other endpoints are asked meanwhile */

enum {
    ENGINE_INTERNAL_CALLS = MINIKV_ENDPOINTS_MAX + 2, /* a probe for each, and the session's two */
    ENGINE_HOLD = MINIKV_REQUESTS_MAX + ENGINE_INTERNAL_CALLS, /* the first of those for holds */
    ENGINE_HOLD_CALLS = 2 * MINIKV_HOLDS_MAX,
    ENGINE_CALLS = ENGINE_HOLD + ENGINE_HOLD_CALLS
};
#define ENGINE_HOLD_BIT ((uint64_t)1 << 63) /* in their ids */

enum session_state { SESSION_NONE, SESSION_OPENING, SESSION_OPEN };

/* The client's side of src/kv/session.h. */
struct session {
    enum session_state state;
    unsigned number; /* grows with each one opened; calls name theirs by it */
    char client[MINIKV_CLIENT_ID_MAX + 1];
    struct window window;
    struct call *opener; /* while OPENING */
};

struct engine {
    struct engine_options options;
    struct call *calls[ENGINE_CALLS]; /* by engine_slot; NULL: free. Owned, but those done */
    size_t users_count;               /* of them, and not taken yet: the callers' */
    size_t holds_count;               /* likewise: those for holds */
    uint64_t last_id;
    struct list ready, paused, waiting /* for an identity */, done;

    struct channel channels[ENGINE_CHANNELS]; /* endpoints, spares, those aside */
    size_t
        current; /* the endpoint that answered last, or one behind it that has not failed since */
    struct leader leader;
    bool has_redirected; /* nodes redirect even though nobody asked: go to the leader at once */
    struct session session;

    size_t probes_count; /* under way */
    time_us probe_at;    /* not before */
    unsigned probe_rounds;

    uint64_t jitter;   /* state of the generator */
    time_us next_tick; /* nothing happens by time before this */
    bool is_closing;
};

/* ---- engine.c ---- */

/* A request of the engine's own, given to the queue of the ready; NULL without memory. */
struct call *engine_start_own(struct engine *engine, time_us now, enum call_kind kind,
                              const struct minikv_request *request, time_us deadline);
/* Where the call with this id is. */
static inline size_t engine_slot(uint64_t id)
{
    return (id & ENGINE_HOLD_BIT) != 0
               ? ENGINE_HOLD + (size_t)((id & ~ENGINE_HOLD_BIT) % ENGINE_HOLD_CALLS)
               : (size_t)(id % ENGINE_HOLD);
}
/* Into the queue of that state, out of the one it was in. */
void engine_move(struct engine *engine, struct call *call, enum call_state state);
/* Goes on: to be sent, or first to be given an identity. */
void engine_resume(struct engine *engine, struct call *call);
/* Until then, whatever is heard meanwhile. */
void engine_pause(struct engine *engine, struct call *call, time_us until);
/* Out of its channel, which goes on without it. A request in a channel's output leaves even after
 * its call has ended, so it counts as sent. */
void engine_leave(struct engine *engine, struct call *call);
/* Something happens by time then. */
void engine_wake_at(struct engine *engine, time_us at);
/* A number below `bound`, which is not 0. */
uint64_t engine_random(struct engine *engine, uint64_t bound);
/* ---- engine_link.c ---- */

/* The connection ends; everything that was under way on it ends, each as far as it got. */
void engine_break(struct engine *engine, time_us now, size_t at, const char *reason);

/* ---- engine_time.c ---- */

/* After every event: gives work to who can do it. */
void engine_run(struct engine *engine, time_us now);

/* ---- engine_route.c ---- */

/* Gives a ready call to a channel, or lets it pause. */
void route_call(struct engine *engine, time_us now, struct call *call);
/* When a call that starts over could be sent: now, or later if no endpoint is well. */
time_us route_resume_at(const struct engine *engine, time_us now);
/* Somebody says who leads; false when that is out of date. */
bool route_hear(struct engine *engine, raft_term term, const struct address *leader);
/* A node could not take a request: it is passed over for a while. `wait` 0: one that doubles. */
void route_failed(struct engine *engine, time_us now, struct channel *channel, time_us wait);
void route_answered(struct engine *engine, time_us now, struct channel *channel);
/* An answer says that this endpoint knows a leader: calls that wait may go on. */
void route_probed(struct engine *engine, time_us now, struct channel *channel);
/* The paused go on if there is somewhere to go. */
void route_resume(struct engine *engine, time_us now);
void route_probe(struct engine *engine, time_us now);
/* The leader that can be followed: known, and not known to be unwell. */
bool route_has_leader(const struct engine *engine, time_us now);

/* ---- engine_settle.c ---- */

/* An attempt is over; `call` is in no channel any more. */
void settle_replied(struct engine *engine, time_us now, struct call *call, size_t at,
                    const struct http_reply *reply);
void settle_unsent(struct engine *engine, time_us now, struct call *call,
                   const struct address *address, const char *reason);
void settle_lost(struct engine *engine, time_us now, struct call *call,
                 const struct address *address, const char *reason);
/* The call is over, with what is known of it, as `code` unless the effect is open. */
void settle_finish(struct engine *engine, time_us now, struct call *call, enum minikv_code code,
                   const char *detail);
/* Its time is up. */
void settle_expired(struct engine *engine, time_us now, struct call *call);
void settle_no_memory(struct engine *engine, time_us now, struct call *call);

/* ---- engine_session.c ---- */

/* Gives identities to those that wait for one, opening a session if there is none. */
void session_serve(struct engine *engine, time_us now);
/* A write of it has ended; see window_end. */
void session_end(struct engine *engine, struct call *call, bool keeps);
/* The cluster has forgotten it. */
void session_expired(struct engine *engine, unsigned number);
/* The call that was to open it has ended; in the first case its reply has left the client id. */
void session_opened(struct engine *engine, struct call *opener);
void session_not_opened(struct engine *engine, time_us now, struct call *opener);
/* Of a write that waits for one: why it still does. */
void session_explain(const struct engine *engine, struct call *call);
/* What to acknowledge with this write; 0: nothing. */
uint64_t session_acked(const struct engine *engine, const struct call *call);
void session_close(struct engine *engine, time_us now, time_us deadline);

#endif
