/* Load reply: where a reply ends, and what it says went wrong.
 *
 * Not a client: just enough of HTTP/1.1 to count replies, in one pass over the head; and of Redis'
 * protocol, so that one program can drive both. It does not judge; a stream that makes no sense is
 * a lost connection. */
#ifndef MINIKV_LOAD_LOAD_REPLY_H
#define MINIKV_LOAD_LOAD_REPLY_H

#include "base/bytes.h"
#include "base/check.h"

struct load_reply {
    unsigned status;           /* 204; for Redis 200, 404 without a value, 500 */
    bool closes;               /* "Connection: close": nothing comes behind it */
    struct bytes effect, body; /* of X-MiniKV-Effect; borrowed */
};

enum load_progress { LOAD_REPLY_MORE, LOAD_REPLY_WHOLE, LOAD_REPLY_BAD };

/* Looks for a whole reply at the beginning of `bytes`; out_count: its bytes. */
MUST_CHECK enum load_progress load_reply_parse(struct bytes bytes, struct load_reply *out_reply,
                                               size_t *out_count);

/* What a refusal is called: the word of its problem document, or "http-503"; at most 31 bytes. */
void load_reply_word(const struct load_reply *reply, char out_word[32]);

#endif
