/* Value: the reply to a read of one key whose value is too long to be made in one go.
 *
 * It is made piece by piece, as the socket takes it: of what its reader leaves there is never more
 * than one piece, and no turn of the loop is longer for the length of the value. The version is
 * looked up anew for each piece. Once it has been replaced what is left of it is copied with the
 * next piece. Whoever takes nothing until a version that was replaced is not kept any more sees the
 * connection end early; the sweep would have cut him off soon.
 *
 * Limits       LIMIT_VALUE_PIECE_BYTES */
#ifndef MINIKV_HTTP_VALUE_H
#define MINIKV_HTTP_VALUE_H

#include "http/exchange.h"

/* Writes the head of the reply, whose status line and headers of its own are out, and has the
 * body sent: the value itself if raw, else the object of kv_put_item.
 *
 * item   of exchange->key, read at `revision` */
void value_answer(struct exchange *exchange, const struct kv_item *item, uint64_t revision);

#endif
