/* Outbox: frames of one link that wait for the end of this turn of the loop.
 *
 * Small items of one kind (envelopes, refusals) that follow each other share one frame, the batch.
 * It stays open until another frame begins, the outbox is flushed, or it has grown enough; the
 * order of everything put in is the order on the wire.
 *
 *      frame │ frame │ batch: item item item …
 *                    ▲ open
 *
 * Limits       `bytes_max`, what the env has queued included; one item more is refused whole
 * Calling      begin, write the body or the item, end; nothing in between */
#ifndef MINIKV_PEER_OUTBOX_H
#define MINIKV_PEER_OUTBOX_H

#include "env/env.h"
#include "wire/frame.h"

struct outbox {
    struct buf frames; /* owned */
    size_t bytes_max;
    size_t mark;  /* where the frame or item being written began */
    size_t batch; /* where the open batch began, or OUTBOX_NO_BATCH */
    enum frame_type batch_type;
};

#define OUTBOX_NO_BATCH SIZE_MAX

void outbox_init(struct outbox *outbox, size_t bytes_max);
void outbox_release(struct outbox *outbox);
/* Forgets what waits: the link is down. */
void outbox_clear(struct outbox *outbox);

/* A frame of its own. `stream` tells how much of earlier turns is still queued; may be NULL. */
struct buf *outbox_begin(struct outbox *outbox, enum frame_type type,
                         const struct env_stream *stream);
/* False: it did not fit and has been taken out again. */
bool outbox_end(struct outbox *outbox);

/* One item of a batch of frames of `type`. */
struct buf *outbox_begin_item(struct outbox *outbox, enum frame_type type,
                              const struct env_stream *stream);
bool outbox_end_item(struct outbox *outbox);

bool outbox_is_empty(const struct outbox *outbox);
/* Gives everything to `stream`; returns how many bytes. */
size_t outbox_flush(struct outbox *outbox, struct env_stream *stream);

#endif
