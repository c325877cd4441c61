/* Shrink: the smallest run that still fails in the same way. Pure but for what `find` does.
 *
 * Every step asks for less of one thing: kinds of faults, customers, nodes, requests, clients,
 * time. Less is another run, so the same seed may pass; then its neighbours are tried, the more of
 * them the less each costs. */
#ifndef MINIKV_SIM_SWARM_SHRINK_H
#define MINIKV_SIM_SWARM_SHRINK_H

#include "sim/swarm/fleet.h"

enum { SHRINK_BATCH_MAX = 64 };

struct shrink {
    /* The first of these that fails in the way that is looked for, `count` if none does; `out_at`:
     * after how much virtual time. */
    size_t (*find)(void *ctx, const struct fleet_case *runs, size_t count, time_us *out_at);
    /* A smaller one has been found; may be NULL. */
    void (*on_step)(void *ctx, const struct fleet_case *run);
    /* Whether to go on, asked now and then; may be NULL. */
    bool (*may_go_on)(void *ctx, unsigned runs_count);
    void *ctx;
    unsigned neighbours; /* seeds tried for each step, of the largest runs */
    unsigned batch;      /* runs handed to `find` at once, at most */
    unsigned runs_max;
};

/* `run` fails, after `at` of virtual time; it becomes the smallest that was found. */
void shrink_case(const struct shrink *shrink, struct fleet_case *run, time_us at);

#endif
