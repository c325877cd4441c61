/* The disk of the disk env: files, names, what is durable of them, and how they break. */
#include "support/disk_env_internal.h"

#include <stdlib.h>

#include "base/crc32c.h"
#include "base/mem.h"

/* ---- contents ---- */

static void content_reserve(struct disk_content *content, size_t count)
{
    if (count <= content->capacity)
        return;
    size_t capacity = MAX(count, content->capacity * 2);
    content->data = mem_realloc(content->data, capacity);
    content->capacity = capacity;
}

static void content_resize(struct disk_content *content, size_t count)
{
    content_reserve(content, count);
    if (count > content->count)
        memset(content->data + content->count, 0, count - content->count);
    content->count = count;
}

static void content_write(struct disk_content *content, uint64_t offset, struct bytes bytes)
{
    if (bytes.count == 0)
        return;
    size_t end = (size_t)offset + bytes.count;
    if (offset > content->count)
        content_resize(content, (size_t)offset);
    content_reserve(content, end);
    memcpy(content->data + offset, bytes.data, bytes.count);
    content->count = MAX(content->count, end);
}

static void content_assign(struct disk_content *content, struct bytes bytes)
{
    content_resize(content, 0);
    content_write(content, 0, bytes);
}

static struct bytes content_bytes(const struct disk_content *content)
{
    return bytes_of(content->data, content->count);
}

static struct disk_inode *inode_new(struct env *env, bool is_directory)
{
    struct disk_inode *inode = mem_alloc(sizeof *inode);
    inode->is_directory = is_directory;
    inode->next = env->inodes;
    env->inodes = inode;
    return inode;
}

static void inode_forget_writes(struct disk_inode *inode)
{
    for (size_t i = 0; i < inode->writes_count; i++)
        mem_free(inode->writes[i].data);
    inode->writes_count = 0;
}

static void inode_write(struct disk_inode *inode, uint64_t offset, struct bytes bytes)
{
    if (bytes.count == 0)
        return;
    content_write(&inode->cached, offset, bytes);
    if (inode->writes_count == inode->writes_capacity) {
        inode->writes_capacity = inode->writes_capacity * 2 + 4;
        inode->writes = mem_realloc(inode->writes, inode->writes_capacity * sizeof *inode->writes);
    }
    struct disk_write *write = &inode->writes[inode->writes_count++];
    *write = (struct disk_write){offset, mem_alloc_raw(bytes.count), bytes.count};
    memcpy(write->data, bytes.data, bytes.count);
}

static void inode_sync(struct disk_inode *inode)
{
    for (size_t i = 0; i < inode->writes_count; i++)
        content_write(&inode->durable, inode->writes[i].offset,
                      bytes_of(inode->writes[i].data, inode->writes[i].count));
    inode_forget_writes(inode);
}

/* One sector of an unsynced write, as the power goes: there, not there, or half there. */
static void persist_sector(struct prng *prng, struct disk_inode *inode,
                           const struct disk_write *write, size_t from, uint64_t survivors)
{
    size_t count = MIN(write->count - from, (size_t)DISK_SECTOR_BYTES);
    uint64_t offset = write->offset + from;
    uint64_t chance = prng_below(prng, 100);
    if (chance >= survivors) {
        /* New blocks that were allotted but not written may show what was there before. */
        bool is_new = offset + count > inode->durable.count;
        if (!is_new || prng_below(prng, 8) != 0)
            return;
        for (size_t i = 0; i < count; i++) {
            uint8_t garbage = (uint8_t)prng_next(prng);
            content_write(&inode->durable, offset + i, bytes_of(&garbage, 1));
        }
        return;
    }
    if (prng_below(prng, 64) == 0)
        count = (size_t)prng_below(prng, count + 1);
    content_write(&inode->durable, offset, bytes_of(write->data + from, count));
}

/* Any part of the unsynced writes becomes durable, the rest never does. */
static void inode_persist_some(struct prng *prng, struct disk_inode *inode)
{
    static const uint64_t odds[] = {0, 10, 50, 90, 97, 100};
    uint64_t survivors = odds[prng_below(prng, ARRAY_COUNT(odds))];
    for (size_t i = 0; i < inode->writes_count; i++)
        for (size_t from = 0; from < inode->writes[i].count; from += DISK_SECTOR_BYTES)
            persist_sector(prng, inode, &inode->writes[i], from, survivors);
    inode_forget_writes(inode);
}

/* ---- names ---- */

static bool has_parent(const struct disk_names *names, const char *path)
{
    char parent[DISK_PATH_BYTES];
    return !path_parent(path, parent) || names_find(names, parent) != NULL;
}

static void copy_names(struct disk_names *to, const struct disk_names *from)
{
    to->count = 0;
    for (size_t i = 0; i < from->count; i++)
        if (has_parent(from, from->items[i].path))
            names_set(to, from->items[i].path, from->items[i].inode);
}

/* ---- life and death ---- */

void disk_files_init(struct env *env)
{
    list_init(&env->files);
}

void disk_files_release(struct env *env)
{
    while (env->inodes != NULL) {
        struct disk_inode *inode = env->inodes;
        env->inodes = inode->next;
        inode_forget_writes(inode);
        mem_free(inode->writes);
        mem_free(inode->cached.data);
        mem_free(inode->durable.data);
        mem_free(inode);
    }
    while (!list_is_empty(&env->files))
        env_file_close(CONTAINER_OF(env->files.next, struct env_file, link));
    names_release(&env->cached);
    names_release(&env->durable);
    changes_release(&env->changes);
}

void disk_files_end_life(struct env *env)
{
    env->life++;
}

void disk_files_lose_cache(struct env *env)
{
    for (struct disk_inode *inode = env->inodes; inode != NULL; inode = inode->next) {
        inode_persist_some(&env->prng, inode);
        content_assign(&inode->cached, content_bytes(&inode->durable));
    }
    bool is_in_order = prng_below(&env->prng, 2) == 0;
    for (size_t i = 0; i < env->changes.count; i++) {
        if (prng_below(&env->prng, 2) == 0)
            names_apply(&env->durable, &env->changes.items[i]);
        else if (is_in_order)
            break; /* as a journal would have it */
    }
    env->changes.count = 0;
    copy_names(&env->cached, &env->durable);
    copy_names(&env->durable, &env->cached);
}

/* ---- env.h ---- */

static enum status outcome(struct env *env, enum disk_verdict verdict)
{
    switch (verdict) {
    case DISK_GO_ON:
    case DISK_LIE:
        return ST_OK;
    case DISK_FAIL:
        return env->fail_status;
    case DISK_DIE:
        return ST_IO;
    }
    UNREACHABLE();
}

enum status env_file_open(struct env *env, const char *path, enum env_open mode,
                          struct env_file **out_file, struct errtext *error)
{
    if (env->is_dead)
        return ST_IO;
    enum disk_verdict verdict = disk_next_op(env);
    if (verdict == DISK_FAIL) {
        errtext_set(error, "open %s: injected", path);
        return env->fail_status;
    }
    struct disk_name *name = names_find(&env->cached, path);
    if (mode != ENV_OPEN_CREATE && name == NULL) {
        errtext_set(error, "open %s: no such file", path);
        return ST_NOT_FOUND;
    }
    if (mode == ENV_OPEN_CREATE) {
        if (name != NULL || !has_parent(&env->cached, path)) {
            errtext_set(error, "create %s: exists, or has no directory", path);
            return ST_IO;
        }
        changes_put(&env->changes, &env->cached, "", path, inode_new(env, false));
        name = names_find(&env->cached, path);
    }
    if (verdict == DISK_DIE)
        return ST_IO;
    struct env_file *file = mem_alloc(sizeof *file);
    *file = (struct env_file){.env = env, .inode = name->inode, .life = env->life};
    list_push_back(&env->files, &file->link);
    *out_file = file;
    return ST_OK;
}

void env_file_close(struct env_file *file)
{
    if (file == NULL)
        return;
    list_remove(&file->link);
    mem_free(file);
}

static bool is_gone(const struct env_file *file)
{
    return file->env->is_dead || file->life != file->env->life;
}

enum status env_file_size(struct env_file *file, uint64_t *out_bytes)
{
    if (is_gone(file))
        return ST_IO;
    *out_bytes = file->inode->cached.count;
    return outcome(file->env, disk_next_op(file->env));
}

enum status env_file_read(struct env_file *file, uint64_t offset, void *out, size_t count,
                          size_t *out_count)
{
    if (is_gone(file))
        return ST_IO;
    const struct disk_content *content = &file->inode->cached;
    size_t rest = offset < content->count ? content->count - (size_t)offset : 0;
    *out_count = MIN(count, rest);
    if (*out_count > 0)
        memcpy(out, content->data + offset, *out_count);
    return outcome(file->env, disk_next_op(file->env));
}

static uint64_t bytes_used(const struct env *env)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < env->cached.count; i++)
        bytes += env->cached.items[i].inode->cached.count;
    return bytes;
}

/* How much of a write finds room on the disk. */
static size_t room_for(const struct env_file *file, uint64_t offset, size_t count)
{
    const struct env *env = file->env;
    uint64_t end = file->inode->cached.count;
    if (env->capacity == 0 || offset + count <= end)
        return count;
    uint64_t used = bytes_used(env);
    uint64_t end_max = end + (env->capacity > used ? env->capacity - used : 0);
    return offset >= end_max ? 0 : (size_t)MIN((uint64_t)count, end_max - offset);
}

void env_file_bypass_cache(struct env_file *file)
{
    file->bypasses = true;
}

/* Other writes would be as good, but slow on a real disk without a word. */
static bool is_whole_blocks(uint64_t offset, struct bytes bytes)
{
    return offset % ENV_BLOCK_BYTES == 0 && bytes.count % ENV_BLOCK_BYTES == 0 &&
           (uintptr_t)bytes.data % ENV_BLOCK_BYTES == 0;
}

enum status env_file_write(struct env_file *file, uint64_t offset, struct bytes bytes)
{
    REQUIRE(IMPLIES(file->bypasses, is_whole_blocks(offset, bytes)));
    if (is_gone(file))
        return ST_IO;
    struct env *env = file->env;
    enum disk_verdict verdict = disk_next_op(env);
    size_t count = room_for(file, offset, bytes.count);
    if (verdict == DISK_FAIL || verdict == DISK_DIE)
        count = MIN(count, (size_t)prng_below(&env->prng, bytes.count + 1));
    inode_write(file->inode, offset, bytes_of(bytes.data, count));
    if (verdict == DISK_GO_ON && count < bytes.count)
        return ST_NO_SPACE;
    return outcome(env, verdict);
}

enum status env_file_sync(struct env_file *file)
{
    if (is_gone(file))
        return ST_IO;
    struct env *env = file->env;
    enum disk_verdict verdict = disk_next_op(env);
    switch (verdict) {
    case DISK_GO_ON:
        inode_sync(file->inode);
        break;
    case DISK_FAIL: /* the dirty pages are clean now, and lost: the next sync will say all is well
                     */
        inode_persist_some(&env->prng, file->inode);
        return ST_IO;
    case DISK_LIE:
        inode_forget_writes(file->inode);
        break;
    case DISK_DIE:
        break;
    }
    return outcome(env, verdict);
}

enum status env_dir_make(struct env *env, const char *path)
{
    if (env->is_dead)
        return ST_IO;
    enum disk_verdict verdict = disk_next_op(env);
    if (verdict != DISK_FAIL && names_find(&env->cached, path) == NULL)
        changes_put(&env->changes, &env->cached, "", path, inode_new(env, true));
    return outcome(env, verdict);
}

enum status env_dir_sync(struct env *env, const char *path)
{
    if (env->is_dead)
        return ST_IO;
    enum disk_verdict verdict = disk_next_op(env);
    if (verdict == DISK_GO_ON)
        changes_sync(&env->changes, &env->durable, path);
    return outcome(env, verdict);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(((const struct disk_name *)a)->path, ((const struct disk_name *)b)->path);
}

enum status env_dir_list(struct env *env, const char *path,
                         void (*on_name)(void *ctx, const char *name), void *ctx)
{
    if (env->is_dead)
        return ST_IO;
    enum status status = outcome(env, disk_next_op(env));
    if (status != ST_OK)
        return status;
    if (env->cached.count > 0)
        qsort(env->cached.items, env->cached.count, sizeof *env->cached.items, compare_names);
    for (size_t i = 0; i < env->cached.count; i++) {
        const char *slash = strrchr(env->cached.items[i].path, '/');
        if (path_is_in(env->cached.items[i].path, path))
            on_name(ctx, slash != NULL ? slash + 1 : env->cached.items[i].path);
    }
    return ST_OK;
}

enum status env_rename(struct env *env, const char *from, const char *to)
{
    if (env->is_dead)
        return ST_IO;
    enum disk_verdict verdict = disk_next_op(env);
    struct disk_name *name = names_find(&env->cached, from);
    if (name == NULL)
        return ST_NOT_FOUND;
    if (verdict != DISK_FAIL)
        changes_put(&env->changes, &env->cached, from, to, name->inode);
    return outcome(env, verdict);
}

enum status env_unlink(struct env *env, const char *path)
{
    if (env->is_dead)
        return ST_IO;
    enum disk_verdict verdict = disk_next_op(env);
    struct disk_name *name = names_find(&env->cached, path);
    if (name == NULL)
        return ST_NOT_FOUND;
    if (verdict != DISK_FAIL)
        changes_put(&env->changes, &env->cached, path, "", name->inode);
    return outcome(env, verdict);
}

enum status env_lock(struct env *env, const char *path, struct errtext *error)
{
    return ST_OK;
}

/* ---- by hand ---- */

bool disk_env_exists(struct env *env, const char *path)
{
    return names_find(&env->cached, path) != NULL;
}

static struct disk_inode *inode_at(struct env *env, const char *path)
{
    struct disk_name *name = names_find(&env->cached, path);
    REQUIRE(name != NULL);
    return name->inode;
}

struct bytes disk_env_peek(struct env *env, const char *path)
{
    return content_bytes(&inode_at(env, path)->cached);
}

void disk_env_put(struct env *env, const char *path, struct bytes bytes)
{
    char parent[DISK_PATH_BYTES];
    if (path_parent(path, parent) && names_find(&env->durable, parent) == NULL) {
        struct disk_inode *directory = inode_new(env, true);
        names_set(&env->cached, parent, directory);
        names_set(&env->durable, parent, directory);
    }
    struct disk_inode *inode = inode_new(env, false);
    content_assign(&inode->cached, bytes);
    content_assign(&inode->durable, bytes);
    names_set(&env->cached, path, inode);
    names_set(&env->durable, path, inode);
}

void disk_env_poke(struct env *env, const char *path, uint64_t offset, struct bytes bytes)
{
    struct disk_inode *inode = inode_at(env, path);
    content_write(&inode->cached, offset, bytes);
    content_write(&inode->durable, offset, bytes);
}

void disk_env_truncate(struct env *env, const char *path, uint64_t bytes)
{
    struct disk_inode *inode = inode_at(env, path);
    content_resize(&inode->cached, (size_t)bytes);
    content_resize(&inode->durable, (size_t)bytes);
}

void disk_env_remove(struct env *env, const char *path)
{
    names_remove(&env->cached, path);
    names_remove(&env->durable, path);
}

struct env *disk_env_copy(struct env *env, uint64_t seed)
{
    struct env *copy = disk_env_new(seed);
    for (size_t i = 0; i < env->cached.count; i++) {
        const struct disk_name *name = &env->cached.items[i];
        if (!name->inode->is_directory)
            disk_env_put(copy, name->path, content_bytes(&name->inode->cached));
    }
    return copy;
}

uint32_t disk_env_digest(struct env *env)
{
    uint32_t digest = 0;
    if (env->cached.count > 0)
        qsort(env->cached.items, env->cached.count, sizeof *env->cached.items, compare_names);
    for (size_t i = 0; i < env->cached.count; i++) {
        const struct disk_name *name = &env->cached.items[i];
        digest = crc32c(digest, bytes_of(name->path, strlen(name->path) + 1));
        digest = crc32c(digest, content_bytes(&name->inode->cached));
    }
    return digest;
}
