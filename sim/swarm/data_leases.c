/* Leases: granted, kept alive by many at a time, given to keys, revoked; and how long each must be
 * there. */
#include <stdio.h>

#include "base/mem.h"
#include "sim/swarm/data.h"
#include "sim/swarm/members.h"

enum {
    RATE_PERCENT_MIN = 80, /* what CLOCK draws */
    RATE_PERCENT_MAX = 125,
    NEWEST = 6,       /* leases that are used */
    KEPT_NEWEST = 16, /* and kept alive */
    BURST_MAX = 40    /* of keep-alives in one moment */
};

struct lease_seen *data_any_lease(struct data *data, size_t newest_count)
{
    REQUIRE(data->leases_count > 0);
    uint64_t back = data_below(data, MIN(data->leases_count, newest_count));
    return &data->leases[data->leases_count - 1 - back];
}

/* ---- what is asked ---- */

static void grant(struct data *data, unsigned at)
{
    struct operation *operation = work_new(data->swarm, &data->prng, at, OPERATION_GRANT);
    struct command command = {.op = COMMAND_GRANT_LEASE};
    command.ttl_ms = 1000 + data_below(data, DATA_TTL_MS_MAX - 1000 + 1);
    operation->ttl = command.ttl_ms * TIME_US_PER_MS;
    work_submit(operation, &command);
}

static void format_key(uint64_t number, char out[32])
{
    (void)snprintf(out, 32, "leased-%u", (unsigned)number);
}

static void attach(struct data *data, unsigned at)
{
    char key[32];
    uint64_t lease = data_any_lease(data, NEWEST)->lease;
    format_key(data_below(data, DATA_LEASED_KEYS), key);
    struct operation *operation = work_new(data->swarm, &data->prng, at, OPERATION_ATTACH);
    struct command command = {
        .op = COMMAND_PUT, .key = bytes_of_text(key), .value = BYTES_LITERAL("1"), .lease = lease};
    work_submit(operation, &command);
}

/* Now and then one that never was. */
static uint64_t lease_to_keep(struct data *data)
{
    uint64_t lease = data_any_lease(data, KEPT_NEWEST)->lease;
    return data_below(data, 32) == 0 ? lease + UINT32_MAX : lease;
}

/* Some holders at once, as they come in at a front door, in the same way. Those that are asked for
 * in one moment have one command. */
static void keep(struct data *data, unsigned at)
{
    struct swarm *swarm = data->swarm;
    struct site *site = &swarm->sites[at];
    uint64_t count_max = data_below(data, 8) == 0 ? BURST_MAX : KEPT_NEWEST / 2;
    uint64_t count = 1 + data_below(data, count_max), begun = keep_batches(site);
    struct node_request first = {0};
    for (uint64_t i = 0; i < count; i++) {
        struct operation *operation = work_new(swarm, &data->prng, at, OPERATION_KEEP);
        operation->lease = lease_to_keep(data);
        time_us later = data_below(data, RENEWALS_SLACK_US / 2);
        if (i == 0)
            first = operation->request;
        operation->request.policy = first.policy;
        operation->request.is_forwarded = first.is_forwarded;
        operation->request.deadline = first.deadline + (i == 0 ? 0 : later);
        keep_submit(operation);
        if (data_below(data, 40) == 0)
            keep_cancel(operation);
    }
    if (keep_batches(site) > begun + 1)
        swarm_violate(swarm, VERDICT_SAFETY, "leases",
                      "n%u makes %llu commands of keep-alives that could share one", at,
                      (unsigned long long)(keep_batches(site) - begun));
}

/* A holder hangs up. */
static void give_up(struct data *data)
{
    struct swarm *swarm = data->swarm;
    for (size_t back = 1; back <= MIN(swarm->operations_count, (size_t)64); back++) {
        struct operation *operation = swarm->operations[swarm->operations_count - back];
        if (operation->kind != OPERATION_KEEP || operation->fate != FATE_OPEN)
            continue;
        if (data_below(data, 4) == 0)
            keep_cancel(operation);
        return;
    }
}

static void revoke(struct data *data, unsigned at)
{
    struct lease_seen *seen = data_any_lease(data, NEWEST);
    seen->is_revoked = true;
    struct operation *operation = work_new(data->swarm, &data->prng, at, OPERATION_REVOKE);
    struct command command = {.op = COMMAND_REVOKE_LEASE, .lease = seen->lease};
    work_submit(operation, &command);
}

void data_use_leases(struct data *data, unsigned at)
{
    uint64_t what = data_below(data, 16);
    if (data->leases_count == 0 || what < 3)
        grant(data, at);
    else if (what < 8)
        attach(data, at);
    else if (what < 14)
        keep(data, at);
    else if (what < 15)
        give_up(data);
    else
        revoke(data, at);
}

/* ---- how long they are there ---- */

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

static struct lease_seen *find(struct data *data, uint64_t lease)
{
    for (size_t i = data->leases_count; i > 0; i--)
        if (data->leases[i - 1].lease == lease)
            return &data->leases[i - 1];
    return NULL;
}

static void violate(const struct operation *operation, const char *what)
{
    swarm_violate(operation->swarm, VERDICT_SAFETY, "leases", "#%u (keep lease %llu at n%u): %s",
                  operation->number, (unsigned long long)operation->lease, operation->at, what);
}

static void on_keep(const struct operation *operation, const struct node_answer *answer,
                    const struct kv *kv)
{
    struct lease_seen *seen = find(operation->swarm->data, operation->lease);
    struct kv_lease lease;
    bool is_there = kv_lease(kv, operation->lease, &lease);
    if (answer->status == ST_LEASE_NOT_FOUND && is_there)
        violate(operation, "is told that it is gone, and it is there");
    if (answer->status != ST_OK)
        return;
    if (seen == NULL)
        violate(operation, "is told that it is alive, and there never was one");
    else if ((time_us)answer->result.number * TIME_US_PER_MS != seen->ttl)
        violate(operation, "is told another time to live");
    else
        hold(operation->swarm, seen, operation->called_at);
}

void data_on_lease(struct operation *operation, const struct node_answer *answer,
                   const struct kv *kv)
{
    if (operation->kind == OPERATION_KEEP)
        on_keep(operation, answer, kv);
    else if (answer->status == ST_OK && operation->kind == OPERATION_GRANT)
        on_grant(operation, &answer->result);
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

static void watch_keys(struct site *site, const struct kv *kv)
{
    for (unsigned i = 0; i < DATA_LEASED_KEYS; i++) {
        char key[32];
        struct kv_item item;
        struct kv_lease lease;
        format_key(i, key);
        if (kv_get(kv, bytes_of_text(key), &item) && item.lease != 0 &&
            !kv_lease(kv, item.lease, &lease))
            swarm_violate(site->swarm, VERDICT_SAFETY, "leases",
                          "n%u has key %s on lease %llu, which is gone", site->id, key,
                          (unsigned long long)item.lease);
    }
}

void data_watch_leases(struct site *site, const struct kv *kv)
{
    watch_leases(site, kv);
    watch_keys(site, kv);
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
