/* What happens by time, and giving work to who can do it. */
#include "client/engine_internal.h"

time_us engine_next_tick(const struct engine *engine)
{
    return list_is_empty(&engine->done) ? engine->next_tick : 0;
}

/* One attempt takes part of the time that is left when it may be made again: another node, or
 * another connection to the same one, shall have its turn. */
static time_us attempt_deadline(const struct call *call, time_us now)
{
    time_us left = call->deadline > now ? call->deadline - now : 0;
    bool is_shared = call_is_repeatable(call) && !call->is_single && left > 200 * ENGINE_MS;
    return now + (is_shared ? left / 2 : left);
}

/* The node is told a little less than this attempt will wait, so that its truthful answer comes in
 * time. */
static uint64_t told_ms(const struct call *call, time_us now)
{
    time_us left_ms = call->attempt_deadline > now ? (call->attempt_deadline - now) / ENGINE_MS : 0;
    time_us answer_ms = MIN(MAX(left_ms / 10, 20u), 100u);
    left_ms -= MIN(answer_ms, left_ms / 2);
    return MAX(left_ms, 1u);
}

static void send_call(struct engine *engine, time_us now, struct channel *channel,
                      struct call *call)
{
    if (!call_encode(call, &channel->address, session_acked(engine, call), told_ms(call, now),
                     &channel->out)) {
        settle_no_memory(engine, now, call);
        return;
    }
    channel_add(channel, call);
    engine_move(engine, call, CALL_SENT);
}

static void run_channel(struct engine *engine, time_us now, struct channel *channel)
{
    if (list_is_empty(&channel->assigned))
        return;
    if (channel->state == CHANNEL_CLOSED) {
        channel_dial(channel, now);
        engine_wake_at(engine, now + MIN(engine->options.connect_timeout, ENGINE_SLOW_DIAL));
    }
    channel->used_at = now;
    while (channel->state == CHANNEL_OPEN && channel_has_room(channel) &&
           !list_is_empty(&channel->assigned))
        send_call(engine, now, channel, CONTAINER_OF(channel->assigned.next, struct call, link));
}

void engine_run(struct engine *engine, time_us now)
{
    session_serve(engine, now);
    while (!list_is_empty(&engine->ready)) {
        struct call *call = CONTAINER_OF(engine->ready.next, struct call, link);
        call->attempt_deadline = attempt_deadline(call, now);
        engine_wake_at(engine, call->attempt_deadline);
        route_call(engine, now, call);
    }
    route_probe(engine, now);
    for (size_t at = 0; at < ENGINE_CHANNELS; at++)
        run_channel(engine, now, &engine->channels[at]);
}

static void tick_channel(struct engine *engine, time_us now, size_t at)
{
    struct channel *channel = &engine->channels[at];
    time_us dial_until = channel->dial_began + engine->options.connect_timeout;
    time_us idle_until = channel->used_at + CHANNEL_IDLE_US;
    if (channel->state == CHANNEL_DIALLING) {
        if (now < dial_until) {
            engine_wake_at(engine, dial_until);
            return;
        }
        route_failed(engine, now, channel, 0);
        engine_break(engine, now, at, "no connection in time");
    } else if (channel->state == CHANNEL_OPEN && channel_is_idle(channel)) {
        if (now >= idle_until)
            engine_break(engine, now, at, "");
        else
            engine_wake_at(engine, idle_until);
    }
}

/* An attempt that takes too long: the node may be at a standstill. */
static void tick_attempt(struct engine *engine, time_us now, struct call *call)
{
    size_t at = call->channel;
    struct channel *channel = &engine->channels[at];
    struct address address = channel->address;
    enum call_state state = call->state;
    route_failed(engine, now, channel, 0);
    engine_leave(engine, call);
    if (state == CALL_SENT)
        settle_lost(engine, now, call, &address, "no reply in time");
    else
        settle_unsent(engine, now, call, &address, "no connection free in time");
    if (!channel_has_calls(channel))
        engine_break(engine, now, at, "no reply in time");
}

/* The last attempt has had no answer either; the next call shall not meet the same standstill. */
static void tick_deadline(struct engine *engine, time_us now, struct call *call)
{
    bool was_trying = call->state == CALL_ASSIGNED || call->state == CALL_SENT;
    size_t at = call->channel;
    if (was_trying)
        route_failed(engine, now, &engine->channels[at], 0);
    engine_leave(engine, call);
    settle_expired(engine, now, call);
    if (was_trying && !channel_has_calls(&engine->channels[at]))
        engine_break(engine, now, at, "no reply in time");
}

static void tick_call(struct engine *engine, time_us now, struct call *call)
{
    bool is_trying = call->state == CALL_ASSIGNED || call->state == CALL_SENT;
    if (call->state == CALL_DONE)
        return;
    if (call->deadline <= now) {
        tick_deadline(engine, now, call);
    } else if (is_trying && call->attempt_deadline <= now) {
        tick_attempt(engine, now, call);
    } else if (call->state == CALL_PAUSED && call->resume_at <= now) {
        call->is_patient = false;
        engine_resume(engine, call);
    }
}

/* When the call needs to be looked at again. */
static time_us wake_of(const struct call *call)
{
    switch (call->state) {
    case CALL_ASSIGNED:
    case CALL_SENT:
        return MIN(call->deadline, call->attempt_deadline);
    case CALL_PAUSED:
        return MIN(call->deadline, call->resume_at);
    case CALL_READY:
    case CALL_NEEDS_IDENTITY:
        return call->deadline;
    case CALL_DONE:
        break;
    }
    return TIME_NEVER;
}

void engine_tick(struct engine *engine, time_us now)
{
    if (now < engine->next_tick)
        return;
    engine->next_tick = TIME_NEVER;
    for (size_t at = 0; at < ENGINE_CALLS; at++)
        if (engine->calls[at] != NULL)
            tick_call(engine, now, engine->calls[at]);
    for (size_t at = 0; at < ENGINE_CHANNELS; at++)
        tick_channel(engine, now, at);
    engine_run(engine, now);
    for (size_t at = 0; at < ENGINE_CALLS; at++)
        if (engine->calls[at] != NULL)
            engine_wake_at(engine, wake_of(engine->calls[at]));
}
