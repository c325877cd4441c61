#include "client/driver.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { READS_MAX = 16, REFRESH_US = 1000 };

time_us driver_now(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_BOOTTIME, &now); /* cannot fail with this clock */
    return (time_us)now.tv_sec * 1000000u + (time_us)now.tv_nsec / 1000u;
}

bool driver_init(struct driver *driver, struct engine *engine)
{
    driver->engine = engine;
    driver->version = 0;
    for (size_t at = 0; at < ENGINE_CHANNELS; at++)
        driver->sockets[at] = (struct driver_socket){.fd = -1};
    for (size_t i = 0; i < DRIVER_POLLERS; i++) {
        driver->wake_fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (driver->wake_fds[i] >= 0)
            continue;
        while (i-- > 0)
            (void)close(driver->wake_fds[i]);
        return false;
    }
    return true;
}

static void drop_found(struct driver_socket *sock)
{
    if (sock->found != NULL)
        freeaddrinfo(sock->found);
    sock->found = sock->next = NULL;
}

static void close_socket(struct driver *driver, struct driver_socket *sock)
{
    drop_found(sock);
    if (sock->fd < 0)
        return;
    (void)close(sock->fd); /* what matters was answered, or counts as lost */
    sock->fd = -1;
    sock->is_connecting = sock->is_blocked = false;
    driver->version++;
}

void driver_release(struct driver *driver)
{
    for (size_t at = 0; at < ENGINE_CHANNELS; at++)
        close_socket(driver, &driver->sockets[at]);
    for (size_t i = 0; i < DRIVER_POLLERS; i++)
        (void)close(driver->wake_fds[i]);
}

static void lose(struct driver *driver, size_t at, bool in_order, const char *reason)
{
    close_socket(driver, &driver->sockets[at]);
    engine_lost(driver->engine, driver_now(), at, in_order, reason);
}

static void lose_by_error(struct driver *driver, size_t at, int error)
{
    char reason[96];
    lose(driver, at, false, strerror_r(error, reason, sizeof reason));
}

/* ---- connecting ---- */

/* The next address of the name; false, with errno, when none is left. */
static bool connect_next(struct driver *driver, struct driver_socket *sock)
{
    int error = EADDRNOTAVAIL;
    while (sock->next != NULL) {
        const struct addrinfo *info = sock->next;
        sock->next = info->ai_next;
        int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0) {
            error = errno;
            continue;
        }
        int on = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* slower without */
        if (connect(fd, info->ai_addr, info->ai_addrlen) == 0 || errno == EINPROGRESS ||
            errno == EINTR) {
            sock->fd = fd;
            sock->is_connecting = true;
            driver->version++;
            return true;
        }
        error = errno;
        (void)close(fd);
    }
    errno = error;
    return false;
}

static void dial(struct driver *driver, size_t at, const struct engine_link *wanted)
{
    struct driver_socket *sock = &driver->sockets[at];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICSERV | AI_NUMERICHOST};
    char port[8];
    sock->serial = wanted->serial;
    sock->used_at = driver_now();
    (void)snprintf(port, sizeof port, "%u", wanted->address.port);
    int failure = getaddrinfo(wanted->address.host, port, &hints, &sock->found);
    if (failure == EAI_NONAME) { /* a name, not a number */
        hints.ai_flags = AI_NUMERICSERV;
        failure = getaddrinfo(wanted->address.host, port, &hints, &sock->found);
    }
    if (failure != 0) {
        sock->found = NULL;
        lose(driver, at, false, gai_strerror(failure));
        return;
    }
    sock->next = sock->found;
    if (!connect_next(driver, sock))
        lose_by_error(driver, at, errno);
}

/* The dial has come to something. */
static void finish_connecting(struct driver *driver, size_t at)
{
    struct driver_socket *sock = &driver->sockets[at];
    int error = 0;
    socklen_t error_bytes = sizeof error;
    if (getsockopt(sock->fd, SOL_SOCKET, SO_ERROR, &error, &error_bytes) != 0)
        error = errno;
    if (error == 0) {
        struct sockaddr_storage peer;
        socklen_t peer_bytes = sizeof peer;
        if (getpeername(sock->fd, (struct sockaddr *)&peer, &peer_bytes) != 0)
            return; /* a hint without reason: it goes on dialling */
        sock->is_connecting = false;
        driver->version++;
        drop_found(sock);
        engine_opened(driver->engine, driver_now(), at);
        return;
    }
    (void)close(sock->fd);
    sock->fd = -1;
    driver->version++;
    bool was_last = sock->next == NULL;
    if (!connect_next(driver, sock))
        lose_by_error(driver, at, was_last ? error : errno);
}

/* ---- sending and receiving ---- */

static void set_blocked(struct driver *driver, struct driver_socket *sock, bool is_blocked)
{
    if (sock->is_blocked != is_blocked)
        driver->version++;
    sock->is_blocked = is_blocked;
}

/* True when something was sent. What stands in its way shows when the connection is read: a server
 * that refuses a request early answers before it closes. */
static bool send_output(struct driver *driver, size_t at)
{
    struct driver_socket *sock = &driver->sockets[at];
    bool has_sent = false;
    for (;;) {
        struct bytes output = engine_output(driver->engine, at);
        if (output.count == 0) {
            set_blocked(driver, sock, false);
            return has_sent;
        }
        ssize_t count = send(sock->fd, output.data, output.count, MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0) {
            set_blocked(driver, sock, errno == EAGAIN);
            return has_sent;
        }
        has_sent = true;
        sock->used_at = driver_now();
        engine_sent(driver->engine, sock->used_at, at, (size_t)count);
    }
}

static void receive(struct driver *driver, size_t at)
{
    struct driver_socket *sock = &driver->sockets[at];
    unsigned serial = sock->serial;
    for (int i = 0; i < READS_MAX && sock->fd >= 0; i++) {
        ssize_t count = recv(sock->fd, driver->buffer, sizeof driver->buffer, 0);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 && errno == EAGAIN)
            return;
        if (count < 0) {
            lose_by_error(driver, at, errno);
            return;
        }
        if (count == 0) {
            lose(driver, at, true, "the connection was closed by the node");
            return;
        }
        struct engine_link wanted;
        engine_received(driver->engine, driver_now(), at, bytes_of(driver->buffer, (size_t)count));
        engine_link(driver->engine, at, &wanted);
        bool is_over = wanted.serial != serial || wanted.state != ENGINE_LINK_OPEN;
        if (is_over || (size_t)count < sizeof driver->buffer)
            return;
    }
}

/* Brings one socket in line with its link; true when something happened. */
static bool pump_one(struct driver *driver, size_t at)
{
    struct driver_socket *sock = &driver->sockets[at];
    struct engine_link wanted;
    engine_link(driver->engine, at, &wanted);
    bool is_other = sock->serial != wanted.serial;
    if (sock->fd >= 0 && (is_other || wanted.state == ENGINE_LINK_CLOSED))
        close_socket(driver, sock);
    if (wanted.state == ENGINE_LINK_DIALLING && sock->fd < 0) {
        dial(driver, at, &wanted);
        return true;
    }
    return wanted.state == ENGINE_LINK_OPEN && sock->fd >= 0 && send_output(driver, at);
}

void driver_pump(struct driver *driver)
{
    bool has_changed = true;
    while (has_changed) {
        has_changed = false;
        for (size_t at = 0; at < ENGINE_CHANNELS; at++)
            has_changed = pump_one(driver, at) || has_changed;
    }
}

void driver_refresh(struct driver *driver)
{
    time_us now = driver_now();
    for (size_t at = 0; at < ENGINE_CHANNELS; at++) {
        struct driver_socket *sock = &driver->sockets[at];
        struct engine_link wanted;
        if (sock->fd < 0 || sock->is_connecting || now < sock->used_at + REFRESH_US)
            continue;
        engine_link(driver->engine, at, &wanted);
        if (wanted.is_idle && wanted.serial == sock->serial)
            receive(driver, at);
    }
}

/* ---- polling ---- */

size_t driver_pollfds(const struct driver *driver, enum driver_poller poller,
                      struct pollfd *out_fds, size_t fds_max)
{
    size_t count = 0;
    if (fds_max != 0)
        out_fds[count++] = (struct pollfd){.fd = driver->wake_fds[poller], .events = POLLIN};
    for (size_t at = 0; at < ENGINE_CHANNELS && count < fds_max; at++) {
        const struct driver_socket *sock = &driver->sockets[at];
        if (sock->fd < 0)
            continue;
        short events = sock->is_connecting ? POLLOUT : POLLIN;
        if (sock->is_blocked)
            events = POLLIN | POLLOUT;
        out_fds[count++] = (struct pollfd){.fd = sock->fd, .events = events};
    }
    return count;
}

static void process_one(struct driver *driver, const struct pollfd *ready)
{
    uint64_t count;
    for (size_t i = 0; i < DRIVER_POLLERS; i++)
        if (ready->fd == driver->wake_fds[i])
            (void)!read(ready->fd, &count, sizeof count); /* nothing there is fine */
    for (size_t at = 0; at < ENGINE_CHANNELS; at++) {
        struct driver_socket *sock = &driver->sockets[at];
        if (sock->fd < 0 || sock->fd != ready->fd)
            continue;
        if (sock->is_connecting)
            finish_connecting(driver, at);
        else if ((ready->revents & (POLLIN | POLLERR | POLLHUP)) != 0)
            receive(driver, at);
        return;
    }
}

void driver_process(struct driver *driver, const struct pollfd *fds, size_t fds_count)
{
    for (size_t i = 0; i < fds_count; i++)
        if (fds[i].revents != 0)
            process_one(driver, &fds[i]);
    engine_tick(driver->engine, driver_now());
    driver_pump(driver);
}

void driver_wake(const struct driver *driver, enum driver_poller poller)
{
    uint64_t one = 1;
    (void)!write(driver->wake_fds[poller], &one, sizeof one); /* full is awake too */
}
