/* Snapfile, inside: what the files of it share. Nobody else includes this.
 *
 * snapfile_name.c knows the names; snapfile_output.c makes a file durable under its name;
 * snapfile_write.c and snapfile_receive.c fill it; snapfile_load.c reads one back whole;
 * snapfile_serve.c in pieces. */
#ifndef MINIKV_STORAGE_SNAPFILE_PRIVATE_H
#define MINIKV_STORAGE_SNAPFILE_PRIVATE_H

#include "storage/snapfile.h"
#include "storage/snapfile_format.h"

enum { SNAPFILE_PATH_BYTES = 64 };

/* ---- snapfile_name.c ---- */

/* suffix   ".snap", ".tmp" or ".part" */
const char *snapfile_path(struct entry_id last, const char *suffix, char out[SNAPFILE_PATH_BYTES]);
/* Makes the directory, durably. Blocks. */
MUST_CHECK enum status snapfile_make_directory(struct env *env);

/* ---- snapfile_output.c: a file on its way to its name ---- */

struct snapfile_output {
    struct env_file *file; /* owned */
    struct buf filling;    /* what comes next, appended to by the owner of the output */
    struct buf writing;    /* what is under way */
    uint64_t offset;       /* of `writing` in the file */
    struct env_write write;
    bool is_writing;
    bool is_finishing; /* nothing more is appended */
    bool is_abandoned;
    struct entry_id last;
    const char *suffix;
    /* A write is done; there is room again. */
    void (*on_written)(void *ctx);
    /* The file is durable under its name, or there is none. The output is gone after the call. */
    void (*on_end)(void *ctx, enum status status);
    void *ctx;

    struct env *env; /* borrowed */
};

/* ST_OK, ST_IO, ST_NO_SPACE with `error`. Blocks. `suffix` is that of the unfinished file. */
MUST_CHECK enum status snapfile_output_new(struct env *env, struct entry_id last,
                                           const char *suffix, void (*on_written)(void *ctx),
                                           void (*on_end)(void *ctx, enum status status), void *ctx,
                                           struct snapfile_output **out_output,
                                           struct errtext *error);
/* Appended to `filling` and not yet written. */
size_t snapfile_output_queued(const struct snapfile_output *output);
/* Something was appended. */
void snapfile_output_write(struct snapfile_output *output);
/* Nothing more will be appended; on_end follows. */
void snapfile_output_finish(struct snapfile_output *output);
/* No more callbacks; the unfinished file is removed. NULL is a no-op. */
void snapfile_output_abandon(struct snapfile_output *output);

#endif
