/* Keep-alives of leases, as a front door collects them beside its node (src/node/renewals.h). The
 * front doors themselves are open only where there are customers, who have no leases. */
#include "sim/swarm/swarm.h"

#include "base/mem.h"

void keep_open(struct site *site)
{
    REQUIRE(site->renewals == NULL && site->node != NULL);
    if ((site->swarm->plan.faults & 1u << FAULT_DATA) == 0)
        return;
    site->renewals = mem_alloc(sizeof *site->renewals);
    renewals_init(site->renewals, site->env, site->node);
}

uint64_t keep_batches(const struct site *site)
{
    uint64_t count = site->renewals->batches_count;
    const struct list *collecting = &site->renewals->collecting;
    for (const struct list *at = collecting->next; at != collecting; at = at->next)
        count++;
    return count;
}

void keep_submit(struct operation *operation)
{
    const struct node_request *request = &operation->request;
    struct site *site = &operation->swarm->sites[operation->at];
    operation->renewal = (struct renewal){.lease = operation->lease,
                                          .policy = request->policy,
                                          .is_forwarded = request->is_forwarded,
                                          .deadline = request->deadline,
                                          .on_done = request->on_done,
                                          .ctx = operation};
    operation->request.deadline -= RENEWALS_SLACK_US; /* it may be answered so much earlier */
    work_count(operation);
    enum status status = renewals_add(site->renewals, &operation->renewal);
    INVARIANT(status == ST_OK); /* far fewer wait than may */
}

void keep_cancel(struct operation *operation)
{
    struct site *site = &operation->swarm->sites[operation->at];
    REQUIRE(operation->kind == OPERATION_KEEP && operation->fate == FATE_OPEN);
    renewals_cancel(site->renewals, &operation->renewal);
    operation->fate = FATE_MAYBE;
    operation->swarm->open_count--;
    site->open_count--;
}

/* After the node has been closed, which answers what it was given. */
void keep_close(struct site *site)
{
    struct swarm *swarm = site->swarm;
    if (site->renewals == NULL)
        return;
    for (size_t i = 0; i < swarm->operations_count; i++) {
        struct operation *operation = swarm->operations[i];
        if (operation->kind == OPERATION_KEEP && operation->fate == FATE_OPEN &&
            operation->at == site->id)
            keep_cancel(operation);
    }
    renewals_release(site->renewals);
    mem_free(site->renewals);
    site->renewals = NULL;
}
