#include <stdlib.h>

#include "client/engine_internal.h"

struct engine *engine_new(const struct engine_options *options)
{
    struct engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL)
        return NULL;
    engine->options = *options;
    engine->jitter = options->seed;
    engine->next_tick = TIME_NEVER;
    list_init(&engine->ready);
    list_init(&engine->paused);
    list_init(&engine->waiting);
    list_init(&engine->done);
    for (size_t at = 0; at < ENGINE_CHANNELS; at++) {
        channel_init(&engine->channels[at]);
        if (at < options->endpoints_count)
            engine->channels[at].address = options->endpoints[at];
    }
    return engine;
}

void engine_free(struct engine *engine)
{
    if (engine == NULL)
        return;
    for (size_t at = 0; at < ENGINE_CALLS; at++)
        call_free(engine->calls[at]);
    for (size_t at = 0; at < ENGINE_CHANNELS; at++)
        channel_release(&engine->channels[at]);
    free(engine);
}

/* splitmix64 */
uint64_t engine_random(struct engine *engine, uint64_t bound)
{
    uint64_t z = engine->jitter += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % bound; /* the bias is of no account for pauses */
}

void engine_wake_at(struct engine *engine, time_us at)
{
    engine->next_tick = MIN(engine->next_tick, at);
}

/* ---- calls ---- */

void engine_move(struct engine *engine, struct call *call, enum call_state state)
{
    list_remove(&call->link);
    call->state = state;
    switch (state) {
    case CALL_READY:
        list_push_back(&engine->ready, &call->link);
        break;
    case CALL_PAUSED:
        list_push_back(&engine->paused, &call->link);
        break;
    case CALL_NEEDS_IDENTITY:
        list_push_back(&engine->waiting, &call->link);
        break;
    case CALL_ASSIGNED:
        list_push_back(&engine->channels[call->channel].assigned, &call->link);
        break;
    case CALL_SENT: /* found through its slot */
        break;
    case CALL_DONE:
        list_push_back(&engine->done, &call->link);
        break;
    }
}

void engine_resume(struct engine *engine, struct call *call)
{
    bool lacks_identity = call->wants_identity && !call_has_identity(call);
    engine_move(engine, call, lacks_identity ? CALL_NEEDS_IDENTITY : CALL_READY);
}

void engine_pause(struct engine *engine, struct call *call, time_us until)
{
    call->resume_at = until;
    call->is_patient = true;
    engine_wake_at(engine, until);
    engine_move(engine, call, CALL_PAUSED);
}

/* Finds an id whose place is free; one is, as the callers' calls are counted. */
static void enter(struct engine *engine, struct call *call)
{
    uint64_t bit = call->is_for_hold ? ENGINE_HOLD_BIT : 0;
    do {
        call->id = ++engine->last_id | bit;
    } while (engine->calls[engine_slot(call->id)] != NULL);
    engine->calls[engine_slot(call->id)] = call;
}

struct call *engine_start_own(struct engine *engine, time_us now, enum call_kind kind,
                              const struct minikv_request *request, time_us deadline)
{
    struct call *call = call_new(request);
    if (call == NULL)
        return NULL;
    call->kind = kind;
    call->is_repeatable = true;
    call->wants_redirect = engine->options.redirect && kind != CALL_PROBE;
    call->deadline = deadline;
    enter(engine, call);
    engine_wake_at(engine, deadline);
    engine_move(engine, call, CALL_READY);
    return call;
}

/* Which of the two gives the identity: the request, or the way. */
static void take_way(struct engine *engine, time_us now, struct call *call,
                     const struct engine_way *way)
{
    const struct session *session = &engine->session;
    call->pinned = way->pinned;
    call->is_single = way->is_single;
    call->wants_redirect = call->wants_redirect || way->wants_redirect;
    if (call->is_write && way->effect != MINIKV_NOT_APPLIED)
        call->effect = EFFECT_MAYBE;
    if (call->is_write && !call_has_identity(call) && way->retake.client[0] != '\0') {
        call->result.identity = way->retake;
        if (session->state == SESSION_OPEN && strcmp(way->retake.client, session->client) == 0 &&
            window_retake(&engine->session.window, way->retake.sequence))
            call->session = session->number;
    }
    struct address leader = {.port = way->redirect.leader_port};
    memcpy(leader.host, way->redirect.leader_host, sizeof leader.host);
    leader.host[sizeof leader.host - 1] = '\0';
    if (!way->redirect.redirect)
        return;
    bool is_named = way->redirect.leader_known && address_is_set(&leader) &&
                    route_hear(engine, way->redirect.term, &leader);
    if (is_named && route_has_leader(engine, now)) {
        call->follows = true;
        call->follows_count = call->result.redirects_count = 1;
    } else if (!way->redirect.leader_known) {
        call->resume_at = now + engine->options.unknown_leader_wait;
    }
}

enum minikv_code engine_start(struct engine *engine, time_us now,
                              const struct minikv_request *request, const struct engine_way *way,
                              minikv_done_fn on_done, void *ctx, uint64_t *out_id)
{
    if (call_check(request) != ST_OK)
        return MINIKV_INVALID;
    engine_tick(engine, now); /* what is due comes first: nobody may have polled for long */
    bool is_for_hold = way != NULL && way->is_for_hold;
    size_t *count = is_for_hold ? &engine->holds_count : &engine->users_count;
    size_t count_max = is_for_hold ? (size_t)ENGINE_HOLD_CALLS : (size_t)MINIKV_REQUESTS_MAX;
    if (*count == count_max || engine->is_closing)
        return MINIKV_FULL;
    struct call *call = call_new(request);
    if (call == NULL)
        return MINIKV_NO_MEMORY;
    call->is_for_hold = is_for_hold;
    call->on_done = on_done;
    call->ctx = ctx;
    call->wants_redirect = engine->options.redirect && !call->is_stale;
    time_us timeout =
        request->timeout_ms != 0 ? request->timeout_ms * ENGINE_MS : engine->options.timeout;
    call->deadline = now + timeout;
    if (way != NULL)
        take_way(engine, now, call, way);
    call->wants_identity =
        call->is_once && !engine->options.without_session && !call_has_identity(call);
    enter(engine, call);
    ++*count;
    engine_wake_at(engine, call->deadline);
    if (call->resume_at > now)
        engine_pause(engine, call, call->resume_at);
    else
        engine_resume(engine, call);
    *out_id = call->id;
    engine_run(engine, now);
    return MINIKV_OK;
}

void engine_leave(struct engine *engine, struct call *call)
{
    if (call->state != CALL_SENT)
        return;
    channel_give_up(&engine->channels[call->channel], call);
    if (call->is_write && call->effect == EFFECT_NONE)
        call->effect = EFFECT_MAYBE;
}

static void cancel(struct engine *engine, time_us now, struct call *call)
{
    engine_leave(engine, call);
    settle_finish(engine, now, call, MINIKV_CANCELLED, "given up by the caller");
}

bool engine_cancel(struct engine *engine, time_us now, uint64_t id)
{
    struct call *call = engine->calls[engine_slot(id)];
    if (call == NULL || call->id != id || call->kind != CALL_USER || call->state == CALL_DONE)
        return false;
    cancel(engine, now, call);
    engine_run(engine, now);
    return true;
}

void engine_close(struct engine *engine, time_us now, time_us deadline)
{
    engine->is_closing = true;
    for (size_t at = 0; at < ENGINE_CALLS; at++)
        if (engine->calls[at] != NULL && engine->calls[at]->state != CALL_DONE)
            cancel(engine, now, engine->calls[at]);
    session_close(engine, now, deadline);
    engine_run(engine, now);
}

bool engine_is_closing(const struct engine *engine)
{
    return engine->is_closing;
}

bool engine_is_closed(const struct engine *engine)
{
    for (size_t at = 0; at < ENGINE_CALLS; at++)
        if (engine->calls[at] != NULL && engine->calls[at]->kind == CALL_CLOSE_SESSION)
            return false;
    return true;
}

bool engine_has_done(const struct engine *engine)
{
    return !list_is_empty(&engine->done);
}

struct call *engine_take_done(struct engine *engine)
{
    if (list_is_empty(&engine->done))
        return NULL;
    struct call *call = CONTAINER_OF(engine->done.next, struct call, link);
    list_remove(&call->link);
    engine->calls[engine_slot(call->id)] = NULL;
    if (call->is_for_hold)
        engine->holds_count--;
    else
        engine->users_count--;
    return call;
}
