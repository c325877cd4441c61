/* Address: host and port, normalised once, where it comes in.
 *
 * Accepted: host:port, :port, [v6]:port and http://host:port[/]. Everything inside the program and
 * on the wire is this struct or its one text form. */
#ifndef MINIKV_TYPES_ADDRESS_H
#define MINIKV_TYPES_ADDRESS_H

#include "base/bytes.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/status.h"

struct address {
    /* NUL-terminated, lower case, no brackets; "" when only a port was given */
    char host[LIMIT_HOST_BYTES + 1];
    uint16_t port; /* 1 … 65535; 0 in an unset address */
};

/* return   ST_OK; ST_BAD_ADDRESS for anything else than the forms above: no port, port 0, a host
 *          of more than LIMIT_HOST_BYTES, characters that no host has, https, user, path, query */
MUST_CHECK enum status address_parse(struct bytes text, struct address *out_address);
/* The form that address_format gives and no other: for what comes from another node or a disk. */
MUST_CHECK enum status address_decode(struct bytes text, struct address *out_address);
/* "host:port" with brackets around a v6 host; needs LIMIT_ADDRESS_BYTES. Returns `out`. */
const char *address_format(const struct address *address, char out[LIMIT_ADDRESS_BYTES]);
bool address_equal(const struct address *a, const struct address *b);
bool address_is_set(const struct address *address);
/* "", 0.0.0.0, ::, *: reachable only by guessing. */
bool address_is_wildcard(const struct address *address);
/* localhost, 127.0.0.0/8, ::1. */
bool address_is_loopback(const struct address *address);

#endif
