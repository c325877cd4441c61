/* Connect: env_connect, which resolves a host and tries its addresses in turn.
 *
 * 0. a task begins it, so that whatever fails at once is still reported from the loop
 * 1. a numeric host is its own only address; a name goes to libuv's resolver threads
 * 2. connect to the first address; on success the stream opens
 * 3. on failure the socket is closed, and its close callback tries the next address
 * 4. when none is left, on_end says what the failures were: a reset if any was one
 *
 * The dial is freed when the stream opens or is freed; a resolver that cannot be cancelled any
 * more keeps both until it returns. */
#include "uv/uv_internal.h"

#include <netdb.h>
#include <string.h>

#include "base/mem.h"

struct env_dial {
    struct env_task begin;
    uv_getaddrinfo_t resolve;
    uv_connect_t connect;
    struct address address;
    bool is_resolving;
    bool is_any_reset;
    struct addrinfo *found;           /* owned; NULL for a numeric host */
    struct addrinfo *next;            /* within `found` */
    struct sockaddr_storage sockaddr; /* of a numeric host */
};

static void dial_free(struct env_stream *stream)
{
    uv_freeaddrinfo(stream->dial->found); /* NULL is a no-op */
    mem_free(stream->dial);
    stream->dial = NULL;
}

void env_dial_cancel(struct env_stream *stream)
{
    env_task_cancel(stream->env, &stream->dial->begin);
    if (stream->dial->is_resolving)
        (void)uv_cancel((uv_req_t *)&stream->dial->resolve); /* or it runs to its end */
}

bool env_dial_release(struct env_stream *stream)
{
    if (stream->dial != NULL && stream->dial->is_resolving)
        return false;
    if (stream->dial != NULL)
        dial_free(stream);
    return true;
}

static void dial_end(struct env_stream *stream)
{
    env_stream_end(stream, stream->dial->is_any_reset ? ENV_END_RESET : ENV_END_ERROR);
}

static void dial_on_failure(struct env_stream *stream, int error)
{
    stream->dial->is_any_reset |= env_end_of_error(error) == ENV_END_RESET;
    if (stream->dial->next == NULL)
        dial_end(stream);
    else
        uv_close((uv_handle_t *)&stream->tcp, env_stream_on_closed); /* then env_dial_next */
}

/* Linux connects a socket to itself when it happens to pick the port it dials, which it does for a
 * local peer that is down and listens in the ephemeral range. */
static bool is_connected_to_itself(const struct env_stream *stream)
{
    struct address peer;
    struct address local;
    env_stream_peer(stream, &peer);
    env_stream_local(stream, &local);
    return address_equal(&peer, &local);
}

static void dial_on_connected(uv_connect_t *connect, int status)
{
    struct env_stream *stream = connect->data;
    if (stream->state != STREAM_DIALING)
        return;
    if (status == 0 && is_connected_to_itself(stream))
        status = UV_ECONNREFUSED;
    if (status != 0) {
        dial_on_failure(stream, status);
        return;
    }

    int rc = uv_fileno((uv_handle_t *)&stream->tcp, &stream->fd);
    INVARIANT(rc == 0);
    dial_free(stream);
    env_stream_open(stream);
    if (stream->state == STREAM_OPEN && !stream->is_finishing)
        stream->handler->on_open(stream->ctx);
}

static const struct sockaddr *take_address(struct env_dial *dial)
{
    if (dial->found == NULL)
        return (const struct sockaddr *)&dial->sockaddr;
    struct sockaddr *sockaddr = dial->next->ai_addr;
    if (sockaddr->sa_family == AF_INET)
        ((struct sockaddr_in *)(void *)sockaddr)->sin_port = htons(dial->address.port);
    else
        ((struct sockaddr_in6 *)(void *)sockaddr)->sin6_port = htons(dial->address.port);
    dial->next = dial->next->ai_next;
    return sockaddr;
}

static void connect_next(struct env_stream *stream)
{
    struct env_dial *dial = stream->dial;
    dial->connect.data = stream;
    (void)uv_tcp_nodelay(&stream->tcp, 1); /* no socket yet: libuv remembers it */
    int rc = uv_tcp_connect(&dial->connect, &stream->tcp, take_address(dial), dial_on_connected);
    if (rc != 0)
        dial_on_failure(stream, rc);
}

void env_dial_next(struct env_stream *stream)
{
    int rc = uv_tcp_init(&stream->env->loop, &stream->tcp);
    INVARIANT(rc == 0);
    connect_next(stream);
}

static void dial_on_resolved(uv_getaddrinfo_t *resolve, int status, struct addrinfo *found)
{
    struct env_stream *stream = resolve->data;
    struct env_dial *dial = stream->dial;
    dial->is_resolving = false;
    dial->found = dial->next = found;
    if (stream->state == STREAM_CLOSED)
        env_stream_release(stream);
    else if (status != 0 || found == NULL)
        dial_end(stream);
    else
        connect_next(stream);
}

static void dial_on_begin(void *ctx)
{
    struct env_stream *stream = ctx;
    struct env_dial *dial = stream->dial;
    if (address_is_wildcard(&dial->address) || !address_is_set(&dial->address)) {
        dial_end(stream);
    } else if (env_sockaddr_of(&dial->address, &dial->sockaddr)) {
        connect_next(stream);
    } else {
        struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
        dial->resolve.data = stream;
        dial->is_resolving = true;
        int rc = uv_getaddrinfo(&stream->env->loop, &dial->resolve, dial_on_resolved,
                                dial->address.host, NULL, &hints);
        if (rc != 0) {
            dial->is_resolving = false;
            dial_end(stream);
        }
    }
}

struct env_stream *env_connect(struct env *env, const struct address *address,
                               const struct env_stream_handler *handler, void *ctx)
{
    REQUIRE(handler->on_open != NULL && handler->on_data != NULL && handler->on_end != NULL);

    struct env_stream *stream = env_stream_new(env, STREAM_DIALING);
    stream->handler = handler;
    stream->ctx = ctx;
    stream->dial = mem_alloc(sizeof *stream->dial);
    stream->dial->address = *address;
    env_task_init(&stream->dial->begin, dial_on_begin, stream);
    env_task_post(env, &stream->dial->begin);
    return stream;
}
