/* Taking snapshots: when, and what follows from one that is durable (docs/decisions/0009).
 *
 * 1. Enough log has been applied since the last one, or a peer needs one: a moment is pinned.
 * 2. It is written to a file in paced pieces, while commands go on.
 * 3. The file is durable, and so is its entry: a mark goes into the log, raft may offer it.
 * 4. The mark is durable: log and files from before the previous snapshot go. What lies between the
 *    two is there for followers that are a little behind.
 *
 * If the process dies before 3, the file is removed at the next start; between 3 and 4 the next
 * start finds the file and does without what is behind it. */
#include "node/node_internal.h"

enum {
    SNAPSHOT_FETCHED_US = 3 * 1000 * TIME_US_PER_MS, /* since a piece was last asked for */
    SNAPSHOT_RETRY_US = 10 * 1000 * TIME_US_PER_MS,  /* after a disk that had no room, or failed */
    SNAPSHOT_COLLECT = 256,                          /* freed in one turn of what only a pin kept */
    /* While others fetch the present one, the log may become so many times as long as the option
     * says, and as the snapshot itself: else a slow peer might never get to the end of any. */
    SNAPSHOT_PATIENCE = 4,
    /* How much is written stays in proportion to what clients write: a state is written once for
     * each so many times its size of log, which is no longer for it than for a slow peer ... */
    SNAPSHOT_SHARE = 4,
    /* ... and one as large as this for each so many times its size, however long that is. */
    SNAPSHOT_LARGE_BYTES = 64 * MIB,
    SNAPSHOT_LARGE_SHARE = 2,
    SNAPSHOT_CACHED_BYTES = 256 * MIB /* from here on a restart would notice */
};

uint64_t snapshot_log_wanted(uint64_t option, uint64_t newest_bytes, bool is_fetched)
{
    uint64_t wanted = option != 0 ? option : SNAPSHOT_BYTES_DEFAULT;
    uint64_t most = wanted * SNAPSHOT_PATIENCE;
    uint64_t share = MIN(newest_bytes, (uint64_t)SNAPSHOT_LARGE_BYTES) * SNAPSHOT_SHARE;
    wanted = MAX(wanted, MIN(share, most));
    if (is_fetched)
        wanted = MAX(most, newest_bytes);
    if (newest_bytes >= SNAPSHOT_LARGE_BYTES)
        wanted = MAX(wanted, newest_bytes * SNAPSHOT_LARGE_SHARE);
    return wanted;
}

bool snapshot_leaves_cache(uint64_t state_bytes)
{
    return state_bytes < SNAPSHOT_CACHED_BYTES;
}

static uint64_t log_wanted(const struct node *node)
{
    const struct snapshots *snapshot = &node->snapshot;
    bool is_fetched = snapshot->fetched_at != 0 &&
                      env_now(node->env) < snapshot->fetched_at + SNAPSHOT_FETCHED_US;
    return snapshot_log_wanted(node->options.snapshot_bytes, snapshot->info.bytes, is_fetched);
}

uint64_t snapshot_rate(const struct node *node)
{
    return node->options.snapshot_rate != 0 ? node->options.snapshot_rate : SNAPSHOT_RATE_DEFAULT;
}

static bool read_image(void *ctx, size_t bytes_max, struct buf *out)
{
    struct node *node = ctx;
    return kv_image_read(node->snapshot.image, bytes_max, out);
}

static void release_image(struct node *node)
{
    kv_unpin(node->kv, node->snapshot.image);
    node->snapshot.image = NULL;
    snapshot_collect_more(node);
}

/* ---- who waits for one ---- */

static raft_index index_awaited(const struct node *node)
{
    raft_index index = 0;
    for (struct list *at = node->snapshot.waits.next; at != &node->snapshot.waits; at = at->next)
        index = MAX(index, CONTAINER_OF(at, struct node_snapshot_wait, link)->index);
    return index;
}

static void answer_waits(struct node *node, enum status status)
{
    const struct snapshot_info *info = &node->snapshot.info;
    struct list waits; /* of its own: on_done may cancel any of them */
    list_init(&waits);
    list_splice(&waits, &node->snapshot.waits);
    while (!list_is_empty(&waits)) {
        struct node_snapshot_wait *wait = CONTAINER_OF(waits.next, struct node_snapshot_wait, link);
        list_remove(&wait->link);
        if (status == ST_OK && info->last.index < wait->index)
            list_push_back(&node->snapshot.waits, &wait->link);
        else
            wait->on_done(wait->ctx, status, info);
    }
}

void node_snapshot_await(struct node *node, struct node_snapshot_wait *wait)
{
    REQUIRE(wait->index <= node->applied);
    list_push_back(&node->snapshot.waits, &wait->link);
    node_wake(node);
}

void node_snapshot_cancel(struct node_snapshot_wait *wait)
{
    list_remove(&wait->link);
}

/* ---- taking one ---- */

void snapshot_on_damaged(void *ctx, struct entry_id last)
{
    struct node *node = ctx;
    struct snapshots *snapshot = &node->snapshot;
    if (snapshot->is_damaged || !entry_id_equal(snapshot->info.last, last))
        return;
    diag(DIAG_WARN,
         "the newest snapshot, at %llu, is damaged or missing on the disk: another one is taken",
         (unsigned long long)last.index);
    snapshot->is_damaged = true;
    node_wake(node);
}

void snapshot_tell_raft(struct node *node)
{
    struct raft_event event = {.type = RAFT_EVENT_COMPACTED, .now = env_now(node->env)};
    event.compacted.snapshot = node->snapshot.info.last;
    event.compacted.bytes = node->snapshot.info.bytes;
    event.compacted.log_first = node->base.index + 1;
    (void)ready_step(node, &event); /* COMPACTED is never refused */
}

void snapshot_mark(struct node *node, const struct snapshot_info *info)
{
    struct snapshots *snapshot = &node->snapshot;
    snapshot->previous = snapshot->info;
    snapshot->info = *info;
    snapshot->is_damaged = false;
    enum status status = wal_mark(node->wal, info->last, &snapshot->mark_sequence);
    if (status != ST_OK)
        node_fail(node, status == ST_BUSY ? ST_IO : status, "the log takes no more");
}

/* What is committed may be applied before this node's own log has it, even before the log has been
 * given it. The mark waits for that: without its entry the log would begin anew behind it. */
static void mark_written(struct node *node)
{
    struct snapshot_info info = node->snapshot.unmarked;
    struct raft_view view;
    raft_view(node->raft, &view);
    if (info.last.index == 0 || view.durable < info.last.index)
        return;
    node->snapshot.unmarked = (struct snapshot_info){0};
    if (entry_id_equal(info.last, node->snapshot.info.last)) {
        node->snapshot.is_damaged = false; /* the same bytes in place of a damaged file */
        serve_on_pruned(&node->serve, info.last.index + 1);
        return;
    }
    snapshot_mark(node, &info);
    if (!node->is_fatal)
        snapshot_tell_raft(node);
}

static void on_written(void *ctx, enum status status, const struct snapshot_info *info)
{
    struct node *node = ctx;
    node->snapshot.writer = NULL;
    release_image(node);
    if (node->is_fatal)
        return;
    if (status != ST_OK) {
        node->snapshot.not_before = env_now(node->env) + SNAPSHOT_RETRY_US;
        node->stats.snapshot_failures_count++;
        answer_waits(node, status);
        diag(DIAG_WARN, "no snapshot was taken (%s); the log keeps growing, and it is tried again",
             status_info(status)->title);
        return;
    }
    node->stats.snapshots_count++;
    node->snapshot.unmarked = *info;
    mark_written(node);
}

static void start(struct node *node)
{
    struct kv_stats stats;
    kv_stats(node->kv, &stats);
    node->snapshot.image = kv_pin(node->kv);
    struct snapfile_options options = {
        .cluster_id = node->meta.cluster_id,
        .last = stats.applied,
        .bytes_per_second = snapshot_rate(node),
        .leaves_cache = snapshot_leaves_cache(kv_image_bytes(node->snapshot.image))};
    snapshot_begin_log(node);
    node->snapshot.writer = snapfile_write_start(node->env, &options, read_image, on_written, node);
}

void snapshot_begin_log(struct node *node)
{
    struct wal_stats log;
    wal_stats(node->wal, &log);
    node->snapshot.replayed_bytes = 0;
    node->snapshot.written_bytes = log.bytes_written;
}

/* On disk, where a small entry that is synced alone takes a block. */
static uint64_t log_growth(const struct node *node)
{
    struct wal_stats log;
    wal_stats(node->wal, &log);
    return node->snapshot.replayed_bytes + log.bytes_written - node->snapshot.written_bytes;
}

static bool is_due(const struct node *node)
{
    const struct snapshots *snapshot = &node->snapshot;
    if (snapshot->is_damaged && node->applied != 0)
        return true;
    if (node->applied <= snapshot->info.last.index)
        return false;
    return snapshot->is_wanted || log_growth(node) >= log_wanted(node) ||
           index_awaited(node) > snapshot->info.last.index;
}

void snapshot_consider(struct node *node)
{
    struct snapshots *snapshot = &node->snapshot;
    if (node->is_fatal)
        return;
    mark_written(node);
    if (!list_is_empty(&snapshot->waits))
        answer_waits(node, ST_OK);
    bool is_busy = snapshot->writer != NULL || snapshot->unmarked.last.index != 0 ||
                   snapshot->mark_sequence != 0 || install_is_switching(node);
    if (!is_busy && env_now(node->env) >= snapshot->not_before && is_due(node))
        start(node);
}

void snapshot_on_tick(struct node *node)
{
    struct snapshots *snapshot = &node->snapshot;
    if (snapshot->not_before == 0 || env_now(node->env) < snapshot->not_before)
        return;
    snapshot->not_before = 0;
    node_wake(node);
}

void snapshot_collect_more(struct node *node)
{
    node->snapshot.is_collecting = true;
    node_wake(node);
}

void snapshot_collect(struct node *node)
{
    if (!node->snapshot.is_collecting)
        return;
    node->snapshot.is_collecting = kv_collect(node->kv, SNAPSHOT_COLLECT);
    if (node->snapshot.is_collecting)
        node_wake(node);
}

/* What is older than the previous snapshot serves nobody any more. */
static void compact(struct node *node)
{
    struct snapshots *snapshot = &node->snapshot;
    struct errtext error;
    if (snapshot->previous.last.index > node->base.index)
        node->base = snapshot->previous.last;
    wal_compact(node->wal, node->base.index + 1);
    serve_on_pruned(&node->serve, snapshot->previous.last.index);
    enum status status = snapfile_prune(node->env, snapshot->previous.last.index, &error);
    if (status != ST_OK)
        diag(DIAG_WARN, "old snapshots stay: %s", error.text);
    snapshot_tell_raft(node);
}

void snapshot_on_durable(struct node *node)
{
    struct snapshots *snapshot = &node->snapshot;
    if (snapshot->mark_sequence == 0 || node->durable_sequence < snapshot->mark_sequence)
        return;
    snapshot->mark_sequence = 0;
    compact(node);
    node_wake(node); /* the next one may be due already */
}

void snapshot_init(struct node *node)
{
    list_init(&node->snapshot.waits);
}

void snapshot_drop(struct node *node)
{
    snapfile_write_cancel(node->snapshot.writer);
    node->snapshot.writer = NULL;
    node->snapshot.unmarked = (struct snapshot_info){0};
    if (node->snapshot.image != NULL)
        kv_unpin(node->kv, node->snapshot.image);
    node->snapshot.image = NULL;
}

/* The log has come further. */
void snapshot_on_log(struct node *node)
{
    if (node->snapshot.unmarked.last.index != 0)
        node_wake(node);
}

void snapshot_release(struct node *node)
{
    snapshot_drop(node);
    answer_waits(node, ST_SHUTTING_DOWN);
}
