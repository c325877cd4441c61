/* Handlers for those who run the node: /livez, /readyz, /version, /metrics. */
#include "http/api.h"
#include "http/connection.h"
#include "http/metrics.h"
#include "http/reply.h"
#include "http/server.h"

static void answer_ok(struct exchange *exchange)
{
    (void)reply_begin(exchange, 200); /* no headers of its own */
    reply_end(exchange, CONTENT_TEXT, BYTES_LITERAL("ok\n"));
}

/* Alive: it answers. */
void livez_answer(struct exchange *exchange)
{
    answer_ok(exchange);
}

/* Ready: requests sent here will not fail for what this node is lacking. */
void readyz_answer(struct exchange *exchange)
{
    const struct http *http = exchange->connection->http;
    const char *note = node_note(http->node);
    if (http->is_stopping)
        reply_problem(exchange, ST_SHUTTING_DOWN, NULL);
    else if (note != NULL)
        reply_problem(exchange, ST_NOT_READY, note);
    else if (node_is_ready(http->node))
        answer_ok(exchange);
    else if (node_view(http->node)->leader == NODE_NONE)
        reply_problem(exchange, ST_NO_LEADER, NULL);
    else
        reply_problem(exchange, ST_NOT_READY, NULL);
}

void version_answer(struct exchange *exchange)
{
    (void)reply_begin(exchange, 200); /* no headers of its own */
    reply_end(exchange, CONTENT_JSON,
              BYTES_LITERAL("{\"version\":\"" MINIKV_VERSION "\",\"api\":\"v1\"}\n"));
}

void metrics_answer(struct exchange *exchange)
{
    struct buf *body = reply_scratch(exchange);
    metrics_write(exchange->connection->http, body);
    (void)reply_begin(exchange, 200); /* no headers of its own */
    reply_end(exchange, CONTENT_METRICS, buf_bytes(body));
}
