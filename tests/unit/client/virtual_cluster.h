/* Virtual cluster: three nodes on virtual time that keep the server's rules of exactly once
 * (src/kv/session.h) and break in every way that a cluster may: connections are reset with requests
 * and replies on them, leaders change, followers learn late, lie in a circle, stand still or die, a
 * command may be carried out long after its connection is gone, sessions expire.
 *
 * What they never do is lie about `effect`. So whatever a client makes of it can be judged by what
 * was carried out in the end. */
#ifndef MINIKV_TESTS_VIRTUAL_CLUSTER_H
#define MINIKV_TESTS_VIRTUAL_CLUSTER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "client/engine.h"

enum {
    VC_NODES = 3,
    VC_KEYS = 1024,
    VC_SESSIONS = 256,
    VC_SEQUENCES = 4096,
    VC_EVENTS = 4096,
    VC_BYTES = 65536,
    VC_WINDOW = 1024,
    VC_OWN = VC_SESSIONS - 1, /* an identity that clients choose for themselves: always there */
    VC_REPLY_BYTES = 768
};

enum vc_what {
    VC_OPENED, /* the dial of a channel */
    VC_REFUSED,
    VC_RUN, /* what the node does with the request that it reads on this channel */
    VC_REPLY,
    VC_LATE, /* a command that nobody waits for any more is carried out */
    VC_ELECTED,
    VC_LEARNS, /* a node hears of the leader */
    VC_RESTARTS
};

struct vc_command {
    enum { VC_OPEN, VC_CLOSE, VC_INCR, VC_GET, VC_STATUS } op;
    bool is_redirect;
    unsigned key;
    unsigned session; /* 0: no identity */
    uint64_t sequence, acked;
};

struct vc_event {
    time_us at;
    enum vc_what what;
    size_t channel;
    unsigned serial;
    int node;
    struct vc_command command;
    char text[VC_REPLY_BYTES];
};

struct vc_node {
    bool is_up;
    time_us frozen_until;
    int believed; /* who leads, -1: unknown */
    uint64_t believed_term;
};

struct vc_session {
    bool is_alive;
    uint64_t acked_max, highest;
    int64_t results[VC_SEQUENCES]; /* by sequence; 0: not carried out */
};

struct vc_wire {
    unsigned serial;
    int node;
    bool is_open, is_busy;
    char bytes[VC_BYTES]; /* come in and not yet read */
    size_t bytes_count;
};

struct vc {
    struct engine *engine;
    time_us now;
    struct prng prng;
    bool has_faults;

    struct vc_node nodes[VC_NODES];
    int leader; /* -1: an election is under way */
    uint64_t term;
    int64_t counters[VC_KEYS];
    struct vc_session sessions[VC_SESSIONS];
    unsigned sessions_count;
    uint64_t acked_sent[VC_SESSIONS]; /* the highest that the client has sent */

    struct vc_wire wires[ENGINE_CHANNELS];
    unsigned asked_on; /* the serial of the connection that the request being answered came on */
    struct vc_event events[VC_EVENTS];
    size_t events_count;
    unsigned resets_count, replays_count, redirects_count, expired_count, late_count;
};

static inline uint64_t vc_random(struct vc *vc, uint64_t bound)
{
    return prng_below(&vc->prng, bound);
}

static inline bool vc_chance(struct vc *vc, unsigned percent)
{
    return vc_random(vc, 100) < percent;
}

static inline struct vc_event *vc_event(struct vc *vc, time_us delay, enum vc_what what)
{
    assert_true(vc->events_count < VC_EVENTS);
    struct vc_event *event = &vc->events[vc->events_count++];
    *event = (struct vc_event){.at = vc->now + delay, .what = what};
    return event;
}

/* ---- the state machine ---- */

/* As kv_apply does: 0 and a word, or the result. */
static inline const char *vc_apply(struct vc *vc, const struct vc_command *command,
                                   int64_t *out_number, bool *out_is_replayed)
{
    struct vc_session *session = &vc->sessions[command->session];
    *out_is_replayed = false;
    if (command->session != 0) {
        if (!session->is_alive)
            return "session-expired";
        uint64_t low = MAX(session->highest, VC_WINDOW) - VC_WINDOW;
        session->acked_max = MAX(session->acked_max, command->acked);
        if (command->sequence <= MAX(low, session->acked_max))
            return "sequence-too-old";
        assert_true(command->sequence < VC_SEQUENCES);
        session->highest = MAX(session->highest, command->sequence);
        if (session->results[command->sequence] != 0) {
            *out_number = session->results[command->sequence];
            *out_is_replayed = true;
            vc->replays_count++;
            return NULL;
        }
    }
    *out_number = ++vc->counters[command->key];
    session->results[command->session != 0 ? command->sequence : 0] = *out_number;
    return NULL;
}

/* ---- replies ---- */

static inline void vc_reply(struct vc *vc, size_t channel, int node, int code, const char *effect,
                            const char *headers, const char *body)
{
    const struct vc_node *from = &vc->nodes[node];
    struct vc_event *event = vc_event(vc, 50 + vc_random(vc, 500), VC_REPLY);
    char leader[128] = "";
    if (from->believed >= 0)
        (void)snprintf(leader, sizeof leader,
                       "X-Leader: 127.0.0.1:700%d\r\nX-Leader-HTTP: 127.0.0.1:800%d\r\n",
                       from->believed + 1, from->believed + 1);
    (void)snprintf(event->text, sizeof event->text,
                   "HTTP/1.1 %d X\r\nX-MiniKV-Node: %d\r\nX-MiniKV-Term: %llu\r\n%s%s%s%s%s"
                   "Content-Length: %zu\r\n\r\n%s",
                   code, node + 1, (unsigned long long)from->believed_term, leader,
                   effect != NULL ? "X-MiniKV-Effect: " : "", effect != NULL ? effect : "",
                   effect != NULL ? "\r\n" : "", headers, strlen(body), body);
    event->channel = channel;
    event->serial = vc->asked_on;
    event->node = node;
}

static inline void vc_refuse(struct vc *vc, size_t channel, int node, int code, const char *effect,
                             const char *word, const char *headers)
{
    char body[128];
    (void)snprintf(body, sizeof body, "{\"type\":\"urn:minikv:%s\",\"detail\":\"why\"}", word);
    vc_reply(vc, channel, node, code, effect, headers, body);
}

static inline void vc_answer(struct vc *vc, size_t channel, int node,
                             const struct vc_command *command)
{
    char body[64];
    int64_t number = 0;
    bool is_replayed = false;
    if (command->op == VC_OPEN) {
        assert_true(vc->sessions_count + 1 < VC_OWN);
        vc->sessions[++vc->sessions_count].is_alive = true;
        (void)snprintf(body, sizeof body, "{\"client\":\"s%u\"}", vc->sessions_count);
        vc_reply(vc, channel, node, 200, NULL, "", body);
        return;
    }
    const char *word = vc_apply(vc, command, &number, &is_replayed);
    (void)snprintf(body, sizeof body, "{\"value\":%lld}", (long long)number);
    if (word == NULL)
        vc_reply(vc, channel, node, 200, NULL, is_replayed ? "X-MiniKV-Replayed: true\r\n" : "",
                 body);
    else
        vc_refuse(vc, channel, node, strcmp(word, "session-expired") == 0 ? 410 : 409, "none", word,
                  "");
}

/* ---- what a node does with a request ---- */

/* It has been given to a leader that may not be one any more: whether it is carried out shows
 * later, or never. */
static inline void vc_lose_sight(struct vc *vc, size_t channel, int node,
                                 const struct vc_command *command)
{
    if (command->op == VC_INCR && vc_chance(vc, 50)) {
        struct vc_event *late = vc_event(vc, vc_random(vc, 3000000), VC_LATE);
        late->command = *command;
    }
    bool is_link = vc_chance(vc, 50);
    vc_refuse(vc, channel, node, is_link ? 502 : 504, "maybe", is_link ? "link-lost" : "timeout",
              "");
}

static inline void vc_point(struct vc *vc, size_t channel, int node)
{
    char location[128];
    int to = vc->nodes[node].believed;
    if (to < 0) {
        vc_refuse(vc, channel, node, 503, "none", "no-leader", "Retry-After: 1\r\n");
        return;
    }
    vc->redirects_count++;
    (void)snprintf(location, sizeof location, "Location: http://127.0.0.1:800%d/x\r\n", to + 1);
    vc_refuse(vc, channel, node, 307, "none", "not-leader", location);
}

static inline void vc_run(struct vc *vc, size_t channel, int node, const struct vc_command *command)
{
    char body[160];
    int believed = vc->nodes[node].believed;
    if (command->op == VC_STATUS) {
        vc_reply(vc, channel, node, 200, NULL, "", "{}");
    } else if (command->op == VC_CLOSE) {
        vc_reply(vc, channel, node, 204, NULL, "", "");
    } else if (command->op == VC_GET && vc->counters[command->key] == 0) {
        vc_refuse(vc, channel, node, 404, "none", "not-found", "");
    } else if (command->op == VC_GET) {
        (void)snprintf(body, sizeof body, "{\"key\":\"c%u\",\"value\":\"%lld\"}", command->key,
                       (long long)vc->counters[command->key]);
        vc_reply(vc, channel, node, 200, NULL, "", body);
    } else if (believed != node && command->is_redirect) {
        vc_point(vc, channel, node);
    } else if (believed < 0) {
        vc_refuse(vc, channel, node, 503, "none", "no-leader", "");
    } else if (believed == vc->leader && vc->nodes[believed].is_up) {
        if (vc->has_faults && vc_chance(vc, 5))
            vc_lose_sight(vc, channel, node, command);
        else
            vc_answer(vc, channel, node, command);
    } else if (vc_chance(vc, 50)) {
        vc_refuse(vc, channel, node, 503, "none", "fenced", "");
    } else {
        vc_lose_sight(vc, channel, node, command);
    }
}

/* ---- the wire ---- */

static inline uint64_t vc_header(const char *head, const char *name)
{
    const char *found = strstr(head, name);
    return found != NULL ? strtoull(found + strlen(name), NULL, 10) : 0;
}

static inline struct vc_command vc_parse(const char *head)
{
    struct vc_command command = {.is_redirect = strstr(head, "Route: redirect") != NULL,
                                 .sequence = vc_header(head, "X-MiniKV-Sequence: "),
                                 .session = (unsigned)vc_header(head, "X-MiniKV-Client-Id: s"),
                                 .acked = vc_header(head, "X-MiniKV-Acked: ")};
    if (strncmp(head, "POST /v1/sessions ", 18) == 0)
        command.op = VC_OPEN;
    else if (strncmp(head, "DELETE /v1/sessions/", 20) == 0)
        command.op = VC_CLOSE;
    else if (strncmp(head, "GET /v1/raft/status ", 20) == 0)
        command.op = VC_STATUS;
    else if (sscanf(head, "GET /v1/kv/c%u ", &command.key) == 1)
        command.op = VC_GET;
    else if (sscanf(head, "POST /v1/incr/c%u ", &command.key) == 1)
        command.op = VC_INCR;
    else
        fail_msg("what is this? %s", head);
    assert_true(command.key < VC_KEYS);
    return command;
}

/* The next whole request on the wire, if the node has answered the one before. */
static inline void vc_read(struct vc *vc, size_t channel)
{
    struct vc_wire *wire = &vc->wires[channel];
    if (!wire->is_open || wire->is_busy)
        return;
    wire->bytes[wire->bytes_count] = '\0';
    const char *end = strstr(wire->bytes, "\r\n\r\n");
    if (end == NULL)
        return;
    size_t count = (size_t)(end - wire->bytes) + 4;
    const char *length = strstr(wire->bytes, "\r\nContent-Length: ");
    if (length != NULL && length < end)
        count += strtoul(length + 18, NULL, 10);
    if (wire->bytes_count < count)
        return;
    struct vc_event *event = vc_event(vc, 50 + vc_random(vc, 500), VC_RUN);
    event->command = vc_parse(wire->bytes);
    event->channel = channel;
    event->serial = wire->serial;
    event->node = wire->node;
    wire->is_busy = true;
    wire->bytes_count -= count;
    memmove(wire->bytes, wire->bytes + count, wire->bytes_count);
}

/* What the client now sends never acknowledges what it may send again. */
static inline void vc_check_sent(struct vc *vc, const char *bytes, size_t count)
{
    static char text[VC_BYTES];
    memcpy(text, bytes, count);
    text[count] = '\0';
    for (char *at = text; (at = strstr(at, "X-MiniKV-Client-Id: s")) != NULL; at++) {
        char *end = strstr(at, "\r\n\r\n");
        if (end == NULL)
            return; /* the rest comes with the next piece */
        *end = '\0';
        struct vc_command sent = {.session = (unsigned)vc_header(at, "Client-Id: s"),
                                  .sequence = vc_header(at, "Sequence: "),
                                  .acked = vc_header(at, "Acked: ")};
        assert_true(sent.acked < sent.sequence);
        if (sent.sequence <= vc->acked_sent[sent.session])
            fail_msg("sequence %llu is sent after it was acknowledged",
                     (unsigned long long)sent.sequence);
        vc->acked_sent[sent.session] = MAX(vc->acked_sent[sent.session], sent.acked);
        *end = '\r';
    }
}

static inline void vc_reset(struct vc *vc, size_t channel, bool tells)
{
    struct vc_wire *wire = &vc->wires[channel];
    if (!wire->is_open)
        return;
    wire->is_open = wire->is_busy = false;
    wire->bytes_count = 0;
    vc->resets_count++;
    if (tells)
        engine_lost(vc->engine, vc->now, channel, vc_chance(vc, 50), "reset");
}

static inline void vc_dial(struct vc *vc, size_t channel, const struct engine_link *wanted)
{
    struct vc_wire *wire = &vc->wires[channel];
    vc_reset(vc, channel, false);
    wire->serial = wanted->serial;
    wire->node = wanted->address.port - 8001;
    assert_in_range(wire->node, 0, VC_NODES - 1);
    bool is_up = vc->nodes[wire->node].is_up;
    if (vc->has_faults && vc_chance(vc, 5))
        return; /* the dial gets lost */
    struct vc_event *event =
        vc_event(vc, 100 + vc_random(vc, 2000), is_up ? VC_OPENED : VC_REFUSED);
    event->channel = channel;
    event->serial = wanted->serial;
    event->node = wire->node;
}

/* Takes up what the engine wants of its channels. */
static inline void vc_pump(struct vc *vc)
{
    for (size_t at = 0; at < ENGINE_CHANNELS; at++) {
        struct engine_link wanted;
        struct vc_wire *wire = &vc->wires[at];
        engine_link(vc->engine, at, &wanted);
        if (wanted.serial != wire->serial)
            vc_dial(vc, at, &wanted);
        else if (wanted.state == ENGINE_LINK_CLOSED)
            vc_reset(vc, at, false);
        struct bytes output = engine_output(vc->engine, at);
        if (!wire->is_open || output.count == 0 || wanted.state != ENGINE_LINK_OPEN)
            continue;
        size_t room = VC_BYTES - 1 - wire->bytes_count;
        size_t count = MIN(output.count, room);
        vc_check_sent(vc, (const char *)output.data, count);
        if (vc_chance(vc, 20)) /* a socket that takes part of it */
            count = 1 + vc_random(vc, count);
        memcpy(wire->bytes + wire->bytes_count, output.data, count);
        wire->bytes_count += count;
        engine_sent(vc->engine, vc->now, at, count);
        vc_read(vc, at);
    }
}

/* ---- faults ---- */

static inline void vc_elect(struct vc *vc)
{
    vc->leader = -1;
    (void)vc_event(vc, 20000 + vc_random(vc, 400000), VC_ELECTED);
}

static inline void vc_elected(struct vc *vc)
{
    int leader = (int)vc_random(vc, VC_NODES);
    if (!vc->nodes[leader].is_up) {
        vc_elect(vc);
        return;
    }
    vc->leader = leader;
    vc->term++;
    for (int node = 0; node < VC_NODES; node++)
        vc_event(vc, node == leader ? 0 : vc_random(vc, 300000), VC_LEARNS)->node = node;
}

static inline void vc_kill(struct vc *vc, int node)
{
    if (!vc->nodes[node].is_up)
        return;
    vc->nodes[node].is_up = false;
    for (size_t at = 0; at < ENGINE_CHANNELS; at++)
        if (vc->wires[at].node == node)
            vc_reset(vc, at, true);
    vc_event(vc, 100000 + vc_random(vc, 1500000), VC_RESTARTS)->node = node;
    if (vc->leader == node)
        vc_elect(vc);
}

static inline void vc_break_something(struct vc *vc)
{
    int node = (int)vc_random(vc, VC_NODES), other = (node + 1) % VC_NODES;
    switch (vc_random(vc, 12)) {
    case 0:
        vc_kill(vc, node);
        break;
    case 1:
        if (vc->leader >= 0)
            vc_elect(vc);
        break;
    case 2:
        vc->nodes[node].frozen_until = vc->now + vc_random(vc, 1500000);
        break;
    case 3: /* a circle, for a while */
        vc->nodes[node].believed = other;
        vc->nodes[other].believed = node;
        vc_event(vc, vc_random(vc, 300000), VC_LEARNS)->node = node;
        vc_event(vc, vc_random(vc, 300000), VC_LEARNS)->node = other;
        break;
    case 4:
        vc->nodes[node].believed = -1;
        vc_event(vc, vc_random(vc, 300000), VC_LEARNS)->node = node;
        break;
    case 5:
        if (vc->sessions_count != 0 && vc_chance(vc, 20)) {
            vc->sessions[1 + vc_random(vc, vc->sessions_count)].is_alive = false;
            vc->expired_count++;
        }
        break;
    default:
        vc_reset(vc, vc_random(vc, VC_NODES), true);
        break;
    }
}

/* From here on all is well. */
static inline void vc_heal(struct vc *vc)
{
    vc->has_faults = false;
    for (int node = 0; node < VC_NODES; node++) {
        vc->nodes[node].is_up = true;
        vc->nodes[node].frozen_until = 0;
    }
    if (vc->leader < 0)
        vc_elected(vc);
    for (int node = 0; node < VC_NODES; node++)
        vc_event(vc, 0, VC_LEARNS)->node = node;
}

/* ---- time ---- */

static inline void vc_happen(struct vc *vc, struct vc_event *event)
{
    struct vc_wire *wire = &vc->wires[event->channel];
    bool is_current = wire->serial == event->serial && wire->node == event->node;
    struct vc_node *node = &vc->nodes[event->node];
    int64_t number;
    bool is_replayed;
    switch (event->what) {
    case VC_OPENED:
        if (!is_current)
            break;
        if (node->is_up) {
            wire->is_open = true;
            engine_opened(vc->engine, vc->now, event->channel);
        } else {
            engine_lost(vc->engine, vc->now, event->channel, false, "refused");
        }
        break;
    case VC_REFUSED:
        if (is_current)
            engine_lost(vc->engine, vc->now, event->channel, false, "refused");
        break;
    case VC_RUN: /* also when the connection is gone meanwhile, unless the node is too */
        vc->asked_on = event->serial;
        if (node->is_up)
            vc_run(vc, event->channel, event->node, &event->command);
        break;
    case VC_REPLY:
        if (!is_current || !wire->is_open)
            break;
        wire->is_busy = false;
        engine_received(vc->engine, vc->now, event->channel, bytes_of_text(event->text));
        vc_read(vc, event->channel);
        break;
    case VC_LATE:
        vc->late_count++;
        (void)vc_apply(vc, &event->command, &number, &is_replayed);
        break;
    case VC_ELECTED:
        if (vc->leader < 0)
            vc_elected(vc);
        break;
    case VC_LEARNS:
        if (vc->leader >= 0) {
            node->believed = vc->leader;
            node->believed_term = vc->term;
        }
        break;
    case VC_RESTARTS:
        if (!node->is_up)
            node->believed = -1;
        node->is_up = true;
        break;
    }
}

static inline void vc_step(struct vc *vc, time_us until)
{
    for (;;) {
        vc_pump(vc);
        size_t next = VC_EVENTS;
        for (size_t i = 0; i < vc->events_count; i++) {
            struct vc_event *event = &vc->events[i];
            time_us thaw = vc->nodes[event->node].frozen_until;
            bool waits = event->what == VC_RUN || event->what == VC_REPLY;
            if (waits && event->at < thaw)
                event->at = thaw;
            if (next == VC_EVENTS || event->at < vc->events[next].at)
                next = i;
        }
        time_us tick = engine_next_tick(vc->engine);
        time_us at = next == VC_EVENTS ? TIME_NEVER : vc->events[next].at;
        if (MIN(tick, at) > until)
            break;
        if (tick <= at) {
            vc->now = MAX(vc->now, tick);
            engine_tick(vc->engine, vc->now);
            if (engine_has_done(vc->engine))
                return;
            continue;
        }
        struct vc_event event = vc->events[next];
        vc->events[next] = vc->events[--vc->events_count];
        vc->now = MAX(vc->now, event.at);
        vc_happen(vc, &event);
        if (engine_has_done(vc->engine))
            return;
    }
    vc->now = until;
}

static inline void vc_init(struct vc *vc, struct engine *engine, uint64_t seed, time_us now)
{
    memset(vc, 0, sizeof *vc); /* too large for a literal on the stack */
    vc->engine = engine;
    vc->now = now;
    vc->term = 1;
    vc->has_faults = true;
    vc->sessions[VC_OWN].is_alive = true;
    prng_init(&vc->prng, seed);
    for (int node = 0; node < VC_NODES; node++)
        vc->nodes[node] = (struct vc_node){.is_up = true, .believed_term = 1};
}

#endif
