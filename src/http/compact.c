/* Handler of /v1/compact: the past up to a revision is given up, at all nodes alike. */
#include "http/api.h"
#include "http/body.h"
#include "http/connection.h"
#include "http/reply.h"
#include "http/server.h"

void compact_start(struct exchange *exchange, struct bytes body)
{
    struct command command = {.op = COMMAND_COMPACT, .identity = exchange->identity};
    if (!body_parse_revision(body, &command.revision, &exchange->problem))
        return;
    exchange->revision = command.revision;
    exchange_write(exchange, &command);
}

void compact_answer(struct exchange *exchange)
{
    struct buf *body = reply_scratch(exchange);
    buf_put(body, BYTES_LITERAL("{\"compacted\":"));
    buf_put_decimal(body, exchange->revision);
    buf_put(body, BYTES_LITERAL("}\n"));
    (void)reply_begin(exchange, 200); /* no headers of its own */
    reply_end(exchange, CONTENT_JSON, buf_bytes(body));
}
