/* The bucket: never more than allowed, and no less than that either. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/prng.h"
#include "node/bucket.h"

#define SECOND ((time_us)1000000)

static void without_a_bound_anything_may_be_spent_at_once(void **state)
{
    struct bucket bucket;
    bucket_init(&bucket, 0, 0);

    for (time_us now = 0; now < 10; now++) {
        bucket_spend(&bucket, now, INT64_MAX / SECOND);
        assert_int_equal(bucket_ready_at(&bucket, now), now);
    }
}

static void what_was_spent_has_to_be_paid_for(void **state)
{
    struct bucket bucket;
    bucket_init(&bucket, 1000, 0); /* a byte costs a millisecond */

    assert_int_equal(bucket_ready_at(&bucket, 5 * SECOND), 5 * SECOND);
    bucket_spend(&bucket, 5 * SECOND, 500);
    assert_int_equal(bucket_ready_at(&bucket, 5 * SECOND), 5 * SECOND + SECOND / 2);
    assert_int_equal(bucket_ready_at(&bucket, 6 * SECOND), 6 * SECOND);
}

static void a_pause_saves_up_a_burst_and_no_more(void **state)
{
    struct bucket bucket;
    bucket_init(&bucket, 1000, 300);
    time_us now = 100 * SECOND; /* a long pause */

    unsigned count = 0;
    for (; bucket_ready_at(&bucket, now) == now; count++)
        bucket_spend(&bucket, now, 100);

    assert_int_equal(count, 4); /* the burst, and one that goes beyond it */
    assert_int_equal(bucket_ready_at(&bucket, now), now + SECOND / 10);
}

/* A piece that costs less than a microsecond is not free. */
static void what_is_rounded_is_rounded_up(void **state)
{
    struct bucket bucket;
    bucket_init(&bucket, 3000000, 0);

    bucket_spend(&bucket, SECOND, 1);

    assert_int_equal(bucket_ready_at(&bucket, SECOND), SECOND + 1);
}

static void the_smallest_rates_and_the_largest_pieces_do_not_wrap(void **state)
{
    struct bucket bucket;
    bucket_init(&bucket, 1, 0);
    bucket_spend(&bucket, SECOND, 1 << 20);
    assert_int_equal(bucket_ready_at(&bucket, SECOND), ((1 << 20) + 1) * SECOND);

    bucket_init(&bucket, INT64_MAX, 1 << 20);
    bucket_spend(&bucket, SECOND, 1 << 20);
    assert_in_range(bucket_ready_at(&bucket, SECOND), SECOND, SECOND + 1);
}

/* Over any stretch: at most the rate, the burst, and one piece; and when there is always something
 * to send, no less than the rate. */
static void the_rate_holds_over_any_stretch_of_time(void **state)
{
    enum { RATE = 3000000, BURST = 60000, PIECE_MAX = 131072, ROUNDS = 2000 };
    static struct {
        time_us at;
        uint64_t total; /* spent before */
    } history[ROUNDS];
    const uint64_t seed = 5;
    struct prng prng;
    struct bucket bucket;
    prng_init(&prng, seed);
    bucket_init(&bucket, RATE, BURST);
    time_us now = SECOND;
    uint64_t total = 0;

    for (int round = 0; round < ROUNDS; round++) {
        now = bucket_ready_at(&bucket, now) + prng_below(&prng, 20000); /* a timer that is late */
        history[round].at = now;
        history[round].total = total;
        uint64_t piece = PIECE_MAX / 2 + prng_below(&prng, PIECE_MAX / 2); /* beyond the burst */
        bucket_spend(&bucket, now, piece);
        total += piece;
    }

    for (int from = 0; from < ROUNDS; from++)
        for (int to = from; to < ROUNDS; to++) {
            double spent = (double)(history[to].total - history[from].total);
            double allowed = (double)(history[to].at - history[from].at) * RATE / SECOND;
            assert_true(spent <= allowed + BURST + PIECE_MAX);
        }
    double due = (double)(now - SECOND) * RATE / SECOND;
    assert_true((double)total >=
                due * 0.99); /* being late by no more than the burst costs nothing */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_bound_anything_may_be_spent_at_once),
        cmocka_unit_test(what_was_spent_has_to_be_paid_for),
        cmocka_unit_test(a_pause_saves_up_a_burst_and_no_more),
        cmocka_unit_test(what_is_rounded_is_rounded_up),
        cmocka_unit_test(the_smallest_rates_and_the_largest_pieces_do_not_wrap),
        cmocka_unit_test(the_rate_holds_over_any_stretch_of_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
