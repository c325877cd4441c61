/* Whose a data directory is; the rest of opening one is in recover.c. */
#include "node/node_internal.h"

static void on_log_name(void *ctx, const char *name)
{
    bool *has_log = ctx;
    const char *dot = strrchr(name, '.');
    bool is_data = dot != NULL && (strcmp(dot, ".log") == 0 || strcmp(dot, ".snap") == 0);
    *has_log = *has_log || is_data;
}

static void warn_of_moved_address(const struct node *node)
{
    const struct member *self = config_find(&node->meta.initial, node->options.self);
    char known[LIMIT_ADDRESS_BYTES], listens[LIMIT_ADDRESS_BYTES];
    if (self != NULL && self->peer.port != node->options.listen_peer.port)
        diag(DIAG_WARN, "the cluster knows this node at %s, but it listens for nodes on %s",
             address_format(&self->peer, known),
             address_format(&node->options.listen_peer, listens));
}

enum status owner_load(struct node *node, struct errtext *error)
{
    const struct node_options *options = &node->options;
    enum status status = meta_load(node->env, &node->meta, error);
    if (status == ST_OK) {
        if (node->meta.node != options->self) {
            errtext_set(error, "the data directory belongs to node %u, not to node %u",
                        node->meta.node, options->self);
            return ST_FORMAT;
        }
        warn_of_moved_address(node);
        bool is_given = options->initial.members_count > 1; /* one: the default, this node alone */
        if (is_given &&
            config_cluster_id(&options->initial) != config_cluster_id(&node->meta.initial))
            diag(DIAG_INFO, "the data directory has its members already; --initial-cluster is "
                            "ignored");
        return ST_OK;
    }
    if (status != ST_NOT_FOUND)
        return status;
    bool has_log = false;
    static const char *const directories[] = {"wal", SNAPFILE_DIRECTORY};
    for (size_t i = 0; i < ARRAY_COUNT(directories); i++) /* one that is not there has nothing */
        (void)!env_dir_list(node->env, directories[i], on_log_name, &has_log);
    if (has_log) {
        errtext_set(error, "meta is missing, but there is a log or a snapshot: this directory has "
                           "lost data");
        return ST_CORRUPT;
    }
    if (!options->joins && config_find(&options->initial, options->self) == NULL) {
        errtext_set(error, "node %u is not among the initial members", options->self);
        return ST_BAD_REQUEST;
    }
    node->meta = (struct meta){.identity = env_random(node->env) | 1, .node = options->self};
    if (options->joins) {
        node->meta.cluster_id = options->cluster_id;
    } else {
        node->meta.cluster_id = config_cluster_id(&options->initial);
        node->meta.initial = options->initial;
    }
    return meta_save(node->env, &node->meta, error);
}

/* From here on a missing log is lost data: with an empty one the node could vote twice in a term.
 */
enum status owner_note_log(struct node *node, struct errtext *error)
{
    if (node->meta.has_log)
        return ST_OK;
    node->meta.has_log = true;
    return meta_save(node->env, &node->meta, error);
}
