/* Parse: bytes of a connection into requests: llhttp in strict mode, and what it lets through.
 *
 * A request comes as two events: its head, then the whole message with its body. Both borrow from
 * the bytes given in where they can: a request that arrives in one piece is not copied here.
 *
 * Refused beyond llhttp: obs-fold, bare LF in any line end, more than one blank in the request
 * line, versions other than 1.0 and 1.1, both or odd lengths and codings (http/headers.h), and
 * trailers that are folded, nameless, or a length.
 *
 * Limits   LIMIT_HEADERS, LIMIT_HEADERS_BYTES, LIMIT_TARGET_BYTES, LIMIT_BODY_BYTES; chunk lines,
 *          extensions and trailers together: LIMIT_HEADERS_BYTES + 8 per byte of body */
#ifndef MINIKV_HTTP_PARSE_H
#define MINIKV_HTTP_PARSE_H

#include <llhttp.h>

#include "base/buf.h"
#include "http/headers.h"
#include "http/problem.h"

enum parse_event {
    PARSE_MORE,    /* everything given in was taken; more is needed */
    PARSE_HEAD,    /* parse_target, parse->headers and parse->llhttp.method are there */
    PARSE_MESSAGE, /* parse_body is there; borrowed until the next step */
    PARSE_REFUSED  /* parse->problem says why; nothing more can be read */
};

enum parse_phase { PARSE_PHASE_BETWEEN, PARSE_PHASE_HEAD, PARSE_PHASE_BODY, PARSE_PHASE_DEAD };

struct parse_span {
    size_t offset, count; /* within the head */
};

struct parse {
    struct buf head; /* owned: the head so far, when it came in pieces */
    struct buf body; /* owned: the body so far, when it came in pieces */
    llhttp_t llhttp;
    enum parse_phase phase;
    struct problem problem;
    struct headers headers;
    bool keeps_alive; /* known with the head */
    bool discards_body;
    bool is_after_cr; /* between requests, or in a chunk line */
    bool is_after_lf; /* in a chunk line or a trailer */
    size_t body_count;
    size_t framing_count; /* bytes of a chunked body that are not body */
    size_t head_count;
    struct parse_span method, target, version, name, value;

    const uint8_t *base; /* borrowed: first byte of the head, during a step */
    const uint8_t *gap;  /* borrowed: first byte not yet known to be body, during a step */
    struct bytes slice;  /* borrowed: the body so far, when it is in one piece */
};

void parse_init(struct parse *parse);
void parse_release(struct parse *parse);
/* Takes bytes from the front of `bytes` up to the next event. Call until PARSE_MORE. */
enum parse_event parse_step(struct parse *parse, struct bytes *bytes);
struct bytes parse_target(const struct parse *parse); /* until the next step */
struct bytes parse_body(const struct parse *parse);   /* until the next step */
/* The body of this request is read and thrown away. */
void parse_discard_body(struct parse *parse);
/* After a message: gives large buffers back. */
void parse_trim(struct parse *parse);
/* Copied bytes held for a request that is not complete. */
size_t parse_held_bytes(const struct parse *parse);
bool parse_has_body(const struct parse *parse); /* known with the head */
/* The reply has no body: a HEAD request, also one whose head is not complete. */
bool parse_is_head_only(const struct parse *parse);

#endif
