/* Frames: where one message ends and the next begins, and whether it arrived whole. */
#include "wire/frame.h"

#include "base/crc32c.h"

enum { OFFSET_CHECKSUM = 4, OFFSET_TYPE = 8 };

static uint32_t checksum_of(struct bytes frame)
{
    return crc32c(0, bytes_of(frame.data + OFFSET_TYPE, frame.count - OFFSET_TYPE));
}

size_t frame_begin(struct buf *out, enum frame_type type)
{
    REQUIRE(type >= FRAME_HELLO && type <= FRAME_TYPE_LAST);
    size_t begin = out->count;
    buf_put_zeros(out, OFFSET_TYPE);
    buf_put_u32(out, (uint32_t)type); /* the type byte and its three zeros */
    return begin;
}

void frame_end(struct buf *out, size_t begin)
{
    REQUIRE(begin <= out->count);
    if (out->is_full) {
        out->count = begin;
        return;
    }
    size_t bytes_count = out->count - begin;
    REQUIRE(bytes_count >= FRAME_HEADER_BYTES);
    REQUIRE(bytes_count - FRAME_HEADER_BYTES <= UINT32_MAX);
    uint8_t *at = out->data + begin;
    store_u32(at, (uint32_t)(bytes_count - FRAME_HEADER_BYTES));
    store_u32(at + OFFSET_CHECKSUM, checksum_of(bytes_of(at, bytes_count)));
}

enum status frame_next(struct bytes in, size_t frame_bytes_max, enum frame_type *out_type,
                       struct bytes *out_body, size_t *out_bytes)
{
    REQUIRE(frame_bytes_max >= FRAME_HEADER_BYTES);
    if (in.count < FRAME_HEADER_BYTES)
        return ST_SHORT;
    uint32_t type = load_u32(in.data + OFFSET_TYPE); /* with its padding: nonzero is out of range */
    if (type < FRAME_HELLO || type > FRAME_TYPE_LAST)
        return ST_FORMAT;
    size_t bytes_count = frame_bytes_wanted(in);
    if (bytes_count > frame_bytes_max)
        return ST_LIMIT;
    if (in.count < bytes_count)
        return ST_SHORT;
    if (checksum_of(bytes_of(in.data, bytes_count)) != load_u32(in.data + OFFSET_CHECKSUM))
        return ST_CORRUPT;
    *out_type = (enum frame_type)type;
    *out_body = bytes_of(in.data + FRAME_HEADER_BYTES, bytes_count - FRAME_HEADER_BYTES);
    *out_bytes = bytes_count;
    return ST_OK;
}

size_t frame_bytes_wanted(struct bytes in)
{
    if (in.count < FRAME_HEADER_BYTES)
        return FRAME_HEADER_BYTES;
    return FRAME_HEADER_BYTES + (size_t)load_u32(in.data);
}
