/* Fuzz: bytes of a client into the HTTP front door, over the memory env and the node double.
 *
 * Beyond not crashing: the same bytes get the same replies whole and in pieces, every reply begins
 * like one, and a connection that was ended leaves nothing behind. */
#include <stdlib.h>
#include <string.h>

#include "http/http.h"
#include "http/server.h"

#include "../support/memory_env.h"
#include "../support/node_double.h"

enum { KEEP_ALIVES_US = 2 * RENEWALS_COLLECT_US }; /* in which keep-alives and short polls end */

struct rig {
    struct env *env;
    struct node *node;
    struct http *http;
    struct env_stream *stream;
};

static void rig_open(struct rig *rig)
{
    struct http_options options = {.listen = {"127.0.0.1", 8081}};
    struct errtext error;
    rig->env = memory_env_new();
    rig->node = node_double_new(rig->env);
    enum status status = http_open(rig->env, rig->node, &options, &rig->http, &error);
    REQUIRE(status == ST_OK);
    rig->stream = memory_dial(rig->env);
}

static void rig_close(struct rig *rig)
{
    memory_hang_up(rig->stream, ENV_END_RESET);
    REQUIRE(rig->node->requests_count == 0);
    REQUIRE(rig->http->bodies_bytes == 0);
    REQUIRE(rig->http->connections_count == 0 || rig->stream->is_finished);
    http_close(rig->http);
    node_double_free(rig->node);
    memory_env_free(rig->env);
}

static bool contains(struct bytes bytes, const char *text)
{
    return bytes.count != 0 && memmem(bytes.data, bytes.count, text, strlen(text)) != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count)
{
    struct rig whole, pieces;
    if (count < 2 || count > LIMIT_READ_BYTES)
        return 0;
    size_t piece = (size_t)data[0] + 1;
    struct bytes bytes = bytes_of(data + 1, count - 1);

    rig_open(&whole);
    rig_open(&pieces);
    memory_feed(whole.stream, bytes);
    for (size_t at = 0; at < bytes.count; at += piece)
        memory_feed(pieces.stream, bytes_of(bytes.data + at, MIN(piece, bytes.count - at)));

    memory_advance(whole.env, KEEP_ALIVES_US);
    memory_advance(pieces.env, KEEP_ALIVES_US);
    struct bytes replies = buf_bytes(&whole.stream->sent);
    REQUIRE(replies.count == 0 || bytes_has_prefix(replies, BYTES_LITERAL("HTTP/1.1 ")));
    REQUIRE(whole.stream->is_finished == pieces.stream->is_finished);
    if (!contains(bytes, "/metrics") && !contains(bytes, "xpect")) /* 100 Continue may be late */
        REQUIRE(bytes_equal(replies, buf_bytes(&pieces.stream->sent)));
    rig_close(&whole);
    rig_close(&pieces);
    return 0;
}
