#include "base/mem.h"
#include "kv/txn.h"
#include "sim/swarm/data.h"
#include "sim/swarm/model.h"

enum { REVISION_AT = 1 }; /* docs/formats/txn.md */

static void violate(const struct operation *operation, const char *oracle, const char *what)
{
    char text[64];
    swarm_violate(operation->swarm, VERDICT_SAFETY, oracle, "#%u (%s at n%u): %s",
                  operation->number, operation_format(operation, text), operation->at, what);
}

/* ---- the pair ---- */

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
    if (operation->swarm->plan.session_ttl == 0 && count > operation->swarm->data->pairs_count)
        violate(operation, "exactly once", "shows more transactions than there are");
}

/* ---- transactions ---- */

/* The same results, byte for byte, however often it is sent. */
static void on_applied(const struct operation *operation, struct txn_sent *sent,
                       const struct kv_result *result)
{
    struct data *data = operation->swarm->data;
    operation->swarm->totals.replayed += result->is_replayed;
    if (!txn_results_are_sound(result->results))
        violate(operation, "transactions", "was answered with results that nobody can read");
    if (sent->is_applied) {
        if (!bytes_equal(result->results, buf_bytes(&sent->results)))
            violate(operation, "exactly once", "two answers to the same transaction differ");
        return;
    }
    sent->is_applied = true;
    data->applied_count += sent->is_pair;
    buf_put(&sent->results, result->results);
}

static void on_txn(const struct operation *operation, const struct node_answer *answer)
{
    struct txn_sent *sent = &operation->swarm->data->txns[operation->txn];
    if (answer->status == ST_OK)
        on_applied(operation, sent, &answer->result);
    sent->is_refused = sent->is_refused || answer->status == ST_LEASE_NOT_FOUND;
    if (sent->is_applied && sent->is_refused)
        violate(operation, "exactly once", "was carried out, and refused by the state");
    if (answer->status == ST_BAD_REQUEST || answer->status == ST_TXN_TOO_LARGE)
        violate(operation, "transactions", "is refused though nothing is wrong with it");
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

/* ---- all of them ---- */

void data_on_answer(struct operation *operation, const struct node_answer *answer,
                    const struct kv *kv)
{
    if (operation->kind == OPERATION_SWAP)
        on_swap(operation, answer);
    else if (operation->kind == OPERATION_TXN)
        on_txn(operation, answer);
    else if (answer->status == ST_OK && operation->kind == OPERATION_PAIR)
        on_pair(operation, kv);
    else
        data_on_lease(operation, answer, kv);
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
    data_watch_leases(site, kv);
    data_watch_past(site, kv);
}

/* ---- at the end ---- */

/* Applied if one delivery was; nothing only if none of them may have been. */
static enum fate join(enum fate a, enum fate b)
{
    if (a == FATE_APPLIED || b == FATE_APPLIED)
        return FATE_APPLIED;
    return a == FATE_NONE && b == FATE_NONE ? FATE_NONE : FATE_MAYBE;
}

static void judge_results(struct data *data, const struct model *model, size_t number)
{
    const struct txn_sent *sent = &data->txns[number];
    if (!sent->is_applied)
        return;
    INVARIANT(sent->results.count > REVISION_AT + sizeof(uint64_t)); /* they were sound */
    const struct model_revision *revision =
        model_find_revision(model, load_u64(sent->results.data + REVISION_AT));
    if (revision == NULL || !bytes_equal(revision->results, buf_bytes(&sent->results)))
        swarm_violate(data->swarm, VERDICT_SAFETY, "transactions",
                      "txn-%zu was answered with other results than the log comes to", number);
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
        data_txn_name(i, name);
        judge_own_key(data->swarm, model, name, data->txns[i].fate, name);
        judge_results(data, model, i);
    }
    data_judge_past(data, model);
}
