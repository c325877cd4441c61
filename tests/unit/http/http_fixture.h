/* Http fixture: a server on the memory env over the node double, and a client that speaks bytes. */
#ifndef MINIKV_TESTS_UNIT_HTTP_FIXTURE_H
#define MINIKV_TESTS_UNIT_HTTP_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/http.h"
#include "http/server.h"
#include "support/memory_env.h"
#include "support/node_double.h"

struct rig {
    struct env *env;
    struct node *node;
    struct http *http;
};

static inline void rig_open_with(struct rig *rig, const struct http_options *options)
{
    struct errtext error;
    rig->env = memory_env_new();
    rig->node = node_double_new(rig->env);
    assert_int_equal(http_open(rig->env, rig->node, options, &rig->http, &error), ST_OK);
}

static inline int rig_setup(void **state)
{
    static struct rig rig;
    struct http_options options = {.listen = {"127.0.0.1", 8081}};
    rig_open_with(&rig, &options);
    *state = &rig;
    return 0;
}

static inline int rig_teardown(void **state)
{
    struct rig *rig = *state;
    http_close(rig->http);
    node_double_free(rig->node);
    memory_env_free(rig->env);
    return 0;
}

#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

/* ---- client ---- */

#define H "Host: x\r\n"

static inline void send_text(struct env_stream *stream, const char *text)
{
    memory_feed(stream, bytes_of_text(text));
}

static inline void send_put(struct env_stream *stream, const char *key)
{
    char text[256];
    (void)snprintf(text, sizeof text,
                   "PUT /v1/kv/%s HTTP/1.1\r\n" H "Content-Length: 13\r\n\r\n{\"value\":\"v\"}",
                   key);
    memory_give(stream, bytes_of_text(text));
}

/* Everything received so far. */
static inline const char *received(struct env_stream *stream)
{
    return buf_text(&stream->sent);
}

/* One request on a connection of its own; what came back. */
static inline const char *ask(struct rig *rig, const char *request)
{
    struct env_stream *stream = memory_dial(rig->env);
    send_text(stream, request);
    return received(stream);
}

/* The status code of the first reply that begins at `reply`; 0: there is none. */
static inline int code_of(const char *reply)
{
    return strncmp(reply, "HTTP/1.1 ", 9) == 0 ? atoi(reply + 9) : 0;
}

/* What follows the first reply: its length is known from its own headers. */
static inline const char *next_reply(const char *reply)
{
    const char *end = strstr(reply, "\r\n\r\n");
    assert_non_null(end);
    const char *length = strstr(reply, "Content-Length: ");
    size_t count = length != NULL && length < end ? (size_t)atol(length + 16) : 0;
    assert_true(strlen(end + 4) >= count);
    return end + 4 + count;
}

static inline size_t replies_count(const char *replies)
{
    size_t count = 0;
    for (; *replies != '\0'; replies = next_reply(replies))
        count++;
    return count;
}

#define assert_has(text, part)                                                                     \
    do {                                                                                           \
        if (strstr((text), (part)) == NULL)                                                        \
            fail_msg("no <%s> in:\n%s", (part), (text));                                           \
    } while (0)

#define assert_lacks(text, part)                                                                   \
    do {                                                                                           \
        if (strstr((text), (part)) != NULL)                                                        \
            fail_msg("<%s> in:\n%s", (part), (text));                                              \
    } while (0)

/* A complete refusal: code, type, effect in header and body, and JSON of one line. */
static inline void assert_problem(const char *reply, int code, const char *type)
{
    char wanted[128];
    if (code_of(reply) != code)
        fail_msg("wanted %d %s, got:\n%s", code, type, reply);
    (void)snprintf(wanted, sizeof wanted, "{\"type\":\"urn:minikv:%s\",\"title\":\"", type);
    assert_has(reply, wanted);
    assert_has(reply, "Content-Type: application/problem+json\r\n");
    assert_has(reply, "\r\nX-MiniKV-Effect: ");
    assert_has(reply, "\"effect\":\"");
    assert_lacks(reply, "\"detail\":\"\"");
}

/* One turn of the loop: the timers that are due at its beginning, and the tasks of all that. */
static inline void turn(struct env *env)
{
    struct env_timer *due[MEMORY_TIMERS_MAX];
    size_t count = 0;
    env->now++;
    for (size_t i = 0; i < MEMORY_TIMERS_MAX; i++)
        if (env->timers[i] != NULL && env->timers[i]->deadline <= env->now)
            due[count++] = env->timers[i];
    for (size_t i = 0; i < count; i++) {
        env_timer_set(env, due[i], TIME_NEVER);
        due[i]->on_fire(due[i]->ctx);
    }
    while (!list_is_empty(&env->tasks)) {
        struct env_task *task = CONTAINER_OF(env->tasks.next, struct env_task, link);
        list_remove(&task->link);
        task->is_posted = false;
        task->on_run(task->ctx);
    }
}

#endif
