/* Source: the body of a reply that is sent piece by piece: a backup, a long listing, a watch.
 *
 * A handler puts one into exchange->source and writes the head: reply_end_head, and makes the state
 * EXCHANGE_SENDING, where the length is known; reply_end_chunked where it is not. From then on the
 * connection asks for the next piece when there is room for it, and when connection_answer is
 * called because the source has something to say. One that waits is neither idle nor stuck; a
 * client that takes nothing of what is queued is.
 *
 * Ownership    its exchange owns it, and frees it when all is sent or the client is gone
 * Limits       LIMIT_SOURCE_QUEUE_BYTES, LIMIT_SOURCES_BYTES */
#ifndef MINIKV_HTTP_SOURCE_H
#define MINIKV_HTTP_SOURCE_H

#include "base/buf.h"

enum source_step {
    SOURCE_MORE,  /* a piece was appended; ask again when there is room */
    SOURCE_LATER, /* nothing now; the source calls connection_answer when there is */
    SOURCE_DONE,  /* that was all */
    SOURCE_BROKEN /* it cannot go on: the other side sees the connection end early */
};

struct source;

struct source_ops {
    /* Appends a piece, of any size that is well below LIMIT_SOURCE_QUEUE_BYTES where that can be
     * helped; none where there is nothing to say. */
    enum source_step (*send)(struct source *source, struct buf *out);
    void (*free)(struct source *source);
    /* The server is stopping; NULL: it goes on to its end. If it is being sent, `send` is asked
     * once more behind it, whether there is room or not. */
    void (*stop)(struct source *source);
    /* Only its client ends it: what is asked for behind it is not begun, since it would wait for
     * ever and hold what others need. */
    bool is_endless;
    /* It is in memory anyway: a piece is made only when the socket has taken the last one, and
     * counts in the turn of the loop. */
    bool is_made_as_taken;
};

/* Embedded in what it is of. */
struct source {
    const struct source_ops *ops;
};

/* The next piece, as a chunk (RFC 9112 §7.1) if so; the last chunk behind the last piece. */
enum source_step source_send(struct source *source, bool is_chunked, struct buf *out);

#endif
