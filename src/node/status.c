/* What front doors look at: the view and the figures. */
#include "node/node_internal.h"

const struct node_view *node_view(const struct node *node)
{
    return &node->view;
}

uint64_t node_identity(const struct node *node)
{
    return node->meta.identity;
}

const struct kv *node_kv(const struct node *node)
{
    return node->kv;
}

uint64_t node_kv_epoch(const struct node *node)
{
    return node->kv_epoch;
}

const struct raft *node_raft(const struct node *node)
{
    return node->raft;
}

enum route_policy node_policy(const struct node *node)
{
    return node->options.policy;
}

raft_index node_applied(const struct node *node)
{
    return node->applied;
}

time_us node_staleness(const struct node *node)
{
    if (node->view.role == RAFT_ROLE_LEADER)
        return 0;
    return node->fresh_at == 0 ? TIME_NEVER : env_now(node->env) - node->fresh_at;
}

bool node_is_linked(const struct node *node, node_id peer)
{
    struct peer_stats stats[LIMIT_MEMBERS];
    size_t count = peers_stats(node->peers, stats, ARRAY_COUNT(stats));
    for (size_t i = 0; i < count; i++)
        if (stats[i].id == peer)
            return stats[i].is_up;
    return false;
}

/* A leader that this node hears but that refuses its link, as it does with a wiped disk, is of no
 * use to clients. */
static bool reaches_leader(const struct node *node)
{
    return node->view.role == RAFT_ROLE_LEADER || node_is_linked(node, node->view.leader);
}

bool node_is_ready(const struct node *node)
{
    return node->view.leader != NODE_NONE && node->is_caught_up && reaches_leader(node) &&
           !node->is_stopping && !node->is_fatal;
}

/* Those that it would fetch a state from it does not know: they came with --join, and what joins
 * has no log to keep them in. Its members dial it, but it answers on links of its own. */
const char *node_note(const struct node *node)
{
    if (node->applied != 0 || node->options.joins)
        return NULL;
    return "this node began to join a cluster and has no state yet, and nobody to ask for one: "
           "stop "
           "it, and start it with --join and client addresses of members, as it was started first";
}

void node_stats(const struct node *node, struct node_stats *out_stats)
{
    *out_stats = node->stats;
    out_stats->requests_open = node->requests_count;
    out_stats->requests_held = node->held_count;
    wal_stats(node->wal, &out_stats->wal);
}

size_t node_peer_stats(const struct node *node, struct peer_stats *out_stats, size_t stats_max)
{
    return peers_stats(node->peers, out_stats, stats_max);
}

void node_progress(const struct node *node, struct node_progress *out_progress)
{
    const struct snapshots *snapshot = &node->snapshot;
    const struct fetching *fetching = &node->install.fetching;
    *out_progress = (struct node_progress){
        .newest = snapshot->info,
        .is_taking = snapshot->writer != NULL,
        .is_fetching = fetching->snapshot.index != 0,
        .fetched = fetching->snapshot,
        .source = fetching->source,
        .fetched_bytes = fetching->received,
        .fetching_bytes = fetching->total,
    };
    if (snapshot->writer != NULL) {
        out_progress->taken_bytes = snapfile_write_progress(snapshot->writer);
        out_progress->taking_bytes = kv_image_bytes(snapshot->image);
    }
}
