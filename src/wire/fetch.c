/* Fetches and chunks as bytes. */
#include "wire/fetch.h"

#include "base/cursor.h"
#include "wire/shape.h"

static void put_entry_id(struct buf *out, struct entry_id id)
{
    buf_put_u64(out, id.term);
    buf_put_u64(out, id.index);
}

static struct entry_id take_entry_id(struct cursor *in)
{
    struct entry_id id = {.term = cursor_u64(in)};
    id.index = cursor_u64(in);
    return id;
}

/* What fetch and chunk have in common. No snapshot ends before the first entry. */
static bool is_place(uint64_t number, struct entry_id snapshot, uint64_t offset)
{
    return number != 0 && shape_is_number(number) && snapshot.index != 0 &&
           shape_is_entry_id(snapshot) && shape_is_number(offset);
}

void snapshot_fetch_encode(const struct snapshot_fetch *fetch, struct buf *out)
{
    REQUIRE(is_place(fetch->number, fetch->snapshot, fetch->offset));
    REQUIRE(fetch->bytes_max >= 1);
    REQUIRE(fetch->bytes_max <= LIMIT_SNAPSHOT_CHUNK_BYTES);
    buf_put_u64(out, fetch->number);
    put_entry_id(out, fetch->snapshot);
    buf_put_u64(out, fetch->offset);
    buf_put_u32(out, fetch->bytes_max);
}

enum status snapshot_fetch_decode(struct bytes in, struct snapshot_fetch *out_fetch)
{
    struct cursor cursor = cursor_of(in);
    struct snapshot_fetch fetch = {.number = cursor_u64(&cursor)};
    fetch.snapshot = take_entry_id(&cursor);
    fetch.offset = cursor_u64(&cursor);
    fetch.bytes_max = cursor_u32(&cursor);
    if (cursor.is_short)
        return ST_SHORT;
    if (!cursor_is_done(&cursor) || !is_place(fetch.number, fetch.snapshot, fetch.offset) ||
        fetch.bytes_max == 0)
        return ST_FORMAT;
    if (fetch.bytes_max > LIMIT_SNAPSHOT_CHUNK_BYTES)
        return ST_LIMIT;
    *out_fetch = fetch;
    return ST_OK;
}

/* Bytes of the file that the chunk carries. */
static size_t content_bytes(const struct snapshot_chunk *chunk)
{
    return chunk->unpacked_bytes != 0 ? chunk->unpacked_bytes : chunk->bytes.count;
}

/* Whether the sizes fit each other. The limit is a matter of its own. */
static bool are_sizes_sound(const struct snapshot_chunk *chunk)
{
    size_t bytes_count = chunk->bytes.count, content = content_bytes(chunk);
    if (chunk->state != CHUNK_HERE)
        return chunk->total == 0 && content == 0 && bytes_count == 0;
    bool is_packing_worth_it = chunk->unpacked_bytes == 0 || bytes_count < chunk->unpacked_bytes;
    return bytes_count != 0 && is_packing_worth_it && shape_is_number(chunk->total) &&
           chunk->offset <= chunk->total && content <= chunk->total - chunk->offset;
}

void snapshot_chunk_encode(const struct snapshot_chunk *chunk, struct buf *out)
{
    REQUIRE(is_place(chunk->number, chunk->snapshot, chunk->offset));
    REQUIRE(chunk->state <= CHUNK_BUSY);
    REQUIRE(content_bytes(chunk) <= LIMIT_SNAPSHOT_CHUNK_BYTES);
    REQUIRE(are_sizes_sound(chunk));
    buf_put_u64(out, chunk->number);
    put_entry_id(out, chunk->snapshot);
    buf_put_u64(out, chunk->offset);
    buf_put_u64(out, chunk->total);
    buf_put_u32(out, chunk->state); /* the state byte and its three zeros */
    buf_put_u32(out, chunk->unpacked_bytes);
    buf_put_sized(out, chunk->bytes);
}

enum status snapshot_chunk_decode(struct bytes in, struct snapshot_chunk *out_chunk)
{
    struct cursor cursor = cursor_of(in);
    struct snapshot_chunk chunk = {.number = cursor_u64(&cursor)};
    chunk.snapshot = take_entry_id(&cursor);
    chunk.offset = cursor_u64(&cursor);
    chunk.total = cursor_u64(&cursor);
    uint32_t state = cursor_u32(&cursor); /* with its padding */
    chunk.unpacked_bytes = cursor_u32(&cursor);
    uint32_t bytes_count = cursor_u32(&cursor);
    if (cursor.is_short)
        return ST_SHORT;
    if (state > CHUNK_BUSY)
        return ST_FORMAT;
    if (MAX(bytes_count, chunk.unpacked_bytes) > LIMIT_SNAPSHOT_CHUNK_BYTES)
        return ST_LIMIT;
    chunk.state = (enum chunk_state)state;
    chunk.bytes = cursor_take(&cursor, bytes_count);
    if (cursor.is_short)
        return ST_SHORT;
    if (!cursor_is_done(&cursor) || !is_place(chunk.number, chunk.snapshot, chunk.offset) ||
        !are_sizes_sound(&chunk))
        return ST_FORMAT;
    *out_chunk = chunk;
    return ST_OK;
}
