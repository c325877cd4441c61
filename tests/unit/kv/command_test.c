/* Commands come back from their bytes as they were, and nothing else is taken for one. */
#include "command_fixture.h"

#include "base/mem.h"
#include "support/hex.h"

/* ---- there and back ---- */

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
    assert_int_equal(a->revision, b->revision);
    assert_int_equal(a->lease, b->lease);
    assert_int_equal(a->ttl_ms, b->ttl_ms);
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
    struct buf buf = hex_bytes(hex);
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
        {"01 14 00 00 01000000 6b", ST_FORMAT},
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

/* The same of transactions, of the past and of leases. */
static void what_is_no_command_of_several_keys_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        enum status status;
    } cases[] = {
        {"01 01 80 00 0100000000000000 01000000 6b 00000000", ST_OK}, /* a lease */
        {"01 01 81 00 0300000000000000 ffffffffffff1f00 01000000 6b 00000000", ST_OK},
        {"01 01 80 00 0000000000000000 01000000 6b 00000000", ST_FORMAT}, /* 0 is left out */
        {"01 01 80 00 0000000000002000 01000000 6b 00000000", ST_FORMAT}, /* 2^53 */
        {"01 01 80 00 01000000000000", ST_SHORT},
        {"01 01 85 00 0100000000000000 01000000 6b 00000000", ST_FORMAT}, /* condition */
        {"01 02 80 00 0100000000000000 01000000 6b", ST_FORMAT},          /* of a delete */
        {"01 0e 00 00 00000000", ST_OK}, /* a transaction is checked where it is carried out */
        {"01 0e 00 00 03000000 616263", ST_OK},
        {"01 0e 00 00 03000000 6162", ST_SHORT},
        {"01 0e 00 00 01121000", ST_LIMIT}, /* 4 KiB + 1 MiB + 512 + 1 */
        {"01 0e 00 00 00121000", ST_SHORT},
        {"01 0e 00 01 00 61 0100000000000000 0000000000000000 00000000", ST_OK},
        {"01 0f 00 00 0100000000000000", ST_OK},
        {"01 0f 00 00 01000000000000", ST_SHORT},
        {"01 0f 00 01 00 61 0100000000000000 0000000000000000 0100000000000000", ST_OK},
        {"01 10 00 00 0000000000000000 e803000000000000", ST_OK}, /* one is allotted */
        {"01 10 00 00 0000000000002000 e803000000000000", ST_FORMAT},
        {"01 10 00 00 0100000000000000 e8030000000000", ST_SHORT},
        {"01 11 00 00 0100000000000000", ST_OK},
        {"01 11 00 00 0000000000000000", ST_FORMAT},
        {"01 11 00 00 0000000000002000", ST_FORMAT},
        {"01 12 00 00 08000000 0100000000000000", ST_OK},
        {"01 12 00 00 10000000 0100000000000000 0000000000000000", ST_OK},
        {"01 12 00 00 09000000 0100000000000000 00", ST_FORMAT},
        {"01 12 00 00 00000000", ST_LIMIT},
        {"01 12 00 00 00200000", ST_SHORT}, /* 1024 of them */
        {"01 12 00 00 08200000", ST_LIMIT},
        {"01 12 00 01 00 61 0100000000000000 0000000000000000 08000000 0100000000000000",
         ST_FORMAT},
        {"01 13 00 00 0100000000000000", ST_OK},
        {"01 13 00 01 00 61 0100000000000000 0000000000000000 0100000000000000", ST_FORMAT},
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
                              .condition = CONDITION_NOT_REVISION,
                              .lease = 1};

    struct buf bytes = encode(&command); /* which asserts that it fits LIMIT_COMMAND_BYTES */

    assert_int_equal(command_decode(buf_bytes(&bytes), &command), ST_OK);
    buf_release(&bytes);
    mem_free(data);
}

static void the_largest_transaction_fits_its_limit(void **state)
{
    (void)state;
    uint8_t *data = mem_alloc(LIMIT_TXN_BYTES);
    struct command command = {.op = COMMAND_TXN,
                              .identity = {.kind = CLIENT_KEY,
                                           .client = bytes_of(data, LIMIT_IDEMPOTENCY_KEY_BYTES),
                                           .sequence = 1},
                              .value = bytes_of(data, LIMIT_TXN_BYTES)};

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
    assert_int_equal(command_peek(bytes_of("\x01\x14", 2)), 0);
    assert_int_equal(command_peek(bytes_of("\x02\x01", 2)), 0);
    assert_int_equal(command_peek(bytes_of("\x01\x05", 2)), COMMAND_REGISTER);
    assert_int_equal(command_peek_key(bytes_of("\x01\x02\x00\x00\xff\xff\xff\xff", 8)).count, 0);
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
    assert_string_equal(command_op_name(COMMAND_TXN), "txn");
    assert_string_equal(command_op_name(COMMAND_COMPACT), "compact");
    assert_string_equal(command_op_name(COMMAND_GRANT_LEASE), "grant-lease");
    assert_string_equal(command_op_name(COMMAND_REVOKE_LEASE), "revoke-lease");
    assert_string_equal(command_op_name(COMMAND_RENEW_LEASES), "renew-leases");
    assert_string_equal(command_op_name(COMMAND_EXPIRE_LEASES), "expire-leases");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command_comes_back_as_it_was),
        cmocka_unit_test(every_truncation_is_short_and_leaves_the_output_alone),
        cmocka_unit_test(what_decodes_encodes_to_the_same_bytes),
        cmocka_unit_test(what_is_no_command_is_refused),
        cmocka_unit_test(what_is_no_command_of_several_keys_is_refused),
        cmocka_unit_test(the_largest_command_fits_its_limit),
        cmocka_unit_test(the_largest_transaction_fits_its_limit),
        cmocka_unit_test(peeking_sees_commands_only),
        cmocka_unit_test(every_op_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
