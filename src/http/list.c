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

static bool take_options(struct exchange *exchange)
{
    const struct query *query = &exchange->query;
    struct errtext error;
    bool is_count = false;
    exchange->keys_only = false;
    exchange->items_max = exchange->accepts_lines ? UINT64_MAX : LIMIT_LIST_ITEMS;
    bool is_ok =
        query_flag(query, QUERY_KEYS_ONLY, &exchange->keys_only, &error) == ST_OK &&
        query_flag(query, QUERY_COUNT_ONLY, &is_count, &error) == ST_OK &&
        query_number(query, QUERY_LIMIT, exchange->accepts_lines ? INT64_MAX : LIMIT_LIST_ITEMS,
                     &exchange->items_max, &error) == ST_OK;
    if (!is_ok)
        exchange_refuse(exchange, ST_BAD_QUERY, "%s", error.text);
    exchange->listing = exchange->accepts_lines ? LISTING_LINES : LISTING_PAGE;
    if (is_count) {
        exchange->listing = LISTING_COUNT;
        exchange->items_max = UINT64_MAX;
    }
    return is_ok;
}

void list_start(struct exchange *exchange, struct bytes body)
{
    if (take_range(exchange) && take_order(exchange) && take_options(exchange))
        kv_read_start(exchange);
}

void list_answer(struct exchange *exchange)
{
    listing_answer(exchange);
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

void list_put_link(struct exchange *exchange, struct buf *out, struct bytes after,
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
