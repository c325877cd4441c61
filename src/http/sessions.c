/* Handlers of /v1/sessions: client ids that the cluster allots, and forgets on request. */
#include "http/api.h"
#include "http/body.h"
#include "http/connection.h"
#include "http/json.h"
#include "http/reply.h"
#include "http/server.h"
#include "kv/session.h"

void session_open_start(struct exchange *exchange, struct bytes body)
{
    struct command command = {.op = COMMAND_OPEN_SESSION};
    if (!body_parse_empty(body, &exchange->problem))
        return;
    /* The id cannot be guessed from those before it: nobody uses another's by mistake. */
    exchange->nonce = command.nonce = env_random(exchange->connection->http->env);
    exchange_write(exchange, &command);
}

void session_open_answer(struct exchange *exchange)
{
    char id[LIMIT_CLIENT_ID_BYTES + 1];
    struct buf *body = reply_scratch(exchange);
    buf_put(body, BYTES_LITERAL("{\"client\":"));
    json_put_ascii(
        body, session_format_id((raft_index)exchange->answer.result.number, exchange->nonce, id));
    buf_put(body, BYTES_LITERAL("}\n"));
    (void)reply_begin(exchange, 200); /* no headers of its own */
    reply_end(exchange, CONTENT_JSON, buf_bytes(body));
}

void session_close_start(struct exchange *exchange, struct bytes body)
{
    struct command command = {.op = COMMAND_CLOSE_SESSION, .identity = exchange->identity};
    exchange_write(exchange, &command);
}
