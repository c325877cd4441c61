/* Shrink: the smallest run that still fails in the same way. Pure but for what `fails` does.
 *
 * Every step asks for less of one thing: time, nodes, kinds of faults, requests, clients. Less is
 * another run, so the same seed may pass; then its neighbours are tried. */
#ifndef MINIKV_SIM_SWARM_SHRINK_H
#define MINIKV_SIM_SWARM_SHRINK_H

#include "sim/swarm/fleet.h"

struct shrink {
    /* Whether this run fails in the way that is looked for; `out_at`: after how much virtual time.
     */
    bool (*fails)(void *ctx, const struct fleet_case *run, time_us *out_at);
    /* A smaller one has been found; may be NULL. */
    void (*on_step)(void *ctx, const struct fleet_case *run);
    void *ctx;
    unsigned neighbours; /* seeds tried for each step */
    unsigned runs_max;   /* of `fails` */
};

/* `run` fails, after `at` of virtual time; it becomes the smallest that was found. */
void shrink_case(const struct shrink *shrink, struct fleet_case *run, time_us at);

#endif
