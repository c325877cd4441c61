/* Dispose: the end of a large file that has no name any more.
 *
 * Freeing its bytes takes the kernel up to a second for each gigabyte, and meanwhile whatever is to
 * be synced waits for the same journal. So it is done on a thread of libuv's, not in the loop, and
 * in small pieces with pauses between them, unless somebody still has the file open: then whoever
 * closes it last frees it. */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "uv/uv_internal.h"

enum {
    DISPOSE_BYTES_MIN = MIB, /* freeing less takes no time to speak of */
    PIECE_BYTES = 8 * MIB,
    PAUSE_NS = 20 * 1000 * 1000
};

struct dispose {
    uv_work_t work;
    int fd;
    off_t bytes;
    const atomic_bool *is_closing; /* borrowed from the env, which waits for the work */
};

static bool is_large_and_nameless(int fd, off_t *out_bytes)
{
    struct stat stat;
    if (fstat(fd, &stat) != 0 || stat.st_nlink != 0)
        return false;
    *out_bytes = stat.st_size;
    return stat.st_size >= (off_t)DISPOSE_BYTES_MIN;
}

/* The kernel gives this lease to nobody but the only one who has the file open. */
static bool is_ours_alone(int fd)
{
    return fcntl(fd, F_SETLEASE, F_WRLCK) == 0;
}

static void on_work(uv_work_t *work)
{
    struct dispose *dispose = CONTAINER_OF(work, struct dispose, work);
    bool goes_on = is_ours_alone(dispose->fd);
    while (goes_on && dispose->bytes > 0 && !atomic_load(dispose->is_closing)) {
        struct timespec pause = {.tv_nsec = PAUSE_NS};
        dispose->bytes -= MIN(dispose->bytes, (off_t)PIECE_BYTES);
        goes_on = ftruncate(dispose->fd, dispose->bytes) == 0;
        (void)nanosleep(&pause, NULL);
    }
    (void)close(dispose->fd);
}

static void on_worked(uv_work_t *work, int status)
{
    (void)status;
    mem_free(CONTAINER_OF(work, struct dispose, work));
}

void env_dispose(struct env *env, int fd)
{
    char path[32];
    off_t bytes = 0;
    int writable = -1;
    if (is_large_and_nameless(fd, &bytes)) {
        (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        writable = open(path, O_WRONLY | O_CLOEXEC);
    }
    (void)close(fd); /* what matters has been synced, and reported there */
    if (writable < 0)
        return;
    struct dispose *dispose = mem_alloc(sizeof *dispose);
    *dispose = (struct dispose){.fd = writable, .bytes = bytes, .is_closing = &env->is_closing};
    int rc = uv_queue_work(&env->loop, &dispose->work, on_work, on_worked);
    INVARIANT(rc == 0);
}
