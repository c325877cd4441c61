/* A state out of bytes of any kind, in pieces of any size (docs/formats/state.md).
 *
 * The bytes are a row of records; what the next one is follows from those before it. A record that
 * is whole within a piece is taken from there; of one that is not, what is there is kept until the
 * rest has come. */
#include "base/limits.h"
#include "base/mem.h"
#include "kv/kv_internal.h"
#include "kv/state_format.h"

enum load_record {
    LOAD_HEAD,
    LOAD_MARK,
    LOAD_MEMBER,
    LOAD_LEASES_COUNT,
    LOAD_LEASE,
    LOAD_ITEMS_COUNT,
    LOAD_ITEM,
    LOAD_SESSIONS_COUNT,
    LOAD_SESSION,
    LOAD_DIGEST,
    LOAD_END
};

struct kv_loader {
    struct kv *kv;           /* owned */
    struct buf begun;        /* owned: the beginning of the next record */
    enum load_record next;   /* what it is */
    uint64_t left_count;     /* of counted records, the next one included */
    uint32_t members_count;  /* as the head has it */
    uint64_t expected_bytes; /* of state: memory has been asked for more than that */
    struct mem_room room;    /* for what comes; without what kv_loader_take_room has given */
    enum status status;      /* what it has come to */
    struct tree_cursor end;  /* of the keys: behind the last one, as long as they come */
    /* owned: the newest version up to now of the last key, which is not in the tree yet */
    struct item *newest;
};

struct kv_loader *kv_loader_new(const struct kv_options *options)
{
    struct kv_loader *loader = mem_alloc(sizeof *loader);
    loader->kv = kv_new(options);
    buf_init(&loader->begun, LIMIT_KEY_BYTES + LIMIT_VALUE_BYTES + KIB);
    return loader;
}

/* Puts the last key where it belongs: no more versions of it come. */
static void append_newest(struct kv_loader *loader)
{
    if (loader->newest == NULL)
        return;
    tree_append(loader->kv->tree, &loader->end, &loader->newest->tree);
    loader->newest = NULL;
}

void kv_loader_free(struct kv_loader *loader)
{
    if (loader == NULL)
        return;
    append_newest(loader);
    kv_free(loader->kv);
    buf_release(&loader->begun);
    mem_free(loader);
}

void kv_loader_discard(struct kv_loader *loader, struct kv *kv)
{
    append_newest(loader);
    kv_discard(kv, loader->kv);
    loader->kv = NULL;
    kv_loader_free(loader);
}

const struct kv *kv_loader_state(const struct kv_loader *loader)
{
    return loader->kv;
}

struct mem_room kv_loader_take_room(struct kv_loader *loader, size_t bytes_max)
{
    struct mem_room *room = &loader->room;
    struct mem_room front = {room->begin, MIN(room->bytes_count, bytes_max)};
    room->begin += front.bytes_count;
    room->bytes_count -= front.bytes_count;
    return front;
}

/* ---- how long records are ---- */

/* At least, as long as it is more than there are. What is over its limit counts no further: it is
 * refused for that. */
static size_t item_bytes(struct bytes in)
{
    size_t bytes = 36;
    if (in.count < bytes)
        return bytes;
    uint32_t key_bytes = load_u32(in.data + bytes - 4);
    if (key_bytes == 0 || key_bytes > LIMIT_KEY_BYTES)
        return bytes;
    bytes += key_bytes + 4;
    if (in.count < bytes)
        return bytes;
    uint32_t value_bytes = load_u32(in.data + bytes - 4);
    return value_bytes > LIMIT_VALUE_BYTES ? bytes : bytes + value_bytes;
}

static size_t record_bytes(enum load_record record, struct bytes in)
{
    switch (record) {
    case LOAD_HEAD:
        return STATE_HEAD_BYTES;
    case LOAD_MEMBER:
        return directory_member_bytes(in);
    case LOAD_ITEM:
        return item_bytes(in);
    case LOAD_SESSION:
        return session_encoded_bytes(in);
    case LOAD_MARK:
        return STATE_MARK_BYTES;
    case LOAD_LEASE:
        return LEASE_ENCODED_BYTES;
    case LOAD_LEASES_COUNT:
    case LOAD_ITEMS_COUNT:
    case LOAD_SESSIONS_COUNT:
    case LOAD_DIGEST:
        return 8;
    case LOAD_END:
        return 1; /* of what should not be there */
    }
    UNREACHABLE();
}

/* ---- what is in them ---- */

/* Counted records follow, or none; then `after`. */
static void expect(struct kv_loader *loader, enum load_record record, uint64_t count)
{
    loader->next = count != 0 ? record : (enum load_record)(record + 1);
    loader->left_count = count;
}

static void expect_marks(struct kv_loader *loader, uint32_t count)
{
    if (count != 0)
        expect(loader, LOAD_MARK, count);
    else
        expect(loader, LOAD_MEMBER, loader->members_count);
}

/* K1: the revision is that of a change, and each change was an entry of its own. */
static enum status take_head(struct kv_loader *loader, struct cursor *in)
{
    struct kv *kv = loader->kv;
    if (cursor_u8(in) != STATE_VERSION)
        return ST_FORMAT;
    kv->applied.term = cursor_u64(in);
    kv->applied.index = cursor_u64(in);
    kv->revision = cursor_u64(in);
    kv->stamp_us = cursor_u64(in);
    kv->history = cursor_u64(in);
    kv->past.compacted = cursor_u64(in);
    uint32_t marks_count = cursor_u32(in);
    loader->members_count = cursor_u32(in);
    if (kv->revision < KV_REVISION_FIRST || kv->revision - KV_REVISION_FIRST > kv->applied.index ||
        kv->past.compacted < KV_REVISION_FIRST || kv->past.compacted > kv->revision)
        return ST_FORMAT;
    if (loader->members_count > LIMIT_MEMBERS || marks_count > PAST_MARKS_MAX)
        return ST_LIMIT;
    expect_marks(loader, marks_count);
    return ST_OK;
}

/* K42: marks stand a minute apart, and each has seen changes since the one before. */
static enum status take_mark(struct kv_loader *loader, struct cursor *in)
{
    struct kv *kv = loader->kv;
    struct past *past = &kv->past;
    struct past_mark mark = {.stamp_us = cursor_u64(in)};
    mark.revision = cursor_u64(in);
    expect_marks(loader, (uint32_t)loader->left_count - 1);
    if (!past_mark_fits(past, &mark) || mark.revision > kv->revision ||
        mark.stamp_us > kv->stamp_us)
        return ST_FORMAT;
    past->marks[past->marks_count++] = mark;
    return ST_OK;
}

/* K3. False: `record` ends where a length is over its limit, for item_bytes. */
static bool decode_item(struct bytes record, struct kv_item *out_content)
{
    const uint8_t *at = record.data;
    uint32_t key_bytes = load_u32(at + 32);
    if (key_bytes == 0 || key_bytes > LIMIT_KEY_BYTES)
        return false;
    uint32_t value_bytes = load_u32(at + 36 + key_bytes);
    if (value_bytes > LIMIT_VALUE_BYTES)
        return false;
    REQUIRE(record.count == STATE_ITEM_BYTES + key_bytes + value_bytes);
    *out_content = (struct kv_item){.key = bytes_of(at + 36, key_bytes),
                                    .value = bytes_of(at + 40 + key_bytes, value_bytes),
                                    .create_revision = load_u64(at),
                                    .mod_revision = load_u64(at + 8),
                                    .version = load_u64(at + 16),
                                    .lease = load_u64(at + 24)};
    return true;
}

/* What the state counts is about what it takes. A little of it is not worth a hint. A new
 * stretch of the heap begins within the one before, of which a part has been given. */
static void expect_more(struct kv_loader *loader)
{
    enum { STEP_BYTES = MEM_EXPECT_BYTES_MAX / 3 * 2 };
    uint64_t bytes = loader->kv->state_bytes + loader->kv->past.bytes;
    if (bytes < loader->expected_bytes + STEP_BYTES)
        return;
    loader->expected_bytes = bytes;
    uintptr_t given_to = loader->room.begin;
    loader->room = mem_expect(MEM_EXPECT_BYTES_MAX);
    uintptr_t given_bytes = given_to - loader->room.begin;
    if (given_bytes < loader->room.bytes_count)
        (void)kv_loader_take_room(loader, given_bytes);
}

/* No more versions of the last key come: the newest one is the present. */
static enum status end_key(struct kv_loader *loader)
{
    struct kv *kv = loader->kv;
    const struct item *newest = loader->newest;
    if (newest == NULL)
        return ST_OK;
    uint64_t lease = item_lease(newest);
    uint64_t bytes = item_state_bytes(newest->tree.key_bytes, item_value_bytes(newest));
    if (!item_is_deleted(newest)) {
        kv->state_bytes += bytes;
        kv->past.bytes -= bytes;
    } else if (newest->mod_revision > kv->past.compacted) {
        kv->past.deleted_count++;
    } else {
        return ST_FORMAT; /* nothing that can be read knows of it */
    }
    append_newest(loader);
    if (lease == 0)
        return ST_OK;
    if (leases_may_attach(kv->leases, lease, 1) != ST_OK)
        return ST_FORMAT;
    leases_attach(kv->leases, lease, item_key(newest));
    return ST_OK;
}

static enum status take_item(struct kv_loader *loader, struct bytes record)
{
    struct kv *kv = loader->kv;
    const struct item *older = loader->newest;
    struct kv_item content;
    enum status status = ST_OK;
    if (!decode_item(record, &content))
        return ST_LIMIT;

    int order = older != NULL ? bytes_compare(item_key(older), content.key) : -1;
    if (order < 0) { /* another key */
        status = end_key(loader);
        older = NULL;
    }
    if (order > 0 || !past_is_version(kv, older, &content))
        status = ST_FORMAT;
    if (status != ST_OK)
        return status;
    expect_more(loader);
    struct item *item = item_new(&content, older, kv->past.compacted);
    tree_object_init(kv->tree, &item->tree.object);
    loader->newest = item;
    kv->items_hash += item_hash(item);
    kv->past.versions_count++;
    kv->past.bytes += item_state_bytes(content.key.count, content.value.count);
    if (item->mod_revision > kv->past.compacted)
        events_push(&kv->past.events, item);
    return ST_OK;
}

/* K2: each revision that is kept has changed something. */
static enum status end_items(struct kv_loader *loader)
{
    struct kv *kv = loader->kv;
    struct events *events = &kv->past.events;
    enum status status = end_key(loader);
    if (status != ST_OK)
        return status;
    events_sort_newest(events, events_count(events));
    uint64_t revision = kv->past.compacted;
    for (uint64_t number = events->first; number < events->end; number++) {
        uint64_t next = events_at(events, number)->mod_revision;
        if (next - revision > 1)
            return ST_FORMAT;
        revision = next;
    }
    return revision == kv->revision ? ST_OK : ST_FORMAT;
}

static enum status take_sessions_count(struct kv_loader *loader, uint64_t count)
{
    enum status status = end_items(loader);
    expect(loader, LOAD_SESSION, count);
    return status == ST_OK ? sessions_load_begin(loader->kv->sessions, count) : status;
}

/* Sessions are used by entries up to the applied one, and by log time up to now. */
static enum status end_sessions(struct kv *kv)
{
    struct sessions_stats stats;
    enum status status = sessions_load_end(kv->sessions);
    sessions_stats(kv->sessions, &stats);
    if (status == ST_OK &&
        (stats.newest_use_index > kv->applied.index || stats.newest_use_us > kv->stamp_us))
        status = ST_FORMAT;
    return status;
}

static enum status take_digest(struct kv_loader *loader, uint64_t digest)
{
    enum status status = end_sessions(loader->kv);
    loader->next = LOAD_END;
    if (status == ST_OK && digest != kv_digest(loader->kv))
        status = ST_CORRUPT;
    return status;
}

static enum status take_record(struct kv_loader *loader, struct bytes record)
{
    struct cursor in = cursor_of(record);
    switch (loader->next) {
    case LOAD_HEAD:
        return take_head(loader, &in);
    case LOAD_MARK:
        return take_mark(loader, &in);
    case LOAD_MEMBER:
        expect(loader, LOAD_MEMBER, loader->left_count - 1);
        return directory_load(&loader->kv->directory, record);
    case LOAD_LEASES_COUNT:
        expect(loader, LOAD_LEASE, cursor_u64(&in));
        return ST_OK;
    case LOAD_LEASE:
        expect(loader, LOAD_LEASE, loader->left_count - 1);
        return leases_load(loader->kv->leases, record);
    case LOAD_ITEMS_COUNT:
        expect(loader, LOAD_ITEM, cursor_u64(&in));
        (void)tree_last(tree_view(loader->kv->tree), &loader->end);
        return ST_OK;
    case LOAD_ITEM:
        expect(loader, LOAD_ITEM, loader->left_count - 1);
        return take_item(loader, record);
    case LOAD_SESSIONS_COUNT:
        return take_sessions_count(loader, cursor_u64(&in));
    case LOAD_SESSION:
        expect(loader, LOAD_SESSION, loader->left_count - 1);
        return sessions_load(loader->kv->sessions, record);
    case LOAD_DIGEST:
        return take_digest(loader, cursor_u64(&in));
    case LOAD_END:
        return ST_FORMAT;
    }
    UNREACHABLE();
}

/* ---- pieces ---- */

static struct bytes take_front(struct bytes *piece, size_t count)
{
    struct bytes front = bytes_of(piece->data, count);
    *piece = bytes_of(piece->data + count, piece->count - count);
    return front;
}

/* Goes on with a record of which a part came before. */
static enum status feed_begun(struct kv_loader *loader, struct bytes *piece)
{
    struct buf *begun = &loader->begun;
    size_t missing_count = record_bytes(loader->next, buf_bytes(begun)) - begun->count;
    buf_put(begun, take_front(piece, MIN(missing_count, piece->count)));
    INVARIANT(!begun->is_full);
    if (record_bytes(loader->next, buf_bytes(begun)) != begun->count)
        return ST_OK;
    enum status status = take_record(loader, buf_bytes(begun));
    buf_reset(begun);
    return status;
}

static enum status feed_piece(struct kv_loader *loader, struct bytes *piece)
{
    size_t count = record_bytes(loader->next, *piece);
    if (count <= piece->count)
        return take_record(loader, take_front(piece, count));
    buf_put(&loader->begun, take_front(piece, piece->count));
    return ST_OK;
}

enum status kv_loader_feed(struct kv_loader *loader, struct bytes piece)
{
    while (loader->status == ST_OK && piece.count != 0)
        loader->status =
            loader->begun.count != 0 ? feed_begun(loader, &piece) : feed_piece(loader, &piece);
    return loader->status;
}

enum status kv_loader_finish(struct kv_loader *loader, struct kv **out_kv)
{
    enum status status = loader->status;
    if (status == ST_OK && loader->next != LOAD_END)
        status = ST_SHORT;
    if (status == ST_OK) {
        *out_kv = loader->kv;
        loader->kv = NULL;
    }
    kv_loader_free(loader);
    return status;
}

enum status kv_decode(struct bytes in, const struct kv_options *options, struct kv **out_kv)
{
    struct kv_loader *loader = kv_loader_new(options);
    enum status status = kv_loader_feed(loader, in);
    if (status == ST_OK)
        return kv_loader_finish(loader, out_kv);
    kv_loader_free(loader);
    return status;
}
