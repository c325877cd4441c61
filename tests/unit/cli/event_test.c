/* Event: places in the row of changes, and what a line of a watch says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "cli/event.h"

static struct event event;
static struct buf line;

static int make_event(void **state)
{
    (void)state;
    event_init(&event);
    buf_init(&line, 1000);
    return 0;
}

static int release_event(void **state)
{
    (void)state;
    event_release(&event);
    buf_release(&line);
    return 0;
}

static struct event_place place_of(const char *text)
{
    struct event_place place;
    assert_true(event_read_place(text, &place));
    return place;
}

static void places_are_in_the_order_of_events(void **state)
{
    (void)state;
    static const char *const row[] = {"7.1", "7.2", "7.10", "7", "8.1", "10"};
    for (size_t i = 0; i < ARRAY_COUNT(row); i++)
        for (size_t j = 0; j < ARRAY_COUNT(row); j++) {
            struct event_place one = place_of(row[i]), other = place_of(row[j]);
            assert_int_equal(event_is_behind(&one, &other), i > j);
        }
    struct event_place none = {.revision = 0}, first = place_of("1.1");
    assert_true(event_is_behind(&first, &none));
}

static void a_place_is_written_as_it_was_read(void **state)
{
    (void)state;
    static const char *const good[] = {"1", "7.2", "999999999999999999.1"};
    static const char *const wrong[] = {"",      "x",  "7.", ".1",
                                        "7.1.1", "7 ", "-7", "1000000000000000000"};
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        char text[EVENT_ID_BYTES];
        struct event_place place = place_of(good[i]);
        event_put_place(&place, text);
        assert_string_equal(text, good[i]);
    }
    struct event_place place;
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++)
        assert_false(event_read_place(wrong[i], &place));
    assert_false(event_read_place(NULL, &place));
}

/* The line that is printed for it; NULL: it is none. */
static const char *show(const char *text, bool wants_prev)
{
    json_t *root = json_loads(text, 0, NULL);
    assert_non_null(root);
    buf_reset(&line);
    bool is_event = event_read(&event, root);
    if (is_event)
        event_put_line(&event, wants_prev, &line);
    json_decref(root);
    return is_event ? buf_text(&line) : NULL;
}

static void an_event_is_one_line_whatever_it_holds(void **state)
{
    (void)state;
    assert_string_equal(show("{\"id\":\"7\",\"event\":\"put\",\"data\":{\"key\":\"a b\","
                             "\"value\":\"x\\ny\",\"mod_revision\":7}}",
                             false),
                        "7\tput\ta b\tx\\ny\n");
    assert_string_equal(show("{\"id\":\"8.1\",\"event\":\"delete\",\"data\":{\"key_base64\":"
                             "\"//4=\",\"mod_revision\":8}}",
                             false),
                        "8\tdelete\t\\xff\\xfe\n");
}

static void the_value_before_stands_behind_the_new_one(void **state)
{
    (void)state;
    assert_string_equal(
        show("{\"id\":\"7\",\"event\":\"put\",\"data\":{\"key\":\"k\",\"value\":"
             "\"new\",\"mod_revision\":7,\"prev\":{\"key\":\"k\",\"value\":\"old\"}}}",
             true),
        "7\tput\tk\tnew\told\n");
    assert_true(event.has_prev);
    assert_string_equal(show("{\"id\":\"8\",\"event\":\"delete\",\"data\":{\"key\":\"k\","
                             "\"mod_revision\":8,\"prev\":null}}",
                             true),
                        "8\tdelete\tk\t\t\n");
    assert_false(event.has_prev);
}

static void what_is_no_event_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "{}", "{\"id\":\"7\",\"event\":\"put\",\"data\":{\"key\":\"k\"}}",
        "{\"id\":7,\"event\":\"delete\",\"data\":{\"key\":\"k\"}}",
        "{\"id\":\"7\",\"event\":\"delete\",\"data\":{\"key_base64\":\"?\"}}",
        "{\"id\":\"7\",\"event\":\"moved\",\"data\":{\"key\":\"k\",\"value\":\"v\"}}"};
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++)
        assert_null(show(wrong[i], false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_are_in_the_order_of_events),
        cmocka_unit_test(a_place_is_written_as_it_was_read),
        cmocka_unit_test_setup_teardown(an_event_is_one_line_whatever_it_holds, make_event,
                                        release_event),
        cmocka_unit_test_setup_teardown(the_value_before_stands_behind_the_new_one, make_event,
                                        release_event),
        cmocka_unit_test_setup_teardown(what_is_no_event_is_refused, make_event, release_event),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
