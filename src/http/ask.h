/* Ask: one HTTP request of this node's own, to an address that is not trusted.
 *
 * One connection, a time in all, no redirects, a bound on what is read. What an answer has to say
 * beyond its status and body is not looked at.
 *
 * Ownership    the caller embeds the struct and keeps it until on_answer or ask_cancel
 * Limits       LIMIT_ASK_BYTES
 * Calling      the loop's thread; on_answer never runs inside ask_start */
#ifndef MINIKV_HTTP_ASK_H
#define MINIKV_HTTP_ASK_H

#include <llhttp.h>

#include "base/buf.h"
#include "env/env.h"

struct ask {
    /* filled in by the caller */
    struct address address;
    const char *method; /* "GET", "POST": borrowed */
    const char *path;
    struct bytes content; /* JSON; copied */
    time_us timeout;
    /* code     of the reply; 0: there was none, or none that could be read
     * content  its body, borrowed for the call */
    void (*on_answer)(void *ctx, unsigned code, struct bytes content);
    void *ctx;

    /* private */
    struct env *env;
    struct buf request, reply;
    struct env_stream *stream;
    struct env_timer timer;
    llhttp_t llhttp;
    size_t received_count;
    bool is_complete;
};

void ask_start(struct env *env, struct ask *ask);
/* on_answer will not be called. Harmless after it has been. */
void ask_cancel(struct ask *ask);

#endif
