/* Handlers of /v1/outcome: what has become of a write, and settling it for good. */
#include "base/check.h"
#include "http/api.h"
#include "http/body.h"
#include "http/connection.h"
#include "http/reply.h"
#include "http/server.h"

/* ---- which write ---- */

static bool take_part(struct exchange *exchange, enum query_parameter parameter,
                      enum identity_part part, struct identity *identity)
{
    struct bytes value;
    if (!exchange_take_parameter(exchange, parameter, &value))
        return false;
    if (query_has(&exchange->query, parameter))
        identity_take(identity, part, value);
    return true;
}

/* The parts are there: keeps what they name, or refuses. */
static bool finish(struct exchange *exchange, const struct identity *identity)
{
    struct client_identity named;
    if (!identity_finish(identity, &named, &exchange->problem))
        return false;
    exchange_take_identity(exchange, &named);
    return true;
}

/* ---- answers ---- */

static int code_of(const struct kv_result *result)
{
    if (result->applied_status != ST_OK)
        return status_info(result->applied_status)->http;
    bool has_body = result->applied_op == COMMAND_INCR || result->applied_op == COMMAND_COMPACT ||
                    result->applied_op == COMMAND_TXN || result->applied_op == COMMAND_GRANT_LEASE;
    return has_body ? 200 : 204;
}

/* Whether the reply to the write carried the revision of its key: see kv.c and reply_problem. */
static bool has_etag(const struct kv_result *result)
{
    bool names_revision = result->applied_status == ST_CONDITION_FAILED ||
                          (result->applied_status == ST_OK && (result->applied_op == COMMAND_PUT ||
                                                               result->applied_op == COMMAND_INCR));
    return names_revision && result->mod_revision != 0;
}

static void put_txn(struct buf *body, struct bytes results)
{
    buf_put(body, BYTES_LITERAL(",\"body\":"));
    txn_put_json(body, results);
}

/* ,"answer":{…}: the reply that the write was given, in short. */
static void put_answer(struct buf *body, const struct kv_result *result)
{
    buf_printf(body, ",\"answer\":{\"status\":%d", code_of(result));
    if (has_etag(result))
        buf_printf(body, ",\"etag\":\"\\\"%llu\\\"\"", (unsigned long long)result->mod_revision);
    if (result->applied_status != ST_OK)
        buf_printf(body, ",\"type\":\"urn:minikv:%s\"", status_info(result->applied_status)->code);
    else if (result->applied_op == COMMAND_INCR)
        buf_printf(body, ",\"body\":{\"value\":%lld}", (long long)result->number);
    else if (result->applied_op == COMMAND_COMPACT)
        buf_printf(body, ",\"body\":{\"compacted\":%lld}", (long long)result->number);
    else if (result->applied_op == COMMAND_GRANT_LEASE)
        buf_printf(body, ",\"body\":{\"lease\":%lld}", (long long)result->number);
    else if (result->applied_op == COMMAND_TXN)
        put_txn(body, result->results);
    buf_put(body, BYTES_LITERAL("}"));
}

static const char *outcome_name(enum kv_outcome outcome, bool is_pending)
{
    switch (outcome) {
    case KV_OUTCOME_APPLIED:
        return "applied";
    case KV_OUTCOME_UNSEEN:
        return is_pending ? "pending" : "unseen";
    case KV_OUTCOME_NEVER:
        return "never";
    case KV_OUTCOME_EXPIRED:
        return "expired";
    }
    UNREACHABLE();
}

static void answer(struct exchange *exchange, const struct kv_result *result, bool is_pending)
{
    struct buf *body = reply_scratch(exchange);
    buf_printf(body, "{\"outcome\":\"%s\"", outcome_name(result->outcome, is_pending));
    if (result->outcome == KV_OUTCOME_APPLIED)
        put_answer(body, result);
    buf_put(body, BYTES_LITERAL("}\n"));
    (void)reply_begin(exchange, 200); /* no headers of its own */
    reply_end(exchange, CONTENT_JSON, buf_bytes(body));
}

/* ---- asking ---- */

void outcome_start(struct exchange *exchange, struct bytes body)
{
    struct identity identity;
    identity_reset(&identity, IDENTITY_OF_FIELDS);
    if (!take_part(exchange, QUERY_CLIENT, IDENTITY_CLIENT, &identity) ||
        !take_part(exchange, QUERY_SEQUENCE, IDENTITY_SEQUENCE, &identity) ||
        !take_part(exchange, QUERY_KEY, IDENTITY_KEY, &identity))
        return;
    if (identity.given == 0)
        exchange_refuse(exchange, ST_BAD_QUERY,
                        "which write? send ?client=...&sequence=n or ?key=...");
    else if (finish(exchange, &identity))
        exchange_read(exchange);
}

void outcome_answer(struct exchange *exchange)
{
    const struct node *node = exchange->connection->http->node;
    struct kv_result result;
    kv_outcome(node_kv(node), &exchange->identity, &result);
    bool is_pending =
        result.outcome == KV_OUTCOME_UNSEEN && node_is_pending(node, &exchange->identity);
    answer(exchange, &result, is_pending);
}

/* ---- settling ---- */

void outcome_seal_start(struct exchange *exchange, struct bytes body)
{
    struct identity identity;
    identity_reset(&identity, IDENTITY_OF_FIELDS);
    if (!body_parse_write(body, &identity, &exchange->problem) || !finish(exchange, &identity))
        return;
    struct command command = {.op = COMMAND_SEAL, .identity = exchange->identity};
    exchange_write(exchange, &command);
}

void outcome_seal_answer(struct exchange *exchange)
{
    const struct kv_result *result = &exchange->answer.result;
    INVARIANT(result->outcome == KV_OUTCOME_APPLIED || result->outcome == KV_OUTCOME_NEVER);
    answer(exchange, result, false);
}
