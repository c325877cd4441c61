/* What an image of the state costs, and a state made of one.
 *
 *      minikv-kv-image [keys]
 *
 * Keys of 24 bytes, values of 100. Batches of 64 writes are applied all the time, alone, then
 * between the pieces of an image, of 256 KiB each; so that what a batch takes is told with and
 * without an image, and so is what a piece takes, which everything else waits for meanwhile. CPU
 * time, so that other work on the machine disturbs less. */
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/prng.h"
#include "kv/kv.h"

enum {
    KEY_BYTES = 24,
    VALUE_BYTES = 100,
    BATCH = 64,
    PIECE_BYTES = 256 * KIB,
    SAMPLES_MAX = 1 << 20,
    COLLECT = 2048
};

struct samples {
    double *us;
    size_t count;
};

struct bench {
    struct kv *kv;
    uint32_t keys_count;
    uint64_t index;
    struct prng prng;
    struct buf commands[BATCH];
};

static double now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* Of it, what the kernel took: mostly for pages used for the first time. */
static double kernel_us(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_stime.tv_sec * 1e6 + (double)usage.ru_stime.tv_usec;
}

static double resident_mib(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    INVARIANT(file != NULL);
    int fields = fscanf(file, "%*s %ld", &pages);
    (void)fclose(file);
    return fields == 1 ? (double)pages * 4096 / MIB : 0;
}

static void note(struct samples *samples, double since_us)
{
    if (samples->count < SAMPLES_MAX)
        samples->us[samples->count++] = now_us() - since_us;
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

static void tell(const char *what, struct samples *samples)
{
    if (samples->count == 0)
        return;
    qsort(samples->us, samples->count, sizeof *samples->us, compare);
    printf("%-40s %8zu  p50 %8.1f us  p99 %8.1f us  max %8.1f us\n", what, samples->count,
           samples->us[samples->count / 2], samples->us[samples->count * 99 / 100],
           samples->us[samples->count - 1]);
    (void)fflush(stdout);
    samples->count = 0;
}

static void make_put(struct bench *bench, uint32_t number, struct buf *out)
{
    char key[KEY_BYTES + 1], value[VALUE_BYTES];
    (void)snprintf(key, sizeof key, "bench/key/%014u", number);
    memset(value, (int)('a' + bench->index % 26), sizeof value);
    struct command command = {
        .op = COMMAND_PUT, .key = bytes_of(key, KEY_BYTES), .value = bytes_of(value, VALUE_BYTES)};
    buf_reset(out);
    command_encode(&command, out);
}

static void apply(struct bench *bench, struct bytes command)
{
    struct kv_result result;
    struct proposal proposal = {.stamp_us = bench->index, .command = command};
    kv_apply(bench->kv, (struct entry_id){1, ++bench->index}, &proposal, &result);
    INVARIANT(result.status == ST_OK);
}

/* In an order in which no key is near the one before. */
static void fill(struct bench *bench)
{
    double since_us = now_us();
    for (uint32_t i = 0; i < bench->keys_count; i++) {
        uint64_t number = (uint64_t)i * 7368787u % bench->keys_count; /* a prime */
        make_put(bench, (uint32_t)number, &bench->commands[0]);
        apply(bench, buf_bytes(&bench->commands[0]));
    }
    printf("%-40s %8.1f ns each, resident %.0f MiB\n", "fill",
           (now_us() - since_us) * 1e3 / bench->keys_count, resident_mib());
}

static void write_batch(struct bench *bench, struct samples *samples)
{
    struct bytes commands[BATCH];
    for (size_t i = 0; i < BATCH; i++) {
        make_put(bench, (uint32_t)prng_below(&bench->prng, bench->keys_count), &bench->commands[i]);
        commands[i] = buf_bytes(&bench->commands[i]);
    }
    double since_us = now_us();
    kv_prefetch_commands(bench->kv, commands, BATCH);
    for (size_t i = 0; i < BATCH; i++)
        apply(bench, commands[i]);
    note(samples, since_us);
}

static void write_alone(struct bench *bench, struct samples *samples, const char *what)
{
    for (int i = 0; i < 4000; i++)
        write_batch(bench, samples);
    tell(what, samples);
}

/* Gives the whole image, so that it can be loaded. */
static void read_image(struct bench *bench, struct samples *batches, struct samples *pieces,
                       bool writes, struct buf *out)
{
    double since_us = now_us(), busy_us = 0;
    struct kv_image *image = kv_pin(bench->kv);
    double pin_us = now_us() - since_us;
    struct buf piece;
    buf_init(&piece, 4 * MIB);
    if (out != NULL)
        (void)buf_reserve(out, kv_image_bytes(image));
    for (bool is_more = true; is_more;) {
        double piece_us = now_us();
        buf_reset(&piece);
        is_more = kv_image_read(image, PIECE_BYTES, &piece);
        note(pieces, piece_us);
        busy_us += now_us() - piece_us;
        if (out != NULL)
            buf_put(out, buf_bytes(&piece));
        if (writes)
            write_batch(bench, batches);
    }
    printf("%-40s %8.1f us; %" PRIu64 " MiB, %.1f ns per key, resident %.0f MiB\n", "pin", pin_us,
           kv_image_bytes(image) / MIB, busy_us * 1e3 / bench->keys_count, resident_mib());
    kv_unpin(bench->kv, image);
    buf_release(&piece);
    tell("a piece of 256 KiB", pieces);
    tell("64 writes between pieces", batches);
}

static void collect(struct bench *bench, struct samples *slices)
{
    bool is_more = true;
    while (is_more) {
        double since_us = now_us();
        is_more = kv_collect(bench->kv, COLLECT);
        note(slices, since_us);
    }
    tell("collecting 2048 objects", slices);
}

static void load(const struct bench *bench, struct bytes state)
{
    struct kv *kv = NULL;
    double since_us = now_us(), kernel_since_us = kernel_us();
    struct kv_loader *loader = kv_loader_new(&(struct kv_options){0});
    for (size_t at = 0; at < state.count; at += PIECE_BYTES) {
        struct bytes piece = bytes_of(state.data + at, MIN((size_t)PIECE_BYTES, state.count - at));
        enum status fed = kv_loader_feed(loader, piece);
        INVARIANT(fed == ST_OK);
    }
    enum status status = kv_loader_finish(loader, &kv);
    double load_us = now_us() - since_us;
    INVARIANT(status == ST_OK);
    printf("%-40s %8.3f s, of it the kernel %.3f s, %.1f ns per key, resident %.0f MiB\n", "load",
           load_us / 1e6, (kernel_us() - kernel_since_us) / 1e6, load_us * 1e3 / bench->keys_count,
           resident_mib());
    since_us = now_us();
    kv_free(kv);
    printf("%-40s %8.3f s\n", "free", (now_us() - since_us) / 1e6);
}

int main(int argc, char **argv)
{
    struct bench bench = {.keys_count = 1000000};
    struct samples batches = {.us = mem_alloc_array(SAMPLES_MAX, sizeof(double))};
    struct samples pieces = {.us = mem_alloc_array(SAMPLES_MAX, sizeof(double))};
    if (argc > 1)
        bench.keys_count = (uint32_t)strtoul(argv[1], NULL, 10);
    bench.kv = kv_new(&(struct kv_options){0});
    prng_init(&bench.prng, 1);
    for (size_t i = 0; i < BATCH; i++)
        buf_init(&bench.commands[i], LIMIT_COMMAND_BYTES);

    fill(&bench);
    write_alone(&bench, &batches, "64 writes, no image");
    read_image(&bench, &batches, &pieces, true, NULL);
    collect(&bench, &pieces);
    write_alone(&bench, &batches, "64 writes, no image");

    struct buf state;
    buf_init(&state, SIZE_MAX / 4);
    read_image(&bench, &batches, &pieces, false, &state);
    kv_free(bench.kv);
    (void)malloc_trim(0);
    printf("%-40s %8.0f MiB\n", "resident without the state", resident_mib());
    load(&bench, buf_bytes(&state));
    buf_release(&state);
    for (size_t i = 0; i < BATCH; i++)
        buf_release(&bench.commands[i]);
    mem_free(batches.us);
    mem_free(pieces.us);
    return 0;
}
