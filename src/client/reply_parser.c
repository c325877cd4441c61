#include "client/reply_parser.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

static int fail(struct reply_parser *parser, const char *reason)
{
    parser->failure = reason;
    return HPE_USER;
}

/* Appends to a block that doubles up to `count_max`; false when it would grow past that. */
static bool append(void **data, size_t *count, size_t *capacity, size_t count_max,
                   const void *bytes, size_t bytes_count)
{
    if (bytes_count > count_max - *count)
        return false;
    size_t wanted = *count + bytes_count;
    if (wanted > *capacity) {
        size_t grown = MIN(count_max, MAX(wanted, *capacity * 2 + 512));
        void *moved = realloc(*data, grown);
        if (moved == NULL)
            return false;
        *data = moved;
        *capacity = grown;
    }
    if (bytes_count != 0)
        memcpy((uint8_t *)*data + *count, bytes, bytes_count);
    *count = wanted;
    return true;
}

static int put_head(llhttp_t *llhttp, const void *bytes, size_t count)
{
    struct reply_parser *parser = llhttp->data;
    void *head = parser->reply->head;
    bool has_room = append(&head, &parser->reply->head_bytes, &parser->head_capacity,
                           LIMIT_HEADERS_BYTES, bytes, count);
    parser->reply->head = head;
    return has_room ? 0 : fail(parser, "the headers of the reply are too long");
}

static int on_header_bytes(llhttp_t *llhttp, const char *at, size_t count)
{
    return put_head(llhttp, at, count);
}

static int on_header_text_complete(llhttp_t *llhttp)
{
    return put_head(llhttp, "", 1);
}

static int on_header_value_complete(llhttp_t *llhttp)
{
    struct reply_parser *parser = llhttp->data;
    if (++parser->headers_count > LIMIT_HEADERS)
        return fail(parser, "the reply has too many headers");
    return put_head(llhttp, "", 1);
}

static int on_body(llhttp_t *llhttp, const char *at, size_t count)
{
    struct reply_parser *parser = llhttp->data;
    void *body = parser->reply->body;
    bool has_room = append(&body, &parser->reply->body_bytes, &parser->body_capacity,
                           HTTP_REPLY_BODY_BYTES, at, count);
    parser->reply->body = body;
    return has_room ? 0 : fail(parser, "the body of the reply is too long");
}

/* 1xx only announces the reply that follows (RFC 9110 §15.2). */
static int on_message_complete(llhttp_t *llhttp)
{
    struct reply_parser *parser = llhttp->data;
    if (llhttp->status_code < 200) {
        parser->reply->head_bytes = 0;
        parser->headers_count = 0;
        return 0;
    }
    parser->reply->code = llhttp->status_code;
    parser->keeps_alive = llhttp_should_keep_alive(llhttp); /* known only here */
    parser->is_done = true;
    return HPE_PAUSED;
}

void reply_parser_init(struct reply_parser *parser, struct http_reply *reply)
{
    *parser = (struct reply_parser){.reply = reply};
    llhttp_settings_init(&parser->settings);
    parser->settings.on_header_field = on_header_bytes;
    parser->settings.on_header_field_complete = on_header_text_complete;
    parser->settings.on_header_value = on_header_bytes;
    parser->settings.on_header_value_complete = on_header_value_complete;
    parser->settings.on_body = on_body;
    parser->settings.on_message_complete = on_message_complete;
    llhttp_init(&parser->llhttp, HTTP_RESPONSE, &parser->settings);
    parser->llhttp.data = parser;
}

enum reply_progress reply_parser_feed(struct reply_parser *parser, struct bytes bytes)
{
    if (bytes.count != 0)
        parser->has_started = true;
    llhttp_errno_t failure = llhttp_execute(&parser->llhttp, (const char *)bytes.data, bytes.count);
    if (parser->is_done) {
        const char *end = (const char *)bytes.data + bytes.count;
        parser->has_surplus = llhttp_get_error_pos(&parser->llhttp) != end;
        return REPLY_DONE;
    }
    if (failure == HPE_OK)
        return REPLY_MORE;
    if (parser->failure == NULL)
        parser->failure = "the reply is not HTTP/1.1";
    return REPLY_BAD;
}

enum reply_progress reply_parser_end(struct reply_parser *parser, bool in_order)
{
    /* A body without a length ends with the stream; then this completes the message. */
    if (in_order && parser->has_started)
        (void)llhttp_finish(&parser->llhttp);
    if (parser->is_done)
        return REPLY_DONE;
    if (parser->has_started)
        parser->failure = "the connection was lost in the middle of the reply";
    else
        parser->failure = "the connection was lost before the reply";
    return REPLY_BAD;
}

bool reply_parser_keeps_alive(const struct reply_parser *parser)
{
    return parser->keeps_alive && !parser->has_surplus;
}

const char *reply_parser_failure(const struct reply_parser *parser)
{
    return parser->failure;
}
