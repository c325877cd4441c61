/* Disks, as env.h has them; and what can go wrong at each operation. */
#include <stdio.h>
#include <stdlib.h>

#include "sim/world_internal.h"

struct env_file {
    struct env *env;
    struct disk_inode *inode;
    char path[DISK_PATH_BYTES]; /* under which it was opened */
};

/* What becomes of one operation. */
enum verdict {
    VERDICT_GOOD,
    VERDICT_ERROR,
    VERDICT_NO_SPACE,
    VERDICT_LOST,
    VERDICT_MISDIRECT,
    VERDICT_STOP /* the machine stops in the middle of it */
};

static void note_io(struct env *env, enum world_event_kind kind, const char *path, uint64_t offset,
                    struct bytes bytes)
{
    note(env->world,
         &(struct world_event){
             .kind = kind, .machine = env->machine, .a = offset, .path = path, .bytes = bytes});
}

static void note_io_fault(struct env *env, enum world_fault fault, const char *path)
{
    note_fault(env->world, fault, env->machine, 0, path);
}

static bool hits(struct env *env, enum chance chance, uint32_t chance_ppm)
{
    return chance_hits(env->world, chance, env->machine, chance_ppm);
}

static bool tosses(struct env *env, enum chance chance)
{
    return chance_below(env->world, chance, env->machine, 2) == 0;
}

static enum verdict appointed(const struct machine *machine)
{
    switch (machine->io_fault) {
    case WORLD_IO_GOOD:
        return VERDICT_GOOD;
    case WORLD_IO_ERROR:
        return VERDICT_ERROR;
    case WORLD_IO_NO_SPACE:
        return VERDICT_NO_SPACE;
    case WORLD_IO_LOST:
        return VERDICT_LOST;
    case WORLD_IO_MISDIRECT:
        return VERDICT_MISDIRECT;
    }
    UNREACHABLE();
}

/* Counts one operation. */
static enum verdict next_io(struct env *env)
{
    struct machine *machine = machine_of(env);
    REQUIRE(!env->is_off);
    machine->io_count++;
    if (machine->io_count == machine->stop_at_io)
        return VERDICT_STOP;
    if (machine->io_count == machine->fault_at_io)
        return appointed(machine);
    return VERDICT_GOOD;
}

/* What a call returns that changes names: all or nothing. */
static enum status end_change(struct env *env, enum verdict verdict)
{
    switch (verdict) {
    case VERDICT_GOOD:
    case VERDICT_LOST:
    case VERDICT_MISDIRECT:
        return ST_OK;
    case VERDICT_ERROR:
        note_io_fault(env, WORLD_FAULT_WRITE_ERROR, NULL);
        return ST_IO;
    case VERDICT_NO_SPACE:
        note_io_fault(env, WORLD_FAULT_NO_SPACE, NULL);
        return ST_NO_SPACE;
    case VERDICT_STOP:
        machine_stop_at_io(env);
        return ST_IO;
    }
    UNREACHABLE();
}

/* Whether the change takes place; if the machine stops meanwhile, perhaps. */
static bool takes_place(struct env *env, enum verdict verdict)
{
    switch (verdict) {
    case VERDICT_GOOD:
    case VERDICT_LOST:
    case VERDICT_MISDIRECT:
        return true;
    case VERDICT_ERROR:
    case VERDICT_NO_SPACE:
        return false;
    case VERDICT_STOP:
        return tosses(env, CHANCE_STOP);
    }
    UNREACHABLE();
}

static time_us draw_duration(struct env *env)
{
    struct machine *machine = machine_of(env);
    const struct world_disk *disk = &machine->disk;
    time_us duration = disk->sync_min + machine->sync_extra;
    if (disk->sync_max > disk->sync_min)
        duration += chance_below(env->world, CHANCE_SYNC_TIME, env->machine,
                                 disk->sync_max - disk->sync_min + 1);
    if (hits(env, CHANCE_SLOW, disk->slow_chance)) {
        duration += chance_below(env->world, CHANCE_SLOW, env->machine, disk->slow_max + 1);
        note_io_fault(env, WORLD_FAULT_SLOW, NULL);
    }
    return duration;
}

/* The loop waits for the disk. */
static void wait_for_disk(struct env *env)
{
    struct machine *machine = machine_of(env);
    if (!env->is_off && machine->disk.is_blocking)
        machine->busy_until = MAX(machine->busy_until, env->world->now) + draw_duration(env);
}

/* ---- opening and reading ---- */

static struct env_file *new_file(struct env *env, struct disk_inode *inode, const char *path)
{
    struct env_file *file = mem_alloc(sizeof *file);
    file->env = env;
    file->inode = inode;
    (void)snprintf(file->path, sizeof file->path, "%s", path);
    inode->opens_count++;
    return file;
}

static enum status create(struct env *env, const char *path, struct disk_inode **out_inode,
                          struct errtext *error)
{
    struct machine *machine = machine_of(env);
    if (names_find(&machine->cached, path) != NULL) {
        errtext_set(error, "%s: exists", path);
        return ST_IO;
    }
    if (!names_have_parent(&machine->cached, path)) {
        errtext_set(error, "%s: no such directory", path);
        return ST_NOT_FOUND;
    }
    enum verdict verdict = next_io(env);
    if (takes_place(env, verdict)) {
        *out_inode = inode_new(env->world, &machine->inodes, false);
        names_change(machine, "", path, *out_inode);
        note_io(env, WORLD_FILE_CREATED, path, 0, bytes_of(NULL, 0));
    }
    enum status status = end_change(env, verdict);
    if (status != ST_OK)
        errtext_set(error, "create %s: %s", path, status_info(status)->title);
    return status;
}

enum status env_file_open(struct env *env, const char *path, enum env_open mode,
                          struct env_file **out_file, struct errtext *error)
{
    REQUIRE(strlen(path) < DISK_PATH_BYTES);
    if (env->is_off) {
        errtext_set(error, "%s: the machine is off", path);
        return ST_IO;
    }
    struct disk_inode *inode = NULL;
    if (mode == ENV_OPEN_CREATE) {
        enum status status = create(env, path, &inode, error);
        if (status != ST_OK)
            return status;
    } else {
        const struct disk_name *name = names_find(&machine_of(env)->cached, path);
        if (name == NULL) {
            errtext_set(error, "%s: no such file", path);
            return ST_NOT_FOUND;
        }
        inode = name->inode;
    }
    *out_file = new_file(env, inode, path);
    return ST_OK;
}

void env_file_close(struct env_file *file)
{
    if (file == NULL)
        return;
    struct disk_inode *inode = file->inode;
    bool is_orphan = --inode->opens_count == 0 && list_is_empty(&inode->link);
    if (is_orphan) /* its disk was wiped meanwhile */
        inode_free(file->env->world, inode);
    mem_free(file);
}

enum status env_file_size(struct env_file *file, uint64_t *out_bytes)
{
    if (file->env->is_off)
        return ST_IO;
    *out_bytes = file->inode->cached_bytes;
    return ST_OK;
}

enum status env_file_read(struct env_file *file, uint64_t offset, void *out, size_t count,
                          size_t *out_count)
{
    struct env *env = file->env;
    if (env->is_off)
        return ST_IO;
    if (hits(env, CHANCE_READ_ERROR, machine_of(env)->disk.read_error_chance)) {
        note_io_fault(env, WORLD_FAULT_READ_ERROR, file->path);
        return ST_IO;
    }
    *out_count = inode_read(file->inode, false, offset, out, count);
    note(env->world, &(struct world_event){.kind = WORLD_FILE_READ,
                                           .machine = env->machine,
                                           .path = file->path,
                                           .a = offset,
                                           .b = *out_count});
    return ST_OK;
}

/* ---- writing ---- */

static uint64_t bytes_used(const struct machine *machine)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < machine->cached.count; i++)
        bytes += machine->cached.items[i].inode->cached_bytes;
    return bytes;
}

/* How much of a write finds room: what makes no file longer always does. */
static size_t room_for(const struct env_file *file, uint64_t offset, size_t count)
{
    const struct machine *machine = machine_of(file->env);
    uint64_t capacity = machine->disk.capacity_bytes, end = file->inode->cached_bytes;
    if (capacity == 0 || offset + count <= end)
        return count;
    uint64_t used = bytes_used(machine);
    uint64_t end_max = end + (capacity > used ? capacity - used : 0);
    return offset >= end_max ? 0 : (size_t)MIN((uint64_t)count, end_max - offset);
}

static size_t some_prefix(struct env *env, size_t count)
{
    return (size_t)chance_below(env->world, CHANCE_WRITE_ERROR, env->machine, count + 1);
}

/* A file of this disk that has something on disk; NULL: none. */
static struct disk_inode *any_inode(struct env *env, enum chance chance)
{
    struct list *inodes = &machine_of(env)->inodes;
    struct disk_inode *chosen = NULL;
    uint64_t seen = 0;
    for (struct list *at = inodes->next; at != inodes; at = at->next) {
        struct disk_inode *inode = CONTAINER_OF(at, struct disk_inode, link);
        if (inode->durable_bytes > 0 && chance_below(env->world, chance, env->machine, ++seen) == 0)
            chosen = inode;
    }
    return chosen;
}

/* The disk writes it to another place; the cache has it where it belongs. */
static void misdirect(struct env_file *file, uint64_t offset, struct bytes bytes)
{
    struct env *env = file->env;
    struct disk_inode *victim = any_inode(env, CHANCE_MISDIRECT);
    inode_write(env->world, env->machine, file->inode, offset, bytes, true);
    note_io(env, WORLD_FILE_WRITTEN, file->path, offset, bytes); /* as far as anybody is told */
    note_io_fault(env, WORLD_FAULT_MISDIRECTED, file->path);
    if (victim == NULL || bytes.count == 0)
        return;
    uint64_t sectors = (victim->durable_bytes + WORLD_SECTOR_BYTES - 1) / WORLD_SECTOR_BYTES;
    uint64_t to =
        WORLD_SECTOR_BYTES * chance_below(env->world, CHANCE_MISDIRECT, env->machine, sectors);
    bytes.count = (size_t)MIN((uint64_t)bytes.count, victim->durable_bytes - to);
    inode_overwrite(env->world, victim, to, bytes);
}

/* What the settings say about a write with which nothing else is wrong. */
static enum verdict draw_write(struct env *env)
{
    const struct world_disk *disk = &machine_of(env)->disk;
    if (hits(env, CHANCE_WRITE_ERROR, disk->write_error_chance))
        return VERDICT_ERROR;
    if (hits(env, CHANCE_LOST, disk->lost_chance))
        return VERDICT_LOST;
    if (hits(env, CHANCE_MISDIRECT, disk->misdirect_chance))
        return VERDICT_MISDIRECT;
    return VERDICT_GOOD;
}

static void put(struct env_file *file, uint64_t offset, struct bytes bytes)
{
    struct env *env = file->env;
    inode_write(env->world, env->machine, file->inode, offset, bytes, false);
    note_io(env, WORLD_FILE_WRITTEN, file->path, offset, bytes);
}

static enum status write_badly(struct env_file *file, uint64_t offset, struct bytes bytes,
                               enum verdict verdict)
{
    struct env *env = file->env;
    switch (verdict) {
    case VERDICT_GOOD:
        put(file, offset, bytes);
        return ST_OK;
    case VERDICT_LOST:
        inode_write(env->world, env->machine, file->inode, offset, bytes, true);
        note_io(env, WORLD_FILE_WRITTEN, file->path, offset, bytes);
        note_io_fault(env, WORLD_FAULT_LOST, file->path);
        return ST_OK;
    case VERDICT_MISDIRECT:
        misdirect(file, offset, bytes);
        return ST_OK;
    case VERDICT_ERROR:
    case VERDICT_NO_SPACE:
    case VERDICT_STOP:
        put(file, offset, bytes_of(bytes.data, some_prefix(env, bytes.count)));
        return end_change(env, verdict);
    }
    UNREACHABLE();
}

enum status env_file_write(struct env_file *file, uint64_t offset, struct bytes bytes)
{
    struct env *env = file->env;
    if (env->is_off)
        return ST_IO;
    enum verdict verdict = next_io(env);
    if (verdict == VERDICT_GOOD)
        verdict = draw_write(env);
    size_t room = room_for(file, offset, bytes.count);
    if (room == bytes.count)
        return write_badly(file, offset, bytes, verdict);
    if (verdict == VERDICT_STOP)
        return write_badly(file, offset, bytes_of(bytes.data, room), verdict);
    put(file, offset, bytes_of(bytes.data, room));
    note_io_fault(env, WORLD_FAULT_NO_SPACE, file->path);
    return ST_NO_SPACE;
}

void env_file_bypass_cache(struct env_file *file)
{
    (void)file; /* what is not synced is lost here either way */
}

static enum status sync_badly(struct env_file *file, enum verdict verdict)
{
    struct env *env = file->env;
    switch (verdict) {
    case VERDICT_GOOD:
    case VERDICT_MISDIRECT:
        inode_sync(env->world, file->inode);
        note_io(env, WORLD_FILE_SYNCED, file->path, 0, bytes_of(NULL, 0));
        return ST_OK;
    case VERDICT_LOST:
        inode_lose(env->world, env->machine, file->inode, false);
        note_io(env, WORLD_FILE_SYNCED, file->path, 0, bytes_of(NULL, 0));
        note_io_fault(env, WORLD_FAULT_LOST, file->path);
        return ST_OK;
    case VERDICT_ERROR:
    case VERDICT_NO_SPACE:
        inode_lose(env->world, env->machine, file->inode, true);
        note_io_fault(env, WORLD_FAULT_SYNC_ERROR, file->path);
        return ST_IO;
    case VERDICT_STOP:
        if (tosses(env, CHANCE_STOP))
            inode_sync(env->world, file->inode);
        machine_stop_at_io(env);
        return ST_IO;
    }
    UNREACHABLE();
}

static enum status sync_file(struct env_file *file)
{
    struct env *env = file->env;
    enum verdict verdict = next_io(env);
    if (verdict == VERDICT_GOOD &&
        hits(env, CHANCE_SYNC_ERROR, machine_of(env)->disk.sync_error_chance))
        verdict = VERDICT_ERROR;
    return sync_badly(file, verdict);
}

enum status env_file_sync(struct env_file *file)
{
    if (file->env->is_off)
        return ST_IO;
    wait_for_disk(file->env);
    return sync_file(file);
}

/* ---- writes that complete later ---- */

static struct env_write *first_write(struct lane *lane)
{
    return CONTAINER_OF(lane->writes.next, struct env_write, link);
}

/* The first write goes to the cache; how it went is kept in it. */
static void begin_write(struct lane *lane)
{
    struct env *env = lane->env;
    struct env_write *write = first_write(lane);
    write->status = ST_OK;
    if (write->bytes.count != 0)
        write->status = env_file_write(write->file, write->offset, write->bytes);
    if (!env->is_off)
        event_set(env->world, &lane->done, env->world->now + draw_duration(env));
}

static void run_lane(void *ctx)
{
    struct lane *lane = ctx;
    struct env *env = lane->env;
    struct env_write *write = first_write(lane);
    if (write->status == ST_OK && !write->skip_sync)
        write->status = sync_file(write->file);
    if (env->is_off) /* in the middle of it */
        return;
    list_remove(&write->link);
    if (!list_is_empty(&lane->writes))
        begin_write(lane);
    if (!env->is_off)
        write->on_done(write->ctx, write->status);
    else
        list_push_back(&lane->writes, &write->link); /* for disk_end_writes */
}

void lane_init(struct lane *lane, struct env *env)
{
    lane->env = env;
    list_init(&lane->writes);
    event_init(&lane->done, env, run_lane, lane);
}

void env_write_start(struct env *env, struct env_write *write)
{
    struct lane *lane = &env->lanes[write->is_background];
    bool is_first = list_is_empty(&lane->writes);
    list_push_back(&lane->writes, &write->link);
    if (is_first && !env->is_off)
        begin_write(lane);
}

void disk_end_writes(struct env *env)
{
    REQUIRE(env->is_off);
    for (size_t i = 0; i < ARRAY_COUNT(env->lanes); i++)
        while (!list_is_empty(&env->lanes[i].writes)) {
            struct env_write *write = first_write(&env->lanes[i]);
            list_remove(&write->link);
            write->on_done(write->ctx, ST_IO);
        }
}

/* ---- names ---- */

enum status env_dir_make(struct env *env, const char *path)
{
    struct machine *machine = machine_of(env);
    REQUIRE(strlen(path) < DISK_PATH_BYTES);
    if (env->is_off)
        return ST_IO;
    const struct disk_name *name = names_find(&machine->cached, path);
    if (name != NULL)
        return name->inode->is_directory ? ST_OK : ST_IO;
    if (!names_have_parent(&machine->cached, path))
        return ST_NOT_FOUND;
    enum verdict verdict = next_io(env);
    if (takes_place(env, verdict)) {
        names_change(machine, "", path, inode_new(env->world, &machine->inodes, true));
        note_io(env, WORLD_DIR_MADE, path, 0, bytes_of(NULL, 0));
    }
    return end_change(env, verdict);
}

enum status env_dir_sync(struct env *env, const char *path)
{
    struct machine *machine = machine_of(env);
    if (env->is_off)
        return ST_IO;
    if (!names_have_directory(&machine->cached, path))
        return ST_NOT_FOUND;
    wait_for_disk(env);
    enum verdict verdict = next_io(env);
    if (verdict == VERDICT_GOOD && hits(env, CHANCE_SYNC_ERROR, machine->disk.sync_error_chance))
        verdict = VERDICT_ERROR;
    if (verdict == VERDICT_LOST) {
        note_io(env, WORLD_DIR_SYNCED, path, 0, bytes_of(NULL, 0));
        note_io_fault(env, WORLD_FAULT_LOST, path);
    } else if (takes_place(env, verdict)) {
        names_sync(machine, path);
        names_collect(env->world, machine);
        note_io(env, WORLD_DIR_SYNCED, path, 0, bytes_of(NULL, 0));
    }
    return end_change(env, verdict);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

enum status env_dir_list(struct env *env, const char *path,
                         void (*on_name)(void *ctx, const char *name), void *ctx)
{
    const struct disk_names *names = &machine_of(env)->cached;
    if (env->is_off)
        return ST_IO;
    if (!names_have_directory(names, path))
        return ST_NOT_FOUND;
    size_t count = 0, skipped = strcmp(path, ".") == 0 ? 0 : strlen(path) + 1;
    const char **found = mem_alloc_array(names->count + 1, sizeof found[0]);
    for (size_t i = 0; i < names->count; i++)
        if (path_is_in(names->items[i].path, path))
            found[count++] = names->items[i].path + skipped;
    qsort(found, count, sizeof found[0], compare_names);
    for (size_t i = 0; i < count; i++)
        on_name(ctx, found[i]);
    mem_free(found);
    return ST_OK;
}

enum status env_rename(struct env *env, const char *from, const char *to)
{
    struct machine *machine = machine_of(env);
    REQUIRE(strlen(to) < DISK_PATH_BYTES);
    if (env->is_off)
        return ST_IO;
    const struct disk_name *name = names_find(&machine->cached, from);
    if (name == NULL || !names_have_parent(&machine->cached, to))
        return ST_NOT_FOUND;
    enum verdict verdict = next_io(env);
    if (takes_place(env, verdict)) {
        names_change(machine, from, to, name->inode);
        note_io(env, WORLD_FILE_RENAMED, to, 0, bytes_of_text(from));
    }
    return end_change(env, verdict);
}

enum status env_unlink(struct env *env, const char *path)
{
    struct machine *machine = machine_of(env);
    if (env->is_off)
        return ST_IO;
    const struct disk_name *name = names_find(&machine->cached, path);
    if (name == NULL)
        return ST_NOT_FOUND;
    enum verdict verdict = next_io(env);
    if (takes_place(env, verdict)) {
        names_change(machine, path, "", name->inode);
        note_io(env, WORLD_FILE_UNLINKED, path, 0, bytes_of(NULL, 0));
    }
    return end_change(env, verdict);
}

enum status env_lock(struct env *env, const char *path, struct errtext *error)
{
    if (env->is_off || machine_of(env)->is_locked) {
        errtext_set(error, "%s: in use", path);
        return ST_LOCKED;
    }
    machine_of(env)->is_locked = true;
    return ST_OK;
}
