/* Names of a machine: what reads see, what is on disk, and the changes in between.
 *
 * A change lasts once the directory it shows in is synced. When the power goes before, each change
 * lasts or not; renaming is one change, so a file is never without a name in between, and of one
 * name the changes last in their order: afterwards it leads to something that it once led to. */
#include "sim/world_internal.h"

bool names_have_directory(const struct disk_names *names, const char *path)
{
    const struct disk_name *name = names_find(names, path);
    return strcmp(path, ".") == 0 || (name != NULL && name->inode->is_directory);
}

bool names_have_parent(const struct disk_names *names, const char *path)
{
    char parent[DISK_PATH_BYTES];
    return !path_parent(path, parent) || names_have_directory(names, parent);
}

void names_change(struct machine *machine, const char *from, const char *to,
                  struct disk_inode *inode)
{
    changes_put(&machine->changes, &machine->cached, from, to, inode);
}

void names_sync(struct machine *machine, const char *directory)
{
    changes_sync(&machine->changes, &machine->durable, directory);
}

void names_drop_orphans(struct disk_names *names)
{
    bool is_complete;
    do {
        is_complete = true;
        for (size_t i = 0; i < names->count && is_complete; i++) {
            is_complete = names_have_parent(names, names->items[i].path);
            if (!is_complete)
                names->items[i] = names->items[--names->count];
        }
    } while (!is_complete);
}

static void copy_names(struct disk_names *to, const struct disk_names *from)
{
    to->count = 0;
    for (size_t i = 0; i < from->count; i++)
        names_set(to, from->items[i].path, from->items[i].inode);
}

void names_fail(struct world *world, unsigned machine_number)
{
    struct machine *machine = &world->machines[machine_number];
    enum world_survival survival = machine->disk.survival;
    bool is_some = survival == WORLD_SURVIVES_SOME;
    bool is_journalled =
        machine->changes.count > 0 && is_some &&
        chance_below(world, CHANCE_SURVIVAL, machine_number, 2) == 0; /* none after one is lost */
    bool has_lost = false;
    for (size_t i = 0; i < machine->changes.count; i++) {
        const struct disk_change *change = &machine->changes.items[i];
        bool is_kept = survival == WORLD_SURVIVES_ALL ||
                       (is_some && !(is_journalled && has_lost) &&
                        chance_below(world, CHANCE_SURVIVAL, machine_number, 2) == 0);
        if (is_kept) {
            names_apply(&machine->durable, change);
            continue;
        }
        has_lost = true;
        note_fault(world, WORLD_FAULT_NAME_LOST, machine_number, 0,
                   change->to[0] != '\0' ? change->to : change->from);
    }
    machine->changes.count = 0;
    names_drop_orphans(&machine->durable);
    copy_names(&machine->cached, &machine->durable);
}

static void mark_used(const struct disk_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        names->items[i].inode->is_used = true;
}

void names_collect(struct world *world, struct machine *machine)
{
    struct list *inodes = &machine->inodes, *next;
    for (struct list *at = inodes->next; at != inodes; at = at->next)
        CONTAINER_OF(at, struct disk_inode, link)->is_used = false;
    mark_used(&machine->cached);
    mark_used(&machine->durable);
    for (size_t i = 0; i < machine->changes.count; i++)
        machine->changes.items[i].inode->is_used = true;
    for (struct list *at = inodes->next; at != inodes; at = next) {
        next = at->next;
        struct disk_inode *inode = CONTAINER_OF(at, struct disk_inode, link);
        if (!inode->is_used && inode->opens_count == 0)
            inode_free(world, inode);
    }
}
