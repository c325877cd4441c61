/* Uv disk: what a file is inside this module. */
#ifndef MINIKV_UV_UV_DISK_H
#define MINIKV_UV_UV_DISK_H

#include <stdatomic.h>

#include "env/env.h"

struct env_file {
    struct list link;
    int fd;
    bool may_bypass; /* the page cache, with what is written in whole blocks */
    bool bypasses; /* the descriptor does so now, and takes nothing else; whoever writes sets it */
    size_t writes_count;              /* started through env_write_start and not completed */
    _Atomic(enum status) sync_status; /* of the first sync that failed; the writer sets it too */

    struct env *env; /* borrowed */
};

/* Gives back the page cache's copy of what is on the disk; nothing depends on it. */
void env_file_leave_cache(struct env_file *file, uint64_t offset, size_t count);

#endif
