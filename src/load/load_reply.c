#include "load/load_reply.h"

#include <stdio.h>
#include <strings.h>

struct framing {
    bool is_chunked;
    uint64_t length;
};

/* The value of a header line called `name` (with its colon); false: the line is another one. */
static bool take_header(struct bytes line, const char *name, struct bytes *out_value)
{
    size_t count = strlen(name);
    if (line.count < count || strncasecmp((const char *)line.data, name, count) != 0)
        return false;
    while (count < line.count && line.data[count] == ' ')
        count++;
    *out_value = bytes_of(line.data + count, line.count - count);
    return true;
}

static bool read_length(struct bytes text, uint64_t *out_length)
{
    uint64_t length = 0;
    for (size_t i = 0; i < text.count; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || length > UINT32_MAX)
            return false;
        length = length * 10 + (uint64_t)(text.data[i] - '0');
    }
    *out_length = length;
    return text.count > 0;
}

/* The first letter says which headers a line may be: most lines are none of ours. */
static bool take_line(struct bytes line, struct load_reply *reply, struct framing *framing)
{
    struct bytes value;
    switch (line.data[0] | 0x20) {
    case 'c':
        if (take_header(line, "content-length:", &value))
            return read_length(value, &framing->length);
        if (take_header(line, "connection:", &value))
            reply->closes = bytes_has_prefix(value, BYTES_LITERAL("close"));
        return true;
    case 't':
        framing->is_chunked =
            framing->is_chunked || take_header(line, "transfer-encoding:", &value);
        return true;
    case 'x':
        if (take_header(line, "x-minikv-effect:", &value))
            reply->effect = value;
        return true;
    }
    return true;
}

/* Bytes of the head, the empty line included. */
static enum load_progress parse_head(struct bytes bytes, struct load_reply *reply,
                                     struct framing *framing, size_t *out_count)
{
    const uint8_t *at = bytes.data, *end = bytes.data + bytes.count;
    for (bool is_first = true;; is_first = false) {
        const uint8_t *line_end = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
        if (line_end == NULL)
            return LOAD_REPLY_MORE;
        size_t count = (size_t)(line_end - at);
        if (count > 0 && at[count - 1] == '\r')
            count--;
        struct bytes line = bytes_of(at, count);
        at = line_end + 1;
        if (is_first) {
            uint64_t status;
            if (count < 12 || memcmp(line.data, "HTTP/1.", 7) != 0 ||
                !read_length(bytes_of(line.data + 9, 3), &status))
                return LOAD_REPLY_BAD;
            reply->status = (unsigned)status;
        } else if (count == 0) {
            *out_count = (size_t)(at - bytes.data);
            return LOAD_REPLY_WHOLE;
        } else if (!take_line(line, reply, framing)) {
            return LOAD_REPLY_BAD;
        }
    }
}

/* One line with the size of a chunk, and what it announces. */
static enum load_progress parse_chunk(struct bytes bytes, size_t *at, bool *out_is_last)
{
    const uint8_t *line = bytes.data + *at;
    const uint8_t *end = memchr(line, '\n', bytes.count - *at);
    uint64_t size = 0;
    size_t digits = 0;
    if (end == NULL)
        return LOAD_REPLY_MORE;
    for (; line + digits < end; digits++) {
        unsigned c = line[digits] | 0x20u;
        if (c >= '0' && c <= '9')
            size = size * 16 + (c - '0');
        else if (c >= 'a' && c <= 'f')
            size = size * 16 + (c - 'a' + 10);
        else
            break;
    }
    if (digits == 0 || digits > 7)
        return LOAD_REPLY_BAD;
    *at = (size_t)(end + 1 - bytes.data) + (size_t)size + 2; /* and the line end behind it */
    *out_is_last = size == 0; /* trailers: nobody who is measured here sends any */
    return *at <= bytes.count ? LOAD_REPLY_WHOLE : LOAD_REPLY_MORE;
}

static enum load_progress parse_chunks(struct bytes bytes, size_t *at)
{
    for (bool is_last = false; !is_last;) {
        enum load_progress progress = LOAD_REPLY_MORE;
        if (*at < bytes.count)
            progress = parse_chunk(bytes, at, &is_last);
        if (progress != LOAD_REPLY_WHOLE)
            return progress;
    }
    return LOAD_REPLY_WHOLE;
}

/* One line, and behind the length of a string the string: what Redis answers to SET and GET. */
static enum load_progress parse_resp(struct bytes bytes, struct load_reply *out_reply,
                                     size_t *out_count)
{
    const uint8_t *end = memchr(bytes.data, '\n', bytes.count);
    uint64_t length = 0;
    if (end == NULL)
        return LOAD_REPLY_MORE;
    size_t at = (size_t)(end + 1 - bytes.data);
    bool is_error = bytes.data[0] == '-', is_nil = bytes.data[0] == '$' && bytes.data[1] == '-';
    bool is_string = bytes.data[0] == '$' && !is_nil;
    if (at < 3 || (is_string && !read_length(bytes_of(bytes.data + 1, at - 3), &length)))
        return LOAD_REPLY_BAD;
    if (is_string)
        at += (size_t)length + 2;
    if (at > bytes.count)
        return LOAD_REPLY_MORE;
    *out_reply = (struct load_reply){.status = is_error ? 500 : is_nil ? 404 : 200};
    *out_count = at;
    return LOAD_REPLY_WHOLE;
}

static bool is_resp(struct bytes bytes)
{
    return bytes.count > 0 && memchr("+-:$", bytes.data[0], 4) != NULL;
}

enum load_progress load_reply_parse(struct bytes bytes, struct load_reply *out_reply,
                                    size_t *out_count)
{
    if (is_resp(bytes))
        return parse_resp(bytes, out_reply, out_count);
    struct load_reply reply = {0};
    struct framing framing = {0};
    size_t at = 0;
    enum load_progress progress = parse_head(bytes, &reply, &framing, &at);
    size_t head = at;
    if (progress != LOAD_REPLY_WHOLE)
        return progress;
    if (reply.status == 204 || reply.status == 304)
        framing = (struct framing){0};
    if (framing.is_chunked) {
        progress = parse_chunks(bytes, &at);
    } else {
        at += (size_t)framing.length;
        progress = at <= bytes.count ? LOAD_REPLY_WHOLE : LOAD_REPLY_MORE;
    }
    if (progress != LOAD_REPLY_WHOLE)
        return progress;
    reply.body = bytes_of(bytes.data + head, at - head);
    *out_reply = reply;
    *out_count = at;
    return LOAD_REPLY_WHOLE;
}

void load_reply_word(const struct load_reply *reply, char out_word[32])
{
    static const char before[] = "urn:minikv:";
    const uint8_t *body = reply->body.data;
    const char *found = NULL;
    if (reply->body.count > 0)
        found = memmem(body, reply->body.count, before, sizeof before - 1);
    size_t count = 0;
    if (found != NULL) {
        found += sizeof before - 1;
        size_t left = reply->body.count - (size_t)((const uint8_t *)found - body);
        while (count < left && count < 31 &&
               (found[count] == '-' || (found[count] >= 'a' && found[count] <= 'z')))
            count++;
    }
    if (count > 0)
        (void)snprintf(out_word, 32, "%.*s", (int)count, found);
    else
        (void)snprintf(out_word, 32, "http-%u", reply->status);
}
