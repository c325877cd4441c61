/* What can be said against a transaction without the state: its form, its size, and operations that
 * would change a key twice.
 *
 * 1. Everything is read once, and each put and delete noted with the lists that it stands in, from
 *    the outermost on.
 * 2. The puts stand in the order of their keys: the same keys side by side, and what a range
 * deletes is a stretch.
 * 3. Of each pair that meets there: may both be carried out? Not if somewhere one stands in the
 *    success and the other in the failure of the same transaction. */
#include "base/limits.h"
#include "base/mem.h"
#include "kv/txn.h"

/* A put or a delete, and where it stands: at each depth the number of the transaction, times two,
 * plus one for its failure. */
struct mark {
    struct bytes key;      /* empty: a range */
    struct kv_range range; /* of a delete */
    uint16_t lists[LIMIT_TXN_DEPTH];
    uint8_t depth;
};

static_assert(LIMIT_TXN_IN_ALL * 2 + 1 <= UINT16_MAX, "lists have numbers of two bytes");

struct check {
    struct cursor in;
    struct mark *marks;          /* owned; NULL: they are only counted */
    const struct mark **puts;    /* owned: by rising key */
    const struct mark **deletes; /* owned */
    size_t puts_count, deletes_count;
    size_t compares_count, operations_count; /* in all */
    uint16_t txns_count;
    uint16_t lists[LIMIT_TXN_DEPTH]; /* on the way to where `in` is */
};

/* The first put at or behind `key`. */
static size_t find_put(const struct check *check, struct bytes key)
{
    size_t low = 0, high = check->puts_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (bytes_compare(check->puts[middle]->key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void keep(struct check *check, const struct txn_operation *operation, uint8_t depth)
{
    struct mark *mark = &check->marks[check->puts_count + check->deletes_count];
    *mark = (struct mark){.key = operation->key, .range = operation->range, .depth = depth};
    memcpy(mark->lists, check->lists, sizeof check->lists);
    if (operation->op == TXN_DELETE) {
        check->deletes[check->deletes_count] = mark;
        return;
    }
    size_t at = find_put(check, mark->key);
    memmove(check->puts + at + 1, check->puts + at, (check->puts_count - at) * sizeof *check->puts);
    check->puts[at] = mark;
}

static void note(struct check *check, const struct txn_operation *operation, uint8_t depth)
{
    if (operation->op != TXN_PUT && operation->op != TXN_DELETE)
        return;
    if (check->marks != NULL)
        keep(check, operation, depth);
    check->puts_count += operation->op == TXN_PUT;
    check->deletes_count += operation->op == TXN_DELETE;
}

static enum status read_txn(struct check *check, uint8_t depth);

static enum status read_list(struct check *check, size_t count, uint8_t depth)
{
    check->operations_count += count;
    if (check->operations_count > LIMIT_TXN_IN_ALL)
        return ST_LIMIT;
    for (size_t i = 0; i < count; i++) {
        struct txn_operation operation;
        enum status status = txn_take_operation(&check->in, &operation);
        if (status == ST_OK)
            note(check, &operation, depth);
        if (status == ST_OK && operation.op == TXN_NESTED)
            status = read_txn(check, depth);
        if (status != ST_OK)
            return status;
    }
    return ST_OK;
}

/* `depth` transactions are around it. */
static enum status read_txn(struct check *check, uint8_t depth)
{
    struct txn_head head;
    if (depth == LIMIT_TXN_DEPTH)
        return ST_LIMIT;
    enum status status = txn_take_head(&check->in, &head);
    if (status != ST_OK)
        return status;
    check->compares_count += head.compares_count;
    if (check->compares_count > LIMIT_TXN_IN_ALL)
        return ST_LIMIT;
    for (size_t i = 0; i < head.compares_count && status == ST_OK; i++) {
        struct txn_compare compare;
        status = txn_take_compare(&check->in, &compare);
    }
    uint16_t number = check->txns_count++;
    check->lists[depth] = (uint16_t)(2 * number);
    if (status == ST_OK)
        status = read_list(check, head.success_count, depth + 1);
    check->lists[depth] = (uint16_t)(2 * number + 1);
    if (status == ST_OK)
        status = read_list(check, head.failure_count, depth + 1);
    return status;
}

static enum status read_all(struct check *check, struct bytes encoded)
{
    check->in = cursor_of(encoded);
    check->puts_count = check->deletes_count = 0;
    check->compares_count = check->operations_count = 0;
    check->txns_count = 0;
    enum status status = read_txn(check, 0);
    return status == ST_OK && !cursor_is_done(&check->in) ? ST_FORMAT : status;
}

/* ---- keys changed twice ---- */

/* Down to where their ways part, both stand in the same lists: if they part within a transaction,
 * only one of them can come about. */
static bool may_meet(const struct mark *a, const struct mark *b)
{
    for (uint8_t i = 0; i < MIN(a->depth, b->depth); i++)
        if (a->lists[i] != b->lists[i])
            return a->lists[i] / 2 != b->lists[i] / 2;
    return true;
}

static bool has_double_put(const struct check *check)
{
    for (size_t i = 0; i < check->puts_count; i++)
        for (size_t j = i + 1; j < check->puts_count; j++) {
            if (!bytes_equal(check->puts[i]->key, check->puts[j]->key))
                break;
            if (may_meet(check->puts[i], check->puts[j]))
                return true;
        }
    return false;
}

static bool deletes(const struct mark *mark, struct bytes key)
{
    return mark->key.count != 0 ? bytes_equal(mark->key, key) : kv_range_has(&mark->range, key);
}

/* Both bounds of a range are below what it has: the later one is where it begins. */
static struct bytes first_of(const struct mark *mark)
{
    if (mark->key.count != 0)
        return mark->key;
    return bytes_compare(mark->range.prefix, mark->range.start) < 0 ? mark->range.start
                                                                    : mark->range.prefix;
}

static bool has_put_deleted(const struct check *check)
{
    for (size_t i = 0; i < check->deletes_count; i++) {
        const struct mark *mark = check->deletes[i];
        for (size_t j = find_put(check, first_of(mark));
             j < check->puts_count && deletes(mark, check->puts[j]->key); j++)
            if (may_meet(mark, check->puts[j]))
                return true;
    }
    return false;
}

enum status txn_check(struct bytes encoded)
{
    struct check check = {0};
    if (encoded.count > LIMIT_TXN_BYTES)
        return ST_LIMIT;
    enum status status = read_all(&check, encoded);
    if (status != ST_OK || check.puts_count + check.deletes_count < 2 || check.puts_count == 0)
        return status;

    size_t count = check.puts_count + check.deletes_count;
    check.marks = mem_alloc_array(count, sizeof *check.marks);
    check.puts = mem_alloc_array(count, sizeof *check.puts);
    check.deletes = mem_alloc_array(count, sizeof *check.deletes);
    status = read_all(&check, encoded);
    ENSURE(status == ST_OK);
    if (has_double_put(&check) || has_put_deleted(&check))
        status = ST_DUPLICATE_KEY;
    mem_free(check.marks);
    mem_free((void *)check.puts);
    mem_free((void *)check.deletes);
    return status;
}
