/* At the end: what customers were told against what the committed log comes to.
 *
 *      exactly once   no write took effect twice; no identity stands for two writes
 *      truth          what was acknowledged is there with the answer that was given; of what was
 *                     said to have no effect, nothing is; the shared counter counts */
#include <stdio.h>

#include "sim/swarm/customer.h"

static void violate(const struct customer_call *call, const char *oracle, const char *what)
{
    char text[96];
    swarm_violate(call->customer->swarm, VERDICT_SAFETY, oracle, "%s: %s", call_format(call, text),
                  what);
}

static bool is_write(const struct customer_call *call)
{
    return call->errand == ERRAND_OWN || call->errand == ERRAND_SHARED ||
           call->errand == ERRAND_CHANGE || call->errand == ERRAND_LAST;
}

static void check_own(const struct customer_call *call, const struct model *model)
{
    char key[32], who[96];
    (void)snprintf(key, sizeof key, "call-%u", call->number);
    judge_own_key(call->customer->swarm, model, key, call->fate, call_format(call, who));
    const struct model_key *found = model_find_key(model, bytes_of_text(key));
    if (call->fate == FATE_APPLIED && found != NULL && found->mod_revision != call->revision)
        violate(call, "truth", "was answered with another revision than the log has");
}

/* Of a write with an identity: each stands for one call. */
static void check_identity(const struct customer_call *call, const struct model *model,
                           struct table *seen)
{
    char name[MINIKV_CLIENT_ID_MAX + 32];
    struct client_identity identity = {CLIENT_ID, bytes_of_text(call->asked.client),
                                       call->asked.sequence, 0};
    (void)snprintf(name, sizeof name, "%s/%llu", call->asked.client,
                   (unsigned long long)call->asked.sequence);
    if (table_find(seen, bytes_of_text(name), SIZE_MAX) != SIZE_MAX)
        violate(call, "exactly once", "has the identity of another write");
    else
        table_add(seen, bytes_of_text(name), call->number);
    const struct model_write *wanted = model_find_write(model, &identity);
    bool is_done = wanted != NULL && wanted->is_done;
    bool is_carried_out = call_is_carried_out(call);
    if (call->fate == FATE_NONE && !is_carried_out && is_done && wanted->result.status == ST_OK)
        violate(call, "truth", "was answered with effect none, and took effect");
    if (!is_carried_out)
        return;
    enum status status = call->fate == FATE_APPLIED ? ST_OK : ST_CONDITION_FAILED;
    if (!is_done)
        violate(call, "truth", "was answered, and no entry carries it out");
    else if (!judge_is_result(wanted, status, call->value, call->revision))
        violate(call, "truth", "was answered with another result than the log has");
}

static void check_counter(struct swarm *swarm, const struct model *model)
{
    const struct model_key *key = model_find_key(model, BYTES_LITERAL("shared"));
    uint64_t counted = key != NULL ? history_number(key->value) : 0;
    if (counted < swarm->shared_acked || counted > swarm->shared_sent)
        swarm_violate(swarm, VERDICT_SAFETY, "exactly once",
                      "the counter stands at %llu: %llu increments were acknowledged, %llu sent",
                      (unsigned long long)counted, (unsigned long long)swarm->shared_acked,
                      (unsigned long long)swarm->shared_sent);
}

void customers_judge(struct customers *customers, const struct model *model)
{
    struct table seen = {0};
    for (size_t i = 0; customers != NULL && i < customers->calls_count; i++) {
        const struct customer_call *call = customers->calls[i];
        if (!is_write(call) || swarm_is_violated(call->customer->swarm))
            continue;
        if (call->errand == ERRAND_OWN || call->errand == ERRAND_LAST)
            check_own(call, model);
        if (call->asked.sequence != 0)
            check_identity(call, model, &seen);
    }
    if (customers != NULL)
        check_counter(customers->items[0].swarm, model);
    table_release(&seen);
}
