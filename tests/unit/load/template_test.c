/* Requests rendered once and filled in each time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "load/template.h"

static struct template template;

static int release(void **state)
{
    (void)state;
    template_release(&template);
    return 0;
}

/* The request as it is sent, as text. */
static const char *filled(const struct template_facts *facts)
{
    static uint8_t bytes[4096];
    assert_true(template.count < sizeof bytes);
    memcpy(bytes, template.bytes, template.count);
    template_fill(&template, bytes, facts);
    bytes[template.count] = '\0';
    return (const char *)bytes;
}

static void a_put_has_its_key_its_value_and_its_length(void **state)
{
    (void)state;
    struct template_text text = {.host = "h:1",
                                 .method = "PUT",
                                 .path = "/v1/kv/a%%2F%k",
                                 .body = "{\"value\":\"%v\"}",
                                 .value_bytes = 5};

    assert_int_equal(template_render(&template, &text), ST_OK);

    struct template_facts facts = {.key = 42};
    assert_string_equal(filled(&facts), "PUT /v1/kv/a%2Fkey-000000000042 HTTP/1.1\r\nHost: h:1\r\n"
                                        "Content-Length: 17\r\n\r\n{\"value\":\"ahovc\"}");
}

static void without_a_method_the_body_alone_is_the_request(void **state)
{
    (void)state;
    struct template_text text = {
        .path = "/unused", .body = "*2\r\n$3\r\nGET\r\n$16\r\n%k\r\n", .value_bytes = 5};

    assert_int_equal(template_render(&template, &text), ST_OK);

    struct template_facts facts = {.key = 7};
    assert_string_equal(filled(&facts), "*2\r\n$3\r\nGET\r\n$16\r\nkey-000000000007\r\n");
}

static void headers_tell_client_sequence_and_what_is_acknowledged(void **state)
{
    (void)state;
    struct template_text text = {.host = "h:1",
                                 .method = "POST",
                                 .path = "/v1/incr/x",
                                 .headers = {"A: c-%c", "B: %s", "C: %a"},
                                 .headers_count = 3,
                                 .body = ""};

    assert_int_equal(template_render(&template, &text), ST_OK);

    struct template_facts facts = {.client = 17, .sequence = 1700000000000009, .acked = 8};
    assert_string_equal(filled(&facts),
                        "POST /v1/incr/x HTTP/1.1\r\nHost: h:1\r\nA: c-0017\r\n"
                        "B: 1700000000000009\r\nC: 0000000000000008\r\nContent-Length: 0\r\n\r\n");
}

static void key_and_value_may_be_base64_as_other_systems_want_them(void **state)
{
    (void)state;
    struct template_text text = {.host = "h:1",
                                 .method = "POST",
                                 .path = "/v3/kv/put",
                                 .body = "{\"key\":\"%K\",\"value\":\"%V\"}",
                                 .value_bytes = 4};

    assert_int_equal(template_render(&template, &text), ST_OK);

    struct template_facts facts = {.key = 7};
    assert_non_null(strstr(filled(&facts), "{\"key\":\"a2V5LTAwMDAwMDAwMDAwNw==\","
                                           "\"value\":\"YWhvdg==\"}"));
}

static void what_stands_for_nothing_stays_as_it_is(void **state)
{
    (void)state;
    struct template_text text = {.host = "h:1", .method = "GET", .path = "/%x%"};

    assert_int_equal(template_render(&template, &text), ST_OK);

    struct template_facts facts = {0};
    assert_string_equal(filled(&facts), "GET /%x% HTTP/1.1\r\nHost: h:1\r\n\r\n");
}

static void too_many_places_or_bytes_are_refused(void **state)
{
    (void)state;
    struct template_text places = {
        .host = "h:1", .method = "GET", .path = "%k%k%k%k%k%k%k", .body = "%k%k%k%k%k%k"};
    struct template_text bytes = {
        .host = "h:1", .method = "PUT", .path = "/", .body = "%v%v%v", .value_bytes = MIB};

    assert_int_equal(template_render(&template, &places), ST_LIMIT);
    assert_int_equal(template_render(&template, &bytes), ST_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_put_has_its_key_its_value_and_its_length, release),
        cmocka_unit_test_teardown(without_a_method_the_body_alone_is_the_request, release),
        cmocka_unit_test_teardown(headers_tell_client_sequence_and_what_is_acknowledged, release),
        cmocka_unit_test_teardown(key_and_value_may_be_base64_as_other_systems_want_them, release),
        cmocka_unit_test_teardown(what_stands_for_nothing_stays_as_it_is, release),
        cmocka_unit_test(too_many_places_or_bytes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
