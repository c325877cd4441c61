/* Disks: files that remember what has been synced, and survive their machine. */
#include <stdio.h>
#include <stdlib.h>

#include "sim/world_internal.h"

struct env_file {
    struct env *env;
    struct machine_file *file;
};

static struct machine *machine_of(struct env *env)
{
    return &env->world->machines[env->machine];
}

static struct machine_file *find(struct env *env, const char *path)
{
    struct list *files = &machine_of(env)->files;
    for (struct list *at = files->next; at != files; at = at->next) {
        struct machine_file *file = CONTAINER_OF(at, struct machine_file, link);
        if (!file->is_unlinked && strcmp(file->path, path) == 0)
            return file;
    }
    return NULL;
}

static void free_file(struct machine_file *file)
{
    list_remove(&file->link);
    buf_release(&file->now);
    buf_release(&file->synced);
    mem_free(file);
}

/* What has been written since the last sync becomes what a crash leaves. */
static void sync_now(struct machine_file *file)
{
    if (file->synced.count < file->now.count)
        buf_put_zeros(&file->synced, file->now.count - file->synced.count);
    if (file->dirty_end > file->dirty_begin)
        memcpy(file->synced.data + file->dirty_begin, file->now.data + file->dirty_begin,
               file->dirty_end - file->dirty_begin);
    file->dirty_begin = file->dirty_end = 0;
}

static void forget_unsynced(struct machine_file *file)
{
    buf_reset(&file->now);
    buf_put(&file->now, buf_bytes(&file->synced));
    file->dirty_begin = file->dirty_end = 0;
}

void disk_crash(struct world *world, unsigned machine)
{
    struct list *next;
    struct list *files = &world->machines[machine].files;
    for (struct list *at = files->next; at != files; at = next) {
        next = at->next;
        struct machine_file *file = CONTAINER_OF(at, struct machine_file, link);
        if (!file->is_unlinked)
            forget_unsynced(file);
    }
}

static void free_files(struct machine *machine)
{
    while (!list_is_empty(&machine->files))
        free_file(CONTAINER_OF(machine->files.next, struct machine_file, link));
}

void disk_free(struct world *world)
{
    for (unsigned i = 0; i <= WORLD_MACHINES_MAX; i++)
        free_files(&world->machines[i]);
}

void world_wipe(struct world *world, unsigned machine)
{
    REQUIRE(world->machines[machine].env == NULL);
    free_files(&world->machines[machine]);
}

void world_slow_disk(struct world *world, unsigned machine, time_us extra)
{
    world->machines[machine].sync_extra = extra;
}

enum status env_file_open(struct env *env, const char *path, enum env_open mode,
                          struct env_file **out_file, struct errtext *error)
{
    struct machine_file *file = find(env, path);
    if (file == NULL && mode != ENV_OPEN_CREATE) {
        errtext_set(error, "%s: no such file", path);
        return ST_NOT_FOUND;
    }
    if (file != NULL && mode == ENV_OPEN_CREATE) {
        errtext_set(error, "%s: exists", path);
        return ST_IO;
    }
    if (file == NULL) {
        file = mem_alloc(sizeof *file);
        (void)snprintf(file->path, sizeof file->path, "%s", path);
        buf_init(&file->now, SIZE_MAX / 2);
        buf_init(&file->synced, SIZE_MAX / 2);
        list_push_back(&machine_of(env)->files, &file->link);
    }
    file->opens_count++;
    *out_file = mem_alloc(sizeof **out_file);
    **out_file = (struct env_file){.env = env, .file = file};
    return ST_OK;
}

void env_file_close(struct env_file *file)
{
    if (file == NULL)
        return;
    if (--file->file->opens_count == 0 && file->file->is_unlinked)
        free_file(file->file);
    mem_free(file);
}

enum status env_file_size(struct env_file *file, uint64_t *out_bytes)
{
    *out_bytes = file->file->now.count;
    return ST_OK;
}

enum status env_file_read(struct env_file *file, uint64_t offset, void *out, size_t count,
                          size_t *out_count)
{
    const struct buf *now = &file->file->now;
    size_t there = offset < now->count ? MIN(count, now->count - offset) : 0;
    if (there > 0)
        memcpy(out, now->data + offset, there);
    *out_count = there;
    return ST_OK;
}

static void write_bytes(struct machine_file *to, uint64_t offset, struct bytes bytes)
{
    if (bytes.count == 0)
        return;
    if (offset + bytes.count > to->now.count)
        buf_put_zeros(&to->now, offset + bytes.count - to->now.count);
    memcpy(to->now.data + offset, bytes.data, bytes.count);
    bool is_clean = to->dirty_end == to->dirty_begin;
    to->dirty_begin = is_clean ? offset : MIN(to->dirty_begin, offset);
    to->dirty_end = MAX(is_clean ? 0 : to->dirty_end, offset + bytes.count);
}

enum status env_file_write(struct env_file *file, uint64_t offset, struct bytes bytes)
{
    if (!file->env->is_off)
        write_bytes(file->file, offset, bytes);
    return ST_OK;
}

enum status env_file_sync(struct env_file *file)
{
    if (!file->env->is_off)
        sync_now(file->file);
    return ST_OK;
}

enum status env_dir_make(struct env *env, const char *path)
{
    return ST_OK; /* directories are only the slashes in a path */
}

enum status env_dir_sync(struct env *env, const char *path)
{
    return ST_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

enum status env_dir_list(struct env *env, const char *path,
                         void (*on_name)(void *ctx, const char *name), void *ctx)
{
    const char *names[1024];
    size_t count = 0, prefix_bytes = strlen(path);
    struct list *files = &machine_of(env)->files;
    for (struct list *at = files->next; at != files; at = at->next) {
        const struct machine_file *file = CONTAINER_OF(at, struct machine_file, link);
        if (!file->is_unlinked && strncmp(file->path, path, prefix_bytes) == 0 &&
            file->path[prefix_bytes] == '/') {
            REQUIRE(count < ARRAY_COUNT(names));
            names[count++] = file->path + prefix_bytes + 1;
        }
    }
    qsort(names, count, sizeof names[0], compare_names);
    for (size_t i = 0; i < count; i++)
        on_name(ctx, names[i]);
    return ST_OK;
}

static void unlink_file(struct machine_file *file)
{
    if (file == NULL)
        return;
    file->is_unlinked = true;
    if (file->opens_count == 0)
        free_file(file);
}

enum status env_rename(struct env *env, const char *from, const char *to)
{
    struct machine_file *file = find(env, from);
    if (file == NULL || env->is_off)
        return ST_NOT_FOUND;
    unlink_file(find(env, to));
    (void)snprintf(file->path, sizeof file->path, "%s", to);
    return ST_OK;
}

enum status env_unlink(struct env *env, const char *path)
{
    struct machine_file *file = find(env, path);
    if (file == NULL || env->is_off)
        return ST_NOT_FOUND;
    unlink_file(file);
    return ST_OK;
}

enum status env_lock(struct env *env, const char *path, struct errtext *error)
{
    if (machine_of(env)->is_locked) {
        errtext_set(error, "%s: in use", path);
        return ST_LOCKED;
    }
    machine_of(env)->is_locked = true;
    return ST_OK;
}

static void on_written(void *ctx)
{
    struct env_write *write = ctx;
    list_remove(&write->link);
    if (!write->skip_sync)
        sync_now(write->file->file);
    write->on_done(write->ctx, ST_OK);
}

void disk_end_writes(struct env *env)
{
    while (!list_is_empty(&env->writes)) {
        struct env_write *write = CONTAINER_OF(env->writes.next, struct env_write, link);
        list_remove(&write->link);
        write->on_done(write->ctx, ST_IO);
    }
}

void env_write_start(struct env *env, struct env_write *write)
{
    struct world *world = env->world;
    if (env->is_off)
        return;
    time_us span = world->options.sync_max - world->options.sync_min;
    time_us duration =
        world->options.sync_min + prng_below(&world->prng, span + 1) + machine_of(env)->sync_extra;
    env->disk_free_at = MAX(env->disk_free_at, world->now) + duration;

    write_bytes(write->file->file, write->offset, write->bytes);
    list_push_back(&env->writes, &write->link);
    world_schedule(world, env, env->disk_free_at, on_written, write);
}
