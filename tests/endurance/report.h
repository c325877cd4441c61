/* Report: what a run came to, as text for people and as JSON for programs. */
#ifndef MINIKV_TESTS_ENDURANCE_REPORT_H
#define MINIKV_TESTS_ENDURANCE_REPORT_H

#include "endurance/client.h"

struct report {
    const struct options *options;
    const struct clients_counts *counts;
    const struct ledger *ledger;
    uint64_t relay_resets_count;
    uint64_t connections_broken_count;
    uint64_t connections_stuck_count; /* requests that a node has kept without an answer */
    double seconds;
    bool is_finished; /* within the deadline */
};

/* Everything was answered, nothing was violated, and as much was sent again as had been asked. */
bool report_passed(const struct report *report);
void report_print(const struct report *report);
void report_write_json(const struct report *report, const char *path);

#endif
