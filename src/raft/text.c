#include "raft/text.h"

#include <inttypes.h>

#include "raft/raft_internal.h"

const char *message_type_name(enum message_type type)
{
    switch (type) {
    case MESSAGE_PRE_VOTE:
        return "pre-vote";
    case MESSAGE_PRE_VOTE_REPLY:
        return "pre-vote-reply";
    case MESSAGE_VOTE:
        return "vote";
    case MESSAGE_VOTE_REPLY:
        return "vote-reply";
    case MESSAGE_APPEND:
        return "append";
    case MESSAGE_APPEND_REPLY:
        return "append-reply";
    case MESSAGE_READ_INDEX:
        return "read-index";
    case MESSAGE_READ_INDEX_REPLY:
        return "read-index-reply";
    case MESSAGE_TIMEOUT_NOW:
        return "timeout-now";
    case MESSAGE_SNAPSHOT:
        return "snapshot";
    }
    UNREACHABLE();
}

static void put_id(struct buf *out, const char *name, struct entry_id id)
{
    buf_printf(out, " %s %" PRIu64 "/%" PRIu64, name, id.term, id.index);
}

static void put_number(struct buf *out, const char *name, uint64_t number)
{
    buf_printf(out, " %s %" PRIu64, name, number);
}

static void put_append(struct buf *out, const struct message *message)
{
    uint32_t count = message->append.entries_count;
    put_id(out, "prev", message->append.prev);
    put_number(out, "commit", message->append.commit);
    if (message->append.read_round != 0)
        put_number(out, "round", message->append.read_round);
    if (count > 0)
        put_id(out, "entries", message->append.entries[0]->id);
    if (count > 1)
        put_id(out, "..", message->append.entries[count - 1]->id);
}

static void put_append_reply(struct buf *out, const struct message *message)
{
    if (message->append_reply.is_rejected) {
        put_number(out, "rejected prev", message->append_reply.prev);
        put_id(out, "conflict", message->append_reply.conflict);
    } else {
        put_number(out, "match", message->append_reply.match);
    }
    if (message->append_reply.read_round != 0)
        put_number(out, "round", message->append_reply.read_round);
}

static void put_read_reply(struct buf *out, const struct message *message)
{
    put_number(out, "id", message->read_index_reply.id.number);
    if (message->read_index_reply.is_refused)
        buf_put_text(out, " refused");
    else
        put_number(out, "index", message->read_index_reply.index);
}

void message_format(const struct message *message, struct buf *out)
{
    buf_printf(out, "%u>%u t%" PRIu64 " %s", message->from, message->to, message->term,
               message_type_name(message->type));
    switch (message->type) {
    case MESSAGE_PRE_VOTE:
    case MESSAGE_VOTE:
        put_id(out, "last", message->vote.last);
        if (message->vote.is_transfer)
            buf_put_text(out, " transfer");
        break;
    case MESSAGE_PRE_VOTE_REPLY:
    case MESSAGE_VOTE_REPLY:
        buf_put_text(out, message->vote_reply.is_granted ? " granted" : " refused");
        break;
    case MESSAGE_APPEND:
        put_append(out, message);
        break;
    case MESSAGE_APPEND_REPLY:
        put_append_reply(out, message);
        break;
    case MESSAGE_READ_INDEX:
        put_number(out, "id", message->read_index.id.number);
        break;
    case MESSAGE_READ_INDEX_REPLY:
        put_read_reply(out, message);
        break;
    case MESSAGE_SNAPSHOT:
        put_id(out, "last", message->snapshot.last);
        put_number(out, "commit", message->snapshot.commit);
        if (message->snapshot.read_round != 0)
            put_number(out, "round", message->snapshot.read_round);
        break;
    case MESSAGE_TIMEOUT_NOW:
        break;
    }
}

void raft_format(const struct raft *raft, struct buf *out)
{
    struct entry_id last = raft_log_last(&raft->log);
    buf_printf(out, "%u %s t%" PRIu64, raft->options.self, raft_role_name(raft->role),
               raft->hard_state.term);
    put_number(out, "vote", raft->hard_state.vote);
    put_number(out, "leader", raft->leader);
    put_id(out, "last", last);
    put_number(out, "commit", raft->commit);
    put_number(out, "durable", raft->log.durable);
    if (raft->log.base.index != 0)
        put_id(out, "base", raft->log.base);
    if (raft->role != RAFT_ROLE_LEADER)
        return;
    for (size_t i = 0; i < raft->peers_count; i++) {
        const struct raft_peer *peer = &raft->peers[i];
        buf_printf(out, " | %u %s match %" PRIu64 " next %" PRIu64, peer->id,
                   raft_peer_state_name(peer->state), peer->match, peer->next);
    }
}
