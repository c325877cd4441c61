#include "http/reply.h"

#include "base/check.h"
#include "http/api.h"
#include "http/connection.h"
#include "http/json.h"
#include "http/server.h"

#define LINE(code, reason)                                                                         \
    {                                                                                              \
        code, "HTTP/1.1 " #code " " reason "\r\n"                                                  \
    }

/* Frequent ones first. */
static const struct {
    int code;
    const char *text;
} lines[] = {
    LINE(204, "No Content"),
    LINE(200, "OK"),
    LINE(404, "Not Found"),
    LINE(412, "Precondition Failed"),
    LINE(304, "Not Modified"),
    LINE(307, "Temporary Redirect"),
    LINE(503, "Service Unavailable"),
    LINE(400, "Bad Request"),
    LINE(405, "Method Not Allowed"),
    LINE(406, "Not Acceptable"),
    LINE(408, "Request Timeout"),
    LINE(409, "Conflict"),
    LINE(410, "Gone"),
    LINE(413, "Content Too Large"),
    LINE(414, "URI Too Long"),
    LINE(417, "Expectation Failed"),
    LINE(422, "Unprocessable Content"),
    LINE(431, "Request Header Fields Too Large"),
    LINE(500, "Internal Server Error"),
    LINE(501, "Not Implemented"),
    LINE(502, "Bad Gateway"),
    LINE(504, "Gateway Timeout"),
    LINE(505, "HTTP Version Not Supported"),
    LINE(507, "Insufficient Storage"),
};

static_assert(ARRAY_COUNT(lines) <= REPLY_CODES_MAX, "metrics have room for every code");

enum { RETRY_AFTER_MS = 200 }; /* of a 503 when the node gives no advice: a quick election */

size_t reply_codes_count(void)
{
    return ARRAY_COUNT(lines);
}

int reply_code_at(size_t index)
{
    return lines[index].code;
}

static size_t index_of_code(int code)
{
    size_t i = 0;
    while (i < ARRAY_COUNT(lines) && lines[i].code != code)
        i++;
    REQUIRE(i < ARRAY_COUNT(lines));
    return i;
}

/* ---- what every reply says ---- */

static void put_address(struct buf *out, const char *name, const struct address *address)
{
    char text[LIMIT_ADDRESS_BYTES];
    if (address_is_set(address))
        buf_printf(out, "%s: %s\r\n", name, address_format(address, text));
}

void reply_block_update(struct http *http)
{
    const struct node_view *view = node_view(http->node);
    buf_reset(&http->block);
    buf_printf(&http->block, "X-MiniKV-Node: %u\r\nX-MiniKV-Term: %llu\r\n", view->self,
               (unsigned long long)view->term);
    put_address(&http->block, "X-Leader", &view->leader_peer);
    put_address(&http->block, "X-Leader-HTTP", &view->leader_http);
    http->block_version = view->version;
    ENSURE(!http->block.is_full);
}

static void put_staleness(const struct node *node, struct buf *out)
{
    time_us staleness = node_staleness(node);
    reply_header_number(out, "X-MiniKV-Applied", node_applied(node));
    if (staleness == TIME_NEVER)
        buf_put(out, BYTES_LITERAL("X-MiniKV-Staleness-Ms: unknown\r\n"));
    else
        reply_header_number(out, "X-MiniKV-Staleness-Ms",
                            (staleness + TIME_US_PER_MS - 1) / TIME_US_PER_MS);
}

struct buf *reply_begin(struct exchange *exchange, int code)
{
    struct http *http = exchange->connection->http;
    struct buf *out = &exchange->connection->out;
    exchange->code_index = index_of_code(code);
    if (node_view(http->node)->version != http->block_version)
        reply_block_update(http);
    buf_put_text(out, lines[exchange->code_index].text);
    buf_put(out, buf_bytes(&http->block));
    buf_put(out, exchange->answer.hops_count == 0 ? BYTES_LITERAL("X-MiniKV-Hops: 0\r\n")
                                                  : BYTES_LITERAL("X-MiniKV-Hops: 1\r\n"));
    if (exchange->answer.result.is_replayed)
        buf_put(out, BYTES_LITERAL("X-MiniKV-Replayed: true\r\n"));
    /* Here and not in the handlers: that there is no such key is an answer like others. */
    if (exchange->is_stale)
        put_staleness(http->node, out);
    return out;
}

void reply_header_number(struct buf *out, const char *name, uint64_t value)
{
    buf_put_text(out, name);
    buf_put(out, BYTES_LITERAL(": "));
    buf_put_decimal(out, value);
    buf_put(out, BYTES_LITERAL("\r\n"));
}

void reply_etag(struct buf *out, uint64_t revision)
{
    buf_put(out, BYTES_LITERAL("ETag: \""));
    buf_put_decimal(out, revision);
    buf_put(out, BYTES_LITERAL("\"\r\n"));
}

/* Last: how the body ends decides what becomes of the connection. */
static void end_head(struct exchange *exchange)
{
    struct buf *out = &exchange->connection->out;
    if (exchange->closes || exchange->is_close_delimited)
        buf_put(out, BYTES_LITERAL("Connection: close\r\n"));
    else if (exchange->is_http_1_0)
        buf_put(out, BYTES_LITERAL("Connection: keep-alive\r\n"));
    buf_put(out, BYTES_LITERAL("\r\n"));
    INVARIANT(!out->is_full);
}

static void count_reply(struct exchange *exchange)
{
    struct http *http = exchange->connection->http;
    metrics_count(&http->metrics, exchange->route, exchange->code_index,
                  env_now(http->env) - exchange->started);
}

void reply_end_head(struct exchange *exchange, const char *content_type, uint64_t body_bytes)
{
    struct buf *out = &exchange->connection->out;
    buf_put(out, BYTES_LITERAL("Content-Type: "));
    buf_put_text(out, content_type);
    buf_put(out, BYTES_LITERAL("\r\nContent-Length: "));
    buf_put_decimal(out, body_bytes);
    buf_put(out, BYTES_LITERAL("\r\n"));
    end_head(exchange);
    count_reply(exchange);
}

/* HTTP/1.0 has no chunks: there the end of the connection is the end of the body. */
void reply_end_chunked(struct exchange *exchange, const char *content_type)
{
    REQUIRE(exchange->source != NULL || exchange->is_head_only);

    struct buf *out = &exchange->connection->out;
    exchange->is_close_delimited = exchange->is_http_1_0 && !exchange->is_head_only;
    exchange->is_chunked = !exchange->is_http_1_0;
    buf_put(out, BYTES_LITERAL("Content-Type: "));
    buf_put_text(out, content_type);
    buf_put(out, BYTES_LITERAL("\r\n"));
    if (exchange->is_chunked)
        buf_put(out, BYTES_LITERAL("Transfer-Encoding: chunked\r\n"));
    end_head(exchange);
    count_reply(exchange);
    if (!exchange->is_head_only)
        exchange->state = EXCHANGE_SENDING;
}

void reply_end_parts(struct exchange *exchange, const char *content_type, struct bytes body,
                     struct bytes rest)
{
    struct buf *out = &exchange->connection->out;
    reply_end_head(exchange, content_type, body.count + rest.count);
    if (!exchange->is_head_only) {
        buf_put(out, body);
        buf_put(out, rest);
    }
    INVARIANT(!out->is_full);
}

void reply_end(struct exchange *exchange, const char *content_type, struct bytes body)
{
    reply_end_parts(exchange, content_type, body, bytes_of(NULL, 0));
}

void reply_end_empty(struct exchange *exchange)
{
    end_head(exchange);
    count_reply(exchange);
}

void reply_done(struct exchange *exchange)
{
    (void)reply_begin(exchange, 204);
    reply_end_empty(exchange);
}

struct buf *reply_scratch(struct exchange *exchange)
{
    struct buf *scratch = &exchange->connection->http->scratch;
    buf_reset(scratch);
    return scratch;
}

/* ---- refusals ---- */

/* The truth about this delivery: the node's word where it had the request, else the table's. */
static enum effect effect_of(const struct exchange *exchange, enum status status)
{
    return exchange->answer.status == status ? exchange->answer.effect
                                             : status_info(status)->effect;
}

static uint32_t retry_after_ms(const struct exchange *exchange, const struct status_info *info)
{
    if (info->http != 503)
        return 0;
    return exchange->answer.retry_after_ms != 0 ? exchange->answer.retry_after_ms : RETRY_AFTER_MS;
}

static struct bytes problem_body(struct exchange *exchange, enum status status, const char *detail)
{
    const struct status_info *info = status_info(status);
    const struct node_view *view = node_view(exchange->connection->http->node);
    enum effect effect = effect_of(exchange, status);
    struct buf *body = reply_scratch(exchange);
    char address[LIMIT_ADDRESS_BYTES];
    problem_put(body, status, effect, detail);
    if (retry_after_ms(exchange, info) != 0)
        buf_printf(body, ",\"retry_after_ms\":%u", retry_after_ms(exchange, info));
    /* Where sending it again is of use; what came of a command that was applied is told in the same
     * bytes by whoever leads when it is told again. */
    if (info->retry != RETRY_NEVER && address_is_set(&view->leader_http)) {
        buf_put(body, BYTES_LITERAL(",\"leader\":"));
        json_put_ascii(body, address_format(&view->leader_http, address));
    }
    buf_put(body, BYTES_LITERAL("}\n"));
    return buf_bytes(body);
}

static void put_location(struct exchange *exchange, struct buf *out)
{
    const struct node_view *view = node_view(exchange->connection->http->node);
    char address[LIMIT_ADDRESS_BYTES];
    buf_printf(out, "Location: http://%s", address_format(&view->leader_http, address));
    buf_put(out, exchange->parts.reference);
    buf_put(out, BYTES_LITERAL("\r\nCache-Control: no-store\r\n"));
}

/* A redirect needs somewhere to go: the leader may be gone since the node decided. */
static enum status redirect_or_refuse(const struct exchange *exchange)
{
    const struct node_view *view = node_view(exchange->connection->http->node);
    if (address_is_set(&view->leader_http))
        return ST_NOT_LEADER;
    return view->leader == NODE_NONE ? ST_NO_LEADER : ST_LEADER_NOT_ANNOUNCED;
}

/* The oldest revision that can be read here. */
static void put_compacted(struct exchange *exchange, struct buf *out)
{
    struct kv_stats stats;
    kv_stats(node_kv(exchange->connection->http->node), &stats);
    reply_header_number(out, "X-MiniKV-Compacted", stats.compacted);
}

void reply_problem(struct exchange *exchange, enum status status, const char *detail)
{
    REQUIRE(status != ST_OK);

    if (status == ST_NOT_LEADER)
        status = redirect_or_refuse(exchange);
    const struct status_info *info = status_info(status);
    struct buf *out = reply_begin(exchange, info->http);
    buf_printf(out, "X-MiniKV-Effect: %s\r\n", effect_name(effect_of(exchange, status)));
    if (status == ST_NOT_LEADER)
        put_location(exchange, out);
    /* What to compare with next, without another round. */
    if (status == ST_CONDITION_FAILED && exchange->answer.result.mod_revision != 0)
        reply_etag(out, exchange->answer.result.mod_revision);
    if (status == ST_COMPACTED)
        put_compacted(exchange, out);
    if (status == ST_METHOD_NOT_ALLOWED) {
        buf_put(out, BYTES_LITERAL("Allow: "));
        api_allowed(exchange->parts.path, out);
        buf_put(out, BYTES_LITERAL("\r\n"));
    }
    uint32_t wait_ms = retry_after_ms(exchange, info);
    if (wait_ms != 0)
        reply_header_number(out, "Retry-After", (wait_ms + 999) / 1000);
    reply_end(exchange, CONTENT_PROBLEM, problem_body(exchange, status, detail));
}

void reply_write(struct exchange *exchange)
{
    const struct node_answer *answer = &exchange->answer;
    REQUIRE(exchange->state == EXCHANGE_READY);

    if (exchange_is_refused(exchange))
        reply_problem(exchange, exchange->problem.status, exchange->problem.detail.text);
    else if (answer->status != ST_OK)
        reply_problem(exchange, answer->status, NULL);
    else if (answer->result.status != ST_OK)
        reply_problem(exchange, answer->result.status, NULL);
    else if (exchange->route->has_large_reply &&
             exchange->connection->http->replies_bytes > LIMIT_REPLIES_BYTES)
        reply_problem(exchange, ST_BUSY, "replies that clients do not take fill the node's memory");
    else
        exchange->route->answer(exchange);
}
