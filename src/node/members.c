/* Who belongs to the cluster: what the leader makes of a request to change it, and who gets a vote.
 *
 * 1. A request to join, remove or promote comes to the leader like any other command.
 * 2. The leader makes the new configuration of it and proposes that, with the request's origin, so
 *    that whoever accepted the request finds it at apply (docs/decisions/0009).
 * 3. A configuration counts from the moment it is appended (thesis §4.1), and goes when it is cut.
 *
 * Where nothing is to be changed, or nothing may be now, the command itself is ordered: applying it
 * says how things stand at that point of the log. */
#include "kv/membership.h"
#include "node/node_internal.h"

bool members_is_change(struct bytes command)
{
    switch (command_peek(command)) {
    case COMMAND_JOIN:
    case COMMAND_REMOVE:
    case COMMAND_PROMOTE:
        return true;
    case COMMAND_PUT:
    case COMMAND_DELETE:
    case COMMAND_INCR:
    case COMMAND_ANNOUNCE:
    case COMMAND_REGISTER:
    case COMMAND_OPEN_SESSION:
    case COMMAND_CLOSE_SESSION:
    case COMMAND_EXPIRE_SESSIONS:
    case COMMAND_SEAL:
    case COMMAND_TRANSFER:
    case COMMAND_TXN:
    case COMMAND_COMPACT:
    case COMMAND_GRANT_LEASE:
    case COMMAND_REVOKE_LEASE:
    case COMMAND_RENEW_LEASES:
    case COMMAND_EXPIRE_LEASES:
        return false;
    }
    return false; /* no command at all */
}

static struct entry *config_entry(const struct proposal *head, const struct config *config)
{
    struct buf encoded;
    buf_init(&encoded, LIMIT_COMMAND_BYTES);
    config_encode(config, &encoded);
    struct entry *entry = propose_entry(head, ENTRY_CONFIG, buf_bytes(&encoded));
    buf_release(&encoded);
    return entry;
}

/* Alone in its batch: raft takes one change at a time, and refuses a batch as a whole. */
static void propose_config(struct node *node, const struct proposal *head,
                           const struct config *config, raft_term fence)
{
    INVARIANT(raft_change_open(node->raft));
    propose_add(node, config_entry(head, config), fence);
    propose_flush(node);
}

/* It answered within the last heartbeats, and has what was committed one heartbeat ago. */
static bool has_caught_up(const struct node *node, const struct raft_peer_view *peer)
{
    const struct kv_member *member = kv_member(node->kv, peer->id);
    bool is_heard =
        peer->heard_at != 0 && env_now(node->env) < peer->heard_at + node->options.election;
    return member != NULL && member->identity != 0 && is_heard && node->commit_before != 0 &&
           peer->match >= node->commit_before;
}

static bool is_ready_to_vote(const struct node *node, node_id id)
{
    struct raft_peer_view peers[LIMIT_MEMBERS];
    size_t count = raft_peers(node->raft, peers, LIMIT_MEMBERS);
    for (size_t i = 0; i < count; i++)
        if (peers[i].id == id)
            return peers[i].is_voter || has_caught_up(node, &peers[i]);
    return true; /* this node, or no member: the command says so at apply */
}

/* What the command makes of the configuration in force; false: nothing, or nothing now. */
static bool change_of(const struct node *node, const struct command *command,
                      struct config *out_config)
{
    const struct kv_member *member = kv_member(node->kv, command->member);
    uint64_t registered = member != NULL ? member->identity : 0;
    bool changes = false;
    enum status status =
        member_change(raft_config(node->raft), registered, command, out_config, &changes);
    return status == ST_OK && changes && raft_change_open(node->raft);
}

/* It takes no change before an entry of its own term is committed: whoever asks is to wait. */
static bool is_new_leader(const struct node *node)
{
    struct raft_view view;
    raft_view(node->raft, &view);
    return view.commit < view.term_start;
}

enum status members_propose(struct node *node, const struct proposal *proposal, raft_term fence)
{
    struct command command;
    struct config config;
    if (command_decode(proposal->command, &command) != ST_OK)
        return ST_BAD_REQUEST;
    propose_flush(node); /* what came before may be a change itself */
    if (is_new_leader(node))
        return ST_FENCED;
    if (command.op == COMMAND_PROMOTE && !is_ready_to_vote(node, command.member))
        return node->commit_before == 0 ? ST_FENCED /* a moment later it can tell */
                                        : ST_NOT_CAUGHT_UP;
    if (change_of(node, &command, &config))
        propose_config(node, proposal, &config, fence);
    else
        propose_add(node, propose_entry(proposal, ENTRY_COMMAND, proposal->command), fence);
    return ST_OK;
}

/* Nobody asked for it, so nobody waits for its number. */
static void promote(struct node *node, node_id id)
{
    struct proposal head = {
        .origin = {node->options.self, node->incarnation, ++node->number_last},
        .stamp_us = apply_stamp(node),
    };
    struct command command = {.op = COMMAND_PROMOTE, .member = id};
    struct config config;
    if (!change_of(node, &command, &config))
        return;
    diag(DIAG_INFO, "node %u has caught up and gets a vote", id);
    propose_config(node, &head, &config, node->view.term);
}

void members_on_tick(struct node *node)
{
    struct raft_view view;
    raft_view(node->raft, &view);
    bool is_handing_over = view.transfer_to != NODE_NONE;
    if (node->view.role != RAFT_ROLE_LEADER || node->is_stopping || node->is_fatal ||
        is_handing_over) {
        node->commit_before = 0;
        return;
    }
    time_us now = env_now(node->env);
    if (now < node->commit_before_at + node->options.heartbeat)
        return;
    struct raft_peer_view peers[LIMIT_MEMBERS];
    size_t count = raft_peers(node->raft, peers, LIMIT_MEMBERS);
    for (size_t i = 0; i < count && raft_change_open(node->raft); i++)
        if (!peers[i].is_voter && has_caught_up(node, &peers[i]))
            promote(node, peers[i].id);
    raft_view(node->raft, &view);
    node->commit_before = view.commit;
    node->commit_before_at = now;
}

/* To the members of the newest configuration, and to those that it removes until that has been
 * applied: a leader that removes itself learns from their answers that it is committed. */
void members_link(struct node *node)
{
    struct config linked = *raft_config(node->raft);
    const struct config *applied = kv_config(node->kv);
    for (uint32_t i = 0; i < applied->members_count; i++)
        if (config_find(&linked, applied->members[i].id) == NULL &&
            config_add(&linked, &applied->members[i]) != ST_OK)
            break; /* there is no room for more */
    peers_set_history(node->peers, identity_history(node));
    peers_set(node->peers, &linked);
}

void members_on_applied(struct node *node, const struct config *before)
{
    if (node->peers != NULL) /* else it still replays its log */
        members_link(node);
    node->must_review = true;
    const struct config *after = kv_config(node->kv);
    bool was_member = config_find(before, node->options.self) != NULL;
    if (was_member && config_find(after, node->options.self) == NULL)
        diag(DIAG_WARN, "this node has been removed from the cluster; started again with --join it "
                        "would ask to "
                        "come back");
}
