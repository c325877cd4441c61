/* Carrying out a transaction.
 *
 * 1. The path is chosen: which lists are to be done, by compares on the state before (txn_path.c).
 * 2. All that could speak against it is looked at (txn_look.c). Up to here nothing is changed.
 * 3. The steps are done in their order, each on what those before it have left, all of it one
 *    change. Nothing can fail any more. */
#include "base/limits.h"
#include "kv/change.h"
#include "kv/kv_internal.h"
#include "kv/txn_internal.h"

struct doing {
    struct change change;
    struct buf *results;
    const struct txn_operation *operation;
    struct txn_result result;
    struct buf keys; /* owned: of a slice of a range, to be deleted; each behind its u32 count */
    struct bytes last_key;
    size_t slice_count;
};

/* ---- puts ---- */

static void do_put(struct doing *doing)
{
    const struct txn_operation *put = doing->operation;
    struct kv_item before;
    struct txn_result result = {.op = TXN_PUT, .has_previous = put->wants_previous};
    bool existed = put->wants_previous && kv_get(doing->change.kv, put->key, &before);
    result.items_count = existed;
    (void)txn_results_put(doing->results, &result);
    if (existed)
        txn_results_put_item(doing->results, &before);
    (void)change_put(&doing->change, put->key, put->value, put->lease);
}

/* ---- gets ---- */

static bool get_on_item(void *ctx, const struct kv_item *item)
{
    struct doing *doing = ctx;
    struct txn_result *result = &doing->result;
    const struct txn_operation *get = doing->operation;
    struct kv_item shown = *item;
    result->count++;
    if (get->count_only)
        return true;
    result->has_more = result->items_count == get->items_max;
    if (result->has_more)
        return true; /* the others are counted */
    if (get->keys_only)
        shown.value = bytes_of(NULL, 0);
    txn_results_put_item(doing->results, &shown);
    result->items_count++;
    return true;
}

static void do_get(struct doing *doing)
{
    const struct txn_operation *get = doing->operation;
    const struct kv *kv = doing->change.kv;
    struct kv_item item;
    doing->result = (struct txn_result){.op = TXN_GET, .keys_only = get->keys_only};
    size_t at = txn_results_put(doing->results, &doing->result);
    if (get->key.count == 0)
        kv_scan(kv, &get->range, get_on_item, doing);
    else if (kv_get(kv, get->key, &item))
        (void)get_on_item(doing, &item);
    txn_results_set_counts(doing->results, at, &doing->result);
}

/* ---- deletes ---- */

enum { SLICE_KEYS = 64 }; /* taken out of the state before they are deleted, which ends a scan */

static bool delete_on_item(void *ctx, const struct kv_item *item)
{
    struct doing *doing = ctx;
    if (doing->operation->wants_previous) {
        txn_results_put_item(doing->results, item);
        doing->result.items_count++;
    }
    buf_put_sized(&doing->keys, item->key);
    return ++doing->slice_count < SLICE_KEYS;
}

/* The keys are in doing->keys; the last of them is remembered. */
static void delete_slice(struct doing *doing)
{
    struct cursor in = cursor_of(buf_bytes(&doing->keys));
    INVARIANT(!doing->keys.is_full);
    while (!cursor_is_done(&in)) {
        doing->last_key = cursor_sized(&in, LIMIT_KEY_BYTES);
        INVARIANT(!in.is_short);
        bool existed = change_delete(&doing->change, doing->last_key);
        INVARIANT(existed); /* it has just been read */
        doing->result.count++;
    }
}

static void delete_range(struct doing *doing)
{
    struct kv_range range = doing->operation->range;
    uint8_t room[LIMIT_KEY_BYTES];
    do {
        buf_reset(&doing->keys);
        doing->slice_count = 0;
        kv_scan(doing->change.kv, &range, delete_on_item, doing);
        if (doing->slice_count == 0)
            return;
        delete_slice(doing);
        memcpy(room, doing->last_key.data, doing->last_key.count);
        range.after = bytes_of(room, doing->last_key.count);
    } while (doing->slice_count == SLICE_KEYS);
}

static void do_delete(struct doing *doing)
{
    const struct txn_operation *operation = doing->operation;
    struct kv_item item;
    doing->result =
        (struct txn_result){.op = TXN_DELETE, .has_previous = operation->wants_previous};
    size_t at = txn_results_put(doing->results, &doing->result);
    if (operation->key.count == 0) {
        delete_range(doing);
    } else if (kv_get(doing->change.kv, operation->key, &item)) {
        buf_reset(&doing->keys);
        doing->slice_count = 0;
        (void)delete_on_item(doing, &item);
        delete_slice(doing);
    }
    txn_results_set_counts(doing->results, at, &doing->result);
}

/* ---- all of it ---- */

static void do_step(struct doing *doing, const struct txn_step *step)
{
    doing->operation = &step->operation;
    if (step->operation.op == TXN_PUT)
        do_put(doing);
    else if (step->operation.op == TXN_GET)
        do_get(doing);
    else if (step->operation.op == TXN_DELETE)
        do_delete(doing);
    else
        (void)txn_results_put(doing->results,
                              &(struct txn_result){.op = step->operation.op,
                                                   .succeeded = step->succeeded,
                                                   .results_count = step->results_count});
}

static void carry_out(struct kv *kv, const struct txn_path *path, struct buf *out_results,
                      bool *out_changed)
{
    size_t at = out_results->count;
    struct doing doing = {.results = out_results};
    buf_init(&doing.keys, SLICE_KEYS * (4 + LIMIT_KEY_BYTES));
    change_begin(&doing.change, kv);
    txn_results_put_head(out_results, path->succeeded, path->results_count);
    for (size_t i = 0; i < path->count; i++)
        do_step(&doing, &path->steps[i]);
    *out_changed = change_end(&doing.change);
    txn_results_set_revision(out_results, at, kv->revision);
    buf_release(&doing.keys);
}

enum status txn_apply(struct kv *kv, struct bytes encoded, size_t results_bytes_max,
                      struct buf *out_results, bool *out_changed)
{
    REQUIRE(results_bytes_max <= LIMIT_TXN_RESULTS_BYTES);
    struct txn_path path;
    uint64_t results_bytes = 0;
    size_t before = out_results->count;
    *out_changed = false;
    enum status status = txn_path_choose(kv, encoded, &path);
    if (status == ST_OK)
        status = txn_look(kv, &path, results_bytes_max, &results_bytes);
    if (status == ST_OK) {
        carry_out(kv, &path, out_results, out_changed);
        ENSURE(!out_results->is_full);
        ENSURE(out_results->count - before <= results_bytes);
    }
    txn_path_release(&path);
    return status;
}
