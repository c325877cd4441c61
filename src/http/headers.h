/* Headers: what the header fields of a request mean to this server. Pure.
 *
 * Fields are taken one by one as they are complete. Two kinds of trouble: what makes the framing or
 * the addressee doubtful is returned and ends the connection; what is merely wrong is put into
 * `soft` and answered after the body, with the connection kept. */
#ifndef MINIKV_HTTP_HEADERS_H
#define MINIKV_HTTP_HEADERS_H

#include "base/bytes.h"
#include "base/limits.h"
#include "http/identity.h"
#include "http/problem.h"
#include "kv/command.h"
#include "route/route.h"

enum accept {
    ACCEPT_ANY, /* no Accept: JSON */
    ACCEPT_JSON,
    ACCEPT_RAW,    /* application/octet-stream */
    ACCEPT_NOTHING /* nothing that this server has */
};

enum { HOST_BYTES_MAX = 262 };    /* a DNS name and a port */
enum { EVENT_ID_BYTES_MAX = 40 }; /* two numbers and a point */

struct headers {
    size_t count;
    unsigned seen; /* a bit per known field that may come only once */
    struct problem soft;
    bool is_raw_body; /* Content-Type: application/octet-stream */
    bool is_chunked;
    bool has_transfer_encoding;
    bool has_content_length;
    bool expects_continue;
    bool is_forwarded; /* X-MiniKV-Forwarded, whatever its value */
    bool has_policy;
    enum route_policy policy;
    enum accept accept;
    bool accepts_lines; /* application/x-ndjson, before any of the above: for routes that have it */
    bool accepts_events; /* the same of text/event-stream */
    enum condition condition;
    uint64_t condition_revision;
    uint64_t timeout_ms; /* 0: not given */
    size_t last_event_count;
    uint8_t last_event[EVENT_ID_BYTES_MAX + 1]; /* Last-Event-ID, cut behind the longest there is */
    size_t host_count;
    bool has_host;
    uint8_t host[HOST_BYTES_MAX];
    struct identity identity;
};

void headers_reset(struct headers *headers);
/* Surrounding blanks of `value` are ignored.
 * return   ST_OK; ST_BAD_HEADER (no name), ST_BAD_HOST, ST_BAD_LENGTH, ST_UNSUPPORTED_CODING,
 *          ST_HEADERS_TOO_LONG with `error`: the connection must end */
MUST_CHECK enum status headers_take(struct headers *headers, struct bytes name, struct bytes value,
                                    struct errtext *error);
/* "forward" | "redirect", in lower case. */
bool policy_parse(struct bytes text, enum route_policy *out_policy);
/* Digits only, no leading zero, not 0, at most 2^63-1. */
bool number_parse(struct bytes text, uint64_t *out_number);
/* Same letters, whatever their case. */
bool token_equal(struct bytes bytes, const char *text);

#endif
