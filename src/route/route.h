/* Route: what becomes of a request that only the leader may order. A pure decision.
 *
 * Every input is a small enumeration, so the test walks all combinations. No handler decides any of
 * this by itself; docs/routing.md has the table in words. */
#ifndef MINIKV_ROUTE_ROUTE_H
#define MINIKV_ROUTE_ROUTE_H

#include <stdbool.h>

enum route_policy { ROUTE_FORWARD, ROUTE_REDIRECT };

enum route_leader {
    ROUTE_LEADER_SELF,         /* this node leads */
    ROUTE_LEADER_TRANSFERRING, /* this node leads, but is handing over */
    ROUTE_LEADER_UNKNOWN,
    ROUTE_LEADER_ANNOUNCED,  /* another node leads and has announced its client address */
    ROUTE_LEADER_SILENT,     /* another leads, has not, and is newer than --hold-ms */
    ROUTE_LEADER_UNANNOUNCED /* another leads, and had its time to announce */
};

struct route_input {
    enum route_policy policy;
    enum route_leader leader;
    bool is_forwarded; /* a hop is behind it: X-MiniKV-Forwarded, or an envelope */
    bool is_internal;  /* announce, register, join: exempt from the announce policy */
    bool is_expired;   /* it has waited as long as it may (--hold-ms or its deadline) */
    bool is_stopping;  /* the node is shutting down */
};

enum route_decision {
    ROUTE_LOCAL, /* propose here */
    ROUTE_SEND,  /* forward to the leader */
    ROUTE_POINT, /* redirect the client: 307 */
    ROUTE_HOLD,  /* wait for a leader, then ask again */
    ROUTE_REFUSE_NO_LEADER,
    ROUTE_REFUSE_UNANNOUNCED,
    ROUTE_REFUSE_FORWARDED,
    ROUTE_REFUSE_STOPPING
};

enum route_decision route_decide(const struct route_input *input);
const char *route_decision_name(enum route_decision decision);

#endif
