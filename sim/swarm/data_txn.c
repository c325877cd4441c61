/* The transactions that clients ask for. Each writes a key of its own, whatever its compares say;
 * so each that is carried out has a revision of its own, by which it is found again in the log. */
#include <stdio.h>

#include "base/mem.h"
#include "kv/txn.h"
#include "sim/swarm/data.h"

enum { DEPTH_MAX = 3, DRAFTS_MAX = 8, OWN_NAME_BYTES = 32 };

void data_txn_name(size_t number, char out[OWN_NAME_BYTES])
{
    (void)snprintf(out, OWN_NAME_BYTES, "txn-%zu", number);
}

static void put(struct buf *txn, const char *key, struct bytes value)
{
    struct txn_operation operation = {.op = TXN_PUT, .key = bytes_of_text(key), .value = value};
    txn_put_operation(txn, &operation);
}

static void get(struct buf *txn, const char *key)
{
    struct txn_operation operation = {.op = TXN_GET, .key = bytes_of_text(key), .items_max = 1};
    txn_put_operation(txn, &operation);
}

static void write_pair(size_t number, struct buf *txn)
{
    char name[OWN_NAME_BYTES], value[24];
    data_txn_name(number, name);
    (void)snprintf(value, sizeof value, "%zu", number);
    txn_put_head(txn, 0, 4, 0);
    get(txn, "pair-a");
    put(txn, "pair-a", bytes_of_text(value));
    put(txn, "pair-b", bytes_of_text(value));
    put(txn, name, bytes_of_text(value));
}

/* ---- on the plot: anything that a transaction may be ---- */

static const char *const keys[] = {"plot/",   "plot/a", "plot/a/",  "plot/a/1",     "plot/a/2",
                                   "plot/aa", "plot/b", "plot/b/1", "plot/b\xff/1", "plot/c",
                                   "plot/d",  "plot/z", "plot/\xff"};
static const char *const values[] = {"", "1", "2", "a value that is longer than all others"};

struct draft {
    struct data *data;
    struct buf *txn;
    uint64_t revision; /* that the asker may have seen */
};

static struct bytes any_key(struct draft *draft)
{
    return bytes_of_text(keys[data_below(draft->data, ARRAY_COUNT(keys))]);
}

static struct bytes any_value(struct draft *draft)
{
    return bytes_of_text(values[data_below(draft->data, ARRAY_COUNT(values))]);
}

/* One that there was, as far as the asker knows, or none. */
static uint64_t any_lease(struct draft *draft, unsigned one_in)
{
    struct data *data = draft->data;
    if (data_below(data, one_in) != 0 || data->leases_count == 0)
        return 0;
    return data_any_lease(data, 3)->lease;
}

/* No more than the plot, whatever it says. */
static struct kv_range any_range(struct draft *draft)
{
    static const char *const prefixes[] = {"plot/", "plot/a", "plot/a/", "plot/b", "plot/e"};
    struct kv_range range = {.start = BYTES_LITERAL("plot/"), .end = BYTES_LITERAL("plot0")};
    uint64_t kind = data_below(draft->data, 4);
    if (kind < 2) {
        range = (struct kv_range){0};
        range.prefix = bytes_of_text(prefixes[data_below(draft->data, ARRAY_COUNT(prefixes))]);
    }
    if (kind == 1 || kind == 2)
        range.start = any_key(draft);
    if (kind == 1 || kind == 3)
        range.end = any_key(draft);
    return range;
}

static void any_place(struct draft *draft, struct bytes *key, struct kv_range *range)
{
    if (data_below(draft->data, 2) == 0)
        *key = any_key(draft);
    else
        *range = any_range(draft);
}

static uint64_t any_number(struct draft *draft, enum txn_target target)
{
    if (target == TXN_LEASE)
        return any_lease(draft, 2);
    if (target == TXN_VERSION || data_below(draft->data, 3) == 0)
        return data_below(draft->data, 4);
    return draft->revision - data_below(draft->data, MIN(draft->revision, (uint64_t)40));
}

static void add_compare(struct draft *draft)
{
    struct txn_compare compare = {.value = bytes_of(NULL, 0)};
    compare.target = (enum txn_target)(TXN_VALUE + data_below(draft->data, TXN_LEASE));
    compare.relation = (enum txn_relation)(TXN_EQUAL + data_below(draft->data, TXN_GREATER));
    any_place(draft, &compare.key, &compare.range);
    if (compare.target == TXN_VALUE)
        compare.value = any_value(draft);
    else
        compare.number = any_number(draft, compare.target);
    txn_put_compare(draft->txn, &compare);
}

static void fill_put(struct draft *draft, struct txn_operation *operation)
{
    operation->key = any_key(draft);
    operation->value = any_value(draft);
    operation->lease = any_lease(draft, 4);
    operation->wants_previous = data_below(draft->data, 2) == 0;
}

static void fill_get(struct draft *draft, struct txn_operation *operation)
{
    any_place(draft, &operation->key, &operation->range);
    operation->keys_only = data_below(draft->data, 3) == 0;
    operation->count_only = data_below(draft->data, 4) == 0;
    operation->items_max = 1;
    if (operation->key.count != 0)
        return;
    operation->items_max = 1 + data_below(draft->data, 14);
    operation->range.is_descending = data_below(draft->data, 3) == 0;
    if (data_below(draft->data, 4) == 0)
        operation->range.after = any_key(draft);
}

static void fill_delete(struct draft *draft, struct txn_operation *operation)
{
    any_place(draft, &operation->key, &operation->range);
    operation->wants_previous = data_below(draft->data, 2) == 0;
}

static void add_operation(struct draft *draft)
{
    static const enum txn_op ops[] = {TXN_PUT, TXN_PUT, TXN_PUT, TXN_GET, TXN_GET, TXN_DELETE};
    struct txn_operation operation = {.op = ops[data_below(draft->data, ARRAY_COUNT(ops))]};
    if (operation.op == TXN_PUT)
        fill_put(draft, &operation);
    else if (operation.op == TXN_GET)
        fill_get(draft, &operation);
    else
        fill_delete(draft, &operation);
    txn_put_operation(draft->txn, &operation);
}

struct shape {
    uint64_t compares_count, steps_count[2]; /* of success and failure */
    bool nests[2];
};

static struct shape any_shape(struct draft *draft, unsigned depth)
{
    struct shape shape = {.compares_count = data_below(draft->data, 3)};
    for (unsigned list = 0; list < 2; list++) {
        shape.steps_count[list] = data_below(draft->data, 4);
        shape.nests[list] = depth < DEPTH_MAX && data_below(draft->data, 3) == 0;
    }
    return shape;
}

/* `own`: the key that both lists begin with; NULL: none. */
static void write_plot(struct draft *draft, const char *own, unsigned depth)
{
    struct shape shape = any_shape(draft, depth);
    size_t counts[2];
    for (unsigned list = 0; list < 2; list++)
        counts[list] = (own != NULL) + (size_t)shape.steps_count[list] + shape.nests[list];
    txn_put_head(draft->txn, (size_t)shape.compares_count, counts[0], counts[1]);
    for (uint64_t i = 0; i < shape.compares_count; i++)
        add_compare(draft);
    for (unsigned list = 0; list < 2; list++) {
        struct txn_operation nested = {.op = TXN_NESTED};
        if (own != NULL)
            put(draft->txn, own, list == 0 ? BYTES_LITERAL("then") : BYTES_LITERAL("else"));
        for (uint64_t i = 0; i < shape.steps_count[list]; i++)
            add_operation(draft);
        if (!shape.nests[list])
            continue;
        txn_put_operation(draft->txn, &nested);
        write_plot(draft, NULL, depth + 1);
    }
}

/* Until one is sound: in others two operations meet at a key. */
static void draw_plot(struct data *data, unsigned at, size_t number, struct buf *txn)
{
    char name[OWN_NAME_BYTES];
    struct kv_stats stats;
    kv_stats(node_kv(data->swarm->sites[at].node), &stats);
    struct draft draft = {data, txn, stats.revision};
    data_txn_name(number, name);
    for (unsigned i = 0; i < DRAFTS_MAX; i++) {
        buf_reset(txn);
        write_plot(&draft, name, 1);
        if (txn_check(buf_bytes(txn)) == ST_OK)
            return;
    }
    buf_reset(txn);
    txn_put_head(txn, 0, 1, 0);
    put(txn, name, BYTES_LITERAL("plain"));
}

/* ---- sending ---- */

/* Keys as clients are remembered for good only where nobody is forgotten. */
static bool has_names(const struct data *data)
{
    return data->swarm->plan.session_ttl == 0;
}

static void deliver(struct data *data, unsigned at, size_t number)
{
    char name[OWN_NAME_BYTES];
    struct operation *operation = work_new(data->swarm, &data->prng, at, OPERATION_TXN);
    operation->txn = (unsigned)number;
    data_txn_name(number, name);
    struct command command = {.op = COMMAND_TXN, .value = buf_bytes(&data->txns[number].encoded)};
    if (has_names(data))
        command.identity = (struct client_identity){CLIENT_KEY, bytes_of_text(name), 1, 0};
    work_submit(operation, &command);
}

static void begin(struct data *data, unsigned at)
{
    size_t number = data->txns_count;
    struct txn_sent *sent =
        swarm_append((void **)&data->txns, &data->txns_count, sizeof data->txns[0]);
    buf_init(&sent->encoded, DATA_TXN_BYTES_MAX);
    buf_init(&sent->results, LIMIT_TXN_RESULTS_BYTES);
    sent->is_pair = data_below(data, 3) == 0;
    data->pairs_count += sent->is_pair;
    if (sent->is_pair)
        write_pair(number, &sent->encoded);
    else
        draw_plot(data, at, number, &sent->encoded);
    INVARIANT(!sent->encoded.is_full);
}

void data_txn(struct data *data, unsigned at)
{
    struct swarm *swarm = data->swarm;
    size_t number = data->txns_count;
    if (has_names(data) && number > 0 && data_below(data, 3) == 0) {
        deliver(data, at, data_below(data, number)); /* once more, perhaps late */
        return;
    }
    begin(data, at);
    uint64_t copies = has_names(data) ? data_below(data, 3) : 0;
    for (uint64_t i = 0; i < copies; i++) {
        unsigned other = 1 + (unsigned)data_below(data, swarm->plan.nodes_count);
        if (site_is_open(&swarm->sites[other]))
            deliver(data, other, number);
    }
    deliver(data, at, number);
}

/* ---- on a register, if it is as somebody has seen it last ---- */

void data_swap(struct data *data, unsigned at)
{
    struct swarm *swarm = data->swarm;
    unsigned key = (unsigned)data_below(data, swarm->plan.keys_count);
    struct change change = {.op = COMMAND_PUT,
                            .condition = CONDITION_REVISION,
                            .condition_revision = swarm->registers[key].last.revision,
                            .value = ++swarm->value_last};
    char name[HISTORY_KEY_BYTES];
    struct buf txn, value;
    if (change.condition_revision == 0)
        change.condition = CONDITION_ABSENT;
    struct operation *operation = work_new(swarm, &data->prng, at, OPERATION_SWAP);
    operation->key = key;
    operation->history = history_begin_change(swarm, key, &change);
    history_key(key, name);
    buf_init(&txn, LIMIT_COMMAND_BYTES);
    buf_init(&value, LIMIT_VALUE_BYTES);
    history_put_value(swarm, &change, &value);
    txn_put_head(&txn, 1, 1, 1);
    struct txn_compare compare = {.target = TXN_MOD_REVISION,
                                  .relation = TXN_EQUAL,
                                  .key = bytes_of_text(name),
                                  .number = change.condition_revision};
    txn_put_compare(&txn, &compare);
    put(&txn, name, buf_bytes(&value));
    get(&txn, name);
    struct command command = {.op = COMMAND_TXN, .value = buf_bytes(&txn)};
    work_submit(operation, &command);
    buf_release(&txn);
    buf_release(&value);
}
