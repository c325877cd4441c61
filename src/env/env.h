/* Env: the only door to the world: clock, timers, tasks, disk and network.
 *
 * Interfaces only. The functions are defined twice: in src/uv on libuv, for real sockets and files,
 * and in the simulator on virtual time. A program links one of the two; production code cannot
 * tell which.
 *
 * Calling      one thread, the loop's. Callbacks run from the loop, never inside the call that
 *              starts something; after a stop or close returns, no callback of that object runs
 * Ownership    timers, tasks and disk requests are embedded in their owner and must outlive their
 *              callback; streams, listeners and files belong to the env and are named by pointer */
#ifndef MINIKV_ENV_ENV_H
#define MINIKV_ENV_ENV_H

#include "base/bytes.h"
#include "base/check.h"
#include "base/diag.h"
#include "base/list.h"
#include "base/status.h"
#include "types/address.h"
#include "types/ids.h"

struct env;

/* ---- time and chance ---- */

time_us env_now(struct env *env); /* monotonic; the same value all through one callback */
time_us
env_wall_now(struct env *env);        /* since 1970, UTC: for display and the leader's stamp only */
uint64_t env_random(struct env *env); /* for ids and seeds, never for decisions */

struct env_timer {
    void (*on_fire)(void *ctx);
    void *ctx;
    /* private to the env */
    time_us deadline;
    uint64_t sequence; /* equal deadlines fire in the order they were set */
    size_t heap_index; /* 0: not armed */
    struct list link;  /* in a queue of the env's, if it has any */
};

void env_timer_init(struct env_timer *timer, void (*on_fire)(void *ctx), void *ctx);
/* Arms or re-arms; fires once. TIME_NEVER disarms. */
void env_timer_set(struct env *env, struct env_timer *timer, time_us deadline);

/* A task runs once, after the events of this turn of the loop have been delivered and before the
 * loop waits again: the place for batching what many callbacks asked for. */
struct env_task {
    void (*on_run)(void *ctx);
    void *ctx;
    struct list link; /* private to the env */
    bool is_posted;   /* private to the env */
};

void env_task_init(struct env_task *task, void (*on_run)(void *ctx), void *ctx);
void env_task_post(struct env *env, struct env_task *task); /* posting twice is once */
void env_task_cancel(struct env *env, struct env_task *task);

/* ---- disk ----
 * Paths are relative to the data directory given when the env was made. The calls that return a
 * status block: they are for opening, recovering and preparing. The log is written through
 * env_write_start, which does not. */

enum { ENV_BLOCK_BYTES = 4096 };

struct env_file;
enum env_open { ENV_OPEN_READ, ENV_OPEN_WRITE, ENV_OPEN_CREATE /* must not exist */ };

/* ST_OK; ST_NOT_FOUND; ST_NO_SPACE; ST_IO with `error` set. */
MUST_CHECK enum status env_file_open(struct env *env, const char *path, enum env_open mode,
                                     struct env_file **out_file, struct errtext *error);
void env_file_close(struct env_file *file); /* NULL is a no-op */
MUST_CHECK enum status env_file_size(struct env_file *file, uint64_t *out_bytes);
/* Fewer bytes only at the end of the file. */
MUST_CHECK enum status env_file_read(struct env_file *file, uint64_t offset, void *out,
                                     size_t count, size_t *out_count);
/* All or an error: ST_NO_SPACE, ST_IO. Not durable before env_file_sync. */
MUST_CHECK enum status env_file_write(struct env_file *file, uint64_t offset, struct bytes bytes);
/* From now on, what is written in whole blocks (offset, count and place in memory are multiples of
 * ENV_BLOCK_BYTES) goes around the page cache, where the file system can do that: for what is
 * written once and seldom read. It changes nothing about what is durable, and when. */
void env_file_bypass_cache(struct env_file *file);
/* fdatasync. ST_OK, ST_IO: also where there was no room for what had been written; it is lost. */
MUST_CHECK enum status env_file_sync(struct env_file *file);

MUST_CHECK enum status env_dir_make(struct env *env, const char *path); /* ok when it exists */
MUST_CHECK enum status env_dir_sync(struct env *env, const char *path);
/* Calls `on_name` for each entry but . and .., in rising byte order. */
MUST_CHECK enum status env_dir_list(struct env *env, const char *path,
                                    void (*on_name)(void *ctx, const char *name), void *ctx);
MUST_CHECK enum status env_rename(struct env *env, const char *from, const char *to);
MUST_CHECK enum status env_unlink(struct env *env, const char *path);
/* Takes the lock of the data directory for the life of the env. ST_LOCKED when another has it. */
MUST_CHECK enum status env_lock(struct env *env, const char *path, struct errtext *error);

/* One write followed by fdatasync, or the fdatasync alone when `bytes` is empty.
 * Completion is a callback from the loop. There are two lanes: requests of one lane complete in the
 * order started, and those in the background never delay the others. */
struct env_write {
    /* ST_OK; ST_NO_SPACE: of the write, nothing was synced; ST_IO */
    void (*on_done)(void *ctx, enum status status);
    void *ctx;
    struct env_file *file;
    uint64_t offset;
    struct bytes bytes; /* borrowed until on_done */
    bool skip_sync;     /* for preparing spare files in paced pieces */
    bool is_background; /* the other lane: for what is large and not waited for */
    bool leaves_cache;  /* once it is synced, it gives its place in the page cache back */
    bool may_block;   /* the loop has nothing else to do: it may do this itself, if that is quick */
    struct list link; /* private to the env */
    enum status status; /* private to the env */
    time_us took;       /* private to the env */
};
void env_write_start(struct env *env, struct env_write *write);

/* ---- work beside the loop ----
 * A worker carries out jobs one after the other, in the order started: on a thread of its own where
 * the env has threads; in the simulator when they are waited for, and if they never are, not at
 * all. For calls that block anyway: a callback has no time to wait. */

struct env_worker;
struct env_job {
    /* Uses only what nobody else does until the job is waited for, or what nobody changes; of the
     * env only env_file_read. */
    void (*work)(void *ctx);
    void *ctx;
    struct list link; /* private to the env */
    bool is_done;     /* private to the env */
};

struct env_worker *env_worker_open(struct env *env);
/* Waits for the job that is being carried out; those behind it will not be. NULL is a no-op. */
void env_worker_close(struct env_worker *worker);
void env_worker_start(struct env_worker *worker, struct env_job *job);
/* Blocks until the job is done. Jobs are waited for in the order started; then each can be started
 * again. */
void env_worker_wait(struct env_worker *worker, struct env_job *job);

/* ---- network ---- */

struct env_listener;
struct env_stream;

enum env_end {
    ENV_END_EOF,   /* the other side closed in order */
    ENV_END_RESET, /* reset, refused, unreachable */
    ENV_END_ERROR  /* anything else on this side */
};

struct env_stream_handler {
    /* Connected: only for streams from env_connect. */
    void (*on_open)(void *ctx);
    /* Bytes, borrowed for the call. */
    void (*on_data)(void *ctx, struct bytes bytes);
    /* The output queue, once not empty, is empty again. May be NULL. */
    void (*on_drained)(void *ctx);
    /* The stream is gone; it is freed after the call. Also when connecting failed. Not called
     * after env_stream_close. */
    void (*on_end)(void *ctx, enum env_end end);
};

/* ST_OK; ST_BAD_ADDRESS when the host is not an address of this machine; ST_BUSY when the port is
 * taken; ST_IO. `on_accept` must call env_stream_start or env_stream_close before it returns. */
MUST_CHECK enum status env_listen(struct env *env, const struct address *address,
                                  void (*on_accept)(void *ctx, struct env_stream *stream),
                                  void *ctx, struct env_listener **out_listener,
                                  struct errtext *error);
/* Stops accepting while paused, for when connections or descriptors have run out. */
void env_listener_pause(struct env_listener *listener, bool is_paused);
void env_listener_close(struct env_listener *listener); /* NULL is a no-op */

/* Resolves and dials; reports through on_open or on_end. TCP_NODELAY always. Never NULL. */
struct env_stream *env_connect(struct env *env, const struct address *address,
                               const struct env_stream_handler *handler, void *ctx);
/* Begins reading an accepted stream. `handler` and `ctx` are borrowed for the stream's life. */
void env_stream_start(struct env_stream *stream, const struct env_stream_handler *handler,
                      void *ctx);
/* Writes what the socket takes now and queues a copy of the rest. The caller bounds the queue by
 * looking at env_stream_queued. Nothing happens on a stream that is failing; on_end follows. */
void env_stream_send(struct env_stream *stream, struct bytes bytes);
size_t env_stream_queued(const struct env_stream *stream);
void env_stream_pause(struct env_stream *stream, bool is_paused); /* stop, resume on_data */
/* Sends what is queued, then closes in order; gives up after `linger`. on_end is not called. */
void env_stream_finish(struct env_stream *stream, time_us linger);
void env_stream_close(struct env_stream *stream); /* at once; NULL is a no-op */
/* The other side, and this side, as numeric addresses. */
void env_stream_peer(const struct env_stream *stream, struct address *out_address);
void env_stream_local(const struct env_stream *stream, struct address *out_address);

#endif
