/* Txn: transactions as etcd has them: if all compares hold, do this, else do that. Pure.
 *
 * All compares, those of nested transactions on the way too, look at the state before. Then what is
 * to be done is done in order; a get sees the puts and deletes before it. All changes have one
 * revision; a key is changed at most once.
 *
 * Format       docs/formats/txn.md: of the transaction, and of its results
 * Limits       LIMIT_TXN_… */
#ifndef MINIKV_KV_TXN_H
#define MINIKV_KV_TXN_H

#include "base/buf.h"
#include "base/cursor.h"
#include "kv/kv.h"

enum txn_target { TXN_VALUE = 1, TXN_VERSION, TXN_CREATE_REVISION, TXN_MOD_REVISION, TXN_LEASE };
enum txn_relation { TXN_EQUAL = 1, TXN_NOT_EQUAL, TXN_LESS, TXN_GREATER };

/* Of a key that does not exist, all numbers are 0 and no comparison of the value holds, as in
 * etcd. Of a range: it must hold for every key in it; one without keys counts like a key that does
 * not exist. */
struct txn_compare {
    enum txn_target target;
    enum txn_relation relation;
    struct bytes key;      /* empty: a range */
    struct kv_range range; /* prefix, start, end */
    uint64_t number;
    struct bytes value; /* TXN_VALUE */
};

enum txn_op { TXN_PUT = 1, TXN_GET, TXN_DELETE, TXN_NESTED };

struct txn_operation {
    enum txn_op op;
    struct bytes key;      /* empty: a range, of GET and DELETE */
    struct kv_range range; /* prefix, start, end; after and is_descending of GET */
    struct bytes value;    /* PUT */
    uint64_t lease;        /* PUT */
    bool wants_previous;   /* PUT, DELETE: the items as they were, in the result */
    bool keys_only;        /* GET */
    bool count_only;       /* GET */
    uint64_t items_max;    /* GET of a range: 1 … LIMIT_LIST_ITEMS */
    /* NESTED: the transaction itself stands behind it in the encoding */
};

struct txn_head {
    size_t compares_count;
    size_t success_count;
    size_t failure_count;
};

/* ---- making one: each list is begun with its count, and holds exactly that many ---- */

void txn_put_head(struct buf *out, size_t compares_count, size_t success_count,
                  size_t failure_count);
void txn_put_compare(struct buf *out, const struct txn_compare *compare);
/* Behind a NESTED one comes a whole transaction. */
void txn_put_operation(struct buf *out, const struct txn_operation *operation);

/* All that can be said without the state: form, limits, depth.
 * return   ST_OK; ST_SHORT; ST_FORMAT; ST_LIMIT; ST_DUPLICATE_KEY: of two operations that may be
 *          carried out together, one puts the key that the other puts, or deletes (also in a range,
 *          whether or not the key exists) */
MUST_CHECK enum status txn_check(struct bytes encoded);

/* ---- reading one: head, compares, then success and failure, each nested one whole in its place.
 * ST_OK; ST_SHORT; ST_FORMAT; ST_LIMIT ---- */

MUST_CHECK enum status txn_take_head(struct cursor *in, struct txn_head *out_head);
MUST_CHECK enum status txn_take_compare(struct cursor *in, struct txn_compare *out_compare);
MUST_CHECK enum status txn_take_operation(struct cursor *in, struct txn_operation *out_operation);

/* ---- carrying it out ---- */

/* Requires txn_check. ST_OK with the results appended to `out_results`, which is given the room
 * for them; else nothing was changed: ST_LEASE_NOT_FOUND, ST_LEASES_FULL, ST_STATE_FULL,
 * ST_TXN_TOO_LARGE (it deletes or looks at too many keys, or its results may be larger than
 * `results_bytes_max`).
 *
 * results_bytes_max   at most LIMIT_TXN_RESULTS_BYTES */
MUST_CHECK enum status txn_apply(struct kv *kv, struct bytes encoded, size_t results_bytes_max,
                                 struct buf *out_results, bool *out_changed);

/* Its results have no more than that, whatever the state: at most LIMIT_TXN_RESULTS_BYTES. Requires
 * txn_check. */
size_t txn_results_bytes_max(struct bytes encoded);

/* ---- reading what it came to ---- */

struct txn_result {
    enum txn_op op;       /* 0: the end of a transaction */
    bool succeeded;       /* NESTED */
    uint64_t count;       /* DELETE: deleted; GET: in the range, beyond items_max too */
    uint64_t items_count; /* items that follow: GET; previous ones of PUT and DELETE */
    bool has_previous;    /* PUT, DELETE: the items as they were have been asked for */
    bool keys_only;       /* GET: of the items no values */
    bool has_more;        /* GET: items behind the last one */
    size_t results_count; /* NESTED: results that follow */
};
/* The head of all: whether it succeeded, at which revision, and how many results follow. */
bool txn_results_head(struct cursor *in, bool *out_succeeded, uint64_t *out_revision,
                      size_t *out_count);
bool txn_results_next(struct cursor *in, struct txn_result *out_result);
bool txn_results_item(struct cursor *in, struct kv_item *out_item); /* of the result before */
/* Can all of it be read so, to its end? */
bool txn_results_are_sound(struct bytes results);

#endif
