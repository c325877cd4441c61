/* HTTP client: requests over one kept-alive HTTP/1.1 connection, one at a time.
 *
 * Reports how far a request got, because that decides whether it may be sent again: nothing of it
 * left (the server cannot have seen it), or some did (it may have been carried out).
 *
 * Ownership    a reply owns its memory; release it with http_reply_release
 * Limits       HTTP_REPLY_BODY_BYTES, LIMIT_HEADERS, LIMIT_HEADERS_BYTES
 * Calling      one thread at a time; no globals, never prints, never ends the process */
#ifndef MINIKV_CLIENT_HTTP_CLIENT_H
#define MINIKV_CLIENT_HTTP_CLIENT_H

#include "client/connection.h"
#include "types/address.h"

enum {
    HTTP_REPLY_BODY_BYTES = 16 * MIB, /* a full page of a listing, in base64, fits */
    HTTP_REQUEST_HEADERS = 16,
};

struct http_header {
    const char *name;
    const char *value;
};

struct http_request {
    const char *method;
    const char *target; /* path and query, percent-encoded */
    struct http_header headers[HTTP_REQUEST_HEADERS];
    size_t headers_count;
    struct bytes body; /* borrowed */
    bool has_body;     /* an empty body is a body */
};

/* Returns false when there is no room. `name` and `value` are borrowed. */
MUST_CHECK bool http_request_add_header(struct http_request *request, const char *name,
                                        const char *value);

struct http_reply {
    int code;
    char *head; /* owned: name NUL value NUL name NUL … */
    size_t head_bytes;
    uint8_t *body; /* owned */
    size_t body_bytes;
};

void http_reply_init(struct http_reply *reply);
void http_reply_release(struct http_reply *reply); /* empty afterwards, ready for another call */
/* The value of the first header of that name, whatever its case; NULL when there is none. */
const char *http_reply_header(const struct http_reply *reply, const char *name);
struct bytes http_reply_body(const struct http_reply *reply);

struct http_client {
    struct address address;
    struct connection connection;
};

void http_client_init(struct http_client *client, const struct address *address);
void http_client_release(struct http_client *client);

/* Sends the request and waits for its whole reply. `reply` must be empty.
 *
 * return   ST_OK: there is a reply, whatever its code.
 *          Nothing was sent: ST_CLOSED (refused), ST_BAD_ADDRESS (no such host),
 *          ST_REQUEST_TIMEOUT (the deadline passed while connecting), ST_NO_MEMORY.
 *          Something was sent and may have had its effect: ST_LINK_LOST, ST_TIMEOUT.
 *          All failures come with `error`, an empty reply and a closed connection. */
MUST_CHECK enum status http_client_call(struct http_client *client,
                                        const struct http_request *request,
                                        time_us connect_deadline, time_us deadline,
                                        struct http_reply *reply, struct errtext *error);

#endif
