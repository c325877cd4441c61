/* Serving: the bytes of a snapshot, for other nodes and for backups. They check it themselves. */
#include "storage/snapfile_private.h"

#include "base/mem.h"

struct snapfile {
    struct env_file *file; /* owned */
    uint64_t bytes;
};

enum status snapfile_open(struct env *env, struct entry_id last, struct snapfile **out_file,
                          struct errtext *error)
{
    char path[SNAPFILE_PATH_BYTES];
    struct snapfile snapfile = {.file = NULL};
    (void)snapfile_path(last, ".snap", path);
    enum status status = env_file_open(env, path, ENV_OPEN_READ, &snapfile.file, error);
    if (status != ST_OK)
        return status == ST_NOT_FOUND ? ST_NOT_FOUND : ST_IO;
    if (env_file_size(snapfile.file, &snapfile.bytes) != ST_OK) {
        env_file_close(snapfile.file);
        errtext_set(error, "%s: cannot read its size", path);
        return ST_IO;
    }
    *out_file = mem_alloc(sizeof **out_file);
    **out_file = snapfile;
    return ST_OK;
}

uint64_t snapfile_bytes(const struct snapfile *file)
{
    return file->bytes;
}

enum status snapfile_read(struct snapfile *file, uint64_t offset, void *out, size_t count,
                          size_t *out_count)
{
    enum status status = env_file_read(file->file, offset, out, count, out_count);
    return status == ST_OK ? ST_OK : ST_IO;
}

void snapfile_close(struct snapfile *file)
{
    if (file == NULL)
        return;
    env_file_close(file->file);
    mem_free(file);
}
