/* Loop: epoll, and the time. One thread does everything: links, relays, timers. */
#ifndef MINIKV_TESTS_ENDURANCE_LOOP_H
#define MINIKV_TESTS_ENDURANCE_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct watch;

/* Something can be read, written, or has ended. May come late, for a descriptor that was closed in
 * the same turn: what it means only a read or a write tells. */
typedef void (*watch_fn)(struct watch *watch, bool is_writable);

/* One descriptor; lives inside its owner. */
struct watch {
    int fd; /* -1: closed */
    bool wants_to_write;
    watch_fn on_event;
};

struct loop {
    int epoll;
    uint64_t now_us; /* monotonic, of this turn */
};

void loop_init(struct loop *loop);
void loop_close(struct loop *loop);
/* One turn: waits at most a millisecond, calls whom it concerns. */
void loop_turn(struct loop *loop);

/* Takes `fd`, makes it non-blocking. */
void watch_open(struct loop *loop, struct watch *watch, int fd, watch_fn on_event);
void watch_want_to_write(struct loop *loop, struct watch *watch, bool wants_to_write);
/* `with_reset`: the other end gets an RST, and what is on its way is lost. Closed: a no-op. */
void watch_close(struct watch *watch, bool with_reset);

/* A non-blocking connection with TCP_NODELAY, connected or connecting; -1 when refused. A
 * connecting one becomes writable: socket_is_connected says whether it has worked. */
int socket_connect(const void *sockaddr_in);
bool socket_is_connected(int fd);
void socket_set_up(int fd);

#endif
