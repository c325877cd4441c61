/* Cursor: reads fields from borrowed bytes, never past their end.
 *
 * The first read that does not fit sets `is_short`; it and all later reads give zeros. A decoder
 * reads all its fields and asks once. Integers are little-endian.
 *
 * In the header, because entries, commands and messages are read field by field. */
#ifndef MINIKV_BASE_CURSOR_H
#define MINIKV_BASE_CURSOR_H

#include "base/buf.h"

struct cursor {
    struct bytes rest; /* borrowed: what has not been read */
    bool is_short;
};

static inline struct cursor cursor_of(struct bytes bytes)
{
    return (struct cursor){.rest = bytes};
}

/* The next `count` bytes, borrowed from the input; empty when there are fewer. */
static inline struct bytes cursor_take(struct cursor *cursor, size_t count)
{
    if (cursor->is_short || count > cursor->rest.count) {
        cursor->is_short = true;
        return bytes_of(NULL, 0);
    }
    struct bytes taken = bytes_of(cursor->rest.data, count);
    cursor->rest.count -= count;
    if (cursor->rest.data != NULL)
        cursor->rest.data += count;
    return taken;
}

static inline uint8_t cursor_u8(struct cursor *cursor)
{
    struct bytes raw = cursor_take(cursor, 1);
    return raw.count ? raw.data[0] : 0;
}

static inline uint16_t cursor_u16(struct cursor *cursor)
{
    struct bytes raw = cursor_take(cursor, 2);
    return raw.count ? load_u16(raw.data) : 0;
}

static inline uint32_t cursor_u32(struct cursor *cursor)
{
    struct bytes raw = cursor_take(cursor, 4);
    return raw.count ? load_u32(raw.data) : 0;
}

static inline uint64_t cursor_u64(struct cursor *cursor)
{
    struct bytes raw = cursor_take(cursor, 8);
    return raw.count ? load_u64(raw.data) : 0;
}

/* u32 count, then the bytes; more than `count_max` counts as short. */
struct bytes cursor_sized(struct cursor *cursor, size_t count_max);
/* Everything was there and nothing is left. */
static inline bool cursor_is_done(const struct cursor *cursor)
{
    return !cursor->is_short && cursor->rest.count == 0;
}

#endif
