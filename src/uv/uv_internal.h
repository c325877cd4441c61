/* Uv internal: what the files of this module share; nobody else includes it.
 *
 * Streams and listeners live in lists of the env so that it can close them; their memory is freed
 * in libuv's close callback, never before. */
#ifndef MINIKV_UV_UV_INTERNAL_H
#define MINIKV_UV_UV_INTERNAL_H

#include "base/buf.h"
#include "uv/uv_env.h"

/* After base/check.h: uv.h brings another MIN and MAX, and only a system header may redefine. */
#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <uv.h>

/* Deadlines of requests come in rising order, nearly all, and go long before they are due: queues
 * for these, of which none has much of a gap before its last. For the others a 4-ary heap by
 * (deadline, sequence); items[1 … count]. */
enum { TIMER_QUEUES = 4 };

struct env_timers {
    struct list queues[TIMER_QUEUES]; /* each in rising (deadline, sequence) */
    struct env_timer **items;         /* owned */
    size_t count;
    size_t capacity;
    uint64_t next_sequence;
    uint64_t armed_ms; /* what uv_timer waits for, on its own clock; 0: nothing */
    bool is_firing;
    uv_timer_t uv_timer;
};

struct env_run;

/* A lane of writes, in the order started, either by one thread or by the loop. */
struct env_writer {
    struct list in_loop;   /* for the loop itself, in this turn */
    struct list queued;    /* for the thread; guarded by `mutex` */
    struct list done;      /* by the thread; guarded by `mutex` */
    bool is_in_round;      /* of the loop's own: nothing overtakes what is left of it */
    bool is_on_thread;     /* but for what may block the loop */
    size_t threaded_count; /* given to the thread and not completed */
    time_us thread_until;  /* by uv_hrtime: till then the loop blocks for nothing */
    bool has_thread;       /* it is made by the first write */
    bool is_stopping;      /* guarded by `mutex` */
    uv_mutex_t mutex;
    uv_cond_t wake;
    uv_thread_t thread;
    uv_async_t async;
};

struct env {
    uv_loop_t loop;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle;       /* active while work is left over: the loop polls without waiting */
    uint8_t *read_buffer; /* owned; LIMIT_READ_BYTES, one for all streams */
    struct env_timers timers;
    struct env_writer writer;
    struct env_writer background; /* always on a thread */
    struct list tasks;
    struct list streams;
    struct list listeners;
    struct list files;
    struct list signals;
    int dir_fd;             /* -1: no disk */
    int lock_fd;            /* -1: not locked */
    atomic_bool is_closing; /* nothing is put off any more */

    time_us now;
    bool is_now_stale;
    struct env_run *run; /* borrowed; the loop does not wait once this run is over */
};

enum stream_state {
    STREAM_DIALING,  /* resolving, connecting, or between two addresses */
    STREAM_ACCEPTED, /* the owner has not started it yet */
    STREAM_OPEN,
    STREAM_FAILING, /* end_task is posted and will report `end` */
    STREAM_CLOSED   /* no callback any more; freed when libuv lets go of it */
};

struct env_dial;

struct env_stream {
    uv_tcp_t tcp;
    struct list link;
    enum stream_state state;
    bool is_paused;
    bool is_finishing;   /* env_stream_finish was called */
    bool is_shut;        /* our end of stream has been sent */
    bool has_peer_ended; /* while finishing: the other side's end of stream has come */
    bool is_writing;     /* `writing` is in libuv's hands */
    bool is_released;    /* libuv has let go of `tcp` */
    int fd;              /* valid while open */
    struct buf queue;    /* what waits for the write under way */
    struct buf writing;
    uv_write_t write;
    uv_shutdown_t shutdown;
    struct env_timer linger;
    struct env_task end_task;
    enum env_end end;
    struct env_dial *dial; /* owned; NULL unless made by env_connect and not yet open */

    struct env *env;                          /* borrowed */
    const struct env_stream_handler *handler; /* borrowed */
    void *ctx;                                /* borrowed */
};

/* ---- clock: uv_env.c ---- */

/* The next env_now reads the clock again. Only between callbacks. */
void env_clock_expire(struct env *env);

/* ---- timers: uv_timer.c ---- */

void env_timers_init(struct env *env);
/* Before the loop waits: it must wake up for the earliest deadline. */
void env_timers_arm(struct env *env);
void env_timers_release(struct env *env); /* after the loop has closed uv_timer */

/* ---- tasks: uv_task.c ---- */

/* Runs posted tasks, and those they post, up to LIMIT_TASK_ROUNDS times around. */
void env_tasks_run(struct env *env);

/* ---- writes: uv_write.c ---- */

void env_writer_init(struct env_writer *writer, bool is_on_thread);
/* How long a write took that ended at `now`, whoever did it. */
void env_writer_note(struct env_writer *writer, time_us took, time_us now);
/* Carries out and completes what the loop does itself. */
void env_writer_run(struct env *env);
bool env_writer_has_work(const struct env *env); /* for env_writer_run */
/* Carries out and completes what is queued, and ends the thread. */
void env_writer_stop(struct env *env, struct env_writer *writer);

/* ---- disk: uv_disk.c, uv_dir.c, uv_dispose.c ---- */

enum status env_status_of_errno(int error);
/* Closes a descriptor. If that is the end of a large file, its bytes are freed bit by bit. */
void env_dispose(struct env *env, int fd);
void env_disk_close_files(struct env *env);
/* Opens the data directory, making it and its parents when missing. */
enum status env_dir_open(const char *path, int *out_fd, struct errtext *error);

/* ---- network: uv_address.c, uv_listener.c, uv_stream.c, uv_connect.c ---- */

/* True when `host` is a numeric address. */
bool env_sockaddr_of(const struct address *address, struct sockaddr_storage *out_sockaddr);
void env_address_of(const struct sockaddr_storage *sockaddr, struct address *out_address);

void env_listener_close_all(struct env *env);

struct env_stream *env_stream_new(struct env *env, enum stream_state state);
/* ENV_END_RESET or ENV_END_ERROR; `error` is negative, as libuv has it. */
enum env_end env_end_of_error(int error);
/* Connected: begins reading and sends what was queued while dialing. */
void env_stream_open(struct env_stream *stream);
/* Ends the stream from inside a call of its owner: on_end follows from the loop. */
void env_stream_fail(struct env_stream *stream, enum env_end end);
/* Ends the stream from the loop: calls on_end unless the owner is finishing. */
void env_stream_end(struct env_stream *stream, enum env_end end);
void env_stream_on_closed(uv_handle_t *handle);
void env_stream_close_all(struct env *env);

/* Frees the stream when both its socket and the resolver have let go of it. */
void env_stream_release(struct env_stream *stream);

/* Tries the next address after a failed one whose socket has been closed. */
void env_dial_next(struct env_stream *stream);
/* At the closing of the stream: nothing more is begun. */
void env_dial_cancel(struct env_stream *stream);
/* Frees the dial, if there is one. False while the resolver holds it: then the resolver's callback
 * calls env_stream_release. */
bool env_dial_release(struct env_stream *stream);

#endif
