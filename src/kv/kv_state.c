/* The whole replicated state as bytes (docs/formats/state.md): one form only, so that nodes at the
 * same index make the same ones; and out of bytes of any kind. */
#include "base/limits.h"
#include "kv/kv_internal.h"

enum { STATE_VERSION = 1 };

static void encode_items(const struct kv *kv, struct buf *out)
{
    struct tree_view view = tree_view(kv->tree);
    struct tree_cursor cursor;
    const struct item *item;
    buf_put_u64(out, view.items_count);
    (void)tree_find(view, bytes_of(NULL, 0), &cursor);
    while ((item = item_of(tree_next(&cursor))) != NULL) {
        struct kv_item content = item_content(item);
        buf_put_u64(out, content.create_revision);
        buf_put_u64(out, content.mod_revision);
        buf_put_u64(out, content.version);
        buf_put_u64(out, content.lease);
        buf_put_sized(out, content.key);
        buf_put_sized(out, content.value);
    }
}

void kv_encode(const struct kv *kv, struct buf *out)
{
    buf_put_u8(out, STATE_VERSION);
    buf_put_u64(out, kv->applied.term);
    buf_put_u64(out, kv->applied.index);
    buf_put_u64(out, kv->revision);
    buf_put_u64(out, kv->stamp_us);
    buf_put_u32(out, kv->directory.config.members_count);
    directory_encode(&kv->directory, out);
    encode_items(kv, out);
    sessions_encode(kv->sessions, out);
    buf_put_u64(out, kv_digest(kv));
}

/* K1, K2: nothing in it is younger than the state. */
static enum status decode_head(struct kv *kv, struct cursor *in)
{
    uint8_t version = cursor_u8(in);
    if (!in->is_short && version != STATE_VERSION)
        return ST_FORMAT;
    kv->applied.term = cursor_u64(in);
    kv->applied.index = cursor_u64(in);
    kv->revision = cursor_u64(in);
    kv->stamp_us = cursor_u64(in);
    uint32_t members_count = cursor_u32(in);
    if (in->is_short)
        return ST_SHORT;
    if (kv->revision < KV_REVISION_FIRST || kv->revision - KV_REVISION_FIRST > kv->applied.index)
        return ST_FORMAT;
    return directory_decode(&kv->directory, members_count, in);
}

/* u32 count, then the bytes. */
static enum status decode_sized(struct cursor *in, size_t count_min, size_t count_max,
                                struct bytes *out_bytes)
{
    uint32_t count = cursor_u32(in);
    if (in->is_short)
        return ST_SHORT;
    if (count < count_min || count > count_max)
        return ST_LIMIT;
    *out_bytes = cursor_take(in, count);
    return in->is_short ? ST_SHORT : ST_OK;
}

/* K2, K3. */
static bool is_possible(const struct kv *kv, const struct kv_item *content)
{
    return content->create_revision > KV_REVISION_FIRST &&
           content->create_revision <= content->mod_revision &&
           content->mod_revision <= kv->revision && content->version >= 1 &&
           content->version - 1 <= content->mod_revision - content->create_revision &&
           (content->version == 1) == (content->mod_revision == content->create_revision);
}

static enum status decode_item(struct kv *kv, struct cursor *in)
{
    struct kv_item content = {.create_revision = cursor_u64(in),
                              .mod_revision = cursor_u64(in),
                              .version = cursor_u64(in),
                              .lease = cursor_u64(in)};
    enum status status = decode_sized(in, 1, LIMIT_KEY_BYTES, &content.key);
    if (status == ST_OK)
        status = decode_sized(in, 0, LIMIT_VALUE_BYTES, &content.value);
    if (status != ST_OK)
        return status;

    /* Each key above all before it: also that it is there once. */
    struct tree_cursor cursor;
    (void)tree_find(tree_view(kv->tree), content.key, &cursor);
    if (cursor.is_equal || tree_next(&cursor) != NULL || !is_possible(kv, &content))
        return ST_FORMAT;
    struct item *item = item_new(&content);
    (void)tree_find(tree_view(kv->tree), content.key, &cursor);
    tree_put_at(kv->tree, &cursor, &item->tree);
    kv->items_hash += item->hash;
    kv->state_bytes += item_state_bytes(content.key.count, content.value.count);
    return ST_OK;
}

static enum status decode_items(struct kv *kv, struct cursor *in)
{
    uint64_t count = cursor_u64(in);
    for (uint64_t i = 0; i < count && !in->is_short; i++) {
        enum status status = decode_item(kv, in);
        if (status != ST_OK)
            return status;
    }
    return in->is_short ? ST_SHORT : ST_OK;
}

/* Sessions are used by entries up to the applied one, and by log time up to now. */
static enum status decode_sessions(struct kv *kv, struct cursor *in)
{
    enum status status = sessions_decode(kv->sessions, in);
    if (status != ST_OK)
        return status;
    struct sessions_stats stats;
    sessions_stats(kv->sessions, &stats);
    if (stats.newest_use_index > kv->applied.index || stats.newest_use_us > kv->stamp_us)
        return ST_FORMAT;
    return ST_OK;
}

enum status kv_decode_content(struct kv *kv, struct cursor *in)
{
    enum status status = decode_head(kv, in);
    if (status == ST_OK)
        status = decode_items(kv, in);
    if (status == ST_OK)
        status = decode_sessions(kv, in);
    return status;
}

static enum status decode(struct kv *kv, struct cursor *in)
{
    enum status status = kv_decode_content(kv, in);
    if (status != ST_OK)
        return status;
    uint64_t digest = cursor_u64(in);
    if (!cursor_is_done(in))
        return in->is_short ? ST_SHORT : ST_FORMAT;
    return digest == kv_digest(kv) ? ST_OK : ST_CORRUPT;
}

enum status kv_decode(struct bytes in, const struct kv_options *options, struct kv **out_kv)
{
    struct kv *kv = kv_new(options);
    struct cursor cursor = cursor_of(in);
    enum status status = decode(kv, &cursor);
    if (status == ST_OK)
        *out_kv = kv;
    else
        kv_free(kv);
    return status;
}
