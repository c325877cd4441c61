#include "kv/session.h"

#define XXH_INLINE_ALL /* short inputs of known length, several for each entry */
#include <xxhash.h>

#include "base/mem.h"
#include "kv/session_internal.h"

static_assert(offsetof(struct session, tree) == 0, "the tree frees the session through its head");

/* ---- one session ---- */

struct bytes session_key(enum client_kind kind, struct bytes client,
                         uint8_t room[SESSION_KEY_BYTES_MAX])
{
    REQUIRE(client.count >= 1);
    REQUIRE(client.count < SESSION_KEY_BYTES_MAX);
    room[0] = (uint8_t)kind;
    memcpy(room + 1, client.data, client.count);
    return bytes_of(room, client.count + 1);
}

struct session *session_new(struct bytes key)
{
    struct session *session = mem_alloc(sizeof *session + key.count);
    session->tree = (struct tree_item){.key_offset = offsetof(struct session, key),
                                       .key_bytes = (uint16_t)key.count};
    memcpy(session->key, key.data, key.count);
    session->key_hash = XXH3_64bits(key.data, key.count);
    list_init(&session->use_link);
    return session;
}

bool session_is_allotted(enum client_kind kind, struct bytes client, raft_index *out_index)
{
    uint64_t nonce;
    return kind == CLIENT_ID && session_parse_id(client, out_index, &nonce);
}

static uint64_t bytes_of_new(struct bytes key)
{
    return SESSION_BYTES + key.count - 1;
}

uint64_t session_bytes(const struct session *session)
{
    return bytes_of_new(tree_item_key(&session->tree)) + session_writes_bytes(&session->writes);
}

uint64_t session_hash(const struct session *session)
{
    uint8_t raw[40];
    store_u64(raw, session->key_hash);
    store_u64(raw + 8, session->used_index);
    store_u64(raw + 16, session->used_us);
    store_u64(raw + 24, session->acked);
    store_u64(raw + 32, session->writes.hash);
    return XXH3_64bits(raw, sizeof raw);
}

/* ---- the table ---- */

struct sessions *sessions_new_limited(uint64_t sessions_max, uint64_t bytes_max)
{
    struct sessions *sessions = mem_alloc(sizeof *sessions);
    sessions->tree = tree_new();
    sessions->sessions_max = sessions_max;
    sessions->bytes_max = bytes_max;
    list_init(&sessions->by_use);
    return sessions;
}

struct sessions *sessions_new(void)
{
    return sessions_new_limited(LIMIT_SESSIONS, (uint64_t)LIMIT_SESSIONS_MIB * MIB);
}

void sessions_free(struct sessions *sessions)
{
    if (sessions == NULL)
        return;
    for (struct list *link = sessions->by_use.next; link != &sessions->by_use; link = link->next)
        session_writes_retire(&session_of_use(link)->writes, sessions->tree);
    tree_free(sessions->tree);
    mem_free(sessions);
}

bool sessions_drain(struct sessions *sessions, size_t objects_max)
{
    for (; objects_max > 0 && !list_is_empty(&sessions->by_use); objects_max--) {
        struct session *session = session_of_use(sessions->by_use.next);
        list_remove(&session->use_link);
        session_writes_retire(&session->writes, sessions->tree);
    }
    return objects_max == 0 || tree_drain(sessions->tree, objects_max);
}

/* What any use of it touches lies in four places; they are asked for at once. */
static struct session *find(const struct sessions *sessions, struct bytes key,
                            struct tree_cursor *out_cursor)
{
    struct session *session = session_of(tree_find(tree_view(sessions->tree), key, out_cursor));
    if (session == NULL)
        return NULL;
    __builtin_prefetch(session->use_link.prev, 1);
    __builtin_prefetch(session->use_link.next, 1);
    if (session->writes.count != 0)
        __builtin_prefetch(session_writes_at(&session->writes, 0), 1);
    return session;
}

/* The session at the cursor as one that may be changed: if a pin sees it, a copy takes its place,
 * in the tree and in the list. Its slots wait until they are to be changed. */
static struct session *own(struct sessions *sessions, struct session *session,
                           struct tree_cursor *cursor)
{
    if (!tree_is_pinned(sessions->tree, &session->tree.object))
        return session;
    size_t bytes = sizeof *session + session->tree.key_bytes;
    struct session *copy = mem_alloc_raw(bytes);
    memcpy(copy, session, bytes);
    list_push_back(&session->use_link, &copy->use_link); /* before it, which leaves */
    list_remove(&session->use_link);
    tree_put_at(sessions->tree, cursor, &copy->tree);
    return copy;
}

/* Brings the hash up to date after a change of the session. */
static void note_change(struct sessions *sessions, struct session *session)
{
    uint64_t hash = session_hash(session);
    sessions->hash += hash - session->hash;
    session->hash = hash;
}

/* Now it is the session used last. Each entry uses one at most. */
static void note_use(struct sessions *sessions, struct session *session, struct entry_id at,
                     uint64_t stamp_us)
{
    list_remove(&session->use_link);
    if (!list_is_empty(&sessions->by_use)) {
        const struct session *last = session_of_use(sessions->by_use.prev);
        REQUIRE(at.index > last->used_index);
        REQUIRE(stamp_us >= last->used_us);
    }
    REQUIRE(at.index > session->used_index);
    list_push_back(&sessions->by_use, &session->use_link);
    session->used_index = at.index;
    session->used_us = stamp_us;
}

/* The sums are without these writes, until they are counted in as they are then. */
static void count_out(struct sessions *sessions, const struct session_writes *writes)
{
    sessions->results_count -= writes->count;
    sessions->held_count -= writes->held_count;
    sessions->held_bytes -= writes->held_bytes;
    sessions->bytes -= session_writes_bytes(writes);
}

static void count_in(struct sessions *sessions, const struct session_writes *writes)
{
    sessions->results_count += writes->count;
    sessions->held_count += writes->held_count;
    sessions->held_bytes += writes->held_bytes;
    sessions->bytes += session_writes_bytes(writes);
}

/* The present is without it; a pin that sees it keeps it, with its writes as they are. */
static void forget(struct sessions *sessions, struct session *session)
{
    struct tree_cursor cursor;
    struct session *found = find(sessions, tree_item_key(&session->tree), &cursor);
    INVARIANT(found == session);
    sessions->hash -= session->hash;
    sessions->bytes -= bytes_of_new(tree_item_key(&session->tree));
    count_out(sessions, &session->writes);
    sessions->current = NULL;
    list_remove(&session->use_link);
    session_writes_retire(&session->writes, sessions->tree);
    tree_delete_at(sessions->tree, &cursor);
}

static void drop_writes(struct sessions *sessions, struct session *session, uint64_t floor)
{
    count_out(sessions, &session->writes);
    (void)session_writes_drop(&session->writes, sessions->tree, floor);
    count_in(sessions, &session->writes);
}

/* Every sequence up to here has been answered: no duplicate of them is of interest any more. */
static void note_acked(struct sessions *sessions, struct session *session, uint64_t acked)
{
    if (acked <= session->acked)
        return;
    session->acked = acked;
    drop_writes(sessions, session, acked);
}

/* Requires room for it. */
static struct session *add_session(struct sessions *sessions, struct bytes key,
                                   struct tree_cursor *cursor)
{
    struct session *session = session_new(key);
    tree_put_at(sessions->tree, cursor, &session->tree);
    sessions->bytes += bytes_of_new(key);
    return session;
}

static bool has_room(const struct sessions *sessions, uint64_t sessions_count, uint64_t bytes)
{
    return tree_view(sessions->tree).items_count + sessions_count <= sessions->sessions_max &&
           sessions->bytes + bytes <= sessions->bytes_max;
}

static bool has_room_for_session(const struct sessions *sessions, struct bytes key)
{
    return has_room(sessions, 1, bytes_of_new(key) + SESSION_RESULT_BYTES);
}

static uint64_t floor_with(const struct session *session, const struct client_identity *identity)
{
    return session_floor(MAX(session_highest(session), identity->sequence),
                         MAX(session->acked, identity->acked));
}

/* Room for the write with this identity: also where remembering it makes the session forget. */
static bool has_room_for_write(const struct sessions *sessions, const struct session *session,
                               const struct client_identity *identity)
{
    const struct session_writes *writes = &session->writes;
    return has_room(sessions, 0, SESSION_RESULT_BYTES) ||
           (writes->count != 0 &&
            session_writes_at(writes, 0)->sequence <= floor_with(session, identity));
}

/* ---- judging ---- */

/* What a session that is not there means to a write. */
static enum session_verdict judge_absent(const struct client_identity *identity)
{
    raft_index index;
    return session_is_allotted(identity->kind, identity->client, &index) ? SESSION_EXPIRED
                                                                         : SESSION_FRESH;
}

/* DONE whatever the body was: `out_write` is set on DONE. */
static enum session_verdict judge_present(const struct session *session, uint64_t sequence,
                                          const struct session_write **out_write)
{
    uint32_t at;
    if (sequence <= session_floor(session_highest(session), session->acked))
        return SESSION_TOO_OLD;
    *out_write = session_writes_find(&session->writes, sequence, &at);
    if (*out_write == NULL)
        return SESSION_FRESH;
    return (*out_write)->op == SESSION_OP_SEALED ? SESSION_SEALED : SESSION_DONE;
}

static struct session_result result_of(const struct session_write *write)
{
    const struct session_held *held = session_write_held(write);
    if (write->op == COMMAND_TXN)
        return (struct session_result){
            .op = COMMAND_TXN,
            .status = session_status_of(write->status_code),
            .changed = write->changed,
            .revision = write->revision,
            .mod_revision = write->mod_revision,
            .results = held != NULL ? bytes_of(held->bytes, held->bytes_count) : bytes_of(NULL, 0)};
    return (struct session_result){.op = (enum command_op)write->op,
                                   .status = session_status_of(write->status_code),
                                   .changed = write->changed,
                                   .revision = write->revision,
                                   .mod_revision = write->mod_revision,
                                   .number = write->number};
}

/* The verdict on a write to a session that is there, body and room included. */
static enum session_verdict judge_write(const struct sessions *sessions,
                                        const struct session *session,
                                        const struct client_identity *identity,
                                        uint64_t fingerprint, struct session_result *out_result)
{
    const struct session_write *write;
    enum session_verdict verdict = judge_present(session, identity->sequence, &write);
    if (verdict == SESSION_FRESH && !has_room_for_write(sessions, session, identity))
        return SESSION_FULL;
    if (verdict != SESSION_DONE)
        return verdict;
    if (write->fingerprint != fingerprint)
        return SESSION_REUSED;
    *out_result = result_of(write);
    return SESSION_DONE;
}

enum session_verdict sessions_judge(const struct sessions *sessions,
                                    const struct client_identity *identity, uint64_t fingerprint,
                                    struct session_result *out_result)
{
    uint8_t room[SESSION_KEY_BYTES_MAX];
    struct tree_cursor cursor;
    struct bytes key = session_key(identity->kind, identity->client, room);
    const struct session *session = find(sessions, key, &cursor);
    if (session != NULL)
        return judge_write(sessions, session, identity, fingerprint, out_result);
    enum session_verdict verdict = judge_absent(identity);
    return verdict == SESSION_FRESH && !has_room_for_session(sessions, key) ? SESSION_FULL
                                                                            : verdict;
}

enum session_verdict sessions_look_up(const struct sessions *sessions,
                                      const struct client_identity *identity,
                                      struct session_result *out_result, uint64_t *out_used_us)
{
    uint8_t room[SESSION_KEY_BYTES_MAX];
    struct tree_cursor cursor;
    const struct session_write *write;
    const struct session *session =
        find(sessions, session_key(identity->kind, identity->client, room), &cursor);
    *out_used_us = session != NULL ? session->used_us : UINT64_MAX;
    if (session == NULL)
        return judge_absent(identity);
    enum session_verdict verdict = judge_present(session, identity->sequence, &write);
    if (verdict == SESSION_DONE)
        *out_result = result_of(write);
    return verdict;
}

/* ---- applying ---- */

/* The session of the identity, with this use of it and what has been acknowledged noted; opened if
 * it may be. NULL: `out_verdict` says why not. */
static struct session *enter(struct sessions *sessions, const struct client_identity *identity,
                             struct entry_id at, uint64_t stamp_us,
                             enum session_verdict *out_verdict)
{
    REQUIRE(identity->sequence >= 1);
    REQUIRE(identity->acked < identity->sequence);
    uint8_t room[SESSION_KEY_BYTES_MAX];
    struct tree_cursor cursor;
    struct bytes key = session_key(identity->kind, identity->client, room);
    struct session *session = find(sessions, key, &cursor);
    if (session == NULL) {
        *out_verdict = judge_absent(identity);
        if (*out_verdict == SESSION_FRESH && !has_room_for_session(sessions, key))
            *out_verdict = SESSION_FULL;
        if (*out_verdict != SESSION_FRESH)
            return NULL;
        session = add_session(sessions, key, &cursor);
    } else {
        session = own(sessions, session, &cursor);
    }
    note_use(sessions, session, at, stamp_us);
    note_acked(sessions, session, identity->acked);
    return session;
}

/* Results beyond their limit are given up as if they had been acknowledged, the oldest first: what
 * is below is not carried out again. */
static void limit_held(struct sessions *sessions, struct session *session)
{
    while (session->writes.held_bytes > LIMIT_SESSION_RESULTS_BYTES)
        note_acked(sessions, session, session_writes_at(&session->writes, 0)->sequence);
}

/* Remembers a write judged FRESH, and forgets what thereby falls out of the window. */
static void remember(struct sessions *sessions, struct session *session,
                     const struct session_write *write)
{
    uint32_t at;
    const struct session_write *known = session_writes_find(&session->writes, write->sequence, &at);
    REQUIRE(known == NULL);
    count_out(sessions, &session->writes);
    session_writes_insert(&session->writes, sessions->tree, at, write);
    count_in(sessions, &session->writes);
    drop_writes(sessions, session, session_floor(session_highest(session), session->acked));
    limit_held(sessions, session);
    ENSURE(sessions->bytes <= sessions->bytes_max);
}

enum session_verdict sessions_begin(struct sessions *sessions,
                                    const struct client_identity *identity, uint64_t fingerprint,
                                    struct entry_id at, uint64_t stamp_us,
                                    struct session_result *out_result)
{
    enum session_verdict verdict;
    struct session *session = enter(sessions, identity, at, stamp_us, &verdict);
    if (session != NULL)
        verdict = judge_write(sessions, session, identity, fingerprint, out_result);
    if (session != NULL && verdict != SESSION_FRESH)
        note_change(sessions, session);
    sessions->current = verdict == SESSION_FRESH ? session : NULL; /* sessions_record goes on */
    sessions->replayed_count += verdict == SESSION_DONE;
    sessions->refused_count += verdict != SESSION_DONE && verdict != SESSION_FRESH;
    return verdict;
}

bool sessions_may_hold_results(const struct sessions *sessions)
{
    REQUIRE(sessions->current != NULL);
    return has_room(sessions, 0,
                    SESSION_RESULT_BYTES + SESSION_HELD_BYTES + LIMIT_REMEMBERED_RESULT_BYTES);
}

void sessions_record(struct sessions *sessions, const struct client_identity *identity,
                     uint64_t fingerprint, const struct session_result *result)
{
    struct session *session = sessions->current;
    REQUIRE(session != NULL);
    REQUIRE(session_kind(session) == identity->kind);
    REQUIRE(bytes_equal(session_client(session), identity->client));
    struct session_write write = {.sequence = identity->sequence,
                                  .fingerprint = fingerprint,
                                  .revision = result->revision,
                                  .mod_revision = result->mod_revision,
                                  .op = (uint8_t)result->op,
                                  .changed = result->changed};
    REQUIRE((result->results.count != 0) == (result->op == COMMAND_TXN && result->status == ST_OK));
    if (result->op != COMMAND_TXN)
        write.number = result->number;
    else if (result->results.count != 0)
        write.held = session_held_new(sessions->tree, result->results);
    sessions->current = NULL;
    if (session_keeps(result->status)) {
        write.status_code = session_status_code(result->status);
        remember(sessions, session, &write);
    }
    note_change(sessions, session);
}

enum status sessions_open(struct sessions *sessions, uint64_t nonce, struct entry_id at,
                          uint64_t stamp_us)
{
    char id[LIMIT_CLIENT_ID_BYTES + 1];
    uint8_t room[SESSION_KEY_BYTES_MAX];
    struct tree_cursor cursor;
    struct bytes client = bytes_of_text(session_format_id(at.index, nonce, id));
    struct bytes key = session_key(CLIENT_ID, client, room);
    struct session *session = find(sessions, key, &cursor);
    INVARIANT(session == NULL); /* no other command opens one with this index */
    if (!has_room_for_session(sessions, key))
        return ST_SESSIONS_FULL;
    session = add_session(sessions, key, &cursor);
    note_use(sessions, session, at, stamp_us);
    note_change(sessions, session);
    return ST_OK;
}

enum status sessions_close(struct sessions *sessions, struct bytes client)
{
    raft_index index;
    uint8_t room[SESSION_KEY_BYTES_MAX];
    struct tree_cursor cursor;
    if (!session_is_allotted(CLIENT_ID, client, &index))
        return ST_BAD_REQUEST;
    struct session *session = find(sessions, session_key(CLIENT_ID, client, room), &cursor);
    if (session != NULL)
        forget(sessions, session);
    return ST_OK;
}

enum session_verdict sessions_seal(struct sessions *sessions,
                                   const struct client_identity *identity, struct entry_id at,
                                   uint64_t stamp_us, struct session_result *out_result)
{
    enum session_verdict verdict;
    struct session *session = enter(sessions, identity, at, stamp_us, &verdict);
    if (session == NULL)
        return verdict;

    const struct session_write *write;
    verdict = judge_present(session, identity->sequence, &write);
    if (verdict == SESSION_DONE)
        *out_result = result_of(write);
    if (verdict == SESSION_FRESH && has_room_for_write(sessions, session, identity)) {
        remember(sessions, session,
                 &(struct session_write){.sequence = identity->sequence, .op = SESSION_OP_SEALED});
        verdict = SESSION_SEALED;
    } else if (verdict == SESSION_FRESH) {
        verdict = SESSION_FULL;
    }
    note_change(sessions, session);
    return verdict;
}

size_t sessions_expire(struct sessions *sessions, uint64_t cutoff_us)
{
    size_t count = 0;
    while (count < LIMIT_SESSIONS_EXPIRED && !list_is_empty(&sessions->by_use)) {
        struct session *oldest = session_of_use(sessions->by_use.next);
        if (oldest->used_us >= cutoff_us)
            break;
        forget(sessions, oldest);
        count++;
    }
    sessions->expired_count += count;
    return count;
}

void sessions_prefetch(const struct sessions *sessions, const struct client_identity *identities,
                       size_t identities_count)
{
    uint8_t rooms[TREE_PREFETCH_KEYS][SESSION_KEY_BYTES_MAX];
    struct bytes keys[TREE_PREFETCH_KEYS];
    for (size_t at = 0; at < identities_count;) {
        size_t count = MIN(identities_count - at, (size_t)TREE_PREFETCH_KEYS);
        for (size_t i = 0; i < count; i++)
            keys[i] = session_key(identities[at + i].kind, identities[at + i].client, rooms[i]);
        tree_prefetch(tree_view(sessions->tree), keys, count);
        at += count;
    }
}

void sessions_stats(const struct sessions *sessions, struct sessions_stats *out_stats)
{
    *out_stats = (struct sessions_stats){.sessions_count = tree_view(sessions->tree).items_count,
                                         .results_count = sessions->results_count,
                                         .bytes = sessions->bytes,
                                         .replayed_count = sessions->replayed_count,
                                         .refused_count = sessions->refused_count,
                                         .expired_count = sessions->expired_count};
    if (list_is_empty(&sessions->by_use))
        return;
    const struct session *newest = session_of_use(sessions->by_use.prev);
    out_stats->oldest_use_us = session_of_use(sessions->by_use.next)->used_us;
    out_stats->newest_use_us = newest->used_us;
    out_stats->newest_use_index = newest->used_index;
}

struct tree_pin *sessions_pin(struct sessions *sessions)
{
    REQUIRE(sessions->current == NULL);
    return tree_pin(sessions->tree);
}

void sessions_unpin(struct sessions *sessions, struct tree_pin *pin)
{
    tree_unpin(sessions->tree, pin);
}

bool sessions_collect(struct sessions *sessions, size_t objects_max)
{
    return tree_collect(sessions->tree, objects_max);
}

struct tree_view sessions_view(const struct sessions *sessions)
{
    return tree_view(sessions->tree);
}

uint64_t sessions_hash(const struct sessions *sessions)
{
    return sessions->hash;
}
