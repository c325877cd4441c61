/* What a node takes from another one, and what it does not: machine 3 of a cluster of three runs no
 * node but bare links, and sends what no node of this version would. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "node/node.h"
#include "sim/world.h"
#include "support/world_node.h"

enum { MACHINES = 3, LIAR = 3 };

struct rig {
    struct world *world;
    struct node *nodes[MACHINES];
    struct peers *liar;
    uint64_t cluster_id;
    uint64_t number_last;
    unsigned links_up;
    unsigned refusals_count;
    struct envelope_refusal refusal; /* the last */
};

static void on_message(void *ctx, const struct message *message, const struct address *leader_http)
{
    (void)ctx, (void)message, (void)leader_http;
}

static void on_envelope(void *ctx, node_id from, uint64_t incarnation,
                        const struct envelope *envelope)
{
    (void)ctx, (void)from, (void)incarnation, (void)envelope;
    fail_msg("an envelope was sent on to a node that does not lead");
}

static void on_refusal(void *ctx, node_id from, const struct envelope_refusal *refusal)
{
    struct rig *rig = ctx;
    (void)from;
    rig->refusals_count++;
    rig->refusal = *refusal;
}

static void on_link(void *ctx, node_id peer, enum link_state state, const struct welcome *welcome)
{
    struct rig *rig = ctx;
    (void)peer, (void)welcome;
    rig->links_up += state == LINK_UP;
}

static enum refusal on_hello(void *ctx, const struct hello *hello, struct welcome *out_welcome)
{
    (void)ctx, (void)hello;
    *out_welcome = (struct welcome){.incarnation = 5};
    return (enum refusal)0;
}

static void run_ms(struct rig *rig, uint64_t ms)
{
    time_us until = world_now(rig->world) + ms * TIME_US_PER_MS;
    while (world_step(rig->world, until))
        ;
}

static void boot(struct rig *rig, unsigned id)
{
    struct node_options options = world_node_options(id, MACHINES, true);
    struct node_callbacks callbacks = {0};
    struct errtext error;
    assert_int_equal(
        node_open(world_boot(rig->world, id), &options, &callbacks, &rig->nodes[id], &error),
        ST_OK);
}

static struct rig *new_rig(void)
{
    struct rig *rig = mem_alloc(sizeof *rig);
    struct world_options world = {
        .seed = 1, .delay_min = 100, .delay_max = 300, .sync_min = 50, .sync_max = 400};
    struct node_options member = world_node_options(LIAR, MACHINES, true);
    rig->world = world_new(&world);
    rig->cluster_id = config_cluster_id(&member.initial);
    boot(rig, 1);
    boot(rig, 2);
    struct peers_options options = {.cluster_id = rig->cluster_id,
                                    .self = LIAR,
                                    .identity = 77,
                                    .incarnation = 5,
                                    .listen = member.listen_peer,
                                    .ping = 100 * TIME_US_PER_MS,
                                    .dead_after = 1000 * TIME_US_PER_MS};
    struct peers_callbacks callbacks = {rig,        on_message, on_envelope,
                                        on_refusal, on_link,    on_hello};
    struct errtext error;
    assert_int_equal(
        peers_open(world_boot(rig->world, LIAR), &options, &callbacks, &rig->liar, &error), ST_OK);
    peers_set(rig->liar, &member.initial);
    run_ms(rig, 5000);
    assert_int_equal(rig->links_up, 2);
    return rig;
}

static void free_rig(struct rig *rig)
{
    for (unsigned id = 1; id < LIAR; id++) {
        world_crash(rig->world, id);
        node_close(rig->nodes[id]);
    }
    world_crash(rig->world, LIAR);
    peers_close(rig->liar);
    world_free(rig->world);
    mem_free(rig);
}

static unsigned leader_of(const struct rig *rig)
{
    unsigned leader = node_view(rig->nodes[1])->leader;
    assert_true(leader == 1 || leader == 2);
    assert_int_equal(node_view(rig->nodes[2])->leader, leader);
    return leader;
}

/* A good one, addressed to the leader: each test spoils one field. */
static struct envelope new_envelope(struct rig *rig, struct buf *command)
{
    struct command incr = {.op = COMMAND_INCR, .by = 1, .key = BYTES_LITERAL("counter")};
    buf_init(command, LIMIT_COMMAND_BYTES);
    command_encode(&incr, command);
    return (struct envelope){.cluster_id = rig->cluster_id,
                             .to = leader_of(rig),
                             .term = node_view(rig->nodes[1])->term,
                             .number = ++rig->number_last,
                             .deadline_ms = 1000,
                             .hops = 1,
                             .command = buf_bytes(command)};
}

static void send(struct rig *rig, const struct envelope *envelope)
{
    assert_int_equal(peers_forward(rig->liar, envelope), ST_OK);
    run_ms(rig, 1000);
}

static uint64_t counter_of(const struct rig *rig)
{
    struct kv_item item;
    if (!kv_get(node_kv(rig->nodes[leader_of(rig)]), BYTES_LITERAL("counter"), &item))
        return 0;
    return item.version;
}

static void assert_refused(const struct rig *rig, const struct envelope *envelope,
                           enum status status)
{
    assert_int_equal(rig->refusals_count, 1);
    assert_int_equal(rig->refusal.number, envelope->number);
    assert_int_equal(rig->refusal.status, status);
    assert_int_equal(counter_of(rig), 0);
}

static void an_envelope_with_one_hop_is_taken_once_however_often_it_comes(void **state)
{
    (void)state;
    struct rig *rig = new_rig();
    struct buf command;
    struct envelope envelope = new_envelope(rig, &command);

    send(rig, &envelope);
    send(rig, &envelope);

    assert_int_equal(rig->refusals_count, 0);
    assert_int_equal(counter_of(rig), 1);
    buf_release(&command);
    free_rig(rig);
}

static void an_envelope_with_a_second_hop_behind_it_is_not_taken(void **state)
{
    (void)state;
    static const uint8_t hops[] = {2, 3, UINT8_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(hops); i++) {
        struct rig *rig = new_rig();
        struct buf command;
        struct envelope envelope = new_envelope(rig, &command);
        envelope.hops = hops[i];

        send(rig, &envelope);

        assert_refused(rig, &envelope, ST_ALREADY_FORWARDED);
        buf_release(&command);
        free_rig(rig);
    }
}

static void an_envelope_of_another_cluster_is_not_taken(void **state)
{
    (void)state;
    struct rig *rig = new_rig();
    struct buf command;
    struct envelope envelope = new_envelope(rig, &command);
    envelope.cluster_id++;

    send(rig, &envelope);

    assert_refused(rig, &envelope, ST_ALREADY_FORWARDED);
    buf_release(&command);
    free_rig(rig);
}

static void an_envelope_for_another_term_is_not_taken(void **state)
{
    (void)state;
    for (int i = -1; i <= 1; i += 2) {
        struct rig *rig = new_rig();
        struct buf command;
        struct envelope envelope = new_envelope(rig, &command);
        envelope.term = (raft_term)((int64_t)envelope.term + i);

        send(rig, &envelope);

        assert_refused(rig, &envelope, ST_FENCED);
        buf_release(&command);
        free_rig(rig);
    }
}

static void a_follower_does_not_send_an_envelope_on(void **state)
{
    (void)state;
    struct rig *rig = new_rig();
    struct buf command;
    struct envelope envelope = new_envelope(rig, &command);
    struct node_stats before, after;
    unsigned follower = leader_of(rig) == 1 ? 2 : 1;
    envelope.to = follower;
    node_stats(rig->nodes[follower], &before);

    send(rig, &envelope);

    node_stats(rig->nodes[follower], &after);
    assert_int_equal(after.forwarded_count, before.forwarded_count);
    assert_refused(rig, &envelope, ST_FENCED);
    buf_release(&command);
    free_rig(rig);
}

int main(void)
{
    diag_set_level(DIAG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_envelope_with_one_hop_is_taken_once_however_often_it_comes),
        cmocka_unit_test(an_envelope_with_a_second_hop_behind_it_is_not_taken),
        cmocka_unit_test(an_envelope_of_another_cluster_is_not_taken),
        cmocka_unit_test(an_envelope_for_another_term_is_not_taken),
        cmocka_unit_test(a_follower_does_not_send_an_envelope_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
