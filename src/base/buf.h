/* Buf: a growable byte buffer with a maximum given at birth.
 *
 * Writing past the maximum sets `is_full` and drops that write and all later ones; the writer
 * checks once at the end instead of after every field. Integers are little-endian.
 *
 * Ownership    owns `data`; a slice from buf_bytes is borrowed until the next write */
#ifndef MINIKV_BASE_BUF_H
#define MINIKV_BASE_BUF_H

#include <stdarg.h>

#include "base/bytes.h"

struct buf {
    uint8_t *data; /* owned */
    size_t count;
    size_t capacity;
    size_t count_max;
    bool is_full;
};

void buf_init(struct buf *buf, size_t count_max);
/* With all the memory that it will ever have, at a multiple of `alignment`, a power of two that
 * divides `count_max`: `data` never moves. */
void buf_init_aligned(struct buf *buf, size_t count_max, size_t alignment);
void buf_release(struct buf *buf);
/* Empty, memory kept. */
void buf_reset(struct buf *buf);

/* Room for `count` more bytes at buf->data + buf->count; false (and is_full) past the maximum.
 * The writer fills the room and adds to buf->count. */
bool buf_reserve(struct buf *buf, size_t count);
void buf_put(struct buf *buf, struct bytes bytes);
void buf_put_text(struct buf *buf, const char *text);
void buf_put_zeros(struct buf *buf, size_t count);
void buf_put_u8(struct buf *buf, uint8_t value);
void buf_put_u16(struct buf *buf, uint16_t value);
void buf_put_u32(struct buf *buf, uint32_t value);
void buf_put_u64(struct buf *buf, uint64_t value);
void buf_put_decimal(struct buf *buf, uint64_t value);
/* u32 count, then the bytes. */
void buf_put_sized(struct buf *buf, struct bytes bytes);
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *buf, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));
/* Drop the first `count` bytes, moving the rest down. */
void buf_consume(struct buf *buf, size_t count);
struct bytes buf_bytes(const struct buf *buf);
/* NUL-terminated text, borrowed until the next write. */
const char *buf_text(struct buf *buf);

/* Fixed places in memory, for headers filled in after their body: one move each. */
static inline void store_u16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)value;
    at[1] = (uint8_t)(value >> 8);
}

static inline void store_u32(uint8_t *at, uint32_t value)
{
    store_u16(at, (uint16_t)value);
    store_u16(at + 2, (uint16_t)(value >> 16));
}

static inline void store_u64(uint8_t *at, uint64_t value)
{
    store_u32(at, (uint32_t)value);
    store_u32(at + 4, (uint32_t)(value >> 32));
}

static inline uint16_t load_u16(const uint8_t *at)
{
    return (uint16_t)(at[0] | at[1] << 8);
}

static inline uint32_t load_u32(const uint8_t *at)
{
    return (uint32_t)load_u16(at) | (uint32_t)load_u16(at + 2) << 16;
}

static inline uint64_t load_u64(const uint8_t *at)
{
    return (uint64_t)load_u32(at) | (uint64_t)load_u32(at + 4) << 32;
}

#endif
