/* GET /v1/watch as its clients see it: what they are sent, from where on, and how it ends. */
#include "watch_fixture.h"

static void events_come_with_id_kind_and_data(void **state)
{
    struct rig *rig = *state;
    put(rig, "other", "1");
    struct env_stream *stream = watch(rig, "/v1/watch?prefix=a", "");
    assert_int_equal(code_of(received(stream)), 200);
    assert_has(received(stream), "\r\nContent-Type: text/event-stream\r\n");
    assert_has(received(stream), "\r\nTransfer-Encoding: chunked\r\n");
    assert_has(received(stream), "\r\nX-MiniKV-Revision: 2\r\n");
    assert_string_equal(body(stream), ": minikv revision 2\nid: 2\n\n");
    assert_int_equal(rig->node->last.kind, NODE_READ); /* nothing acknowledged before is missed */

    put(rig, "a1", "x\ny");
    put(rig, "b", "no");
    drop(rig, "a1");
    show(rig);

    assert_string_equal(body(stream),
                        ": minikv revision 2\nid: 2\n\n"
                        "id: 3\nevent: put\ndata: {\"key\":\"a1\",\"value\":\"x\\ny\","
                        "\"create_revision\":3,\"mod_revision\":3,\"version\":1,\"lease\":0}\n\n"
                        "id: 5\nevent: delete\ndata: {\"key\":\"a1\",\"mod_revision\":5}\n\n");
    assert_false(is_whole(stream));
}

static void previous_values_come_on_request(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = watch(rig, "/v1/watch?key=k&prev=true", "");
    put(rig, "k", "1");
    put(rig, "k", "2");
    drop(rig, "k");
    show(rig);

    assert_has(body(stream), "\"version\":1,\"lease\":0,\"prev\":null}\n\n");
    assert_has(body(stream), "\"version\":2,\"lease\":0,\"prev\":{\"key\":\"k\",\"value\":\"1\","
                             "\"create_revision\":2,\"mod_revision\":2,\"version\":1,"
                             "\"lease\":0}}\n\n");
    assert_has(body(stream), "event: delete\ndata: {\"key\":\"k\",\"mod_revision\":4,\"prev\":{"
                             "\"key\":\"k\",\"value\":\"2\"");
}

static void a_watch_begins_at_a_revision_of_the_past(void **state)
{
    struct rig *rig = *state;
    for (int i = 0; i < 5; i++)
        put(rig, "k", "v");
    struct env_stream *stream = watch(rig, "/v1/watch?key=k&from=4", "");
    assert_string_equal(ids(stream), "4 5 6 ");
    put(rig, "k", "v");
    show(rig);
    assert_string_equal(ids(stream), "4 5 6 7 ");
    assert_string_equal(ids(watch(rig, "/v1/watch?key=k&from=1", "")), "2 3 4 5 6 7 ");
    assert_string_equal(ids(watch(rig, "/v1/watch?key=k&from=8", "")), "");
}

static void events_of_one_revision_are_numbered_but_the_last(void **state)
{
    struct rig *rig = *state;
    put_together(rig, "k", 3, "v");
    put(rig, "k0", "w");
    assert_string_equal(ids(watch(rig, "/v1/watch?prefix=k&from=1", "")), "2.1 2.2 2 3 ");
    /* Counted over all of them, also those that the filter leaves out. */
    assert_string_equal(ids(watch(rig, "/v1/watch?key=k1&from=1", "")), "2.2 ");
}

static void a_client_goes_on_behind_the_id_it_has_seen(void **state)
{
    struct rig *rig = *state;
    static const struct {
        const char *id, *rest;
    } cases[] = {{"1", "2.1 2.2 2 3 "}, {"2.1", "2.2 2 3 "}, {"2.2", "2 3 "},
                 {"2.3", "3 "},         {"2", "3 "},         {"3", ""}};
    put_together(rig, "k", 3, "v");
    put(rig, "k0", "w");
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char header[64], target[64];
        (void)snprintf(header, sizeof header, "Last-Event-ID: %s\r\n", cases[i].id);
        (void)snprintf(target, sizeof target, "/v1/watch?prefix=k&from_id=%s", cases[i].id);
        assert_string_equal(ids(watch(rig, "/v1/watch?prefix=k", header)), cases[i].rest);
        assert_string_equal(ids(watch(rig, "/v1/watch?prefix=k&from=1&from_id=3", header)),
                            cases[i].rest); /* the header wins */
        assert_string_equal(ids(watch(rig, target, "")), cases[i].rest);
    }
}

static void ids_that_no_event_has_are_refused(void **state)
{
    struct rig *rig = *state;
    static const char *const bad[] = {
        "0", "01", "x", "2.", "2.0", "1.5", ".1", "2.1.1", "-1", "2.x", "99999999999999999999"};
    put_together(rig, "k", 3, "v");
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        char header[128], target[128];
        (void)snprintf(header, sizeof header, "Last-Event-ID: %s\r\n", bad[i]);
        (void)snprintf(target, sizeof target, "/v1/watch?prefix=k&from_id=%s", bad[i]);
        assert_problem(received(watch(rig, "/v1/watch?prefix=", header)), 400, "bad-header");
        assert_problem(received(watch(rig, target, "")), 400, "bad-query");
    }
    assert_problem(received(watch(rig, "/v1/watch?prefix=", "Last-Event-ID: 2.4\r\n")), 400,
                   "bad-query");
    assert_problem(received(watch(rig, "/v1/watch?prefix=", "Last-Event-ID: 3\r\n")), 400,
                   "revision-future");
    put(rig, "k0", "behind it");
    assert_problem(received(watch(rig, "/v1/watch?prefix=", "Last-Event-ID: 2.4\r\n")), 400,
                   "bad-query");
    assert_problem(received(watch(rig, "/v1/watch?prefix=", "Last-Event-ID: 4.1\r\n")), 400,
                   "revision-future");
    assert_problem(received(watch(rig, "/v1/watch?prefix=&from=5", "")), 400, "revision-future");
    assert_int_equal(watch_stats_of(rig).watchers_count, 0);
}

static void one_kind_of_event_may_be_asked_for(void **state)
{
    struct rig *rig = *state;
    struct env_stream *puts = watch(rig, "/v1/watch?key=k&filter=put", "");
    struct env_stream *deletes = watch(rig, "/v1/watch?key=k&filter=delete", "");
    put(rig, "k", "1");
    drop(rig, "k");
    put(rig, "k", "2");
    show(rig);
    assert_string_equal(ids(puts), "2 4 ");
    assert_string_equal(ids(deletes), "3 ");
    assert_string_equal(ids(watch(rig, "/v1/watch?key=k&filter=delete&from=1", "")), "3 ");
}

static void ranges_hold_what_is_between_their_bounds(void **state)
{
    struct rig *rig = *state;
    struct env_stream *both = watch(rig, "/v1/watch?start=b&end=d", "");
    struct env_stream *from = watch(rig, "/v1/watch?start=c", "");
    struct env_stream *to = watch(rig, "/v1/watch?end=c", "");
    struct env_stream *all = watch(rig, "/v1/watch?prefix=", "");
    for (const char *key = "a\0b\0c\0d\0"; *key != '\0'; key += 2)
        put(rig, key, "v");
    show(rig);
    assert_string_equal(ids(both), "3 4 ");
    assert_string_equal(ids(from), "4 5 ");
    assert_string_equal(ids(to), "2 3 ");
    assert_string_equal(ids(all), "2 3 4 5 ");
}

static void lines_of_json_say_the_same(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = watch(rig, "/v1/watch?key=k", "Accept: application/x-ndjson\r\n");
    assert_has(received(stream), "\r\nContent-Type: application/x-ndjson\r\n");
    put(rig, "k", "1");
    drop(rig, "k");
    show(rig);
    assert_string_equal(body(stream),
                        "{\"event\":\"progress\",\"revision\":1}\n"
                        "{\"id\":\"2\",\"event\":\"put\",\"data\":{\"key\":\"k\",\"value\":\"1\","
                        "\"create_revision\":2,\"mod_revision\":2,\"version\":1,\"lease\":0}}\n"
                        "{\"id\":\"3\",\"event\":\"delete\",\"data\":{\"key\":\"k\","
                        "\"mod_revision\":3}}\n");
    memory_advance(rig->env, WATCH_BEAT_US);
    assert_has(body(stream), "}}\n{\"event\":\"progress\",\"revision\":3}\n");
}

static void bytes_that_are_no_text_come_as_base64(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = watch(rig, "/v1/watch?key=%ff", "");
    node_double_put(rig->node, BYTES_LITERAL("\xff"), BYTES_LITERAL("\xfe"));
    show(rig);
    assert_has(body(stream), "data: {\"key_base64\":\"/w==\",\"value_base64\":\"/g==\",");
}

static void a_silent_watch_hears_how_far_it_is(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = watch(rig, "/v1/watch?key=k", "");
    put(rig, "other", "1");
    show(rig);
    memory_advance(rig->env, WATCH_BEAT_US - 20000);
    assert_string_equal(body(stream), ": minikv revision 1\nid: 1\n\n");
    memory_advance(rig->env, 40000);
    assert_string_equal(body(stream), ": minikv revision 1\nid: 1\n\n: revision 2\nid: 2\n\n");
    memory_advance(rig->env, 10 * (time_us)WATCH_BEAT_US); /* beyond all timeouts */
    assert_int_equal(count_of(body(stream), ": revision 2\nid: 2\n\n"), 11);
    assert_false(stream->is_finished || stream->is_closed);
}

static void what_is_compacted_at_the_start_is_refused_with_what_is_left(void **state)
{
    struct rig *rig = *state;
    for (int i = 0; i < 8; i++)
        put(rig, "k", "v");
    node_double_compact(rig->node, 5);
    static const char *const gone[] = {"from=1", "from=5", "from_id=3", "from_id=5.1"};
    for (size_t i = 0; i < ARRAY_COUNT(gone); i++) {
        char target[64];
        (void)snprintf(target, sizeof target, "/v1/watch?key=k&%s", gone[i]);
        const char *reply = received(watch(rig, target, ""));
        assert_problem(reply, 410, "compacted");
        assert_has(reply, "\r\nX-MiniKV-Compacted: 5\r\n");
        assert_has(reply, "up to revision 5 ");
    }
    assert_string_equal(ids(watch(rig, "/v1/watch?key=k&from=6", "")), "6 7 8 9 ");
    assert_string_equal(ids(watch(rig, "/v1/watch?key=k&from_id=5", "")), "6 7 8 9 ");
}

static void requests_that_make_no_sense_are_refused(void **state)
{
    struct rig *rig = *state;
    static const struct {
        const char *query, *headers;
        int code;
        const char *type;
    } cases[] = {
        {"", "", 400, "bad-query"},
        {"key=a&prefix=b", "", 400, "bad-query"},
        {"prefix=b&end=c", "", 400, "bad-query"},
        {"key=", "", 400, "key-empty"},
        {"key=%zz", "", 400, "bad-encoding"},
        {"key=a&from=0", "", 400, "bad-query"},
        {"key=a&from=x", "", 400, "bad-query"},
        {"key=a&prev=maybe", "", 400, "bad-query"},
        {"key=a&filter=get", "", 400, "bad-query"},
        {"key=a&limit=3", "", 400, "bad-query"},
        {"key=a&poll_ms=0", "", 400, "bad-query"},
        {"key=a&poll_ms=60001", "", 400, "bad-query"},
        {"key=a&poll_ms=1&limit=1001", "", 400, "bad-query"},
        {"key=a&rev=1", "", 400, "bad-query"},
        {"key=a&consistency=old", "", 400, "bad-query"},
        {"key=a", "Accept: application/octet-stream\r\n", 406, "not-acceptable"},
        {"key=a", "Accept: text/html\r\n", 406, "not-acceptable"},
        {"key=a&poll_ms=5", "Accept: text/event-stream\r\n", 406, "not-acceptable"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char target[128];
        (void)snprintf(target, sizeof target, "/v1/watch?%s", cases[i].query);
        assert_problem(received(watch(rig, target, cases[i].headers)), cases[i].code,
                       cases[i].type);
    }
    assert_problem(ask(rig, "POST /v1/watch HTTP/1.1\r\n" H "\r\n"), 405, "method-not-allowed");
}

static void keys_of_any_legal_length_can_be_watched(void **state)
{
    struct rig *rig = *state;
    char key[LIMIT_KEY_BYTES + 2], target[LIMIT_KEY_BYTES + 64];
    memset(key, 'k', sizeof key);
    for (size_t more = 0; more < 2; more++) {
        (void)snprintf(target, sizeof target, "/v1/watch?key=%.*s", (int)(LIMIT_KEY_BYTES + more),
                       key);
        struct env_stream *stream = watch(rig, target, "");
        if (more == 1) {
            assert_problem(received(stream), 414, "key-too-long");
            break;
        }
        struct env_stream *prefix =
            watch(rig, strcat(strcpy(target, "/v1/watch?prefix="), "kk"), "");
        node_double_put(rig->node, bytes_of(key, LIMIT_KEY_BYTES), BYTES_LITERAL("v"));
        show(rig);
        assert_string_equal(ids(stream), "2 ");
        assert_string_equal(ids(prefix), "2 ");
    }
}

static void a_stale_watch_asks_nobody(void **state)
{
    struct rig *rig = *state;
    put(rig, "k", "1");
    struct env_stream *stream = watch(rig, "/v1/watch?key=k&consistency=stale&from=1", "");
    assert_int_equal(rig->node->submitted_count, 0);
    assert_string_equal(ids(stream), "2 ");
    assert_has(received(stream), "\r\nX-MiniKV-Staleness-Ms: ");

    rig->node->forced = (struct node_answer){.status = ST_NO_LEADER};
    assert_problem(received(watch(rig, "/v1/watch?key=k", "")), 503, "no-leader");
}

static void head_tells_the_revision_and_watches_nothing(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = memory_dial(rig->env);
    send_text(stream, "HEAD /v1/watch?key=k HTTP/1.1\r\n" H "\r\nGET /livez HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(code_of(received(stream)), 200);
    assert_has(received(stream), "\r\nX-MiniKV-Revision: 1\r\n");
    assert_int_equal(code_of(strstr(received(stream), "\r\n\r\n") + 4), 200);
    assert_int_equal(watch_stats_of(rig).watchers_count, 0);
}

static void http_1_0_gets_a_body_that_ends_with_the_connection(void **state)
{
    struct rig *rig = *state;
    bool has_stopped = false;
    struct env_stream *stream = memory_dial(rig->env);
    send_text(stream, "GET /v1/watch?key=k HTTP/1.0\r\n" H "Connection: keep-alive\r\n\r\n");
    put(rig, "k", "1");
    show(rig);
    assert_has(received(stream), "\r\nConnection: close\r\n");
    assert_lacks(received(stream), "Connection: keep-alive");
    assert_lacks(received(stream), "Transfer-Encoding");
    assert_has(received(stream), "\r\n\r\n"
                                 ": minikv revision 1\nid: 1\n\nid: 2\nevent: put\n");
    assert_false(stream->is_finished);

    http_stop(rig->http, NULL, &has_stopped);
    memory_run(rig->env);
    assert_has(received(stream), "event: error\n");
    assert_true(stream->is_finished);
}

static void a_stop_tells_and_ends_all_watches(void **state)
{
    struct rig *rig = *state;
    struct env_stream *events = watch(rig, "/v1/watch?key=k", "");
    struct env_stream *lines = watch(rig, "/v1/watch?key=k", "Accept: application/x-ndjson\r\n");
    struct env_stream *poll = watch(rig, "/v1/watch?key=k&poll_ms=50000", "");
    struct env_stream *slow = watch(rig, "/v1/watch?key=k", "");
    slow->taken = 0;

    http_stop(rig->http, NULL, NULL);
    memory_run(rig->env);

    assert_has(body(events), "event: error\ndata: {\"type\":\"urn:minikv:shutting-down\",");
    assert_has(body(lines),
               "{\"event\":\"error\",\"data\":{\"type\":\"urn:minikv:shutting-down\",");
    assert_true(is_whole(events) && is_whole(lines) && is_whole(slow));
    assert_problem(received(poll), 503, "shutting-down");
    assert_int_equal(watch_stats_of(rig).watchers_count, 0);
    memory_advance(rig->env, 200000);
    assert_true(events->is_finished && lines->is_finished && poll->is_finished);
}

/* A node that has no leader and hears nothing would say for ever that nothing has happened. */
static void a_watch_at_a_node_that_is_cut_off_is_sent_elsewhere(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = watch(rig, "/v1/watch?key=k", "");
    struct env_stream *stale = watch(rig, "/v1/watch?key=k&consistency=stale", "");
    rig->node->view.leader = NODE_NONE; /* an election */
    rig->node->staleness = WATCH_LOST_US - 1;
    memory_advance(rig->env, WATCH_BEAT_US + 200000);
    assert_false(is_whole(stream) || is_whole(stale));

    rig->node->view.leader = 2; /* slow, but there */
    rig->node->staleness = TIME_NEVER;
    memory_advance(rig->env, WATCH_BEAT_US + 200000);
    assert_false(is_whole(stream) || is_whole(stale));

    rig->node->view.leader = NODE_NONE;
    rig->node->staleness = WATCH_LOST_US;
    memory_advance(rig->env, WATCH_BEAT_US + 200000);
    assert_has(body(stream), "event: error\ndata: {\"type\":\"urn:minikv:no-leader\",");
    assert_true(is_whole(stream));
    assert_false(is_whole(stale)); /* it asked for what this node has */
    assert_int_equal(watch_stats_of(rig).watchers_count, 1);
}

static void whoever_asks_while_the_server_stops_is_sent_elsewhere(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = memory_dial(rig->env), *poll = memory_dial(rig->env);
    send_text(stream, "GET /v1/watch?key=k HTTP/1.1\r\n");
    send_text(poll, "GET /v1/watch?key=k&poll_ms=60000 HTTP/1.1\r\n");
    http_stop(rig->http, NULL, NULL);
    send_text(stream, H "\r\n");
    send_text(poll, H "\r\n");
    assert_problem(received(stream), 503, "shutting-down");
    assert_problem(received(poll), 503, "shutting-down");
    assert_true(stream->is_finished && poll->is_finished);
}

/* It would wait for ever, and hold what others need. */
static void what_is_asked_for_behind_a_watch_is_not_begun(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = memory_dial(rig->env);
    size_t before = rig->node->submitted_count;
    send_text(stream, "GET /v1/watch?key=k HTTP/1.1\r\n" H "\r\n"
                      "GET /v1/kv/k HTTP/1.1\r\n" H "\r\n"
                      "GET /v1/kv?count_only HTTP/1.1\r\n" H "\r\n");
    send_text(stream, "GET /v1/kv/k HTTP/1.1\r\n" H "\r\n");
    assert_int_equal(rig->node->submitted_count, before + 1);
    put(rig, "k", "v");
    show(rig);
    assert_string_equal(ids(stream), "2 ");

    struct env_stream *refused = memory_dial(rig->env);
    send_text(refused, "GET /v1/watch?key=k&from=9 HTTP/1.1\r\n" H "\r\n"
                       "GET /v1/kv/k HTTP/1.1\r\n" H "\r\n");
    memory_run(rig->env);
    assert_has(received(refused), "urn:minikv:revision-future");
    assert_has(received(refused), "\r\n\r\n{\"key\":\"k\",\"value\":\"v\","); /* it was none */
    memory_hang_up(stream, ENV_END_EOF);
    assert_int_equal(watch_stats_of(rig).watchers_count, 0);
}

static void a_client_that_goes_is_forgotten(void **state)
{
    struct rig *rig = *state;
    static const enum env_end ends[] = {ENV_END_EOF, ENV_END_RESET};
    for (size_t i = 0; i < ARRAY_COUNT(ends); i++) {
        struct env_stream *stream = watch(rig, "/v1/watch?key=k", "Connection: close\r\n");
        struct env_stream *poll = watch(rig, "/v1/watch?key=k&poll_ms=50000", "");
        assert_int_equal(watch_stats_of(rig).watchers_count, 2);
        memory_hang_up(stream, ends[i]);
        memory_hang_up(poll, ends[i]);
        assert_int_equal(watch_stats_of(rig).watchers_count, 0);
        assert_int_equal(watch_stats_of(rig).groups_count, 0);
        put(rig, "k", "v");
        show(rig);
    }
    assert_int_equal(watch_stats_of(rig).behind_count, 0);
}

static void metrics_count_watchers_and_events(void **state)
{
    struct rig *rig = *state;
    (void)watch(rig, "/v1/watch?key=k", "");
    (void)watch(rig, "/v1/watch?key=k", "");
    put(rig, "k", "v");
    show(rig);
    const char *text = ask(rig, "GET /metrics HTTP/1.1\r\n" H "\r\n");
    assert_has(text, "\nminikv_watchers 2\n");
    assert_has(text, "\nminikv_watchers_behind 0\n");
    assert_has(text, "\nminikv_watch_filters 1\n");
    assert_has(text, "\nminikv_watch_events_total 2\n");
    assert_has(text, "\nminikv_watch_compacted_total 0\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(events_come_with_id_kind_and_data),
        RIG_TEST(previous_values_come_on_request),
        RIG_TEST(a_watch_begins_at_a_revision_of_the_past),
        RIG_TEST(events_of_one_revision_are_numbered_but_the_last),
        RIG_TEST(a_client_goes_on_behind_the_id_it_has_seen),
        RIG_TEST(ids_that_no_event_has_are_refused),
        RIG_TEST(one_kind_of_event_may_be_asked_for),
        RIG_TEST(ranges_hold_what_is_between_their_bounds),
        RIG_TEST(lines_of_json_say_the_same),
        RIG_TEST(bytes_that_are_no_text_come_as_base64),
        RIG_TEST(a_silent_watch_hears_how_far_it_is),
        RIG_TEST(what_is_compacted_at_the_start_is_refused_with_what_is_left),
        RIG_TEST(requests_that_make_no_sense_are_refused),
        RIG_TEST(keys_of_any_legal_length_can_be_watched),
        RIG_TEST(a_stale_watch_asks_nobody),
        RIG_TEST(head_tells_the_revision_and_watches_nothing),
        RIG_TEST(http_1_0_gets_a_body_that_ends_with_the_connection),
        RIG_TEST(a_stop_tells_and_ends_all_watches),
        RIG_TEST(a_watch_at_a_node_that_is_cut_off_is_sent_elsewhere),
        RIG_TEST(whoever_asks_while_the_server_stops_is_sent_elsewhere),
        RIG_TEST(what_is_asked_for_behind_a_watch_is_not_begun),
        RIG_TEST(a_client_that_goes_is_forgotten),
        RIG_TEST(metrics_count_watchers_and_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
