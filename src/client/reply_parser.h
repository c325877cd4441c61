/* Reply parser: bytes of HTTP/1.1 responses into struct http_reply, one after the other. Pure but
 * for malloc.
 *
 * Our own and small, because the library never aborts and the server's parser may: strict about
 * what frames a message (lengths, chunks, line ends), since a client that is out of step takes one
 * request's answer for another's (RFC 9112 §6.3, §11.2).
 *
 * Limits       HTTP_REPLY_BODY_BYTES, LIMIT_HEADERS, LIMIT_HEADERS_BYTES */
#ifndef MINIKV_CLIENT_REPLY_PARSER_H
#define MINIKV_CLIENT_REPLY_PARSER_H

#include "base/limits.h"
#include "client/http_reply.h"

enum {
    HTTP_REPLY_BODY_BYTES = 16 * MIB, /* a full page of a listing, in base64, fits */
    REPLY_LINE_BYTES = 128            /* of a status line; what a longer one says is not needed */
};

enum reply_progress {
    REPLY_MORE, /* feed on */
    REPLY_DONE,
    REPLY_BAD,      /* malformed, too long or cut off: parser->failure says which */
    REPLY_NO_MEMORY /* failure says so too */
};

enum reply_state {
    REPLY_STATUS_LINE,
    REPLY_HEADER_NAME, /* or the empty line behind the last */
    REPLY_HEADER_VALUE,
    REPLY_BODY,        /* `left` bytes */
    REPLY_BODY_TO_END, /* of the stream */
    REPLY_CHUNK_SIZE,
    REPLY_CHUNK_EXTENSION,
    REPLY_CHUNK,
    REPLY_CHUNK_END, /* the line end behind its data */
    REPLY_TRAILER
};

struct reply_parser {
    struct http_reply *reply; /* borrowed */
    enum reply_state state;
    bool is_head_only; /* the reply to HEAD: no body whatever its headers say */

    char line[REPLY_LINE_BYTES]; /* what has come of the status line */
    size_t line_count;
    size_t head_bytes; /* status line, headers, chunk lines and trailers, as sent */
    size_t headers_count;
    size_t item_at;      /* where the name or value being read begins in reply->head */
    size_t digits_count; /* of a chunk size; bytes of a trailer line */
    bool after_return;   /* a CR has come: only LF may follow */
    bool is_http_1_0;
    uint64_t left; /* of the body or chunk */

    const char *failure; /* static text; NULL: none */
    bool is_no_memory;
    bool keeps_alive; /* of a reply that is done */
    bool has_started; /* a byte has come */
};

/* `reply` must be empty; what is put into it is the caller's to release, also after REPLY_BAD. */
void reply_parser_init(struct reply_parser *parser, struct http_reply *reply, bool is_head_only);
/* Takes what belongs to this reply; `out_used` is less than bytes.count when more follows it. */
MUST_CHECK enum reply_progress reply_parser_feed(struct reply_parser *parser, struct bytes bytes,
                                                 size_t *out_used);
/* The stream ended, in order or by a reset. */
MUST_CHECK enum reply_progress reply_parser_end(struct reply_parser *parser, bool in_order);

#endif
