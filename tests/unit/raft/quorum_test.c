/* Majority arithmetic, for all small inputs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/limits.h"
#include "raft/quorum.h"

static void two_quorums_always_share_a_voter(void **state)
{
    (void)state;
    for (size_t n = 1; n <= LIMIT_MEMBERS; n++) {
        assert_true(2 * raft_quorum_size(n) > n);
        assert_true(2 * (raft_quorum_size(n) - 1) <= n); /* and one less might not */
        assert_true(raft_quorum_size(n) <= n);
    }
}

/* By its definition: try every candidate. */
static uint64_t naive_value(const uint64_t *values, size_t count)
{
    uint64_t best = 0;
    for (size_t i = 0; i < count; i++) {
        size_t reached = 0;
        for (size_t j = 0; j < count; j++)
            reached += values[j] >= values[i];
        if (2 * reached > count && values[i] > best)
            best = values[i];
    }
    return best;
}

static void the_value_of_a_quorum_is_the_greatest_that_a_majority_reached(void **state)
{
    (void)state;
    for (size_t n = 0; n <= 6; n++) {
        size_t cases = 1;
        for (size_t i = 0; i < n; i++)
            cases *= 5;
        for (size_t number = 0; number < cases; number++) {
            uint64_t values[6];
            for (size_t i = 0, rest = number; i < n; i++, rest /= 5)
                values[i] = rest % 5;
            uint64_t want = naive_value(values, n);
            assert_int_equal(raft_quorum_value(values, n), want);
        }
    }
}

static void nobody_is_no_quorum(void **state)
{
    (void)state;
    assert_int_equal(raft_quorum_value(NULL, 0), 0);
    assert_int_equal(raft_quorum_outcome(0, 0, 0), RAFT_OUTCOME_LOST);
}

static void an_election_is_won_by_a_majority_and_lost_when_none_is_left(void **state)
{
    (void)state;
    for (size_t n = 1; n <= LIMIT_MEMBERS; n++) {
        for (size_t granted = 0; granted <= n; granted++) {
            for (size_t refused = 0; granted + refused <= n; refused++) {
                size_t open = n - granted - refused;
                bool is_won = 2 * granted > n;
                bool can_win = 2 * (granted + open) > n;
                enum raft_outcome want = is_won    ? RAFT_OUTCOME_WON
                                         : can_win ? RAFT_OUTCOME_OPEN
                                                   : RAFT_OUTCOME_LOST;
                assert_int_equal(raft_quorum_outcome(n, granted, refused), want);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_quorums_always_share_a_voter),
        cmocka_unit_test(the_value_of_a_quorum_is_the_greatest_that_a_majority_reached),
        cmocka_unit_test(nobody_is_no_quorum),
        cmocka_unit_test(an_election_is_won_by_a_majority_and_lost_when_none_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
