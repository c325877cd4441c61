#include "audit/audit_replay.h"

#include "base/mem.h"

/* What the initial configuration stands for: the entry before the first of every log. */
static const struct entry_id FOUNDATION = {.term = 1, .index = 1};

struct run {
    struct audit_replay *replay;
    struct kv *kv;
    struct audit_judge *judge;
    raft_index last;
    uint64_t revision;
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
    if (config_decode(entry_data(entry), &config) == ST_OK)
        kv_apply_config(run->kv, entry->id, &config);
    else
        stop(run, entry, "a configuration that is malformed");
}

static void on_entry(void *ctx, const struct entry *entry)
{
    struct run *run = ctx;
    if (run->status != ST_OK)
        return;
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
    if (run->status == ST_OK)
        add_step(run, entry->id, entry->checksum);
}

enum status audit_replay_run(struct audit_replay *replay, struct env *env, const struct meta *meta,
                             struct audit_report *report, struct errtext *error)
{
    *replay = (struct audit_replay){.meta = *meta, .first = FOUNDATION.index};
    struct kv_options options = {0};
    struct run run = {.replay = replay,
                      .kv = kv_new(&options),
                      .judge = audit_judge_new(meta->node, report),
                      .error = error};
    kv_apply_config(run.kv, FOUNDATION, &meta->initial);
    add_step(&run, FOUNDATION, 0);
    struct kv_stats stats;
    kv_stats(run.kv, &stats);
    run.revision = stats.revision;

    enum status status = audit_log_read(env, meta, on_entry, &run, &replay->log, error);
    replay->counts = *audit_judge_counts(run.judge);
    audit_judge_free(run.judge);
    kv_free(run.kv);
    if (replay->log.overruled != 0)
        audit_report_add(report,
                         (struct audit_finding){.kind = AUDIT_REPLACED,
                                                .node = meta->node,
                                                .index = replay->log.overruled},
                         "a committed entry was replaced by another");
    return status != ST_OK ? status : run.status;
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
