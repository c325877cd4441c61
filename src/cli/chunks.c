#include "cli/chunks.h"

#include <string.h>

enum { DIGITS_MAX = 15, LINE_BYTES_MAX = 4096 };

static int digit_of(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool take_size(struct chunks *chunks, uint8_t c)
{
    int digit = digit_of(c);
    if (digit >= 0) {
        chunks->left = chunks->left * 16 + (uint64_t)digit;
        return ++chunks->digits <= DIGITS_MAX;
    }
    chunks->state = CHUNKS_EXTENSION;
    chunks->line_bytes = 0;
    return chunks->digits != 0 && (c == '\r' || c == ';' || c == ' ');
}

static bool take_extension(struct chunks *chunks, uint8_t c)
{
    if (c == '\n') {
        chunks->state = chunks->left != 0 ? CHUNKS_DATA : CHUNKS_TRAILER;
        chunks->digits = chunks->line_bytes = 0;
        return true;
    }
    return ++chunks->line_bytes <= LINE_BYTES_MAX;
}

/* Ends with an empty line. */
static bool take_trailer(struct chunks *chunks, uint8_t c)
{
    if (c == '\n') {
        chunks->state = chunks->line_bytes == 0 ? CHUNKS_DONE : CHUNKS_TRAILER;
        chunks->line_bytes = 0;
        return true;
    }
    chunks->line_bytes += c != '\r';
    return chunks->line_bytes <= LINE_BYTES_MAX;
}

/* A byte that is no content. */
static bool take_byte(struct chunks *chunks, uint8_t c)
{
    switch (chunks->state) {
    case CHUNKS_SIZE:
        return take_size(chunks, c);
    case CHUNKS_EXTENSION:
        return take_extension(chunks, c);
    case CHUNKS_DATA_END:
        if (c == '\n')
            chunks->state = CHUNKS_SIZE;
        return c == '\n' || c == '\r';
    case CHUNKS_TRAILER:
        return take_trailer(chunks, c);
    case CHUNKS_DATA:
    case CHUNKS_DONE:
        break;
    }
    return false;
}

bool chunks_decode(struct chunks *chunks, uint8_t *bytes, size_t *count)
{
    size_t kept = 0;
    for (size_t at = 0; at < *count;) {
        if (chunks->state != CHUNKS_DATA) {
            if (!take_byte(chunks, bytes[at++]))
                return false;
            continue;
        }
        size_t left = *count - at, part = chunks->left < left ? (size_t)chunks->left : left;
        memmove(bytes + kept, bytes + at, part);
        kept += part;
        at += part;
        chunks->left -= part;
        if (chunks->left == 0)
            chunks->state = CHUNKS_DATA_END;
    }
    *count = kept;
    return true;
}
