/* The versions of one key, of which there may be very many: the one of any revision is found in few
 * steps, whatever has been deleted, compacted or loaded in between. */
#include "kv_fixture.h"

#define KEY BYTES_LITERAL("k")

/* What the key was at each revision; 0: it did not exist. */
struct story {
    struct kv *kv;
    uint64_t *versions; /* owned */
    size_t count;       /* the next revision */
};

static void story_init(struct story *story, size_t revisions_max, uint64_t events_max)
{
    *story = (struct story){.kv = kv_new(&(struct kv_options){.past_events_max = events_max}),
                            .count = 2};
    story->versions = mem_alloc_array(revisions_max + 2, sizeof *story->versions);
}

static void story_release(struct story *story)
{
    kv_free(story->kv);
    mem_free(story->versions);
}

static void put(struct story *story)
{
    story->versions[story->count] = story->versions[story->count - 1] + 1;
    story->count++;
    (void)fixture_put(story->kv, "k", "v");
}

static void forget(struct story *story)
{
    story->versions[story->count++] = 0;
    (void)fixture_delete(story->kv, "k");
}

static void put_another(struct story *story)
{
    story->versions[story->count] = story->versions[story->count - 1];
    story->count++;
    (void)fixture_put(story->kv, "other", "v");
}

static bool count_item(void *ctx, const struct kv_item *item)
{
    size_t *count = ctx;
    (void)item;
    (*count)++;
    return true;
}

/* Steps that finding it took: looks at a range that has no other key. */
static uint64_t assert_found(const struct kv *kv, const struct story *story, uint64_t revision)
{
    struct kv_item item;
    enum status status = kv_get_at(kv, KEY, revision, &item);
    if (story->versions[revision] == 0) {
        assert_int_equal(status, ST_NOT_FOUND);
    } else {
        assert_int_equal(status, ST_OK);
        assert_int_equal(item.version, story->versions[revision]);
    }
    struct kv_range range = {.prefix = KEY};
    struct kv_looks looks = {.left = UINT64_MAX};
    size_t count = 0;
    assert_int_equal(kv_scan_at(kv, &range, revision, &looks, count_item, &count), ST_OK);
    assert_int_equal(count, story->versions[revision] != 0);
    return UINT64_MAX - looks.left;
}

static void assert_all_found(const struct kv *kv, const struct story *story)
{
    struct kv_stats stats;
    kv_stats(kv, &stats);
    assert_int_equal(stats.revision + 1, story->count);
    for (uint64_t revision = stats.compacted; revision <= stats.revision; revision++)
        (void)assert_found(kv, story, revision);
}

static void any_of_very_many_versions_is_found_in_few_steps(void **state)
{
    enum { VERSIONS = LIMIT_PAST_EVENTS, STEPS_MAX = 3 * ITEM_MILESTONE_STEPS };
    struct story story;
    uint64_t most = 0;
    (void)state;
    story_init(&story, VERSIONS + VERSIONS / 2, 0);
    for (int i = 0; i < VERSIONS; i++)
        put(&story);
    struct kv_stats stats;
    kv_stats(story.kv, &stats);
    assert_int_equal(stats.compacted, 1); /* just as many as are kept */

    for (uint64_t revision = 2; revision < story.count; revision += 97)
        most = MAX(most, assert_found(story.kv, &story, revision));
    assert_true(most > ITEM_MILESTONE_STEPS && most <= STEPS_MAX);

    put(&story);
    kv_stats(story.kv, &stats);
    assert_int_equal(stats.compacted, 2); /* the first change is given up */
    for (int i = 1; i < VERSIONS / 2; i++)
        put(&story);
    kv_stats(story.kv, &stats);
    assert_int_equal(stats.compacted, VERSIONS / 2 + 1);
    for (uint64_t revision = stats.compacted; revision < story.count; revision += 89)
        most = MAX(most, assert_found(story.kv, &story, revision));
    assert_true(most <= STEPS_MAX);
    kv_check(story.kv);
    story_release(&story);
}

/* Each of these is one version, and one that was never there is none. */
static void a_key_that_comes_and_goes_is_found_as_fast(void **state)
{
    enum { TIMES = 5000, STEPS_MAX = 3 * ITEM_MILESTONE_STEPS };
    struct story story;
    uint64_t most = 0;
    (void)state;
    story_init(&story, 2 * TIMES, 0);
    for (int i = 0; i < TIMES; i++) {
        put(&story);
        forget(&story);
    }
    for (uint64_t revision = 1; revision < story.count; revision++)
        most = MAX(most, assert_found(story.kv, &story, revision));
    assert_true(most <= STEPS_MAX);
    kv_check(story.kv);
    story_release(&story);
}

static void play(struct story *story, struct prng *prng, int steps)
{
    for (int i = 0; i < steps; i++) {
        uint64_t dice = prng_below(prng, 100);
        bool exists = story->versions[story->count - 1] != 0;
        if (dice < 10)
            put_another(story);
        else if (dice < 15 && exists)
            forget(story);
        else
            put(story);
    }
}

static void compact_some(struct story *story, struct prng *prng)
{
    struct kv_stats stats;
    kv_stats(story->kv, &stats);
    uint64_t revision = stats.compacted + prng_below(prng, stats.revision - stats.compacted + 1);
    (void)fixture_apply(story->kv, &(struct command){.op = COMMAND_COMPACT, .revision = revision});
}

/* Loaded anew, the milestones are others. */
static void reload(struct story *story)
{
    struct buf image;
    buf_init(&image, SIZE_MAX);
    kv_encode(story->kv, &image);
    kv_free(story->kv);
    assert_int_equal(
        kv_decode(buf_bytes(&image), &(struct kv_options){.past_events_max = 2000}, &story->kv),
        ST_OK);
    buf_release(&image);
}

static void versions_are_found_through_random_compaction_and_loading(void **state)
{
    enum { ROUNDS = 60, STEPS = 400 };
    struct prng prng;
    struct story story;
    (void)state;
    prng_init(&prng, 29);
    story_init(&story, ROUNDS * STEPS, 2000);
    for (int round = 0; round < ROUNDS; round++) {
        play(&story, &prng, (int)prng_below(&prng, STEPS));
        if (prng_below(&prng, 4) == 0)
            compact_some(&story, &prng);
        if (prng_below(&prng, 8) == 0)
            reload(&story);
        assert_all_found(story.kv, &story);
        kv_check(story.kv);
    }
    story_release(&story);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_of_very_many_versions_is_found_in_few_steps),
        cmocka_unit_test(a_key_that_comes_and_goes_is_found_as_fast),
        cmocka_unit_test(versions_are_found_through_random_compaction_and_loading),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
