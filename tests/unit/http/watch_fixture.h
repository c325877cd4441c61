/* Watch fixture: changes of the state behind the clients' backs, and bodies that come in chunks. */
#ifndef MINIKV_TESTS_UNIT_HTTP_WATCH_FIXTURE_H
#define MINIKV_TESTS_UNIT_HTTP_WATCH_FIXTURE_H

#include "http_fixture.h"
#include "kv/txn.h"

/* The node has applied something: tells the front door, and lets it work. */
static inline void show(struct rig *rig)
{
    http_on_applied(rig->http);
    memory_run(rig->env);
}

static inline void put(struct rig *rig, const char *key, const char *value)
{
    node_double_put(rig->node, bytes_of_text(key), bytes_of_text(value));
}

static inline void drop(struct rig *rig, const char *key)
{
    node_double_do(rig->node, &(struct command){.op = COMMAND_DELETE, .key = bytes_of_text(key)});
}

/* Keys prefix0, prefix1, … of one revision, all with this value. */
static inline void put_together(struct rig *rig, const char *prefix, size_t count,
                                const char *value)
{
    struct buf txn;
    buf_init(&txn, LIMIT_TXN_BYTES);
    txn_put_head(&txn, 0, count, 0);
    for (size_t i = 0; i < count; i++) {
        char key[64];
        (void)snprintf(key, sizeof key, "%s%zu", prefix, i);
        txn_put_operation(&txn, &(struct txn_operation){.op = TXN_PUT,
                                                        .key = bytes_of_text(key),
                                                        .value = bytes_of_text(value)});
    }
    node_double_do(rig->node, &(struct command){.op = COMMAND_TXN, .value = buf_bytes(&txn)});
    buf_release(&txn);
}

static inline uint64_t revision_of(struct rig *rig)
{
    struct kv_stats stats;
    kv_stats(rig->node->kv, &stats);
    return stats.revision;
}

/* GET of this target, with these headers (lines that end in \r\n, or ""). */
static inline struct env_stream *watch(struct rig *rig, const char *target, const char *headers)
{
    char text[8192];
    struct env_stream *stream = memory_dial(rig->env);
    (void)snprintf(text, sizeof text, "GET %s HTTP/1.1\r\n" H "%s\r\n", target, headers);
    send_text(stream, text);
    return stream;
}

/* A body of chunks without its framing; borrowed until the next call but three. *out_is_whole: the
 * last chunk has come. */
static inline const char *chunks(struct env_stream *stream, bool *out_is_whole)
{
    static char texts[4][1 << 22];
    static unsigned turn;
    char *text = texts[turn++ % 4], *to = text;
    const char *at = strstr(received(stream), "\r\n\r\n");
    assert_non_null(at);
    *out_is_whole = false;
    for (at += 4; *at != '\0' && !*out_is_whole;) {
        char *end;
        size_t count = strtoul(at, &end, 16);
        assert_memory_equal(end, "\r\n", 2);
        assert_true((size_t)(to - text) + count < sizeof texts[0]);
        memcpy(to, end + 2, count);
        to += count;
        assert_memory_equal(end + 2 + count, "\r\n", 2);
        at = end + 4 + count;
        *out_is_whole = count == 0;
    }
    *to = '\0';
    return text;
}

static inline const char *body(struct env_stream *stream)
{
    bool is_whole;
    return chunks(stream, &is_whole);
}

static inline bool is_whole(struct env_stream *stream)
{
    bool result;
    (void)chunks(stream, &result);
    return result;
}

/* The ids of all events in a body of server-sent events, with blanks behind them. */
static inline const char *ids(struct env_stream *stream)
{
    static char text[1 << 16];
    char *to = text;
    for (const char *at = body(stream); (at = strstr(at, "id: ")) != NULL;) {
        size_t count = strcspn(at += 4, "\n");
        if (strncmp(at + count, "\nevent", 6) != 0)
            continue; /* of a place alone */
        memcpy(to, at, count);
        to += count;
        *to++ = ' ';
    }
    *to = '\0';
    return text;
}

static inline size_t count_of(const char *text, const char *part)
{
    size_t count = 0;
    for (; (text = strstr(text, part)) != NULL; text += strlen(part))
        count++;
    return count;
}

static inline struct watch_stats watch_stats_of(struct rig *rig)
{
    struct watch_stats stats;
    watch_hub_stats(rig->http->watches, &stats);
    return stats;
}

#endif
