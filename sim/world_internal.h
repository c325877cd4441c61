/* What the files of the world share: the event heap and the machines. */
#ifndef MINIKV_SIM_WORLD_INTERNAL_H
#define MINIKV_SIM_WORLD_INTERNAL_H

#include "base/buf.h"
#include "base/mem.h"
#include "sim/world.h"

/* Something due. Owned by the heap until it runs, unless it is a timer (owned by its user). */
struct event {
    time_us at;
    uint64_t sequence;
    struct env *env;       /* whose turn it is; NULL: the network's */
    size_t *heap_index_at; /* where the place in the heap is kept: 1 …; 0 when not in it */
    size_t heap_index;
    void (*run)(void *ctx);
    void *ctx;
    struct env_timer *timer; /* NULL unless this is one */
};

struct machine_file {
    struct list link;
    char path[128];
    struct buf now;                  /* what a read gives */
    struct buf synced;               /* what a crash leaves */
    uint64_t dirty_begin, dirty_end; /* written and not synced; equal: nothing */
    unsigned opens_count;
    bool is_unlinked;
};

/* Shows `base` at the right time `set_at`, and goes on at its own speed. */
struct machine_clock {
    time_us base, set_at;
    unsigned percent;
    time_us wall_ahead;
};

struct machine {
    struct list files;
    struct env *env; /* NULL: off */
    bool is_paused;
    bool is_locked;
    time_us sync_extra;
    struct machine_clock clock;
};

struct world {
    struct world_options options;
    struct prng prng;
    time_us now;
    uint64_t sequence_last;
    struct event **heap; /* 1-based */
    size_t heap_count, heap_capacity;
    struct machine machines[WORLD_MACHINES_MAX + 1];
    bool is_cut[WORLD_MACHINES_MAX + 1][WORLD_MACHINES_MAX + 1];
    struct list streams, listeners, envs;
};

struct env {
    struct world *world;
    unsigned machine;
    struct list link; /* in world->envs */
    bool is_off;
    struct list tasks;
    time_us disk_free_at; /* writes complete in order */
    struct list writes;   /* struct env_write, started and not completed */
};

struct event *world_schedule(struct world *world, struct env *env, time_us at,
                             void (*run)(void *ctx), void *ctx);
void world_unschedule(struct world *world, struct event *event);
void heap_remove(struct world *world, size_t at);
void heap_push(struct world *world, struct event *event);
time_us world_delay(struct world *world);

void net_crash(struct world *world, unsigned machine);
void disk_crash(struct world *world, unsigned machine);
void disk_end_writes(struct env *env);
void disk_free(struct world *world);

#endif
