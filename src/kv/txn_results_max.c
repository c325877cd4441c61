/* How much a transaction may come to, before anything is known of the state. */
#include "base/limits.h"
#include "kv/txn_internal.h"

enum { ITEM_BYTES_MAX = TXN_ITEM_BYTES + LIMIT_KEY_BYTES + LIMIT_VALUE_BYTES };

static size_t operation_bytes(const struct txn_operation *operation)
{
    bool is_range = operation->key.count == 0;
    switch (operation->op) {
    case TXN_PUT:
        return operation->wants_previous ? ITEM_BYTES_MAX : 0;
    case TXN_DELETE:
        if (operation->wants_previous)
            return is_range ? LIMIT_TXN_RESULTS_BYTES : ITEM_BYTES_MAX;
        return 0;
    case TXN_GET:
        if (operation->count_only)
            return 0;
        if (is_range)
            return LIMIT_TXN_RESULTS_BYTES;
        return operation->keys_only ? TXN_ITEM_BYTES + operation->key.count : ITEM_BYTES_MAX;
    case TXN_NESTED:
        return 0; /* its own operations come behind it */
    }
    UNREACHABLE();
}

static size_t read_txn(struct cursor *in);

static size_t read_list(struct cursor *in, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        struct txn_operation operation;
        enum status status = txn_take_operation(in, &operation);
        REQUIRE(status == ST_OK);
        bytes += TXN_RESULT_BYTES_MAX + operation_bytes(&operation);
        if (operation.op == TXN_NESTED)
            bytes += TXN_END_BYTES + read_txn(in);
    }
    return bytes;
}

/* Of the two lists only one is carried out. */
static size_t read_txn(struct cursor *in)
{
    struct txn_head head;
    enum status status = txn_take_head(in, &head);
    REQUIRE(status == ST_OK);
    for (size_t i = 0; i < head.compares_count; i++) {
        struct txn_compare compare;
        status = txn_take_compare(in, &compare);
        REQUIRE(status == ST_OK);
    }
    size_t success_bytes = read_list(in, head.success_count);
    size_t failure_bytes = read_list(in, head.failure_count);
    return MAX(success_bytes, failure_bytes);
}

size_t txn_results_bytes_max(struct bytes encoded)
{
    struct cursor in = cursor_of(encoded);
    size_t bytes = TXN_RESULTS_HEAD_BYTES + TXN_END_BYTES + read_txn(&in);
    return MIN(bytes, (size_t)LIMIT_TXN_RESULTS_BYTES);
}
