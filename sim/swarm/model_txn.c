/* Transactions, as docs/formats/txn.md has them, gone through three times: what the compares
 * decide, in the state before; whether anything speaks against it; then what is to be done. */
#include "base/limits.h"
#include "base/mem.h"
#include "kv/txn.h"
#include "sim/swarm/model_internal.h"

enum pass { PASS_DECIDE, PASS_LOOK, PASS_DO };
enum { REVISION_AT = 1, PREVIOUS_WANTED = 1, KEYS_ONLY = 1, HAS_MORE = 2 };

struct run {
    struct model *model;
    enum pass pass;
    struct cursor in;
    bool decisions[LIMIT_TXN_IN_ALL + 1]; /* of each transaction in the order of the bytes */
    size_t at;
    bool lacks_lease, has_changed;
    uint64_t revision; /* of what is changed */
    struct buf results;
};

/* ---- the keys that are meant, in order ---- */

struct matches {
    size_t *keys; /* owned; in model->keys */
    size_t count;
};

static void add_match(struct matches *matches, size_t key)
{
    size_t *slot = model_append((void **)&matches->keys, &matches->count, sizeof matches->keys[0]);
    *slot = key;
}

static bool is_behind(const struct kv_range *range, struct bytes key)
{
    if (range->after.count == 0)
        return true;
    int order = bytes_compare(key, range->after);
    return range->is_descending ? order < 0 : order > 0;
}

static struct matches find(const struct model *model, struct bytes key,
                           const struct kv_range *range)
{
    struct matches matches = {0};
    const struct model_key *found = key.count != 0 ? model_find_key(model, key) : NULL;
    if (found != NULL)
        add_match(&matches, (size_t)(found - model->keys));
    if (key.count != 0)
        return matches;
    for (size_t at = model_next_in(model, range, 0); at < model->keys_count;
         at = model_next_in(model, range, at + 1))
        if (is_behind(range, model->keys[model->order[at]].key))
            add_match(&matches, model->order[at]);
    for (size_t i = 0; range->is_descending && i < matches.count / 2; i++) {
        size_t first = matches.keys[i];
        matches.keys[i] = matches.keys[matches.count - 1 - i];
        matches.keys[matches.count - 1 - i] = first;
    }
    return matches;
}

/* ---- compares ---- */

static bool holds(enum txn_relation relation, int order)
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

/* `key`: NULL: there is none. */
static bool compare_key(const struct txn_compare *compare, const struct model_key *key)
{
    uint64_t number = 0;
    if (compare->target == TXN_VALUE)
        return key != NULL && holds(compare->relation, bytes_compare(key->value, compare->value));
    if (key != NULL && compare->target == TXN_VERSION)
        number = key->version;
    else if (key != NULL && compare->target == TXN_CREATE_REVISION)
        number = key->create_revision;
    else if (key != NULL && compare->target == TXN_MOD_REVISION)
        number = key->mod_revision;
    else if (key != NULL)
        number = key->lease;
    return holds(compare->relation, (number > compare->number) - (number < compare->number));
}

static bool compare_holds(const struct model *model, const struct txn_compare *compare)
{
    struct matches matches = find(model, compare->key, &compare->range);
    bool do_hold = matches.count > 0 || compare_key(compare, NULL);
    for (size_t i = 0; i < matches.count; i++)
        do_hold = do_hold && compare_key(compare, &model->keys[matches.keys[i]]);
    mem_free(matches.keys);
    return do_hold;
}

static bool take_compares(struct run *run, size_t count)
{
    bool do_hold = true;
    for (size_t i = 0; i < count; i++) {
        struct txn_compare compare;
        enum status status = txn_take_compare(&run->in, &compare);
        INVARIANT(status == ST_OK); /* only what can be read is sent */
        if (run->pass == PASS_DECIDE)
            do_hold = compare_holds(run->model, &compare) && do_hold;
    }
    return do_hold;
}

/* ---- doing it ---- */

static void put_item(struct buf *out, const struct model_key *key, bool is_key_only)
{
    buf_put_u64(out, key->create_revision);
    buf_put_u64(out, key->mod_revision);
    buf_put_u64(out, key->version);
    buf_put_u64(out, key->lease);
    buf_put_sized(out, key->key);
    buf_put_sized(out, is_key_only ? bytes_of(NULL, 0) : key->value);
}

static void do_put(struct run *run, const struct txn_operation *put)
{
    struct model_key *key = model_key_of(run->model, put->key);
    bool shows_it = key->is_there && put->wants_previous;
    buf_put_u8(&run->results, TXN_PUT);
    buf_put_u8(&run->results, put->wants_previous ? PREVIOUS_WANTED : 0);
    buf_put_u32(&run->results, shows_it);
    if (shows_it)
        put_item(&run->results, key, false);
    model_set_value(run->model, key, put->value, put->lease, run->revision);
    run->has_changed = true;
}

static void do_get(struct run *run, const struct txn_operation *get)
{
    struct matches matches = find(run->model, get->key, &get->range);
    size_t most = get->key.count != 0 ? 1 : (size_t)get->items_max;
    size_t shown = get->count_only ? 0 : MIN(matches.count, most);
    bool has_more = !get->count_only && matches.count > most;
    buf_put_u8(&run->results, TXN_GET);
    buf_put_u8(&run->results,
               (uint8_t)((get->keys_only ? KEYS_ONLY : 0) | (has_more ? HAS_MORE : 0)));
    buf_put_u64(&run->results, matches.count);
    buf_put_u32(&run->results, (uint32_t)shown);
    for (size_t i = 0; i < shown; i++)
        put_item(&run->results, &run->model->keys[matches.keys[i]], get->keys_only);
    mem_free(matches.keys);
}

static void do_delete(struct run *run, const struct txn_operation *delete)
{
    struct matches matches = find(run->model, delete->key, &delete->range);
    buf_put_u8(&run->results, TXN_DELETE);
    buf_put_u8(&run->results, delete->wants_previous ? PREVIOUS_WANTED : 0);
    buf_put_u64(&run->results, matches.count);
    buf_put_u32(&run->results, delete->wants_previous ? (uint32_t)matches.count : 0);
    for (size_t i = 0; i < matches.count && delete->wants_previous; i++)
        put_item(&run->results, &run->model->keys[matches.keys[i]], false);
    for (size_t i = 0; i < matches.count; i++)
        (void)model_delete_key(run->model, &run->model->keys[matches.keys[i]], run->revision);
    run->has_changed = run->has_changed || matches.count > 0;
    mem_free(matches.keys);
}

static void take_step(struct run *run, const struct txn_operation *operation)
{
    bool needs_lease = operation->op == TXN_PUT && operation->lease != 0;
    if (run->pass == PASS_LOOK && needs_lease && !model_has_lease(run->model, operation->lease))
        run->lacks_lease = true;
    if (run->pass != PASS_DO)
        return;
    if (operation->op == TXN_PUT)
        do_put(run, operation);
    else if (operation->op == TXN_GET)
        do_get(run, operation);
    else
        do_delete(run, operation);
}

/* ---- all of it ---- */

static void put_head(struct run *run, bool is_outermost, bool succeeded, size_t count)
{
    if (!is_outermost)
        buf_put_u8(&run->results, TXN_NESTED);
    buf_put_u8(&run->results, succeeded);
    if (is_outermost)
        buf_put_u64(&run->results, 0); /* the revision, once it is known */
    buf_put_u8(&run->results, (uint8_t)count);
}

static void take_txn(struct run *run, bool is_chosen)
{
    struct txn_head head;
    enum status status = txn_take_head(&run->in, &head);
    INVARIANT(status == ST_OK);
    size_t me = run->at++;
    bool do_hold = take_compares(run, head.compares_count);
    if (run->pass == PASS_DECIDE)
        run->decisions[me] = do_hold;
    bool succeeds = run->decisions[me], is_shown = run->pass == PASS_DO && is_chosen;
    if (is_shown)
        put_head(run, me == 0, succeeds, succeeds ? head.success_count : head.failure_count);
    for (size_t i = 0; i < head.success_count + head.failure_count; i++) {
        struct txn_operation operation;
        status = txn_take_operation(&run->in, &operation);
        INVARIANT(status == ST_OK);
        bool is_due = is_chosen && succeeds == (i < head.success_count);
        if (operation.op == TXN_NESTED)
            take_txn(run, is_due);
        else if (is_due)
            take_step(run, &operation);
    }
    if (is_shown)
        buf_put_u8(&run->results, 0);
}

struct model_result model_carry_out(struct model *model, struct bytes txn)
{
    struct model_result result = {.status = ST_OK};
    struct run run = {.model = model, .revision = model->revision + 1};
    buf_init(&run.results, LIMIT_TXN_RESULTS_BYTES);
    for (run.pass = PASS_DECIDE; run.pass <= PASS_DO && !run.lacks_lease; run.pass++) {
        run.in = cursor_of(txn);
        run.at = 0;
        take_txn(&run, true);
        INVARIANT(cursor_is_done(&run.in));
    }
    if (run.lacks_lease)
        result.status = ST_LEASE_NOT_FOUND;
    result.changed = run.has_changed;
    if (run.has_changed) {
        store_u64(run.results.data + REVISION_AT, model->revision);
        model_note_results(model, buf_bytes(&run.results));
    }
    buf_release(&run.results);
    return result;
}
