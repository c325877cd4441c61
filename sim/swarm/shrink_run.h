/* Shrink run: `minikv-sim --shrink`: looks for the smallest run that fails as this one does, and
 * says on the way what it has found. */
#ifndef MINIKV_SIM_SWARM_SHRINK_RUN_H
#define MINIKV_SIM_SWARM_SHRINK_RUN_H

#include "sim/swarm/fleet.h"

/* Returns the exit code: that of the smallest run, 0 if this one passes. */
int shrink_run(const struct fleet_case *run, unsigned jobs);

/* Why a program aborted, out of what it wrote to standard error: the condition and its place, or
 * the kind of thing that a sanitizer saw; "": no telling. Needs 200 bytes. */
const char *shrink_crash_cause(const char *noise, char out[200]);

#endif
