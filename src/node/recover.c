/* Opening a data directory: whose it is, what its log holds, and the cores built from it.
 *
 * The initial configuration is a property of the directory (storage/meta.h). It stands for the
 * entry {term 1, index 1}, the same on every founding node, so the log itself begins at index 2
 * and nothing has to be written before the first election. */
#include "base/mem.h"
#include "node/node_internal.h"

static const struct entry_id FOUNDATION = {.term = 1, .index = 1};

static void on_log_name(void *ctx, const char *name)
{
    bool *has_log = ctx;
    const char *dot = strrchr(name, '.');
    *has_log = *has_log || (dot != NULL && strcmp(dot, ".log") == 0);
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

static enum status load_meta(struct node *node, struct errtext *error)
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
    if (env_dir_list(node->env, "wal", on_log_name, &has_log) == ST_OK && has_log) {
        errtext_set(error, "meta is missing, but there is a log: this directory has lost data");
        return ST_CORRUPT;
    }
    if (config_find(&options->initial, options->self) == NULL) {
        errtext_set(error, "node %u is not among the initial members", options->self);
        return ST_BAD_REQUEST;
    }
    node->meta = (struct meta){.cluster_id = config_cluster_id(&options->initial),
                               .identity = env_random(node->env) | 1,
                               .node = options->self,
                               .initial = options->initial};
    return meta_save(node->env, &node->meta, error);
}

/* The uncommitted end of the log, which may yet be cut back, and the entry before it. What is
 * committed is read back from disk when it is applied or a slow peer needs it. */
struct tail {
    struct entry_id base;
    struct entry **entries; /* owned, with a reference on each */
    size_t count;
};

static void tail_release(struct tail *tail)
{
    for (size_t i = 0; i < tail->count; i++)
        entry_unref(tail->entries[i]);
    mem_free(tail->entries);
}

static enum status tail_read(struct node *node, const struct wal_recovered *recovered,
                             raft_index commit, struct tail *tail, struct errtext *error)
{
    *tail = (struct tail){.base = FOUNDATION};
    raft_index last = MAX(recovered->last.index, commit);
    tail->entries = mem_alloc_array(last - commit + 1, sizeof(struct entry *));
    for (raft_index next = commit > FOUNDATION.index ? commit : commit + 1; next <= last;) {
        struct entry *chunk[256];
        size_t count = 0;
        enum status status =
            wal_read(node->wal, next, LIMIT_APPEND_BYTES, chunk, ARRAY_COUNT(chunk), &count, error);
        if (status != ST_OK)
            return status == ST_NOT_FOUND ? ST_CORRUPT : status;
        INVARIANT(count > 0);
        for (size_t i = 0; i < count; i++) {
            if (chunk[i]->id.index == commit) {
                tail->base = chunk[i]->id;
                entry_unref(chunk[i]);
            } else {
                tail->entries[tail->count++] = chunk[i];
            }
        }
        next += count;
    }
    return ST_OK;
}

static enum status start_raft(struct node *node, const struct wal_recovered *recovered,
                              struct errtext *error)
{
    raft_index commit = MAX(recovered->commit, FOUNDATION.index);
    struct tail tail;
    enum status status = tail_read(node, recovered, commit, &tail, error);
    if (status == ST_OK) {
        struct raft_options options = {.self = node->options.self,
                                       .seed = env_random(node->env),
                                       .heartbeat = node->options.heartbeat,
                                       .election = node->options.election};
        struct raft_start start = {.hard_state = recovered->hard_state,
                                   .commit = commit,
                                   .config = node->meta.initial,
                                   .base = tail.base,
                                   .entries = tail.entries,
                                   .entries_count = tail.count,
                                   .now = env_now(node->env)};
        if (start.hard_state.term < FOUNDATION.term)
            start.hard_state = (struct hard_state){.term = FOUNDATION.term};
        node->base = FOUNDATION;
        node->raft = raft_new(&options, &start);
    }
    tail_release(&tail);
    return status;
}

/* From here on a missing log is lost data: with an empty one the node could vote twice in a term.
 */
static enum status note_log(struct node *node, struct errtext *error)
{
    if (node->meta.has_log)
        return ST_OK;
    node->meta.has_log = true;
    return meta_save(node->env, &node->meta, error);
}

static void found_state(struct node *node)
{
    struct kv_options options = {0}; /* the default: it decides results, so all nodes share it */
    node->kv = kv_new(&options);
    kv_apply_config(node->kv, FOUNDATION, &node->meta.initial);
    node->applied = node->applied_told = FOUNDATION.index;
    node->applied_term = FOUNDATION.term;
}

enum status node_recover(struct node *node, struct errtext *error)
{
    enum status status = env_lock(node->env, "lock", error);
    if (status == ST_OK)
        status = load_meta(node, error);
    if (status != ST_OK)
        return status;

    struct wal_options options = {
        .directory = "wal",
        .segment_bytes = node->options.wal_segment_bytes != 0 ? node->options.wal_segment_bytes
                                                              : WAL_SEGMENT_BYTES_DEFAULT,
        .owner = {node->meta.cluster_id, node->meta.identity},
        .idle_seal = 1000 * TIME_US_PER_MS,
        .must_exist = node->meta.has_log,
    };
    struct wal_callbacks callbacks = {ready_on_durable, ready_on_failed, node};
    struct wal_recovered recovered;
    status = wal_open(node->env, &options, &callbacks, NULL, NULL, &node->wal, &recovered, error);
    if (status == ST_OK)
        status = note_log(node, error);
    if (status != ST_OK)
        return status;
    if (recovered.torn_bytes > 0)
        diag(DIAG_INFO, "cut %llu bytes of a torn, never acknowledged write from the log",
             (unsigned long long)recovered.torn_bytes);
    found_state(node);
    return start_raft(node, &recovered, error);
}
