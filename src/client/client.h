/* Client: a request to a cluster, through whichever of its nodes answers.
 *
 *      endpoint ─▶ reply ─▶ attempt_decide ─▶ finish
 *          ▲                     ├──────────▶ follow the 307 to the leader
 *          └── pause ◀───────────┘ elsewhere: the next endpoint
 *
 * All of it within one timeout. A write whose fate is unknown is reported, never repeated.
 *
 * Ownership    owns its connections, one per endpoint and one to the leader last followed to
 * Limits       CLIENT_ENDPOINTS, CLIENT_FOLLOWS_MAX
 * Calling      one thread at a time; no globals, never prints, never ends the process */
#ifndef MINIKV_CLIENT_CLIENT_H
#define MINIKV_CLIENT_CLIENT_H

#include "base/prng.h"
#include "client/attempt.h"
#include "client/http_client.h"
#include "client/redirect.h"

enum { CLIENT_ENDPOINTS = 16 };

/* One attempt, for showing. Everything is borrowed for the call. */
struct client_hop {
    unsigned number; /* from 1 */
    const struct http_request *request;
    const struct address *address;
    const struct http_reply *reply; /* NULL: there is none, `error` says why */
    const char *error;
    enum attempt_next next;
    uint32_t pause_ms; /* before the next one */
    bool out_of_time;  /* `next` would pass the deadline: this was the last */
};

struct client_options {
    struct address endpoints[CLIENT_ENDPOINTS];
    size_t endpoints_count;                                  /* at least 1 */
    time_us timeout;                                         /* of a whole call */
    uint64_t seed;                                           /* of the pauses' jitter */
    void (*on_hop)(void *ctx, const struct client_hop *hop); /* may be NULL */
    void *ctx;
};

struct client {
    struct client_options options;
    struct http_client links[CLIENT_ENDPOINTS];
    struct http_client leader; /* the last node that a redirect led to */
    size_t current;            /* the endpoint to begin with: the one that answered last */
    raft_term term_max;        /* the highest term that any reply named */
    struct prng prng;
};

/* How a call ended. */
struct client_outcome {
    enum status
        status; /* ST_OK for a 2xx reply; what the problem says; how it failed without one */
    enum effect effect;   /* of the whole call: MAYBE when any attempt's fate is unknown */
    struct errtext error; /* "" when there is a reply */
};

void client_init(struct client *client, const struct client_options *options);
void client_release(struct client *client);

/* `is_repeatable`: the request changes nothing, so that a lost one may be sent again. `reply` must
 * be empty; it holds the reply that the outcome comes from, if any. When the time runs out, that is
 * the most telling attempt: a node's answer before a redirect, before silence, before a refused
 * connection. Returns outcome->status. */
enum status client_call(struct client *client, const struct http_request *request,
                        bool is_repeatable, struct http_reply *reply,
                        struct client_outcome *out_outcome);

/* Sends the request to the leader that `message` names: redirect_msg of a node that is not it.
 * Requires message->leader_known. Returns as http_client_call. */
MUST_CHECK enum status client_follow_redirect(struct client *client,
                                              const struct redirect_msg *message,
                                              const struct http_request *request,
                                              time_us connect_deadline, time_us deadline,
                                              struct http_reply *reply, struct errtext *error);

/* What a reply comes to: ST_OK for 2xx, else the status that its problem document names, or the
 * nearest one by its code when it is none of ours. */
enum status client_reply_status(const struct http_reply *reply);
enum effect client_reply_effect(const struct http_reply *reply);

#endif
