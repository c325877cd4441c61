/* HTTP reply: one response as it was read.
 *
 * Ownership    owns its memory */
#ifndef MINIKV_CLIENT_HTTP_REPLY_H
#define MINIKV_CLIENT_HTTP_REPLY_H

#include "base/bytes.h"
#include "base/check.h"

struct http_reply {
    int code;   /* 0: there is none */
    char *head; /* owned: name NUL value NUL name NUL … */
    size_t head_bytes;
    uint8_t *body; /* owned */
    size_t body_bytes;

    size_t head_capacity, body_capacity;
};

void http_reply_init(struct http_reply *reply);
void http_reply_release(struct http_reply *reply); /* empty afterwards, ready for another */
/* Empty; keeps memory that is not large, for the next. */
void http_reply_clear(struct http_reply *reply);
/* Append; false without memory, and nothing has changed. */
MUST_CHECK bool http_reply_add_head(struct http_reply *reply, const void *bytes, size_t count);
MUST_CHECK bool http_reply_add_body(struct http_reply *reply, const void *bytes, size_t count);
/* The value of the first header of that name, whatever its case; NULL when there is none. */
const char *http_reply_header(const struct http_reply *reply, const char *name);
/* Its value as a number of plain digits; 0 when it is missing or something else. */
uint64_t http_reply_number(const struct http_reply *reply, const char *name);
struct bytes http_reply_body(const struct http_reply *reply);

#endif
