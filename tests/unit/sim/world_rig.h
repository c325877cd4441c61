/* What the tests of the world share. */
#ifndef MINIKV_TESTS_UNIT_SIM_WORLD_RIG_H
#define MINIKV_TESTS_UNIT_SIM_WORLD_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/mem.h"
#include "sim/world.h"

enum { MS = 1000, SECOND = 1000000 };

static inline struct world *new_world(uint64_t seed)
{
    struct world_options options = {
        .seed = seed, .delay_min = 50, .delay_max = 5000, .sync_min = 100, .sync_max = 3000};
    return world_new(&options);
}

static inline void run_ms(struct world *world, uint64_t ms)
{
    time_us until = world_now(world) + ms * MS;
    while (world_step(world, until))
        ;
}

static inline void init_log(struct buf *log)
{
    buf_init(log, SIZE_MAX / 2);
}

#endif
