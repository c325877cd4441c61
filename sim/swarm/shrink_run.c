#include "sim/swarm/shrink_run.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sim/swarm/options.h"
#include "sim/swarm/report.h"
#include "sim/swarm/shrink.h"

enum {
    NEIGHBOURS = 12,
    RUNS_MAX = 20000,
    SECONDS_MAX = 600,
    NOISE_BYTES = 4096,
    CAUSE_BYTES = 200
};

struct shrinking {
    struct fleet_result wanted; /* the failure to keep */
    char cause[CAUSE_BYTES];    /* of a crash */
    struct fleet_case best;
    unsigned jobs, runs_count;
    FILE *noise;    /* what runs write to standard error goes here; NULL: nowhere else */
    int stderr_own; /* ours, meanwhile */
    bool is_tty;
    time_t started_at;
    double shown_at; /* s after that */
};

/* ---- what a crash says ---- */

/* "failed: (a == b) (raft.c:7). This is a bug …": up to the dot. */
static const char *end_of_condition(const char *text)
{
    const char *dot = strstr(text, "). ");
    return dot != NULL ? dot + 1 : text + strlen(text);
}

const char *shrink_crash_cause(const char *noise, char out[200])
{
    const char *at = strstr(noise, "failed: "), *sanitizer = strstr(noise, "Sanitizer: ");
    size_t count = 0;
    if (at != NULL)
        count = MIN(strcspn(at, "\n"), (size_t)(end_of_condition(at) - at));
    else if (sanitizer != NULL)
        count = (size_t)(strchr(sanitizer, ' ') - sanitizer) + 1 +
                strcspn(strchr(sanitizer, ' ') + 1, " \n");
    if (at == NULL)
        at = sanitizer;
    (void)snprintf(out, CAUSE_BYTES, "%.*s", (int)MIN(count, (size_t)CAUSE_BYTES - 1),
                   at != NULL ? at : "");
    return out;
}

static void hush(const struct shrinking *shrinking)
{
    if (shrinking->noise == NULL)
        return;
    rewind(shrinking->noise);
    if (ftruncate(fileno(shrinking->noise), 0) != 0)
        return; /* an older crash would be read again */
    (void)dup2(fileno(shrinking->noise), STDERR_FILENO);
}

static void speak(const struct shrinking *shrinking)
{
    if (shrinking->noise != NULL)
        (void)dup2(shrinking->stderr_own, STDERR_FILENO);
}

static void read_cause(const struct shrinking *shrinking, char out[CAUSE_BYTES])
{
    char text[NOISE_BYTES] = "";
    if (shrinking->noise != NULL) {
        rewind(shrinking->noise);
        text[fread(text, 1, sizeof text - 1, shrinking->noise)] = '\0';
    }
    (void)shrink_crash_cause(text, out);
}

/* ---- runs ---- */

static void run_alone(const struct shrinking *shrinking, const struct fleet_case *run,
                      struct fleet_result *out_result)
{
    char cause[CAUSE_BYTES];
    hush(shrinking);
    fleet_run_apart(run, out_result);
    speak(shrinking);
    if (out_result->verdict != VERDICT_CRASH)
        return;
    read_cause(shrinking, cause);
    if (cause[0] != '\0')
        (void)snprintf(out_result->text, sizeof out_result->text, "%s", cause);
}

static bool is_alike(const struct shrinking *shrinking, const struct fleet_result *result)
{
    return result->verdict == shrinking->wanted.verdict &&
           strcmp(result->oracle, shrinking->wanted.oracle) == 0 &&
           (result->verdict != VERDICT_CRASH || strcmp(result->text, shrinking->wanted.text) == 0);
}

struct batch {
    const struct fleet_case *runs;
    struct fleet_result results[SHRINK_BATCH_MAX];
};

static void on_result(void *ctx, const struct fleet_result *result)
{
    struct batch *batch = ctx;
    batch->results[result->run.seed - batch->runs[0].seed] = *result;
}

/* Of several crashes side by side it is not known who said what: they are run again. */
static size_t find(void *ctx, const struct fleet_case *runs, size_t count, time_us *out_at)
{
    struct shrinking *shrinking = ctx;
    struct batch batch = {.runs = runs};
    if (count == 1) {
        run_alone(shrinking, &runs[0], &batch.results[0]);
    } else {
        hush(shrinking);
        bool is_good = fleet_run_all(runs, count, shrinking->jobs, on_result, &batch);
        speak(shrinking);
        if (!is_good)
            return count;
    }
    for (size_t i = 0; i < count; i++) {
        struct fleet_result *result = &batch.results[i];
        if (count > 1 && result->verdict == VERDICT_CRASH &&
            shrinking->wanted.verdict == VERDICT_CRASH)
            run_alone(shrinking, &runs[i], result);
        if (!is_alike(shrinking, result))
            continue;
        *out_at = result->violated_at;
        return i;
    }
    return count;
}

/* ---- what people see of it ---- */

static double seconds_since(time_t started_at)
{
    return difftime(time(NULL), started_at);
}

static bool show_progress(void *ctx, unsigned runs_count)
{
    struct shrinking *shrinking = ctx;
    const struct plan_pins *pins = &shrinking->best.pins;
    double seconds = seconds_since(shrinking->started_at);
    shrinking->runs_count = runs_count;
    if (seconds - shrinking->shown_at >= (shrinking->is_tty ? 1 : 10)) {
        shrinking->shown_at = seconds;
        (void)fprintf(stderr,
                      "%s%.0f s, %u runs; so far %u nodes, %d kinds of faults, %u requests, "
                      "%.1f s%s",
                      shrinking->is_tty ? "\r" : "", seconds, runs_count, pins->nodes_count,
                      __builtin_popcount(pins->faults), pins->operations_max,
                      (double)pins->duration / 1e6, shrinking->is_tty ? "   " : "\n");
    }
    return seconds < SECONDS_MAX;
}

static void on_step(void *ctx, const struct fleet_case *run)
{
    struct shrinking *shrinking = ctx;
    char pins[OPTIONS_PINS_BYTES];
    shrinking->best = *run;
    if (shrinking->is_tty)
        (void)fputs("\r\033[K", stderr);
    (void)printf("still fails: --seed %" PRIu64 "%s\n", run->seed,
                 options_format_pins(&run->pins, pins));
    (void)fflush(stdout);
}

static void print_end(const struct shrinking *shrinking, const struct fleet_case *run)
{
    struct fleet_result result;
    char pins[OPTIONS_PINS_BYTES];
    double seconds = seconds_since(shrinking->started_at);
    if (shrinking->is_tty)
        (void)fputs("\r\033[K", stderr);
    (void)printf("the smallest found, in %u runs and %.0f s%s:\n", shrinking->runs_count, seconds,
                 seconds >= SECONDS_MAX ? "; time is over, there may be smaller ones" : "");
    run_alone(shrinking, run, &result);
    report_legend(stdout);
    report_line(stdout, &result);
    report_failure(stdout, &result);
    (void)printf("  picture: minikv-sim --seed %" PRIu64 "%s --timeline run.html\n", run->seed,
                 options_format_pins(&run->pins, pins));
}

int shrink_run(const struct fleet_case *first, unsigned jobs)
{
    struct fleet_case run = *first;
    struct shrinking shrinking = {.jobs = jobs,
                                  .best = run,
                                  .noise = tmpfile(),
                                  .stderr_own = dup(STDERR_FILENO),
                                  .is_tty = isatty(STDERR_FILENO) == 1,
                                  .started_at = time(NULL)};
    struct shrink shrink = {.find = find,
                            .on_step = on_step,
                            .may_go_on = show_progress,
                            .ctx = &shrinking,
                            .neighbours = NEIGHBOURS,
                            .batch = MAX(2 * jobs, 4u),
                            .runs_max = RUNS_MAX};
    if (shrinking.stderr_own < 0 && shrinking.noise != NULL) {
        (void)fclose(shrinking.noise);
        shrinking.noise = NULL;
    }
    run_alone(&shrinking, &run, &shrinking.wanted);
    if (shrinking.wanted.verdict == VERDICT_PASS) {
        (void)printf("seed %" PRIu64 " passes: there is nothing to shrink\n", run.seed);
    } else {
        report_failure(stdout, &shrinking.wanted);
        shrink_case(&shrink, &run, shrinking.wanted.violated_at);
        print_end(&shrinking, &run);
    }
    if (shrinking.noise != NULL)
        (void)fclose(shrinking.noise);
    (void)close(shrinking.stderr_own);
    return (int)shrinking.wanted.verdict;
}
