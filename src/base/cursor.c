#include "base/cursor.h"

struct bytes cursor_sized(struct cursor *cursor, size_t count_max)
{
    uint32_t count = cursor_u32(cursor);
    if (count > count_max) {
        cursor->is_short = true;
        return bytes_of(NULL, 0);
    }
    return cursor_take(cursor, count);
}
