/* What tests of listings share: keys, clients that read lines, turns of the loop. */
#ifndef MINIKV_TESTS_UNIT_HTTP_LISTING_FIXTURE_H
#define MINIKV_TESTS_UNIT_HTTP_LISTING_FIXTURE_H

#include "http_fixture.h"

#define LINES "Accept: application/x-ndjson\r\n"

/* ---- given ---- */

static inline void put(struct rig *rig, const char *key, const char *value)
{
    node_double_put(rig->node, bytes_of_text(key), bytes_of_text(value));
}

static inline void put_many(struct rig *rig, const char *prefix, size_t count)
{
    char key[32];
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(key, sizeof key, "%s%06zu", prefix, i);
        put(rig, key, "v");
    }
}

static inline void compact(struct rig *rig)
{
    struct kv_stats stats;
    kv_stats(rig->node->kv, &stats);
    node_double_compact(rig->node, stats.revision);
}

/* ---- when ---- */

static inline void give(struct env_stream *stream, const char *target, const char *headers)
{
    struct buf request;
    buf_init(&request, LIMIT_TARGET_BYTES);
    buf_printf(&request, "GET %s HTTP/1.1\r\n" H "%s\r\n", target, headers);
    memory_give(stream, buf_bytes(&request));
    buf_release(&request);
}

/* How many more than the one in which the request is read, until there is a whole reply more. */
static inline int turns_until_answered(struct rig *rig, struct env_stream *stream)
{
    size_t before = stream->sent.count;
    for (int i = 0; i < 1000; i++) {
        turn(rig->env);
        if (stream->sent.count != before)
            return i;
    }
    fail_msg("no answer");
    return 0;
}

static inline struct env_stream *lines_of(struct rig *rig, const char *target)
{
    struct env_stream *stream = memory_dial(rig->env);
    give(stream, target, LINES);
    memory_run(rig->env);
    return stream;
}

/* ---- then ---- */

/* The chunks of the first reply, put together; `out_rest`: what follows it. False: it goes on. */
static inline bool body_of(const char *reply, struct buf *out_body, const char **out_rest)
{
    const char *at = strstr(reply, "\r\n\r\n");
    assert_non_null(at);
    assert_has(reply, "\r\nTransfer-Encoding: chunked\r\n");
    buf_init(out_body, SIZE_MAX);
    for (at += 4; *at != '\0';) {
        char *end;
        size_t count = strtoul(at, &end, 16);
        assert_int_equal(strncmp(end, "\r\n", 2), 0);
        buf_put(out_body, bytes_of(end + 2, count));
        at = end + 2 + count;
        assert_int_equal(strncmp(at, "\r\n", 2), 0);
        at += 2;
        *out_rest = at;
        if (count == 0)
            return true;
    }
    return false;
}

static inline size_t lines_count(const struct buf *body)
{
    size_t count = 0;
    for (size_t i = 0; i < body->count; i++)
        count += body->data[i] == '\n';
    return count;
}

/* The whole reply is such a listing, and these are its lines. */
static inline void assert_lines(struct env_stream *stream, struct buf *out_body)
{
    const char *rest;
    assert_int_equal(code_of(received(stream)), 200);
    assert_has(received(stream), "\r\nContent-Type: application/x-ndjson\r\n");
    assert_true(body_of(received(stream), out_body, &rest));
    assert_string_equal(rest, "");
}

static const char *last_line(struct buf *body)
{
    const char *text = buf_text(body);
    size_t at = body->count - 1;
    while (at > 0 && text[at - 1] != '\n')
        at--;
    return text + at;
}

#endif
