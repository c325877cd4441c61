#include "kv/command.h"

#include <xxhash.h>

#include "base/limits.h"

enum {
    COMMAND_VERSION = 1,
    COMMAND_SEQUENCE_BITS = 63,
    COMMAND_LEASE_BIT = 0x80, /* of the condition byte of a put: a lease stands before the key */
    COMMAND_LEASE_BITS = 53   /* of a lease's id: what numbers in JSON are sure to keep */
};

static bool has_condition(enum command_op op)
{
    return op == COMMAND_PUT || op == COMMAND_DELETE;
}

static bool has_key(enum command_op op)
{
    return op == COMMAND_PUT || op == COMMAND_DELETE || op == COMMAND_INCR;
}

static bool has_member(enum command_op op)
{
    return op == COMMAND_ANNOUNCE || op == COMMAND_REGISTER || op == COMMAND_TRANSFER ||
           op == COMMAND_JOIN || op == COMMAND_REMOVE || op == COMMAND_PROMOTE;
}

static bool is_lease(uint64_t lease)
{
    return lease != 0 && lease >> COMMAND_LEASE_BITS == 0;
}

static bool has_lease(enum command_op op)
{
    return op == COMMAND_GRANT_LEASE || op == COMMAND_REVOKE_LEASE;
}

static bool names_revision(enum condition condition)
{
    return condition == CONDITION_REVISION || condition == CONDITION_NOT_REVISION;
}

static bool is_sequence(uint64_t number)
{
    return number >> COMMAND_SEQUENCE_BITS == 0;
}

static size_t client_bytes_max(enum client_kind kind)
{
    return kind == CLIENT_KEY ? LIMIT_IDEMPOTENCY_KEY_BYTES : LIMIT_CLIENT_ID_BYTES;
}

/* The ops of sessions say themselves whether they name a client; every other may. */
static bool identity_fits(enum command_op op, const struct client_identity *identity)
{
    bool has_client = identity->client.count != 0;
    switch (op) {
    case COMMAND_OPEN_SESSION:
    case COMMAND_EXPIRE_SESSIONS:
    case COMMAND_JOIN: /* of members: asked for again, they find it done */
    case COMMAND_REMOVE:
    case COMMAND_PROMOTE:
    case COMMAND_RENEW_LEASES:
    case COMMAND_EXPIRE_LEASES:
        return !has_client;
    case COMMAND_CLOSE_SESSION:
        return has_client && identity->kind == CLIENT_ID && identity->sequence == 0 &&
               identity->acked == 0;
    case COMMAND_SEAL:
        if (!has_client)
            return false;
        break;
    case COMMAND_PUT:
    case COMMAND_DELETE:
    case COMMAND_INCR:
    case COMMAND_ANNOUNCE:
    case COMMAND_REGISTER:
    case COMMAND_TRANSFER:
    case COMMAND_TXN:
    case COMMAND_COMPACT:
    case COMMAND_GRANT_LEASE:
    case COMMAND_REVOKE_LEASE:
        if (!has_client)
            return true;
        break;
    }
    return identity->sequence != 0 && is_sequence(identity->sequence) &&
           identity->acked < identity->sequence &&
           IMPLIES(identity->kind == CLIENT_KEY, identity->sequence == 1);
}

static uint8_t condition_byte(const struct command *command)
{
    if (!has_condition(command->op))
        return CONDITION_NONE;
    bool is_attached = command->op == COMMAND_PUT && command->lease != 0;
    return (uint8_t)((unsigned)command->condition | (is_attached ? COMMAND_LEASE_BIT : 0u));
}

static void encode_head(const struct command *command, struct buf *out)
{
    const struct client_identity *identity = &command->identity;
    REQUIRE(identity->client.count <= client_bytes_max(identity->kind));
    REQUIRE(identity_fits(command->op, identity));

    buf_put_u8(out, COMMAND_VERSION);
    buf_put_u8(out, (uint8_t)command->op);
    buf_put_u8(out, condition_byte(command));
    buf_put_u8(out, (uint8_t)identity->client.count);
    if (identity->client.count != 0) {
        buf_put_u8(out, (uint8_t)identity->kind);
        buf_put(out, identity->client);
        buf_put_u64(out, identity->sequence);
        buf_put_u64(out, identity->acked);
    }
}

static void encode_key(const struct command *command, struct buf *out)
{
    REQUIRE(command->key.count >= 1);
    REQUIRE(command->key.count <= LIMIT_KEY_BYTES);
    if (has_condition(command->op) && names_revision(command->condition))
        buf_put_u64(out, command->condition_revision);
    if (command->op == COMMAND_PUT && command->lease != 0) {
        REQUIRE(is_lease(command->lease));
        buf_put_u64(out, command->lease);
    }
    buf_put_sized(out, command->key);
}

static void encode_member(const struct command *command, struct buf *out)
{
    REQUIRE(command->member != NODE_NONE);
    REQUIRE(command->member <= NODE_ID_MAX);
    buf_put_u32(out, command->member);
}

/* Empty when it is not set. */
static void encode_address(const struct address *address, struct buf *out)
{
    char text[LIMIT_ADDRESS_BYTES] = "";
    if (address_is_set(address))
        (void)address_format(address, text);
    buf_put_sized(out, bytes_of_text(text));
}

static void encode_lease(const struct command *command, struct buf *out)
{
    bool may_be_allotted = command->op == COMMAND_GRANT_LEASE;
    REQUIRE(is_lease(command->lease) || (may_be_allotted && command->lease == 0));
    buf_put_u64(out, command->lease);
    if (command->op == COMMAND_GRANT_LEASE)
        buf_put_u64(out, command->ttl_ms);
}

static bool is_row_of_leases(struct bytes row)
{
    return row.count != 0 && row.count % 8 == 0 && row.count / 8 <= LIMIT_LEASE_RENEWALS;
}

void command_encode(const struct command *command, struct buf *out)
{
    encode_head(command, out);
    switch (command->op) {
    case COMMAND_PUT:
        REQUIRE(command->value.count <= LIMIT_VALUE_BYTES);
        encode_key(command, out);
        buf_put_sized(out, command->value);
        return;
    case COMMAND_DELETE:
        encode_key(command, out);
        return;
    case COMMAND_INCR:
        encode_key(command, out);
        buf_put_u64(out, (uint64_t)command->by);
        return;
    case COMMAND_ANNOUNCE:
        encode_member(command, out);
        encode_address(&command->http, out);
        return;
    case COMMAND_JOIN:
        REQUIRE(address_is_set(&command->peer));
        encode_member(command, out);
        encode_address(&command->peer, out);
        buf_put_u64(out, command->member_identity);
        return;
    case COMMAND_REGISTER:
        REQUIRE(command->member_identity != 0);
        encode_member(command, out);
        buf_put_u64(out, command->member_identity);
        return;
    case COMMAND_TRANSFER:
    case COMMAND_REMOVE:
    case COMMAND_PROMOTE:
        encode_member(command, out);
        return;
    case COMMAND_OPEN_SESSION:
        buf_put_u64(out, command->nonce);
        return;
    case COMMAND_EXPIRE_SESSIONS:
    case COMMAND_EXPIRE_LEASES:
        buf_put_u64(out, command->cutoff_us);
        return;
    case COMMAND_TXN:
        REQUIRE(command->value.count <= LIMIT_TXN_BYTES);
        buf_put_sized(out, command->value);
        return;
    case COMMAND_COMPACT:
        buf_put_u64(out, command->revision);
        return;
    case COMMAND_GRANT_LEASE:
    case COMMAND_REVOKE_LEASE:
        encode_lease(command, out);
        return;
    case COMMAND_RENEW_LEASES:
        REQUIRE(is_row_of_leases(command->value));
        buf_put_sized(out, command->value);
        return;
    case COMMAND_CLOSE_SESSION:
    case COMMAND_SEAL:
        return; /* the head says it all */
    }
    UNREACHABLE();
}

static enum status decode_identity(struct cursor *in, size_t client_bytes,
                                   struct client_identity *out)
{
    uint8_t kind = cursor_u8(in);
    if (in->is_short)
        return ST_SHORT;
    if (kind > CLIENT_KEY)
        return ST_FORMAT;
    out->kind = (enum client_kind)kind;
    if (client_bytes > client_bytes_max(out->kind))
        return ST_LIMIT;
    out->client = cursor_take(in, client_bytes);
    out->sequence = cursor_u64(in);
    out->acked = cursor_u64(in);
    return in->is_short ? ST_SHORT : ST_OK;
}

/* Of a put it also tells whether a lease is named behind. */
static enum status decode_head(struct cursor *in, struct command *out, bool *out_is_attached)
{
    uint8_t version = cursor_u8(in);
    uint8_t op = cursor_u8(in);
    uint8_t condition = cursor_u8(in);
    uint8_t client_bytes = cursor_u8(in);
    if (in->is_short)
        return ST_SHORT;
    if (version != COMMAND_VERSION || op < COMMAND_PUT || op > COMMAND_EXPIRE_LEASES)
        return ST_FORMAT;
    out->op = (enum command_op)op;
    *out_is_attached = out->op == COMMAND_PUT && (condition & COMMAND_LEASE_BIT) != 0;
    if (*out_is_attached)
        condition &= (uint8_t)~COMMAND_LEASE_BIT;
    if (condition > CONDITION_NOT_REVISION)
        return ST_FORMAT;
    out->condition = (enum condition)condition;
    if (out->condition != CONDITION_NONE && !has_condition(out->op))
        return ST_FORMAT;
    enum status status = ST_OK;
    if (client_bytes != 0)
        status = decode_identity(in, client_bytes, &out->identity);
    if (status == ST_OK && !identity_fits(out->op, &out->identity))
        status = ST_FORMAT;
    return status;
}

/* u32 count, then the bytes. Tells over the limit, which is ST_LIMIT, from missing bytes. */
static struct bytes decode_sized(struct cursor *in, size_t count_min, size_t count_max,
                                 enum status *status)
{
    uint32_t count = cursor_u32(in);
    if (!in->is_short && (count < count_min || count > count_max) && *status == ST_OK)
        *status = ST_LIMIT;
    return cursor_take(in, *status == ST_OK ? count : 0);
}

static enum status decode_key(struct cursor *in, bool is_attached, struct command *out)
{
    enum status status = ST_OK;
    if (names_revision(out->condition))
        out->condition_revision = cursor_u64(in);
    if (is_attached) {
        out->lease = cursor_u64(in);
        if (!in->is_short && !is_lease(out->lease))
            return ST_FORMAT;
    }
    out->key = decode_sized(in, 1, LIMIT_KEY_BYTES, &status);
    if (out->op == COMMAND_PUT)
        out->value = decode_sized(in, 0, LIMIT_VALUE_BYTES, &status);
    else if (out->op == COMMAND_INCR)
        out->by = (int64_t)cursor_u64(in);
    return status;
}

/* Leaves it unset when it is empty. */
static enum status decode_address(struct cursor *in, size_t count_min, struct address *out)
{
    enum status status = ST_OK;
    struct bytes text = decode_sized(in, count_min, LIMIT_ADDRESS_BYTES - 1, &status);
    if (status != ST_OK || in->is_short || text.count == 0)
        return status;
    return address_decode(text, out) == ST_OK ? ST_OK : ST_FORMAT;
}

static enum status decode_member(struct cursor *in, struct command *out)
{
    enum status status = ST_OK;
    out->member = cursor_u32(in);
    if (out->op == COMMAND_ANNOUNCE)
        status = decode_address(in, 0, &out->http);
    else if (out->op == COMMAND_JOIN)
        status = decode_address(in, 1, &out->peer);
    if (status != ST_OK)
        return status;
    if (out->op == COMMAND_REGISTER || out->op == COMMAND_JOIN)
        out->member_identity = cursor_u64(in);
    if (!in->is_short && out->op == COMMAND_REGISTER && out->member_identity == 0)
        return ST_FORMAT;
    if (!in->is_short && (out->member == NODE_NONE || out->member > NODE_ID_MAX))
        return ST_FORMAT;
    return ST_OK;
}

static enum status decode_lease(struct cursor *in, struct command *out)
{
    out->lease = cursor_u64(in);
    if (out->op == COMMAND_GRANT_LEASE)
        out->ttl_ms = cursor_u64(in);
    bool may_be_allotted = out->op == COMMAND_GRANT_LEASE;
    bool is_fine = is_lease(out->lease) || (may_be_allotted && out->lease == 0);
    return in->is_short || is_fine ? ST_OK : ST_FORMAT;
}

/* A transaction is looked at where it is carried out: it may be wrong in ways of its own. */
static enum status decode_value(struct cursor *in, struct command *out)
{
    enum status status = ST_OK;
    if (out->op == COMMAND_TXN) {
        out->value = decode_sized(in, 0, LIMIT_TXN_BYTES, &status);
        return status;
    }
    out->value = decode_sized(in, 8, LIMIT_LEASE_RENEWALS * 8, &status);
    if (status == ST_OK && !in->is_short && !is_row_of_leases(out->value))
        status = ST_FORMAT;
    return status;
}

/* Of the ops whose body is one number, or none. */
static void decode_number(struct cursor *in, struct command *out)
{
    if (out->op == COMMAND_OPEN_SESSION)
        out->nonce = cursor_u64(in);
    else if (out->op == COMMAND_EXPIRE_SESSIONS || out->op == COMMAND_EXPIRE_LEASES)
        out->cutoff_us = cursor_u64(in);
    else if (out->op == COMMAND_COMPACT)
        out->revision = cursor_u64(in);
}

static enum status decode_body(struct cursor *in, bool is_attached, struct command *out)
{
    if (has_key(out->op))
        return decode_key(in, is_attached, out);
    if (has_member(out->op))
        return decode_member(in, out);
    if (has_lease(out->op))
        return decode_lease(in, out);
    if (out->op == COMMAND_TXN || out->op == COMMAND_RENEW_LEASES)
        return decode_value(in, out);
    decode_number(in, out);
    return ST_OK;
}

enum status command_decode(struct bytes in, struct command *out_command)
{
    struct cursor cursor = cursor_of(in);
    struct command command = {0};
    bool is_attached = false;
    enum status status = decode_head(&cursor, &command, &is_attached);
    if (status == ST_OK)
        status = decode_body(&cursor, is_attached, &command);
    if (status != ST_OK)
        return status;
    if (cursor.is_short)
        return ST_SHORT;
    if (!cursor_is_done(&cursor))
        return ST_FORMAT;
    *out_command = command;
    return ST_OK;
}

enum command_op command_peek(struct bytes in)
{
    if (in.count < 2 || in.data[0] != COMMAND_VERSION || in.data[1] < COMMAND_PUT ||
        in.data[1] > COMMAND_EXPIRE_LEASES)
        return (enum command_op)0;
    return (enum command_op)in.data[1];
}

/* Steps over version, op, condition and identity, without looking at them. Returns the condition.
 */
static uint8_t skip_head(struct cursor *cursor)
{
    (void)cursor_u16(cursor);
    uint8_t condition = cursor_u8(cursor);
    uint8_t client_bytes = cursor_u8(cursor);
    (void)cursor_take(cursor, client_bytes != 0 ? 1u + client_bytes + 16u : 0);
    return condition;
}

bool command_peek_identity(struct bytes in, struct client_identity *out_identity)
{
    struct command head = {0};
    struct cursor cursor = cursor_of(in);
    bool is_attached;
    if (in.count < 4 || in.data[3] == 0 || decode_head(&cursor, &head, &is_attached) != ST_OK)
        return false;
    *out_identity = head.identity;
    return true;
}

uint64_t command_fingerprint(struct bytes in)
{
    REQUIRE(command_peek(in) != 0);
    struct cursor cursor = cursor_of(in);
    skip_head(&cursor);
    REQUIRE(!cursor.is_short);
    uint64_t seed = (uint64_t)in.data[1] << 8 | in.data[2]; /* op and condition */
    return XXH3_64bits_withSeed(cursor.rest.data, cursor.rest.count, seed);
}

struct bytes command_peek_key(struct bytes in)
{
    struct cursor cursor = cursor_of(in);
    enum command_op op = command_peek(in);
    if (op == 0 || !has_key(op))
        return bytes_of(NULL, 0);
    uint8_t condition = skip_head(&cursor);
    if (names_revision((enum condition)(condition & ~COMMAND_LEASE_BIT)))
        (void)cursor_u64(&cursor);
    if ((condition & COMMAND_LEASE_BIT) != 0)
        (void)cursor_u64(&cursor);
    return cursor_sized(&cursor, LIMIT_KEY_BYTES);
}

const char *command_op_name(enum command_op op)
{
    switch (op) {
    case COMMAND_PUT:
        return "put";
    case COMMAND_DELETE:
        return "delete";
    case COMMAND_INCR:
        return "incr";
    case COMMAND_ANNOUNCE:
        return "announce";
    case COMMAND_REGISTER:
        return "register";
    case COMMAND_OPEN_SESSION:
        return "open-session";
    case COMMAND_CLOSE_SESSION:
        return "close-session";
    case COMMAND_EXPIRE_SESSIONS:
        return "expire-sessions";
    case COMMAND_SEAL:
        return "seal";
    case COMMAND_TRANSFER:
        return "transfer";
    case COMMAND_JOIN:
        return "join";
    case COMMAND_REMOVE:
        return "remove";
    case COMMAND_PROMOTE:
        return "promote";
    case COMMAND_TXN:
        return "txn";
    case COMMAND_COMPACT:
        return "compact";
    case COMMAND_GRANT_LEASE:
        return "grant-lease";
    case COMMAND_REVOKE_LEASE:
        return "revoke-lease";
    case COMMAND_RENEW_LEASES:
        return "renew-leases";
    case COMMAND_EXPIRE_LEASES:
        return "expire-leases";
    }
    UNREACHABLE();
}
