/* The past: what can be read of it, what is given up, and when. */
#include "image_fixture.h"
#include "kv/change.h"

#define MINUTE_US UINT64_C(60000000)

static struct kv *new_kept(uint64_t events_max, uint64_t bytes_max)
{
    return kv_new(&(struct kv_options){.past_events_max = events_max, .past_bytes_max = bytes_max});
}

static struct kv_result compact(struct kv *kv, uint64_t revision)
{
    struct kv_result result =
        fixture_apply(kv, &(struct command){.op = COMMAND_COMPACT, .revision = revision});
    kv_check(kv);
    return result;
}

static struct kv_stats stats_of(const struct kv *kv)
{
    struct kv_stats stats;
    kv_stats(kv, &stats);
    return stats;
}

static void put_at(struct kv *kv, const char *key, uint64_t stamp_us)
{
    struct command command = {
        .op = COMMAND_PUT, .key = bytes_of_text(key), .value = BYTES_LITERAL("v")};
    struct buf buf;
    buf_init(&buf, LIMIT_COMMAND_BYTES);
    command_encode(&command, &buf);
    (void)fixture_apply_bytes(kv, buf_bytes(&buf), stamp_us);
    buf_release(&buf);
    kv_check(kv);
}

/* "value", or the name of the status. */
static void assert_reads(const struct kv *kv, const char *key, uint64_t revision, const char *want)
{
    struct kv_item item;
    enum status status = kv_get_at(kv, bytes_of_text(key), revision, &item);
    if (status == ST_OK)
        assert_true(bytes_equal_text(item.value, want));
    else
        assert_string_equal(status_info(status)->name, want);
}

/* ---- reading ---- */

static void a_key_is_read_as_it_was(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    (void)fixture_put(kv, "k", "one");   /* 2 */
    (void)fixture_put(kv, "k", "two");   /* 3 */
    (void)fixture_delete(kv, "k");       /* 4 */
    (void)fixture_put(kv, "k", "three"); /* 5 */
    (void)fixture_put(kv, "other", "");  /* 6 */

    static const char *const values[] = {"COMPACTED", "NOT_FOUND", "one",   "two",
                                         "NOT_FOUND", "three",     "three", "REVISION_FUTURE"};
    for (uint64_t revision = 0; revision < ARRAY_COUNT(values); revision++)
        assert_reads(kv, "k", revision, values[revision]);
    assert_reads(kv, "absent", 6, "NOT_FOUND");

    struct kv_item item;
    assert_int_equal(kv_get_at(kv, BYTES_LITERAL("k"), 3, &item), ST_OK);
    assert_int_equal(item.create_revision, 2);
    assert_int_equal(item.mod_revision, 3);
    assert_int_equal(item.version, 2);
    assert_int_equal(kv_get_at(kv, BYTES_LITERAL("k"), 6, &item), ST_OK);
    assert_int_equal(item.create_revision, 5); /* made anew */
    assert_int_equal(item.version, 1);
    fixture_free(kv);
}

static void a_deleted_key_is_gone_but_for_the_past(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    struct kv_item item;
    (void)fixture_put(kv, "a", "1");
    (void)fixture_put(kv, "b", "1");
    uint64_t state_bytes = stats_of(kv).state_bytes;

    (void)fixture_delete(kv, "a");

    assert_false(kv_get(kv, BYTES_LITERAL("a"), &item));
    assert_int_equal(stats_of(kv).keys_count, 1);
    assert_int_equal(stats_of(kv).state_bytes, state_bytes / 2);
    assert_int_equal(stats_of(kv).past_bytes, item_state_bytes(1, 1) + item_state_bytes(1, 0));
    assert_outcome(fixture_delete(kv, "a"), ST_OK, false, 4, 0);
    struct kv_result absent = fixture_apply(kv, &(struct command){.op = COMMAND_PUT,
                                                                  .key = BYTES_LITERAL("a"),
                                                                  .condition = CONDITION_ABSENT});
    assert_outcome(absent, ST_OK, true, 5, 5);
    fixture_free(kv);
}

struct listing {
    char text[200];
    size_t left;
};

static bool note_item(void *ctx, const struct kv_item *item)
{
    struct listing *listing = ctx;
    size_t count = strlen(listing->text);
    (void)snprintf(listing->text + count, sizeof listing->text - count, "%.*s=%.*s ",
                   (int)item->key.count, (const char *)item->key.data, (int)item->value.count,
                   (const char *)item->value.data);
    return --listing->left > 0;
}

static void assert_lists(const struct kv *kv, struct kv_range range, uint64_t revision, size_t left,
                         const char *want)
{
    struct listing listing = {.left = left};
    struct kv_looks looks = {.left = UINT64_MAX};
    assert_int_equal(kv_scan_at(kv, &range, revision, &looks, note_item, &listing), ST_OK);
    assert_string_equal(listing.text, want);
    if (revision != stats_of(kv).revision)
        return;
    struct listing present = {.left = left};
    kv_scan(kv, &range, note_item, &present);
    assert_string_equal(present.text, want);
}

static void a_range_is_read_as_it_was_from_either_end(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    static const char *const keys[] = {"a", "b/1", "b/2", "b/3", "b0", "c"};
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++)
        (void)fixture_put(kv, keys[i], "1"); /* 2 … 7 */
    (void)fixture_put(kv, "b/2", "2");       /* 8 */
    (void)fixture_delete(kv, "b/1");         /* 9 */
    (void)fixture_delete(kv, "c");           /* 10 */
    struct kv_range all = {.is_descending = false}, down = {.is_descending = true};
    struct kv_range in = {.prefix = BYTES_LITERAL("b/")};
    struct kv_range in_down = {.prefix = BYTES_LITERAL("b/"), .is_descending = true};
    struct kv_range rest = {.after = BYTES_LITERAL("b/2"), .is_descending = true};
    struct kv_range part = {
        .start = BYTES_LITERAL("b/2"), .end = BYTES_LITERAL("b0"), .is_descending = true};

    assert_lists(kv, all, 10, 99, "a=1 b/2=2 b/3=1 b0=1 ");
    assert_lists(kv, all, 7, 99, "a=1 b/1=1 b/2=1 b/3=1 b0=1 c=1 ");
    assert_lists(kv, all, 3, 99, "a=1 b/1=1 ");
    assert_lists(kv, all, 1, 99, "");
    assert_lists(kv, down, 10, 99, "b0=1 b/3=1 b/2=2 a=1 ");
    assert_lists(kv, down, 8, 2, "c=1 b0=1 ");
    assert_lists(kv, in, 8, 99, "b/1=1 b/2=2 b/3=1 ");
    assert_lists(kv, in_down, 8, 99, "b/3=1 b/2=2 b/1=1 ");
    assert_lists(kv, in_down, 9, 99, "b/3=1 b/2=2 ");
    assert_lists(kv, rest, 7, 99, "b/1=1 a=1 ");
    assert_lists(kv, part, 7, 99, "b/3=1 b/2=1 ");
    struct kv_looks looks = {.left = 1};
    assert_int_equal(kv_scan_at(kv, &all, 11, &looks, note_item, NULL), ST_REVISION_FUTURE);
    assert_int_equal(kv_scan_at(kv, &all, 0, &looks, note_item, NULL), ST_COMPACTED);
    assert_int_equal(kv_may_read(kv, 11), ST_REVISION_FUTURE);
    assert_int_equal(kv_may_read(kv, 10), ST_OK);
    assert_int_equal(kv_may_read(kv, 1), ST_OK);
    assert_int_equal(kv_may_read(kv, 0), ST_COMPACTED);
    assert_int_equal(looks.left, 1);
    fixture_free(kv);
}

/* The key behind all with a prefix of 0xff bytes is not made by adding one. */
static void prefixes_of_the_highest_bytes_end_where_they_end(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    (void)fixture_put(kv, "\xfe", "1");
    (void)fixture_put(kv, "\xff", "2");
    (void)fixture_put(kv, "\xff\xff", "3");
    (void)fixture_put(kv, "a\xff", "4");
    (void)fixture_put(kv, "a\xff\xff", "5");
    (void)fixture_put(kv, "b", "6");
    static const struct {
        struct bytes prefix;
        const char *want;
    } cases[] = {{{(const uint8_t *)"\xff", 1}, "\xff\xff=3 \xff=2 "},
                 {{(const uint8_t *)"\xff\xff", 2}, "\xff\xff=3 "},
                 {{(const uint8_t *)"a\xff", 2}, "a\xff\xff=5 a\xff=4 "},
                 {{(const uint8_t *)"b", 1}, "b=6 "},
                 {{(const uint8_t *)"c", 1}, ""}};

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        assert_lists(kv, (struct kv_range){.prefix = cases[i].prefix, .is_descending = true}, 7, 99,
                     cases[i].want);
    fixture_free(kv);
}

/* ---- events ---- */

static void events_are_the_changes_in_their_order(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    struct kv_event event;
    uint64_t number;
    assert_int_equal(kv_events_find(kv, 1, &number), ST_OK); /* nothing was ever given up */
    assert_int_equal(number, kv_events_end(kv));
    (void)fixture_put(kv, "k", "one"); /* 2 */
    (void)fixture_put(kv, "k", "two"); /* 3 */
    (void)fixture_delete(kv, "k");     /* 4 */
    (void)fixture_put(kv, "k", "new"); /* 5 */

    assert_int_equal(kv_events_find(kv, 1, &number), ST_OK);
    assert_int_equal(kv_events_end(kv) - number, 4);
    assert_int_equal(kv_event_at(kv, number, &event), ST_OK);
    assert_false(event.has_previous);
    assert_true(event.nth == 1 && event.is_last);
    assert_int_equal(event.item.mod_revision, 2);
    assert_int_equal(kv_event_at(kv, number + 1, &event), ST_OK);
    assert_true(bytes_equal_text(event.item.value, "two"));
    assert_true(event.has_previous);
    assert_true(bytes_equal_text(event.previous.value, "one"));
    assert_int_equal(kv_event_at(kv, number + 2, &event), ST_OK);
    assert_int_equal(event.item.version, 0);
    assert_int_equal(event.item.mod_revision, 4);
    assert_true(event.has_previous);
    assert_int_equal(kv_event_at(kv, number + 3, &event), ST_OK);
    assert_int_equal(event.item.version, 1);
    assert_false(event.has_previous); /* there was no such key */

    assert_int_equal(kv_events_find(kv, 5, &number), ST_OK);
    assert_int_equal(kv_events_end(kv) - number, 1);
    assert_int_equal(kv_events_find(kv, 99, &number), ST_OK); /* yet to come */
    assert_int_equal(number, kv_events_end(kv));
    fixture_free(kv);
}

static void events_of_one_revision_are_in_the_order_of_their_keys(void **state)
{
    (void)state;
    static const char *const keys[] = {"e", "b", "d", "a", "c", "f", "aa"};
    static const char *const sorted[] = {"a", "aa", "b", "c", "d", "e", "f"};
    struct kv *kv = fixture_new();
    struct change change;
    (void)fixture_put(kv, "z", "1");
    (void)fixture_apply(kv, &(struct command){.op = COMMAND_SEAL,
                                              .identity = {.client = BYTES_LITERAL("me"),
                                                           .sequence = 1}}); /* an entry for K1 */
    change_begin(&change, kv);
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++)
        (void)change_put(&change, bytes_of_text(keys[i]), BYTES_LITERAL("x"), 0);
    assert_true(change_end(&change));
    kv_check(kv);
    change_begin(&change, kv);
    assert_false(change_delete(&change, BYTES_LITERAL("absent")));
    assert_false(change_end(&change));

    uint64_t first;
    assert_int_equal(kv_events_find(kv, 3, &first), ST_OK);
    assert_int_equal(kv_events_end(kv) - first, ARRAY_COUNT(keys));
    for (size_t i = 0; i < ARRAY_COUNT(keys); i++) {
        struct kv_event event;
        assert_int_equal(kv_event_at(kv, first + i, &event), ST_OK);
        assert_true(bytes_equal_text(event.item.key, sorted[i]));
        assert_int_equal(event.item.mod_revision, 3);
        assert_int_equal(event.nth, i + 1);
        assert_int_equal(event.is_last, i + 1 == ARRAY_COUNT(keys));
    }
    fixture_free(kv);
}

/* ---- compaction ---- */

static void compaction_takes_what_is_below_and_nothing_else(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    uint64_t number;
    (void)fixture_put(kv, "k", "one");   /* 2 */
    (void)fixture_put(kv, "k", "two");   /* 3 */
    (void)fixture_put(kv, "gone", "1");  /* 4 */
    (void)fixture_delete(kv, "gone");    /* 5 */
    (void)fixture_put(kv, "k", "three"); /* 6 */
    (void)fixture_delete(kv, "k");       /* 7 */

    struct kv_result result = compact(kv, 5);

    assert_outcome(result, ST_OK, false, 7, 0);
    assert_int_equal(result.number, 5);
    assert_int_equal(stats_of(kv).compacted, 5);
    assert_int_equal(stats_of(kv).past_events_count, 2);
    assert_reads(kv, "k", 4, "COMPACTED");
    assert_reads(kv, "k", 5, "two");
    assert_reads(kv, "k", 6, "three");
    assert_reads(kv, "k", 7, "NOT_FOUND");
    assert_reads(kv, "gone", 5, "NOT_FOUND");
    assert_int_equal(tree_view(kv->tree).items_count, 1); /* nothing is left of "gone" */
    assert_int_equal(kv_events_find(kv, 5, &number), ST_COMPACTED);
    assert_int_equal(kv_events_find(kv, 6, &number), ST_OK);
    assert_int_equal(kv_events_end(kv) - number, 2);
    assert_int_equal(kv_event_at(kv, number - 1, &(struct kv_event){0}), ST_COMPACTED);
    struct kv_event event;
    assert_int_equal(kv_event_at(kv, number, &event), ST_OK);
    assert_true(event.has_previous); /* it can be read at 5 */
    fixture_free(kv);
}

static void compaction_up_to_the_present_leaves_the_present(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    (void)fixture_put(kv, "a", "1");
    (void)fixture_put(kv, "a", "2");
    (void)fixture_put(kv, "b", "1");
    (void)fixture_delete(kv, "b");

    assert_outcome(compact(kv, 5), ST_OK, false, 5, 0);

    assert_int_equal(stats_of(kv).past_events_count, 0);
    assert_int_equal(stats_of(kv).past_bytes, 0);
    assert_int_equal(stats_of(kv).keys_count, 1);
    assert_reads(kv, "a", 5, "2");
    assert_outcome(fixture_put(kv, "b", "again"), ST_OK, true, 6, 6);
    assert_reads(kv, "b", 5, "NOT_FOUND");
    assert_reads(kv, "b", 6, "again");
    fixture_free(kv);
}

/* The deletion that was compacted stays where a later change of the key hangs on it. */
static void a_key_made_again_is_absent_before(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    (void)fixture_put(kv, "k", "1"); /* 2 */
    (void)fixture_delete(kv, "k");   /* 3 */
    (void)fixture_put(kv, "k", "2"); /* 4 */

    (void)compact(kv, 3);

    assert_reads(kv, "k", 3, "NOT_FOUND");
    assert_reads(kv, "k", 4, "2");
    struct buf bytes = image_bytes_of(kv);
    struct kv *again;
    assert_int_equal(kv_decode(buf_bytes(&bytes), &(struct kv_options){0}, &again), ST_OK);
    assert_int_equal(kv_digest(again), kv_digest(kv));
    assert_reads(again, "k", 3, "NOT_FOUND");
    (void)compact(kv, 4);
    assert_int_equal(stats_of(kv).past_bytes, 0);
    buf_release(&bytes);
    fixture_free(again);
    fixture_free(kv);
}

static void compaction_is_refused_ahead_of_the_present_and_behind_itself(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    assert_int_equal(compact(kv, 1).status, ST_OK); /* it is so already */
    assert_int_equal(compact(kv, 0).status, ST_COMPACTED);
    assert_int_equal(compact(kv, 2).status, ST_REVISION_FUTURE);
    (void)fixture_put(kv, "a", "1");
    (void)fixture_put(kv, "a", "2");

    assert_int_equal(compact(kv, 4).status, ST_REVISION_FUTURE);
    assert_int_equal(compact(kv, UINT64_MAX).status, ST_REVISION_FUTURE);
    assert_int_equal(stats_of(kv).compacted, 1);
    assert_int_equal(compact(kv, 3).status, ST_OK);
    assert_int_equal(compact(kv, 3).number, 3); /* the same again */
    struct kv_result late = compact(kv, 2);
    assert_int_equal(late.status, ST_COMPACTED);
    assert_int_equal(late.number, 3);
    fixture_free(kv);
}

/* ---- bounds ---- */

static void more_events_than_may_be_are_given_up_oldest_first(void **state)
{
    (void)state;
    struct kv *kv = new_kept(3, 0);
    for (int i = 0; i < 10; i++) {
        (void)fixture_put(kv, "k", i % 2 == 0 ? "even" : "odd");
        kv_check(kv);
        assert_int_equal(stats_of(kv).past_events_count, MIN(i + 1, 3));
    }
    assert_int_equal(stats_of(kv).compacted, 8);
    assert_reads(kv, "k", 7, "COMPACTED");
    assert_reads(kv, "k", 8, "even");
    assert_reads(kv, "k", 9, "odd");
    fixture_free(kv);
}

static void revisions_go_as_a_whole(void **state)
{
    (void)state;
    struct kv *kv = new_kept(3, 0);
    struct change change;
    for (int i = 0; i < 4; i++)
        (void)fixture_apply_bytes(kv, BYTES_LITERAL("?"), 0); /* entries for K1 */
    change_begin(&change, kv);
    (void)change_put(&change, BYTES_LITERAL("a"), BYTES_LITERAL("1"), 0);
    (void)change_put(&change, BYTES_LITERAL("b"), BYTES_LITERAL("1"), 0);
    assert_true(change_end(&change));
    (void)fixture_put(kv, "a", "2");
    assert_int_equal(stats_of(kv).compacted, 1);

    (void)fixture_put(kv, "a", "3");

    kv_check(kv);
    assert_int_equal(stats_of(kv).compacted, 2);
    assert_int_equal(stats_of(kv).past_events_count, 2);

    change_begin(&change, kv); /* one that is beyond the bound all alone */
    for (char key[] = "k0"; key[1] < '5'; key[1]++)
        (void)change_put(&change, bytes_of_text(key), BYTES_LITERAL(""), 0);
    assert_true(change_end(&change));
    kv_check(kv);
    assert_int_equal(stats_of(kv).compacted, stats_of(kv).revision);
    assert_int_equal(stats_of(kv).keys_count, 7);
    fixture_free(kv);
}

static void more_bytes_than_may_be_are_given_up_oldest_first(void **state)
{
    (void)state;
    struct kv *kv = new_kept(0, 2 * item_state_bytes(1, 2));
    (void)fixture_put(kv, "k", "01");
    (void)fixture_put(kv, "k", "02");
    (void)fixture_put(kv, "k", "03");
    assert_int_equal(stats_of(kv).past_bytes, 2 * item_state_bytes(1, 2));
    assert_int_equal(stats_of(kv).compacted, 1);

    (void)fixture_put(kv, "k", "04");

    kv_check(kv);
    assert_int_equal(stats_of(kv).past_bytes, 2 * item_state_bytes(1, 2));
    assert_int_equal(stats_of(kv).compacted, 3); /* what 2 made is no version any more */
    (void)fixture_delete(kv, "k");               /* 04 and the deletion, of less */
    kv_check(kv);
    assert_in_range(stats_of(kv).past_bytes, 1, 2 * item_state_bytes(1, 2));
    fixture_free(kv);
}

static void what_was_replaced_an_hour_ago_is_given_up(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    put_at(kv, "a", 1000);                      /* 2 */
    put_at(kv, "a", 1000 + MINUTE_US / 2);      /* 3 */
    put_at(kv, "a", 1000 + MINUTE_US);          /* 4 */
    put_at(kv, "a", 1000 + 30 * MINUTE_US);     /* 5 */
    put_at(kv, "b", 1000 + 60 * MINUTE_US - 1); /* 6 */
    assert_int_equal(stats_of(kv).compacted, 1);

    (void)fixture_apply_bytes(kv, BYTES_LITERAL("?"), 1000 + 60 * MINUTE_US);
    assert_int_equal(stats_of(kv).compacted, 2); /* what was the present an hour ago */
    (void)fixture_apply_bytes(kv, BYTES_LITERAL("?"), 1000 + 61 * MINUTE_US - 1);
    assert_int_equal(stats_of(kv).compacted, 2);
    (void)fixture_apply_bytes(kv, BYTES_LITERAL("?"), 1000 + 61 * MINUTE_US);
    assert_int_equal(stats_of(kv).compacted, 4);
    kv_check(kv);
    (void)fixture_apply_bytes(kv, BYTES_LITERAL("?"), 1000 + 500 * MINUTE_US);
    assert_int_equal(stats_of(kv).compacted, 6);
    assert_int_equal(stats_of(kv).past_events_count, 0);
    assert_int_equal(stats_of(kv).keys_count, 2);
    kv_check(kv);
    fixture_free(kv);
}

static void marks_of_time_stay_within_their_room(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    for (uint64_t i = 0; i < 400; i++) {
        put_at(kv, "a", i * MINUTE_US);
        assert_in_range(kv->past.marks_count, 1, LIMIT_PAST_MINUTES);
    }
    assert_int_equal(stats_of(kv).past_events_count, LIMIT_PAST_MINUTES);
    fixture_free(kv);
}

/* ---- images and the end ---- */

static void an_image_has_the_past_of_its_moment_whatever_is_given_up(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    for (int i = 0; i < 300; i++) {
        char key[8];
        (void)snprintf(key, sizeof key, "k%d", i % 7);
        if (i % 11 == 10)
            (void)fixture_delete(kv, key);
        else
            (void)fixture_put(kv, key, "value");
    }
    (void)compact(kv, 100);
    struct buf want = image_bytes_of(kv), got;
    buf_init(&got, IMAGE_BYTES_MAX);
    struct kv_image *image = kv_pin(kv);

    (void)compact(kv, stats_of(kv).revision);
    for (int i = 0; i < 50; i++)
        (void)fixture_put(kv, "k1", "other");
    (void)kv_image_read(image, 1000, &got);
    (void)compact(kv, stats_of(kv).revision);
    (void)kv_image_read(image, SIZE_MAX, &got);

    assert_true(bytes_equal(buf_bytes(&got), buf_bytes(&want)));
    kv_unpin(kv, image);
    while (kv_collect(kv, 10))
        continue;
    struct tree_stats tree;
    tree_stats(kv->tree, &tree);
    assert_int_equal(tree.retired_count, 0);
    buf_release(&want);
    buf_release(&got);
    fixture_free(kv);
}

static void a_past_that_is_discarded_goes_in_slices(void **state)
{
    (void)state;
    struct kv *kv = fixture_new(), *gone = fixture_new();
    for (int i = 0; i < 1000; i++)
        (void)fixture_put(gone, "k", "value");
    unsigned slices_count = 0;

    kv_discard(kv, gone);
    while (kv_collect(kv, 50))
        slices_count++;

    assert_in_range(slices_count, 15, 30);
    fixture_free(kv);
}

/* Each of these versions counts one MiB. */
static void so_many_mib_of_the_past_are_kept_and_not_a_byte_more(void **state)
{
    (void)state;
    struct kv *kv = fixture_new();
    struct buf value;
    buf_init(&value, LIMIT_VALUE_BYTES);
    buf_put_zeros(&value, MIB - item_state_bytes(1, 0));
    struct command put = {.op = COMMAND_PUT, .key = BYTES_LITERAL("k"), .value = buf_bytes(&value)};

    for (int i = 0; i <= LIMIT_PAST_MIB; i++)
        (void)fixture_apply(kv, &put);
    assert_int_equal(stats_of(kv).past_bytes, (uint64_t)LIMIT_PAST_MIB * MIB);
    assert_int_equal(stats_of(kv).compacted, 1);

    (void)fixture_put(kv, "l", "");
    (void)fixture_put(kv, "l", ""); /* a byte's worth of the past, and what it takes to keep it */
    assert_int_equal(stats_of(kv).compacted, 3);
    assert_int_equal(stats_of(kv).past_bytes,
                     (uint64_t)(LIMIT_PAST_MIB - 1) * MIB + item_state_bytes(1, 0));
    buf_release(&value);
    fixture_free(kv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_read_as_it_was),
        cmocka_unit_test(a_deleted_key_is_gone_but_for_the_past),
        cmocka_unit_test(a_range_is_read_as_it_was_from_either_end),
        cmocka_unit_test(prefixes_of_the_highest_bytes_end_where_they_end),
        cmocka_unit_test(events_are_the_changes_in_their_order),
        cmocka_unit_test(events_of_one_revision_are_in_the_order_of_their_keys),
        cmocka_unit_test(compaction_takes_what_is_below_and_nothing_else),
        cmocka_unit_test(compaction_up_to_the_present_leaves_the_present),
        cmocka_unit_test(a_key_made_again_is_absent_before),
        cmocka_unit_test(compaction_is_refused_ahead_of_the_present_and_behind_itself),
        cmocka_unit_test(more_events_than_may_be_are_given_up_oldest_first),
        cmocka_unit_test(revisions_go_as_a_whole),
        cmocka_unit_test(more_bytes_than_may_be_are_given_up_oldest_first),
        cmocka_unit_test(what_was_replaced_an_hour_ago_is_given_up),
        cmocka_unit_test(marks_of_time_stay_within_their_room),
        cmocka_unit_test(an_image_has_the_past_of_its_moment_whatever_is_given_up),
        cmocka_unit_test(a_past_that_is_discarded_goes_in_slices),
        cmocka_unit_test(so_many_mib_of_the_past_are_kept_and_not_a_byte_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
