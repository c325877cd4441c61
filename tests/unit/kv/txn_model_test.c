/* Long random play with transactions, beside a model that is slow and obviously right: an array of
 * keys, a tree of operations, and the same line of text for what each came to. */
#include "txn_fixture.h"

#include <inttypes.h>

enum { KEYS = 9, LISTS_MAX = 4, DEPTH_MAX = 3, LEASE = 7, ROUNDS = 6000, STATE_KEYS = 8 };

static const char *const keys[KEYS] = {"a", "a/",  "a/1", "a/2",     "a/22",
                                       "b", "b/1", "c",   "\xff\xff"};
static const char *const bounds[] = {"", "", "", "a", "a/", "a/2", "b", "c", "\xff", "d"};
static const char *const values[] = {"", "x", "y", "long enough to be a longer value than others"};

struct model {
    bool exists[KEYS];
    struct kv_item items[KEYS];
    uint64_t revision;
};

struct tree {
    size_t compares_count, operations_count[2]; /* success, failure */
    struct txn_compare compares[LISTS_MAX];
    struct txn_operation operations[2][LISTS_MAX];
    struct tree *nested[2][LISTS_MAX]; /* owned */
};

/* ---- random transactions ---- */

static struct bytes pick(struct prng *prng, const char *const *texts, size_t count)
{
    return bytes_of_text(texts[prng_below(prng, count)]);
}

static struct kv_range random_range(struct prng *prng)
{
    struct kv_range range = {.prefix = pick(prng, bounds, ARRAY_COUNT(bounds))};
    if (prng_below(prng, 3) == 0)
        range.start = pick(prng, bounds, ARRAY_COUNT(bounds));
    if (prng_below(prng, 3) == 0)
        range.end = pick(prng, bounds, ARRAY_COUNT(bounds));
    return range;
}

static void random_place(struct prng *prng, struct bytes *key, struct kv_range *range)
{
    if (prng_below(prng, 2) == 0)
        *key = pick(prng, keys, KEYS);
    else
        *range = random_range(prng);
}

static struct txn_compare random_compare(struct prng *prng, const struct model *model)
{
    struct txn_compare compare = {.target = (enum txn_target)(1 + prng_below(prng, 5)),
                                  .relation = (enum txn_relation)(1 + prng_below(prng, 4)),
                                  .value = bytes_of_text("")};
    random_place(prng, &compare.key, &compare.range);
    if (compare.target == TXN_VALUE)
        compare.value = pick(prng, values, ARRAY_COUNT(values));
    else if (compare.target == TXN_LEASE)
        compare.number = prng_below(prng, 2) * LEASE;
    else
        compare.number = prng_below(prng, 2) == 0
                             ? prng_below(prng, 3)
                             : model->revision - prng_below(prng, MIN(model->revision, 9u));
    return compare;
}

static struct txn_operation random_operation(struct prng *prng, unsigned depth)
{
    static const enum txn_op ops[] = {TXN_PUT,    TXN_PUT,    TXN_PUT,    TXN_GET,   TXN_GET,
                                      TXN_DELETE, TXN_DELETE, TXN_NESTED, TXN_NESTED};
    size_t count = ARRAY_COUNT(ops) - (depth == DEPTH_MAX ? 2 : 0);
    struct txn_operation operation = {.op = ops[prng_below(prng, count)]};
    operation.wants_previous =
        operation.op != TXN_GET && operation.op != TXN_NESTED && prng_below(prng, 2) == 0;
    if (operation.op == TXN_PUT) {
        operation.key = pick(prng, keys, KEYS);
        operation.value = pick(prng, values, ARRAY_COUNT(values));
        operation.lease = prng_below(prng, 4) == 0 ? LEASE + prng_below(prng, 16) / 15 : 0;
    } else if (operation.op != TXN_NESTED) {
        random_place(prng, &operation.key, &operation.range);
    }
    if (operation.op == TXN_GET) {
        operation.keys_only = prng_below(prng, 3) == 0;
        operation.count_only = prng_below(prng, 4) == 0;
        operation.items_max = operation.key.count != 0 ? 1 : 1 + prng_below(prng, 6);
        if (operation.key.count == 0 && prng_below(prng, 3) == 0)
            operation.range.after = pick(prng, keys, KEYS);
        operation.range.is_descending = operation.key.count == 0 && prng_below(prng, 2) == 0;
    }
    return operation;
}

static struct tree *random_tree(struct prng *prng, const struct model *model, unsigned depth)
{
    struct tree *tree = mem_alloc(sizeof *tree);
    tree->compares_count = prng_below(prng, 3);
    for (size_t i = 0; i < tree->compares_count; i++)
        tree->compares[i] = random_compare(prng, model);
    for (int list = 0; list < 2; list++) {
        tree->operations_count[list] = prng_below(prng, LISTS_MAX);
        for (size_t i = 0; i < tree->operations_count[list]; i++) {
            tree->operations[list][i] = random_operation(prng, depth);
            if (tree->operations[list][i].op == TXN_NESTED)
                tree->nested[list][i] = random_tree(prng, model, depth + 1);
        }
    }
    return tree;
}

static void tree_done(struct tree *tree)
{
    for (int list = 0; list < 2; list++)
        for (size_t i = 0; i < tree->operations_count[list]; i++)
            if (tree->nested[list][i] != NULL)
                tree_done(tree->nested[list][i]);
    mem_free(tree);
}

static void tree_encode(const struct tree *tree, struct buf *out)
{
    txn_put_head(out, tree->compares_count, tree->operations_count[0], tree->operations_count[1]);
    for (size_t i = 0; i < tree->compares_count; i++)
        txn_put_compare(out, &tree->compares[i]);
    for (int list = 0; list < 2; list++)
        for (size_t i = 0; i < tree->operations_count[list]; i++) {
            txn_put_operation(out, &tree->operations[list][i]);
            if (tree->nested[list][i] != NULL)
                tree_encode(tree->nested[list][i], out);
        }
}

/* ---- the model ---- */

static bool means(struct bytes key, const struct kv_range *range, const char *text)
{
    struct bytes candidate = bytes_of_text(text);
    if (key.count != 0)
        return bytes_equal(key, candidate);
    if (candidate.count < range->prefix.count ||
        (range->prefix.count != 0 &&
         memcmp(candidate.data, range->prefix.data, range->prefix.count) != 0))
        return false;
    if (range->end.count != 0 && bytes_compare(candidate, range->end) >= 0)
        return false;
    if (range->after.count != 0 && !range->is_descending &&
        bytes_compare(candidate, range->after) <= 0)
        return false;
    if (range->after.count != 0 && range->is_descending &&
        bytes_compare(candidate, range->after) >= 0)
        return false;
    return bytes_compare(candidate, range->start) >= 0;
}

static bool related(enum txn_relation relation, int order)
{
    return (relation == TXN_EQUAL && order == 0) || (relation == TXN_NOT_EQUAL && order != 0) ||
           (relation == TXN_LESS && order < 0) || (relation == TXN_GREATER && order > 0);
}

static bool model_compare_one(const struct txn_compare *compare, const struct kv_item *item)
{
    if (compare->target == TXN_VALUE)
        return item != NULL &&
               related(compare->relation, bytes_compare(item->value, compare->value));
    uint64_t number = 0;
    if (item != NULL)
        number = compare->target == TXN_VERSION           ? item->version
                 : compare->target == TXN_CREATE_REVISION ? item->create_revision
                 : compare->target == TXN_MOD_REVISION    ? item->mod_revision
                                                          : item->lease;
    return related(compare->relation, number < compare->number ? -1 : number > compare->number);
}

static bool model_compare(const struct model *model, const struct txn_compare *compare)
{
    bool has_any = false, holds = true;
    for (size_t i = 0; i < KEYS; i++) {
        if (!model->exists[i] || !means(compare->key, &compare->range, keys[i]))
            continue;
        has_any = true;
        holds = holds && model_compare_one(compare, &model->items[i]);
    }
    return has_any ? holds : model_compare_one(compare, NULL);
}

struct doing {
    const struct model *before;
    struct model *model;
    struct buf *text;
    bool has_changed;
    enum status status;
};

static void model_put(struct doing *doing, const struct txn_operation *put)
{
    for (size_t i = 0; i < KEYS; i++) {
        struct kv_item *item = &doing->model->items[i];
        if (!bytes_equal_text(put->key, keys[i]))
            continue;
        buf_put_text(doing->text, put->wants_previous ? " put[" : " put");
        if (put->wants_previous && doing->model->exists[i])
            item_text(doing->text, item, false);
        buf_put_text(doing->text, put->wants_previous ? "]" : "");
        uint64_t revision = doing->before->revision + 1;
        *item = (struct kv_item){.key = put->key,
                                 .value = put->value,
                                 .create_revision =
                                     doing->model->exists[i] ? item->create_revision : revision,
                                 .mod_revision = revision,
                                 .version = doing->model->exists[i] ? item->version + 1 : 1,
                                 .lease = put->lease};
        doing->model->exists[i] = doing->has_changed = true;
    }
    if (put->lease != 0 && put->lease != LEASE && doing->status == ST_OK)
        doing->status = ST_LEASE_NOT_FOUND;
}

static void model_get(struct doing *doing, const struct txn_operation *get)
{
    uint64_t count = 0, shown = 0;
    buf_put_text(doing->text, " get[");
    for (size_t i = 0; i < KEYS; i++) {
        size_t at = get->range.is_descending ? KEYS - 1 - i : i;
        if (!doing->model->exists[at] || !means(get->key, &get->range, keys[at]))
            continue;
        count++;
        if (get->count_only || shown == get->items_max)
            continue;
        buf_put_text(doing->text, shown++ == 0 ? "" : " ");
        item_text(doing->text, &doing->model->items[at], get->keys_only);
    }
    buf_printf(doing->text, "]/%" PRIu64 "%s", count, !get->count_only && shown < count ? "+" : "");
}

static void model_delete(struct doing *doing, const struct txn_operation *operation)
{
    struct buf gone;
    uint64_t count = 0;
    buf_init(&gone, MIB);
    for (size_t i = 0; i < KEYS; i++) {
        if (!doing->model->exists[i] || !means(operation->key, &operation->range, keys[i]))
            continue;
        buf_put_text(&gone, count++ == 0 ? "" : " ");
        item_text(&gone, &doing->model->items[i], false);
        doing->model->exists[i] = false;
        doing->has_changed = true;
    }
    buf_printf(doing->text, " delete %" PRIu64, count);
    if (operation->wants_previous)
        buf_printf(doing->text, "[%s]", buf_text(&gone));
    buf_release(&gone);
}

static bool model_run(struct doing *doing, const struct tree *tree, bool is_nested)
{
    int list = 0;
    for (size_t i = 0; i < tree->compares_count; i++)
        if (!model_compare(doing->before, &tree->compares[i]))
            list = 1;
    if (is_nested)
        buf_put_text(doing->text, list == 0 ? " yes(" : " no(");
    for (size_t i = 0; i < tree->operations_count[list]; i++) {
        const struct txn_operation *operation = &tree->operations[list][i];
        if (operation->op == TXN_PUT)
            model_put(doing, operation);
        else if (operation->op == TXN_GET)
            model_get(doing, operation);
        else if (operation->op == TXN_DELETE)
            model_delete(doing, operation);
        else
            (void)model_run(doing, tree->nested[list][i], true);
    }
    if (is_nested)
        buf_put_text(doing->text, " )");
    return list == 0;
}

static uint64_t model_bytes(const struct model *model)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < KEYS; i++)
        if (model->exists[i])
            bytes += item_state_bytes(model->items[i].key.count, model->items[i].value.count);
    return bytes;
}

/* The text that the transaction comes to, and the model with it. */
static void model_apply(struct model *model, const struct tree *tree, uint64_t bytes_max,
                        struct buf *out)
{
    struct model after = *model;
    struct buf text;
    buf_init(&text, MIB);
    struct doing doing = {.before = model, .model = &after, .text = &text, .status = ST_OK};
    bool succeeded = model_run(&doing, tree, false);
    after.revision += doing.has_changed;
    uint64_t bytes = model_bytes(&after);
    if (doing.status == ST_OK && bytes > model_bytes(model) && bytes > bytes_max)
        doing.status = ST_STATE_FULL;
    if (doing.status == ST_OK)
        *model = after;
    if (doing.status == ST_OK)
        buf_printf(out, "%s %" PRIu64 ":%s", succeeded ? "yes" : "no", model->revision,
                   buf_text(&text));
    else
        buf_put_text(out, status_info(doing.status)->code);
    buf_release(&text);
}

/* ---- keys changed twice, the slow way ---- */

struct change_at {
    const struct txn_operation *operation;
    char path[64]; /* "1s0f": in the success of the second, and there the failure of the first */
};

static void collect(const struct tree *tree, const char *path, struct change_at *changes,
                    size_t *count)
{
    for (int list = 0; list < 2; list++)
        for (size_t i = 0; i < tree->operations_count[list]; i++) {
            const struct txn_operation *operation = &tree->operations[list][i];
            char below[64];
            (void)snprintf(below, sizeof below, "%s%c%zu", path, list == 0 ? 's' : 'f', i);
            if (tree->nested[list][i] != NULL) {
                collect(tree->nested[list][i], below, changes, count);
            } else if (operation->op != TXN_GET) {
                changes[*count].operation = operation;
                (void)snprintf(changes[(*count)++].path, sizeof below, "%s", below);
            }
        }
}

static bool is_twice(const struct change_at *a, const struct change_at *b)
{
    size_t at = 0;
    while (a->path[at] != '\0' && a->path[at] == b->path[at])
        at++;
    if (at % 2 == 0) /* their ways part at a letter: success and failure of the same one */
        return false;
    if (a->operation->op != TXN_PUT && b->operation->op != TXN_PUT)
        return false;
    const struct txn_operation *put = a->operation->op == TXN_PUT ? a->operation : b->operation;
    const struct txn_operation *other = put == a->operation ? b->operation : a->operation;
    char key[16];
    (void)snprintf(key, sizeof key, "%.*s", (int)put->key.count, (const char *)put->key.data);
    return means(other->key, &other->range, key);
}

static bool has_twice(const struct tree *tree)
{
    static struct change_at changes[4096];
    size_t count = 0;
    collect(tree, "", changes, &count);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            if (is_twice(&changes[i], &changes[j]))
                return true;
    return false;
}

/* ---- play ---- */

static struct kv *new_kv(uint64_t bytes_max)
{
    struct kv *kv = kv_new(&(struct kv_options){.state_bytes_max = bytes_max});
    struct command grant = {.op = COMMAND_GRANT_LEASE, .lease = LEASE, .ttl_ms = 60000};
    assert_int_equal(fixture_apply(kv, &grant).status, ST_OK);
    return kv;
}

static void play(uint64_t seed)
{
    const uint64_t bytes_max = STATE_KEYS * (ITEM_OVERHEAD_BYTES + 4);
    unsigned carried_out = 0, refused = 0, twice = 0;
    struct prng prng;
    struct kv *kv = new_kv(bytes_max);
    struct model model = {.revision = 1};
    prng_init(&prng, seed);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct tree *tree = random_tree(&prng, &model, 1);
        struct buf txn, got, want;
        buf_init(&txn, MIB);
        buf_init(&got, MIB);
        buf_init(&want, MIB);
        tree_encode(tree, &txn);
        enum status status = txn_check(buf_bytes(&txn));
        if (has_twice(tree) != (status == ST_DUPLICATE_KEY))
            fail_msg("seed %" PRIu64 ", round %u: keys changed twice", seed, round);
        struct kv_result result = txn_run(kv, buf_bytes(&txn));
        twice += status != ST_OK;
        if (status == ST_OK) {
            model_apply(&model, tree, bytes_max, &want);
            carried_out += result.status == ST_OK;
            refused += result.status != ST_OK;
            if (result.status == ST_OK)
                results_text(&got, result.results);
            else
                buf_put_text(&got, status_info(result.status)->code);
            if (strcmp(buf_text(&got), buf_text(&want)) != 0)
                fail_msg("seed %" PRIu64 ", round %u:\ngot  %s\nwant %s", seed, round,
                         buf_text(&got), buf_text(&want));
        }
        if (round % 64 == 0)
            kv_check(kv);
        buf_release(&txn);
        buf_release(&got);
        buf_release(&want);
        tree_done(tree);
    }
    assert_in_range(carried_out, ROUNDS / 4, ROUNDS);
    assert_in_range(refused, ROUNDS / 100, ROUNDS);
    assert_in_range(twice, ROUNDS / 100, ROUNDS);
    fixture_free(kv);
}

static void transactions_come_to_what_a_plain_model_says(void **state)
{
    for (uint64_t seed = 1; seed <= 5; seed++)
        play(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transactions_come_to_what_a_plain_model_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
