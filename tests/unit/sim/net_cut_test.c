/* The network of the simulated world when links are cut, or one side of a connection is gone. */
#include "net_rig.h"

#include "base/limits.h"

/* ---- cuts ---- */

static void a_cut_holds_one_direction_until_it_is_healed(void **state)
{
    struct rig rig;
    set_up(&rig, 1);
    connect_both(&rig);

    world_cut(rig.world, 1, 2, true);
    send(&rig.dialler, 100);
    send(&rig.accepter, 100);
    run_ms(&rig, 1000);
    assert_int_equal(rig.accepter.got.count, 0);
    assert_true(has_got(&rig.dialler, 100));

    world_cut(rig.world, 1, 2, false);
    run_ms(&rig, 1000);
    assert_true(has_got(&rig.accepter, 100));
    tear_down(&rig);
}

static void a_dial_waits_for_a_cut_to_heal(void **state)
{
    struct rig rig;
    set_up(&rig, 1);
    listen_at_two(&rig);
    world_cut(rig.world, 1, 2, true);

    dial(&rig);
    run_ms(&rig, 1000);
    assert_false(rig.dialler.is_open);
    world_heal(rig.world);
    run_ms(&rig, 10);

    assert_true(rig.dialler.is_open);
    assert_true(rig.accepter.is_open);
    tear_down(&rig);
}

static void after_a_cut_a_retransmission_may_come_late(void **state)
{
    time_us latest = 0;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct rig rig;
        set_up(&rig, seed);
        connect_both(&rig);
        set_link(&rig, 1, 2, (struct world_link){.retry_max = 1000 * MS});
        world_cut(rig.world, 1, 2, true);
        send(&rig.dialler, 100);
        run_ms(&rig, 1000);
        time_us healed = world_now(rig.world);
        world_cut(rig.world, 1, 2, false);
        run_ms(&rig, 2000);

        assert_true(has_got(&rig.accepter, 100));
        assert_true(rig.accepter.last_at <= healed + 1000 * MS);
        latest = MAX(latest, rig.accepter.last_at - healed);
        tear_down(&rig);
    }
    assert_true(latest > 600 * MS);
}

static void while_answers_are_cut_the_window_stays_full(void **state)
{
    struct rig rig;
    set_up(&rig, 1);
    connect_both(&rig);
    set_link(&rig, 1, 2, (struct world_link){.window_bytes = 10 * KIB});
    world_cut(rig.world, 2, 1, true);

    send(&rig.dialler, 25 * KIB);
    run_ms(&rig, 1000);
    assert_true(has_got(&rig.accepter, 10 * KIB));
    assert_int_equal(env_stream_queued(rig.dialler.stream), 15 * KIB);

    world_cut(rig.world, 2, 1, false);
    run_ms(&rig, 1000);
    assert_true(has_got(&rig.accepter, 25 * KIB));
    tear_down(&rig);
}

/* ---- ends ---- */

static void a_reset_loses_what_is_on_the_way_and_both_sides_know(void **state)
{
    struct rig rig;
    set_up(&rig, 1);
    connect_both(&rig);

    send(&rig.dialler, 100);
    world_reset_links(rig.world, 1, 2);
    run_ms(&rig, 10);

    assert_int_equal(rig.accepter.got.count, 0);
    assert_int_equal(rig.dialler.end, ENV_END_RESET);
    assert_int_equal(rig.accepter.end, ENV_END_RESET);
    tear_down(&rig);
}

static void a_link_resets_connections_by_chance(void **state)
{
    struct rig rig;
    set_up(&rig, 1);
    connect_both(&rig);
    set_link(&rig, 1, 2, (struct world_link){.reset_chance = WORLD_ALWAYS});

    send(&rig.dialler, 100);
    run_ms(&rig, 10);

    assert_int_equal(rig.accepter.got.count, 0);
    assert_int_equal(rig.dialler.end, ENV_END_RESET);
    assert_int_equal(rig.accepter.end, ENV_END_RESET);
    tear_down(&rig);
}

static void a_killed_process_ends_its_streams(void **state)
{
    struct rig rig;
    set_up(&rig, 1);
    connect_both(&rig);

    send(&rig.accepter, 100);
    world_kill(rig.world, 2);
    run_ms(&rig, 10);

    assert_true(has_got(&rig.dialler, 100)); /* the kernel had it */
    assert_int_equal(rig.dialler.end, ENV_END_EOF);
    tear_down(&rig);
}

static void a_killed_process_that_had_bytes_to_read_resets_its_streams(void **state)
{
    struct rig rig;
    set_up(&rig, 1);
    connect_both(&rig);

    send(&rig.dialler, 100);
    world_kill(rig.world, 2);
    run_ms(&rig, 10);

    assert_int_equal(rig.dialler.end, ENV_END_RESET);
    tear_down(&rig);
}

static void without_power_a_machine_leaves_half_open_streams_until_it_boots(void **state)
{
    struct rig rig;
    set_up(&rig, 1);
    connect_both(&rig);

    world_power_off(rig.world, 2);
    send(&rig.dialler, 2 * MIB);
    run_ms(&rig, 60000);
    assert_int_equal(rig.dialler.end, END_NONE);
    assert_int_equal(env_stream_queued(rig.dialler.stream), 1 * MIB);

    (void)world_boot(rig.world, 2);
    run_ms(&rig, 10);
    assert_int_equal(rig.dialler.end, ENV_END_RESET);
    tear_down(&rig);
}

static void a_half_open_stream_ends_when_it_sends_and_not_before(void **state)
{
    struct rig rig;
    set_up(&rig, 1);
    connect_both(&rig);

    world_half_open(rig.world, 2, 1);
    run_ms(&rig, 60000);
    assert_int_equal(rig.accepter.end, ENV_END_RESET);
    assert_int_equal(rig.dialler.end, END_NONE);

    send(&rig.dialler, 100);
    run_ms(&rig, 10);
    assert_int_equal(rig.dialler.end, ENV_END_RESET);
    tear_down(&rig);
}

static void a_half_open_stream_ends_when_something_was_on_the_way(void **state)
{
    struct rig rig;
    set_up(&rig, 1);
    connect_both(&rig);

    send(&rig.dialler, 100);
    world_half_open(rig.world, 2, 1);
    run_ms(&rig, 10);

    assert_int_equal(rig.accepter.got.count, 0);
    assert_int_equal(rig.dialler.end, ENV_END_RESET);
    tear_down(&rig);
}

static void a_half_open_stream_behind_a_cut_hears_nothing_until_it_heals(void **state)
{
    struct rig rig;
    set_up(&rig, 1);
    connect_both(&rig);
    world_half_open(rig.world, 2, 1);
    world_cut(rig.world, 1, 2, true);

    send(&rig.dialler, 100);
    run_ms(&rig, 1000);
    assert_int_equal(rig.dialler.end, END_NONE);

    world_heal(rig.world);
    run_ms(&rig, 10);
    assert_int_equal(rig.dialler.end, ENV_END_RESET);
    tear_down(&rig);
}

/* ---- shapes ---- */

/* Who sees whom, as text: one line per machine. */
static void assert_shape(enum world_shape shape, unsigned count, const char *wanted)
{
    char text[128];
    size_t at = 0;
    for (unsigned a = 0; a < count; a++) {
        for (unsigned b = 0; b < count; b++) {
            text[at++] = world_shape_links(shape, count, a, b) ? '*' : '.';
            assert_int_equal(world_shape_links(shape, count, a, b),
                             world_shape_links(shape, count, b, a));
        }
        text[at++] = ' ';
    }
    text[at - 1] = '\0';
    assert_string_equal(text, wanted);
}

static void partitions_have_the_shapes_they_are_named_after(void **state)
{
    assert_shape(WORLD_SHAPE_WHOLE, 3, "*** *** ***");
    assert_shape(WORLD_SHAPE_ALONE, 4, "*... .*** .*** .***");
    assert_shape(WORLD_SHAPE_HALVES, 5, "**... **... ..*** ..*** ..***");
    assert_shape(WORLD_SHAPE_BRIDGE, 5, "***.. ***.. ***** ..*** ..***");
    assert_shape(WORLD_SHAPE_STAR, 4, "**** **.. *.*. *..*");
    assert_shape(WORLD_SHAPE_CHAIN, 5, "**... ***.. .***. ..*** ...**");
    assert_shape(WORLD_SHAPE_RING, 5, "**..* ***.. .***. ..*** *..**");
    for (unsigned count = 1; count <= 7; count++)
        for (unsigned a = 0; a < count; a++) {
            unsigned seen = 0;
            for (unsigned b = 0; b < count; b++)
                seen += world_shape_links(WORLD_SHAPE_RING, count, a, b);
            assert_true(seen > count / 2);
        }
}

static void a_partition_cuts_and_heals_to_its_shape(void **state)
{
    struct world_options options = {.seed = 1};
    struct world *world = world_new(&options);
    const unsigned machines[] = {5, 3, 1, 2, 4};

    world_cut(world, 6, 5, true);
    world_partition(world, WORLD_SHAPE_CHAIN, machines, 5);
    assert_true(world_is_cut(world, 5, 1) && world_is_cut(world, 1, 5));
    assert_false(world_is_cut(world, 5, 3) || world_is_cut(world, 3, 5));
    world_partition(world, WORLD_SHAPE_ALONE, machines, 5);
    assert_true(world_is_cut(world, 5, 3) && world_is_cut(world, 3, 5));
    assert_false(world_is_cut(world, 3, 4));
    assert_true(world_is_cut(world, 6, 5)); /* none of them */
    world_heal(world);

    for (unsigned a = 1; a <= 6; a++)
        for (unsigned b = 1; b <= 6; b++)
            assert_false(world_is_cut(world, a, b));
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cut_holds_one_direction_until_it_is_healed),
        cmocka_unit_test(a_dial_waits_for_a_cut_to_heal),
        cmocka_unit_test(after_a_cut_a_retransmission_may_come_late),
        cmocka_unit_test(while_answers_are_cut_the_window_stays_full),
        cmocka_unit_test(a_reset_loses_what_is_on_the_way_and_both_sides_know),
        cmocka_unit_test(a_link_resets_connections_by_chance),
        cmocka_unit_test(a_killed_process_ends_its_streams),
        cmocka_unit_test(a_killed_process_that_had_bytes_to_read_resets_its_streams),
        cmocka_unit_test(without_power_a_machine_leaves_half_open_streams_until_it_boots),
        cmocka_unit_test(a_half_open_stream_ends_when_it_sends_and_not_before),
        cmocka_unit_test(a_half_open_stream_ends_when_something_was_on_the_way),
        cmocka_unit_test(a_half_open_stream_behind_a_cut_hears_nothing_until_it_heals),
        cmocka_unit_test(partitions_have_the_shapes_they_are_named_after),
        cmocka_unit_test(a_partition_cuts_and_heals_to_its_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
