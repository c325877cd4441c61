/* Handler of GET /v1/kv: a range of keys as one page, as a count, or as lines (http/listing.h). */
#include "base/percent.h"
#include "http/api.h"
#include "http/connection.h"
#include "http/json.h"
#include "http/listing.h"
#include "http/reply.h"
#include "http/server.h"

/* ---- what is asked for ---- */

static bool take_range(struct exchange *exchange)
{
    struct kv_range *range = &exchange->range;
    *range = (struct kv_range){.is_descending = false};
    return exchange_take_key(exchange, QUERY_PREFIX, &range->prefix) &&
           exchange_take_key(exchange, QUERY_START, &range->start) &&
           exchange_take_key(exchange, QUERY_END, &range->end) &&
           exchange_take_key(exchange, QUERY_AFTER, &range->after);
}

static bool take_order(struct exchange *exchange)
{
    struct bytes order = exchange->query.values[QUERY_ORDER];
    if (!query_has(&exchange->query, QUERY_ORDER))
        return true;
    exchange->range.is_descending = bytes_equal_text(order, "desc");
    if (exchange->range.is_descending || bytes_equal_text(order, "asc"))
        return true;
    exchange_refuse(exchange, ST_BAD_QUERY, "order is asc or desc");
    return false;
}

static bool take_options(struct exchange *exchange, struct listing_options *out_options)
{
    const struct query *query = &exchange->query;
    struct errtext error;
    *out_options = (struct listing_options){.items_max = UINT64_MAX};
    bool is_ok =
        query_flag(query, QUERY_KEYS_ONLY, &out_options->keys_only, &error) == ST_OK &&
        query_flag(query, QUERY_COUNT_ONLY, &out_options->is_count, &error) == ST_OK &&
        query_number(query, QUERY_LIMIT, exchange->accepts_lines ? INT64_MAX : LIMIT_LIST_ITEMS,
                     &out_options->items_max, &error) == ST_OK;
    if (!is_ok)
        exchange_refuse(exchange, ST_BAD_QUERY, "%s", error.text);
    return is_ok;
}

void list_start(struct exchange *exchange, struct bytes body)
{
    struct listing_options options;
    if (!take_range(exchange) || !take_order(exchange) || !take_options(exchange, &options))
        return;
    exchange->keys_only = options.keys_only;
    exchange->items_max = MIN(options.items_max, (uint64_t)LIMIT_LIST_ITEMS);
    if (options.is_count)
        options.items_max = UINT64_MAX;
    if (options.is_count || exchange->accepts_lines)
        listing_open(exchange, &options);
    if (!exchange_is_refused(exchange))
        kv_read_start(exchange);
    if (exchange->is_stale && !exchange_is_refused(exchange))
        list_prepare(exchange);
}

void list_prepare(struct exchange *exchange)
{
    if (exchange->source != NULL)
        listing_prepare(exchange);
}

/* ---- a page ---- */

struct page {
    struct buf *body;
    uint64_t items_max;
    bool keys_only;
    uint64_t items_count;
    struct bytes last_key; /* borrowed from the state */
    bool has_more;
};

/* Ends the page before it grows too long; one item always fits. */
static bool page_on_item(void *ctx, const struct kv_item *item)
{
    struct page *page = ctx;
    struct buf *body = page->body;
    size_t count = body->count;
    page->has_more = page->items_count == page->items_max;
    if (page->has_more)
        return false;
    if (page->items_count != 0)
        buf_put(body, BYTES_LITERAL(","));
    kv_put_item(body, item, page->keys_only);
    page->has_more = page->items_count != 0 && (body->is_full || body->count > LIMIT_LIST_BYTES);
    if (page->has_more) {
        body->count = count;
        body->is_full = false;
        return false;
    }
    page->last_key = item->key;
    page->items_count++;
    return true;
}

static void end_page(struct page *page, uint64_t revision)
{
    buf_put(page->body, BYTES_LITERAL("],"));
    if (page->has_more)
        json_put_bytes(page->body, "next", page->last_key);
    else
        buf_put(page->body, BYTES_LITERAL("\"next\":null"));
    buf_put(page->body, BYTES_LITERAL(",\"revision\":"));
    buf_put_decimal(page->body, revision);
    buf_put(page->body, BYTES_LITERAL("}\n"));
    INVARIANT(!page->body->is_full);
}

/* ---- the page behind it (RFC 8288) ---- */

/* One parameter as it was sent; what would end the target within a Link is encoded. */
static void put_parameter(struct buf *out, struct bytes parameter)
{
    for (size_t i = 0; i < parameter.count; i++) {
        uint8_t c = parameter.data[i];
        if (c == '<' || c == '>' || c == '"')
            buf_printf(out, "%%%02X", c);
        else
            buf_put_u8(out, c);
    }
    buf_put_u8(out, '&');
}

static bool is_place(struct bytes parameter)
{
    const uint8_t *equals = memchr(parameter.data, '=', parameter.count);
    struct bytes name =
        equals == NULL ? parameter : bytes_of(parameter.data, (size_t)(equals - parameter.data));
    return bytes_equal_text(name, "after") || bytes_equal_text(name, "rev");
}

/* All parameters but those that say where, and of which revision. */
static void put_parameters(struct buf *out, struct bytes query)
{
    while (query.count != 0) {
        const uint8_t *end = memchr(query.data, '&', query.count);
        size_t count = end == NULL ? query.count : (size_t)(end - query.data);
        struct bytes parameter = bytes_of(query.data, count);
        if (count != 0 && !is_place(parameter))
            put_parameter(out, parameter);
        size_t taken = MIN(count + 1, query.count);
        query = bytes_of(query.data + taken, query.count - taken);
    }
}

/* Not there when nobody could send that target. */
static void put_link(struct exchange *exchange, struct buf *out, struct bytes after,
                     uint64_t revision)
{
    char encoded[LIMIT_KEY_BYTES * PERCENT_ENCODED_BYTES_MAX];
    size_t start = out->count;
    buf_put(out, BYTES_LITERAL("Link: <"));
    size_t target_start = out->count;
    buf_put(out, exchange->parts.path);
    buf_put(out, BYTES_LITERAL("?"));
    put_parameters(out, exchange->parts.query);
    buf_put(out, BYTES_LITERAL("after="));
    buf_put(out, bytes_of(encoded, percent_encode(after, encoded)));
    buf_put(out, BYTES_LITERAL("&rev="));
    buf_put_decimal(out, revision);
    if (out->count - target_start > LIMIT_TARGET_BYTES)
        out->count = start;
    else
        buf_put(out, BYTES_LITERAL(">; rel=\"next\"\r\n"));
}

static void answer_page(struct exchange *exchange)
{
    uint64_t revision = kv_read_revision(exchange);
    struct page page = {.body = reply_scratch(exchange),
                        .items_max = exchange->items_max,
                        .keys_only = exchange->keys_only};
    buf_put(page.body, BYTES_LITERAL("{\"items\":["));
    enum status status = kv_scan_at(node_kv(exchange->connection->http->node), &exchange->range,
                                    revision, page_on_item, &page);
    if (status != ST_OK) {
        kv_refuse_revision(exchange, status, revision);
        return;
    }
    end_page(&page, revision);
    struct buf *out = reply_begin(exchange, 200);
    if (page.has_more)
        put_link(exchange, out, page.last_key, revision);
    reply_end(exchange, CONTENT_JSON, buf_bytes(page.body));
}

void list_answer(struct exchange *exchange)
{
    if (exchange->source != NULL)
        listing_answer(exchange);
    else
        answer_page(exchange);
}
