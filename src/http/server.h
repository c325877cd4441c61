/* Server: what all connections of one front door share. */
#ifndef MINIKV_HTTP_SERVER_H
#define MINIKV_HTTP_SERVER_H

#include "base/buf.h"
#include "base/list.h"
#include "env/env.h"
#include "http/connection.h"
#include "http/http.h"
#include "http/metrics.h"
#include "http/turn.h"
#include "http/walk.h"
#include "http/watch_hub.h"

struct http {
    struct env_listener *listener;
    struct list connections;
    struct list dirty;
    struct list spare_exchanges;
    struct list verifications;
    struct buf block;   /* headers that every reply carries */
    struct buf scratch; /* a body being made */
    struct http_options options;
    struct metrics metrics;
    struct walks walks;
    struct turns turns;
    struct results results;
    struct watch_hub *watches; /* owned */
    struct renewals renewals;
    size_t connections_count;
    size_t spare_count;
    size_t verifications_count;
    size_t bodies_bytes;      /* held by all connections */
    size_t replies_bytes;     /* made for all connections and not yet taken by them */
    size_t exchanges_count;   /* of all connections */
    size_t backups_count;     /* exchanges that have a backup */
    size_t refused_in_window; /* connections told BUSY since the last sweep */
    uint64_t block_version;
    struct env_task flush_task;
    struct env_task stopped_task;
    struct env_timer sweep_timer;
    struct env_timer grace_timer;
    struct env_task grace_task; /* when it is due and the sockets have been looked at */
    bool is_stopping;
    bool grace_is_over; /* stopping, and clients have had the time to hear of it */
    void (*on_stopped)(void *ctx);
    void *on_stopped_ctx;

    struct env *env;   /* borrowed */
    struct node *node; /* borrowed */
};

/* There is something to send or to do for it at the end of this turn. */
void http_mark_dirty(struct http *http, struct connection *connection);
void http_connection_gone(struct http *http);
/* Frees verifications under way without answering them. */
void http_verify_close(struct http *http);

#endif
