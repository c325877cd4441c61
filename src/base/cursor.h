/* Cursor: reads fields from borrowed bytes, never past their end.
 *
 * The first read that does not fit sets `is_short`; it and all later reads give zeros. A decoder
 * reads all its fields and asks once. Integers are little-endian. */
#ifndef MINIKV_BASE_CURSOR_H
#define MINIKV_BASE_CURSOR_H

#include "base/bytes.h"

struct cursor {
    struct bytes rest; /* borrowed: what has not been read */
    bool is_short;
};

struct cursor cursor_of(struct bytes bytes);
uint8_t cursor_u8(struct cursor *cursor);
uint16_t cursor_u16(struct cursor *cursor);
uint32_t cursor_u32(struct cursor *cursor);
uint64_t cursor_u64(struct cursor *cursor);
/* The next `count` bytes, borrowed from the input; empty when there are fewer. */
struct bytes cursor_take(struct cursor *cursor, size_t count);
/* u32 count, then the bytes; more than `count_max` counts as short. */
struct bytes cursor_sized(struct cursor *cursor, size_t count_max);
/* Everything was there and nothing is left. */
bool cursor_is_done(const struct cursor *cursor);

#endif
