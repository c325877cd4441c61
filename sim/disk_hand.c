/* Disks by hand: their life and death, settings, backups, and damage. */
#include "sim/world_internal.h"

struct world_copy {
    struct world *world;
    struct list inodes;
    struct disk_names names;
};

void disk_init(struct machine *machine, const struct world_options *options)
{
    list_init(&machine->inodes);
    machine->disk =
        (struct world_disk){.sync_min = options->sync_min, .sync_max = options->sync_max};
}

static const char *path_of(const struct machine *machine, const struct disk_inode *inode)
{
    for (size_t i = 0; i < machine->cached.count; i++)
        if (machine->cached.items[i].inode == inode)
            return machine->cached.items[i].path;
    return NULL;
}

static struct disk_inode *inode_at(struct list *at)
{
    return CONTAINER_OF(at, struct disk_inode, link);
}

/* A page that the disk never got may still be in the cache, or have been read anew. */
void disk_boot(struct world *world, unsigned machine)
{
    struct list *inodes = &world->machines[machine].inodes;
    for (struct list *at = inodes->next; at != inodes; at = at->next)
        if (inode_at(at)->has_lost && chance_below(world, CHANCE_SYNC_ERROR, machine, 2) == 0)
            inode_forget_lost(world, inode_at(at));
}

/* The kernel may complete a sync for a process that is gone. */
static void end_sync(struct world *world, unsigned machine)
{
    struct env *env = world->machines[machine].env;
    bool is_writing =
        !list_is_empty(&env->lanes[0].writes) || !list_is_empty(&env->lanes[1].writes);
    if (is_writing && chance_below(world, CHANCE_STOP, machine, 2) == 0)
        for (struct list *at = world->machines[machine].inodes.next;
             at != &world->machines[machine].inodes; at = at->next)
            inode_sync(world, inode_at(at));
}

void disk_stop(struct world *world, unsigned machine, enum world_stop how)
{
    struct machine *stopping = &world->machines[machine];
    if (how == WORLD_STOP_KILL) {
        end_sync(world, machine);
        return;
    }
    for (struct list *at = stopping->inodes.next; at != &stopping->inodes; at = at->next)
        inode_fail(world, machine, inode_at(at), path_of(stopping, inode_at(at)));
    names_fail(world, machine);
    names_collect(world, stopping);
}

void disk_empty(struct world *world, struct machine *machine)
{
    struct list *next;
    for (struct list *at = machine->inodes.next; at != &machine->inodes; at = next) {
        next = at->next;
        if (inode_at(at)->opens_count == 0)
            inode_free(world, inode_at(at));
        else
            list_remove(at); /* whoever has it open frees it */
    }
    names_release(&machine->cached);
    names_release(&machine->durable);
    changes_release(&machine->changes);
}

/* ---- settings ---- */

void world_disk_set(struct world *world, unsigned machine, const struct world_disk *settings)
{
    REQUIRE(settings->sync_min <= settings->sync_max);
    world->machines[machine].disk = *settings;
}

void world_disk_get(const struct world *world, unsigned machine, struct world_disk *out_settings)
{
    *out_settings = world->machines[machine].disk;
}

void world_slow_disk(struct world *world, unsigned machine, time_us extra)
{
    world->machines[machine].sync_extra = extra;
}

uint64_t world_io_count(const struct world *world, unsigned machine)
{
    return world->machines[machine].io_count;
}

void world_crash_at_io(struct world *world, unsigned machine, uint64_t number, enum world_stop how)
{
    REQUIRE(number == 0 || number > world->machines[machine].io_count);
    world->machines[machine].stop_at_io = number;
    world->machines[machine].stop_how = how;
}

void world_fault_at_io(struct world *world, unsigned machine, uint64_t number,
                       enum world_io_fault fault)
{
    REQUIRE(number == 0 || number > world->machines[machine].io_count);
    world->machines[machine].fault_at_io = number;
    world->machines[machine].io_fault = fault;
}

/* ---- wiped, copied, restored ---- */

static void note_change(struct world *world, unsigned machine, enum world_fault fault,
                        const char *path, uint64_t offset, uint64_t value)
{
    note_fault(world, fault, machine, 0, path);
    note(
        world,
        &(struct world_event){
            .kind = WORLD_DISK_CHANGED, .machine = machine, .path = path, .a = offset, .b = value});
}

void world_wipe(struct world *world, unsigned machine)
{
    REQUIRE(world->machines[machine].env == NULL);
    disk_empty(world, &world->machines[machine]);
    note_change(world, machine, WORLD_FAULT_WIPE, NULL, 0, 0);
}

static void copy_disk(struct world *world, const struct disk_names *from, struct list *inodes,
                      struct disk_names *names)
{
    for (size_t i = 0; i < from->count; i++)
        names_set(names, from->items[i].path,
                  inode_copy_durable(world, inodes, from->items[i].inode));
}

struct world_copy *world_disk_copy(struct world *world, unsigned machine)
{
    struct world_copy *copy = mem_alloc(sizeof *copy);
    copy->world = world;
    list_init(&copy->inodes);
    copy_disk(world, &world->machines[machine].durable, &copy->inodes, &copy->names);
    names_drop_orphans(&copy->names);
    return copy;
}

void world_disk_restore(struct world *world, unsigned machine, const struct world_copy *copy)
{
    struct machine *to = &world->machines[machine];
    REQUIRE(to->env == NULL);
    REQUIRE(copy->world == world);
    disk_empty(world, to);
    copy_disk(world, &copy->names, &to->inodes, &to->durable);
    for (size_t i = 0; i < to->durable.count; i++)
        names_set(&to->cached, to->durable.items[i].path, to->durable.items[i].inode);
    note_change(world, machine, WORLD_FAULT_RESTORE, NULL, 0, to->durable.count);
}

void world_copy_free(struct world_copy *copy)
{
    if (copy == NULL)
        return;
    while (!list_is_empty(&copy->inodes))
        inode_free(copy->world, inode_at(copy->inodes.next));
    names_release(&copy->names);
    mem_free(copy);
}

/* ---- damage ---- */

static void flip(struct world *world, unsigned machine, struct disk_inode *inode, uint64_t offset,
                 uint8_t mask)
{
    uint8_t byte = 0;
    size_t count = inode_read(inode, true, offset, &byte, 1);
    INVARIANT(count == 1);
    byte ^= mask;
    inode_overwrite(world, inode, offset, bytes_of(&byte, 1));
    note_change(world, machine, WORLD_FAULT_FLIPPED, path_of(&world->machines[machine], inode),
                offset, mask);
}

bool world_disk_flip(struct world *world, unsigned machine, const char *path, uint64_t offset,
                     uint8_t mask)
{
    const struct disk_name *name = names_find(&world->machines[machine].durable, path);
    if (name == NULL || offset >= name->inode->durable_bytes)
        return false;
    flip(world, machine, name->inode, offset, mask);
    return true;
}

static uint64_t damage_below(struct world *world, unsigned machine, uint64_t bound)
{
    return chance_below(world, CHANCE_DAMAGE, machine, bound);
}

/* A file of this disk that is not empty; NULL: there is none. */
static struct disk_inode *any_file(struct world *world, unsigned machine)
{
    struct disk_inode *chosen = NULL;
    uint64_t seen = 0;
    const struct disk_names *names = &world->machines[machine].durable;
    for (size_t i = 0; i < names->count; i++)
        if (names->items[i].inode->durable_bytes > 0 && damage_below(world, machine, ++seen) == 0)
            chosen = names->items[i].inode;
    return chosen;
}

/* Whether a sector holds anything; reads it. */
static bool read_sector(const struct disk_inode *inode, uint64_t offset,
                        uint8_t out[WORLD_SECTOR_BYTES], size_t *out_count)
{
    *out_count = inode_read(inode, true, offset, out, WORLD_SECTOR_BYTES);
    for (size_t i = 0; i < *out_count; i++)
        if (out[i] != 0)
            return true;
    return false;
}

/* A sector of the file that holds anything. False: there is none. */
static bool any_sector(struct world *world, unsigned machine, const struct disk_inode *inode,
                       uint64_t *out_offset)
{
    uint8_t sector[WORLD_SECTOR_BYTES];
    size_t count;
    uint64_t seen = 0;
    for (uint64_t offset = 0; offset < inode->durable_bytes; offset += WORLD_SECTOR_BYTES)
        if (read_sector(inode, offset, sector, &count) && damage_below(world, machine, ++seen) == 0)
            *out_offset = offset;
    return seen > 0;
}

bool world_disk_flip_any(struct world *world, unsigned machine)
{
    struct disk_inode *inode = any_file(world, machine);
    uint64_t offset = 0;
    if (inode == NULL || !any_sector(world, machine, inode, &offset))
        return false;
    uint8_t sector[WORLD_SECTOR_BYTES];
    size_t count, chosen = 0;
    uint64_t seen = 0;
    (void)read_sector(inode, offset, sector, &count);
    for (size_t i = 0; i < count; i++)
        if (sector[i] != 0 && damage_below(world, machine, ++seen) == 0)
            chosen = i;
    flip(world, machine, inode, offset + chosen, (uint8_t)(1u << damage_below(world, machine, 8)));
    return true;
}

bool world_disk_misplace_any(struct world *world, unsigned machine)
{
    struct disk_inode *inode = any_file(world, machine);
    uint64_t from = 0;
    if (inode == NULL || inode->durable_bytes <= WORLD_SECTOR_BYTES ||
        !any_sector(world, machine, inode, &from))
        return false;
    uint64_t sectors = (inode->durable_bytes + WORLD_SECTOR_BYTES - 1) / WORLD_SECTOR_BYTES;
    uint64_t to = damage_below(world, machine, sectors - 1);
    to += to >= from / WORLD_SECTOR_BYTES; /* not itself */
    to *= WORLD_SECTOR_BYTES;
    uint8_t sector[WORLD_SECTOR_BYTES];
    size_t count;
    (void)read_sector(inode, from, sector, &count);
    count = (size_t)MIN((uint64_t)count, inode->durable_bytes - to);
    inode_overwrite(world, inode, to, bytes_of(sector, count));
    note_change(world, machine, WORLD_FAULT_MISDIRECTED, path_of(&world->machines[machine], inode),
                from, to);
    return true;
}

size_t world_disk_peek(struct world *world, unsigned machine, const char *path, uint64_t offset,
                       void *out, size_t count)
{
    const struct disk_name *name = names_find(&world->machines[machine].durable, path);
    return name == NULL ? SIZE_MAX : inode_read(name->inode, true, offset, out, count);
}
