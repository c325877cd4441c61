#include "load/series.h"

#include "base/check.h"

void series_init(struct series *series)
{
    *series = (struct series){.step_ns = SERIES_STEP_NS};
}

static void halve(struct series *series)
{
    for (size_t i = 0; i < SERIES_STEPS / 2; i++) {
        const struct series_step *pair = &series->steps[2 * i];
        series->steps[i] = (struct series_step){.good = pair[0].good + pair[1].good,
                                                .bad = pair[0].bad + pair[1].bad,
                                                .max = MAX(pair[0].max, pair[1].max)};
    }
    for (size_t i = SERIES_STEPS / 2; i < SERIES_STEPS; i++)
        series->steps[i] = (struct series_step){0};
    series->count = (series->count + 1) / 2;
    series->step_ns *= 2;
}

struct series_step *series_at(struct series *series, uint64_t age_ns)
{
    while (age_ns / series->step_ns >= SERIES_STEPS)
        halve(series);
    size_t step = (size_t)(age_ns / series->step_ns);
    series->count = MAX(series->count, step + 1);
    return &series->steps[step];
}
