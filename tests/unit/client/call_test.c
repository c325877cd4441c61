/* Call and answer: requests into bytes, replies into results. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "client/answer.h"
#include "client/call.h"

static const struct address node = {.host = "::1", .port = 8081};

static void assert_encodes(const struct minikv_request *request, const char *want)
{
    struct blob out;
    blob_init(&out);
    assert_int_equal(call_check(request), ST_OK);
    struct call *call = call_new(request);
    assert_non_null(call);
    assert_true(call_encode(call, &node, 3, 1500, &out));
    blob_put(&out, "", 1);
    assert_string_equal((const char *)out.data, want);
    call_free(call);
    blob_release(&out);
}

#define HEAD " HTTP/1.1\r\nHost: [::1]:8081\r\nUser-Agent: libminikv/" MINIKV_VERSION "\r\n"
#define TIME "X-MiniKV-Timeout-Ms: 1500\r\n"

static void requests_are_written_as_the_api_has_them(void **state)
{
    (void)state;
    static const uint8_t odd[] = {'a', '/', 0, ' ', 0xff, '~'};
    assert_encodes(&(struct minikv_request){.op = MINIKV_PUT,
                                            .key = {odd, sizeof odd},
                                            .value = minikv_text("v"),
                                            .condition = MINIKV_IF_REVISION,
                                            .revision = 12,
                                            .identity = {.client = "me", .sequence = 9}},
                   "PUT /v1/kv/a%2F%00%20%FF~" HEAD "Content-Type: application/octet-stream\r\n"
                   "If-Match: \"12\"\r\n" TIME "X-MiniKV-Client-Id: me\r\nX-MiniKV-Sequence: 9\r\n"
                   "X-MiniKV-Acked: 3\r\nContent-Length: 1\r\n\r\nv");
    assert_encodes(&(struct minikv_request){.op = MINIKV_PUT,
                                            .key = minikv_text("k"),
                                            .condition = MINIKV_IF_ABSENT},
                   "PUT /v1/kv/k" HEAD "Content-Type: application/octet-stream\r\n"
                   "If-None-Match: *\r\n" TIME "Content-Length: 0\r\n\r\n");
    assert_encodes(&(struct minikv_request){.op = MINIKV_DELETE,
                                            .key = minikv_text("k"),
                                            .condition = MINIKV_IF_EXISTS},
                   "DELETE /v1/kv/k" HEAD "If-Match: *\r\n" TIME "\r\n");
    assert_encodes(
        &(struct minikv_request){.op = MINIKV_INCR, .key = minikv_text("k"), .by = INT64_MIN},
        "POST /v1/incr/k" HEAD TIME "Content-Length: 27\r\n\r\n{\"by\":-9223372036854775808}");
    assert_encodes(
        &(struct minikv_request){.op = MINIKV_GET, .key = minikv_text("k"), .is_stale = true},
        "GET /v1/kv/k?consistency=stale" HEAD TIME "\r\n");
    assert_encodes(
        &(struct minikv_request){.op = MINIKV_LIST,
                                 .is_stale = true,
                                 .range = {.prefix = minikv_text("a&b"),
                                           .after = minikv_text("a&c"),
                                           .limit = 10,
                                           .keys_only = true}},
        "GET /v1/kv?prefix=a%26b&after=a%26c&limit=10&keys_only&consistency=stale" HEAD TIME
        "\r\n");
    assert_encodes(&(struct minikv_request){.op = MINIKV_LIST}, "GET /v1/kv" HEAD TIME "\r\n");
    assert_encodes(&(struct minikv_request){.op = MINIKV_LIST,
                                            .is_stale = true,
                                            .range = {.revision = 7, .is_descending = true}},
                   "GET /v1/kv?rev=7&order=desc&consistency=stale" HEAD TIME "\r\n");
    assert_encodes(
        &(struct minikv_request){.op = MINIKV_GET, .key = minikv_text("k"), .revision = UINT64_MAX},
        "GET /v1/kv/k?rev=18446744073709551615" HEAD TIME "\r\n");
    assert_encodes(
        &(struct minikv_request){
            .op = MINIKV_PUT, .key = minikv_text("k"), .value = minikv_text("v"), .lease = 12},
        "PUT /v1/kv/k?lease=12" HEAD "Content-Type: application/octet-stream\r\n" TIME
        "Content-Length: 1\r\n\r\nv");
    assert_encodes(&(struct minikv_request){.op = MINIKV_CALL,
                                            .method = "POST",
                                            .target = "/v1/x?y=%41",
                                            .value = minikv_text("{}")},
                   "POST /v1/x?y=%41" HEAD "Content-Type: application/json\r\n" TIME
                   "Content-Length: 2\r\n\r\n{}");
}

static void requests_out_of_range_are_named(void **state)
{
    (void)state;
    static uint8_t large[LIMIT_VALUE_BYTES + 1];
    struct minikv_bytes key = minikv_text("k");
    const struct {
        struct minikv_request request;
        enum status want;
    } rows[] = {
        {{.op = MINIKV_GET}, ST_KEY_EMPTY},
        {{.op = MINIKV_GET, .key = {large, LIMIT_KEY_BYTES + 1}}, ST_KEY_TOO_LONG},
        {{.op = MINIKV_PUT, .key = key, .value = {large, sizeof large}}, ST_VALUE_TOO_LONG},
        {{.op = MINIKV_PUT, .key = key, .value = {NULL, 1}}, ST_BAD_FIELD},
        {{.op = MINIKV_PUT, .key = key, .condition = MINIKV_IF_REVISION}, ST_BAD_CONDITION},
        {{.op = MINIKV_PUT, .key = key, .condition = (enum minikv_condition)9}, ST_BAD_CONDITION},
        {{.op = (enum minikv_op)0, .key = key}, ST_BAD_REQUEST},
        {{.op = MINIKV_DELETE, .key = key, .identity = {.client = "me"}}, ST_BAD_IDENTITY},
        {{.op = MINIKV_DELETE, .key = key, .identity = {.client = "m e", .sequence = 1}},
         ST_BAD_IDENTITY},
        {{.op = MINIKV_DELETE, .key = key, .identity = {.client = "me", .sequence = UINT64_MAX}},
         ST_BAD_IDENTITY},
        {{.op = MINIKV_CALL, .method = "get", .target = "/"}, ST_BAD_REQUEST},
        {{.op = MINIKV_CALL, .method = "GET\r\nX: y", .target = "/"}, ST_BAD_REQUEST},
        {{.op = MINIKV_CALL, .method = "GET", .target = "/\r\nX: y"}, ST_BAD_TARGET},
        {{.op = MINIKV_CALL, .method = "GET", .target = "x"}, ST_BAD_TARGET},
        {{.op = MINIKV_LIST, .range = {.prefix = {large, LIMIT_KEY_BYTES + 1}}}, ST_KEY_TOO_LONG},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        assert_int_equal(call_check(&rows[i].request), rows[i].want);
}

/* ---- replies ---- */

static void set_reply(struct http_reply *reply, int code, const char *const *head, const char *body)
{
    http_reply_init(reply);
    reply->code = code;
    for (size_t i = 0; head != NULL && head[i] != NULL; i++)
        assert_true(http_reply_add_head(reply, head[i], strlen(head[i]) + 1));
    assert_true(http_reply_add_body(reply, body, strlen(body)));
}

static enum status decode(enum minikv_op op, const char *body, struct minikv_result *result)
{
    struct http_reply reply;
    set_reply(&reply, 200, NULL, body);
    *result = (struct minikv_result){0};
    enum status status = answer_decode(op, &reply, result);
    http_reply_release(&reply);
    return status;
}

static bool bytes_are(struct minikv_bytes bytes, const char *want)
{
    return bytes_equal_text(bytes_of(bytes.data, bytes.count), want);
}

static void items_and_pages_are_decoded(void **state)
{
    (void)state;
    struct minikv_result result;
    assert_int_equal(decode(MINIKV_GET,
                            "{\"key\":\"k\",\"value_base64\":\"/w==\",\"create_revision\":2,"
                            "\"mod_revision\":3,\"version\":4,\"lease\":5,\"new\":{\"x\":[]}}",
                            &result),
                     ST_OK);
    assert_int_equal(result.items_count, 1);
    assert_true(bytes_are(result.items[0].value, "\xff"));
    assert_int_equal(result.items[0].create_revision, 2);
    assert_int_equal(result.items[0].version, 4);
    assert_int_equal(result.items[0].lease, 5);
    assert_int_equal(result.revision, 3);
    minikv_result_release(&result);

    assert_int_equal(
        decode(MINIKV_LIST,
               "{\"items\":[{\"key\":\"a\",\"value\":\"1\"},{\"key_base64\":\"Yg==\"}],"
               "\"next\":\"b\\n\",\"revision\":9}",
               &result),
        ST_OK);
    assert_int_equal(result.items_count, 2);
    assert_true(bytes_are(result.items[1].key, "b"));
    assert_true(bytes_are(result.next, "b\n"));
    assert_int_equal(result.revision, 9);
    minikv_result_release(&result);

    assert_int_equal(decode(MINIKV_LIST, "{\"items\":[],\"next\":null,\"revision\":9}", &result),
                     ST_OK);
    assert_int_equal(result.next.count, 0);
    minikv_result_release(&result);
}

static void bodies_that_are_something_else_are_refused_and_leave_nothing(void **state)
{
    (void)state;
    static const struct {
        enum minikv_op op;
        const char *body;
    } rows[] = {
        {MINIKV_GET, "{}"},
        {MINIKV_GET, "[]"},
        {MINIKV_GET, "{\"key\":\"k\",\"value\":1}"},
        {MINIKV_GET, "{\"key\":\"k\",\"value\":\"v\"} x"},
        {MINIKV_INCR, "{\"value\":\"1\"}"},
        {MINIKV_INCR, "{\"sum\":1}"},
        {MINIKV_INCR, ""},
        {MINIKV_LIST, "{\"items\":[{}],\"next\":null}"},
        {MINIKV_LIST, "{\"items\":[{\"key\":\"a\"}],\"items\":[{\"key\":\"a\"}"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct minikv_result result;
        assert_int_equal(decode(rows[i].op, rows[i].body, &result), ST_BAD_JSON);
        assert_null(result.memory);
        assert_int_equal(result.next.count, 0);
    }
}

static void a_page_that_names_its_items_twice_has_room_for_both(void **state)
{
    (void)state;
    struct minikv_result result;

    assert_int_equal(
        decode(MINIKV_LIST, "{\"items\":[{\"key\":\"a\"}],\"items\":[{\"key\":\"b\"}]}", &result),
        ST_OK);

    assert_int_equal(result.items_count, 2);
    minikv_result_release(&result);
}

static void a_problem_says_what_it_is_and_whether_it_had_an_effect(void **state)
{
    (void)state;
    static const char *const head[] = {"X-MiniKV-Node",
                                       "3",
                                       "X-MiniKV-Term",
                                       "7",
                                       "X-MiniKV-Effect",
                                       "none",
                                       "ETag",
                                       "\"12\"",
                                       "X-Leader-HTTP",
                                       "h:1",
                                       NULL};
    struct http_reply reply;
    struct answer answer;
    set_reply(&reply, 412, head,
              "{\"type\":\"urn:minikv:condition-failed\",\"detail\":\"read \\\"it\\\"\"}");

    answer_read(&reply, &answer);

    assert_int_equal(answer.status, ST_CONDITION_FAILED);
    assert_int_equal(answer.effect, EFFECT_NONE);
    assert_string_equal(answer.word, "condition-failed");
    assert_string_equal(answer.detail, "read \"it\"");
    assert_int_equal(answer.node, 3);
    assert_int_equal(answer.term, 7);
    assert_int_equal(answer.revision, 12);
    assert_string_equal(answer.leader.host, "h");
    assert_true(answer.is_from_node);
    http_reply_release(&reply);
}

static void what_comes_from_elsewhere_is_taken_for_the_worst(void **state)
{
    (void)state;
    static const struct {
        int code;
        enum status status;
        enum effect effect;
    } rows[] = {{200, ST_OK, EFFECT_APPLIED},
                {404, ST_BAD_REQUEST, EFFECT_NONE},
                {408, ST_REQUEST_TIMEOUT, EFFECT_MAYBE},
                {500, ST_IO, EFFECT_MAYBE},
                {502, ST_LINK_LOST, EFFECT_MAYBE},
                {503, ST_NO_LEADER, EFFECT_MAYBE}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct http_reply reply;
        struct answer answer;
        set_reply(&reply, rows[i].code, NULL, "<html>gateway</html>");

        answer_read(&reply, &answer);

        assert_int_equal(answer.status, rows[i].status);
        assert_int_equal(answer.effect, rows[i].effect);
        http_reply_release(&reply);
    }
}

static void every_status_has_a_code(void **state)
{
    (void)state;
    for (int status = 0; status < STATUS_COUNT; status++) {
        enum minikv_code code = answer_code((enum status)status);
        assert_true(code <= MINIKV_UNAVAILABLE);
        assert_int_equal(code == MINIKV_OK, status == ST_OK);
    }
    assert_int_equal(answer_code(ST_SEALED), MINIKV_REFUSED);
    assert_int_equal(answer_code(ST_SESSIONS_FULL), MINIKV_FULL);
}

static void the_fate_of_a_write_is_read_with_or_without_a_sum(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        int64_t number;
    } rows[] = {
        {"{\"outcome\":\"applied\",\"answer\":{\"status\":200,\"etag\":\"\\\"2\\\"\",\"body\":"
         "{\"value\":-3}}}",
         -3},
        {"{\"outcome\":\"applied\",\"answer\":{\"status\":200,\"body\":{\"succeeded\":true,"
         "\"results\":[{\"value\":[]}]}}}",
         0},
        {"{\"outcome\":\"applied\",\"answer\":{\"status\":204}}", 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct minikv_result result = {0};
        enum minikv_fate fate;
        assert_int_equal(answer_decode_fate(bytes_of_text(rows[i].body), &fate, &result), ST_OK);
        assert_int_equal(fate, MINIKV_FATE_APPLIED);
        assert_int_equal(result.number, rows[i].number);
        assert_int_equal(result.effect, MINIKV_APPLIED);
    }
}

static void a_refusal_that_is_remembered_settles_all_deliveries(void **state)
{
    (void)state;
    static const enum status settled[] = {ST_OK, ST_CONDITION_FAILED, ST_LEASE_NOT_FOUND,
                                          ST_TXN_TOO_LARGE, ST_SEALED};
    static const enum status open[] = {ST_STATE_FULL, ST_LEASES_FULL, ST_BUSY, ST_TIMEOUT,
                                       ST_NO_LEADER};
    for (size_t i = 0; i < ARRAY_COUNT(settled); i++) {
        assert_true(answer_settles(settled[i]));
        assert_false(answer_settles(open[i]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_written_as_the_api_has_them),
        cmocka_unit_test(requests_out_of_range_are_named),
        cmocka_unit_test(items_and_pages_are_decoded),
        cmocka_unit_test(bodies_that_are_something_else_are_refused_and_leave_nothing),
        cmocka_unit_test(a_page_that_names_its_items_twice_has_room_for_both),
        cmocka_unit_test(a_problem_says_what_it_is_and_whether_it_had_an_effect),
        cmocka_unit_test(what_comes_from_elsewhere_is_taken_for_the_worst),
        cmocka_unit_test(every_status_has_a_code),
        cmocka_unit_test(the_fate_of_a_write_is_read_with_or_without_a_sum),
        cmocka_unit_test(a_refusal_that_is_remembered_settles_all_deliveries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
