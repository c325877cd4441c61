#include "sim/names.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"

enum { NAMES_CAPACITY_MIN = 8 };

struct disk_name *names_find(const struct disk_names *names, const char *path)
{
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->items[i].path, path) == 0)
            return &names->items[i];
    return NULL;
}

void names_remove(struct disk_names *names, const char *path)
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

void names_apply(struct disk_names *names, const struct disk_change *change)
{
    if (change->from[0] != '\0')
        names_remove(names, change->from);
    if (change->to[0] != '\0')
        names_set(names, change->to, change->inode);
}

void names_release(struct disk_names *names)
{
    mem_free(names->items);
    *names = (struct disk_names){0};
}

void changes_put(struct disk_changes *changes, struct disk_names *cached, const char *from,
                 const char *to, struct disk_inode *inode)
{
    if (changes->count == changes->capacity) {
        changes->capacity = MAX(changes->capacity * 2, (size_t)NAMES_CAPACITY_MIN);
        changes->items = mem_realloc(changes->items, changes->capacity * sizeof changes->items[0]);
    }
    struct disk_change *change = &changes->items[changes->count++];
    change->inode = inode;
    (void)snprintf(change->from, sizeof change->from, "%s", from);
    (void)snprintf(change->to, sizeof change->to, "%s", to);
    names_apply(cached, change);
}

void changes_sync(struct disk_changes *changes, struct disk_names *durable, const char *directory)
{
    size_t kept = 0;
    for (size_t i = 0; i < changes->count; i++) {
        const struct disk_change *change = &changes->items[i];
        const char *path = change->to[0] != '\0' ? change->to : change->from;
        if (path_is_in(path, directory))
            names_apply(durable, change);
        else
            changes->items[kept++] = *change;
    }
    changes->count = kept;
}

void changes_release(struct disk_changes *changes)
{
    mem_free(changes->items);
    *changes = (struct disk_changes){0};
}

bool path_is_in(const char *path, const char *directory)
{
    size_t count = strcmp(directory, ".") == 0 ? 0 : strlen(directory);
    if (count > 0 && (strncmp(path, directory, count) != 0 || path[count] != '/'))
        return false;
    return strchr(path + (count > 0 ? count + 1 : 0), '/') == NULL;
}

bool path_parent(const char *path, char out[DISK_PATH_BYTES])
{
    const char *slash = strrchr(path, '/');
    if (slash != NULL)
        (void)snprintf(out, DISK_PATH_BYTES, "%.*s", (int)(slash - path), path);
    return slash != NULL;
}
