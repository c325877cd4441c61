/* Life cycle: running, stopping, signals, chance, and freeing an env with everything open. */
#include "unit/uv/uv_fixture.h"

#include <signal.h>
#include <sys/stat.h>
#include <time.h>

struct probe {
    struct env *env;
    int count;
    bool is_done;
};

static void on_event_stop(void *ctx)
{
    struct probe *probe = ctx;
    probe->count++;
    uv_env_stop(probe->env);
}

static void on_event_note(void *ctx)
{
    struct probe *probe = ctx;
    probe->count++;
    probe->is_done = true;
}

static void a_program_without_disk_needs_no_directory(void **state)
{
    struct uv_env_options options = {.data_dir = NULL};
    struct errtext error;
    struct env *env;

    assert_int_equal(uv_env_new(&options, &env, &error), ST_OK);

    uv_env_free(env);
    uv_env_free(NULL);
}

static void a_missing_directory_is_made_with_its_parents_for_its_owner_only(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, false);
    char path[192];
    (void)snprintf(path, sizeof path, "%s/a//b/c/", fixture.dir);
    struct uv_env_options options = {.data_dir = path};
    struct errtext error;
    struct env *env;

    assert_int_equal(uv_env_new(&options, &env, &error), ST_OK);

    struct stat stat_of_dir;
    assert_int_equal(stat(path, &stat_of_dir), 0);
    assert_int_equal(stat_of_dir.st_mode & 07777, 0700);
    uv_env_free(env);
    fixture_close(&fixture);
}

static void a_directory_that_cannot_be_made_is_named_in_the_error(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, false);
    env_file_close(fixture_create(&fixture, "file"));
    char path[192];
    (void)snprintf(path, sizeof path, "%s/file/sub", fixture.dir);
    struct uv_env_options options = {.data_dir = path};
    struct errtext error;
    struct env *env;

    assert_int_equal(uv_env_new(&options, &env, &error), ST_IO);

    assert_non_null(strstr(error.text, path));
    assert_non_null(strstr(error.text, "Not a directory"));
    fixture_close(&fixture);
}

static void the_loop_runs_until_a_callback_stops_it_and_can_run_again(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, false);
    struct probe probe = {.env = fixture.env};
    struct env_timer timer;
    env_timer_init(&timer, on_event_stop, &probe);

    for (int i = 1; i <= 2; i++) {
        env_timer_set(fixture.env, &timer, env_now(fixture.env) + 1000);
        uv_env_run(fixture.env);
        assert_int_equal(probe.count, i);
    }

    fixture_close(&fixture);
}

static void a_signal_reaches_its_callback_each_time(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, false);
    struct probe user = {.env = fixture.env};
    struct probe hang_up = {.env = fixture.env};
    uv_env_on_signal(fixture.env, SIGUSR1, on_event_note, &user);
    uv_env_on_signal(fixture.env, SIGHUP, on_event_note, &hang_up);

    for (int i = 1; i <= 2; i++) {
        user.is_done = false;
        assert_int_equal(raise(SIGUSR1), 0);
        RUN_UNTIL(&fixture, user.is_done);
        assert_int_equal(user.count, i);
    }

    assert_int_equal(hang_up.count, 0);
    fixture_close(&fixture);
}

static void random_numbers_differ(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, false);
    struct env *env = fixture.env;

    uint64_t first = env_random(env);

    assert_true(env_random(env) != first || env_random(env) != first);
    fixture_close(&fixture);
}

static void wall_time_is_that_of_the_system(void **state)
{
    struct fixture fixture;
    fixture_open(&fixture, false);

    time_t before = time(NULL);
    time_us now = env_wall_now(fixture.env);

    assert_true(now / 1000000 + 1 >= (time_us)before);
    assert_true(now / 1000000 <= (time_us)time(NULL) + 1);
    fixture_close(&fixture);
}

static void count_write(void *ctx, enum status status)
{
    assert_int_equal(status, ST_OK);
    ++*(int *)ctx;
}

static void never_called(void *ctx)
{
    fail_msg("a callback during uv_env_free");
}

static void never_accepts(void *ctx, struct env_stream *stream)
{
    fail_msg("an accept during uv_env_free");
}

static void never_reads(void *ctx, struct bytes bytes)
{
    fail_msg("data during uv_env_free");
}

static void never_ends(void *ctx, enum env_end end)
{
    fail_msg("an end during uv_env_free");
}

/* The leak checker of the sanitizer build is what really tests this. */
static void freeing_completes_writes_and_closes_what_is_open_without_callbacks(void **state)
{
    static const struct env_stream_handler handler = {
        .on_open = never_called, .on_data = never_reads, .on_end = never_ends};
    for (int on_thread = 0; on_thread <= 1; on_thread++) {
        struct fixture fixture;
        fixture_open(&fixture, on_thread == 1);
        struct env *env = fixture.env;
        struct env_timer timer;
        struct env_task task;
        struct env_listener *listener;
        struct errtext error;
        struct address address = {.host = "127.0.0.1"};
        int writes_count = 0;
        struct env_write write = {.on_done = count_write,
                                  .ctx = &writes_count,
                                  .file = fixture_create(&fixture, "left-open"),
                                  .bytes = BYTES_LITERAL("bytes")};

        env_timer_init(&timer, never_called, NULL);
        env_timer_set(env, &timer, 0);
        env_task_init(&task, never_called, NULL);
        env_task_post(env, &task);
        assert_int_equal(env_listen(env, &address, never_accepts, NULL, &listener, &error), ST_OK);
        address.port = uv_env_listener_port(listener);
        env_stream_send(env_connect(env, &address, &handler, NULL), BYTES_LITERAL("hello"));
        (void)env_connect(env, &(struct address){.host = "localhost", .port = 1}, &handler, NULL);
        uv_env_on_signal(env, SIGUSR2, never_called, NULL);
        env_write_start(env, &write);
        env_task_cancel(env, &task);
        env_timer_set(env, &timer, TIME_NEVER);

        fixture_close(&fixture);
        assert_int_equal(writes_count, 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_without_disk_needs_no_directory),
        cmocka_unit_test(a_missing_directory_is_made_with_its_parents_for_its_owner_only),
        cmocka_unit_test(a_directory_that_cannot_be_made_is_named_in_the_error),
        cmocka_unit_test(the_loop_runs_until_a_callback_stops_it_and_can_run_again),
        cmocka_unit_test(a_signal_reaches_its_callback_each_time),
        cmocka_unit_test(random_numbers_differ),
        cmocka_unit_test(wall_time_is_that_of_the_system),
        cmocka_unit_test(freeing_completes_writes_and_closes_what_is_open_without_callbacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
