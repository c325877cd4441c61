/* The whole replicated state as bytes (docs/formats/state.md): one form only, so that nodes at the
 * same index make the same ones. An image writes them in pieces, of a moment that pins keep: of the
 * keys, of the sessions and of the leases. All else is small and copied. */
#include "base/limits.h"
#include "base/mem.h"
#include "kv/kv_internal.h"
#include "kv/state_format.h"

enum image_phase {
    IMAGE_HEAD,
    IMAGE_LEASES,
    IMAGE_ITEMS,
    IMAGE_SESSIONS,
    IMAGE_DIGEST,
    IMAGE_DONE
};

/* Versions of one key that are still to be written, the newest first. */
struct chain {
    const struct item **items; /* owned */
    size_t count;
    size_t capacity;
};

struct kv_image {
    struct tree_pin *items;    /* owned */
    struct tree_pin *sessions; /* owned */
    struct tree_pin *leases;   /* owned */
    struct buf head;           /* owned: up to the first lease */
    struct chain chain;
    struct entry_id applied;
    uint64_t compacted;
    uint64_t versions_count;
    uint64_t sessions_count;
    uint64_t digest;
    uint64_t bytes;
    enum image_phase phase;
    struct tree_cursor next_item;
    struct tree_cursor next_session;
    struct tree_cursor next_lease;
};

/* The present of each, or what a pin keeps of it. */
struct views {
    struct tree_view items;
    struct tree_view sessions;
    struct tree_view leases;
};

static void encode_head(const struct kv *kv, struct buf *out)
{
    buf_put_u8(out, STATE_VERSION);
    buf_put_u64(out, kv->applied.term);
    buf_put_u64(out, kv->applied.index);
    buf_put_u64(out, kv->revision);
    buf_put_u64(out, kv->stamp_us);
    buf_put_u64(out, kv->history);
    buf_put_u64(out, kv->past.compacted);
    buf_put_u32(out, (uint32_t)kv->past.marks_count);
    buf_put_u32(out, kv->directory.config.members_count);
    for (size_t i = 0; i < kv->past.marks_count; i++) {
        buf_put_u64(out, kv->past.marks[i].stamp_us);
        buf_put_u64(out, kv->past.marks[i].revision);
    }
    directory_encode(&kv->directory, out);
    buf_put_u64(out, leases_count(kv->leases));
}

/* Made of what is counted anyway: K4, K23, K41. */
static uint64_t content_bytes(const struct kv *kv)
{
    uint64_t versions_count = kv->past.versions_count;
    uint64_t items_bytes =
        kv->state_bytes + kv->past.bytes - versions_count * item_state_bytes(0, 0);
    return items_bytes + versions_count * STATE_ITEM_BYTES +
           leases_count(kv->leases) * LEASE_ENCODED_BYTES + sessions_encoded_bytes(kv->sessions);
}

/* To be read from the views, which are of the present. */
static void begin(struct kv_image *image, const struct kv *kv, const struct views *views)
{
    *image = (struct kv_image){.applied = kv->applied,
                               .compacted = kv->past.compacted,
                               .versions_count = kv->past.versions_count,
                               .sessions_count = views->sessions.items_count,
                               .digest = kv_digest(kv)};
    buf_init(&image->head, STATE_HEAD_BYTES + PAST_MARKS_MAX * STATE_MARK_BYTES +
                               LIMIT_MEMBERS * (2 * LIMIT_ADDRESS_BYTES + 32) + 8);
    encode_head(kv, &image->head);
    ENSURE(!image->head.is_full);
    /* beside it: the counts of items and sessions, the digest */
    image->bytes = image->head.count + content_bytes(kv) + 8 + 8 + 8;
    (void)tree_find(views->items, bytes_of(NULL, 0), &image->next_item);
    (void)tree_find(views->sessions, bytes_of(NULL, 0), &image->next_session);
    (void)tree_find(views->leases, bytes_of(NULL, 0), &image->next_lease);
}

static void end(struct kv_image *image)
{
    mem_free(image->chain.items);
    buf_release(&image->head);
}

struct kv_image *kv_pin(struct kv *kv)
{
    struct kv_image *image = mem_alloc(sizeof *image);
    struct tree_pin *items = tree_pin(kv->tree);
    struct tree_pin *sessions = sessions_pin(kv->sessions);
    struct tree_pin *leases = leases_pin(kv->leases);
    struct views views = {.items = tree_pin_view(items),
                          .sessions = tree_pin_view(sessions),
                          .leases = tree_pin_view(leases)};
    begin(image, kv, &views);
    image->items = items;
    image->sessions = sessions;
    image->leases = leases;
    return image;
}

void kv_unpin(struct kv *kv, struct kv_image *image)
{
    REQUIRE(image->items != NULL);
    tree_unpin(kv->tree, image->items);
    sessions_unpin(kv->sessions, image->sessions);
    leases_unpin(kv->leases, image->leases);
    end(image);
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

/* Room is asked for once: this is done for every version there is. */
static void encode_item(const struct item *item, struct buf *out)
{
    struct kv_item content = item_content(item);
    size_t bytes = STATE_ITEM_BYTES + content.key.count + content.value.count;
    if (!buf_reserve(out, bytes))
        return;
    uint8_t *at = out->data + out->count;
    store_u64(at, content.create_revision);
    store_u64(at + 8, content.mod_revision);
    store_u64(at + 16, content.version);
    store_u64(at + 24, content.lease);
    store_u32(at + 32, (uint32_t)content.key.count);
    memcpy(at + 36, content.key.data, content.key.count);
    store_u32(at + 36 + content.key.count, (uint32_t)content.value.count);
    memcpy(at + 40 + content.key.count, content.value.data, content.value.count);
    out->count += bytes;
}

static void chain_push(struct chain *chain, const struct item *item)
{
    if (chain->count == chain->capacity) {
        chain->capacity = MAX(2 * chain->capacity, (size_t)16);
        chain->items = mem_realloc(chain->items, chain->capacity * sizeof(const struct item *));
    }
    chain->items[chain->count++] = item;
}

/* The versions of a key hang on the newest one, and are written oldest first. */
static void put_item(struct kv_image *image, struct buf *out)
{
    struct chain *chain = &image->chain;
    if (chain->count == 0) {
        const struct item *item = item_of(tree_next(&image->next_item));
        for (; item != NULL; item = item_older(item, image->compacted))
            chain_push(chain, item);
    }
    if (chain->count != 0) {
        encode_item(chain->items[--chain->count], out);
        return;
    }
    buf_put_u64(out, image->sessions_count);
    image->phase = IMAGE_SESSIONS;
}

static void put_lease(struct kv_image *image, struct buf *out)
{
    const struct tree_item *lease = tree_next(&image->next_lease);
    if (lease != NULL) {
        lease_encode(lease, out);
        return;
    }
    buf_put_u64(out, image->versions_count);
    image->phase = IMAGE_ITEMS;
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
        image->phase = IMAGE_LEASES;
        return;
    case IMAGE_LEASES:
        put_lease(image, out);
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
    struct views views = {.items = tree_view(kv->tree),
                          .sessions = sessions_view(kv->sessions),
                          .leases = leases_view(kv->leases)};
    begin(&image, kv, &views);
    (void)kv_image_read(&image, SIZE_MAX, out);
    end(&image);
}
