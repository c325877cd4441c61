/* Frame: the envelope of every message between nodes: length, checksum, type, body.
 *
 *      u32 body_bytes | u32 crc32c over the 4 type bytes and the body | u8 type | u8[3] 0 | body
 *
 * Format       docs/formats/peer.md */
#ifndef MINIKV_WIRE_FRAME_H
#define MINIKV_WIRE_FRAME_H

#include "base/buf.h"
#include "base/check.h"
#include "base/status.h"

enum frame_type {
    FRAME_HELLO = 1, /* first on a link, from the dialling side */
    FRAME_WELCOME,   /* the answer, or … */
    FRAME_REFUSE,    /* … u8 enum refusal; the link is closed */
    FRAME_MESSAGE,   /* one raft message (wire/codec.h) */
    FRAME_FORWARD,   /* a batch of envelopes */
    FRAME_REFUSED,   /* a batch of envelopes not taken; travels back on the link they came by */
    FRAME_PING,      /* u64, echoed by … */
    FRAME_PONG,
    FRAME_BYE,   /* an orderly end: no sign of death */
    FRAME_FETCH, /* asks for a piece of a snapshot (wire/fetch.h) */
    FRAME_CHUNK, /* the piece; travels back on the link the fetch came by */
    FRAME_TYPE_LAST = FRAME_CHUNK
};

enum { FRAME_HEADER_BYTES = 12 };

/* Starts a frame in `out`; returns where, for frame_end, which fills in length and checksum. When
 * `out` ran full in between, frame_end takes the unfinished frame out again; is_full stays set. */
size_t frame_begin(struct buf *out, enum frame_type type);
void frame_end(struct buf *out, size_t begin);

/* The first whole frame of `in`.
 * return   ST_OK, `out_body` borrows from `in`, `out_bytes` is what to consume; ST_SHORT: more is
 *          needed; ST_LIMIT: longer than `frame_bytes_max`; ST_FORMAT: unknown type or nonzero
 *          padding; ST_CORRUPT: bad checksum */
MUST_CHECK enum status frame_next(struct bytes in, size_t frame_bytes_max,
                                  enum frame_type *out_type, struct bytes *out_body,
                                  size_t *out_bytes);
/* How many bytes the first frame of `in` has in all; before its header is there, the header's.
 * Says what to wait for after ST_SHORT, nothing about validity. */
size_t frame_bytes_wanted(struct bytes in);

#endif
