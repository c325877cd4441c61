/* Exchange: one request of a connection from its head to its reply. */
#ifndef MINIKV_HTTP_EXCHANGE_H
#define MINIKV_HTTP_EXCHANGE_H

#include "base/buf.h"
#include "base/list.h"
#include "http/headers.h"
#include "http/problem.h"
#include "http/results.h"
#include "http/source.h"
#include "http/target.h"
#include "node/renewals.h"

struct api_route;
struct connection;
struct http;
struct parse;

enum listing_kind { LISTING_PAGE, LISTING_COUNT, LISTING_LINES };

enum exchange_state {
    EXCHANGE_READING,   /* its body is still coming */
    EXCHANGE_QUEUED,    /* a transaction: there is no room yet for what it may come to */
    EXCHANGE_WAITING,   /* submitted to the node */
    EXCHANGE_PREPARING, /* the node lets it go on; what it answers with is being made */
    EXCHANGE_READY,     /* can be answered as soon as those before it are */
    EXCHANGE_SENDING    /* the head of its reply is out, and of the body as much as fits */
};

struct exchange {
    struct buf target;  /* owned: as received */
    struct buf decoded; /* owned: key and parameters after percent-decoding */
    struct buf command; /* owned: encoded; once answered, what a transaction came to */
    struct buf client;  /* owned: of the identity */
    struct list link;   /* in its connection, oldest first; or among the spare ones */
    struct connection *connection;
    const struct api_route *route; /* NULL: none matched */
    enum exchange_state state;
    time_us started;
    struct problem problem;
    struct results_room room; /* for the results of a transaction */
    time_us deadline;         /* to be answered by the node */
    struct node_request submitted;
    struct renewal renewal; /* instead of `submitted`, when is_renewal */
    bool is_renewal;
    struct node_answer answer;

    /* from the head */
    struct target parts; /* slices of `target` */
    struct query query;
    unsigned method;
    bool is_head_only; /* HEAD */
    bool is_http_1_0;
    bool closes; /* the connection ends with the reply */
    bool wants_continue;
    bool is_forwarded;
    bool is_raw_body;
    bool has_policy;
    enum route_policy policy;
    enum accept accept;
    bool accepts_lines;
    bool accepts_events;
    enum condition condition;
    uint64_t condition_revision;
    time_us timeout;

    /* from the handlers */
    struct bytes key;                /* slice of `target` or `decoded` */
    struct client_identity identity; /* of this write, or of the one asked about; in `client` */
    uint64_t nonce;                  /* of the session being opened */
    node_id joins_id;                /* the member that joins, and … */
    struct address joins_http;       /* … its client address; unset: not given */
    bool is_txn;                     /* counted in its connection */
    bool is_stale;                   /* answered from this node alone */
    bool wants_raw;
    bool keys_only;
    enum listing_kind listing;
    bool wants_keys;   /* of a lease */
    uint64_t lease;    /* in the path, or the one that a list goes on behind */
    uint64_t ttl_ms;   /* of the lease that is asked for */
    uint64_t revision; /* ?rev=; 0: not given */
    uint64_t items_max;
    struct kv_range range; /* slices of `decoded` */
    struct source *source; /* owned: the body, or what it waits for; NULL: the reply is all */

    /* of the reply */
    size_t code_index;       /* for counting */
    bool is_unfinished;      /* it takes longer than one go: it stays READY, and is asked again */
    bool is_chunked;         /* its body comes in chunks */
    bool is_close_delimited; /* its body ends with the connection */
};

/* A fresh one for `connection`, at the end of its list. */
struct exchange *exchange_new(struct connection *connection);
/* Cancels it at the node if it waits there, and gives it back. */
void exchange_free(struct exchange *exchange);
void exchange_free_spare(struct http *http);
/* Refuses those that have been QUEUED for longer than they may. */
void exchange_refuse_queued(struct http *http, time_us now);
/* What the head says. Borrows nothing. */
void exchange_take_head(struct exchange *exchange, const struct parse *parse);

/* Ends the request with a refusal; the first one counts. */
void exchange_refuse(struct exchange *exchange, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool exchange_is_refused(const struct exchange *exchange);
/* The parameter, decoded into `decoded`, which has room for all of them. Empty where it is not
 * given. False: refused. */
bool exchange_take_parameter(struct exchange *exchange, enum query_parameter parameter,
                             struct bytes *out_value);
/* The same of a key or part of one. */
bool exchange_take_key(struct exchange *exchange, enum query_parameter parameter,
                       struct bytes *out_key);
/* Copies it. */
void exchange_take_identity(struct exchange *exchange, const struct client_identity *identity);
/* Encodes and submits. */
void exchange_write(struct exchange *exchange, const struct command *command);
/* Keeps a lease alive: with others of the same moment, in one command. */
void exchange_renew(struct exchange *exchange, uint64_t lease);
/* Asks for permission to read this node's state linearizably. */
void exchange_read(struct exchange *exchange);

#endif
