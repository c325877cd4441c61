/* What clients are told, and what must hold of it at once: reads show what was acknowledged, and
 * all answers to one write agree. */
#include "sim/swarm/data.h"
#include "sim/swarm/members.h"

enum { CALM_HOLD_MS = 1000 }; /* a hand-over takes less */

static void violate(const struct operation *operation, const char *oracle, const char *what)
{
    char text[64];
    swarm_violate(operation->swarm, VERDICT_SAFETY, oracle, "#%u (%s at n%u): %s",
                  operation->number, operation_format(operation, text), operation->at, what);
}

/* ---- the counter and registers ---- */

static void on_count(struct operation *operation, const struct kv *kv)
{
    struct swarm *swarm = operation->swarm;
    struct kv_item item;
    uint64_t shown = kv_get(kv, BYTES_LITERAL("shared"), &item) ? history_number(item.value) : 0;
    if (shown < operation->acked_before)
        violate(operation, "reads", "misses an acknowledged increment");
    if (shown > swarm->shared_sent)
        violate(operation, "reads", "shows an increment that nobody sent");
    swarm->shared_seen = MAX(swarm->shared_seen, shown);
}

static void on_read(struct operation *operation, const struct kv *kv)
{
    struct kv_item item;
    char key[HISTORY_KEY_BYTES];
    history_key(operation->key, key);
    bool is_there = kv_get(kv, bytes_of_text(key), &item);
    history_end_read(operation->swarm, operation->key, operation->history,
                     is_there ? item.mod_revision : 0, is_there ? history_number(item.value) : 0);
}

/* What is known not to have happened is taken out: whoever shows it all the same has no reason. */
static void on_change(struct operation *operation, const struct node_answer *answer)
{
    struct swarm *swarm = operation->swarm;
    history_end_change(swarm, operation->key, operation->history, answer->status,
                       answer->result.mod_revision);
    if (operation->fate == FATE_NONE)
        history_forget_change(swarm, operation->key, operation->history);
}

/* ---- writes with an identity ---- */

static bool is_settled(const struct write *write)
{
    return write->is_applied || write->is_sealed || write->is_refused;
}

/* What a client may say that it knows of: all of its writes up to here are answered. */
static void settle(struct swarm *swarm, struct client *client)
{
    while (client->settled_count < client->writes_count) {
        const struct write *write = &swarm->writes[client->writes[client->settled_count]];
        if (!is_settled(write))
            return;
        client->settled_count++;
        client->acked = write->sequence;
    }
}

static void check_contradiction(struct operation *operation, const struct write *write)
{
    if (write->is_applied && write->is_sealed)
        violate(operation, "exactly once", "was applied, and sealed as never to be applied");
}

static bool is_same(const struct write *write, enum status status, const struct kv_result *result)
{
    return write->status == status && write->result.number == result->number &&
           write->result.mod_revision == result->mod_revision;
}

/* Somebody is told that it was carried out: the first time, or as everybody else. */
static void learn(struct operation *operation, struct write *write, enum status status,
                  const struct kv_result *result)
{
    struct swarm *swarm = operation->swarm;
    if (!write->is_applied) {
        write->is_applied = true;
        write->status = status;
        write->result = *result;
        swarm->shared_acked += write->target == TARGET_SHARED;
        swarm->totals.applied++;
        if (write->target == TARGET_REGISTER)
            history_end_change(swarm, write->key, write->history, status, result->mod_revision);
    } else if (!is_same(write, status, result)) {
        violate(operation, "exactly once", "two answers to the same write differ");
    }
}

static void on_deliver(struct operation *operation, const struct node_answer *answer)
{
    struct swarm *swarm = operation->swarm;
    struct write *write = &swarm->writes[operation->write];
    struct client *client = &swarm->clients[write->client];
    bool is_carried_out = answer->status == ST_OK || answer->status == ST_CONDITION_FAILED;
    if (is_carried_out) {
        write->fresh_count += !answer->result.is_replayed;
        swarm->totals.replayed += answer->result.is_replayed;
        if (write->fresh_count > 1)
            violate(operation, "exactly once", "was carried out twice, by its answers");
        learn(operation, write, answer->status, &answer->result);
    }
    swarm->totals.refused += answer->status == ST_SEQUENCE_TOO_OLD;
    write->is_sealed = write->is_sealed || answer->status == ST_SEALED;
    write->is_refused = write->is_refused || answer->status == ST_SEQUENCE_TOO_OLD;
    client->is_expired = client->is_expired || answer->status == ST_SESSION_EXPIRED;
    if (answer->status == ST_IDENTITY_REUSED)
        violate(operation, "exactly once", "is taken for another write of the same identity");
    check_contradiction(operation, write);
    settle(swarm, client);
}

/* Of a seal, or of a question about the outcome. */
static void on_told(struct operation *operation, const struct kv_result *result, bool may_be_open)
{
    struct swarm *swarm = operation->swarm;
    struct write *write = &swarm->writes[operation->write];
    struct kv_result applied = {.number = result->number, .mod_revision = result->mod_revision};
    switch (result->outcome) {
    case KV_OUTCOME_APPLIED:
        learn(operation, write, result->applied_status, &applied);
        break;
    case KV_OUTCOME_NEVER:
        swarm->totals.sealed++;
        write->is_sealed = true;
        break;
    case KV_OUTCOME_UNSEEN:
        if (!may_be_open)
            violate(operation, "exactly once", "a seal left open what becomes of the write");
        if (operation->was_applied)
            violate(operation, "reads", "does not know of a write acknowledged before");
        break;
    case KV_OUTCOME_EXPIRED: /* not remembered: says nothing */
        break;
    }
    check_contradiction(operation, write);
    settle(swarm, &swarm->clients[write->client]);
}

static void on_outcome(struct operation *operation, const struct kv *kv)
{
    struct client_identity identity =
        work_identity(operation->swarm, &operation->swarm->writes[operation->write]);
    struct kv_result result;
    kv_outcome(kv, &identity, &result);
    on_told(operation, &result, true);
}

static void on_open(struct operation *operation, const struct node_answer *answer)
{
    struct client *client = &operation->swarm->clients[operation->client];
    if (answer->status == ST_OK)
        (void)session_format_id((raft_index)answer->result.number, operation->nonce, client->id);
    else
        client->is_expired = true; /* given up; another takes its place */
}

/* ---- all of them ---- */

static void on_answer(struct operation *operation, const struct node_answer *answer)
{
    struct swarm *swarm = operation->swarm;
    const struct kv *kv = node_kv(swarm->sites[operation->at].node);
    bool is_ok = answer->status == ST_OK;
    switch (operation->kind) {
    case OPERATION_COUNT:
        if (is_ok)
            on_count(operation, kv);
        return;
    case OPERATION_READ:
        if (is_ok)
            on_read(operation, kv);
        return;
    case OPERATION_OUTCOME:
        if (is_ok)
            on_outcome(operation, kv);
        return;
    case OPERATION_SEAL:
        if (is_ok)
            on_told(operation, &answer->result, false);
        return;
    case OPERATION_SHARED:
        swarm->shared_acked += operation->fate == FATE_APPLIED;
        return;
    case OPERATION_CHANGE:
        on_change(operation, answer);
        return;
    case OPERATION_DELIVER:
        on_deliver(operation, answer);
        return;
    case OPERATION_OPEN:
        on_open(operation, answer);
        return;
    case OPERATION_TXN:
    case OPERATION_SWAP:
    case OPERATION_PAIR:
    case OPERATION_COMPACT:
    case OPERATION_GRANT:
    case OPERATION_ATTACH:
    case OPERATION_KEEP:
    case OPERATION_REVOKE:
        data_on_answer(operation, answer, kv);
        return;
    case OPERATION_OWN:
    case OPERATION_LAST:
    case OPERATION_CLOSE:
    case OPERATION_TRANSFER:
    case OPERATION_ANNOUNCE:
    case OPERATION_MEMBERS:
        return;
    }
    UNREACHABLE();
}

static enum fate fate_of(const struct node_answer *answer)
{
    switch (answer->effect) {
    case EFFECT_APPLIED:
        return FATE_APPLIED;
    case EFFECT_NONE:
        return FATE_NONE;
    case EFFECT_MAYBE:
        return FATE_MAYBE;
    }
    UNREACHABLE();
}

/* ---- what waiting is for ---- */

/* Whoever may wait for a leader is not told that there is none before its time to wait is over. */
static void check_hold(const struct operation *operation, const struct node_answer *answer)
{
    const struct swarm *swarm = operation->swarm;
    const struct node_request *request = &operation->request;
    time_us until = MIN(operation->asked_at + swarm->plan.hold, request->deadline);
    bool may_wait =
        request->kind == NODE_READ || (request->policy == ROUTE_FORWARD && !request->is_forwarded);
    bool is_early = world_now_at(swarm->world, operation->at) < until;
    if (may_wait && is_early && answer->status == ST_NO_LEADER)
        violate(operation, "held, not refused", "is refused while it may be held");
}

/* While all restart one after the other, there is a node to take everything, soon: whoever may be
 * passed on and held learns what has become of its request, and that is not a refusal. */
static void check_calm(const struct operation *operation, const struct node_answer *answer)
{
    static const enum status refusals[] = {ST_NO_LEADER, ST_SHUTTING_DOWN, ST_LEADER_UNREACHABLE,
                                           ST_LEADER_NOT_ANNOUNCED, ST_NOT_READY};
    const struct swarm *swarm = operation->swarm;
    const struct node_request *request = &operation->request;
    bool is_passed_on = request->policy == ROUTE_FORWARD && !request->is_forwarded;
    bool is_early = world_now_at(swarm->world, operation->at) < request->deadline;
    if (!operation->is_calm || swarm->is_healing || !is_passed_on || !is_early)
        return;
    if (answer->effect == EFFECT_MAYBE)
        violate(operation, "held, not refused", "is not told what became of it");
    for (size_t i = 0; i < ARRAY_COUNT(refusals); i++)
        if (answer->status == refusals[i] && swarm->plan.hold >= CALM_HOLD_MS * TIME_US_PER_MS)
            violate(operation, "held, not refused", "is refused in the course of restarts");
}

void answers_on_done(void *ctx, const struct node_answer *answer)
{
    struct operation *operation = ctx;
    struct swarm *swarm = operation->swarm;
    bool is_heard = swarm->sites[operation->at].node != NULL; /* else its connection is gone */
    operation->fate = is_heard ? fate_of(answer) : FATE_MAYBE;
    swarm->open_count--;
    swarm->sites[operation->at].open_count--;
    swarm->totals.answered += is_heard;
    swarm_note(swarm, TRACE_ANSWER, operation->at, 0, operation->number, operation->fate,
               "#%u %s, effect %s", operation->number,
               is_heard ? status_info(answer->status)->code : "nothing: the node is gone",
               is_heard ? effect_name(answer->effect) : "unknown");
    if (operation->request.is_forwarded && answer->hops_count > 0)
        violate(operation, "one hop", "came forwarded, and was forwarded again");
    if (operation->kind == OPERATION_MEMBERS)
        members_on_answer(operation, is_heard ? answer->status : ST_TIMEOUT);
    if (!is_heard && operation->is_calm && !swarm->is_healing)
        violate(operation, "held, not refused", "has no answer: its node has stopped");
    if (is_heard) {
        check_hold(operation, answer);
        check_calm(operation, answer);
        on_answer(operation, answer);
    }
    if (!is_heard && operation->kind == OPERATION_OPEN)
        swarm->clients[operation->client].is_expired = true;
    if (operation->kind == OPERATION_DELIVER && operation->fate != FATE_NONE)
        swarm->writes[operation->write].hopeful_nodes |= 1u << operation->at;
    buf_release(&operation->command);
}
