/* Listings, counts and pages of more keys than one turn of the loop may look at. */
#include "listing_fixture.h"

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
