/* Load server: a thread on a loopback port that answers requests, and keeps books of them.
 *
 * It refuses, hangs up or falls silent after as many requests as it is told, so that a load can be
 * held against exact counts. */
#ifndef MINIKV_TESTS_LOAD_SERVER_H
#define MINIKV_TESTS_LOAD_SERVER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "load/load.h"

enum { SERVER_CONNECTIONS = 64, SERVER_BYTES = 1024 * 1024, SERVER_KEYS = 4096 };

struct server_connection {
    int fd; /* -1: free */
    char *bytes;
    size_t bytes_count;
};

struct load_server {
    /* What it does of every so many requests; 0: never. */
    unsigned refuse_every, hang_up_every;
    unsigned stall_after, stall_ms; /* once */
    unsigned mute_after;            /* from then on it says nothing */
    bool closes_listener;           /* when it hangs up, for good */

    /* To be read when it has stopped. */
    unsigned requests, answered, refused, hung_up, connections_count, gets, puts;
    unsigned keys[SERVER_KEYS];    /* how often each came */
    unsigned open_max;             /* requests of one connection that were there together */
    bool has_duplicate;            /* of a sequence */
    uint64_t sequence_last[10000]; /* of each client */

    struct load_target target;
    int listener, stop_fds[2];
    pthread_t thread;
    struct server_connection connections[SERVER_CONNECTIONS];
};

static inline void server_drop(struct server_connection *connection)
{
    (void)close(connection->fd);
    connection->fd = -1;
    connection->bytes_count = 0;
}

static inline void server_note(struct load_server *server, const char *head)
{
    const char *key = strstr(head, "key-"), *client = strstr(head, "Client-Id: bench-"),
               *sequence = strstr(head, "Sequence: ");
    server->requests++;
    server->gets += strncmp(head, "GET", 3) == 0;
    server->puts += strncmp(head, "PUT", 3) == 0;
    if (key != NULL)
        server->keys[strtoul(key + 4, NULL, 10) % SERVER_KEYS]++;
    if (client != NULL && sequence != NULL) {
        uint64_t *last = &server->sequence_last[strtoul(client + 17, NULL, 10) % 10000];
        uint64_t now = strtoull(sequence + 10, NULL, 10);
        server->has_duplicate = server->has_duplicate || now <= *last;
        *last = now;
    }
}

static inline void server_say(const struct server_connection *connection, const char *text)
{
    (void)send(connection->fd, text, strlen(text), MSG_NOSIGNAL);
}

/* One request; false: the connection is gone. */
static inline bool server_answer(struct load_server *server, struct server_connection *connection,
                                 const char *head)
{
    server_note(server, head);
    unsigned number = server->requests;
    if (server->mute_after != 0 && number > server->mute_after)
        return true;
    if (server->stall_after != 0 && number == server->stall_after) {
        struct timespec pause = {.tv_nsec = (long)server->stall_ms * 1000000};
        (void)nanosleep(&pause, NULL);
    }
    if (server->hang_up_every != 0 && number % server->hang_up_every == 0) {
        server->hung_up++;
        if (server->closes_listener) {
            (void)close(server->listener);
            server->listener = -1;
        }
        server_drop(connection);
        return false;
    }
    if (server->refuse_every != 0 && number % server->refuse_every == 0) {
        server->refused++;
        server_say(connection, "HTTP/1.1 503 No\r\nX-MiniKV-Effect: none\r\nContent-Length: 26\r\n"
                               "\r\n{\"type\":\"urn:minikv:busy\"}");
        return true;
    }
    server->answered++;
    server_say(connection, "HTTP/1.1 204 No Content\r\nX-MiniKV-Node: 1\r\n\r\n");
    return true;
}

/* The bytes of a whole request at the front; 0: there is none. */
static inline size_t server_request_bytes(const char *bytes, size_t count)
{
    const char *end = memmem(bytes, count, "\r\n\r\n", 4);
    if (end == NULL)
        return 0;
    const char *length = strcasestr(bytes, "\r\ncontent-length: ");
    size_t whole = (size_t)(end - bytes) + 4;
    if (length != NULL && length < end)
        whole += strtoul(length + 18, NULL, 10);
    return whole <= count ? whole : 0;
}

static inline void server_read(struct load_server *server, struct server_connection *connection)
{
    ssize_t count = recv(connection->fd, connection->bytes + connection->bytes_count,
                         SERVER_BYTES - 1 - connection->bytes_count, 0);
    if (count <= 0) {
        server_drop(connection);
        return;
    }
    connection->bytes_count += (size_t)count;
    unsigned open = 0;
    for (;;) {
        connection->bytes[connection->bytes_count] = '\0';
        size_t whole = server_request_bytes(connection->bytes, connection->bytes_count);
        if (whole == 0)
            break;
        open++;
        if (!server_answer(server, connection, connection->bytes))
            return;
        connection->bytes_count -= whole;
        memmove(connection->bytes, connection->bytes + whole, connection->bytes_count);
    }
    if (open > server->open_max)
        server->open_max = open;
}

static inline void server_accept(struct load_server *server)
{
    int fd = accept(server->listener, NULL, NULL);
    for (size_t i = 0; fd >= 0 && i < SERVER_CONNECTIONS; i++)
        if (server->connections[i].fd < 0) {
            server->connections[i].fd = fd;
            server->connections_count++;
            return;
        }
    if (fd >= 0)
        (void)close(fd);
}

static inline void *server_run(void *ctx)
{
    struct load_server *server = ctx;
    for (;;) {
        struct pollfd fds[SERVER_CONNECTIONS + 2];
        for (size_t i = 0; i < SERVER_CONNECTIONS; i++)
            fds[i] = (struct pollfd){.fd = server->connections[i].fd, .events = POLLIN};
        fds[SERVER_CONNECTIONS] = (struct pollfd){.fd = server->listener, .events = POLLIN};
        fds[SERVER_CONNECTIONS + 1] = (struct pollfd){.fd = server->stop_fds[0], .events = POLLIN};
        if (poll(fds, SERVER_CONNECTIONS + 2, -1) < 0)
            continue;
        if (fds[SERVER_CONNECTIONS + 1].revents != 0)
            return NULL;
        for (size_t i = 0; i < SERVER_CONNECTIONS; i++)
            if (fds[i].revents != 0 && server->connections[i].fd >= 0)
                server_read(server, &server->connections[i]);
        if (fds[SERVER_CONNECTIONS].revents != 0)
            server_accept(server);
    }
}

static inline void server_start(struct load_server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof address;
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(server->listener, (const struct sockaddr *)&address, sizeof address) != 0 ||
        listen(server->listener, SERVER_CONNECTIONS) != 0 || pipe(server->stop_fds) != 0 ||
        getsockname(server->listener, (struct sockaddr *)&address, &bytes) != 0)
        abort();
    memcpy(&server->target.address, &address, sizeof address);
    server->target.address_bytes = sizeof address;
    for (size_t i = 0; i < SERVER_CONNECTIONS; i++) {
        server->connections[i].fd = -1;
        server->connections[i].bytes = malloc(SERVER_BYTES);
    }
    if (pthread_create(&server->thread, NULL, server_run, server) != 0)
        abort();
}

static inline void server_stop(struct load_server *server)
{
    (void)close(server->stop_fds[1]);
    (void)pthread_join(server->thread, NULL);
    (void)close(server->stop_fds[0]);
    for (size_t i = 0; i < SERVER_CONNECTIONS; i++) {
        if (server->connections[i].fd >= 0)
            server_drop(&server->connections[i]);
        free(server->connections[i].bytes);
    }
    if (server->listener >= 0)
        (void)close(server->listener);
}

#endif
