/* Fleet: runs, each in a process of its own or one after the other in a few, and what they came
 * to. A run that aborts or does not end takes only its process with it. */
#ifndef MINIKV_SIM_SWARM_FLEET_H
#define MINIKV_SIM_SWARM_FLEET_H

#include "sim/swarm/swarm.h"

struct fleet_case {
    uint64_t seed;
    struct plan_pins pins;
};

struct fleet_result {
    struct fleet_case run;
    unsigned nodes_count;
    time_us lasted; /* virtual */
    uint64_t digest;
    struct swarm_totals totals;
    enum verdict verdict;
    char oracle[40], text[256];
    time_us violated_at;
};

/* In this process. `trace` as for swarm_new; `on_end`, if given, sees the run before it is freed.
 */
void fleet_run(const struct fleet_case *run, const struct trace *trace,
               void (*on_end)(void *ctx, const struct swarm *swarm), void *ctx,
               struct fleet_result *out_result);
/* In a process of its own. */
void fleet_run_apart(const struct fleet_case *run, struct fleet_result *out_result);
/* All of `cases`, in `jobs` processes; on_result is called as each ends, in any order. False: a
 * process could not be started. */
bool fleet_run_all(const struct fleet_case *cases, size_t cases_count, unsigned jobs,
                   void (*on_result)(void *ctx, const struct fleet_result *result), void *ctx);

#endif
