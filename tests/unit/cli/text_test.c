/* What goes into targets and onto terminals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cli/ask.h"
#include "cli/table.h"

static void a_key_is_percent_encoded_into_its_path(void **state)
{
    (void)state;
    struct buf target;

    ask_key_target(&target, "/v1/kv/", "a/b c%?#~\xc3\xa4");

    assert_string_equal(buf_text(&target), "/v1/kv/a/b%20c%25%3F%23~%C3%A4");
    buf_release(&target);
}

static void a_query_value_keeps_no_slash(void **state)
{
    (void)state;
    struct buf target;
    buf_init(&target, 100);

    ask_put_encoded(&target, bytes_of("a/b&\0", 5), false);

    assert_string_equal(buf_text(&target), "a%2Fb%26%00");
    buf_release(&target);
}

static void what_would_break_a_line_is_escaped(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 100);

    table_put_escaped(&out, bytes_of_text("a\tb\nc\\d\x1b[0m\xc3\xa4"), true);
    assert_string_equal(buf_text(&out), "a\\tb\\nc\\\\d\\x1b[0m\xc3\xa4");
    buf_reset(&out);
    table_put_escaped(&out, bytes_of_text("\xff\xc3\xa4"), false);
    assert_string_equal(buf_text(&out), "\\xff\\xc3\\xa4");
    buf_reset(&out);
    table_put_escaped(&out, bytes_of("a\0b", 3), true);
    assert_string_equal(buf_text(&out), "a\\x00b");
    buf_release(&out);
}

static void bytes_come_as_text_or_as_base64(void **state)
{
    (void)state;
    json_t *item = json_pack("{s:s, s:s, s:s, s:i}", "key", "k", "value_base64",
                             "AP8=", "bad_base64", "A", "number", 1);
    struct buf out;
    bool is_text;
    buf_init(&out, 100);

    assert_true(ask_bytes(item, "key", &out, &is_text));
    assert_true(is_text);
    assert_true(ask_bytes(item, "value", &out, &is_text));
    assert_false(is_text);
    assert_true(bytes_equal(buf_bytes(&out), bytes_of("k\0\xff", 3)));
    assert_false(ask_bytes(item, "bad", &out, &is_text));
    assert_false(ask_bytes(item, "number", &out, &is_text));
    assert_false(ask_bytes(item, "absent", &out, &is_text));
    buf_release(&out);
    json_decref(item);
}

static void bytes_that_are_no_text_become_base64(void **state)
{
    (void)state;
    json_t *item = json_object();

    ask_set_bytes(item, "a", bytes_of("k\0", 2));
    ask_set_bytes(item, "b", bytes_of("\0\xff", 2));

    char *text = json_dumps(item, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(text, "{\"a\":\"k\\u0000\",\"b_base64\":\"AP8=\"}");
    free(text);
    json_decref(item);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_percent_encoded_into_its_path),
        cmocka_unit_test(a_query_value_keeps_no_slash),
        cmocka_unit_test(what_would_break_a_line_is_escaped),
        cmocka_unit_test(bytes_come_as_text_or_as_base64),
        cmocka_unit_test(bytes_that_are_no_text_become_base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
