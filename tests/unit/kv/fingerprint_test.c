/* Fingerprints of commands: the same for the same request, whoever asks and wherever. */
#include "command_fixture.h"

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
    struct command variants[25];
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
    variants[19] = put;
    variants[19].lease = 1;
    variants[20] = (struct command){.op = COMMAND_TXN, .value = BYTES_LITERAL("a")};
    variants[21] = (struct command){.op = COMMAND_TXN, .value = BYTES_LITERAL("b")};
    variants[22] = (struct command){.op = COMMAND_COMPACT, .revision = 1};
    variants[23] = (struct command){.op = COMMAND_GRANT_LEASE, .lease = 1, .ttl_ms = 1000};
    variants[24] = (struct command){.op = COMMAND_REVOKE_LEASE, .lease = 1};

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_request_of_anybody_has_the_same_fingerprint),
        cmocka_unit_test(any_other_request_has_another_fingerprint),
        cmocka_unit_test(fingerprints_are_these_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
