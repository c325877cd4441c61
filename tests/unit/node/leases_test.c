/* Leases of a cluster: they end soon after their time and never before it, whatever becomes of
 * leaders and clocks; what hangs on them goes everywhere at one revision. */
#include "trial_rig.h"

#include <inttypes.h>

enum {
    TTL_MS = 3000,
    SOON_MS = 500,    /* after its time, where somebody leads */
    CHANGE_MS = 4000, /* for another to lead, at most */
    LEASE = 77
};

#define MS(ms) ((time_us)(ms)*TIME_US_PER_MS)

static struct command granting(uint64_t lease, uint64_t ttl_ms)
{
    return (struct command){.op = COMMAND_GRANT_LEASE, .lease = lease, .ttl_ms = ttl_ms};
}

static void grant_at(struct trial *trial, unsigned at, uint64_t lease, uint64_t ttl_ms,
                     const char *key)
{
    struct command command = granting(lease, ttl_ms);
    assert_int_equal(trial_ask(trial, at, &command), ST_OK);
    command = (struct command){
        .op = COMMAND_PUT, .key = bytes_of_text(key), .value = BYTES_LITERAL("v"), .lease = lease};
    assert_int_equal(trial_ask(trial, at, &command), ST_OK);
}

/* Grants LEASE with a key, and all know. Gives when the grant was sent: a client counts from there.
 */
static time_us hold_lease(struct trial *trial, uint64_t ttl_ms)
{
    time_us sent_at = world_now(trial->world);
    grant_at(trial, 1 + trial_leader(trial) % 3, LEASE, ttl_ms, "held");
    trial_settle(trial);
    return sent_at;
}

static bool has_lease(const struct trial *trial, unsigned at)
{
    struct kv_lease lease;
    return kv_lease(node_kv(trial->nodes[at]), LEASE, &lease);
}

static bool has_key(const struct trial *trial, unsigned at)
{
    struct kv_item item;
    return kv_get(node_kv(trial->nodes[at]), BYTES_LITERAL("held"), &item);
}

static unsigned holders_count(const struct trial *trial)
{
    unsigned count = 0;
    for (unsigned i = 1; i <= trial->founders_count; i++) {
        if (trial->nodes[i] == NULL)
            continue;
        assert_true(has_lease(trial, i) || !has_key(trial, i));
        count += has_lease(trial, i);
    }
    return count;
}

/* Until just before then; nobody loses it meanwhile. */
static void run_holding(struct trial *trial, time_us until)
{
    while (world_now(trial->world) + MS(TRIAL_SLICE_MS) < until) {
        trial_run(trial, TRIAL_SLICE_MS);
        for (unsigned i = 1; i <= trial->founders_count; i++)
            assert_true(trial->nodes[i] == NULL || has_lease(trial, i));
    }
}

static void run_until_gone(struct trial *trial, unsigned long patience_ms)
{
    for (unsigned long ms = 0; holders_count(trial) != 0; ms += TRIAL_SLICE_MS) {
        if (ms > patience_ms)
            fail_msg("the lease is still there after %lu ms", patience_ms);
        trial_run(trial, TRIAL_SLICE_MS);
    }
}

static uint64_t deleted_at(const struct trial *trial, unsigned at)
{
    const struct kv *kv = node_kv(trial->nodes[at]);
    struct kv_event event;
    uint64_t number;
    assert_int_equal(kv_events_find(kv, 2, &number), ST_OK);
    for (; number < kv_events_end(kv); number++) {
        assert_int_equal(kv_event_at(kv, number, &event), ST_OK);
        if (event.item.version == 0 && bytes_equal_text(event.item.key, "held"))
            return event.item.mod_revision;
    }
    fail_msg("node %u has not seen it go", at);
    return 0;
}

/* All have the same state; in all of them the key went at the same revision. */
static void check_equal(struct trial *trial)
{
    trial_settle(trial);
    uint64_t revision = deleted_at(trial, 1);
    for (unsigned i = 2; i <= trial->founders_count; i++)
        assert_int_equal(deleted_at(trial, i), revision);
}

static void open_calm(struct trial *trial, uint64_t seed)
{
    trial_open(trial, 3, seed);
    trial_settle(trial);
}

/* ---- while one leads ---- */

static void a_lease_goes_soon_after_its_time_and_not_before(void **state)
{
    struct trial trial;
    open_calm(&trial, 1);

    time_us sent_at = hold_lease(&trial, TTL_MS);
    time_us answered_at = world_now(trial.world);
    run_holding(&trial, sent_at + MS(TTL_MS));

    run_until_gone(&trial, TTL_MS);
    assert_true(world_now(trial.world) >= sent_at + MS(TTL_MS));
    assert_true(world_now(trial.world) <= answered_at + MS(TTL_MS + SOON_MS));
    check_equal(&trial);
    struct node_stats stats;
    node_stats(trial.nodes[2], &stats);
    assert_int_equal(stats.leases_expired_count, 1);
    trial_close(&trial);
}

static void one_after_the_other_each_goes_in_its_time(void **state)
{
    struct trial trial;
    open_calm(&trial, 2);
    grant_at(&trial, 1, 1, 1000, "a");
    grant_at(&trial, 2, 2, 1060, "b");
    grant_at(&trial, 3, 3, 1120, "c");
    grant_at(&trial, 3, 4, 1120, "d");
    time_us answered_at = world_now(trial.world);

    struct kv_stats stats;
    TRIAL_UNTIL(&trial, (kv_stats(node_kv(trial.nodes[1]), &stats), stats.leases_count == 0),
                "all go");

    assert_true(world_now(trial.world) <= answered_at + MS(1120 + SOON_MS));
    trial_settle(&trial);
    trial_close(&trial);
}

static void a_lease_that_is_kept_alive_stays(void **state)
{
    struct trial trial;
    uint8_t row[8];
    open_calm(&trial, 3);
    (void)hold_lease(&trial, TTL_MS);
    store_u64(row, LEASE);
    struct command command = {.op = COMMAND_RENEW_LEASES, .value = bytes_of(row, sizeof row)};
    time_us sent_at = 0;

    for (unsigned i = 0; i < 6; i++) {
        run_holding(&trial, world_now(trial.world) + MS(TTL_MS * 2 / 3));
        sent_at = world_now(trial.world);
        assert_int_equal(trial_ask(&trial, 1 + i % 3, &command), ST_OK);
        assert_int_equal(holders_count(&trial), 3);
    }

    run_holding(&trial, sent_at + MS(TTL_MS));
    run_until_gone(&trial, SOON_MS);
    check_equal(&trial);
    trial_close(&trial);
}

/* ---- from one leader to the next ---- */

static void a_new_leader_lets_it_last_longer_and_not_shorter(void **state)
{
    for (uint64_t seed = 10; seed < 14; seed++) {
        struct trial trial;
        open_calm(&trial, seed);
        time_us sent_at = hold_lease(&trial, TTL_MS);
        run_holding(&trial, sent_at + MS(TTL_MS * (seed - 10) / 4));
        unsigned leader = trial_leader(&trial);

        trial_stop(&trial, leader, WORLD_STOP_KILL);
        run_holding(&trial, sent_at + MS(TTL_MS));

        run_until_gone(&trial, TTL_MS + CHANGE_MS);
        trial_boot(&trial, leader);
        check_equal(&trial);
        trial_close(&trial);
    }
}

/* What it takes for now is long past, and it has been replaced meanwhile. */
static void a_leader_that_was_paused_ends_nothing_early(void **state)
{
    for (uint64_t seed = 20; seed < 24; seed++) {
        struct trial trial;
        uint8_t row[8];
        open_calm(&trial, seed);
        (void)hold_lease(&trial, TTL_MS);
        unsigned leader = trial_leader(&trial);
        store_u64(row, LEASE);
        struct command command = {.op = COMMAND_RENEW_LEASES, .value = bytes_of(row, sizeof row)};

        world_pause(trial.world, leader, true);
        trial_run(&trial, CHANGE_MS / 2);
        time_us sent_at = world_now(trial.world);
        unsigned other = 1 + leader % 3;
        struct trial_question question;
        trial_submit(&trial, other, &command, &question);
        trial_run(&trial, CHANGE_MS / 2);
        world_pause(trial.world, leader, false);
        assert_int_equal(trial_answer(&trial, &question), ST_OK);
        run_holding(&trial, sent_at + MS(TTL_MS));

        run_until_gone(&trial, TTL_MS + CHANGE_MS);
        check_equal(&trial);
        trial_close(&trial);
    }
}

/* Nobody is left to replace it: on its own clock, too, the time is over when it goes on. */
static void all_paused_together_go_on_where_they_were(void **state)
{
    struct trial trial;
    open_calm(&trial, 30);
    time_us sent_at = hold_lease(&trial, TTL_MS);

    for (unsigned i = 1; i <= 3; i++)
        world_pause(trial.world, i, true);
    trial_run(&trial, TTL_MS - 500);
    for (unsigned i = 1; i <= 3; i++)
        world_pause(trial.world, i, false);
    run_holding(&trial, sent_at + MS(TTL_MS));

    run_until_gone(&trial, TTL_MS + CHANGE_MS);
    check_equal(&trial);
    trial_close(&trial);
}

/* Nobody can replace it, and no keep-alive is heard while it stands still. */
static void a_single_voter_that_stood_still_gives_its_holders_time(void **state)
{
    struct trial trial;
    uint8_t row[8];
    store_u64(row, LEASE);
    struct command command = {.op = COMMAND_RENEW_LEASES, .value = bytes_of(row, sizeof row)};
    trial_open(&trial, 1, 33);
    trial_settle(&trial);
    grant_at(&trial, 1, LEASE, TTL_MS, "held");
    time_us sent_at = 0;

    for (unsigned i = 0; i < 6; i++) { /* at once, and when it has been awake for long */
        run_holding(&trial, world_now(trial.world) + MS(TTL_MS / 8 * i));
        world_pause(trial.world, 1, true);
        trial_run(&trial, TTL_MS / 2 << i);
        world_pause(trial.world, 1, false);
        trial_run(&trial, 50);
        assert_true(has_lease(&trial, 1));
        sent_at = world_now(trial.world);
        assert_int_equal(trial_ask(&trial, 1, &command), ST_OK);
    }

    run_holding(&trial, sent_at + MS(TTL_MS));
    run_until_gone(&trial, SOON_MS);
    trial_close(&trial);
}

/* A little of each standstill counts, so that nothing lasts for ever. */
static void a_lease_ends_under_a_single_voter_that_stops_again_and_again(void **state)
{
    struct trial trial;
    trial_open(&trial, 1, 34);
    trial_settle(&trial);
    grant_at(&trial, 1, LEASE, TTL_MS, "held");

    unsigned long awake_ms = 0;
    for (; has_lease(&trial, 1) && awake_ms <= TTL_MS; awake_ms += 500) {
        trial_run(&trial, 500);
        world_pause(trial.world, 1, true);
        trial_run(&trial, 5 * TTL_MS);
        world_pause(trial.world, 1, false);
    }

    assert_false(has_lease(&trial, 1));
    assert_in_range(awake_ms, TTL_MS / 2, TTL_MS);
    trial_close(&trial);
}

static void a_leader_that_is_cut_off_ends_nothing(void **state)
{
    struct trial trial;
    open_calm(&trial, 31);
    (void)hold_lease(&trial, TTL_MS);
    unsigned leader = trial_leader(&trial);

    for (unsigned i = 1; i <= 3; i++)
        if (i != leader) {
            world_cut(trial.world, leader, i, true);
            world_cut(trial.world, i, leader, true);
        }
    trial_run(&trial, 3 * TTL_MS);
    assert_true(has_lease(&trial, leader));
    for (unsigned i = 1; i <= 3; i++)
        if (i != leader) {
            assert_false(has_lease(&trial, i));
            world_cut(trial.world, leader, i, false);
            world_cut(trial.world, i, leader, false);
        }

    run_until_gone(&trial, CHANGE_MS);
    check_equal(&trial);
    trial_close(&trial);
}

/* In a log in which nothing happens there is a stamp now and then: without, a new leader would
 * begin at the last one, and the lease would last that much longer. */
static void in_an_idle_log_a_new_leader_loses_little(void **state)
{
    enum { LONG_TTL_MS = 60000, MARK_MS = 10000 };
    struct trial trial;
    open_calm(&trial, 32);
    time_us sent_at = hold_lease(&trial, LONG_TTL_MS);
    run_holding(&trial, sent_at + MS(LONG_TTL_MS - 5000));
    unsigned leader = trial_leader(&trial);

    trial_stop(&trial, leader, WORLD_STOP_KILL);
    run_holding(&trial, sent_at + MS(LONG_TTL_MS));

    run_until_gone(&trial, MARK_MS + CHANGE_MS);
    trial_boot(&trial, leader);
    check_equal(&trial);
    trial_close(&trial);
}

/* ---- clocks ---- */

static void clocks_that_are_set_move_nothing(void **state)
{
    const int64_t day = INT64_C(24) * 3600 * 1000 * TIME_US_PER_MS;
    for (uint64_t seed = 40; seed < 44; seed++) {
        struct trial trial;
        open_calm(&trial, seed);
        time_us sent_at = hold_lease(&trial, TTL_MS);
        unsigned leader = trial_leader(&trial);

        for (unsigned i = 1; i <= 3; i++)
            world_wall_jump(trial.world, i, seed % 2 == 0 ? day * i : -day * i);
        if (seed >= 42)
            trial_stop(&trial, leader, WORLD_STOP_KILL);
        run_holding(&trial, sent_at + MS(TTL_MS));

        run_until_gone(&trial, seed >= 42 ? TTL_MS + CHANGE_MS : SOON_MS);
        if (seed >= 42)
            trial_boot(&trial, leader);
        check_equal(&trial);
        trial_close(&trial);
    }
}

/* The documented tolerance: a clock that runs fast counts fast. */
static void a_clock_that_runs_wrong_is_off_by_its_own_error(void **state)
{
    for (unsigned percent = 95; percent <= 105; percent += 10) {
        struct trial trial;
        open_calm(&trial, percent);
        for (unsigned i = 1; i <= 3; i++)
            world_clock(trial.world, i, percent, 0);

        time_us sent_at = hold_lease(&trial, TTL_MS);
        time_us answered_at = world_now(trial.world);
        run_holding(&trial, sent_at + MS(TTL_MS) * 100 / percent);

        run_until_gone(&trial, TTL_MS);
        assert_true(world_now(trial.world) <=
                    answered_at + MS(TTL_MS) * 100 / percent + MS(SOON_MS));
        check_equal(&trial);
        trial_close(&trial);
    }
}

/* ---- everything at once ---- */

struct chaos {
    struct trial trial;
    struct prng prng;
    struct trial_question question;
    bool is_asked;
    time_us sent_at; /* of the question */
    time_us kept_at; /* when what was acknowledged last was sent */
    unsigned paused; /* 0: none */
    unsigned stopped;
    unsigned acked_count;
};

static void chaos_renew(struct chaos *chaos)
{
    static uint8_t row[8];
    store_u64(row, LEASE);
    struct command command = {.op = COMMAND_RENEW_LEASES, .value = bytes_of(row, sizeof row)};
    unsigned at = 1 + (unsigned)prng_below(&chaos->prng, 3);
    if (chaos->is_asked && chaos->question.is_answered) {
        chaos->is_asked = false;
        buf_release(&chaos->question.command);
        const struct node_answer *answer = &chaos->question.answer;
        if (answer->status == ST_OK && answer->result.number == 1) {
            chaos->kept_at = chaos->sent_at;
            chaos->acked_count++;
        }
    }
    if (chaos->is_asked || chaos->trial.nodes[at] == NULL || chaos->paused == at)
        return;
    chaos->is_asked = true;
    chaos->sent_at = world_now(chaos->trial.world);
    trial_submit(&chaos->trial, at, &command, &chaos->question);
}

static void chaos_disturb(struct chaos *chaos)
{
    struct trial *trial = &chaos->trial;
    unsigned at = 1 + (unsigned)prng_below(&chaos->prng, 3);
    uint64_t dice = prng_below(&chaos->prng, 100);
    if (chaos->paused != 0 && dice < 50) {
        world_pause(trial->world, chaos->paused, false);
        chaos->paused = 0;
    } else if (chaos->stopped != 0 && dice < 50) {
        trial_boot(trial, chaos->stopped);
        chaos->stopped = 0;
    } else if (chaos->paused == 0 && chaos->stopped == 0 && dice < 40) {
        world_pause(trial->world, chaos->paused = at, true);
    } else if (chaos->paused == 0 && chaos->stopped == 0 && dice < 70) {
        trial_stop(trial, chaos->stopped = at, WORLD_STOP_CRASH);
    } else if (dice >= 80) {
        world_wall_jump(trial->world, at,
                        (int64_t)prng_below(&chaos->prng, 7200) * 1000000 -
                            INT64_C(3600) * 1000000);
    }
}

/* Gone anywhere, it is gone for good: so only now, when its time was over. */
static bool chaos_is_over(struct chaos *chaos)
{
    for (unsigned i = 1; i <= 3; i++) {
        const struct node *node = chaos->trial.nodes[i];
        struct kv_lease lease;
        if (node == NULL || kv_lease(node_kv(node), LEASE, &lease))
            continue;
        struct kv_stats stats;
        kv_stats(node_kv(node), &stats);
        if (stats.revision < 2) /* it has not applied the grant, or not again */
            continue;
        assert_true(world_now(chaos->trial.world) >= chaos->kept_at + MS(TTL_MS));
        return true;
    }
    return false;
}

static void play_chaos(uint64_t seed)
{
    struct chaos chaos = {0};
    prng_init(&chaos.prng, seed);
    open_calm(&chaos.trial, seed);
    chaos.trial.boots_again = false;
    /* Of all revisions the first one is its key's: whoever has that has seen the lease. */
    chaos.kept_at = hold_lease(&chaos.trial, TTL_MS);

    unsigned renewals_percent = seed % 4 == 0 ? 70 : 4; /* so that it is late now and then */
    bool is_over = false;
    for (unsigned ms = 0; ms < 30000 && !is_over; ms += TRIAL_SLICE_MS) {
        if (ms % 100 == 0 && prng_below(&chaos.prng, 100) < renewals_percent)
            chaos_renew(&chaos);
        if (ms % 400 == 0)
            chaos_disturb(&chaos);
        trial_run(&chaos.trial, TRIAL_SLICE_MS);
        is_over = chaos_is_over(&chaos);
    }
    if (chaos.paused != 0)
        world_pause(chaos.trial.world, chaos.paused, false);
    if (chaos.stopped != 0)
        trial_boot(&chaos.trial, chaos.stopped);
    while (chaos.is_asked && !chaos.question.is_answered)
        trial_run(&chaos.trial, TRIAL_SLICE_MS);
    if (chaos.is_asked)
        buf_release(&chaos.question.command);
    print_message("seed %" PRIu64 ": kept alive %u times, %s\n", seed, chaos.acked_count,
                  is_over ? "lost" : "held to the end");
    run_until_gone(&chaos.trial, 2 * TTL_MS + CHANGE_MS);
    check_equal(&chaos.trial);
    trial_close(&chaos.trial);
}

static void whatever_happens_no_lease_ends_early_and_all_end(void **state)
{
    for (uint64_t seed = 100; seed < 120; seed++)
        play_chaos(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_goes_soon_after_its_time_and_not_before),
        cmocka_unit_test(one_after_the_other_each_goes_in_its_time),
        cmocka_unit_test(a_lease_that_is_kept_alive_stays),
        cmocka_unit_test(a_new_leader_lets_it_last_longer_and_not_shorter),
        cmocka_unit_test(a_leader_that_was_paused_ends_nothing_early),
        cmocka_unit_test(all_paused_together_go_on_where_they_were),
        cmocka_unit_test(a_single_voter_that_stood_still_gives_its_holders_time),
        cmocka_unit_test(a_lease_ends_under_a_single_voter_that_stops_again_and_again),
        cmocka_unit_test(a_leader_that_is_cut_off_ends_nothing),
        cmocka_unit_test(in_an_idle_log_a_new_leader_loses_little),
        cmocka_unit_test(clocks_that_are_set_move_nothing),
        cmocka_unit_test(a_clock_that_runs_wrong_is_off_by_its_own_error),
        cmocka_unit_test(whatever_happens_no_lease_ends_early_and_all_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
