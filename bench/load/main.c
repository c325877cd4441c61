/* minikv-load: keeps N HTTP/1.1 connections busy and reports rate and latency as one line of JSON.
 *
 * The request is a template; in path and body %k is a key (16 bytes, drawn at random), %K the same
 * in base64, %v a value, %V the same in base64; so that the identical program drives MiniKV and the
 * JSON gateway of etcd. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>

#include "options.h"

/* A server that does not answer for so long is no longer measured. */
#define TIMEOUT_NS UINT64_C(60000000000)

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void print_result(const struct options *options, const struct load_result *result)
{
    const struct histogram *latency = &result->latencies[0];
    double cpu_us = result->all_count > 0 ? cpu_seconds() * 1e6 / (double)result->all_count : 0;
    printf("{\"label\":\"%s\",\"connections\":%" PRIu32 ",\"seconds\":%.3f,\"ops\":%" PRIu64
           ",\"ops_s\":%.1f,\"bad\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"all\":%" PRIu64,
           options->label, options->connections_count, result->seconds, latency->count,
           (double)latency->count / result->seconds, result->bad_count, result->lost_count,
           result->all_count);
    printf(",\"mean_us\":%.1f,\"p50_us\":%.1f,\"p90_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f"
           ",\"max_us\":%.1f,\"client_cpu_us\":%.2f}\n",
           histogram_mean_us(latency), histogram_percentile_us(latency, 0.50),
           histogram_percentile_us(latency, 0.90), histogram_percentile_us(latency, 0.99),
           histogram_percentile_us(latency, 0.999), (double)latency->max / 1000, cpu_us);
}

/* The request asked for, and with -g the GET that is mixed with it. */
struct requests {
    struct template asked, get;
    bool has_get;
};

static void render(struct requests *out, const struct options *options)
{
    struct template_text get = options->text;
    get.method = "GET";
    get.body = NULL;
    out->has_get = options->gets_percent > 0;
    if (template_render(&out->asked, &options->text) != ST_OK ||
        (out->has_get && template_render(&out->get, &get) != ST_OK))
        die("the request is too long, or has too many places");
}

static struct load_plan plan_of(const struct options *options, const struct requests *requests)
{
    struct load_plan plan = {.targets = options->endpoints,
                             .targets_count = options->endpoints_count,
                             .primaries_count = options->endpoints_count,
                             .kinds = {{.template = &requests->asked}},
                             .kinds_count = 1,
                             .first_percent = 100 - options->gets_percent,
                             .connections_count = options->connections_count,
                             .pipeline = options->pipeline,
                             .keys_count = options->keys_count,
                             .is_sequential = options->is_sequential,
                             .requests_max = options->is_sequential ? options->keys_count : 0,
                             .rate = options->rate,
                             .warm_up_ns = (uint64_t)(options->warm_up_seconds * 1e9),
                             .run_ns = (uint64_t)(options->seconds * 1e9),
                             .timeout_ns = TIMEOUT_NS,
                             .stays = true};
    if (requests->has_get)
        plan.kinds[plan.kinds_count++] = (struct load_kind){.template = &requests->get};
    return plan;
}

int main(int argc, char **argv)
{
    static struct options options;
    static struct load_result result;
    static struct requests requests;
    struct errtext error = {""};
    options_parse(&options, argc, argv);
    render(&requests, &options);
    struct load_plan plan = plan_of(&options, &requests);
    if (!load_run(&plan, &result, &error)) {
        errno = 0;
        die(error.text);
    }
    if (result.bad_count > 0)
        fprintf(stderr, "first bad reply: %s\n", result.first_bad);
    if (requests.has_get)
        histogram_merge(&result.latencies[0], &result.latencies[1]);
    print_result(&options, &result);
    template_release(&requests.asked);
    if (requests.has_get)
        template_release(&requests.get);
    return result.latencies[0].count > 0 ? 0 : 1;
}
