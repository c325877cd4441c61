/* Routes what was submitted and batches what is proposed here: all commands of one turn of the loop
 * become one PROPOSE event, one write of the log and one message per peer. */
#include "node/node_internal.h"

static enum route_leader leader_seen(const struct node *node)
{
    struct raft_view view;
    raft_view(node->raft, &view);
    if (view.role == RAFT_ROLE_LEADER)
        return view.transfer_to != NODE_NONE ? ROUTE_LEADER_TRANSFERRING : ROUTE_LEADER_SELF;
    if (view.leader == NODE_NONE)
        return ROUTE_LEADER_UNKNOWN;
    if (address_is_set(&node->view.leader_http))
        return ROUTE_LEADER_ANNOUNCED;
    bool is_new = env_now(node->env) < view.leader_since + node->options.hold;
    return is_new ? ROUTE_LEADER_SILENT : ROUTE_LEADER_UNANNOUNCED;
}

static void propose_here(struct node *node, struct node_request *request)
{
    request->hops_count = 0;
    request_open(node, request, node->view.term, node->options.self);
    struct origin origin = {node->options.self, node->incarnation, request->number};
    enum status status = propose_command(node, &origin, request->command, request->fence);
    if (status == ST_FENCED) {
        request_detach(node, request);
        request_hold(node, request); /* not yet: see members_propose */
    } else if (status != ST_OK) {
        request_answer(node, request, status, NULL);
    }
}

static void send_on(struct node *node, struct node_request *request, bool is_expired)
{
    enum status status = forward_send(node, request);
    if (status == ST_CLOSED && !is_expired)
        request_hold(node, request); /* the link is being made */
    else if (status != ST_OK)
        request_answer(node, request, status == ST_CLOSED ? ST_LEADER_UNREACHABLE : status, NULL);
}

/* A write that has been applied here before needs no leader: its result is final, so it is answered
 * from the state, even where no leader can be reached. What is not in the table *here* may still be
 * in the log, so this saves work and decides nothing: the check that counts is made at apply, in
 * log order. */
static bool recall(struct node *node, struct node_request *request)
{
    if (!request->is_client || request->asked_at == node->applied)
        return false; /* what is held is routed often, and the table changes only by applying */
    request->asked_at = node->applied;
    struct kv_result result;
    if (node->results_bytes >= LIMIT_ANSWERS_BYTES)
        return false; /* the long way: what is applied at a time has a limit */
    if (!kv_recall(node->kv, request->command, expiry_recall_since(node), &result))
        return false;
    node->stats.replayed_count += result.is_replayed;
    node->stats.refused_count += !result.is_replayed;
    request->hops_count = 0;
    request_answer(node, request, result.status, &result);
    return true;
}

static void route_write(struct node *node, struct node_request *request, enum route_leader leader)
{
    if (recall(node, request))
        return;
    time_us now = env_now(node->env);
    if (now >= request->deadline) { /* the process stood still: nobody waits for it any more */
        request_expire(node, request);
        return;
    }
    bool is_hopeless = node->is_stopping && !stop_has_company(node);
    struct route_input input = {
        .policy = request->policy,
        .leader = leader,
        .is_forwarded = request->is_forwarded,
        .is_internal = request->is_internal,
        .is_expired = now >= request->hold_until || is_hopeless,
        .is_stopping = node->is_stopping,
    };
    switch (route_decide(&input)) {
    case ROUTE_LOCAL:
        propose_here(node, request);
        break;
    case ROUTE_SEND:
        send_on(node, request, input.is_expired);
        break;
    case ROUTE_POINT:
        request_answer(node, request, ST_NOT_LEADER, NULL);
        break;
    case ROUTE_HOLD:
        request_hold(node, request);
        break;
    case ROUTE_REFUSE_NO_LEADER:
        request_answer(node, request, ST_NO_LEADER, NULL);
        break;
    case ROUTE_REFUSE_UNANNOUNCED:
        request_answer(node, request, ST_LEADER_NOT_ANNOUNCED, NULL);
        break;
    case ROUTE_REFUSE_FORWARDED:
        request_answer(node, request, ST_ALREADY_FORWARDED, NULL);
        break;
    case ROUTE_REFUSE_STOPPING:
        request_answer(node, request, ST_SHUTTING_DOWN, NULL);
        break;
    }
}

enum status propose_give_up(const struct node *node, const struct node_request *request)
{
    switch (leader_seen(node)) {
    case ROUTE_LEADER_SILENT:
    case ROUTE_LEADER_UNANNOUNCED:
        return request->is_internal ? ST_LEADER_UNREACHABLE : ST_LEADER_NOT_ANNOUNCED;
    case ROUTE_LEADER_ANNOUNCED:
        return ST_LEADER_UNREACHABLE;
    case ROUTE_LEADER_SELF:
    case ROUTE_LEADER_TRANSFERRING:
    case ROUTE_LEADER_UNKNOWN:
        return ST_NO_LEADER;
    }
    UNREACHABLE();
}

static void route_all(struct node *node, struct list *from)
{
    struct list batch; /* of its own: what is held again goes to the end of `held` */
    list_init(&batch);
    list_splice(&batch, from);
    enum route_leader leader = leader_seen(node);
    while (!list_is_empty(&batch)) {
        struct node_request *request = CONTAINER_OF(batch.next, struct node_request, link);
        request_detach(node, request);
        if (request->kind == NODE_READ)
            read_add(node, request);
        else
            route_write(node, request, leader);
    }
}

void propose_submitted(struct node *node)
{
    if (!list_is_empty(&node->submitted))
        route_all(node, &node->submitted);
}

void propose_held(struct node *node)
{
    if (!list_is_empty(&node->held))
        route_all(node, &node->held);
}

/* The others may commit without this disk, so raft's bound on what is uncommitted does not bound
 * what waits here. A queue, the uncommitted of one turn on top, must fit LIMIT_WAL_QUEUE_BYTES. */
static enum status check_log(const struct node *node)
{
    struct wal_stats stats;
    wal_stats(node->wal, &stats);
    if (stats.is_out_of_space)
        return ST_NO_SPACE;
    return stats.queued_bytes > LIMIT_WAL_QUEUE_BYTES / 4 ? ST_BUSY : ST_OK;
}

struct entry *propose_entry(const struct proposal *head, enum entry_type type, struct bytes body)
{
    struct entry *entry = entry_new(type, PROPOSAL_HEADER_BYTES + body.count);
    proposal_encode_header(head, entry->data);
    memcpy(entry->data + PROPOSAL_HEADER_BYTES, body.data, body.count);
    return entry;
}

enum status propose_command(struct node *node, const struct origin *origin, struct bytes command,
                            raft_term fence)
{
    struct raft_view view;
    raft_view(node->raft, &view);
    if (view.role != RAFT_ROLE_LEADER || view.term != fence || view.transfer_to != NODE_NONE)
        return ST_FENCED;
    enum status status = check_log(node);
    if (status != ST_OK)
        return status;

    struct proposal proposal = {
        .origin = *origin, .stamp_us = apply_stamp(node), .command = command};
    if (members_is_change(command))
        return members_propose(node, &proposal, fence);
    struct entry *entry = propose_entry(&proposal, ENTRY_COMMAND, command);
    if (directory_needs_verification(node, command))
        return directory_verify(node, entry, fence);
    propose_add(node, entry, fence);
    return ST_OK;
}

void propose_add(struct node *node, struct entry *entry, raft_term fence)
{
    /* In pieces: one too large for what raft still takes is refused whole. */
    if (node->proposals_count == LIMIT_PROPOSALS || node->proposals_bytes >= LIMIT_APPEND_BYTES)
        propose_flush(node);
    node->proposals_bytes += entry_bytes(entry);
    node->proposals[node->proposals_count] = entry;
    node->proposal_fences[node->proposals_count++] = fence;
    node_wake(node);
}

void propose_refuse(struct node *node, const struct origin *origin, raft_term fence,
                    enum status status)
{
    bool is_own = origin->node == node->options.self && origin->incarnation == node->incarnation;
    if (!is_own) {
        forward_refuse(node, origin, fence, status == ST_NOT_LEADER ? ST_FENCED : status);
        return;
    }
    struct node_request *request = request_find(node, origin->number);
    if (request == NULL)
        return; /* answered by its deadline, or its client is gone */
    if (status == ST_FENCED || status == ST_NOT_LEADER)
        request_again(node, request);
    else
        request_answer(node, request, status, NULL);
}

static void refuse_entry(struct node *node, struct entry *entry, raft_term fence,
                         enum status status)
{
    struct proposal proposal;
    if (proposal_decode(entry_data(entry), &proposal) == ST_OK)
        propose_refuse(node, &proposal.origin, fence, status);
    entry_unref(entry);
}

/* Between taking a command and this flush a message may have ended the term it was taken for. */
static size_t drop_fenced(struct node *node, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (node->proposal_fences[i] == node->view.term)
            node->proposals[kept++] = node->proposals[i];
        else
            refuse_entry(node, node->proposals[i], node->proposal_fences[i], ST_FENCED);
    }
    return kept;
}

static bool is_handing_over(const struct node *node)
{
    struct raft_view view;
    raft_view(node->raft, &view);
    return view.transfer_to != NODE_NONE;
}

void propose_flush(struct node *node)
{
    size_t count = drop_fenced(node, node->proposals_count);
    node->proposals_count = 0;
    node->proposals_bytes = 0;
    if (count == 0)
        return;

    raft_term fence = node->view.term;
    struct raft_event event = {.type = RAFT_EVENT_PROPOSE, .now = env_now(node->env)};
    event.propose.entries = node->proposals;
    event.propose.entries_count = count;
    enum status status = ready_step(node, &event);
    if (status == ST_OK)
        node->stats.proposed_count += count;
    if (status == ST_BUSY && is_handing_over(node))
        status = ST_FENCED; /* since these were taken it has been told to: they wait for the heir */
    for (size_t i = 0; i < count; i++) {
        if (status == ST_OK)
            entry_unref(node->proposals[i]); /* raft holds its own reference */
        else
            refuse_entry(node, node->proposals[i], fence, status);
    }
}
