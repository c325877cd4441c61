/* Where a call goes next, and when. */
#include "client/engine_internal.h"

enum {
    PAUSE_MS_MIN = 20, /* doubles with each failure in a row */
    PAUSE_MS_MAX = 320,
    PROBE_MS_MIN = 25 /* doubles with each round, up to the wait for an unknown leader */
};

#define PROBE_TARGET "/v1/raft/status"

/* ---- channels ---- */

/* ENGINE_ASIDE when there is none. */
static size_t find_channel(const struct engine *engine, const struct address *address)
{
    size_t at = 0;
    while (at < ENGINE_ASIDE && !address_equal(&engine->channels[at].address, address))
        at++;
    return at;
}

/* A spare one that nothing is under way on, else the one that has been used longest ago. */
static size_t pick_spare(const struct engine *engine)
{
    size_t best = MINIKV_ENDPOINTS_MAX;
    for (size_t at = best; at < ENGINE_ASIDE; at++) {
        const struct channel *channel = &engine->channels[at], *other = &engine->channels[best];
        bool is_idle = channel_is_idle(channel), other_is_idle = channel_is_idle(other);
        if (is_idle != other_is_idle ? is_idle : channel->used_at < other->used_at)
            best = at;
    }
    return best;
}

/* The channel is that node's from now on. */
static void take_over(struct engine *engine, time_us now, size_t at, const struct address *address)
{
    struct channel *channel = &engine->channels[at];
    engine_break(engine, now, at, "the connection was needed for another node");
    channel->address = *address;
    channel->bad_until = 0;
    channel->failures_count = 0;
    channel->used_at = now;
}

/* The channel of that address, or a spare one made so; never fails: the oldest spare gives way. */
static size_t channel_of(struct engine *engine, time_us now, const struct address *address)
{
    size_t at = find_channel(engine, address);
    if (at < ENGINE_ASIDE)
        return at;
    at = pick_spare(engine);
    take_over(engine, now, at, address);
    return at;
}

static size_t calls_count(const struct channel *channel)
{
    size_t count = channel->slots_count;
    for (const struct list *at = channel->assigned.next; at != &channel->assigned; at = at->next)
        count++;
    return count;
}

/* A long poll has a connection of its own, or, if none is idle, shares one with other long polls:
 * anything else that is sent behind it would wait for its answer. `at` is where it goes when all
 * are busy with other nodes. */
static size_t aside_of(struct engine *engine, time_us now, size_t at)
{
    const struct address *address = &engine->channels[at].address;
    size_t idle = ENGINE_CHANNELS, shared = ENGINE_CHANNELS;
    for (size_t aside = ENGINE_ASIDE; aside < ENGINE_CHANNELS; aside++) {
        const struct channel *channel = &engine->channels[aside];
        bool is_there = address_equal(&channel->address, address);
        bool is_idle = channel_is_idle(channel);
        if (is_idle && is_there)
            return aside;
        if (is_idle && idle == ENGINE_CHANNELS)
            idle = aside;
        bool is_first = shared == ENGINE_CHANNELS;
        if (is_there && (is_first || calls_count(channel) < calls_count(&engine->channels[shared])))
            shared = aside;
    }
    if (idle == ENGINE_CHANNELS)
        return shared != ENGINE_CHANNELS ? shared : at;
    take_over(engine, now, idle, address);
    return idle;
}

/* How well a node does is kept in one place. */
static struct channel *channel_of_node(struct engine *engine, struct channel *channel)
{
    bool is_aside = channel >= &engine->channels[ENGINE_ASIDE];
    size_t at = is_aside ? find_channel(engine, &channel->address) : ENGINE_ASIDE;
    return at < ENGINE_ASIDE ? &engine->channels[at] : channel;
}

/* ---- how well they do ---- */

/* Calls begin with the endpoint behind it from now on: with those that fail one after the other, as
 * nodes do that are cut off together, each call would else use up its time on the same ones. */
static void pass_on(struct engine *engine, const struct channel *channel)
{
    size_t at = (size_t)(channel - engine->channels);
    if (at == engine->current)
        engine->current = (at + 1) % engine->options.endpoints_count;
}

void route_failed(struct engine *engine, time_us now, struct channel *channel, time_us wait)
{
    channel = channel_of_node(engine, channel);
    leader_forget(&engine->leader, &channel->address);
    pass_on(engine, channel);
    if (channel->bad_until > now)
        return; /* many requests meet the same failure */
    unsigned doublings = MIN(channel->failures_count, 8u);
    time_us full = MIN((time_us)PAUSE_MS_MIN << doublings, (time_us)PAUSE_MS_MAX) * ENGINE_MS;
    channel->failures_count++;
    if (wait != 0)
        channel->bad_until = now + wait + engine_random(engine, wait / 8 + 1);
    else
        channel->bad_until = now + full / 2 + engine_random(engine, full / 2 + 1);
}

void route_answered(struct engine *engine, time_us now, struct channel *channel)
{
    channel = channel_of_node(engine, channel);
    size_t at = (size_t)(channel - engine->channels);
    channel->failures_count = 0;
    channel->bad_until = 0;
    engine->probe_at = 0;
    engine->probe_rounds = 0;
    if (at < engine->options.endpoints_count)
        engine->current = at;
    route_resume(engine, now);
}

bool route_hear(struct engine *engine, raft_term term, const struct address *leader)
{
    if (!leader_hear(&engine->leader, term, leader))
        return false;
    /* News of a leader are news of its node, unless it has already failed as just that. */
    size_t at = find_channel(engine, leader);
    if (address_is_set(leader) && at < ENGINE_ASIDE && !leader_has_failed(&engine->leader, leader))
        engine->channels[at].bad_until = 0;
    return true;
}

bool route_has_leader(const struct engine *engine, time_us now)
{
    if (!leader_is_known(&engine->leader))
        return false;
    size_t at = find_channel(engine, &engine->leader.address);
    return at == ENGINE_ASIDE || engine->channels[at].bad_until <= now;
}

static bool prefers_leader(const struct engine *engine)
{
    return engine->options.redirect || engine->has_redirected;
}

/* When the first endpoint is well again. */
static time_us endpoint_well_at(const struct engine *engine, time_us now)
{
    time_us well_at = TIME_NEVER;
    for (size_t at = 0; at < engine->options.endpoints_count; at++)
        well_at = MIN(well_at, engine->channels[at].bad_until);
    return MAX(well_at, now);
}

time_us route_resume_at(const struct engine *engine, time_us now)
{
    bool has_leader = prefers_leader(engine) && route_has_leader(engine, now);
    return has_leader ? now : endpoint_well_at(engine, now);
}

void route_resume(struct engine *engine, time_us now)
{
    if (route_resume_at(engine, now) > now)
        return;
    struct list paused;
    list_init(&paused);
    list_splice(&paused, &engine->paused);
    while (!list_is_empty(&paused)) {
        struct call *call = CONTAINER_OF(paused.next, struct call, link);
        if (call->is_patient)
            engine_move(engine, call, CALL_PAUSED);
        else
            engine_resume(engine, call);
    }
}

/* ---- calls ---- */

/* The endpoint to begin with, or the next one behind it that is well; false: none is. */
static bool pick_endpoint(const struct engine *engine, time_us now, size_t *out_at)
{
    size_t count = engine->options.endpoints_count;
    for (size_t i = 0; i < count; i++) {
        *out_at = (engine->current + i) % count;
        if (engine->channels[*out_at].bad_until <= now)
            return true;
    }
    return false;
}

static bool goes_to_leader(const struct engine *engine, time_us now, const struct call *call)
{
    bool wants = call->follows || call->wants_redirect || prefers_leader(engine);
    return wants && !call->is_stale && route_has_leader(engine, now);
}

void route_call(struct engine *engine, time_us now, struct call *call)
{
    /* With little time left, to know that nothing was done is worth more than another try. */
    bool is_late = call->result.attempts_count != 0 && call->deadline < now + 50 * ENGINE_MS;
    if (is_late && call->is_write && call->effect == EFFECT_NONE) {
        settle_expired(engine, now, call);
        return;
    }
    size_t at;
    if (address_is_set(&call->pinned)) {
        at = channel_of(engine, now, &call->pinned);
    } else if (goes_to_leader(engine, now, call)) {
        at = channel_of(engine, now, &engine->leader.address);
    } else if (!pick_endpoint(engine, now, &at)) {
        call->resume_at = endpoint_well_at(engine, now); /* a leader is none for stale reads */
        engine_wake_at(engine, call->resume_at);
        engine_move(engine, call, CALL_PAUSED);
        return;
    }
    call->channel = call->is_slow ? aside_of(engine, now, at) : at;
    engine_move(engine, call, CALL_ASSIGNED);
}

/* ---- asking all who leads ---- */

static void probe_all(struct engine *engine, time_us now)
{
    static const struct minikv_request request = {
        .op = MINIKV_CALL, .method = "GET", .target = PROBE_TARGET};
    time_us longest = engine->options.unknown_leader_wait;
    time_us full = (time_us)PROBE_MS_MIN * ENGINE_MS << MIN(engine->probe_rounds, 8u);
    full = MAX(MIN(full, longest), ENGINE_MS);
    engine->probe_rounds++;
    engine->probe_at = now + full / 2 + engine_random(engine, full / 2 + 1);
    for (size_t at = 0; at < engine->options.endpoints_count; at++) {
        if (engine->channels[at].state == CHANNEL_DIALLING)
            continue; /* it has not even answered the dial */
        struct call *call = engine_start_own(engine, now, CALL_PROBE, &request,
                                             now + engine->options.connect_timeout);
        if (call == NULL)
            return; /* another round comes */
        call->pinned = engine->channels[at].address;
        call->is_single = true;
        engine->probes_count++;
        call->attempt_deadline = call->deadline;
        route_call(engine, now, call);
    }
}

static bool has_slow_dial(struct engine *engine, time_us now)
{
    bool is_slow = false;
    for (size_t at = 0; at < ENGINE_CHANNELS; at++) {
        const struct channel *channel = &engine->channels[at];
        time_us slow_at = channel->dial_began + ENGINE_SLOW_DIAL;
        if (channel->state != CHANNEL_DIALLING || list_is_empty(&channel->assigned))
            continue;
        is_slow = is_slow || slow_at <= now;
        if (slow_at > now)
            engine_wake_at(engine, slow_at);
    }
    return is_slow && engine->options.endpoints_count > 1;
}

void route_probe(struct engine *engine, time_us now)
{
    bool is_slow = has_slow_dial(engine, now);
    if ((list_is_empty(&engine->paused) && !is_slow) || engine->probes_count != 0 ||
        engine->is_closing)
        return;
    /* They have just been asked: not at once. */
    if (engine->probe_at == 0 && !is_slow)
        engine->probe_at = now + PROBE_MS_MIN * ENGINE_MS / 2 +
                           engine_random(engine, PROBE_MS_MIN * ENGINE_MS / 2);
    if (engine->probe_at > now)
        engine_wake_at(engine, engine->probe_at);
    else
        probe_all(engine, now);
}

void route_probed(struct engine *engine, time_us now, struct channel *channel)
{
    channel->bad_until = 0;
    for (size_t at = 0; at < ENGINE_CHANNELS; at++) {
        struct channel *other = &engine->channels[at];
        if (other->state != CHANNEL_DIALLING || now < other->dial_began + ENGINE_SLOW_DIAL)
            continue;
        route_failed(engine, now, other, 0);
        engine_break(engine, now, at, "no connection yet, and another node answers");
    }
    route_resume(engine, now);
}
