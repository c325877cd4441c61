#include "base/buf.h"

#include <stdio.h>

#include "base/check.h"
#include "base/mem.h"

enum { BUF_CAPACITY_MIN = 64 };

void buf_init(struct buf *buf, size_t count_max)
{
    *buf = (struct buf){.count_max = count_max};
}

void buf_init_aligned(struct buf *buf, size_t count_max, size_t alignment)
{
    buf_init(buf, count_max);
    buf->data = mem_alloc_aligned(count_max, alignment);
    buf->capacity = count_max;
}

void buf_release(struct buf *buf)
{
    mem_free(buf->data);
    *buf = (struct buf){.count_max = buf->count_max};
}

void buf_reset(struct buf *buf)
{
    buf->count = 0;
    buf->is_full = false;
}

static bool grow(struct buf *buf, size_t count)
{
    if (buf->is_full || count > buf->count_max - buf->count) {
        buf->is_full = true;
        return false;
    }
    size_t capacity = MAX(buf->capacity, (size_t)BUF_CAPACITY_MIN);
    while (capacity < buf->count + count)
        capacity *= 2;
    buf->data = mem_realloc(buf->data, capacity);
    buf->capacity = capacity;
    ENSURE(buf->count + count <= buf->capacity);
    return true;
}

/* Nearly always there is room. */
static inline bool has_room(const struct buf *buf, size_t count)
{
    return !buf->is_full && count <= MIN(buf->capacity, buf->count_max) - buf->count;
}

bool buf_reserve(struct buf *buf, size_t count)
{
    return has_room(buf, count) || grow(buf, count);
}

void buf_put(struct buf *buf, struct bytes bytes)
{
    if (bytes.count == 0 || !buf_reserve(buf, bytes.count))
        return;
    memcpy(buf->data + buf->count, bytes.data, bytes.count);
    buf->count += bytes.count;
}

void buf_put_text(struct buf *buf, const char *text)
{
    buf_put(buf, bytes_of_text(text));
}

void buf_put_zeros(struct buf *buf, size_t count)
{
    if (count == 0 || !buf_reserve(buf, count))
        return;
    memset(buf->data + buf->count, 0, count);
    buf->count += count;
}

/* Room for `count` more bytes, which is counted already; NULL: none. */
static inline uint8_t *put_room(struct buf *buf, size_t count)
{
    if (!has_room(buf, count) && !grow(buf, count))
        return NULL;
    uint8_t *room = buf->data + buf->count;
    buf->count += count;
    return room;
}

void buf_put_u8(struct buf *buf, uint8_t value)
{
    uint8_t *room = put_room(buf, 1);
    if (room != NULL)
        *room = value;
}

void buf_put_u16(struct buf *buf, uint16_t value)
{
    uint8_t *room = put_room(buf, 2);
    if (room != NULL)
        store_u16(room, value);
}

void buf_put_u32(struct buf *buf, uint32_t value)
{
    uint8_t *room = put_room(buf, 4);
    if (room != NULL)
        store_u32(room, value);
}

void buf_put_u64(struct buf *buf, uint64_t value)
{
    uint8_t *room = put_room(buf, 8);
    if (room != NULL)
        store_u64(room, value);
}

void buf_put_decimal(struct buf *buf, uint64_t value)
{
    uint8_t digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (uint8_t)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    buf_put(buf, bytes_of(digits + at, sizeof digits - at));
}

void buf_put_sized(struct buf *buf, struct bytes bytes)
{
    REQUIRE(bytes.count <= UINT32_MAX);
    buf_put_u32(buf, (uint32_t)bytes.count);
    buf_put(buf, bytes);
}

/* Room for a NUL behind `count` bytes more; it is not counted and may lie past the maximum. */
static void reserve_nul(struct buf *buf, size_t count)
{
    if (buf->count + count < buf->capacity)
        return;
    buf->capacity = buf->count + count + BUF_CAPACITY_MIN;
    buf->data = mem_realloc(buf->data, buf->capacity);
}

void buf_vprintf(struct buf *buf, const char *format, va_list arguments)
{
    va_list again;
    va_copy(again, arguments);
    int count = vsnprintf(NULL, 0, format, arguments);
    INVARIANT(count >= 0);

    if (buf_reserve(buf, (size_t)count)) {
        reserve_nul(buf, (size_t)count); /* vsnprintf insists on writing one */
        (void)vsnprintf((char *)buf->data + buf->count, (size_t)count + 1, format, again);
        buf->count += (size_t)count;
    }
    va_end(again);
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    buf_vprintf(buf, format, arguments);
    va_end(arguments);
}

void buf_consume(struct buf *buf, size_t count)
{
    REQUIRE(count <= buf->count);
    buf->count -= count;
    if (buf->count != 0 && count != 0)
        memmove(buf->data, buf->data + count, buf->count);
}

struct bytes buf_bytes(const struct buf *buf)
{
    return bytes_of(buf->data, buf->count);
}

const char *buf_text(struct buf *buf)
{
    reserve_nul(buf, 0);
    buf->data[buf->count] = '\0';
    return (const char *)buf->data;
}
