/* Forgets clients that have been silent for longer than --session-ttl, and leases whose time is
 * over.
 *
 * The leader only proposes: which of them go is decided where the command is applied, by the log
 * time of their last use or of their expiry, the same on every node. The cutoff is log time as
 * well: the last stamp in the log plus monotonic time since this node took office, so that no clock
 * that is set, or runs wrong on another node, makes anybody forget a client early, or a lease end
 * before its time. From one leader to the next log time stands still, and goes back to the last
 * stamp: leases last longer by that much. So that it is not much in a log in which nothing happens,
 * the leader stamps it now and then as long as there are leases.
 *
 * A process that stands still does not hear those who keep their leases alive. Where another one
 * leads meanwhile, log time stands still as well. A node that is the only voter goes on leading: as
 * long as there are leases it looks at the clock several times a second, and where it comes much
 * too late for that, log time has stood still but for a little.
 *
 * A repetition that a node answers from its own state leaves no trace in the log. So that it counts
 * as a use all the same, nodes answer like that only what was used within the slack, and clients
 * are kept for that much longer than was promised. */
#include "node/node_internal.h"

enum {
    EXPIRY_RETRY_US = 1000 * TIME_US_PER_MS,    /* one at a time; it may come to nothing */
    EXPIRY_REFUSED_US = 100 * TIME_US_PER_MS,   /* after one that could not be proposed */
    LEASE_MARK_US = 10 * 1000 * TIME_US_PER_MS, /* without a stamp while there are leases */
    LEASE_LOOK_US = 250 * TIME_US_PER_MS,       /* at the clock, while there are leases */
    LEASE_LATE_US = 100 * TIME_US_PER_MS        /* for this look; beyond that it stood still */
};

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
static enum status propose_expiry(struct node *node, enum command_op op, uint64_t cutoff_us)
{
    struct command command = {.op = op, .cutoff_us = cutoff_us};
    struct origin origin = {node->options.self, node->incarnation, ++node->number_last};
    struct buf encoded;
    buf_init(&encoded, LIMIT_COMMAND_BYTES);
    command_encode(&command, &encoded);
    enum status status = propose_command(node, &origin, buf_bytes(&encoded), node->view.term);
    buf_release(&encoded);
    return status;
}

static bool may_propose(const struct node *node)
{
    return node->view.role == RAFT_ROLE_LEADER && !node->is_stopping && !node->is_fatal;
}

void expiry_on_tick(struct node *node)
{
    time_us now = env_now(node->env);
    if (!may_propose(node) || now < node->expiry_not_before)
        return;
    struct sessions_stats stats;
    kv_sessions_stats(node->kv, &stats);
    uint64_t cutoff_us = cutoff_now(node);
    if (stats.sessions_count == 0 || stats.oldest_use_us >= cutoff_us)
        return;
    /* Else the next tick tries again. */
    if (propose_expiry(node, COMMAND_EXPIRE_SESSIONS, cutoff_us) == ST_OK)
        node->expiry_not_before = now + EXPIRY_RETRY_US;
}

void expiry_on_applied(struct node *node, uint64_t expired_count)
{
    REQUIRE(expired_count <= LIMIT_SESSIONS_EXPIRED);
    if (expired_count == LIMIT_SESSIONS_EXPIRED)
        node->expiry_not_before = 0; /* there may be more */
}

/* ---- leases ---- */

/* It cannot have run while its timer was overdue. Moved along, so that each moment counts once, and
 * the time that is left never runs backwards. */
time_us expiry_take_standstill(struct node *node)
{
    time_us now = env_now(node->env);
    time_us late = now - MIN(now, node->lease_timer_at);
    time_us stood = late - MIN(late, (time_us)LEASE_LATE_US);
    if (stood != 0)
        node->lease_timer_at += stood;
    return stood;
}

static void on_lease_timer(void *ctx)
{
    struct node *node = ctx;
    node->stamp_base_at += expiry_take_standstill(node);
    node->lease_timer_at = TIME_NEVER;
    node_wake(node);
}

void expiry_init(struct node *node)
{
    node->lease_timer_at = TIME_NEVER;
    env_timer_init(&node->lease_timer, on_lease_timer, node);
}

void expiry_release(struct node *node)
{
    env_timer_set(node->env, &node->lease_timer, TIME_NEVER);
}

/* How long until a lease expires, or the log is to be stamped. */
static time_us next_lease_in(const struct kv_stats *stats, uint64_t log_time_us)
{
    uint64_t age_us = log_time_us - MIN(log_time_us, stats->stamp_us);
    uint64_t mark_us = LEASE_MARK_US - MIN(age_us, (uint64_t)LEASE_MARK_US);
    uint64_t expiry_us = stats->next_expiry_us - MIN(stats->next_expiry_us, log_time_us);
    return MIN(mark_us, expiry_us);
}

void expiry_consider_leases(struct node *node)
{
    struct kv_stats stats;
    if (!may_propose(node))
        return;
    kv_stats(node->kv, &stats);
    if (stats.leases_count == 0)
        return;
    time_us now = env_now(node->env);
    uint64_t log_time_us = apply_stamp(node);
    time_us next = MIN(next_lease_in(&stats, log_time_us), (time_us)LEASE_LOOK_US);
    time_us due = MAX(now + next, node->lease_not_before);
    if (due <= now) {
        enum status status = propose_expiry(node, COMMAND_EXPIRE_LEASES, log_time_us);
        due = now + (status == ST_OK ? EXPIRY_RETRY_US : EXPIRY_REFUSED_US);
        node->lease_not_before = due;
    }
    if (due < node->lease_timer_at) { /* one that fires too early only looks again */
        node->lease_timer_at = due;
        env_timer_set(node->env, &node->lease_timer, due);
    }
}

void expiry_on_leases_applied(struct node *node, uint64_t expired_count)
{
    node->stats.leases_expired_count += expired_count;
    node->lease_not_before = 0; /* there may be more */
}
