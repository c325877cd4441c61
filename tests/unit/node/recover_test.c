/* Which data directories a node starts on: what is missing from one that was in use is lost data,
 * and not a new beginning. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/node.h"
#include "sim/world.h"
#include "support/world_node.h"

#define LOG "wal/0000000000000001.log"

static struct world *world;
static struct node *node;
static struct errtext error;

static enum status start(struct env *env)
{
    struct node_options options = world_node_options(1, 1, true);
    struct node_callbacks callbacks = {0};
    error = (struct errtext){0};
    return node_open(env, &options, &callbacks, &node, &error);
}

/* A node that has led, written, and lost its power. Its machine is on again. */
static struct env *used_directory(void)
{
    struct world_options options = {
        .seed = 1, .delay_min = 100, .delay_max = 300, .sync_min = 50, .sync_max = 400};
    world = world_new(&options);
    assert_int_equal(start(world_boot(world, 1)), ST_OK);
    while (world_step(world, 3000 * TIME_US_PER_MS))
        ;
    assert_int_equal(node_view(node)->role, RAFT_ROLE_LEADER);
    world_crash(world, 1);
    node_close(node);
    node = NULL;
    return world_boot(world, 1);
}

static void remove_for_good(struct env *env, const char *directory, const char *path)
{
    assert_int_equal(env_unlink(env, path), ST_OK);
    assert_int_equal(env_dir_sync(env, directory), ST_OK);
}

static void finish(void)
{
    world_crash(world, 1);
    node_close(node);
    node = NULL;
    world_free(world);
}

static void a_directory_that_is_whole_is_gone_on_with(void **state)
{
    (void)state;
    struct env *env = used_directory();

    assert_int_equal(start(env), ST_OK);

    finish();
}

/* With an empty log it could vote again in a term in which it has voted. */
static void a_node_that_had_a_log_and_has_none_does_not_start(void **state)
{
    (void)state;
    struct env *env = used_directory();
    remove_for_good(env, "wal", LOG);

    assert_int_equal(start(env), ST_CORRUPT);

    assert_non_null(strstr(error.text, "log is missing"));
    finish();
}

static void it_does_not_start_at_the_second_attempt_either(void **state)
{
    (void)state;
    struct env *env = used_directory();
    remove_for_good(env, "wal", LOG);
    assert_int_equal(start(env), ST_CORRUPT);
    world_crash(world, 1);

    assert_int_equal(start(world_boot(world, 1)), ST_CORRUPT);

    finish();
}

static void a_log_without_its_meta_is_no_fresh_directory(void **state)
{
    (void)state;
    struct env *env = used_directory();
    remove_for_good(env, ".", "meta");

    assert_int_equal(start(env), ST_CORRUPT);

    assert_non_null(strstr(error.text, "meta is missing"));
    finish();
}

int main(void)
{
    diag_set_level(DIAG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_directory_that_is_whole_is_gone_on_with),
        cmocka_unit_test(a_node_that_had_a_log_and_has_none_does_not_start),
        cmocka_unit_test(it_does_not_start_at_the_second_attempt_either),
        cmocka_unit_test(a_log_without_its_meta_is_no_fresh_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
