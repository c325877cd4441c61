/* Uv env: the env of src/env/env.h on libuv: real sockets, real files, the real clock.
 *
 * A program makes one env, starts its modules on it and runs it until someone stops it:
 *
 *     uv_env_new → (listen, timers, …) → uv_env_run … uv_env_stop → modules close → uv_env_free
 *
 * One turn of the loop: wait → sockets and completions → tasks → writes, where there is no writer
 * thread, and what follows from them → timers. It does not wait while tasks are left.
 *
 * Calling      everything from one thread, the one that runs the loop
 * Ownership    the env owns streams, listeners and files; those still open are closed, without
 *              callbacks, by uv_env_free; writes under way complete, with their callback */
#ifndef MINIKV_UV_UV_ENV_H
#define MINIKV_UV_UV_ENV_H

#include "env/env.h"

struct uv_env_options {
    /* Made when missing, with its parents; mode 0700, files in it 0600. NULL: no disk. */
    const char *data_dir;
    /* true: env_write_start is carried out by a thread of its own, the loop goes on meanwhile; but
     * for what may block the loop, as long as syncs are quick. false: all of it by the loop, at the
     * end of its turn. */
    bool write_on_thread;
};

/* Ignores SIGPIPE for the whole process: a write to a dead peer is an answer, not a signal.
 *
 * return   ST_OK; ST_NO_SPACE, ST_IO with `error` set and nothing made */
MUST_CHECK enum status uv_env_new(const struct uv_env_options *options, struct env **out_env,
                                  struct errtext *error);
/* Completes writes under way; then closes whatever is open. NULL is a no-op. */
void uv_env_free(struct env *env);

/* Runs callbacks until uv_env_stop, which any of them may call. Can be run again. */
void uv_env_run(struct env *env);
void uv_env_stop(struct env *env);
/* For tests: runs turn by turn until `is_done` or `timeout` from now. Returns is_done(ctx). */
bool uv_env_run_until(struct env *env, bool (*is_done)(void *ctx), void *ctx, time_us timeout);

/* Calls `on_signal` from the loop at each `signum` until the env is freed. */
void uv_env_on_signal(struct env *env, int signum, void (*on_signal)(void *ctx), void *ctx);

/* The port in use: the one the kernel chose when the address to listen on had port 0. */
uint16_t uv_env_listener_port(const struct env_listener *listener);

#endif
