/* Linear: could this history of one register have happened one operation at a time?
 *
 * The search of Wing and Gong (1993), with Lowe's memory of what was tried (2017): operations take
 * effect at a point between call and answer. An operation whose outcome nobody knows may take
 * effect at any time after its call, or never.
 *
 * Values are numbers, each written by one operation only; 0 is "absent". Pure. */
#ifndef MINIKV_SIM_SWARM_LINEAR_H
#define MINIKV_SIM_SWARM_LINEAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum linear_kind {
    LINEAR_READ,  /* shows `expected` */
    LINEAR_WRITE, /* writes `value` */
    LINEAR_SWAP   /* writes `value` if the register holds `expected` */
};

enum linear_outcome {
    LINEAR_DONE,
    LINEAR_REFUSED, /* a SWAP that found another value */
    LINEAR_UNKNOWN
};

#define LINEAR_NEVER UINT64_MAX

struct linear_op {
    enum linear_kind kind;
    enum linear_outcome outcome;
    uint64_t expected, value;
    uint64_t called, answered; /* moments, all different; LINEAR_NEVER: UNKNOWN */
};

enum linear_verdict { LINEAR_YES, LINEAR_NO, LINEAR_UNDECIDED };

/* `steps_max` bounds the search: UNDECIDED beyond. `out_stuck`: on NO, the operation that was
 * answered first of those that no order explains. The register holds 0 at first. */
enum linear_verdict linear_check(const struct linear_op *ops, size_t ops_count, size_t steps_max,
                                 size_t *out_stuck);

#endif
