#include "storage/wal_format.h"

#include "base/crc32c.h"

/* "MKVWAL" and two bytes that no text file has. */
#define WAL_MAGIC 0x1a0a4c4157564b4dull

/* Far above any index that will be reached, so that the one after it is still a number. */
#define WAL_INDEX_MAX ((raft_index)INT64_MAX)

enum { RECORD_ALIGN = 8 };

static_assert(WAL_SEGMENT_HEADER_BYTES <= WAL_BLOCK_BYTES, "the header fits its block");
static_assert(WAL_FRAME_HEADER_BYTES % RECORD_ALIGN == 0, "records are aligned");
static_assert(LIMIT_WAL_FRAME_BYTES % WAL_BLOCK_BYTES == 0, "a frame is whole blocks");
static_assert(WAL_FRAME_HEADER_BYTES + WAL_RECORD_HEADER_BYTES + ENTRY_HEADER_BYTES +
                      LIMIT_ENTRY_BYTES + RECORD_ALIGN <=
                  LIMIT_WAL_FRAME_BYTES,
              "the largest entry fits a frame");

void wal_format_encode_segment(const struct wal_segment_header *header,
                               uint8_t out[WAL_BLOCK_BYTES])
{
    REQUIRE(header->segment > 0);
    REQUIRE(header->first_seq > 0);

    memset(out, 0, WAL_BLOCK_BYTES);
    store_u32(out + 4, WAL_FORMAT_VERSION);
    store_u64(out + 8, WAL_MAGIC);
    store_u64(out + 16, header->owner[0]);
    store_u64(out + 24, header->owner[1]);
    store_u64(out + 32, header->segment);
    store_u64(out + 40, header->salt);
    store_u64(out + 48, header->first_seq);
    store_u32(out + 56, header->chain);
    store_u32(out + 60, header->hard_state.vote);
    store_u64(out + 64, header->hard_state.term);
    store_u64(out + 72, header->commit);
    store_u64(out + 80, header->last.term);
    store_u64(out + 88, header->last.index);
    store_u64(out + 96, header->snapshot.term);
    store_u64(out + 104, header->snapshot.index);
    store_u32(out, crc32c(0, bytes_of(out + 4, WAL_BLOCK_BYTES - 4)));
}

enum status wal_format_decode_segment(struct bytes in, struct wal_segment_header *out_header,
                                      struct errtext *error)
{
    if (in.count < WAL_BLOCK_BYTES) {
        errtext_set(error, "the header block is cut short");
        return ST_SHORT;
    }
    const uint8_t *at = in.data;
    if (load_u64(at + 8) != WAL_MAGIC) {
        errtext_set(error, "not a log segment: bad magic in the header");
        return ST_CORRUPT;
    }
    /* Checksum, version and magic keep their places in every version, so a good checksum makes the
     * version believable, and a bad one is damage whatever the version says. */
    if (load_u32(at) != crc32c(0, bytes_of(at + 4, WAL_BLOCK_BYTES - 4))) {
        errtext_set(error, "bad checksum of the header");
        return ST_CORRUPT;
    }
    uint32_t version = load_u32(at + 4);
    if (version != WAL_FORMAT_VERSION) {
        errtext_set(error, "log format version %u; this program reads version %d", version,
                    WAL_FORMAT_VERSION);
        return ST_FORMAT;
    }
    struct wal_segment_header header = {
        .owner = {load_u64(at + 16), load_u64(at + 24)},
        .segment = load_u64(at + 32),
        .salt = load_u64(at + 40),
        .first_seq = load_u64(at + 48),
        .chain = load_u32(at + 56),
        .hard_state = {.term = load_u64(at + 64), .vote = load_u32(at + 60)},
        .commit = load_u64(at + 72),
        .last = {.term = load_u64(at + 80), .index = load_u64(at + 88)},
        .snapshot = {.term = load_u64(at + 96), .index = load_u64(at + 104)},
    };
    if (header.segment == 0 || header.first_seq == 0) {
        errtext_set(error, "impossible numbers in the header");
        return ST_CORRUPT;
    }
    *out_header = header;
    return ST_OK;
}

uint64_t wal_format_frame_bytes(uint64_t records_bytes)
{
    uint64_t bytes = WAL_FRAME_HEADER_BYTES + records_bytes;
    return (bytes + WAL_BLOCK_BYTES - 1) / WAL_BLOCK_BYTES * WAL_BLOCK_BYTES;
}

static size_t padding_of(size_t bytes_count)
{
    return (RECORD_ALIGN - bytes_count % RECORD_ALIGN) % RECORD_ALIGN;
}

size_t wal_format_record_bytes(size_t payload_bytes)
{
    return WAL_RECORD_HEADER_BYTES + payload_bytes + padding_of(payload_bytes);
}

static void put_record_header(enum wal_record_type type, size_t payload_bytes, struct buf *out)
{
    uint8_t header[WAL_RECORD_HEADER_BYTES] = {0};
    store_u32(header, (uint32_t)payload_bytes);
    header[4] = (uint8_t)type;
    buf_put(out, bytes_of(header, sizeof header));
}

void wal_format_put_entry(const struct entry *entry, struct buf *out)
{
    REQUIRE(entry->id.index > 0);
    size_t payload_bytes = entry_bytes(entry);
    put_record_header(WAL_RECORD_ENTRY, payload_bytes, out);
    entry_encode(entry, out);
    buf_put_zeros(out, padding_of(payload_bytes));
}

void wal_format_put_hard_state(const struct hard_state *hard_state, struct buf *out)
{
    uint8_t payload[WAL_HARD_STATE_BYTES] = {0};
    store_u64(payload, hard_state->term);
    store_u32(payload + 8, hard_state->vote);
    put_record_header(WAL_RECORD_HARD_STATE, sizeof payload, out);
    buf_put(out, bytes_of(payload, sizeof payload));
}

void wal_format_put_mark(const struct wal_mark *mark, struct buf *out)
{
    REQUIRE(mark->snapshot.index > 0);
    uint8_t payload[WAL_MARK_BYTES] = {0};
    store_u64(payload, mark->snapshot.term);
    store_u64(payload + 8, mark->snapshot.index);
    store_u32(payload + 16, mark->begins_anew);
    put_record_header(WAL_RECORD_SNAPSHOT, sizeof payload, out);
    buf_put(out, bytes_of(payload, sizeof payload));
}

/* The checksum of a frame, over: salt, offset, everything from the second field on. */
static uint32_t frame_checksum(uint64_t salt, uint64_t offset, struct bytes frame)
{
    uint8_t place[16];
    store_u64(place, salt);
    store_u64(place + 8, offset);
    return crc32c(crc32c(0, bytes_of(place, sizeof place)),
                  bytes_of(frame.data + 4, frame.count - 4));
}

void wal_format_seal_frame(struct wal_frame_header *header, uint64_t salt, uint64_t offset,
                           uint8_t *frame)
{
    REQUIRE(offset % WAL_BLOCK_BYTES == 0);
    REQUIRE(offset > 0);
    REQUIRE(header->records_bytes % RECORD_ALIGN == 0);
    REQUIRE(wal_format_frame_bytes(header->records_bytes) <= LIMIT_WAL_FRAME_BYTES);
    REQUIRE(header->segment > 0);
    REQUIRE(header->durable_seq < header->seq);

    store_u32(frame + 4, header->records_bytes);
    store_u64(frame + 8, header->segment);
    store_u64(frame + 16, header->seq);
    store_u64(frame + 24, header->durable_seq);
    store_u64(frame + 32, header->commit);
    store_u32(frame + 40, header->records_count);
    store_u32(frame + 44, header->chain);
    size_t frame_bytes = WAL_FRAME_HEADER_BYTES + header->records_bytes;
    header->checksum = frame_checksum(salt, offset, bytes_of(frame, frame_bytes));
    store_u32(frame, header->checksum);
}

enum status wal_format_peek_frame(struct bytes in, uint64_t segment,
                                  struct wal_frame_header *out_header)
{
    if (in.count < WAL_FRAME_HEADER_BYTES)
        return ST_SHORT;
    const uint8_t *at = in.data;
    struct wal_frame_header header = {
        .checksum = load_u32(at),
        .records_bytes = load_u32(at + 4),
        .segment = load_u64(at + 8),
        .seq = load_u64(at + 16),
        .durable_seq = load_u64(at + 24),
        .commit = load_u64(at + 32),
        .records_count = load_u32(at + 40),
        .chain = load_u32(at + 44),
    };
    if (header.segment != segment || header.records_bytes % RECORD_ALIGN != 0 ||
        wal_format_frame_bytes(header.records_bytes) > LIMIT_WAL_FRAME_BYTES ||
        header.durable_seq >= header.seq)
        return ST_CORRUPT;
    *out_header = header;
    return ST_OK;
}

uint64_t wal_format_claimed_bytes(struct bytes in, uint64_t segment)
{
    struct wal_frame_header header;
    if (wal_format_peek_frame(in, segment, &header) != ST_OK)
        return 0;
    return wal_format_frame_bytes(header.records_bytes);
}

enum status wal_format_decode_frame(struct bytes in, uint64_t segment, uint64_t salt,
                                    uint64_t offset, struct wal_frame_header *out_header,
                                    struct bytes *out_records)
{
    struct wal_frame_header header;
    enum status status = wal_format_peek_frame(in, segment, &header);
    if (status != ST_OK)
        return status;
    size_t frame_bytes = WAL_FRAME_HEADER_BYTES + (size_t)header.records_bytes;
    if (in.count < frame_bytes)
        return ST_SHORT;
    if (frame_checksum(salt, offset, bytes_of(in.data, frame_bytes)) != header.checksum)
        return ST_CORRUPT;
    *out_header = header;
    *out_records = bytes_of(in.data + WAL_FRAME_HEADER_BYTES, header.records_bytes);
    return ST_OK;
}

static bool is_zero(struct bytes bytes)
{
    for (size_t i = 0; i < bytes.count; i++)
        if (bytes.data[i] != 0)
            return false;
    return true;
}

enum status wal_format_next_record(struct cursor *records, struct wal_record *out_record)
{
    if (cursor_is_done(records))
        return ST_NOT_FOUND;
    uint32_t payload_bytes = cursor_u32(records);
    uint8_t type = cursor_u8(records);
    struct bytes reserved = cursor_take(records, 3);
    struct bytes payload = cursor_take(records, payload_bytes);
    struct bytes padding = cursor_take(records, padding_of(payload_bytes));
    if (records->is_short || !is_zero(reserved) || !is_zero(padding))
        return ST_CORRUPT;
    if (type < WAL_RECORD_ENTRY || type > WAL_RECORD_SNAPSHOT)
        return ST_CORRUPT;
    *out_record = (struct wal_record){.type = (enum wal_record_type)type, .payload = payload};
    return ST_OK;
}

enum status wal_format_decode_hard_state(struct bytes payload, struct hard_state *out_hard_state)
{
    struct cursor cursor = cursor_of(payload);
    struct hard_state hard_state = {.term = cursor_u64(&cursor)};
    hard_state.vote = cursor_u32(&cursor);
    uint32_t reserved = cursor_u32(&cursor);
    if (!cursor_is_done(&cursor) || reserved != 0 || hard_state.vote > NODE_ID_MAX)
        return ST_CORRUPT;
    *out_hard_state = hard_state;
    return ST_OK;
}

enum status wal_format_decode_mark(struct bytes payload, struct wal_mark *out_mark)
{
    struct cursor cursor = cursor_of(payload);
    struct wal_mark mark = {.snapshot.term = cursor_u64(&cursor)};
    mark.snapshot.index = cursor_u64(&cursor);
    uint32_t begins_anew = cursor_u32(&cursor);
    uint32_t reserved = cursor_u32(&cursor);
    if (!cursor_is_done(&cursor) || reserved != 0 || begins_anew > 1 || mark.snapshot.index == 0 ||
        mark.snapshot.index > WAL_INDEX_MAX)
        return ST_CORRUPT;
    mark.begins_anew = begins_anew == 1;
    *out_mark = mark;
    return ST_OK;
}

enum status wal_format_decode_entry(struct bytes payload, struct entry **out_entry)
{
    struct cursor cursor = cursor_of(payload);
    struct entry *entry;
    if (entry_decode(&cursor, &entry) != ST_OK)
        return ST_CORRUPT;
    if (!cursor_is_done(&cursor) || entry->id.index > WAL_INDEX_MAX) {
        entry_unref(entry);
        return ST_CORRUPT;
    }
    *out_entry = entry;
    return ST_OK;
}
