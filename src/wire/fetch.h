/* Fetch and chunk: a snapshot on its way to another node, piece by piece.
 *
 * The side that lacks it asks for a piece; what comes back is that piece, or why there is none.
 * Nothing is remembered in between: each fetch names snapshot and offset, each chunk repeats them.
 *
 *      node 2 ──dialled──▶ node 1      fetch 7: snapshot 5/1000, from byte 131072
 *             ◀──────────             chunk 7: its bytes 131072 … 262143 of 1048576000
 *
 * Format       docs/formats/peer.md */
#ifndef MINIKV_WIRE_FETCH_H
#define MINIKV_WIRE_FETCH_H

#include "base/buf.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/status.h"
#include "types/ids.h"

struct snapshot_fetch {
    uint64_t number;          /* not 0; rising within the asking process; comes back */
    struct entry_id snapshot; /* its last entry */
    uint64_t offset;          /* in the file */
    uint32_t bytes_max;       /* 1 … LIMIT_SNAPSHOT_CHUNK_BYTES; a chunk may have fewer */
};

enum chunk_state {
    CHUNK_HERE, /* here are the bytes */
    CHUNK_GONE, /* this node has no such snapshot, or none that long: ask another */
    CHUNK_BUSY  /* not now: ask again later */
};

struct snapshot_chunk {
    uint64_t number;          /* of the fetch */
    struct entry_id snapshot; /* as in the fetch */
    uint64_t offset;          /* as in the fetch */
    enum chunk_state state;
    uint64_t total;          /* bytes of the whole file; of HERE, else 0 */
    uint32_t unpacked_bytes; /* what `bytes` unpack to (peer/chunk.h); 0: they are not packed */
    struct bytes bytes;      /* borrowed; of HERE, else none */
};

enum { SNAPSHOT_FETCH_BYTES = 36, SNAPSHOT_CHUNK_HEADER_BYTES = 52 };

void snapshot_fetch_encode(const struct snapshot_fetch *fetch, struct buf *out);
/* return   ST_OK; ST_SHORT; ST_FORMAT for a number, entry or offset out of range, no bytes at all,
 *          or anything behind the last field; ST_LIMIT for more bytes than a chunk may have */
MUST_CHECK enum status snapshot_fetch_decode(struct bytes in, struct snapshot_fetch *out_fetch);

void snapshot_chunk_encode(const struct snapshot_chunk *chunk, struct buf *out);
/* return   as snapshot_fetch_decode; also ST_FORMAT for an unknown state, bytes beyond the total,
 *          packed bytes that are no fewer than what they unpack to, or bytes of a chunk that is
 *          not here. Whether packed bytes unpack is not looked at */
MUST_CHECK enum status snapshot_chunk_decode(struct bytes in, struct snapshot_chunk *out_chunk);

#endif
