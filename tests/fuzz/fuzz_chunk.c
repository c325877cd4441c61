/* A piece of a snapshot as another node may send it: its body, and what is packed in it. What
 * unpacks comes back the same when packed again. Corpus: tests/fuzz/corpus/chunk. */
#include "base/check.h"
#include "base/mem.h"
#include "peer/chunk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count);

/* `bytes` is borrowed from the packer, and packing leaves it alone. */
static void expect_round_trip(struct chunk_packer *packer, const struct snapshot_chunk *chunk)
{
    uint8_t *before = mem_alloc_raw(MAX(chunk->bytes.count, 1));
    size_t count = chunk->bytes.count;
    struct snapshot_chunk again;
    if (count != 0)
        memcpy(before, chunk->bytes.data, count);
    struct snapshot_chunk packed = chunk_pack(packer, chunk);
    enum status status = chunk_unpack(packer, &packed, &again);
    INVARIANT(status == ST_OK);
    INVARIANT(bytes_equal(again.bytes, bytes_of(before, count)));
    mem_free(before);
}

static void try_chunk(struct chunk_packer *packer, const struct snapshot_chunk *chunk)
{
    struct snapshot_chunk out;
    if (chunk_unpack(packer, chunk, &out) != ST_OK)
        return;
    INVARIANT(out.unpacked_bytes == 0);
    INVARIANT(out.bytes.count <= LIMIT_SNAPSHOT_CHUNK_BYTES);
    INVARIANT(IMPLIES(chunk->unpacked_bytes != 0, out.bytes.count == chunk->unpacked_bytes));
    expect_round_trip(packer, &out);
}

/* As a body; and, since few bodies pass, as packed bytes behind the length they claim. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count)
{
    static struct chunk_packer packer; /* kept, as the packer of a node is */
    struct snapshot_chunk chunk;
    if (snapshot_chunk_decode(bytes_of(data, count), &chunk) == ST_OK)
        try_chunk(&packer, &chunk);
    if (count <= sizeof(uint32_t))
        return 0;
    chunk = (struct snapshot_chunk){.number = 1, .snapshot = {.term = 1, .index = 1}};
    chunk.unpacked_bytes = load_u32(data) % (LIMIT_SNAPSHOT_CHUNK_BYTES + 1);
    chunk.bytes = bytes_of(data + sizeof(uint32_t), count - sizeof(uint32_t));
    if (chunk.bytes.count <= LIMIT_SNAPSHOT_CHUNK_BYTES)
        try_chunk(&packer, &chunk);
    return 0;
}
