/* Names: what reads see, what is on disk, and the changes in between.
 *
 * A change lasts once the directory it shows in is synced. When the power goes before, each change
 * lasts or not; renaming is one change, so a file is never without a name in between, and of one
 * name the changes last in their order: afterwards it leads to something that it once led to. */
#include <stdio.h>

#include "sim/world_internal.h"

enum { NAMES_CAPACITY_MIN = 8 };

struct disk_name *names_find(const struct disk_names *names, const char *path)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->items[i].path, path) == 0)
            return &names->items[i];
    return NULL;
}

static void names_remove(struct disk_names *names, const char *path)
{
    struct disk_name *name = names_find(names, path);
    if (name != NULL)
        *name = names->items[--names->count];
}

void names_set(struct disk_names *names, const char *path, struct disk_inode *inode)
{
    struct disk_name *name = names_find(names, path);
    if (name == NULL) {
        if (names->count == names->capacity) {
            names->capacity = MAX(names->capacity * 2, (size_t)NAMES_CAPACITY_MIN);
            names->items = mem_realloc(names->items, names->capacity * sizeof names->items[0]);
        }
        name = &names->items[names->count++];
        (void)snprintf(name->path, sizeof name->path, "%s", path);
    }
    name->inode = inode;
}

void names_release(struct disk_names *names)
{
    mem_free(names->items);
    *names = (struct disk_names){0};
}

bool names_have_directory(const struct disk_names *names, const char *path)
{
    const struct disk_name *name = names_find(names, path);
    return strcmp(path, ".") == 0 || (name != NULL && name->inode->is_directory);
}

bool names_have_parent(const struct disk_names *names, const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return true;
    char parent[DISK_PATH_BYTES];
    (void)snprintf(parent, sizeof parent, "%.*s", (int)(slash - path), path);
    return names_have_directory(names, parent);
}

bool path_is_in(const char *path, const char *directory)
{
    size_t count = strcmp(directory, ".") == 0 ? 0 : strlen(directory);
    if (count > 0 && (strncmp(path, directory, count) != 0 || path[count] != '/'))
        return false;
    return strchr(path + (count > 0 ? count + 1 : 0), '/') == NULL;
}

static void apply(struct disk_names *names, const struct disk_change *change)
{
    if (change->from[0] != '\0')
        names_remove(names, change->from);
    if (change->to[0] != '\0')
        names_set(names, change->to, change->inode);
}

void names_change(struct machine *machine, const char *from, const char *to,
                  struct disk_inode *inode)
{
    if (machine->changes_count == machine->changes_capacity) {
        machine->changes_capacity = MAX(machine->changes_capacity * 2, (size_t)NAMES_CAPACITY_MIN);
        machine->changes =
            mem_realloc(machine->changes, machine->changes_capacity * sizeof machine->changes[0]);
    }
    struct disk_change *change = &machine->changes[machine->changes_count++];
    change->inode = inode;
    (void)snprintf(change->from, sizeof change->from, "%s", from);
    (void)snprintf(change->to, sizeof change->to, "%s", to);
    apply(&machine->cached, change);
}

void names_sync(struct machine *machine, const char *directory)
{
    size_t kept = 0;
    for (size_t i = 0; i < machine->changes_count; i++) {
        struct disk_change *change = &machine->changes[i];
        const char *path = change->to[0] != '\0' ? change->to : change->from;
        if (path_is_in(path, directory))
            apply(&machine->durable, change);
        else
            machine->changes[kept++] = *change;
    }
    machine->changes_count = kept;
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
        machine->changes_count > 0 && is_some &&
        chance_below(world, CHANCE_SURVIVAL, machine_number, 2) == 0; /* none after one is lost */
    bool has_lost = false;
    for (size_t i = 0; i < machine->changes_count; i++) {
        const struct disk_change *change = &machine->changes[i];
        bool is_kept = survival == WORLD_SURVIVES_ALL ||
                       (is_some && !(is_journalled && has_lost) &&
                        chance_below(world, CHANCE_SURVIVAL, machine_number, 2) == 0);
        if (is_kept) {
            apply(&machine->durable, change);
            continue;
        }
        has_lost = true;
        note_fault(world, WORLD_FAULT_NAME_LOST, machine_number, 0,
                   change->to[0] != '\0' ? change->to : change->from);
    }
    machine->changes_count = 0;
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
    for (size_t i = 0; i < machine->changes_count; i++)
        machine->changes[i].inode->is_used = true;
    for (struct list *at = inodes->next; at != inodes; at = next) {
        next = at->next;
        struct disk_inode *inode = CONTAINER_OF(at, struct disk_inode, link);
        if (!inode->is_used && inode->opens_count == 0)
            inode_free(world, inode);
    }
}
