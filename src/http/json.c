#include "http/json.h"

#include "base/base64.h"
#include "base/octets.h"

/* ---- UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF) ---- */

static bool is_continuation(uint8_t c)
{
    return (c & 0xc0) == 0x80;
}

/* Bytes of the sequence at the front of `rest`; 0 when it is none. */
static size_t utf8_sequence(struct bytes rest)
{
    const uint8_t *at = rest.data;
    uint8_t first = at[0];
    if (first < 0x80)
        return 1;
    if (first >= 0xc2 && first <= 0xdf)
        return rest.count >= 2 && is_continuation(at[1]) ? 2 : 0;
    if (first >= 0xe0 && first <= 0xef) {
        if (rest.count < 3 || !is_continuation(at[1]) || !is_continuation(at[2]))
            return 0;
        bool is_overlong = first == 0xe0 && at[1] < 0xa0;
        bool is_surrogate = first == 0xed && at[1] >= 0xa0;
        return is_overlong || is_surrogate ? 0 : 3;
    }
    if (first >= 0xf0 && first <= 0xf4) {
        if (rest.count < 4 || !is_continuation(at[1]) || !is_continuation(at[2]) ||
            !is_continuation(at[3]))
            return 0;
        bool is_overlong = first == 0xf0 && at[1] < 0x90;
        bool is_beyond = first == 0xf4 && at[1] >= 0x90;
        return is_overlong || is_beyond ? 0 : 4;
    }
    return 0;
}

bool utf8_is_valid(struct bytes text)
{
    size_t at = 0;
    while (at < text.count) {
        uint64_t word;
        if (text.count - at >= sizeof word) { /* most text is ASCII: eight at a time */
            memcpy(&word, text.data + at, sizeof word);
            if ((word & 0x8080808080808080u) == 0) {
                at += sizeof word;
                continue;
            }
        }
        size_t count = utf8_sequence(bytes_of(text.data + at, text.count - at));
        if (count == 0)
            return false;
        at += count;
    }
    return true;
}

/* ---- strings ---- */

static bool needs_escape(uint8_t c)
{
    return c < 0x20 || c == '"' || c == '\\';
}

static size_t escape_bytes(uint8_t c)
{
    bool is_short = c == '\n' || c == '\r' || c == '\t' || c == '"' || c == '\\';
    return is_short ? sizeof "\\n" - 1 : sizeof "\\u0000" - 1;
}

static void put_escaped(struct buf *out, uint8_t c)
{
    static const char hex[] = "0123456789abcdef";
    char text[7] = {'\\', (char)c};
    switch (c) {
    case '\n':
        text[1] = 'n';
        break;
    case '\r':
        text[1] = 'r';
        break;
    case '\t':
        text[1] = 't';
        break;
    case '"':
    case '\\':
        break;
    default:
        memcpy(text + 1, "u00", 3);
        text[4] = hex[c >> 4];
        text[5] = hex[c & 15];
    }
    buf_put_text(out, text);
}

/* Some byte of the word needs an escape. */
static bool word_needs_escape(uint64_t word)
{
    return octets_have_below(word, 0x20) || octets_have(word, '"') || octets_have(word, '\\');
}

/* The place of the first word in which something needs an escape, or of the last bytes. */
static size_t plain_words(struct bytes text)
{
    size_t at = 0;
    while (text.count - at >= sizeof(uint64_t) && !word_needs_escape(octets_load(text.data + at)))
        at += sizeof(uint64_t);
    return at;
}

void json_put_escaped(struct buf *out, struct bytes text)
{
    size_t start = 0;
    for (size_t i = plain_words(text); i < text.count; i++) {
        if (!needs_escape(text.data[i]))
            continue;
        buf_put(out, bytes_of(text.data + start, i - start));
        put_escaped(out, text.data[i]);
        start = i + 1;
    }
    if (start < text.count)
        buf_put(out, bytes_of(text.data + start, text.count - start));
}

size_t json_escaped_bytes(struct bytes text)
{
    size_t count = text.count;
    for (size_t i = plain_words(text); i < text.count; i++)
        if (needs_escape(text.data[i]))
            count += escape_bytes(text.data[i]) - 1;
    return count;
}

void json_put_string(struct buf *out, struct bytes text)
{
    buf_put_u8(out, '"');
    json_put_escaped(out, text);
    buf_put_u8(out, '"');
}

void json_put_ascii(struct buf *out, const char *text)
{
    buf_put_u8(out, '"');
    for (; *text != '\0'; text++) {
        uint8_t c = (uint8_t)*text;
        if (c == '"' || c == '\\')
            put_escaped(out, c);
        else
            buf_put_u8(out, c < 0x20 || c >= 0x7f ? '?' : c);
    }
    buf_put_u8(out, '"');
}

void json_put_bytes(struct buf *out, const char *name, struct bytes bytes)
{
    buf_put_u8(out, '"');
    buf_put_text(out, name);
    if (utf8_is_valid(bytes)) {
        buf_put(out, BYTES_LITERAL("\":"));
        json_put_string(out, bytes);
        return;
    }
    buf_put(out, BYTES_LITERAL("_base64\":\""));
    base64_put(out, bytes);
    buf_put_u8(out, '"');
}
