/* Attempt: the decision over all combinations of its facts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "client/attempt.h"

static const int codes[] = {200, 204, 307, 400, 404, 408, 409, 412,
                            414, 422, 500, 501, 502, 503, 504, 507};

static void for_all(void (*check)(const struct attempt *attempt))
{
    struct attempt attempt;
    for (int end = ATTEMPT_REPLIED; end <= ATTEMPT_LOST; end++)
        for (size_t code = 0; code < ARRAY_COUNT(codes); code++)
            for (int effect = EFFECT_NONE; effect <= EFFECT_APPLIED; effect++)
                for (unsigned bits = 0; bits < 4; bits++)
                    for (unsigned follows = 0; follows <= MINIKV_REDIRECTS_MAX + 1; follows++) {
                        attempt = (struct attempt){(enum attempt_end)end, codes[code],
                                                   (enum effect)effect,   (bits & 1) != 0,
                                                   (bits & 2) != 0,       follows};
                        check(&attempt);
                    }
}

static void check_never_twice(const struct attempt *attempt)
{
    bool may_have_happened =
        attempt->end == ATTEMPT_LOST ||
        (attempt->end == ATTEMPT_REPLIED && attempt->effect != EFFECT_NONE && attempt->code != 307);
    if (may_have_happened && !attempt->is_repeatable)
        assert_int_equal(attempt_decide(attempt), ATTEMPT_NEXT_FINISH);
}

static void what_may_have_happened_is_never_sent_again(void **state)
{
    (void)state;
    for_all(check_never_twice);
}

static void check_follow(const struct attempt *attempt)
{
    bool follows = attempt_decide(attempt) == ATTEMPT_NEXT_FOLLOW;
    bool may = attempt->end == ATTEMPT_REPLIED && attempt->code == 307 && attempt->points &&
               attempt->follows_count < MINIKV_REDIRECTS_MAX;
    assert_int_equal(follows, may);
}

static void only_a_307_that_points_is_followed_and_only_so_often(void **state)
{
    (void)state;
    for_all(check_follow);
}

static void check_answers(const struct attempt *attempt)
{
    bool is_answer = attempt->end == ATTEMPT_REPLIED && attempt->code != 307 &&
                     attempt->code != 408 && attempt->code != 500 &&
                     (attempt->code < 502 || attempt->code > 504);
    if (is_answer)
        assert_int_equal(attempt_decide(attempt), ATTEMPT_NEXT_FINISH);
}

static void a_real_answer_ends_the_call(void **state)
{
    (void)state;
    for_all(check_answers);
}

static void what_was_not_done_is_tried_elsewhere(void **state)
{
    (void)state;
    struct attempt unsent = {.end = ATTEMPT_UNSENT};
    struct attempt refused = {.code = 503, .effect = EFFECT_NONE};
    struct attempt circle = {.code = 307, .points = true, .follows_count = MINIKV_REDIRECTS_MAX};
    struct attempt lost_read = {.end = ATTEMPT_LOST, .is_repeatable = true};

    assert_int_equal(attempt_decide(&unsent), ATTEMPT_NEXT_ELSEWHERE);
    assert_int_equal(attempt_decide(&refused), ATTEMPT_NEXT_ELSEWHERE);
    assert_int_equal(attempt_decide(&circle), ATTEMPT_NEXT_ELSEWHERE);
    assert_int_equal(attempt_decide(&lost_read), ATTEMPT_NEXT_ELSEWHERE);
}

static void none_of_one_delivery_says_nothing_of_those_before_it(void **state)
{
    (void)state;
    struct attempt refused = {.end = ATTEMPT_REPLIED, .code = 503, .effect = EFFECT_NONE};
    struct attempt unsent = {.end = ATTEMPT_UNSENT};
    struct attempt lost = {.end = ATTEMPT_LOST};
    struct attempt done = {.end = ATTEMPT_REPLIED, .code = 204, .effect = EFFECT_APPLIED};

    assert_int_equal(attempt_combine(EFFECT_NONE, &refused, false), EFFECT_NONE);
    assert_int_equal(attempt_combine(EFFECT_NONE, &unsent, false), EFFECT_NONE);
    assert_int_equal(attempt_combine(EFFECT_NONE, &lost, false), EFFECT_MAYBE);
    assert_int_equal(attempt_combine(EFFECT_MAYBE, &refused, false), EFFECT_MAYBE);
    assert_int_equal(attempt_combine(EFFECT_MAYBE, &unsent, false), EFFECT_MAYBE);
    assert_int_equal(attempt_combine(EFFECT_MAYBE, &refused, true), EFFECT_NONE);
    assert_int_equal(attempt_combine(EFFECT_MAYBE, &done, false), EFFECT_APPLIED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_may_have_happened_is_never_sent_again),
        cmocka_unit_test(only_a_307_that_points_is_followed_and_only_so_often),
        cmocka_unit_test(a_real_answer_ends_the_call),
        cmocka_unit_test(what_was_not_done_is_tried_elsewhere),
        cmocka_unit_test(none_of_one_delivery_says_nothing_of_those_before_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
