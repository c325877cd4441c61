/* Handlers of single keys: /v1/kv/{key} and /v1/incr/{key}. */
#include "http/api.h"

#include <stdio.h>

#include "http/body.h"
#include "http/connection.h"
#include "http/etag.h"
#include "http/json.h"
#include "http/reply.h"
#include "http/server.h"
#include "http/value.h"
#include "kv/leases.h"

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
    struct errtext error;
    struct command command = command_of(exchange, COMMAND_PUT);
    command.value = value;
    enum status status =
        query_number(&exchange->query, QUERY_LEASE, LEASE_ID_MAX, &command.lease, &error);
    if (status != ST_OK)
        exchange_refuse(exchange, status, "%s", error.text);
    else
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

uint64_t kv_read_revision(const struct exchange *exchange)
{
    struct kv_stats stats;
    kv_stats(node_kv(node_of(exchange)), &stats);
    return exchange->revision == 0 ? stats.revision : exchange->revision;
}

void kv_put_revision_detail(struct http *http, enum status status, uint64_t revision,
                            struct errtext *out_detail)
{
    struct kv_stats stats;
    kv_stats(node_kv(http->node), &stats);
    if (status == ST_COMPACTED)
        errtext_set(out_detail,
                    "revision %llu is not kept any more; the oldest that can be read is %llu",
                    (unsigned long long)revision, (unsigned long long)stats.compacted);
    else
        errtext_set(out_detail, "the revision is %llu; ask for one that has been reached",
                    (unsigned long long)stats.revision);
}

void kv_refuse_revision(struct exchange *exchange, enum status status, uint64_t revision)
{
    REQUIRE(status == ST_COMPACTED || status == ST_REVISION_FUTURE);

    struct errtext detail;
    kv_put_revision_detail(exchange->connection->http, status, revision, &detail);
    reply_problem(exchange, status, detail.text);
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

void kv_put_item(struct buf *body, const struct kv_item *item, bool keys_only)
{
    buf_put(body, BYTES_LITERAL("{"));
    json_put_bytes(body, "key", item->key);
    if (!keys_only) {
        buf_put(body, BYTES_LITERAL(","));
        json_put_bytes(body, "value", item->value);
    }
    kv_put_revisions(body, item);
    buf_put(body, BYTES_LITERAL("}"));
}

static void answer_item(struct exchange *exchange, const struct kv_item *item, uint64_t revision)
{
    if (item->value.count > LIMIT_VALUE_PIECE_BYTES) {
        reply_etag(reply_begin(exchange, 200), item->mod_revision);
        value_answer(exchange, item, revision);
        return;
    }
    struct buf *body = reply_scratch(exchange);
    if (!exchange->wants_raw) {
        kv_put_item(body, item, false);
        buf_put(body, BYTES_LITERAL("\n"));
        INVARIANT(!body->is_full);
    }
    reply_etag(reply_begin(exchange, 200), item->mod_revision);
    if (exchange->wants_raw)
        reply_end(exchange, CONTENT_RAW, item->value);
    else
        reply_end(exchange, CONTENT_JSON, buf_bytes(body));
}

void kv_get_answer(struct exchange *exchange)
{
    uint64_t revision = kv_read_revision(exchange);
    struct kv_item item;
    enum status status = kv_get_at(node_kv(node_of(exchange)), exchange->key, revision, &item);
    if (status != ST_OK && status != ST_NOT_FOUND) {
        kv_refuse_revision(exchange, status, revision);
        return;
    }
    bool exists = status == ST_OK;
    uint64_t mod_revision = exists ? item.mod_revision : 0;
    if (condition_holds(exchange->condition, exchange->condition_revision, mod_revision)) {
        if (exists)
            answer_item(exchange, &item, revision);
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
