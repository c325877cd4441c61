/* Any bytes as the file that says whose a data directory is: what decodes encodes to the same
 * bytes, and what does not is told with a reason. As they stand, and behind a good checksum, so
 * that the fields are looked into as well. */
#include "base/check.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "storage/meta.h"

enum { CHECKSUM_BYTES = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count);

static void check(struct bytes bytes)
{
    struct meta meta;
    struct errtext error = {""};
    enum status status = meta_decode(bytes, &meta, &error);
    INVARIANT(status == ST_OK || status == ST_CORRUPT || status == ST_FORMAT);
    INVARIANT((status == ST_OK) == (error.text[0] == '\0'));
    if (status != ST_OK)
        return;
    struct buf again;
    buf_init(&again, MIB);
    meta_encode(&meta, &again);
    INVARIANT(bytes_equal(buf_bytes(&again), bytes));
    buf_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count)
{
    check(bytes_of(data, count));
    if (count <= CHECKSUM_BYTES)
        return 0;
    uint8_t *sealed = mem_alloc_raw(count); /* just as many: what is read behind it shows */
    memcpy(sealed, data, count);
    store_u32(sealed, crc32c(0, bytes_of(data + CHECKSUM_BYTES, count - CHECKSUM_BYTES)));
    check(bytes_of(sealed, count));
    mem_free(sealed);
    return 0;
}
