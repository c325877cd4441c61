#include "http/value.h"

#include "base/base64.h"
#include "base/mem.h"
#include "http/api.h"
#include "http/connection.h"
#include "http/json.h"
#include "http/reply.h"
#include "http/server.h"

enum value_form { VALUE_RAW, VALUE_TEXT, VALUE_BASE64 };

enum { BASE64_GROUP_BYTES = 3 }; /* pieces of whole groups give the whole */

struct value {
    struct source source;
    struct exchange *exchange; /* borrowed */
    struct kv_item item;       /* the version; its key and value are not kept here */
    uint64_t revision;         /* at which it was read */
    enum value_form form;
    size_t bytes_count; /* of it */
    size_t at;          /* of these, sent */
    struct buf rest;    /* owned: its end, once it has been replaced */
};

static struct http *http_of(const struct value *value)
{
    return value->exchange->connection->http;
}

/* ---- what is around it ---- */

static void put_front(const struct value *value, struct buf *out)
{
    if (value->form == VALUE_RAW)
        return;
    buf_put(out, BYTES_LITERAL("{"));
    json_put_bytes(out, "key", value->exchange->key);
    buf_put(out, value->form == VALUE_TEXT ? BYTES_LITERAL(",\"value\":\"")
                                           : BYTES_LITERAL(",\"value_base64\":\""));
}

static void put_end(const struct value *value, struct buf *out)
{
    if (value->form == VALUE_RAW)
        return;
    buf_put(out, BYTES_LITERAL("\""));
    kv_put_revisions(out, &value->item);
    buf_put(out, BYTES_LITERAL("}\n"));
}

static uint64_t body_bytes(const struct value *value, struct bytes bytes)
{
    struct buf *around = reply_scratch(value->exchange);
    put_front(value, around);
    put_end(value, around);
    switch (value->form) {
    case VALUE_RAW:
        return bytes.count;
    case VALUE_TEXT:
        return around->count + json_escaped_bytes(bytes);
    case VALUE_BASE64:
        return around->count + (bytes.count + 2) / BASE64_GROUP_BYTES * 4;
    }
    UNREACHABLE();
}

/* ---- its pieces ---- */

/* What is left is kept here, unless others keep too much already: then it is where it is for as
 * long as it can be read. Rests alone, whose readers may take their time, never come to what makes
 * watches and listings wait. */
static void keep_rest(struct value *value, struct bytes rest)
{
    struct http *http = http_of(value);
    if (http->replies_bytes + rest.count > LIMIT_SOURCES_BYTES / 2)
        return;
    buf_init(&value->rest, rest.count);
    buf_put(&value->rest, rest);
    http->replies_bytes += rest.count;
    turn_spend(&value->exchange->connection->turn, rest.count);
}

/* The version where it lies. Its revision may be compacted and it readable still: until what has
 * replaced it is. */
static bool find_version(const struct value *value, struct kv_item *out_item, bool *out_is_newest)
{
    const struct kv *kv = node_kv(http_of(value)->node);
    struct bytes key = value->exchange->key;
    uint64_t version = value->item.mod_revision;
    *out_is_newest = kv_get(kv, key, out_item) && out_item->mod_revision == version;
    if (*out_is_newest)
        return true;
    struct kv_stats stats;
    kv_stats(kv, &stats);
    uint64_t revision = MAX(value->revision, stats.compacted);
    return kv_get_at(kv, key, revision, out_item) == ST_OK && out_item->mod_revision == version;
}

/* What is left of the version. False: nobody knows it any more. */
static bool find_rest(struct value *value, struct bytes *out_rest)
{
    size_t left = value->bytes_count - value->at;
    struct kv_item item;
    bool is_newest;
    if (value->rest.count != 0) {
        *out_rest = bytes_of(value->rest.data + value->rest.count - left, left);
        return true;
    }
    if (!find_version(value, &item, &is_newest))
        return false;
    INVARIANT(item.value.count == value->bytes_count);
    *out_rest = bytes_of(item.value.data + value->at, left);
    if (!is_newest)
        keep_rest(value, *out_rest);
    return true;
}

static void put_piece(const struct value *value, struct bytes piece, struct buf *out)
{
    switch (value->form) {
    case VALUE_RAW:
        buf_put(out, piece);
        return;
    case VALUE_TEXT:
        json_put_escaped(out, piece);
        return;
    case VALUE_BASE64:
        base64_put(out, piece);
        return;
    }
    UNREACHABLE();
}

static enum source_step value_send(struct source *source, struct buf *out)
{
    static_assert(LIMIT_VALUE_PIECE_BYTES % BASE64_GROUP_BYTES == 0, "whole groups");
    struct value *value = CONTAINER_OF(source, struct value, source);
    struct bytes rest;
    if (!find_rest(value, &rest))
        return SOURCE_BROKEN;
    if (value->at == 0)
        put_front(value, out);
    size_t count = MIN(rest.count, (size_t)LIMIT_VALUE_PIECE_BYTES);
    put_piece(value, bytes_of(rest.data, count), out);
    value->at += count;
    if (value->at < value->bytes_count)
        return SOURCE_MORE;
    put_end(value, out);
    return SOURCE_DONE;
}

static void value_free(struct source *source)
{
    struct value *value = CONTAINER_OF(source, struct value, source);
    http_of(value)->replies_bytes -= value->rest.count;
    buf_release(&value->rest);
    mem_free(value);
}

static const struct source_ops ops = {
    .send = value_send, .free = value_free, .is_made_as_taken = true};

void value_answer(struct exchange *exchange, const struct kv_item *item, uint64_t revision)
{
    REQUIRE(item->value.count != 0);
    REQUIRE(exchange->source == NULL);

    struct value *value = mem_alloc(sizeof *value);
    value->source.ops = &ops;
    value->exchange = exchange;
    value->item = *item;
    value->item.key = value->item.value = bytes_of(NULL, 0);
    value->revision = revision;
    value->bytes_count = item->value.count;
    value->form = exchange->wants_raw          ? VALUE_RAW
                  : utf8_is_valid(item->value) ? VALUE_TEXT
                                               : VALUE_BASE64;
    exchange->source = &value->source;
    reply_end_head(exchange, exchange->wants_raw ? CONTENT_RAW : CONTENT_JSON,
                   body_bytes(value, item->value));
    if (!exchange->is_head_only)
        exchange->state = EXCHANGE_SENDING;
}
