#include "endurance/answer.h"

#include <stdio.h>
#include <strings.h>

#include "base/check.h"

enum { HEAD_LINE_BYTES_MIN = 12, BODY_BYTES_MAX = 1 << 20, DIGITS_MAX = 18 };

static bool parse_digits(struct bytes digits, uint64_t *out_number)
{
    uint64_t number = 0;
    if (digits.count == 0 || digits.count > DIGITS_MAX)
        return false;
    for (size_t i = 0; i < digits.count; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9')
            return false;
        number = number * 10 + (uint64_t)(digits.data[i] - '0');
    }
    *out_number = number;
    return true;
}

/* The value when `line` is the header `name`, which is "Name: ". */
static bool take_header(struct bytes line, const char *name, struct bytes *out_value)
{
    size_t count = strlen(name);
    if (line.count < count || strncasecmp((const char *)line.data, name, count) != 0)
        return false;
    *out_value = bytes_of(line.data + count, line.count - count);
    return true;
}

static bool take_line(struct answer *answer, struct bytes line, uint64_t *body_count)
{
    struct bytes value;
    if (take_header(line, "Content-Length: ", &value))
        return parse_digits(value, body_count) && *body_count <= BODY_BYTES_MAX;
    if (take_header(line, "X-MiniKV-Replayed: ", &value)) {
        answer->is_replayed = true;
        return bytes_equal_text(value, "true");
    }
    if (take_header(line, "Connection: ", &value))
        answer->closes = bytes_equal_text(value, "close");
    if (take_header(line, "ETag: ", &value)) {
        if (value.count > ANSWER_ETAG_BYTES)
            return false;
        memcpy(answer->etag, value.data, value.count);
        answer->etag_count = (uint8_t)value.count;
    }
    return true;
}

/* `head` is from the status line to the last CRLF before the empty line. */
static bool parse_head(struct bytes head, struct answer *answer, uint64_t *body_count)
{
    uint64_t status;
    if (head.count < HEAD_LINE_BYTES_MIN || memcmp(head.data, "HTTP/1.1 ", 9) != 0 ||
        !parse_digits(bytes_of(head.data + 9, 3), &status))
        return false;
    answer->status = (uint16_t)status;
    const uint8_t *at = head.data, *end = head.data + head.count;
    while (at < end) {
        const uint8_t *line_end = memmem(at, (size_t)(end - at), "\r\n", 2);
        if (line_end == NULL)
            return false;
        if (!take_line(answer, bytes_of(at, (size_t)(line_end - at)), body_count))
            return false;
        at = line_end + 2;
    }
    return true;
}

long answer_parse(struct bytes in, struct answer *answer)
{
    if (in.count == 0)
        return 0;
    const uint8_t *head_end = memmem(in.data, in.count, "\r\n\r\n", 4);
    if (head_end == NULL)
        return in.count > BODY_BYTES_MAX ? -1 : 0;
    uint64_t body_count = 0;
    memset(answer, 0, sizeof *answer);
    size_t head_count = (size_t)(head_end - in.data) + 2;
    if (!parse_head(bytes_of(in.data, head_count), answer, &body_count))
        return -1;
    size_t whole = head_count + 2 + body_count;
    if (in.count < whole)
        return 0;
    answer->body_count = (uint32_t)body_count;
    memcpy(answer->body, head_end + 4, MIN(body_count, ANSWER_BODY_BYTES));
    return (long)whole;
}

bool answer_equal(const struct answer *a, const struct answer *b)
{
    return a->status == b->status &&
           bytes_equal(bytes_of(a->etag, a->etag_count), bytes_of(b->etag, b->etag_count)) &&
           a->body_count == b->body_count &&
           memcmp(a->body, b->body, MIN(a->body_count, ANSWER_BODY_BYTES)) == 0;
}

bool answer_number(const struct answer *answer, uint64_t *out_value, uint64_t *out_revision)
{
    static const char before[] = "{\"value\":", after[] = "}\n";
    const size_t before_count = sizeof before - 1, after_count = sizeof after - 1;
    if (answer->status != 200 || answer->body_count < before_count + after_count ||
        answer->body_count > ANSWER_BODY_BYTES || answer->etag_count < 3)
        return false;
    size_t digits_count = answer->body_count - before_count - after_count;
    const char *digits = answer->body + before_count;
    if (memcmp(answer->body, before, before_count) != 0 ||
        memcmp(digits + digits_count, after, after_count) != 0 || answer->etag[0] != '"' ||
        answer->etag[answer->etag_count - 1] != '"')
        return false;
    return parse_digits(bytes_of(digits, digits_count), out_value) &&
           parse_digits(bytes_of(answer->etag + 1, answer->etag_count - 2u), out_revision);
}

const char *answer_format(const struct answer *answer, char out[256])
{
    int kept = (int)MIN(answer->body_count, ANSWER_BODY_BYTES);
    int shown = kept > 0 && answer->body[kept - 1] == '\n' ? kept - 1 : kept;
    snprintf(out, 256, "%u%s, ETag %.*s, %u bytes %.*s", answer->status,
             answer->is_replayed ? " (replayed)" : "", (int)answer->etag_count, answer->etag,
             answer->body_count, shown, answer->body);
    return out;
}
