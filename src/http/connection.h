/* Connection: one client, its requests in order, and what is on its way back to it. */
#ifndef MINIKV_HTTP_CONNECTION_H
#define MINIKV_HTTP_CONNECTION_H

#include "base/buf.h"
#include "base/list.h"
#include "env/env.h"
#include "http/exchange.h"
#include "http/parse.h"
#include "http/turn.h"

enum connection_state {                   /* moves between them: the table in connection.c */
                        CONNECTION_FRESH, /* nothing has come yet */
                        CONNECTION_IDLE,  /* between requests */
                        CONNECTION_HEAD,  /* part of a head is here */
                        CONNECTION_BODY,  /* part of a body is here */
                        CONNECTION_LAST   /* nothing more is read; it ends when all is answered */
};

struct connection {
    struct env_stream *stream; /* owned until finished or gone */
    struct parse parse;
    struct buf out;     /* replies of this turn */
    struct buf pending; /* received and not parsed: the pipeline was full */
    size_t pending_at;
    struct list link;       /* in the server */
    struct list dirty_link; /* in the server, while there is something to do at the turn's end */
    struct turn turn;       /* of replying */
    struct http *http;      /* borrowed */
    enum connection_state state;
    time_us since; /* when it came into this state, or was last busy in it */
    bool is_paused;
    struct list exchanges; /* oldest first */
    size_t exchanges_count;
    size_t txns_count;        /* of these */
    struct exchange *reading; /* the one whose body is coming; NULL */
    size_t held_bytes;        /* of requests; counted in the server */
    size_t reply_bytes;       /* of replies; counted in the server */
    bool is_starved;          /* a long body waits for memory that other connections have */

    /* a reader must take its bytes */
    uint64_t sent_bytes;
    time_us watch_since;
    uint64_t watch_goal; /* taken bytes by the end of the watch */
};

/* Takes the accepted stream. */
void connection_open(struct http *http, struct env_stream *stream);
/* Frees it at once; `stream` is closed if it is still there. */
void connection_free(struct connection *connection);
/* A request became ready: writes the replies whose turn it is, as many as this turn of the loop may
 * have. */
void connection_answer(struct connection *connection);
/* At the end of the turn: sends, reads on, or ends. May free the connection. */
void connection_flush(struct connection *connection);
/* Looks at the clock; may free the connection. */
void connection_sweep(struct connection *connection, time_us now);
/* No further requests: the reply under way says that it is the last. */
void connection_stop(struct connection *connection);
/* Ends it when it is between two requests. */
void connection_stop_idle(struct connection *connection);

#endif
