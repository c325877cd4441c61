/* Which operations of a transaction are to be done: decided by the compares, all of them on the
 * state before, those of nested transactions too (as in etcd). What is not chosen is read over. */
#include "base/limits.h"
#include "base/mem.h"
#include "kv/kv_internal.h"
#include "kv/txn_internal.h"

/* ---- compares ---- */

static bool relation_holds(enum txn_relation relation, int order)
{
    switch (relation) {
    case TXN_EQUAL:
        return order == 0;
    case TXN_NOT_EQUAL:
        return order != 0;
    case TXN_LESS:
        return order < 0;
    case TXN_GREATER:
        return order > 0;
    }
    UNREACHABLE();
}

static uint64_t number_of(enum txn_target target, const struct kv_item *item)
{
    switch (target) {
    case TXN_VERSION:
        return item->version;
    case TXN_CREATE_REVISION:
        return item->create_revision;
    case TXN_MOD_REVISION:
        return item->mod_revision;
    case TXN_LEASE:
        return item->lease;
    case TXN_VALUE:
        break;
    }
    UNREACHABLE();
}

/* `item` is all 0 for a key that does not exist. */
static bool holds_for(const struct txn_compare *compare, const struct kv_item *item)
{
    if (compare->target == TXN_VALUE)
        return item->version != 0 &&
               relation_holds(compare->relation, bytes_compare(item->value, compare->value));
    uint64_t number = number_of(compare->target, item);
    int order = number < compare->number ? -1 : number > compare->number;
    return relation_holds(compare->relation, order);
}

enum { COMPARE_LOOK_BYTES = 256 }; /* of a value: so many count as another look */

struct comparing {
    const struct txn_compare *compare;
    struct txn_path *path;
    bool has_keys;
    bool fails;
};

static bool comparing_on_item(void *ctx, const struct kv_item *item)
{
    struct comparing *comparing = ctx;
    struct txn_path *path = comparing->path;
    uint64_t looks = 0;
    comparing->has_keys = true;
    if (comparing->compare->target == TXN_VALUE)
        looks = MIN(item->value.count, comparing->compare->value.count) / COMPARE_LOOK_BYTES;
    path->is_too_large = path->is_too_large || looks > path->looks_left;
    if (path->is_too_large)
        return false;
    path->looks_left -= looks;
    comparing->fails = !holds_for(comparing->compare, item);
    return !comparing->fails;
}

static bool compare_holds(const struct kv *kv, const struct txn_compare *compare,
                          struct txn_path *path)
{
    static const struct kv_item absent;
    struct kv_item item;
    struct comparing comparing = {.compare = compare, .path = path};
    if (compare->key.count != 0)
        return holds_for(compare, kv_get(kv, compare->key, &item) ? &item : &absent);
    if (!kv_scan_some(kv, &compare->range, &path->looks_left, comparing_on_item, &comparing))
        path->is_too_large = true;
    return comparing.has_keys ? !comparing.fails : holds_for(compare, &absent);
}

/* ---- the path ---- */

struct choosing {
    const struct kv *kv;
    struct cursor in;
    struct txn_path *path;
};

/* Of a transaction that is carried out. */
struct choice {
    bool succeeded;
    size_t results_count;
};

static size_t add_step(struct txn_path *path, const struct txn_operation *operation)
{
    if (path->count == path->capacity) {
        path->capacity = MAX(2 * path->capacity, (size_t)8);
        path->steps = mem_realloc(path->steps, path->capacity * sizeof *path->steps);
    }
    path->steps[path->count] = (struct txn_step){.operation = *operation};
    return path->count++;
}

static struct choice choose_txn(struct choosing *choosing, bool is_chosen);

static void choose_list(struct choosing *choosing, size_t count, bool is_chosen)
{
    struct txn_path *path = choosing->path;
    for (size_t i = 0; i < count; i++) {
        struct txn_operation operation;
        enum status status = txn_take_operation(&choosing->in, &operation);
        INVARIANT(status == ST_OK); /* checked */
        size_t at = is_chosen ? add_step(path, &operation) : 0;
        if (operation.op != TXN_NESTED)
            continue;
        struct choice choice = choose_txn(choosing, is_chosen);
        if (!is_chosen)
            continue;
        path->steps[at].succeeded = choice.succeeded;
        path->steps[at].results_count = choice.results_count;
    }
}

static struct choice choose_txn(struct choosing *choosing, bool is_chosen)
{
    struct choice choice = {.succeeded = true};
    struct txn_head head;
    enum status status = txn_take_head(&choosing->in, &head);
    INVARIANT(status == ST_OK); /* checked */
    for (size_t i = 0; i < head.compares_count; i++) {
        struct txn_compare compare;
        status = txn_take_compare(&choosing->in, &compare);
        INVARIANT(status == ST_OK);
        choice.succeeded = choice.succeeded &&
                           (!is_chosen || compare_holds(choosing->kv, &compare, choosing->path));
    }
    choose_list(choosing, head.success_count, is_chosen && choice.succeeded);
    choose_list(choosing, head.failure_count, is_chosen && !choice.succeeded);
    choice.results_count = choice.succeeded ? head.success_count : head.failure_count;
    if (is_chosen)
        (void)add_step(choosing->path, &(struct txn_operation){0}); /* its end */
    return choice;
}

enum status txn_path_choose(const struct kv *kv, struct bytes encoded, struct txn_path *out_path)
{
    *out_path = (struct txn_path){.looks_left = LIMIT_TXN_STEPS};
    struct choosing choosing = {.kv = kv, .in = cursor_of(encoded), .path = out_path};
    struct choice choice = choose_txn(&choosing, true);
    out_path->succeeded = choice.succeeded;
    out_path->results_count = choice.results_count;
    ENSURE(cursor_is_done(&choosing.in));
    return out_path->is_too_large ? ST_TXN_TOO_LARGE : ST_OK;
}

void txn_path_release(struct txn_path *path)
{
    mem_free(path->steps);
    *path = (struct txn_path){0};
}

bool txn_operation_has(const struct txn_operation *operation, struct bytes key)
{
    return operation->key.count != 0 ? bytes_equal(operation->key, key)
                                     : kv_range_has(&operation->range, key);
}
