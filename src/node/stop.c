/* An orderly stop: leadership goes to another node, and what is in flight is finished.
 *
 * 1. The node tells the others that it is stopping, so that nobody hands over to it (heir.c).
 * 2. While it leads it hands over to the best of those that stay, again and again.
 * 3. Where all that can be reached are stopping too it leads on until they are gone: what is in
 *    flight there needs a leader as well.
 * 4. Without leadership and without requests it has stopped.
 *
 * What can go wrong: the others hear of it too late and hand over to it all the same (it hands over
 * once more), or nobody is left to hand over to (it stops alone, at the latest at the deadline). */
#include "node/node_internal.h"

bool stop_has_company(const struct node *node)
{
    struct raft_peer_view peers[LIMIT_MEMBERS];
    size_t count = raft_peers(node->raft, peers, LIMIT_MEMBERS);
    for (size_t i = 0; i < count; i++)
        if (peers[i].is_voter && node_is_linked(node, peers[i].id))
            return true;
    return false;
}

void node_stop(struct node *node, time_us deadline, void (*on_stopped)(void *ctx), void *ctx)
{
    REQUIRE(!node->is_stopping && on_stopped != NULL);
    node->is_stopping = true;
    node->stop_deadline = deadline;
    node->on_stopped = on_stopped;
    node->on_stopped_ctx = ctx;
    heir_announce(node);
    heir_hand_over(node);
    node_arm_retry(node);
}

void stop_continue(struct node *node)
{
    if (node->is_stopping)
        heir_hand_over(node);
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
