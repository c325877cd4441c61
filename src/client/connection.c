#include "client/connection.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

time_us connection_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail with this clock */
    return (time_us)now.tv_sec * 1000000u + (time_us)now.tv_nsec / 1000u;
}

void connection_init(struct connection *connection)
{
    connection->fd = -1;
}

void connection_close(struct connection *connection)
{
    if (connection->fd >= 0)
        (void)close(connection->fd); /* what matters was sent and answered, or counts as lost */
    connection->fd = -1;
}

bool connection_is_open(const struct connection *connection)
{
    return connection->fd >= 0;
}

bool connection_is_idle(const struct connection *connection)
{
    struct pollfd wait = {.fd = connection->fd, .events = POLLIN};
    return poll(&wait, 1, 0) == 0;
}

/* Waits for `events`; false when the deadline came first. Errors count as ready: the call that
 * follows reports them. */
static bool wait_for(int fd, short events, time_us deadline)
{
    for (;;) {
        time_us now = connection_now();
        time_us left_ms =
            deadline > now ? (deadline - now + TIME_US_PER_MS - 1) / TIME_US_PER_MS : 0;
        struct pollfd wait = {.fd = fd, .events = events};
        int ready = poll(&wait, 1, left_ms > 3600000 ? 3600000 : (int)left_ms);
        if (ready > 0 || (ready < 0 && errno != EINTR))
            return true;
        if (connection_now() >= deadline)
            return false;
    }
}

/* Dials one address. Returns 0 or an errno; ETIMEDOUT when the deadline came first. */
static int dial(const struct addrinfo *info, time_us deadline, int *out_fd)
{
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* slower without, not wrong */

    int failure = connect(fd, info->ai_addr, info->ai_addrlen) == 0 ? 0 : errno;
    if (failure == EINPROGRESS || failure == EINTR) {
        socklen_t failure_bytes = sizeof failure;
        if (!wait_for(fd, POLLOUT, deadline))
            failure = ETIMEDOUT;
        else if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failure, &failure_bytes) != 0)
            failure = errno;
    }
    if (failure != 0) {
        (void)close(fd);
        return failure;
    }
    *out_fd = fd;
    return 0;
}

enum status connection_open(struct connection *connection, const struct address *address,
                            time_us deadline, struct errtext *error)
{
    connection_close(connection);
    char port[8], text[LIMIT_ADDRESS_BYTES];
    (void)snprintf(port, sizeof port, "%u", address->port);
    (void)address_format(address, text);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int resolved = getaddrinfo(address->host, port, &hints, &found);
    if (resolved != 0) {
        errtext_set(error, "%s: %s", text, gai_strerror(resolved));
        return ST_BAD_ADDRESS;
    }

    int failure = EADDRNOTAVAIL;
    for (struct addrinfo *info = found; info != NULL; info = info->ai_next) {
        failure = dial(info, deadline, &connection->fd);
        if (failure == 0 || connection_now() >= deadline)
            break;
    }
    freeaddrinfo(found);
    if (failure == 0)
        return ST_OK;
    char reason[96];
    errtext_set(error, "%s: %s", text, strerror_r(failure, reason, sizeof reason));
    return failure == ETIMEDOUT ? ST_REQUEST_TIMEOUT : ST_CLOSED;
}

enum status connection_send(struct connection *connection, struct bytes bytes, time_us deadline,
                            size_t *out_sent)
{
    *out_sent = 0;
    while (*out_sent < bytes.count) {
        ssize_t count =
            send(connection->fd, bytes.data + *out_sent, bytes.count - *out_sent, MSG_NOSIGNAL);
        if (count >= 0)
            *out_sent += (size_t)count;
        else if (errno == EAGAIN && !wait_for(connection->fd, POLLOUT, deadline))
            return ST_TIMEOUT;
        else if (errno != EAGAIN && errno != EINTR)
            return ST_CLOSED;
    }
    return ST_OK;
}

enum status connection_receive(struct connection *connection, void *out, size_t capacity,
                               time_us deadline, size_t *out_count)
{
    for (;;) {
        ssize_t count = recv(connection->fd, out, capacity, 0);
        if (count >= 0) {
            *out_count = (size_t)count;
            return ST_OK;
        }
        if (errno == EAGAIN && !wait_for(connection->fd, POLLIN, deadline))
            return ST_TIMEOUT;
        if (errno != EAGAIN && errno != EINTR)
            return ST_CLOSED;
    }
}
