/* The whole replicated state as bytes (docs/formats/state.md): one form only, so that nodes at the
 * same index make the same ones. An image writes them in pieces, of a moment that two pins keep:
 * of the keys and of the sessions. All else is small and copied. */
#include "base/limits.h"
#include "base/mem.h"
#include "kv/kv_internal.h"
#include "kv/state_format.h"

enum image_phase { IMAGE_HEAD, IMAGE_ITEMS, IMAGE_SESSIONS, IMAGE_DIGEST, IMAGE_DONE };

struct kv_image {
    struct tree_pin *items;    /* owned */
    struct tree_pin *sessions; /* owned */
    struct buf head;           /* owned: up to the first item */
    struct entry_id applied;
    uint64_t sessions_count;
    uint64_t digest;
    uint64_t bytes;
    enum image_phase phase;
    struct tree_cursor next_item;
    struct tree_cursor next_session;
};

static void encode_head(const struct kv *kv, struct buf *out)
{
    buf_put_u8(out, STATE_VERSION);
    buf_put_u64(out, kv->applied.term);
    buf_put_u64(out, kv->applied.index);
    buf_put_u64(out, kv->revision);
    buf_put_u64(out, kv->stamp_us);
    buf_put_u64(out, kv->history);
    buf_put_u32(out, kv->directory.config.members_count);
    directory_encode(&kv->directory, out);
    buf_put_u64(out, tree_view(kv->tree).items_count);
}

/* Made of what is counted anyway: K4, K23. */
static uint64_t content_bytes(const struct kv *kv)
{
    uint64_t items_count = tree_view(kv->tree).items_count;
    uint64_t items_bytes = kv->state_bytes - items_count * item_state_bytes(0, 0);
    return items_bytes + items_count * STATE_ITEM_BYTES + sessions_encoded_bytes(kv->sessions);
}

/* To be read from the views, which are of the present. */
static void begin(struct kv_image *image, const struct kv *kv, struct tree_view items,
                  struct tree_view sessions)
{
    *image = (struct kv_image){
        .applied = kv->applied, .sessions_count = sessions.items_count, .digest = kv_digest(kv)};
    buf_init(&image->head, LIMIT_MEMBERS * (2 * LIMIT_ADDRESS_BYTES + 32) + 64);
    encode_head(kv, &image->head);
    ENSURE(!image->head.is_full);
    image->bytes = image->head.count + content_bytes(kv) + 8 + 8; /* count of sessions, digest */
    (void)tree_find(items, bytes_of(NULL, 0), &image->next_item);
    (void)tree_find(sessions, bytes_of(NULL, 0), &image->next_session);
}

struct kv_image *kv_pin(struct kv *kv)
{
    struct kv_image *image = mem_alloc(sizeof *image);
    struct tree_pin *items = tree_pin(kv->tree);
    struct tree_pin *sessions = sessions_pin(kv->sessions);
    begin(image, kv, tree_pin_view(items), tree_pin_view(sessions));
    image->items = items;
    image->sessions = sessions;
    return image;
}

void kv_unpin(struct kv *kv, struct kv_image *image)
{
    REQUIRE(image->items != NULL);
    tree_unpin(kv->tree, image->items);
    sessions_unpin(kv->sessions, image->sessions);
    buf_release(&image->head);
    mem_free(image);
}

struct entry_id kv_image_applied(const struct kv_image *image)
{
    return image->applied;
}

uint64_t kv_image_bytes(const struct kv_image *image)
{
    return image->bytes;
}

/* Room is asked for once: this is done for every key there is. */
static void encode_item(const struct item *item, struct buf *out)
{
    size_t key_bytes = item->tree.key_bytes;
    size_t bytes = STATE_ITEM_BYTES + key_bytes + item->value_bytes;
    if (!buf_reserve(out, bytes))
        return;
    uint8_t *at = out->data + out->count;
    store_u64(at, item->create_revision);
    store_u64(at + 8, item->mod_revision);
    store_u64(at + 16, item->version);
    store_u64(at + 24, item->lease);
    store_u32(at + 32, (uint32_t)key_bytes);
    memcpy(at + 36, item->data, key_bytes);
    store_u32(at + 36 + key_bytes, item->value_bytes);
    memcpy(at + 40 + key_bytes, item->data + key_bytes, item->value_bytes);
    out->count += bytes;
}

static void put_item(struct kv_image *image, struct buf *out)
{
    const struct item *item = item_of(tree_next(&image->next_item));
    if (item != NULL) {
        encode_item(item, out);
        return;
    }
    buf_put_u64(out, image->sessions_count);
    image->phase = IMAGE_SESSIONS;
}

static void put_session(struct kv_image *image, struct buf *out)
{
    const struct tree_item *session = tree_next(&image->next_session);
    if (session != NULL)
        session_encode(session, out);
    else
        image->phase = IMAGE_DIGEST;
}

static void put_record(struct kv_image *image, struct buf *out)
{
    switch (image->phase) {
    case IMAGE_HEAD:
        buf_put(out, buf_bytes(&image->head));
        image->phase = IMAGE_ITEMS;
        return;
    case IMAGE_ITEMS:
        put_item(image, out);
        return;
    case IMAGE_SESSIONS:
        put_session(image, out);
        return;
    case IMAGE_DIGEST:
        buf_put_u64(out, image->digest);
        image->phase = IMAGE_DONE;
        return;
    case IMAGE_DONE:
        return;
    }
    UNREACHABLE();
}

bool kv_image_read(struct kv_image *image, size_t bytes_max, struct buf *out)
{
    size_t from = out->count;
    do
        put_record(image, out);
    while (image->phase != IMAGE_DONE && out->count - from < MAX(bytes_max, (size_t)1));
    return image->phase != IMAGE_DONE;
}

/* The present needs no pin: nothing changes it meanwhile. */
void kv_encode(const struct kv *kv, struct buf *out)
{
    struct kv_image image;
    begin(&image, kv, tree_view(kv->tree), sessions_view(kv->sessions));
    (void)kv_image_read(&image, SIZE_MAX, out);
    buf_release(&image.head);
}
