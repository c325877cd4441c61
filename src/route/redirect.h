/* Redirect: who leads, as a client is told (Raft §8). Pure. */
#ifndef MINIKV_ROUTE_REDIRECT_H
#define MINIKV_ROUTE_REDIRECT_H

#include <stdbool.h>

#include "minikv/redirect.h"

/* What a node knows of its leader. Every append and heartbeat refreshes it. */
struct known_leader {
    int32_t known_leader_id; /* -1: unknown */
    char known_leader_host[64];
    uint16_t known_leader_port; /* client address; 0: unknown or not announced */
    uint64_t term;
};

/* What a node that did not take a request tells the client. `took_it`: nothing to say. */
struct redirect_msg redirect_of(const struct known_leader *leader, bool took_it);

#endif
