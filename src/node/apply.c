/* Applies committed entries in log order, and answers from here: whoever accepted a request
 * recognises its own command by the origin in the entry, wherever the leader was.
 *
 * The proof of non-application (docs/routing.md): an attempt is bound to a term. Terms never fall
 * along a log, so once an entry of a later term has been applied without the command having been
 * seen, the command can never commit, and the request may be sent again. */
#include "base/failpoint.h"
#include "node/node_internal.h"

/* Only of what stands in the log now: what was cut off again was never log time, and came perhaps
 * from a leader with a wrong clock. */
uint64_t apply_last_stamp(const struct node *node)
{
    struct raft_view view;
    struct kv_stats stats;
    struct proposal proposal;
    raft_view(node->raft, &view);
    kv_stats(node->kv, &stats);
    uint64_t stamp_us = stats.stamp_us;
    for (raft_index i = node->applied + 1; i <= view.last_index; i++) {
        const struct entry *entry = raft_entry(node->raft, i);
        if (entry != NULL && entry->type == ENTRY_COMMAND &&
            proposal_decode(entry_data(entry), &proposal) == ST_OK)
            stamp_us = MAX(stamp_us, proposal.stamp_us);
    }
    return stamp_us;
}

void apply_note_fresh(struct node *node)
{
    if (node->heard_at != 0 && node->applied >= node->heard_commit)
        node->fresh_at = node->heard_at;
}

uint64_t apply_stamp(struct node *node)
{
    REQUIRE(node->stamp_base_at != 0);
    time_us now = env_now(node->env);
    node->stamp_base_at += expiry_take_standstill(node);
    INVARIANT(node->stamp_base_at <= now);
    return node->stamp_base + (now - node->stamp_base_at);
}

uint64_t node_log_time(struct node *node)
{
    return apply_log_time(node);
}

uint64_t apply_log_time(struct node *node)
{
    if (node->view.role == RAFT_ROLE_LEADER)
        return apply_stamp(node);
    if (node->log_time_at == 0)
        return UINT64_MAX;
    return node->log_time_us + (env_now(node->env) - node->log_time_at);
}

/* The stamp applied last is of now only where nothing was outstanding before: what comes late,
 * after a cut or from the own disk, was stamped long ago. An older reading goes on being right. */
static void note_log_time(struct node *node, bool was_fresh)
{
    struct kv_stats stats;
    if (!was_fresh)
        return;
    kv_stats(node->kv, &stats);
    node->log_time_us = stats.stamp_us;
    node->log_time_at = env_now(node->env);
}

/* Everything bound to a term before `term` and not seen by now never happens. */
static void prove_absent(struct node *node, raft_term term)
{
    while (!list_is_empty(&node->open)) {
        struct node_request *request = CONTAINER_OF(node->open.next, struct node_request, link);
        if (request->fence >= term)
            return; /* fences rise along the list */
        node->stats.proven_count++;
        request_again(node, request);
    }
}

/* A repeated one was carried out when it came first, and is only told so. */
static bool is_fresh_transfer(struct bytes command, const struct kv_result *result)
{
    return command_peek(command) == COMMAND_TRANSFER && result->status == ST_OK &&
           !result->is_replayed;
}

/* The request of this process that an entry answers; NULL: somebody else's, or answered already. */
static struct node_request *origin_request(struct node *node, const struct origin *origin)
{
    bool is_own = origin->node == node->options.self && origin->incarnation == node->incarnation;
    return is_own ? request_find(node, origin->number) : NULL;
}

static void answer_origin(struct node *node, const struct proposal *proposal,
                          const struct kv_result *result)
{
    struct node_request *request = origin_request(node, &proposal->origin);
    if (request == NULL)
        return;
    if (is_fresh_transfer(proposal->command, result))
        transfer_await(node, request, result);
    else
        request_answer(node, request, result->status, result);
}

static void apply_command(struct node *node, const struct entry *entry)
{
    struct proposal proposal = {0};
    struct kv_result result;
    bool is_known = proposal_decode(entry_data(entry), &proposal) == ST_OK;
    (void)FAILPOINT("node.committed", entry_data(entry));
    kv_apply(node->kv, entry->id, &proposal, &result);
    (void)FAILPOINT("node.applied", entry_data(entry));
    if (!is_known)
        return;
    if (command_peek(proposal.command) == COMMAND_REGISTER)
        node->must_review = true;
    else if (command_peek(proposal.command) == COMMAND_EXPIRE_SESSIONS)
        expiry_on_applied(node, (uint64_t)result.number);
    else if (command_peek(proposal.command) == COMMAND_EXPIRE_LEASES)
        expiry_on_leases_applied(node, (uint64_t)result.number);
    else if (is_fresh_transfer(proposal.command, &result))
        transfer_on_applied(node, entry->id, proposal.command);
    answer_origin(node, &proposal, &result);
}

/* A configuration has the origin of the request that asked for it, and is its answer. */
static void apply_config(struct node *node, const struct entry *entry)
{
    struct config config;
    struct config before = *kv_config(node->kv);
    enum status status = entry_config(entry, &config);
    INVARIANT(status == ST_OK); /* raft has decoded it before */
    kv_apply_config(node->kv, entry->id, &config);
    members_on_applied(node, &before);

    struct proposal proposal;
    struct kv_stats stats;
    status = proposal_decode(entry_data(entry), &proposal);
    INVARIANT(status == ST_OK);
    kv_stats(node->kv, &stats);
    struct kv_result result = {.status = ST_OK, .revision = stats.revision};
    struct node_request *request = origin_request(node, &proposal.origin);
    if (request != NULL)
        request_answer(node, request, ST_OK, &result);
}

static void apply_entry(struct node *node, const struct entry *entry)
{
    REQUIRE(entry->id.index == node->applied + 1);
    REQUIRE(entry->id.term >= node->applied_term);

    if (entry->id.term > node->applied_term) {
        prove_absent(node, entry->id.term);
        node->applied_term = entry->id.term;
    }
    switch (entry->type) {
    case ENTRY_NOOP:
        kv_apply_noop(node->kv, entry->id);
        break;
    case ENTRY_COMMAND:
        apply_command(node, entry);
        break;
    case ENTRY_CONFIG:
        apply_config(node, entry);
        break;
    }
    node->applied = entry->id.index;
}

/* Of the entries that are applied next, what the state keeps far apart: waiting for memory is most
 * of what applying one costs. */
static void look_ahead(const struct node *node, raft_index last)
{
    struct bytes commands[NODE_APPLY_AHEAD];
    size_t count = 0;
    last = MIN(last, node->applied + NODE_APPLY_AHEAD);
    for (raft_index i = node->applied + 1; i <= last; i++) {
        const struct entry *entry = raft_entry(node->raft, i);
        struct proposal proposal;
        if (entry != NULL && entry->type == ENTRY_COMMAND &&
            proposal_decode(entry_data(entry), &proposal) == ST_OK)
            commands[count++] = proposal.command;
    }
    if (count > 1) /* one alone is looked up when it is applied, no later than here */
        kv_prefetch_commands(node->kv, commands, count);
}

/* After a restart the entries to apply may be on disk only. */
static size_t apply_from_disk(struct node *node, raft_index last)
{
    struct entry *entries[256];
    struct errtext error;
    size_t count = 0;
    enum status status = wal_read(node->wal, node->applied + 1, LIMIT_APPEND_BYTES, entries,
                                  MIN(ARRAY_COUNT(entries), last - node->applied), &count, &error);
    if (status != ST_OK || count == 0) {
        node_fail(node, status != ST_OK ? status : ST_CORRUPT, "read back committed entries");
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        apply_entry(node, entries[i]);
        entry_unref(entries[i]);
    }
    return count;
}

void apply_committed(struct node *node)
{
    struct raft_view view;
    raft_view(node->raft, &view);
    struct address http_before = {0};
    const struct kv_member *leader = kv_member(node->kv, node->view.leader);
    if (leader != NULL)
        http_before = leader->http;

    bool was_fresh = node_staleness(node) <= node->options.election;
    size_t batch_count = 0;
    while (node->applied < view.commit && batch_count < NODE_APPLY_BATCH &&
           node->results_bytes < LIMIT_ANSWERS_BYTES && !node->is_fatal) {
        if (batch_count % NODE_APPLY_AHEAD == 0)
            look_ahead(node, view.commit);
        const struct entry *entry = raft_entry(node->raft, node->applied + 1);
        if (entry != NULL) {
            apply_entry(node, entry);
            batch_count++;
        } else {
            size_t count =
                apply_from_disk(node, view.commit); /* up to LIMIT_APPEND_BYTES of them */
            batch_count += MAX(count, (size_t)NODE_APPLY_BATCH / 8);
        }
    }
    if (node->applied < view.commit)
        node_wake(node);
    if (node->is_fatal || node->applied == node->applied_told)
        return;

    leader = kv_member(node->kv, node->view.leader);
    if (leader != NULL && !address_equal(&http_before, &leader->http))
        node_on_leader_http(node);
    note_log_time(node, was_fresh);
    apply_note_fresh(node);
    read_complete(node);
    node->applied_told = node->applied;
    struct raft_event event = {
        .type = RAFT_EVENT_APPLIED, .now = env_now(node->env), .applied = node->applied};
    (void)ready_step(node, &event); /* APPLIED is never refused */
}
