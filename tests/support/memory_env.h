/* Memory env: clock, timers, tasks and streams without a kernel, for tests of front doors.
 *
 * Time stands still until the test moves it. A stream is a pair of byte strings: what the test
 * feeds reaches on_data in the pieces it was fed in; what the server sends is kept to be read.
 *
 * Include it once per program: it defines the env functions that a front door calls. */
#ifndef MINIKV_TESTS_SUPPORT_MEMORY_ENV_H
#define MINIKV_TESTS_SUPPORT_MEMORY_ENV_H

#include "base/buf.h"
#include "base/mem.h"
#include "env/env.h"

enum { MEMORY_TIMERS_MAX = 64 };

struct env {
    time_us now;
    uint64_t random; /* the last number given */
    struct list tasks;
    struct env_timer *timers[MEMORY_TIMERS_MAX]; /* armed; heap_index is the place plus one */
    void (*on_accept)(void *ctx, struct env_stream *stream);
    void *accept_ctx;
    struct list streams;
    struct env_stream *dialed; /* the last env_connect */
    struct address dialed_address;
};

struct env_stream {
    struct list link;
    struct env *env;
    const struct env_stream_handler *handler;
    void *ctx;
    struct buf sent;  /* by the server, all of it */
    size_t taken;     /* by the test, of `sent`; SIZE_MAX: everything at once */
    struct buf inbox; /* fed while paused */
    size_t sends_count;
    bool is_paused;
    bool is_finished; /* by the server, in order */
    bool is_closed;   /* by the server, at once, or by the test */
};

/* ---- the test's side ---- */

static inline struct env *memory_env_new(void)
{
    struct env *env = mem_alloc(sizeof *env);
    env->now = 1000000;
    list_init(&env->tasks);
    list_init(&env->streams);
    return env;
}

static inline void memory_env_free(struct env *env)
{
    while (!list_is_empty(&env->streams)) {
        struct env_stream *stream = CONTAINER_OF(env->streams.next, struct env_stream, link);
        list_remove(&stream->link);
        buf_release(&stream->sent);
        buf_release(&stream->inbox);
        mem_free(stream);
    }
    mem_free(env);
}

static inline struct env_stream *memory_stream_new(struct env *env)
{
    struct env_stream *stream = mem_alloc(sizeof *stream);
    stream->env = env;
    stream->taken = SIZE_MAX;
    buf_init(&stream->sent, SIZE_MAX);
    buf_init(&stream->inbox, SIZE_MAX);
    list_push_back(&env->streams, &stream->link);
    return stream;
}

/* Runs tasks until there are none, then what is due. */
static inline void memory_run(struct env *env)
{
    bool is_idle = false;
    while (!is_idle) {
        is_idle = true;
        while (!list_is_empty(&env->tasks)) {
            struct env_task *task = CONTAINER_OF(env->tasks.next, struct env_task, link);
            list_remove(&task->link);
            task->is_posted = false;
            task->on_run(task->ctx);
            is_idle = false;
        }
        for (size_t i = 0; i < MEMORY_TIMERS_MAX; i++) {
            struct env_timer *timer = env->timers[i];
            if (timer == NULL || timer->deadline > env->now)
                continue;
            env_timer_set(env, timer, TIME_NEVER);
            timer->on_fire(timer->ctx);
            is_idle = false;
        }
    }
}

/* In steps, so that timers that re-arm themselves come as often as they should. */
static inline void memory_advance(struct env *env, time_us by)
{
    time_us end = env->now + by;
    while (env->now < end) {
        env->now += MIN(end - env->now, (time_us)10000);
        memory_run(env);
    }
}

/* A client's connection, accepted by the server under test. */
static inline struct env_stream *memory_dial(struct env *env)
{
    struct env_stream *stream = memory_stream_new(env);
    env->on_accept(env->accept_ctx, stream);
    return stream;
}

/* Gives bytes to the server in one piece, and does not run its tasks. */
static inline void memory_give(struct env_stream *stream, struct bytes bytes)
{
    if (stream->is_closed || stream->is_finished || bytes.count == 0)
        return;
    if (stream->is_paused || stream->inbox.count != 0)
        buf_put(&stream->inbox, bytes);
    else
        stream->handler->on_data(stream->ctx, bytes);
}

static inline void memory_feed(struct env_stream *stream, struct bytes bytes)
{
    memory_give(stream, bytes);
    memory_run(stream->env);
}

/* The client is gone. */
static inline void memory_hang_up(struct env_stream *stream, enum env_end end)
{
    if (stream->is_closed || stream->is_finished)
        return;
    stream->is_closed = true;
    stream->handler->on_end(stream->ctx, end);
    memory_run(stream->env);
}

/* The client reads `count` bytes more. */
static inline void memory_take(struct env_stream *stream, size_t count)
{
    REQUIRE(stream->taken != SIZE_MAX);
    stream->taken = MIN(stream->taken + count, stream->sent.count);
    if (stream->taken == stream->sent.count && !stream->is_closed && !stream->is_finished &&
        stream->handler->on_drained != NULL)
        stream->handler->on_drained(stream->ctx);
    memory_run(stream->env);
}

/* ---- the server's side: env.h ---- */

time_us env_now(struct env *env)
{
    return env->now;
}

/* The same numbers in every run. */
time_us env_wall_now(struct env *env)
{
    return (time_us)1700000000 * 1000000 + env->now;
}

uint64_t env_random(struct env *env)
{
    return env->random += 0x9e3779b97f4a7c15;
}

void env_timer_init(struct env_timer *timer, void (*on_fire)(void *ctx), void *ctx)
{
    *timer = (struct env_timer){.on_fire = on_fire, .ctx = ctx};
}

void env_timer_set(struct env *env, struct env_timer *timer, time_us deadline)
{
    if (timer->heap_index != 0)
        env->timers[timer->heap_index - 1] = NULL;
    timer->heap_index = 0;
    if (deadline == TIME_NEVER)
        return;
    size_t place = 0;
    while (place < MEMORY_TIMERS_MAX && env->timers[place] != NULL)
        place++;
    REQUIRE(place < MEMORY_TIMERS_MAX);
    timer->deadline = deadline;
    timer->heap_index = place + 1;
    env->timers[place] = timer;
}

void env_task_init(struct env_task *task, void (*on_run)(void *ctx), void *ctx)
{
    *task = (struct env_task){.on_run = on_run, .ctx = ctx};
    list_init(&task->link);
}

void env_task_post(struct env *env, struct env_task *task)
{
    if (!task->is_posted)
        list_push_back(&env->tasks, &task->link);
    task->is_posted = true;
}

void env_task_cancel(struct env *env, struct env_task *task)
{
    list_remove(&task->link);
    task->is_posted = false;
}

enum status env_listen(struct env *env, const struct address *address,
                       void (*on_accept)(void *ctx, struct env_stream *stream), void *ctx,
                       struct env_listener **out_listener, struct errtext *error)
{
    env->on_accept = on_accept;
    env->accept_ctx = ctx;
    *out_listener = NULL;
    return ST_OK;
}

void env_listener_pause(struct env_listener *listener, bool is_paused)
{
}

void env_listener_close(struct env_listener *listener)
{
}

struct env_stream *env_connect(struct env *env, const struct address *address,
                               const struct env_stream_handler *handler, void *ctx)
{
    struct env_stream *stream = memory_stream_new(env);
    stream->handler = handler;
    stream->ctx = ctx;
    env->dialed = stream;
    env->dialed_address = *address;
    return stream;
}

void env_stream_start(struct env_stream *stream, const struct env_stream_handler *handler,
                      void *ctx)
{
    stream->handler = handler;
    stream->ctx = ctx;
}

void env_stream_send(struct env_stream *stream, struct bytes bytes)
{
    REQUIRE(!stream->is_closed && !stream->is_finished);
    buf_put(&stream->sent, bytes);
    stream->sends_count++;
}

size_t env_stream_queued(const struct env_stream *stream)
{
    return stream->taken == SIZE_MAX ? 0 : stream->sent.count - stream->taken;
}

void env_stream_pause(struct env_stream *stream, bool is_paused)
{
    stream->is_paused = is_paused;
    while (!stream->is_paused && stream->inbox.count != 0 && !stream->is_closed &&
           !stream->is_finished) {
        struct buf inbox = stream->inbox; /* on_data may pause again */
        buf_init(&stream->inbox, SIZE_MAX);
        stream->handler->on_data(stream->ctx, buf_bytes(&inbox));
        buf_release(&inbox);
    }
}

void env_stream_finish(struct env_stream *stream, time_us linger)
{
    stream->is_finished = true;
}

void env_stream_close(struct env_stream *stream)
{
    if (stream != NULL)
        stream->is_closed = true;
}

#endif
