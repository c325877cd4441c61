/* Raft messages as bytes.
 *
 *      u8 type | u8 flag | u16 0 | u32 from | u32 to | u64 term | fields of the type
 *
 * Each type has at most one yes-or-no field; it is the flag. */
#include "wire/codec.h"
#include "wire/shape.h"

static bool flag_of(const struct message *message)
{
    switch (message->type) {
    case MESSAGE_PRE_VOTE:
    case MESSAGE_VOTE:
        return message->vote.is_transfer;
    case MESSAGE_PRE_VOTE_REPLY:
    case MESSAGE_VOTE_REPLY:
        return message->vote_reply.is_granted;
    case MESSAGE_APPEND_REPLY:
        return message->append_reply.is_rejected;
    case MESSAGE_READ_INDEX_REPLY:
        return message->read_index_reply.is_refused;
    case MESSAGE_APPEND:
    case MESSAGE_READ_INDEX:
    case MESSAGE_TIMEOUT_NOW:
    case MESSAGE_SNAPSHOT:
        return false;
    }
    UNREACHABLE();
}

static void put_entry_id(struct buf *out, struct entry_id id)
{
    buf_put_u64(out, id.term);
    buf_put_u64(out, id.index);
}

static void put_read_id(struct buf *out, struct read_id id)
{
    buf_put_u64(out, id.incarnation);
    buf_put_u64(out, id.number);
}

static void put_append(const struct message *message, const struct address *leader_http,
                       struct buf *out)
{
    REQUIRE(message->append.entries_count <= LIMIT_APPEND_ENTRIES);
    put_entry_id(out, message->append.prev);
    buf_put_u64(out, message->append.commit);
    buf_put_u64(out, message->append.read_round);
    shape_put_address(leader_http, out);
    buf_put_u32(out, message->append.entries_count);
    for (uint32_t i = 0; i < message->append.entries_count; i++)
        entry_encode(message->append.entries[i], out);
}

static void put_append_reply(const struct message *message, struct buf *out)
{
    if (message->append_reply.is_rejected) {
        buf_put_u64(out, message->append_reply.prev);
        put_entry_id(out, message->append_reply.conflict);
    } else {
        buf_put_u64(out, message->append_reply.match);
    }
    buf_put_u64(out, message->append_reply.read_round);
}

static void put_snapshot(const struct message *message, struct buf *out)
{
    put_entry_id(out, message->snapshot.last);
    buf_put_u64(out, message->snapshot.bytes);
    buf_put_u64(out, message->snapshot.commit);
    buf_put_u64(out, message->snapshot.read_round);
}

void message_encode(const struct message *message, const struct address *leader_http,
                    struct buf *out)
{
    REQUIRE(shape_is_node(message->from));
    REQUIRE(shape_is_node(message->to));
    buf_put_u8(out, (uint8_t)message->type);
    buf_put_u8(out, flag_of(message));
    buf_put_u16(out, 0);
    buf_put_u32(out, message->from);
    buf_put_u32(out, message->to);
    buf_put_u64(out, message->term);
    switch (message->type) {
    case MESSAGE_PRE_VOTE:
    case MESSAGE_VOTE:
        put_entry_id(out, message->vote.last);
        break;
    case MESSAGE_APPEND:
        put_append(message, leader_http, out);
        break;
    case MESSAGE_APPEND_REPLY:
        put_append_reply(message, out);
        break;
    case MESSAGE_READ_INDEX:
        put_read_id(out, message->read_index.id);
        break;
    case MESSAGE_READ_INDEX_REPLY:
        put_read_id(out, message->read_index_reply.id);
        buf_put_u64(out, message->read_index_reply.index);
        break;
    case MESSAGE_SNAPSHOT:
        put_snapshot(message, out);
        break;
    case MESSAGE_PRE_VOTE_REPLY:
    case MESSAGE_VOTE_REPLY:
    case MESSAGE_TIMEOUT_NOW:
        break;
    }
}

static struct entry_id take_entry_id(struct cursor *in)
{
    struct entry_id id = {.term = cursor_u64(in)};
    id.index = cursor_u64(in);
    return id;
}

static struct read_id take_read_id(struct cursor *in)
{
    struct read_id id = {.incarnation = cursor_u64(in)};
    id.number = cursor_u64(in);
    return id;
}

static enum status take_vote(struct cursor *in, bool flag, struct message *message)
{
    message->vote.is_transfer = flag;
    message->vote.last = take_entry_id(in);
    if (in->is_short)
        return ST_SHORT;
    /* Nobody campaigns in term 0, nor in a term below that of its own last entry. */
    return message->term > 0 && shape_is_entry_id(message->vote.last) &&
                   message->vote.last.term <= message->term
               ? ST_OK
               : ST_FORMAT;
}

/* The next entry of an append, which must follow `before` (Raft §5.3: a slice of one log). */
static enum status take_entry(struct cursor *in, struct entry_id before, raft_term term_max,
                              struct entry **out_entry)
{
    struct entry *entry;
    enum status status = entry_decode(in, &entry);
    if (status != ST_OK)
        return status;
    struct entry_id id = entry->id;
    if (id.index != before.index + 1 || id.term < before.term || id.term > term_max ||
        !shape_is_entry_id(id)) {
        entry_unref(entry);
        return ST_FORMAT;
    }
    *out_entry = entry;
    return ST_OK;
}

static enum status take_append(struct cursor *in, struct message_in *out)
{
    struct message *message = &out->message;
    message->append.prev = take_entry_id(in);
    message->append.commit = cursor_u64(in);
    message->append.read_round = cursor_u64(in);
    enum status status = shape_take_address(in, &out->leader_http);
    uint32_t entries_count = cursor_u32(in);
    if (in->is_short)
        return ST_SHORT;
    if (status != ST_OK)
        return status;
    if (message->term == 0 || !shape_is_entry_id(message->append.prev) ||
        message->append.prev.term > message->term || !shape_is_number(message->append.commit))
        return ST_FORMAT;
    if (entries_count > LIMIT_APPEND_ENTRIES)
        return ST_LIMIT;

    struct entry_id before = message->append.prev;
    for (uint32_t i = 0; i < entries_count && status == ST_OK; i++) {
        status = take_entry(in, before, message->term, &out->entries[i]);
        if (status == ST_OK) {
            before = out->entries[i]->id;
            message->append.entries_count++; /* what message_in_release has to give back */
        }
    }
    return status;
}

static enum status take_append_reply(struct cursor *in, bool flag, struct message *message)
{
    message->append_reply.is_rejected = flag;
    if (flag) {
        message->append_reply.prev = cursor_u64(in);
        message->append_reply.conflict = take_entry_id(in);
    } else {
        message->append_reply.match = cursor_u64(in);
    }
    message->append_reply.read_round = cursor_u64(in);
    if (in->is_short)
        return ST_SHORT;
    /* A conflict of term 0 says that the log is too short; it still has an index. */
    return shape_is_number(message->append_reply.match) &&
                   shape_is_number(message->append_reply.prev) &&
                   shape_is_number(message->append_reply.conflict.term) &&
                   shape_is_number(message->append_reply.conflict.index)
               ? ST_OK
               : ST_FORMAT;
}

static enum status take_read_index_reply(struct cursor *in, bool flag, struct message *message)
{
    message->read_index_reply.is_refused = flag;
    message->read_index_reply.id = take_read_id(in);
    message->read_index_reply.index = cursor_u64(in);
    if (in->is_short)
        return ST_SHORT;
    return shape_is_number(message->read_index_reply.index) ? ST_OK : ST_FORMAT;
}

/* An offer is of what the leader itself knows to be committed. */
static enum status take_snapshot(struct cursor *in, struct message *message)
{
    message->snapshot.last = take_entry_id(in);
    message->snapshot.bytes = cursor_u64(in);
    message->snapshot.commit = cursor_u64(in);
    message->snapshot.read_round = cursor_u64(in);
    if (in->is_short)
        return ST_SHORT;
    struct entry_id last = message->snapshot.last;
    return shape_is_entry_id(last) && last.index != 0 && last.term <= message->term &&
                   message->snapshot.bytes != 0 && shape_is_number(message->snapshot.bytes) &&
                   last.index <= message->snapshot.commit &&
                   shape_is_number(message->snapshot.commit)
               ? ST_OK
               : ST_FORMAT;
}

static enum status take_fields(struct cursor *in, bool flag, struct message_in *out)
{
    struct message *message = &out->message;
    switch (message->type) {
    case MESSAGE_PRE_VOTE:
    case MESSAGE_VOTE:
        return take_vote(in, flag, message);
    case MESSAGE_PRE_VOTE_REPLY:
    case MESSAGE_VOTE_REPLY:
        message->vote_reply.is_granted = flag;
        return ST_OK;
    case MESSAGE_APPEND:
        return flag ? ST_FORMAT : take_append(in, out);
    case MESSAGE_APPEND_REPLY:
        return take_append_reply(in, flag, message);
    case MESSAGE_READ_INDEX:
        message->read_index.id = take_read_id(in);
        return flag ? ST_FORMAT : ST_OK;
    case MESSAGE_READ_INDEX_REPLY:
        return take_read_index_reply(in, flag, message);
    case MESSAGE_TIMEOUT_NOW:
        return flag || message->term == 0 ? ST_FORMAT : ST_OK;
    case MESSAGE_SNAPSHOT:
        return flag ? ST_FORMAT : take_snapshot(in, message);
    }
    UNREACHABLE();
}

/* The fields that all types share. */
static enum status take_head(struct cursor *in, bool *out_flag, struct message *message)
{
    uint8_t type = cursor_u8(in);
    uint8_t flag = cursor_u8(in);
    uint16_t padding = cursor_u16(in);
    message->from = cursor_u32(in);
    message->to = cursor_u32(in);
    message->term = cursor_u64(in);
    if (in->is_short)
        return ST_SHORT;
    if (type < MESSAGE_PRE_VOTE || type > MESSAGE_SNAPSHOT || flag > 1 || padding != 0 ||
        !shape_is_node(message->from) || !shape_is_node(message->to) ||
        !shape_is_number(message->term))
        return ST_FORMAT;
    message->type = (enum message_type)type;
    *out_flag = flag == 1;
    return ST_OK;
}

static bool has_entries(const struct message *message)
{
    return message->type == MESSAGE_APPEND;
}

enum status message_decode(struct bytes in, struct message_in *out_message)
{
    struct cursor cursor = cursor_of(in);
    bool flag;
    /* All of the union, not only its first member: fields that a type leaves out read as zeros. */
    memset(&out_message->message, 0, sizeof out_message->message);
    out_message->leader_http = (struct address){0};
    enum status status = take_head(&cursor, &flag, &out_message->message);
    if (status != ST_OK)
        return status;
    if (has_entries(&out_message->message))
        out_message->message.append.entries = out_message->entries;
    status = take_fields(&cursor, flag, out_message);
    if (status == ST_OK && !cursor_is_done(&cursor))
        status = cursor.is_short ? ST_SHORT : ST_FORMAT;
    if (status != ST_OK)
        message_in_release(out_message);
    return status;
}

void message_in_release(struct message_in *in)
{
    if (!has_entries(&in->message))
        return;
    for (uint32_t i = 0; i < in->message.append.entries_count; i++)
        entry_unref(in->message.append.entries[i]);
    in->message.append.entries_count = 0;
}
