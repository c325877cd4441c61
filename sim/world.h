/* World: several machines in one process, on virtual time, with disks and a network of their own.
 *
 * The second implementation of env.h. The production code runs on it unchanged; what happens, and
 * in which order, follows from the seed and the calls below alone: not from addresses, not from
 * the compiler, not from anything that is not initialised.
 *
 * Time         jumps from event to event; equal times run in the order they were scheduled; each
 *              machine has a clock of its own, which may be fast, slow or ahead
 * Disk         files of 512-byte sectors, and names. What is written, created, renamed or unlinked
 *              lasts once it is synced; a power failure decides about the rest, sector by sector
 *              and name by name
 * Network      ordered byte streams, as TCP: what is lost or reordered below shows as delay, what
 *              cannot pass stays on the way until it can
 * Chance       one generator per purpose and machine: a draw more in one changes no other
 * Ownership    the world owns machines and envs; an env lives as long as the world, so that what
 *              ran on a crashed machine can be closed afterwards, to no effect
 * Calling      one thread */
#ifndef MINIKV_SIM_WORLD_H
#define MINIKV_SIM_WORLD_H

#include "base/prng.h"
#include "env/env.h"

enum { WORLD_MACHINES_MAX = 16, WORLD_SECTOR_BYTES = 512 };

/* Chances are in parts per million. */
#define WORLD_ALWAYS 1000000u

struct world;

struct world_options {
    uint64_t seed;
    time_us delay_min, delay_max; /* of one segment: of all links, until world_link_set */
    time_us sync_min, sync_max;   /* of one write and sync: of all disks, until world_disk_set */
};

struct world *world_new(const struct world_options *options);
void world_free(struct world *world);

time_us world_now(const struct world *world); /* the right time */
/* The same on the monotonic clock of a machine. */
time_us world_now_at(const struct world *world, unsigned machine);
/* Runs the next event, if it is due by `until`; false: there is none, and it is `until` now. */
bool world_step(struct world *world, time_us until);
/* Whose turn the last step was: nothing has run on any other machine. 0: only the network. */
unsigned world_turn(const struct world *world);

/* ---- machines ---- */

/* Starts machine 1 … WORLD_MACHINES_MAX on the disk it had; its address is 10.0.0.<machine>. */
struct env *world_boot(struct world *world, unsigned machine);
bool world_is_on(const struct world *world, unsigned machine);

/* The ways to stop. From here on the env does nothing and calls nobody; what still asks it for
 * disk gets ST_IO. Close what ran on it to free its memory.
 *
 *                    unsynced writes     the other side of its streams    dials to it
 * world_kill         stay in the cache   end at once                      are refused
 * world_crash        world_disk decides  end at once                      are refused
 * world_power_off    world_disk decides  are not told before they send    wait until it boots
 *                                        to it after its next boot */
void world_kill(struct world *world, unsigned machine);
void world_crash(struct world *world, unsigned machine);
void world_power_off(struct world *world, unsigned machine);

enum world_stop { WORLD_STOP_KILL, WORLD_STOP_CRASH, WORLD_STOP_POWER_OFF };

void world_stop(struct world *world, unsigned machine, enum world_stop how);

/* How many operations this machine has asked its disk for that change it or make a change last:
 * writes, syncs, and what is done to names. A write and its sync are two. */
uint64_t world_io_count(const struct world *world, unsigned machine);
/* The machine stops in the middle of the operation with this number (0: none), counted as
 * world_io_count does: the operation may have happened, in part or not. The code that asked for it
 * returns to the loop with errors. world_boot does not end the appointment. */
void world_crash_at_io(struct world *world, unsigned machine, uint64_t number, enum world_stop how);
/* Called by world_step, between events, after a machine stopped at world_crash_at_io, unless it
 * has been booted since. The place to close what ran on it. */
void world_on_stop(struct world *world, void (*on_stop)(void *ctx, unsigned machine), void *ctx);

/* Nothing of this machine runs until it goes on; what is due meanwhile comes late, at once. */
void world_pause(struct world *world, unsigned machine, bool is_paused);
/* From here on each event of this machine keeps it busy for so long. */
void world_slow_cpu(struct world *world, unsigned machine, time_us cost);

/* From now on its clocks run at so many percent of the right speed, and its wall clock shows so
 * much more than the others'. May be called while it runs. */
void world_clock(struct world *world, unsigned machine, unsigned percent, time_us wall_ahead);
/* The wall clock jumps, forward or back. */
void world_wall_jump(struct world *world, unsigned machine, int64_t by);
/* What the monotonic clock of a machine that is off shows now; it counts from some boot. */
void world_monotonic(struct world *world, unsigned machine, time_us shows);

/* ---- disk ---- */

enum world_survival {
    WORLD_SURVIVES_NOTHING, /* what is not synced is lost */
    WORLD_SURVIVES_SOME,    /* any subset of sectors, and of names, drawn anew at each failure */
    WORLD_SURVIVES_ALL      /* as if everything had been synced just before */
};

struct world_disk {
    time_us sync_min, sync_max; /* of one write and its sync */
    uint32_t slow_chance;       /* that one takes up to slow_max longer */
    time_us slow_max;
    bool is_blocking;        /* a call that waits for the disk keeps the machine busy as long */
    uint64_t capacity_bytes; /* of all files together; 0: no bound */
    enum world_survival survival;
    uint32_t read_error_chance;  /* EIO of a read */
    uint32_t write_error_chance; /* EIO of a write, of which some prefix has been written */
    uint32_t sync_error_chance;  /* EIO of a sync: some of what was dirty is on disk, the rest is
                                    lost for good, and the next sync reports success */

    /* What disks promise not to do, and do. */
    uint32_t tear_chance;      /* a sector survives in part: per surviving sector */
    uint32_t garbage_chance;   /* a sector behind the old end of a file that was not written holds
                                  garbage: per sector */
    uint32_t lost_chance;      /* a write is acknowledged, synced and never gets to the disk */
    uint32_t misdirect_chance; /* a write goes to another place on this disk */
};

void world_disk_set(struct world *world, unsigned machine, const struct world_disk *settings);
void world_disk_get(const struct world *world, unsigned machine, struct world_disk *out_settings);
/* From here on each sync of this machine takes so much longer; on top of world_disk. */
void world_slow_disk(struct world *world, unsigned machine, time_us extra);

enum world_io_fault {
    WORLD_IO_GOOD,
    WORLD_IO_ERROR,    /* ST_IO, as the error chances do */
    WORLD_IO_NO_SPACE, /* ST_NO_SPACE; of a write some prefix has been written */
    WORLD_IO_LOST,     /* acknowledged and forgotten */
    WORLD_IO_MISDIRECT
};
/* The operation with this number (0: none) goes wrong in this way; those after it work. What makes
 * no sense for it (a sync cannot be misdirected) has no effect. */
void world_fault_at_io(struct world *world, unsigned machine, uint64_t number,
                       enum world_io_fault fault);

/* The disk of a machine that is off: as new. */
void world_wipe(struct world *world, unsigned machine);

/* What is on the disk for sure: a backup, the disk of a virtual machine snapshotted while on. */
struct world_copy;
struct world_copy *world_disk_copy(struct world *world, unsigned machine);
/* The disk of a machine that is off becomes as it was then; any machine, any number of times. */
void world_disk_restore(struct world *world, unsigned machine, const struct world_copy *copy);
void world_copy_free(struct world_copy *copy); /* before the world; NULL is a no-op */

/* Damage at rest: the bits of `mask` at this offset turn round. False: there is no such byte. */
bool world_disk_flip(struct world *world, unsigned machine, const char *path, uint64_t offset,
                     uint8_t mask);
/* One bit of a file of this disk, by chance among bytes that are not zero. False: there is none. */
bool world_disk_flip_any(struct world *world, unsigned machine);
/* One sector of a file moves over another one, by chance. False: there are no two. */
bool world_disk_misplace_any(struct world *world, unsigned machine);
/* What the file holds on disk, cut at its end; SIZE_MAX: there is no such file on disk. */
size_t world_disk_peek(struct world *world, unsigned machine, const char *path, uint64_t offset,
                       void *out, size_t count);

/* ---- network ---- */

/* One direction from machine to machine. */
struct world_link {
    time_us delay_min, delay_max; /* of one segment */
    uint32_t spike_chance;        /* that one takes up to spike_max longer, with all behind it */
    time_us spike_max;
    uint32_t loss_chance;  /* per segment: it comes a retransmission later, twice that when lost
                              again, …; what is behind it waits */
    time_us retry_min;     /* of a retransmission; 0: 200 ms */
    time_us retry_max;     /* how late one may come after a cut is healed; 0: it comes at once */
    uint32_t reset_chance; /* per segment: the connection is reset instead */
    uint32_t split_chance; /* per segment: it comes as two */
    uint64_t bytes_per_second; /* 0: no limit */
    size_t window_bytes;       /* on the way and not read; more waits at the sender; 0: 1 MiB */
};

void world_link_set(struct world *world, unsigned from, unsigned to, const struct world_link *link);
void world_link_get(const struct world *world, unsigned from, unsigned to,
                    struct world_link *out_link);
void world_link_set_all(struct world *world, const struct world_link *link);

/* Bytes from one machine to the other stay on the way while cut. */
void world_cut(struct world *world, unsigned from, unsigned to, bool is_cut);
bool world_is_cut(const struct world *world, unsigned from, unsigned to);
/* No direction is cut. */
void world_heal(struct world *world);

enum world_shape {
    WORLD_SHAPE_WHOLE,  /* everybody with everybody */
    WORLD_SHAPE_ALONE,  /* the first with nobody; the others with each other */
    WORLD_SHAPE_HALVES, /* the first half, rounded down, and the rest */
    WORLD_SHAPE_BRIDGE, /* two halves, and the one in the middle with everybody */
    WORLD_SHAPE_STAR,   /* the first with everybody, the others only with it */
    WORLD_SHAPE_CHAIN,  /* each with the one before and the one after */
    WORLD_SHAPE_RING    /* each with a majority, its neighbours round the circle: no two with the
                           same, from five on */
};
enum { WORLD_SHAPES_COUNT = WORLD_SHAPE_RING + 1 };

/* Whether number a and number b of `count` can talk in this shape; 0 … count-1. */
bool world_shape_links(enum world_shape shape, unsigned count, unsigned a, unsigned b);
/* Cuts and heals both directions between all pairs of these machines, to this shape. */
void world_partition(struct world *world, enum world_shape shape, const unsigned *machines,
                     unsigned count);

/* Ends every stream between two machines, as a reset from the network would. What was on the way
 * is lost. */
void world_reset_links(struct world *world, unsigned a, unsigned b);
/* Ends `machine`'s side of every stream with `peer`, with a reset; the other side is half open: it
 * is not told, and is reset when it sends. */
void world_half_open(struct world *world, unsigned machine, unsigned peer);
/* Dials to this machine are refused, although it listens. */
void world_refuse(struct world *world, unsigned machine, bool is_refusing);

/* ---- what happened ---- */

enum world_event_kind {
    WORLD_BOOTED,
    WORLD_STOPPED, /* a: enum world_stop, b: by world_crash_at_io */
    WORLD_PAUSED,
    WORLD_RESUMED,
    WORLD_CLOCK_SET,   /* a: percent, b: wall clock ahead */
    WORLD_TIMER_FIRED, /* a: deadline on its own clock */
    WORLD_TASKS_RUN,   /* posted from outside of any event */

    WORLD_DIALLED,  /* peer; stream */
    WORLD_OPENED,   /* at the dialler; peer; stream */
    WORLD_ACCEPTED, /* peer; stream */
    WORLD_SENT,     /* peer; stream; a: bytes sent before; bytes */
    WORLD_ARRIVED,  /* peer; stream; a: bytes arrived before; bytes */
    WORLD_ENDED,    /* peer; stream; a: enum env_end */
    WORLD_DRAINED,  /* peer; stream */
    WORLD_LINK_CUT, /* machine: from; peer: to */
    WORLD_LINK_HEALED,
    WORLD_LINKS_RESET, /* machine and peer */

    WORLD_FILE_CREATED, /* path */
    WORLD_FILE_READ,    /* path; a: offset, b: count */
    WORLD_FILE_WRITTEN, /* path; a: offset; bytes */
    WORLD_FILE_SYNCED,  /* path */
    WORLD_DIR_MADE,     /* path */
    WORLD_DIR_SYNCED,   /* path */
    WORLD_FILE_RENAMED, /* path: of the new name */
    WORLD_FILE_UNLINKED,
    WORLD_DISK_CHANGED, /* by hand: wiped, restored, damaged */

    WORLD_FAULT /* a: enum world_fault; machine and, of a link, peer; path, of a file */
};

enum world_fault {
    WORLD_FAULT_STOP,
    WORLD_FAULT_PAUSE,
    WORLD_FAULT_CLOCK,
    WORLD_FAULT_WIPE,
    WORLD_FAULT_RESTORE,

    WORLD_FAULT_CUT,
    WORLD_FAULT_RESET,
    WORLD_FAULT_HALF_OPEN,
    WORLD_FAULT_REFUSED,
    WORLD_FAULT_LOSS,
    WORLD_FAULT_SPIKE,
    WORLD_FAULT_SPLIT,

    WORLD_FAULT_SECTORS_LOST, /* per file, at a power failure */
    WORLD_FAULT_NAME_LOST,    /* per change of a name, at a power failure */
    WORLD_FAULT_TORN,
    WORLD_FAULT_GARBAGE,
    WORLD_FAULT_SLOW,
    WORLD_FAULT_NO_SPACE,
    WORLD_FAULT_READ_ERROR,
    WORLD_FAULT_WRITE_ERROR,
    WORLD_FAULT_SYNC_ERROR,
    WORLD_FAULT_LOST,
    WORLD_FAULT_MISDIRECTED,
    WORLD_FAULT_FLIPPED
};
enum { WORLD_FAULTS_COUNT = WORLD_FAULT_FLIPPED + 1 };

struct world_event {
    time_us at; /* the right time */
    enum world_event_kind kind;
    unsigned machine, peer; /* 0: none */
    uint64_t stream;        /* both sides of a connection have the same number; 0: none */
    uint64_t a, b;
    struct bytes bytes; /* borrowed for the call */
    const char *path;   /* borrowed for the call; NULL: none */
};

/* Calls on_event for everything that happens, when it happens: it must not call the world. NULL
 * ends it. */
void world_trace(struct world *world, void (*on_event)(void *ctx, const struct world_event *event),
                 void *ctx);
/* Of all events so far with their bytes. Equal seeds and equal calls give equal digests. */
uint64_t world_digest(const struct world *world);

uint64_t world_events_count(const struct world *world);
uint64_t world_faults_count(const struct world *world, enum world_fault fault);
const char *world_fault_name(enum world_fault fault);
const char *world_event_name(enum world_event_kind kind);
/* Where the chance of the script comes from that drives this world: not shared with any machine. */
struct prng *world_prng(struct world *world);

#endif
