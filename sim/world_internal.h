/* What the files of the world share: the event heap, the machines, and chance.
 *
 *      world.c      machines and their turns          disk.c        env.h: files and names
 *      heap.c       what is due next                  disk_store.c  sectors, cached and durable
 *      clock.c      clocks, timers, tasks             names.c       names, and their changes
 *      event.c      trace, digest, counts, chance     disk_names.c  which of them last
 *      net.c        env.h: listeners and streams      disk_hand.c   backups and damage
 *      net_link.c   when a segment arrives            net_fault.c   cuts, resets, half-open ends
 *      shape.c      shapes of partitions */
#ifndef MINIKV_SIM_WORLD_INTERNAL_H
#define MINIKV_SIM_WORLD_INTERNAL_H

#include "base/buf.h"
#include "base/mem.h"
#include "sim/names.h"
#include "sim/world.h"

/* Something that becomes due. Embedded in its owner, which cancels it before it goes away. */
struct event {
    size_t heap_index; /* 0: not due */
    struct env *env;   /* whose turn it is; NULL: the network's */
    void (*run)(void *ctx);
    void *ctx;
};

/* The key lies in the heap, so that sifting looks at nothing else. */
struct heap_item {
    time_us at;
    uint64_t sequence;
    struct env *env;
    struct event *event;     /* or */
    struct env_timer *timer; /* of `env` */
};

/* One generator for each of these, and for each machine. */
enum chance {
    CHANCE_SCRIPT,
    CHANCE_IDS,
    CHANCE_DELAY,
    CHANCE_SPIKE,
    CHANCE_LOSS,
    CHANCE_RETRY,
    CHANCE_RESET,
    CHANCE_SPLIT,
    CHANCE_SYNC_TIME,
    CHANCE_SLOW,
    CHANCE_READ_ERROR,
    CHANCE_WRITE_ERROR,
    CHANCE_SYNC_ERROR,
    CHANCE_LOST,
    CHANCE_MISDIRECT,
    CHANCE_STOP,
    CHANCE_SURVIVAL,
    CHANCE_TEAR,
    CHANCE_GARBAGE,
    CHANCE_WRITE_BACK,
    CHANCE_DAMAGE
};
enum { CHANCES_COUNT = CHANCE_DAMAGE + 1 };

/* Shows `base`, and `wall_base` without what it is ahead, at the right time `set_at`, and goes on
 * at its own speed. */
struct machine_clock {
    time_us base, wall_base, set_at;
    unsigned percent;
    time_us wall_ahead;
};

enum { DISK_PAGE_BYTES = 4096, DISK_PAGE_SECTORS = 8 };

/* A page of some file, shared by what it is cached as, by the disk, and by copies of the disk:
 * whoever wants to change it while others share it makes a copy first. */
struct disk_chunk {
    struct disk_chunk *next_free;
    unsigned refs;
    size_t stored; /* this much of `data`; the rest are zeros, and most of a page of the log is */
    uint8_t data[DISK_PAGE_BYTES];
};

/* `durable` differs from `cached` in the sectors that are dirty or lost, and in no other. */
struct disk_page {
    struct disk_chunk *cached, *durable; /* NULL: zeros */
    uint8_t dirty;                       /* one bit per sector: written since the last sync */
    uint8_t lost;                        /* taken for synced, and not on disk */
};

/* A file without its name, or a directory. */
struct disk_inode {
    struct list link; /* in machine->inodes */
    struct disk_page *pages;
    size_t pages_count, pages_capacity;
    uint64_t cached_bytes, durable_bytes;
    size_t dirty_begin, dirty_end; /* pages that may be dirty; equal: none */
    unsigned opens_count;
    bool is_directory;
    bool has_lost;
    bool is_used; /* while unused ones are looked for */
};

struct machine {
    struct env *env; /* NULL: off */
    bool is_paused;
    bool is_locked;
    bool is_silent; /* off, and nobody answers for it */
    bool is_refusing;
    bool is_stop_untold;
    time_us cpu_cost, busy_until;
    struct machine_clock clock;

    struct world_disk disk;
    time_us sync_extra;
    uint64_t io_count, stop_at_io, fault_at_io;
    enum world_stop stop_how;
    enum world_io_fault io_fault;
    struct list inodes;
    struct disk_names cached, durable;
    struct disk_changes changes;
};

struct link_state {
    struct world_link settings;
    time_us free_at; /* the bandwidth is used up until then */
    bool is_cut;
};

struct world {
    time_us now;
    uint64_t sequence_last;
    struct heap_item *heap; /* 1-based */
    size_t heap_count, heap_capacity;
    struct env *turn; /* whose event is running; NULL: nobody's */
    unsigned turn_last;
    bool has_stop_untold;

    uint64_t digest;
    uint64_t events_count;
    uint64_t faults_count[WORLD_FAULTS_COUNT];
    void (*on_event)(void *ctx, const struct world_event *event);
    void *on_event_ctx;
    void (*on_stop)(void *ctx, unsigned machine);
    void *on_stop_ctx;

    uint64_t streams_last; /* number of the newest connection */
    struct list streams, listeners, envs;
    struct disk_chunk *free_chunks;
    struct machine machines[WORLD_MACHINES_MAX + 1];
    struct link_state links[WORLD_MACHINES_MAX + 1][WORLD_MACHINES_MAX + 1]; /* [from][to] */
    struct prng chances[CHANCES_COUNT][WORLD_MACHINES_MAX + 1];
};

/* Writes that complete in the order started, and do not wait for those of the other lane. */
struct lane {
    struct env *env;
    struct list writes; /* struct env_write, started and not completed */
    struct event done;  /* when the first of them is complete */
};

struct env {
    struct world *world;
    unsigned machine;
    struct list link; /* in world->envs */
    bool is_off;
    struct list tasks;
    struct event turn;    /* for tasks posted from outside of its turns */
    struct lane lanes[2]; /* [is_background] */
};

/* ---- heap.c ---- */

void event_init(struct event *event, struct env *env, void (*run)(void *ctx), void *ctx);
/* Due then; also when it was due at another time. */
void event_set(struct world *world, struct event *event, time_us at);
void event_cancel(struct world *world, struct event *event);
void heap_set_timer(struct world *world, struct env *env, struct env_timer *timer, time_us at);
void heap_remove(struct world *world, size_t index);
/* The first item again, later, behind what else is due then. */
void heap_put_off_first(struct world *world, time_us at);
/* Whatever is due on `env` no longer is. */
void heap_forget(struct world *world, const struct env *env);
/* Gives each item of `env` a new time; the order of equals stays. */
void heap_retime(struct world *world, const struct env *env,
                 time_us (*time_of)(const struct world *world, const struct heap_item *item));

/* ---- event.c ---- */

void note(struct world *world, const struct world_event *event);
void note_fault(struct world *world, enum world_fault fault, unsigned machine, unsigned peer,
                const char *path);
void chances_init(struct world *world, uint64_t seed);
/* Below `bound`. */
uint64_t chance_below(struct world *world, enum chance chance, unsigned machine, uint64_t bound);
/* Draws nothing when `chance_ppm` is 0. */
bool chance_hits(struct world *world, enum chance chance, unsigned machine, uint32_t chance_ppm);

/* ---- world.c ---- */

struct machine *machine_of(const struct env *env);
/* At the operation on which world_crash_at_io has decided. */
void machine_stop_at_io(struct env *env);

/* ---- disk_store.c ---- */

struct disk_inode *inode_new(struct world *world, struct list *list, bool is_directory);
void inode_free(struct world *world, struct disk_inode *inode);
size_t inode_read(const struct disk_inode *inode, bool durable, uint64_t offset, void *out,
                  size_t count);
/* What is written as lost never gets to the disk. */
void inode_write(struct world *world, unsigned machine, struct disk_inode *inode, uint64_t offset,
                 struct bytes bytes, bool is_lost);
void inode_sync(struct world *world, struct disk_inode *inode);
/* Everything dirty is taken for synced, of which the disk gets some, or nothing. */
void inode_lose(struct world *world, unsigned machine, struct disk_inode *inode, bool gets_some);
/* The power is gone. */
void inode_fail(struct world *world, unsigned machine, struct disk_inode *inode, const char *path);
/* The cache forgets what only it has and the disk should have. */
void inode_forget_lost(struct world *world, struct disk_inode *inode);
/* On the disk itself, behind the cache; within the file. */
void inode_overwrite(struct world *world, struct disk_inode *inode, uint64_t offset,
                     struct bytes bytes);
/* A clean inode with what the other one has on disk. */
struct disk_inode *inode_copy_durable(struct world *world, struct list *list,
                                      const struct disk_inode *inode);
void chunks_free(struct world *world);

/* ---- disk_names.c ---- */

bool names_have_directory(const struct disk_names *names, const char *path);
bool names_have_parent(const struct disk_names *names, const char *path);
void names_change(struct machine *machine, const char *from, const char *to,
                  struct disk_inode *inode);
void names_sync(struct machine *machine, const char *directory);
void names_fail(struct world *world, unsigned machine);
/* Names in a directory that is not there are not there either. */
void names_drop_orphans(struct disk_names *names);
/* Frees the inodes that nothing leads to. */
void names_collect(struct world *world, struct machine *machine);

/* ---- disk.c ---- */

void disk_init(struct machine *machine, const struct world_options *options);
void disk_boot(struct world *world, unsigned machine);
void disk_stop(struct world *world, unsigned machine, enum world_stop how);
void disk_empty(struct world *world, struct machine *machine);
/* Ends what an env that is off has started, so that its owner can be freed. */
void disk_end_writes(struct env *env);
void lane_init(struct lane *lane, struct env *env);

/* ---- net.c, net_fault.c, net_link.c ---- */

void net_stop(struct world *world, unsigned machine, enum world_stop how);
/* The machine is there: what has waited for it goes on. */
void net_boot(struct world *world, unsigned machine);

#endif
