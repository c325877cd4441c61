#include "base/cursor.h"

#include "base/buf.h"

struct cursor cursor_of(struct bytes bytes)
{
    return (struct cursor){.rest = bytes};
}

struct bytes cursor_take(struct cursor *cursor, size_t count)
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

uint8_t cursor_u8(struct cursor *cursor)
{
    struct bytes raw = cursor_take(cursor, 1);
    return raw.count ? raw.data[0] : 0;
}

uint16_t cursor_u16(struct cursor *cursor)
{
    struct bytes raw = cursor_take(cursor, 2);
    return raw.count ? load_u16(raw.data) : 0;
}

uint32_t cursor_u32(struct cursor *cursor)
{
    struct bytes raw = cursor_take(cursor, 4);
    return raw.count ? load_u32(raw.data) : 0;
}

uint64_t cursor_u64(struct cursor *cursor)
{
    struct bytes raw = cursor_take(cursor, 8);
    return raw.count ? load_u64(raw.data) : 0;
}

struct bytes cursor_sized(struct cursor *cursor, size_t count_max)
{
    uint32_t count = cursor_u32(cursor);
    if (count > count_max) {
        cursor->is_short = true;
        return bytes_of(NULL, 0);
    }
    return cursor_take(cursor, count);
}

bool cursor_is_done(const struct cursor *cursor)
{
    return !cursor->is_short && cursor->rest.count == 0;
}
