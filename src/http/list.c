/* Handler of GET /v1/kv: one page of keys in order. */
#include "http/api.h"
#include "http/connection.h"
#include "http/json.h"
#include "http/reply.h"
#include "http/server.h"

/* Decodes into request->decoded, which has been given room for the whole target. */
static bool take_bound(struct exchange *exchange, enum query_parameter parameter, const char *name,
                       struct bytes *out_bound)
{
    *out_bound = bytes_of(NULL, 0);
    if (!query_has(&exchange->query, parameter))
        return true;
    size_t start = exchange->decoded.count;
    if (percent_decode(exchange->query.values[parameter], true, &exchange->decoded) != ST_OK) {
        exchange_refuse(exchange, ST_BAD_ENCODING, "%s holds a %% without two hexadecimal digits",
                        name);
        return false;
    }
    *out_bound = bytes_of(exchange->decoded.data + start, exchange->decoded.count - start);
    if (out_bound->count > LIMIT_KEY_BYTES) {
        exchange_refuse(exchange, ST_KEY_TOO_LONG, "%s has %zu bytes; keys have at most %d", name,
                        out_bound->count, LIMIT_KEY_BYTES);
        return false;
    }
    return true;
}

void list_start(struct exchange *exchange, struct bytes body)
{
    struct errtext error;
    struct kv_range *range = &exchange->range;
    if (!take_bound(exchange, QUERY_PREFIX, "prefix", &range->prefix) ||
        !take_bound(exchange, QUERY_START, "start", &range->start) ||
        !take_bound(exchange, QUERY_END, "end", &range->end) ||
        !take_bound(exchange, QUERY_AFTER, "after", &range->after))
        return;
    exchange->items_max = LIMIT_LIST_ITEMS;
    exchange->keys_only = false;
    if (query_number(&exchange->query, QUERY_LIMIT, LIMIT_LIST_ITEMS, &exchange->items_max,
                     &error) != ST_OK ||
        query_flag(&exchange->query, QUERY_KEYS_ONLY, &exchange->keys_only, &error) != ST_OK)
        exchange_refuse(exchange, ST_BAD_QUERY, "%s", error.text);
    else
        kv_read_start(exchange);
}

struct page {
    struct buf *body;
    uint64_t items_max;
    bool keys_only;
    uint64_t items_count;
    size_t last_key_at; /* where the name and text of the last key stand in `body` */
    size_t last_key_count;
    bool has_more;
};

static void put_item(struct page *page, const struct kv_item *item)
{
    struct buf *body = page->body;
    buf_put(body, page->items_count == 0 ? BYTES_LITERAL("{") : BYTES_LITERAL(",{"));
    page->last_key_at = body->count;
    json_put_bytes(body, "key", item->key);
    page->last_key_count = body->count - page->last_key_at;
    if (!page->keys_only) {
        buf_put(body, BYTES_LITERAL(","));
        json_put_bytes(body, "value", item->value);
    }
    kv_put_revisions(body, item);
    buf_put(body, BYTES_LITERAL("}"));
}

/* Ends the page before it grows too long; one item always fits. */
static bool page_on_item(void *ctx, const struct kv_item *item)
{
    struct page *page = ctx;
    if (page->items_count == page->items_max) {
        page->has_more = true;
        return false;
    }
    struct page before = *page;
    size_t count = page->body->count;
    put_item(page, item);
    bool is_too_long = page->body->is_full || page->body->count > LIMIT_LIST_BYTES;
    if (before.items_count != 0 && is_too_long) {
        *page = before;
        page->body->count = count;
        page->body->is_full = false;
        page->has_more = true;
        return false;
    }
    page->items_count++;
    return true;
}

/* "next": the last key again, under the name that `after` takes it by. */
static void put_next(struct page *page)
{
    if (!page->has_more) {
        buf_put(page->body, BYTES_LITERAL("],\"next\":null"));
        return;
    }
    size_t name_count = sizeof "\"key" - 1;
    size_t at = page->last_key_at + name_count;
    size_t count = page->last_key_count - name_count;
    buf_put(page->body, BYTES_LITERAL("],\"next"));
    if (buf_reserve(page->body, count)) /* a copy within the buf: room first, then the source */
        buf_put(page->body, bytes_of(page->body->data + at, count));
}

void list_answer(struct exchange *exchange)
{
    const struct kv *kv = node_kv(exchange->connection->http->node);
    struct kv_stats stats;
    kv_stats(kv, &stats);
    if (!kv_read_revision_holds(exchange, stats.revision))
        return;
    struct page page = {.body = reply_scratch(exchange),
                        .items_max = exchange->items_max,
                        .keys_only = exchange->keys_only};
    buf_put(page.body, BYTES_LITERAL("{\"items\":["));
    kv_scan(kv, &exchange->range, page_on_item, &page);
    put_next(&page);
    buf_put(page.body, BYTES_LITERAL(",\"revision\":"));
    buf_put_decimal(page.body, stats.revision);
    buf_put(page.body, BYTES_LITERAL("}\n"));
    INVARIANT(!page.body->is_full);
    (void)reply_begin(exchange, 200); /* no headers of its own */
    reply_end(exchange, CONTENT_JSON, buf_bytes(page.body));
}
