/* Opening a data directory: the newest snapshot, the log behind it, and the cores built from them.
 *
 * The initial configuration is a property of the directory (storage/meta.h). It stands for the
 * entry {term 1, index 1}, the same on every founding node, so the log itself begins at index 2
 * and nothing has to be written before the first election. A node that has joined begins with
 * nothing, and its log behind the first snapshot that it gets.
 *
 *      snapshot ─────▶ S | S+1 …… commit | …… last
 *      kv                | applied again | may yet be cut: raft */
#include "base/mem.h"
#include "node/node_internal.h"

enum { SEGMENT_UNIT = 4 * KIB, SEGMENT_SMALLEST = 1 * MIB };

static const struct entry_id FOUNDATION = {.term = 1, .index = 1};

/* What is found on disk, and where the state begins. */
struct found {
    struct kv_loader *loader;  /* owned, while a snapshot is read */
    struct kv *loaded;         /* owned until it is the node's; NULL: no snapshot */
    struct snapshot_info info; /* of it */
    struct entry_id floor;     /* the entry that the state stands at before the log is applied */
    struct wal_recovered log;
    struct config_at *configs; /* owned; those in the log, in rising index */
    size_t configs_count, configs_capacity;
};

struct config_at {
    raft_index index;
    struct config config;
};

static void found_release(struct found *found)
{
    kv_loader_free(found->loader);
    kv_free(found->loaded);
    mem_free(found->configs);
}

/* ---- the snapshot ---- */

static void on_begin(void *ctx, struct entry_id last)
{
    (void)last; /* the content says the same, and is checked */
    struct found *found = ctx;
    struct kv_options options = {0}; /* the default: it decides results, so all nodes share it */
    kv_loader_free(found->loader);
    found->loader = kv_loader_new(&options);
}

static enum status on_content(void *ctx, struct bytes content)
{
    struct found *found = ctx;
    return kv_loader_feed(found->loader, content);
}

/* Per block, which fills about half of it: the rest is lead. */
static struct mem_room on_room(void *ctx)
{
    struct found *found = ctx;
    return kv_loader_take_room(found->loader, 4 * LIMIT_SNAPSHOT_BLOCK_BYTES);
}

static void on_damaged(void *ctx, const char *text)
{
    (void)ctx;
    diag(DIAG_WARN, "a damaged snapshot is passed over: %s", text);
}

static enum status load_snapshot(struct node *node, struct found *found, struct errtext *error)
{
    struct snapfile_sink sink = {on_begin, on_content, on_damaged, on_room, found};
    enum status status = snapfile_clean(node->env, error);
    if (status == ST_OK)
        status = snapfile_load_newest(node->env, node->meta.cluster_id, &sink, &found->info, error);
    if (status == ST_NOT_FOUND)
        return ST_OK;
    if (status != ST_OK)
        return status;
    status = kv_loader_finish(found->loader, &found->loaded);
    found->loader = NULL;
    struct kv_stats stats;
    if (status == ST_OK) {
        kv_stats(found->loaded, &stats);
        if (!entry_id_equal(stats.applied, found->info.last))
            status = ST_CORRUPT;
    }
    if (status != ST_OK)
        errtext_set(error, "the snapshot at %llu is whole, but its content is not a state of it",
                    (unsigned long long)found->info.last.index);
    return status;
}

/* Where the state begins: at the snapshot, or at the foundation, or at nothing. */
static void choose_state(struct node *node, struct found *found)
{
    struct kv_options options = {0};
    if (found->loaded != NULL) {
        node->kv = found->loaded;
        found->loaded = NULL;
        found->floor = found->info.last;
    } else {
        node->kv = kv_new(&options);
        if (node->meta.initial.members_count > 0) {
            found->floor = FOUNDATION;
            kv_apply_config(node->kv, FOUNDATION, &node->meta.initial);
        }
    }
    node->applied = node->applied_told = found->floor.index;
    node->applied_term = found->floor.term;
}

/* ---- the log ---- */

/* A record takes the place of what stood at its index and behind it. */
static void on_entry(void *ctx, struct entry *entry)
{
    struct found *found = ctx;
    while (found->configs_count > 0 &&
           found->configs[found->configs_count - 1].index >= entry->id.index)
        found->configs_count--;
    if (entry->type != ENTRY_CONFIG)
        return;
    if (found->configs_count == found->configs_capacity) {
        found->configs_capacity = MAX(found->configs_capacity * 2, (size_t)8);
        found->configs =
            mem_realloc(found->configs, found->configs_capacity * sizeof *found->configs);
    }
    struct config_at *at = &found->configs[found->configs_count];
    at->index = entry->id.index;
    if (entry_config(entry, &at->config) == ST_OK)
        found->configs_count++;
}

/* The log is given up in whole segments, so they are no larger than what a snapshot makes useless.
 */
static uint64_t segment_bytes(const struct node_options *options)
{
    uint64_t wanted = options->snapshot_bytes / SEGMENT_UNIT * SEGMENT_UNIT;
    if (options->wal_segment_bytes != 0)
        return options->wal_segment_bytes;
    if (options->snapshot_bytes == 0)
        return WAL_SEGMENT_BYTES_DEFAULT;
    return MIN(MAX(wanted, (uint64_t)SEGMENT_SMALLEST), (uint64_t)WAL_SEGMENT_BYTES_DEFAULT);
}

static enum status open_log(struct node *node, struct found *found, struct errtext *error)
{
    struct wal_options options = {
        .directory = "wal",
        .segment_bytes = segment_bytes(&node->options),
        .owner = {node->meta.cluster_id, node->meta.identity},
        .idle_seal = 1000 * TIME_US_PER_MS,
        .must_exist = node->meta.has_log,
    };
    struct wal_callbacks callbacks = {.on_durable = ready_on_durable,
                                      .on_failed = ready_on_failed,
                                      .ctx = node,
                                      .may_block = ready_may_block,
                                      .on_room = heir_on_room};
    enum status status =
        wal_open(node->env, &options, &callbacks, on_entry, found, &node->wal, &found->log, error);
    if (status == ST_OK && found->log.torn_bytes > 0)
        diag(DIAG_INFO, "cut %llu bytes of a torn, never acknowledged write from the log",
             (unsigned long long)found->log.torn_bytes);
    return status;
}

/* Whether the log goes on where the state stands. */
static enum status log_continues(struct node *node, const struct found *found, bool *out_continues,
                                 struct errtext *error)
{
    const struct wal_recovered *log = &found->log;
    struct entry_id floor = found->floor;
    *out_continues = true;
    if (entry_id_equal(log->snapshot, floor))
        return ST_OK; /* marked: it holds that entry, or began anew behind it */
    if (entry_id_equal(floor, FOUNDATION) || floor.index == 0) {
        *out_continues = log->first == 0 || log->first == floor.index + 1;
        return ST_OK;
    }
    if (log->first == floor.index + 1 && floor.index < log->snapshot.index)
        return ST_OK; /* marked later, so what it was taken at is committed, as is what follows */
    *out_continues = false;
    if (log->first == 0 || floor.index < log->first || floor.index > log->last.index)
        return ST_OK;
    struct entry *entry;
    size_t count = 0;
    enum status status = wal_read(node->wal, floor.index, 1, &entry, 1, &count, error);
    if (status == ST_NOT_FOUND)
        return ST_OK;
    if (status != ST_OK)
        return status; /* a log that cannot be read is not given up */
    *out_continues = entry_id_equal(entry->id, floor);
    entry_unref(entry);
    return ST_OK;
}

/* A snapshot may be newer than the log, which then begins anew behind it. The other way round,
 * what the log was cut for is missing. */
static enum status join_log(struct node *node, struct found *found, struct errtext *error)
{
    struct wal_recovered *log = &found->log;
    bool continues;
    enum status status = log_continues(node, found, &continues, error);
    if (status != ST_OK)
        return status;
    if (!continues && (found->info.last.index == 0 || log->snapshot.index > found->floor.index)) {
        errtext_set(error,
                    "the log goes back to entry %llu only, and the snapshot at %llu that stood "
                    "for what is before it is missing or damaged",
                    (unsigned long long)log->first, (unsigned long long)log->snapshot.index);
        return ST_CORRUPT;
    }
    node->snapshot.info = found->info;
    if (found->info.last.index != 0 && log->snapshot.index < found->info.last.index) {
        node->snapshot.info = (struct snapshot_info){0};
        snapshot_mark(node, &found->info);
        if (node->is_fatal) {
            errtext_set(error, "the mark of a snapshot cannot be written");
            return ST_IO;
        }
    }
    if (!continues) {
        log->last = found->floor;
        log->first = 0;
        log->commit = 0;
        log->snapshot = found->floor;
        found->configs_count = 0;
    }
    return ST_OK;
}

/* How far back the log can feed a slow peer: behind this entry. */
static enum status find_base(struct node *node, const struct found *found, struct errtext *error)
{
    raft_index first = found->log.first;
    node->base = found->floor;
    if (first == 0 || first > found->floor.index)
        return ST_OK;
    if (first == FOUNDATION.index + 1) {
        node->base = FOUNDATION;
        return ST_OK;
    }
    struct entry *entry;
    size_t count = 0;
    enum status status = wal_read(node->wal, first, 1, &entry, 1, &count, error);
    if (status != ST_OK)
        return status == ST_NOT_FOUND ? ST_CORRUPT : status;
    node->base = entry->id;
    entry_unref(entry);
    return ST_OK;
}

/* ---- raft ---- */

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

static enum status tail_read(struct node *node, const struct found *found, raft_index commit,
                             struct tail *tail, struct errtext *error)
{
    *tail = (struct tail){.base = found->floor};
    raft_index last = MAX(found->log.last.index, commit);
    tail->entries = mem_alloc_array(last - commit + 1, sizeof(struct entry *));
    for (raft_index next = commit > found->floor.index ? commit : commit + 1; next <= last;) {
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

/* The newest configuration at or before `index`. */
static struct config config_as_of(const struct node *node, const struct found *found,
                                  raft_index index)
{
    for (size_t i = found->configs_count; i > 0; i--)
        if (found->configs[i - 1].index <= index &&
            found->configs[i - 1].index > found->floor.index)
            return found->configs[i - 1].config;
    if (found->floor.index == 0)
        return node->options.hint; /* joining */
    return *kv_config(node->kv);
}

static enum status start_raft(struct node *node, const struct found *found, struct errtext *error)
{
    node->identity_last = MAX(found->log.last.index, found->floor.index);
    /* A mark says that everything up to it was applied, also where its own file is damaged and an
     * older one had to do. */
    raft_index commit = MAX(MAX(found->log.commit, found->log.snapshot.index), found->floor.index);
    struct tail tail;
    enum status status = tail_read(node, found, commit, &tail, error);
    if (status == ST_OK) {
        struct raft_options options = {.self = node->options.self,
                                       .seed = env_random(node->env),
                                       .heartbeat = node->options.heartbeat,
                                       .election = node->options.election,
                                       .is_barred = true}; /* until identity_admit */
        struct raft_start start = {.hard_state = found->log.hard_state,
                                   .commit = commit,
                                   .config = config_as_of(node, found, commit),
                                   .base = tail.base,
                                   .entries = tail.entries,
                                   .entries_count = tail.count,
                                   .now = env_now(node->env)};
        if (start.hard_state.term < tail.base.term)
            start.hard_state = (struct hard_state){.term = tail.base.term};
        node->raft = raft_new(&options, &start);
        node->appended = MAX(found->log.last.index, commit);
    }
    tail_release(&tail);
    return status;
}

static enum status recover(struct node *node, struct found *found, struct errtext *error)
{
    enum status status = env_lock(node->env, "lock", error);
    if (status == ST_OK)
        status = owner_load(node, error);
    if (status == ST_OK)
        status = load_snapshot(node, found, error);
    if (status != ST_OK)
        return status;
    choose_state(node, found);
    status = open_log(node, found, error);
    if (status == ST_OK)
        status = owner_note_log(node, error);
    if (status == ST_OK)
        status = join_log(node, found, error);
    if (status == ST_OK)
        status = find_base(node, found, error);
    if (status == ST_OK && found->log.first != 0)
        node->snapshot.replayed_bytes = wal_bytes_behind(node->wal, found->floor.index);
    return status == ST_OK ? start_raft(node, found, error) : status;
}

enum status node_recover(struct node *node, struct errtext *error)
{
    struct found found = {0};
    enum status status = recover(node, &found, error);
    found_release(&found);
    return status;
}
