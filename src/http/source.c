#include "http/source.h"

#include <stdio.h>

#include "base/check.h"

/* Filled in behind the piece, so that its size has as many digits as that of any piece. */
enum { CHUNK_HEAD_BYTES = sizeof "00000000\r\n" - 1 };

static void fill_in(struct buf *out, size_t at)
{
    char head[CHUNK_HEAD_BYTES + 1];
    size_t count = out->count - at - CHUNK_HEAD_BYTES;
    if (count == 0) { /* a chunk without bytes would be the last one */
        out->count = at;
        return;
    }
    INVARIANT(count <= UINT32_MAX);
    (void)snprintf(head, sizeof head, "%08x\r\n", (unsigned)count);
    memcpy(out->data + at, head, CHUNK_HEAD_BYTES);
    buf_put(out, BYTES_LITERAL("\r\n"));
}

enum source_step source_send(struct source *source, bool is_chunked, struct buf *out)
{
    size_t at = out->count;
    if (!is_chunked)
        return source->ops->send(source, out);
    buf_put_zeros(out, CHUNK_HEAD_BYTES);
    enum source_step step = source->ops->send(source, out);
    fill_in(out, at);
    if (step == SOURCE_DONE)
        buf_put(out, BYTES_LITERAL("0\r\n\r\n"));
    return step;
}
