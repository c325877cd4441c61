/* Listings as lines, and counts: walks over more keys than one turn of the loop may look at. */
#include "http_fixture.h"

#define LINES "Accept: application/x-ndjson\r\n"

/* ---- given ---- */

static void put(struct rig *rig, const char *key, const char *value)
{
    node_double_put(rig->node, bytes_of_text(key), bytes_of_text(value));
}

static void put_many(struct rig *rig, const char *prefix, size_t count)
{
    char key[32];
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(key, sizeof key, "%s%06zu", prefix, i);
        put(rig, key, "v");
    }
}

static void compact(struct rig *rig)
{
    struct kv_stats stats;
    kv_stats(rig->node->kv, &stats);
    node_double_compact(rig->node, stats.revision);
}

/* ---- when ---- */

static void give(struct env_stream *stream, const char *target, const char *headers)
{
    struct buf request;
    buf_init(&request, LIMIT_TARGET_BYTES);
    buf_printf(&request, "GET %s HTTP/1.1\r\n" H "%s\r\n", target, headers);
    memory_give(stream, buf_bytes(&request));
    buf_release(&request);
}

/* One turn of the loop: the timers that are due at its beginning, and the tasks of all that. */
static void turn(struct env *env)
{
    struct env_timer *due[MEMORY_TIMERS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < MEMORY_TIMERS_MAX; i++)
        if (env->timers[i] != NULL && env->timers[i]->deadline <= env->now)
            due[count++] = env->timers[i];
    for (size_t i = 0; i < count; i++) {
        env_timer_set(env, due[i], TIME_NEVER);
        due[i]->on_fire(due[i]->ctx);
    }
    while (!list_is_empty(&env->tasks)) {
        struct env_task *task = CONTAINER_OF(env->tasks.next, struct env_task, link);
        list_remove(&task->link);
        task->is_posted = false;
        task->on_run(task->ctx);
    }
}

/* How many more than the one in which the request is read, until there is a whole reply more. */
static int turns_until_answered(struct rig *rig, struct env_stream *stream)
{
    size_t before = stream->sent.count;
    for (int i = 0; i < 1000; i++) {
        turn(rig->env);
        if (stream->sent.count != before)
            return i;
    }
    fail_msg("no answer");
    return 0;
}

static struct env_stream *lines_of(struct rig *rig, const char *target)
{
    struct env_stream *stream = memory_dial(rig->env);
    give(stream, target, LINES);
    memory_run(rig->env);
    return stream;
}

/* ---- then ---- */

/* The chunks of the first reply, put together; `out_rest`: what follows it. False: it goes on. */
static bool body_of(const char *reply, struct buf *out_body, const char **out_rest)
{
    const char *at = strstr(reply, "\r\n\r\n");
    assert_non_null(at);
    assert_has(reply, "\r\nTransfer-Encoding: chunked\r\n");
    buf_init(out_body, SIZE_MAX);
    for (at += 4; *at != '\0';) {
        char *end;
        size_t count = strtoul(at, &end, 16);
        assert_int_equal(strncmp(end, "\r\n", 2), 0);
        buf_put(out_body, bytes_of(end + 2, count));
        at = end + 2 + count;
        assert_int_equal(strncmp(at, "\r\n", 2), 0);
        at += 2;
        *out_rest = at;
        if (count == 0)
            return true;
    }
    return false;
}

static size_t lines_count(const struct buf *body)
{
    size_t count = 0;
    for (size_t i = 0; i < body->count; i++)
        count += body->data[i] == '\n';
    return count;
}

/* The whole reply is such a listing, and these are its lines. */
static void assert_lines(struct env_stream *stream, struct buf *out_body)
{
    const char *rest;
    assert_int_equal(code_of(received(stream)), 200);
    assert_has(received(stream), "\r\nContent-Type: application/x-ndjson\r\n");
    assert_true(body_of(received(stream), out_body, &rest));
    assert_string_equal(rest, "");
}

static const char *last_line(struct buf *body)
{
    const char *text = buf_text(body);
    size_t at = body->count - 1;
    while (at > 0 && text[at - 1] != '\n')
        at--;
    return text + at;
}

/* ---- lines ---- */

static void a_listing_comes_as_one_line_for_each_key_and_one_that_ends_it(void **state)
{
    struct rig *rig = *state;
    put(rig, "a", "x\n");
    put(rig, "b", "y");
    node_double_put(rig->node, BYTES_LITERAL("\xff"), BYTES_LITERAL("z"));
    struct buf body;

    assert_lines(lines_of(rig, "/v1/kv"), &body);
    assert_string_equal(
        buf_text(&body),
        "{\"key\":\"a\",\"value\":\"x\\n\",\"create_revision\":2,\"mod_revision\":2,\"version\":1,"
        "\"lease\":0}\n"
        "{\"key\":\"b\",\"value\":\"y\",\"create_revision\":3,\"mod_revision\":3,\"version\":1,"
        "\"lease\":0}\n"
        "{\"key_base64\":\"/w==\",\"value\":\"z\",\"create_revision\":4,\"mod_revision\":4,"
        "\"version\":1,\"lease\":0}\n"
        "{\"next\":null,\"revision\":4,\"count\":3}\n");
    buf_release(&body);

    assert_lines(lines_of(rig, "/v1/kv?order=desc&limit=1&keys_only&consistency=stale"), &body);
    assert_string_equal(buf_text(&body),
                        "{\"key_base64\":\"/w==\",\"create_revision\":4,\"mod_revision\":4,"
                        "\"version\":1,\"lease\":0}\n"
                        "{\"next_base64\":\"/w==\",\"revision\":4,\"count\":1}\n");
    buf_release(&body);

    assert_lines(lines_of(rig, "/v1/kv?prefix=none"), &body);
    assert_string_equal(buf_text(&body), "{\"next\":null,\"revision\":4,\"count\":0}\n");
    buf_release(&body);
    assert_lines(lines_of(rig, "/v1/kv?rev=2&limit=1"), &body);
    assert_string_equal(last_line(&body), "{\"next\":null,\"revision\":2,\"count\":1}\n");
    buf_release(&body);
    assert_int_equal(rig->http->walks.count, 0);
}

static void a_listing_is_as_long_as_its_range(void **state)
{
    struct rig *rig = *state;
    put_many(rig, "a", 2 * LIMIT_LINES);
    put_many(rig, "b", LIMIT_LINES + 7);
    struct buf body;

    assert_lines(lines_of(rig, "/v1/kv"), &body);
    assert_int_equal(lines_count(&body), 3 * LIMIT_LINES + 8);
    assert_string_equal(last_line(&body), "{\"next\":null,\"revision\":3008,\"count\":3007}\n");
    buf_release(&body);
    assert_lines(lines_of(rig, "/v1/kv?limit=2500"), &body);
    assert_string_equal(last_line(&body),
                        "{\"next\":\"b000499\",\"revision\":3008,\"count\":2500}\n");
    buf_release(&body);
    assert_lines(lines_of(rig, "/v1/kv?prefix=a&limit=2000"), &body); /* just all */
    assert_string_equal(last_line(&body), "{\"next\":null,\"revision\":3008,\"count\":2000}\n");
    buf_release(&body);
}

static void writes_meanwhile_are_not_in_a_listing(void **state)
{
    struct rig *rig = *state;
    put_many(rig, "k", 10 * LIMIT_LINES);
    struct env_stream *stream = memory_dial(rig->env);
    struct buf body;

    give(stream, "/v1/kv?keys_only", LINES);
    for (int i = 0; rig->http->walks.count != 0 || i == 0; i++) {
        char key[32];
        turn(rig->env);
        (void)snprintf(key, sizeof key, "k%06d+", 997 * i % 10000);
        put(rig, key, "new");
        (void)snprintf(key, sizeof key, "k%06d", 9999 - i);
        node_double_do(rig->node,
                       &(struct command){.op = COMMAND_DELETE, .key = bytes_of_text(key)});
    }
    turn(rig->env);

    assert_lines(stream, &body);
    assert_int_equal(lines_count(&body), 10 * LIMIT_LINES + 1);
    assert_string_equal(last_line(&body), "{\"next\":null,\"revision\":10001,\"count\":10000}\n");
    assert_null(strstr(buf_text(&body), "+\""));
    buf_release(&body);
}

static void a_revision_that_is_not_there_is_refused_before_any_line(void **state)
{
    struct rig *rig = *state;
    put_many(rig, "k", 3);
    assert_problem(received(lines_of(rig, "/v1/kv?rev=5")), 400, "revision-future");
    compact(rig);
    assert_problem(received(lines_of(rig, "/v1/kv?rev=3")), 410, "compacted");
    assert_has(received(lines_of(rig, "/v1/kv?rev=3")), "\r\nX-MiniKV-Compacted: 4\r\n");
    assert_int_equal(rig->http->walks.count, 0);
}

static void compaction_that_overtakes_a_listing_is_its_last_line(void **state)
{
    struct rig *rig = *state;
    put_many(rig, "k", 4 * LIMIT_LINES);
    struct env_stream *stream = memory_dial(rig->env);
    stream->taken = 0;
    give(stream, "/v1/kv", LINES);
    memory_run(rig->env);
    put(rig, "k000000", "changed"); /* revision 4002 */
    compact(rig);
    give(stream, "/livez", "");
    while (stream->taken != stream->sent.count)
        memory_take(stream, SIZE_MAX / 2);

    struct buf body;
    const char *rest = "";
    assert_true(body_of(received(stream), &body, &rest));
    assert_true(lines_count(&body) > 1 && lines_count(&body) < 4 * LIMIT_LINES);
    assert_string_equal(last_line(&body),
                        "{\"type\":\"urn:minikv:compacted\",\"title\":\"the revision has been "
                        "compacted\",\"status\":410,\"detail\":\"revision 4001 is not kept any "
                        "more; the oldest that can be read is 4002\",\"effect\":\"none\"}\n");
    assert_has(rest, "\r\n\r\nok\n"); /* the connection is still good */
    buf_release(&body);
}

static void a_slow_client_costs_what_is_queued_for_it(void **state)
{
    struct rig *rig = *state;
    put_many(rig, "k", 20 * LIMIT_LINES);
    struct env_stream *stream = memory_dial(rig->env);
    const size_t most = LIMIT_SOURCE_QUEUE_BYTES + LIMIT_LINES_BYTES + 1024;
    stream->taken = 0;
    give(stream, "/v1/kv", LINES);
    memory_run(rig->env);
    uint64_t slices = rig->http->walks.slices_count;

    for (int i = 0; i < 10; i++) {
        turn(rig->env);
        assert_true(env_stream_queued(stream) <= most && rig->http->replies_bytes <= most);
    }
    assert_int_equal(rig->http->walks.slices_count, slices);
    while (rig->http->walks.count != 0) {
        memory_take(stream, LIMIT_LINES_BYTES);
        assert_true(env_stream_queued(stream) <= most);
    }
    struct buf body;
    assert_lines(stream, &body);
    assert_int_equal(lines_count(&body), 20 * LIMIT_LINES + 1);
    buf_release(&body);
}

static void lines_of_large_values_come_one_by_one(void **state)
{
    struct rig *rig = *state;
    struct buf value;
    buf_init(&value, LIMIT_VALUE_BYTES);
    buf_put_zeros(&value, LIMIT_VALUE_BYTES); /* as JSON six times as long */
    for (uint8_t i = 0; i < 5; i++)
        node_double_put(rig->node, bytes_of(&i, 1), buf_bytes(&value));
    buf_release(&value);
    struct env_stream *stream = memory_dial(rig->env);
    stream->taken = 0;
    give(stream, "/v1/kv", LINES);
    memory_run(rig->env);

    assert_true(env_stream_queued(stream) < LIMIT_REPLY_BYTES);
    stream->taken = SIZE_MAX;
    stream->handler->on_drained(stream->ctx);
    memory_run(rig->env);
    struct buf body;
    assert_lines(stream, &body);
    assert_int_equal(lines_count(&body), 6);
    buf_release(&body);
}

static void a_client_that_leaves_ends_its_listing(void **state)
{
    struct rig *rig = *state;
    put_many(rig, "k", 20 * LIMIT_LINES);
    for (int is_count = 0; is_count < 2; is_count++)
        for (int turns = 0; turns < 4; turns++) {
            struct env_stream *stream = memory_dial(rig->env);
            give(stream, is_count ? "/v1/kv?count_only" : "/v1/kv", LINES);
            for (int i = 0; i < turns; i++)
                turn(rig->env);
            memory_hang_up(stream, ENV_END_RESET);
            assert_int_equal(rig->http->walks.count, 0);
            assert_true(list_is_empty(&rig->http->walks.asking));
        }
}

static void old_clients_and_head_are_served_too(void **state)
{
    struct rig *rig = *state;
    put(rig, "k", "v");
    const char *old = ask(rig, "GET /v1/kv?keys_only HTTP/1.0\r\n" H LINES "\r\n");
    assert_has(old, "\r\nConnection: close\r\n\r\n{\"key\":\"k\",\"create_revision\":2,");
    assert_has(old, "}\n{\"next\":null,\"revision\":2,\"count\":1}\n");
    assert_lacks(old, "chunked");
    const char *head = ask(rig, "HEAD /v1/kv HTTP/1.1\r\n" H LINES "\r\n");
    assert_has(head, "\r\nContent-Type: application/x-ndjson\r\n");
    assert_string_equal(strstr(head, "\r\n\r\n"), "\r\n\r\n");
    assert_int_equal(rig->http->walks.count, 0);
}

static void a_server_that_stops_says_so_in_the_last_line(void **state)
{
    struct rig *rig = *state;
    put_many(rig, "k", 20 * LIMIT_LINES);
    struct env_stream *stream = memory_dial(rig->env);
    stream->taken = 0;
    give(stream, "/v1/kv", LINES);
    memory_run(rig->env);

    http_stop(rig->http, NULL, NULL);
    stream->taken = SIZE_MAX;
    stream->handler->on_drained(stream->ctx);
    memory_advance(rig->env, 1000000);

    struct buf body;
    assert_lines(stream, &body);
    assert_has(last_line(&body), "{\"type\":\"urn:minikv:shutting-down\",");
    assert_true(stream->is_finished);
    buf_release(&body);
}

/* ---- turns ---- */

/* Of nothing but looks. */
enum { TURN_SLICES = LIMIT_TURN_BYTES / (LIMIT_LOOKS * TURN_LOOK_BYTES) };

static void a_count_of_more_than_a_slice_goes_on_in_later_turns(void **state)
{
    struct rig *rig = *state;
    put_many(rig, "a", (1 + TURN_SLICES) * LIMIT_LOOKS);
    put_many(rig, "b", 1);
    struct env_stream *stream = memory_dial(rig->env);
    give(stream, "/v1/kv?count_only", ""); /* a slice at once, then as many as a turn may have */
    assert_int_equal(turns_until_answered(rig, stream), 2);
    assert_has(received(stream),
               "{\"items\":[],\"next\":null,\"revision\":36866,\"count\":36865}\n");

    give(stream, "/v1/kv?count_only&prefix=a", ""); /* just as many */
    assert_int_equal(turns_until_answered(rig, stream), 1);
    assert_has(received(stream), "\"count\":36864}\n");
    give(stream, "/v1/kv?count_only&end=a004096", "");
    assert_int_equal(turns_until_answered(rig, stream), 0);
    give(stream, "/v1/kv?count_only&end=a004097", "");
    assert_int_equal(turns_until_answered(rig, stream), 1);
}

static void writes_meanwhile_are_not_counted(void **state)
{
    struct rig *rig = *state;
    put_many(rig, "a", 2 * LIMIT_LOOKS + 1);
    struct env_stream *stream = memory_dial(rig->env);
    give(stream, "/v1/kv?count_only", "");
    turn(rig->env);
    assert_string_equal(received(stream), "");
    put(rig, "b", "meanwhile");
    memory_run(rig->env);
    assert_has(received(stream), "\"revision\":8194,\"count\":8193}\n");
}

/* ---- keys and versions that are only passed over ---- */

/* Keys that were made and deleted, and one behind them that is there. */
static void put_tombstones(struct rig *rig, size_t count)
{
    char key[32];
    put_many(rig, "t", count);
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(key, sizeof key, "t%06zu", i);
        node_double_do(rig->node,
                       &(struct command){.op = COMMAND_DELETE, .key = bytes_of_text(key)});
    }
}

static void deleted_keys_are_passed_over_in_turns(void **state)
{
    enum { TURNS = 4, DELETED = TURNS * TURN_SLICES * LIMIT_LOOKS };
    static const char *const targets[] = {"/v1/kv?prefix=t&limit=1", "/v1/kv?order=desc&limit=1",
                                          "/v1/kv?start=t&count_only"};
    struct rig *rig = *state;
    put(rig, "a", "first");
    put_tombstones(rig, DELETED);
    for (size_t i = 0; i < ARRAY_COUNT(targets); i++) {
        struct env_stream *stream = memory_dial(rig->env), *other = memory_dial(rig->env);
        give(stream, targets[i], "");
        for (int turns_count = 0; *received(stream) == '\0'; turns_count++) {
            give(other, "/v1/kv/a", "");
            turn(rig->env);
            assert_in_range(replies_count(received(other)), turns_count, turns_count + 1);
            assert_true(turns_count <= TURNS + 2);
        }
        assert_true(replies_count(received(other)) >= TURNS);
        assert_has(received(stream), i == 1 ? "{\"items\":[{\"key\":\"a\"," : "{\"items\":[],");
        assert_has(received(stream), "\"next\":null,");
    }
    assert_int_equal(rig->http->walks.count, 0); /* there may be any number of them */

    struct buf body;
    assert_lines(lines_of(rig, "/v1/kv?start=t"), &body);
    assert_string_equal(last_line(&body), "{\"next\":null,\"revision\":262146,\"count\":0}\n");
    assert_true(rig->http->walks.slices_count >= DELETED / LIMIT_LOOKS);
    buf_release(&body);
}

static void a_page_is_the_same_however_many_turns_it_takes(void **state)
{
    struct rig *rig = *state;
    put(rig, "s", "before");
    put_tombstones(rig, 3 * LIMIT_LOOKS); /* slices without an item between them */
    put(rig, "u", "between");
    put(rig, "t000000", "again");
    struct kv_stats stats;
    kv_stats(rig->node->kv, &stats);
    uint64_t revision = stats.revision;
    char wanted[64];

    const char *page = ask(rig, "GET /v1/kv?keys_only HTTP/1.1\r\n" H "\r\n");
    assert_has(page, "{\"items\":[{\"key\":\"s\",");
    assert_has(page, "},{\"key\":\"t000000\",");
    assert_has(page, "},{\"key\":\"u\",");
    (void)snprintf(wanted, sizeof wanted, "}],\"next\":null,\"revision\":%llu}\n",
                   (unsigned long long)revision);
    assert_has(page, wanted);
    page = ask(rig, "GET /v1/kv?keys_only&limit=2 HTTP/1.1\r\n" H "\r\n");
    assert_has(page, "],\"next\":\"t000000\","); /* it was listed in the slice before */
    assert_has(page, "\r\nLink: </v1/kv?keys_only&limit=2&after=t000000&rev=");
    page = ask(rig, "GET /v1/kv?limit=2&after=s HTTP/1.1\r\n" H "\r\n");
    assert_has(page, "],\"next\":null,");
    page = ask(rig, "HEAD /v1/kv HTTP/1.1\r\n" H "\r\n");
    assert_string_equal(strstr(page, "\r\n\r\n"), "\r\n\r\n");
}

static void a_page_that_compaction_overtakes_begins_anew(void **state)
{
    struct rig *rig = *state;
    put(rig, "a", "kept");
    put_tombstones(rig, 4 * LIMIT_LOOKS);
    struct env_stream *stream = memory_dial(rig->env), *old = memory_dial(rig->env);
    struct kv_stats stats;
    kv_stats(rig->node->kv, &stats);
    char target[64];
    (void)snprintf(target, sizeof target, "/v1/kv?rev=%llu", (unsigned long long)stats.revision);

    give(stream, "/v1/kv", "");
    give(old, target, "");
    turn(rig->env);
    put(rig, "aa", "meanwhile");
    compact(rig);
    memory_run(rig->env);

    assert_has(received(stream), "[{\"key\":\"a\",\"value\":\"kept\",");
    assert_has(received(stream), "},{\"key\":\"aa\",\"value\":\"meanwhile\",");
    assert_int_equal(strstr(received(stream), "\"a\"") == NULL, 0);
    assert_problem(received(old), 410, "compacted");
    assert_int_equal(rig->http->replies_bytes, 0);
}

static void a_page_that_is_overtaken_again_and_again_is_refused(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = memory_dial(rig->env);
    put_many(rig, "k", 10);
    struct buf value;
    buf_init(&value, LIMIT_VALUE_BYTES);
    buf_put_zeros(&value, LIMIT_PAGE_SLICE_BYTES / 6); /* each a slice of its own */
    for (uint8_t i = 0; i < 10; i++)
        node_double_put(rig->node, bytes_of(&i, 1), buf_bytes(&value));
    buf_release(&value);

    give(stream, "/v1/kv", "");
    for (int i = 0; i < 20 && *received(stream) == '\0'; i++) {
        turn(rig->env);
        put(rig, "k", "meanwhile");
        compact(rig);
    }
    assert_problem(received(stream), 410, "compacted");
    assert_has(ask(rig, "GET /v1/kv HTTP/1.1\r\n" H "\r\n"), "\"k000009\"");
    assert_int_equal(rig->http->replies_bytes, 0);
}

/* What is made of it counts like any reply that is not taken. */
static void a_page_under_way_counts_until_it_is_sent_or_its_client_has_left(void **state)
{
    const size_t slice = LIMIT_PAGE_SLICE_BYTES, slices = LIMIT_TURN_BYTES / slice;
    struct rig *rig = *state;
    struct buf value;
    buf_init(&value, LIMIT_VALUE_BYTES);
    buf_put_zeros(&value, LIMIT_PAGE_SLICE_BYTES / 6);
    for (uint8_t i = 0; i < 10; i++)
        node_double_put(rig->node, bytes_of(&i, 1), buf_bytes(&value));
    buf_release(&value);
    for (int leaves = 0; leaves < 2; leaves++) {
        struct env_stream *stream = memory_dial(rig->env);
        give(stream, "/v1/kv?consistency=stale", "");
        assert_in_range(rig->http->replies_bytes, slice, slice + 512); /* one at once … */
        turn(rig->env);
        assert_in_range(rig->http->replies_bytes, (1 + slices) * slice,
                        (1 + slices) * (slice + 512));
        if (leaves)
            memory_hang_up(stream, ENV_END_RESET);
        else
            memory_run(rig->env);
        assert_int_equal(rig->http->replies_bytes, 0);
    }
}

static void a_version_is_looked_for_like_a_key(void **state)
{
    enum { KEYS = 128, VERSIONS = 2 * LIMIT_LOOKS / KEYS };
    struct rig *rig = *state;
    put_many(rig, "k", KEYS);
    for (int i = 0; i < VERSIONS; i++)
        put_many(rig, "k", KEYS);
    struct env_stream *stream = memory_dial(rig->env);
    give(stream, "/v1/kv?count_only", "");
    assert_int_equal(turns_until_answered(rig, stream), 0);
    give(stream, "/v1/kv?count_only&rev=129", "");
    int turns_count = turns_until_answered(rig, stream);
    assert_true(turns_count >= 1);
    assert_has(received(stream), "\"revision\":129,\"count\":128}\n");
}

static void compaction_that_overtakes_a_count_refuses_it(void **state)
{
    struct rig *rig = *state;
    put_many(rig, "k", 2 * LIMIT_LOOKS + 1);
    struct env_stream *stream = memory_dial(rig->env);
    give(stream, "/v1/kv?count_only", "");
    turn(rig->env);
    put(rig, "k", "meanwhile");
    compact(rig);
    memory_run(rig->env);

    assert_problem(received(stream), 410, "compacted");
    assert_int_equal(rig->http->walks.count, 0);
}

static void a_turn_of_the_loop_has_few_slices_and_answers_others(void **state)
{
    enum { KEYS = 5000, LISTINGS = 7, COUNTS = 3, MANY = LISTINGS + COUNTS };
    struct rig *rig = *state;
    put_many(rig, "k", KEYS);
    struct env_stream *streams[MANY], *other = memory_dial(rig->env);
    size_t answers = 0, most_lines = 0;
    for (int i = 0; i < MANY; i++) {
        streams[i] = memory_dial(rig->env);
        give(streams[i], i < LISTINGS ? "/v1/kv?keys_only" : "/v1/kv?count_only",
             i < LISTINGS ? LINES : "");
    }

    turn(rig->env);
    while (rig->http->walks.count != 0) {
        uint64_t slices = rig->http->walks.slices_count;
        size_t bytes = 0, now = 0;
        for (int i = 0; i < MANY; i++)
            bytes += streams[i]->sent.count;
        give(other, "/v1/kv/k000000", "");
        turn(rig->env);
        assert_true(rig->http->walks.slices_count - slices <= LIMIT_WALK_SLICES);
        for (int i = 0; i < MANY; i++)
            now += streams[i]->sent.count;
        assert_true(now - bytes <= LIMIT_WALK_SLICES * (LIMIT_LINES_BYTES + 1024));
        assert_int_equal(replies_count(received(other)), ++answers); /* in the same turn */
        for (int i = 0; i < LISTINGS; i++) /* none is far ahead of another */
            for (int j = 0; j < LISTINGS; j++)
                most_lines = MAX(most_lines, streams[i]->sent.count - MIN(streams[i]->sent.count,
                                                                          streams[j]->sent.count));
    }
    turn(rig->env);

    assert_true(answers >= LISTINGS * KEYS / LIMIT_LINES / LIMIT_WALK_SLICES);
    assert_true(most_lines <= 2 * LIMIT_LINES_BYTES);
    for (int i = 0; i < LISTINGS; i++) {
        struct buf body;
        assert_lines(streams[i], &body);
        assert_int_equal(lines_count(&body), KEYS + 1);
        buf_release(&body);
    }
    for (int i = LISTINGS; i < MANY; i++)
        assert_has(received(streams[i]), "\"count\":5000}\n");
}

static void so_many_walks_and_no_more_are_under_way(void **state)
{
    struct rig *rig = *state;
    struct env_stream *streams[LIMIT_WALKS];
    put_many(rig, "k", 5 * LIMIT_LINES);
    for (int i = 0; i < LIMIT_WALKS; i++) {
        streams[i] = memory_dial(rig->env);
        streams[i]->taken = 0;
        give(streams[i], "/v1/kv", LINES);
        memory_run(rig->env);
    }

    assert_problem(received(lines_of(rig, "/v1/kv")), 503, "busy");
    assert_int_equal(code_of(ask(rig, "GET /v1/kv?count_only HTTP/1.1\r\n" H "\r\n")), 200);
    assert_int_equal(code_of(ask(rig, "GET /v1/kv HTTP/1.1\r\n" H "\r\n")), 200); /* a page */

    memory_hang_up(streams[0], ENV_END_EOF);
    assert_int_equal(code_of(received(lines_of(rig, "/v1/kv"))), 200);
    assert_int_equal(rig->http->walks.count, LIMIT_WALKS - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(a_listing_comes_as_one_line_for_each_key_and_one_that_ends_it),
        RIG_TEST(a_listing_is_as_long_as_its_range),
        RIG_TEST(writes_meanwhile_are_not_in_a_listing),
        RIG_TEST(a_revision_that_is_not_there_is_refused_before_any_line),
        RIG_TEST(compaction_that_overtakes_a_listing_is_its_last_line),
        RIG_TEST(a_slow_client_costs_what_is_queued_for_it),
        RIG_TEST(lines_of_large_values_come_one_by_one),
        RIG_TEST(a_client_that_leaves_ends_its_listing),
        RIG_TEST(old_clients_and_head_are_served_too),
        RIG_TEST(a_server_that_stops_says_so_in_the_last_line),
        RIG_TEST(a_count_of_more_than_a_slice_goes_on_in_later_turns),
        RIG_TEST(writes_meanwhile_are_not_counted),
        RIG_TEST(deleted_keys_are_passed_over_in_turns),
        RIG_TEST(a_page_is_the_same_however_many_turns_it_takes),
        RIG_TEST(a_page_that_compaction_overtakes_begins_anew),
        RIG_TEST(a_page_that_is_overtaken_again_and_again_is_refused),
        RIG_TEST(a_page_under_way_counts_until_it_is_sent_or_its_client_has_left),
        RIG_TEST(a_version_is_looked_for_like_a_key),
        RIG_TEST(compaction_that_overtakes_a_count_refuses_it),
        RIG_TEST(a_turn_of_the_loop_has_few_slices_and_answers_others),
        RIG_TEST(so_many_walks_and_no_more_are_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
