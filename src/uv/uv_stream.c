/* Stream: one TCP connection, accepted or dialed.
 *
 * Sending goes straight to the socket while nothing is queued; what the socket does not take is
 * copied and left to libuv. At most one uv_write is under way; later bytes gather in `queue` and
 * become the next one.
 *
 * An error met inside a call of the owner is reported by a task, never from inside the call. */
#include "uv/uv_internal.h"

#include <errno.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"

/* libuv writes at most so much at once; owners stop far below. */
enum { QUEUE_BYTES_MAX = INT32_MAX };

static void stream_on_end_task(void *ctx)
{
    struct env_stream *stream = ctx;
    env_stream_end(stream, stream->end);
}

static void stream_on_linger(void *ctx)
{
    env_stream_close(ctx);
}

struct env_stream *env_stream_new(struct env *env, enum stream_state state)
{
    struct env_stream *stream = mem_alloc(sizeof *stream);
    int rc = uv_tcp_init(&env->loop, &stream->tcp);
    INVARIANT(rc == 0);
    stream->tcp.data = stream;
    stream->env = env;
    stream->state = state;
    stream->fd = -1;
    buf_init(&stream->queue, SIZE_MAX);
    buf_init(&stream->writing, SIZE_MAX);
    env_timer_init(&stream->linger, stream_on_linger, stream);
    env_task_init(&stream->end_task, stream_on_end_task, stream);
    list_push_back(&env->streams, &stream->link);
    return stream;
}

enum env_end env_end_of_error(int error)
{
    switch (error) {
    case UV_ECONNRESET:
    case UV_ECONNREFUSED:
    case UV_ECONNABORTED:
    case UV_EPIPE:
    case UV_EHOSTUNREACH:
    case UV_EHOSTDOWN:
    case UV_ENETUNREACH:
    case UV_ENETDOWN:
    case UV_ETIMEDOUT:
        return ENV_END_RESET;
    default:
        return ENV_END_ERROR;
    }
}

void env_stream_on_closed(uv_handle_t *handle)
{
    struct env_stream *stream = handle->data;
    if (stream->state == STREAM_DIALING) { /* only this socket is done, not the stream */
        env_dial_next(stream);
        return;
    }
    stream->is_released = true;
    env_stream_release(stream);
}

void env_stream_release(struct env_stream *stream)
{
    REQUIRE(stream->state == STREAM_CLOSED);

    if (!stream->is_released || !env_dial_release(stream))
        return;
    buf_release(&stream->queue);
    buf_release(&stream->writing);
    mem_free(stream);
}

void env_stream_close(struct env_stream *stream)
{
    if (stream == NULL || stream->state == STREAM_CLOSED)
        return;
    stream->state = STREAM_CLOSED;
    list_remove(&stream->link);
    env_task_cancel(stream->env, &stream->end_task);
    env_timer_set(stream->env, &stream->linger, TIME_NEVER);
    if (stream->dial != NULL)
        env_dial_cancel(stream);
    if (!uv_is_closing((uv_handle_t *)&stream->tcp)) /* else it is between two addresses */
        uv_close((uv_handle_t *)&stream->tcp, env_stream_on_closed);
}

void env_stream_close_all(struct env *env)
{
    while (!list_is_empty(&env->streams))
        env_stream_close(CONTAINER_OF(env->streams.next, struct env_stream, link));
}

void env_stream_end(struct env_stream *stream, enum env_end end)
{
    REQUIRE(stream->state != STREAM_CLOSED);

    bool is_reported = !stream->is_finishing;
    env_stream_close(stream); /* frees later, so the owner may still close it in on_end */
    if (is_reported)
        stream->handler->on_end(stream->ctx, end);
}

void env_stream_fail(struct env_stream *stream, enum env_end end)
{
    REQUIRE(stream->state == STREAM_DIALING || stream->state == STREAM_OPEN);

    if (stream->state == STREAM_OPEN)
        (void)uv_read_stop((uv_stream_t *)&stream->tcp); /* cannot fail */
    stream->state = STREAM_FAILING;
    stream->end = end;
    env_task_post(stream->env, &stream->end_task);
}

/* ---- reading ---- */

static void stream_on_room(uv_handle_t *handle, size_t suggested_bytes, uv_buf_t *out_room)
{
    struct env_stream *stream = handle->data;
    *out_room = uv_buf_init((char *)stream->env->read_buffer, LIMIT_READ_BYTES);
}

/* While finishing, what still comes is thrown away, and its end is what we wait for. */
static void read_while_finishing(struct env_stream *stream, ssize_t count)
{
    if (count >= 0)
        return;
    stream->has_peer_ended = count == UV_EOF;
    if (stream->is_shut || !stream->has_peer_ended)
        env_stream_close(stream);
}

static void stream_on_read(uv_stream_t *tcp, ssize_t count, const uv_buf_t *room)
{
    struct env_stream *stream = tcp->data;
    if (stream->is_finishing)
        read_while_finishing(stream, count);
    else if (count > 0)
        stream->handler->on_data(stream->ctx, bytes_of(room->base, (size_t)count));
    else if (count < 0)
        env_stream_end(stream, count == UV_EOF ? ENV_END_EOF : env_end_of_error((int)count));
}

static void start_reading(struct env_stream *stream)
{
    int rc = uv_read_start((uv_stream_t *)&stream->tcp, stream_on_room, stream_on_read);
    INVARIANT(rc == 0 || rc == UV_EALREADY);
}

void env_stream_pause(struct env_stream *stream, bool is_paused)
{
    stream->is_paused = is_paused;
    if (stream->state != STREAM_OPEN || stream->is_finishing)
        return;
    if (is_paused)
        (void)uv_read_stop((uv_stream_t *)&stream->tcp); /* cannot fail */
    else
        start_reading(stream);
}

/* ---- writing ---- */

static void stream_on_shut(uv_shutdown_t *shutdown, int status)
{
    struct env_stream *stream = shutdown->data;
    if (stream->state == STREAM_CLOSED)
        return;
    stream->is_shut = true;
    if (status != 0 || stream->has_peer_ended)
        env_stream_close(stream);
}

static void shut(struct env_stream *stream)
{
    stream->shutdown.data = stream;
    if (uv_shutdown(&stream->shutdown, (uv_stream_t *)&stream->tcp, stream_on_shut) != 0)
        env_stream_close(stream);
}

static void start_write(struct env_stream *stream);

static void stream_on_written(uv_write_t *write, int status)
{
    struct env_stream *stream = write->data;
    stream->is_writing = false;
    if (stream->state != STREAM_OPEN)
        return; /* closed, or an error is already on its way */
    buf_release(&stream->writing);
    if (status != 0)
        env_stream_end(stream, env_end_of_error(status));
    else if (stream->queue.count != 0)
        start_write(stream);
    else if (stream->is_finishing)
        shut(stream);
    else if (stream->handler->on_drained != NULL)
        stream->handler->on_drained(stream->ctx);
}

/* Hands all that is queued to libuv. */
static void start_write(struct env_stream *stream)
{
    REQUIRE(!stream->is_writing);

    struct buf empty = stream->writing;
    stream->writing = stream->queue;
    stream->queue = empty;
    stream->write.data = stream;
    uv_buf_t piece = uv_buf_init((char *)stream->writing.data, (unsigned)stream->writing.count);
    int rc = uv_write(&stream->write, (uv_stream_t *)&stream->tcp, &piece, 1, stream_on_written);
    if (rc == 0)
        stream->is_writing = true;
    else
        env_stream_fail(stream, env_end_of_error(rc));
}

/* Returns how many bytes the socket took; the stream may be failing afterwards. */
static size_t send_now(struct env_stream *stream, struct bytes bytes)
{
    ssize_t count;
    do {
        count = send(stream->fd, bytes.data, bytes.count, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (count < 0 && errno == EINTR);
    if (count >= 0)
        return (size_t)count;
    if (errno != EAGAIN && errno != ENOBUFS)
        env_stream_fail(stream, env_end_of_error(-errno));
    return 0;
}

void env_stream_send(struct env_stream *stream, struct bytes bytes)
{
    bool is_dialing = stream->state == STREAM_DIALING;
    if (bytes.count == 0 || stream->is_finishing || (stream->state != STREAM_OPEN && !is_dialing))
        return;
    REQUIRE(bytes.count <= QUEUE_BYTES_MAX - stream->queue.count);

    if (!is_dialing && !stream->is_writing && stream->queue.count == 0) {
        size_t sent = send_now(stream, bytes);
        bytes = bytes_of(bytes.data + sent, bytes.count - sent);
        if (stream->state != STREAM_OPEN)
            return;
    }
    buf_put(&stream->queue, bytes);
    if (stream->queue.count != 0 && !is_dialing && !stream->is_writing)
        start_write(stream);
}

size_t env_stream_queued(const struct env_stream *stream)
{
    size_t in_hand =
        stream->is_writing ? uv_stream_get_write_queue_size((const uv_stream_t *)&stream->tcp) : 0;
    return stream->queue.count + in_hand;
}

/* ---- life ---- */

void env_stream_open(struct env_stream *stream)
{
    REQUIRE(stream->state == STREAM_DIALING || stream->state == STREAM_ACCEPTED);

    stream->state = STREAM_OPEN;
    if (!stream->is_paused || stream->is_finishing)
        start_reading(stream);
    if (stream->queue.count != 0)
        start_write(stream);
    else if (stream->is_finishing)
        shut(stream);
}

void env_stream_start(struct env_stream *stream, const struct env_stream_handler *handler,
                      void *ctx)
{
    REQUIRE(stream->state == STREAM_ACCEPTED);
    REQUIRE(handler->on_data != NULL && handler->on_end != NULL);

    stream->handler = handler;
    stream->ctx = ctx;
    env_stream_open(stream);
}

void env_stream_finish(struct env_stream *stream, time_us linger)
{
    if (stream->state == STREAM_CLOSED || stream->is_finishing)
        return;
    stream->is_finishing = true;
    if (stream->state == STREAM_FAILING) {
        env_stream_close(stream);
        return;
    }

    time_us now = env_now(stream->env);
    env_timer_set(stream->env, &stream->linger,
                  linger < TIME_NEVER - now ? now + linger : TIME_NEVER);
    if (stream->state == STREAM_ACCEPTED) {
        env_stream_open(stream);
    } else if (stream->state == STREAM_OPEN) { /* else dialing: env_stream_open goes on */
        start_reading(stream);
        if (!stream->is_writing)
            shut(stream);
    }
}

void env_stream_peer(const struct env_stream *stream, struct address *out_address)
{
    struct sockaddr_storage sockaddr = {0};
    int count = sizeof sockaddr;
    if (uv_tcp_getpeername(&stream->tcp, (struct sockaddr *)&sockaddr, &count) != 0)
        sockaddr.ss_family = AF_UNSPEC;
    env_address_of(&sockaddr, out_address);
}

void env_stream_local(const struct env_stream *stream, struct address *out_address)
{
    struct sockaddr_storage sockaddr = {0};
    int count = sizeof sockaddr;
    if (uv_tcp_getsockname(&stream->tcp, (struct sockaddr *)&sockaddr, &count) != 0)
        sockaddr.ss_family = AF_UNSPEC;
    env_address_of(&sockaddr, out_address);
}
