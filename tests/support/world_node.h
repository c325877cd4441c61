/* World node: the options of a node that lives on machine `id` of the simulated world, in a cluster
 * of machines 1 … count. */
#ifndef MINIKV_TESTS_SUPPORT_WORLD_NODE_H
#define MINIKV_TESTS_SUPPORT_WORLD_NODE_H

#include <stdio.h>

#include "node/node.h"

static inline struct node_options world_node_options(unsigned id, unsigned count, bool announces)
{
    struct node_options options = {.self = id,
                                   .announces = announces,
                                   .heartbeat = 50 * TIME_US_PER_MS,
                                   .election = 500 * TIME_US_PER_MS,
                                   .hold = 2000 * TIME_US_PER_MS,
                                   .wal_segment_bytes = WAL_SEGMENT_BYTES_MIN};
    for (unsigned i = 1; i <= count; i++) {
        struct member member = {.id = i, .is_voter = true, .peer.port = 7001};
        (void)snprintf(member.peer.host, sizeof member.peer.host, "10.0.0.%u", i);
        enum status status = config_add(&options.initial, &member);
        REQUIRE(status == ST_OK);
    }
    options.listen_peer = options.initial.members[id - 1].peer;
    options.advertise_http = options.listen_peer;
    options.advertise_http.port = 8081;
    return options;
}

#endif
