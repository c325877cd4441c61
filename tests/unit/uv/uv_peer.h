/* Uv peer: one end of a connection that records what happens to it, and a listener that makes
 * peers. */
#ifndef MINIKV_TESTS_UNIT_UV_UV_PEER_H
#define MINIKV_TESTS_UNIT_UV_UV_PEER_H

#include <arpa/inet.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "unit/uv/uv_fixture.h"

struct peer {
    struct env_stream *stream; /* NULL once it is gone */
    struct buf received;
    size_t wanted_count; /* has_all becomes true with so many bytes */
    int opened_count, drained_count, ended_count;
    enum env_end end;
    bool is_open, is_drained, is_ended, has_all;
    /* What to do from inside a callback; NULL: nothing. */
    void (*react_open)(struct peer *peer);
    void (*react_data)(struct peer *peer, struct bytes bytes);
    void (*react_end)(struct peer *peer);
};

static inline void peer_on_open(void *ctx)
{
    struct peer *peer = ctx;
    peer->is_open = true;
    peer->opened_count++;
    if (peer->react_open != NULL)
        peer->react_open(peer);
}

static inline void peer_on_data(void *ctx, struct bytes bytes)
{
    struct peer *peer = ctx;
    buf_put(&peer->received, bytes);
    peer->has_all = peer->received.count >= peer->wanted_count;
    if (peer->react_data != NULL)
        peer->react_data(peer, bytes);
}

static inline void peer_on_drained(void *ctx)
{
    struct peer *peer = ctx;
    assert_int_equal(env_stream_queued(peer->stream), 0);
    peer->is_drained = true;
    peer->drained_count++;
}

static inline void peer_on_end(void *ctx, enum env_end end)
{
    struct peer *peer = ctx;
    peer->end = end;
    peer->is_ended = true;
    peer->ended_count++;
    if (peer->react_end != NULL)
        peer->react_end(peer);
    peer->stream = NULL;
}

static const struct env_stream_handler peer_handler = {.on_open = peer_on_open,
                                                       .on_data = peer_on_data,
                                                       .on_drained = peer_on_drained,
                                                       .on_end = peer_on_end};

static inline void peer_close(struct peer *peer)
{
    env_stream_close(peer->stream);
    peer->stream = NULL;
}

static inline void peer_release(struct peer *peer)
{
    peer_close(peer);
    buf_release(&peer->received);
}

/* A listener on a free port of 127.0.0.1 and two peers: `client` dials, `server` is accepted. */
struct pair {
    struct fixture fixture;
    struct env_listener *listener;
    struct address address;
    struct peer client, server;
    bool is_accepted;
};

static inline void pair_on_accept(void *ctx, struct env_stream *stream)
{
    struct pair *pair = ctx;
    pair->server.stream = stream;
    env_stream_start(stream, &peer_handler, &pair->server);
    pair->is_accepted = true;
}

static inline void pair_listen(struct pair *pair)
{
    struct errtext error = {.text = ""};
    *pair = (struct pair){.address = {.host = "127.0.0.1"}};
    fixture_open(&pair->fixture, false);
    buf_init(&pair->client.received, SIZE_MAX);
    buf_init(&pair->server.received, SIZE_MAX);
    if (env_listen(pair->fixture.env, &pair->address, pair_on_accept, pair, &pair->listener,
                   &error) != ST_OK)
        fail_msg("%s", error.text);
    pair->address.port = uv_env_listener_port(pair->listener);
}

static inline void pair_connect(struct pair *pair)
{
    pair->client.stream =
        env_connect(pair->fixture.env, &pair->address, &peer_handler, &pair->client);
    RUN_UNTIL(&pair->fixture, pair->client.is_open);
    RUN_UNTIL(&pair->fixture, pair->is_accepted);
}

static inline void pair_open(struct pair *pair)
{
    pair_listen(pair);
    pair_connect(pair);
}

static inline void pair_release(struct pair *pair)
{
    peer_release(&pair->client);
    peer_release(&pair->server);
    env_listener_close(pair->listener);
    fixture_close(&pair->fixture);
}

/* One turn, or a few. */
static inline void run_a_turn(struct fixture *fixture)
{
    (void)uv_env_run_until(fixture->env, fixture_never, NULL, 1);
}

/* Some more turns, in which nothing is expected. Several waits, so that a process that was stopped
 * for as long as one of them still has its turns. */
static inline void run_a_little(struct fixture *fixture)
{
    for (int i = 0; i < 8; i++)
        (void)uv_env_run_until(fixture->env, fixture_never, NULL, 500);
}

/* A plain blocking socket, to do what a stream never would. */
static inline int raw_connect(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in sockaddr = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(fd, (struct sockaddr *)&sockaddr, sizeof sockaddr), 0);
    return fd;
}

/* Takes a port of 127.0.0.1 without listening on it: who dials it is refused until it is closed. */
static inline int raw_refuse(uint16_t *out_port)
{
    struct sockaddr_in sockaddr = {.sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t count = sizeof sockaddr;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sockaddr, sizeof sockaddr), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sockaddr, &count), 0);
    *out_port = ntohs(sockaddr.sin_port);
    return fd;
}

static inline void raw_reset(int fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    (void)close(fd);
}

#endif
