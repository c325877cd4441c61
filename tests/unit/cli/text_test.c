/* What goes into targets and onto terminals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "cli/ask.h"
#include "cli/table.h"

static void a_query_value_is_percent_encoded(void **state)
{
    (void)state;
    struct buf target;
    buf_init(&target, 100);

    ask_put_encoded(&target, bytes_of("a/b&\0 ~\xc3\xa4", 9));

    assert_string_equal(buf_text(&target), "a%2Fb%26%00%20~%C3%A4");
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

static void text_is_what_json_can_hold(void **state)
{
    (void)state;
    assert_true(ask_is_text(bytes_of(NULL, 0)));
    assert_true(ask_is_text(bytes_of("k\xc3\xa4\0", 4)));
    assert_false(ask_is_text(bytes_of("\xff", 1)));
    assert_false(ask_is_text(bytes_of("\xc3", 1)));
}

static void an_item_is_shown_as_the_cluster_has_it(void **state)
{
    (void)state;
    struct minikv_item item = {.key = {"k", 1},
                               .value = {"\xff", 1},
                               .create_revision = 2,
                               .mod_revision = 3,
                               .version = 4};
    for (int keys_only = 0; keys_only < 2; keys_only++) {
        json_t *root = ask_json_of_item(&item, keys_only == 1);
        char *text = json_dumps(root, JSON_COMPACT);
        assert_string_equal(text, keys_only == 1 ? "{\"key\":\"k\",\"create_revision\":2,"
                                                   "\"mod_revision\":3,\"version\":4,\"lease\":0}"
                                                 : "{\"key\":\"k\",\"value_base64\":\"/w==\","
                                                   "\"create_revision\":2,\"mod_revision\":3,"
                                                   "\"version\":4,\"lease\":0}");
        free(text);
        json_decref(root);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_query_value_is_percent_encoded),
        cmocka_unit_test(what_would_break_a_line_is_escaped),
        cmocka_unit_test(bytes_that_are_no_text_become_base64),
        cmocka_unit_test(text_is_what_json_can_hold),
        cmocka_unit_test(an_item_is_shown_as_the_cluster_has_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
