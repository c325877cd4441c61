/* Files: the calls by which a node changes its data directory, in place of libc's.
 *
 * Each fails, lies or takes its time as the page says, and is noted in the journal. The system
 * calls are made directly, so that it does not matter what else is loaded. Files outside the data
 * directory, and the lock, which no power cut can hurt, are left alone. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "journal.h"
#include "page.h"

enum { DESCRIPTORS_MAX = 65536, SECTOR_BYTES = 512 };

static _Atomic uint64_t
    inodes[DESCRIPTORS_MAX]; /* of files of the data directory; 0: another file */

static bool is_ours(const char *path)
{
    size_t count = strlen(chaos_data_dir);
    return strncmp(path, chaos_data_dir, count) == 0 &&
           (path[count] == '/' || path[count] == '\0') && strcmp(path + count, "/lock") != 0;
}

/* The absolute path of a name, as far as it matters here. False: it is none of ours. */
static bool resolve(int dir_fd, const char *name, char path[PATH_MAX])
{
    if (chaos_page == NULL)
        return false;
    path[0] = '\0';
    ssize_t count = 0;
    if (name[0] != '/') {
        char link[64];
        (void)snprintf(link, sizeof link,
                       dir_fd == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", dir_fd);
        count = readlink(link, path, PATH_MAX / 2);
        if (count < 0)
            return false;
        path[count++] = '/';
    }
    (void)snprintf(path + count, PATH_MAX - (size_t)count, "%s", name);
    return is_ours(path);
}

static bool refuse(int error)
{
    atomic_fetch_add(&chaos_page->faults_count, 1);
    errno = error;
    return true;
}

static void remember(int fd, bool ours)
{
    struct stat stat;
    if (fd < 0 || fd >= DESCRIPTORS_MAX)
        return;
    inodes[fd] = ours && fstat(fd, &stat) == 0 ? (uint64_t)stat.st_ino : 0;
}

/* The inode, if the descriptor is of a file of ours. */
static uint64_t inode_of(int fd, struct stat *stat)
{
    if (chaos_page == NULL || fd < 0 || fd >= DESCRIPTORS_MAX || inodes[fd] == 0 ||
        fstat(fd, stat) != 0 || (uint64_t)stat->st_ino != inodes[fd])
        return 0;
    return inodes[fd];
}

static int open_at(int dir_fd, const char *name, int flags, mode_t mode)
{
    char path[PATH_MAX];
    bool ours = resolve(dir_fd, name, path);
    struct stat stat;
    bool is_new = ours && (flags & O_CREAT) != 0 && lstat(path, &stat) != 0;
    if (is_new && chaos_page->is_full && refuse(ENOSPC))
        return -1;
    if (ours && (flags & O_TRUNC) != 0)
        atomic_fetch_add(&chaos_page->unmodelled_count, 1);
    uint64_t serial = is_new ? journal_note_name(RECORD_CREATE, path, "") : 0;
    int fd = (int)syscall(SYS_openat, dir_fd, name, flags, mode);
    int error = errno;
    if (is_new)
        journal_done(serial, fd < 0);
    if (chaos_page != NULL)
        remember(fd, ours && (flags & O_PATH) == 0);
    errno = error;
    return fd;
}

int openat(int dir_fd, const char *name, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return open_at(dir_fd, name, flags, mode);
}

int open(const char *name, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return open_at(AT_FDCWD, name, flags, mode);
}

int close(int fd)
{
    if (fd >= 0 && fd < DESCRIPTORS_MAX)
        inodes[fd] = 0;
    return (int)syscall(SYS_close, fd);
}

/* Whether the write fails. It may get shorter instead. */
static bool is_write_refused(const struct stat *stat, size_t *count, off_t offset)
{
    if (chaos_page->is_full && offset + (off_t)*count > stat->st_size)
        return refuse(ENOSPC);
    if (chaos_take_one(&chaos_page->write_errors_left))
        return refuse(chaos_page->write_error);
    if (*count > 1 && chaos_take_one(&chaos_page->short_writes_left)) {
        size_t some = *count * 5 / 8 + 1;
        /* Whole sectors end with one: else what bypasses the page cache would be refused instead.
         */
        if (*count % SECTOR_BYTES == 0 && some > SECTOR_BYTES)
            some -= some % SECTOR_BYTES;
        *count = some;
        atomic_fetch_add(&chaos_page->faults_count, 1);
    }
    return false;
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset)
{
    struct stat stat;
    uint64_t inode = inode_of(fd, &stat);
    if (inode == 0)
        return syscall(SYS_pwrite64, fd, bytes, count, offset);
    atomic_fetch_add(&chaos_page->writes_count, 1);
    if (is_write_refused(&stat, &count, offset))
        return -1;
    uint64_t serial = journal_note_write(fd, inode, &stat, (uint64_t)offset, count);
    ssize_t done = syscall(SYS_pwrite64, fd, bytes, count, offset);
    int error = errno;
    journal_done(serial, done < 0);
    errno = error;
    return done;
}

static int sync_with(long call, int fd)
{
    struct stat stat;
    uint64_t inode = inode_of(fd, &stat);
    if (inode == 0)
        return (int)syscall(call, fd);
    atomic_fetch_add(&chaos_page->syncs_count, 1);
    int32_t delay_us = chaos_page->sync_delay_us;
    if (delay_us > 0) {
        struct timespec delay = {.tv_sec = delay_us / 1000000,
                                 .tv_nsec = delay_us % 1000000 * 1000};
        atomic_fetch_add(&chaos_page->faults_count, 1);
        (void)nanosleep(&delay, NULL);
    }
    if (chaos_take_one(&chaos_page->sync_errors_left) && refuse(chaos_page->sync_error))
        return -1;
    if (chaos_page->is_lying) {
        atomic_fetch_add(&chaos_page->faults_count, 1);
        return 0;
    }
    uint64_t mark = journal_mark();
    int rc = (int)syscall(call, fd);
    if (rc == 0)
        journal_settle(inode, mark);
    return rc;
}

int fdatasync(int fd)
{
    return sync_with(SYS_fdatasync, fd);
}

int fsync(int fd)
{
    return sync_with(SYS_fsync, fd);
}

int ftruncate(int fd, off_t bytes)
{
    struct stat stat;
    if (inode_of(fd, &stat) != 0 && stat.st_nlink != 0)
        atomic_fetch_add(&chaos_page->unmodelled_count, 1);
    return (int)syscall(SYS_ftruncate, fd, bytes);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    char from_path[PATH_MAX], to_path[PATH_MAX];
    if (!resolve(from_fd, from, from_path) || !resolve(to_fd, to, to_path))
        return (int)syscall(SYS_renameat, from_fd, from, to_fd, to);
    uint64_t serial = journal_note_name(RECORD_RENAME, from_path, to_path);
    int rc = (int)syscall(SYS_renameat, from_fd, from, to_fd, to);
    int error = errno;
    journal_done(serial, rc != 0);
    errno = error;
    return rc;
}

int unlinkat(int dir_fd, const char *name, int flags)
{
    char path[PATH_MAX];
    if (!resolve(dir_fd, name, path))
        return (int)syscall(SYS_unlinkat, dir_fd, name, flags);
    uint64_t serial = journal_note_name(RECORD_UNLINK, path, "");
    int rc = (int)syscall(SYS_unlinkat, dir_fd, name, flags);
    int error = errno;
    journal_done(serial, rc != 0);
    errno = error;
    return rc;
}

int mkdirat(int dir_fd, const char *name, mode_t mode)
{
    char path[PATH_MAX];
    if (!resolve(dir_fd, name, path) || strcmp(path, chaos_data_dir) == 0)
        return (int)syscall(SYS_mkdirat, dir_fd, name, mode);
    struct stat stat;
    bool is_new = lstat(path, &stat) != 0;
    if (is_new && chaos_page->is_full && refuse(ENOSPC))
        return -1;
    uint64_t serial = is_new ? journal_note_name(RECORD_MKDIR, path, "") : 0;
    int rc = (int)syscall(SYS_mkdirat, dir_fd, name, mode);
    int error = errno;
    if (is_new)
        journal_done(serial, rc != 0);
    errno = error;
    return rc;
}

/* The same under the names that programs built for large files use. */
int openat64(int dir_fd, const char *name, int flags, ...) __attribute__((alias("openat")));
int open64(const char *name, int flags, ...) __attribute__((alias("open")));
ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t offset)
    __attribute__((alias("pwrite")));
int ftruncate64(int fd, off_t bytes) __attribute__((alias("ftruncate")));
