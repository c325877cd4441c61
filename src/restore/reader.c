/* A state out of a snapshot file that comes in pieces, every byte of it checked. */
#include "base/mem.h"
#include "restore/restore.h"
#include "storage/snapfile_format.h"

struct restore_reader {
    struct snapfile_stream stream;
    struct buf begun; /* owned: the front of a part that is not whole yet */
    struct kv_loader *loader;
};

struct restore_reader *restore_reader_new(void)
{
    struct restore_reader *reader = mem_alloc(sizeof *reader);
    struct kv_options options = {0}; /* the default: it decides results, so all nodes share it */
    buf_init(&reader->begun, SIZE_MAX / 2);
    reader->loader = kv_loader_new(&options);
    return reader;
}

void restore_reader_free(struct restore_reader *reader)
{
    if (reader == NULL)
        return;
    buf_release(&reader->begun);
    kv_loader_free(reader->loader);
    mem_free(reader);
}

static enum status damaged(const struct restore_reader *reader, enum status status,
                           struct errtext *error)
{
    errtext_wrap(error, "damaged at offset %llu", (unsigned long long)reader->stream.file_bytes);
    return status == ST_FORMAT ? ST_FORMAT : ST_CORRUPT;
}

enum status restore_reader_feed(struct restore_reader *reader, struct bytes bytes,
                                struct errtext *error)
{
    struct buf *begun = &reader->begun;
    buf_put(begun, bytes);
    size_t used = 0;
    enum status status = ST_OK;
    while (status == ST_OK && used < begun->count) {
        struct bytes content = bytes_of(NULL, 0);
        size_t taken = 0;
        status =
            snapfile_format_take(&reader->stream, bytes_of(begun->data + used, begun->count - used),
                                 &taken, &content, error);
        used += taken;
        if (status == ST_OK && content.count > 0 &&
            kv_loader_feed(reader->loader, content) != ST_OK) {
            errtext_set(error, "the blocks are whole, but the state in them is malformed");
            status = ST_CORRUPT;
        }
    }
    if (status == ST_NOT_FOUND) {
        errtext_set(error, "there are bytes behind the end");
        status = ST_CORRUPT;
    }
    buf_consume(begun, used);
    return status == ST_OK || status == ST_SHORT ? ST_OK : damaged(reader, status, error);
}

static enum status finish(struct restore_reader *reader, struct kv **out_kv, struct errtext *error)
{
    struct kv_stats stats;
    if (reader->stream.next != SNAPFILE_END) {
        errtext_set(error, "the file is cut short");
        return ST_CORRUPT;
    }
    enum status status = kv_loader_finish(reader->loader, out_kv);
    reader->loader = NULL;
    if (status != ST_OK) {
        errtext_set(error, "the blocks are whole, but the state in them is not");
        return ST_CORRUPT;
    }
    kv_stats(*out_kv, &stats);
    if (entry_id_equal(stats.applied, reader->stream.last))
        return ST_OK;
    kv_free(*out_kv);
    errtext_set(error, "the state in it is not that of the entry in its header");
    return ST_CORRUPT;
}

enum status restore_reader_finish(struct restore_reader *reader, struct kv **out_kv,
                                  uint64_t *out_cluster_id, struct errtext *error)
{
    *out_cluster_id = reader->stream.cluster_id;
    enum status status = finish(reader, out_kv, error);
    return status == ST_OK ? ST_OK : damaged(reader, status, error);
}
