/* Who should lead in place of this node: it is stopping, or its disk has no room for the log.
 *
 * 1. The node tells the others, so that nobody hands over to it: of a stop once on every link, of a
 *    full disk again and again, so that silence takes it back.
 * 2. While it leads it hands over to the best of those that can go on. Again and again: a hand-over
 *    may come to nothing, and a node that follows when it happens may be elected after that.
 * 3. Where the disks of all others are full too, a full leader stays: it refuses writes, and reads
 *    go on. One that stops prefers a full heir to none.
 *
 * What can go wrong: the others hear of it too late and hand over to it all the same; then it hands
 * over once more. */
#include "node/node_internal.h"

enum {
    ROOM_REPEAT_US = 1000 * TIME_US_PER_MS,
    ROOM_BELIEVED_US = 3 * ROOM_REPEAT_US /* after the last word of it */
};

/* ---- what the others say ---- */

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

static bool is_leaving(struct node *node, node_id id)
{
    const struct neighbour *neighbour = find_neighbour(node, id);
    return neighbour != NULL && neighbour->is_stopping;
}

static bool is_full(struct node *node, node_id id)
{
    const struct neighbour *neighbour = find_neighbour(node, id);
    return neighbour != NULL && env_now(node->env) < neighbour->full_until;
}

void heir_on_hello(struct node *node, const struct hello *hello)
{
    struct neighbour *neighbour = neighbour_of(node, hello->from);
    neighbour->incarnation = hello->incarnation;
    neighbour->must_be_told = node->is_stopping || node->is_full; /* on the new link */
    if (neighbour->must_be_told)
        node_wake(node);
}

/* A process that is stopping says so again on every link. */
void heir_on_link_up(struct node *node, node_id peer)
{
    neighbour_of(node, peer)->is_stopping = false;
}

void heir_on_notice(struct node *node, node_id from, enum status status)
{
    struct neighbour *neighbour = neighbour_of(node, from);
    if (status == ST_NO_SPACE)
        neighbour->full_until = env_now(node->env) + ROOM_BELIEVED_US;
    else
        neighbour->is_stopping = true;
}

/* ---- what this node says ---- */

void heir_announce(struct node *node)
{
    for (size_t i = 0; i < NODE_TAKEN; i++)
        node->neighbours[i].must_be_told = node->neighbours[i].node != NODE_NONE;
    node_wake(node);
}

/* The refusal, in advance, of whatever a leader would be sent: no attempt has this number. */
void heir_tell(struct node *node)
{
    if (!node->is_stopping && !node->is_full)
        return; /* there is room again */
    struct envelope_refusal notice = {.term = MAX(node->view.term, (raft_term)1),
                                      .number = NODE_NUMBER_ANY,
                                      .status = node->is_stopping ? ST_SHUTTING_DOWN : ST_NO_SPACE};
    for (size_t i = 0; i < NODE_TAKEN; i++) {
        struct neighbour *neighbour = &node->neighbours[i];
        if (!neighbour->must_be_told)
            continue;
        neighbour->must_be_told = false;
        peers_refuse(node->peers, neighbour->node, neighbour->incarnation, &notice);
    }
}

/* ---- who could go on ---- */

/* It answered within the last election timeout, so it is no process that stands still. */
static bool is_alive(const struct node *node, const struct raft_peer_view *peer)
{
    return peer->heard_at != 0 && env_now(node->env) < peer->heard_at + node->options.election &&
           node_is_linked(node, peer->id);
}

/* Has room, has the most of the log, and was heard last among equals. */
static bool is_better(struct node *node, const struct raft_peer_view *peer,
                      const struct raft_peer_view *best)
{
    if (is_full(node, peer->id) != is_full(node, best->id))
        return is_full(node, best->id);
    if (peer->match != best->match)
        return peer->match > best->match;
    return peer->heard_at > best->heard_at;
}

static node_id find_heir(struct node *node)
{
    struct raft_peer_view peers[LIMIT_MEMBERS];
    size_t count = raft_peers(node->raft, peers, LIMIT_MEMBERS);
    const struct raft_peer_view *best = NULL;
    size_t voters_count = 1; /* this node */
    size_t able_count = 0;
    for (size_t i = 0; i < count; i++) {
        const struct raft_peer_view *peer = &peers[i];
        voters_count += peer->is_voter;
        if (!peer->is_voter || is_leaving(node, peer->id) || !is_alive(node, peer))
            continue;
        able_count += !is_full(node, peer->id);
        if (best == NULL || is_better(node, peer, best))
            best = peer;
    }
    if (best == NULL)
        return NODE_NONE;
    if (node->is_stopping)
        return best->id;
    struct wal_stats log;
    wal_stats(node->wal, &log);
    bool can_vote = !log.is_waiting_for_room; /* for the heir, which may need it */
    bool may_go = can_vote || able_count > voters_count / 2;
    return may_go && !is_full(node, best->id) ? best->id : NODE_NONE;
}

void heir_hand_over(struct node *node)
{
    REQUIRE(node->is_stopping || node->is_full);
    struct raft_view view;
    raft_view(node->raft, &view);
    if (view.role != RAFT_ROLE_LEADER || view.transfer_to != NODE_NONE)
        return;
    struct raft_event event = {.type = RAFT_EVENT_TRANSFER, .now = env_now(node->env)};
    event.transfer.to = find_heir(node);
    if (event.transfer.to != NODE_NONE)
        (void)ready_step(node, &event); /* refused: no leader any more; so be it */
}

/* ---- a full disk ---- */

static void on_room_timer(void *ctx)
{
    struct node *node = ctx;
    INVARIANT(node->is_full);
    heir_announce(node);
    heir_hand_over(node);
    env_timer_set(node->env, &node->room_timer, env_now(node->env) + ROOM_REPEAT_US);
}

void heir_on_room(void *ctx, bool is_out_of_space)
{
    struct node *node = ctx;
    REQUIRE(is_out_of_space != node->is_full);
    node->is_full = is_out_of_space;
    if (is_out_of_space)
        diag(DIAG_WARN, "the disk has no room for the next file of the log: this node refuses "
                        "writes while it leads, and asks others to lead");
    else
        diag(DIAG_INFO, "the disk has room for the log again");
    /* Not from within the log, which is about to go on. */
    env_timer_set(node->env, &node->room_timer, is_out_of_space ? env_now(node->env) : TIME_NEVER);
}

void heir_init(struct node *node)
{
    env_timer_init(&node->room_timer, on_room_timer, node);
}

void heir_release(struct node *node)
{
    env_timer_set(node->env, &node->room_timer, TIME_NEVER);
}
