/* Hold and elect: whose turn it is, as the keys of a name say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/limits.h"
#include "cli/elect.h"
#include "cli/hold.h"

static struct minikv_item item(const char *key, uint64_t created)
{
    return (struct minikv_item){.key = minikv_text(key),
                                .value = minikv_text(key),
                                .create_revision = created,
                                .mod_revision = created};
}

/* By key the places are in any order. */
static struct minikv_item items[5];
static struct minikv_result page = {.items = items, .items_count = 5};

static int make_page(void **state)
{
    (void)state;
    items[0] = item("job/1", 30);
    items[1] = item("job/2", 10);
    items[2] = item("job/3", 20);
    items[3] = item("job/4", 40);
    items[4] = item("job/x/1", 5); /* of the name "job/x" */
    return 0;
}

static const char *before_of(const char *own, uint64_t fence)
{
    static char key[64];
    struct hold_before before = {.fence = 0};
    buf_init(&before.key, LIMIT_KEY_BYTES);
    hold_look(&before, &page, fence, bytes_of_text(own));
    (void)snprintf(key, sizeof key, "%s %s", before.is_there ? "there" : "gone",
                   before.fence != 0 ? buf_text(&before.key) : "first");
    buf_release(&before.key);
    return key;
}

static void each_waits_for_the_one_that_came_just_before(void **state)
{
    (void)state;
    assert_string_equal(before_of("job/2", 10), "there first");
    assert_string_equal(before_of("job/3", 20), "there job/2");
    assert_string_equal(before_of("job/1", 30), "there job/3");
    assert_string_equal(before_of("job/4", 40), "there job/1");
}

static void a_place_that_is_gone_is_noticed(void **state)
{
    (void)state;
    assert_string_equal(before_of("job/5", 25), "gone job/3");
    assert_string_equal(before_of("job/3", 21), "gone job/3"); /* made anew: not ours */
}

static void the_nearest_is_found_across_pages(void **state)
{
    (void)state;
    struct hold_before before = {.fence = 0};
    buf_init(&before.key, LIMIT_KEY_BYTES);
    struct minikv_result first = {.items = items, .items_count = 1};
    struct minikv_result second = {.items = items + 1, .items_count = 3};
    hold_look(&before, &first, 40, bytes_of_text("job/4"));
    hold_look(&before, &second, 40, bytes_of_text("job/4"));
    assert_int_equal(before.fence, 30);
    assert_true(before.is_there);
    buf_release(&before.key);
}

static void who_came_first_leads(void **state)
{
    (void)state;
    struct elect_leader leader = {.fence = 0};
    buf_init(&leader.key, LIMIT_KEY_BYTES);
    buf_init(&leader.value, LIMIT_VALUE_BYTES);
    struct minikv_result none = {.items_count = 0};
    elect_look(&leader, &none, 5);
    assert_int_equal(leader.fence, 0);
    elect_look(&leader, &page, 5);
    elect_look(&leader, &none, 5);
    assert_int_equal(leader.fence, 10);
    assert_string_equal(buf_text(&leader.value), "job/2");
    buf_release(&leader.key);
    buf_release(&leader.value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_waits_for_the_one_that_came_just_before),
        cmocka_unit_test(a_place_that_is_gone_is_noticed),
        cmocka_unit_test(the_nearest_is_found_across_pages),
        cmocka_unit_test(who_came_first_leads),
    };
    return cmocka_run_group_tests(tests, make_page, NULL);
}
