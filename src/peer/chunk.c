/* Chunk: see the header. */
#include "peer/chunk.h"

#include <zstd.h>

#include "base/mem.h"

/* The fastest of the ordinary levels (docs/performance.md has what the others cost). */
enum { LEVEL = 1 };

void chunk_packer_init(struct chunk_packer *packer)
{
    *packer = (struct chunk_packer){0};
}

void chunk_packer_release(struct chunk_packer *packer)
{
    (void)ZSTD_freeCCtx(packer->pack); /* 0 by definition */
    (void)ZSTD_freeDCtx(packer->unpack);
    mem_free(packer->packed);
    mem_free(packer->unpacked);
    chunk_packer_init(packer);
}

static void ready_to_pack(struct chunk_packer *packer)
{
    if (packer->pack != NULL)
        return;
    packer->pack = ZSTD_createCCtx();
    REQUIRE(packer->pack != NULL); /* out of memory: as mem_alloc */
    size_t result = ZSTD_CCtx_setParameter(packer->pack, ZSTD_c_compressionLevel, LEVEL);
    INVARIANT(!ZSTD_isError(result));
    packer->packed = mem_alloc_raw(LIMIT_SNAPSHOT_CHUNK_BYTES);
}

static void ready_to_unpack(struct chunk_packer *packer)
{
    if (packer->unpack != NULL)
        return;
    packer->unpack = ZSTD_createDCtx();
    REQUIRE(packer->unpack != NULL); /* out of memory: as mem_alloc */
    packer->unpacked = mem_alloc_raw(LIMIT_SNAPSHOT_CHUNK_BYTES);
}

struct snapshot_chunk chunk_pack(struct chunk_packer *packer, const struct snapshot_chunk *chunk)
{
    REQUIRE(chunk->unpacked_bytes == 0);
    REQUIRE(chunk->bytes.count <= LIMIT_SNAPSHOT_CHUNK_BYTES);
    struct snapshot_chunk out = *chunk;
    if (chunk->bytes.count <= 1)
        return out;
    ready_to_pack(packer);
    /* Room for one byte less than there is: what does not fit does not get smaller. */
    size_t count = ZSTD_compress2(packer->pack, packer->packed, chunk->bytes.count - 1,
                                  chunk->bytes.data, chunk->bytes.count);
    if (ZSTD_isError(count))
        return out;
    out.unpacked_bytes = (uint32_t)chunk->bytes.count;
    out.bytes = bytes_of(packer->packed, count);
    return out;
}

/* Exactly one frame of today's format, and of the length that the chunk claims. The library would
 * also read formats of long ago, frames to be skipped, and several frames one after the other. */
static bool is_one_frame(struct bytes packed, uint32_t unpacked_bytes)
{
    return packed.count >= sizeof(uint32_t) && load_u32(packed.data) == ZSTD_MAGICNUMBER &&
           ZSTD_getFrameContentSize(packed.data, packed.count) == unpacked_bytes &&
           ZSTD_findFrameCompressedSize(packed.data, packed.count) == packed.count;
}

enum status chunk_unpack(struct chunk_packer *packer, const struct snapshot_chunk *chunk,
                         struct snapshot_chunk *out_chunk)
{
    REQUIRE(chunk->unpacked_bytes <= LIMIT_SNAPSHOT_CHUNK_BYTES);
    if (chunk->unpacked_bytes == 0) {
        *out_chunk = *chunk;
        return ST_OK;
    }
    if (!is_one_frame(chunk->bytes, chunk->unpacked_bytes))
        return ST_FORMAT;
    ready_to_unpack(packer);
    /* Into memory of this module and no other: nothing here allocates by what a frame claims. */
    size_t count = ZSTD_decompressDCtx(packer->unpack, packer->unpacked, chunk->unpacked_bytes,
                                       chunk->bytes.data, chunk->bytes.count);
    if (ZSTD_isError(count) || count != chunk->unpacked_bytes)
        return ST_FORMAT;
    struct snapshot_chunk out = *chunk;
    out.unpacked_bytes = 0;
    out.bytes = bytes_of(packer->unpacked, count);
    *out_chunk = out;
    return ST_OK;
}
