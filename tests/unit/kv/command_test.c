/* The bytes of commands: what they are, that they come back, and that nothing else is taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/prng.h"
#include "kv/command.h"

static struct buf encode(const struct command *command)
{
    struct buf buf;
    buf_init(&buf, LIMIT_COMMAND_BYTES);
    command_encode(command, &buf);
    assert_false(buf.is_full);
    return buf;
}

static struct address address_from(const char *text)
{
    struct address address;
    assert_int_equal(address_parse(bytes_of_text(text), &address), ST_OK);
    return address;
}

/* ---- golden bytes: docs/formats/command.md ---- */

static void assert_encodes_to(const struct command *command, const char *hex)
{
    struct buf got = encode(command);
    struct buf text;
    buf_init(&text, 4096);
    for (size_t i = 0; i < got.count; i++)
        buf_printf(&text, "%02x", got.data[i]);
    struct buf want;
    buf_init(&want, 4096);
    for (const char *at = hex; *at != '\0'; at++)
        if (*at != ' ')
            buf_put_u8(&want, (uint8_t)*at);
    assert_string_equal(buf_text(&text), buf_text(&want));

    struct command decoded;
    assert_int_equal(command_decode(buf_bytes(&got), &decoded), ST_OK);
    assert_int_equal(decoded.op, command->op);
    buf_release(&got);
    buf_release(&text);
    buf_release(&want);
}

static void a_put_is_these_bytes(void **state)
{
    (void)state;
    struct command command = {
        .op = COMMAND_PUT, .key = BYTES_LITERAL("a/b"), .value = BYTES_LITERAL("hi")};

    assert_encodes_to(&command, "01 01 00 00  03000000 612f62  02000000 6869");
}

static void a_put_with_everything_is_these_bytes(void **state)
{
    (void)state;
    struct command command = {
        .op = COMMAND_PUT,
        .identity = {.client = BYTES_LITERAL("me"), .sequence = 7, .acked = 5},
        .key = BYTES_LITERAL("k"),
        .condition = CONDITION_REVISION,
        .condition_revision = 0x0102030405060708};

    assert_encodes_to(&command, "01 01 01 02 00 6d65 0700000000000000 0500000000000000"
                                "0807060504030201 01000000 6b 00000000");
}

static void a_delete_is_these_bytes(void **state)
{
    (void)state;
    struct command command = {
        .op = COMMAND_DELETE, .key = BYTES_LITERAL("k"), .condition = CONDITION_EXISTS};

    assert_encodes_to(&command, "01 02 02 00  01000000 6b");
}

static void an_incr_is_these_bytes(void **state)
{
    (void)state;
    struct command command = {.op = COMMAND_INCR, .key = BYTES_LITERAL("n"), .by = -2};

    assert_encodes_to(&command, "01 03 00 00  01000000 6e  feffffffffffffff");
}

static void an_announce_is_these_bytes(void **state)
{
    (void)state;
    struct command command = {
        .op = COMMAND_ANNOUNCE, .member = 2, .http = address_from("http://[::1]:8081/")};
    struct command removal = {.op = COMMAND_ANNOUNCE, .member = 0x7fffffff};

    assert_encodes_to(&command, "01 04 00 00  02000000  0a000000 5b3a3a315d3a38303831");
    assert_encodes_to(&removal, "01 04 00 00  ffffff7f  00000000");
}

static void a_register_is_these_bytes(void **state)
{
    (void)state;
    struct command command = {.op = COMMAND_REGISTER, .member = 3, .member_identity = 0x1122};

    assert_encodes_to(&command, "01 05 00 00  03000000  2211000000000000");
}

static void an_incr_with_an_idempotency_key_is_these_bytes(void **state)
{
    (void)state;
    struct command command = {
        .op = COMMAND_INCR,
        .identity = {.kind = CLIENT_KEY, .client = BYTES_LITERAL("abc"), .sequence = 1},
        .key = BYTES_LITERAL("n"),
        .by = 1};

    assert_encodes_to(&command, "01 03 00 03 01 616263 0100000000000000 0000000000000000"
                                "01000000 6e 0100000000000000");
}

static void the_commands_of_sessions_are_these_bytes(void **state)
{
    (void)state;
    struct command open = {.op = COMMAND_OPEN_SESSION, .nonce = 0x0102};
    struct command close = {.op = COMMAND_CLOSE_SESSION,
                            .identity = {.client = BYTES_LITERAL("me")}};
    struct command expire = {.op = COMMAND_EXPIRE_SESSIONS, .cutoff_us = 0x030405};
    struct command seal = {.op = COMMAND_SEAL,
                           .identity = {.client = BYTES_LITERAL("me"), .sequence = 9}};

    assert_encodes_to(&open, "01 06 00 00  0201000000000000");
    assert_encodes_to(&close, "01 07 00 02 00 6d65 0000000000000000 0000000000000000");
    assert_encodes_to(&expire, "01 08 00 00  0504030000000000");
    assert_encodes_to(&seal, "01 09 00 02 00 6d65 0900000000000000 0000000000000000");
}

static void a_transfer_is_these_bytes(void **state)
{
    (void)state;
    struct command command = {.op = COMMAND_TRANSFER, .member = 3};

    assert_encodes_to(&command, "01 0a 00 00  03000000");
}

static void the_commands_of_members_are_these_bytes(void **state)
{
    (void)state;
    struct command join = {
        .op = COMMAND_JOIN, .member = 4, .peer = address_from("h:7000"), .member_identity = 0x1122};
    struct command leave = {.op = COMMAND_REMOVE, .member = 4};
    struct command promote = {.op = COMMAND_PROMOTE, .member = 0x7fffffff};

    assert_encodes_to(&join, "01 0b 00 00  04000000  06000000 683a37303030  2211000000000000");
    assert_encodes_to(&leave, "01 0c 00 00  04000000");
    assert_encodes_to(&promote, "01 0d 00 00  ffffff7f");
}

/* ---- there and back ---- */

static struct bytes random_bytes(struct prng *prng, uint8_t *out, size_t count_min,
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
static struct client_identity random_identity(struct prng *prng, enum command_op op,
                                              struct room *room)
{
    struct client_identity identity = {.kind = (enum client_kind)prng_below(prng, 2)};
    bool needs_one = op == COMMAND_CLOSE_SESSION || op == COMMAND_SEAL;
    bool has_none = op == COMMAND_OPEN_SESSION || op == COMMAND_EXPIRE_SESSIONS ||
                    op == COMMAND_JOIN || op == COMMAND_REMOVE || op == COMMAND_PROMOTE;
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

static void random_body(struct prng *prng, struct command *command, struct room *room)
{
    static const char *const addresses[] = {":8080", "a:1", "[fe80::1]:65535",
                                            "xn--bcher-kva.example:8080"};
    switch (command->op) {
    case COMMAND_PUT:
    case COMMAND_DELETE:
    case COMMAND_INCR:
        command->key = random_bytes(prng, room->key, 1, sizeof room->key);
        if (command->op == COMMAND_PUT)
            command->value = random_bytes(prng, room->value, 0, sizeof room->value);
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
        command->cutoff_us = prng_next(prng);
        return;
    case COMMAND_CLOSE_SESSION:
    case COMMAND_SEAL:
        return;
    }
}

static struct command random_command(struct prng *prng, struct room *room)
{
    struct command command = {.op = (enum command_op)(1 + prng_below(prng, COMMAND_PROMOTE))};
    command.identity = random_identity(prng, command.op, room);
    random_body(prng, &command, room);
    return command;
}

static void assert_commands_equal(const struct command *a, const struct command *b)
{
    assert_int_equal(a->op, b->op);
    assert_int_equal(a->identity.kind, b->identity.kind);
    assert_true(bytes_equal(a->identity.client, b->identity.client));
    assert_int_equal(a->identity.sequence, b->identity.sequence);
    assert_int_equal(a->identity.acked, b->identity.acked);
    assert_true(bytes_equal(a->key, b->key));
    assert_true(bytes_equal(a->value, b->value));
    assert_int_equal(a->condition, b->condition);
    assert_int_equal(a->condition_revision, b->condition_revision);
    assert_int_equal(a->by, b->by);
    assert_int_equal(a->member, b->member);
    assert_true(address_equal(&a->http, &b->http));
    assert_true(address_equal(&a->peer, &b->peer));
    assert_int_equal(a->member_identity, b->member_identity);
    assert_int_equal(a->nonce, b->nonce);
    assert_int_equal(a->cutoff_us, b->cutoff_us);
}

/* What the peeks say of bytes that decode is what decoding says. */
static void assert_peeks_agree(struct bytes bytes, const struct command *command)
{
    struct client_identity identity;
    bool has_identity = command->identity.client.count != 0;
    assert_int_equal(command_peek(bytes), command->op);
    assert_true(bytes_equal(command_peek_key(bytes), command->key));
    assert_int_equal(command_peek_identity(bytes, &identity), has_identity);
    if (!has_identity)
        return;
    assert_int_equal(identity.kind, command->identity.kind);
    assert_true(bytes_equal(identity.client, command->identity.client));
    assert_int_equal(identity.sequence, command->identity.sequence);
    assert_int_equal(identity.acked, command->identity.acked);
}

static void every_command_comes_back_as_it_was(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 1);
    for (int i = 0; i < 20000; i++) {
        struct room room;
        struct command command = random_command(&prng, &room);
        struct buf bytes = encode(&command);
        struct command decoded;

        assert_int_equal(command_decode(buf_bytes(&bytes), &decoded), ST_OK);

        assert_commands_equal(&decoded, &command);
        assert_peeks_agree(buf_bytes(&bytes), &command);
        buf_release(&bytes);
    }
}

static void every_truncation_is_short_and_leaves_the_output_alone(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 2);
    for (int i = 0; i < 300; i++) {
        struct room room;
        struct command command = random_command(&prng, &room);
        struct buf bytes = encode(&command);
        for (size_t count = 0; count < bytes.count; count++) {
            struct command decoded = {.by = 42};
            struct client_identity identity;
            uint8_t *exact = mem_alloc_raw(count); /* so that a sanitizer sees a read behind it */
            memcpy(exact, bytes.data, count);

            assert_int_equal(command_decode(bytes_of(exact, count), &decoded), ST_SHORT);

            assert_int_equal(decoded.by, 42);
            (void)command_peek_key(bytes_of(exact, count));
            (void)command_peek_identity(bytes_of(exact, count), &identity);
            mem_free(exact);
        }
        buf_put_u8(&bytes, 0);
        assert_int_equal(command_decode(buf_bytes(&bytes), &(struct command){0}), ST_FORMAT);
        buf_release(&bytes);
    }
}

static void what_decodes_encodes_to_the_same_bytes(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 3);
    unsigned decoded_count = 0;
    for (int i = 0; i < 50000; i++) {
        struct room room;
        struct command command = random_command(&prng, &room);
        struct buf bytes = encode(&command);
        for (uint64_t flips = 1 + prng_below(&prng, 3); flips > 0; flips--)
            bytes.data[prng_below(&prng, MIN(bytes.count, (size_t)24))] ^=
                (uint8_t)(1u << prng_below(&prng, 8));
        struct command decoded;

        if (command_decode(buf_bytes(&bytes), &decoded) == ST_OK) {
            struct buf again = encode(&decoded);
            assert_true(bytes_equal(buf_bytes(&again), buf_bytes(&bytes)));
            assert_peeks_agree(buf_bytes(&bytes), &decoded);
            (void)command_fingerprint(buf_bytes(&bytes));
            buf_release(&again);
            decoded_count++;
        }
        buf_release(&bytes);
    }
    assert_in_range(decoded_count, 2000, 48000);
}

/* ---- refusals ---- */

static enum status decode_hex(const char *hex)
{
    struct buf buf;
    buf_init(&buf, 4096);
    for (const char *at = hex; *at != '\0'; at++) {
        if (*at == ' ')
            continue;
        char digits[3] = {at[0], at[1], 0};
        buf_put_u8(&buf, (uint8_t)strtoul(digits, NULL, 16));
        at++;
    }
    struct command command;
    enum status status = command_decode(buf_bytes(&buf), &command);
    buf_release(&buf);
    return status;
}

static void what_is_no_command_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        enum status status;
    } cases[] = {
        {"01 02 00 00 01000000 6b", ST_OK},
        {"00 02 00 00 01000000 6b", ST_FORMAT}, /* version */
        {"02 02 00 00 01000000 6b", ST_FORMAT},
        {"01 00 00 00 01000000 6b", ST_FORMAT}, /* op */
        {"01 0e 00 00 01000000 6b", ST_FORMAT},
        {"01 02 05 00 01000000 6b", ST_FORMAT},                  /* condition */
        {"01 03 02 00 01000000 6e 0100000000000000", ST_FORMAT}, /* … of an op without one */
        {"01 05 01 00 03000000 2211000000000000", ST_FORMAT},    /* … */
        {"01 02 00 41 00 01000000 6b", ST_LIMIT},                /* client id of 65 bytes */
        {"01 02 00 ff 01 01000000 6b", ST_SHORT},                /* key of a client, of 255 */
        {"01 02 00 01 02 61 0100000000000000 0000000000000000 01000000 6b", ST_FORMAT}, /* kind */
        {"01 02 00 01 00 61 0100000000000000 0000000000000000 01000000 6b", ST_OK},
        {"01 02 00 01 00 61 0000000000000000 0000000000000000 01000000 6b", ST_FORMAT},
        {"01 02 00 01 00 61 0000000000000080 0000000000000000 01000000 6b", ST_FORMAT},
        {"01 02 00 01 00 61 ffffffffffffff7f feffffffffffff7f 01000000 6b", ST_OK},
        {"01 02 00 01 00 61 ffffffffffffff7f ffffffffffffff7f 01000000 6b", ST_FORMAT}, /* acked */
        {"01 02 00 01 01 61 0100000000000000 0000000000000000 01000000 6b", ST_OK},
        {"01 02 00 01 01 61 0200000000000000 0000000000000000 01000000 6b", ST_FORMAT},
        {"01 06 00 00 0100000000000000", ST_OK},
        {"01 06 00 00 01000000000000", ST_SHORT},
        {"01 06 00 01 00 61 0100000000000000 0000000000000000 0100000000000000", ST_FORMAT},
        {"01 07 00 01 00 61 0000000000000000 0000000000000000", ST_OK},
        {"01 07 00 01 00 61 0100000000000000 0000000000000000", ST_FORMAT},
        {"01 07 00 01 01 61 0000000000000000 0000000000000000", ST_FORMAT},
        {"01 07 00 00", ST_FORMAT},
        {"01 08 00 00 0100000000000000", ST_OK},
        {"01 08 00 01 00 61 0100000000000000 0000000000000000 0100000000000000", ST_FORMAT},
        {"01 09 00 01 00 61 0100000000000000 0000000000000000", ST_OK},
        {"01 09 00 01 01 61 0100000000000000 0000000000000000", ST_OK},
        {"01 09 00 01 01 61 0200000000000000 0000000000000000", ST_FORMAT},
        {"01 09 00 00", ST_FORMAT},
        {"01 0a 00 00 01000000", ST_OK},
        {"01 0a 00 00 00000000", ST_FORMAT},
        {"01 02 00 00 00000000", ST_LIMIT},                                /* empty key */
        {"01 02 00 00 01100000", ST_LIMIT},                                /* key of 4097 */
        {"01 02 00 00 00100000", ST_SHORT},                                /* key of 4096 */
        {"01 01 00 00 01000000 6b 01001000", ST_LIMIT},                    /* value of 1 MiB + 1 */
        {"01 01 00 00 01000000 6b 00001000", ST_SHORT},                    /* value of 1 MiB */
        {"01 04 00 00 00000000 00000000", ST_FORMAT},                      /* member 0 */
        {"01 04 00 00 00000080 00000000", ST_FORMAT},                      /* member 2^31 */
        {"01 04 00 00 01000000 48000000", ST_LIMIT},                       /* address of 72 */
        {"01 04 00 00 01000000 03000000 613a31", ST_OK},                   /* a:1 */
        {"01 04 00 00 01000000 04000000 613a3031", ST_FORMAT},             /* a:01 */
        {"01 04 00 00 01000000 0a000000 687474703a2f2f613a31", ST_FORMAT}, /* http://a:1 */
        {"01 05 00 00 03000000 0000000000000000", ST_FORMAT},              /* identity 0 */
        {"01 0b 00 00 01000000 03000000 613a31 0000000000000000", ST_OK},  /* … not told */
        {"01 0b 00 00 01000000 03000000 613a31 00000000000000", ST_SHORT},
        {"01 0b 00 00 01000000 00000000 0000000000000000", ST_LIMIT},           /* no address */
        {"01 0b 00 00 01000000 48000000 0000000000000000", ST_LIMIT},           /* one of 72 */
        {"01 0b 00 00 01000000 04000000 613a3031 0000000000000000", ST_FORMAT}, /* a:01 */
        {"01 0b 00 00 00000000 03000000 613a31 0000000000000000", ST_FORMAT},   /* member 0 */
        {"01 0c 00 00 01000000", ST_OK},
        {"01 0c 00 00 00000000", ST_FORMAT},
        {"01 0d 00 00 01000000", ST_OK},
        {"01 0d 01 00 01000000", ST_FORMAT},
        {"01 0c 00 01 00 61 0100000000000000 0000000000000000 01000000", ST_FORMAT}, /* identity */
    };

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        print_message("%s\n", cases[i].hex);
        assert_int_equal(decode_hex(cases[i].hex), cases[i].status);
    }
}

static void the_largest_command_fits_its_limit(void **state)
{
    (void)state;
    uint8_t *data = mem_alloc(LIMIT_VALUE_BYTES);
    struct command command = {.op = COMMAND_PUT,
                              .identity = {.kind = CLIENT_KEY,
                                           .client = bytes_of(data, LIMIT_IDEMPOTENCY_KEY_BYTES),
                                           .sequence = 1},
                              .key = bytes_of(data, LIMIT_KEY_BYTES),
                              .value = bytes_of(data, LIMIT_VALUE_BYTES),
                              .condition = CONDITION_NOT_REVISION};

    struct buf bytes = encode(&command); /* which asserts that it fits LIMIT_COMMAND_BYTES */

    assert_int_equal(command_decode(buf_bytes(&bytes), &command), ST_OK);
    buf_release(&bytes);
    mem_free(data);
}

static void peeking_sees_commands_only(void **state)
{
    (void)state;
    assert_int_equal(command_peek(bytes_of(NULL, 0)), 0);
    assert_int_equal(command_peek(bytes_of("\x01", 1)), 0);
    assert_int_equal(command_peek(bytes_of("\x01\x00", 2)), 0);
    assert_int_equal(command_peek(bytes_of("\x01\x0e", 2)), 0);
    assert_int_equal(command_peek(bytes_of("\x02\x01", 2)), 0);
    assert_int_equal(command_peek(bytes_of("\x01\x05", 2)), COMMAND_REGISTER);
    assert_int_equal(command_peek_key(bytes_of("\x01\x02\x00\x00\xff\xff\xff\xff", 8)).count, 0);
}

/* ---- fingerprints ---- */

static uint64_t fingerprint_of(const struct command *command)
{
    struct buf bytes = encode(command);
    uint64_t fingerprint = command_fingerprint(buf_bytes(&bytes));
    buf_release(&bytes);
    return fingerprint;
}

static void the_same_request_of_anybody_has_the_same_fingerprint(void **state)
{
    (void)state;
    struct prng prng;
    prng_init(&prng, 4);
    for (int i = 0; i < 2000; i++) {
        struct room room, other_room;
        struct command command = random_command(&prng, &room);
        struct command other = command;
        other.identity = random_identity(&prng, command.op, &other_room);

        assert_true(fingerprint_of(&command) == fingerprint_of(&other));
    }
}

static void any_other_request_has_another_fingerprint(void **state)
{
    (void)state;
    struct command put = {.op = COMMAND_PUT,
                          .key = BYTES_LITERAL("k"),
                          .value = BYTES_LITERAL("v"),
                          .condition = CONDITION_REVISION,
                          .condition_revision = 3};
    struct command variants[19];
    for (size_t i = 0; i < ARRAY_COUNT(variants); i++)
        variants[i] = put;
    variants[1].op = COMMAND_DELETE;
    variants[2].key = BYTES_LITERAL("l");
    variants[3].value = BYTES_LITERAL("w");
    variants[4].condition = CONDITION_NOT_REVISION;
    variants[5].condition = CONDITION_EXISTS;
    variants[6].condition = CONDITION_ABSENT;
    variants[7].condition_revision = 4;
    variants[8].key = BYTES_LITERAL("kv"); /* the same bytes, cut elsewhere */
    variants[8].value = BYTES_LITERAL("");
    variants[9] = (struct command){.op = COMMAND_INCR, .key = BYTES_LITERAL("k"), .by = 1};
    variants[10] = (struct command){.op = COMMAND_INCR, .key = BYTES_LITERAL("k"), .by = 2};
    variants[11] = (struct command){.op = COMMAND_ANNOUNCE, .member = 1};
    variants[12] =
        (struct command){.op = COMMAND_ANNOUNCE, .member = 1, .http = address_from("a:1")};
    variants[13] = (struct command){.op = COMMAND_TRANSFER, .member = 1};
    variants[14] = (struct command){.op = COMMAND_REMOVE, .member = 1};
    variants[15] = (struct command){.op = COMMAND_PROMOTE, .member = 1};
    variants[16] = (struct command){.op = COMMAND_JOIN, .member = 1, .peer = address_from("a:1")};
    variants[17] = (struct command){.op = COMMAND_JOIN, .member = 1, .peer = address_from("a:2")};
    variants[18] = variants[17];
    variants[18].member_identity = 1;

    for (size_t i = 0; i < ARRAY_COUNT(variants); i++)
        for (size_t j = 0; j < i; j++)
            assert_true(fingerprint_of(&variants[i]) != fingerprint_of(&variants[j]));
}

/* Nodes of different builds and machines compare them: they may not change. */
static void fingerprints_are_these_numbers(void **state)
{
    (void)state;
    struct command command = {.op = COMMAND_INCR, .key = BYTES_LITERAL("n"), .by = 1};
    assert_int_equal(fingerprint_of(&command), UINT64_C(0x504773a91bde7b74));
}

static void every_op_has_a_name(void **state)
{
    (void)state;
    assert_string_equal(command_op_name(COMMAND_PUT), "put");
    assert_string_equal(command_op_name(COMMAND_DELETE), "delete");
    assert_string_equal(command_op_name(COMMAND_INCR), "incr");
    assert_string_equal(command_op_name(COMMAND_ANNOUNCE), "announce");
    assert_string_equal(command_op_name(COMMAND_REGISTER), "register");
    assert_string_equal(command_op_name(COMMAND_OPEN_SESSION), "open-session");
    assert_string_equal(command_op_name(COMMAND_CLOSE_SESSION), "close-session");
    assert_string_equal(command_op_name(COMMAND_EXPIRE_SESSIONS), "expire-sessions");
    assert_string_equal(command_op_name(COMMAND_SEAL), "seal");
    assert_string_equal(command_op_name(COMMAND_TRANSFER), "transfer");
    assert_string_equal(command_op_name(COMMAND_JOIN), "join");
    assert_string_equal(command_op_name(COMMAND_REMOVE), "remove");
    assert_string_equal(command_op_name(COMMAND_PROMOTE), "promote");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_put_is_these_bytes),
        cmocka_unit_test(a_put_with_everything_is_these_bytes),
        cmocka_unit_test(a_delete_is_these_bytes),
        cmocka_unit_test(an_incr_is_these_bytes),
        cmocka_unit_test(an_announce_is_these_bytes),
        cmocka_unit_test(a_register_is_these_bytes),
        cmocka_unit_test(an_incr_with_an_idempotency_key_is_these_bytes),
        cmocka_unit_test(the_commands_of_sessions_are_these_bytes),
        cmocka_unit_test(a_transfer_is_these_bytes),
        cmocka_unit_test(the_commands_of_members_are_these_bytes),
        cmocka_unit_test(every_command_comes_back_as_it_was),
        cmocka_unit_test(every_truncation_is_short_and_leaves_the_output_alone),
        cmocka_unit_test(what_decodes_encodes_to_the_same_bytes),
        cmocka_unit_test(what_is_no_command_is_refused),
        cmocka_unit_test(the_largest_command_fits_its_limit),
        cmocka_unit_test(peeking_sees_commands_only),
        cmocka_unit_test(the_same_request_of_anybody_has_the_same_fingerprint),
        cmocka_unit_test(any_other_request_has_another_fingerprint),
        cmocka_unit_test(fingerprints_are_these_numbers),
        cmocka_unit_test(every_op_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
