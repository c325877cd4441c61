#include "storage/snapfile_format.h"

#include <string.h>
#include <xxhash.h>

#include "base/crc32c.h"

/* "MKVSNAP" and "MKVDONE", and a byte that no text file has. */
#define HEADER_MAGIC 0x1a50414e53564b4dull
#define FOOTER_MAGIC 0x1a454e4f44564b4dull

enum { FLAG_LAST = 1 };

static_assert(SNAPFILE_FOOTER_BYTES <= SNAPFILE_UNIT_BYTES_MAX &&
                  SNAPFILE_HEADER_BYTES <= SNAPFILE_UNIT_BYTES_MAX,
              "a block is the largest part");

static uint32_t header_checksum(const uint8_t *header)
{
    return crc32c(0, bytes_of(header + 4, SNAPFILE_HEADER_BYTES - 4));
}

/* Of a block or the footer: everything behind the checksum itself, and whose part it is. */
static uint32_t part_checksum(const struct snapfile_stream *stream, struct bytes part)
{
    uint8_t seed[4];
    store_u32(seed, stream->header_checksum);
    return crc32c(crc32c(0, bytes_of(seed, sizeof seed)), bytes_of(part.data + 4, part.count - 4));
}

static void note_block(struct snapfile_stream *stream, struct bytes content)
{
    stream->blocks_count++;
    stream->content_bytes += content.count;
    stream->hash = XXH3_64bits_withSeed(content.data, content.count, stream->hash);
    stream->file_bytes += SNAPFILE_BLOCK_HEADER_BYTES + content.count;
}

void snapfile_format_begin(struct snapfile_stream *stream, uint64_t cluster_id,
                           struct entry_id last, uint32_t block_bytes, struct buf *out)
{
    REQUIRE(last.index > 0);
    REQUIRE(block_bytes > 0 && block_bytes <= LIMIT_SNAPSHOT_BLOCK_BYTES);
    uint8_t header[SNAPFILE_HEADER_BYTES] = {0};
    store_u32(header + 4, SNAPFILE_VERSION);
    store_u64(header + 8, HEADER_MAGIC);
    store_u64(header + 16, cluster_id);
    store_u64(header + 24, last.term);
    store_u64(header + 32, last.index);
    store_u32(header + 40, block_bytes);
    store_u32(header, header_checksum(header));
    buf_put(out, bytes_of(header, sizeof header));
    *stream = (struct snapfile_stream){.cluster_id = cluster_id,
                                       .last = last,
                                       .block_bytes = block_bytes,
                                       .next = SNAPFILE_BLOCKS,
                                       .header_checksum = load_u32(header),
                                       .file_bytes = SNAPFILE_HEADER_BYTES};
}

void snapfile_format_put_block(struct snapfile_stream *stream, struct bytes content, bool is_last,
                               struct buf *out)
{
    REQUIRE(stream->next == SNAPFILE_BLOCKS);
    REQUIRE(is_last ? content.count <= stream->block_bytes : content.count == stream->block_bytes);
    size_t begin = out->count;
    buf_put_u32(out, 0); /* the checksum, below */
    buf_put_u32(out, (uint32_t)content.count);
    buf_put_u64(out, stream->blocks_count);
    buf_put_u32(out, is_last ? FLAG_LAST : 0);
    buf_put_u32(out, 0);
    buf_put(out, content);
    INVARIANT(!out->is_full);
    store_u32(out->data + begin,
              part_checksum(stream, bytes_of(out->data + begin, out->count - begin)));
    note_block(stream, content);
    if (is_last)
        stream->next = SNAPFILE_FOOTER;
}

void snapfile_format_end(struct snapfile_stream *stream, struct buf *out)
{
    REQUIRE(stream->next == SNAPFILE_FOOTER);
    uint8_t footer[SNAPFILE_FOOTER_BYTES] = {0};
    stream->file_bytes += sizeof footer;
    store_u64(footer + 8, FOOTER_MAGIC);
    store_u64(footer + 16, stream->blocks_count);
    store_u64(footer + 24, stream->content_bytes);
    store_u64(footer + 32, stream->hash);
    store_u64(footer + 40, stream->file_bytes);
    store_u32(footer, part_checksum(stream, bytes_of(footer, sizeof footer)));
    buf_put(out, bytes_of(footer, sizeof footer));
    stream->next = SNAPFILE_END;
}

static enum status corrupt(struct errtext *error, const char *what)
{
    errtext_set(error, "%s", what);
    return ST_CORRUPT;
}

static enum status take_header(struct snapfile_stream *stream, struct bytes in, size_t *out_taken,
                               struct errtext *error)
{
    if (in.count < SNAPFILE_HEADER_BYTES)
        return ST_SHORT;
    if (load_u64(in.data + 8) != HEADER_MAGIC)
        return corrupt(error, "not a snapshot: bad magic");
    /* As in the log: checksum, version and magic keep their places in every version. */
    if (load_u32(in.data) != header_checksum(in.data))
        return corrupt(error, "bad checksum of the header");
    uint32_t version = load_u32(in.data + 4);
    if (version != SNAPFILE_VERSION) {
        errtext_set(error, "snapshot format version %u; this program reads version %d", version,
                    SNAPFILE_VERSION);
        return ST_FORMAT;
    }
    struct snapfile_stream begun = {
        .cluster_id = load_u64(in.data + 16),
        .last = {.term = load_u64(in.data + 24), .index = load_u64(in.data + 32)},
        .block_bytes = load_u32(in.data + 40),
        .next = SNAPFILE_BLOCKS,
        .header_checksum = load_u32(in.data),
        .file_bytes = SNAPFILE_HEADER_BYTES};
    if (begun.last.index == 0 || begun.block_bytes == 0 ||
        begun.block_bytes > LIMIT_SNAPSHOT_BLOCK_BYTES)
        return corrupt(error, "impossible numbers in the header");
    *stream = begun;
    *out_taken = SNAPFILE_HEADER_BYTES;
    return ST_OK;
}

static enum status take_block(struct snapfile_stream *stream, struct bytes in, size_t *out_taken,
                              struct bytes *out_content, struct errtext *error)
{
    if (in.count < SNAPFILE_BLOCK_HEADER_BYTES)
        return ST_SHORT;
    uint32_t length = load_u32(in.data + 4), flags = load_u32(in.data + 16);
    if (length > stream->block_bytes || flags > FLAG_LAST ||
        (flags == 0 && length != stream->block_bytes))
        return corrupt(error, "the header of a block is damaged");
    size_t count = SNAPFILE_BLOCK_HEADER_BYTES + (size_t)length;
    if (in.count < count)
        return ST_SHORT;
    if (load_u32(in.data) != part_checksum(stream, bytes_of(in.data, count)))
        return corrupt(error, "bad checksum of a block");
    if (load_u64(in.data + 8) != stream->blocks_count || load_u32(in.data + 20) != 0)
        return corrupt(error, "another block than the one that must follow");
    *out_content = bytes_of(in.data + SNAPFILE_BLOCK_HEADER_BYTES, length);
    *out_taken = count;
    note_block(stream, *out_content);
    if (flags == FLAG_LAST)
        stream->next = SNAPFILE_FOOTER;
    return ST_OK;
}

bool snapfile_format_is_footer(const struct snapfile_stream *stream, struct bytes footer)
{
    REQUIRE(footer.count == SNAPFILE_FOOTER_BYTES);
    return load_u64(footer.data + 8) == FOOTER_MAGIC &&
           load_u32(footer.data) == part_checksum(stream, footer);
}

static enum status take_footer(struct snapfile_stream *stream, struct bytes in, size_t *out_taken,
                               struct errtext *error)
{
    if (in.count < SNAPFILE_FOOTER_BYTES)
        return ST_SHORT;
    if (!snapfile_format_is_footer(stream, bytes_of(in.data, SNAPFILE_FOOTER_BYTES)))
        return corrupt(error, "the footer is damaged");
    if (load_u64(in.data + 16) != stream->blocks_count ||
        load_u64(in.data + 24) != stream->content_bytes || load_u64(in.data + 32) != stream->hash ||
        load_u64(in.data + 40) != stream->file_bytes + SNAPFILE_FOOTER_BYTES)
        return corrupt(error, "the footer contradicts the blocks");
    stream->file_bytes += SNAPFILE_FOOTER_BYTES;
    stream->next = SNAPFILE_END;
    *out_taken = SNAPFILE_FOOTER_BYTES;
    return ST_OK;
}

enum status snapfile_format_take(struct snapfile_stream *stream, struct bytes in, size_t *out_taken,
                                 struct bytes *out_content, struct errtext *error)
{
    *out_content = bytes_of(NULL, 0);
    switch (stream->next) {
    case SNAPFILE_HEADER:
        return take_header(stream, in, out_taken, error);
    case SNAPFILE_BLOCKS:
        return take_block(stream, in, out_taken, out_content, error);
    case SNAPFILE_FOOTER:
        return take_footer(stream, in, out_taken, error);
    case SNAPFILE_END:
        if (in.count == 0)
            return ST_NOT_FOUND;
        return corrupt(error, "bytes behind the footer");
    }
    UNREACHABLE();
}
