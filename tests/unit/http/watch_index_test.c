/* Groups of watchers by filter, against a plain list of all filters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/mem.h"
#include "base/prng.h"
#include "http/watch_index.h"

static struct watch_filter filter_of(enum watch_kind kind, const char *key, const char *end)
{
    return (struct watch_filter){
        .kind = kind, .key = bytes_of_text(key), .end = bytes_of_text(end)};
}

struct found {
    struct watch_group *groups[512];
    size_t count;
};

static void note(void *ctx, struct watch_group *group)
{
    struct found *found = ctx;
    for (size_t i = 0; i < found->count; i++)
        assert_ptr_not_equal(found->groups[i], group); /* each once */
    found->groups[found->count++] = group;
}

static size_t matches(const struct watch_index *index, const char *key)
{
    struct found found = {.count = 0};
    watch_index_match(index, bytes_of_text(key), note, &found);
    return found.count;
}

static void watchers_with_the_same_filter_share_a_group(void **state)
{
    struct watch_index index;
    struct watch_filter filters[8];
    struct watch_group *groups[8];
    (void)state;
    watch_index_init(&index, 7);
    for (size_t i = 0; i < 8; i++)
        filters[i] = filter_of(WATCH_KEY, "k", "");
    filters[1].kind = WATCH_PREFIX;
    filters[2].kind = WATCH_RANGE;
    filters[3].has_previous = true;
    filters[4].lacks_puts = true;
    filters[5].lacks_deletes = true;
    filters[6].format = WATCH_NDJSON;
    filters[7].key = BYTES_LITERAL("l");
    for (size_t i = 0; i < 8; i++) {
        groups[i] = watch_index_join(&index, &filters[i]);
        assert_ptr_equal(watch_index_join(&index, &filters[i]), groups[i]);
        assert_int_equal(groups[i]->watchers_count, 2);
        assert_int_equal(index.groups_count, i + 1);
    }
    assert_int_equal(matches(&index, "k"), 7);
    assert_int_equal(matches(&index, "ka"), 2); /* prefix, and the range without an end */
    for (size_t i = 0; i < 8; i++) {
        watch_index_leave(&index, groups[i]);
        assert_int_equal(index.groups_count, 8 - i);
        watch_index_leave(&index, groups[i]);
    }
    assert_int_equal(matches(&index, "k"), 0);
    watch_index_release(&index);
}

static void ranges_that_differ_in_anything_have_groups_of_their_own(void **state)
{
    struct watch_index index;
    struct watch_filter filters[7];
    struct watch_group *groups[7];
    (void)state;
    watch_index_init(&index, 7);
    for (size_t i = 0; i < 7; i++)
        filters[i] = filter_of(WATCH_RANGE, "k", "m");
    filters[1].key = BYTES_LITERAL("ka");
    filters[2].end = BYTES_LITERAL("");
    filters[3].has_previous = true;
    filters[4].lacks_puts = true;
    filters[5].lacks_deletes = true;
    filters[6].format = WATCH_NDJSON;
    for (size_t i = 0; i < 7; i++) {
        groups[i] = watch_index_join(&index, &filters[i]);
        assert_true(watch_filter_equal(&groups[i]->filter, &filters[i]));
        assert_int_equal(index.ranges.count, i + 1);
    }
    for (size_t i = 0; i < 7; i++)
        assert_ptr_equal(watch_index_join(&index, &filters[i]), groups[i]);
    assert_int_equal(matches(&index, "kz"), 7);
    for (size_t i = 0; i < 7; i++) {
        watch_index_leave(&index, groups[i]);
        watch_index_leave(&index, groups[i]);
    }
    watch_index_release(&index);
}

static void bounds_of_ranges_are_inclusive_and_exclusive(void **state)
{
    struct watch_index index;
    struct watch_filter filter = filter_of(WATCH_RANGE, "b", "d");
    (void)state;
    watch_index_init(&index, 7);
    struct watch_group *group = watch_index_join(&index, &filter);
    assert_int_equal(matches(&index, "a\xff"), 0);
    assert_int_equal(matches(&index, "b"), 1);
    assert_int_equal(matches(&index, "c\xff"), 1);
    assert_int_equal(matches(&index, "d"), 0);
    watch_index_leave(&index, group);
    watch_index_release(&index);
}

static void a_prefix_of_the_longest_key_is_found(void **state)
{
    static char key[LIMIT_KEY_BYTES];
    struct watch_index index;
    (void)state;
    memset(key, 'k', sizeof key);
    watch_index_init(&index, 7);
    static const size_t counts[] = {0, 1, LIMIT_KEY_BYTES - 1, LIMIT_KEY_BYTES};
    struct watch_group *groups[4];
    for (size_t i = 0; i < 4; i++) {
        struct watch_filter filter = {.kind = WATCH_PREFIX, .key = bytes_of(key, counts[i])};
        groups[i] = watch_index_join(&index, &filter);
    }
    struct found found = {.count = 0};
    watch_index_match(&index, bytes_of(key, sizeof key), note, &found);
    assert_int_equal(found.count, 4);
    for (size_t i = 0; i < 4; i++)
        watch_index_leave(&index, groups[i]);
    watch_index_release(&index);
}

/* ---- against a plain list ---- */

enum { GROUPS = 400 };

static const char *any_key(struct prng *prng, char *text)
{
    size_t count = prng_below(prng, 5);
    for (size_t i = 0; i < count; i++)
        text[i] = (char)('a' + prng_below(prng, 3));
    text[count] = '\0';
    return text;
}

static void check(const struct watch_index *index, struct watch_group *const *groups,
                  const char *key)
{
    struct found found = {.count = 0};
    size_t wanted = 0;
    watch_index_match(index, bytes_of_text(key), note, &found);
    for (size_t i = 0; i < GROUPS; i++) {
        bool is_first = groups[i] != NULL;
        for (size_t j = 0; j < i; j++)
            is_first = is_first && groups[j] != groups[i];
        wanted += is_first && watch_filter_has_key(&groups[i]->filter, bytes_of_text(key));
    }
    assert_int_equal(found.count, wanted);
    for (size_t i = 0; i < found.count; i++)
        assert_true(watch_filter_has_key(&found.groups[i]->filter, bytes_of_text(key)));
}

/* However the ranges lie, the tree is not deep: it is gone down in recursion. */
static size_t depth_of(const struct watch_range_node *node)
{
    if (node == NULL)
        return 0;
    size_t left = depth_of(node->left), right = depth_of(node->right);
    return 1 + (left < right ? right : left);
}

static void ranges_in_any_order_make_a_tree_that_is_not_deep(void **state)
{
    enum { RANGES = 10000 };
    static struct watch_group *groups[RANGES];
    static char keys[RANGES][8];
    struct watch_index index;
    (void)state;
    watch_index_init(&index, 11);
    for (int order = 0; order < 2; order++) {
        for (int i = 0; i < RANGES; i++) {
            int n = order == 0 ? i : RANGES - 1 - i;
            (void)snprintf(keys[i], sizeof keys[i], "k%05d", n);
            struct watch_filter filter = filter_of(WATCH_RANGE, keys[i], i % 2 ? "" : "z");
            groups[i] = watch_index_join(&index, &filter);
        }
        assert_int_equal(index.ranges.count, RANGES);
        assert_true(depth_of(index.ranges.root) < 64);
        assert_true(depth_of(index.ranges.root) > 13);
        for (int i = 0; i < RANGES; i++)
            watch_index_leave(&index, groups[i]);
    }
    assert_null(index.ranges.root);
    watch_index_release(&index);
}

static void count_node(void *ctx, struct watch_range_node *node)
{
    size_t *count = ctx;
    (void)node;
    (*count)++;
}

static void every_range_is_gone_through_in_order(void **state)
{
    static const char *const starts[] = {"d", "", "b", "aa", "c", "a"};
    struct watch_index index;
    struct watch_group *groups[ARRAY_COUNT(starts)];
    size_t count = 0;
    (void)state;
    watch_index_init(&index, 3);
    for (size_t i = 0; i < ARRAY_COUNT(starts); i++) {
        struct watch_filter filter = filter_of(WATCH_RANGE, starts[i], "");
        groups[i] = watch_index_join(&index, &filter);
    }
    watch_ranges_each(&index.ranges, count_node, &count);
    assert_int_equal(count, ARRAY_COUNT(starts));
    count = 0;
    watch_ranges_match(&index.ranges, BYTES_LITERAL("aa"), count_node, &count);
    assert_int_equal(count, 3);
    for (size_t i = 0; i < ARRAY_COUNT(starts); i++)
        watch_index_leave(&index, groups[i]);
    watch_index_release(&index);
}

static void any_key_finds_exactly_the_groups_that_it_is_in(void **state)
{
    struct watch_index index;
    struct watch_group *groups[GROUPS] = {NULL};
    struct prng prng;
    (void)state;
    prng_init(&prng, 20);
    watch_index_init(&index, prng_next(&prng));
    for (int step = 0; step < 4000; step++) {
        size_t i = prng_below(&prng, GROUPS);
        char key[8], end[8];
        if (groups[i] != NULL) {
            watch_index_leave(&index, groups[i]);
            groups[i] = NULL;
        } else {
            struct watch_filter filter =
                filter_of((enum watch_kind)prng_below(&prng, 3), any_key(&prng, key), "");
            if (filter.kind == WATCH_RANGE)
                filter.end = bytes_of_text(any_key(&prng, end));
            filter.has_previous = prng_below(&prng, 2) == 0;
            groups[i] = watch_index_join(&index, &filter);
        }
        if (step % 20 == 0)
            check(&index, groups, any_key(&prng, key));
    }
    for (size_t i = 0; i < GROUPS; i++)
        if (groups[i] != NULL)
            watch_index_leave(&index, groups[i]);
    watch_index_release(&index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(watchers_with_the_same_filter_share_a_group),
        cmocka_unit_test(ranges_that_differ_in_anything_have_groups_of_their_own),
        cmocka_unit_test(bounds_of_ranges_are_inclusive_and_exclusive),
        cmocka_unit_test(a_prefix_of_the_longest_key_is_found),
        cmocka_unit_test(ranges_in_any_order_make_a_tree_that_is_not_deep),
        cmocka_unit_test(every_range_is_gone_through_in_order),
        cmocka_unit_test(any_key_finds_exactly_the_groups_that_it_is_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
