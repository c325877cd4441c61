#include "cli/family.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/limits.h"

enum {
    PASSES_MAX = 64, /* as deep as that, with those that are started while others are told */
    PROCESSES_BYTES = 4 * MIB
};

struct process {
    pid_t pid, parent;
};

void family_adopt(void)
{
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1); /* cannot fail with this */
}

/* ---- who there is ---- */

/* "17 (a name) S 5 …": its name may hold anything. False: it has gone. */
static bool read_parent(pid_t pid, pid_t *out_parent)
{
    char path[32], line[512];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    size_t count = fread(line, 1, sizeof line - 1, file);
    (void)fclose(file); /* only read */
    line[count] = '\0';
    const char *end = strrchr(line, ')');
    if (end == NULL || strlen(end) < 5)
        return false;
    *out_parent = (pid_t)strtol(end + 4, NULL, 10); /* behind ") S " */
    return true;
}

/* All processes, as struct process. */
static void read_processes(struct buf *out)
{
    DIR *directory = opendir("/proc");
    const struct dirent *entry;
    buf_reset(out);
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        struct process process = {.pid = (pid_t)strtol(entry->d_name, NULL, 10)};
        if (isdigit((unsigned char)*entry->d_name) && read_parent(process.pid, &process.parent))
            buf_put(out, bytes_of(&process, sizeof process));
    }
    if (directory != NULL)
        (void)closedir(directory); /* only read */
}

/* ---- telling ---- */

static bool has(const struct buf *pids, pid_t pid)
{
    for (size_t at = 0; at < pids->count; at += sizeof pid)
        if (memcmp(pids->data + at, &pid, sizeof pid) == 0)
            return true;
    return false;
}

/* Those whose parent is this process or one of `pids` are told, and added. False: there was none.
 */
static bool tell_children(struct buf *pids, const struct buf *processes, int number)
{
    bool has_told = false;
    struct process process;
    for (size_t at = 0; at < processes->count; at += sizeof process) {
        memcpy(&process, processes->data + at, sizeof process);
        bool is_below = process.parent == getpid() || has(pids, process.parent);
        if (!is_below || has(pids, process.pid))
            continue;
        buf_put(pids, bytes_of(&process.pid, sizeof process.pid));
        (void)kill(process.pid, number); /* it may have gone, or be another user's */
        has_told = true;
    }
    return has_told && !pids->is_full;
}

void family_tell(int number)
{
    struct buf processes, told;
    bool has_told = true;
    buf_init(&processes, PROCESSES_BYTES);
    buf_init(&told, PROCESSES_BYTES);
    for (int i = 0; i < PASSES_MAX && has_told; i++) {
        read_processes(&processes);
        has_told = tell_children(&told, &processes, number);
    }
    buf_release(&processes);
    buf_release(&told);
}

/* ---- ends ---- */

bool family_reap(pid_t pid, int *out_status)
{
    int status;
    pid_t ended;
    bool has_ended = false;
    while ((ended = waitpid(-1, &status, WNOHANG)) > 0)
        if (ended == pid) {
            *out_status = status;
            has_ended = true;
        }
    return has_ended;
}

bool family_is_gone(void)
{
    siginfo_t info;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 && errno == ECHILD;
}
