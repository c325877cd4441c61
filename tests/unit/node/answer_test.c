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

/* Numbers begin anew with each process, so an entry of an earlier one may carry any. */
static void an_entry_of_another_process_answers_nobody(void **state)
{
    (void)state;
    struct rig *rig = new_rig();
    struct client client;
    unsigned node = follower_of(rig);
    raft_term term = follow_liar(rig, node);
    struct entry_id prev = last_of(rig, node);
    submit(rig, node, &client, NODE_WRITE);
    assert_int_equal(rig->envelopes_count, 1);
    struct origin origin = {node, rig->envelope_incarnation, rig->envelope_number};
    struct origin earlier = {node, rig->envelope_incarnation - 1, rig->envelope_number};
    struct origin other = {3 - node, rig->envelope_incarnation, rig->envelope_number};

    struct entry_id at = prev;
    const struct origin strange[] = {earlier, other};
    for (size_t i = 0; i < ARRAY_COUNT(strange); i++) {
        prev = at;
        at = (struct entry_id){term, prev.index + 1};
        append_as_leader(rig, node, term, prev, new_command(strange[i], 0, at), at.index);
        assert_int_equal(node_applied(rig->nodes[node]), at.index);
        assert_int_equal(client.answers_count, 0);
    }
    struct entry_id own = {term, at.index + 1};
    append_as_leader(rig, node, term, at, new_command(origin, 0, own), own.index);

    assert_int_equal(client.answers_count, 1);
    assert_int_equal(client.answer.status, ST_OK);
    assert_int_equal(client.answer.result.number, 3);
    buf_release(&client.command);
    free_rig(rig);
}

static void a_write_is_not_answered_before_it_is_committed(void **state)
{
    (void)state;
    struct rig *rig = new_rig();
    struct client client;
    unsigned node = follower_of(rig);
    raft_term term = follow_liar(rig, node);
    struct entry_id prev = last_of(rig, node);
    submit(rig, node, &client, NODE_WRITE);
    struct origin origin = {node, rig->envelope_incarnation, rig->envelope_number};
    struct entry_id at = {term, prev.index + 1};

    append_as_leader(rig, node, term, prev, new_command(origin, 0, at), prev.index);
    run_ms(rig, 50);
    assert_int_equal(client.answers_count, 0);

    append_as_leader(rig, node, term, at, NULL, at.index);
    assert_int_equal(client.answers_count, 1);
    assert_int_equal(client.answer.status, ST_OK);
    buf_release(&client.command);
    free_rig(rig);
}

static void a_read_waits_until_its_index_has_been_applied_here(void **state)
{
    (void)state;
    struct rig *rig = new_rig();
    struct client client;
    unsigned node = follower_of(rig);
    raft_term term = follow_liar(rig, node);
    struct entry_id prev = last_of(rig, node);
    submit(rig, node, &client, NODE_READ);
    assert_int_equal(rig->questions_count, 1);
    struct entry_id at = {term, prev.index + 1};
    struct origin stranger = {LIAR, 5, 1};
    append_as_leader(rig, node, term, prev, new_command(stranger, 0, at), prev.index);

    struct message index = {
        .type = MESSAGE_READ_INDEX_REPLY, .from = LIAR, .to = node, .term = term};
    index.read_index_reply.id = rig->question;
    index.read_index_reply.index = at.index;
    peers_send(rig->liar, &index, NULL);
    run_ms(rig, 50);
    assert_int_equal(client.answers_count, 0);

    append_as_leader(rig, node, term, at, NULL, at.index);
    assert_int_equal(client.answers_count, 1);
    assert_int_equal(client.answer.status, ST_OK);
    buf_release(&client.command);
    free_rig(rig);
}

int main(void)
{
    diag_set_level(DIAG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_of_another_process_answers_nobody),
        cmocka_unit_test(a_write_is_not_answered_before_it_is_committed),
        cmocka_unit_test(a_read_waits_until_its_index_has_been_applied_here),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
