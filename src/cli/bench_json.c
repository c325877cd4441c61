/* minikv bench: what came of it, for programs. */
#include <time.h>

#include "cli/ask.h"
#include "cli/bench.h"
#include "cli/nodes.h"

static void set(json_t *object, const char *name, json_t *value)
{
    (void)json_object_set_new(object, name, value);
}

static void set_number(json_t *object, const char *name, uint64_t number)
{
    set(object, name, json_integer((json_int_t)number));
}

static json_t *latency_json(const struct histogram *latency)
{
    static const struct {
        const char *name;
        double share;
    } percentiles[] = {{"p50", 0.5},  {"p75", 0.75},   {"p90", 0.9},     {"p95", 0.95},
                       {"p99", 0.99}, {"p999", 0.999}, {"p9999", 0.9999}};
    json_t *root = json_object();
    set(root, "mean", json_real(histogram_mean_us(latency)));
    for (size_t i = 0; i < ARRAY_COUNT(percentiles); i++)
        set(root, percentiles[i].name,
            json_real(histogram_percentile_us(latency, percentiles[i].share)));
    set(root, "max", json_real((double)latency->max / 1000));
    return root;
}

/* The buckets that have something: [from µs, how many]. */
static json_t *buckets_json(const struct histogram *latency)
{
    json_t *root = json_array();
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        if (latency->buckets[i] > 0)
            (void)json_array_append_new(root,
                                        json_pack("[f, I]", (double)histogram_bucket_ns(i) / 1000,
                                                  (json_int_t)latency->buckets[i]));
    return root;
}

static json_t *kinds_json(const struct bench *bench)
{
    json_t *root = json_array();
    for (size_t i = 0; i < bench->kinds_count; i++) {
        const struct histogram *latency = &bench->result.latencies[i];
        (void)json_array_append_new(root, json_pack("{s:s, s:I, s:o}", "work", bench->kind_names[i],
                                                    "answered", (json_int_t)latency->count,
                                                    "latency_us", latency_json(latency)));
    }
    return root;
}

static json_t *series_json(const struct series *series)
{
    json_t *good = json_array(), *bad = json_array(), *max = json_array();
    for (size_t i = 0; i < series->count; i++) {
        const struct series_step *step = &series->steps[i];
        (void)json_array_append_new(good, json_integer((json_int_t)step->good));
        (void)json_array_append_new(bad, json_integer((json_int_t)step->bad));
        (void)json_array_append_new(max, json_real((double)step->max / 1000));
    }
    return json_pack("{s:f, s:o, s:o, s:o}", "step_s", (double)series->step_ns / 1e9, "answered",
                     good, "failed", bad, "max_us", max);
}

static json_t *errors_json(const struct load_errors *errors)
{
    json_t *root = json_array();
    for (size_t i = 0; i < errors->count; i++)
        (void)json_array_append_new(root,
                                    json_pack("{s:s, s:s, s:I}", "word", errors->errors[i].word,
                                              "effect", effect_name(errors->errors[i].effect),
                                              "count", (json_int_t)errors->errors[i].count));
    return root;
}

static json_t *targets_json(const struct bench *bench)
{
    json_t *root = json_array();
    for (size_t i = 0; i < bench->targets_count; i++)
        (void)json_array_append_new(
            root, json_pack("{s:I, s:s, s:s, s:b, s:I}", "id", (json_int_t)bench->targets[i].node,
                            "http", bench->targets[i].address, "role", bench->targets[i].role,
                            "spare", i >= bench->primaries_count, "answered",
                            (json_int_t)bench->result.target_counts[i]));
    return root;
}

static json_t *options_json(const struct bench *bench)
{
    static const char *const places[] = {[CLI_AT_ENDPOINTS] = "endpoints",
                                         [CLI_AT_LEADER] = "leader",
                                         [CLI_AT_FOLLOWER] = "follower",
                                         [CLI_AT_ALL] = "all"};
    const struct cli *cli = bench->cli;
    const struct cli_bench *asked = &cli->bench;
    json_t *root = json_object();
    set(root, "at", json_string(places[asked->at]));
    set_number(root, "reads_percent", bench->reads_percent);
    set(root, "write", json_string(bench->is_incr ? "incr" : "put"));
    set(root, "stale", json_boolean(cli->is_stale));
    set(root, "client_ids", json_boolean(asked->has_client_ids));
    set_number(root, "connections", asked->connections);
    set_number(root, "pipeline", asked->pipeline);
    set(root, "duration_s", json_real((double)asked->duration / 1e6));
    set_number(root, "requests", asked->requests);
    set_number(root, "rate", asked->rate);
    set_number(root, "keys", asked->keys);
    set_number(root, "value_bytes", asked->value_bytes);
    set(root, "timeout_s", json_real((double)cli->connect.timeout / 1e6));
    set(root, "keep", json_boolean(asked->keeps));
    ask_set_bytes(root, "prefix", buf_bytes(&bench->prefix));
    return root;
}

static json_t *cluster_json(const struct bench *bench)
{
    json_t *root = json_object();
    set(root, "nodes", json_incref(bench->nodes));
    set_number(root, "leader", bench->leader);
    set_number(root, "leader_after", bench->leader_after);
    return root;
}

static void set_counts(json_t *root, const struct bench *bench)
{
    const struct load_result *result = &bench->result;
    const struct {
        const char *name;
        uint64_t count;
    } counts[] = {{"sent", result->sent_count},
                  {"answered", bench->latency.count},
                  {"answered_late", result->late_count},
                  {"refused", result->bad_count},
                  {"unanswered", result->failed_count},
                  {"maybe", load_errors_total(&result->errors, EFFECT_MAYBE)},
                  {"unsent", result->unsent_count},
                  {"connections_lost", result->lost_count},
                  {"connections_moved", result->moved_count},
                  {"keys_removed", bench->removed}};
    for (size_t i = 0; i < ARRAY_COUNT(counts); i++)
        set_number(root, counts[i].name, counts[i].count);
    set(root, "keys_left", bench->knows_left ? json_integer((json_int_t)bench->left) : json_null());
}

json_t *bench_json(const struct bench *bench)
{
    char started[32];
    struct tm utc;
    struct buf work;
    json_t *root = json_object();
    (void)gmtime_r(&bench->started, &utc);
    (void)strftime(started, sizeof started, "%Y-%m-%dT%H:%M:%SZ", &utc);
    buf_init(&work, 256);
    bench_put_work(&work, bench);
    set(root, "minikv", json_string(MINIKV_VERSION));
    set(root, "started", json_string(started));
    set(root, "work", json_string(buf_text(&work)));
    set(root, "options", options_json(bench));
    set(root, "cluster", cluster_json(bench));
    set(root, "interrupted", json_boolean(bench->is_interrupted));
    set(root, "seconds", json_real(bench->result.seconds));
    set(root, "per_second", json_real(bench_rate(bench, bench->latency.count)));
    set_counts(root, bench);
    set(root, "latency_from", json_string(bench->cli->bench.rate != 0 ? "due" : "sent"));
    set(root, "coordinated_omission", json_boolean(bench->cli->bench.rate == 0));
    set(root, "latency_us", latency_json(&bench->latency));
    set(root, "kinds", kinds_json(bench));
    set(root, "targets", targets_json(bench));
    set(root, "errors", errors_json(&bench->result.errors));
    set(root, "histogram_us", buckets_json(&bench->latency));
    set(root, "series", series_json(&bench->result.series));
    buf_release(&work);
    return root;
}
