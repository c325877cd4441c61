/* At the end: the committed log is followed with model.h, and the state of the nodes and everything
 * that any client was told must be what that comes to.
 *
 *      exactly once   no write with an identity changed the state twice; keys that are written once
 *                     have version 1; the shared counter is the number of distinct increments
 *      truth          what was acknowledged is there; of what was answered with effect none only,
 *                     nothing is
 *      linearizable   each register has an order of operations that explains all answers */
#include <stdio.h>

#include "sim/swarm/customer.h"
#include "sim/swarm/data.h"
#include "sim/swarm/members.h"
#include "sim/swarm/model.h"
#include "sim/swarm/swarm.h"

enum { LINEAR_STEPS_MAX = 300000 };

static void violate_write(struct swarm *swarm, unsigned number, const char *oracle,
                          const char *what)
{
    const struct write *write = &swarm->writes[number];
    swarm_violate(swarm, VERDICT_SAFETY, oracle, "write %u (%s, sequence %llu): %s", number,
                  swarm->clients[write->client].id, (unsigned long long)write->sequence, what);
}

/* ---- the log ---- */

/* An entry that was never seen in the memory of the node that committed it may be in another's. */
static struct entry *find_entry(struct swarm *swarm, raft_index index)
{
    for (unsigned i = 1; i <= swarm->plan.nodes_count; i++) {
        const struct node *node = swarm->sites[i].node;
        struct entry *entry = node != NULL ? raft_entry(node_raft(node), index) : NULL;
        if (entry != NULL)
            return entry;
    }
    return NULL;
}

/* False: an entry is on disks only, so nothing can be said of what the log comes to. */
static bool follow_log(struct swarm *swarm, struct model *model)
{
    raft_index last = chronicle_last(&swarm->chronicle);
    for (raft_index i = swarm->chronicle.first; i <= last; i++) {
        const struct chronicle_line *line = chronicle_at(&swarm->chronicle, i);
        const struct entry *entry = line->entry != NULL ? line->entry : find_entry(swarm, i);
        if (entry == NULL)
            return false;
        model_apply(model, entry);
    }
    return true;
}

/* ---- the state ---- */

struct comparison {
    struct swarm *swarm;
    const struct model *model;
    size_t keys_count;
};

static bool compare_item(void *ctx, const struct kv_item *item)
{
    struct comparison *comparison = ctx;
    const struct model_key *key = model_find_key(comparison->model, item->key);
    comparison->keys_count++;
    if (key == NULL || !bytes_equal(key->value, item->value) ||
        key->create_revision != item->create_revision || key->mod_revision != item->mod_revision ||
        key->version != item->version || key->lease != item->lease)
        swarm_violate(comparison->swarm, VERDICT_SAFETY, "state",
                      "key %.*s is not what the log comes to",
                      (int)MIN(item->key.count, (size_t)40), (const char *)item->key.data);
    return true;
}

static const struct kv *compare_states(struct swarm *swarm, const struct model *model)
{
    const struct kv *first = NULL;
    for (unsigned i = 1; i <= swarm->plan.nodes_count; i++) {
        if (!members_are_owed(swarm, i))
            continue;
        const struct kv *kv = node_kv(swarm->sites[i].node);
        struct comparison comparison = {swarm, model, 0};
        struct kv_stats stats;
        kv_stats(kv, &stats);
        if (stats.compacted != model->compacted)
            swarm_violate(swarm, VERDICT_SAFETY, "state",
                          "n%u has compacted up to %llu; the log comes to %llu", i,
                          (unsigned long long)stats.compacted,
                          (unsigned long long)model->compacted);
        if (first == NULL) {
            struct kv_range all = {0};
            kv_scan(kv, &all, compare_item, &comparison);
            if (comparison.keys_count != model->keys_there_count)
                swarm_violate(swarm, VERDICT_SAFETY, "state",
                              "n%u has %zu keys; the log comes to %zu", i, comparison.keys_count,
                              model->keys_there_count);
            first = kv;
        } else if (kv_digest(kv) != kv_digest(first)) {
            swarm_violate(swarm, VERDICT_SAFETY, "state machine safety",
                          "n%u has another state in the end than the others", i);
        }
    }
    return first;
}

/* Whatever operators said: who was asked whether an address is its own has said no. */
static void check_directory(struct swarm *swarm, const struct kv *kv)
{
    for (unsigned i = 1; i <= swarm->plan.nodes_count; i++) {
        const struct kv_member *member = kv_member(kv, i);
        struct address wanted = site_http(i);
        if (member != NULL && address_is_set(&member->http) &&
            !address_equal(&member->http, &wanted))
            swarm_violate(swarm, VERDICT_SAFETY, "directory",
                          "n%u is known at %s:%u, where nobody answers as n%u", i,
                          member->http.host, member->http.port, i);
    }
}

/* ---- the answers ---- */

void judge_own_key(struct swarm *swarm, const struct model *model, const char *key, enum fate fate,
                   const char *who)
{
    const struct model_key *found = model_find_key(model, bytes_of_text(key));
    if (found != NULL && found->version != 1)
        swarm_violate(swarm, VERDICT_SAFETY, "exactly once", "%s: took effect twice", who);
    if (fate == FATE_APPLIED && found == NULL)
        swarm_violate(swarm, VERDICT_SAFETY, "truth", "%s: was acknowledged and is lost", who);
    if (fate == FATE_NONE && found != NULL)
        swarm_violate(swarm, VERDICT_SAFETY, "truth",
                      "%s: was answered with effect none and took effect", who);
}

static void check_own(const struct operation *operation, const struct model *model)
{
    char key[32], what[64], who[96];
    (void)snprintf(key, sizeof key, "own-%u", operation->number);
    (void)snprintf(who, sizeof who, "#%u (%s at n%u)", operation->number,
                   operation_format(operation, what), operation->at);
    judge_own_key(operation->swarm, model, key, operation->fate, who);
}

bool judge_is_result(const struct model_write *write, enum status status, int64_t number,
                     uint64_t mod_revision)
{
    return write->result.status == status && write->result.number == number &&
           write->result.mod_revision == mod_revision;
}

static void check_answer(struct swarm *swarm, unsigned number, const struct model_write *wanted)
{
    const struct write *write = &swarm->writes[number];
    bool is_done = wanted != NULL && wanted->is_done;
    bool is_sealed = wanted != NULL && wanted->is_sealed;
    if (write->is_applied && !is_done)
        violate_write(swarm, number, "truth", "was acknowledged, and no entry carries it out");
    else if (write->is_applied && !judge_is_result(wanted, write->status, write->result.number,
                                                   write->result.mod_revision))
        violate_write(swarm, number, "truth", "was answered with another result than the log has");
    if (write->is_sealed && !is_sealed)
        violate_write(swarm, number, "truth", "was said to happen never, and is not sealed");
    if (is_done && wanted->result.status == ST_OK &&
        (write->hopeful_nodes & 1u << wanted->accepted_by) == 0)
        violate_write(swarm, number, "truth", "was answered with effect none, and took effect");
}

static void check_key(struct swarm *swarm, unsigned number, const struct model *model, bool is_done)
{
    char text[32];
    (void)snprintf(text, sizeof text, "write-%u", number);
    const struct model_key *key = model_find_key(model, bytes_of_text(text));
    if ((key != NULL) != is_done)
        violate_write(swarm, number, "truth", is_done ? "is lost" : "took effect against the log");
    if (key != NULL && key->version != 1)
        violate_write(swarm, number, "exactly once", "took effect twice");
}

static void check_writes(struct swarm *swarm, const struct model *model)
{
    for (unsigned i = 0; i < swarm->writes_count && !swarm_is_violated(swarm); i++) {
        struct write *write = &swarm->writes[i];
        struct client_identity identity = work_identity(swarm, write);
        const struct model_write *wanted = model_find_write(model, &identity);
        bool is_done = wanted != NULL && wanted->is_done;
        check_answer(swarm, i, wanted);
        if (write->target == TARGET_OWN)
            check_key(swarm, i, model, is_done);
    }
}

/* ---- the order of time ---- */

/* What became of a write with an identity is known in the end, if only to be nothing. */
static void conclude_writes(struct swarm *swarm)
{
    for (size_t i = 0; i < swarm->writes_count; i++) {
        const struct write *write = &swarm->writes[i];
        if (write->target != TARGET_REGISTER || write->deliveries_count == 0)
            continue;
        struct linear_op *op = &swarm->registers[write->key].ops[write->history];
        bool is_nothing = write->is_sealed || write->hopeful_nodes == 0;
        if (op->outcome == LINEAR_UNKNOWN && is_nothing)
            op->kind = LINEAR_READ; /* unknown reads bind nobody */
    }
}

static void check_registers(struct swarm *swarm)
{
    conclude_writes(swarm);
    for (unsigned key = 0; key < swarm->plan.keys_count && !swarm_is_violated(swarm); key++) {
        const struct register_history *history = &swarm->registers[key];
        size_t stuck;
        enum linear_verdict verdict =
            linear_check(history->ops, history->ops_count, LINEAR_STEPS_MAX, &stuck);
        swarm->totals.undecided += verdict == LINEAR_UNDECIDED;
        if (verdict == LINEAR_NO)
            swarm_violate(swarm, VERDICT_SAFETY, "linearizable",
                          "no order of the %zu operations on register-%u explains the answer of "
                          "number %zu (%s %llu)",
                          history->ops_count, key, stuck,
                          history->ops[stuck].kind == LINEAR_READ ? "reads" : "writes",
                          (unsigned long long)(history->ops[stuck].kind == LINEAR_READ
                                                   ? history->ops[stuck].expected
                                                   : history->ops[stuck].value));
    }
}

/* Whoever waits at a node that did not heal knows nothing. */
static void conclude_open(struct swarm *swarm)
{
    for (size_t i = 0; i < swarm->operations_count; i++) {
        const struct operation *operation = swarm->operations[i];
        if (operation->fate == FATE_OPEN && operation->kind == OPERATION_DELIVER)
            swarm->writes[operation->write].hopeful_nodes |= 1u << operation->at;
    }
}

void judge(struct swarm *swarm)
{
    struct model model;
    conclude_open(swarm);
    model_init(&model);
    if (follow_log(swarm, &model)) {
        const struct kv *kv = compare_states(swarm, &model);
        if (kv != NULL)
            check_directory(swarm, kv);
        for (size_t i = 0; i < swarm->operations_count && !swarm_is_violated(swarm); i++)
            if (swarm->operations[i]->kind == OPERATION_OWN ||
                swarm->operations[i]->kind == OPERATION_LAST)
                check_own(swarm->operations[i], &model);
        check_writes(swarm, &model);
        changes_judge(swarm, &model);
        data_judge(swarm->data, &model);
        customers_judge(swarm->customers, &model);
    } else {
        swarm->totals.undecided++;
    }
    swarm->totals.expired = model.expired_count;
    model_release(&model);
    check_registers(swarm);
}
