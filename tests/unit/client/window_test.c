/* Window and leader: what may be given, acknowledged and followed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/prng.h"
#include "client/leader.h"
#include "client/window.h"

static void sequences_begin_at_one_and_acknowledge_what_is_below(void **state)
{
    (void)state;
    struct window window;
    window_init(&window);

    assert_int_equal(window_take(&window), 1);
    assert_int_equal(window_take(&window), 2);
    assert_int_equal(window_take(&window), 3);
    window_end(&window, 2, false);
    assert_int_equal(window.acked, 0); /* 1 is under way */
    window_end(&window, 1, false);

    assert_int_equal(window.acked, 2);
}

static void no_sequence_is_given_that_would_push_out_one_under_way(void **state)
{
    (void)state;
    struct window window;
    window_init(&window);
    for (uint64_t i = 1; i <= WINDOW_SEQUENCES; i++) {
        assert_int_equal(window_take(&window), i);
        if (i != 1)
            window_end(&window, i, false);
    }

    assert_int_equal(window_take(&window), 0);
    window_end(&window, 1, false);

    assert_int_equal(window_take(&window), WINDOW_SEQUENCES + 1);
    assert_int_equal(window.acked, WINDOW_SEQUENCES);
}

static void what_is_kept_holds_up_the_acknowledging_and_nothing_else(void **state)
{
    (void)state;
    struct window window;
    window_init(&window);
    window_end(&window, window_take(&window), true);
    for (uint64_t i = 2; i <= WINDOW_SEQUENCES; i++)
        window_end(&window, window_take(&window), false);
    assert_int_equal(window.acked, 0);

    assert_int_equal(window_take(&window), WINDOW_SEQUENCES + 1);

    assert_int_equal(window.acked, WINDOW_SEQUENCES); /* the server has let go of 1 by itself */
}

static void only_what_is_kept_can_be_taken_up_again(void **state)
{
    (void)state;
    struct window window;
    window_init(&window);
    for (int i = 0; i < 4; i++)
        (void)window_take(&window);
    window_end(&window, 1, false);
    window_end(&window, 2, true);
    window_end(&window, 3, false);

    assert_false(window_retake(&window, 0));
    assert_false(window_retake(&window, 1));
    assert_false(window_retake(&window, 3));
    assert_false(window_retake(&window, 4)); /* under way */
    assert_false(window_retake(&window, 5));
    assert_true(window_retake(&window, 2));
    window_end(&window, 4, false);
    assert_int_equal(window.acked, 1);
    window_end(&window, 2, false);

    assert_int_equal(window.acked, 4);
}

/* Against the definition, step by step. */
static void any_order_of_ends_keeps_what_the_window_promises(void **state)
{
    (void)state;
    enum { STEPS = 40000 };
    static uint8_t marks[STEPS + 2]; /* 0: not given */
    struct window window;
    struct prng prng;
    uint64_t oldest = 1;
    window_init(&window);
    prng_init(&prng, 1);
    for (int step = 0; step < STEPS; step++) {
        uint64_t taken = prng_below(&prng, 100) < 55 ? window_take(&window) : 0;
        if (taken != 0) {
            assert_int_equal(marks[taken], 0);
            marks[taken] = 1;
        }
        uint64_t span = window.highest - oldest + 1;
        uint64_t at = span == 0 ? 0 : oldest + prng_below(&prng, MIN(span, 40));
        if (at != 0 && marks[at] == 1 && prng_below(&prng, 10) != 0) {
            bool keeps = prng_below(&prng, 20) == 0;
            marks[at] = keeps ? 2 : 3;
            window_end(&window, at, keeps);
        }
        while (oldest <= window.highest && marks[oldest] != 1)
            oldest++;
        assert_true(oldest + WINDOW_SEQUENCES > window.highest);
        assert_true(window.acked < oldest);
        for (uint64_t kept = window.acked; kept > 0 && kept + 64 > window.acked; kept--)
            assert_true(marks[kept] == 3 ||
                        (marks[kept] == 2 && kept + WINDOW_SEQUENCES <= window.highest));
    }
    assert_true(window.highest > WINDOW_SEQUENCES * 2);
}

/* ---- leader ---- */

static const struct address a = {.host = "a", .port = 1}, b = {.host = "b", .port = 2}, unset;

static void a_hint_of_a_lower_term_is_out_of_date(void **state)
{
    (void)state;
    struct leader leader = {0};

    assert_true(leader_hear(&leader, 5, &a));
    assert_false(leader_hear(&leader, 4, &b));

    assert_true(address_equal(&leader.address, &a));
    assert_int_equal(leader.term_max, 5);
}

static void a_higher_term_without_a_leader_ends_the_old_one(void **state)
{
    (void)state;
    struct leader leader = {0};
    assert_true(leader_hear(&leader, 5, &a));

    assert_true(leader_hear(&leader, 6, &unset));

    assert_false(leader_is_known(&leader));
    assert_false(leader_hear(&leader, 5, &a));
    assert_true(leader_hear(&leader, 6, &b));
    assert_true(address_equal(&leader.address, &b));
}

static void the_first_leader_of_a_term_is_kept_until_it_fails(void **state)
{
    (void)state;
    struct leader leader = {0};
    assert_true(leader_hear(&leader, 5, &a));
    assert_true(leader_hear(&leader, 5, &b));
    assert_true(address_equal(&leader.address, &a));

    leader_forget(&leader, &b); /* not the one */
    assert_true(leader_is_known(&leader));
    leader_forget(&leader, &a);

    assert_false(leader_is_known(&leader));
    assert_true(leader_has_failed(&leader, &a));
    assert_false(leader_has_failed(&leader, &b));
    assert_true(leader_hear(&leader, 6, &a));
    assert_false(leader_has_failed(&leader, &a)); /* that was another term */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sequences_begin_at_one_and_acknowledge_what_is_below),
        cmocka_unit_test(no_sequence_is_given_that_would_push_out_one_under_way),
        cmocka_unit_test(what_is_kept_holds_up_the_acknowledging_and_nothing_else),
        cmocka_unit_test(only_what_is_kept_can_be_taken_up_again),
        cmocka_unit_test(any_order_of_ends_keeps_what_the_window_promises),
        cmocka_unit_test(a_hint_of_a_lower_term_is_out_of_date),
        cmocka_unit_test(a_higher_term_without_a_leader_ends_the_old_one),
        cmocka_unit_test(the_first_leader_of_a_term_is_kept_until_it_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
