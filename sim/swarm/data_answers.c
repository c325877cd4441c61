#include <stdio.h>

#include "base/mem.h"
#include "kv/txn.h"
#include "sim/swarm/data.h"
#include "sim/swarm/members.h"
#include "sim/swarm/model.h"

enum { RATE_PERCENT_MIN = 80, RATE_PERCENT_MAX = 125 }; /* what CLOCK draws */

static void violate(const struct operation *operation, const char *oracle, const char *what)
{
    char text[64];
    swarm_violate(operation->swarm, VERDICT_SAFETY, oracle, "#%u (%s at n%u): %s",
                  operation->number, operation_format(operation, text), operation->at, what);
}

/* ---- transactions ---- */

struct pair {
    struct kv_item a, b;
    bool has_a, has_b;
};

static struct pair look_at_pair(const struct kv *kv)
{
    struct pair pair = {0};
    pair.has_a = kv_get(kv, BYTES_LITERAL("pair-a"), &pair.a);
    pair.has_b = kv_get(kv, BYTES_LITERAL("pair-b"), &pair.b);
    return pair;
}

static bool is_whole(const struct pair *pair)
{
    if (!pair->has_a || !pair->has_b)
        return pair->has_a == pair->has_b;
    return pair->a.mod_revision == pair->b.mod_revision && pair->a.version == pair->b.version &&
           bytes_equal(pair->a.value, pair->b.value);
}

static void on_pair(const struct operation *operation, const struct kv *kv)
{
    struct pair pair = look_at_pair(kv);
    uint64_t count = pair.has_a ? pair.a.version : 0;
    if (!is_whole(&pair))
        violate(operation, "transactions", "shows a half of what was changed together");
    if (count < operation->acked_before)
        violate(operation, "reads", "misses an acknowledged transaction");
    if (operation->swarm->plan.session_ttl == 0 && count > operation->swarm->data->txns_count)
        violate(operation, "exactly once", "shows more transactions than there are");
}

/* The same results, byte for byte, however often it is sent. */
static void on_txn(const struct operation *operation, const struct kv_result *result)
{
    struct data *data = operation->swarm->data;
    struct txn_sent *sent = &data->txns[operation->txn];
    struct bytes results = result->results;
    REQUIRE(results.count <= DATA_RESULTS_BYTES_MAX);
    operation->swarm->totals.replayed += result->is_replayed;
    if (sent->is_applied) {
        if (!bytes_equal(results, bytes_of(sent->results, sent->results_count)))
            violate(operation, "exactly once", "two answers to the same transaction differ");
        return;
    }
    sent->is_applied = true;
    data->applied_count++;
    sent->results_count = results.count;
    if (results.count > 0)
        memcpy(sent->results, results.data, results.count);
}

static void on_swap(const struct operation *operation, const struct node_answer *answer)
{
    struct swarm *swarm = operation->swarm;
    struct cursor in = cursor_of(answer->result.results);
    uint64_t revision = 0;
    size_t count;
    bool succeeded = false;
    if (answer->status == ST_OK && !txn_results_head(&in, &succeeded, &revision, &count))
        violate(operation, "transactions", "was answered without results");
    enum status status = succeeded ? ST_OK : ST_CONDITION_FAILED;
    history_end_change(swarm, operation->key, operation->history,
                       answer->status == ST_OK ? status : answer->status, revision);
    if (operation->fate == FATE_NONE)
        history_forget_change(swarm, operation->key, operation->history);
}

/* ---- leases ---- */

time_us data_lease_until(time_us asked_at, time_us ttl, unsigned rate_percent)
{
    return asked_at + ttl * 100 / rate_percent;
}

time_us data_lease_bound(void)
{
    return DATA_TTL_MS_MAX * TIME_US_PER_MS * 100 / RATE_PERCENT_MIN;
}

/* It was there from the moment on in which that was asked for which is acknowledged now. */
static void check_held(struct swarm *swarm, const struct lease_seen *seen, time_us asked_at)
{
    bool has_clocks = (swarm->plan.faults & 1u << FAULT_CLOCK) != 0;
    time_us until = data_lease_until(asked_at, seen->ttl, has_clocks ? RATE_PERCENT_MAX : 100);
    if (!seen->is_revoked && seen->gone_at != 0 && seen->gone_at < until)
        swarm_violate(swarm, VERDICT_SAFETY, "leases",
                      "lease %llu of %llu ms was asked for at %llu us, acknowledged, and gone at "
                      "%llu us",
                      (unsigned long long)seen->lease,
                      (unsigned long long)(seen->ttl / TIME_US_PER_MS),
                      (unsigned long long)asked_at, (unsigned long long)seen->gone_at);
}

static void hold(struct swarm *swarm, struct lease_seen *seen, time_us asked_at)
{
    seen->held_from = MAX(seen->held_from, asked_at);
    check_held(swarm, seen, asked_at);
}

static void on_grant(const struct operation *operation, const struct kv_result *result)
{
    struct data *data = operation->swarm->data;
    struct lease_seen *seen =
        swarm_append((void **)&data->leases, &data->leases_count, sizeof data->leases[0]);
    seen->lease = (uint64_t)result->number;
    seen->ttl = operation->ttl;
    hold(operation->swarm, seen, operation->called_at);
}

/* All of them were there; else nobody knows which. */
static void on_renew(const struct operation *operation, const struct kv_result *result)
{
    struct data *data = operation->swarm->data;
    if ((size_t)result->number != operation->leases_count)
        return;
    for (size_t i = 0; i < data->leases_count; i++)
        for (size_t k = 0; k < operation->leases_count; k++)
            if (data->leases[i].lease == operation->leases[k])
                hold(operation->swarm, &data->leases[i], operation->called_at);
}

static void watch_leases(struct site *site, const struct kv *kv)
{
    struct data *data = site->swarm->data;
    struct kv_lease lease;
    for (size_t i = 0; i < data->leases_count; i++) {
        struct lease_seen *seen = &data->leases[i];
        /* its id is the index that granted it */
        if (seen->gone_at != 0 || seen->lease > site->applied_seen ||
            kv_lease(kv, seen->lease, &lease))
            continue;
        seen->gone_at = world_now(site->swarm->world);
        check_held(site->swarm, seen, seen->held_from);
    }
}

static void watch_leased_keys(struct site *site, const struct kv *kv)
{
    for (unsigned i = 0; i < DATA_LEASED_KEYS; i++) {
        char key[32];
        struct kv_item item;
        struct kv_lease lease;
        data_leased_key(i, key);
        if (kv_get(kv, bytes_of_text(key), &item) && item.lease != 0 &&
            !kv_lease(kv, item.lease, &lease))
            swarm_violate(site->swarm, VERDICT_SAFETY, "leases",
                          "n%u has key %s on lease %llu, which is gone", site->id, key,
                          (unsigned long long)item.lease);
    }
}

bool data_has_leases(const struct swarm *swarm)
{
    for (unsigned i = 1; i <= swarm->plan.nodes_count; i++) {
        struct kv_stats stats;
        if (!members_are_owed(swarm, i) || swarm->sites[i].node == NULL)
            continue;
        kv_stats(node_kv(swarm->sites[i].node), &stats);
        if (stats.leases_count > 0)
            return true;
    }
    return false;
}

/* ---- all of them ---- */

void data_on_answer(struct operation *operation, const struct node_answer *answer,
                    const struct kv *kv)
{
    bool is_ok = answer->status == ST_OK;
    if (operation->kind == OPERATION_SWAP)
        on_swap(operation, answer);
    else if (is_ok && operation->kind == OPERATION_TXN)
        on_txn(operation, &answer->result);
    else if (is_ok && operation->kind == OPERATION_PAIR)
        on_pair(operation, kv);
    else if (is_ok && operation->kind == OPERATION_GRANT)
        on_grant(operation, &answer->result);
    else if (is_ok && operation->kind == OPERATION_RENEW)
        on_renew(operation, &answer->result);
}

void data_watch(struct site *site)
{
    const struct kv *kv = node_kv(site->node);
    if (site->swarm->data == NULL)
        return;
    struct pair pair = look_at_pair(kv);
    if (!is_whole(&pair))
        swarm_violate(site->swarm, VERDICT_SAFETY, "transactions",
                      "n%u has a half of what was changed together", site->id);
    watch_leases(site, kv);
    watch_leased_keys(site, kv);
}

/* ---- at the end ---- */

/* Applied if one delivery was; nothing only if none of them may have been. */
static enum fate join(enum fate a, enum fate b)
{
    if (a == FATE_APPLIED || b == FATE_APPLIED)
        return FATE_APPLIED;
    return a == FATE_NONE && b == FATE_NONE ? FATE_NONE : FATE_MAYBE;
}

void data_judge(struct data *data, const struct model *model)
{
    if (data == NULL)
        return;
    const struct swarm *swarm = data->swarm;
    for (size_t i = 0; i < data->txns_count; i++)
        data->txns[i].fate = FATE_NONE;
    for (size_t i = 0; i < swarm->operations_count; i++) {
        const struct operation *operation = swarm->operations[i];
        if (operation->kind == OPERATION_TXN)
            data->txns[operation->txn].fate =
                join(data->txns[operation->txn].fate, operation->fate);
    }
    for (size_t i = 0; i < data->txns_count && !swarm_is_violated(swarm); i++) {
        char name[32];
        data_txn_name((unsigned)i, name);
        judge_own_key(data->swarm, model, name, data->txns[i].fate, name);
    }
}
