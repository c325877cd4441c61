#include "base/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

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
        *to++ = (uint8_t)alphabet[group >> 18];
        *to++ = (uint8_t)alphabet[group >> 12 & 63];
        *to++ = rest > 1 ? (uint8_t)alphabet[group >> 6 & 63] : '=';
        *to++ = rest > 2 ? (uint8_t)alphabet[group & 63] : '=';
    }
    out->count += encoded;
}

static int digit_of(uint8_t c)
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
static size_t read_group(const uint8_t *text, bool is_last, uint8_t out[3])
{
    size_t digits = 4;
    if (is_last && text[3] == '=')
        digits = text[2] == '=' ? 2 : 3;
    uint32_t group = 0;
    for (size_t i = 0; i < 4; i++) {
        int digit = i < digits ? digit_of(text[i]) : 0;
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
        size_t bytes_count = read_group(text.data + i, i + 4 == text.count, group);
        if (bytes_count == 0)
            return ST_BAD_ENCODING;
        memcpy(out->data + count, group, bytes_count);
        count += bytes_count;
    }
    out->count = count;
    return ST_OK;
}
