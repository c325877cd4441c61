#include "sim/swarm/data.h"

#include <stdio.h>

#include "base/mem.h"
#include "kv/txn.h"

static uint64_t below(struct data *data, uint64_t limit)
{
    return prng_below(&data->prng, limit);
}

static void plan_next(struct data *data)
{
    time_us pause = below(data, 2 * data->swarm->plan.data_every);
    data->next_at = world_now(data->swarm->world) + pause;
}

struct data *data_open(struct swarm *swarm)
{
    if ((swarm->plan.faults & 1u << FAULT_DATA) == 0)
        return NULL;
    struct data *data = mem_alloc(sizeof *data);
    data->swarm = swarm;
    plan_prng(swarm->plan.seed, PURPOSE_DATA, &data->prng);
    plan_next(data);
    return data;
}

void data_free(struct data *data)
{
    if (data == NULL)
        return;
    mem_free(data->leases);
    mem_free(data->txns);
    mem_free(data);
}

time_us data_next(const struct data *data)
{
    return data != NULL ? data->next_at : TIME_NEVER;
}

/* ---- transactions ---- */

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

void data_txn_name(unsigned number, char out[32])
{
    (void)snprintf(out, 32, "txn-%u", number);
}

/* Keys as clients are remembered for good only where nobody is forgotten. */
static void deliver(struct data *data, unsigned at, unsigned number, bool is_named)
{
    char name[32], value[24];
    struct buf txn;
    struct operation *operation = work_new(data->swarm, &data->prng, at, OPERATION_TXN);
    operation->txn = number;
    data_txn_name(number, name);
    (void)snprintf(value, sizeof value, "%u", number);
    buf_init(&txn, LIMIT_COMMAND_BYTES);
    txn_put_head(&txn, 0, 4, 0);
    get(&txn, "pair-a");
    put(&txn, "pair-a", bytes_of_text(value));
    put(&txn, "pair-b", bytes_of_text(value));
    put(&txn, name, bytes_of_text(value));
    struct command command = {.op = COMMAND_TXN, .value = buf_bytes(&txn)};
    if (is_named)
        command.identity = (struct client_identity){CLIENT_KEY, bytes_of_text(name), 1, 0};
    work_submit(operation, &command);
    buf_release(&txn);
}

static void send_txn(struct data *data, unsigned at)
{
    struct swarm *swarm = data->swarm;
    bool is_named = swarm->plan.session_ttl == 0;
    unsigned number = (unsigned)data->txns_count;
    if (is_named && number > 0 && below(data, 3) == 0) {
        deliver(data, at, (unsigned)below(data, number), is_named); /* once more, perhaps late */
        return;
    }
    (void)swarm_append((void **)&data->txns, &data->txns_count, sizeof data->txns[0]);
    uint64_t copies = is_named ? below(data, 3) : 0;
    for (uint64_t i = 0; i < copies; i++) {
        unsigned other = 1 + (unsigned)below(data, swarm->plan.nodes_count);
        if (site_is_open(&swarm->sites[other]))
            deliver(data, other, number, is_named);
    }
    deliver(data, at, number, is_named);
}

/* A register, if it is as somebody has seen it last. */
static void swap(struct data *data, unsigned at)
{
    struct swarm *swarm = data->swarm;
    unsigned key = (unsigned)below(data, swarm->plan.keys_count);
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

static void read_pair(struct data *data, unsigned at)
{
    struct operation *operation = work_new(data->swarm, &data->prng, at, OPERATION_PAIR);
    operation->acked_before = data->applied_count;
    work_submit(operation, NULL);
}

/* ---- compaction ---- */

static void compact(struct data *data, unsigned at)
{
    struct kv_stats stats;
    kv_stats(node_kv(data->swarm->sites[at].node), &stats);
    uint64_t behind = 20 + below(data, 400);
    if (stats.revision <= behind)
        return;
    struct operation *operation = work_new(data->swarm, &data->prng, at, OPERATION_COMPACT);
    struct command command = {.op = COMMAND_COMPACT, .revision = stats.revision - behind};
    work_submit(operation, &command);
}

/* ---- leases ---- */

static void grant(struct data *data, unsigned at)
{
    struct operation *operation = work_new(data->swarm, &data->prng, at, OPERATION_GRANT);
    struct command command = {.op = COMMAND_GRANT_LEASE};
    command.ttl_ms = 1000 + below(data, DATA_TTL_MS_MAX - 1000 + 1);
    operation->ttl = command.ttl_ms * TIME_US_PER_MS;
    work_submit(operation, &command);
}

/* One of the newest. */
static struct lease_seen *any_lease(struct data *data)
{
    uint64_t back = below(data, MIN(data->leases_count, (size_t)6));
    return &data->leases[data->leases_count - 1 - back];
}

void data_leased_key(uint64_t number, char out[32])
{
    (void)snprintf(out, 32, "leased-%u", (unsigned)number);
}

static void attach(struct data *data, unsigned at)
{
    char key[32];
    uint64_t lease = any_lease(data)->lease;
    data_leased_key(below(data, DATA_LEASED_KEYS), key);
    struct operation *operation = work_new(data->swarm, &data->prng, at, OPERATION_ATTACH);
    struct command command = {
        .op = COMMAND_PUT, .key = bytes_of_text(key), .value = BYTES_LITERAL("1"), .lease = lease};
    work_submit(operation, &command);
}

static void renew(struct data *data, unsigned at)
{
    struct buf row;
    struct operation *operation = work_new(data->swarm, &data->prng, at, OPERATION_RENEW);
    uint64_t before = 0, count = 1 + below(data, ARRAY_COUNT(operation->leases));
    size_t back = (size_t)(count + below(data, 3));
    size_t first = data->leases_count - MIN(data->leases_count, back);
    buf_init(&row, 64);
    for (size_t i = first; i < data->leases_count && operation->leases_count < count; i++) {
        uint64_t lease = data->leases[i].lease;
        if (lease <= before)
            continue;
        operation->leases[operation->leases_count++] = before = lease;
        buf_put_u64(&row, lease);
    }
    struct command command = {.op = COMMAND_RENEW_LEASES, .value = buf_bytes(&row)};
    work_submit(operation, &command);
    buf_release(&row);
}

static void revoke(struct data *data, unsigned at)
{
    struct lease_seen *seen = any_lease(data);
    seen->is_revoked = true;
    struct operation *operation = work_new(data->swarm, &data->prng, at, OPERATION_REVOKE);
    struct command command = {.op = COMMAND_REVOKE_LEASE, .lease = seen->lease};
    work_submit(operation, &command);
}

static void use_leases(struct data *data, unsigned at)
{
    uint64_t what = below(data, 16);
    if (data->leases_count == 0 || what < 3)
        grant(data, at);
    else if (what < 9)
        attach(data, at);
    else if (what < 15)
        renew(data, at);
    else
        revoke(data, at);
}

static void act(struct data *data)
{
    unsigned at = 1 + (unsigned)below(data, data->swarm->plan.nodes_count);
    uint64_t what = below(data, 16);
    if (!site_is_open(&data->swarm->sites[at]))
        return;
    if (what < 4)
        send_txn(data, at);
    else if (what < 6)
        swap(data, at);
    else if (what < 8)
        read_pair(data, at);
    else if (what < 9)
        compact(data, at);
    else
        use_leases(data, at);
}

void data_due(struct data *data)
{
    if (data == NULL)
        return;
    while (data->next_at <= world_now(data->swarm->world)) {
        act(data);
        plan_next(data);
    }
}
