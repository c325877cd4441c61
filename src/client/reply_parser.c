#include "client/reply_parser.h"

#include <strings.h>

/* What one byte, or a run of them, led to. */
enum step { STEP_ON, STEP_DONE, STEP_BAD };

static enum step fail(struct reply_parser *parser, const char *reason)
{
    parser->failure = reason;
    return STEP_BAD;
}

static enum step fail_memory(struct reply_parser *parser)
{
    parser->is_no_memory = true;
    return fail(parser, "out of memory");
}

/* True when the byte belongs to a line's end, which is CR LF or, as RFC 9112 §2.2 allows, LF alone;
 * `out_ends` at its last byte. A CR anywhere else is an error. */
static bool is_line_end(struct reply_parser *parser, uint8_t byte, bool *out_ends)
{
    *out_ends = false;
    if (parser->after_return) {
        parser->after_return = false;
        if (byte != '\n')
            (void)fail(parser, "a line of the reply ends with a bare CR");
        *out_ends = byte == '\n';
        return true;
    }
    *out_ends = byte == '\n';
    parser->after_return = byte == '\r';
    return byte == '\n' || byte == '\r';
}

/* ---- status line ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "HTTP/1.1 204 No Content"; the reason is for people. */
static enum step end_status_line(struct reply_parser *parser)
{
    const char *line = parser->line;
    bool is_ours = parser->line_count >= 12 && memcmp(line, "HTTP/1.", 7) == 0 &&
                   (line[7] == '0' || line[7] == '1') && line[8] == ' ' && line[9] >= '1' &&
                   line[9] <= '9' && is_digit(line[10]) && is_digit(line[11]) &&
                   (parser->line_count == 12 || line[12] == ' ');
    if (!is_ours)
        return fail(parser, "the reply is not HTTP/1.1");
    parser->is_http_1_0 = line[7] == '0';
    parser->reply->code = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
    parser->state = REPLY_HEADER_NAME;
    parser->item_at = 0;
    return STEP_ON;
}

static enum step on_status_byte(struct reply_parser *parser, uint8_t byte)
{
    bool ends;
    if (is_line_end(parser, byte, &ends))
        return ends ? end_status_line(parser) : STEP_ON;
    if (parser->line_count < sizeof parser->line)
        parser->line[parser->line_count++] = (char)byte;
    if (parser->line_count <= 7 && memcmp(parser->line, "HTTP/1.", parser->line_count) != 0)
        return fail(parser, "the reply is not HTTP/1.1");
    return STEP_ON;
}

/* ---- headers ---- */

static enum step put_head(struct reply_parser *parser, uint8_t byte)
{
    return http_reply_add_head(parser->reply, &byte, 1) ? STEP_ON : fail_memory(parser);
}

static bool is_token(uint8_t byte)
{
    return byte > ' ' && byte < 0x7f && strchr("\"(),/:;<=>?@[\\]{}", byte) == NULL;
}

static enum step end_headers(struct reply_parser *parser);

static enum step on_name_byte(struct reply_parser *parser, uint8_t byte)
{
    bool is_empty = parser->reply->head_bytes == parser->item_at, ends;
    if (is_empty && is_line_end(parser, byte, &ends))
        return ends ? end_headers(parser) : STEP_ON;
    if (byte == ':' && !is_empty) {
        parser->state = REPLY_HEADER_VALUE;
        enum step step = put_head(parser, '\0');
        parser->item_at = parser->reply->head_bytes;
        return step;
    }
    if (!is_token(byte)) /* a folded line, among others */
        return fail(parser, "a header of the reply is malformed");
    return put_head(parser, byte);
}

static enum step end_value(struct reply_parser *parser)
{
    struct http_reply *reply = parser->reply;
    while (reply->head_bytes > parser->item_at && (reply->head[reply->head_bytes - 1] == ' ' ||
                                                   reply->head[reply->head_bytes - 1] == '\t'))
        reply->head_bytes--;
    if (++parser->headers_count > LIMIT_HEADERS)
        return fail(parser, "the reply has too many headers");
    parser->state = REPLY_HEADER_NAME;
    enum step step = put_head(parser, '\0');
    parser->item_at = reply->head_bytes;
    return step;
}

static enum step on_value_byte(struct reply_parser *parser, uint8_t byte)
{
    bool ends, is_empty = parser->reply->head_bytes == parser->item_at;
    if (is_line_end(parser, byte, &ends))
        return ends ? end_value(parser) : STEP_ON;
    if ((byte < ' ' && byte != '\t') || byte == 0x7f)
        return fail(parser, "a header of the reply is malformed");
    if (is_empty && (byte == ' ' || byte == '\t'))
        return STEP_ON;
    return put_head(parser, byte);
}

/* ---- how long the body is (RFC 9112 §6.3) ---- */

static enum step finish(struct reply_parser *parser, bool keeps_alive)
{
    const char *connection = http_reply_header(parser->reply, "Connection");
    bool says_close = connection != NULL && strcasestr(connection, "close") != NULL;
    bool says_keep = connection != NULL && strcasestr(connection, "keep-alive") != NULL;
    parser->keeps_alive = keeps_alive && !says_close && (!parser->is_http_1_0 || says_keep);
    return STEP_DONE;
}

/* 1xx only announces the reply that follows (RFC 9110 §15.2). */
static enum step skip_interim(struct reply_parser *parser)
{
    if (parser->reply->code == 101)
        return fail(parser, "the reply switches protocols");
    http_reply_clear(parser->reply);
    parser->state = REPLY_STATUS_LINE;
    parser->line_count = parser->headers_count = 0;
    return STEP_ON;
}

/* Every Content-Length there is, as one number; false when malformed or at odds. */
static bool read_length(const struct http_reply *reply, bool *out_is_given, uint64_t *out_length)
{
    *out_is_given = false;
    if (reply->head_bytes == 0)
        return true;
    const char *at = reply->head, *end = reply->head + reply->head_bytes;
    while (at < end) {
        const char *value = at + strlen(at) + 1, *next = value + strlen(value) + 1;
        if (strcasecmp(at, "Content-Length") == 0) {
            uint64_t length = 0;
            size_t digits = (size_t)(next - value) - 1;
            for (size_t i = 0; i < digits && is_digit(value[i]); i++)
                length = length * 10 + (uint64_t)(value[i] - '0');
            if (digits == 0 || digits > 18 || strspn(value, "0123456789") != digits ||
                (*out_is_given && length != *out_length))
                return false;
            *out_is_given = true;
            *out_length = length;
        }
        at = next;
    }
    return true;
}

static enum step end_headers(struct reply_parser *parser)
{
    struct http_reply *reply = parser->reply;
    bool has_length;
    uint64_t length = 0;
    const char *coding = http_reply_header(reply, "Transfer-Encoding");
    if (reply->code < 200)
        return skip_interim(parser);
    if (!read_length(reply, &has_length, &length))
        return fail(parser, "the length of the reply is malformed");
    if (parser->is_head_only || reply->code == 204 || reply->code == 304)
        return finish(parser, true);
    if (coding != NULL) {
        if (has_length || parser->is_http_1_0 || strcasecmp(coding, "chunked") != 0)
            return fail(parser, "the length of the reply is malformed");
        parser->state = REPLY_CHUNK_SIZE;
        parser->left = parser->digits_count = 0;
        return STEP_ON;
    }
    if (!has_length) {
        parser->state = REPLY_BODY_TO_END;
        return STEP_ON;
    }
    if (length > HTTP_REPLY_BODY_BYTES)
        return fail(parser, "the body of the reply is too long");
    parser->state = REPLY_BODY;
    parser->left = length;
    return length == 0 ? finish(parser, true) : STEP_ON;
}

/* ---- chunks ---- */

static int hex_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

static enum step end_chunk_size(struct reply_parser *parser)
{
    if (parser->digits_count == 0)
        return fail(parser, "a chunk of the reply is malformed");
    if (parser->left > HTTP_REPLY_BODY_BYTES)
        return fail(parser, "the body of the reply is too long");
    parser->state = parser->left == 0 ? REPLY_TRAILER : REPLY_CHUNK;
    parser->digits_count = 0;
    return STEP_ON;
}

static enum step on_chunk_size_byte(struct reply_parser *parser, uint8_t byte)
{
    bool ends;
    int digit = hex_digit(byte);
    if (is_line_end(parser, byte, &ends))
        return ends ? end_chunk_size(parser) : STEP_ON;
    if (parser->state == REPLY_CHUNK_EXTENSION)
        return STEP_ON;
    if ((byte == ';' || byte == ' ' || byte == '\t') && parser->digits_count != 0) {
        parser->state = REPLY_CHUNK_EXTENSION;
        return STEP_ON;
    }
    if (digit < 0 || ++parser->digits_count > 8)
        return fail(parser, "a chunk of the reply is malformed");
    parser->left = parser->left * 16 + (uint64_t)digit;
    return STEP_ON;
}

static enum step on_chunk_end_byte(struct reply_parser *parser, uint8_t byte)
{
    bool ends;
    if (!is_line_end(parser, byte, &ends))
        return fail(parser, "a chunk of the reply is malformed");
    if (ends) {
        parser->state = REPLY_CHUNK_SIZE;
        parser->left = parser->digits_count = 0;
    }
    return STEP_ON;
}

/* Trailers are read over: nothing of ours is ever there. */
static enum step on_trailer_byte(struct reply_parser *parser, uint8_t byte)
{
    bool ends;
    if (!is_line_end(parser, byte, &ends)) {
        parser->digits_count++;
        return STEP_ON;
    }
    if (!ends)
        return STEP_ON;
    if (parser->digits_count == 0)
        return finish(parser, true);
    parser->digits_count = 0;
    return ++parser->headers_count > LIMIT_HEADERS ? fail(parser, "the reply has too many headers")
                                                   : STEP_ON;
}

/* ---- bodies ---- */

static enum step on_body(struct reply_parser *parser, struct bytes bytes, size_t *out_used)
{
    bool to_end = parser->state == REPLY_BODY_TO_END;
    size_t count = to_end ? bytes.count : (size_t)MIN((uint64_t)bytes.count, parser->left);
    *out_used = count;
    if (count > HTTP_REPLY_BODY_BYTES - parser->reply->body_bytes)
        return fail(parser, "the body of the reply is too long");
    if (!http_reply_add_body(parser->reply, bytes.data, count))
        return fail_memory(parser);
    if (to_end)
        return STEP_ON;
    parser->left -= count;
    if (parser->left != 0)
        return STEP_ON;
    if (parser->state == REPLY_BODY)
        return finish(parser, true);
    parser->state = REPLY_CHUNK_END;
    return STEP_ON;
}

static enum step on_byte(struct reply_parser *parser, uint8_t byte)
{
    switch (parser->state) {
    case REPLY_STATUS_LINE:
        return on_status_byte(parser, byte);
    case REPLY_HEADER_NAME:
        return on_name_byte(parser, byte);
    case REPLY_HEADER_VALUE:
        return on_value_byte(parser, byte);
    case REPLY_CHUNK_SIZE:
    case REPLY_CHUNK_EXTENSION:
        return on_chunk_size_byte(parser, byte);
    case REPLY_CHUNK_END:
        return on_chunk_end_byte(parser, byte);
    case REPLY_TRAILER:
        return on_trailer_byte(parser, byte);
    case REPLY_BODY:
    case REPLY_BODY_TO_END:
    case REPLY_CHUNK:
        break; /* taken in runs */
    }
    return STEP_BAD;
}

/* ---- the whole ---- */

void reply_parser_init(struct reply_parser *parser, struct http_reply *reply, bool is_head_only)
{
    *parser = (struct reply_parser){
        .reply = reply, .state = REPLY_STATUS_LINE, .is_head_only = is_head_only};
}

static bool is_in_body(const struct reply_parser *parser)
{
    return parser->state == REPLY_BODY || parser->state == REPLY_BODY_TO_END ||
           parser->state == REPLY_CHUNK;
}

enum reply_progress reply_parser_feed(struct reply_parser *parser, struct bytes bytes,
                                      size_t *out_used)
{
    size_t at = 0;
    enum step step = STEP_ON;
    parser->has_started = parser->has_started || bytes.count != 0;
    while (at < bytes.count && step == STEP_ON && parser->failure == NULL) {
        size_t used = 1;
        if (is_in_body(parser))
            step = on_body(parser, bytes_of(bytes.data + at, bytes.count - at), &used);
        else if (++parser->head_bytes > LIMIT_HEADERS_BYTES + parser->reply->body_bytes)
            step = fail(parser, "the headers of the reply are too long");
        else
            step = on_byte(parser, bytes.data[at]);
        at += used;
    }
    *out_used = at;
    if (parser->failure != NULL)
        return parser->is_no_memory ? REPLY_NO_MEMORY : REPLY_BAD;
    return step == STEP_DONE ? REPLY_DONE : REPLY_MORE;
}

enum reply_progress reply_parser_end(struct reply_parser *parser, bool in_order)
{
    /* A body without a length ends with the stream; then this completes the message. */
    if (in_order && parser->state == REPLY_BODY_TO_END) {
        (void)finish(parser, false);
        return REPLY_DONE;
    }
    parser->failure = parser->has_started ? "the connection was lost in the middle of the reply"
                                          : "the connection was lost before the reply";
    return REPLY_BAD;
}
