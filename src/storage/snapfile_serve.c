/* Serving: the bytes of a snapshot, for other nodes and for backups, each part checked before
 * anything of it leaves: a disk that has damaged the file is found out here, where another can be
 * made, and not only by whoever asked. */
#include "storage/snapfile_private.h"

#include "base/mem.h"

struct snapfile {
    struct env_file *file; /* owned */
    uint64_t bytes;
    struct entry_id last;          /* as its name says */
    struct snapfile_stream header; /* behind it; `next` is SNAPFILE_HEADER until it has been read */
    uint8_t *part;                 /* owned: the part read last, checked; NULL until needed */
    uint64_t part_offset;
    size_t part_count; /* 0: none */
};

enum status snapfile_open(struct env *env, struct entry_id last, struct snapfile **out_file,
                          struct errtext *error)
{
    char path[SNAPFILE_PATH_BYTES];
    struct snapfile snapfile = {.last = last};
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

/* ---- parts ---- */

static enum status read_bytes(struct snapfile *file, uint64_t offset, size_t count)
{
    size_t read_count = 0;
    file->part_count = 0;
    file->part_offset = offset;
    if (env_file_read(file->file, offset, file->part, count, &read_count) != ST_OK)
        return ST_IO;
    return read_count == count ? ST_OK : ST_CORRUPT;
}

static enum status read_header(struct snapfile *file)
{
    struct snapfile_stream stream = {.next = SNAPFILE_HEADER};
    struct bytes none;
    struct errtext ignored;
    enum status status = file->bytes < SNAPFILE_HEADER_BYTES
                             ? ST_CORRUPT
                             : read_bytes(file, 0, SNAPFILE_HEADER_BYTES);
    if (status == ST_OK &&
        (snapfile_format_take(&stream, bytes_of(file->part, SNAPFILE_HEADER_BYTES),
                              &file->part_count, &none, &ignored) != ST_OK ||
         !entry_id_equal(stream.last, file->last)))
        status = ST_CORRUPT;
    if (status == ST_OK)
        file->header = stream;
    else
        file->part_count = 0;
    return status;
}

/* All blocks but the last are of one length. */
static enum status read_block(struct snapfile *file, uint64_t offset)
{
    uint64_t block_bytes = SNAPFILE_BLOCK_HEADER_BYTES + (uint64_t)file->header.block_bytes;
    uint64_t end = file->bytes - MIN(file->bytes, (uint64_t)SNAPFILE_FOOTER_BYTES);
    uint64_t number = (offset - SNAPFILE_HEADER_BYTES) / block_bytes;
    uint64_t begin = SNAPFILE_HEADER_BYTES + number * block_bytes;
    if (begin >= end)
        return ST_CORRUPT;
    size_t count = (size_t)MIN(block_bytes, end - begin);
    enum status status = read_bytes(file, begin, count);
    if (status != ST_OK)
        return status;
    struct snapfile_stream stream = file->header;
    struct bytes content;
    struct errtext ignored;
    size_t taken = 0;
    stream.blocks_count = number;
    status = snapfile_format_take(&stream, bytes_of(file->part, count), &taken, &content, &ignored);
    if (status != ST_OK || taken != count)
        return ST_CORRUPT;
    file->part_count = count;
    return ST_OK;
}

static enum status read_footer(struct snapfile *file)
{
    enum status status =
        read_bytes(file, file->bytes - SNAPFILE_FOOTER_BYTES, SNAPFILE_FOOTER_BYTES);
    if (status == ST_OK &&
        !snapfile_format_is_footer(&file->header, bytes_of(file->part, SNAPFILE_FOOTER_BYTES)))
        status = ST_CORRUPT;
    if (status == ST_OK)
        file->part_count = SNAPFILE_FOOTER_BYTES;
    return status;
}

static bool has_part(const struct snapfile *file, uint64_t offset)
{
    return offset >= file->part_offset && offset - file->part_offset < file->part_count;
}

/* Has the part with this byte. */
static enum status read_part(struct snapfile *file, uint64_t offset)
{
    enum status status = ST_OK;
    if (file->part == NULL)
        file->part = mem_alloc_raw(SNAPFILE_UNIT_BYTES_MAX);
    if (file->header.next == SNAPFILE_HEADER)
        status = read_header(file);
    if (status != ST_OK || has_part(file, offset))
        return status;
    if (offset < SNAPFILE_HEADER_BYTES)
        return read_header(file);
    return offset + SNAPFILE_FOOTER_BYTES >= file->bytes ? read_footer(file)
                                                         : read_block(file, offset);
}

enum status snapfile_read(struct snapfile *file, uint64_t offset, void *out, size_t count,
                          size_t *out_count)
{
    uint64_t left = file->bytes - MIN(offset, file->bytes);
    size_t wanted = (size_t)MIN((uint64_t)count, left);
    for (size_t done = 0; done < wanted;) {
        enum status status = read_part(file, offset + done);
        if (status != ST_OK)
            return status;
        size_t skipped = (size_t)(offset + done - file->part_offset);
        size_t taken = MIN(wanted - done, file->part_count - skipped);
        memcpy((uint8_t *)out + done, file->part + skipped, taken);
        done += taken;
    }
    *out_count = wanted;
    return ST_OK;
}

void snapfile_close(struct snapfile *file)
{
    if (file == NULL)
        return;
    env_file_close(file->file);
    mem_free(file->part);
    mem_free(file);
}
