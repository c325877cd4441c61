/* What the tests of transactions share: making them, and what they came to as one line of text. */
#ifndef MINIKV_TESTS_UNIT_KV_TXN_FIXTURE_H
#define MINIKV_TESTS_UNIT_KV_TXN_FIXTURE_H

#include "kv/txn.h"
#include "kv_fixture.h"

/* ---- making ---- */

static inline void txn_begin(struct buf *txn, size_t compares, size_t success, size_t failure)
{
    buf_init(txn, 16 * MIB);
    txn_put_head(txn, compares, success, failure);
}

static inline void compare_number(struct buf *txn, const char *key, enum txn_target target,
                                  enum txn_relation relation, uint64_t number)
{
    txn_put_compare(txn, &(struct txn_compare){.target = target,
                                               .relation = relation,
                                               .key = bytes_of_text(key),
                                               .number = number});
}

static inline void compare_value(struct buf *txn, const char *key, enum txn_relation relation,
                                 const char *value)
{
    txn_put_compare(txn, &(struct txn_compare){.target = TXN_VALUE,
                                               .relation = relation,
                                               .key = bytes_of_text(key),
                                               .value = bytes_of_text(value)});
}

static inline void add_put(struct buf *txn, const char *key, const char *value)
{
    txn_put_operation(txn, &(struct txn_operation){.op = TXN_PUT,
                                                   .key = bytes_of_text(key),
                                                   .value = bytes_of_text(value)});
}

static inline void add_get(struct buf *txn, const char *key)
{
    txn_put_operation(txn, &(struct txn_operation){.op = TXN_GET, .key = bytes_of_text(key)});
}

static inline void add_get_prefix(struct buf *txn, const char *prefix, uint64_t items_max)
{
    txn_put_operation(txn, &(struct txn_operation){.op = TXN_GET,
                                                   .range.prefix = bytes_of_text(prefix),
                                                   .items_max = items_max});
}

static inline void add_delete(struct buf *txn, const char *key)
{
    txn_put_operation(txn, &(struct txn_operation){.op = TXN_DELETE, .key = bytes_of_text(key)});
}

static inline void add_delete_prefix(struct buf *txn, const char *prefix)
{
    txn_put_operation(
        txn, &(struct txn_operation){.op = TXN_DELETE, .range.prefix = bytes_of_text(prefix)});
}

static inline void add_nested(struct buf *txn, size_t compares, size_t success, size_t failure)
{
    txn_put_operation(txn, &(struct txn_operation){.op = TXN_NESTED});
    txn_put_head(txn, compares, success, failure);
}

/* ---- what it came to ---- */

static inline void item_text(struct buf *out, const struct kv_item *item, bool keys_only)
{
    buf_put(out, item->key);
    if (!keys_only) {
        buf_put_text(out, "=");
        buf_put(out, item->value);
    }
    buf_printf(out, "@%llu.%llu.%llu", (unsigned long long)item->create_revision,
               (unsigned long long)item->mod_revision, (unsigned long long)item->version);
    if (item->lease != 0)
        buf_printf(out, "*%llu", (unsigned long long)item->lease);
}

static inline void items_text(struct buf *out, struct cursor *in, const struct txn_result *result)
{
    buf_put_text(out, "[");
    for (uint64_t i = 0; i < result->items_count; i++) {
        struct kv_item item;
        assert_true(txn_results_item(in, &item));
        buf_put_text(out, i == 0 ? "" : " ");
        item_text(out, &item, result->keys_only);
    }
    buf_put_text(out, "]");
}

/* "put", "put[a=1@2.2.1]", "get[…]/3", with + behind it if there are more, "delete 2[…]",
 * "yes( … )" */
static inline void result_text(struct buf *out, struct cursor *in, const struct txn_result *result)
{
    if (result->op == 0) {
        buf_put_text(out, ")");
    } else if (result->op == TXN_NESTED) {
        buf_put_text(out, result->succeeded ? "yes(" : "no(");
    } else if (result->op == TXN_PUT) {
        buf_put_text(out, "put");
    } else if (result->op == TXN_DELETE) {
        buf_printf(out, "delete %llu", (unsigned long long)result->count);
    } else {
        buf_put_text(out, "get");
    }
    if (result->op == TXN_GET || result->has_previous)
        items_text(out, in, result);
    if (result->op == TXN_GET)
        buf_printf(out, "/%llu%s", (unsigned long long)result->count, result->has_more ? "+" : "");
}

/* "yes 5: put get[a=1@2.2.1]/1" */
static inline void results_text(struct buf *out, struct bytes results)
{
    struct cursor in = cursor_of(results);
    struct txn_result result;
    bool succeeded;
    uint64_t revision;
    size_t count;
    assert_true(txn_results_are_sound(results));
    assert_true(txn_results_head(&in, &succeeded, &revision, &count));
    buf_printf(out, "%s %llu:", succeeded ? "yes" : "no", (unsigned long long)revision);
    for (size_t depth = 1; depth != 0;) {
        assert_true(txn_results_next(&in, &result));
        depth = depth + (result.op == TXN_NESTED) - (result.op == 0);
        if (depth == 0)
            break;
        buf_put_text(out, " ");
        result_text(out, &in, &result);
    }
    assert_true(cursor_is_done(&in));
}

static inline struct kv_result txn_run(struct kv *kv, struct bytes txn)
{
    struct kv_result result = fixture_apply(kv, &(struct command){.op = COMMAND_TXN, .value = txn});
    if (result.status == ST_OK) /* so much is set aside for it before it is proposed */
        assert_true(result.results.count <= txn_results_bytes_max(txn));
    return result;
}

/* Carries it out and releases it. */
static inline void assert_txn(struct kv *kv, struct buf *txn, const char *wanted)
{
    struct buf text;
    buf_init(&text, 16 * MIB);
    assert_string_equal(status_info(txn_check(buf_bytes(txn)))->name, "OK");
    struct kv_result result = txn_run(kv, buf_bytes(txn));
    kv_check(kv);
    if (result.status == ST_OK)
        results_text(&text, result.results);
    else
        buf_put_text(&text, status_info(result.status)->code);
    assert_string_equal(buf_text(&text), wanted);
    buf_release(&text);
    buf_release(txn);
}

#endif
