/* Leadership handed to a member that an operator names (thesis §3.10).
 *
 * 1. The command travels through the log like any other, so every node takes it.
 * 2. Whoever leads in the entry's term hands over when it applies the entry.
 * 3. The node that accepted the request answers when it sees the member lead.
 *
 * What can go wrong: the leader changes before it has applied the entry, the member cannot be
 * reached, or is cut off and raft gives up after an election timeout. Then nobody hands over any
 * more, but the member may still be elected: when another has been, or at the deadline, the answer
 * is TIMEOUT, effect maybe.
 */
#include "node/node_internal.h"

static node_id member_in(struct bytes encoded)
{
    struct command command;
    enum status status = command_decode(encoded, &command);
    INVARIANT(status == ST_OK); /* it has been applied */
    INVARIANT(command.op == COMMAND_TRANSFER);
    return command.member;
}

void transfer_on_applied(struct node *node, struct entry_id at, struct bytes command)
{
    struct raft_view view;
    raft_view(node->raft, &view);
    REQUIRE(view.term >= at.term);
    if (view.role == RAFT_ROLE_LEADER && view.term == at.term)
        node->transfer_to = member_in(command);
}

/* To a member without a link everybody would wait for an election timeout, in vain. */
void transfer_start(struct node *node)
{
    struct raft_event event = {.type = RAFT_EVENT_TRANSFER, .now = env_now(node->env)};
    event.transfer.to = node->transfer_to;
    node->transfer_to = NODE_NONE;
    if (event.transfer.to != NODE_NONE && node_is_linked(node, event.transfer.to))
        (void)ready_step(node, &event); /* refused: no leader any more, or no voter; so be it */
}

void transfer_await(struct node *node, struct node_request *request, const struct kv_result *result)
{
    REQUIRE(request->state == REQUEST_OPEN);
    REQUIRE(result->status == ST_OK);
    request_detach(node, request);
    request->state = REQUEST_TRANSFER;
    request->answer.result = *result;
    list_push_back(&node->transfers, &request->link);
}

void transfer_settle(struct node *node)
{
    struct list *next;
    for (struct list *at = node->transfers.next; at != &node->transfers; at = next) {
        next = at->next;
        struct node_request *request = CONTAINER_OF(at, struct node_request, link);
        struct kv_result result = request->answer.result;
        if (member_in(request->command) == node->view.leader)
            request_answer(node, request, ST_OK, &result);
        else if (node->applied_term > request->fence)
            request_answer(node, request, ST_TIMEOUT, NULL); /* it came to another leader */
    }
}
