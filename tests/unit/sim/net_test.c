/* The network of the simulated world: what streams do when links are slow, lossy, cut, or when one
 * side is gone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"
#include "sim/world.h"

enum { PORT = 7001, MS = 1000, END_NONE = -1 };

/* One side of a connection, and all that happened to it. */
struct side {
    struct world *world;
    struct env_stream *stream; /* NULL once ended */
    bool is_open;
    struct buf got;
    unsigned pieces_count, drained_count;
    time_us last_at; /* of bytes */
    int end;
    time_us ended_at;
};

/* Machine 1 dials machine 2. */
struct rig {
    struct world *world;
    struct env *envs[3];
    struct env_listener *listener;
    struct side dialler, accepter;
};

static void on_open(void *ctx)
{
    ((struct side *)ctx)->is_open = true;
}

static void on_data(void *ctx, struct bytes bytes)
{
    struct side *side = ctx;
    buf_put(&side->got, bytes);
    side->pieces_count++;
    side->last_at = world_now(side->world);
}

static void on_drained(void *ctx)
{
    ((struct side *)ctx)->drained_count++;
}

static void on_end(void *ctx, enum env_end end)
{
    struct side *side = ctx;
    side->stream = NULL;
    side->end = (int)end;
    side->ended_at = world_now(side->world);
}

static const struct env_stream_handler handler = {on_open, on_data, on_drained, on_end};

static void on_accept(void *ctx, struct env_stream *stream)
{
    struct rig *rig = ctx;
    rig->accepter.stream = stream;
    rig->accepter.is_open = true;
    env_stream_start(stream, &handler, &rig->accepter);
}

static struct address address_of(unsigned machine)
{
    struct address address = {.port = PORT};
    (void)snprintf(address.host, sizeof address.host, "10.0.0.%u", machine);
    return address;
}

static void init_side(struct side *side, struct world *world)
{
    *side = (struct side){.world = world, .end = END_NONE};
    buf_init(&side->got, SIZE_MAX / 2);
}

static void set_up(struct rig *rig, uint64_t seed)
{
    struct world_options options = {.seed = seed, .delay_min = 100, .delay_max = 300};
    *rig = (struct rig){.world = world_new(&options)};
    init_side(&rig->dialler, rig->world);
    init_side(&rig->accepter, rig->world);
    for (unsigned i = 1; i <= 2; i++)
        rig->envs[i] = world_boot(rig->world, i);
}

static void listen_at_two(struct rig *rig)
{
    struct address address = address_of(2);
    struct errtext error;
    assert_int_equal(env_listen(rig->envs[2], &address, on_accept, rig, &rig->listener, &error),
                     ST_OK);
}

static void dial(struct rig *rig)
{
    struct address address = address_of(2);
    rig->dialler.stream = env_connect(rig->envs[1], &address, &handler, &rig->dialler);
}

static void run_ms(struct rig *rig, uint64_t ms)
{
    time_us until = world_now(rig->world) + ms * MS;
    while (world_step(rig->world, until))
        ;
}

static void connect_both(struct rig *rig)
{
    listen_at_two(rig);
    dial(rig);
    run_ms(rig, 10);
    assert_true(rig->dialler.is_open);
    assert_true(rig->accepter.is_open);
}

static void tear_down(struct rig *rig)
{
    env_stream_close(rig->dialler.stream);
    env_stream_close(rig->accepter.stream);
    env_listener_close(rig->listener);
    buf_release(&rig->dialler.got);
    buf_release(&rig->accepter.got);
    world_free(rig->world);
}

static void set_link(struct rig *rig, unsigned from, unsigned to, struct world_link link)
{
    link.delay_min = 100;
    link.delay_max = 300;
    world_link_set(rig->world, from, to, &link);
}

static void send(struct side *side, size_t count)
{
    uint8_t *bytes = mem_alloc(count);
    for (size_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 251);
    env_stream_send(side->stream, bytes_of(bytes, count));
    mem_free(bytes);
}

static bool has_got(const struct side *side, size_t count)
{
    if (side->got.count != count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (side->got.data[i] != (uint8_t)(i * 7 + i / 251))
            return false;
    return true;
}

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
