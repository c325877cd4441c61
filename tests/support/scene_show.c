/* Scene: what the trace shows of a node when the script asks for it. */
#include "support/scene_internal.h"

static const char *outcome_word(enum kv_outcome outcome)
{
    switch (outcome) {
    case KV_OUTCOME_APPLIED:
        return "applied";
    case KV_OUTCOME_UNSEEN:
        return "unseen";
    case KV_OUTCOME_NEVER:
        return "never";
    case KV_OUTCOME_EXPIRED:
        return "expired";
    }
    return "no outcome";
}

void scene_show_outcome(struct buf *trace, const struct kv_result *result)
{
    buf_printf(trace, ", %s", outcome_word(result->outcome));
    if (result->outcome == KV_OUTCOME_APPLIED)
        buf_printf(trace, ": %s -> %s, number %lld, revision %llu",
                   command_op_name(result->applied_op), status_info(result->applied_status)->code,
                   (long long)result->number, (unsigned long long)result->mod_revision);
}

void scene_show_known_outcome(struct scene *scene, unsigned at, const char *flag)
{
    struct client_identity identity = {0};
    struct kv_result result;
    const struct node *node = scene->replicas[at].node;
    if (!scene_read_identity(&identity, flag))
        fail_msg("no identity: %s", flag);
    kv_outcome(node_kv(node), &identity, &result);
    buf_printf(&scene->trace, "n%u: %s", at, flag);
    if (result.outcome == KV_OUTCOME_UNSEEN && node_is_pending(node, &identity))
        buf_put_text(&scene->trace, ", pending");
    else
        scene_show_outcome(&scene->trace, &result);
    buf_put_text(&scene->trace, "\n");
}

void scene_show_sessions(struct scene *scene, unsigned at)
{
    struct sessions_stats stats;
    kv_sessions_stats(node_kv(scene->replicas[at].node), &stats);
    buf_printf(&scene->trace, "n%u remembers %llu clients, %llu results\n", at,
               (unsigned long long)stats.sessions_count, (unsigned long long)stats.results_count);
}

void scene_show_stats(struct scene *scene, unsigned id)
{
    struct node_stats stats;
    node_stats(scene->replicas[id].node, &stats);
    buf_printf(&scene->trace, "n%u: forwarded %llu, taken %llu, resent %llu, proven %llu\n", id,
               (unsigned long long)stats.forwarded_count, (unsigned long long)stats.taken_count,
               (unsigned long long)stats.resent_count, (unsigned long long)stats.proven_count);
}

void scene_show_directory(struct scene *scene, unsigned at, unsigned id)
{
    char text[LIMIT_ADDRESS_BYTES];
    const struct kv_member *member = kv_member(node_kv(scene->replicas[at].node), id);
    bool is_known = member != NULL && address_is_set(&member->http);
    buf_printf(&scene->trace, "n%u knows n%u at %s\n", at, id,
               is_known ? address_format(&member->http, text) : "no address");
}

void scene_show_ready(struct scene *scene)
{
    for (unsigned i = 1; i <= scene->count; i++)
        if (scene->replicas[i].node != NULL)
            buf_printf(&scene->trace, "n%u is %s\n", i,
                       node_is_ready(scene->replicas[i].node) ? "ready" : "not ready");
}

void scene_show_members(struct scene *scene, unsigned at)
{
    const struct config *config = kv_config(node_kv(scene->replicas[at].node));
    buf_printf(&scene->trace, "n%u knows as members", at);
    for (uint32_t i = 0; i < config->members_count; i++)
        buf_printf(&scene->trace, "%s n%u%s", i == 0 ? "" : ",", config->members[i].id,
                   config->members[i].is_voter ? "" : " (learner)");
    buf_put_text(&scene->trace, "\n");
}

void scene_show_snapshot(struct scene *scene, unsigned at)
{
    struct node_progress progress;
    struct node_stats stats;
    node_progress(scene->replicas[at].node, &progress);
    node_stats(scene->replicas[at].node, &stats);
    buf_printf(&scene->trace, "n%u has %s snapshot and has installed %llu\n", at,
               progress.newest.last.index != 0 ? "a" : "no",
               (unsigned long long)stats.installs_count);
}

/* Whoever starts from the bytes of a state has the same state. */
static void check_encoding(const struct kv *kv)
{
    struct kv_options options = {0};
    struct kv *copy = NULL;
    struct buf encoded;
    buf_init(&encoded, SIZE_MAX / 2);
    kv_encode(kv, &encoded);
    assert_int_equal(kv_decode(buf_bytes(&encoded), &options, &copy), ST_OK);
    assert_true(kv_digest(copy) == kv_digest(kv));
    kv_check(copy);
    kv_free(copy);
    buf_release(&encoded);
}

void scene_compare(struct scene *scene)
{
    const struct node *first = NULL;
    for (unsigned i = 1; i <= SCENE_NODES_MAX; i++) {
        const struct node *node = scene->replicas[i].node;
        if (node == NULL)
            continue;
        if (first == NULL)
            first = node;
        bool is_equal = node_applied(node) == node_applied(first) &&
                        kv_digest(node_kv(node)) == kv_digest(node_kv(first));
        if (!is_equal)
            buf_printf(&scene->trace, "n%u differs\n", i);
        check_encoding(node_kv(node));
    }
    buf_put_text(&scene->trace, "compared\n");
}
