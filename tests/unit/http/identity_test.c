/* Which write of which client a request is: the headers, alone and together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "http/headers.h"

/* What headers such as "X-MiniKV-Client-Id: c\nX-MiniKV-Sequence: 1" come to. */
struct verdict {
    bool is_ok;
    struct headers headers;
    struct client_identity identity;
    struct problem problem;
};

static void take(struct verdict *verdict, struct bytes line)
{
    struct errtext error;
    const uint8_t *colon = memchr(line.data, ':', line.count);
    assert_non_null(colon);
    size_t name_count = (size_t)(colon - line.data);
    struct bytes value = bytes_of(colon + 1, line.count - name_count - 1);
    assert_int_equal(
        headers_take(&verdict->headers, bytes_of(line.data, name_count), value, &error), ST_OK);
}

static void judge(const char *lines, struct verdict *verdict)
{
    memset(verdict, 0, sizeof *verdict);
    headers_reset(&verdict->headers);
    struct bytes rest = bytes_of_text(lines);
    while (rest.count != 0) {
        const uint8_t *end = memchr(rest.data, '\n', rest.count);
        size_t count = end == NULL ? rest.count : (size_t)(end - rest.data);
        take(verdict, bytes_of(rest.data, count));
        rest = end == NULL ? bytes_of(NULL, 0) : bytes_of(end + 1, rest.count - count - 1);
    }
    assert_int_equal(verdict->headers.soft.status, ST_OK); /* it is for writes to mind */
    verdict->is_ok =
        identity_finish(&verdict->headers.identity, &verdict->identity, &verdict->problem);
}

static void refused(const char *lines, const char *reason)
{
    struct verdict verdict;
    judge(lines, &verdict);
    if (verdict.is_ok)
        fail_msg("taken: %s", lines);
    assert_int_equal(verdict.problem.status, ST_BAD_IDENTITY);
    if (strstr(verdict.problem.detail.text, reason) == NULL)
        fail_msg("%s\nno <%s> in: %s", lines, reason, verdict.problem.detail.text);
}

static void key_is(const char *value, const char *wanted)
{
    char line[640];
    struct verdict verdict;
    (void)snprintf(line, sizeof line, "Idempotency-Key:%s", value);
    judge(line, &verdict);
    if (!verdict.is_ok)
        fail_msg("%s: %s", value, verdict.problem.detail.text);
    assert_int_equal(verdict.identity.kind, CLIENT_KEY);
    assert_int_equal(verdict.identity.sequence, 1);
    assert_int_equal(verdict.identity.acked, 0);
    if (!bytes_equal_text(verdict.identity.client, wanted))
        fail_msg("%s means %.*s", value, (int)verdict.identity.client.count,
                 (const char *)verdict.identity.client.data);
}

static void a_client_id_and_a_sequence_name_a_write(void **state)
{
    struct verdict verdict;

    judge("X-MiniKV-Sequence: 9223372036854775807\nx-minikv-client-ID:  a!~{\"}  ", &verdict);

    assert_true(verdict.is_ok);
    assert_int_equal(verdict.identity.kind, CLIENT_ID);
    assert_true(bytes_equal_text(verdict.identity.client, "a!~{\"}"));
    assert_int_equal(verdict.identity.sequence, INT64_MAX);
    assert_int_equal(verdict.identity.acked, 0);
}

static void what_is_acknowledged_is_below_the_sequence(void **state)
{
    struct verdict verdict;
    judge("X-MiniKV-Acked: 6\nX-MiniKV-Client-Id: c\nX-MiniKV-Sequence: 7", &verdict);
    assert_true(verdict.is_ok);
    assert_int_equal(verdict.identity.acked, 6);
    judge("X-MiniKV-Client-Id: c\nX-MiniKV-Sequence: 1\nX-MiniKV-Acked: 0", &verdict);
    assert_true(verdict.is_ok);

    refused("X-MiniKV-Client-Id: c\nX-MiniKV-Sequence: 7\nX-MiniKV-Acked: 7",
            "X-MiniKV-Acked is below X-MiniKV-Sequence");
    refused("X-MiniKV-Acked: 8\nX-MiniKV-Client-Id: c\nX-MiniKV-Sequence: 7",
            "X-MiniKV-Acked is below X-MiniKV-Sequence");
}

static void half_an_identity_is_none(void **state)
{
    refused("X-MiniKV-Client-Id: c", "X-MiniKV-Sequence is missing");
    refused("X-MiniKV-Sequence: 1", "X-MiniKV-Client-Id is missing");
    refused("X-MiniKV-Acked: 0", "X-MiniKV-Client-Id is missing");
    refused("X-MiniKV-Client-Id: c\nX-MiniKV-Acked: 0", "X-MiniKV-Sequence is missing");
    refused("X-MiniKV-Sequence: 2\nX-MiniKV-Acked: 1", "X-MiniKV-Client-Id is missing");
}

static void two_identities_are_one_too_many(void **state)
{
    static const char *const others[] = {"X-MiniKV-Client-Id: c", "X-MiniKV-Sequence: 1",
                                         "X-MiniKV-Acked: 0"};
    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        char lines[128];
        (void)snprintf(lines, sizeof lines, "Idempotency-Key: \"k\"\n%s", others[i]);
        refused(lines, "either Idempotency-Key or X-MiniKV-Client-Id with X-MiniKV-Sequence");
        (void)snprintf(lines, sizeof lines, "%s\nIdempotency-Key: \"k\"", others[i]);
        refused(lines, "either Idempotency-Key or X-MiniKV-Client-Id with X-MiniKV-Sequence");
    }
}

static void each_part_may_come_once(void **state)
{
    refused("X-MiniKV-Client-Id: c\nX-MiniKV-Client-Id: c\nX-MiniKV-Sequence: 1",
            "X-MiniKV-Client-Id is given twice");
    refused("X-MiniKV-Client-Id: c\nX-MiniKV-Sequence: 1\nX-MiniKV-Sequence: 1",
            "X-MiniKV-Sequence is given twice");
    refused("X-MiniKV-Client-Id: c\nX-MiniKV-Acked: 0\nX-MiniKV-Sequence: 1\nX-MiniKV-Acked: 0",
            "X-MiniKV-Acked is given twice");
    refused("Idempotency-Key: \"k\"\nIdempotency-Key: \"k\"", "Idempotency-Key is given twice");
}

static void a_client_id_is_1_to_64_visible_bytes(void **state)
{
    char line[128];
    struct verdict verdict;
    for (int c = 1; c < 256; c++) {
        bool is_visible = c >= 0x21 && c <= 0x7e;
        if (c == '\n')
            continue; /* ends the line of this test */
        (void)snprintf(line, sizeof line, "X-MiniKV-Sequence: 1\nX-MiniKV-Client-Id: a%cb", c);
        judge(line, &verdict);
        if (verdict.is_ok != is_visible)
            fail_msg("0x%02x", (unsigned)c);
    }
    refused("X-MiniKV-Sequence: 1\nX-MiniKV-Client-Id: a\tb", "holds the byte 0x09");
    refused("X-MiniKV-Sequence: 1\nX-MiniKV-Client-Id:  ", "has 0 bytes; send 1 to 64");
    (void)snprintf(line, sizeof line, "X-MiniKV-Sequence: 1\nX-MiniKV-Client-Id: %064d", 0);
    judge(line, &verdict);
    assert_true(verdict.is_ok);
    assert_int_equal(verdict.identity.client.count, LIMIT_CLIENT_ID_BYTES);
    (void)snprintf(line, sizeof line, "X-MiniKV-Sequence: 1\nX-MiniKV-Client-Id: %065d", 0);
    refused(line, "has 65 bytes; send 1 to 64");
}

static void numbers_are_plain_digits_in_their_range(void **state)
{
    static const char *const bad[] = {
        "", "0", "01", "-1", "+1", "1.0", "1 2", "0x1", "1e3", "9223372036854775808", "a"};
    char line[128];
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        (void)snprintf(line, sizeof line, "X-MiniKV-Client-Id: c\nX-MiniKV-Sequence: %s", bad[i]);
        refused(line, "X-MiniKV-Sequence is a number from 1 to 9223372036854775807");
        if (strcmp(bad[i], "0") == 0)
            continue;
        (void)snprintf(line, sizeof line,
                       "X-MiniKV-Client-Id: c\nX-MiniKV-Sequence: 5\nX-MiniKV-Acked: %s", bad[i]);
        refused(line, "X-MiniKV-Acked is 0 or a number below the sequence");
    }
}

static void a_key_is_a_string_in_quotes(void **state)
{
    key_is("\"k\"", "k");
    key_is("  \"8e03978e-40d5-43e8-bc93-6894a57f9324\"\t", "8e03978e-40d5-43e8-bc93-6894a57f9324");
    key_is("\"a, b; c=d (e) [f]\"", "a, b; c=d (e) [f]");
    key_is("\"say \\\"hi\\\" \\\\ bye\"", "say \"hi\" \\ bye");
    key_is("\" \"", " ");
}

static void a_bare_key_means_the_same_string(void **state)
{
    key_is("8e03978e-40d5-43e8-bc93-6894a57f9324", "8e03978e-40d5-43e8-bc93-6894a57f9324");
    key_is("a/b:c.d_e~f!#$%&'*+^`|", "a/b:c.d_e~f!#$%&'*+^`|");
    key_is("7", "7");
}

static void a_key_in_another_form_is_refused_with_the_reason(void **state)
{
    static const struct {
        const char *value, *reason;
    } cases[] = {
        {"", "it is empty"},
        {"\"\"", "it is empty"},
        {"\"", "the closing quote is missing"},
        {"\"abc", "the closing quote is missing"},
        {"\"abc\\\"", "the closing quote is missing"},
        {"\"a\"b", "something follows the closing quote"},
        {"\"a\"; x=1", "something follows the closing quote"},
        {"\"a\", \"b\"", "something follows the closing quote"},
        {"\"a\\n\"", "a backslash stands only before"},
        {"\"a\\", "a backslash stands only before"},
        {"\"a\tb\"", "printable ASCII"},
        {"\"\x7f\"", "printable ASCII"},
        {"\"\xc3\xa4\"", "printable ASCII"},
        {"a b", "must stand in quotes"},
        {"a,b", "must stand in quotes"},
        {"a;b", "must stand in quotes"},
        {"a\"b\"", "must stand in quotes"},
        {"\xc3\xa4", "must stand in quotes"},
        {"YQ==", "must stand in quotes"},
        {"a\\b", "must stand in quotes"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char line[128];
        (void)snprintf(line, sizeof line, "Idempotency-Key: %s", cases[i].value);
        refused(line, cases[i].reason);
        refused(line, "send a string in quotes");
    }
}

static void a_key_has_at_most_255_bytes_of_content(void **state)
{
    char content[257], value[600];
    memset(content, 'k', 256);
    for (size_t count = 255; count <= 256; count++) {
        content[count] = '\0';
        (void)snprintf(value, sizeof value, "Idempotency-Key: \"%s\"", content);
        if (count == 256)
            refused(value, "more than 255 bytes");
        else
            key_is(value + strlen("Idempotency-Key:"), content);
        (void)snprintf(value, sizeof value, "Idempotency-Key: %s", content);
        if (count == 256)
            refused(value, "more than 255 bytes");
        else
            key_is(value + strlen("Idempotency-Key:"), content);
        memset(content, 'k', 256);
    }
    memset(value, 0, sizeof value);
    value[0] = '"'; /* escapes count once */
    for (size_t i = 0; i < 255; i++)
        memcpy(value + 1 + 2 * i, "\\\"", 2);
    value[1 + 2 * 255] = '"';
    memset(content, '"', 255);
    content[255] = '\0';
    key_is(value, content);
}

static void fields_are_called_by_their_own_names(void **state)
{
    struct identity identity;
    struct client_identity named;
    struct problem problem;
    problem_clear(&problem);
    identity_reset(&identity, IDENTITY_OF_FIELDS);
    identity_take(&identity, IDENTITY_SEQUENCE, BYTES_LITERAL("3"));

    assert_false(identity_finish(&identity, &named, &problem));

    assert_int_equal(problem.status, ST_BAD_IDENTITY);
    assert_string_equal(problem.detail.text,
                        "client is missing: a write is named by client and sequence");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_id_and_a_sequence_name_a_write),
        cmocka_unit_test(what_is_acknowledged_is_below_the_sequence),
        cmocka_unit_test(half_an_identity_is_none),
        cmocka_unit_test(two_identities_are_one_too_many),
        cmocka_unit_test(each_part_may_come_once),
        cmocka_unit_test(a_client_id_is_1_to_64_visible_bytes),
        cmocka_unit_test(numbers_are_plain_digits_in_their_range),
        cmocka_unit_test(a_key_is_a_string_in_quotes),
        cmocka_unit_test(a_bare_key_means_the_same_string),
        cmocka_unit_test(a_key_in_another_form_is_refused_with_the_reason),
        cmocka_unit_test(a_key_has_at_most_255_bytes_of_content),
        cmocka_unit_test(fields_are_called_by_their_own_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
