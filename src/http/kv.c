/* Handlers of single keys: /v1/kv/{key} and /v1/incr/{key}. */
#include "http/api.h"

#include <stdio.h>

#include "http/body.h"
#include "http/connection.h"
#include "http/etag.h"
#include "http/json.h"
#include "http/reply.h"
#include "http/server.h"

static struct node *node_of(const struct exchange *exchange)
{
    return exchange->connection->http->node;
}

/* The one place where a client's command begins: identity goes in here. */
static struct command command_of(const struct exchange *exchange, enum command_op op)
{
    return (struct command){
        .op = op,
        .identity = exchange->identity,
        .key = exchange->key,
        .condition = exchange->condition,
        .condition_revision = exchange->condition_revision,
    };
}

/* ---- writes ---- */

void kv_put_start(struct exchange *exchange, struct bytes body)
{
    struct bytes value = body;
    if (!exchange->is_raw_body &&
        !body_parse_value(body, reply_scratch(exchange), &value, &exchange->problem))
        return;
    if (value.count > LIMIT_VALUE_BYTES) {
        exchange_refuse(exchange, ST_VALUE_TOO_LONG,
                        "the value has %zu bytes; at most %u are taken", value.count,
                        (unsigned)LIMIT_VALUE_BYTES);
        return;
    }
    struct command command = command_of(exchange, COMMAND_PUT);
    command.value = value;
    exchange_write(exchange, &command);
}

void kv_put_answer(struct exchange *exchange)
{
    reply_etag(reply_begin(exchange, 204), exchange->answer.result.mod_revision);
    reply_end_empty(exchange);
}

void kv_delete_start(struct exchange *exchange, struct bytes body)
{
    struct command command = command_of(exchange, COMMAND_DELETE);
    exchange_write(exchange, &command);
}

void kv_incr_start(struct exchange *exchange, struct bytes body)
{
    struct command command = command_of(exchange, COMMAND_INCR);
    if (body_parse_by(body, &command.by, &exchange->problem))
        exchange_write(exchange, &command);
}

void kv_incr_answer(struct exchange *exchange)
{
    struct buf *body = reply_scratch(exchange);
    buf_printf(body, "{\"value\":%lld}\n", (long long)exchange->answer.result.number);
    reply_etag(reply_begin(exchange, 200), exchange->answer.result.mod_revision);
    reply_end(exchange, CONTENT_JSON, buf_bytes(body));
}

/* ---- reads ---- */

void kv_read_start(struct exchange *exchange)
{
    struct errtext error;
    struct bytes consistency = exchange->query.values[QUERY_CONSISTENCY];
    bool is_given = query_has(&exchange->query, QUERY_CONSISTENCY);
    exchange->is_stale = is_given && bytes_equal_text(consistency, "stale");
    if (is_given && !exchange->is_stale && !bytes_equal_text(consistency, "linearizable")) {
        exchange_refuse(exchange, ST_BAD_QUERY, "consistency is linearizable or stale");
        return;
    }
    enum status status =
        query_number(&exchange->query, QUERY_REV, INT64_MAX, &exchange->revision, &error);
    if (status != ST_OK)
        exchange_refuse(exchange, status, "%s", error.text);
    else if (!exchange->is_stale)
        exchange_read(exchange);
}

bool kv_read_revision_holds(struct exchange *exchange, uint64_t revision)
{
    char detail[128];
    if (exchange->revision == 0 || exchange->revision == revision)
        return true;
    bool is_future = exchange->revision > revision;
    (void)snprintf(detail, sizeof detail, "the revision is %llu; %s", (unsigned long long)revision,
                   is_future ? "ask for one that has been reached" : "older ones are not kept");
    reply_problem(exchange, is_future ? ST_REVISION_FUTURE : ST_COMPACTED, detail);
    return false;
}

void kv_get_start(struct exchange *exchange, struct bytes body)
{
    struct errtext error;
    exchange->wants_raw = exchange->accept == ACCEPT_RAW;
    enum status status = query_flag(&exchange->query, QUERY_RAW, &exchange->wants_raw, &error);
    if (status != ST_OK)
        exchange_refuse(exchange, status, "%s", error.text);
    else if (exchange->accept == ACCEPT_NOTHING && !exchange->wants_raw)
        exchange_refuse(exchange, ST_NOT_ACCEPTABLE, "%s", "");
    else
        kv_read_start(exchange);
}

void kv_put_revisions(struct buf *body, const struct kv_item *item)
{
    buf_put(body, BYTES_LITERAL(",\"create_revision\":"));
    buf_put_decimal(body, item->create_revision);
    buf_put(body, BYTES_LITERAL(",\"mod_revision\":"));
    buf_put_decimal(body, item->mod_revision);
    buf_put(body, BYTES_LITERAL(",\"version\":"));
    buf_put_decimal(body, item->version);
    buf_put(body, BYTES_LITERAL(",\"lease\":"));
    buf_put_decimal(body, item->lease);
}

static void put_item(struct buf *body, const struct kv_item *item)
{
    buf_put(body, BYTES_LITERAL("{"));
    json_put_bytes(body, "key", item->key);
    buf_put(body, BYTES_LITERAL(","));
    json_put_bytes(body, "value", item->value);
    kv_put_revisions(body, item);
    buf_put(body, BYTES_LITERAL("}\n"));
    INVARIANT(!body->is_full);
}

static void answer_item(struct exchange *exchange, const struct kv_item *item)
{
    struct buf *body = reply_scratch(exchange);
    if (!exchange->wants_raw)
        put_item(body, item);
    reply_etag(reply_begin(exchange, 200), item->mod_revision);
    if (exchange->wants_raw)
        reply_end(exchange, CONTENT_RAW, item->value);
    else
        reply_end(exchange, CONTENT_JSON, buf_bytes(body));
}

void kv_get_answer(struct exchange *exchange)
{
    const struct kv *kv = node_kv(node_of(exchange));
    struct kv_stats stats;
    struct kv_item item;
    kv_stats(kv, &stats);
    if (!kv_read_revision_holds(exchange, stats.revision))
        return;
    bool exists = kv_get(kv, exchange->key, &item);
    uint64_t mod_revision = exists ? item.mod_revision : 0;
    if (condition_holds(exchange->condition, exchange->condition_revision, mod_revision)) {
        if (exists)
            answer_item(exchange, &item);
        else
            reply_problem(exchange, ST_NOT_FOUND, NULL);
        return;
    }
    bool is_none_match =
        exchange->condition == CONDITION_ABSENT || exchange->condition == CONDITION_NOT_REVISION;
    if (!is_none_match) {
        exchange->answer.result.mod_revision = mod_revision;
        reply_problem(exchange, ST_CONDITION_FAILED, NULL);
        return;
    }
    reply_etag(reply_begin(exchange, 304), mod_revision);
    reply_end_empty(exchange);
}
