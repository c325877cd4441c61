/* Inbox: cuts the bytes of one link into frames.
 *
 * Whole frames are handed on where they lie; only a frame that arrives in pieces is copied. Memory
 * grows with what has arrived, never with what a header claims. */
#ifndef MINIKV_PEER_INBOX_H
#define MINIKV_PEER_INBOX_H

#include "base/buf.h"
#include "wire/frame.h"

struct inbox {
    struct buf partial; /* owned: the frame that has arrived in part */
    size_t frame_bytes_max;
};

/* The body is borrowed for the call. False: the link is down, stop reading. */
typedef bool (*inbox_frame_fn)(void *ctx, enum frame_type type, struct bytes body);

void inbox_init(struct inbox *inbox, size_t frame_bytes_max);
void inbox_release(struct inbox *inbox);
/* Forgets a partial frame: the link is down. */
void inbox_clear(struct inbox *inbox, size_t frame_bytes_max);

/* return   ST_OK; as frame_next for what is no frame, when nothing more may be read. After
 *          on_frame has returned false the inbox is not touched again */
MUST_CHECK enum status inbox_read(struct inbox *inbox, struct bytes bytes, inbox_frame_fn on_frame,
                                  void *ctx);

#endif
