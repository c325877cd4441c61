/* minikv-sim: runs seeds, and says what became of them. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/diag.h"
#include "base/mem.h"
#include "base/status.h"
#include "sim/swarm/fleet.h"
#include "sim/swarm/options.h"
#include "sim/swarm/report.h"
#include "sim/swarm/shrink_run.h"
#include "sim/swarm/timeline.h"

enum { FRESH_SEEDS = 20, BRIEF_FROM = 100 };

static char again[OPTIONS_PINS_BYTES + 64]; /* for on_abort: how to run this once more */

/* A broken invariant has said what; here is where. */
static void on_abort(int signal_number)
{
    static const char head[] = "  again: minikv-sim --seed ", tail[] = " --trace\n";
    (void)!write(STDERR_FILENO, head, sizeof head - 1);
    (void)!write(STDERR_FILENO, again, strlen(again));
    (void)!write(STDERR_FILENO, tail, sizeof tail - 1);
    _exit(VERDICT_CRASH);
}

static int usage(const struct errtext *error)
{
    (void)fprintf(stderr, "minikv-sim: %s; see minikv-sim --help\n", error->text);
    return EXIT_CODE_USAGE;
}

/* ---- one seed ---- */

static void draw_timeline(void *ctx, const struct swarm *swarm)
{
    const struct options *options = ctx;
    const char *path = options->timeline;
    if (path == NULL)
        return;
    FILE *out = fopen(path, "w");
    if (out != NULL)
        timeline_write(out, swarm, &options->pins);
    if (out == NULL || fclose(out) != 0) {
        (void)fprintf(stderr, "minikv-sim: %s: %s\n", path, strerror(errno));
        exit(EXIT_CODE_FAILURE);
    }
}

static int run_one(const struct options *options)
{
    struct fleet_case run = {options->seed_first, options->pins};
    struct fleet_result result;
    char pins[OPTIONS_PINS_BYTES];
    struct trace trace = {.out = options->trace ? stdout : NULL,
                          .shows_messages = options->messages,
                          .keeps = options->timeline != NULL};
    (void)snprintf(again, sizeof again, "%" PRIu64 "%s", run.seed,
                   options_format_pins(&run.pins, pins));
    (void)signal(SIGABRT, on_abort);
    if (options->trace)
        trace_print_legend(stdout);
    fleet_run(&run, &trace, draw_timeline, (void *)options, &result);
    if (options->digest) {
        (void)printf("%" PRIu64 " %016" PRIx64 "\n", run.seed, result.digest);
        return (int)result.verdict;
    }
    report_legend(stdout);
    report_line(stdout, &result);
    if (result.verdict != VERDICT_PASS)
        report_failure(stdout, &result);
    return (int)result.verdict;
}

/* ---- many ---- */

struct many {
    struct report report;
    bool wants_digest;
    const struct fleet_case *cases;
    size_t cases_count;
    uint64_t *digests; /* by case; owned */
    bool *is_done;
    size_t printed_count;
};

/* In the order of the seeds, whoever ends first. */
static void print_digests(struct many *many, const struct fleet_result *result)
{
    for (size_t i = many->printed_count; i < many->cases_count; i++) {
        if (many->is_done[i] || many->cases[i].seed != result->run.seed)
            continue;
        many->digests[i] = result->digest;
        many->is_done[i] = true;
        break;
    }
    for (; many->printed_count < many->cases_count && many->is_done[many->printed_count];
         many->printed_count++)
        (void)printf("%" PRIu64 " %016" PRIx64 "\n", many->cases[many->printed_count].seed,
                     many->digests[many->printed_count]);
}

static void on_result(void *ctx, const struct fleet_result *result)
{
    struct many *many = ctx;
    if (!many->wants_digest) {
        report_add(&many->report, result);
        return;
    }
    many->report.worst = MAX(many->report.worst, result->verdict);
    if (result->verdict != VERDICT_PASS)
        report_failure(stderr, result);
    print_digests(many, result);
}

static int run_cases(const struct fleet_case *cases, size_t count, const struct options *options)
{
    struct many many = {.wants_digest = options->digest, .cases = cases, .cases_count = count};
    many.report = (struct report){.out = stdout,
                                  .is_brief = count >= BRIEF_FROM,
                                  .wanted_count = count,
                                  .jobs = options->jobs};
    many.digests = mem_alloc_array(count, sizeof many.digests[0]);
    many.is_done = mem_alloc_array(count, sizeof many.is_done[0]);
    if (!options->digest)
        report_begin(&many.report);
    bool is_good = fleet_run_all(cases, count, options->jobs, on_result, &many);
    if (!options->digest)
        report_end(&many.report);
    mem_free(many.digests);
    mem_free(many.is_done);
    if (!is_good)
        (void)fprintf(stderr, "minikv-sim: no process could be started: %s\n", strerror(errno));
    return is_good ? (int)many.report.worst : EXIT_CODE_FAILURE;
}

static int run_range(const struct options *options)
{
    size_t count = (size_t)(options->seed_last - options->seed_first) + 1;
    struct fleet_case *cases = mem_alloc_array(count, sizeof cases[0]);
    for (size_t i = 0; i < count; i++)
        cases[i] = (struct fleet_case){options->seed_first + i, options->pins};
    if (!options->digest)
        (void)printf("seeds %" PRIu64 "-%" PRIu64 "\n", options->seed_first, options->seed_last);
    int code = run_cases(cases, count, options);
    mem_free(cases);
    return code;
}

static int run_file(const struct options *options)
{
    struct fleet_case *cases = NULL;
    size_t count = 0;
    char line[1024];
    struct errtext error = {0};
    FILE *in = fopen(options->file, "r");
    if (in == NULL) {
        (void)fprintf(stderr, "minikv-sim: %s: %s\n", options->file, strerror(errno));
        return EXIT_CODE_FAILURE;
    }
    enum status status = ST_OK;
    for (unsigned number = 1; status != ST_BAD_REQUEST && fgets(line, sizeof line, in) != NULL;
         number++) {
        struct options one;
        status = options_parse_line(&one, line, &error);
        if (status == ST_OK)
            *(struct fleet_case *)swarm_append((void **)&cases, &count, sizeof cases[0]) =
                (struct fleet_case){one.seed_first, one.pins};
        else if (status == ST_BAD_REQUEST)
            errtext_wrap(&error, "%s:%u", options->file, number);
    }
    (void)fclose(in);
    int code = status == ST_BAD_REQUEST ? usage(&error) : run_cases(cases, count, options);
    mem_free(cases);
    return code;
}

int main(int argc, char **argv)
{
    struct options options;
    struct errtext error = {0};
    diag_set_level(DIAG_NOTHING);
    if (options_parse(&options, argc, (const char *const *)argv, &error) != ST_OK)
        return usage(&error);
    if (options.wants_help || options.wants_man) {
        options_describe(stdout, options.wants_man);
        return EXIT_CODE_OK;
    }
    if (options.wants_version) {
        (void)puts("minikv-sim " MINIKV_VERSION);
        return EXIT_CODE_OK;
    }
    if (options.file != NULL)
        return run_file(&options);
    if (!options.has_seeds) {
        options.seed_first = (uint64_t)time(NULL) * 1000;
        options.seed_last = options.seed_first + FRESH_SEEDS - 1;
    }
    if (options.shrink)
        return shrink_run(&(struct fleet_case){options.seed_first, options.pins}, options.jobs);
    if (options.seed_first == options.seed_last)
        return run_one(&options);
    return run_range(&options);
}
