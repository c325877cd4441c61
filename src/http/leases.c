/* Handlers of /v1/leases: keys that live as long as somebody says so. */
#include "kv/leases.h"
#include "http/api.h"
#include "http/body.h"
#include "http/connection.h"
#include "http/json.h"
#include "http/reply.h"
#include "http/server.h"

static struct node *node_of(const struct exchange *exchange)
{
    return exchange->connection->http->node;
}

static void put_number(struct buf *body, const char *before, uint64_t number)
{
    buf_put_text(body, before);
    buf_put_decimal(body, number);
}

static void end_json(struct exchange *exchange, struct buf *body)
{
    buf_put(body, BYTES_LITERAL("}\n"));
    INVARIANT(!body->is_full);
    (void)reply_begin(exchange, 200); /* no headers of its own */
    reply_end(exchange, CONTENT_JSON, buf_bytes(body));
}

/* ---- writes ---- */

void lease_grant_start(struct exchange *exchange, struct bytes body)
{
    struct command command = {.op = COMMAND_GRANT_LEASE, .identity = exchange->identity};
    if (!body_parse_lease(body, &command.lease, &command.ttl_ms, &exchange->problem))
        return;
    exchange->ttl_ms = command.ttl_ms;
    exchange_write(exchange, &command);
}

/* The number is remembered of a write that comes again. */
void lease_grant_answer(struct exchange *exchange)
{
    struct buf *body = reply_scratch(exchange);
    put_number(body, "{\"lease\":", (uint64_t)exchange->answer.result.number);
    put_number(body, ",\"ttl_ms\":", exchange->ttl_ms);
    end_json(exchange, body);
}

void lease_revoke_start(struct exchange *exchange, struct bytes body)
{
    struct command command = {
        .op = COMMAND_REVOKE_LEASE, .identity = exchange->identity, .lease = exchange->lease};
    exchange_write(exchange, &command);
}

void lease_renew_start(struct exchange *exchange, struct bytes body)
{
    if (body_parse_empty(body, &exchange->problem))
        exchange_renew(exchange, exchange->lease);
}

void lease_renew_answer(struct exchange *exchange)
{
    struct buf *body = reply_scratch(exchange);
    put_number(body, "{\"lease\":", exchange->lease);
    put_number(body, ",\"ttl_ms\":", (uint64_t)exchange->answer.result.number);
    end_json(exchange, body);
}

/* ---- reads ---- */

/* At least so long, if it is neither renewed nor revoked: what this node takes for log time is
 * never behind it. */
static uint64_t remaining_ms(const struct kv_lease *lease, uint64_t log_time_us)
{
    uint64_t left_us = lease->expires_us - MIN(lease->expires_us, log_time_us);
    return left_us / TIME_US_PER_MS;
}

static void put_lease(struct buf *body, const struct kv_lease *lease, uint64_t log_time_us)
{
    put_number(body, "{\"lease\":", lease->lease);
    put_number(body, ",\"ttl_ms\":", lease->ttl_ms);
    put_number(body, ",\"remaining_ms\":", remaining_ms(lease, log_time_us));
}

static void put_revision(struct exchange *exchange, struct buf *body)
{
    struct kv_stats stats;
    kv_stats(node_kv(node_of(exchange)), &stats);
    put_number(body, ",\"revision\":", stats.revision);
}

void lease_list_start(struct exchange *exchange, struct bytes body)
{
    struct errtext error;
    exchange->lease = 0;
    exchange->items_max = LIMIT_LIST_ITEMS;
    if (query_number(&exchange->query, QUERY_LIMIT, LIMIT_LIST_ITEMS, &exchange->items_max,
                     &error) != ST_OK ||
        query_number(&exchange->query, QUERY_AFTER, LEASE_ID_MAX, &exchange->lease, &error) !=
            ST_OK)
        exchange_refuse(exchange, ST_BAD_QUERY, "%s", error.text);
    else
        kv_read_start(exchange);
}

struct lease_page {
    struct buf *body;
    uint64_t log_time_us;
    uint64_t items_max;
    uint64_t items_count;
    uint64_t last;
    bool has_more;
};

static bool page_on_lease(void *ctx, const struct kv_lease *lease)
{
    struct lease_page *page = ctx;
    page->has_more = page->items_count == page->items_max;
    if (page->has_more)
        return false;
    if (page->items_count++ != 0)
        buf_put(page->body, BYTES_LITERAL(","));
    put_lease(page->body, lease, page->log_time_us);
    put_number(page->body, ",\"keys\":", lease->keys_count);
    buf_put(page->body, BYTES_LITERAL("}"));
    page->last = lease->lease;
    return true;
}

void lease_list_answer(struct exchange *exchange)
{
    struct node *node = node_of(exchange);
    struct lease_page page = {.body = reply_scratch(exchange),
                              .log_time_us = node_log_time(node),
                              .items_max = exchange->items_max};
    buf_put(page.body, BYTES_LITERAL("{\"leases\":["));
    kv_leases_scan(node_kv(node), exchange->lease + 1, page_on_lease, &page);
    buf_put(page.body, BYTES_LITERAL("],\"next\":"));
    if (page.has_more)
        buf_put_decimal(page.body, page.last);
    else
        buf_put(page.body, BYTES_LITERAL("null"));
    put_revision(exchange, page.body);
    end_json(exchange, page.body);
}

void lease_get_start(struct exchange *exchange, struct bytes body)
{
    struct errtext error;
    exchange->wants_keys = false;
    if (query_flag(&exchange->query, QUERY_KEYS, &exchange->wants_keys, &error) != ST_OK)
        exchange_refuse(exchange, ST_BAD_QUERY, "%s", error.text);
    else
        kv_read_start(exchange);
}

/* As many as a page may have, of keys or of bytes; "keys_count" tells that there are more. */
static bool page_on_key(void *ctx, struct bytes key)
{
    struct lease_page *page = ctx;
    if (page->items_count == page->items_max || page->body->count >= LIMIT_LIST_BYTES)
        return false;
    buf_put(page->body, page->items_count++ == 0 ? BYTES_LITERAL("{") : BYTES_LITERAL(",{"));
    json_put_bytes(page->body, "key", key);
    buf_put(page->body, BYTES_LITERAL("}"));
    return true;
}

void lease_get_answer(struct exchange *exchange)
{
    struct node *node = node_of(exchange);
    struct kv_lease lease;
    if (!kv_lease(node_kv(node), exchange->lease, &lease)) {
        reply_problem(exchange, ST_LEASE_NOT_FOUND, NULL);
        return;
    }
    struct buf *body = reply_scratch(exchange);
    put_lease(body, &lease, node_log_time(node));
    put_number(body, ",\"keys_count\":", lease.keys_count);
    if (exchange->wants_keys) {
        struct lease_page page = {.body = body, .items_max = LIMIT_LIST_ITEMS};
        buf_put(body, BYTES_LITERAL(",\"keys\":["));
        kv_lease_keys(node_kv(node), lease.lease, page_on_key, &page);
        buf_put(body, BYTES_LITERAL("]"));
    }
    put_revision(exchange, body);
    end_json(exchange, body);
}
