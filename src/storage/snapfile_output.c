/* A file on its way to its name.
 *
 * 1 it is made as <name>.tmp or <name>.part;
 * 2 what was appended is written by one background write with its sync, then what was appended
 *   meanwhile by the next: little is dirty at any time, so that no sync takes long;
 * 3 when all is written, it is renamed and the directory is synced.
 *
 * A crash before 3 leaves a file that means nothing and is removed at the next start. */
#include "storage/snapfile_private.h"

#include "base/mem.h"

size_t snapfile_output_queued(const struct snapfile_output *output)
{
    return output->filling.count + output->writing.count;
}

static void output_free(struct snapfile_output *output)
{
    env_file_close(output->file);
    buf_release(&output->filling);
    buf_release(&output->writing);
    mem_free(output);
}

/* Removes the unfinished file, as far as the disk lets us. */
static void discard_name(struct snapfile_output *output)
{
    char path[SNAPFILE_PATH_BYTES];
    enum status ignored =
        env_unlink(output->env, snapfile_path(output->last, output->suffix, path));
    (void)ignored; /* if it stays, the next start removes it */
}

static void discard(struct snapfile_output *output)
{
    env_file_close(output->file);
    output->file = NULL;
    discard_name(output);
}

static void end(struct snapfile_output *output, enum status status)
{
    if (status != ST_OK)
        discard(output);
    output->on_end(output->ctx, status);
    output_free(output);
}

/* All of it is on disk. When the rename is done and only its sync fails, the file stays: it is
 * whole, and may have replaced one that was durable. */
static enum status give_name(struct snapfile_output *output)
{
    char from[SNAPFILE_PATH_BYTES], to[SNAPFILE_PATH_BYTES];
    env_file_close(output->file);
    output->file = NULL;
    enum status status = env_rename(output->env, snapfile_path(output->last, output->suffix, from),
                                    snapfile_path(output->last, ".snap", to));
    return status == ST_OK ? env_dir_sync(output->env, SNAPFILE_DIRECTORY) : status;
}

static void start_write(struct snapfile_output *output)
{
    struct buf written = output->writing;
    output->writing = output->filling;
    output->filling = written;
    output->write.file = output->file;
    output->write.offset = output->offset;
    output->write.bytes = buf_bytes(&output->writing);
    output->is_writing = true;
    env_write_start(output->env, &output->write);
}

static void on_write_done(void *ctx, enum status status)
{
    struct snapfile_output *output = ctx;
    INVARIANT(output->is_writing);
    output->is_writing = false;
    output->offset += output->writing.count;
    buf_reset(&output->writing);
    if (output->is_abandoned) {
        output_free(output);
        return;
    }
    if (status != ST_OK) {
        end(output, status);
        return;
    }
    if (output->filling.count > 0)
        start_write(output);
    else if (output->is_finishing) {
        end(output, give_name(output));
        return;
    }
    output->on_written(output->ctx);
}

void snapfile_output_write(struct snapfile_output *output)
{
    REQUIRE(!output->filling.is_full);
    if (!output->is_writing && output->filling.count > 0)
        start_write(output);
}

void snapfile_output_finish(struct snapfile_output *output)
{
    REQUIRE(!output->is_finishing);
    output->is_finishing = true;
    if (!output->is_writing)
        start_write(output); /* of nothing, when all is written: then it is only a sync */
}

void snapfile_output_abandon(struct snapfile_output *output)
{
    if (output == NULL)
        return;
    output->is_abandoned = true;
    discard_name(output); /* now: the next one may have the same */
    if (!output->is_writing)
        output_free(output); /* else at the end of that write */
}

static enum status create(struct env *env, struct entry_id last, const char *suffix,
                          struct env_file **out_file, struct errtext *error)
{
    char path[SNAPFILE_PATH_BYTES];
    (void)snapfile_path(last, suffix, path);
    enum status status = snapfile_make_directory(env);
    if (status == ST_OK)
        status = env_unlink(env, path);
    if (status != ST_OK && status != ST_NOT_FOUND) {
        errtext_set(error, "%s: %s", path, status_info(status)->title);
        return status;
    }
    return env_file_open(env, path, ENV_OPEN_CREATE, out_file, error);
}

enum status snapfile_output_new(struct env *env, struct entry_id last, const char *suffix,
                                void (*on_written)(void *ctx),
                                void (*on_end)(void *ctx, enum status status), void *ctx,
                                struct snapfile_output **out_output, struct errtext *error)
{
    struct env_file *file;
    enum status status = create(env, last, suffix, &file, error);
    if (status != ST_OK)
        return status;
    struct snapfile_output *output = mem_alloc(sizeof *output);
    *output = (struct snapfile_output){.file = file,
                                       .last = last,
                                       .suffix = suffix,
                                       .on_written = on_written,
                                       .on_end = on_end,
                                       .ctx = ctx,
                                       .env = env};
    buf_init(&output->filling, SIZE_MAX / 2);
    buf_init(&output->writing, SIZE_MAX / 2);
    output->write =
        (struct env_write){.on_done = on_write_done, .ctx = output, .is_background = true};
    *out_output = output;
    return ST_OK;
}
