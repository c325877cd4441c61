#include "cli/audit_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "uv/uv_env.h"

/* Who holds it, as the node wrote it there (uv/uv_dir.c). */
static void set_locked(struct errtext *error, int fd)
{
    char holder[16];
    ssize_t count = pread(fd, holder, sizeof holder - 1, 0);
    holder[MAX(count, 0)] = '\0';
    long process = strtol(holder, NULL, 10);
    if (process > 0)
        errtext_set(error, "in use by process %ld; stop the node first", process);
    else
        errtext_set(error, "in use; stop the node first");
}

/* flock(2) is given up by the kernel when its holder dies, however it dies. */
static enum status take_lock(const char *path, int *out_fd, struct errtext *error)
{
    char name[4096];
    if ((size_t)snprintf(name, sizeof name, "%s/lock", path) >= sizeof name) {
        errtext_set(error, "the path is too long");
        return ST_NOT_FOUND;
    }
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT) {
        errtext_set(error, "lock: %s", strerror(errno));
        return ST_IO;
    }
    *out_fd = fd;
    if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB) == 0)
        return ST_OK;
    enum status status = errno == EWOULDBLOCK ? ST_LOCKED : ST_IO;
    if (status == ST_LOCKED)
        set_locked(error, fd);
    else
        errtext_set(error, "lock: %s", strerror(errno));
    (void)close(fd); /* only read */
    return status;
}

static enum status open_env(const char *path, struct env **out_env, struct errtext *error)
{
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode)) { /* the env would make it */
        errtext_set(error, "%s", errno == ENOENT ? "no such directory" : "no directory");
        return ST_NOT_FOUND;
    }
    struct uv_env_options options = {.data_dir = path};
    return uv_env_new(&options, out_env, error);
}

enum status audit_directory_open(const char *path, struct audit_directory *out_directory,
                                 struct errtext *error)
{
    struct audit_directory directory = {.lock_fd = -1};
    errno = 0;
    enum status status = open_env(path, &directory.env, error);
    if (status == ST_OK)
        status = take_lock(path, &directory.lock_fd, error);
    if (status == ST_OK) {
        status = meta_load(directory.env, &directory.meta, error);
        if (status == ST_NOT_FOUND)
            errtext_set(error, "no data directory of a node: there is no file meta in it");
        if (status != ST_OK)
            audit_directory_close(&directory);
    } else {
        uv_env_free(directory.env);
    }
    if (status == ST_OK)
        *out_directory = directory;
    return status;
}

void audit_directory_close(struct audit_directory *directory)
{
    uv_env_free(directory->env);
    if (directory->lock_fd >= 0)
        (void)close(directory->lock_fd); /* gives the lock back */
}
