/* Body: the JSON bodies of requests. Unknown and doubled fields are refused by name. */
#ifndef MINIKV_HTTP_BODY_H
#define MINIKV_HTTP_BODY_H

#include "base/buf.h"
#include "http/problem.h"
#include "types/ids.h"

/* {"value":"…"} or {"value_base64":"…"}.
 *
 * store      where the value is put when it cannot be borrowed from `body`
 * out_value  borrows from `body` or `store`
 * return     false: `problem` is set */
bool body_parse_value(struct bytes body, struct buf *store, struct bytes *out_value,
                      struct problem *problem);
/* {"by":n}; an empty body means 1. */
bool body_parse_by(struct bytes body, int64_t *out_by, struct problem *problem);

struct body_announce {
    node_id id;
    struct bytes http; /* in `store`; empty: remove */
};
bool body_parse_announce(struct bytes body, struct buf *store, struct body_announce *out_announce,
                         struct problem *problem);

#endif
