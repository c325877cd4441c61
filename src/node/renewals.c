#include "node/renewals.h"

#include <stdlib.h>

#include "base/mem.h"

/* Keep-alives that travel together. It lives until the node has answered, whoever still waits. */
struct renewal_batch {
    struct buf command; /* owned: encoded */
    struct list link;   /* of renewals.collecting or .submitted */
    struct list waiting;
    struct renewals *renewals; /* borrowed */
    size_t leases_count;
    time_us due;            /* when it is submitted at the latest */
    time_us first_deadline; /* of the one that began it */
    struct node_request request;
    uint64_t leases[LIMIT_LEASE_RENEWALS]; /* the same one perhaps several times */
};

static void on_collected(void *ctx);

void renewals_init(struct renewals *renewals, struct env *env, struct node *node)
{
    *renewals = (struct renewals){.env = env, .node = node};
    list_init(&renewals->collecting);
    list_init(&renewals->submitted);
    env_timer_init(&renewals->timer, on_collected, renewals);
}

static void free_batch(struct renewal_batch *batch)
{
    INVARIANT(list_is_empty(&batch->waiting));
    list_remove(&batch->link);
    buf_release(&batch->command);
    mem_free(batch);
}

void renewals_release(struct renewals *renewals)
{
    REQUIRE(renewals->waiting_count == 0);
    while (!list_is_empty(&renewals->collecting))
        free_batch(CONTAINER_OF(renewals->collecting.next, struct renewal_batch, link));
    while (!list_is_empty(&renewals->submitted)) {
        struct renewal_batch *batch =
            CONTAINER_OF(renewals->submitted.next, struct renewal_batch, link);
        node_cancel(renewals->node, &batch->request);
        free_batch(batch);
    }
    env_timer_set(renewals->env, &renewals->timer, TIME_NEVER);
}

/* ---- answers ---- */

static void detach(struct renewals *renewals, struct renewal *renewal)
{
    REQUIRE(renewals->waiting_count > 0);
    list_remove(&renewal->link);
    renewals->waiting_count--;
}

/* The command renews what is there and passes over what is not: which it was, the state tells that
 * it has been applied to. */
static void answer(struct renewal *renewal, const struct node_answer *of_batch)
{
    struct renewals *renewals = renewal->batch->renewals;
    struct node_answer answer = *of_batch;
    struct kv_lease lease = {0};
    if (answer.status == ST_OK && !kv_lease(node_kv(renewals->node), renewal->lease, &lease)) {
        answer.status = answer.result.status = ST_LEASE_NOT_FOUND;
        answer.effect = EFFECT_NONE;
    }
    answer.result.number = (int64_t)lease.ttl_ms;
    detach(renewals, renewal);
    renewal->on_done(renewal->ctx, &answer); /* may reuse or free the renewal */
}

static void on_batch_done(void *ctx, const struct node_answer *of_batch)
{
    struct renewal_batch *batch = ctx;
    struct node_answer answered = *of_batch; /* what is added now may change the node's */
    while (!list_is_empty(&batch->waiting))
        answer(CONTAINER_OF(batch->waiting.next, struct renewal, link), &answered);
    free_batch(batch);
}

/* ---- batches ---- */

static int compare_leases(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

static void encode(struct renewal_batch *batch)
{
    struct buf row;
    uint64_t before = 0;
    buf_init(&row, sizeof batch->leases);
    qsort(batch->leases, batch->leases_count, sizeof *batch->leases, compare_leases);
    for (size_t i = 0; i < batch->leases_count; i++) {
        if (batch->leases[i] != before) /* each once */
            buf_put_u64(&row, batch->leases[i]);
        before = batch->leases[i];
    }
    struct command command = {.op = COMMAND_RENEW_LEASES, .value = buf_bytes(&row)};
    command_encode(&command, &batch->command);
    INVARIANT(!row.is_full && !batch->command.is_full);
    buf_release(&row);
}

static void submit(struct renewal_batch *batch)
{
    struct renewals *renewals = batch->renewals;
    if (list_is_empty(&batch->waiting)) { /* all who asked have gone */
        free_batch(batch);
        return;
    }
    encode(batch);
    list_remove(&batch->link);
    list_push_back(&renewals->submitted, &batch->link);
    renewals->batches_count++;
    batch->request.command = buf_bytes(&batch->command);
    handle_client_request(renewals->node, &batch->request);
}

/* Those that are due, and the timer for the next one. */
static void on_collected(void *ctx)
{
    struct renewals *renewals = ctx;
    time_us now = env_now(renewals->env);
    while (!list_is_empty(&renewals->collecting)) {
        struct renewal_batch *batch =
            CONTAINER_OF(renewals->collecting.next, struct renewal_batch, link);
        if (batch->due > now) {
            env_timer_set(renewals->env, &renewals->timer, batch->due);
            return;
        }
        submit(batch);
    }
}

static struct renewal_batch *batch_new(struct renewals *renewals, const struct renewal *renewal)
{
    struct renewal_batch *batch = mem_alloc(sizeof *batch);
    buf_init(&batch->command, LIMIT_COMMAND_BYTES);
    list_init(&batch->waiting);
    batch->renewals = renewals;
    batch->request = (struct node_request){.kind = NODE_WRITE,
                                           .policy = renewal->policy,
                                           .is_forwarded = renewal->is_forwarded,
                                           .deadline = renewal->deadline,
                                           .on_done = on_batch_done,
                                           .ctx = batch};
    batch->first_deadline = renewal->deadline;
    batch->due = env_now(renewals->env) + RENEWALS_COLLECT_US;
    if (list_is_empty(&renewals->collecting))
        env_timer_set(renewals->env, &renewals->timer, batch->due);
    list_push_back(&renewals->collecting, &batch->link);
    return batch;
}

/* What may go different ways, or have much more time, goes in another batch. The slack counts from
 * the first one, so that nobody's deadline is moved further, by however many. */
static bool goes_with(const struct renewal_batch *batch, const struct renewal *renewal)
{
    const struct node_request *request = &batch->request;
    return request->policy == renewal->policy && request->is_forwarded == renewal->is_forwarded &&
           renewal->deadline + RENEWALS_SLACK_US / 2 >= batch->first_deadline &&
           renewal->deadline <= batch->first_deadline + RENEWALS_SLACK_US / 2;
}

static struct renewal_batch *batch_for(struct renewals *renewals, const struct renewal *renewal)
{
    for (struct list *at = renewals->collecting.next; at != &renewals->collecting; at = at->next) {
        struct renewal_batch *batch = CONTAINER_OF(at, struct renewal_batch, link);
        if (goes_with(batch, renewal))
            return batch;
    }
    return batch_new(renewals, renewal);
}

enum status renewals_add(struct renewals *renewals, struct renewal *renewal)
{
    REQUIRE(renewal->on_done != NULL);
    REQUIRE(renewal->lease != 0);
    if (renewals->waiting_count >= LIMIT_RENEWALS)
        return ST_BUSY;
    struct renewal_batch *batch = batch_for(renewals, renewal);
    renewal->batch = batch;
    batch->leases[batch->leases_count++] = renewal->lease;
    batch->request.deadline = MIN(batch->request.deadline, renewal->deadline);
    list_push_back(&batch->waiting, &renewal->link);
    renewals->waiting_count++;
    renewals->taken_count++;
    if (batch->leases_count == LIMIT_LEASE_RENEWALS)
        submit(batch);
    return ST_OK;
}

void renewals_cancel(struct renewals *renewals, struct renewal *renewal)
{
    REQUIRE(renewal->batch->renewals == renewals);
    detach(renewals, renewal);
}
