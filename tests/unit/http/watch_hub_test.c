/* Many watchers at once, slow ones, and a row of events that moves on under them. */
#include "watch_fixture.h"

#include "base/prng.h"

static void take_all(struct env_stream *stream)
{
    for (size_t before = SIZE_MAX; before != stream->sent.count;) {
        before = stream->sent.count;
        memory_take(stream, stream->sent.count - stream->taken);
    }
}

static void an_event_is_encoded_once_for_all_who_want_it_in_this_form(void **state)
{
    struct rig *rig = *state;
    struct env_stream *streams[60];
    for (size_t i = 0; i < ARRAY_COUNT(streams); i++) {
        static const char *const targets[] = {"/v1/watch?key=k1", "/v1/watch?prefix=k",
                                              "/v1/watch?start=a&end=z"};
        streams[i] = watch(rig, targets[i % 3], "");
    }
    assert_int_equal(watch_stats_of(rig).groups_count, 3);
    for (int i = 0; i < 10; i++)
        put(rig, "k1", "v");
    show(rig);

    assert_int_equal(watch_stats_of(rig).encoded_count, 10);
    assert_int_equal(watch_stats_of(rig).events_sent, 600);
    for (size_t i = 0; i < ARRAY_COUNT(streams); i++)
        assert_string_equal(ids(streams[i]), "2 3 4 5 6 7 8 9 10 11 ");

    (void)watch(rig, "/v1/watch?key=k1&prev", "");
    put(rig, "k1", "v");
    show(rig);
    assert_int_equal(watch_stats_of(rig).encoded_count, 12); /* with and without */
}

static void watchers_of_other_keys_cost_nothing(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = watch(rig, "/v1/watch?key=a", "");
    size_t sends = stream->sends_count;
    for (int i = 0; i < 100; i++)
        put(rig, "b", "v");
    show(rig);
    assert_int_equal(watch_stats_of(rig).encoded_count, 0);
    assert_int_equal(stream->sends_count, sends);
    assert_int_equal(watch_stats_of(rig).behind_count, 0);
}

/* One after the other, more than a queue holds. */
static void put_large(struct rig *rig, unsigned count)
{
    char value[10001];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    for (unsigned i = 0; i < count; i++) {
        put(rig, "k", value);
        show(rig);
    }
}

static void a_slow_reader_keeps_its_place_and_no_more_memory_than_its_queue(void **state)
{
    struct rig *rig = *state;
    struct env_stream *slow = watch(rig, "/v1/watch?key=k", "");
    struct env_stream *quick = watch(rig, "/v1/watch?key=k", "");
    slow->taken = slow->sent.count;
    put_large(rig, 80);

    assert_int_equal(count_of(body(quick), "event: put"), 80);
    assert_true(slow->sent.count - slow->taken < 2 * LIMIT_SOURCE_QUEUE_BYTES);
    assert_int_equal(watch_stats_of(rig).behind_count, 1);
    take_all(slow);
    assert_string_equal(body(slow), body(quick));
    assert_int_equal(watch_stats_of(rig).behind_count, 0);
    put(rig, "k", "new");
    show(rig);
    take_all(slow);
    assert_string_equal(body(slow), body(quick));
}

static void a_slow_reader_that_compaction_overtakes_is_told_and_ended(void **state)
{
    struct rig *rig = *state;
    struct env_stream *slow = watch(rig, "/v1/watch?key=k", "");
    struct env_stream *quick = watch(rig, "/v1/watch?key=k", "");
    slow->taken = slow->sent.count;
    put_large(rig, 40);
    node_double_compact(rig->node, revision_of(rig));
    show(rig);
    take_all(slow);

    assert_true(count_of(body(slow), "event: put") < 40);
    assert_has(body(slow), "event: error\ndata: {\"type\":\"urn:minikv:compacted\",");
    assert_true(is_whole(slow));
    assert_int_equal(watch_stats_of(rig).compacted_count, 1);
    assert_int_equal(watch_stats_of(rig).watchers_count, 1);
    assert_int_equal(count_of(body(quick), "event: put"), 40);
    put(rig, "k", "more");
    show(rig);
    assert_int_equal(count_of(body(quick), "event: put"), 41);
    send_text(slow, "GET /livez HTTP/1.1\r\n" H "\r\n"); /* the connection is whole */
    take_all(slow);
    assert_has(received(slow), "\r\n\r\nok\n");
}

/* All that is applied in one turn is compacted in it too. */
static void level_watchers_may_be_overtaken_within_a_turn(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = watch(rig, "/v1/watch?key=k", "");
    struct env_stream *other = watch(rig, "/v1/watch?start=a&end=b", "");
    struct env_stream *poll = watch(rig, "/v1/watch?key=k&poll_ms=1000", "");
    put(rig, "k", "1");
    put(rig, "k", "2");
    node_double_compact(rig->node, 3);
    show(rig);
    assert_has(body(stream), "urn:minikv:compacted");
    assert_has(body(other), "urn:minikv:compacted");
    assert_problem(received(poll), 410, "compacted");
    assert_int_equal(watch_stats_of(rig).compacted_count, 3);
    assert_int_equal(watch_stats_of(rig).watchers_count, 0);

    struct env_stream *next = watch(rig, "/v1/watch?key=k", "");
    put(rig, "k", "3");
    show(rig);
    assert_string_equal(ids(next), "4 ");
}

/* The same state, as another node would send it: its row of events has other numbers. */
static void replace_state(struct rig *rig)
{
    struct buf image;
    struct kv *kv;
    struct kv_options options = {0};
    buf_init(&image, SIZE_MAX);
    kv_encode(rig->node->kv, &image);
    assert_int_equal(kv_decode(buf_bytes(&image), &options, &kv), ST_OK);
    buf_release(&image);
    kv_free(rig->node->kv);
    rig->node->kv = kv;
    rig->node->kv_epoch++;
}

static void another_state_is_gone_on_with_at_the_same_place(void **state)
{
    struct rig *rig = *state;
    char value[10001];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    for (int i = 0; i < 5; i++)
        put(rig, "x", "1");
    node_double_compact(rig->node, 5); /* numbers begin anew in the other state */
    struct env_stream *quick = watch(rig, "/v1/watch?prefix=k", "");
    struct env_stream *slow = watch(rig, "/v1/watch?prefix=k", "");
    slow->taken = slow->sent.count;
    for (int i = 0; i < 10; i++) {
        put_together(rig, "k", 5, value);
        show(rig);
    }
    assert_int_equal(watch_stats_of(rig).behind_count, 1);

    put(rig, "k0", "seen by nobody yet");
    replace_state(rig);
    put(rig, "k1", "in the other state");
    show(rig);
    take_all(slow);

    assert_int_equal(count_of(body(quick), "event: put"), 52);
    assert_string_equal(body(slow), body(quick));
    put(rig, "k2", "later");
    show(rig);
    take_all(slow);
    assert_int_equal(count_of(body(quick), "event: put"), 53);
    assert_string_equal(body(slow), body(quick));
}

static void another_state_that_lacks_the_place_ends_the_watch(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = watch(rig, "/v1/watch?prefix=k", "");
    put(rig, "k", "1");
    show(rig);
    put(rig, "k", "2");
    put(rig, "k", "3");
    node_double_compact(rig->node, revision_of(rig));
    put(rig, "k", "4");
    replace_state(rig);
    show(rig);
    assert_string_equal(ids(stream), "2 ");
    assert_has(body(stream), "urn:minikv:compacted");
    assert_true(is_whole(stream));
}

static void so_many_watchers_and_one_more(void **state)
{
    struct rig *rig = *state;
    struct env_stream *first = NULL;
    for (size_t i = 0; i < LIMIT_WATCHERS; i++) {
        char target[64];
        (void)snprintf(target, sizeof target, i % 2 == 0 ? "/v1/watch?key=k%zu" : "/v1/watch?key=k",
                       i);
        struct env_stream *stream = watch(rig, target, "");
        assert_int_equal(code_of(received(stream)), 200);
        if (first == NULL)
            first = stream;
    }
    assert_problem(received(watch(rig, "/v1/watch?key=k", "")), 503, "busy");
    assert_problem(received(watch(rig, "/v1/watch?key=k&poll_ms=9", "")), 503, "busy");
    put(rig, "k", "v");
    put(rig, "k0", "v");
    show(rig);
    assert_int_equal(watch_stats_of(rig).events_sent, LIMIT_WATCHERS / 2 + 1);
    assert_int_equal(watch_stats_of(rig).groups_count, LIMIT_WATCHERS / 2 + 1);

    memory_hang_up(first, ENV_END_EOF);
    assert_int_equal(code_of(received(watch(rig, "/v1/watch?key=k", ""))), 200);
}

static void long_bodies_wait_while_replies_fill_the_memory(void **state)
{
    struct rig *rig = *state;
    struct env_stream *stream = watch(rig, "/v1/watch?key=k", "");
    rig->http->replies_bytes += LIMIT_SOURCES_BYTES; /* as if others held them */
    put(rig, "k", "1");
    show(rig);
    assert_string_equal(ids(stream), "2 ");
    rig->http->replies_bytes++;
    put(rig, "k", "2");
    show(rig);
    memory_advance(rig->env, 3000000);
    assert_string_equal(ids(stream), "2 ");
    rig->http->replies_bytes -= LIMIT_SOURCES_BYTES + 1;
    memory_advance(rig->env, 3000000); /* found out by the sweep */
    assert_string_equal(ids(stream), "2 3 ");
}

static void a_long_way_through_other_keys_is_gone_in_slices(void **state)
{
    struct rig *rig = *state;
    for (int i = 0; i < 50; i++)
        put_together(rig, "other", 100, "v");
    put(rig, "k", "v");
    struct env_stream *stream = memory_dial(rig->env);
    memory_give(stream, BYTES_LITERAL("GET /v1/watch?key=k&from=1 HTTP/1.1\r\n" H "\r\n"));
    memory_run(rig->env);
    assert_string_equal(ids(stream), "52 ");
    assert_int_equal(watch_stats_of(rig).behind_count, 0);
}

static void what_is_compacted_of_other_keys_is_no_loss(void **state)
{
    struct rig *rig = *state;
    put(rig, "same", "1");
    put(rig, "gone", "1");
    put(rig, "other", "1");
    (void)watch(rig, "/v1/watch?key=same", ""); /* the hub is at the present */
    struct env_stream *streams[3];
    static const char *const keys[] = {"same", "gone", "other"};
    for (size_t i = 0; i < 3; i++) {
        char text[128];
        streams[i] = memory_dial(rig->env);
        (void)snprintf(text, sizeof text,
                       "GET /v1/watch?key=%s&consistency=stale&from=5 HTTP/1.1\r\n" H "\r\n",
                       keys[i]);
        memory_give(streams[i], bytes_of_text(text));
    }
    drop(rig, "gone");
    put(rig, "other", "2");
    node_double_compact(rig->node, revision_of(rig));
    show(rig);
    put(rig, "same", "2");
    show(rig);
    assert_string_equal(ids(streams[0]), "7 ");
    assert_has(body(streams[1]), "urn:minikv:compacted");
    assert_has(body(streams[2]), "urn:minikv:compacted");
}

/* ---- against a plain model ---- */

struct follower {
    char target[64];
    struct env_stream *stream;
    char prefix[8];
    uint64_t from;
};

static void follow(struct rig *rig, struct follower *follower, struct prng *prng)
{
    bool is_all = prng_below(prng, 3) == 0;
    (void)snprintf(follower->prefix, sizeof follower->prefix, "%s%u", is_all ? "" : "k",
                   (unsigned)prng_below(prng, 5));
    if (is_all)
        follower->prefix[0] = '\0';
    follower->from = 1 + prng_below(prng, revision_of(rig) + 1);
    char target[sizeof follower->target];
    (void)snprintf(target, sizeof target, "/v1/watch?prefix=%s&from=%llu", follower->prefix,
                   (unsigned long long)follower->from);
    memcpy(follower->target, target, sizeof target);
    follower->stream = watch(rig, follower->target, "");
    assert_int_equal(code_of(received(follower->stream)), 200);
    if (prng_below(prng, 2) == 0)
        follower->stream->taken = follower->stream->sent.count;
}

/* What it must have been sent, from the row of events itself. */
static void check(struct rig *rig, const struct follower *follower)
{
    static char wanted[1 << 16];
    char *to = wanted;
    uint64_t number;
    assert_int_equal(kv_events_find(rig->node->kv, MAX(follower->from, 2u), &number), ST_OK);
    for (; number < kv_events_end(rig->node->kv); number++) {
        struct kv_event event;
        assert_int_equal(kv_event_at(rig->node->kv, number, &event), ST_OK);
        if (!bytes_has_prefix(event.item.key, bytes_of_text(follower->prefix)))
            continue;
        to += sprintf(to, event.is_last ? "%llu " : "%llu.%u ",
                      (unsigned long long)event.item.mod_revision, event.nth);
    }
    *to = '\0';
    assert_string_equal(ids(follower->stream), wanted);
}

static void everybody_gets_each_event_once_and_in_order(void **state)
{
    struct rig *rig = *state;
    static char value[2001];
    memset(value, 'v', sizeof value - 1);
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct prng prng;
        struct follower followers[12] = {0};
        prng_init(&prng, seed);
        for (int step = 0; step < 150; step++) {
            struct follower *follower = &followers[prng_below(&prng, ARRAY_COUNT(followers))];
            char key[8];
            (void)snprintf(key, sizeof key, "k%u", (unsigned)prng_below(&prng, 5));
            switch (prng_below(&prng, 8)) {
            case 0:
                put_together(rig, "k", 1 + prng_below(&prng, 5), value);
                break;
            case 1:
                replace_state(rig);
                break;
            case 2:
                if (follower->stream == NULL)
                    follow(rig, follower, &prng);
                break;
            case 3:
                if (follower->stream != NULL && follower->stream->taken != SIZE_MAX)
                    memory_take(follower->stream, prng_below(&prng, 100000));
                break;
            case 4:
                memory_run(rig->env);
                break;
            default:
                put(rig, key, prng_below(&prng, 2) == 0 ? value : "short");
                if (prng_below(&prng, 2) == 0)
                    http_on_applied(rig->http);
            }
        }
        show(rig);
        for (size_t i = 0; i < ARRAY_COUNT(followers); i++) {
            struct follower *follower = &followers[i];
            if (follower->stream == NULL)
                continue;
            if (follower->stream->taken != SIZE_MAX)
                take_all(follower->stream);
            check(rig, follower);
            memory_hang_up(follower->stream, ENV_END_EOF);
        }
        assert_int_equal(watch_stats_of(rig).watchers_count, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(an_event_is_encoded_once_for_all_who_want_it_in_this_form),
        RIG_TEST(watchers_of_other_keys_cost_nothing),
        RIG_TEST(a_slow_reader_keeps_its_place_and_no_more_memory_than_its_queue),
        RIG_TEST(a_slow_reader_that_compaction_overtakes_is_told_and_ended),
        RIG_TEST(level_watchers_may_be_overtaken_within_a_turn),
        RIG_TEST(another_state_is_gone_on_with_at_the_same_place),
        RIG_TEST(another_state_that_lacks_the_place_ends_the_watch),
        RIG_TEST(so_many_watchers_and_one_more),
        RIG_TEST(long_bodies_wait_while_replies_fill_the_memory),
        RIG_TEST(a_long_way_through_other_keys_is_gone_in_slices),
        RIG_TEST(what_is_compacted_of_other_keys_is_no_loss),
        RIG_TEST(everybody_gets_each_event_once_and_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
