#include "storage/wal_reader.h"

#include "base/mem.h"

void wal_reader_init(struct wal_reader *reader, size_t chunk_bytes)
{
    REQUIRE(chunk_bytes >= WAL_BLOCK_BYTES);
    *reader = (struct wal_reader){.chunk_bytes = chunk_bytes};
}

void wal_reader_release(struct wal_reader *reader)
{
    mem_free(reader->window);
    *reader = (struct wal_reader){.chunk_bytes = reader->chunk_bytes};
}

void wal_reader_use(struct wal_reader *reader, struct env_file *file, uint64_t end)
{
    reader->file = file;
    reader->end = end;
    reader->window_offset = 0;
    reader->window_bytes = 0;
}

void wal_reader_extend(struct wal_reader *reader, uint64_t end)
{
    REQUIRE(end >= reader->end);
    reader->end = end;
}

/* Moves the window so that it begins at `offset`, keeping what it already holds from there on. */
static void slide_to(struct wal_reader *reader, uint64_t offset)
{
    uint64_t window_end = reader->window_offset + reader->window_bytes;
    size_t kept = 0;
    if (offset >= reader->window_offset && offset < window_end)
        kept = (size_t)(window_end - offset);
    if (kept > 0)
        memmove(reader->window, reader->window + (reader->window_bytes - kept), kept);
    reader->window_offset = offset;
    reader->window_bytes = kept;
}

static void make_room(struct wal_reader *reader, size_t bytes_count)
{
    if (bytes_count <= reader->capacity)
        return;
    reader->window = mem_realloc(reader->window, bytes_count);
    reader->capacity = bytes_count;
}

enum status wal_reader_get(struct wal_reader *reader, uint64_t offset, size_t count,
                           struct bytes *out_bytes)
{
    REQUIRE(reader->file != NULL);
    REQUIRE(count <= LIMIT_WAL_FRAME_BYTES);
    uint64_t window_end = reader->window_offset + reader->window_bytes;
    bool is_held = offset >= reader->window_offset && offset <= window_end &&
                   (window_end - offset >= count || window_end == reader->end);
    if (!is_held) {
        slide_to(reader, offset);
        uint64_t from = offset + reader->window_bytes;
        size_t wanted = MAX(count, reader->chunk_bytes) - reader->window_bytes;
        wanted = (size_t)MIN((uint64_t)wanted, reader->end > from ? reader->end - from : 0);
        make_room(reader, reader->window_bytes + wanted);
        size_t got = 0;
        if (wanted > 0 && env_file_read(reader->file, from, reader->window + reader->window_bytes,
                                        wanted, &got) != ST_OK) {
            reader->window_bytes = 0;
            return ST_IO;
        }
        reader->window_bytes += got;
    }
    size_t skip = (size_t)(offset - reader->window_offset);
    size_t rest = reader->window_bytes - skip;
    *out_bytes = rest > 0 ? bytes_of(reader->window + skip, rest) : bytes_of(NULL, 0);
    return ST_OK;
}

enum status wal_reader_frame(struct wal_reader *reader, uint64_t segment, uint64_t salt,
                             uint64_t offset, struct wal_frame_header *out_header,
                             struct bytes *out_records)
{
    struct bytes bytes;
    struct wal_frame_header claimed;
    if (wal_reader_get(reader, offset, WAL_FRAME_HEADER_BYTES, &bytes) != ST_OK)
        return ST_IO;
    if (wal_format_peek_frame(bytes, segment, &claimed) != ST_OK)
        return ST_NOT_FOUND;
    size_t frame_bytes = WAL_FRAME_HEADER_BYTES + (size_t)claimed.records_bytes;
    if (wal_reader_get(reader, offset, frame_bytes, &bytes) != ST_OK)
        return ST_IO;
    enum status status =
        wal_format_decode_frame(bytes, segment, salt, offset, out_header, out_records);
    return status == ST_OK ? ST_OK : ST_NOT_FOUND;
}
