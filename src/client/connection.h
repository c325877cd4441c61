/* Connection: one TCP connection, every call on it bound by a deadline.
 *
 * Blocking calls over a non-blocking socket: each waits in poll() until it can go on or the
 * deadline passes. Deadlines are on the clock of connection_now.
 *
 * Ownership    owns its descriptor; -1 while closed
 * Calling      one thread at a time; nothing here is shared between connections */
#ifndef MINIKV_CLIENT_CONNECTION_H
#define MINIKV_CLIENT_CONNECTION_H

#include "base/bytes.h"
#include "base/check.h"
#include "base/diag.h"
#include "types/address.h"
#include "types/ids.h"

struct connection {
    int fd;
};

time_us connection_now(void); /* monotonic */

void connection_init(struct connection *connection);
/* Resolves and dials; tries each address that the name has. Requires a host. Resolving a name (not
 * an address) may outlast the deadline: the resolver has time limits of its own.
 *
 * return   ST_OK; ST_CLOSED (refused, unreachable), ST_REQUEST_TIMEOUT, ST_BAD_ADDRESS (no such
 *          host), all with `error` and the connection closed */
MUST_CHECK enum status connection_open(struct connection *connection, const struct address *address,
                                       time_us deadline, struct errtext *error);
void connection_close(struct connection *connection); /* closing twice is once */
bool connection_is_open(const struct connection *connection);
/* Nothing has come in unasked, not even the end: it can carry another request. */
bool connection_is_idle(const struct connection *connection);

/* Sends all of `bytes`. `out_sent` counts what left, also on failure.
 * return   ST_OK; ST_CLOSED; ST_TIMEOUT */
MUST_CHECK enum status connection_send(struct connection *connection, struct bytes bytes,
                                       time_us deadline, size_t *out_sent);
/* What there is, at least one byte; 0 bytes at the end of the stream.
 * return   ST_OK; ST_CLOSED (reset); ST_TIMEOUT */
MUST_CHECK enum status connection_receive(struct connection *connection, void *out, size_t capacity,
                                          time_us deadline, size_t *out_count);

#endif
