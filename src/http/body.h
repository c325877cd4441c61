/* Body: the JSON bodies of requests. Unknown and doubled fields are refused by name. */
#ifndef MINIKV_HTTP_BODY_H
#define MINIKV_HTTP_BODY_H

#include "base/buf.h"
#include "http/identity.h"
#include "http/problem.h"
#include "types/address.h"
#include "types/ids.h"

/* An object with no other fields than `names`, which ends with NULL; to be given back by
 * json_decref. NULL: `problem` is set, with `example`. */
struct json_t;
struct json_t *body_load_object(struct bytes body, const char *const *names, const char *example,
                                struct problem *problem);
/* {"value":"…"} or {"value_base64":"…"}.
 *
 * store      where the value is put when it cannot be borrowed from `body`
 * out_value  borrows from `body` or `store`
 * return     false: `problem` is set */
bool body_parse_value(struct bytes body, struct buf *store, struct bytes *out_value,
                      struct problem *problem);
/* {"by":n}; an empty body means 1. */
bool body_parse_by(struct bytes body, int64_t *out_by, struct problem *problem);

enum { BODY_ADDRESS_BYTES = 128 }; /* as typed, with http:// in front */
/* What the field `name` says, as people type addresses: host, port or both. */
bool body_parse_address(const char *name, struct bytes text, struct address *out_address,
                        struct problem *problem);

struct body_announce {
    node_id id;
    struct bytes http; /* in `store`; empty: remove */
};
bool body_parse_announce(struct bytes body, struct buf *store, struct body_announce *out_announce,
                         struct problem *problem);

/* Nothing, or {}. */
bool body_parse_empty(struct bytes body, struct problem *problem);
/* {"client":"…","sequence":n} or {"key":"…"}: which write is meant. Takes the parts; what is wrong
 * with them identity_finish tells. At least one is there. */
bool body_parse_write(struct bytes body, struct identity *identity, struct problem *problem);
struct body_join {
    node_id id;
    uint64_t identity; /* 0: not given */
    struct bytes peer; /* in `store` */
    struct bytes http; /* in `store`; empty: not given */
};
/* {"id":4,"peer":"host:port","http":"host:port","identity":"16 hex digits"}; the last two need not
 * be there. */
bool body_parse_join(struct bytes body, struct buf *store, struct body_join *out_join,
                     struct problem *problem);
/* {"id":n} */
bool body_parse_member(struct bytes body, node_id *out_id, struct problem *problem);
/* {"to":n} */
bool body_parse_transfer(struct bytes body, node_id *out_to, struct problem *problem);
/* {"ttl_ms":n,"lease":id}; the id need not be there: 0. */
bool body_parse_lease(struct bytes body, uint64_t *out_lease, uint64_t *out_ttl_ms,
                      struct problem *problem);
/* {"revision":n} */
bool body_parse_revision(struct bytes body, uint64_t *out_revision, struct problem *problem);

#endif
