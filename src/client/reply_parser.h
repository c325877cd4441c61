/* Reply parser: bytes of one HTTP/1.1 response into a struct http_reply. Pure but for malloc. */
#ifndef MINIKV_CLIENT_REPLY_PARSER_H
#define MINIKV_CLIENT_REPLY_PARSER_H

#include <llhttp.h>

#include "client/http_client.h"

enum reply_progress {
    REPLY_MORE, /* feed on */
    REPLY_DONE,
    REPLY_BAD, /* malformed, too long, cut off, or out of memory: reply_parser_failure says which */
};

struct reply_parser {
    llhttp_t llhttp;
    llhttp_settings_t settings;
    struct http_reply *reply; /* borrowed */
    size_t head_capacity, body_capacity;
    size_t headers_count;
    const char *failure; /* static text; NULL: none */
    bool is_done;
    bool keeps_alive; /* of a reply that is done */
    bool has_started; /* a byte has come */
    bool has_surplus; /* bytes behind the reply: the stream is out of step */
};

/* `reply` must be empty; what is put into it is the caller's to release, also after REPLY_BAD. */
void reply_parser_init(struct reply_parser *parser, struct http_reply *reply);
MUST_CHECK enum reply_progress reply_parser_feed(struct reply_parser *parser, struct bytes bytes);
/* The stream ended, in order or by a reset. */
MUST_CHECK enum reply_progress reply_parser_end(struct reply_parser *parser, bool in_order);
bool reply_parser_keeps_alive(const struct reply_parser *parser);
const char *reply_parser_failure(const struct reply_parser *parser);

#endif
