/* The network of the simulated world: how connections come about, and how links carry their bytes.
 */
#include "net_rig.h"

#include "base/limits.h"

/* ---- dialling ---- */

static void a_dial_is_accepted_where_somebody_listens_and_refused_elsewhere(void **state)
{
    struct rig rig;
    set_up(&rig, 1);

    dial(&rig);
    run_ms(&rig, 10);
    assert_int_equal(rig.dialler.end, ENV_END_RESET);

    rig.dialler.end = END_NONE;
    connect_both(&rig);
    assert_int_equal(rig.dialler.end, END_NONE);
    tear_down(&rig);
}

static void a_machine_that_refuses_is_not_reached_although_it_listens(void **state)
{
    struct rig rig;
    set_up(&rig, 1);
    listen_at_two(&rig);
    world_refuse(rig.world, 2, true);

    dial(&rig);
    run_ms(&rig, 10);

    assert_int_equal(rig.dialler.end, ENV_END_RESET);
    assert_int_equal(world_faults_count(rig.world, WORLD_FAULT_REFUSED), 1);
    tear_down(&rig);
}

static void only_one_listens_at_a_port_and_only_at_an_address_of_its_own(void **state)
{
    struct rig rig;
    struct env_listener *other;
    struct errtext error;
    struct address address = address_of(2);
    set_up(&rig, 1);
    listen_at_two(&rig);

    assert_int_equal(env_listen(rig.envs[2], &address, on_accept, &rig, &other, &error), ST_BUSY);
    assert_int_equal(env_listen(rig.envs[1], &address, on_accept, &rig, &other, &error),
                     ST_BAD_ADDRESS);
    tear_down(&rig);
}

static void a_paused_listener_leaves_connections_waiting(void **state)
{
    struct rig rig;
    set_up(&rig, 1);
    listen_at_two(&rig);
    env_listener_pause(rig.listener, true);

    dial(&rig);
    run_ms(&rig, 10);
    assert_true(rig.dialler.is_open); /* the kernel has taken it */
    assert_false(rig.accepter.is_open);

    env_listener_pause(rig.listener, false);
    run_ms(&rig, 10);
    assert_true(rig.accepter.is_open);
    tear_down(&rig);
}

static void a_dial_to_a_machine_without_power_waits_until_it_boots(void **state)
{
    struct rig rig;
    set_up(&rig, 1);
    world_power_off(rig.world, 2);

    dial(&rig);
    run_ms(&rig, 60000);
    assert_int_equal(rig.dialler.end, END_NONE);
    assert_false(rig.dialler.is_open);

    rig.envs[2] = world_boot(rig.world, 2);
    listen_at_two(&rig);
    run_ms(&rig, 10);
    assert_true(rig.dialler.is_open);
    tear_down(&rig);
}

/* ---- bytes ---- */

static void bytes_arrive_in_order_whatever_the_link_does_to_them(void **state)
{
    unsigned splits = 0, losses = 0, spikes = 0;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct rig rig;
        set_up(&rig, seed);
        connect_both(&rig);
        set_link(&rig, 1, 2,
                 (struct world_link){.spike_chance = WORLD_ALWAYS / 10,
                                     .spike_max = 50 * MS,
                                     .loss_chance = WORLD_ALWAYS / 10,
                                     .split_chance = WORLD_ALWAYS / 2});
        uint8_t byte = 0;
        for (unsigned i = 0; i < 100; i++, byte++)
            env_stream_send(rig.dialler.stream, bytes_of((uint8_t[]){byte, byte, byte}, 3));
        run_ms(&rig, 60000);

        assert_int_equal(rig.accepter.got.count, 300);
        for (unsigned i = 0; i < 300; i++)
            assert_int_equal(rig.accepter.got.data[i], i / 3);
        splits += rig.accepter.pieces_count > 100;
        losses += world_faults_count(rig.world, WORLD_FAULT_LOSS) > 0;
        spikes += world_faults_count(rig.world, WORLD_FAULT_SPIKE) > 0;
        tear_down(&rig);
    }
    assert_int_equal(splits, 50);
    assert_int_equal(losses, 50);
    assert_int_equal(spikes, 50);
}

static void a_lost_segment_holds_back_what_is_behind_it(void **state)
{
    struct rig rig;
    set_up(&rig, 1);
    connect_both(&rig);
    time_us began = world_now(rig.world);

    set_link(&rig, 1, 2, (struct world_link){.loss_chance = WORLD_ALWAYS, .retry_min = 100 * MS});
    env_stream_send(rig.dialler.stream, BYTES_LITERAL("lost"));
    set_link(&rig, 1, 2, (struct world_link){0});
    env_stream_send(rig.dialler.stream, BYTES_LITERAL("behind"));
    run_ms(&rig, 6299);
    assert_int_equal(rig.accepter.got.count, 0);
    run_ms(&rig, 10);

    assert_int_equal(rig.accepter.got.count, 10);
    assert_in_range(rig.accepter.last_at - began, 6300 * MS, 6301 * MS); /* six times lost */
    tear_down(&rig);
}

static void a_link_carries_no_more_than_its_bandwidth(void **state)
{
    struct rig rig;
    set_up(&rig, 1);
    connect_both(&rig);
    set_link(&rig, 1, 2, (struct world_link){.bytes_per_second = 1 * MIB});
    time_us began = world_now(rig.world);

    send(&rig.dialler, 512 * KIB);
    run_ms(&rig, 400);
    assert_in_range(rig.accepter.got.count, 384 * KIB - 65536, 420 * KIB);
    run_ms(&rig, 1000);

    assert_true(has_got(&rig.accepter, 512 * KIB));
    assert_in_range(rig.accepter.last_at - began, 500 * MS, 501 * MS);
    tear_down(&rig);
}

static void what_the_reader_does_not_take_fills_the_window_and_then_the_queue(void **state)
{
    struct rig rig;
    set_up(&rig, 1);
    connect_both(&rig);
    set_link(&rig, 1, 2, (struct world_link){.window_bytes = 100 * KIB});
    env_stream_pause(rig.accepter.stream, true);

    send(&rig.dialler, 300 * KIB);
    run_ms(&rig, 1000);
    assert_int_equal(env_stream_queued(rig.dialler.stream), 200 * KIB);
    assert_int_equal(rig.dialler.drained_count, 0);

    env_stream_pause(rig.accepter.stream, false);
    run_ms(&rig, 1000);
    assert_true(has_got(&rig.accepter, 300 * KIB));
    assert_int_equal(env_stream_queued(rig.dialler.stream), 0);
    assert_int_equal(rig.dialler.drained_count, 1);
    tear_down(&rig);
}

static void a_stream_that_finishes_sends_what_is_queued_first(void **state)
{
    struct rig rig;
    set_up(&rig, 1);
    connect_both(&rig);
    set_link(&rig, 1, 2, (struct world_link){.window_bytes = 10 * KIB});

    send(&rig.dialler, 100 * KIB);
    env_stream_finish(rig.dialler.stream, 1000 * MS);
    rig.dialler.stream = NULL;
    run_ms(&rig, 900);

    assert_true(has_got(&rig.accepter, 100 * KIB));
    assert_int_equal(rig.accepter.end, ENV_END_EOF);
    tear_down(&rig);
}

static void a_stream_that_finishes_gives_up_in_the_end(void **state)
{
    struct rig rig;
    set_up(&rig, 1);
    connect_both(&rig);
    set_link(&rig, 1, 2, (struct world_link){.window_bytes = 10 * KIB});
    world_cut(rig.world, 1, 2, true);

    send(&rig.dialler, 100 * KIB);
    env_stream_finish(rig.dialler.stream, 200 * MS);
    rig.dialler.stream = NULL;
    run_ms(&rig, 1000);
    world_cut(rig.world, 1, 2, false);
    run_ms(&rig, 1000);

    assert_true(has_got(&rig.accepter, 10 * KIB)); /* what was on the way */
    assert_int_equal(rig.accepter.end, ENV_END_EOF);
    tear_down(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dial_is_accepted_where_somebody_listens_and_refused_elsewhere),
        cmocka_unit_test(a_machine_that_refuses_is_not_reached_although_it_listens),
        cmocka_unit_test(only_one_listens_at_a_port_and_only_at_an_address_of_its_own),
        cmocka_unit_test(a_paused_listener_leaves_connections_waiting),
        cmocka_unit_test(a_dial_to_a_machine_without_power_waits_until_it_boots),
        cmocka_unit_test(bytes_arrive_in_order_whatever_the_link_does_to_them),
        cmocka_unit_test(a_lost_segment_holds_back_what_is_behind_it),
        cmocka_unit_test(a_link_carries_no_more_than_its_bandwidth),
        cmocka_unit_test(what_the_reader_does_not_take_fills_the_window_and_then_the_queue),
        cmocka_unit_test(a_stream_that_finishes_sends_what_is_queued_first),
        cmocka_unit_test(a_stream_that_finishes_gives_up_in_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
