#include "http/listing.h"

#include "base/mem.h"
#include "http/api.h"
#include "http/connection.h"
#include "http/json.h"
#include "http/reply.h"
#include "http/server.h"
#include "http/source.h"
#include "http/walk.h"

struct listing {
    struct source source;
    struct walk walk;
    struct exchange *exchange; /* borrowed */
    struct listing_options options;
    uint64_t revision; /* that it is of; 0: not decided yet */
    enum status status;
    uint64_t items_count; /* so far */
    bool has_more;        /* than options.items_max */
    bool is_stopping;
    struct buf last_key; /* owned: of the slice before; the range goes on behind it */

    /* the slice */
    struct buf *out; /* NULL: counts */
    size_t slice_count, slice_start;
    bool is_over; /* it ends here, and the range may not */
};

static struct listing *listing_of(const struct exchange *exchange)
{
    return CONTAINER_OF(exchange->source, struct listing, source);
}

static struct http *http_of(const struct listing *listing)
{
    return listing->exchange->connection->http;
}

/* ---- a slice ---- */

static bool is_enough(const struct listing *listing)
{
    if (listing->out == NULL)
        return listing->slice_count >= LIMIT_COUNT_KEYS;
    return listing->slice_count >= LIMIT_LINES ||
           listing->out->count - listing->slice_start >= LIMIT_LINES_BYTES;
}

static bool listing_on_item(void *ctx, const struct kv_item *item)
{
    struct listing *listing = ctx;
    if (listing->items_count == listing->options.items_max) {
        listing->has_more = true;
        return false;
    }
    if (listing->out != NULL) {
        kv_put_item(listing->out, item, listing->options.keys_only);
        buf_put(listing->out, BYTES_LITERAL("\n"));
    }
    listing->items_count++;
    listing->slice_count++;
    listing->is_over = is_enough(listing);
    if (listing->is_over || listing->items_count == listing->options.items_max) {
        buf_reset(&listing->last_key);
        buf_put(&listing->last_key, item->key);
    }
    return !listing->is_over;
}

/* False: that was the last one, for whatever reason. */
static bool do_slice(struct listing *listing, struct buf *out)
{
    struct kv_range range = listing->exchange->range;
    if (listing->items_count != 0)
        range.after = buf_bytes(&listing->last_key);
    listing->out = out;
    listing->slice_count = 0;
    listing->slice_start = out == NULL ? 0 : out->count;
    listing->is_over = false;
    listing->status = kv_scan_at(node_kv(http_of(listing)->node), &range, listing->revision,
                                 listing_on_item, listing);
    return listing->status == ST_OK && listing->is_over;
}

/* ---- counting ---- */

static void count_on_slice(struct listing *listing)
{
    bool may_go = walk_take(&listing->walk);
    REQUIRE(may_go && listing->exchange->state == EXCHANGE_PREPARING);
    if (do_slice(listing, NULL)) {
        walk_ask(&listing->walk);
        return;
    }
    listing->exchange->state = EXCHANGE_READY;
    connection_answer(listing->exchange->connection);
}

static void answer_count(struct listing *listing)
{
    struct exchange *exchange = listing->exchange;
    struct buf *body = reply_scratch(exchange);
    buf_put(body, BYTES_LITERAL("{\"items\":[],\"next\":null,\"revision\":"));
    buf_put_decimal(body, listing->revision);
    buf_put(body, BYTES_LITERAL(",\"count\":"));
    buf_put_decimal(body, listing->items_count);
    buf_put(body, BYTES_LITERAL("}\n"));
    (void)reply_begin(exchange, 200); /* no headers of its own */
    reply_end(exchange, CONTENT_JSON, buf_bytes(body));
}

/* ---- lines ---- */

static void put_last_line(struct listing *listing, struct buf *out)
{
    buf_put(out, BYTES_LITERAL("{"));
    if (listing->has_more)
        json_put_bytes(out, "next", buf_bytes(&listing->last_key));
    else
        buf_put(out, BYTES_LITERAL("\"next\":null"));
    buf_put(out, BYTES_LITERAL(",\"revision\":"));
    buf_put_decimal(out, listing->revision);
    buf_put(out, BYTES_LITERAL(",\"count\":"));
    buf_put_decimal(out, listing->items_count);
    buf_put(out, BYTES_LITERAL("}\n"));
}

static void answer_lines(struct listing *listing)
{
    (void)reply_begin(listing->exchange, 200); /* no headers of its own */
    reply_end_chunked(listing->exchange, CONTENT_LINES);
}

/* The head is long out: the problem is the last line. */
static void put_problem_line(struct listing *listing, struct buf *out)
{
    struct errtext detail = {{0}};
    if (listing->status != ST_SHUTTING_DOWN)
        kv_put_revision_detail(http_of(listing), listing->status, listing->revision, &detail);
    problem_put(out, listing->status, EFFECT_NONE, detail.text);
    buf_put(out, BYTES_LITERAL("}\n"));
}

static enum source_step listing_send(struct source *source, struct buf *out)
{
    struct listing *listing = CONTAINER_OF(source, struct listing, source);
    if (listing->is_stopping) {
        listing->status = ST_SHUTTING_DOWN;
        put_problem_line(listing, out);
        return SOURCE_DONE;
    }
    if (!walk_take(&listing->walk)) {
        walk_ask(&listing->walk);
        return SOURCE_LATER;
    }
    if (do_slice(listing, out))
        return SOURCE_MORE;
    if (listing->status == ST_OK)
        put_last_line(listing, out);
    else
        put_problem_line(listing, out);
    INVARIANT(!out->is_full); /* it is sent while little is queued */
    return SOURCE_DONE;
}

static void listing_on_slice(void *ctx)
{
    struct listing *listing = ctx;
    if (listing->options.is_count)
        count_on_slice(listing);
    else
        connection_answer(listing->exchange->connection);
}

static void listing_stop(struct source *source)
{
    struct listing *listing = CONTAINER_OF(source, struct listing, source);
    listing->is_stopping = true; /* a count is soon done */
}

static void listing_free(struct source *source)
{
    struct listing *listing = CONTAINER_OF(source, struct listing, source);
    walk_close(&listing->walk);
    buf_release(&listing->last_key);
    mem_free(listing);
}

static const struct source_ops listing_ops = {
    .send = listing_send,
    .free = listing_free,
    .stop = listing_stop,
};

/* ---- from the request to the reply ---- */

void listing_open(struct exchange *exchange, const struct listing_options *options)
{
    struct listing *listing = mem_alloc(sizeof *listing);
    if (!walk_open(&listing->walk, &exchange->connection->http->walks, listing_on_slice, listing)) {
        mem_free(listing);
        exchange_refuse(exchange, ST_BUSY,
                        "as many listings and counts as there may be are under "
                        "way; ask for pages, or again shortly");
        return;
    }
    listing->source.ops = &listing_ops;
    listing->exchange = exchange;
    listing->options = *options;
    listing->revision = 0;
    listing->status = ST_OK;
    listing->items_count = 0;
    listing->has_more = listing->is_stopping = false;
    buf_init(&listing->last_key, LIMIT_KEY_BYTES);
    exchange->source = &listing->source;
}

void listing_prepare(struct exchange *exchange)
{
    struct listing *listing = listing_of(exchange);
    if (!listing->options.is_count)
        return;
    listing->revision = kv_read_revision(exchange);
    if (!do_slice(listing, NULL))
        return;
    exchange->state = EXCHANGE_PREPARING;
    walk_ask(&listing->walk);
}

static bool listing_on_first(void *ctx, const struct kv_item *item)
{
    return false;
}

void listing_answer(struct exchange *exchange)
{
    struct listing *listing = listing_of(exchange);
    if (!listing->options.is_count) {
        listing->revision = kv_read_revision(exchange);
        listing->status = kv_scan_at(node_kv(http_of(listing)->node), &exchange->range,
                                     listing->revision, listing_on_first, NULL);
    }
    if (listing->status != ST_OK)
        kv_refuse_revision(exchange, listing->status, listing->revision);
    else if (listing->options.is_count)
        answer_count(listing);
    else
        answer_lines(listing);
}
