/* Chunk: packs what a chunk of a snapshot carries, and unpacks it, with zstd.
 *
 * Each chunk is packed alone, as one frame of zstd that says how long it will be, so that chunks
 * may be lost and come in any order. What does not get smaller goes as it is.
 *
 * Ownership    the packer owns contexts and buffers, made when first needed and used for all
 *              chunks from then on; what it gives is borrowed until the next call of the same kind
 * Limits       LIMIT_SNAPSHOT_CHUNK_BYTES either way, whatever a chunk claims
 * Format       docs/formats/peer.md */
#ifndef MINIKV_PEER_CHUNK_H
#define MINIKV_PEER_CHUNK_H

#include "wire/fetch.h"

struct chunk_packer {
    struct ZSTD_CCtx_s *pack;   /* owned; NULL until needed, as all here */
    struct ZSTD_DCtx_s *unpack; /* owned */
    uint8_t *packed, *unpacked; /* owned */
};

void chunk_packer_init(struct chunk_packer *packer);
void chunk_packer_release(struct chunk_packer *packer);

/* What of the chunk, which is not packed, is to be sent. */
struct snapshot_chunk chunk_pack(struct chunk_packer *packer, const struct snapshot_chunk *chunk);
/* The reverse, of what has come in. ST_OK; ST_FORMAT: its bytes are not what they claim to be. */
MUST_CHECK enum status chunk_unpack(struct chunk_packer *packer, const struct snapshot_chunk *chunk,
                                    struct snapshot_chunk *out_chunk);

#endif
