#include "http/listing.h"

#include "base/mem.h"
#include "http/api.h"
#include "http/connection.h"
#include "http/json.h"
#include "http/reply.h"
#include "http/server.h"
#include "http/source.h"
#include "http/walk.h"

enum { RESTARTS_MAX = 3 }; /* of a page that compaction has overtaken */

struct listing {
    struct source source;
    struct walk walk;          /* of lines */
    struct exchange *exchange; /* borrowed */
    uint64_t revision;         /* that it is of */
    enum status status;
    uint64_t items_count; /* so far */
    bool has_more;        /* than exchange->items_max, or than a page holds */
    bool is_stopping;
    unsigned restarts_count;
    struct buf place;     /* owned: the last key looked at; the range goes on behind it */
    struct buf last_item; /* owned: the last key that is an item, in the slices before */
    struct buf body;      /* owned: of a page, what the slices before have made */

    /* the slice */
    struct buf *out; /* NULL: counts */
    size_t slice_count, slice_start;
    struct bytes last; /* borrowed: its last item */
    bool is_over;      /* it ends here, and the range may not */
};

static struct http *http_of(const struct listing *listing)
{
    return listing->exchange->connection->http;
}

static const struct kv *kv_of(const struct listing *listing)
{
    return node_kv(http_of(listing)->node);
}

/* ---- a slice ---- */

static void page_put_item(struct listing *listing, const struct kv_item *item)
{
    struct buf *out = listing->out;
    size_t count = out->count;
    if (listing->items_count != 0)
        buf_put(out, BYTES_LITERAL(","));
    kv_put_item(out, item, listing->exchange->keys_only);
    /* Ends before it grows too long; one item always fits. */
    listing->has_more = listing->items_count != 0 &&
                        (out->is_full || listing->body.count + out->count > LIMIT_LIST_BYTES);
    if (!listing->has_more)
        return;
    out->count = count;
    out->is_full = false;
}

static void put_item(struct listing *listing, const struct kv_item *item)
{
    switch (listing->exchange->listing) {
    case LISTING_COUNT:
        return;
    case LISTING_PAGE:
        page_put_item(listing, item);
        return;
    case LISTING_LINES:
        kv_put_item(listing->out, item, listing->exchange->keys_only);
        buf_put(listing->out, BYTES_LITERAL("\n"));
        return;
    }
    UNREACHABLE();
}

/* Counts are bound by what is looked at. */
static bool is_enough(const struct listing *listing)
{
    if (listing->exchange->listing == LISTING_COUNT)
        return false;
    size_t bytes = listing->out->count - listing->slice_start;
    if (listing->exchange->listing == LISTING_PAGE)
        return bytes >= LIMIT_PAGE_SLICE_BYTES;
    return listing->slice_count >= LIMIT_LINES || bytes >= LIMIT_LINES_BYTES;
}

static bool listing_on_item(void *ctx, const struct kv_item *item)
{
    struct listing *listing = ctx;
    listing->has_more = listing->items_count == listing->exchange->items_max;
    if (!listing->has_more)
        put_item(listing, item);
    if (listing->has_more)
        return false;
    listing->items_count++;
    listing->slice_count++;
    listing->last = item->key;
    listing->is_over = is_enough(listing);
    return !listing->is_over;
}

static void set(struct buf *buf, struct bytes bytes)
{
    buf_reset(buf);
    buf_put(buf, bytes);
}

static struct bytes last_item(const struct listing *listing)
{
    return listing->slice_count != 0 ? listing->last : buf_bytes(&listing->last_item);
}

/* False: that was the last one, for whatever reason. */
static bool do_slice(struct listing *listing, struct buf *out)
{
    struct kv_range range = listing->exchange->range;
    struct kv_looks looks = {.left = LIMIT_LOOKS};
    if (listing->place.count != 0)
        range.after = buf_bytes(&listing->place);
    listing->out = out;
    listing->slice_count = 0;
    listing->last = bytes_of(NULL, 0);
    listing->slice_start = out->count;
    listing->is_over = false;
    listing->status =
        kv_scan_at(kv_of(listing), &range, listing->revision, &looks, listing_on_item, listing);
    turn_spend(&listing->exchange->connection->turn,
               (size_t)(LIMIT_LOOKS - looks.left) * TURN_LOOK_BYTES);
    if (listing->status != ST_OK || (!listing->is_over && looks.last.count == 0))
        return false;
    set(&listing->place, listing->is_over ? listing->last : looks.last);
    if (listing->slice_count != 0)
        set(&listing->last_item, listing->last);
    return true;
}

/* ---- as one reply: counts and pages ---- */

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

/* rest   the last slice, in scratch */
static void answer_page(struct listing *listing, struct buf *rest)
{
    struct exchange *exchange = listing->exchange;
    buf_put(rest, BYTES_LITERAL("],"));
    if (listing->has_more)
        json_put_bytes(rest, "next", last_item(listing));
    else
        buf_put(rest, BYTES_LITERAL("\"next\":null"));
    buf_put(rest, BYTES_LITERAL(",\"revision\":"));
    buf_put_decimal(rest, listing->revision);
    buf_put(rest, BYTES_LITERAL("}\n"));
    INVARIANT(!rest->is_full);
    struct buf *out = reply_begin(exchange, 200);
    if (listing->has_more)
        list_put_link(exchange, out, last_item(listing), listing->revision);
    reply_end_parts(exchange, CONTENT_JSON, buf_bytes(&listing->body), buf_bytes(rest));
}

static void drop_body(struct listing *listing)
{
    http_of(listing)->replies_bytes -= listing->body.count;
    buf_release(&listing->body);
}

/* A page of the present may as well be of what is the present now. */
static bool begins_anew(struct listing *listing)
{
    if (listing->status != ST_COMPACTED || listing->exchange->revision != 0 ||
        listing->exchange->listing != LISTING_PAGE || listing->restarts_count == RESTARTS_MAX)
        return false;
    listing->restarts_count++;
    listing->revision = kv_read_revision(listing->exchange);
    listing->items_count = 0;
    buf_reset(&listing->place);
    drop_body(listing);
    return true;
}

/* The slices before stay with it; they count as the reply that they are part of. */
static void keep_slice(struct listing *listing, const struct buf *slice)
{
    if (listing->exchange->listing != LISTING_PAGE)
        return;
    buf_put(&listing->body, buf_bytes(slice));
    INVARIANT(!listing->body.is_full);
    http_of(listing)->replies_bytes += slice->count;
    turn_spend(&listing->exchange->connection->turn, slice->count);
}

static void answer_whole(struct listing *listing)
{
    struct exchange *exchange = listing->exchange;
    struct buf *slice = reply_scratch(exchange);
    if (exchange->listing == LISTING_PAGE && listing->place.count == 0)
        buf_put(slice, BYTES_LITERAL("{\"items\":["));
    exchange->is_unfinished = do_slice(listing, slice);
    if (exchange->is_unfinished)
        keep_slice(listing, slice);
    else if (listing->status != ST_OK && begins_anew(listing))
        exchange->is_unfinished = true;
    else if (listing->status != ST_OK)
        kv_refuse_revision(exchange, listing->status, listing->revision);
    else if (exchange->listing == LISTING_COUNT)
        answer_count(listing);
    else
        answer_page(listing, slice);
}

/* ---- lines ---- */

static void put_last_line(struct listing *listing, struct buf *out)
{
    buf_put(out, BYTES_LITERAL("{"));
    if (listing->has_more)
        json_put_bytes(out, "next", last_item(listing));
    else
        buf_put(out, BYTES_LITERAL("\"next\":null"));
    buf_put(out, BYTES_LITERAL(",\"revision\":"));
    buf_put_decimal(out, listing->revision);
    buf_put(out, BYTES_LITERAL(",\"count\":"));
    buf_put_decimal(out, listing->items_count);
    buf_put(out, BYTES_LITERAL("}\n"));
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
    connection_answer(listing->exchange->connection);
}

static void listing_stop(struct source *source)
{
    struct listing *listing = CONTAINER_OF(source, struct listing, source);
    listing->is_stopping = true; /* a count, and a page, is soon done */
}

static void answer_lines(struct listing *listing)
{
    struct exchange *exchange = listing->exchange;
    enum status status = kv_may_read(kv_of(listing), listing->revision);
    if (status != ST_OK) {
        kv_refuse_revision(exchange, status, listing->revision);
    } else if (!walk_open(&listing->walk, &http_of(listing)->walks, listing_on_slice, listing)) {
        reply_problem(exchange, ST_BUSY,
                      "as many listings as there may be are under way; ask for pages, or again "
                      "shortly");
    } else {
        (void)reply_begin(exchange, 200); /* no headers of its own */
        reply_end_chunked(exchange, CONTENT_LINES);
    }
}

/* ---- from the turn to the reply ---- */

static void listing_free(struct source *source)
{
    struct listing *listing = CONTAINER_OF(source, struct listing, source);
    if (listing->walk.walks != NULL)
        walk_close(&listing->walk);
    drop_body(listing);
    buf_release(&listing->place);
    buf_release(&listing->last_item);
    mem_free(listing);
}

static const struct source_ops listing_ops = {
    .send = listing_send,
    .free = listing_free,
    .stop = listing_stop,
};

static struct listing *listing_new(struct exchange *exchange)
{
    struct listing *listing = mem_alloc(sizeof *listing);
    listing->source.ops = &listing_ops;
    listing->exchange = exchange;
    listing->revision = kv_read_revision(exchange);
    buf_init(&listing->place, LIMIT_KEY_BYTES);
    buf_init(&listing->last_item, LIMIT_KEY_BYTES);
    buf_init(&listing->body, 2 * LIMIT_REPLY_BYTES);
    return listing;
}

void listing_answer(struct exchange *exchange)
{
    if (exchange->source == NULL)
        exchange->source = &listing_new(exchange)->source;
    struct listing *listing = CONTAINER_OF(exchange->source, struct listing, source);
    if (exchange->listing == LISTING_LINES)
        answer_lines(listing);
    else
        answer_whole(listing);
}
