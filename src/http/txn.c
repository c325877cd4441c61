/* Handler of POST /v1/txn: a transaction, and what it came to. */
#include "kv/txn.h"
#include "base/check.h"
#include "base/limits.h"
#include "http/api.h"
#include "http/connection.h"
#include "http/json.h"
#include "http/reply.h"
#include "http/server.h"
#include "http/txn_body.h"

void txn_start(struct exchange *exchange, struct bytes body)
{
    struct buf *txn = reply_scratch(exchange);
    /* Once carried out, it has to be answered. */
    if (exchange->connection->http->replies_bytes > LIMIT_REPLIES_BYTES) {
        exchange_refuse(exchange, ST_BUSY,
                        "replies that clients do not take fill the node's memory");
        return;
    }
    if (!txn_body_parse(body, txn, &exchange->problem))
        return;
    exchange->is_txn = true;
    exchange->connection->txns_count++;
    struct command command = {
        .op = COMMAND_TXN, .identity = exchange->identity, .value = buf_bytes(txn)};
    exchange_write(exchange, &command);
}

/* ---- what it came to ---- */

static void take_item(struct cursor *in, struct kv_item *out_item)
{
    bool is_sound = txn_results_item(in, out_item);
    INVARIANT(is_sound); /* it was made here, or looked at when it was loaded */
}

static void put_items(struct buf *out, struct cursor *in, const struct txn_result *result,
                      struct kv_item *out_last)
{
    for (uint64_t i = 0; i < result->items_count; i++) {
        take_item(in, out_last);
        if (i != 0)
            buf_put(out, BYTES_LITERAL(","));
        kv_put_item(out, out_last, result->keys_only);
    }
}

static void put_put(struct buf *out, struct cursor *in, const struct txn_result *result)
{
    struct kv_item item;
    buf_put(out, BYTES_LITERAL("{\"put\":{"));
    if (result->has_previous)
        buf_put(out, BYTES_LITERAL("\"prev\":"));
    if (result->has_previous && result->items_count == 0)
        buf_put(out, BYTES_LITERAL("null"));
    put_items(out, in, result, &item);
    buf_put(out, BYTES_LITERAL("}}"));
}

static void put_get(struct buf *out, struct cursor *in, const struct txn_result *result)
{
    struct kv_item last;
    buf_put(out, BYTES_LITERAL("{\"get\":{\"items\":["));
    put_items(out, in, result, &last);
    buf_put(out, BYTES_LITERAL("],\"count\":"));
    buf_put_decimal(out, result->count);
    buf_put(out, BYTES_LITERAL(","));
    if (result->has_more)
        json_put_bytes(out, "next", last.key);
    else
        buf_put(out, BYTES_LITERAL("\"next\":null"));
    buf_put(out, BYTES_LITERAL("}}"));
}

static void put_delete(struct buf *out, struct cursor *in, const struct txn_result *result)
{
    struct kv_item item;
    buf_put(out, BYTES_LITERAL("{\"delete\":{\"deleted\":"));
    buf_put_decimal(out, result->count);
    if (result->has_previous) {
        buf_put(out, BYTES_LITERAL(",\"prev\":["));
        put_items(out, in, result, &item);
        buf_put(out, BYTES_LITERAL("]"));
    }
    buf_put(out, BYTES_LITERAL("}}"));
}

static void put_nested(struct buf *out, const struct txn_result *result)
{
    buf_put(out, result->succeeded ? BYTES_LITERAL("{\"txn\":{\"succeeded\":true,\"results\":[")
                                   : BYTES_LITERAL("{\"txn\":{\"succeeded\":false,\"results\":["));
}

static void put_result(struct buf *out, struct cursor *in, const struct txn_result *result)
{
    if (result->op == TXN_PUT)
        put_put(out, in, result);
    else if (result->op == TXN_GET)
        put_get(out, in, result);
    else if (result->op == TXN_DELETE)
        put_delete(out, in, result);
    else
        put_nested(out, result);
}

void txn_put_json(struct buf *out, struct bytes results)
{
    struct cursor in = cursor_of(results);
    bool succeeded;
    uint64_t revision;
    size_t count;
    bool is_sound = txn_results_head(&in, &succeeded, &revision, &count);
    INVARIANT(is_sound);
    buf_put(out, succeeded ? BYTES_LITERAL("{\"succeeded\":true,\"revision\":")
                           : BYTES_LITERAL("{\"succeeded\":false,\"revision\":"));
    buf_put_decimal(out, revision);
    buf_put(out, BYTES_LITERAL(",\"results\":["));
    bool is_first = true;
    for (size_t depth = 1;;) {
        struct txn_result result;
        is_sound = txn_results_next(&in, &result);
        INVARIANT(is_sound);
        if (result.op == 0 && --depth == 0)
            break;
        if (result.op != 0 && !is_first)
            buf_put(out, BYTES_LITERAL(","));
        if (result.op == 0)
            buf_put(out, BYTES_LITERAL("]}}"));
        else
            put_result(out, &in, &result);
        is_first = result.op == TXN_NESTED;
        depth += result.op == TXN_NESTED;
    }
    buf_put(out, BYTES_LITERAL("]}"));
}

void txn_answer(struct exchange *exchange)
{
    struct buf *body = reply_scratch(exchange);
    txn_put_json(body, exchange->answer.result.results);
    buf_put(body, BYTES_LITERAL("\n"));
    INVARIANT(!body->is_full);
    (void)reply_begin(exchange, 200); /* no headers of its own */
    reply_end(exchange, CONTENT_JSON, buf_bytes(body));
}
