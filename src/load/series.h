/* Series: how a run went over time, in a bounded number of equal steps.
 *
 * When the steps are used up, each two become one of twice the length: what is kept of a step can
 * be added up without loss. */
#ifndef MINIKV_LOAD_SERIES_H
#define MINIKV_LOAD_SERIES_H

#include <stddef.h>
#include <stdint.h>

enum { SERIES_STEPS = 600, SERIES_STEP_NS = 100 * 1000 * 1000 };

struct series_step {
    uint64_t good, bad; /* requests answered, and those that failed, in this time */
    uint64_t max;       /* ns: the slowest good one */
};

struct series {
    uint64_t step_ns;
    size_t count; /* of steps, up to the last that has something */
    struct series_step steps[SERIES_STEPS];
};

void series_init(struct series *series);
/* The step for what happens `age_ns` after the beginning; valid until the next call. */
struct series_step *series_at(struct series *series, uint64_t age_ns);

#endif
