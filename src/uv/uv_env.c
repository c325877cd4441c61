/* Uv env: life cycle, the order of one turn of the loop, clock, chance and signals. */
#include "uv/uv_internal.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"

struct env_signal {
    uv_signal_t handle;
    struct list link;
    void (*on_signal)(void *ctx);
    void *ctx;
};

/* One uv_env_run_until. */
struct env_run {
    struct env_timer timer;
    bool is_late;
    bool (*is_done)(void *ctx);
    void *ctx;
};

static bool is_run_over(const struct env_run *run)
{
    return run->is_late || run->is_done(run->ctx);
}

static time_us clock_us(clockid_t clock)
{
    struct timespec time;
    int rc = clock_gettime(clock, &time);
    INVARIANT(rc == 0);
    return (time_us)time.tv_sec * 1000000 + (time_us)time.tv_nsec / 1000;
}

time_us env_now(struct env *env)
{
    if (env->is_now_stale) {
        env->now = clock_us(CLOCK_MONOTONIC);
        env->is_now_stale = false;
    }
    return env->now;
}

time_us env_wall_now(struct env *env)
{
    (void)env; /* the simulator keeps wall time per env */
    return clock_us(CLOCK_REALTIME);
}

uint64_t env_random(struct env *env)
{
    (void)env;
    uint64_t value;
    ssize_t count;
    do {
        count = getrandom(&value, sizeof value, 0);
    } while (count < 0 && errno == EINTR);
    INVARIANT(count == (ssize_t)sizeof value);
    return value;
}

void env_clock_expire(struct env *env)
{
    env->is_now_stale = true;
}

/* After sockets and completions: tasks, then the writes they asked for, then what those caused. */
static void env_on_check(uv_check_t *check)
{
    struct env *env = check->data;
    env_clock_expire(env);
    env_tasks_run(env);
    if (env_writer_has_work(env)) {
        env_writer_run(env);
        env_tasks_run(env);
    }
}

static void idle_on_turn(uv_idle_t *idle)
{
    (void)idle; /* that it is active is all it does */
}

/* After timers, before the wait, which is none when something is left to do: tasks of timers, or
 * more rounds of tasks than one turn has. They run once the sockets have been looked at. */
static void env_on_prepare(uv_prepare_t *prepare)
{
    struct env *env = prepare->data;
    bool has_work = !list_is_empty(&env->tasks) || env_writer_has_work(env) ||
                    (env->run != NULL && is_run_over(env->run));
    int rc = has_work ? uv_idle_start(&env->idle, idle_on_turn) : uv_idle_stop(&env->idle);
    INVARIANT(rc == 0);
    env_timers_arm(env);
    env_clock_expire(env);
}

static void init_handles(struct env *env)
{
    int rc = uv_prepare_init(&env->loop, &env->prepare);
    INVARIANT(rc == 0);
    rc = uv_check_init(&env->loop, &env->check);
    INVARIANT(rc == 0);
    rc = uv_idle_init(&env->loop, &env->idle);
    INVARIANT(rc == 0);
    env->prepare.data = env->check.data = env;
    rc = uv_prepare_start(&env->prepare, env_on_prepare);
    INVARIANT(rc == 0);
    rc = uv_check_start(&env->check, env_on_check);
    INVARIANT(rc == 0);
}

enum status uv_env_new(const struct uv_env_options *options, struct env **out_env,
                       struct errtext *error)
{
    int dir_fd = -1;
    if (options->data_dir != NULL) {
        enum status status = env_dir_open(options->data_dir, &dir_fd, error);
        if (status != ST_OK)
            return status;
    }

    struct env *env = mem_alloc(sizeof *env);
    int rc = uv_loop_init(&env->loop);
    if (rc != 0) {
        errtext_set(error, "event loop: %s", strerror(-rc));
        if (dir_fd >= 0)
            (void)close(dir_fd); /* read-only: nothing to lose */
        mem_free(env);
        return ST_IO;
    }
    env->dir_fd = dir_fd;
    env->lock_fd = -1;
    env->is_now_stale = true;
    env->read_buffer = mem_alloc_raw(LIMIT_READ_BYTES);
    list_init(&env->tasks);
    list_init(&env->streams);
    list_init(&env->listeners);
    list_init(&env->files);
    list_init(&env->signals);
    init_handles(env);
    env_timers_init(env);
    env_writer_init(&env->writer, options->write_on_thread);
    env_writer_init(&env->background, true);
    (void)signal(SIGPIPE, SIG_IGN); /* cannot fail with these arguments */
    *out_env = env;
    return ST_OK;
}

static void signal_on_closed(uv_handle_t *handle)
{
    mem_free(handle->data);
}

static void close_signals(struct env *env)
{
    while (!list_is_empty(&env->signals)) {
        struct env_signal *signal = CONTAINER_OF(env->signals.next, struct env_signal, link);
        list_remove(&signal->link);
        uv_close((uv_handle_t *)&signal->handle, signal_on_closed);
    }
}

void uv_env_free(struct env *env)
{
    if (env == NULL)
        return;

    atomic_store(&env->is_closing, true);
    env_writer_stop(env, &env->writer);
    env_writer_stop(env, &env->background);
    env_stream_close_all(env);
    env_listener_close_all(env);
    env_disk_close_files(env);
    close_signals(env);
    uv_close((uv_handle_t *)&env->prepare, NULL);
    uv_close((uv_handle_t *)&env->check, NULL);
    uv_close((uv_handle_t *)&env->idle, NULL);
    uv_close((uv_handle_t *)&env->timers.uv_timer, NULL);
    int rc = uv_run(&env->loop, UV_RUN_DEFAULT); /* the close callbacks, which free the memory */
    INVARIANT(rc == 0);
    rc = uv_loop_close(&env->loop);
    INVARIANT(rc == 0);

    env_timers_release(env);
    mem_free(env->read_buffer);
    if (env->lock_fd >= 0)
        (void)close(env->lock_fd); /* releases the lock */
    if (env->dir_fd >= 0)
        (void)close(env->dir_fd);
    mem_free(env);
}

void uv_env_run(struct env *env)
{
    env_clock_expire(env);
    (void)uv_run(&env->loop, UV_RUN_DEFAULT); /* tells only that handles are still open */
    env_clock_expire(env);
}

void uv_env_stop(struct env *env)
{
    uv_stop(&env->loop);
}

static void run_on_late(void *ctx)
{
    struct env_run *run = ctx;
    run->is_late = true;
}

bool uv_env_run_until(struct env *env, bool (*is_done)(void *ctx), void *ctx, time_us timeout)
{
    REQUIRE(env->run == NULL);

    struct env_run run = {.is_done = is_done, .ctx = ctx};
    env_clock_expire(env);
    env_timer_init(&run.timer, run_on_late, &run);
    env_timer_set(env, &run.timer, env_now(env) + timeout);
    env->run = &run;
    while (!is_run_over(&run))
        (void)uv_run(&env->loop, UV_RUN_ONCE); /* tells only that handles are still open */
    env->run = NULL;
    env_timer_set(env, &run.timer, TIME_NEVER);
    env_clock_expire(env);
    return is_done(ctx);
}

static void signal_on_raised(uv_signal_t *handle, int signum)
{
    struct env_signal *signal = handle->data;
    signal->on_signal(signal->ctx);
}

void uv_env_on_signal(struct env *env, int signum, void (*on_signal)(void *ctx), void *ctx)
{
    REQUIRE(on_signal != NULL);

    struct env_signal *signal = mem_alloc(sizeof *signal);
    signal->on_signal = on_signal;
    signal->ctx = ctx;
    int rc = uv_signal_init(&env->loop, &signal->handle);
    INVARIANT(rc == 0);
    signal->handle.data = signal;
    rc = uv_signal_start(&signal->handle, signal_on_raised, signum);
    INVARIANT(rc == 0);
    list_push_back(&env->signals, &signal->link);
}
