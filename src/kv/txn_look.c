/* Before a transaction changes anything: all that could speak against it. Behind this nothing can
 * fail.
 *
 * The steps are gone through in their order over the state before. What earlier steps of the same
 * transaction will have changed is reckoned with: what they delete is not there any more; what they
 * put may be read as well. So counts of what is deleted are exact, and those of what is read are an
 * upper bound. */
#include "base/limits.h"
#include "kv/change.h"
#include "kv/kv_internal.h"
#include "kv/txn_internal.h"

struct look {
    const struct kv *kv;
    struct txn_path *path;
    size_t at; /* the step that is looked at */
    uint64_t results_bytes;
    uint64_t deletes_count;
    int64_t growth_bytes; /* of the state, by puts and deletes */
    uint64_t items_left;  /* of this step, that are read */
};

static const struct txn_operation *operation_at(const struct look *look, size_t at)
{
    return &look->path->steps[at].operation;
}

/* Of the range of this step, whose keys are looked at, those deleted before too. */
static void look_at_range(struct look *look, const struct kv_range *range,
                          bool (*on_item)(void *ctx, const struct kv_item *item))
{
    if (!kv_scan_some(look->kv, range, &look->path->looks_left, on_item, look))
        look->path->is_too_large = true;
}

/* False: it has looked at all that it may. */
static bool count_look(struct look *look)
{
    look->path->is_too_large = look->path->is_too_large || look->path->looks_left == 0;
    look->path->looks_left -= look->path->looks_left != 0;
    return !look->path->is_too_large;
}

static bool is_deleted_before(struct look *look, struct bytes key)
{
    for (size_t i = 0; i < look->at; i++) {
        const struct txn_operation *earlier = operation_at(look, i);
        if (earlier->op != TXN_DELETE)
            continue;
        if (!count_look(look) || txn_operation_has(earlier, key))
            return true;
    }
    return false;
}

static uint64_t item_bytes(const struct kv_item *item, bool keys_only)
{
    return TXN_ITEM_BYTES + item->key.count + (keys_only ? 0 : item->value.count);
}

/* ---- deletes ---- */

static bool delete_on_item(void *ctx, const struct kv_item *item)
{
    struct look *look = ctx;
    if (is_deleted_before(look, item->key))
        return !look->path->is_too_large;
    look->deletes_count++;
    look->growth_bytes -= (int64_t)item_state_bytes(item->key.count, item->value.count);
    if (operation_at(look, look->at)->wants_previous)
        look->results_bytes += item_bytes(item, false);
    if (look->deletes_count > LIMIT_TXN_DELETES)
        look->path->is_too_large = true;
    return !look->path->is_too_large;
}

static void look_at_delete(struct look *look, const struct txn_operation *operation)
{
    struct kv_item item;
    if (operation->key.count == 0)
        look_at_range(look, &operation->range, delete_on_item);
    else if (kv_get(look->kv, operation->key, &item))
        (void)delete_on_item(look, &item);
}

/* ---- gets ---- */

static bool get_on_item(void *ctx, const struct kv_item *item)
{
    struct look *look = ctx;
    if (look->items_left == 0 || is_deleted_before(look, item->key))
        return !look->path->is_too_large; /* it is counted only, or not even that */
    look->items_left--;
    look->results_bytes += item_bytes(item, operation_at(look, look->at)->keys_only);
    return true;
}

/* What earlier steps put may be read in place of, or beside, what is there now. */
static void add_earlier_puts(struct look *look, const struct txn_operation *get)
{
    for (size_t i = 0; i < look->at; i++) {
        const struct txn_operation *earlier = operation_at(look, i);
        struct kv_item item = {.key = earlier->key, .value = earlier->value};
        if (earlier->op == TXN_PUT && txn_operation_has(get, earlier->key))
            look->results_bytes += item_bytes(&item, get->keys_only);
    }
}

static void look_at_get(struct look *look, const struct txn_operation *get)
{
    struct kv_item item;
    look->items_left = get->count_only ? 0 : get->items_max;
    if (get->key.count == 0)
        look_at_range(look, &get->range, get_on_item);
    else if (kv_get(look->kv, get->key, &item))
        (void)get_on_item(look, &item);
    if (!get->count_only)
        add_earlier_puts(look, get);
}

/* ---- puts ---- */

/* `before`: the item as it was, or NULL. Each key is sought once, however many puts there are. */
static enum status look_at_lease(const struct look *look, const struct txn_operation *put,
                                 const struct kv_item *before)
{
    struct txn_step *steps = look->path->steps;
    uint64_t more_keys = 0;
    if (put->lease == 0)
        return ST_OK;
    steps[look->at].attaches = before == NULL || before->lease != put->lease;
    for (size_t i = 0; i <= look->at; i++)
        more_keys += steps[i].attaches && steps[i].operation.lease == put->lease;
    return leases_may_attach(look->kv->leases, put->lease, more_keys);
}

static enum status look_at_put(struct look *look, const struct txn_operation *put)
{
    struct kv_item before;
    look->growth_bytes += (int64_t)item_state_bytes(put->key.count, put->value.count);
    bool existed = kv_get(look->kv, put->key, &before);
    if (existed) {
        look->growth_bytes -= (int64_t)item_state_bytes(before.key.count, before.value.count);
        if (put->wants_previous)
            look->results_bytes += item_bytes(&before, false);
    }
    return look_at_lease(look, put, existed ? &before : NULL);
}

/* ---- all of it ---- */

static enum status look_at_step(struct look *look)
{
    const struct txn_operation *operation = operation_at(look, look->at);
    look->results_bytes += TXN_RESULT_BYTES_MAX;
    if (operation->op == TXN_PUT)
        return look_at_put(look, operation);
    if (operation->op == TXN_GET)
        look_at_get(look, operation);
    else if (operation->op == TXN_DELETE)
        look_at_delete(look, operation);
    return look->path->is_too_large ? ST_TXN_TOO_LARGE : ST_OK;
}

enum status txn_look(const struct kv *kv, struct txn_path *path, size_t results_bytes_max,
                     uint64_t *out_results_bytes)
{
    struct look look = {.kv = kv, .path = path, .results_bytes = TXN_RESULTS_HEAD_BYTES};
    for (; look.at < path->count; look.at++) {
        enum status status = look_at_step(&look);
        if (status != ST_OK)
            return status;
    }
    if (look.results_bytes > results_bytes_max)
        return ST_TXN_TOO_LARGE;
    if (look.growth_bytes > 0 && !change_has_room(kv, (uint64_t)look.growth_bytes))
        return ST_STATE_FULL;
    *out_results_bytes = look.results_bytes;
    return ST_OK;
}
