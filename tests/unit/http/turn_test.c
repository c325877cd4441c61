/* What one turn of the loop replies, over all connections, and who comes when. */
#include "http_fixture.h"

#include "http/turn.h"

/* ---- the order ---- */

enum { PLAYERS = 5 };

/* Wants to spend so much at a time, so many times. */
struct player {
    struct turn turn;
    size_t bytes;
    int left;
    int done; /* of them, in this turn */
};

static void play(struct turn *turn)
{
    struct player *player = CONTAINER_OF(turn, struct player, turn);
    while (player->left > 0) {
        if (!turn_may_reply(turn))
            return;
        turn_spend(turn, player->bytes);
        player->left--;
        player->done++;
    }
}

static void a_turn_has_so_many_bytes_and_the_rest_goes_on_in_the_next_ones(void **state)
{
    enum { PARTS = 16, BYTES = LIMIT_CONNECTION_TURN_BYTES / PARTS };
    enum { ALL = LIMIT_TURN_BYTES / BYTES };
    struct env *env = memory_env_new();
    struct turns turns;
    struct player player = {.bytes = BYTES, .left = 3 * ALL + 1};
    (void)state;
    turns_init(&turns, env, play);
    turn_init(&player.turn, &turns);

    play(&player.turn);
    assert_int_equal(player.done, PARTS); /* its share; others may come yet */
    for (int i = 0; i < 3; i++) {
        player.done = 0;
        turn(env);
        turns_end(&turns);
        assert_int_equal(player.done, i < 2 ? ALL : ALL + 1 - PARTS);
    }
    assert_int_equal(player.left, 0);
    assert_null(env->timers[0]); /* the loop may sleep */
    turns_close(&turns);
    memory_env_free(env);
}

static void connections_come_one_after_the_other_each_with_its_share(void **state)
{
    enum { BYTES = LIMIT_CONNECTION_TURN_BYTES / 4 };
    struct env *env = memory_env_new();
    struct turns turns;
    struct player players[PLAYERS];
    (void)state;
    turns_init(&turns, env, play);
    for (size_t i = 0; i < PLAYERS; i++) {
        players[i] = (struct player){.bytes = BYTES, .left = i == 3 ? 1 : 1000};
        turn_init(&players[i].turn, &turns);
        turn_yield(&players[i].turn);
    }
    for (int i = 0; i < 4; i++) {
        for (size_t j = 0; j < PLAYERS; j++)
            players[j].done = 0;
        turn(env);
        int done = 0;
        for (size_t j = 0; j < PLAYERS; j++) {
            done += players[j].done;
            for (size_t k = 0; k < PLAYERS; k++)
                assert_true(j == 3 || k == 3 || players[j].done <= players[k].done + 4);
        }
        assert_int_equal(done, LIMIT_TURN_BYTES / BYTES);
        assert_int_equal(players[3].done, i == 0);
    }
    /* One that comes late is not behind all that the others want. */
    players[3].left = 1;
    play(&players[3].turn);
    assert_int_equal(players[3].left, 1);
    turn(env);
    assert_int_equal(players[3].left, 0);
    for (size_t i = 0; i < PLAYERS; i++)
        turn_leave(&players[i].turn);
    turns_close(&turns);
    memory_env_free(env);
}

static void one_that_leaves_is_not_called(void **state)
{
    struct env *env = memory_env_new();
    struct turns turns;
    struct player player = {.bytes = 1, .left = 1};
    (void)state;
    turns_init(&turns, env, play);
    turn_init(&player.turn, &turns);
    turn_yield(&player.turn);
    turn_yield(&player.turn); /* once */
    turn_leave(&player.turn);
    turn(env);
    assert_int_equal(player.left, 1);
    turns_close(&turns);
    memory_env_free(env);
}

/* ---- requests ---- */

enum { READERS = 12, VALUE_BYTES = 32 * KIB, PIPELINE = 20 };

static void put_value(struct rig *rig)
{
    struct buf value;
    buf_init(&value, VALUE_BYTES);
    for (size_t i = 0; i < VALUE_BYTES; i++)
        buf_put_u8(&value, 'a');
    node_double_put(rig->node, BYTES_LITERAL("large"), buf_bytes(&value));
    node_double_put(rig->node, BYTES_LITERAL("small"), BYTES_LITERAL("v"));
    buf_release(&value);
}

static void give_pipeline(struct env_stream *stream, const char *consistency)
{
    struct buf text;
    buf_init(&text, LIMIT_READ_BYTES);
    for (int i = 0; i < PIPELINE; i++)
        buf_printf(&text, "GET /v1/kv/large?raw&consistency=%s HTTP/1.1\r\n" H "\r\n", consistency);
    memory_give(stream, buf_bytes(&text));
    buf_release(&text);
}

static size_t sent_bytes(struct env_stream *const *streams)
{
    size_t bytes = 0;
    for (int i = 0; i < READERS; i++)
        bytes += streams[i]->sent.count;
    return bytes;
}

static void pipelines_are_answered_in_turns_and_nobody_else_waits_long(void **state)
{
    /* A turn has fewer shares than there are readers: twice as many are enough, and it has to be
     * let read first. */
    enum { TURNS = 3 };
    static const char *const kinds[] = {"stale", "linearizable"};
    struct rig *rig = *state;
    put_value(rig);
    for (size_t kind = 0; kind < ARRAY_COUNT(kinds); kind++) {
        struct env_stream *streams[READERS], *other = memory_dial(rig->env);
        for (int i = 0; i < READERS; i++) {
            streams[i] = memory_dial(rig->env);
            give_pipeline(streams[i], kinds[kind]);
        }
        int turns_count = 0;
        for (size_t before = 0; before < READERS * PIPELINE * VALUE_BYTES; turns_count++) {
            size_t answers = replies_count(received(other));
            memory_give(other, BYTES_LITERAL("GET /v1/kv/small HTTP/1.1\r\n" H "\r\n"));
            for (int i = 0; i < TURNS; i++)
                turn(rig->env);
            assert_true(replies_count(received(other)) > answers); /* one of those asked for */
            size_t after = sent_bytes(streams);
            /* The last reply of a turn is not cut; and one turn's were made in reading. */
            assert_true(after - before <= (TURNS + 1) * (LIMIT_TURN_BYTES + VALUE_BYTES + KIB));
            assert_true(after > before);
            before = after;
            assert_true(turns_count < 100);
        }
        assert_true(turns_count >=
                    READERS * PIPELINE * VALUE_BYTES / (TURNS * LIMIT_TURN_BYTES) - 1);
        for (int i = 0; i < READERS; i++)
            assert_int_equal(replies_count(received(streams[i])), PIPELINE);
    }
}

static void one_pipeline_does_not_take_a_turn_for_itself(void **state)
{
    struct rig *rig = *state;
    put_value(rig);
    struct env_stream *first = memory_dial(rig->env), *second = memory_dial(rig->env);
    give_pipeline(first, "stale");
    give_pipeline(second, "stale");
    rig->env->now++;
    struct env_task *flush = &rig->http->flush_task;
    flush->on_run(flush->ctx);
    assert_int_equal(replies_count(received(first)), LIMIT_CONNECTION_TURN_BYTES / VALUE_BYTES);
    assert_int_equal(replies_count(received(second)), LIMIT_CONNECTION_TURN_BYTES / VALUE_BYTES);
    memory_run(rig->env);
    assert_int_equal(replies_count(received(first)), PIPELINE);
    assert_int_equal(replies_count(received(second)), PIPELINE);
}

static void a_client_that_leaves_before_its_turn_is_forgotten(void **state)
{
    struct rig *rig = *state;
    put_value(rig);
    struct env_stream *stream = memory_dial(rig->env);
    give_pipeline(stream, "stale");
    assert_false(list_is_empty(&rig->http->turns.waiting));
    memory_hang_up(stream, ENV_END_RESET);
    assert_true(list_is_empty(&rig->http->turns.waiting));
}

static void a_server_that_stops_answers_those_that_wait_for_their_turn(void **state)
{
    struct rig *rig = *state;
    put_value(rig);
    struct env_stream *stream = memory_dial(rig->env);
    give_pipeline(stream, "stale");
    http_stop(rig->http, NULL, NULL);
    memory_advance(rig->env, 1000000);
    assert_int_equal(replies_count(received(stream)), PIPELINE);
    assert_true(stream->is_finished);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_turn_has_so_many_bytes_and_the_rest_goes_on_in_the_next_ones),
        cmocka_unit_test(connections_come_one_after_the_other_each_with_its_share),
        cmocka_unit_test(one_that_leaves_is_not_called),
        RIG_TEST(pipelines_are_answered_in_turns_and_nobody_else_waits_long),
        RIG_TEST(one_pipeline_does_not_take_a_turn_for_itself),
        RIG_TEST(a_client_that_leaves_before_its_turn_is_forgotten),
        RIG_TEST(a_server_that_stops_answers_those_that_wait_for_their_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
