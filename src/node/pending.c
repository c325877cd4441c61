/* What is under way at this node under an identity: its own requests wherever they wait, what other
 * nodes have sent and this turn has not yet proposed, and the end of the log. */
#include "node/node_internal.h"

static bool is_write_of(struct bytes command, const struct client_identity *wanted)
{
    struct client_identity identity;
    enum command_op op = command_peek(command);
    if (op == COMMAND_SEAL || op == COMMAND_CLOSE_SESSION) /* it names a write, and is none */
        return false;
    return command_peek_identity(command, &identity) && identity.kind == wanted->kind &&
           identity.sequence == wanted->sequence && bytes_equal(identity.client, wanted->client);
}

static bool is_in_list(const struct list *list, const struct client_identity *wanted)
{
    for (const struct list *at = list->next; at != list; at = at->next) {
        const struct node_request *request = CONTAINER_OF(at, struct node_request, link);
        if (request->kind == NODE_WRITE && is_write_of(request->command, wanted))
            return true;
    }
    return false;
}

static bool is_in_entry(const struct entry *entry, const struct client_identity *wanted)
{
    struct proposal proposal;
    return entry->type == ENTRY_COMMAND && proposal_decode(entry_data(entry), &proposal) == ST_OK &&
           is_write_of(proposal.command, wanted);
}

static bool is_in_log(const struct node *node, const struct client_identity *wanted)
{
    struct raft_view view;
    raft_view(node->raft, &view);
    for (raft_index i = node->applied + 1; i <= view.last_index; i++) {
        const struct entry *entry = raft_entry(node->raft, i);
        if (entry != NULL && is_in_entry(entry, wanted))
            return true;
    }
    return false;
}

bool node_is_pending(const struct node *node, const struct client_identity *identity)
{
    REQUIRE(identity->client.count > 0);
    REQUIRE(identity->sequence > 0);
    if (is_in_list(&node->submitted, identity) || is_in_list(&node->held, identity) ||
        is_in_list(&node->open, identity))
        return true;
    for (size_t i = 0; i < node->proposals_count; i++)
        if (is_in_entry(node->proposals[i], identity))
            return true;
    return is_in_log(node, identity);
}
