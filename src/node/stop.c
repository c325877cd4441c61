/* An orderly stop: leadership goes to another node, and what is in flight is finished.
 *
 * 1. The node tells the others that it is stopping, so that nobody hands over to it.
 * 2. While it leads it hands over to the best of those that stay. Again and again: a hand-over may
 *    come to nothing, and a node that follows when it is told to stop may be elected after that.
 * 3. Where all that can be reached are stopping too it leads on until they are gone: what is in
 *    flight there needs a leader as well.
 * 4. Without leadership and without requests it has stopped.
 *
 * What can go wrong: the others hear of it too late and hand over to it all the same (it hands over
 * once more), or nobody is left to hand over to (it stops alone, at the latest at the deadline). */
#include "node/node_internal.h"

/* ---- who stops ---- */

static struct neighbour *find_neighbour(struct node *node, node_id id)
{
    for (size_t i = 0; i < NODE_TAKEN; i++)
        if (node->neighbours[i].node == id)
            return &node->neighbours[i];
    return NULL;
}

/* A place of nobody's, or of a node that has left: there are more places than members. */
static struct neighbour *add_neighbour(struct node *node, node_id id)
{
    struct neighbour *spare = find_neighbour(node, NODE_NONE);
    for (size_t i = 0; spare == NULL && i < NODE_TAKEN; i++)
        if (config_find(raft_config(node->raft), node->neighbours[i].node) == NULL)
            spare = &node->neighbours[i];
    INVARIANT(spare != NULL);
    *spare = (struct neighbour){.node = id};
    return spare;
}

static struct neighbour *neighbour_of(struct node *node, node_id id)
{
    REQUIRE(id != NODE_NONE);
    struct neighbour *neighbour = find_neighbour(node, id);
    return neighbour != NULL ? neighbour : add_neighbour(node, id);
}

static bool is_leaving(const struct node *node, node_id id)
{
    for (size_t i = 0; i < NODE_TAKEN; i++)
        if (node->neighbours[i].node == id)
            return node->neighbours[i].is_stopping;
    return false;
}

void stop_on_hello(struct node *node, const struct hello *hello)
{
    struct neighbour *neighbour = neighbour_of(node, hello->from);
    neighbour->incarnation = hello->incarnation;
    neighbour->must_be_told = node->is_stopping; /* on the new link */
    if (node->is_stopping)
        node_wake(node);
}

/* A process that is stopping says so again on every link. */
void stop_on_link_up(struct node *node, node_id peer)
{
    neighbour_of(node, peer)->is_stopping = false;
}

void stop_on_notice(struct node *node, node_id from)
{
    neighbour_of(node, from)->is_stopping = true;
}

/* The refusal, in advance, of whatever a leader would be sent: no attempt has this number. */
void stop_tell(struct node *node)
{
    struct envelope_refusal notice = {.term = MAX(node->view.term, (raft_term)1),
                                      .number = NODE_NUMBER_ANY,
                                      .status = ST_SHUTTING_DOWN};
    for (size_t i = 0; i < NODE_TAKEN; i++) {
        struct neighbour *neighbour = &node->neighbours[i];
        if (!neighbour->must_be_told)
            continue;
        neighbour->must_be_told = false;
        peers_refuse(node->peers, neighbour->node, neighbour->incarnation, &notice);
    }
}

/* ---- who could go on ---- */

bool stop_has_company(const struct node *node)
{
    struct raft_peer_view peers[LIMIT_MEMBERS];
    size_t count = raft_peers(node->raft, peers, LIMIT_MEMBERS);
    for (size_t i = 0; i < count; i++)
        if (peers[i].is_voter && node_is_linked(node, peers[i].id))
            return true;
    return false;
}

/* It answered within the last election timeout, so it is no process that stands still. */
static bool is_alive(const struct node *node, const struct raft_peer_view *peer)
{
    return peer->heard_at != 0 && env_now(node->env) < peer->heard_at + node->options.election &&
           node_is_linked(node, peer->id);
}

/* The voter that has the most of the log, and was heard last among equals. */
static node_id find_heir(const struct node *node)
{
    struct raft_peer_view peers[LIMIT_MEMBERS];
    size_t count = raft_peers(node->raft, peers, LIMIT_MEMBERS);
    const struct raft_peer_view *best = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct raft_peer_view *peer = &peers[i];
        if (!peer->is_voter || is_leaving(node, peer->id) || !is_alive(node, peer))
            continue;
        if (best == NULL || peer->match > best->match ||
            (peer->match == best->match && peer->heard_at > best->heard_at))
            best = peer;
    }
    return best != NULL ? best->id : NODE_NONE;
}

static void hand_over(struct node *node)
{
    struct raft_view view;
    raft_view(node->raft, &view);
    if (view.role != RAFT_ROLE_LEADER || view.transfer_to != NODE_NONE)
        return;
    struct raft_event event = {.type = RAFT_EVENT_TRANSFER, .now = env_now(node->env)};
    event.transfer.to = find_heir(node);
    if (event.transfer.to != NODE_NONE)
        (void)ready_step(node, &event); /* refused: no leader any more; so be it */
}

/* ---- the stop ---- */

void node_stop(struct node *node, time_us deadline, void (*on_stopped)(void *ctx), void *ctx)
{
    REQUIRE(!node->is_stopping && on_stopped != NULL);
    node->is_stopping = true;
    node->stop_deadline = deadline;
    node->on_stopped = on_stopped;
    node->on_stopped_ctx = ctx;
    for (size_t i = 0; i < NODE_TAKEN; i++)
        node->neighbours[i].must_be_told = node->neighbours[i].node != NODE_NONE;
    hand_over(node);
    node_arm_retry(node);
    node_wake(node);
}

void stop_continue(struct node *node)
{
    if (node->is_stopping)
        hand_over(node);
}

void stop_check(struct node *node)
{
    struct raft_view view;
    raft_view(node->raft, &view);
    bool is_free = view.role != RAFT_ROLE_LEADER || node->is_fatal || !stop_has_company(node);
    bool is_idle = node->requests_count == (node->own_is_open ? 1u : 0u);
    if (node->on_stopped == NULL ||
        (!(is_free && is_idle) && env_now(node->env) < node->stop_deadline))
        return;
    void (*on_stopped)(void *) = node->on_stopped;
    node->on_stopped = NULL;
    on_stopped(node->on_stopped_ctx);
}
