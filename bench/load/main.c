/* minikv-load: keeps N HTTP/1.1 connections busy and reports rate and latency as one line of JSON.
 *
 * The request is a template; in path and body %k is a key (16 bytes, drawn at random), %K the same
 * in base64, %v a value, %V the same in base64; so that the identical program drives MiniKV and the
 * JSON gateway of etcd. */
#include "load/load.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void print_result(const struct options *options, const struct load_result *result)
{
    const struct histogram *latency = &result->latency;
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

int main(int argc, char **argv)
{
    static struct options options;
    static struct request request;
    static struct load_result result;
    options_parse(&options, argc, argv);
    request_render(&request, &options);
    load_run(&options, &request, &result);
    print_result(&options, &result);
    return result.latency.count > 0 ? 0 : 1;
}
