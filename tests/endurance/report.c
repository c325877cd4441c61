#include "endurance/report.h"

#include <inttypes.h>
#include <stdio.h>

static uint64_t forced_count(const struct report *report)
{
    const struct clients_counts *counts = report->counts;
    return counts->lost + counts->twins + counts->repeats;
}

bool report_passed(const struct report *report)
{
    uint64_t wanted =
        (uint64_t)report->options->increments_count * report->options->retry_percent / 100;
    return report->is_finished && report->ledger->violations_count == 0 &&
           report->connections_stuck_count == 0 && forced_count(report) >= wanted;
}

static double percent(const struct report *report)
{
    return 100.0 * (double)forced_count(report) / (double)report->options->increments_count;
}

void report_print(const struct report *report)
{
    const struct clients_counts *c = report->counts;
    printf("increments   %" PRIu64 " answered of %" PRIu32 ", in %.1f s: %.0f/s; seed %" PRIu32
           "\n",
           report->ledger->answered_count, report->options->increments_count, report->seconds,
           (double)report->ledger->answered_count / report->seconds, report->options->seed);
    printf("sent again   %" PRIu64 " (%.1f %%): reply lost %" PRIu64 ", to several at once %" PRIu64
           " (%" PRIu64 " copies), repeated %" PRIu64 "\n",
           forced_count(report), percent(report), c->lost, c->twins, c->twin_copies, c->repeats);
    printf("by failures  cut off without an answer %" PRIu64
           " (connections that nodes broke: %" PRIu64 "); answered 503 %" PRIu64 ", 507 %" PRIu64
           ", 502 %" PRIu64 ", 504 %" PRIu64 "\n",
           c->broken, report->connections_broken_count, c->refused_503, c->refused_507,
           c->unknown_502, c->unknown_504);
    printf("answers      %" PRIu64 " copies sent, %" PRIu64
           " answers compared with the first, %" PRIu64 " flagged as replays, %" PRIu64
           " connections reset by the relay, longest wait %.2f s\n",
           c->deliveries, c->compared, c->replayed, report->relay_resets_count,
           (double)c->wait_us_max / 1e6);
    if (report->connections_stuck_count > 0)
        printf("stuck        %" PRIu64 " connections on which a node did not answer at all\n",
               report->connections_stuck_count);
    printf("violations   %" PRIu64 "%s\n%s\n", report->ledger->violations_count,
           report->is_finished ? "" : "; not finished within the deadline",
           report_passed(report) ? "exactly once: PASS" : "exactly once: FAIL");
}

void report_write_json(const struct report *report, const char *path)
{
    const struct clients_counts *c = report->counts;
    FILE *file = fopen(path, "w");
    if (file == NULL)
        die(path);
    fprintf(file,
            "{\"passed\":%s,\"increments\":%" PRIu32 ",\"answered\":%" PRIu64
            ",\"seconds\":%.3f,\"seed\":%" PRIu32 ",\"violations\":%" PRIu64
            ",\"forced\":{\"increments\":%" PRIu64 ",\"percent\":%.2f,\"reply_lost\":%" PRIu64
            ",\"several_at_once\":%" PRIu64 ",\"repeated\":%" PRIu64 "}",
            report_passed(report) ? "true" : "false", report->options->increments_count,
            report->ledger->answered_count, report->seconds, report->options->seed,
            report->ledger->violations_count, forced_count(report), percent(report), c->lost,
            c->twins, c->repeats);
    fprintf(file,
            ",\"copies\":%" PRIu64 ",\"compared\":%" PRIu64 ",\"replayed\":%" PRIu64
            ",\"relay_resets\":%" PRIu64 ",\"connections_stuck\":%" PRIu64
            ",\"connections_broken\":%" PRIu64 ",\"cut_off\":%" PRIu64 ",\"refused_503\":%" PRIu64
            ",\"refused_507\":%" PRIu64 ",\"unknown_502\":%" PRIu64 ",\"unknown_504\":%" PRIu64
            ",\"longest_wait_seconds\":%.3f}\n",
            c->deliveries, c->compared, c->replayed, report->relay_resets_count,
            report->connections_stuck_count, report->connections_broken_count, c->broken,
            c->refused_503, c->refused_507, c->unknown_502, c->unknown_504,
            (double)c->wait_us_max / 1e6);
    if (fclose(file) != 0)
        die(path);
}
