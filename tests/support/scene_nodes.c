/* Scene: machines with their nodes, and the time they are given. */
#include "support/scene_internal.h"

#include "support/world_node.h"

enum { UNTIL_MS_MAX = 20000 };

static void trace_view(struct replica *replica)
{
    const struct node_view *view = node_view(replica->node);
    if (view->leader == replica->leader_traced)
        return;
    replica->leader_traced = view->leader;
    struct buf *trace = &replica->scene->trace;
    if (view->leader == replica->id)
        buf_printf(trace, "n%u leads in term %llu\n", replica->id, (unsigned long long)view->term);
    else if (view->leader != NODE_NONE)
        buf_printf(trace, "n%u follows n%u\n", replica->id, view->leader);
    else
        buf_printf(trace, "n%u knows no leader\n", replica->id);
}

static void on_view(void *ctx)
{
    struct replica *replica = ctx;
    if (replica->node != NULL)
        trace_view(replica);
}

static void on_fatal(void *ctx, enum status status)
{
    struct replica *replica = ctx;
    buf_printf(&replica->scene->trace, "n%u stops: %s\n", replica->id, status_info(status)->code);
}

void scene_boot(struct scene *scene, unsigned id)
{
    struct replica *replica = &scene->replicas[id];
    unsigned founders = scene->has_joined[id] ? id : scene->count;
    struct node_options options = world_node_options(id, founders, !scene->is_silent);
    options.session_ttl = scene->session_ttl;
    options.snapshot_bytes = scene->snapshot_bytes;
    if (scene->has_joined[id]) {
        options.joins = true;
        options.cluster_id = scene->cluster_id;
        options.hint = world_node_options(1, scene->count, true).initial;
        options.initial = (struct config){0};
    }

    struct node_callbacks callbacks = {.ctx = replica, .on_fatal = on_fatal, .on_view = on_view};
    struct errtext error = {0};
    replica->scene = scene;
    replica->id = id;
    replica->leader_traced = NODE_NONE;
    replica->env = world_boot(scene->world, id);
    enum status status = node_open(replica->env, &options, &callbacks, &replica->node, &error);
    if (status != ST_OK)
        fail_msg("node %u: %s", id, error.text);
    scene->cluster_id = node_view(replica->node)->cluster_id;
}

void scene_crash(struct scene *scene, unsigned id)
{
    struct replica *replica = &scene->replicas[id];
    assert_non_null(replica->node);
    struct node *node = replica->node;
    world_crash(scene->world, id);
    replica->node = NULL;
    node_close(node); /* frees memory; its clients hear nothing of what they are told now */
}

static void on_stopped(void *ctx)
{
    struct replica *replica = ctx;
    buf_printf(&replica->scene->trace, "n%u has stopped\n", replica->id);
}

void scene_stop(struct scene *scene, unsigned id)
{
    struct replica *replica = &scene->replicas[id];
    node_stop(replica->node, world_now_at(scene->world, id) + 60000 * TIME_US_PER_MS, on_stopped,
              replica);
}

void scene_run_ms(struct scene *scene, unsigned long ms)
{
    time_us until = world_now(scene->world) + ms * TIME_US_PER_MS;
    while (world_step(scene->world, until))
        ;
}

/* Node `wanted` (0: any) leads, and every node that runs and can hear it says so. */
static bool has_leader(const struct scene *scene, unsigned wanted)
{
    unsigned leader = 0;
    for (unsigned i = 1; i <= scene->count; i++)
        if (scene->replicas[i].node != NULL &&
            node_view(scene->replicas[i].node)->role == RAFT_ROLE_LEADER &&
            (wanted == 0 || wanted == i))
            leader = i;
    if (leader == 0)
        return false;
    unsigned followers_count = 0;
    for (unsigned i = 1; i <= scene->count; i++) {
        const struct node *node = scene->replicas[i].node;
        if (node == NULL || node_view(node)->leader != leader)
            continue;
        followers_count += scene->is_silent || address_is_set(&node_view(node)->leader_http);
    }
    return followers_count * 2 > scene->count;
}

void scene_until_leader(struct scene *scene, unsigned wanted)
{
    for (unsigned ms = 0; ms < UNTIL_MS_MAX; ms += 10) {
        if (has_leader(scene, wanted)) {
            scene_run_ms(scene, 200); /* the others hear it too */
            return;
        }
        scene_run_ms(scene, 10);
    }
    buf_printf(&scene->trace, "no leader within %d ms\n", UNTIL_MS_MAX);
}
