/* When the loop of a node may block for its own disk: only while next to nobody wants anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "node/node_internal.h"

static void arrive(struct node *node, size_t count)
{
    for (size_t i = 0; i < count; i++)
        node_note_arrival(node);
}

/* Whether this many arrivals before each write leave the loop to the disk. */
static bool may_block_with(struct node *node, size_t arrivals_count)
{
    arrive(node, arrivals_count);
    return ready_may_block(node);
}

static void a_node_with_little_to_do_writes_in_the_loop(void **state)
{
    struct node *node = mem_alloc(sizeof *node);

    for (size_t i = 0; i < 100; i++)
        assert_true(may_block_with(node, i % (NODE_QUIET_ARRIVALS + 1)));
    mem_free(node);
}

static void a_busy_node_leaves_it_to_the_thread(void **state)
{
    struct node *node = mem_alloc(sizeof *node);

    for (size_t i = 0; i < 100; i++)
        assert_false(may_block_with(node, NODE_QUIET_ARRIVALS + 1 + i));
    mem_free(node);
}

/* Requests come in bursts: one write with nobody waiting does not make a quiet node. */
static void after_the_rush_it_stays_with_the_thread_for_some_writes(void **state)
{
    struct node *node = mem_alloc(sizeof *node);
    (void)may_block_with(node, NODE_QUIET_ARRIVALS + 1);

    for (size_t i = 1; i < NODE_BUSY_WRITES; i++)
        assert_false(may_block_with(node, 0));

    assert_true(may_block_with(node, 0));
    mem_free(node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_node_with_little_to_do_writes_in_the_loop),
        cmocka_unit_test(a_busy_node_leaves_it_to_the_thread),
        cmocka_unit_test(after_the_rush_it_stays_with_the_thread_for_some_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
