/* For how long a lease is certain: against what the cluster may do, in every order of what can
 * happen within some steps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "client/lease.h"

enum { TTL_MS = 12000, STEPS = 16 };
#define STEP_US ((time_us)TTL_MS * TIME_US_PER_MS / 5)
#define TTL_US  ((time_us)TTL_MS * TIME_US_PER_MS)

/* The cluster, as bad as it may be: it carries out a keep-alive in the moment it is sent, its clock
 * is the faster one, and it ends the lease in the moment it can. */
struct world {
    struct lease lease;
    time_us now;
    time_us ends_at;
    time_us kept_until; /* if the one under way is carried out */
};

static time_us shortest_ttl(void)
{
    return TTL_US - TTL_US / LEASE_CLOCKS;
}

static void assert_true_of(const struct world *world)
{
    time_us certain = lease_certain_for(&world->lease, world->now);
    time_us keep_at = lease_keep_at(&world->lease);
    if (certain != 0)
        assert_true(world->now + certain <= world->ends_at);
    if (certain != 0 && !world->lease.is_asking) /* there is time for the next one */
        assert_true(keep_at < world->now + certain || keep_at <= world->now + TTL_US / 10);
    if (world->lease.is_gone) {
        assert_int_equal(certain, 0);
        assert_true(keep_at == TIME_NEVER);
    }
}

static unsigned explored_count;

static void explore(struct world world, unsigned steps);

static void answer(struct world world, unsigned steps, enum lease_answer answer, bool was_done)
{
    if (was_done)
        world.ends_at = MAX(world.ends_at, world.kept_until);
    lease_answered(&world.lease, world.now, answer);
    assert_true_of(&world);
    explore(world, steps);
}

/* What may come next: time, or what becomes of the keep-alive under way. */
static void explore(struct world world, unsigned steps)
{
    bool is_alive = world.now < world.ends_at;
    explored_count++;
    if (steps == 0)
        return;
    if (lease_keep_at(&world.lease) <= world.now) {
        struct world asked = world;
        lease_asked(&asked.lease, asked.now);
        asked.kept_until = is_alive ? asked.now + shortest_ttl() : 0;
        assert_true_of(&asked);
        explore(asked, steps - 1);
    }
    if (world.lease.is_asking) {
        if (world.kept_until != 0)
            answer(world, steps - 1, LEASE_KEPT, true);
        else
            answer(world, steps - 1, LEASE_GONE, false);
        answer(world, steps - 1, LEASE_NO_ANSWER, true);
        answer(world, steps - 1, LEASE_NO_ANSWER, false);
    }
    world.now += STEP_US;
    assert_true_of(&world);
    explore(world, steps - 1);
}

static void what_is_certain_is_true_in_every_order_of_events(void **state)
{
    (void)state;
    struct world world = {.now = 1000, .ends_at = 1000 + shortest_ttl()};
    lease_begin(&world.lease, 9, TTL_MS, world.now);
    explored_count = 0;

    explore(world, STEPS);

    assert_true(explored_count > 10000);
}

static void it_counts_from_when_the_answered_one_was_sent(void **state)
{
    (void)state;
    struct lease lease;
    lease_begin(&lease, 9, TTL_MS, 1000);
    lease_asked(&lease, 1000 + TTL_US / 3);

    lease_answered(&lease, 1000 + TTL_US - 5, LEASE_KEPT); /* an answer that took its time */

    assert_true(lease_certain_for(&lease, 1000 + TTL_US) == TTL_US / 3 - TTL_US / LEASE_CLOCKS);
    assert_true(lease_keep_at(&lease) == 1000 + 2 * (TTL_US / 3));
}

static void a_third_of_the_time_to_live_goes_by_before_the_next_one(void **state)
{
    (void)state;
    struct lease lease = {0};
    assert_true(lease_keep_at(&lease) == TIME_NEVER); /* not granted yet */

    lease_begin(&lease, 9, 1000, 5000);

    assert_true(lease_keep_at(&lease) == 5000 + 1000 * (time_us)TIME_US_PER_MS / 3);
    lease_asked(&lease, 400000);
    assert_true(lease_keep_at(&lease) == TIME_NEVER); /* one at a time */
    lease_answered(&lease, 500000, LEASE_NO_ANSWER);
    assert_true(lease_keep_at(&lease) == 550000); /* and soon again */
}

static void a_doubt_is_over_with_the_next_answer(void **state)
{
    (void)state;
    struct lease lease;
    time_us late = 10 * TTL_US;
    lease_begin(&lease, 9, TTL_MS, 0);
    assert_true(lease_certain_for(&lease, late) == 0);
    assert_true(lease_patience(&lease, late) >= TTL_US / 3);
    lease_asked(&lease, late);

    lease_answered(&lease, late + 1, LEASE_KEPT); /* it has been there all the time */

    assert_true(lease_certain_for(&lease, late + 1) > TTL_US / 2);
}

static void what_is_gone_stays_gone(void **state)
{
    (void)state;
    struct lease lease;
    lease_begin(&lease, 9, TTL_MS, 0);
    lease_asked(&lease, 10);

    lease_answered(&lease, 20, LEASE_GONE);
    lease_answered(&lease, 21, LEASE_KEPT); /* one that was carried out before */

    assert_true(lease.is_gone);
    assert_true(lease_certain_for(&lease, 20) == 0);
    assert_true(lease_keep_at(&lease) == TIME_NEVER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_certain_is_true_in_every_order_of_events),
        cmocka_unit_test(it_counts_from_when_the_answered_one_was_sent),
        cmocka_unit_test(a_third_of_the_time_to_live_goes_by_before_the_next_one),
        cmocka_unit_test(a_doubt_is_over_with_the_next_answer),
        cmocka_unit_test(what_is_gone_stays_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
