/* Fake server: a thread on a loopback port that answers requests from a script, one act each.
 *
 * For what a real node does too seldom: dying between request and answer, stalling, garbage. */
#ifndef MINIKV_TESTS_FAKE_SERVER_H
#define MINIKV_TESTS_FAKE_SERVER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "types/address.h"

enum { FAKE_ACTS_MAX = 32, FAKE_REQUEST_BYTES = 4096 };

struct fake_act {
    const char *reply; /* sent as it is; NULL: nothing */
    bool closes;       /* after the reply, without waiting */
    bool stalls;       /* says nothing more until the client closes */
    bool in_pieces;    /* byte by byte */
};

struct fake_server {
    struct address address;
    struct fake_act acts[FAKE_ACTS_MAX];
    size_t acts_count;

    char requests[FAKE_ACTS_MAX][FAKE_REQUEST_BYTES]; /* as they came; read after fake_stop */
    size_t requests_count;
    size_t connections_count;

    int listener;
    pthread_t thread;
};

/* Reads head and body of one request; false at the end of the stream. */
static inline bool fake_read_request(int fd, char *out)
{
    size_t count = 0, wanted = SIZE_MAX;
    while (count < wanted && count + 1 < FAKE_REQUEST_BYTES) {
        if (recv(fd, out + count, 1, 0) != 1)
            return false;
        out[++count] = '\0';
        const char *end = strstr(out, "\r\n\r\n");
        if (end != NULL && wanted == SIZE_MAX) {
            const char *length = strcasestr(out, "\r\ncontent-length: ");
            wanted = (size_t)(end - out) + 4 + (length ? strtoul(length + 18, NULL, 10) : 0);
        }
    }
    return true;
}

/* Carries out one act; false when the connection is over. */
static inline bool fake_act(int fd, const struct fake_act *act)
{
    const char *reply = act->reply != NULL ? act->reply : "";
    size_t count = strlen(reply), piece = act->in_pieces ? 1 : MAX(count, 1);
    for (size_t at = 0; at < count; at += piece)
        (void)send(fd, reply + at, MIN(piece, count - at), MSG_NOSIGNAL);
    if (act->stalls) {
        char byte;
        while (recv(fd, &byte, 1, 0) == 1)
            continue;
    }
    return !act->closes && !act->stalls;
}

static inline void *fake_serve(void *ctx)
{
    struct fake_server *server = ctx;
    while (server->requests_count < server->acts_count) {
        int fd = accept(server->listener, NULL, NULL);
        if (fd < 0)
            break;
        server->connections_count++;
        bool goes_on = true;
        while (goes_on && server->requests_count < server->acts_count &&
               fake_read_request(fd, server->requests[server->requests_count])) {
            const struct fake_act *act = &server->acts[server->requests_count++];
            goes_on = fake_act(fd, act);
        }
        (void)close(fd);
    }
    return NULL;
}

/* A port of its own; `acts_count` requests will be answered, then the thread ends. */
static inline struct fake_server *fake_start(const struct fake_act *acts, size_t acts_count)
{
    struct fake_server *server = calloc(1, sizeof *server);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t address_bytes = sizeof address;
    assert_non_null(server);
    for (size_t i = 0; i < acts_count; i++)
        server->acts[i] = acts[i];
    server->acts_count = acts_count;
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(server->listener, 16), 0);
    assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &address_bytes), 0);
    (void)snprintf(server->address.host, sizeof server->address.host, "127.0.0.1");
    server->address.port = ntohs(address.sin_port);
    assert_int_equal(pthread_create(&server->thread, NULL, fake_serve, server), 0);
    return server;
}

/* Waits for the thread, or ends its waiting. The caller frees the server after looking at it. */
static inline void fake_stop(struct fake_server *server)
{
    (void)shutdown(server->listener, SHUT_RDWR);
    assert_int_equal(pthread_join(server->thread, NULL), 0);
    (void)close(server->listener);
}

/* An address where nobody listens, nor can: it is taken until the next one. */
static inline struct address fake_closed_address(void)
{
    static int held = -1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t count = sizeof at;
    struct address address = {.host = "127.0.0.1"};
    if (held >= 0)
        (void)close(held);
    held = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(held, (struct sockaddr *)&at, sizeof at) != 0 ||
        getsockname(held, (struct sockaddr *)&at, &count) != 0)
        abort();
    address.port = ntohs(at.sin_port);
    return address;
}

#endif
