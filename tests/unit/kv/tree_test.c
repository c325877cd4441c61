/* The tree against a model: a table of all keys there can be, in order, with what each holds. */
#include "tree_fixture.h"

#include <stdlib.h>

enum { PINS_MAX = 8 };

/* ---- keys of several shapes, sorted once ---- */

struct key {
    uint8_t data[160];
    size_t count;
};

static struct bytes bytes_of_key(const struct key *key)
{
    return bytes_of(key->data, key->count);
}

static int compare_keys(const void *a, const void *b)
{
    return bytes_compare(bytes_of_key(a), bytes_of_key(b));
}

/* Shapes that the heads of a node treat differently: short, all zeros, alike for longer than a
 * node keeps, different only behind the head, and the everyday one. */
static void make_key(struct prng *prng, int shape, struct key *key)
{
    struct buf buf;
    buf_init(&buf, sizeof key->data);
    switch (shape) {
    case 0: /* 1 … 4 bytes of few values, many of them prefixes of each other */
        for (uint64_t i = prng_below(prng, 4) + 1; i > 0; i--)
            buf_put_u8(&buf, (uint8_t)(prng_below(prng, 6) * 51));
        break;
    case 1: /* only zeros, which the padding of a head must not hide */
        buf_put_zeros(&buf, prng_below(prng, 150) + 1);
        break;
    case 2:
        buf_printf(&buf, "key/%08u", (unsigned)prng_below(prng, 100000));
        break;
    case 3: /* a common beginning longer than TREE_COMMON_BYTES */
        for (int i = 0; i < 60; i++)
            buf_put_u8(&buf, 'p');
        buf_printf(&buf, "/%u/%u", (unsigned)prng_below(prng, 20),
                   (unsigned)prng_below(prng, 1000));
        break;
    case 4: /* the same eight bytes behind a beginning that is not common */
        buf_put_u8(&buf, (uint8_t)('a' + prng_below(prng, 3)));
        buf_printf(&buf, "\xff\xff\xff\xff\xff\xff\xff\xff\xff%u",
                   (unsigned)prng_below(prng, 2000));
        break;
    default:
        for (uint64_t i = prng_below(prng, 40) + 1; i > 0; i--)
            buf_put_u8(&buf, (uint8_t)prng_next(prng));
    }
    memcpy(key->data, buf.data, buf.count);
    key->count = buf.count;
    buf_release(&buf);
}

struct model {
    struct key *keys;  /* sorted, distinct */
    uint64_t *numbers; /* what each holds; 0: absent */
    size_t keys_count;
    size_t present_count;
};

/* shape < 0: all of them. */
static struct model model_new(struct prng *prng, size_t keys_count, int shape)
{
    struct model model = {.keys = mem_alloc_array(keys_count, sizeof(struct key)),
                          .numbers = mem_alloc_array(keys_count, sizeof(uint64_t))};
    for (size_t i = 0; i < keys_count; i++)
        make_key(prng, shape < 0 ? (int)prng_below(prng, 6) : shape, &model.keys[i]);
    qsort(model.keys, keys_count, sizeof *model.keys, compare_keys);
    for (size_t i = 0; i < keys_count; i++)
        if (i == 0 || compare_keys(&model.keys[i], &model.keys[model.keys_count - 1]) != 0)
            model.keys[model.keys_count++] = model.keys[i];
    return model;
}

static void model_release(struct model *model)
{
    mem_free(model->keys);
    mem_free(model->numbers);
}

static void assert_view_is(struct tree_view view, const uint64_t *numbers, size_t keys_count)
{
    struct numbers got = fixture_walk(view);
    size_t at = 0;
    for (size_t i = 0; i < keys_count; i++) {
        if (numbers[i] == 0)
            continue;
        if (at == got.count || got.values[at] != numbers[i])
            fail_msg("item %zu of the view is not key %zu of the model", at, i);
        at++;
    }
    assert_int_equal(got.count, at);
    assert_int_equal(view.items_count, at);
    mem_free(got.values);
}

/* ---- the walk: puts, deletes, pins and unpins as the seed has it ---- */

struct kept {
    struct tree_pin *pin;
    uint64_t *numbers; /* of the model when it was pinned */
};

struct play {
    struct prng prng;
    struct tree *tree;
    struct model model;
    struct kept kept[PINS_MAX];
    uint64_t number;
};

static void play_write(struct play *play, unsigned puts_of_100)
{
    size_t at = prng_below(&play->prng, play->model.keys_count);
    struct bytes key = bytes_of_key(&play->model.keys[at]);
    uint64_t *number = &play->model.numbers[at];
    if (prng_below(&play->prng, 100) < puts_of_100) {
        play->model.present_count += *number == 0;
        *number = ++play->number;
        fixture_put(play->tree, key, *number);
    } else {
        assert_int_equal(fixture_delete(play->tree, key), *number != 0);
        play->model.present_count -= *number != 0;
        *number = 0;
    }
}

static void play_unpin(struct play *play, struct kept *kept)
{
    assert_view_is(tree_pin_view(kept->pin), kept->numbers, play->model.keys_count);
    tree_unpin(play->tree, kept->pin);
    mem_free(kept->numbers);
    *kept = (struct kept){0};
}

static void play_pin_or_unpin(struct play *play)
{
    struct kept *kept = &play->kept[prng_below(&play->prng, PINS_MAX)];
    if (kept->pin != NULL) {
        play_unpin(play, kept);
        return;
    }
    size_t bytes = play->model.keys_count * sizeof *kept->numbers;
    kept->pin = tree_pin(play->tree);
    kept->numbers = mem_alloc_raw(bytes);
    memcpy(kept->numbers, play->model.numbers, bytes);
}

static void play_start(struct play *play, uint64_t seed, size_t keys_count, int shape)
{
    *play = (struct play){.tree = tree_new()};
    print_message("seed %llu\n", (unsigned long long)seed);
    prng_init(&play->prng, seed);
    play->model = model_new(&play->prng, keys_count, shape);
}

static void play_end(struct play *play)
{
    for (size_t i = 0; i < PINS_MAX; i++)
        if (play->kept[i].pin != NULL)
            play_unpin(play, &play->kept[i]);
    tree_check(play->tree);
    while (tree_collect(play->tree, 100))
        continue;
    struct tree_stats stats;
    tree_stats(play->tree, &stats);
    assert_int_equal(stats.retired_count, 0);
    assert_int_equal(stats.items_count, play->model.present_count);
    tree_free(play->tree);
    model_release(&play->model);
}

/* Grows, shrinks and grows again, `steps_count` writes in all. */
static void play_writes(struct play *play, size_t steps_count, size_t check_every,
                        unsigned pin_every)
{
    for (size_t step = 0; step < steps_count; step++) {
        bool is_shrinking = step * 5 / steps_count % 2 == 1;
        play_write(play, is_shrinking ? 10 : 70);
        if (pin_every != 0 && prng_below(&play->prng, pin_every) == 0)
            play_pin_or_unpin(play);
        if (step % check_every == 0) {
            tree_check(play->tree);
            assert_view_is(tree_view(play->tree), play->model.numbers, play->model.keys_count);
        }
    }
}

static void a_tree_holds_what_a_sorted_table_holds(void **state)
{
    (void)state;
    struct play play;
    play_start(&play, 1, 8000, -1);

    play_writes(&play, 100000, 5000, 0);

    play_end(&play);
}

static void pins_show_their_moment_whatever_is_written_and_unpinned_later(void **state)
{
    (void)state;
    struct play play;
    play_start(&play, 2, 4000, -1);

    play_writes(&play, 40000, 4000, 300);

    play_end(&play);
}

static void small_trees_with_many_pins_are_right_after_every_step(void **state)
{
    (void)state;
    for (uint64_t seed = 10; seed < 45; seed++) {
        struct play play;
        play_start(&play, seed, 1 + seed * 7, (int)(seed % 7) - 1);
        play_writes(&play, 300, 1, 5);
        play_end(&play);
    }
}

/* ---- finding ---- */

static void a_search_ends_where_the_key_would_be(void **state)
{
    (void)state;
    for (int shape = -1; shape < 6; shape++) {
        struct play play;
        play_start(&play, 100 + (uint64_t)shape, 3000, shape);
        struct model *model = &play.model;
        for (size_t i = 0; i < model->keys_count; i += 2) {
            model->numbers[i] = i + 1;
            model->present_count++;
            fixture_put(play.tree, bytes_of_key(&model->keys[i]), i + 1);
        }

        for (size_t i = 0; i < model->keys_count; i++) {
            struct tree_cursor cursor;
            struct bytes key = bytes_of_key(&model->keys[i]);
            tree_prefetch(tree_view(play.tree), &key, 1); /* which a sanitizer watches */
            const struct tree_item *item = tree_find(tree_view(play.tree), key, &cursor);
            assert_int_equal(item != NULL, i % 2 == 0);
            assert_int_equal(cursor.is_equal, i % 2 == 0);

            item = tree_next(&cursor); /* of an absent key: the one behind it */
            size_t next = i + i % 2;
            assert_int_equal(item != NULL, next < model->keys_count);
            if (item != NULL)
                assert_int_equal(record_of(item)->number, next + 1);
        }
        play_end(&play);
    }
}

/* From where a search ends, and from the end, back to the start and forth again. */
static void steps_back_are_steps_in_reverse(void **state)
{
    (void)state;
    for (int shape = -1; shape < 6; shape++) {
        struct play play;
        play_start(&play, 200 + (uint64_t)shape, 3000, shape);
        struct model *model = &play.model;
        for (size_t i = 0; i < model->keys_count; i++) {
            model->numbers[i] = i + 1;
            model->present_count++;
            fixture_put(play.tree, bytes_of_key(&model->keys[i]), i + 1);
        }

        for (size_t i = 0; i <= model->keys_count; i += 1 + i / 10) {
            struct tree_cursor cursor;
            if (i < model->keys_count)
                (void)tree_find(tree_view(play.tree), bytes_of_key(&model->keys[i]), &cursor);
            else
                (void)tree_last(tree_view(play.tree), &cursor);
            for (size_t left = i; left > 0; left--)
                assert_int_equal(record_of(tree_prev(&cursor))->number, left);
            assert_null(tree_prev(&cursor));
            assert_null(tree_prev(&cursor)); /* and stays there */
            const struct tree_item *item = tree_next(&cursor);
            assert_int_equal(item != NULL, model->keys_count != 0);
            if (item != NULL)
                assert_int_equal(record_of(item)->number, 1);
        }
        play_end(&play);
    }
}

/* What is put over another one leaves that alone: it is the owner's to retire, once. */
static void what_is_put_over_stays_until_it_is_retired(void **state)
{
    (void)state;
    struct tree *tree = tree_new();
    struct tree_cursor cursor;
    struct tree_stats stats;
    struct bytes key = BYTES_LITERAL("k");
    fixture_put(tree, key, 1);
    struct tree_item *old = (struct tree_item *)(uintptr_t)tree_find(tree_view(tree), key, &cursor);
    struct record *record = fixture_record(key, 2);
    struct tree_pin *pin = tree_pin(tree);
    (void)tree_find(tree_view(tree), key, &cursor);
    tree_put_over(tree, &cursor, &record->item);
    assert_int_equal(record_of(old)->number, 1);
    assert_int_equal(record_of(tree_find(tree_view(tree), key, &cursor))->number, 2);
    assert_int_equal(tree_view(tree).items_count, 1);

    tree_retire(tree, &old->object);
    assert_int_equal(record_of(tree_find(tree_pin_view(pin), key, &cursor))->number, 1);
    tree_check(tree);
    tree_unpin(tree, pin);
    while (tree_collect(tree, 10))
        continue;
    tree_stats(tree, &stats);
    assert_int_equal(stats.retired_count, 0);
    tree_free(tree);
}

static void an_empty_tree_has_nothing_to_find_and_nothing_next(void **state)
{
    (void)state;
    struct tree *tree = tree_new();
    struct tree_cursor cursor;

    assert_null(tree_find(tree_view(tree), BYTES_LITERAL("a"), &cursor));
    assert_null(tree_next(&cursor));
    assert_null(tree_next(&cursor));
    assert_null(tree_prev(&cursor));

    tree_check(tree);
    tree_free(tree);
}

/* ---- shape ---- */

static void keys_in_rising_order_leave_full_nodes(void **state)
{
    (void)state;
    enum { KEYS = 64 * 65 };
    struct tree *tree = tree_new();
    for (uint32_t i = 0; i < KEYS; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "k%08u", i);
        fixture_put(tree, bytes_of_text(text), i + 1);
    }

    /* Full leaves of 64 under one full inner node of 65 children: half-full ones need a level
     * more. */
    struct tree_stats stats;
    tree_stats(tree, &stats);
    assert_int_equal(stats.levels_count, 2);
    tree_check(tree);
    tree_free(tree);
}

/* ---- orders of keys that meet the middle, the ends and the seams of nodes of every level ---- */

enum order { ORDER_RISING, ORDER_FALLING, ORDER_INWARDS, ORDER_OUTWARDS, ORDER_STRIDED, ORDERS };

static uint32_t number_in_order(enum order order, uint32_t step, uint32_t count)
{
    uint32_t half = step / 2;
    switch (order) {
    case ORDER_RISING:
        return step;
    case ORDER_FALLING:
        return count - 1 - step;
    case ORDER_INWARDS:
        return step % 2 == 0 ? half : count - 1 - half;
    case ORDER_OUTWARDS:
        return step % 2 == 0 ? count / 2 + half : count / 2 - 1 - half;
    case ORDER_STRIDED:
        return (uint32_t)((uint64_t)step * 7919 %
                          count); /* 7919 is a prime, count is not a multiple */
    case ORDERS:
        break;
    }
    fail();
    return 0;
}

static struct bytes ordered_key(enum order order, uint32_t step, uint32_t count, char out[16])
{
    (void)snprintf(out, 16, "k%08u", number_in_order(order, step, count));
    return bytes_of_text(out);
}

static void assert_pin_holds_all(const struct tree_pin *pin, uint32_t count)
{
    struct numbers numbers = fixture_walk(tree_pin_view(pin));
    assert_int_equal(numbers.count, count);
    for (uint32_t i = 0; i < count; i++)
        if (numbers.values[i] != i + 1)
            fail_msg("item %u of the pin has changed", i);
    mem_free(numbers.values);
}

static void fill_and_empty(enum order fill_order, enum order empty_order, uint32_t count,
                           uint32_t levels_count)
{
    struct tree *tree = tree_new();
    char text[16];
    print_message("filled in order %d, emptied in order %d\n", fill_order, empty_order);
    for (uint32_t step = 0; step < count; step++)
        fixture_put(tree, ordered_key(fill_order, step, count, text),
                    number_in_order(fill_order, step, count) + 1u);
    tree_check(tree);
    struct tree_stats stats;
    tree_stats(tree, &stats);
    assert_int_equal(stats.levels_count, levels_count);

    struct tree_pin *pin = tree_pin(tree);
    for (uint32_t step = 0; step < count; step++) {
        assert_true(fixture_delete(tree, ordered_key(empty_order, step, count, text)));
        if (step % (count / 4) == 0)
            tree_check(tree);
        if (step == count / 2) /* from here on nothing is shared with the newest pin, much is old */
            tree_unpin(tree, tree_pin(tree));
    }
    assert_pin_holds_all(pin, count);

    tree_stats(tree, &stats);
    assert_int_equal(stats.items_count, 0);
    assert_int_equal(stats.levels_count, 1);
    tree_check(tree);
    tree_unpin(tree, pin);
    tree_free(tree);
}

static void
a_tree_filled_and_emptied_in_any_order_ends_as_one_leaf_and_leaves_a_pin_whole(void **state)
{
    (void)state;
    for (enum order fill_order = 0; fill_order < ORDERS; fill_order++)
        for (enum order empty_order = 0; empty_order < ORDERS; empty_order++)
            fill_and_empty(fill_order, empty_order, 6000, 3);
}

static void a_tree_of_four_levels_is_right(void **state)
{
    (void)state;
    fill_and_empty(ORDER_INWARDS, ORDER_OUTWARDS, 90000, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tree_holds_what_a_sorted_table_holds),
        cmocka_unit_test(pins_show_their_moment_whatever_is_written_and_unpinned_later),
        cmocka_unit_test(small_trees_with_many_pins_are_right_after_every_step),
        cmocka_unit_test(a_search_ends_where_the_key_would_be),
        cmocka_unit_test(steps_back_are_steps_in_reverse),
        cmocka_unit_test(what_is_put_over_stays_until_it_is_retired),
        cmocka_unit_test(an_empty_tree_has_nothing_to_find_and_nothing_next),
        cmocka_unit_test(keys_in_rising_order_leave_full_nodes),
        cmocka_unit_test(
            a_tree_filled_and_emptied_in_any_order_ends_as_one_leaf_and_leaves_a_pin_whole),
        cmocka_unit_test(a_tree_of_four_levels_is_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
