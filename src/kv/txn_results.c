/* What a transaction came to, as bytes (docs/formats/txn.md), and out of bytes of any kind. */
#include "base/limits.h"
#include "kv/txn_internal.h"

enum {
    FLAG_PREVIOUS = 1, /* of a put or a delete */
    FLAG_KEYS_ONLY = 1,
    FLAG_HAS_MORE = 2,
    AT_REVISION = 1, /* from the start of the head */
    AT_FLAGS = 1,    /* from the start of a result */
    AT_COUNT = 2,
    AT_ITEMS_COUNT = 10
};

static_assert(TXN_RESULT_BYTES_MAX == AT_ITEMS_COUNT + 4, "a get is the longest");

/* ---- writing ---- */

void txn_results_put_head(struct buf *out, bool succeeded, size_t results_count)
{
    buf_put_u8(out, succeeded);
    buf_put_u64(out, 0);
    buf_put_u8(out, (uint8_t)results_count);
}

void txn_results_set_revision(struct buf *out, size_t at, uint64_t revision)
{
    REQUIRE(at + TXN_RESULTS_HEAD_BYTES <= out->count);
    store_u64(out->data + at + AT_REVISION, revision);
}

static uint8_t get_flags(const struct txn_result *result)
{
    return (uint8_t)((result->keys_only ? FLAG_KEYS_ONLY : 0) |
                     (result->has_more ? FLAG_HAS_MORE : 0));
}

size_t txn_results_put(struct buf *out, const struct txn_result *result)
{
    size_t at = out->count;
    buf_put_u8(out, (uint8_t)result->op);
    if (result->op == 0)
        return at;
    switch (result->op) {
    case TXN_PUT:
        buf_put_u8(out, result->has_previous ? FLAG_PREVIOUS : 0);
        buf_put_u32(out, (uint32_t)result->items_count);
        return at;
    case TXN_GET:
        buf_put_u8(out, get_flags(result));
        buf_put_u64(out, result->count);
        buf_put_u32(out, (uint32_t)result->items_count);
        return at;
    case TXN_DELETE:
        buf_put_u8(out, result->has_previous ? FLAG_PREVIOUS : 0);
        buf_put_u64(out, result->count);
        buf_put_u32(out, (uint32_t)result->items_count);
        return at;
    case TXN_NESTED:
        buf_put_u8(out, result->succeeded);
        buf_put_u8(out, (uint8_t)result->results_count);
        return at;
    }
    UNREACHABLE();
}

void txn_results_set_counts(struct buf *out, size_t at, const struct txn_result *result)
{
    REQUIRE(result->op == TXN_GET || result->op == TXN_DELETE);
    REQUIRE(at + TXN_RESULT_BYTES_MAX <= out->count);
    if (result->op == TXN_GET)
        out->data[at + AT_FLAGS] = get_flags(result);
    store_u64(out->data + at + AT_COUNT, result->count);
    store_u32(out->data + at + AT_ITEMS_COUNT, (uint32_t)result->items_count);
}

void txn_results_put_item(struct buf *out, const struct kv_item *item)
{
    buf_put_u64(out, item->create_revision);
    buf_put_u64(out, item->mod_revision);
    buf_put_u64(out, item->version);
    buf_put_u64(out, item->lease);
    buf_put_sized(out, item->key);
    buf_put_sized(out, item->value);
}

/* ---- reading ---- */

bool txn_results_head(struct cursor *in, bool *out_succeeded, uint64_t *out_revision,
                      size_t *out_count)
{
    uint8_t succeeded = cursor_u8(in);
    *out_succeeded = succeeded == 1;
    *out_revision = cursor_u64(in);
    *out_count = cursor_u8(in);
    return !in->is_short && succeeded <= 1 && *out_count <= LIMIT_TXN_OPERATIONS;
}

/* Flags and counts, and nothing that no writer puts there. */
static bool take_result(struct cursor *in, struct txn_result *result)
{
    uint8_t flags = cursor_u8(in);
    uint8_t flags_max = result->op == TXN_GET ? FLAG_KEYS_ONLY | FLAG_HAS_MORE : FLAG_PREVIOUS;
    if (result->op == TXN_GET) {
        result->keys_only = (flags & FLAG_KEYS_ONLY) != 0;
        result->has_more = (flags & FLAG_HAS_MORE) != 0;
    } else {
        result->has_previous = (flags & FLAG_PREVIOUS) != 0;
    }
    result->count = result->op != TXN_PUT ? cursor_u64(in) : 1;
    result->items_count = cursor_u32(in);
    if (in->is_short || flags > flags_max || result->items_count > result->count)
        return false;
    if (result->op == TXN_GET)
        return IMPLIES(result->has_more,
                       result->items_count != 0 && result->items_count < result->count);
    return result->has_previous ? result->op == TXN_PUT || result->items_count == result->count
                                : result->items_count == 0;
}

bool txn_results_next(struct cursor *in, struct txn_result *out_result)
{
    struct txn_result result = {0};
    uint8_t op = cursor_u8(in);
    if (in->is_short || op > TXN_NESTED)
        return false;
    result.op = (enum txn_op)op;
    if (op == TXN_NESTED) {
        uint8_t succeeded = cursor_u8(in);
        result.succeeded = succeeded == 1;
        result.results_count = cursor_u8(in);
        if (in->is_short || succeeded > 1 || result.results_count > LIMIT_TXN_OPERATIONS)
            return false;
    } else if (op != 0 && !take_result(in, &result)) {
        return false;
    }
    *out_result = result;
    return true;
}

/* One result with its items. `left` has how many are still to come in the transactions around. */
static bool step_over(struct cursor *in, size_t left[LIMIT_TXN_DEPTH], size_t *depth)
{
    struct txn_result result;
    struct kv_item item;
    if (!txn_results_next(in, &result) || (result.op == 0) != (left[*depth - 1] == 0))
        return false;
    for (uint64_t i = 0; i < result.items_count; i++)
        if (!txn_results_item(in, &item))
            return false;
    if (result.op == 0) {
        (*depth)--;
        return true;
    }
    left[*depth - 1]--;
    if (result.op == TXN_NESTED) {
        if (*depth == LIMIT_TXN_DEPTH)
            return false;
        left[(*depth)++] = result.results_count;
    }
    return true;
}

bool txn_results_are_sound(struct bytes results)
{
    struct cursor in = cursor_of(results);
    size_t left[LIMIT_TXN_DEPTH];
    size_t depth = 1;
    bool succeeded;
    uint64_t revision;
    if (!txn_results_head(&in, &succeeded, &revision, &left[0]))
        return false;
    while (depth != 0)
        if (!step_over(&in, left, &depth))
            return false;
    return cursor_is_done(&in);
}

bool txn_results_item(struct cursor *in, struct kv_item *out_item)
{
    *out_item = (struct kv_item){.create_revision = cursor_u64(in),
                                 .mod_revision = cursor_u64(in),
                                 .version = cursor_u64(in),
                                 .lease = cursor_u64(in)};
    out_item->key = cursor_sized(in, LIMIT_KEY_BYTES);
    out_item->value = cursor_sized(in, LIMIT_VALUE_BYTES);
    return !in->is_short && out_item->key.count != 0;
}
