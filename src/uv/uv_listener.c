/* Listener: accepts connections, and knows what to do when descriptors have run out.
 *
 * On uv_poll and accept4 instead of uv_listen: that one closes waiting connections when the process
 * is out of descriptors, and cannot be paused. Here they wait in the backlog. */
#include "uv/uv_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"

enum {
    RETRY_US = 100000, /* after a failed accept */
    DESCRIPTORS_RESERVED =
        2 * LIMIT_ACCEPTS, /* for the log and for dialing; accepting never takes the last ones */
};

struct env_listener {
    uv_poll_t poll;
    struct list link;
    int fd;
    bool is_paused;
    bool is_closed;
    struct env_timer retry;

    struct env *env; /* borrowed */
    void (*on_accept)(void *ctx, struct env_stream *stream);
    void *ctx; /* borrowed */
};

static int set_option(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value);
}

/* What is accepted inherits the options: also that the kernel takes no megabytes, as it would, for
 * somebody who reads nothing.
 *
 * A bound, listening socket, or -1 and errno. Never SO_REUSEPORT: a second node on the same port
 * must be told so. */
static int listen_at(const struct sockaddr_storage *sockaddr)
{
    bool is_v6 = sockaddr->ss_family == AF_INET6;
    int fd = socket(sockaddr->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    socklen_t count = is_v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    if (set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) == 0 &&
        (!is_v6 || set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0) == 0) &&
        set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, LIMIT_UNSENT_BYTES) == 0 &&
        bind(fd, (const struct sockaddr *)sockaddr, count) == 0 && listen(fd, LIMIT_BACKLOG) == 0)
        return fd;
    int error = errno;
    (void)close(fd); /* nothing of it is ours */
    errno = error;
    return -1;
}

/* All addresses of both families through one socket, or of IPv4 where there is no IPv6. */
static int listen_everywhere(uint16_t port)
{
    struct sockaddr_storage sockaddr = {0};
    *(struct sockaddr_in6 *)&sockaddr = (struct sockaddr_in6){
        .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT, .sin6_port = htons(port)};
    int fd = listen_at(&sockaddr);
    if (fd >= 0 || (errno != EAFNOSUPPORT && errno != EADDRNOTAVAIL))
        return fd;
    memset(&sockaddr, 0, sizeof sockaddr);
    *(struct sockaddr_in *)&sockaddr =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
    return listen_at(&sockaddr);
}

/* The first address of a name, IPv4 before IPv6 because people who say localhost expect 127.0.0.1.
 * Blocks while it is looked up. */
static bool resolve_first(const char *host, uint16_t port, struct sockaddr_storage *out_sockaddr)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    if (getaddrinfo(host, NULL, &hints, &found) != 0)
        return false;
    const struct addrinfo *best = found;
    for (const struct addrinfo *item = found; item != NULL; item = item->ai_next)
        if (item->ai_family == AF_INET && best->ai_family != AF_INET)
            best = item;
    memset(out_sockaddr, 0, sizeof *out_sockaddr);
    memcpy(out_sockaddr, best->ai_addr, best->ai_addrlen);
    if (best->ai_family == AF_INET)
        ((struct sockaddr_in *)out_sockaddr)->sin_port = htons(port);
    else
        ((struct sockaddr_in6 *)out_sockaddr)->sin6_port = htons(port);
    freeaddrinfo(found);
    return true;
}

/* The socket, or -1 with *out_status and `error` set. */
static int listen_on(const struct address *address, enum status *out_status, struct errtext *error)
{
    char text[LIMIT_ADDRESS_BYTES];
    struct sockaddr_storage sockaddr;
    int fd;
    if (address->host[0] == '\0' || strcmp(address->host, "*") == 0 ||
        strcmp(address->host, "::") == 0) {
        fd = listen_everywhere(address->port);
    } else if (env_sockaddr_of(address, &sockaddr) ||
               resolve_first(address->host, address->port, &sockaddr)) {
        fd = listen_at(&sockaddr);
    } else {
        errtext_set(error, "listen on %s: the host is not known", address_format(address, text));
        *out_status = ST_BAD_ADDRESS;
        return -1;
    }
    if (fd < 0) {
        *out_status = errno == EADDRINUSE      ? ST_BUSY
                      : errno == EADDRNOTAVAIL ? ST_BAD_ADDRESS
                                               : ST_IO;
        errtext_set(error, "listen on %s: %s", address_format(address, text), strerror(errno));
    }
    return fd;
}

static bool has_run_out(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/* The kernel gives out the lowest number that is free, so a high one says how few are left. Without
 * one the log could not go on to its next file, and the node would stop. */
static bool is_running_out(int listener_fd)
{
    struct rlimit limit;
    int fd = fcntl(listener_fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return true;
    (void)close(fd); /* only its number was wanted */
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur > 2 * DESCRIPTORS_RESERVED &&
           (rlim_t)fd + DESCRIPTORS_RESERVED >= limit.rlim_cur;
}

/* Gives an accepted socket to the owner. */
static void hand_over(struct env_listener *listener, int fd)
{
    struct env_stream *stream = env_stream_new(listener->env, STREAM_ACCEPTED);
    (void)set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1); /* fails only on a socket that is gone */
    if (uv_tcp_open(&stream->tcp, fd) != 0) {
        (void)close(fd); /* the same */
        env_stream_close(stream);
        return;
    }
    stream->fd = fd;
    listener->on_accept(listener->ctx, stream);
    INVARIANT(stream->state != STREAM_ACCEPTED); /* started or closed by its owner */
}

static void listener_on_readable(uv_poll_t *poll, int status, int events);

/* Reads the flags: polls unless paused, closed or waiting for descriptors. */
static void update_polling(struct env_listener *listener, bool is_waiting)
{
    if (listener->is_closed)
        return;
    int rc = listener->is_paused || is_waiting
                 ? uv_poll_stop(&listener->poll)
                 : uv_poll_start(&listener->poll, UV_READABLE, listener_on_readable);
    INVARIANT(rc == 0);
}

/* Stops polling for a while: a socket that stays readable would turn the loop into a busy one. */
static void wait_for_descriptors(struct env_listener *listener)
{
    env_timer_set(listener->env, &listener->retry, env_now(listener->env) + RETRY_US);
    update_polling(listener, true);
}

static void listener_on_retry(void *ctx)
{
    update_polling(ctx, false);
}

static void listener_on_readable(uv_poll_t *poll, int status, int events)
{
    struct env_listener *listener = poll->data;
    if (is_running_out(
            listener->fd)) { /* at most LIMIT_ACCEPTS of the reserve until the next look */
        wait_for_descriptors(listener);
        return;
    }
    for (int i = 0; i < LIMIT_ACCEPTS && !listener->is_closed && !listener->is_paused; i++) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            hand_over(listener, fd);
        } else if (errno == EAGAIN) {
            return;
        } else if (has_run_out(errno)) {
            wait_for_descriptors(listener);
            return;
        } /* else this connection died while it waited; the next one may not have */
    }
}

enum status env_listen(struct env *env, const struct address *address,
                       void (*on_accept)(void *ctx, struct env_stream *stream), void *ctx,
                       struct env_listener **out_listener, struct errtext *error)
{
    REQUIRE(on_accept != NULL);

    enum status status = ST_IO;
    int fd = listen_on(address, &status, error);
    if (fd < 0)
        return status;
    struct env_listener *listener = mem_alloc(sizeof *listener);
    int rc = uv_poll_init(&env->loop, &listener->poll, fd);
    if (rc != 0) {
        errtext_set(error, "listen: %s", strerror(-rc));
        (void)close(fd); /* nobody has connected yet */
        mem_free(listener);
        return ST_IO;
    }
    listener->poll.data = listener;
    listener->env = env;
    listener->fd = fd;
    listener->on_accept = on_accept;
    listener->ctx = ctx;
    env_timer_init(&listener->retry, listener_on_retry, listener);
    list_push_back(&env->listeners, &listener->link);
    update_polling(listener, false);
    *out_listener = listener;
    return ST_OK;
}

void env_listener_pause(struct env_listener *listener, bool is_paused)
{
    listener->is_paused = is_paused;
    update_polling(listener, listener->retry.heap_index != 0);
}

static void listener_on_closed(uv_handle_t *handle)
{
    mem_free(handle->data);
}

void env_listener_close(struct env_listener *listener)
{
    if (listener == NULL || listener->is_closed)
        return;
    listener->is_closed = true;
    list_remove(&listener->link);
    env_timer_set(listener->env, &listener->retry, TIME_NEVER);
    uv_close((uv_handle_t *)&listener->poll, listener_on_closed);
    (void)close(listener->fd); /* libuv no longer watches it */
}

void env_listener_close_all(struct env *env)
{
    while (!list_is_empty(&env->listeners))
        env_listener_close(CONTAINER_OF(env->listeners.next, struct env_listener, link));
}

uint16_t uv_env_listener_port(const struct env_listener *listener)
{
    struct sockaddr_storage sockaddr;
    socklen_t count = sizeof sockaddr;
    struct address address;
    int rc = getsockname(listener->fd, (struct sockaddr *)&sockaddr, &count);
    INVARIANT(rc == 0);
    env_address_of(&sockaddr, &address);
    return address.port;
}
