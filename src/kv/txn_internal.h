/* Txn, from within: what the txn_*.c files share. */
#ifndef MINIKV_KV_TXN_INTERNAL_H
#define MINIKV_KV_TXN_INTERNAL_H

#include "kv/txn.h"

/* One thing to be done, in the order in which its result stands. */
struct txn_step {
    struct txn_operation operation; /* op 0: the end of a transaction */
    bool succeeded;                 /* NESTED */
    size_t results_count;           /* NESTED */
    bool attaches;                  /* PUT, looked at: its key does not hang on its lease yet */
};

/* What is to be done, chosen by the state before: of each transaction the list that its compares
 * have decided for. Borrows from the encoding. */
struct txn_path {
    struct txn_step *steps; /* owned */
    size_t count;
    size_t capacity;
    bool succeeded; /* the outermost one, whose end is the last step */
    size_t results_count;
    uint64_t looks_left; /* at keys, of LIMIT_TXN_STEPS */
    bool is_too_large;   /* that was not enough */
};

/* Requires txn_check. ST_OK; ST_TXN_TOO_LARGE: the compares look at too many keys. To be released
 * in any case. */
MUST_CHECK enum status txn_path_choose(const struct kv *kv, struct bytes encoded,
                                       struct txn_path *out_path);
void txn_path_release(struct txn_path *path);
/* Does an operation that names a key or a range mean this key? */
bool txn_operation_has(const struct txn_operation *operation, struct bytes key);

/* What could speak against carrying it out: statuses of txn_apply. Changes nothing.
 *
 * out_results_bytes   the results have no more than that */
MUST_CHECK enum status txn_look(const struct kv *kv, struct txn_path *path,
                                size_t results_bytes_max, uint64_t *out_results_bytes);

/* ---- writing results (docs/formats/txn.md) ---- */

enum {
    TXN_RESULTS_HEAD_BYTES = 10,
    TXN_RESULT_BYTES_MAX = 14, /* without its items */
    TXN_END_BYTES = 1,
    TXN_ITEM_BYTES = 40 /* without key and value */
};

/* The revision is filled in at the end, by txn_results_set_revision. */
void txn_results_put_head(struct buf *out, bool succeeded, size_t results_count);
/* The head began at `at`. */
void txn_results_set_revision(struct buf *out, size_t at, uint64_t revision);
/* Returns where it begins: counts may be set later. */
size_t txn_results_put(struct buf *out, const struct txn_result *result);
/* Of the GET or DELETE that begins at `at`. */
void txn_results_set_counts(struct buf *out, size_t at, const struct txn_result *result);
void txn_results_put_item(struct buf *out, const struct kv_item *item);

#endif
