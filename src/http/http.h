/* HTTP: the front door that curl, browsers and libminikv use. Bytes into requests, answers into
 * bytes, and nothing else: who leads, what is forwarded and what took effect is the node's matter.
 *
 *      socket ─▶ parse ─▶ api table ─▶ handler ─▶ handle_client_request
 *      socket ◀─ replies, in the order of the requests ◀─ node_answer
 *
 * Ownership    the server owns its connections and the requests on them; env and node are borrowed
 * Limits       LIMIT_CONNECTIONS, LIMIT_PIPELINE, LIMIT_HEADERS*, LIMIT_BODY*, LIMIT_REPLY*
 * Calling      the loop's thread; http_close before or after node_close, but no callback in between
 * Format       docs/http-api.md */
#ifndef MINIKV_HTTP_HTTP_H
#define MINIKV_HTTP_HTTP_H

#include "base/diag.h"
#include "env/env.h"
#include "node/node.h"

struct http;

struct http_options {
    struct address listen;
    size_t connections_max;  /* 0: LIMIT_CONNECTIONS; less where descriptors are scarce */
    uint64_t backup_rate;    /* bytes per second of each backup; 0: 64 MiB */
    const char *data_dir;    /* whose disk the metrics speak of; borrowed; NULL: none */
    time_us request_timeout; /* whole deadline of a request at the node; 0: 5 s */
    time_us head_timeout;    /* from the first byte of a request to the end of its head; 0: 10 s */
    time_us body_timeout;    /* from there to the end of its body; 0: 60 s */
    time_us idle_timeout;    /* between requests; 0: 75 s */
    time_us send_timeout;    /* a reader that takes less than 64 KiB in this time; 0: 30 s */
    time_us linger;          /* for the client to close after us; 0: 2 s */
};

/* Listens. return ST_OK; as env_listen, with `error` and nothing made */
MUST_CHECK enum status http_open(struct env *env, struct node *node,
                                 const struct http_options *options, struct http **out_http,
                                 struct errtext *error);
/* Stops accepting, finishes what is in flight, closes what stays idle; then on_stopped, once. Every
 * reply from here on is the last of its connection and says so. */
void http_stop(struct http *http, void (*on_stopped)(void *ctx), void *ctx);
/* Sends what has been answered and closes everything at once. The node must live as long as
 * requests are open there, or have answered them all. NULL is a no-op. */
void http_close(struct http *http);
/* The node's view changed: what every reply says about the leader is written anew. */
void http_on_view(struct http *http);

/* The node has applied something: whoever watches is told, later in this turn. */
void http_on_applied(struct http *http);

/* A node_verify_fn whose ctx is the struct http: asks GET /v1/raft/identity at the address, on one
 * connection, in one second, following nothing and reading at most LIMIT_ASK_BYTES, and calls
 * node_verified with ST_OK or ST_ADDRESS_MISMATCH. */
void http_verify(void *http, const struct node_verify *verify);

#endif
