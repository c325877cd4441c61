#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "http/headers.h"

static enum status take(struct headers *headers, const char *name, const char *value)
{
    struct errtext error;
    return headers_take(headers, bytes_of_text(name), bytes_of_text(value), &error);
}

static enum status take_one(const char *name, const char *value)
{
    struct headers headers;
    headers_reset(&headers);
    enum status status = take(&headers, name, value);
    return status != ST_OK ? status : headers.soft.status;
}

static void names_are_known_in_any_case(void **state)
{
    struct headers headers;
    headers_reset(&headers);

    assert_int_equal(take(&headers, "HOST", "a"), ST_OK);
    assert_int_equal(take(&headers, "content-TYPE", "Application/Octet-Stream; a=b"), ST_OK);
    assert_int_equal(take(&headers, "x-minikv-FORWARDED", ""), ST_OK);
    assert_int_equal(take(&headers, "X-MINIKV-ROUTE", "redirect"), ST_OK);
    assert_int_equal(take(&headers, "X-MiniKV-Timeout-Ms", "250"), ST_OK);
    assert_int_equal(take(&headers, "If-Match", " \"3\" "), ST_OK);
    assert_int_equal(take(&headers, "expect", "100-Continue"), ST_OK);

    assert_true(headers.has_host);
    assert_true(headers.is_raw_body);
    assert_true(headers.is_forwarded);
    assert_true(headers.has_policy);
    assert_int_equal(headers.policy, ROUTE_REDIRECT);
    assert_int_equal(headers.timeout_ms, 250);
    assert_int_equal(headers.condition, CONDITION_REVISION);
    assert_int_equal(headers.condition_revision, 3);
    assert_true(headers.expects_continue);
    assert_int_equal(headers.soft.status, ST_OK);
}

static void names_with_underscores_and_lookalikes_mean_nothing(void **state)
{
    static const char *const names[] = {
        "X_MiniKV_Forwarded",  "X-MiniKV_Forwarded", "X-MiniKV-Forwarde", "X-MiniKV-Forwardedd",
        "X-MiniKV-Client_Id",  "If_Match",           "Content_Length",    "Transfer_Encoding",
        "X-MiniKV-Timeout_Ms", "X-MiniKV-",          "X-MiniKV-Routes",   "Hosts"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        struct headers headers, fresh;
        headers_reset(&headers);
        headers_reset(&fresh);
        assert_int_equal(take(&headers, names[i], "1"), ST_OK);
        fresh.count = 1;
        assert_memory_equal(&headers, &fresh, offsetof(struct headers, host));
    }
}

static void a_host_is_one_name_or_address_with_an_optional_port(void **state)
{
    static const char *const good[] = {
        "a", "a:80", "127.0.0.1:8081", "[::1]", "[::1]:80", "a.b-c_d", "a:", " a ", "A%20"};
    static const char *const bad[] = {"",      "a,b",  "u@a", "a/b", "a b",      "a:b",
                                      "a:1:2", "[::1", "[]",  "::1", "a:123456", "[::1]x",
                                      "a\"",   "a?b",  "a#b", ":80", "a\xff",    "http://a"};
    for (size_t i = 0; i < ARRAY_COUNT(good); i++)
        assert_int_equal(take_one("Host", good[i]), ST_OK);
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        if (take_one("Host", bad[i]) != ST_BAD_HOST)
            fail_msg("Host: %s", bad[i]);
}

static void a_host_longer_than_a_name_can_be_is_refused(void **state)
{
    char host[HOST_BYTES_MAX + 2];
    memset(host, 'a', sizeof host);
    host[HOST_BYTES_MAX] = '\0';
    assert_int_equal(take_one("Host", host), ST_OK);
    host[HOST_BYTES_MAX] = 'a';
    host[HOST_BYTES_MAX + 1] = '\0';
    assert_int_equal(take_one("Host", host), ST_BAD_HOST);
}

static void lengths_are_plain_digits(void **state)
{
    static const char *const bad[] = {
        "", "+5", "-1", "0x5", "5_0", "005", "5 5", "5,5", "00", "5.0", "18446744073709551621"};
    assert_int_equal(take_one("Content-Length", "0"), ST_OK);
    assert_int_equal(take_one("Content-Length", "5"), ST_OK);
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        assert_int_equal(take_one("Content-Length", bad[i]), ST_BAD_LENGTH);
}

static void the_only_transfer_coding_is_chunked_alone(void **state)
{
    static const char *const unknown[] = {"xchunked",  "chunkedx",      "gzip",
                                          "identity",  "gzip, chunked", "chunked, chunked",
                                          "chunked;a", "\"chunked\""};
    assert_int_equal(take_one("Transfer-Encoding", "Chunked"), ST_OK);
    assert_int_equal(take_one("Transfer-Encoding", ""), ST_BAD_LENGTH);
    for (size_t i = 0; i < ARRAY_COUNT(unknown); i++)
        assert_int_equal(take_one("Transfer-Encoding", unknown[i]), ST_UNSUPPORTED_CODING);
}

static void what_may_come_once_is_refused_the_second_time(void **state)
{
    static const struct {
        const char *name, *value;
        enum status status;
    } cases[] = {
        {"Host", "a", ST_BAD_HOST},
        {"Content-Length", "5", ST_BAD_LENGTH},
        {"Transfer-Encoding", "chunked", ST_BAD_LENGTH},
        {"Content-Type", "text/plain", ST_BAD_HEADER},
        {"If-Match", "*", ST_BAD_CONDITION},
        {"If-None-Match", "*", ST_BAD_CONDITION},
        {"Expect", "100-continue", ST_BAD_HEADER},
        {"X-MiniKV-Route", "forward", ST_BAD_HEADER},
        {"X-MiniKV-Timeout-Ms", "5", ST_BAD_HEADER},
        {"X-MiniKV-Forwarded", "1", ST_OK},
        {"Accept", "*/*", ST_OK},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct headers headers;
        headers_reset(&headers);
        assert_int_equal(take(&headers, cases[i].name, cases[i].value), ST_OK);
        assert_int_equal(headers.soft.status, ST_OK);

        enum status status = take(&headers, cases[i].name, cases[i].value);

        assert_int_equal(status != ST_OK ? status : headers.soft.status, cases[i].status);
    }
}

static void both_conditions_at_once_are_refused(void **state)
{
    struct headers headers;
    headers_reset(&headers);
    assert_int_equal(take(&headers, "If-None-Match", "*"), ST_OK);
    assert_int_equal(take(&headers, "If-Match", "\"1\""), ST_OK);
    assert_int_equal(headers.soft.status, ST_BAD_CONDITION);
}

static void values_that_are_merely_wrong_are_refused_softly(void **state)
{
    assert_int_equal(take_one("X-MiniKV-Route", "Forward"), ST_BAD_HEADER);
    assert_int_equal(take_one("X-MiniKV-Route", ""), ST_BAD_HEADER);
    assert_int_equal(take_one("X-MiniKV-Timeout-Ms", "0"), ST_BAD_HEADER);
    assert_int_equal(take_one("X-MiniKV-Timeout-Ms", "-1"), ST_BAD_HEADER);
    assert_int_equal(take_one("X-MiniKV-Timeout-Ms", "1.5"), ST_BAD_HEADER);
    assert_int_equal(take_one("X-MiniKV-Timeout-Ms", "9223372036854775808"), ST_BAD_HEADER);
    assert_int_equal(take_one("If-Match", "7"), ST_BAD_CONDITION);
    assert_int_equal(take_one("Expect", "a-pony"), ST_EXPECTATION_FAILED);
}

static void an_identity_is_noticed_in_each_of_its_headers(void **state)
{
    static const char *const names[] = {"X-MiniKV-Client-Id", "X-MiniKV-Sequence", "X-MiniKV-Acked",
                                        "Idempotency-Key"};
    static const unsigned parts[] = {IDENTITY_CLIENT, IDENTITY_SEQUENCE, IDENTITY_ACKED,
                                     IDENTITY_KEY};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        struct headers headers;
        headers_reset(&headers);
        assert_int_equal(take(&headers, names[i], "x"), ST_OK);
        assert_int_equal(headers.identity.given, parts[i]);
        assert_int_equal(headers.soft.status, ST_OK); /* reads do not mind */
    }
}

static void the_first_type_this_server_has_is_chosen(void **state)
{
    static const struct {
        const char *accept;
        enum accept wanted;
    } cases[] = {
        {"*/*", ACCEPT_JSON},
        {"application/json", ACCEPT_JSON},
        {"application/octet-stream", ACCEPT_RAW},
        {"application/octet-stream;q=0.5, application/json", ACCEPT_RAW},
        {"text/html, application/json;q=0.9, */*", ACCEPT_JSON},
        {"application/octet-stream;q=0, */*", ACCEPT_JSON},
        {"application/octet-stream; q=0.00", ACCEPT_NOTHING},
        {"text/html", ACCEPT_NOTHING},
        {"", ACCEPT_NOTHING},
        {"Application/*", ACCEPT_JSON},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct headers headers;
        headers_reset(&headers);
        assert_int_equal(take(&headers, "Accept", cases[i].accept), ST_OK);
        if (headers.accept != cases[i].wanted)
            fail_msg("Accept: %s", cases[i].accept);
    }
}

static void lines_and_events_are_taken_where_nothing_else_comes_before_them(void **state)
{
    static const struct {
        const char *accept;
        bool lines, events;
        enum accept wanted;
    } cases[] = {
        {"application/x-ndjson", true, false, ACCEPT_NOTHING},
        {"Application/X-NDJSON; charset=utf-8", true, false, ACCEPT_NOTHING},
        {"text/event-stream", false, true, ACCEPT_NOTHING},
        {"application/x-ndjson, application/json;q=0.5", true, false, ACCEPT_JSON},
        {"text/html, application/x-ndjson, */*", true, false, ACCEPT_JSON},
        {"application/json, application/x-ndjson", false, false, ACCEPT_JSON},
        {"*/*, text/event-stream", false, false, ACCEPT_JSON},
        {"application/x-ndjson;q=0, */*", false, false, ACCEPT_JSON},
        {"application/x-ndjsonl", false, false, ACCEPT_NOTHING},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct headers headers;
        headers_reset(&headers);
        assert_int_equal(take(&headers, "Accept", cases[i].accept), ST_OK);
        if (headers.accepts_lines != cases[i].lines || headers.accepts_events != cases[i].events ||
            headers.accept != cases[i].wanted)
            fail_msg("Accept: %s", cases[i].accept);
    }
}

static void the_hundred_and_first_header_is_too_many(void **state)
{
    struct headers headers;
    headers_reset(&headers);
    for (int i = 0; i < LIMIT_HEADERS; i++)
        assert_int_equal(take(&headers, "A", "b"), ST_OK);
    assert_int_equal(take(&headers, "A", "b"), ST_HEADERS_TOO_LONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_known_in_any_case),
        cmocka_unit_test(names_with_underscores_and_lookalikes_mean_nothing),
        cmocka_unit_test(a_host_is_one_name_or_address_with_an_optional_port),
        cmocka_unit_test(a_host_longer_than_a_name_can_be_is_refused),
        cmocka_unit_test(lengths_are_plain_digits),
        cmocka_unit_test(the_only_transfer_coding_is_chunked_alone),
        cmocka_unit_test(what_may_come_once_is_refused_the_second_time),
        cmocka_unit_test(both_conditions_at_once_are_refused),
        cmocka_unit_test(values_that_are_merely_wrong_are_refused_softly),
        cmocka_unit_test(an_identity_is_noticed_in_each_of_its_headers),
        cmocka_unit_test(the_first_type_this_server_has_is_chosen),
        cmocka_unit_test(lines_and_events_are_taken_where_nothing_else_comes_before_them),
        cmocka_unit_test(the_hundred_and_first_header_is_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
