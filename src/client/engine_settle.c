/* What an attempt came to, and what follows. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/engine_internal.h"
#include "client/fence.h"

/* Sessions that a write may lose before it gives up; there is a pause before all but the first. */
enum { RESTARTS_MAX = 5 };

static const struct address nowhere;

/* ---- what is known so far ---- */

static void note_text(char *out, size_t out_bytes, const char *text)
{
    (void)snprintf(out, out_bytes, "%s", text);
}

static void drop_body(struct minikv_result *result)
{
    free(result->memory);
    result->memory = NULL;
    result->body = (struct minikv_bytes){0};
}

/* Of equals the later one is newer. */
static bool tells_more(struct call *call, enum telling telling)
{
    if (telling < call->telling)
        return false;
    call->telling = telling;
    return true;
}

/* False without memory for its body. */
static bool note_answer(struct call *call, const struct answer *answer,
                        const struct http_reply *reply)
{
    struct minikv_result *result = &call->result;
    call->status = answer->status;
    call->redirect = answer->redirect;
    result->http_code = answer->code;
    result->node = answer->node;
    result->term = answer->term;
    result->is_replayed = answer->is_replayed;
    if (answer->revision != 0)
        result->revision = answer->revision;
    memcpy(result->word, answer->word, sizeof result->word);
    memcpy(result->detail, answer->detail, sizeof result->detail);
    if (call->kind != CALL_USER || call->op != MINIKV_CALL || answer->code < 300)
        return true; /* there is none for the caller, or it has been decoded */
    drop_body(result);
    return answer_decode(MINIKV_CALL, reply, result) == ST_OK;
}

static void note_failure(struct call *call, const struct address *address, const char *reason)
{
    char text[LIMIT_ADDRESS_BYTES];
    struct minikv_result *result = &call->result;
    call->status = ST_CLOSED;
    call->redirect = (struct redirect_msg){0};
    drop_body(result);
    result->http_code = result->node = 0;
    result->term = 0;
    result->word[0] = '\0';
    (void)snprintf(result->detail, sizeof result->detail, "%s: %s", address_format(address, text),
                   reason);
}

/* ---- showing ---- */

static void show(struct engine *engine, time_us now, struct call *call,
                 const struct address *address, const struct answer *answer, const char *error,
                 enum attempt_next next)
{
    char text[LIMIT_ADDRESS_BYTES];
    call->result.attempts_count++;
    bool is_shown = call->kind == CALL_USER || call->kind == CALL_OPEN_SESSION;
    if (engine->options.on_hop == NULL || !is_shown)
        return;
    struct minikv_hop hop = {.number = call->result.attempts_count,
                             .method = call->method,
                             .target = call->target,
                             .address = address_format(address, text),
                             .word = "",
                             .error = error};
    if (answer != NULL) {
        hop.http_code = answer->code;
        hop.node = answer->node;
        hop.term = answer->term;
        hop.forwards = answer->forwards_count;
        hop.word = answer->word;
    }
    switch (next) {
    case ATTEMPT_NEXT_FINISH:
        hop.next = MINIKV_HOP_FINISH;
        break;
    case ATTEMPT_NEXT_FOLLOW:
        hop.next = MINIKV_HOP_REDIRECT;
        break;
    case ATTEMPT_NEXT_ELSEWHERE:
        hop.next = MINIKV_HOP_ELSEWHERE;
        time_us pause = (call->is_patient ? call->resume_at : route_resume_at(engine, now)) - now;
        if (answer != NULL && answer->status == ST_NO_LEADER)
            pause = MIN(pause, engine->options.unknown_leader_wait); /* without the jitter */
        hop.pause_ms = (unsigned)((pause + ENGINE_MS - 1) / ENGINE_MS);
        break;
    }
    engine->options.on_hop(engine->options.ctx, &hop);
}

/* ---- the end of a call ---- */

static enum minikv_effect effect_of(const struct call *call)
{
    if (!call->is_write || call->effect == EFFECT_NONE)
        return MINIKV_NOT_APPLIED;
    return call->effect == EFFECT_MAYBE ? MINIKV_MAYBE_APPLIED : MINIKV_APPLIED;
}

static void end_own(struct engine *engine, time_us now, struct call *call)
{
    list_remove(&call->link);
    engine->calls[engine_slot(call->id)] = NULL;
    if (call->kind == CALL_PROBE)
        engine->probes_count--;
    if (call->kind == CALL_OPEN_SESSION)
        session_not_opened(engine, now, call);
    call_free(call);
}

void settle_finish(struct engine *engine, time_us now, struct call *call, enum minikv_code code,
                   const char *detail)
{
    struct minikv_result *result = &call->result;
    result->effect = effect_of(call);
    result->code = code;
    if (call->kind != CALL_USER) {
        end_own(engine, now, call);
        return;
    }
    bool is_open = result->effect == MINIKV_MAYBE_APPLIED;
    if (is_open && code != MINIKV_CANCELLED && code != MINIKV_NO_MEMORY)
        result->code = MINIKV_UNKNOWN;
    if (detail != NULL && (result->detail[0] == '\0' || code == MINIKV_CANCELLED))
        note_text(result->detail, sizeof result->detail, detail);
    if (result->code == MINIKV_OK)
        result->detail[0] = '\0';
    session_end(engine, call, is_open || (call->is_single && code == MINIKV_UNAVAILABLE));
    engine_move(engine, call, CALL_DONE);
}

/* With what the most telling attempt has left in the result. */
static void finish_as_noted(struct engine *engine, time_us now, struct call *call)
{
    enum minikv_code code = answer_code(call->status);
    if (call->telling == TELLING_NOTHING)
        code = MINIKV_UNAVAILABLE;
    settle_finish(engine, now, call, code, "no answer before the deadline");
}

void settle_expired(struct engine *engine, time_us now, struct call *call)
{
    bool was_trying = call->state == CALL_SENT || call->state == CALL_ASSIGNED;
    const struct address *address =
        was_trying ? &engine->channels[call->channel].address : &nowhere;
    bool was_sent = call->state == CALL_SENT && call->is_write;
    if (was_trying) {
        show(engine, now, call, address, NULL, "no reply in time", ATTEMPT_NEXT_FINISH);
        if (tells_more(call, was_sent ? TELLING_MAYBE : TELLING_UNSENT))
            note_failure(call, address, "no reply in time");
    }
    session_explain(engine, call);
    finish_as_noted(engine, now, call);
}

void settle_no_memory(struct engine *engine, time_us now, struct call *call)
{
    settle_finish(engine, now, call, MINIKV_NO_MEMORY, "out of memory");
}

/* ---- what follows an attempt ---- */

static void go_elsewhere(struct engine *engine, struct call *call)
{
    call->follows = false;
    call->follows_count = 0;
    engine_move(engine, call, CALL_READY);
}

static void after_failure(struct engine *engine, time_us now, struct call *call,
                          const struct attempt *attempt, const struct address *address,
                          const char *reason)
{
    enum attempt_next next = call->is_single ? ATTEMPT_NEXT_FINISH : attempt_decide(attempt);
    if (call->is_write)
        call->effect = attempt_combine(call->effect, attempt, false);
    bool is_open = attempt->end == ATTEMPT_LOST && call->is_write;
    if (tells_more(call, is_open ? TELLING_MAYBE : TELLING_UNSENT))
        note_failure(call, address, reason);
    show(engine, now, call, address, NULL, reason, next);
    if (next == ATTEMPT_NEXT_FINISH)
        finish_as_noted(engine, now, call);
    else
        go_elsewhere(engine, call);
}

void settle_unsent(struct engine *engine, time_us now, struct call *call,
                   const struct address *address, const char *reason)
{
    struct attempt attempt = {.end = ATTEMPT_UNSENT};
    after_failure(engine, now, call, &attempt, address, reason);
}

void settle_lost(struct engine *engine, time_us now, struct call *call,
                 const struct address *address, const char *reason)
{
    struct attempt attempt = {.end = ATTEMPT_LOST, .is_repeatable = call_is_repeatable(call)};
    after_failure(engine, now, call, &attempt, address, reason);
}

/* ---- replies ---- */

/* How the answer reflects on the node that gave it. */
static void judge_node(struct engine *engine, time_us now, const struct call *call,
                       struct channel *channel, const struct answer *answer, enum attempt_next next)
{
    switch (next) {
    case ATTEMPT_NEXT_FINISH: /* where the caller chose the node, others need not go there too */
        if (answer->code < 500 && !address_is_set(&call->pinned))
            route_answered(engine, now, channel);
        break;
    case ATTEMPT_NEXT_FOLLOW: /* no sign of being well: in a circle all do so */
        if (!call->wants_redirect)
            engine->has_redirected = true;
        break;
    case ATTEMPT_NEXT_ELSEWHERE:
        route_failed(engine, now, channel,
                     answer->status == ST_NO_LEADER ? engine->options.unknown_leader_wait : 0);
        break;
    }
}

/* Of a redirect: it may be followed. Notes what the reply says of the leader in any case; a node
 * that redirects does not lead itself. */
static bool hear(struct engine *engine, time_us now, const struct channel *from,
                 const struct answer *answer)
{
    if (answer->code == 307 && answer->term >= engine->leader.term_max)
        leader_forget(&engine->leader, &from->address);
    struct address leader = answer->leader;
    if (answer->redirect.leader_known) {
        leader = (struct address){.port = answer->redirect.leader_port};
        memcpy(leader.host, answer->redirect.leader_host, sizeof leader.host);
    }
    bool is_fresh = route_hear(engine, answer->term, &leader);
    return is_fresh && answer->redirect.leader_known && route_has_leader(engine, now);
}

/* Its session is no more, and nothing of it can have been done: it begins again in another one, at
 * once if that happens for the first time. */
static bool begin_again(struct engine *engine, time_us now, struct call *call,
                        const struct answer *answer)
{
    if (answer->status != ST_SESSION_EXPIRED || call->session == 0)
        return false;
    session_expired(engine, call->session);
    if (call->effect != EFFECT_NONE || call->is_single || call->restarts_count == RESTARTS_MAX)
        return false;
    session_end(engine, call, false);
    call->session = 0;
    call->result.identity = (struct minikv_identity){0};
    call->wants_identity = true;
    if (call->restarts_count++ == 0)
        engine_resume(engine, call);
    else
        engine_pause(engine, call, now + engine->options.unknown_leader_wait);
    return true;
}

/* What the reply says of this write. That the cluster no longer remembers a sequence says nothing
 * of earlier deliveries; of its session's writes this client knows them all, but not of one whose
 * identity is the caller's own. */
static enum effect effect_by(const struct call *call, const struct answer *answer)
{
    bool is_forgotten =
        answer->status == ST_SEQUENCE_TOO_OLD || answer->status == ST_SESSION_EXPIRED;
    bool is_own = call_has_identity(call) && call->session == 0;
    if (!call->is_write)
        return EFFECT_NONE;
    return is_forgotten && is_own ? EFFECT_MAYBE : answer->effect;
}

/* A session that was there and is not, time and again, is no fault of the request. */
static enum minikv_code code_by(const struct call *call, const struct answer *answer)
{
    if (answer->is_lost)
        return MINIKV_LOST;
    return call->restarts_count == RESTARTS_MAX && answer->status == ST_SESSION_EXPIRED
               ? MINIKV_UNAVAILABLE
               : answer_code(answer->status);
}

static enum attempt_next decide(const struct call *call, const struct attempt *attempt,
                                const struct answer *answer)
{
    /* A full table of clients stays full for longer than anybody waits. */
    if (call->is_single || answer->status == ST_SESSIONS_FULL)
        return ATTEMPT_NEXT_FINISH;
    return attempt_decide(attempt);
}

static void act(struct engine *engine, time_us now, struct call *call, const struct answer *answer,
                const struct http_reply *reply, enum attempt_next next)
{
    enum telling telling = answer->code == 307            ? TELLING_REDIRECT
                           : call->effect == EFFECT_MAYBE ? TELLING_MAYBE
                                                          : TELLING_ANSWER;
    bool is_noted = next == ATTEMPT_NEXT_FINISH || tells_more(call, telling);
    if (is_noted && !note_answer(call, answer, reply)) {
        settle_no_memory(engine, now, call);
        return;
    }
    switch (next) {
    case ATTEMPT_NEXT_FINISH:
        if (call->kind == CALL_OPEN_SESSION && answer->status == ST_OK)
            session_opened(engine, call);
        else
            settle_finish(engine, now, call, code_by(call, answer), status_title(answer->status));
        break;
    case ATTEMPT_NEXT_FOLLOW:
        call->follows = true;
        call->follows_count++;
        call->result.redirects_count++;
        engine_move(engine, call, CALL_READY);
        break;
    case ATTEMPT_NEXT_ELSEWHERE:
        go_elsewhere(engine, call);
        break;
    }
}

static enum status decode(struct engine *engine, struct call *call, const struct http_reply *reply)
{
    if (reply->code < 300 && call->kind == CALL_OPEN_SESSION)
        return answer_decode_session(reply, engine->session.client);
    if (reply->code >= 300 || call->kind != CALL_USER)
        return ST_OK;
    drop_body(&call->result); /* of an earlier attempt */
    return answer_decode(call->op, reply, &call->result);
}

/* A write with a fence: a transaction that was carried out may have changed nothing. */
static enum status look_behind_fence(const struct call *call, const struct http_reply *reply,
                                     struct answer *answer)
{
    bool is_fenced = call->token != 0 && reply->code < 300;
    return !is_fenced || fence_answer_read(reply, call->token, answer) ? ST_OK : ST_BAD_JSON;
}

static void probe_replied(struct engine *engine, time_us now, struct call *call,
                          struct channel *channel, const struct answer *answer)
{
    bool is_well = answer->code == 200 && answer->knows_leader;
    end_own(engine, now, call);
    if (is_well)
        route_probed(engine, now, channel);
}

void settle_replied(struct engine *engine, time_us now, struct call *call, size_t at,
                    const struct http_reply *reply)
{
    struct channel *channel = &engine->channels[at];
    struct address address = channel->address;
    struct answer answer;
    answer_read(reply, &answer);
    bool points = hear(engine, now, channel, &answer);
    if (call->kind == CALL_PROBE) {
        probe_replied(engine, now, call, channel, &answer);
        return;
    }
    enum status status = look_behind_fence(call, reply, &answer);
    struct attempt attempt = {.end = ATTEMPT_REPLIED,
                              .code = answer.code,
                              .effect = effect_by(call, &answer),
                              .is_repeatable = call_is_repeatable(call),
                              .points = points,
                              .follows_count = call->follows_count};
    bool settles = call_has_identity(call) && answer.is_from_node && answer_settles(answer.status);
    if (status == ST_OK)
        status = decode(engine, call, reply);
    if (status == ST_BAD_JSON) {
        route_failed(engine, now, channel, 0);
        settle_lost(engine, now, call, &address, "the reply is not what was asked for");
        return;
    }
    enum attempt_next next = decide(call, &attempt, &answer);
    judge_node(engine, now, call, channel, &answer, next);
    if (begin_again(engine, now, call, &answer)) {
        show(engine, now, call, &address, &answer, "", ATTEMPT_NEXT_ELSEWHERE);
        return;
    }
    if (call->is_write)
        call->effect = attempt_combine(call->effect, &attempt, settles);
    show(engine, now, call, &address, &answer, "", next);
    if (status == ST_NO_MEMORY)
        settle_no_memory(engine, now, call);
    else
        act(engine, now, call, &answer, reply, next);
}
