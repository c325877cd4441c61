/* When a node that follows answers its clients: not by what belongs to another process, and not
 * before it has applied what a read must see. The liar leads. */
#include "unit/node/liar_rig.h"

struct client {
    struct node_request request;
    struct buf command;
    unsigned answers_count;
    struct node_answer answer; /* the last */
};

static void on_done(void *ctx, const struct node_answer *answer)
{
    struct client *client = ctx;
    client->answers_count++;
    client->answer = *answer;
}

static void submit(struct rig *rig, unsigned id, struct client *client, enum node_request_kind kind)
{
    *client = (struct client){0};
    encode_increment(&client->command);
    client->request = (struct node_request){
        .kind = kind,
        .policy = ROUTE_FORWARD,
        .deadline = world_now_at(rig->world, id) + 10000 * TIME_US_PER_MS,
        .command = kind == NODE_WRITE ? buf_bytes(&client->command) : (struct bytes){0},
        .on_done = on_done,
        .ctx = client};
    node_submit(rig->nodes[id], &client->request);
    run_ms(rig, 5);
}

/* Node `id` follows the liar in a new term, with nothing of it in its log yet. */
static raft_term follow_liar(struct rig *rig, unsigned id)
{
    raft_term term = node_view(rig->nodes[id])->term + 1;
    append_as_leader(rig, id, term, last_of(rig, id), NULL, 0);
    return term;
}

/* A client has asked a node that follows the liar, in a new term of which its log holds nothing. */
struct asked {
    struct rig *rig;
    struct client client;
    unsigned node;
    raft_term term;
    struct entry_id prev; /* the last entry of the node */
    struct origin origin; /* of a write */
};

static void ask_follower(struct asked *asked, enum node_request_kind kind)
{
    struct rig *rig = new_rig();
    asked->rig = rig;
    asked->node = follower_of(rig);
    asked->term = follow_liar(rig, asked->node);
    asked->prev = last_of(rig, asked->node);
    submit(rig, asked->node, &asked->client, kind);
    assert_int_equal(kind == NODE_WRITE ? rig->envelopes_count : rig->questions_count, 1);
    asked->origin = (struct origin){asked->node, rig->envelope_incarnation, rig->envelope_number};
}

static void free_asked(struct asked *asked)
{
    buf_release(&asked->client.command);
    free_rig(asked->rig);
}

/* Numbers begin anew with each process, so an entry of an earlier one may carry any. */
static void an_entry_of_another_process_answers_nobody(void **state)
{
    (void)state;
    struct asked asked;
    ask_follower(&asked, NODE_WRITE);
    struct rig *rig = asked.rig;
    struct origin earlier = {asked.node, rig->envelope_incarnation - 1, rig->envelope_number};
    struct origin other = {3 - asked.node, rig->envelope_incarnation, rig->envelope_number};

    struct entry_id at = asked.prev;
    const struct origin strange[] = {earlier, other};
    for (size_t i = 0; i < ARRAY_COUNT(strange); i++) {
        struct entry_id prev = at;
        at = (struct entry_id){asked.term, prev.index + 1};
        append_as_leader(rig, asked.node, asked.term, prev, new_command(strange[i], 0, at),
                         at.index);
        assert_int_equal(node_applied(rig->nodes[asked.node]), at.index);
        assert_int_equal(asked.client.answers_count, 0);
    }
    struct entry_id own = {asked.term, at.index + 1};
    append_as_leader(rig, asked.node, asked.term, at, new_command(asked.origin, 0, own), own.index);

    assert_int_equal(asked.client.answers_count, 1);
    assert_int_equal(asked.client.answer.status, ST_OK);
    assert_int_equal(asked.client.answer.result.number, 3);
    free_asked(&asked);
}

static void a_write_is_not_answered_before_it_is_committed(void **state)
{
    (void)state;
    struct asked asked;
    ask_follower(&asked, NODE_WRITE);
    struct rig *rig = asked.rig;
    struct entry_id at = {asked.term, asked.prev.index + 1};

    append_as_leader(rig, asked.node, asked.term, asked.prev, new_command(asked.origin, 0, at),
                     asked.prev.index);
    run_ms(rig, 50);
    assert_int_equal(asked.client.answers_count, 0);

    append_as_leader(rig, asked.node, asked.term, at, NULL, at.index);
    assert_int_equal(asked.client.answers_count, 1);
    assert_int_equal(asked.client.answer.status, ST_OK);
    free_asked(&asked);
}

static void a_read_waits_until_its_index_has_been_applied_here(void **state)
{
    (void)state;
    struct asked asked;
    ask_follower(&asked, NODE_READ);
    struct rig *rig = asked.rig;
    struct entry_id at = {asked.term, asked.prev.index + 1};
    struct origin stranger = {LIAR, 5, 1};
    append_as_leader(rig, asked.node, asked.term, asked.prev, new_command(stranger, 0, at),
                     asked.prev.index);

    struct message index = {
        .type = MESSAGE_READ_INDEX_REPLY, .from = LIAR, .to = asked.node, .term = asked.term};
    index.read_index_reply.id = rig->question;
    index.read_index_reply.index = at.index;
    peers_send(rig->liar, &index, NULL);
    run_ms(rig, 50);
    assert_int_equal(asked.client.answers_count, 0);

    append_as_leader(rig, asked.node, asked.term, at, NULL, at.index);
    assert_int_equal(asked.client.answers_count, 1);
    assert_int_equal(asked.client.answer.status, ST_OK);
    free_asked(&asked);
}

/* The process stood still for so long: when the turn of what has arrived comes, its deadline has
 * passed, and its timer may be later still. */
static void what_nobody_waits_for_any_more_is_not_proposed(void **state)
{
    (void)state;
    struct rig *rig = new_rig();
    unsigned leader = leader_of(rig);
    struct client clients[2];
    for (size_t i = 0; i < ARRAY_COUNT(clients); i++) {
        struct client *client = &clients[i];
        *client = (struct client){0};
        encode_increment(&client->command);
        client->request = (struct node_request){.kind = NODE_WRITE,
                                                .deadline = world_now_at(rig->world, leader) +
                                                            (i == 0 ? 10000 * TIME_US_PER_MS : 0),
                                                .command = buf_bytes(&client->command),
                                                .on_done = on_done,
                                                .ctx = client};
        node_submit(rig->nodes[leader], &client->request);
    }
    raft_index before = last_of(rig, leader).index;

    run_ms(rig, 50);

    assert_int_equal(last_of(rig, leader).index, before + 1);
    assert_int_equal(clients[0].answer.status, ST_OK);
    assert_int_equal(clients[1].answers_count, 1);
    assert_int_equal(clients[1].answer.status, ST_TIMEOUT);
    assert_int_equal(clients[1].answer.effect, EFFECT_NONE);
    for (size_t i = 0; i < ARRAY_COUNT(clients); i++)
        buf_release(&clients[i].command);
    free_rig(rig);
}

int main(void)
{
    diag_set_level(DIAG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_of_another_process_answers_nobody),
        cmocka_unit_test(a_write_is_not_answered_before_it_is_committed),
        cmocka_unit_test(a_read_waits_until_its_index_has_been_applied_here),
        cmocka_unit_test(what_nobody_waits_for_any_more_is_not_proposed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
