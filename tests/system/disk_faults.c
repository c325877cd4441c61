/* Disk faults: a library to be preloaded into minikvd, which then meets them on the real disk.
 *
 *      DISK_FAULTS=FILE   a page of eight numbers of 64 bits, which the test may change at any time
 *
 *      0 calls    how many system calls that change the disk there were (kept by this library)
 *      1 die_at   before the call with this number the process dies; 0: never
 *      2 is_half  … or, where that is a write, when half of it is done
 *      3 kinds    calls that fail: 1 write, 2 sync, 4 create, 8 rename, 16 unlink, 32 mkdir
 *      4 error    with this errno; 0: a write takes a half, other calls are made
 *      5 skip     after so many of these that succeed
 *      6 times    so often; 0: no call fails
 *      7 is_full  no file grows, and none is made: ENOSPC
 *
 * A process that dies like this leaves what it has written to the kernel; what the loss of the
 * power leaves is tried on a model of the disk (tests/support/disk_env.h). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum kind { WRITE = 1, SYNC = 2, CREATE = 4, RENAME = 8, UNLINK = 16, MKDIR = 32 };
enum verdict { GO_ON, FAIL, HALF, HALF_AND_DIE };

struct plan {
    _Atomic uint64_t calls, die_at, is_half, kinds, error, skip, times, is_full;
};

static struct plan *plan;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("DISK_FAULTS");
    int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    plan = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (plan == MAP_FAILED)
        abort();
}

static void die(void)
{
    (void)kill(getpid(), SIGKILL);
    for (;;)
        (void)pause();
}

/* errno is set when it is FAIL. */
static enum verdict next_call(enum kind kind)
{
    if (plan == NULL)
        return GO_ON;
    uint64_t number = ++plan->calls;
    if (number == plan->die_at && plan->is_half && kind == WRITE)
        return HALF_AND_DIE;
    if (number == plan->die_at)
        die();
    if (kind == CREATE && plan->is_full) {
        errno = ENOSPC;
        return FAIL;
    }
    if (plan->times == 0 || (plan->kinds & kind) == 0)
        return GO_ON;
    if (plan->skip > 0) {
        plan->skip--;
        return GO_ON;
    }
    plan->times--;
    errno = (int)plan->error;
    if (errno != 0)
        return FAIL;
    return kind == WRITE ? HALF : GO_ON;
}

#define REAL(name, type) ((type)dlsym(RTLD_NEXT, name))
typedef ssize_t (*pwrite_fn)(int, const void *, size_t, off_t);

/* What there is room for behind the end of a file: nothing. */
static bool find_room(int fd, size_t *count, off_t offset)
{
    struct stat stat;
    if (plan == NULL || !plan->is_full || fstat(fd, &stat) != 0 ||
        offset + (off_t)*count <= stat.st_size)
        return true;
    if (offset >= stat.st_size) {
        errno = ENOSPC;
        return false;
    }
    *count = (size_t)(stat.st_size - offset);
    return true;
}

static ssize_t do_pwrite(pwrite_fn real, int fd, const void *bytes, size_t count, off_t offset)
{
    enum verdict verdict = next_call(WRITE);
    if (verdict == FAIL || !find_room(fd, &count, offset))
        return -1;
    ssize_t done = real(fd, bytes, verdict == GO_ON ? count : (count + 1) / 2, offset);
    if (verdict == HALF_AND_DIE)
        die();
    return done;
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset)
{
    return do_pwrite(REAL("pwrite", pwrite_fn), fd, bytes, count, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t offset)
{
    return do_pwrite(REAL("pwrite64", pwrite_fn), fd, bytes, count, offset);
}

static int do_openat(const char *name, int at_fd, const char *path, int flags, mode_t mode)
{
    if ((flags & O_CREAT) != 0 && next_call(CREATE) == FAIL)
        return -1;
    return REAL(name, int (*)(int, const char *, int, mode_t))(at_fd, path, flags, mode);
}

static mode_t mode_in(int flags, va_list arguments)
{
    return (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
}

int openat(int at_fd, const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_in(flags, arguments);
    va_end(arguments);
    return do_openat("openat", at_fd, path, flags, mode);
}

int openat64(int at_fd, const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_in(flags, arguments);
    va_end(arguments);
    return do_openat("openat64", at_fd, path, flags, mode);
}

int fdatasync(int fd)
{
    return next_call(SYNC) == FAIL ? -1 : REAL("fdatasync", int (*)(int))(fd);
}

int fsync(int fd)
{
    return next_call(SYNC) == FAIL ? -1 : REAL("fsync", int (*)(int))(fd);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    if (next_call(RENAME) == FAIL)
        return -1;
    return REAL("renameat", int (*)(int, const char *, int, const char *))(from_fd, from, to_fd,
                                                                           to);
}

int unlinkat(int at_fd, const char *path, int flags)
{
    if (next_call(UNLINK) == FAIL)
        return -1;
    return REAL("unlinkat", int (*)(int, const char *, int))(at_fd, path, flags);
}

int mkdirat(int at_fd, const char *path, mode_t mode)
{
    if (next_call(MKDIR) == FAIL)
        return -1;
    return REAL("mkdirat", int (*)(int, const char *, mode_t))(at_fd, path, mode);
}

int mkdir(const char *path, mode_t mode)
{
    if (next_call(MKDIR) == FAIL)
        return -1;
    return REAL("mkdir", int (*)(const char *, mode_t))(path, mode);
}

int ftruncate(int fd, off_t bytes)
{
    return next_call(WRITE) == FAIL ? -1 : REAL("ftruncate", int (*)(int, off_t))(fd, bytes);
}
