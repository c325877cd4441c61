/* What a session costs the state machine, in nanoseconds per PUT: the same commands applied with
 * and without an identity, in turns.
 *
 *      minikv-kv-session [remembered] [active]
 *
 * `remembered` clients have one result each; `active` of them, or others, write in turn, and
 * acknowledge each answer with the next write. CPU time, so that other work on the machine disturbs
 * less. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/limits.h"
#include "kv/kv.h"

enum { KEYS = 10000, VALUE_BYTES = 100, PER_ROUND = 200000, ROUNDS = 15, WARM_UP = 20000 };

struct bench {
    struct kv *kv;
    uint64_t index;
    uint64_t sequence;
    uint32_t active;
    struct buf command;
    uint8_t value[VALUE_BYTES];
};

static double now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Makes one command and applies it; the time of both, as a leader spends both. */
static void put(struct bench *bench, uint32_t number, const char *client, uint64_t sequence)
{
    char key[24];
    struct kv_result result;
    (void)snprintf(key, sizeof key, "key-%012u", (number * 2654435761u) % KEYS);
    struct command command = {
        .op = COMMAND_PUT, .key = bytes_of_text(key), .value = bytes_of(bench->value, VALUE_BYTES)};
    if (client != NULL) {
        command.identity.client = bytes_of_text(client);
        command.identity.sequence = sequence;
        command.identity.acked = sequence - 1;
    }
    buf_reset(&bench->command);
    command_encode(&command, &bench->command);
    bench->index++;
    struct proposal proposal = {.stamp_us = bench->index, .command = buf_bytes(&bench->command)};
    kv_apply(bench->kv, (struct entry_id){1, bench->index}, &proposal, &result);
    if (result.status != ST_OK || result.is_replayed)
        abort();
}

static double round_ns(struct bench *bench, uint32_t count, bool is_sessioned)
{
    double since = now_ns();
    for (uint32_t i = 0; i < count; i++) {
        char client[24];
        /* Made in both cases, used in one: only the session differs. */
        (void)snprintf(client, sizeof client, "client-%08u", i % bench->active * 7919);
        put(bench, i, is_sessioned ? client : NULL, bench->sequence + i / bench->active);
    }
    if (is_sessioned)
        bench->sequence += count / bench->active + 1;
    return (now_ns() - since) / count;
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof *values, compare);
    return values[count / 2];
}

int main(int argc, char **argv)
{
    struct bench bench = {.kv = kv_new(&(struct kv_options){0}), .sequence = 2};
    uint32_t remembered = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 0;
    bench.active = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 64;
    if (bench.active == 0 || remembered > LIMIT_SESSIONS / 2) {
        fputs("usage: minikv-kv-session [remembered] [active]\n", stderr);
        return 2;
    }
    buf_init(&bench.command, LIMIT_COMMAND_BYTES);
    for (uint32_t i = 0; i < remembered; i++) {
        char client[24];
        (void)snprintf(client, sizeof client, "client-%08u", i);
        put(&bench, i, client, 1);
    }
    double plain[ROUNDS], sessioned[ROUNDS];
    (void)round_ns(&bench, WARM_UP, true);
    for (size_t i = 0; i < ROUNDS; i++) {
        plain[i] = round_ns(&bench, PER_ROUND, false);
        sessioned[i] = round_ns(&bench, PER_ROUND, true);
    }
    double without = median(plain, ROUNDS), with = median(sessioned, ROUNDS);
    printf("%u remembered, %u active: PUT %.0f ns without, %.0f ns with: a session costs %.0f ns\n",
           remembered, bench.active, without, with, with - without);
    buf_release(&bench.command);
    kv_free(bench.kv);
    return 0;
}
