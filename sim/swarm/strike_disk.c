/* Faults of disks: slow, full, failing, and those that say that all is well.
 *
 * A write that was acknowledged and is not there, or is somewhere else, makes a disk that counts
 * for nothing, as one that was damaged at rest (lose.c): its operator puts another in its place.
 * Until then its node may go on; started again it must notice, and say so. It can notice only if
 * something stands behind the gap: a log without its end is a shorter log, which no code can tell
 * from one that never was longer. So where nothing does, the machine stays off. */
#include <stdio.h>
#include <string.h>

#include "sim/swarm/members.h"

static uint64_t below(struct swarm *swarm, uint64_t limit)
{
    return prng_below(&swarm->faults, limit);
}

#define NOTE(site, fault, ...)                                                                     \
    do {                                                                                           \
        (site)->swarm->totals.faults[fault]++;                                                     \
        swarm_note((site)->swarm, TRACE_FAULT, (site)->id, 0, fault, 0, __VA_ARGS__);              \
    } while (0)

static struct site *any_site(struct swarm *swarm, struct prng *prng)
{
    return &swarm->sites[1 + prng_below(prng, swarm->plan.nodes_count)];
}

void strike_io(struct swarm *swarm, enum fault fault)
{
    struct site *site = any_site(swarm, &swarm->faults);
    if (site->node == NULL)
        return;
    uint64_t number = world_io_count(swarm->world, site->id) + 1 + below(swarm, 30);
    if (fault == FAULT_IO_CRASH) {
        enum world_stop how = below(swarm, 2) == 0 ? WORLD_STOP_CRASH : WORLD_STOP_POWER_OFF;
        NOTE(site, fault, "will stop in the middle of a disk write");
        world_crash_at_io(swarm->world, site->id, number, how);
        return;
    }
    bool is_full = fault == FAULT_DISK_FULL;
    NOTE(site, fault, is_full ? "a disk write will find no room" : "a disk write will fail");
    if (site->bad_write != BAD_WRITE_AHEAD) /* one appointment at a time */
        world_fault_at_io(swarm->world, site->id, number,
                          is_full ? WORLD_IO_NO_SPACE : WORLD_IO_ERROR);
}

void strike_slow_disk(struct swarm *swarm)
{
    struct site *site = any_site(swarm, &swarm->faults);
    time_us extra = (1 + below(swarm, 1000)) * TIME_US_PER_MS;
    if (!strike_lasts(swarm, &swarm->faults, FAULT_SLOW_DISK, site->id, 0, 10000))
        return;
    NOTE(site, FAULT_SLOW_DISK, "each sync takes %llu ms longer",
         (unsigned long long)(extra / TIME_US_PER_MS));
    world_slow_disk(swarm->world, site->id, extra);
}

static void set_disk(struct swarm *swarm, unsigned id, uint32_t read_errors, uint64_t capacity)
{
    struct world_disk disk;
    world_disk_get(swarm->world, id, &disk);
    disk.read_error_chance = read_errors;
    disk.capacity_bytes = capacity;
    world_disk_set(swarm->world, id, &disk);
}

/* One of both at a time: what is over leaves nothing behind. */
void strike_disk(struct swarm *swarm, enum fault fault)
{
    struct site *site = any_site(swarm, &swarm->late);
    uint32_t chance = (uint32_t)(1 + prng_below(&swarm->late, WORLD_ALWAYS / 5));
    if (!strike_lasts(swarm, &swarm->late, fault, site->id, 0, 5000))
        return;
    if (fault == FAULT_READ_ERROR) {
        NOTE(site, fault, "%u per mille of its reads fail", chance / 1000);
        set_disk(swarm, site->id, chance, 0);
    } else {
        NOTE(site, fault, "no file of it may grow");
        set_disk(swarm, site->id, 0, 1);
    }
}

void strike_heal_disk(struct swarm *swarm, unsigned id)
{
    set_disk(swarm, id, 0, 0);
}

/* ---- a disk that lies ---- */

void strike_lost_write(struct swarm *swarm)
{
    struct site *site = any_site(swarm, &swarm->late);
    bool is_elsewhere = prng_below(&swarm->late, 2) == 0;
    uint64_t ahead = 1 + prng_below(&swarm->late, 30);
    if (site->node == NULL || site->may_be_damaged || site->is_out ||
        !members_can_do_without(swarm, site->id))
        return;
    NOTE(site, FAULT_LOST_WRITE, "a disk write will %s",
         is_elsewhere ? "go to another place" : "get nowhere");
    site->bad_write = BAD_WRITE_AHEAD;
    site->may_be_damaged = true;
    world_fault_at_io(swarm->world, site->id, world_io_count(swarm->world, site->id) + ahead,
                      is_elsewhere ? WORLD_IO_MISDIRECT : WORLD_IO_LOST);
    members_replace(site);
}

/* What the log holds, or is about to: what is written from here on stands behind the gap. */
static raft_index end_of_written(const struct truth *truth)
{
    raft_index end = truth_end(truth);
    for (size_t i = 0; i < truth->pending_count; i++)
        end = MAX(end, MAX(truth->pending[i].entry.index, truth->pending[i].mark.snapshot.index));
    return end;
}

static bool is_file_of(const char *path, const char *folder)
{
    size_t count = strlen(folder);
    return path != NULL && strncmp(path, folder, count) == 0 && path[count] == '/';
}

void strike_on_disk_fault(struct site *site, const struct world_event *event)
{
    bool is_bad = event->a == WORLD_FAULT_LOST || event->a == WORLD_FAULT_MISDIRECTED;
    if (!is_bad || site->bad_write != BAD_WRITE_AHEAD)
        return;
    bool can_be_noticed = is_file_of(event->path, "wal") || is_file_of(event->path, "snap");
    site->bad_write = can_be_noticed ? BAD_WRITE_DONE : BAD_WRITE_UNSEEN;
    site->bad_write_end = end_of_written(&site->truth);
}

void strike_forget_bad_write(struct site *site)
{
    if (site->bad_write == BAD_WRITE_AHEAD)
        world_fault_at_io(site->swarm->world, site->id, 0, WORLD_IO_GOOD);
    site->bad_write = BAD_WRITE_NONE;
}

bool strike_lets_boot(struct site *site)
{
    if (site->bad_write == BAD_WRITE_AHEAD)
        strike_forget_bad_write(site);
    return site->bad_write == BAD_WRITE_NONE ||
           (site->bad_write == BAD_WRITE_DONE && site->truth.last > site->bad_write_end);
}
