/* Bench: what one run of minikv bench works with, from the first question to the last line. */
#ifndef MINIKV_CLI_BENCH_H
#define MINIKV_CLI_BENCH_H

#include "base/status.h"
#include "cli/bar.h"
#include "cli/cli.h"
#include "load/load.h"

enum { BENCH_RUN_BYTES = 9 }; /* eight digits, NUL */

struct bench_target {
    char address[LIMIT_ADDRESS_BYTES];
    uint64_t node;    /* 0: not known */
    const char *role; /* borrowed of `nodes`; "" when not known */
};

struct bench {
    struct cli *cli;
    unsigned reads_percent;
    bool is_incr;
    char run[BENCH_RUN_BYTES]; /* that no other run has */
    struct buf prefix;         /* owned: of all keys of this run */

    struct template templates[LOAD_KINDS_MAX]; /* owned */
    const char *kind_names[LOAD_KINDS_MAX];
    size_t kinds_count;

    json_t *nodes;                 /* owned: as they were before it, each with its "version" */
    uint64_t leader, leader_after; /* ids; 0: nobody said so */
    struct bench_target targets[LOAD_TARGETS_MAX];
    struct load_target addresses[LOAD_TARGETS_MAX];
    size_t targets_count, primaries_count;

    struct bar bar;
    time_t started; /* of the measurement */
    struct load_result result;
    struct histogram latency; /* of all kinds */
    bool is_interrupted;
    uint64_t removed, left; /* keys, afterwards */
    bool knows_left;        /* else `left` means nothing */
};

static inline bool bench_has_reads(const struct bench *bench)
{
    return bench->reads_percent > 0;
}

static inline bool bench_has_writes(const struct bench *bench)
{
    return bench->reads_percent < 100;
}

/* ---- bench_nodes.c ---- */

/* Asks the cluster who is there, and notes where connections go; says why not. */
enum exit_code bench_find_nodes(struct bench *bench);
/* Who leads now, as far as somebody says so. */
void bench_note_leader_after(struct bench *bench);

/* ---- bench_clean.c ---- */

/* Removes the keys of this run, in transactions of a thousand, for LIMIT_BENCH_CLEAN_SECONDS at
 * most, or until `is_stopped` says so; then says what is left. */
void bench_clean(struct bench *bench, bool (*is_stopped)(void));

/* ---- what came of it ---- */

void bench_print(const struct bench *bench);
json_t *bench_json(const struct bench *bench);
/* An SVG document. */
void bench_put_plot(const struct bench *bench, struct buf *out);

/* ---- words that these share ---- */

void bench_put_count(struct buf *out, uint64_t count); /* "1,234,567" */
void bench_put_time(struct buf *out, double us);       /* "742 µs", "1.24 ms", "2.10 s" */
/* "put at the leader", "90 % get, 10 % put (stale) at all nodes" */
void bench_put_work(struct buf *out, const struct bench *bench);
/* "16 connections, 4 requests under way on each; 5,000 requests a second, when each is due" */
void bench_put_manner(struct buf *out, const struct bench *bench);
/* "3 nodes of MiniKV 0.1.0, node 2 leads" */
void bench_put_cluster(struct buf *out, const struct bench *bench);
/* "10,000 keys under bench/1f00ba40/, values of 100 B" */
void bench_put_keys(struct buf *out, const struct bench *bench);
static inline bool bench_is_clean(const struct bench *bench)
{
    return bench->knows_left && bench->left == 0;
}

/* Good ones a second, those after the end not counted. */
double bench_rate(const struct bench *bench, uint64_t good);

#endif
