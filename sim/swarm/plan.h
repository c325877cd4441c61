/* Plan: what one seed comes to before anything runs: the size of the cluster, its times, the load,
 * and which faults strike how often. Pure.
 *
 * Every number is drawn from the seed; what a person pins replaces what was drawn and moves nothing
 * else. Half of the seeds leave out half of the kinds of faults (swarm testing, Groce et al. 2012):
 * a fault that always strikes hides what only shows without it. */
#ifndef MINIKV_SIM_SWARM_PLAN_H
#define MINIKV_SIM_SWARM_PLAN_H

#include "base/bytes.h"
#include "base/check.h"
#include "base/prng.h"
#include "types/ids.h"

enum {
    PLAN_NODES_MAX = 7,
    PLAN_OPERATIONS_MAX = 20000,
    PLAN_KEYS_MAX = 4,
    PLAN_CLIENTS_MAX = 16,
    PLAN_CUSTOMERS_MAX = 3
};

/* X(NAME, word, mean time between two in ms; 0: from the start, what it is) */
#define FAULT_TABLE(X)                                                                             \
    X(CRASH, "crash", 5000, "a process is killed, or its machine loses power; on again later")     \
    X(IO_CRASH, "io-crash", 8000, "a machine stops in the middle of one of its next disk writes")  \
    X(POWER_CUT, "power-cut", 20000, "several machines lose power in the same moment")             \
    X(TORN, "torn", 0, "a power failure leaves any of the sectors and names not yet synced")       \
    X(PAUSE, "pause", 8000, "a machine does nothing for a while, then goes on")                    \
    X(CUT, "cut", 6000, "one direction between two machines holds everything back")                \
    X(ISOLATE, "isolate", 12000, "a machine is cut off from all others")                           \
    X(PARTITION, "partition", 15000, "halves, a ring of majorities, a bridge, a star or a chain")  \
    X(RESET, "reset", 3000, "the connections between two machines are reset")                      \
    X(HALF_OPEN, "half-open", 8000, "one side of the connections between two machines is gone")    \
    X(LOSSY, "lossy", 10000, "a direction loses, delays and splits segments for a while")          \
    X(NARROW, "narrow", 15000, "a direction carries few bytes per second for a while")             \
    X(SLOW_DISK, "slow-disk", 10000, "each sync of a machine takes up to a second longer")         \
    X(SLOW_CPU, "slow-cpu", 15000, "everything takes a machine longer for a while")                \
    X(DISK_FULL, "disk-full", 20000, "one of the next disk writes of a machine finds no room")     \
    X(IO_ERROR, "io-error", 20000, "one of the next disk writes or syncs of a machine fails")      \
    X(CLOCK, "clock", 0, "at each boot: a clock that runs at 80 to 125 percent, of another day")   \
    X(CLOCK_JUMP, "clock-jump", 8000, "the wall clock of a machine is set, forward or back")       \
    X(WIPE, "wipe", 40000, "a machine comes back with an empty disk, and is replaced later")       \
    X(ROT, "rot", 40000, "a bit of what was synced long ago turns round: never on too many")       \
    X(TRANSFER, "transfer", 5000, "an operator asks for another leader")                           \
    X(ANNOUNCE, "announce", 8000, "an operator announces a wrong client address")                  \
    X(MEMBERS, "members", 10000, "members are taken out and let in; some seeds begin with few")    \
    X(OLD_DISK, "old-disk", 10000, "a machine comes back with an older copy of its disk")          \
    X(ROLLING, "rolling", 12000, "all restart, one after the other: told to stop, or killed")      \
    X(READ_ERROR, "read-error", 20000, "reads from the disk of a machine fail, for a while")       \
    X(LOST_WRITE, "lost-write", 40000, "a write is acknowledged and gets nowhere, or elsewhere")   \
    X(NO_ROOM, "no-room", 20000, "no file of a machine may grow, for a while")                     \
    X(WINDOWS, "windows", 0, "connections hold only 8 to 512 KiB on the way")                      \
    X(DATA, "data", 0, "no fault: transactions, leases and compaction are in the load")

enum fault {
#define FAULT_ENUM(name, word, every_ms, text) FAULT_##name,
    FAULT_TABLE(FAULT_ENUM)
#undef FAULT_ENUM
        FAULT_COUNT,
    FAULT_LATE_FIRST = FAULT_ROLLING /* from here on: drawn apart from those before */
};

struct fault_info {
    const char *word;
    uint32_t every_ms;
    const char *text;
};
const struct fault_info *fault_info(enum fault fault);

/* What clients do, each with its share. */
enum work { WORK_COUNTER, WORK_READ, WORK_SESSION, WORK_REGISTER, WORK_KINDS };

struct plan {
    uint64_t seed;
    unsigned nodes_count;    /* machines that are members, at some time */
    unsigned founders_max;   /* plan_founders */
    time_us duration;        /* of the first phase, with faults */
    unsigned operations_max; /* of the first phase */
    unsigned clients_count, keys_count;
    uint32_t faults;                  /* bits of enum fault */
    time_us fault_every[FAULT_COUNT]; /* mean; 0: never */
    time_us operation_every;          /* mean */
    unsigned shares[WORK_KINDS], share_sum;
    unsigned copies_max; /* of one delivery, to several nodes at once */
    time_us heartbeat, election, hold, session_ttl;
    uint64_t wal_segment_bytes;
    uint64_t snapshot_bytes, snapshot_rate; /* 0: the default, which no run comes to */
    size_t value_bytes_max;                 /* of a register's value: padding behind it */
    time_us delay_min, delay_max, sync_min, sync_max;
    size_t window_bytes; /* of each connection, on the way and not read; WINDOWS: counts */
    bool rolling_kills;  /* rolling restarts also kill; else they tell to stop */
    bool heals_all;      /* in the second phase; else a majority, and the others stay away */

    /* Customers use libminikv, over HTTP: with them the nodes open their front doors. */
    unsigned customers_count; /* 0: two seeds in three */
    unsigned calls_max;       /* of each, in the first phase */
    time_us call_every;       /* mean, of each */
    time_us troubles_every;   /* mean: of the faults between customers and nodes, and of theirs */
    bool doors_redirect;      /* the nodes' own policy */
    time_us request_timeout, idle_timeout; /* of the doors */

    /* Transactions, leases and compaction; DATA: count. */
    time_us data_every; /* mean */
};

/* What is not 0 replaces what the seed draws. */
struct plan_pins {
    unsigned nodes_count;
    time_us duration;
    unsigned operations_max;
    unsigned clients_count;
    bool has_customers;
    unsigned customers_count; /* 0 is none of them */
    bool has_faults;
    uint32_t faults;  /* the only ones that may strike */
    uint32_t without; /* of what was drawn or given, these do not strike */
};

void plan_draw(struct plan *plan, uint64_t seed, const struct plan_pins *pins);
/* Nothing happens but rolling restarts of nodes that are told to stop, and never so many are away
 * that the others could not go on. */
bool plan_is_calm(const struct plan *plan);
/* How many are members at the start. */
unsigned plan_founders(const struct plan *plan);
/* "crash,cut", "all" or "none". False: an unknown word, given in `out_word` where it begins. */
bool plan_parse_faults(const char *text, uint32_t *out_faults, struct bytes *out_word);
/* The same the other way round; needs 256 bytes. */
const char *plan_format_faults(uint32_t faults, char out[256]);

/* One generator for each purpose, so that one more draw here moves nothing there. */
enum purpose {
    PURPOSE_PLAN = 1,
    PURPOSE_WORLD,
    PURPOSE_FAULTS,
    PURPOSE_WORK,
    PURPOSE_CHECKS,
    PURPOSE_CUSTOMERS_PLAN,
    PURPOSE_CUSTOMERS,
    PURPOSE_CLUSTER_PLAN,
    PURPOSE_OPERATORS,
    PURPOSE_LATE_PLAN,
    PURPOSE_LATE_FAULTS,
    PURPOSE_DATA_PLAN,
    PURPOSE_DATA
};
void plan_prng(uint64_t seed, enum purpose purpose, struct prng *out_prng);

#endif
