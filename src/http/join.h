/* Join: how a new node becomes a member of a cluster of which it knows only some client addresses.
 *
 *      discover   GET /v1/raft/identity, /v1/raft/members   which cluster, whom to dial
 *      join       POST /v1/raft/join                        until it is done or refused for good
 *
 * The addresses are asked in turn, again and again, until one answers. Joining is idempotent: the
 * same question at every start, which also tells the cluster a peer address that has changed.
 *
 * Calling      the loop's thread; callbacks never run inside the call that starts something */
#ifndef MINIKV_HTTP_JOIN_H
#define MINIKV_HTTP_JOIN_H

#include "env/env.h"
#include "types/member.h"

struct join;

struct join_options {
    struct address seeds[LIMIT_MEMBERS]; /* client addresses of members */
    size_t seeds_count;                  /* not 0 */
    node_id id;
    struct address peer, http; /* where others reach this node; `http` may be unset */
};

struct join_callbacks {
    void *ctx;
    /* The cluster has answered. The members without this node. */
    void (*on_found)(void *ctx, uint64_t cluster_id, const struct config *members);
    /* It is a member. */
    void (*on_joined)(void *ctx);
    /* It will not be, as things stand; `text` says why and what to do. */
    void (*on_refused)(void *ctx, const char *text);
};

struct join *join_new(struct env *env, const struct join_options *options,
                      const struct join_callbacks *callbacks);
/* Ends with on_found; again, to hear of changes, only after that. */
void join_discover(struct join *join);
/* Ends with on_joined or on_refused. `identity`: of the data directory. */
void join_ask(struct join *join, uint64_t identity);
void join_free(struct join *join); /* NULL is a no-op */

#endif
