/* Timeline: a run as a picture: a page of HTML with everything in it. */
#ifndef MINIKV_SIM_SWARM_TIMELINE_H
#define MINIKV_SIM_SWARM_TIMELINE_H

#include <stdio.h>

#include "sim/swarm/swarm.h"

/* Requires that the run kept its trace. `pins`: how it was asked for, to say how to run it again.
 */
void timeline_write(FILE *out, const struct swarm *swarm, const struct plan_pins *pins);

#endif
