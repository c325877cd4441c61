/* Any bytes as the file that says whose a data directory is: what decodes encodes to the same
 * bytes, and what does not is told with a reason. */
#include "base/check.h"
#include "storage/meta.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count)
{
    struct meta meta;
    struct errtext error = {""};
    enum status status = meta_decode(bytes_of(data, count), &meta, &error);
    INVARIANT(status == ST_OK || status == ST_CORRUPT || status == ST_FORMAT);
    INVARIANT((status == ST_OK) == (error.text[0] == '\0'));
    if (status != ST_OK)
        return 0;
    struct buf again;
    buf_init(&again, MIB);
    meta_encode(&meta, &again);
    INVARIANT(bytes_equal(buf_bytes(&again), bytes_of(data, count)));
    buf_release(&again);
    return 0;
}
