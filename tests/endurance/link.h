/* Link: pipelined, kept-alive HTTP connections to every node, direct ones and relayed ones.
 *
 * A delivery is one copy of a request on its way. Each ends in exactly one call: on_answer when its
 * reply has arrived, on_lost when its connection has ended before.
 *
 * Ownership    links own sockets and buffers; requests and answers are borrowed for the call
 * Calling      one thread; links_send may be called from the callbacks, nothing else may */
#ifndef MINIKV_TESTS_ENDURANCE_LINK_H
#define MINIKV_TESTS_ENDURANCE_LINK_H

#include "endurance/answer.h"
#include "endurance/loop.h"
#include "endurance/options.h"
#include "endurance/relay.h"

struct delivery {
    uint32_t client;
    uint64_t sequence;
    bool is_again;  /* an answer was given before this was sent: this one must be a replay */
    bool is_repeat; /* sent only to see the answer repeated */
};

struct links_events {
    void (*on_answer)(void *ctx, const struct delivery *delivery, const struct answer *answer);
    /* `lost` is the answer that a relay kept from us; NULL: nobody knows what has become of it. */
    void (*on_lost)(void *ctx, const struct delivery *delivery, const struct answer *lost);
    void *ctx;
};

enum link_way { LINK_DIRECT, LINK_RELAYED };

struct links;

struct links *links_new(struct loop *loop, const struct options *options, struct relays *relays,
                        const struct links_events *events);
void links_free(struct links *links);
/* There is a direct connection to the node. */
bool links_are_connected(const struct links *links, uint32_t endpoint);
/* links_send would send now. */
bool links_has_room(const struct links *links, uint32_t endpoint, enum link_way way);
/* False: no connection, or none with room; nothing was sent. */
bool links_send(struct links *links, uint32_t endpoint, enum link_way way,
                const struct delivery *delivery, struct bytes request);
/* Sends what has been queued. Once per turn. */
void links_flush(struct links *links);
/* Connects what is not connected, ends what is stuck. Once per turn. */
void links_tick(struct links *links);
/* Connections that have ended with requests under way, but for those that a relay has reset. */
uint64_t links_broken_count(const struct links *links);
/* Connections ended from here, because a node had not answered for three times its deadline. */
uint64_t links_stuck_count(const struct links *links);

#endif
