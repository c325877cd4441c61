/* Dir: the data directory, its lock, and the names in it. */
#include "uv/uv_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

enum { DIR_MODE = 0700, LOCK_MODE = 0600, NAMES_CAPACITY_MIN = 64 };

struct names {
    char **items; /* owned, as are the names */
    size_t count;
    size_t capacity;
};

static int open_dir(int at_fd, const char *path)
{
    int fd;
    do {
        fd = openat(at_fd, path[0] == '\0' ? "." : path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

static int sync_and_close(int fd)
{
    int rc;
    do {
        rc = fsync(fd);
    } while (rc != 0 && errno == EINTR);
    int error = errno;
    (void)close(fd); /* read-only: nothing to lose */
    errno = error;
    return rc;
}

/* Makes `path` and syncs the directory that now names it. 0 also when it exists. */
static int make_and_sync(const char *path)
{
    if (mkdir(path, DIR_MODE) != 0)
        return errno == EEXIST ? 0 : -1;

    char parent[PATH_MAX];
    (void)snprintf(parent, sizeof parent, "%s", path); /* its length was checked by the caller */
    char *slash = strrchr(parent, '/');
    if (slash == NULL)
        (void)snprintf(parent, sizeof parent, ".");
    else
        slash[slash == parent ? 1 : 0] = '\0';
    int fd = open_dir(AT_FDCWD, parent);
    return fd < 0 ? -1 : sync_and_close(fd);
}

static int make_with_parents(const char *path)
{
    char prefix[PATH_MAX];
    size_t count = strlen(path);
    if (count >= sizeof prefix) {
        errno = ENAMETOOLONG;
        return -1;
    }
    for (size_t i = 1; i <= count; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        if (path[i - 1] == '/')
            continue; /* the second of two slashes, or the last of all */
        memcpy(prefix, path, i);
        prefix[i] = '\0';
        if (make_and_sync(prefix) != 0)
            return -1;
    }
    return 0;
}

enum status env_dir_open(const char *path, int *out_fd, struct errtext *error)
{
    REQUIRE(path[0] != '\0');

    int fd = open_dir(AT_FDCWD, path);
    if (fd < 0 && errno == ENOENT && make_with_parents(path) == 0)
        fd = open_dir(AT_FDCWD, path);
    if (fd < 0) {
        enum status status = errno == ENOSPC ? ST_NO_SPACE : ST_IO;
        errtext_set(error, "data directory %s: %s", path, strerror(errno));
        return status;
    }
    *out_fd = fd;
    return ST_OK;
}

enum status env_dir_make(struct env *env, const char *path)
{
    REQUIRE(env->dir_fd >= 0);

    if (mkdirat(env->dir_fd, path, DIR_MODE) == 0)
        return ST_OK;
    struct stat stat;
    if (errno == EEXIST && fstatat(env->dir_fd, path, &stat, 0) == 0 && S_ISDIR(stat.st_mode))
        return ST_OK;
    return env_status_of_errno(errno == EEXIST ? ENOTDIR : errno);
}

enum status env_dir_sync(struct env *env, const char *path)
{
    REQUIRE(env->dir_fd >= 0);

    int fd = open_dir(env->dir_fd, path);
    if (fd < 0 || sync_and_close(fd) != 0)
        return env_status_of_errno(errno);
    return ST_OK;
}

static void names_add(struct names *names, const char *name)
{
    if (names->count == names->capacity) {
        names->capacity = MAX(names->capacity * 2, (size_t)NAMES_CAPACITY_MIN);
        names->items = mem_realloc(names->items, names->capacity * sizeof(names->items[0]));
    }
    size_t bytes_count = strlen(name) + 1;
    names->items[names->count++] = memcpy(mem_alloc_raw(bytes_count), name, bytes_count);
}

static void names_release(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        mem_free(names->items[i]);
    mem_free(names->items);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum status names_read(struct names *names, DIR *dir)
{
    for (;;) {
        errno = 0;
        struct dirent *item = readdir(dir);
        if (item == NULL)
            return errno == 0 ? ST_OK : env_status_of_errno(errno);
        if (strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0)
            names_add(names, item->d_name);
    }
}

enum status env_dir_list(struct env *env, const char *path,
                         void (*on_name)(void *ctx, const char *name), void *ctx)
{
    REQUIRE(env->dir_fd >= 0);

    int fd = open_dir(env->dir_fd, path);
    if (fd < 0)
        return env_status_of_errno(errno);
    DIR *dir = fdopendir(fd);
    if (dir == NULL) {
        (void)close(fd); /* read-only: nothing to lose */
        return ST_IO;
    }

    struct names names = {0};
    enum status status = names_read(&names, dir);
    (void)closedir(dir); /* the same; closes fd */
    if (status == ST_OK) {
        if (names.count > 1)
            qsort(names.items, names.count, sizeof(names.items[0]), compare_names);
        for (size_t i = 0; i < names.count; i++)
            on_name(ctx, names.items[i]);
    }
    names_release(&names);
    return status;
}

enum status env_rename(struct env *env, const char *from, const char *to)
{
    REQUIRE(env->dir_fd >= 0);
    if (renameat(env->dir_fd, from, env->dir_fd, to) != 0)
        return env_status_of_errno(errno);
    return ST_OK;
}

enum status env_unlink(struct env *env, const char *path)
{
    REQUIRE(env->dir_fd >= 0);
    /* Held open, it loses its name here and its bytes elsewhere. */
    int fd = openat(env->dir_fd, path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    enum status status = ST_OK;
    if (unlinkat(env->dir_fd, path, 0) != 0)
        status = env_status_of_errno(errno);
    if (fd >= 0)
        env_dispose(env, fd);
    return status;
}

static void set_locked_text(int fd, const char *path, struct errtext *error)
{
    char holder[16];
    ssize_t count = pread(fd, holder, sizeof holder - 1, 0);
    holder[MAX(count, 0)] = '\0';
    holder[strcspn(holder, "\n")] = '\0';
    if (holder[0] == '\0') /* taken this instant: the number is not in it yet */
        errtext_set(error, "%s: locked by another process", path);
    else
        errtext_set(error, "%s: locked by process %s", path, holder);
}

/* The number in the file is for people; the lock itself is the kernel's and dies with its holder.
 */
static bool write_holder(int fd)
{
    char text[16];
    int count = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    return ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t)count, 0) == count;
}

enum status env_lock(struct env *env, const char *path, struct errtext *error)
{
    REQUIRE(env->dir_fd >= 0);
    REQUIRE(env->lock_fd < 0);

    int fd = openat(env->dir_fd, path, O_RDWR | O_CREAT | O_CLOEXEC, LOCK_MODE);
    if (fd < 0) {
        enum status status = env_status_of_errno(errno);
        errtext_set(error, "open %s: %s", path, strerror(errno));
        return status;
    }
    int rc;
    do {
        rc = flock(fd, LOCK_EX | LOCK_NB);
    } while (rc != 0 && errno == EINTR);
    enum status status = ST_OK;
    if (rc != 0 && errno == EWOULDBLOCK) {
        status = ST_LOCKED;
        set_locked_text(fd, path, error);
    } else if (rc != 0 || !write_holder(fd)) {
        status = env_status_of_errno(errno);
        errtext_set(error, "lock %s: %s", path, strerror(errno));
    }
    if (status != ST_OK)
        (void)close(fd); /* nothing of it is ours */
    else
        env->lock_fd = fd;
    return status;
}
