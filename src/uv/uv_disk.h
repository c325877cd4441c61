/* Uv disk: what a file is inside this module. */
#ifndef MINIKV_UV_UV_DISK_H
#define MINIKV_UV_UV_DISK_H

#include <stdatomic.h>

#include "env/env.h"

struct env_file {
    struct list link;
    int fd;
    size_t writes_count;              /* started through env_write_start and not completed */
    _Atomic(enum status) sync_status; /* of the first sync that failed; the writer sets it too */

    struct env *env; /* borrowed */
};

#endif
