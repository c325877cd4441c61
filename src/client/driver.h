/* Driver: carries out on sockets what an engine asks for. It never waits: whoever calls it polls.
 *
 * Names are resolved when a connection is made, by getaddrinfo, which may take as long as the
 * system's resolver does; numeric addresses take no time. Each address of a name is tried in turn.
 *
 * Ownership    owns its descriptors; all are close-on-exec, and none raises SIGPIPE
 * Calling      one thread at a time, but driver_wake */
#ifndef MINIKV_CLIENT_DRIVER_H
#define MINIKV_CLIENT_DRIVER_H

#include <poll.h>

#include "client/engine.h"

enum { DRIVER_READ_BYTES = 64 * KIB, DRIVER_POLLFDS = ENGINE_CHANNELS + 1 };
/* Those who may be in poll() at the same time. */
enum driver_poller { DRIVER_LOOP, DRIVER_PERFORMER, DRIVER_POLLERS };
_Static_assert((int)DRIVER_POLLFDS == (int)MINIKV_POLLFDS_MAX, "as users are told");

struct addrinfo;

struct driver_socket {
    int fd;          /* -1: none */
    unsigned serial; /* of the engine's link that it is */
    bool is_connecting;
    bool is_blocked;               /* the last send took less than all */
    struct addrinfo *found, *next; /* owned: while connecting, what the name has */
    time_us used_at;
};

struct driver {
    struct engine *engine; /* borrowed */
    struct driver_socket sockets[ENGINE_CHANNELS];
    int wake_fds[DRIVER_POLLERS];
    unsigned version; /* grows when there is something else to poll for */
    uint8_t buffer[DRIVER_READ_BYTES];
};

time_us driver_now(void); /* monotonic, and goes on while the machine sleeps: leases do, too */

/* False: the system has no descriptor for it. */
MUST_CHECK bool driver_init(struct driver *driver, struct engine *engine);
void driver_release(struct driver *driver);

/* Connects and sends what can be connected and sent now. */
void driver_pump(struct driver *driver);
/* Sees to the ends that idle connections have met unseen, before something is sent on them. */
void driver_refresh(struct driver *driver);
size_t driver_pollfds(const struct driver *driver, enum driver_poller poller,
                      struct pollfd *out_fds, size_t fds_max);
/* What poll said: hints, also those of connections that are no more. */
void driver_process(struct driver *driver, const struct pollfd *fds, size_t fds_count);
/* Ends that poller's poll(), or its next one; from any thread. */
void driver_wake(const struct driver *driver, enum driver_poller poller);

#endif
