/* Wal format: the bytes of the write-ahead log, as pure functions. No files, no state.
 *
 *      segment:  [ header block 4 KiB ][ frame ][ frame ] … zeros …
 *      frame:    [ header 48 B ][ record ][ record ] … zeros to the next 4 KiB
 *      record:   [ bytes u32 | type u8 | 0 0 0 ][ payload ] zeros to the next multiple of 8
 *
 * A frame is what one write and one sync made durable. Its checksum covers the salt of its segment
 * and its own place in the file, so that the bytes of a segment's former life, and a write that
 * landed elsewhere, are never taken for a frame.
 *
 * Ownership    what a decoder gives borrows from its input
 * Format       docs/formats/wal.md */
#ifndef MINIKV_STORAGE_WAL_FORMAT_H
#define MINIKV_STORAGE_WAL_FORMAT_H

#include "base/buf.h"
#include "base/check.h"
#include "base/cursor.h"
#include "base/diag.h"
#include "base/limits.h"
#include "base/status.h"
#include "types/entry.h"
#include "types/ids.h"

enum {
    WAL_FORMAT_VERSION = 1,
    WAL_SEGMENT_HEADER_BYTES = 112, /* zeros behind, to the end of the block */
    WAL_BLOCK_BYTES = 4096,         /* frames start at multiples of this */
    WAL_FRAME_HEADER_BYTES = 48,
    WAL_RECORD_HEADER_BYTES = 8,
    WAL_HARD_STATE_BYTES = 16,
    WAL_MARK_BYTES = 24
};

enum wal_record_type {
    WAL_RECORD_ENTRY = 1,      /* payload: entry_encode */
    WAL_RECORD_HARD_STATE = 2, /* payload: term u64, vote u32, zero u32 */
    WAL_RECORD_SNAPSHOT = 3    /* payload: term u64, index u64, begins anew u32, zero u32 */
};

/* There is a durable snapshot of the state after the entry `snapshot`. */
struct wal_mark {
    struct entry_id snapshot;
    bool begins_anew; /* what was appended before counts for nothing: the next entry follows it */
};

struct wal_segment_header {
    uint64_t owner[2];  /* cluster id, data-directory identity */
    uint64_t segment;   /* 1, 2, …; also the file's name */
    uint64_t salt;      /* random, of this life of the file */
    uint64_t first_seq; /* of the frame right behind the header */
    uint32_t chain;     /* checksum of the last frame before this segment; 0 in segment 1 */
    struct hard_state hard_state; /* as of the end of the previous segment, like the rest */
    raft_index commit;
    struct entry_id last;
    struct entry_id snapshot; /* the last mark */
};

struct wal_frame_header {
    uint32_t checksum;      /* set by seal and decode */
    uint32_t records_bytes; /* behind the header, without the padding of the frame */
    uint64_t segment;
    uint64_t seq;         /* 1, 2, … over all segments, without gaps */
    uint64_t durable_seq; /* a frame known to be durable when this one was written; < seq */
    raft_index commit;
    uint32_t records_count;
    uint32_t chain; /* checksum of the previous frame */
};

struct wal_record {
    enum wal_record_type type;
    struct bytes payload; /* borrowed */
};

void wal_format_encode_segment(const struct wal_segment_header *header,
                               uint8_t out[WAL_BLOCK_BYTES]);
/* return   ST_OK; ST_SHORT: less than a block; ST_CORRUPT: checksum or magic; ST_FORMAT: whole, but
 *          of another version. `error` says which, without naming the file */
MUST_CHECK enum status wal_format_decode_segment(struct bytes in,
                                                 struct wal_segment_header *out_header,
                                                 struct errtext *error);

/* What a frame takes in its file: header and records, rounded up to whole blocks. */
uint64_t wal_format_frame_bytes(uint64_t records_bytes);
/* What a record takes in its frame. */
size_t wal_format_record_bytes(size_t payload_bytes);

void wal_format_put_entry(const struct entry *entry, struct buf *out);
void wal_format_put_hard_state(const struct hard_state *hard_state, struct buf *out);
void wal_format_put_mark(const struct wal_mark *mark, struct buf *out);

/* Fills in the header in front of `header->records_bytes` bytes of records at `frame`, for this
 * place: the checksum goes into the header at both ends. */
void wal_format_seal_frame(struct wal_frame_header *header, uint64_t salt, uint64_t offset,
                           uint8_t *frame);
/* The header as it stands, believed for no more than how much to read next.
 * return   ST_OK; ST_SHORT; ST_CORRUPT: cannot be the header of a frame of this segment */
MUST_CHECK enum status wal_format_peek_frame(struct bytes in, uint64_t segment,
                                             struct wal_frame_header *out_header);
/* How long a frame of this segment that begins here says it is; 0: none begins here. */
uint64_t wal_format_claimed_bytes(struct bytes in, uint64_t segment);
/* Accepts exactly the frames that are valid at this place (docs/formats/wal.md, "Valid frame").
 * return   ST_OK; ST_SHORT: the records do not end within `in`; ST_CORRUPT: no valid frame */
MUST_CHECK enum status wal_format_decode_frame(struct bytes in, uint64_t segment, uint64_t salt,
                                               uint64_t offset, struct wal_frame_header *out_header,
                                               struct bytes *out_records);

/* The next record of a frame.
 * return   ST_OK; ST_NOT_FOUND: no more; ST_CORRUPT: malformed, which the checksum of a frame
 *          should have shown before */
MUST_CHECK enum status wal_format_next_record(struct cursor *records,
                                              struct wal_record *out_record);
/* ST_OK or ST_CORRUPT. */
MUST_CHECK enum status wal_format_decode_hard_state(struct bytes payload,
                                                    struct hard_state *out_hard_state);
/* ST_OK or ST_CORRUPT. */
MUST_CHECK enum status wal_format_decode_mark(struct bytes payload, struct wal_mark *out_mark);
/* Gives one reference. ST_OK or ST_CORRUPT. */
MUST_CHECK enum status wal_format_decode_entry(struct bytes payload, struct entry **out_entry);

#endif
