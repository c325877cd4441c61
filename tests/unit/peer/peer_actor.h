/* Actor: a bare socket that plays the node which is dialled. */
#ifndef MINIKV_TESTS_UNIT_PEER_PEER_ACTOR_H
#define MINIKV_TESTS_UNIT_PEER_PEER_ACTOR_H

#include "peer_fixture.h"

/* A bare socket that plays node 2: welcomes node 1 and does what the test says. */
struct actor {
    int listener, fd;
    struct buf in, out;
};

static inline void actor_open(struct actor *actor, struct fixture *fixture, time_us dead_after)
{
    fixture_plan(fixture, 2);
    fixture->dead_after = dead_after;
    *actor = (struct actor){.listener = raw_listen(fixture->ports[2]), .fd = -1};
    buf_init(&actor->in, MIB);
    buf_init(&actor->out, MIB);
    peers_set(fixture_start(fixture, 1)->peers, &fixture->config);
}

static inline void actor_welcome(struct actor *actor, struct fixture *fixture, uint64_t incarnation)
{
    struct bytes body;
    if (actor->fd >= 0)
        close(actor->fd);
    actor->fd = -1;
    buf_reset(&actor->in);
    buf_reset(&actor->out);
    UNTIL(fixture, raw_accepted(actor->listener, &actor->fd));
    UNTIL(fixture, raw_received(actor->fd, &actor->in, FRAME_HELLO, &body));
    size_t begin = frame_begin(&actor->out, FRAME_WELCOME);
    welcome_encode(&(struct welcome){.incarnation = incarnation}, &actor->out);
    frame_end(&actor->out, begin);
    raw_send(actor->fd, buf_bytes(&actor->out));
    UNTIL(fixture, node_saw(&fixture->nodes[1], "up 2;"));
}

static inline void actor_close(struct actor *actor, struct fixture *fixture)
{
    if (actor->fd >= 0)
        close(actor->fd);
    close(actor->listener);
    buf_release(&actor->in);
    buf_release(&actor->out);
    fixture_close(fixture);
}

#endif
