/* Listing: a range of keys that is counted, made into a page, or sent line by line, as it was at
 * one revision. It is looked at slice by slice, so neither its length, nor keys that were deleted
 * or are newer, nor a slow client holds up anybody else.
 *
 * A count and a page are made in turns (http/turn.h), as a reply that is unfinished; lines in walks
 * (http/walk.h), as a source, and no more of them is in memory than one slice.
 *
 * Where compaction overtakes it, it ends with a problem; a page of no given revision begins anew,
 * of the present.
 *
 * Ownership    its exchange owns it, as its source
 * Limits       LIMIT_LOOKS, LIMIT_LIST_BYTES, LIMIT_PAGE_SLICE_BYTES, LIMIT_WALKS, LIMIT_LINES,
 *              LIMIT_LINES_BYTES */
#ifndef MINIKV_HTTP_LISTING_H
#define MINIKV_HTTP_LISTING_H

#include "http/exchange.h"

/* The state may be read, and it is its turn: writes the reply, or the head of it; or does a slice
 * of the work and leaves the exchange unfinished. Its range and options are the exchange's. */
void listing_answer(struct exchange *exchange);

/* list.c: "Link: …\r\n", of the page behind this one; nothing where nobody could send it. */
void list_put_link(struct exchange *exchange, struct buf *out, struct bytes after,
                   uint64_t revision);

#endif
