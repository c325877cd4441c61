#include "endurance/relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"

enum {
    PIPE_BUFFER_BYTES = 1 << 20,
    READ_BYTES = 64 * 1024,
    PASSED_MAX = 3,
    QUIET_US = 5000, /* a connection that has lost replies is reset after this long without one */
    BACKLOG = 64
};

/* A connection and its continuation. Free: not used. Both ends closed and used: not yet claimed. */
struct pipe {
    struct watch near, far; /* to the client, to the node */
    struct relays *relays;
    struct buf to_far, from_far;
    bool is_used, is_claimed;
    bool passes_a_part; /* of the first reply that it loses */
    uint32_t endpoint;  /* with near_port: which connection; a port alone may be used for several */
    uint16_t near_port;
    uint32_t pass_max, lose_max; /* replies; pass_max is reached before the first is lost */
    uint64_t last_loss_us;
    struct relay_loss loss;
};

struct listener {
    struct watch watch;
    struct relays *relays;
    uint32_t endpoint;
    struct sockaddr_in address;
};

struct relays {
    struct loop *loop;
    const struct options *options;
    struct prng *prng;
    uint64_t resets_count;
    struct listener listeners[ENDPOINTS_MAX];
    uint32_t pipes_count; /* one open and one not yet claimed for each link */
    struct pipe *pipes;
};

static void pipe_end(struct pipe *pipe)
{
    watch_close(&pipe->near, true);
    watch_close(&pipe->far, true);
    buf_release(&pipe->to_far);
    buf_release(&pipe->from_far);
    pipe->is_used = !pipe->is_claimed;
}

static void pipe_reset(struct pipe *pipe)
{
    pipe->relays->resets_count++;
    pipe_end(pipe);
}

/* ---- requests: from the client to the node ---- */

/* False: the pipe has ended. */
static bool pipe_send_far(struct pipe *pipe)
{
    while (pipe->to_far.count > 0) {
        ssize_t count = send(pipe->far.fd, pipe->to_far.data, pipe->to_far.count, MSG_NOSIGNAL);
        if (count < 0 && (errno == EAGAIN || errno == ENOTCONN))
            break;
        if (count <= 0) {
            pipe_end(pipe);
            return false;
        }
        buf_consume(&pipe->to_far, (size_t)count);
    }
    watch_want_to_write(pipe->relays->loop, &pipe->far, pipe->to_far.count > 0);
    return true;
}

/* What has come from `watch`, behind what is in `out`. False: nothing more will come. */
static bool receive(struct watch *watch, struct buf *out)
{
    for (;;) {
        if (!buf_reserve(out, READ_BYTES))
            die("a relay is asked to keep too much");
        ssize_t count = recv(watch->fd, out->data + out->count, READ_BYTES, 0);
        if (count < 0 && errno == EAGAIN)
            return true;
        if (count <= 0)
            return false;
        out->count += (size_t)count;
        if (count < READ_BYTES)
            return true;
    }
}

static void near_on_event(struct watch *watch, bool is_writable)
{
    struct pipe *pipe = CONTAINER_OF(watch, struct pipe, near);
    bool goes_on = receive(watch, &pipe->to_far);
    if (pipe_send_far(pipe) && !goes_on)
        pipe_end(pipe);
}

/* ---- replies: from the node to the client, or not ---- */

static void lose(struct pipe *pipe, const struct answer *answer, size_t count)
{
    struct relays *relays = pipe->relays;
    if (pipe->passes_a_part && pipe->loss.lost_count == 0) {
        size_t part = prng_below(relays->prng, count);
        (void)send(pipe->near.fd, pipe->from_far.data, part, MSG_NOSIGNAL); /* if it likes */
    }
    pipe->loss.lost[pipe->loss.lost_count++] = *answer;
    pipe->last_loss_us = relays->loop->now_us;
}

/* Replies are small and few: one that does not fit the socket ends the pipe. */
static bool pass(struct pipe *pipe, size_t count)
{
    if (send(pipe->near.fd, pipe->from_far.data, count, MSG_NOSIGNAL) != (ssize_t)count)
        return false;
    pipe->loss.passed_count++;
    return true;
}

/* False: the pipe has ended. */
static bool pipe_on_reply(struct pipe *pipe, const struct answer *answer, size_t count)
{
    if (pipe->loss.passed_count < pipe->pass_max) {
        if (!pass(pipe, count)) {
            pipe_end(pipe);
            return false;
        }
    } else {
        lose(pipe, answer, count);
    }
    buf_consume(&pipe->from_far, count);
    if (pipe->loss.lost_count < pipe->lose_max)
        return true;
    pipe_reset(pipe);
    return false;
}

static void far_on_event(struct watch *watch, bool is_writable)
{
    struct pipe *pipe = CONTAINER_OF(watch, struct pipe, far);
    if (is_writable && !pipe_send_far(pipe))
        return;
    bool goes_on = receive(watch, &pipe->from_far);
    struct answer answer;
    long count;
    while ((count = answer_parse(buf_bytes(&pipe->from_far), &answer)) > 0)
        if (!pipe_on_reply(pipe, &answer, (size_t)count))
            return;
    if (count < 0 || !goes_on)
        pipe_end(pipe);
}

/* ---- connections ---- */

static struct pipe *find_unclaimed(struct relays *relays, uint32_t endpoint, uint16_t near_port)
{
    for (uint32_t i = 0; i < relays->pipes_count; i++) {
        struct pipe *pipe = &relays->pipes[i];
        if (pipe->is_used && !pipe->is_claimed && pipe->endpoint == endpoint &&
            pipe->near_port == near_port)
            return pipe;
    }
    return NULL;
}

static struct pipe *find_free(struct relays *relays)
{
    for (uint32_t i = 0; i < relays->pipes_count; i++)
        if (!relays->pipes[i].is_used)
            return &relays->pipes[i];
    return NULL;
}

static void pipe_open(struct relays *relays, uint32_t endpoint, int near, int far,
                      uint16_t near_port)
{
    struct pipe *old = find_unclaimed(relays, endpoint, near_port);
    INVARIANT(old == NULL || old->near.fd < 0);
    if (old != NULL) /* its client had gone before it was accepted, and will not ask */
        old->is_used = false;
    struct pipe *pipe = find_free(relays);
    REQUIRE(pipe != NULL);
    memset(pipe, 0, sizeof *pipe);
    pipe->near.fd = pipe->far.fd = -1;
    pipe->relays = relays;
    pipe->is_used = true;
    pipe->endpoint = endpoint;
    pipe->near_port = near_port;
    buf_init(&pipe->to_far, PIPE_BUFFER_BYTES);
    buf_init(&pipe->from_far, PIPE_BUFFER_BYTES);
    bool passes = prng_below(relays->prng, 4) == 0;
    pipe->pass_max = passes ? (uint32_t)prng_below(relays->prng, PASSED_MAX + 1) : 0;
    pipe->lose_max = 1 + (uint32_t)prng_below(relays->prng, RELAY_LOST_MAX);
    pipe->passes_a_part = prng_below(relays->prng, 2) == 0;
    watch_open(relays->loop, &pipe->near, near, near_on_event);
    watch_open(relays->loop, &pipe->far, far, far_on_event);
}

static void listener_on_event(struct watch *watch, bool is_writable)
{
    struct listener *listener = CONTAINER_OF(watch, struct listener, watch);
    struct relays *relays = listener->relays;
    struct sockaddr_in from;
    socklen_t from_bytes = sizeof from;
    int near;
    while ((near = accept(watch->fd, (struct sockaddr *)&from, &from_bytes)) >= 0) {
        int far = socket_connect(&relays->options->endpoints[listener->endpoint]);
        socket_set_up(near);
        if (far >= 0)
            pipe_open(relays, listener->endpoint, near, far, ntohs(from.sin_port));
        else
            close(near); /* nobody there: the client sees it */
    }
}

static void listener_open(struct relays *relays, uint32_t endpoint)
{
    struct listener *listener = &relays->listeners[endpoint];
    listener->relays = relays;
    listener->endpoint = endpoint;
    listener->watch.fd = -1;
    listener->address.sin_family = AF_INET;
    listener->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t bytes = sizeof listener->address;
    struct sockaddr *address = (struct sockaddr *)&listener->address;
    if (fd < 0 || bind(fd, address, bytes) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, address, &bytes) != 0)
        die("a listener of the relay");
    watch_open(relays->loop, &listener->watch, fd, listener_on_event);
}

struct relays *relays_new(struct loop *loop, const struct options *options, struct prng *prng)
{
    struct relays *relays = mem_alloc(sizeof *relays);
    relays->loop = loop;
    relays->options = options;
    relays->prng = prng;
    relays->pipes_count = options->endpoints_count * options->relayed_count * 2;
    relays->pipes = mem_alloc_array(relays->pipes_count, sizeof *relays->pipes);
    for (uint32_t i = 0; i < relays->pipes_count; i++)
        relays->pipes[i].near.fd = relays->pipes[i].far.fd = -1;
    for (uint32_t i = 0; i < options->endpoints_count; i++)
        listener_open(relays, i);
    return relays;
}

void relays_free(struct relays *relays)
{
    for (uint32_t i = 0; i < relays->options->endpoints_count; i++)
        watch_close(&relays->listeners[i].watch, false);
    for (uint32_t i = 0; i < relays->pipes_count; i++)
        if (relays->pipes[i].near.fd >= 0)
            pipe_end(&relays->pipes[i]);
    mem_free(relays->pipes);
    mem_free(relays);
}

const struct sockaddr_in *relays_address(const struct relays *relays, uint32_t endpoint)
{
    REQUIRE(endpoint < relays->options->endpoints_count);
    return &relays->listeners[endpoint].address;
}

void relays_claim(struct relays *relays, uint32_t endpoint, uint16_t local_port,
                  struct relay_loss *out_loss)
{
    memset(out_loss, 0, sizeof *out_loss);
    struct pipe *pipe = find_unclaimed(relays, endpoint, local_port);
    if (pipe == NULL)
        return;
    *out_loss = pipe->loss;
    pipe->is_claimed = true;
    pipe_end(pipe);
}

void relays_tick(struct relays *relays)
{
    for (uint32_t i = 0; i < relays->pipes_count; i++) {
        struct pipe *pipe = &relays->pipes[i];
        if (pipe->near.fd >= 0 && pipe->loss.lost_count > 0 &&
            relays->loop->now_us - pipe->last_loss_us > QUIET_US)
            pipe_reset(pipe);
    }
}

uint64_t relays_resets_count(const struct relays *relays)
{
    return relays->resets_count;
}
