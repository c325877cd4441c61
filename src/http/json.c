#include "http/json.h"

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

void json_put_string(struct buf *out, struct bytes text)
{
    size_t start = 0;
    buf_put_u8(out, '"');
    for (size_t i = 0; i < text.count; i++) {
        if (!needs_escape(text.data[i]))
            continue;
        buf_put(out, bytes_of(text.data + start, i - start));
        put_escaped(out, text.data[i]);
        start = i + 1;
    }
    if (start < text.count)
        buf_put(out, bytes_of(text.data + start, text.count - start));
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

/* ---- base64 (RFC 4648 §4) ---- */

static const char base64_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_put(struct buf *out, struct bytes bytes)
{
    size_t encoded = (bytes.count + 2) / 3 * 4;
    if (encoded == 0 || !buf_reserve(out, encoded))
        return;
    uint8_t *to = out->data + out->count;
    for (size_t i = 0; i < bytes.count; i += 3) {
        size_t rest = bytes.count - i;
        uint32_t group = (uint32_t)bytes.data[i] << 16;
        group |= rest > 1 ? (uint32_t)bytes.data[i + 1] << 8 : 0;
        group |= rest > 2 ? (uint32_t)bytes.data[i + 2] : 0;
        *to++ = (uint8_t)base64_alphabet[group >> 18];
        *to++ = (uint8_t)base64_alphabet[group >> 12 & 63];
        *to++ = rest > 1 ? (uint8_t)base64_alphabet[group >> 6 & 63] : '=';
        *to++ = rest > 2 ? (uint8_t)base64_alphabet[group & 63] : '=';
    }
    out->count += encoded;
}

static int base64_digit(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* One group of four; how many bytes it holds, 0: malformed. Stray bits would make two texts of the
 * same bytes. */
static size_t base64_group(const uint8_t *text, bool is_last, uint8_t out[3])
{
    size_t digits = 4;
    if (is_last && text[3] == '=')
        digits = text[2] == '=' ? 2 : 3;
    uint32_t group = 0;
    for (size_t i = 0; i < 4; i++) {
        int digit = i < digits ? base64_digit(text[i]) : 0;
        if (digit < 0)
            return 0;
        group = group << 6 | (uint32_t)digit;
    }
    if ((digits == 2 && (group & 0xffff) != 0) || (digits == 3 && (group & 0xff) != 0))
        return 0;
    out[0] = (uint8_t)(group >> 16);
    out[1] = (uint8_t)(group >> 8);
    out[2] = (uint8_t)group;
    return digits - 1;
}

enum status base64_decode(struct bytes text, struct buf *out)
{
    if (text.count % 4 != 0 || !buf_reserve(out, text.count / 4 * 3))
        return ST_BAD_ENCODING;
    size_t count = out->count;
    for (size_t i = 0; i < text.count; i += 4) {
        uint8_t group[3];
        size_t bytes_count = base64_group(text.data + i, i + 4 == text.count, group);
        if (bytes_count == 0)
            return ST_BAD_ENCODING;
        memcpy(out->data + count, group, bytes_count);
        count += bytes_count;
    }
    out->count = count;
    return ST_OK;
}
