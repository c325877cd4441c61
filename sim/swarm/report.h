/* Report: what people see of runs: one line each, progress, the sum, and how to run one again. */
#ifndef MINIKV_SIM_SWARM_REPORT_H
#define MINIKV_SIM_SWARM_REPORT_H

#include <stdio.h>

#include "sim/swarm/fleet.h"

struct report {
    FILE *out;
    bool is_brief; /* progress and the sum; failures get their line all the same */
    bool is_tty;   /* of standard error: where progress goes */
    size_t wanted_count, done_count, failed_count;
    enum verdict worst;
    struct swarm_totals totals;
    time_us simulated; /* virtual time, all runs together */
    double started_at; /* s, by the wall */
    double shown_at;
    unsigned jobs;
};

void report_begin(struct report *report);
void report_legend(FILE *out);
void report_add(struct report *report, const struct fleet_result *result);
void report_line(FILE *out, const struct fleet_result *result);
void report_failure(FILE *out, const struct fleet_result *result);
void report_end(struct report *report);
const char *verdict_name(enum verdict verdict);

#endif
