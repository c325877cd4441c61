/* The invariants of the table of sessions, walked one by one (docs/invariants.md). */
#include <xxhash.h>

#include "kv/session_internal.h"
#include "kv/txn.h"

static void check_writes(const struct session *session)
{
    const struct session_writes *writes = &session->writes;
    uint64_t before = session_floor(session_highest(session), session->acked);
    uint64_t hash = 0;
    uint32_t held_count = 0, held_bytes = 0;
    for (uint32_t i = 0; i < writes->count; i++) {
        const struct session_write *write = session_writes_at(writes, i);
        /* K21: rising, and all within the window. */
        INVARIANT(write->sequence > before);
        before = write->sequence;
        hash += session_write_hash(write);
        const struct session_held *held = session_write_held(write);
        if (held == NULL)
            continue;
        INVARIANT(held->hash == XXH3_64bits(held->bytes, held->bytes_count));
        INVARIANT(txn_results_are_sound(bytes_of(held->bytes, held->bytes_count)));
        held_count++;
        held_bytes += held->bytes_count;
    }
    INVARIANT(held_count == writes->held_count);
    INVARIANT(held_bytes == writes->held_bytes);
    INVARIANT(held_bytes <= LIMIT_SESSION_RESULTS_BYTES);
    INVARIANT(writes->count <= LIMIT_SESSION_WINDOW);
    INVARIANT(hash == writes->hash);
    /* K23: what it takes stays within what it counts. */
    INVARIANT(writes->first + writes->count <= writes->capacity);
    INVARIANT(writes->capacity <= 2 * MAX(writes->count, 1u));
}

static void check_session(const struct sessions *sessions, const struct session *session)
{
    raft_index index;
    struct tree_cursor cursor;
    INVARIANT(tree_find(tree_view(sessions->tree), tree_item_key(&session->tree), &cursor) ==
              &session->tree);
    /* K20: used by an entry that is not before the one that allotted it. */
    INVARIANT(session->used_index != 0);
    if (session_is_allotted(session_kind(session), session_client(session), &index))
        INVARIANT(index <= session->used_index);
    if (session_kind(session) == CLIENT_KEY) {
        INVARIANT(session->acked == 0);
        INVARIANT(session_highest(session) <= 1);
    }
    INVARIANT(session->key_hash == XXH3_64bits(session->key, session->tree.key_bytes));
    INVARIANT(session->hash == session_hash(session));
    check_writes(session);
}

void sessions_check(const struct sessions *sessions)
{
    uint64_t sessions_count = 0, results_count = 0, bytes = 0, hash = 0;
    uint64_t held_count = 0, held_bytes = 0;
    const struct session *before = NULL;
    tree_check(sessions->tree);
    for (const struct list *link = sessions->by_use.next; link != &sessions->by_use;
         link = link->next) {
        const struct session *session = session_of_use(link);
        check_session(sessions, session);
        /* K22: in the order of their last use, by log index and by log time. */
        INVARIANT(before == NULL || before->used_index < session->used_index);
        INVARIANT(before == NULL || before->used_us <= session->used_us);
        before = session;
        sessions_count++;
        results_count += session->writes.count;
        held_count += session->writes.held_count;
        held_bytes += session->writes.held_bytes;
        bytes += session_bytes(session);
        hash += session->hash;
    }
    INVARIANT(sessions_count == tree_view(sessions->tree).items_count);
    INVARIANT(sessions_count <= sessions->sessions_max);
    INVARIANT(results_count == sessions->results_count);
    INVARIANT(held_count == sessions->held_count);
    INVARIANT(held_bytes == sessions->held_bytes);
    INVARIANT(bytes == sessions->bytes);
    INVARIANT(bytes <= sessions->bytes_max);
    INVARIANT(hash == sessions->hash);
}
