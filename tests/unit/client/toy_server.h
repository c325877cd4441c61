/* Toy server: a thread with a poll loop on a loopback port that keeps one counter and the server's
 * rules of exactly once, for many connections and pipelined requests; whoever wants the lock "job"
 * has it. It hangs up as often as it is
 * told to, after carrying out a write and before answering it. */
#ifndef MINIKV_TESTS_TOY_SERVER_H
#define MINIKV_TESTS_TOY_SERVER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TOY_CONNECTIONS = 32, TOY_BYTES = 262144, TOY_SEQUENCES = 65536 };

struct toy_connection {
    int fd; /* -1: free */
    char *bytes;
    size_t bytes_count;
};

struct toy_server {
    int listener, stop_fds[2];
    char endpoint[32];
    pthread_t thread;
    unsigned hang_up_every; /* write; 0: never */
    atomic_bool is_mute;    /* takes requests and says nothing */
    atomic_uint connections_count, replays_count, closed_sessions_count;

    struct toy_connection connections[TOY_CONNECTIONS];
    int64_t counter;
    unsigned writes_count;
    int64_t results[TOY_SEQUENCES]; /* of the one session */
};

static inline void toy_drop(struct toy_connection *connection)
{
    (void)close(connection->fd);
    connection->fd = -1;
    connection->bytes_count = 0;
}

static inline void toy_say(const struct toy_connection *connection, const char *line,
                           const char *body)
{
    char text[512];
    int count = snprintf(text, sizeof text,
                         "HTTP/1.1 %s\r\nX-MiniKV-Node: 1\r\nX-MiniKV-Term: 1\r\nX-Leader: "
                         "127.0.0.1:1\r\nContent-Length: %zu\r\n\r\n%s",
                         line, strlen(body), body);
    (void)send(connection->fd, text, (size_t)count, MSG_NOSIGNAL);
}

/* False when it hung up. */
static inline bool toy_write(struct toy_server *server, struct toy_connection *connection,
                             const char *head)
{
    char body[64];
    const char *sequence = strstr(head, "X-MiniKV-Sequence: ");
    size_t at = sequence != NULL ? strtoul(sequence + 19, NULL, 10) : 0;
    bool is_replay = at != 0 && server->results[at % TOY_SEQUENCES] != 0;
    if (!is_replay)
        server->results[at % TOY_SEQUENCES] = ++server->counter;
    server->replays_count += is_replay;
    if (server->hang_up_every != 0 && ++server->writes_count % server->hang_up_every == 0) {
        toy_drop(connection);
        return false;
    }
    (void)snprintf(body, sizeof body, "{\"value\":%lld}",
                   (long long)server->results[at % TOY_SEQUENCES]);
    toy_say(connection, is_replay ? "200 OK\r\nX-MiniKV-Replayed: true" : "200 OK", body);
    return true;
}

static inline bool toy_answer(struct toy_server *server, struct toy_connection *connection,
                              const char *head)
{
    if (atomic_load(&server->is_mute))
        return true;
    if (strncmp(head, "POST /v1/sessions ", 18) == 0)
        toy_say(connection, "200 OK", "{\"client\":\"session-1-a\"}");
    else if (strncmp(head, "DELETE /v1/sessions/session-1-a ", 32) == 0) {
        server->closed_sessions_count++;
        toy_say(connection, "200 OK", "");
    } else if (strncmp(head, "POST /v1/incr/", 14) == 0)
        return toy_write(server, connection, head);
    else if (strncmp(head, "POST /v1/leases ", 16) == 0)
        toy_say(connection, "200 OK", "{\"lease\":30,\"ttl_ms\":10000}");
    else if (strncmp(head, "POST /v1/txn ", 13) == 0)
        toy_say(connection, "200 OK", "{\"succeeded\":true,\"revision\":12,\"results\":[]}");
    else if (strncmp(head, "GET /v1/kv?prefix=job", 21) == 0)
        toy_say(connection, "200 OK",
                "{\"items\":[{\"key\":\"job/000000000000001e\",\"create_revision\":12}],"
                "\"next\":null,\"revision\":15}");
    else if (strncmp(head, "GET /v1/kv/", 11) == 0)
        toy_say(connection, "200 OK", "{\"key\":\"k\",\"value\":\"v\",\"mod_revision\":3}");
    else
        toy_say(connection, "200 OK", "{}");
    return true;
}

static inline void toy_read(struct toy_server *server, struct toy_connection *connection)
{
    ssize_t count = recv(connection->fd, connection->bytes + connection->bytes_count,
                         TOY_BYTES - 1 - connection->bytes_count, 0);
    if (count <= 0) {
        toy_drop(connection);
        return;
    }
    connection->bytes_count += (size_t)count;
    for (;;) {
        connection->bytes[connection->bytes_count] = '\0';
        char *end = strstr(connection->bytes, "\r\n\r\n");
        if (end == NULL)
            return;
        const char *length = strstr(connection->bytes, "\r\nContent-Length: ");
        size_t used = (size_t)(end - connection->bytes) + 4;
        if (length != NULL && length < end)
            used += strtoul(length + 18, NULL, 10);
        if (connection->bytes_count < used)
            return;
        if (!toy_answer(server, connection, connection->bytes))
            return;
        connection->bytes_count -= used;
        memmove(connection->bytes, connection->bytes + used, connection->bytes_count);
    }
}

static inline void toy_accept(struct toy_server *server)
{
    int fd = accept(server->listener, NULL, NULL);
    for (size_t i = 0; fd >= 0 && i < TOY_CONNECTIONS; i++)
        if (server->connections[i].fd < 0) {
            server->connections[i].fd = fd;
            server->connections_count++;
            return;
        }
    (void)close(fd);
}

static inline void *toy_serve(void *ctx)
{
    struct toy_server *server = ctx;
    for (;;) {
        struct pollfd fds[TOY_CONNECTIONS + 2] = {{.fd = server->stop_fds[0], .events = POLLIN},
                                                  {.fd = server->listener, .events = POLLIN}};
        for (size_t i = 0; i < TOY_CONNECTIONS; i++)
            fds[i + 2] = (struct pollfd){.fd = server->connections[i].fd, .events = POLLIN};
        (void)poll(fds, TOY_CONNECTIONS + 2, -1);
        if (fds[0].revents != 0)
            return NULL;
        if (fds[1].revents != 0)
            toy_accept(server);
        for (size_t i = 0; i < TOY_CONNECTIONS; i++)
            if (fds[i + 2].fd >= 0 && fds[i + 2].revents != 0)
                toy_read(server, &server->connections[i]);
    }
}

static inline struct toy_server *toy_start(unsigned hang_up_every)
{
    struct toy_server *server = calloc(1, sizeof *server);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t address_bytes = sizeof address;
    assert_non_null(server);
    server->hang_up_every = hang_up_every;
    for (size_t i = 0; i < TOY_CONNECTIONS; i++) {
        server->connections[i].fd = -1;
        server->connections[i].bytes = malloc(TOY_BYTES);
        assert_non_null(server->connections[i].bytes);
    }
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(server->listener, 64), 0);
    assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &address_bytes), 0);
    (void)snprintf(server->endpoint, sizeof server->endpoint, "127.0.0.1:%u",
                   ntohs(address.sin_port));
    assert_int_equal(pipe(server->stop_fds), 0);
    assert_int_equal(pthread_create(&server->thread, NULL, toy_serve, server), 0);
    return server;
}

/* Waits for the thread: what it kept may be looked at. */
static inline void toy_stop(struct toy_server *server)
{
    assert_int_equal(write(server->stop_fds[1], "x", 1), 1);
    assert_int_equal(pthread_join(server->thread, NULL), 0);
    for (size_t i = 0; i < TOY_CONNECTIONS; i++) {
        if (server->connections[i].fd >= 0)
            (void)close(server->connections[i].fd);
        free(server->connections[i].bytes);
    }
    (void)close(server->listener);
    (void)close(server->stop_fds[0]);
    (void)close(server->stop_fds[1]);
}

#endif
