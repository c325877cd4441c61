#include "sim/swarm/data.h"

#include "base/mem.h"

uint64_t data_below(struct data *data, uint64_t limit)
{
    return prng_below(&data->prng, limit);
}

static void plan_next(struct data *data)
{
    time_us pause = data_below(data, 2 * data->swarm->plan.data_every);
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
    for (size_t i = 0; i < data->txns_count; i++) {
        buf_release(&data->txns[i].encoded);
        buf_release(&data->txns[i].results);
    }
    mem_free(data->leases);
    mem_free(data->txns);
    mem_free(data->listings);
    mem_free(data);
}

time_us data_next(const struct data *data)
{
    return data != NULL ? data->next_at : TIME_NEVER;
}

static void read_pair(struct data *data, unsigned at)
{
    struct operation *operation = work_new(data->swarm, &data->prng, at, OPERATION_PAIR);
    operation->acked_before = data->applied_count;
    work_submit(operation, NULL);
}

/* All but a few hundred revisions, a few, or none; or more than there are. */
static void compact(struct data *data, unsigned at)
{
    static const unsigned spans[] = {1, 20, 400, 400, 400};
    struct kv_stats stats;
    kv_stats(node_kv(data->swarm->sites[at].node), &stats);
    uint64_t kind = data_below(data, ARRAY_COUNT(spans) + 1);
    uint64_t revision = stats.revision + 1 + data_below(data, 8);
    if (kind < ARRAY_COUNT(spans)) {
        uint64_t behind = data_below(data, spans[kind]);
        if (stats.revision <= behind)
            return;
        revision = stats.revision - behind;
    }
    struct operation *operation = work_new(data->swarm, &data->prng, at, OPERATION_COMPACT);
    struct command command = {.op = COMMAND_COMPACT, .revision = revision};
    work_submit(operation, &command);
}

static void act(struct data *data)
{
    unsigned at = 1 + (unsigned)data_below(data, data->swarm->plan.nodes_count);
    uint64_t what = data_below(data, 16);
    if (!site_is_open(&data->swarm->sites[at]))
        return;
    if (what < 5)
        data_txn(data, at);
    else if (what < 7)
        data_swap(data, at);
    else if (what < 8)
        read_pair(data, at);
    else if (what < 9)
        compact(data, at);
    else
        data_use_leases(data, at);
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
