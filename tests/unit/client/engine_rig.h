/* Engine rig: an engine on virtual time whose every event a test gives by hand.
 *
 * Channels stand in the order of the endpoints: 127.0.0.1:8001, :8002, … */
#ifndef MINIKV_TESTS_ENGINE_RIG_H
#define MINIKV_TESTS_ENGINE_RIG_H

#include <stdio.h>
#include <string.h>

#include "client/engine.h"

#define MS         1000u
#define NODE_LINES "X-MiniKV-Node: 1\r\nX-MiniKV-Term: 5\r\nX-Leader: 127.0.0.1:7001\r\n"
#define SESSION_REPLY                                                                              \
    "HTTP/1.1 200 OK\r\n" NODE_LINES "Content-Length: 24\r\n\r\n{\"client\":\"session-1-a\"}"
#define PUT_REPLY  "HTTP/1.1 204 No Content\r\n" NODE_LINES "ETag: \"7\"\r\n\r\n"
#define INCR_REPLY "HTTP/1.1 200 OK\r\n" NODE_LINES "Content-Length: 11\r\n\r\n{\"value\":1}"
enum { RIG_DONE_MAX = 64, RIG_HOPS_MAX = 256 };

struct rig {
    struct engine *engine;
    time_us now;
    struct minikv_result done[RIG_DONE_MAX];
    const char *done_names[RIG_DONE_MAX]; /* what each was started with */
    size_t done_count;
    struct minikv_hop hops[RIG_HOPS_MAX]; /* their texts are not kept */
    char hop_addresses[RIG_HOPS_MAX][32];
    size_t hops_count;
    char text[65536]; /* of the last output */
};

static inline void rig_on_hop(void *ctx, const struct minikv_hop *hop)
{
    struct rig *rig = ctx;
    assert_true(rig->hops_count < RIG_HOPS_MAX);
    rig->hops[rig->hops_count] = *hop;
    (void)snprintf(rig->hop_addresses[rig->hops_count++], 32, "%s", hop->address);
}

static inline struct address rig_address(uint16_t port)
{
    return (struct address){.host = "127.0.0.1", .port = port};
}

static inline void rig_open(struct rig *rig, size_t endpoints_count, bool redirect, bool sessions)
{
    struct engine_options options = {.endpoints_count = endpoints_count,
                                     .timeout = 5000 * MS,
                                     .unknown_leader_wait = 200 * MS,
                                     .connect_timeout = 1000 * MS,
                                     .redirect = redirect,
                                     .without_session = !sessions,
                                     .seed = 1,
                                     .on_hop = rig_on_hop,
                                     .ctx = rig};
    *rig = (struct rig){.now = 1000000 * MS};
    for (size_t at = 0; at < endpoints_count; at++)
        options.endpoints[at] = rig_address((uint16_t)(8001 + at));
    rig->engine = engine_new(&options);
    assert_non_null(rig->engine);
}

static inline void rig_close(struct rig *rig)
{
    for (size_t i = 0; i < rig->done_count; i++)
        minikv_result_release(&rig->done[i]);
    engine_free(rig->engine);
}

static inline void rig_collect(struct rig *rig)
{
    struct call *call;
    while ((call = engine_take_done(rig->engine)) != NULL) {
        assert_true(rig->done_count < RIG_DONE_MAX);
        rig->done[rig->done_count] = call->result;
        rig->done_names[rig->done_count++] = call->ctx;
        call->result = (struct minikv_result){0};
        call_free(call);
    }
}

/* ---- requests ---- */

static inline uint64_t rig_start(struct rig *rig, const struct minikv_request *request,
                                 const struct engine_way *way, const char *name)
{
    uint64_t id = 0;
    assert_int_equal(
        engine_start(rig->engine, rig->now, request, way, NULL, (void *)(uintptr_t)name, &id),
        MINIKV_OK);
    rig_collect(rig);
    return id;
}

static inline uint64_t rig_put(struct rig *rig, const char *key)
{
    struct minikv_request request = {
        .op = MINIKV_PUT, .key = minikv_text(key), .value = minikv_text("v")};
    return rig_start(rig, &request, NULL, key);
}

static inline uint64_t rig_get(struct rig *rig, const char *key)
{
    struct minikv_request request = {.op = MINIKV_GET, .key = minikv_text(key)};
    return rig_start(rig, &request, NULL, key);
}

/* ---- events ---- */

static inline bool rig_is_dialling(const struct rig *rig, size_t at)
{
    struct engine_link wanted;
    engine_link(rig->engine, at, &wanted);
    return wanted.state == ENGINE_LINK_DIALLING;
}

static inline void rig_accept(struct rig *rig, size_t at)
{
    assert_true(rig_is_dialling(rig, at));
    engine_opened(rig->engine, rig->now, at);
    rig_collect(rig);
}

static inline void rig_lose(struct rig *rig, size_t at)
{
    engine_lost(rig->engine, rig->now, at, false, "reset");
    rig_collect(rig);
}

/* Sends all there is; the text stays until the next call. */
static inline const char *rig_output(struct rig *rig, size_t at)
{
    struct bytes output = engine_output(rig->engine, at);
    assert_true(output.count < sizeof rig->text);
    if (output.count != 0)
        memcpy(rig->text, output.data, output.count);
    rig->text[output.count] = '\0';
    engine_sent(rig->engine, rig->now, at, output.count);
    rig_collect(rig);
    return rig->text;
}

static inline void rig_reply(struct rig *rig, size_t at, const char *reply)
{
    engine_received(rig->engine, rig->now, at, bytes_of_text(reply));
    rig_collect(rig);
}

/* A problem document of a length that its text has. */
static inline void rig_refuse(struct rig *rig, size_t at, const char *line, const char *effect,
                              const char *word, const char *more)
{
    char body[256], reply[1024];
    (void)snprintf(body, sizeof body,
                   "{\"type\":\"urn:minikv:%s\",\"title\":\"t\",\"detail\":\"why\"}", word);
    (void)snprintf(reply, sizeof reply,
                   "HTTP/1.1 %s\r\n%s%sX-MiniKV-Effect: %s\r\nContent-Length: %zu\r\n\r\n%s", line,
                   strstr(more, "X-MiniKV-Term") != NULL ? "X-MiniKV-Node: 1\r\n" : NODE_LINES,
                   more, effect, strlen(body), body);
    rig_reply(rig, at, reply);
}

/* A redirect to that port, said in that term. */
static inline void rig_redirect(struct rig *rig, size_t at, unsigned port, unsigned term)
{
    char more[256];
    (void)snprintf(more, sizeof more,
                   "X-MiniKV-Term: %u\r\nX-Leader: 127.0.0.1:7009\r\nX-Leader-HTTP: "
                   "127.0.0.1:%u\r\nLocation: http://127.0.0.1:%u/v1/kv/a\r\n",
                   term, port, port);
    rig_refuse(rig, at, "307 Temporary Redirect", "none", "not-leader", more);
}

static inline void rig_wait(struct rig *rig, unsigned ms)
{
    time_us until = rig->now + ms * MS;
    while (engine_next_tick(rig->engine) <= until) {
        rig->now = MAX(rig->now, engine_next_tick(rig->engine));
        engine_tick(rig->engine, rig->now);
        rig_collect(rig);
    }
    rig->now = until;
    engine_tick(rig->engine, rig->now);
    rig_collect(rig);
}

/* The first request opens the session at channel 0, which answers. */
static inline void rig_begin_session(struct rig *rig)
{
    rig_accept(rig, 0);
    assert_non_null(strstr(rig_output(rig, 0), "POST /v1/sessions HTTP/1.1\r\n"));
    rig_reply(rig, 0, SESSION_REPLY);
}

/* A client of so many nodes has sent its first write, in a session; what comes of it is open. */
static inline uint64_t rig_open_and_put(struct rig *rig, size_t endpoints_count)
{
    rig_open(rig, endpoints_count, false, true);
    uint64_t call = rig_put(rig, "a");
    rig_begin_session(rig);
    (void)rig_output(rig, 0);
    return call;
}

#define NO_LEADER   "503 Service Unavailable"
#define PROBE_REPLY "HTTP/1.1 200 OK\r\n" NODE_LINES "Content-Length: 0\r\n\r\n"

static inline void assert_ended(const struct rig *rig, enum minikv_code code,
                                enum minikv_effect effect)
{
    assert_int_equal(rig->done_count, 1);
    assert_string_equal(minikv_code_name(rig->done[0].code), minikv_code_name(code));
    assert_int_equal(rig->done[0].effect, effect);
}

#endif
