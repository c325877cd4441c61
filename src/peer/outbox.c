/* Outbox: see the header. */
#include "peer/outbox.h"

#include "base/failpoint.h"
#include "base/limits.h"

enum {
    BATCH_BYTES = 256 * KIB, /* a batch that has grown so far is ended */
    KEPT_BYTES = 1 * MIB     /* memory kept by an empty outbox */
};

static_assert(BATCH_BYTES + LIMIT_COMMAND_BYTES + 4096 <= LIMIT_FRAME_BYTES,
              "a batch and one envelope more fit a frame");

void outbox_init(struct outbox *outbox, size_t bytes_max)
{
    *outbox = (struct outbox){.bytes_max = bytes_max, .batch = OUTBOX_NO_BATCH};
    buf_init(&outbox->frames, bytes_max);
}

void outbox_release(struct outbox *outbox)
{
    buf_release(&outbox->frames);
}

void outbox_clear(struct outbox *outbox)
{
    buf_reset(&outbox->frames);
    outbox->batch = OUTBOX_NO_BATCH;
    if (outbox->frames.capacity > KEPT_BYTES)
        buf_release(&outbox->frames);
}

static void end_batch(struct outbox *outbox)
{
    if (outbox->batch == OUTBOX_NO_BATCH)
        return;
    INVARIANT(!outbox->frames.is_full);
    frame_end(&outbox->frames, outbox->batch);
    outbox->batch = OUTBOX_NO_BATCH;
}

/* What may be added now is what the bound leaves beside what the env still has to send. */
static void set_room(struct outbox *outbox, const struct env_stream *stream)
{
    size_t queued = stream != NULL ? env_stream_queued(stream) : 0;
    size_t room = queued < outbox->bytes_max ? outbox->bytes_max - queued : 0;
    outbox->frames.count_max = MAX(room, outbox->frames.count);
}

struct buf *outbox_begin(struct outbox *outbox, enum frame_type type,
                         const struct env_stream *stream)
{
    end_batch(outbox);
    set_room(outbox, stream);
    outbox->mark = frame_begin(&outbox->frames, type);
    return &outbox->frames;
}

bool outbox_end(struct outbox *outbox)
{
    frame_end(&outbox->frames, outbox->mark);
    REQUIRE(outbox->frames.count - outbox->mark <= LIMIT_FRAME_BYTES);
    bool fits = !outbox->frames.is_full;
    outbox->frames.is_full = false;
    return fits;
}

struct buf *outbox_begin_item(struct outbox *outbox, enum frame_type type,
                              const struct env_stream *stream)
{
    bool is_open = outbox->batch != OUTBOX_NO_BATCH && outbox->batch_type == type &&
                   outbox->frames.count - outbox->batch < BATCH_BYTES;
    if (!is_open)
        end_batch(outbox);
    set_room(outbox, stream);
    outbox->mark = outbox->frames.count;
    if (!is_open) {
        outbox->batch = frame_begin(&outbox->frames, type);
        outbox->batch_type = type;
    }
    return &outbox->frames;
}

bool outbox_end_item(struct outbox *outbox)
{
    REQUIRE(outbox->batch != OUTBOX_NO_BATCH);
    if (!outbox->frames.is_full)
        return true;
    outbox->frames.is_full = false;
    outbox->frames.count = outbox->mark;
    if (outbox->batch == outbox->mark) /* not even its first item fitted */
        outbox->batch = OUTBOX_NO_BATCH;
    return false;
}

bool outbox_is_empty(const struct outbox *outbox)
{
    return outbox->frames.count == 0;
}

size_t outbox_flush(struct outbox *outbox, struct env_stream *stream)
{
    end_batch(outbox);
    struct bytes bytes = buf_bytes(&outbox->frames);
    if (bytes.count != 0)
        env_stream_send(stream, bytes);
    (void)FAILPOINT("peer.sent", bytes);
    outbox_clear(outbox);
    return bytes.count;
}
