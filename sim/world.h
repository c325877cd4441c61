/* World: several machines in one process, on virtual time, with disks and a network of their own.
 *
 * The second implementation of env.h. The production code runs on it unchanged; what happens, and
 * in which order, follows from the seed and the calls below alone.
 *
 * Time         jumps from event to event; equal times run in the order they were scheduled; each
 *              machine has a clock of its own, which may be fast, slow or ahead
 * Disk         a write is lost in a crash unless a sync that covers it completed
 * Network      ordered byte streams with a delay; a cut direction holds bytes back until it is
 *              healed, as retransmission would; a crash ends all streams of the machine
 * Not yet      torn sectors, reordered directory entries, loss and duplication below the stream
 * Ownership    the world owns machines and envs; an env lives as long as the world, so that what
 *              ran on a crashed machine can be closed afterwards, to no effect
 * Calling      one thread */
#ifndef MINIKV_SIM_WORLD_H
#define MINIKV_SIM_WORLD_H

#include "base/prng.h"
#include "env/env.h"

enum { WORLD_MACHINES_MAX = 16 };

struct world;

struct world_options {
    uint64_t seed;
    time_us delay_min, delay_max; /* of one segment */
    time_us sync_min, sync_max;   /* of one write and sync */
};

struct world *world_new(const struct world_options *options);
void world_free(struct world *world);

/* Starts machine 1 … WORLD_MACHINES_MAX on the disk it had; its address is 10.0.0.<machine>. */
struct env *world_boot(struct world *world, unsigned machine);
/* Power off: unsynced writes are lost, peers see their streams end. From here on the env does
 * nothing and calls nobody; close what ran on it to free its memory. */
void world_crash(struct world *world, unsigned machine);
/* Nothing of this machine runs until it goes on; what is due meanwhile comes late. */
void world_pause(struct world *world, unsigned machine, bool is_paused);
/* The disk of a machine that is off: as new. */
void world_wipe(struct world *world, unsigned machine);
/* The clocks of a machine that is off: they run at so many percent of the right speed, and the wall
 * clock shows so much more than the others'. */
void world_clock(struct world *world, unsigned machine, unsigned percent, time_us wall_ahead);
/* From here on each sync of this machine takes so much longer. */
void world_slow_disk(struct world *world, unsigned machine, time_us extra);
/* Bytes from one machine to the other stay on the way while cut. */
void world_cut(struct world *world, unsigned from, unsigned to, bool is_cut);
/* Ends every stream between two machines, as a reset from the network would. What was on the way
 * is lost. */
void world_reset_links(struct world *world, unsigned a, unsigned b);

time_us world_now(const struct world *world); /* the right time */
/* The same on the monotonic clock of a machine. */
time_us world_now_at(const struct world *world, unsigned machine);
/* Runs the next event, if it is due by `until`; false: there is none, and it is `until` now. */
bool world_step(struct world *world, time_us until);

#endif
