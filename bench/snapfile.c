/* What a snapshot does to the log's latency, and how fast one is read back.
 *
 *      minikv-snapfile DIRECTORY [MIB] [MIB_PER_SECOND]
 *
 * Frames of 64 entries of 100 bytes are appended one after the other, as fast as they become
 * durable: alone, while a snapshot is written at the given pace, and while one is written as fast
 * as the disk takes it. Then the snapshot is read and checked from front to back. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "storage/snapfile.h"
#include "storage/wal.h"
#include "uv/uv_env.h"

enum { ENTRIES = 64, ENTRY_BYTES = 100, SAMPLES_MAX = 4 * 1000 * 1000 };

#define ALONE_US  ((time_us)5000000)
#define MIB_BYTES ((uint64_t)1024 * 1024)

struct bench {
    struct env *env;
    struct wal *wal;
    raft_index next;
    uint64_t sequence;
    time_us appended_at;
    uint32_t *samples; /* owned; microseconds */
    size_t samples_count;
    bool is_over;

    uint64_t content_left;
    uint8_t *content; /* owned; 1 MiB of noise */
    struct snapshot_info info;
    struct env_timer timer;
};

static void append(struct bench *bench)
{
    struct entry *entries[ENTRIES];
    for (size_t i = 0; i < ENTRIES; i++) {
        entries[i] = entry_new(ENTRY_COMMAND, ENTRY_BYTES);
        memset(entries[i]->data, (int)i, ENTRY_BYTES);
        entry_seal(entries[i], (struct entry_id){1, bench->next++});
    }
    bench->appended_at = env_now(bench->env);
    if (wal_append(bench->wal, NULL, entries, ENTRIES, 0, &bench->sequence) != ST_OK)
        abort();
    for (size_t i = 0; i < ENTRIES; i++)
        entry_unref(entries[i]);
}

static void on_durable(void *ctx, uint64_t sequence)
{
    struct bench *bench = ctx;
    if (sequence != bench->sequence)
        return;
    if (bench->samples_count < SAMPLES_MAX)
        bench->samples[bench->samples_count++] =
            (uint32_t)(env_now(bench->env) - bench->appended_at);
    if (!bench->is_over)
        append(bench);
}

static void on_failed(void *ctx, enum status status)
{
    (void)fprintf(stderr, "the log failed: %s\n", status_info(status)->title);
    exit(1);
}

static int compare(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return left < right ? -1 : left > right;
}

static void report(struct bench *bench, const char *what, time_us elapsed)
{
    size_t count = bench->samples_count;
    qsort(bench->samples, count, sizeof bench->samples[0], compare);
    (void)printf(
        "%-28s %8zu frames %8.0f entries/s  p50 %5u us  p99 %5u us  p99.9 %6u us  max %6u us", what,
        count, (double)count * ENTRIES * 1e6 / (double)elapsed, bench->samples[count / 2],
        bench->samples[count * 99 / 100], bench->samples[count * 999 / 1000],
        bench->samples[count - 1]);
}

static bool read_content(void *ctx, size_t bytes_max, struct buf *out)
{
    struct bench *bench = ctx;
    size_t count = (size_t)MIN((uint64_t)bytes_max, bench->content_left);
    buf_put(out, bytes_of(bench->content, count));
    bench->content_left -= count;
    return bench->content_left > 0;
}

static void on_written(void *ctx, enum status status, const struct snapshot_info *info)
{
    struct bench *bench = ctx;
    if (status != ST_OK) {
        (void)fprintf(stderr, "the snapshot failed: %s\n", status_info(status)->title);
        exit(1);
    }
    bench->info = *info;
    bench->is_over = true;
}

static void on_timer(void *ctx)
{
    struct bench *bench = ctx;
    bench->is_over = true;
}

static bool is_over(void *ctx)
{
    struct bench *bench = ctx;
    return bench->is_over;
}

static time_us run(struct bench *bench)
{
    time_us began = env_now(bench->env);
    bench->is_over = false;
    bench->samples_count = 0;
    append(bench);
    (void)uv_env_run_until(bench->env, is_over, bench, (time_us)600000000);
    return env_now(bench->env) - began;
}

static void run_with_snapshot(struct bench *bench, const char *what, uint64_t bytes,
                              uint64_t bytes_per_second)
{
    struct snapfile_options options = {
        .cluster_id = 1, .last = {1, bench->next - 1}, .bytes_per_second = bytes_per_second};
    bench->content_left = bytes;
    (void)snapfile_write_start(bench->env, &options, read_content, on_written, bench);
    time_us elapsed = run(bench);
    report(bench, what, elapsed);
    (void)printf("  snapshot %.2f s, %.0f MB/s\n", (double)elapsed / 1e6,
                 (double)bench->info.bytes / (double)elapsed);
}

static void on_begin(void *ctx, struct entry_id last)
{
    (void)ctx;
    (void)last;
}

static enum status on_feed(void *ctx, struct bytes content)
{
    *(uint64_t *)ctx += content.count;
    return ST_OK;
}

static void read_back(struct bench *bench)
{
    uint64_t bytes = 0;
    struct snapshot_info info;
    struct errtext error;
    struct snapfile_sink sink = {.begin = on_begin, .feed = on_feed, .ctx = &bytes};
    struct timespec began, ended;
    (void)clock_gettime(CLOCK_MONOTONIC, &began);
    if (snapfile_load_newest(bench->env, 1, &sink, &info, &error) != ST_OK) {
        (void)fprintf(stderr, "%s\n", error.text);
        exit(1);
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &ended);
    double seconds =
        (double)(ended.tv_sec - began.tv_sec) + (double)(ended.tv_nsec - began.tv_nsec) / 1e9;
    (void)printf("read back and checked: %.2f s, %.0f MB/s\n", seconds,
                 (double)bytes / seconds / 1e6);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        (void)fputs("usage: minikv-snapfile DIRECTORY [MIB] [MIB_PER_SECOND]\n", stderr);
        return 2;
    }
    uint64_t bytes = (argc > 2 ? strtoull(argv[2], NULL, 10) : 1024) * MIB_BYTES;
    uint64_t pace = (argc > 3 ? strtoull(argv[3], NULL, 10) : 100) * MIB_BYTES;
    struct bench bench = {.next = 1};
    struct errtext error;
    struct uv_env_options env_options = {.data_dir = argv[1], .write_on_thread = true};
    if (uv_env_new(&env_options, &bench.env, &error) != ST_OK)
        return 1;
    struct wal_options options = {
        .directory = "wal", .segment_bytes = WAL_SEGMENT_BYTES_DEFAULT, .owner = {1, 2}};
    struct wal_callbacks callbacks = {
        .on_durable = on_durable, .on_failed = on_failed, .ctx = &bench};
    struct wal_recovered recovered;
    if (wal_open(bench.env, &options, &callbacks, NULL, NULL, &bench.wal, &recovered, &error) !=
        ST_OK) {
        (void)fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    bench.next = recovered.last.index + 1;
    bench.samples = mem_alloc_array(SAMPLES_MAX, sizeof bench.samples[0]);
    bench.content = mem_alloc_raw(MIB_BYTES);
    for (size_t i = 0; i < MIB_BYTES; i++)
        bench.content[i] = (uint8_t)(i * 2654435761u >> 11);

    env_timer_init(&bench.timer, on_timer, &bench);
    for (int round = 0; round < 2; round++) {
        env_timer_set(bench.env, &bench.timer, env_now(bench.env) + ALONE_US);
        time_us elapsed = run(&bench);
        report(&bench, "alone", elapsed);
        (void)putchar('\n');
        run_with_snapshot(&bench, "with a snapshot at that pace", bytes, pace);
        run_with_snapshot(&bench, "with one unpaced", bytes, 0);
    }
    read_back(&bench);
    wal_close(bench.wal);
    uv_env_free(bench.env);
    mem_free(bench.samples);
    mem_free(bench.content);
    return 0;
}
