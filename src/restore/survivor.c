/* The state of a node that does not run: its newest snapshot, and the whole log behind it.
 *
 * All of the log, whether or not it is known to be committed: the nodes that could tell are gone,
 * and what was acknowledged last may be in that part (docs/operations.md says what follows). */
#include "restore/restore.h"
#include "storage/meta.h"
#include "storage/snapfile.h"
#include "storage/wal.h"

/* What the initial configuration stands for: the entry before the first of every log. */
static const struct entry_id FOUNDATION = {.term = 1, .index = 1};

enum { CHUNK_ENTRIES = 256 };

struct survivor {
    struct meta meta;
    struct kv_loader *loader; /* owned, while a snapshot is read */
    struct kv *kv;            /* owned */
    struct snapshot_info info;
    struct entry_id floor; /* where the state stands before the log is applied */
    struct wal *wal;       /* owned */
    struct wal_recovered log;

    struct env *env; /* borrowed */
};

/* ---- the snapshot ---- */

static void on_begin(void *ctx, struct entry_id last)
{
    (void)last; /* the content says the same */
    struct survivor *survivor = ctx;
    struct kv_options options = {0};
    kv_loader_free(survivor->loader);
    survivor->loader = kv_loader_new(&options);
}

static enum status on_feed(void *ctx, struct bytes content)
{
    struct survivor *survivor = ctx;
    return kv_loader_feed(survivor->loader, content);
}

static enum status load_snapshot(struct survivor *survivor, struct errtext *error)
{
    struct kv_stats stats;
    struct snapfile_sink sink = {.begin = on_begin, .feed = on_feed, .ctx = survivor};
    enum status status = snapfile_load_newest(survivor->env, survivor->meta.cluster_id, &sink,
                                              &survivor->info, error);
    if (status != ST_OK)
        return status;
    status = kv_loader_finish(survivor->loader, &survivor->kv);
    survivor->loader = NULL;
    if (status == ST_OK) {
        kv_stats(survivor->kv, &stats);
        survivor->floor = survivor->info.last;
        if (entry_id_equal(stats.applied, survivor->floor))
            return ST_OK;
    }
    errtext_set(error, "the newest snapshot is whole, but its content is not a state of it");
    return ST_CORRUPT;
}

static enum status begin_state(struct survivor *survivor, struct errtext *error)
{
    enum status status = load_snapshot(survivor, error);
    if (status != ST_NOT_FOUND)
        return status;
    if (survivor->meta.initial.members_count == 0) {
        errtext_set(error, "this node had joined, and had not got a state yet");
        return ST_CORRUPT;
    }
    struct kv_options options = {0};
    survivor->kv = kv_new(&options);
    survivor->floor = FOUNDATION;
    kv_apply_config(survivor->kv, FOUNDATION, &survivor->meta.initial);
    return ST_OK;
}

/* ---- the log ---- */

static void on_durable(void *ctx, uint64_t sequence)
{
}

static void on_failed(void *ctx, enum status status)
{
}

static enum status open_log(struct survivor *survivor, struct errtext *error)
{
    struct wal_options options = {.directory = "wal",
                                  .segment_bytes = WAL_SEGMENT_BYTES_DEFAULT,
                                  .owner = {survivor->meta.cluster_id, survivor->meta.identity},
                                  .must_exist = survivor->meta.has_log};
    struct wal_callbacks callbacks = {/* nothing is appended */
                                      .on_durable = on_durable,
                                      .on_failed = on_failed,
                                      .ctx = survivor};
    return wal_open(survivor->env, &options, &callbacks, NULL, NULL, &survivor->wal, &survivor->log,
                    error);
}

static enum status apply(struct survivor *survivor, const struct entry *entry)
{
    struct kv_stats stats;
    kv_stats(survivor->kv, &stats);
    if (entry->id.index != stats.applied.index + 1 || entry->id.term < stats.applied.term)
        return ST_CORRUPT;
    switch (entry->type) {
    case ENTRY_NOOP:
        kv_apply_noop(survivor->kv, entry->id);
        return ST_OK;
    case ENTRY_COMMAND: {
        struct proposal proposal = {0};
        struct kv_result ignored;
        if (proposal_decode(entry_data(entry), &proposal) != ST_OK)
            proposal.command = bytes_of(NULL, 0); /* applied as what it is: malformed */
        kv_apply(survivor->kv, entry->id, &proposal, &ignored);
        return ST_OK;
    }
    case ENTRY_CONFIG: {
        struct config config;
        if (entry_config(entry, &config) != ST_OK)
            return ST_CORRUPT;
        kv_apply_config(survivor->kv, entry->id, &config);
        return ST_OK;
    }
    }
    UNREACHABLE();
}

/* The entries from `from` on; the first of them is only looked at when it is the floor itself. */
static enum status apply_from(struct survivor *survivor, raft_index from, struct errtext *error)
{
    enum status status = ST_OK;
    for (raft_index next = from; status == ST_OK && next <= survivor->log.last.index;) {
        struct entry *chunk[CHUNK_ENTRIES];
        size_t count = 0;
        status =
            wal_read(survivor->wal, next, LIMIT_APPEND_BYTES, chunk, CHUNK_ENTRIES, &count, error);
        for (size_t i = 0; i < count; i++) {
            bool is_floor = chunk[i]->id.index == survivor->floor.index;
            if (status == ST_OK && is_floor && !entry_id_equal(chunk[i]->id, survivor->floor))
                status = ST_NOT_FOUND; /* the log is another one, from before the snapshot */
            else if (status == ST_OK && !is_floor)
                status = apply(survivor, chunk[i]);
            entry_unref(chunk[i]);
        }
        next += count;
    }
    return status;
}

/* What is behind the floor, where the log goes on from there. A snapshot may be newer than the log;
 * the other way round, what the log was cut for is missing. */
static enum status apply_log(struct survivor *survivor, struct errtext *error)
{
    const struct wal_recovered *log = &survivor->log;
    raft_index floor = survivor->floor.index;
    bool has_snapshot = survivor->info.last.index != 0;
    if (log->snapshot.index > floor || (!has_snapshot && log->first > floor + 1)) {
        errtext_set(error, "the snapshot at %llu, for which the log was cut, is missing or damaged",
                    (unsigned long long)MAX(log->snapshot.index, log->first - 1));
        return ST_CORRUPT;
    }
    if (log->first == 0 || log->last.index < floor || log->first > floor + 1)
        return ST_OK; /* nothing behind it */
    bool is_marked = entry_id_equal(log->snapshot, survivor->floor);
    bool holds_floor = log->first <= floor;
    if (!is_marked && !holds_floor && has_snapshot)
        return ST_OK;
    enum status status = apply_from(survivor, holds_floor ? floor : floor + 1, error);
    if (status == ST_NOT_FOUND && holds_floor)
        return ST_OK;
    if (status == ST_NOT_FOUND || status == ST_CORRUPT)
        errtext_set(error, "the log has a gap, or holds what no node writes");
    return status == ST_NOT_FOUND ? ST_CORRUPT : status;
}

static enum status survive(struct survivor *survivor, struct errtext *error)
{
    enum status status = env_lock(survivor->env, "lock", error);
    if (status == ST_OK)
        status = meta_load(survivor->env, &survivor->meta, error);
    if (status == ST_NOT_FOUND)
        errtext_set(error, "no data directory of a node: there is no file meta in it");
    if (status == ST_OK)
        status = begin_state(survivor, error);
    if (status == ST_OK)
        status = open_log(survivor, error);
    return status == ST_OK ? apply_log(survivor, error) : status;
}

enum status restore_read_directory(struct env *env, struct kv **out_kv, uint64_t *out_cluster_id,
                                   struct errtext *error)
{
    struct survivor survivor = {.env = env};
    enum status status = survive(&survivor, error);
    wal_close(survivor.wal);
    kv_loader_free(survivor.loader);
    if (status != ST_OK) {
        kv_free(survivor.kv);
        return status;
    }
    *out_kv = survivor.kv;
    *out_cluster_id = survivor.meta.cluster_id;
    return ST_OK;
}
