/* List, errtext and memory: the small things that everything stands on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/check.h"
#include "base/diag.h"
#include "base/list.h"
#include "base/mem.h"

struct item {
    char name;
    struct list link;
};

static struct item items[] = {{.name = 'a'}, {.name = 'b'}, {.name = 'c'}, {.name = 'd'}};

/* The names in order; the way back must show the same. */
static const char *names_of(const struct list *list)
{
    static char names[16];
    size_t count = 0, back_count = 0;
    for (const struct list *at = list->next; at != list; at = at->next)
        names[count++] = CONTAINER_OF(at, struct item, link)->name;
    names[count] = '\0';
    for (const struct list *at = list->prev; at != list; at = at->prev)
        assert_int_equal(CONTAINER_OF(at, struct item, link)->name, names[count - ++back_count]);
    assert_int_equal(back_count, count);
    return names;
}

static void fill(struct list *list, size_t from, size_t to)
{
    list_init(list);
    for (size_t i = from; i < to; i++)
        list_push_back(list, &items[i].link);
}

static void items_stay_in_the_order_they_came(void **state)
{
    struct list list;
    fill(&list, 0, 0);
    assert_true(list_is_empty(&list));

    fill(&list, 0, 4);

    assert_false(list_is_empty(&list));
    assert_string_equal(names_of(&list), "abcd");
}

static void any_item_can_be_removed_and_again(void **state)
{
    for (size_t first = 0; first < 4; first++)
        for (size_t second = 0; second < 4; second++) {
            struct list list;
            char wanted[5];
            size_t count = 0;
            fill(&list, 0, 4);
            list_remove(&items[first].link);
            list_remove(&items[second].link);
            list_remove(&items[first].link); /* its former neighbour may be gone as well */

            for (size_t i = 0; i < 4; i++)
                if (i != first && i != second)
                    wanted[count++] = items[i].name;
            wanted[count] = '\0';
            assert_string_equal(names_of(&list), wanted);
            assert_true(list_is_empty(&items[first].link));
        }
}

static void splicing_moves_everything_and_leaves_an_empty_list(void **state)
{
    for (size_t cut = 0; cut <= 4; cut++) {
        struct list to, from;
        fill(&to, 0, cut);
        fill(&from, cut, 4);
        list_splice(&to, &from);
        assert_true(list_is_empty(&from));
        assert_string_equal(names_of(&to), "abcd");
        list_push_back(&from, &(struct item){.name = 'x'}.link);
        assert_string_equal(names_of(&to), "abcd");
    }
}

static void an_error_is_wrapped_from_outside_in(void **state)
{
    struct errtext error;

    errtext_set(&error, "record at %u: bad checksum", 4096u);
    errtext_wrap(&error, "segment %06d", 12);
    errtext_wrap(&error, "wal");

    assert_string_equal(error.text, "wal: segment 000012: record at 4096: bad checksum");
}

static void an_error_too_long_keeps_its_beginning(void **state)
{
    struct errtext error;
    char long_text[400];
    memset(long_text, 'x', sizeof long_text);
    long_text[sizeof long_text - 1] = '\0';

    errtext_set(&error, "%s", long_text);
    assert_int_equal(strlen(error.text), sizeof error.text - 1);
    errtext_wrap(&error, "outer");
    assert_int_equal(strncmp(error.text, "outer: xxx", 10), 0);
    assert_int_equal(strlen(error.text), sizeof error.text - 1);
    errtext_wrap(&error, "%s", long_text);
    assert_int_equal(strlen(error.text), sizeof error.text - 1);
}

static void memory_comes_zeroed_and_of_any_size(void **state)
{
    for (size_t count = 0; count < 100; count++) {
        uint8_t *memory = mem_alloc_array(count, 3);
        assert_non_null(memory);
        for (size_t i = 0; i < 3 * count; i++)
            assert_int_equal(memory[i], 0);
        memory = mem_realloc(memory, count + 1);
        memory[count] = 1;
        mem_free(memory);
    }
    mem_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_stay_in_the_order_they_came),
        cmocka_unit_test(any_item_can_be_removed_and_again),
        cmocka_unit_test(splicing_moves_everything_and_leaves_an_empty_list),
        cmocka_unit_test(an_error_is_wrapped_from_outside_in),
        cmocka_unit_test(an_error_too_long_keeps_its_beginning),
        cmocka_unit_test(memory_comes_zeroed_and_of_any_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
