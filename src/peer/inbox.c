/* Inbox: see the header. */
#include "peer/inbox.h"

#include "base/limits.h"

void inbox_init(struct inbox *inbox, size_t frame_bytes_max)
{
    *inbox = (struct inbox){.frame_bytes_max = frame_bytes_max};
    buf_init(&inbox->partial, LIMIT_FRAME_BYTES);
}

void inbox_release(struct inbox *inbox)
{
    buf_release(&inbox->partial);
}

void inbox_clear(struct inbox *inbox, size_t frame_bytes_max)
{
    buf_reset(&inbox->partial);
    inbox->frame_bytes_max = frame_bytes_max;
}

static struct bytes skip(struct bytes bytes, size_t count)
{
    return bytes_of(bytes.data + count, bytes.count - count);
}

/* Moves to the partial frame what it lacks: its header first, then its body. */
static struct bytes top_up(struct inbox *inbox, struct bytes bytes)
{
    size_t lacking = frame_bytes_wanted(buf_bytes(&inbox->partial)) - inbox->partial.count;
    size_t count = MIN(lacking, bytes.count);
    buf_put(&inbox->partial, bytes_of(bytes.data, count));
    INVARIANT(!inbox->partial.is_full);
    return skip(bytes, count);
}

enum status inbox_read(struct inbox *inbox, struct bytes bytes, inbox_frame_fn on_frame, void *ctx)
{
    while (bytes.count != 0) {
        bool is_partial = inbox->partial.count != 0;
        if (is_partial)
            bytes = top_up(inbox, bytes);

        enum frame_type type;
        struct bytes body;
        size_t count;
        enum status status = frame_next(is_partial ? buf_bytes(&inbox->partial) : bytes,
                                        inbox->frame_bytes_max, &type, &body, &count);
        if (status == ST_SHORT) {
            if (!is_partial) {
                buf_put(&inbox->partial, bytes);
                return ST_OK;
            }
            continue;
        }
        if (status != ST_OK)
            return status;
        if (!on_frame(ctx, type, body))
            return ST_OK;
        if (is_partial)
            buf_reset(&inbox->partial);
        else
            bytes = skip(bytes, count);
    }
    return ST_OK;
}
