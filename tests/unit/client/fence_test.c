/* Writes with a fence: what is sent, and what the answer says of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "client/base64_text.h"
#include "client/fence.h"

#define FENCE ",\"target\":\"create_revision\",\"op\":\"=\",\"value\":12}"
#define READS                                                                                      \
    "],\"failure\":[{\"get\":{\"key_base64\":\"bA==\",\"keys_only\":true}},"                       \
    "{\"get\":{\"key_base64\":\"a2V5\",\"keys_only\":true}}]}"

static struct minikv_request request_of(enum minikv_op op, enum minikv_condition condition)
{
    return (struct minikv_request){.op = op,
                                   .key = minikv_text("key"),
                                   .value = minikv_text("va"),
                                   .condition = condition,
                                   .revision = 7,
                                   .lease = 30,
                                   .fence = {minikv_text("l"), 12}};
}

static void assert_body(const struct minikv_request *request, const char *expected)
{
    char body[2048];
    size_t bytes_max = fence_body_bytes_max(request);
    assert_true(bytes_max <= sizeof body);
    size_t count = (size_t)(fence_body_write(request, body) - body);
    assert_true(count <= bytes_max);
    body[count] = '\0';
    assert_string_equal(body, expected);
}

static void a_put_is_a_transaction_that_compares_and_reads_if_it_may_not(void **state)
{
    (void)state;
    struct minikv_request request = request_of(MINIKV_PUT, MINIKV_ALWAYS);

    assert_body(&request,
                "{\"compare\":[{\"key_base64\":\"bA==\"" FENCE "],\"success\":[{\"put\":"
                "{\"key_base64\":\"a2V5\",\"value_base64\":\"dmE=\",\"lease\":30}}" READS);
}

static void a_condition_is_one_more_compare(void **state)
{
    (void)state;
    static const struct {
        enum minikv_condition condition;
        const char *compare;
    } cases[] = {
        {MINIKV_IF_REVISION, "\"target\":\"mod_revision\",\"op\":\"=\",\"value\":7}"},
        {MINIKV_IF_EXISTS, "\"target\":\"version\",\"op\":\">\",\"value\":0}"},
        {MINIKV_IF_ABSENT, "\"target\":\"version\",\"op\":\"=\",\"value\":0}"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char expected[1024];
        struct minikv_request request = request_of(MINIKV_DELETE, cases[i].condition);
        (void)snprintf(expected, sizeof expected,
                       "{\"compare\":[{\"key_base64\":\"bA==\"" FENCE
                       ",{\"key_base64\":\"a2V5\",%s],\"success\":[{\"delete\":{\"key_base64\":"
                       "\"a2V5\"}}" READS,
                       cases[i].compare);
        assert_body(&request, expected);
    }
}

static void only_puts_and_deletes_have_one(void **state)
{
    (void)state;
    struct minikv_request request = request_of(MINIKV_INCR, MINIKV_ALWAYS);
    assert_false(fence_is_wanted(&request));
    request = request_of(MINIKV_PUT, MINIKV_ALWAYS);
    assert_true(fence_is_wanted(&request));
    assert_int_equal(fence_check(&request), ST_OK);
    request.fence.key.count = LIMIT_KEY_BYTES + 1;
    assert_int_equal(fence_check(&request), ST_KEY_TOO_LONG);
    request.fence.key.count = 0;
    assert_int_equal(fence_check(&request), ST_KEY_EMPTY);
    request.fence.token = 0;
    assert_false(fence_is_wanted(&request));
    assert_int_equal(fence_check(&request), ST_OK);
}

/* The longest of all still has room. */
static void the_bound_of_a_body_holds_for_the_largest(void **state)
{
    (void)state;
    static const char room[LIMIT_VALUE_BYTES];
    const struct minikv_request request = {.op = MINIKV_PUT,
                                           .key = {room, LIMIT_KEY_BYTES},
                                           .value = {room, LIMIT_VALUE_BYTES},
                                           .condition = MINIKV_IF_REVISION,
                                           .revision = UINT64_MAX,
                                           .lease = UINT64_MAX,
                                           .fence = {{room, LIMIT_KEY_BYTES}, UINT64_MAX}};
    size_t bytes_max = fence_body_bytes_max(&request);
    char *body = malloc(bytes_max);
    assert_non_null(body);

    size_t count = (size_t)(fence_body_write(&request, body) - body);

    assert_in_range(count, bytes_max - 512, bytes_max);
    assert_true(count <= LIMIT_BODY_BYTES);
    free(body);
}

static bool read_answer(const char *text, size_t count, struct answer *answer)
{
    struct http_reply reply;
    *answer = (struct answer){.code = 200, .effect = EFFECT_APPLIED};
    http_reply_init(&reply);
    assert_true(http_reply_add_body(&reply, text, count));
    bool is_good = fence_answer_read(&reply, 12, answer);
    http_reply_release(&reply);
    return is_good;
}

static void an_answer_that_is_cut_off_or_something_else_says_nothing(void **state)
{
    (void)state;
    static const char whole[] =
        "{\"succeeded\":false,\"revision\":4,\"results\":[{\"get\":{\"items\":[{\"create_"
        "revision\":"
        "12,\"lease\":0}],\"count\":1,\"next\":null}},{\"get\":{\"items\":[]}}]}";
    static const char *const others[] = {"{}", "[]", "{\"revision\":3}", "{\"succeeded\":2",
                                         "{\"succeeded\":false,\"revision\":3,\"results\":[]}"};
    struct answer answer;

    assert_true(read_answer(whole, sizeof whole - 1, &answer));
    assert_int_equal(answer.status, ST_CONDITION_FAILED);
    assert_false(answer.is_lost);
    for (size_t count = 1; count < sizeof whole - 1; count++)
        assert_false(read_answer(whole, count, &answer));
    for (size_t i = 0; i < ARRAY_COUNT(others); i++)
        assert_false(read_answer(others[i], strlen(others[i]), &answer));
}

static void bytes_become_base64(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}}; /* RFC 4648 §10 */
    for (size_t i = 0; i < ARRAY_COUNT(pairs); i++) {
        char text[16] = "";
        struct bytes bytes = bytes_of_text(pairs[i][0]);
        base64_text_write(bytes, text);
        assert_string_equal(text, pairs[i][1]);
        assert_int_equal(base64_text_bytes(bytes.count), strlen(text));
    }
    char text[5] = "";
    base64_text_write(bytes_of("\xff\xfe\xfd", 3), text);
    assert_string_equal(text, "//79");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_put_is_a_transaction_that_compares_and_reads_if_it_may_not),
        cmocka_unit_test(a_condition_is_one_more_compare),
        cmocka_unit_test(only_puts_and_deletes_have_one),
        cmocka_unit_test(the_bound_of_a_body_holds_for_the_largest),
        cmocka_unit_test(an_answer_that_is_cut_off_or_something_else_says_nothing),
        cmocka_unit_test(bytes_become_base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
