/* Command fixture: commands as bytes, and any command there may be. */
#ifndef MINIKV_TESTS_UNIT_KV_COMMAND_FIXTURE_H
#define MINIKV_TESTS_UNIT_KV_COMMAND_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/prng.h"
#include "kv/command.h"

static inline struct buf encode(const struct command *command)
{
    struct buf buf;
    buf_init(&buf, LIMIT_COMMAND_BYTES);
    command_encode(command, &buf);
    assert_false(buf.is_full);
    return buf;
}

static inline struct address address_from(const char *text)
{
    struct address address;
    assert_int_equal(address_parse(bytes_of_text(text), &address), ST_OK);
    return address;
}

static inline struct bytes random_bytes(struct prng *prng, uint8_t *out, size_t count_min,
                                        size_t count_max)
{
    size_t count = count_min + prng_below(prng, count_max - count_min + 1);
    for (size_t i = 0; i < count; i++)
        out[i] = (uint8_t)prng_next(prng);
    return bytes_of(out, count);
}

struct room {
    uint8_t client[LIMIT_IDEMPOTENCY_KEY_BYTES];
    uint8_t key[80];
    uint8_t value[200];
};

/* One that its op may have. */
static inline struct client_identity random_identity(struct prng *prng, enum command_op op,
                                                     struct room *room)
{
    struct client_identity identity = {.kind = (enum client_kind)prng_below(prng, 2)};
    bool needs_one = op == COMMAND_CLOSE_SESSION || op == COMMAND_SEAL;
    bool has_none = op == COMMAND_OPEN_SESSION || op == COMMAND_EXPIRE_SESSIONS ||
                    op == COMMAND_JOIN || op == COMMAND_REMOVE || op == COMMAND_PROMOTE ||
                    op == COMMAND_RENEW_LEASES || op == COMMAND_EXPIRE_LEASES;
    if (has_none || (!needs_one && prng_below(prng, 2) == 0))
        return (struct client_identity){0};
    if (op == COMMAND_CLOSE_SESSION)
        identity.kind = CLIENT_ID;
    size_t bytes_max =
        identity.kind == CLIENT_ID ? LIMIT_CLIENT_ID_BYTES : LIMIT_IDEMPOTENCY_KEY_BYTES;
    identity.client = random_bytes(prng, room->client, 1, bytes_max);
    if (op == COMMAND_CLOSE_SESSION)
        return identity;
    identity.sequence = identity.kind == CLIENT_KEY ? 1 : prng_below(prng, INT64_MAX) + 1;
    identity.acked = prng_below(prng, identity.sequence);
    return identity;
}

static inline uint64_t random_lease(struct prng *prng)
{
    return 1 + prng_below(prng, (UINT64_C(1) << 53) - 1);
}

static inline void random_body(struct prng *prng, struct command *command, struct room *room)
{
    static const char *const addresses[] = {":8080", "a:1", "[fe80::1]:65535",
                                            "xn--bcher-kva.example:8080"};
    switch (command->op) {
    case COMMAND_PUT:
    case COMMAND_DELETE:
    case COMMAND_INCR:
        command->key = random_bytes(prng, room->key, 1, sizeof room->key);
        if (command->op == COMMAND_PUT) {
            command->value = random_bytes(prng, room->value, 0, sizeof room->value);
            command->lease = prng_below(prng, 2) * random_lease(prng);
        }
        if (command->op == COMMAND_INCR)
            command->by = (int64_t)prng_next(prng);
        else
            command->condition = (enum condition)prng_below(prng, 5);
        if (command->condition == CONDITION_REVISION ||
            command->condition == CONDITION_NOT_REVISION)
            command->condition_revision = prng_next(prng);
        return;
    case COMMAND_ANNOUNCE:
    case COMMAND_REGISTER:
    case COMMAND_TRANSFER:
    case COMMAND_JOIN:
    case COMMAND_REMOVE:
    case COMMAND_PROMOTE:
        command->member = 1 + (node_id)prng_below(prng, NODE_ID_MAX);
        if (command->op == COMMAND_ANNOUNCE && prng_below(prng, 4) != 0)
            command->http = address_from(addresses[prng_below(prng, 4)]);
        if (command->op == COMMAND_REGISTER)
            command->member_identity = prng_next(prng) | 1;
        if (command->op == COMMAND_JOIN) {
            command->peer = address_from(addresses[prng_below(prng, 4)]);
            command->member_identity = prng_below(prng, 2) * prng_next(prng);
        }
        return;
    case COMMAND_OPEN_SESSION:
        command->nonce = prng_next(prng);
        return;
    case COMMAND_EXPIRE_SESSIONS:
    case COMMAND_EXPIRE_LEASES:
        command->cutoff_us = prng_next(prng);
        return;
    case COMMAND_TXN:
        command->value = random_bytes(prng, room->value, 0, sizeof room->value);
        return;
    case COMMAND_COMPACT:
        command->revision = prng_next(prng);
        return;
    case COMMAND_GRANT_LEASE:
        command->lease = prng_below(prng, 2) * random_lease(prng);
        command->ttl_ms = prng_next(prng);
        return;
    case COMMAND_REVOKE_LEASE:
        command->lease = random_lease(prng);
        return;
    case COMMAND_RENEW_LEASES:
        command->value = random_bytes(prng, room->value, 8, sizeof room->value);
        command->value.count -= command->value.count % 8;
        return;
    case COMMAND_CLOSE_SESSION:
    case COMMAND_SEAL:
        return;
    }
}

static inline struct command random_command(struct prng *prng, struct room *room)
{
    struct command command = {.op = (enum command_op)(1 + prng_below(prng, COMMAND_EXPIRE_LEASES))};
    command.identity = random_identity(prng, command.op, room);
    random_body(prng, &command, room);
    return command;
}

#endif
