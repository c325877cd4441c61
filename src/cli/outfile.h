/* Outfile: a file that has its name only once it is whole and on disk; or standard output.
 *
 * Ownership    owns its descriptor, and the unfinished file until outfile_settle */
#ifndef MINIKV_CLI_OUTFILE_H
#define MINIKV_CLI_OUTFILE_H

#include "base/bytes.h"
#include "base/check.h"
#include "base/diag.h"

enum { OUTFILE_PATH_BYTES = 4096 };

struct outfile {
    const char *path;                    /* NULL: standard output */
    char unfinished[OUTFILE_PATH_BYTES]; /* "": there is none */
    int fd;
    uint64_t written;
};

/* `path` "-": standard output. False with `error`; to be released in both cases. */
MUST_CHECK bool outfile_open(struct outfile *file, const char *path, struct errtext *error);
MUST_CHECK bool outfile_write(struct outfile *file, struct bytes bytes, struct errtext *error);
/* Empty again; false: what standard output has been given stays. */
MUST_CHECK bool outfile_start_over(struct outfile *file);
/* Durable, under its name. */
MUST_CHECK bool outfile_settle(struct outfile *file, struct errtext *error);
/* Removes what is not settled. */
void outfile_release(struct outfile *file);

#endif
