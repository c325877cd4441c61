#include "audit/audit_replay.h"

#include "base/mem.h"
#include "storage/snapfile.h"

/* What the initial configuration stands for: the entry before the first of every log. */
static const struct entry_id FOUNDATION = {.term = 1, .index = 1};

struct run {
    struct audit_replay *replay;
    struct kv *kv;
    struct audit_judge *judge;
    raft_index last;
    uint64_t revision;
    const struct kv *snapshot; /* to hold against the state at its index; NULL: nothing */
    struct audit_report *report;
    enum status status; /* ST_OK, or why the replay has stopped */
    struct errtext *error;
};

static void add_step(struct run *run, struct entry_id id, uint32_t checksum)
{
    struct audit_replay *replay = run->replay;
    if (replay->steps_count == replay->steps_capacity) {
        replay->steps_capacity += replay->steps_capacity / 2 + 1024;
        replay->steps = mem_realloc(replay->steps, replay->steps_capacity * sizeof *replay->steps);
    }
    replay->steps[replay->steps_count++] =
        (struct audit_step){.term = id.term, .digest = kv_digest(run->kv), .checksum = checksum};
    run->last = id.index;
}

static void stop(struct run *run, const struct entry *entry, const char *what)
{
    errtext_set(run->error, "entry %llu: %s", (unsigned long long)entry->id.index, what);
    run->status = ST_CORRUPT;
}

static void apply_command(struct run *run, const struct entry *entry)
{
    struct proposal proposal = {0};
    struct kv_result result;
    struct kv_stats stats;
    bool is_whole = proposal_decode(entry_data(entry), &proposal) == ST_OK;
    kv_apply(run->kv, entry->id, &proposal, &result);
    kv_stats(run->kv, &stats);
    bool has_changed = stats.revision != run->revision;
    run->revision = stats.revision;
    if (is_whole)
        audit_judge_hear(run->judge, entry->id, &proposal, &result, has_changed);
}

static void apply_config(struct run *run, const struct entry *entry)
{
    struct config config;
    if (entry_config(entry, &config) == ST_OK)
        kv_apply_config(run->kv, entry->id, &config);
    else
        stop(run, entry, "a configuration that is malformed");
}

/* What this node's disk says the state was here. */
static void compare_snapshot(struct run *run, struct entry_id id)
{
    if (run->snapshot == NULL || id.index != run->replay->snapshot.index)
        return;
    bool is_same =
        id.term == run->replay->snapshot.term && kv_digest(run->kv) == kv_digest(run->snapshot);
    if (!is_same)
        audit_report_add(run->report,
                         (struct audit_finding){.kind = AUDIT_STATES,
                                                .node = run->replay->meta.node,
                                                .index = id.index},
                         "the snapshot in the directory is another state than the log makes");
}

static void on_entry(void *ctx, const struct entry *entry)
{
    struct run *run = ctx;
    if (run->status != ST_OK ||
        (run->replay->is_behind_snapshot && entry->id.index <= run->replay->first))
        return; /* the state begins behind it */
    if (entry->id.index != run->last + 1)
        return stop(run, entry, "the log begins here, and what came before it is not there");
    if (entry->id.term < run->replay->steps[run->replay->steps_count - 1].term)
        return stop(run, entry, "its term is lower than that of the entry before it");
    switch (entry->type) {
    case ENTRY_NOOP:
        kv_apply_noop(run->kv, entry->id);
        break;
    case ENTRY_COMMAND:
        apply_command(run, entry);
        break;
    case ENTRY_CONFIG:
        apply_config(run, entry);
        break;
    }
    if (run->status != ST_OK)
        return;
    add_step(run, entry->id, entry->checksum);
    compare_snapshot(run, entry->id);
}

/* ---- snapshots ---- */

struct loading {
    struct kv_loader *loader; /* owned */
    struct audit_report *report;
    node_id node;
};

static void on_begin(void *ctx, struct entry_id last)
{
    struct loading *loading = ctx;
    struct kv_options options = {0};
    (void)last;
    kv_loader_free(loading->loader);
    loading->loader = kv_loader_new(&options);
}

static enum status on_content(void *ctx, struct bytes content)
{
    struct loading *loading = ctx;
    return kv_loader_feed(loading->loader, content);
}

static void on_damaged(void *ctx, const char *text)
{
    struct loading *loading = ctx;
    struct audit_finding finding = {.kind = AUDIT_DAMAGED, .node = loading->node};
    if (loading->report != NULL)
        audit_report_add(loading->report, finding, "a snapshot is damaged: %s", text);
}

/* The first whole one of these as a state; NULL: there is none. */
static enum status load_state(struct env *env, const struct meta *meta,
                              const struct snapshot_info *infos, size_t infos_count,
                              struct audit_report *report, struct kv **out_kv,
                              struct entry_id *out_last, struct errtext *error)
{
    struct loading loading = {.report = report, .node = meta->node};
    struct snapfile_sink sink = {
        .begin = on_begin, .feed = on_content, .on_damaged = on_damaged, .ctx = &loading};
    struct snapshot_info info;
    enum status status =
        snapfile_load_first(env, meta->cluster_id, infos, infos_count, &sink, &info, error);
    *out_kv = NULL;
    if (status == ST_OK) {
        status = kv_loader_finish(loading.loader, out_kv);
        loading.loader = NULL;
        *out_last = info.last;
        if (status != ST_OK)
            errtext_set(error, "a snapshot is whole, but its content is not a state");
    }
    kv_loader_free(loading.loader);
    /* If the log needs one, that is told then. */
    return status == ST_NOT_FOUND || status == ST_CORRUPT ? ST_OK : status;
}

/* ---- where the state begins ---- */

struct base {
    struct snapshot_info *infos; /* owned; the oldest first */
    size_t infos_count;
    struct kv *state;     /* owned until the run has it */
    struct kv *witness;   /* owned; the same, and stays as it is */
    struct kv *newest;    /* owned; NULL: none */
    struct entry_id last; /* of `state`; {0,0}: none */
};

static void base_release(struct base *base)
{
    mem_free(base->infos);
    kv_free(base->state);
    kv_free(base->witness);
    kv_free(base->newest);
}

static enum status base_list(struct base *base, struct env *env, struct errtext *error)
{
    size_t listed = 0;
    enum status status = snapfile_list(env, NULL, 0, &base->infos_count);
    base->infos = mem_alloc_array(base->infos_count + 1, sizeof *base->infos);
    if (status == ST_OK)
        status = snapfile_list(env, base->infos, base->infos_count, &listed);
    if (status != ST_OK)
        errtext_set(error, SNAPFILE_DIRECTORY ": %s", status_info(status)->title);
    for (size_t i = 0; i < base->infos_count / 2; i++) { /* the newest came first */
        struct snapshot_info info = base->infos[i];
        base->infos[i] = base->infos[base->infos_count - 1 - i];
        base->infos[base->infos_count - 1 - i] = info;
    }
    return status;
}

/* The log alone makes the state, as long as it has its front. */
static bool begins_at_foundation(const struct audit_replay *replay)
{
    return replay->log.has_front && replay->meta.initial.members_count > 0;
}

/* Whether the log goes on behind this snapshot. */
static bool leads_on(const struct audit_log *log, raft_index index)
{
    return log->first != 0 ? log->first <= index + 1 : log->snapshot.index <= index;
}

/* The oldest that the log goes on behind: the more of the log is judged. */
static enum status base_choose(struct base *base, const struct audit_replay *replay,
                               struct env *env, struct audit_report *report, struct errtext *error)
{
    size_t useless = 0;
    while (useless < base->infos_count && !leads_on(&replay->log, base->infos[useless].last.index))
        useless++;
    const struct snapshot_info *infos = base->infos + useless;
    size_t count = base->infos_count - useless;
    enum status status =
        load_state(env, &replay->meta, infos, count, report, &base->state, &base->last, error);
    if (status == ST_OK)
        status =
            load_state(env, &replay->meta, infos, count, NULL, &base->witness, &base->last, error);
    if (status != ST_OK || base->state != NULL)
        return status;
    if (replay->log.entries_count == 0 && replay->log.snapshot.index == 0)
        return ST_NOT_FOUND; /* it has joined, and got nothing yet */
    errtext_set(error,
                "the log begins at entry %llu, and the snapshot at %llu that stands for what is "
                "before it is missing or damaged",
                (unsigned long long)replay->log.first,
                (unsigned long long)replay->log.snapshot.index);
    return ST_CORRUPT;
}

static enum status base_load(struct base *base, struct audit_replay *replay, struct env *env,
                             struct audit_report *report, struct errtext *error)
{
    enum status status = base_list(base, env, error);
    replay->is_behind_snapshot = !begins_at_foundation(replay);
    if (status == ST_OK && replay->is_behind_snapshot)
        status = base_choose(base, replay, env, report, error);
    if (status == ST_OK && base->infos_count > 0)
        status = load_state(env, &replay->meta, base->infos + base->infos_count - 1, 1, report,
                            &base->newest, &replay->snapshot, error);
    return status;
}

/* ---- the run ---- */

static void begin_run(struct run *run, struct base *base)
{
    struct audit_replay *replay = run->replay;
    struct kv_options options = {0};
    struct kv_stats stats;
    struct entry_id from = FOUNDATION;
    if (base->state != NULL) {
        from = base->last;
        run->kv = base->state;
        base->state = NULL;
        audit_judge_begin(run->judge, base->witness);
    } else {
        run->kv = kv_new(&options);
        kv_apply_config(run->kv, FOUNDATION, &replay->meta.initial);
    }
    run->snapshot = base->newest;
    replay->first = from.index;
    add_step(run, from, 0);
    replay->steps[0].is_base = true;
    kv_stats(run->kv, &stats);
    run->revision = stats.revision;
}

static void report_overruled(const struct audit_replay *replay, struct audit_report *report)
{
    struct audit_finding finding = {
        .kind = AUDIT_REPLACED, .node = replay->meta.node, .index = replay->log.overruled};
    if (replay->log.overruled != 0)
        audit_report_add(report, finding, "a committed entry was replaced by another");
}

static enum status run_on(struct audit_replay *replay, struct env *env, struct base *base,
                          struct audit_report *report, struct errtext *error)
{
    struct run run = {.replay = replay,
                      .judge = audit_judge_new(replay->meta.node, report),
                      .report = report,
                      .error = error};
    begin_run(&run, base);
    enum status status = audit_log_read(env, &replay->meta, on_entry, &run, &replay->log, error);
    replay->counts = *audit_judge_counts(run.judge);
    audit_judge_free(run.judge);
    kv_free(run.kv);
    report_overruled(replay, report);
    return status != ST_OK ? status : run.status;
}

/* The log is read twice: only its end says where the state begins. A log that is damaged is judged
 * as far as it goes. */
enum status audit_replay_run(struct audit_replay *replay, struct env *env, const struct meta *meta,
                             struct audit_report *report, struct errtext *error)
{
    *replay = (struct audit_replay){.meta = *meta};
    struct base base = {.infos = NULL};
    struct errtext ignored;
    enum status why_not = ST_OK;
    enum status status = audit_log_read(env, meta, NULL, NULL, &replay->log, error);
    if (status == ST_OK)
        why_not = base_load(&base, replay, env, report, error);
    enum status end = run_on(replay, env, &base, report, why_not == ST_OK ? error : &ignored);
    base_release(&base);
    return why_not != ST_OK ? why_not : end;
}

void audit_replay_release(struct audit_replay *replay)
{
    mem_free(replay->steps);
    *replay = (struct audit_replay){0};
}

raft_index audit_replay_last(const struct audit_replay *replay)
{
    return replay->first + replay->steps_count - 1;
}

const struct audit_step *audit_replay_step(const struct audit_replay *replay, raft_index index)
{
    if (index < replay->first || index - replay->first >= replay->steps_count)
        return NULL;
    return &replay->steps[index - replay->first];
}
