/* Forgets clients that have been silent for longer than --session-ttl.
 *
 * The leader only proposes: which sessions go is decided where the command is applied, by the log
 * time of their last use, the same on every node. The cutoff is log time as well: the last stamp in
 * the log plus monotonic time since this node took office, so that no clock that is set, or runs
 * wrong on another node, makes anybody forget a client early.
 *
 * A repetition that a node answers from its own state leaves no trace in the log. So that it counts
 * as a use all the same, nodes answer like that only what was used within the slack, and clients
 * are kept for that much longer than was promised. */
#include "node/node_internal.h"

enum { EXPIRY_RETRY_US = 1000 * TIME_US_PER_MS }; /* one at a time; it may come to nothing */

#define EXPIRY_TTL_DEFAULT (UINT64_C(24) * 3600 * 1000 * TIME_US_PER_MS)

static time_us ttl_of(const struct node *node)
{
    return node->options.session_ttl != 0 ? node->options.session_ttl : EXPIRY_TTL_DEFAULT;
}

static time_us slack_of(const struct node *node)
{
    return ttl_of(node) / 8;
}

static uint64_t cutoff_now(struct node *node)
{
    uint64_t kept = ttl_of(node) + slack_of(node);
    uint64_t now = apply_stamp(node);
    return now > kept ? now - kept : 0;
}

uint64_t expiry_recall_since(struct node *node)
{
    uint64_t now = apply_log_time(node);
    return now - MIN(now, slack_of(node));
}

/* Bound to this term and not a request that another leader could take: the cutoff is in this
 * leader's log time. Number and origin are used up like any other; nobody waits for them. */
static enum status propose_expiry(struct node *node, uint64_t cutoff_us)
{
    struct command command = {.op = COMMAND_EXPIRE_SESSIONS, .cutoff_us = cutoff_us};
    struct origin origin = {node->options.self, node->incarnation, ++node->number_last};
    struct buf encoded;
    buf_init(&encoded, LIMIT_COMMAND_BYTES);
    command_encode(&command, &encoded);
    enum status status = propose_command(node, &origin, buf_bytes(&encoded), node->view.term);
    buf_release(&encoded);
    return status;
}

void expiry_on_tick(struct node *node)
{
    time_us now = env_now(node->env);
    if (node->view.role != RAFT_ROLE_LEADER || node->is_stopping || node->is_fatal ||
        now < node->expiry_not_before)
        return;
    struct sessions_stats stats;
    kv_sessions_stats(node->kv, &stats);
    uint64_t cutoff_us = cutoff_now(node);
    if (stats.sessions_count == 0 || stats.oldest_use_us >= cutoff_us)
        return;
    if (propose_expiry(node, cutoff_us) == ST_OK) /* else the next tick tries again */
        node->expiry_not_before = now + EXPIRY_RETRY_US;
}

void expiry_on_applied(struct node *node, uint64_t expired_count)
{
    REQUIRE(expired_count <= LIMIT_SESSIONS_EXPIRED);
    if (expired_count == LIMIT_SESSIONS_EXPIRED)
        node->expiry_not_before = 0; /* there may be more */
}
