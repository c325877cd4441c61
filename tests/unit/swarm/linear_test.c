/* The judge of histories: what can be explained by an order of operations is, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/prng.h"
#include "sim/swarm/linear.h"

/* A history with many writes that nobody knows of may take more steps than allowed to be refuted:
 * then the judge says so, which is right, but it must stay rare. */
enum { STEPS_MAX = 1000000, OPS_MAX = 40, HISTORIES = 3000, UNDECIDED_MAX = HISTORIES / 100 };

#define CHECK(ops, wanted) check(ops, ARRAY_COUNT(ops), wanted)

static void check(const struct linear_op *ops, size_t count, enum linear_verdict wanted)
{
    size_t stuck;
    assert_int_equal(linear_check(ops, count, STEPS_MAX, &stuck), wanted);
}

static struct linear_op put(uint64_t value, uint64_t called, uint64_t answered)
{
    return (struct linear_op){.kind = LINEAR_WRITE,
                              .outcome = answered == LINEAR_NEVER ? LINEAR_UNKNOWN : LINEAR_DONE,
                              .value = value,
                              .called = called,
                              .answered = answered};
}

static struct linear_op get(uint64_t value, uint64_t called, uint64_t answered)
{
    return (struct linear_op){
        .kind = LINEAR_READ, .expected = value, .called = called, .answered = answered};
}

static struct linear_op swap(uint64_t expected, uint64_t value, enum linear_outcome outcome,
                             uint64_t called, uint64_t answered)
{
    return (struct linear_op){.kind = LINEAR_SWAP,
                              .outcome = outcome,
                              .expected = expected,
                              .value = value,
                              .called = called,
                              .answered = answered};
}

static void a_read_shows_what_was_written_last(void **state)
{
    struct linear_op good[] = {put(1, 1, 2), get(1, 3, 4), put(2, 5, 6), get(2, 7, 8)};
    struct linear_op stale[] = {put(1, 1, 2), put(2, 3, 4), get(1, 5, 6)};
    struct linear_op invented[] = {put(1, 1, 2), get(7, 3, 4)};
    struct linear_op lost[] = {put(1, 1, 2), get(0, 3, 4)};

    CHECK(good, LINEAR_YES);
    CHECK(stale, LINEAR_NO);
    CHECK(invented, LINEAR_NO);
    CHECK(lost, LINEAR_NO);
}

static void operations_at_the_same_time_may_come_in_any_order(void **state)
{
    struct linear_op either[] = {put(1, 1, 4), put(2, 2, 3), get(1, 5, 6)};
    struct linear_op during[] = {put(1, 1, 6), get(0, 2, 3), get(1, 4, 5)};
    struct linear_op back[] = {put(1, 1, 6), get(1, 2, 3), get(0, 4, 5)};

    CHECK(either, LINEAR_YES);
    CHECK(during, LINEAR_YES);
    CHECK(back, LINEAR_NO); /* once shown, it is there */
}

static void what_nobody_knows_of_may_have_happened_at_any_time_or_never(void **state)
{
    struct linear_op never[] = {put(1, 1, LINEAR_NEVER), get(0, 2, 3)};
    struct linear_op late[] = {put(1, 1, LINEAR_NEVER), get(0, 2, 3), get(1, 4, 5)};
    struct linear_op undone[] = {put(1, 1, LINEAR_NEVER), get(1, 2, 3), get(0, 4, 5)};
    struct linear_op before[] = {get(1, 1, 2), put(1, 3, LINEAR_NEVER)};

    CHECK(never, LINEAR_YES);
    CHECK(late, LINEAR_YES);
    CHECK(undone, LINEAR_NO);
    CHECK(before, LINEAR_NO);
}

static void a_swap_is_done_where_it_finds_what_it_expects_and_refused_elsewhere(void **state)
{
    struct linear_op good[] = {put(1, 1, 2), swap(1, 2, LINEAR_DONE, 3, 4), get(2, 5, 6)};
    struct linear_op both[] = {put(1, 1, 2), swap(1, 2, LINEAR_DONE, 3, 6),
                               swap(1, 3, LINEAR_DONE, 4, 5)};
    struct linear_op refused[] = {put(1, 1, 2), swap(1, 2, LINEAR_REFUSED, 3, 4)};
    struct linear_op unknown[] = {put(1, 1, 2), swap(0, 2, LINEAR_UNKNOWN, 3, LINEAR_NEVER),
                                  get(2, 4, 5)};

    CHECK(good, LINEAR_YES);
    CHECK(both, LINEAR_NO);
    CHECK(refused, LINEAR_NO);
    CHECK(unknown, LINEAR_NO); /* it would have had to find nothing */
}

static void a_search_that_takes_too_long_is_given_up(void **state)
{
    struct linear_op ops[OPS_MAX];
    size_t stuck;
    for (size_t i = 0; i + 1 < OPS_MAX; i++)
        ops[i] = put(i + 1, 2 * i + 1, LINEAR_NEVER);
    ops[OPS_MAX - 1] = get(OPS_MAX * 2, 1000, 1001);

    assert_int_equal(linear_check(ops, OPS_MAX, 1000, &stuck), LINEAR_UNDECIDED);
}

/* A register that works, used by several at once; each operation takes effect at `point`. */
static size_t play(struct prng *prng, struct linear_op *ops)
{
    size_t count = 2 + (size_t)prng_below(prng, OPS_MAX - 2);
    uint64_t value = 0, point = 100;
    for (size_t i = 0; i < count; i++) {
        point += 10;
        uint64_t called = point - 1 - prng_below(prng, 40), answered = point + prng_below(prng, 40);
        bool is_unknown = prng_below(prng, 8) == 0;
        uint64_t kind = prng_below(prng, 3);
        if (kind == 0)
            ops[i] = get(value, called, answered);
        else if (kind == 1)
            ops[i] = put(i + 1, called, answered);
        else
            ops[i] = swap(prng_below(prng, 2) == 0 ? value : value + 1, i + 1, LINEAR_DONE, called,
                          answered);
        if (kind == 2 && ops[i].expected != value)
            ops[i].outcome = LINEAR_REFUSED;
        if (kind != 0 && ops[i].outcome == LINEAR_DONE)
            value = ops[i].value;
        if (kind != 0 && is_unknown) {
            ops[i].outcome = LINEAR_UNKNOWN;
            ops[i].answered = LINEAR_NEVER;
        }
        ops[i].called = ops[i].called * 64 + i; /* all different */
        if (ops[i].answered != LINEAR_NEVER)
            ops[i].answered = ops[i].answered * 64 + i;
    }
    return count;
}

static void whatever_a_working_register_does_is_explained(void **state)
{
    uint64_t seed = (uint64_t)time(NULL);
    unsigned undecided_count = 0;
    struct prng prng;
    prng_init(&prng, seed);
    for (unsigned i = 0; i < HISTORIES; i++) {
        struct linear_op ops[OPS_MAX];
        size_t stuck, count = play(&prng, ops);

        enum linear_verdict verdict = linear_check(ops, count, STEPS_MAX, &stuck);

        undecided_count += verdict == LINEAR_UNDECIDED;
        if (verdict == LINEAR_NO)
            fail_msg("seed %llu, history %u: operation %zu", (unsigned long long)seed, i, stuck);
    }
    assert_in_range(undecided_count, 0, UNDECIDED_MAX);
}

/* One read that shows a value nobody can have left there. */
static void one_wrong_answer_among_many_is_found(void **state)
{
    uint64_t seed = (uint64_t)time(NULL);
    unsigned undecided_count = 0;
    struct prng prng;
    prng_init(&prng, seed);
    for (unsigned i = 0; i < HISTORIES; i++) {
        struct linear_op ops[OPS_MAX + 1];
        size_t stuck, count = play(&prng, ops);
        uint64_t late = 1000000;
        ops[count] = get((count + 1) * 100, late, late + 1);

        enum linear_verdict verdict = linear_check(ops, count + 1, STEPS_MAX, &stuck);

        undecided_count += verdict == LINEAR_UNDECIDED;
        if (verdict == LINEAR_YES)
            fail_msg("seed %llu, history %u passes", (unsigned long long)seed, i);
        assert_true(verdict == LINEAR_UNDECIDED || stuck == count);
    }
    assert_in_range(undecided_count, 0, UNDECIDED_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_read_shows_what_was_written_last),
        cmocka_unit_test(operations_at_the_same_time_may_come_in_any_order),
        cmocka_unit_test(what_nobody_knows_of_may_have_happened_at_any_time_or_never),
        cmocka_unit_test(a_swap_is_done_where_it_finds_what_it_expects_and_refused_elsewhere),
        cmocka_unit_test(a_search_that_takes_too_long_is_given_up),
        cmocka_unit_test(whatever_a_working_register_does_is_explained),
        cmocka_unit_test(one_wrong_answer_among_many_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
