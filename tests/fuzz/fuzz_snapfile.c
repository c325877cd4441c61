/* Any bytes as a snapshot: loading never ends the process, and receiving judges as loading does,
 * whatever pieces the bytes come in.
 *
 * A first byte of 0: the rest is the file as it stands. Otherwise a file is made of the rest, in
 * blocks of as many bytes as that byte says, and the last three bytes change one byte of it. */
#include <stdint.h>

#include "base/mem.h"
#include "storage/snapfile.h"
#include "storage/snapfile_format.h"
#include "support/disk_env.h"

#define PATH "snap/0000000000000005-0000000000000002.snap"

enum { CLUSTER = 7, FILE_BYTES_MAX = 1024 * 1024 };

static const struct entry_id last = {2, 5};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count);

static void make_file(struct bytes content, uint8_t block_bytes, struct buf *file)
{
    struct snapfile_stream stream;
    snapfile_format_begin(&stream, CLUSTER, last, block_bytes, file);
    while (content.count > block_bytes) {
        snapfile_format_put_block(&stream, bytes_of(content.data, block_bytes), false, file);
        content = bytes_of(content.data + block_bytes, content.count - block_bytes);
    }
    snapfile_format_put_block(&stream, content, true, file);
    snapfile_format_end(&stream, file);
}

static void build(const uint8_t *data, size_t count, struct buf *file)
{
    if (data[0] == 0 || count < 4) {
        buf_put(file, bytes_of(data + 1, count - 1));
        return;
    }
    make_file(bytes_of(data + 1, count - 4), data[0], file);
    size_t at = (size_t)(data[count - 3] | data[count - 2] << 8) * 7;
    if (at < file->count)
        file->data[at] ^= data[count - 1];
}

static void on_begin(void *ctx, struct entry_id id)
{
    INVARIANT(entry_id_equal(id, last));
    *(size_t *)ctx = 0;
}

static enum status on_feed(void *ctx, struct bytes content)
{
    *(size_t *)ctx += content.count;
    return ST_OK;
}

static void on_done(void *ctx, enum status status)
{
    *(enum status *)ctx = status;
}

static enum status load(struct env *env, size_t *fed)
{
    struct snapshot_info info;
    struct errtext error;
    struct snapfile_sink sink = {.begin = on_begin, .feed = on_feed, .ctx = fed};
    return snapfile_load_newest(env, CLUSTER, &sink, &info, &error);
}

static enum status receive(struct env *env, struct bytes file, size_t piece_bytes, size_t *fed)
{
    struct snapshot_info info = {last, file.count};
    struct snapfile_receiver *receiver;
    struct errtext error;
    enum status status =
        snapfile_receiver_new(env, CLUSTER, &info, on_feed, fed, &receiver, &error);
    INVARIANT(status == ST_OK);
    for (size_t at = 0; at < file.count && status == ST_OK; at += piece_bytes)
        status = snapfile_receiver_put(
            receiver, at, bytes_of(file.data + at, MIN(piece_bytes, file.count - at)), &error);
    if (status == ST_OK) {
        status = ST_BUSY;
        snapfile_receiver_finish(receiver, on_done, &status);
        while (status == ST_BUSY)
            INVARIANT(disk_env_step(env));
    }
    snapfile_receiver_free(receiver);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count)
{
    if (count == 0)
        return 0;
    struct buf file;
    buf_init(&file, FILE_BYTES_MAX);
    build(data, count, &file);
    struct env *env = disk_env_new(1);
    disk_env_put(env, PATH, buf_bytes(&file));
    size_t fed = 0, fed_in_pieces = 0;
    enum status status = load(env, &fed);

    /* Byte by byte only now and then: a header alone is a block. */
    struct env *other = disk_env_new(2);
    enum status received =
        receive(other, buf_bytes(&file), 1 + count % 97 * (count % 39), &fed_in_pieces);
    INVARIANT((status == ST_OK) == (received == ST_OK));
    if (status == ST_OK) {
        INVARIANT(fed == fed_in_pieces);
        INVARIANT(bytes_equal(disk_env_peek(other, PATH), buf_bytes(&file)));
    }
    disk_env_free(env);
    disk_env_free(other);
    buf_release(&file);
    return 0;
}
