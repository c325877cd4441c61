/* The session, and the sequences of its writes. */
#include <stdio.h>
#include <string.h>

#include "client/engine_internal.h"

static struct call *first_waiting(const struct engine *engine)
{
    return CONTAINER_OF(engine->waiting.next, struct call, link);
}

/* What stood in the way of the session stood in the way of the write. */
static void copy_reason(struct call *call, const struct call *opener)
{
    const struct minikv_result *from = &opener->result;
    struct minikv_result *to = &call->result;
    call->status = opener->status;
    call->telling = opener->telling;
    to->http_code = from->http_code;
    to->node = from->node;
    to->term = from->term;
    memcpy(to->word, from->word, sizeof to->word);
    memcpy(to->detail, from->detail, sizeof to->detail);
}

void session_explain(const struct engine *engine, struct call *call)
{
    if (call->state == CALL_NEEDS_IDENTITY && engine->session.opener != NULL)
        copy_reason(call, engine->session.opener);
}

static void fail_waiting(struct engine *engine, time_us now, enum minikv_code code,
                         const struct call *opener)
{
    while (!list_is_empty(&engine->waiting)) {
        struct call *call = first_waiting(engine);
        if (opener != NULL)
            copy_reason(call, opener);
        settle_finish(engine, now, call, code, "no session could be opened");
    }
}

/* One for all writes that wait; tried for as long as the most patient of them. */
static void open_session(struct engine *engine, time_us now)
{
    static const struct minikv_request request = {
        .op = MINIKV_CALL, .method = "POST", .target = "/v1/sessions"};
    struct call *opener = engine_start_own(engine, now, CALL_OPEN_SESSION, &request, now);
    if (opener == NULL) {
        fail_waiting(engine, now, MINIKV_NO_MEMORY, NULL);
        return;
    }
    engine->session.state = SESSION_OPENING;
    engine->session.opener = opener;
}

static void extend_opening(struct engine *engine)
{
    for (struct list *at = engine->waiting.next; at != &engine->waiting; at = at->next) {
        const struct call *call = CONTAINER_OF(at, struct call, link);
        engine->session.opener->deadline = MAX(engine->session.opener->deadline, call->deadline);
    }
}

void session_serve(struct engine *engine, time_us now)
{
    struct session *session = &engine->session;
    if (list_is_empty(&engine->waiting))
        return;
    switch (session->state) {
    case SESSION_NONE:
        open_session(engine, now);
        if (session->state == SESSION_OPENING)
            extend_opening(engine);
        break;
    case SESSION_OPENING:
        extend_opening(engine);
        break;
    case SESSION_OPEN:
        while (!list_is_empty(&engine->waiting)) {
            struct call *call = first_waiting(engine);
            uint64_t sequence = window_take(&session->window);
            if (sequence == 0)
                break; /* until the oldest write has ended */
            memcpy(call->result.identity.client, session->client, sizeof session->client);
            call->result.identity.sequence = sequence;
            call->session = session->number;
            engine_move(engine, call, CALL_READY);
        }
        break;
    }
}

void session_opened(struct engine *engine, struct call *opener)
{
    struct session *session = &engine->session;
    session->state = SESSION_OPEN;
    session->number++;
    session->opener = NULL;
    window_init(&session->window);
    engine->calls[engine_slot(opener->id)] = NULL;
    list_remove(&opener->link);
    call_free(opener);
}

void session_not_opened(struct engine *engine, time_us now, struct call *opener)
{
    enum minikv_code code = opener->result.code;
    engine->session.state = SESSION_NONE;
    engine->session.opener = NULL;
    /* Whether a session is there that nobody knows of is of no account to the writes. */
    if (code == MINIKV_OK || code == MINIKV_UNKNOWN)
        code = MINIKV_UNAVAILABLE;
    fail_waiting(engine, now, code, opener);
}

void session_end(struct engine *engine, struct call *call, bool keeps)
{
    struct session *session = &engine->session;
    if (session->state == SESSION_OPEN && call->session == session->number)
        window_end(&session->window, call->result.identity.sequence, keeps);
}

void session_expired(struct engine *engine, unsigned number)
{
    struct session *session = &engine->session;
    if (session->state == SESSION_OPEN && number == session->number)
        session->state = SESSION_NONE;
}

uint64_t session_acked(const struct engine *engine, const struct call *call)
{
    const struct session *session = &engine->session;
    bool is_ours = session->state == SESSION_OPEN && call->session == session->number;
    return is_ours ? session->window.acked : 0;
}

void session_close(struct engine *engine, time_us now, time_us deadline)
{
    char target[MINIKV_CLIENT_ID_MAX + 16];
    struct session *session = &engine->session;
    if (session->state != SESSION_OPEN)
        return;
    session->state = SESSION_NONE;
    if (session->window.acked != session->window.highest)
        return; /* a write's fate is unknown: whoever asks for it later must find it */
    (void)snprintf(target, sizeof target, "/v1/sessions/%s", session->client);
    struct minikv_request request = {.op = MINIKV_CALL, .method = "DELETE", .target = target};
    if (call_check(&request) == ST_OK)
        (void)engine_start_own(engine, now, CALL_CLOSE_SESSION, &request, deadline);
}

void engine_settled(struct engine *engine, const struct minikv_identity *identity)
{
    struct session *session = &engine->session;
    if (session->state == SESSION_OPEN && strcmp(identity->client, session->client) == 0 &&
        window_retake(&session->window, identity->sequence))
        window_end(&session->window, identity->sequence, false);
}
