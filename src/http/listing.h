/* Listing: a range of keys that is counted, or sent line by line, as it was at one revision. It is
 * looked at slice by slice (http/walk.h), so neither its length nor a slow client holds up anybody
 * else, and no more of it is in memory than one slice.
 *
 * Where compaction overtakes it, it ends with a problem.
 *
 * Ownership    its exchange owns it, as its source
 * Limits       LIMIT_WALKS, LIMIT_COUNT_KEYS, LIMIT_LINES, LIMIT_LINES_BYTES */
#ifndef MINIKV_HTTP_LISTING_H
#define MINIKV_HTTP_LISTING_H

#include "http/exchange.h"

struct listing_options {
    bool is_count;      /* else it is lines */
    bool keys_only;     /* of lines */
    uint64_t items_max; /* of lines */
};

/* Makes it the exchange's source; refuses the exchange when there are too many. Its range is the
 * exchange's. */
void listing_open(struct exchange *exchange, const struct listing_options *options);
/* The state may be read: counts what one slice takes; the rest makes the exchange PREPARING. */
void listing_prepare(struct exchange *exchange);
/* Writes the reply, or the head of it. */
void listing_answer(struct exchange *exchange);

#endif
