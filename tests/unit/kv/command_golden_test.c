/* The bytes of commands, written down: docs/formats/command.md. */
#include "command_fixture.h"

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

static void a_put_with_a_lease_is_these_bytes(void **state)
{
    (void)state;
    struct command command = {
        .op = COMMAND_PUT, .key = BYTES_LITERAL("k"), .value = BYTES_LITERAL("v"), .lease = 0x0102};
    struct command conditional = command;
    conditional.condition = CONDITION_NOT_REVISION;
    conditional.condition_revision = 3;

    assert_encodes_to(&command, "01 01 80 00  0201000000000000  01000000 6b  01000000 76");
    assert_encodes_to(&conditional, "01 01 84 00  0300000000000000 0201000000000000"
                                    "01000000 6b  01000000 76");
}

static void a_transaction_is_these_bytes(void **state)
{
    (void)state;
    struct command command = {.op = COMMAND_TXN, .value = BYTES_LITERAL("as txn.h has it")};

    assert_encodes_to(&command, "01 0e 00 00  0f000000 61732074786e2e6820686173206974");
}

static void a_compact_is_these_bytes(void **state)
{
    (void)state;
    struct command command = {.op = COMMAND_COMPACT, .revision = 0x0102};

    assert_encodes_to(&command, "01 0f 00 00  0201000000000000");
}

static void the_commands_of_leases_are_these_bytes(void **state)
{
    (void)state;
    struct command grant = {.op = COMMAND_GRANT_LEASE, .ttl_ms = 1000};
    struct command own = {.op = COMMAND_GRANT_LEASE, .lease = 0x0102, .ttl_ms = 1000};
    struct command revoke = {.op = COMMAND_REVOKE_LEASE, .lease = 0x0102};
    struct command renew = {.op = COMMAND_RENEW_LEASES,
                            .value = BYTES_LITERAL("\1\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0")};
    struct command expire = {.op = COMMAND_EXPIRE_LEASES, .cutoff_us = 0x030405};

    assert_encodes_to(&grant, "01 10 00 00  0000000000000000 e803000000000000");
    assert_encodes_to(&own, "01 10 00 00  0201000000000000 e803000000000000");
    assert_encodes_to(&revoke, "01 11 00 00  0201000000000000");
    assert_encodes_to(&renew, "01 12 00 00  10000000 0100000000000000 0200000000000000");
    assert_encodes_to(&expire, "01 13 00 00  0504030000000000");
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
        cmocka_unit_test(a_put_with_a_lease_is_these_bytes),
        cmocka_unit_test(a_transaction_is_these_bytes),
        cmocka_unit_test(a_compact_is_these_bytes),
        cmocka_unit_test(the_commands_of_leases_are_these_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
