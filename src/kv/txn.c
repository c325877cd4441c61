/* Transactions as bytes (docs/formats/txn.md), field by field, and out of bytes of any kind. */
#include "kv/txn.h"

#include "base/check.h"
#include "base/limits.h"

enum place_kind { PLACE_KEY, PLACE_RANGE };

enum {
    FLAG_PREVIOUS = 1, /* of a put or a delete */
    FLAG_KEYS_ONLY = 1,
    FLAG_COUNT_ONLY = 2,
    FLAG_DESCENDING = 4
};

static_assert(LIMIT_TXN_COMPARES <= UINT8_MAX && LIMIT_TXN_OPERATIONS <= UINT8_MAX,
              "lists are counted by a byte");
static_assert(LIMIT_LIST_ITEMS <= UINT16_MAX, "items_max is two bytes");

/* ---- writing ---- */

void txn_put_head(struct buf *out, size_t compares_count, size_t success_count,
                  size_t failure_count)
{
    REQUIRE(compares_count <= LIMIT_TXN_COMPARES);
    REQUIRE(success_count <= LIMIT_TXN_OPERATIONS);
    REQUIRE(failure_count <= LIMIT_TXN_OPERATIONS);
    buf_put_u8(out, (uint8_t)compares_count);
    buf_put_u8(out, (uint8_t)success_count);
    buf_put_u8(out, (uint8_t)failure_count);
}

static void put_bound(struct buf *out, struct bytes bound)
{
    REQUIRE(bound.count <= LIMIT_KEY_BYTES);
    buf_put_sized(out, bound);
}

static void put_place(struct buf *out, struct bytes key, const struct kv_range *range)
{
    buf_put_u8(out, key.count != 0 ? PLACE_KEY : PLACE_RANGE);
    if (key.count != 0) {
        put_bound(out, key);
        return;
    }
    put_bound(out, range->prefix);
    put_bound(out, range->start);
    put_bound(out, range->end);
}

void txn_put_compare(struct buf *out, const struct txn_compare *compare)
{
    buf_put_u8(out, (uint8_t)compare->target);
    buf_put_u8(out, (uint8_t)compare->relation);
    put_place(out, compare->key, &compare->range);
    if (compare->target == TXN_VALUE)
        buf_put_sized(out, compare->value);
    else
        buf_put_u64(out, compare->number);
}

static void put_get(struct buf *out, const struct txn_operation *get)
{
    bool is_range = get->key.count == 0;
    bool is_descending = is_range && get->range.is_descending;
    REQUIRE(IMPLIES(is_range, get->items_max >= 1));
    REQUIRE(IMPLIES(is_range, get->items_max <= LIMIT_LIST_ITEMS));
    buf_put_u8(out, (uint8_t)((get->keys_only ? FLAG_KEYS_ONLY : 0) |
                              (get->count_only ? FLAG_COUNT_ONLY : 0) |
                              (is_descending ? FLAG_DESCENDING : 0)));
    put_place(out, get->key, &get->range);
    if (is_range) {
        put_bound(out, get->range.after);
        buf_put_u16(out, (uint16_t)get->items_max);
    }
}

void txn_put_operation(struct buf *out, const struct txn_operation *operation)
{
    buf_put_u8(out, (uint8_t)operation->op);
    switch (operation->op) {
    case TXN_PUT:
        REQUIRE(operation->key.count >= 1);
        REQUIRE(operation->value.count <= LIMIT_VALUE_BYTES);
        buf_put_u8(out, operation->wants_previous ? FLAG_PREVIOUS : 0);
        put_bound(out, operation->key);
        buf_put_u64(out, operation->lease);
        buf_put_sized(out, operation->value);
        return;
    case TXN_GET:
        put_get(out, operation);
        return;
    case TXN_DELETE:
        buf_put_u8(out, operation->wants_previous ? FLAG_PREVIOUS : 0);
        put_place(out, operation->key, &operation->range);
        return;
    case TXN_NESTED:
        return; /* the transaction says the rest */
    }
    UNREACHABLE();
}

/* ---- reading ---- */

/* u32 count, then the bytes. Tells over the limit, which is ST_LIMIT, from missing bytes. */
static enum status take_sized(struct cursor *in, size_t count_min, size_t count_max,
                              struct bytes *out)
{
    uint32_t count = cursor_u32(in);
    if (!in->is_short && (count < count_min || count > count_max))
        return ST_LIMIT;
    *out = cursor_take(in, count);
    return in->is_short ? ST_SHORT : ST_OK;
}

static enum status take_place(struct cursor *in, struct bytes *out_key, struct kv_range *out_range)
{
    uint8_t kind = cursor_u8(in);
    if (in->is_short)
        return ST_SHORT;
    if (kind == PLACE_KEY)
        return take_sized(in, 1, LIMIT_KEY_BYTES, out_key);
    if (kind != PLACE_RANGE)
        return ST_FORMAT;
    enum status status = take_sized(in, 0, LIMIT_KEY_BYTES, &out_range->prefix);
    if (status == ST_OK)
        status = take_sized(in, 0, LIMIT_KEY_BYTES, &out_range->start);
    if (status == ST_OK)
        status = take_sized(in, 0, LIMIT_KEY_BYTES, &out_range->end);
    return status;
}

enum status txn_take_head(struct cursor *in, struct txn_head *out_head)
{
    struct txn_head head = {.compares_count = cursor_u8(in),
                            .success_count = cursor_u8(in),
                            .failure_count = cursor_u8(in)};
    if (in->is_short)
        return ST_SHORT;
    if (head.compares_count > LIMIT_TXN_COMPARES || head.success_count > LIMIT_TXN_OPERATIONS ||
        head.failure_count > LIMIT_TXN_OPERATIONS)
        return ST_LIMIT;
    *out_head = head;
    return ST_OK;
}

enum status txn_take_compare(struct cursor *in, struct txn_compare *out_compare)
{
    struct txn_compare compare = {0};
    uint8_t target = cursor_u8(in);
    uint8_t relation = cursor_u8(in);
    if (in->is_short)
        return ST_SHORT;
    if (target < TXN_VALUE || target > TXN_LEASE || relation < TXN_EQUAL || relation > TXN_GREATER)
        return ST_FORMAT;
    compare.target = (enum txn_target)target;
    compare.relation = (enum txn_relation)relation;
    enum status status = take_place(in, &compare.key, &compare.range);
    if (status == ST_OK && compare.target == TXN_VALUE)
        status = take_sized(in, 0, LIMIT_VALUE_BYTES, &compare.value);
    else if (status == ST_OK)
        compare.number = cursor_u64(in);
    if (status == ST_OK && in->is_short)
        status = ST_SHORT;
    *out_compare = compare;
    return status;
}

static enum status take_put(struct cursor *in, uint8_t flags, struct txn_operation *put)
{
    if (flags > FLAG_PREVIOUS)
        return ST_FORMAT;
    put->wants_previous = flags == FLAG_PREVIOUS;
    enum status status = take_sized(in, 1, LIMIT_KEY_BYTES, &put->key);
    if (status != ST_OK)
        return status;
    put->lease = cursor_u64(in);
    return take_sized(in, 0, LIMIT_VALUE_BYTES, &put->value);
}

static enum status take_get(struct cursor *in, uint8_t flags, struct txn_operation *get)
{
    if (flags > (FLAG_KEYS_ONLY | FLAG_COUNT_ONLY | FLAG_DESCENDING))
        return ST_FORMAT;
    get->keys_only = (flags & FLAG_KEYS_ONLY) != 0;
    get->count_only = (flags & FLAG_COUNT_ONLY) != 0;
    get->range.is_descending = (flags & FLAG_DESCENDING) != 0;
    enum status status = take_place(in, &get->key, &get->range);
    if (status != ST_OK)
        return status;
    if (get->key.count != 0) {
        get->items_max = 1;
        return get->range.is_descending ? ST_FORMAT : ST_OK; /* of one key there is no order */
    }
    status = take_sized(in, 0, LIMIT_KEY_BYTES, &get->range.after);
    get->items_max = cursor_u16(in);
    if (status == ST_OK && in->is_short)
        return ST_SHORT;
    if (status == ST_OK && (get->items_max < 1 || get->items_max > LIMIT_LIST_ITEMS))
        return ST_LIMIT;
    return status;
}

static enum status take_delete(struct cursor *in, uint8_t flags, struct txn_operation *operation)
{
    if (flags > FLAG_PREVIOUS)
        return ST_FORMAT;
    operation->wants_previous = flags == FLAG_PREVIOUS;
    return take_place(in, &operation->key, &operation->range);
}

enum status txn_take_operation(struct cursor *in, struct txn_operation *out_operation)
{
    struct txn_operation operation = {0};
    uint8_t op = cursor_u8(in);
    if (in->is_short)
        return ST_SHORT;
    if (op < TXN_PUT || op > TXN_NESTED)
        return ST_FORMAT;
    operation.op = (enum txn_op)op;
    uint8_t flags = op != TXN_NESTED ? cursor_u8(in) : 0;
    enum status status = in->is_short ? ST_SHORT : ST_OK;
    if (status == ST_OK && op == TXN_PUT)
        status = take_put(in, flags, &operation);
    else if (status == ST_OK && op == TXN_GET)
        status = take_get(in, flags, &operation);
    else if (status == ST_OK && op == TXN_DELETE)
        status = take_delete(in, flags, &operation);
    *out_operation = operation;
    return status;
}
