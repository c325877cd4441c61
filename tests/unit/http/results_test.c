/* Memory for what transactions come to: set aside before they are proposed, or waited for. */
#include "http_fixture.h"

#include "http/results.h"

enum { MANY = LIMIT_RESULTS_BYTES / LIMIT_TXN_RESULTS_BYTES }; /* of those that may come to most */

static const char reads[] = "{\"success\":[{\"get\":{\"prefix\":\"\"}}]}";

/* ---- the book ---- */

struct book {
    struct env *env;
    struct results results;
};

struct party {
    struct results_room room;
    unsigned called_count;
};

static void book_open(struct book *book)
{
    book->env = memory_env_new();
    results_init(&book->results, book->env);
}

static void book_close(struct book *book)
{
    results_close(&book->results);
    memory_env_free(book->env);
}

static void party_on_room(struct results_room *room)
{
    struct party *party = CONTAINER_OF(room, struct party, room);
    assert_true(room->is_held);
    party->called_count++;
}

static bool reserve(struct book *book, struct party *party, size_t bytes)
{
    *party = (struct party){.room = {.on_room = party_on_room}};
    list_init(&party->room.link);
    return results_reserve(&book->results, &party->room, bytes);
}

static void all_of_it_can_be_set_aside_and_not_a_byte_more(void **state)
{
    struct book book;
    struct party all, one;
    (void)state;
    book_open(&book);

    assert_true(reserve(&book, &all, LIMIT_RESULTS_BYTES));
    assert_false(reserve(&book, &one, 1));
    memory_run(book.env);
    assert_int_equal(one.called_count, 0);
    results_shrink(&book.results, &all.room, LIMIT_RESULTS_BYTES - 1);
    assert_int_equal(one.called_count, 0); /* not from within */
    memory_run(book.env);
    assert_int_equal(one.called_count, 1);
    assert_int_equal(book.results.held_bytes, LIMIT_RESULTS_BYTES);
    results_release(&book.results, &all.room);
    results_release(&book.results, &one.room);
    results_release(&book.results, &one.room); /* harmless */
    book_close(&book);
}

static void those_that_wait_go_on_in_the_order_of_arrival(void **state)
{
    struct book book;
    struct party all, large, small;
    (void)state;
    book_open(&book);
    assert_true(reserve(&book, &all, LIMIT_RESULTS_BYTES - 10));
    assert_false(reserve(&book, &large, 100));
    assert_false(reserve(&book, &small, 1)); /* there is room, but the large one was first */
    memory_run(book.env);
    assert_int_equal(large.called_count + small.called_count, 0);

    results_shrink(&book.results, &all.room, LIMIT_RESULTS_BYTES - 100);
    memory_run(book.env);
    assert_int_equal(large.called_count, 1);
    assert_int_equal(small.called_count, 0);
    results_shrink(&book.results, &large.room, 99);
    memory_run(book.env);
    assert_int_equal(small.called_count, 1);
    results_release(&book.results, &all.room);
    results_release(&book.results, &large.room);
    results_release(&book.results, &small.room);
    book_close(&book);
}

static void who_gives_up_waiting_lets_the_next_one_go_on(void **state)
{
    struct book book;
    struct party all, large, small;
    (void)state;
    book_open(&book);
    assert_true(reserve(&book, &all, LIMIT_RESULTS_BYTES - 10));
    assert_false(reserve(&book, &large, 11));
    assert_false(reserve(&book, &small, 10));
    results_release(&book.results, &large.room);
    memory_run(book.env);
    assert_int_equal(large.called_count, 0);
    assert_int_equal(small.called_count, 1);
    results_release(&book.results, &all.room);
    results_release(&book.results, &small.room);
    book_close(&book);
}

/* ---- requests ---- */

static void send_txn(struct env_stream *stream, const char *headers, const char *body)
{
    char text[1024];
    (void)snprintf(text, sizeof text,
                   "POST /v1/txn HTTP/1.1\r\n" H "%sContent-Length: %zu\r\n\r\n%s", headers,
                   strlen(body), body);
    send_text(stream, text);
}

/* As many as there is memory for are at the node, each on a connection of its own. */
static void fill(struct rig *rig, struct env_stream *streams[MANY])
{
    rig->node->holds = true;
    for (size_t i = 0; i < MANY; i++) {
        streams[i] = memory_dial(rig->env);
        send_txn(streams[i], "", reads);
    }
    assert_int_equal(rig->node->requests_count, MANY);
}

static void as_many_as_there_is_memory_for_are_proposed_and_the_next_one_waits(void **state)
{
    struct rig *rig = *state;
    struct env_stream *streams[MANY], *late = memory_dial(rig->env);
    fill(rig, streams);

    send_txn(late, "", reads);
    assert_int_equal(rig->node->requests_count, MANY);
    assert_int_equal(late->sent.count, 0);
    node_double_answer(rig->node, node_double_at(rig->node, 0));
    memory_run(rig->env);
    assert_int_equal(code_of(received(streams[0])), 200);
    assert_int_equal(rig->node->requests_count, MANY); /* one fewer, and the late one */

    rig->node->holds = false;
    env_task_post(rig->env, &rig->node->answer_task);
    memory_run(rig->env);
    assert_int_equal(code_of(received(late)), 200);
    assert_int_equal(rig->http->results.held_bytes, 0);
    assert_int_equal(rig->http->bodies_bytes, 0);
}

/* What is certainly short needs little. */
static void those_that_come_to_little_need_little(void **state)
{
    static const char writes[] = "{\"success\":[{\"put\":{\"key\":\"k\",\"value\":\"v\"}}],"
                                 "\"failure\":[{\"get\":{\"prefix\":\"\",\"count_only\":true}}]}";
    struct rig *rig = *state;
    struct env_stream *streams[MANY];
    fill(rig, streams);
    for (size_t i = 1; i <= 100; i++) {
        send_txn(memory_dial(rig->env), "", writes);
        assert_int_equal(rig->node->requests_count, MANY + i);
    }
    /* With an identity, no more is carried out than can be remembered. */
    send_txn(memory_dial(rig->env), "Idempotency-Key: \"a\"\r\n", reads);
    assert_int_equal(rig->node->requests_count, MANY + 101);
    send_txn(memory_dial(rig->env), "", reads);
    assert_int_equal(rig->node->requests_count, MANY + 101);
    rig->node->holds = false;
    env_task_post(rig->env, &rig->node->answer_task);
    memory_run(rig->env);
    assert_int_equal(rig->http->results.held_bytes, 0);
}

static void who_waits_too_long_is_refused_and_nothing_was_done(void **state)
{
    struct rig *rig = *state;
    struct env_stream *streams[MANY], *late = memory_dial(rig->env);
    fill(rig, streams);

    send_txn(late, "X-MiniKV-Timeout-Ms: 1500\r\n", reads);
    memory_advance(rig->env, 1400 * 1000);
    assert_int_equal(late->sent.count, 0);
    memory_advance(rig->env, 1200 * 1000);

    assert_problem(received(late), 503, "busy");
    assert_has(received(late), "\r\nX-MiniKV-Effect: none\r\n");
    assert_has(received(late), "\r\nRetry-After: ");
    assert_int_equal(rig->node->submitted_count, MANY);
    send_text(late, "GET /livez HTTP/1.1\r\n" H "\r\n"); /* the connection is still good */
    assert_int_equal(replies_count(received(late)), 2);
}

static void what_comes_behind_one_that_waits_waits_with_it(void **state)
{
    struct rig *rig = *state;
    struct env_stream *streams[MANY], *late = memory_dial(rig->env);
    fill(rig, streams);

    send_txn(late, "", reads);
    send_put(late, "k");
    memory_run(rig->env);
    assert_int_equal(rig->node->requests_count, MANY);
    memory_hang_up(streams[7], ENV_END_RESET);

    assert_int_equal(rig->node->requests_count, MANY + 1);
    assert_int_equal(node_double_at(rig->node, MANY - 1)->kind, NODE_WRITE);
    rig->node->holds = false;
    env_task_post(rig->env, &rig->node->answer_task);
    memory_run(rig->env);
    assert_has(received(late), "\"items\":[],\"count\":0,"); /* the put was not there before it */
    assert_int_equal(replies_count(received(late)), 2);
}

static void clients_that_leave_while_they_wait_leave_nothing_behind(void **state)
{
    struct rig *rig = *state;
    struct env_stream *streams[MANY], *late[3];
    fill(rig, streams);
    for (size_t i = 0; i < 3; i++) {
        late[i] = memory_dial(rig->env);
        send_txn(late[i], "", reads);
    }
    memory_hang_up(late[0], ENV_END_EOF);
    memory_hang_up(late[2], ENV_END_RESET);
    memory_hang_up(streams[0], ENV_END_RESET);
    assert_int_equal(rig->node->requests_count, MANY); /* late[1] */
    for (size_t i = 1; i < MANY; i++)
        memory_hang_up(streams[i], ENV_END_RESET);
    memory_hang_up(late[1], ENV_END_RESET);
    assert_int_equal(rig->http->results.held_bytes, 0);
    assert_true(list_is_empty(&rig->http->results.waiting));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_it_can_be_set_aside_and_not_a_byte_more),
        cmocka_unit_test(those_that_wait_go_on_in_the_order_of_arrival),
        cmocka_unit_test(who_gives_up_waiting_lets_the_next_one_go_on),
        RIG_TEST(as_many_as_there_is_memory_for_are_proposed_and_the_next_one_waits),
        RIG_TEST(those_that_come_to_little_need_little),
        RIG_TEST(who_waits_too_long_is_refused_and_nothing_was_done),
        RIG_TEST(what_comes_behind_one_that_waits_waits_with_it),
        RIG_TEST(clients_that_leave_while_they_wait_leave_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
