/* The tree's memory: what a pin keeps, what is freed when, and that nothing is copied in vain. */
#include "tree_fixture.h"

#include <pthread.h>
#include <stdatomic.h>

static void fill(struct tree *tree, uint32_t keys_count, uint64_t number)
{
    for (uint32_t i = 0; i < keys_count; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "k%08u", i * 7919u % keys_count);
        fixture_put(tree, bytes_of_text(text), number);
    }
}

static void without_a_pin_nothing_is_kept(void **state)
{
    (void)state;
    struct tree *tree = tree_new();
    struct tree_stats stats;

    fill(tree, 2000, 1);
    fill(tree, 2000, 2);

    tree_stats(tree, &stats);
    assert_int_equal(stats.retired_count, 0);
    tree_free(tree);
}

static void what_a_pin_kept_is_freed_in_slices(void **state)
{
    (void)state;
    struct tree *tree = tree_new();
    struct tree_stats before, after;
    fill(tree, 2000, 1);
    struct tree_pin *pin = tree_pin(tree);
    fill(tree, 2000, 2);
    tree_stats(tree, &before);
    assert_true(before.retired_count >= 2000 + 2000 / 64); /* all items, and their leaves */

    tree_unpin(tree, pin);
    tree_stats(tree, &after);
    assert_int_equal(before.retired_count - after.retired_count, TREE_COLLECT_PER_WRITE);
    assert_true(tree_collect(tree, 100));
    tree_stats(tree, &before);
    assert_int_equal(after.retired_count - before.retired_count, 100);

    while (tree_collect(tree, 100))
        tree_check(tree);
    tree_stats(tree, &after);
    assert_int_equal(after.retired_count, 0);
    tree_free(tree);
}

static void a_tree_goes_in_slices(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        struct tree *tree = tree_new();
        unsigned slices_count = 0;
        if (round > 0)
            fill(tree, 5000, 1);
        if (round > 1) { /* and what a pin kept, too */
            struct tree_pin *pin = tree_pin(tree);
            fill(tree, 5000, 2);
            tree_unpin(tree, pin);
        }

        while (tree_drain(tree, 100))
            slices_count++;

        if (round == 0)
            assert_int_equal(slices_count, 0);
        else /* a leaf more than was asked for at most */
            assert_in_range(slices_count, round * 5000 / (100 + 65), round * 5000 / 100 + 60);
        assert_false(tree_drain(tree, 100));
        tree_free(tree);
    }
}

static void a_tree_can_be_freed_when_half_of_it_is_gone(void **state)
{
    (void)state;
    for (unsigned slices = 0; slices < 60; slices++) {
        struct tree *tree = tree_new();
        fill(tree, 5000, 1);
        for (unsigned i = 0; i < slices; i++)
            (void)tree_drain(tree, 100);
        tree_free(tree);
    }
}

static void what_is_appended_is_as_if_it_had_been_put(void **state)
{
    (void)state;
    for (unsigned count = 0; count < 9000; count += count < 200 ? 1 : 997) {
        struct tree *tree = tree_new();
        struct tree_cursor cursor;
        struct tree_stats stats;
        (void)tree_last(tree_view(tree), &cursor);
        for (unsigned i = 0; i < count; i++) {
            struct record *record = mem_alloc(sizeof *record + 9);
            record->item.key_offset = offsetof(struct record, key);
            record->item.key_bytes = 8;
            (void)snprintf((char *)record->key, 9, "%08u", i);
            tree_append(tree, &cursor, &record->item);
        }
        tree_check(tree);
        tree_stats(tree, &stats);
        assert_int_equal(stats.items_count, count);
        fixture_put(tree, bytes_of_text("00000000x"), 1);
        (void)fixture_delete(tree, bytes_of_text("00000000"));
        tree_check(tree);
        tree_free(tree);
    }
}

static void writes_alone_free_what_a_pin_kept(void **state)
{
    (void)state;
    struct tree *tree = tree_new();
    fill(tree, 2000, 1);
    struct tree_pin *pin = tree_pin(tree);
    fill(tree, 2000, 2);
    tree_unpin(tree, pin);

    fill(tree, 2000, 3);

    struct tree_stats stats;
    tree_stats(tree, &stats);
    assert_int_equal(stats.retired_count, 0);
    assert_false(tree_collect(tree, 1));
    tree_free(tree);
}

static void a_node_is_copied_once_for_a_pin_however_often_it_is_written(void **state)
{
    (void)state;
    struct tree *tree = tree_new();
    struct tree_stats first, second;
    fill(tree, 60, 1); /* one leaf */
    struct tree_pin *pin = tree_pin(tree);

    fixture_put(tree, BYTES_LITERAL("k00000001"), 2);
    tree_stats(tree, &first);
    for (uint64_t i = 3; i < 100; i++)
        fixture_put(tree, BYTES_LITERAL("k00000001"), i);
    tree_stats(tree, &second);

    assert_int_equal(first.retired_count, 2); /* the leaf and the old item */
    assert_int_equal(second.retired_count, 2);
    tree_unpin(tree, pin);
    tree_free(tree);
}

static void pins_without_writes_between_them_cost_nothing_lasting(void **state)
{
    (void)state;
    struct tree *tree = tree_new();
    fill(tree, 10, 1);

    for (int i = 0; i < 100; i++)
        tree_unpin(tree, tree_pin(tree));

    assert_false(tree_collect(tree, 1));
    tree_free(tree);
}

/* ---- a second thread ---- */

struct walker {
    struct tree_view view;
    uint64_t expected;
    atomic_bool is_done;
    uint64_t walks_count;
    uint64_t errors_count;
};

static void *walk_until_done(void *ctx)
{
    struct walker *walker = ctx;
    do {
        struct numbers numbers = fixture_walk(walker->view);
        walker->errors_count += numbers.count != walker->view.items_count;
        for (size_t i = 0; i < numbers.count; i++)
            walker->errors_count += numbers.values[i] != walker->expected;
        mem_free(numbers.values);
        walker->walks_count++;
    } while (!atomic_load(&walker->is_done));
    return NULL;
}

static void another_thread_may_walk_a_pin_while_the_owner_writes(void **state)
{
    (void)state;
    struct tree *tree = tree_new();
    fill(tree, 5000, 1);
    struct tree_pin *pin = tree_pin(tree);
    struct walker walker = {.view = tree_pin_view(pin), .expected = 1};
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, walk_until_done, &walker), 0);
    for (uint64_t round = 2; round < 8; round++) {
        fill(tree, 5000, round);
        tree_unpin(tree, tree_pin(tree)); /* a younger pin comes and goes */
        for (uint32_t i = 0; i < 5000; i += 3) {
            char text[16];
            (void)snprintf(text, sizeof text, "k%08u", i);
            (void)fixture_delete(tree, bytes_of_text(text));
        }
    }
    atomic_store(&walker.is_done, true);
    assert_int_equal(pthread_join(thread, NULL), 0);

    assert_int_equal(walker.errors_count, 0);
    assert_true(walker.walks_count >= 1);
    tree_unpin(tree, pin);
    tree_free(tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_pin_nothing_is_kept),
        cmocka_unit_test(what_a_pin_kept_is_freed_in_slices),
        cmocka_unit_test(a_tree_goes_in_slices),
        cmocka_unit_test(a_tree_can_be_freed_when_half_of_it_is_gone),
        cmocka_unit_test(what_is_appended_is_as_if_it_had_been_put),
        cmocka_unit_test(writes_alone_free_what_a_pin_kept),
        cmocka_unit_test(a_node_is_copied_once_for_a_pin_however_often_it_is_written),
        cmocka_unit_test(pins_without_writes_between_them_cost_nothing_lasting),
        cmocka_unit_test(another_thread_may_walk_a_pin_while_the_owner_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
