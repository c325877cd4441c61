/* Hello, welcome and refusal: round trips, and every way of being out of shape. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/hello.h"

static const struct hello good_hello = {.version = WIRE_VERSION,
                                        .cluster_id = 0x1122334455667788u,
                                        .from = 1,
                                        .to = NODE_ID_MAX,
                                        .identity = 77,
                                        .incarnation = UINT64_MAX,
                                        .peer = {.host = "10.0.0.1", .port = 7001}};

static enum status decode_hello(const struct hello *hello, struct hello *out)
{
    struct buf buf;
    buf_init(&buf, 256);
    hello_encode(hello, &buf);
    enum status status = hello_decode(buf_bytes(&buf), out);
    buf_release(&buf);
    return status;
}

static void a_hello_comes_out_as_it_went_in(void **state)
{
    struct hello out;

    assert_int_equal(decode_hello(&good_hello, &out), ST_OK);

    assert_int_equal(out.version, WIRE_VERSION);
    assert_true(out.cluster_id == good_hello.cluster_id);
    assert_int_equal(out.from, 1);
    assert_int_equal(out.to, NODE_ID_MAX);
    assert_int_equal(out.identity, 77);
    assert_true(out.incarnation == UINT64_MAX);
    assert_true(address_equal(&out.peer, &good_hello.peer));
}

static void a_hello_may_say_of_no_address(void **state)
{
    struct hello out, hello = good_hello;
    hello.peer = (struct address){0};

    assert_int_equal(decode_hello(&hello, &out), ST_OK);

    assert_false(address_is_set(&out.peer));
}

/* One address has one form, else what decodes would not encode to the same bytes. */
static void an_address_in_another_form_is_no_hello(void **state)
{
    static const char *const texts[] = {"10.0.0.1",       "10.0.0.1:",  "HOST:7001",
                                        "10.0.0.1:07001", "10.0.0.1:0", " 10.0.0.1:7001"};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        struct buf buf;
        struct hello out, hello = good_hello;
        hello.peer = (struct address){0};
        buf_init(&buf, 256);
        hello_encode(&hello, &buf);
        buf.data[buf.count - 1] = (uint8_t)strlen(texts[i]);
        buf_put_text(&buf, texts[i]);
        assert_int_equal(hello_decode(buf_bytes(&buf), &out), ST_FORMAT);
        buf_release(&buf);
    }
}

static void a_hello_with_a_field_out_of_range_is_no_hello(void **state)
{
    struct hello out, hello;

    hello = good_hello, hello.from = 0;
    assert_int_equal(decode_hello(&hello, &out), ST_FORMAT);
    hello = good_hello, hello.from = NODE_ID_MAX + 1;
    assert_int_equal(decode_hello(&hello, &out), ST_FORMAT);
    hello = good_hello, hello.to = 0;
    assert_int_equal(decode_hello(&hello, &out), ST_FORMAT);
    hello = good_hello, hello.to = 0xffffffff;
    assert_int_equal(decode_hello(&hello, &out), ST_FORMAT);
    hello = good_hello, hello.cluster_id = 0;
    assert_int_equal(decode_hello(&hello, &out), ST_FORMAT);
    hello = good_hello, hello.identity = 0;
    assert_int_equal(decode_hello(&hello, &out), ST_FORMAT);
}

static void of_another_version_only_the_version_is_read(void **state)
{
    struct hello out = good_hello;

    assert_int_equal(hello_decode(bytes_of("\2\0\0\0whatever", 12), &out), ST_OK);
    assert_int_equal(out.version, 2);
    assert_int_equal(out.from, 0);
    assert_int_equal(hello_decode(bytes_of("\2\0\0\0", 4), &out), ST_OK);
    assert_int_equal(hello_decode(bytes_of("\2\0\0", 3), &out), ST_SHORT);
}

static void bodies_have_one_length(void **state)
{
    struct buf buf;
    struct hello hello;
    struct welcome welcome;
    enum refusal refusal;
    buf_init(&buf, 256);

    hello_encode(&good_hello, &buf);
    for (size_t cut = 0; cut < buf.count; cut++)
        assert_int_equal(hello_decode(bytes_of(buf.data, cut), &hello), ST_SHORT);
    buf_put_u8(&buf, 0);
    assert_int_equal(hello_decode(buf_bytes(&buf), &hello), ST_FORMAT);

    buf_reset(&buf);
    welcome_encode(&(struct welcome){1, 2, 3}, &buf);
    assert_int_equal(buf.count, WELCOME_BYTES);
    for (size_t cut = 0; cut < WELCOME_BYTES; cut++)
        assert_int_equal(welcome_decode(bytes_of(buf.data, cut), &welcome), ST_SHORT);
    buf_put_u8(&buf, 0);
    assert_int_equal(welcome_decode(buf_bytes(&buf), &welcome), ST_FORMAT);

    assert_int_equal(refusal_decode(bytes_of(NULL, 0), &refusal), ST_SHORT);
    assert_int_equal(refusal_decode(bytes_of("\1\1", 2), &refusal), ST_FORMAT);
    buf_release(&buf);
}

static void a_welcome_comes_out_as_it_went_in(void **state)
{
    struct buf buf;
    struct welcome out;
    buf_init(&buf, 256);

    welcome_encode(&(struct welcome){.incarnation = UINT64_MAX, .term = 5, .taken = 600}, &buf);
    assert_int_equal(welcome_decode(buf_bytes(&buf), &out), ST_OK);

    assert_true(out.incarnation == UINT64_MAX);
    assert_int_equal(out.term, 5);
    assert_int_equal(out.taken, 600);
    buf_release(&buf);
}

static void a_welcome_with_a_term_that_could_wrap_is_refused(void **state)
{
    struct buf buf;
    struct welcome out;
    buf_init(&buf, 256);

    welcome_encode(&(struct welcome){.incarnation = 1, .term = UINT64_MAX}, &buf);
    assert_int_equal(welcome_decode(buf_bytes(&buf), &out), ST_FORMAT);
    buf_release(&buf);
}

static void every_reason_of_a_refusal_has_its_own_text(void **state)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        uint8_t raw = (uint8_t)byte;
        enum refusal refusal;
        bool is_known = byte >= REFUSAL_VERSION && byte <= REFUSAL_HISTORY;
        assert_int_equal(refusal_decode(bytes_of(&raw, 1), &refusal), is_known ? ST_OK : ST_FORMAT);
        assert_non_null(refusal_text((enum refusal)byte));
        for (unsigned other = REFUSAL_VERSION; is_known && other < byte; other++)
            assert_string_not_equal(refusal_text((enum refusal)byte),
                                    refusal_text((enum refusal)other));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hello_comes_out_as_it_went_in),
        cmocka_unit_test(a_hello_may_say_of_no_address),
        cmocka_unit_test(an_address_in_another_form_is_no_hello),
        cmocka_unit_test(a_hello_with_a_field_out_of_range_is_no_hello),
        cmocka_unit_test(of_another_version_only_the_version_is_read),
        cmocka_unit_test(bodies_have_one_length),
        cmocka_unit_test(a_welcome_comes_out_as_it_went_in),
        cmocka_unit_test(a_welcome_with_a_term_that_could_wrap_is_refused),
        cmocka_unit_test(every_reason_of_a_refusal_has_its_own_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
