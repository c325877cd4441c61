/* Api: the one table of what this server answers: method, path, handler, parameters. */
#ifndef MINIKV_HTTP_API_H
#define MINIKV_HTTP_API_H

#include "base/bytes.h"
#include "http/exchange.h"

enum api_method { API_GET = 1, API_PUT = 2, API_POST = 4, API_DELETE = 8 }; /* GET: HEAD too */

enum { API_ROUTES_MAX = 48 };

/* What an identity in the headers of a request is to it. */
enum api_identity {
    API_IDENTITY_IGNORED, /* it changes nothing */
    API_IDENTITY_TAKEN,   /* a write: carried out once */
    API_IDENTITY_REFUSED  /* it changes something, but once per delivery: to ignore would mislead */
};

struct api_route {
    enum api_method method;
    const char *method_name;
    struct bytes path;   /* exact, or what comes before the key */
    const char *pattern; /* for people and metrics: /v1/kv/{key} */
    bool has_key;        /* the rest of the path is the key */
    bool has_client;     /* the rest of the path is a client id */
    bool has_lease;      /* behind it comes a lease's id, then … */
    struct bytes behind; /* … this */
    enum api_identity identity;
    bool takes_body;
    bool has_large_reply;   /* not made while replies that nobody takes fill the memory */
    bool takes_condition;   /* If-Match, If-None-Match */
    unsigned query_allowed; /* QUERY_BIT… */
    /* The whole request is there: check it, then refuse, submit, or leave it to be answered. */
    void (*start)(struct exchange *exchange, struct bytes body);
    /* The node lets it go on, and it has yet to wait for something else. NULL: it has not. */
    void (*prepare)(struct exchange *exchange);
    /* Its turn has come: write the reply. Not called for what was refused here or by the node.
     * What takes long does a part of it, sets is_unfinished, and is called again in a later turn.
     */
    void (*answer)(struct exchange *exchange);
};

size_t api_routes_count(void);
const struct api_route *api_route_at(size_t index);
size_t api_route_index(const struct api_route *route);

/* Finds the route of a request whose head is known and checks all that the head decides: method,
 * path, key, parameters, conditions. Refuses it where something is wrong. */
void api_match(struct exchange *exchange);
/* For the 405 of this path: "GET, HEAD, PUT"; empty when no route has the path. */
void api_allowed(struct bytes path, struct buf *out);

/* kv.c */
void kv_put_start(struct exchange *exchange, struct bytes body);
void kv_put_answer(struct exchange *exchange);
void kv_delete_start(struct exchange *exchange, struct bytes body);
void kv_get_start(struct exchange *exchange, struct bytes body);
void kv_get_answer(struct exchange *exchange);
void kv_incr_start(struct exchange *exchange, struct bytes body);
void kv_incr_answer(struct exchange *exchange);
/* ?consistency= and ?rev=, for everything that reads; submits or leaves to be answered. */
void kv_read_start(struct exchange *exchange);
/* ,"create_revision":…,"mod_revision":…,"version":…,"lease":… */
void kv_put_revisions(struct buf *body, const struct kv_item *item);
/* {"key":…,"value":…,"create_revision":…,…}; keys_only: without the value */
void kv_put_item(struct buf *body, const struct kv_item *item, bool keys_only);
/* ?rev=, or the present one. */
uint64_t kv_read_revision(const struct exchange *exchange);
/* What to say about a revision that is COMPACTED, or REVISION_FUTURE. */
void kv_put_revision_detail(struct http *http, enum status status, uint64_t revision,
                            struct errtext *out_detail);
void kv_refuse_revision(struct exchange *exchange, enum status status, uint64_t revision);

/* sessions.c */
void session_open_start(struct exchange *exchange, struct bytes body);
void session_open_answer(struct exchange *exchange);
void session_close_start(struct exchange *exchange, struct bytes body);

/* leases.c */
void lease_grant_start(struct exchange *exchange, struct bytes body);
void lease_grant_answer(struct exchange *exchange);
void lease_list_start(struct exchange *exchange, struct bytes body);
void lease_list_answer(struct exchange *exchange);
void lease_get_start(struct exchange *exchange, struct bytes body);
void lease_get_answer(struct exchange *exchange);
void lease_renew_start(struct exchange *exchange, struct bytes body);
void lease_renew_answer(struct exchange *exchange);
void lease_revoke_start(struct exchange *exchange, struct bytes body);

/* outcome.c */
void outcome_start(struct exchange *exchange, struct bytes body);
void outcome_answer(struct exchange *exchange);
void outcome_seal_start(struct exchange *exchange, struct bytes body);
void outcome_seal_answer(struct exchange *exchange);

/* txn.c */
void txn_start(struct exchange *exchange, struct bytes body);
void txn_answer(struct exchange *exchange);
/* {"succeeded":…,"revision":…,"results":[…]} of what a transaction came to */
void txn_put_json(struct buf *out, struct bytes results);

/* list.c */
void list_start(struct exchange *exchange, struct bytes body);
void list_answer(struct exchange *exchange);

/* compact.c */
void compact_start(struct exchange *exchange, struct bytes body);
void compact_answer(struct exchange *exchange);

/* cluster.c */
void announce_start(struct exchange *exchange, struct bytes body);
void hand_over_start(struct exchange *exchange, struct bytes body);
void raft_status_answer(struct exchange *exchange);
void raft_identity_answer(struct exchange *exchange);

/* members.c */
void join_start(struct exchange *exchange, struct bytes body);
void join_answer(struct exchange *exchange);
void remove_start(struct exchange *exchange, struct bytes body);
void promote_start(struct exchange *exchange, struct bytes body);
void raft_members_answer(struct exchange *exchange);

/* backup.c */
void snapshot_start(struct exchange *exchange, struct bytes body);
void snapshot_prepare(struct exchange *exchange);
void snapshot_answer(struct exchange *exchange);

/* watch.c */
void watch_start(struct exchange *exchange, struct bytes body);
void watch_prepare(struct exchange *exchange);
void watch_answer(struct exchange *exchange);

/* openapi.c */
void openapi_answer(struct exchange *exchange);

/* ops.c */
void livez_answer(struct exchange *exchange);
void readyz_answer(struct exchange *exchange);
void version_answer(struct exchange *exchange);
void metrics_answer(struct exchange *exchange);

#endif
