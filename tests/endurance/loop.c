#include "endurance/loop.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <errno.h>

#include "base/check.h"
#include "endurance/options.h"

enum { EVENTS_MAX = 256, TURN_MS = 1 };

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

void loop_init(struct loop *loop)
{
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll < 0)
        die("epoll_create1");
    loop->now_us = now_us();
}

void loop_close(struct loop *loop)
{
    close(loop->epoll);
}

void loop_turn(struct loop *loop)
{
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_wait(loop->epoll, events, EVENTS_MAX, TURN_MS);
    loop->now_us = now_us();
    for (int i = 0; i < count; i++) {
        struct watch *watch = events[i].data.ptr;
        if (watch->fd >= 0)
            watch->on_event(watch, (events[i].events & EPOLLOUT) != 0);
    }
}

void watch_open(struct loop *loop, struct watch *watch, int fd, watch_fn on_event)
{
    REQUIRE(watch->fd == -1);
    *watch = (struct watch){.fd = fd, .on_event = on_event};
    (void)fcntl(fd, F_SETFL, O_NONBLOCK); /* of a socket: cannot fail */
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = watch};
    if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        die("epoll_ctl");
}

void watch_want_to_write(struct loop *loop, struct watch *watch, bool wants_to_write)
{
    if (watch->wants_to_write == wants_to_write)
        return;
    watch->wants_to_write = wants_to_write;
    struct epoll_event event = {.events = EPOLLIN | (wants_to_write ? EPOLLOUT : 0u),
                                .data.ptr = watch};
    if (epoll_ctl(loop->epoll, EPOLL_CTL_MOD, watch->fd, &event) != 0)
        die("epoll_ctl");
}

void watch_close(struct watch *watch, bool with_reset)
{
    if (watch->fd < 0)
        return;
    if (with_reset) {
        struct linger now = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(watch->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now); /* else a FIN */
    }
    close(watch->fd);
    watch->fd = -1;
}

void socket_set_up(int fd)
{
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* slower without */
}

int socket_connect(const void *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        die("socket");
    socket_set_up(fd);
    if (connect(fd, address, sizeof(struct sockaddr_in)) == 0 || errno == EINPROGRESS)
        return fd;
    close(fd);
    return -1;
}

bool socket_is_connected(int fd)
{
    struct sockaddr_in peer;
    socklen_t peer_bytes = sizeof peer;
    return getpeername(fd, (struct sockaddr *)&peer, &peer_bytes) == 0;
}
