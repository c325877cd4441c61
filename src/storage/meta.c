#include "storage/meta.h"

#include "base/crc32c.h"

/* "MKVMETA" and a byte that no text file has. */
#define META_MAGIC 0x1a4154454d564b4dull

#define META_PATH     "meta"
#define META_TMP_PATH "meta.tmp"

enum {
    META_HEADER_BYTES = 44,
    META_CONFIG_BYTES_MAX = 4 + LIMIT_MEMBERS * (4 + 1 + 4 + LIMIT_ADDRESS_BYTES),
    META_BYTES_MAX = META_HEADER_BYTES + META_CONFIG_BYTES_MAX
};

void meta_encode(const struct meta *meta, struct buf *out)
{
    REQUIRE(meta->identity != 0);
    REQUIRE(meta->node != NODE_NONE && meta->node <= NODE_ID_MAX);
    REQUIRE(out->count == 0);

    buf_put_u32(out, 0); /* the checksum, below */
    buf_put_u32(out, META_FORMAT_VERSION);
    buf_put_u64(out, META_MAGIC);
    buf_put_u64(out, meta->cluster_id);
    buf_put_u64(out, meta->identity);
    buf_put_u32(out, meta->node);
    buf_put_u32(out, meta->has_log);
    buf_put_u32(out, 0); /* the size of what follows, below */
    config_encode(&meta->initial, out);
    if (out->is_full)
        return;
    store_u32(out->data + 40, (uint32_t)(out->count - META_HEADER_BYTES));
    store_u32(out->data, crc32c(0, bytes_of(out->data + 4, out->count - 4)));
}

static enum status corrupt(struct errtext *error, const char *what)
{
    errtext_set(error, "%s", what);
    return ST_CORRUPT;
}

enum status meta_decode(struct bytes in, struct meta *out_meta, struct errtext *error)
{
    struct cursor cursor = cursor_of(in);
    uint32_t checksum = cursor_u32(&cursor);
    uint32_t version = cursor_u32(&cursor);
    uint64_t magic = cursor_u64(&cursor);
    if (cursor.is_short)
        return corrupt(error, "the file is cut short");
    if (magic != META_MAGIC)
        return corrupt(error, "not a meta file: bad magic");
    /* As in the log: checksum, version and magic keep their places in every version. */
    if (checksum != crc32c(0, bytes_of(in.data + 4, in.count - 4)))
        return corrupt(error, "bad checksum");
    if (version != META_FORMAT_VERSION) {
        errtext_set(error, "meta format version %u; this program reads version %d", version,
                    META_FORMAT_VERSION);
        return ST_FORMAT;
    }
    struct meta meta = {.cluster_id = cursor_u64(&cursor)};
    meta.identity = cursor_u64(&cursor);
    meta.node = cursor_u32(&cursor);
    uint32_t has_log = cursor_u32(&cursor);
    meta.has_log = has_log == 1;
    struct bytes config = cursor_sized(&cursor, META_CONFIG_BYTES_MAX);
    if (!cursor_is_done(&cursor) || meta.identity == 0 || has_log > 1 || meta.node == NODE_NONE ||
        meta.node > NODE_ID_MAX || config_decode(config, &meta.initial) != ST_OK)
        return corrupt(error, "malformed fields");
    *out_meta = meta;
    return ST_OK;
}

enum status meta_load(struct env *env, struct meta *out_meta, struct errtext *error)
{
    struct env_file *file;
    enum status status = env_file_open(env, META_PATH, ENV_OPEN_READ, &file, error);
    if (status != ST_OK)
        return status;
    uint8_t bytes[META_BYTES_MAX + 1]; /* one more shows a file that is too long */
    size_t count;
    status = env_file_read(file, 0, bytes, sizeof bytes, &count);
    env_file_close(file);
    if (status != ST_OK) {
        errtext_set(error, "%s: cannot read", META_PATH);
        return status;
    }
    struct meta meta;
    status = meta_decode(bytes_of(bytes, count), &meta, error);
    if (status != ST_OK) {
        errtext_wrap(error, "%s: at offset 0", META_PATH); /* its checksum is of the whole */
        return status;
    }
    /* The process that renamed it may have died before it synced the directory; whoever acts on
     * the identity must find it again after a power cut. */
    status = env_dir_sync(env, ".");
    if (status != ST_OK) {
        errtext_set(error, "%s: sync the directory: %s", META_PATH, status_info(status)->title);
        return status;
    }
    *out_meta = meta;
    return ST_OK;
}

static enum status write_tmp(struct env *env, struct bytes bytes, struct errtext *error)
{
    struct env_file *file;
    enum status status = env_unlink(env, META_TMP_PATH); /* of a start that was cut short */
    if (status != ST_OK && status != ST_NOT_FOUND) {
        errtext_set(error, "%s: unlink: %s", META_TMP_PATH, status_info(status)->title);
        return status;
    }
    status = env_file_open(env, META_TMP_PATH, ENV_OPEN_CREATE, &file, error);
    if (status != ST_OK)
        return status;
    status = env_file_write(file, 0, bytes);
    if (status == ST_OK)
        status = env_file_sync(file);
    env_file_close(file);
    if (status != ST_OK)
        errtext_set(error, "%s: write: %s", META_TMP_PATH, status_info(status)->title);
    return status;
}

enum status meta_save(struct env *env, const struct meta *meta, struct errtext *error)
{
    struct buf bytes;
    buf_init(&bytes, META_BYTES_MAX);
    meta_encode(meta, &bytes);
    INVARIANT(!bytes.is_full);
    enum status status = write_tmp(env, buf_bytes(&bytes), error);
    buf_release(&bytes);
    if (status != ST_OK)
        return status;
    status = env_rename(env, META_TMP_PATH, META_PATH);
    if (status == ST_OK)
        status = env_dir_sync(env, ".");
    if (status != ST_OK)
        errtext_set(error, "%s: rename: %s", META_PATH, status_info(status)->title);
    return status;
}
