/* Sessions as bytes (docs/formats/state.md), and out of bytes of any kind. */
#include "kv/session_internal.h"

static_assert(LIMIT_IDEMPOTENCY_KEY_BYTES <= UINT8_MAX && LIMIT_CLIENT_ID_BYTES <= UINT8_MAX,
              "an id is counted by a byte");
static_assert(LIMIT_SESSION_WINDOW <= UINT16_MAX, "the writes are counted by two");

enum {
    HEAD_BYTES = 2, /* kind and client_bytes; then the client */
    REST_BYTES = 26 /* last use, acked and writes_count; then the writes */
};

void session_encode(const struct tree_item *item, struct buf *out)
{
    const struct session *session = session_of(item);
    const struct session_writes *writes = &session->writes;
    struct bytes client = session_client(session);
    buf_put_u8(out, (uint8_t)session_kind(session));
    buf_put_u8(out, (uint8_t)client.count);
    buf_put(out, client);
    buf_put_u64(out, session->used_index);
    buf_put_u64(out, session->used_us);
    buf_put_u64(out, session->acked);
    buf_put_u16(out, (uint16_t)writes->count);
    for (uint32_t i = 0; i < writes->count; i++)
        session_write_encode(session_writes_at(writes, i), out);
}

/* Made of what is counted anyway: K23. */
uint64_t sessions_encoded_bytes(const struct sessions *sessions)
{
    uint64_t count = tree_view(sessions->tree).items_count;
    uint64_t ids_bytes = sessions->bytes - count * SESSION_BYTES -
                         sessions->results_count * SESSION_RESULT_BYTES -
                         sessions->held_count * SESSION_HELD_BYTES - sessions->held_bytes;
    return ids_bytes + count * (HEAD_BYTES + REST_BYTES) +
           sessions->results_count * SESSION_WRITE_BYTES + sessions->held_bytes;
}

size_t session_encoded_bytes(struct bytes in)
{
    if (in.count < HEAD_BYTES)
        return HEAD_BYTES;
    size_t bytes = HEAD_BYTES + (size_t)in.data[1] + REST_BYTES;
    if (in.count < bytes)
        return bytes;
    uint16_t writes_count = load_u16(in.data + bytes - 2);
    if (writes_count > LIMIT_SESSION_WINDOW)
        return bytes;
    /* More results than one session may hold are refused by whoever decodes it, at the write that
     * is too much: nobody waits for more. */
    size_t bytes_max = bytes + (size_t)writes_count * SESSION_WRITE_BYTES;
    bytes_max += LIMIT_SESSION_RESULTS_BYTES;
    for (; writes_count != 0 && bytes <= MIN(in.count, bytes_max); writes_count--)
        bytes += session_write_encoded_bytes(bytes_of(in.data + bytes, in.count - bytes));
    return bytes;
}

/* Kind and id, in their ranges. */
static enum status decode_key(struct cursor *in, uint8_t room[SESSION_KEY_BYTES_MAX],
                              struct bytes *out_key)
{
    uint8_t kind = cursor_u8(in);
    struct bytes client = cursor_take(in, cursor_u8(in));
    if (in->is_short)
        return ST_SHORT;
    if (kind > CLIENT_KEY || client.count == 0)
        return ST_FORMAT;
    if (kind == CLIENT_ID && client.count > LIMIT_CLIENT_ID_BYTES)
        return ST_LIMIT;
    *out_key = session_key((enum client_kind)kind, client, room);
    return ST_OK;
}

/* The writes stand above `acked` and end within the window; one after the other. */
static enum status decode_writes(struct cursor *in, struct tree *tree, struct session *session)
{
    uint16_t count = cursor_u16(in);
    uint64_t before = session->acked;
    if (count > LIMIT_SESSION_WINDOW)
        return ST_FORMAT;
    for (uint16_t i = 0; i < count; i++) {
        struct session_write write;
        struct bytes results;
        enum status status = session_write_decode(in, &write, &results);
        if (status != ST_OK)
            return status;
        if (write.sequence <= before || write.sequence >> SESSION_SEQUENCE_BITS != 0)
            return ST_FORMAT;
        if (results.count != 0)
            write.held = session_held_new(tree, results);
        session_writes_insert(&session->writes, tree, i, &write);
        before = write.sequence;
        if (session->writes.held_bytes > LIMIT_SESSION_RESULTS_BYTES)
            return ST_FORMAT;
    }
    return in->is_short ? ST_SHORT : ST_OK;
}

static bool is_within_window(const struct session *session)
{
    return session->writes.count == 0 ||
           session_writes_at(&session->writes, 0)->sequence >
               session_floor(session_highest(session), session->acked);
}

static enum status decode_rest(struct cursor *in, struct tree *tree, struct session *session)
{
    session->used_index = cursor_u64(in);
    session->used_us = cursor_u64(in);
    session->acked = cursor_u64(in);
    enum status status = decode_writes(in, tree, session);
    if (status != ST_OK)
        return status;
    raft_index index;
    bool is_allotted = session_is_allotted(session_kind(session), session_client(session), &index);
    if (session->used_index == 0 || (is_allotted && index > session->used_index) ||
        session->acked >> SESSION_SEQUENCE_BITS != 0 || !is_within_window(session) ||
        (session_kind(session) == CLIENT_KEY &&
         (session->acked != 0 || session_highest(session) > 1)))
        return ST_FORMAT;
    return ST_OK;
}

/* Adds the session whether or not it is whole, so that it is freed with the table. */
enum status sessions_load(struct sessions *sessions, struct bytes encoded)
{
    struct cursor in = cursor_of(encoded);
    uint8_t room[SESSION_KEY_BYTES_MAX];
    struct bytes key;
    struct tree_cursor cursor;
    enum status status = decode_key(&in, room, &key);
    if (status != ST_OK)
        return status;
    /* Each above all before it: also that it is there once. */
    const struct tree_item *last = tree_last(tree_view(sessions->tree), &cursor);
    if (last != NULL && bytes_compare(tree_item_key(last), key) >= 0)
        return ST_FORMAT;

    struct session *session = session_new(key);
    tree_put_at(sessions->tree, &cursor, &session->tree);
    list_push_back(&sessions->by_use, &session->use_link);
    status = decode_rest(&in, sessions->tree, session);
    session->hash = session_hash(session);
    sessions->hash += session->hash;
    sessions->bytes += session_bytes(session);
    sessions->results_count += session->writes.count;
    sessions->held_count += session->writes.held_count;
    sessions->held_bytes += session->writes.held_bytes;
    if (status == ST_OK && !cursor_is_done(&in))
        status = ST_FORMAT;
    if (status == ST_OK && sessions->bytes > sessions->bytes_max)
        status = ST_LIMIT;
    return status;
}

/* ---- the list by last use ---- */

/* Merges two lists, each by rising used_index, into `into`, which is empty. */
static void merge(struct list *into, struct list *a, struct list *b)
{
    while (!list_is_empty(a) && !list_is_empty(b)) {
        bool is_a = session_of_use(a->next)->used_index < session_of_use(b->next)->used_index;
        struct list *least = is_a ? a->next : b->next;
        list_remove(least);
        list_push_back(into, least);
    }
    list_splice(into, a);
    list_splice(into, b);
}

/* Merge sort from below: runs[i] is empty or has 2^i sessions. */
static void sort_by_use(struct list *by_use)
{
    struct list runs[64];
    for (size_t i = 0; i < ARRAY_COUNT(runs); i++)
        list_init(&runs[i]);
    while (!list_is_empty(by_use)) {
        struct list carry, merged;
        struct list *next = by_use->next;
        list_init(&carry);
        list_remove(next);
        list_push_back(&carry, next);
        size_t i = 0;
        for (; !list_is_empty(&runs[i]); i++) {
            list_init(&merged);
            merge(&merged, &runs[i], &carry);
            list_splice(&carry, &merged);
        }
        list_splice(&runs[i], &carry);
    }
    for (size_t i = 0; i < ARRAY_COUNT(runs); i++) {
        struct list merged;
        list_init(&merged);
        merge(&merged, &runs[i], by_use);
        list_splice(by_use, &merged);
    }
}

/* No two were used by the same entry, and log time does not run backwards. */
static bool is_in_order(const struct list *by_use)
{
    const struct session *before = NULL;
    for (const struct list *link = by_use->next; link != by_use; link = link->next) {
        const struct session *session = session_of_use(link);
        if (before != NULL &&
            (before->used_index >= session->used_index || before->used_us > session->used_us))
            return false;
        before = session;
    }
    return true;
}

enum status sessions_load_begin(const struct sessions *sessions, uint64_t count)
{
    REQUIRE(tree_view(sessions->tree).items_count == 0);
    return count <= sessions->sessions_max ? ST_OK : ST_LIMIT;
}

enum status sessions_load_end(struct sessions *sessions)
{
    sort_by_use(&sessions->by_use);
    return is_in_order(&sessions->by_use) ? ST_OK : ST_FORMAT;
}
