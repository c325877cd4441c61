/* Liar: machine 3 of a cluster of three runs no node but bare links, and says what no node of this
 * version would. Machines 1 and 2 run nodes, and agree with each other. */
#ifndef MINIKV_TESTS_UNIT_NODE_LIAR_RIG_H
#define MINIKV_TESTS_UNIT_NODE_LIAR_RIG_H

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
    unsigned rejections_count;       /* of its appends */

    /* What came to the liar, who takes it when it passes for the leader. */
    bool is_leading;
    unsigned envelopes_count, questions_count;
    uint64_t envelope_number, envelope_incarnation; /* of the last */
    struct read_id question;
};

static inline void rig_on_message(void *ctx, const struct hello *sender,
                                  const struct message *message, const struct address *leader_http)
{
    struct rig *rig = ctx;
    (void)sender, (void)leader_http;
    if (message->type == MESSAGE_APPEND_REPLY && message->append_reply.is_rejected)
        rig->rejections_count++;
    if (message->type == MESSAGE_READ_INDEX) {
        rig->questions_count++;
        rig->question = message->read_index.id;
    }
}

static inline void rig_on_envelope(void *ctx, const struct hello *sender,
                                   const struct envelope *envelope)
{
    struct rig *rig = ctx;
    if (!rig->is_leading)
        fail_msg("an envelope was sent on to a node that does not lead");
    rig->envelopes_count++;
    rig->envelope_number = envelope->number;
    rig->envelope_incarnation = sender->incarnation;
}

static inline void rig_on_refusal(void *ctx, node_id from, const struct envelope_refusal *refusal)
{
    struct rig *rig = ctx;
    (void)from;
    rig->refusals_count++;
    rig->refusal = *refusal;
}

static inline void rig_on_link(void *ctx, node_id peer, enum link_state state,
                               const struct welcome *welcome)
{
    struct rig *rig = ctx;
    (void)peer, (void)welcome;
    rig->links_up += state == LINK_UP;
}

static inline enum refusal rig_check(void *ctx, const struct hello *hello)
{
    (void)ctx, (void)hello;
    return (enum refusal)0;
}

static inline void rig_on_hello(void *ctx, const struct hello *hello, struct welcome *out_welcome)
{
    (void)ctx, (void)hello;
    *out_welcome = (struct welcome){.incarnation = 5};
}

static inline void run_ms(struct rig *rig, uint64_t ms)
{
    time_us until = world_now(rig->world) + ms * TIME_US_PER_MS;
    while (world_step(rig->world, until))
        ;
}

static inline void rig_boot(struct rig *rig, unsigned id)
{
    struct node_options options = world_node_options(id, MACHINES, true);
    struct node_callbacks callbacks = {0};
    struct errtext error;
    assert_int_equal(
        node_open(world_boot(rig->world, id), &options, &callbacks, &rig->nodes[id], &error),
        ST_OK);
}

/* Waits until the nodes have a leader and the liar its links. */
static inline struct rig *new_rig(void)
{
    struct rig *rig = mem_alloc(sizeof *rig);
    struct world_options world = {
        .seed = 1, .delay_min = 100, .delay_max = 300, .sync_min = 50, .sync_max = 400};
    struct node_options member = world_node_options(LIAR, MACHINES, true);
    rig->world = world_new(&world);
    rig->cluster_id = config_cluster_id(&member.initial);
    rig_boot(rig, 1);
    rig_boot(rig, 2);
    struct peers_options options = {.cluster_id = rig->cluster_id,
                                    .self = LIAR,
                                    .identity = 77,
                                    .incarnation = 5,
                                    .listen = member.listen_peer,
                                    .ping = 100 * TIME_US_PER_MS,
                                    .dead_after = 1000 * TIME_US_PER_MS};
    struct peers_callbacks callbacks = {.ctx = rig,
                                        .on_message = rig_on_message,
                                        .on_envelope = rig_on_envelope,
                                        .on_refusal = rig_on_refusal,
                                        .on_link = rig_on_link,
                                        .check = rig_check,
                                        .on_hello = rig_on_hello};
    struct errtext error;
    assert_int_equal(
        peers_open(world_boot(rig->world, LIAR), &options, &callbacks, &rig->liar, &error), ST_OK);
    peers_set(rig->liar, &member.initial);
    run_ms(rig, 5000);
    assert_int_equal(rig->links_up, 2);
    return rig;
}

static inline void free_rig(struct rig *rig)
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

static inline unsigned leader_of(const struct rig *rig)
{
    unsigned leader = node_view(rig->nodes[1])->leader;
    assert_true(leader == 1 || leader == 2);
    assert_int_equal(node_view(rig->nodes[2])->leader, leader);
    return leader;
}

static inline unsigned follower_of(const struct rig *rig)
{
    return leader_of(rig) == 1 ? 2 : 1;
}

static inline void encode_increment(struct buf *command)
{
    struct command incr = {.op = COMMAND_INCR, .by = 1, .key = BYTES_LITERAL("counter")};
    buf_init(command, LIMIT_COMMAND_BYTES);
    command_encode(&incr, command);
}

/* A good one, addressed to the leader: each test spoils one field. */
static inline struct envelope new_envelope(struct rig *rig, struct buf *command)
{
    encode_increment(command);
    return (struct envelope){.cluster_id = rig->cluster_id,
                             .to = leader_of(rig),
                             .term = node_view(rig->nodes[1])->term,
                             .number = ++rig->number_last,
                             .deadline_ms = 1000,
                             .hops = 1,
                             .command = buf_bytes(command)};
}

static inline void send_envelope(struct rig *rig, const struct envelope *envelope)
{
    assert_int_equal(peers_forward(rig->liar, envelope), ST_OK);
    run_ms(rig, 1000);
}

static inline uint64_t counter_of(const struct rig *rig)
{
    struct kv_item item;
    if (!kv_get(node_kv(rig->nodes[leader_of(rig)]), BYTES_LITERAL("counter"), &item))
        return 0;
    return item.version;
}

/* ---- as the leader ---- */

static const struct address ELSEWHERE = {.host = "10.6.6.6", .port = 666};

static inline struct entry_id last_of(const struct rig *rig, unsigned id)
{
    struct raft_view view;
    raft_view(node_raft(rig->nodes[id]), &view);
    return (struct entry_id){raft_entry(node_raft(rig->nodes[id]), view.last_index)->id.term,
                             view.last_index};
}

/* Behind what every log begins with. */
static inline struct message append_of(unsigned to, raft_term term)
{
    return (struct message){.type = MESSAGE_APPEND,
                            .from = LIAR,
                            .to = to,
                            .term = term,
                            .append.prev = {.term = 1, .index = 1}};
}

/* An increment, as if node `origin.node` had accepted it. */
static inline struct entry *new_command(struct origin origin, uint64_t stamp_us, struct entry_id id)
{
    struct buf command;
    encode_increment(&command);
    struct proposal proposal = {.origin = origin, .stamp_us = stamp_us};
    struct entry *entry = entry_new(ENTRY_COMMAND, PROPOSAL_HEADER_BYTES + command.count);
    proposal_encode_header(&proposal, entry->data);
    memcpy(entry->data + PROPOSAL_HEADER_BYTES, command.data, command.count);
    entry_seal(entry, id);
    buf_release(&command);
    return entry;
}

/* As the leader of `term`, the liar appends an entry behind `prev`, or none. Takes the reference.
 */
static inline void append_as_leader(struct rig *rig, unsigned to, raft_term term,
                                    struct entry_id prev, struct entry *entry, raft_index commit)
{
    struct message message = append_of(to, term);
    message.append.prev = prev;
    message.append.entries = &entry;
    message.append.entries_count = entry != NULL;
    message.append.commit = commit;
    rig->is_leading = true;
    peers_send(rig->liar, &message, &ELSEWHERE);
    run_ms(rig, 5);
    assert_int_equal(node_view(rig->nodes[to])->leader, LIAR);
    struct entry_id last = entry != NULL ? entry->id : prev;
    assert_true(entry_id_equal(last_of(rig, to), last));
    entry_unref(entry);
}

#endif
