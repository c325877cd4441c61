/* Installing a snapshot of the leader's (Raft §7), fetched by this node at its own speed.
 *
 * 1. The leader offers one with each heartbeat; pieces are asked for, written to a file, and loaded
 *    into a second state as they come (node/fetching.h decides what to ask whom for).
 * 2. All of it is there, its digest holds, and the file is durable under its name.
 * 3. The switch, in one step: the mark goes into the log, raft begins behind the snapshot, the
 *    loaded state takes the place of the old one.
 *
 * If the process dies before 2 is complete nothing has happened; after it the next start finds the
 * snapshot and does what 3 does. Until 3 the node goes on with the state it has.
 *
 * What this node had under way loses its proof of non-application with the entries that it will not
 * see: only the table of sessions can tell then (docs/routing.md). */
#include "node/node_internal.h"

enum { INSTALL_RETRY_US = 1000 * TIME_US_PER_MS }; /* after a disk or a file that was no good */

static bool is_under_way(const struct install *install)
{
    return install->receiver != NULL;
}

bool install_is_switching(const struct node *node)
{
    return node->install.loaded != NULL;
}

/* All of a state at once would take too long. */
static void discard(struct node *node, struct kv *gone)
{
    if (gone == NULL)
        return;
    kv_discard(node->kv, gone);
    snapshot_collect_more(node);
}

static void drop_loader(struct node *node)
{
    if (node->install.loader == NULL)
        return;
    kv_loader_discard(node->install.loader, node->kv);
    node->install.loader = NULL;
    snapshot_collect_more(node);
}

static void drop(struct node *node)
{
    struct install *install = &node->install;
    snapfile_receiver_free(install->receiver);
    drop_loader(node);
    discard(node, install->loaded);
    install->receiver = NULL;
    install->loaded = NULL;
    fetching_stop(&install->fetching);
    env_timer_set(node->env, &install->timer, TIME_NEVER);
}

static void give_up(struct node *node, enum status status, const char *what)
{
    diag(DIAG_WARN, "the snapshot at %llu is dropped and will be fetched anew: %s (%s)",
         (unsigned long long)node->install.fetching.snapshot.index, what,
         status_info(status)->title);
    node->install.not_before = env_now(node->env) + INSTALL_RETRY_US;
    drop(node);
}

static enum status feed(void *ctx, struct bytes content)
{
    struct node *node = ctx;
    return kv_loader_feed(node->install.loader, content);
}

static void begin(struct node *node)
{
    struct install *install = &node->install;
    struct kv_options options = {0};
    struct errtext error;
    struct snapshot_info info = {.last = install->fetching.snapshot,
                                 .bytes = install->fetching.total};
    diag(DIAG_INFO, "fetches the snapshot at %llu (%llu bytes) from node %u",
         (unsigned long long)info.last.index, (unsigned long long)info.bytes,
         install->fetching.source);
    install->loader = kv_loader_new(&options);
    enum status status = snapfile_receiver_new(node->env, node->meta.cluster_id, &info, feed, node,
                                               &install->receiver, &error);
    if (status != ST_OK)
        give_up(node, status, error.text);
}

static void ask(struct node *node)
{
    struct install *install = &node->install;
    time_us now = env_now(node->env);
    struct snapshot_fetch fetch;
    if (fetching_is_abandoned(&install->fetching, now)) {
        give_up(node, ST_TIMEOUT, "nobody has sent a piece of it for too long");
        return;
    }
    while (is_under_way(install) &&
           snapfile_receiver_queued(install->receiver) <= LIMIT_FETCH_WINDOW_BYTES &&
           fetching_next(&install->fetching, now, &fetch)) {
        if (peers_fetch(node->peers, install->fetching.source, &fetch) != ST_OK)
            fetching_put_off(&install->fetching, now);
    }
    time_us deadline = fetching_deadline(&install->fetching);
    if (deadline != TIME_NEVER) /* a full queue is looked at again soon */
        deadline = MAX(deadline, now + FETCHING_BUSY_US);
    env_timer_set(node->env, &install->timer, deadline);
}

static void on_timer(void *ctx)
{
    ask(ctx);
}

void install_init(struct node *node)
{
    env_timer_init(&node->install.timer, on_timer, node);
}

void install_release(struct node *node)
{
    drop(node);
}

void install_on_offer(struct node *node, const struct raft_offer *offer)
{
    struct install *install = &node->install;
    time_us now = env_now(node->env);
    if (install_is_switching(node) || now < install->not_before)
        return;
    struct fetching before = install->fetching;
    if (fetching_on_offer(&install->fetching, offer, now) == FETCHING_START) {
        struct fetching fetching = install->fetching;
        install->fetching = before;
        drop(node);
        install->fetching = fetching;
        begin(node);
    }
    ask(node);
}

void install_on_link(struct node *node, node_id peer)
{
    fetching_on_link(&node->install.fetching, peer);
    if (is_under_way(&node->install))
        ask(node);
}

/* ---- the switch ---- */

/* What the table of sessions says of a write that this very attempt may have carried out. That its
 * client is not remembered any more does not mean that it never was. */
static bool is_known(const struct node *node, const struct node_request *request,
                     struct kv_result *out_result)
{
    return kv_recall(node->kv, request->command, 0, out_result) &&
           (out_result->is_replayed || out_result->status == ST_SEALED ||
            out_result->status == ST_IDENTITY_REUSED);
}

/* An attempt bound to a term after the snapshot's last will still be seen in the log, or proven
 * absent by it; of all others the log shows nothing any more. */
static void settle_open(struct node *node, raft_term term)
{
    struct list *next;
    for (struct list *at = node->open.next; at != &node->open; at = next) {
        next = at->next;
        struct node_request *request = CONTAINER_OF(at, struct node_request, link);
        struct kv_result result;
        if (request->fence > term)
            continue;
        if (is_known(node, request, &result))
            request_answer(node, request, result.status, &result);
        else
            request_answer(node, request, ST_TIMEOUT, NULL);
    }
}

static void tell_raft(struct node *node, struct entry_id last)
{
    struct raft_event event = {.type = RAFT_EVENT_INSTALLED, .now = env_now(node->env)};
    event.installed.last = last;
    event.installed.config = kv_config(node->kv);
    (void)ready_step(node, &event); /* INSTALLED is never refused */
}

static void replace_state(struct node *node, struct kv *loaded, struct entry_id last)
{
    struct kv *gone = node->kv;
    snapshot_drop(node); /* one that is being taken is of the old state */
    node->kv = loaded;
    node->kv_epoch++;
    discard(node, gone);
    node->applied = node->applied_told = last.index;
    node->applied_term = last.term;
    snapshot_begin_log(node);
}

static void switch_over(struct node *node)
{
    struct install *install = &node->install;
    struct snapshot_info info = {.last = install->fetching.snapshot,
                                 .bytes = install->fetching.total};
    struct kv *loaded = install->loaded;
    install->loaded = NULL;
    snapfile_receiver_free(install->receiver);
    install->receiver = NULL;
    drop(node);

    struct raft_view before;
    raft_view(node->raft, &before);
    if (info.last.index <= before.commit) { /* the log was quicker (FAULTS C26) */
        discard(node, loaded);
        return;
    }
    snapshot_mark(node, &info);
    if (node->is_fatal) {
        discard(node, loaded);
        return;
    }
    replace_state(node, loaded, info.last);
    node->stats.installs_count++;
    tell_raft(node, info.last);
    node->base = info.last; /* what the log has before it, if anything, is of no more use */
    snapshot_tell_raft(node);
    members_link(node);
    identity_admit(node);
    settle_open(node, info.last.term);
    node_on_leader_http(node);
    node_view_refresh(node);
    node_wake(node);
    diag(DIAG_INFO, "installed the snapshot at %llu", (unsigned long long)info.last.index);
}

static void on_file_durable(void *ctx, enum status status)
{
    struct node *node = ctx;
    if (node->is_fatal)
        return;
    if (status != ST_OK)
        give_up(node, status, "its file could not be made");
    else
        switch_over(node);
}

/* All pieces are there. */
static void finish(struct node *node)
{
    struct install *install = &node->install;
    struct kv_stats stats;
    enum status status = kv_loader_finish(install->loader, &install->loaded);
    install->loader = NULL;
    if (status == ST_OK) {
        kv_stats(install->loaded, &stats);
        if (!entry_id_equal(stats.applied, install->fetching.snapshot))
            status = ST_CORRUPT;
    }
    if (status != ST_OK) {
        give_up(node, status, "it is not what was offered");
        return;
    }
    env_timer_set(node->env, &install->timer, TIME_NEVER);
    snapfile_receiver_finish(install->receiver, on_file_durable, node);
}

void install_on_chunk(void *ctx, node_id from, const struct snapshot_chunk *chunk)
{
    struct node *node = ctx;
    struct install *install = &node->install;
    struct errtext error = {{0}};
    if (!is_under_way(install) || install_is_switching(node) || node->is_fatal)
        return;
    switch (fetching_on_chunk(&install->fetching, from, chunk, env_now(node->env))) {
    case FETCHING_START:
    case FETCHING_IGNORE:
        break;
    case FETCHING_DROP:
        give_up(node, ST_NOT_FOUND, "the node that offered it has it no more");
        return;
    case FETCHING_TAKE: {
        enum status status =
            snapfile_receiver_put(install->receiver, chunk->offset, chunk->bytes, &error);
        if (status != ST_OK) {
            give_up(node, status, error.text);
            return;
        }
        if (fetching_is_complete(&install->fetching)) {
            finish(node);
            return;
        }
        break;
    }
    }
    ask(node);
}
