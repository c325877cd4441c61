/* Reply: writes status line, headers and body of an answer behind those before it. */
#ifndef MINIKV_HTTP_REPLY_H
#define MINIKV_HTTP_REPLY_H

#include "base/buf.h"
#include "http/exchange.h"

#define CONTENT_JSON    "application/json"
#define CONTENT_LINES   "application/x-ndjson"
#define CONTENT_PROBLEM "application/problem+json"
#define CONTENT_RAW     "application/octet-stream"
#define CONTENT_TEXT    "text/plain; charset=utf-8"
#define CONTENT_METRICS "text/plain; version=0.0.4; charset=utf-8"

/* Writes the whole reply of a request that is ready, or its head when it is SENDING afterwards;
 * once, in order. */
void reply_write(struct exchange *exchange);

/* For handlers: begin, any headers, then exactly one of the ends. What every reply says, and how
 * old the answer to a stale read is, stands in it already. */
struct buf *reply_begin(struct exchange *exchange, int code);
void reply_header_number(struct buf *out, const char *name, uint64_t value);
void reply_etag(struct buf *out, uint64_t revision);
void reply_end(struct exchange *exchange, const char *content_type, struct bytes body);
void reply_end_parts(struct exchange *exchange, const char *content_type, struct bytes body,
                     struct bytes rest);
/* The head of one whose body of so many bytes the caller sends behind it. */
void reply_end_head(struct exchange *exchange, const char *content_type, uint64_t body_bytes);
/* The head of one whose body is of unknown length and comes from exchange->source, which is asked
 * for it from now on; of HEAD there is none, and no source is needed. */
void reply_end_chunked(struct exchange *exchange, const char *content_type);
void reply_end_empty(struct exchange *exchange); /* 204, 304 */
/* All of a 204 that says no more than every reply does. */
void reply_done(struct exchange *exchange);
/* An empty buf for a body; borrowed until the next call. */
struct buf *reply_scratch(struct exchange *exchange);

/* The reply is a refusal after all. `detail` NULL: the general advice. */
void reply_problem(struct exchange *exchange, enum status status, const char *detail);

/* Status codes this server sends, for counting: an index below REPLY_CODES_COUNT. */
enum { REPLY_CODES_MAX = 32 };
size_t reply_codes_count(void);
int reply_code_at(size_t index);

/* Node, term and leader as headers: rebuilt when the node's view changes. */
void reply_block_update(struct http *http);

#endif
