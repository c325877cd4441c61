/* GET /v1/snapshot: a file on its way to a client that may be slow, may go away, and whose disk, or
 * whose node, may fail. */
#include "http_fixture.h"

#define HERE     "Host: 127.0.0.1:8081\r\n"
#define SNAPSHOT "GET /v1/snapshot HTTP/1.1\r\n" HERE "\r\n"

enum { FILE_BYTES = 5 * LIMIT_BACKUP_PIECE_BYTES + 777 };

/* The node has a snapshot of so many bytes, all different from their neighbours. */
static void given_snapshot(struct rig *rig, size_t bytes)
{
    struct node *node = rig->node;
    node->snapshot = (struct snapshot_info){{.term = 7, .index = 1}, bytes};
    for (size_t i = 0; i < bytes; i++)
        buf_put_u8(&node->snapshot_file, (uint8_t)(i * 7 + i / 251));
    node->snapshot_readable = bytes;
}

static size_t head_bytes(struct env_stream *stream)
{
    const char *end = strstr(received(stream), "\r\n\r\n");
    assert_non_null(end);
    return (size_t)(end + 4 - received(stream));
}

static void assert_body(struct env_stream *stream, const struct rig *rig)
{
    size_t head = head_bytes(stream);
    assert_int_equal(stream->sent.count - head, rig->node->snapshot_file.count);
    assert_memory_equal(stream->sent.data + head, rig->node->snapshot_file.data,
                        rig->node->snapshot_file.count);
}

static void the_file_comes_whole_with_its_length_and_place_in_the_log(void **state)
{
    struct rig *rig = *state;
    given_snapshot(rig, FILE_BYTES);
    struct env_stream *stream = memory_dial(rig->env);

    send_text(stream, SNAPSHOT);
    memory_advance(rig->env, 1000000);

    char length[64];
    (void)snprintf(length, sizeof length, "\r\nContent-Length: %d\r\n", FILE_BYTES);
    assert_int_equal(code_of(received(stream)), 200);
    assert_has(received(stream), length);
    assert_has(received(stream), "\r\nContent-Type: application/octet-stream\r\n");
    assert_has(received(stream), "\r\nX-MiniKV-Snapshot-Index: 1\r\n");
    assert_has(received(stream), "\r\nX-MiniKV-Snapshot-Term: 7\r\n");
    assert_body(stream, rig);
    assert_int_equal(rig->node->last.kind, NODE_READ); /* everything acknowledged is in it */
    assert_int_equal(rig->node->files_open_count, 0);
    assert_false(stream->is_finished || stream->is_closed);
}

static void requests_behind_it_are_answered_behind_it(void **state)
{
    struct rig *rig = *state;
    given_snapshot(rig, FILE_BYTES);
    struct env_stream *stream = memory_dial(rig->env);

    send_text(stream, SNAPSHOT "GET /livez HTTP/1.1\r\n" HERE "\r\n");
    memory_advance(rig->env, 1000000);

    const char *behind = received(stream) + head_bytes(stream) + FILE_BYTES;
    assert_int_equal(code_of(behind), 200);
    assert_has(behind, "\r\n\r\nok\n");
}

static void a_slow_client_costs_one_piece_of_memory(void **state)
{
    struct rig *rig = *state;
    given_snapshot(rig, FILE_BYTES);
    struct env_stream *stream = memory_dial(rig->env);
    stream->taken = 0;

    send_text(stream, SNAPSHOT);
    memory_advance(rig->env, 1000000);
    assert_true(stream->sent.count <= 2 * LIMIT_BACKUP_PIECE_BYTES + 1024);
    assert_true(rig->http->replies_bytes <= 2 * LIMIT_BACKUP_PIECE_BYTES + 1024);

    for (int i = 0; i < 12 && stream->sent.count < FILE_BYTES; i++) {
        size_t before = stream->sent.count;
        stream->taken = before;
        stream->handler->on_drained(stream->ctx);
        memory_advance(rig->env, 100000);
        assert_true(stream->sent.count - before <= 2 * LIMIT_BACKUP_PIECE_BYTES);
    }
    assert_body(stream, rig);
}

static void it_is_sent_no_faster_than_its_pace(void **state)
{
    struct rig rig;
    struct http_options options = {.listen = {"127.0.0.1", 8081},
                                   .backup_rate = LIMIT_BACKUP_PIECE_BYTES};
    (void)state;
    rig_open_with(&rig, &options);
    given_snapshot(&rig, FILE_BYTES);
    struct env_stream *stream = memory_dial(rig.env);

    send_text(stream, SNAPSHOT);
    memory_advance(rig.env, 2500000); /* a piece at once, then one each second */
    size_t pieces = (stream->sent.count - head_bytes(stream)) / LIMIT_BACKUP_PIECE_BYTES;
    assert_int_equal(pieces, 3);
    memory_advance(rig.env, 4000000);
    assert_body(stream, &rig);

    struct rig *closing = &rig;
    (void)rig_teardown((void **)&closing);
}

static void a_file_that_breaks_off_ends_the_connection(void **state)
{
    struct rig *rig = *state;
    given_snapshot(rig, FILE_BYTES);
    rig->node->snapshot_readable = 2 * LIMIT_BACKUP_PIECE_BYTES + 5;
    for (int is_cut = 0; is_cut < 2; is_cut++) {
        struct env_stream *stream = memory_dial(rig->env);
        rig->node->is_snapshot_cut = is_cut;

        send_text(stream, SNAPSHOT "GET /livez HTTP/1.1\r\n" HERE "\r\n");
        memory_advance(rig->env, 1000000);

        assert_int_equal(stream->sent.count - head_bytes(stream), 2 * LIMIT_BACKUP_PIECE_BYTES);
        assert_true(stream->is_finished);
        assert_int_equal(rig->node->files_open_count, 0);
    }
}

static void what_the_node_cannot_make_is_refused_and_nothing_was_changed(void **state)
{
    static const struct {
        enum status status;
        int code;
        const char *type;
    } cases[] = {{ST_NO_SPACE, 507, "no-space"},
                 {ST_IO, 500, "io"},
                 {ST_SHUTTING_DOWN, 503, "shutting-down"}};
    struct rig *rig = *state;
    given_snapshot(rig, 100);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        rig->node->snapshot_status = cases[i].status;
        const char *reply = ask(rig, SNAPSHOT);
        assert_problem(reply, cases[i].code, cases[i].type);
        assert_has(reply, "\r\nX-MiniKV-Effect: none\r\n");
    }

    rig->node->snapshot_status = ST_OK;
    rig->node->forced = (struct node_answer){.status = ST_NO_LEADER};
    assert_problem(ask(rig, SNAPSHOT), 503, "no-leader");
    assert_int_equal(rig->http->backups_count, 0);
}

static void a_stale_one_asks_nobody(void **state)
{
    struct rig *rig = *state;
    given_snapshot(rig, 100);
    const char *reply = ask(rig, "GET /v1/snapshot?consistency=stale HTTP/1.1\r\n" HERE "\r\n");
    assert_int_equal(code_of(reply), 200);
    assert_has(reply, "\r\nX-MiniKV-Staleness-Ms: ");
    assert_int_equal(rig->node->submitted_count, 0);

    rig->node->snapshot.last.index = 0; /* joins, and has no state yet */
    assert_problem(ask(rig, "GET /v1/snapshot?consistency=stale HTTP/1.1\r\n" HERE "\r\n"), 503,
                   "not-ready");
    assert_problem(ask(rig, "GET /v1/snapshot?consistency=old HTTP/1.1\r\n" HERE "\r\n"), 400,
                   "bad-query");
}

static void only_so_many_at_a_time(void **state)
{
    struct rig *rig = *state;
    given_snapshot(rig, FILE_BYTES);
    struct env_stream *streams[LIMIT_BACKUPS];
    for (size_t i = 0; i < LIMIT_BACKUPS; i++) {
        streams[i] = memory_dial(rig->env);
        streams[i]->taken = 0;
        send_text(streams[i], SNAPSHOT);
    }
    assert_problem(ask(rig, SNAPSHOT), 503, "busy");

    memory_hang_up(streams[1], ENV_END_RESET);

    assert_int_equal(rig->http->backups_count, LIMIT_BACKUPS - 1);
    assert_int_equal(code_of(ask(rig, SNAPSHOT)), 200);
}

static void a_client_that_goes_while_it_waits_is_forgotten(void **state)
{
    struct rig *rig = *state;
    given_snapshot(rig, FILE_BYTES);
    rig->node->holds = true;
    struct env_stream *stream = memory_dial(rig->env);
    send_text(stream, SNAPSHOT);
    node_double_answer(rig->node, node_double_at(rig->node, 0));
    memory_run(rig->env);
    assert_false(list_is_empty(&rig->node->waits));

    memory_hang_up(stream, ENV_END_EOF);

    assert_true(list_is_empty(&rig->node->waits));
    assert_int_equal(rig->http->backups_count, 0);
}

static void head_tells_the_length_and_sends_nothing(void **state)
{
    struct rig *rig = *state;
    given_snapshot(rig, FILE_BYTES);
    struct env_stream *stream = memory_dial(rig->env);

    send_text(stream, "HEAD /v1/snapshot HTTP/1.1\r\n" HERE "\r\n");
    memory_advance(rig->env, 100000);

    assert_int_equal(code_of(received(stream)), 200);
    assert_int_equal(stream->sent.count, head_bytes(stream));
    assert_int_equal(rig->node->files_open_count, 0);
}

static void note_stopped(void *ctx)
{
    *(bool *)ctx = true;
}

static void a_stop_waits_for_no_backup(void **state)
{
    struct rig *rig = *state;
    bool has_stopped = false;
    given_snapshot(rig, FILE_BYTES);
    struct env_stream *sending = memory_dial(rig->env), *waiting = memory_dial(rig->env);
    sending->taken = 0;
    send_text(sending, SNAPSHOT);
    rig->node->holds = true;
    send_text(waiting, SNAPSHOT);
    node_double_answer(rig->node, node_double_at(rig->node, 0));

    http_stop(rig->http, note_stopped, &has_stopped);
    memory_run(rig->env);

    assert_problem(received(waiting), 503, "shutting-down");
    assert_has(received(waiting), "\r\nConnection: close\r\n");
    assert_int_equal(rig->http->backups_count, 0);
    assert_true(sending->sent.count < FILE_BYTES);
    sending->taken = sending->sent.count; /* what was under way leaves */
    sending->handler->on_drained(sending->ctx);
    memory_advance(rig->env, 3000000);
    assert_true(has_stopped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(the_file_comes_whole_with_its_length_and_place_in_the_log),
        RIG_TEST(requests_behind_it_are_answered_behind_it),
        RIG_TEST(a_slow_client_costs_one_piece_of_memory),
        cmocka_unit_test(it_is_sent_no_faster_than_its_pace),
        RIG_TEST(a_file_that_breaks_off_ends_the_connection),
        RIG_TEST(what_the_node_cannot_make_is_refused_and_nothing_was_changed),
        RIG_TEST(a_stale_one_asks_nobody),
        RIG_TEST(only_so_many_at_a_time),
        RIG_TEST(a_client_that_goes_while_it_waits_is_forgotten),
        RIG_TEST(head_tells_the_length_and_sends_nothing),
        RIG_TEST(a_stop_waits_for_no_backup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
