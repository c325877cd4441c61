/* Redirect: what a node that is not the leader tells its client (Raft §8).
 *
 * On the wire it is an HTTP reply: 307 with the leader's client address in Location, or 503 when no
 * leader can be named. Both carry the term of what they say in X-MiniKV-Term. */
#ifndef MINIKV_CLIENT_REDIRECT_H
#define MINIKV_CLIENT_REDIRECT_H

#include "base/limits.h"
#include "client/http_client.h"
#include "types/ids.h"

struct redirect_msg {
    int redirect;                           /* 1: the node did not take the request */
    char leader_host[LIMIT_HOST_BYTES + 1]; /* "" when not known */
    uint16_t leader_port;
    int leader_known; /* 0: ask again later */
    raft_term term;   /* 0: the reply does not say */
};

/* The number in the header `name`; 0 when it is missing or no number. */
uint64_t redirect_number(const struct http_reply *reply, const char *name);
void redirect_read(const struct http_reply *reply, struct redirect_msg *out_message);

#endif
