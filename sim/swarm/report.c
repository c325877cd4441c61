#include "sim/swarm/report.h"

#include <inttypes.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "sim/swarm/options.h"

enum { BAR_COLUMNS = 24 };

static double now(void)
{
    struct timespec at;
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

const char *verdict_name(enum verdict verdict)
{
    switch (verdict) {
    case VERDICT_PASS:
        return "pass";
    case VERDICT_CRASH:
        return "CRASH";
    case VERDICT_LIVENESS:
        return "LIVENESS";
    case VERDICT_SAFETY:
        return "SAFETY";
    }
    return "?";
}

void report_legend(FILE *out)
{
    (void)fputs("#     seed nodes  time requests answered commits leaders faults digest           "
                "verdict\n",
                out);
}

void report_line(FILE *out, const struct fleet_result *result)
{
    const struct swarm_totals *totals = &result->totals;
    (void)fprintf(out,
                  "%10" PRIu64 " %5u %4" PRIu64 "s %8" PRIu64 " %8" PRIu64 " %7" PRIu64 " %7" PRIu64
                  " %6" PRIu64 " %016" PRIx64 " %s\n",
                  result->run.seed, result->nodes_count, result->lasted / 1000000,
                  totals->operations, totals->answered, totals->commits, totals->elections,
                  totals->faults_count, result->digest, verdict_name(result->verdict));
}

void report_failure(FILE *out, const struct fleet_result *result)
{
    char pins[OPTIONS_PINS_BYTES];
    (void)fprintf(out, "seed %" PRIu64 " fails: %s: %s", result->run.seed, result->oracle,
                  result->text);
    if (result->verdict != VERDICT_CRASH)
        (void)fprintf(out, " (%s, at %" PRIu64 ".%06u s)", verdict_name(result->verdict),
                      result->violated_at / 1000000, (unsigned)(result->violated_at % 1000000));
    (void)fprintf(out, "\n  again: minikv-sim --seed %" PRIu64 "%s --trace\n", result->run.seed,
                  options_format_pins(&result->run.pins, pins));
}

void report_begin(struct report *report)
{
    report->started_at = report->shown_at = now();
    report->is_tty = isatty(STDERR_FILENO) == 1;
    if (!report->is_brief)
        report_legend(report->out);
}

static double rate(const struct report *report)
{
    double minutes = (now() - report->started_at) / 60;
    return minutes > 0 ? (double)report->done_count / minutes : 0;
}

/* Processor time of this process and of those that have ended: on a busy machine it says more. */
static double worked_minutes(void)
{
    struct rusage own, children;
    (void)getrusage(RUSAGE_SELF, &own); /* cannot fail for these two */
    (void)getrusage(RUSAGE_CHILDREN, &children);
    return (double)(own.ru_utime.tv_sec + own.ru_stime.tv_sec + children.ru_utime.tv_sec +
                    children.ru_stime.tv_sec) /
               60 +
           (double)(own.ru_utime.tv_usec + own.ru_stime.tv_usec + children.ru_utime.tv_usec +
                    children.ru_stime.tv_usec) /
               6e7;
}

static void show_progress(struct report *report)
{
    double pause = report->is_tty ? 0.2 : 10;
    if (now() - report->shown_at < pause)
        return;
    report->shown_at = now();
    char bar[BAR_COLUMNS + 1];
    size_t filled = report->done_count * BAR_COLUMNS / MAX(report->wanted_count, (size_t)1);
    for (size_t i = 0; i < BAR_COLUMNS; i++)
        bar[i] = i < filled ? '#' : '.';
    bar[BAR_COLUMNS] = '\0';
    (void)fprintf(stderr, "%s[%s] %zu of %zu, %.0f a minute, %" PRIu64 " faults, %zu failed%s",
                  report->is_tty ? "\r" : "", bar, report->done_count, report->wanted_count,
                  rate(report), report->totals.faults_count, report->failed_count,
                  report->is_tty ? "  " : "\n");
}

void report_add(struct report *report, const struct fleet_result *result)
{
    struct swarm_totals *sum = &report->totals;
    report->done_count++;
    report->simulated += result->lasted;
    sum->operations += result->totals.operations;
    sum->calls += result->totals.calls;
    sum->commits += result->totals.commits;
    sum->elections += result->totals.elections;
    sum->steps += result->totals.steps;
    sum->messages += result->totals.messages;
    sum->faults_count += result->totals.faults_count;
    sum->undecided += result->totals.undecided;
    sum->snapshots += result->totals.snapshots;
    sum->installs += result->totals.installs;
    sum->changes += result->totals.changes;
    sum->replayed += result->totals.replayed;
    sum->expired += result->totals.expired;
    sum->sealed += result->totals.sealed;
    sum->refused += result->totals.refused;
    for (unsigned i = 0; i < FAULT_COUNT; i++)
        sum->faults[i] += result->totals.faults[i];
    if (!report->is_brief)
        report_line(report->out, result);
    if (result->verdict != VERDICT_PASS) {
        if (report->is_brief && report->is_tty)
            (void)fputc('\n', stderr);
        report->failed_count++;
        report->worst = MAX(report->worst, result->verdict);
        report_failure(report->out, result);
        (void)fflush(report->out);
    }
    if (report->is_brief)
        show_progress(report);
}

static void print_faults(const struct report *report)
{
    (void)fputs("faults:", report->out);
    for (unsigned i = 0; i < FAULT_COUNT; i++)
        if (fault_info((enum fault)i)->every_ms != 0)
            (void)fprintf(report->out, " %s %" PRIu64, fault_info((enum fault)i)->word,
                          report->totals.faults[i]);
    (void)fputc('\n', report->out);
}

void report_end(struct report *report)
{
    double seconds = now() - report->started_at;
    const struct swarm_totals *sum = &report->totals;
    if (report->is_brief && report->is_tty)
        (void)fputc('\n', stderr);
    if (report->is_brief)
        print_faults(report);
    (void)fprintf(report->out,
                  "%zu seeds, %zu failed: %" PRIu64 " virtual minutes, %" PRIu64
                  " requests (%" PRIu64 " over HTTP), %" PRIu64 " commits, %" PRIu64
                  " elections, %" PRIu64 " snapshots, %" PRIu64 " installed, %" PRIu64
                  " changes of members, %" PRIu64 " repeated writes, %" PRIu64 " faults, %" PRIu64
                  " histories undecided\n",
                  report->done_count, report->failed_count, report->simulated / 60000000,
                  sum->operations, sum->calls, sum->commits, sum->elections, sum->snapshots,
                  sum->installs, sum->changes, sum->replayed, sum->faults_count, sum->undecided);
    (void)fprintf(report->out,
                  "%.1f s by the wall in %u process%s: %.0f seeds a minute, %.0f per minute of one "
                  "core's work\n",
                  seconds, report->jobs, report->jobs == 1 ? "" : "es", rate(report),
                  (double)report->done_count / MAX(worked_minutes(), 1e-6));
    (void)fflush(report->out);
}
