#include "cli/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool outfile_open(struct outfile *file, const char *path, struct errtext *error)
{
    *file = (struct outfile){.path = path, .fd = -1};
    if (strcmp(path, "-") == 0) {
        file->path = NULL;
        file->fd = STDOUT_FILENO;
        return true;
    }
    int count = snprintf(file->unfinished, sizeof file->unfinished, "%s.tmp", path);
    if (count < 0 || (size_t)count >= sizeof file->unfinished) {
        file->unfinished[0] = '\0';
        errtext_set(error, "the path is too long");
        return false;
    }
    file->fd = open(file->unfinished, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file->fd < 0)
        errtext_set(error, "%.200s: %s", file->unfinished, strerror(errno));
    return file->fd >= 0;
}

bool outfile_write(struct outfile *file, struct bytes bytes, struct errtext *error)
{
    while (bytes.count > 0) {
        ssize_t count = write(file->fd, bytes.data, bytes.count);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0) {
            errtext_set(error, "cannot write: %s", strerror(errno));
            return false;
        }
        bytes = bytes_of(bytes.data + count, bytes.count - (size_t)count);
        file->written += (uint64_t)count;
    }
    return true;
}

bool outfile_start_over(struct outfile *file)
{
    if (file->written > 0 &&
        (file->path == NULL || ftruncate(file->fd, 0) != 0 || lseek(file->fd, 0, SEEK_SET) != 0))
        return false;
    file->written = 0;
    return true;
}

static bool sync_directory(const char *path)
{
    char directory[OUTFILE_PATH_BYTES];
    (void)snprintf(directory, sizeof directory, "%s", path); /* its length has been looked at */
    char *slash = strrchr(directory, '/');
    if (slash == NULL)
        (void)snprintf(directory, sizeof directory, ".");
    else
        slash[slash == directory ? 1 : 0] = '\0';
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool is_synced = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        (void)close(fd); /* only read */
    return is_synced;
}

bool outfile_settle(struct outfile *file, struct errtext *error)
{
    if (file->path == NULL)
        return true;
    bool is_done = fsync(file->fd) == 0;
    is_done = close(file->fd) == 0 && is_done;
    file->fd = -1;
    is_done = is_done && rename(file->unfinished, file->path) == 0;
    if (is_done)
        file->unfinished[0] = '\0';
    is_done = is_done && sync_directory(file->path);
    if (!is_done)
        errtext_set(error, "%.200s: %s", file->path, strerror(errno));
    return is_done;
}

void outfile_release(struct outfile *file)
{
    if (file->unfinished[0] != '\0')
        (void)unlink(file->unfinished); /* it counts for nothing */
    if (file->fd >= 0 && file->path != NULL)
        (void)close(file->fd); /* what failed has been told */
    file->fd = -1;
}
