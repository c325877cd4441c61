/* Disk: files of the data directory, by plain blocking calls.
 *
 * A failed fdatasync is final for the file: the kernel may have dropped the dirty pages and would
 * report the next sync as good, so every later one repeats the failure. */
#include "uv/uv_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "uv/uv_internal.h"

enum { FILE_MODE = 0600 };

enum status env_status_of_errno(int error)
{
    if (error == ENOSPC || error == EDQUOT)
        return ST_NO_SPACE;
    return error == ENOENT ? ST_NOT_FOUND : ST_IO;
}

static int flags_of(enum env_open mode)
{
    switch (mode) {
    case ENV_OPEN_READ:
        return O_RDONLY;
    case ENV_OPEN_WRITE:
        return O_RDWR;
    case ENV_OPEN_CREATE:
        return O_RDWR | O_CREAT | O_EXCL;
    }
    UNREACHABLE();
}

enum status env_file_open(struct env *env, const char *path, enum env_open mode,
                          struct env_file **out_file, struct errtext *error)
{
    REQUIRE(env->dir_fd >= 0);

    int fd;
    do {
        fd = openat(env->dir_fd, path, flags_of(mode) | O_CLOEXEC, FILE_MODE);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0) {
        enum status status = env_status_of_errno(errno);
        errtext_set(error, "open %s: %s", path, strerror(errno));
        return status;
    }
    struct env_file *file = mem_alloc(sizeof *file);
    file->fd = fd;
    file->env = env;
    atomic_init(&file->sync_status, ST_OK);
    list_push_back(&env->files, &file->link);
    *out_file = file;
    return ST_OK;
}

void env_file_close(struct env_file *file)
{
    if (file == NULL)
        return;
    REQUIRE(file->writes_count == 0);

    list_remove(&file->link);
    env_dispose(file->env, file->fd);
    mem_free(file);
}

void env_disk_close_files(struct env *env)
{
    while (!list_is_empty(&env->files))
        env_file_close(CONTAINER_OF(env->files.next, struct env_file, link));
}

enum status env_file_size(struct env_file *file, uint64_t *out_bytes)
{
    struct stat stat;
    if (fstat(file->fd, &stat) != 0)
        return ST_IO;
    *out_bytes = (uint64_t)stat.st_size;
    return ST_OK;
}

enum status env_file_read(struct env_file *file, uint64_t offset, void *out, size_t count,
                          size_t *out_count)
{
    REQUIRE(!file->bypasses);

    size_t done = 0;
    while (done < count) {
        ssize_t got = pread(file->fd, (uint8_t *)out + done, count - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return ST_IO;
        if (got == 0)
            break; /* the end of the file */
        done += (size_t)got;
    }
    *out_count = done;
    return ST_OK;
}

void env_file_bypass_cache(struct env_file *file)
{
    file->may_bypass = true;
}

static bool is_whole_blocks(uint64_t offset, struct bytes bytes)
{
    return offset % ENV_BLOCK_BYTES == 0 && bytes.count % ENV_BLOCK_BYTES == 0 &&
           (uintptr_t)bytes.data % ENV_BLOCK_BYTES == 0;
}

/* That a file system cannot bypass its cache is no error: then it has a reason to have one. */
static void choose_way(struct env_file *file, bool bypasses)
{
    if (file->bypasses == bypasses)
        return;
    if (fcntl(file->fd, F_SETFL, bypasses ? O_DIRECT : 0) == 0)
        file->bypasses = bypasses;
    else
        file->may_bypass = false;
}

/* A short write is not yet a failure; the next one tells the reason, if there is one. */
enum status env_file_write(struct env_file *file, uint64_t offset, struct bytes bytes)
{
    size_t done = 0;
    while (done < bytes.count) {
        struct bytes rest = bytes_of(bytes.data + done, bytes.count - done);
        choose_way(file, file->may_bypass && is_whole_blocks(offset + done, rest));
        ssize_t put = pwrite(file->fd, rest.data, rest.count, (off_t)(offset + done));
        if (put < 0 && errno == EINVAL && file->may_bypass) { /* its blocks are larger than ours */
            file->may_bypass = false;
            continue;
        }
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return env_status_of_errno(errno);
        if (put == 0)
            return ST_IO;
        done += (size_t)put;
    }
    return ST_OK;
}

void env_file_leave_cache(struct env_file *file, uint64_t offset, size_t count)
{
    uint64_t begin = offset / ENV_BLOCK_BYTES * ENV_BLOCK_BYTES; /* what is in part in it, too */
    int ignored =
        posix_fadvise(file->fd, (off_t)begin, (off_t)(offset + count - begin), POSIX_FADV_DONTNEED);
    (void)ignored;
}

enum status env_file_sync(struct env_file *file)
{
    enum status status = atomic_load(&file->sync_status);
    if (status != ST_OK)
        return status;

    int rc;
    do {
        rc = fdatasync(file->fd);
    } while (rc != 0 && errno == EINTR);
    if (rc != 0) { /* also for want of room: the write it was about has been promised its own */
        status = ST_IO;
        atomic_store(&file->sync_status, status);
    }
    return status;
}
