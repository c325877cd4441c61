/* Audit directory: a data directory that no node uses, opened to be read.
 *
 * Nothing in it is changed, and nodes may not start on it meanwhile: it is locked, shared with
 * other readers. A directory without a lock file, a copy, needs none. */
#ifndef MINIKV_CLI_AUDIT_DIRECTORY_H
#define MINIKV_CLI_AUDIT_DIRECTORY_H

#include "env/env.h"
#include "storage/meta.h"

struct audit_directory {
    struct env *env; /* owned */
    int lock_fd;     /* owned; -1: there is no lock file */
    struct meta meta;
};

/* return   ST_OK; ST_LOCKED: a node runs on it; ST_NOT_FOUND: no data directory; ST_CORRUPT,
 *          ST_FORMAT: of its meta file; ST_IO; with `error`, and nothing to be closed */
MUST_CHECK enum status audit_directory_open(const char *path, struct audit_directory *out_directory,
                                            struct errtext *error);
void audit_directory_close(struct audit_directory *directory);

#endif
