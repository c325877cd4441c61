#include "load/load.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { REPLY_BYTES_MAX = 1024 * 1024, EVENTS_MAX = 256 };

struct connection {
    int fd;
    size_t endpoint;
    uint64_t sequence; /* of the last request */
    char *request;
    size_t sent_bytes;
    char *reply;
    size_t reply_bytes;
    uint64_t sent_at; /* ns; with a rate: when it was due */
    bool is_waiting;  /* a request is under way */
};

struct load {
    const struct options *options;
    const struct request *request;
    struct load_result *result;
    struct connection connections[CONNECTIONS_MAX];
    int epoll;
    uint64_t random_state;
    uint32_t next_key;
    uint64_t measure_from, end;               /* ns */
    struct connection *idle[CONNECTIONS_MAX]; /* with a rate: those that wait for a request */
    size_t idle_count;
    uint64_t due; /* ns: the next request */
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static uint64_t wall_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static uint64_t next_random(struct load *load)
{
    uint64_t x = load->random_state; /* xorshift64* */
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    load->random_state = x;
    return x * 0x2545F4914F6CDD1Du;
}

static void connection_open(struct load *load, struct connection *connection)
{
    const struct sockaddr_in *address = &load->options->endpoints[connection->endpoint];
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd < 0)
        die("socket");
    if (connect(connection->fd, (const struct sockaddr *)address, sizeof *address) != 0)
        die("connect");
    int on = 1;
    (void)setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)fcntl(connection->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(load->epoll, EPOLL_CTL_ADD, connection->fd, &event) != 0)
        die("epoll_ctl");
    connection->reply_bytes = 0;
    connection->is_waiting = false;
}

/* Sends what is left of the request; waits for room in the socket if there is none. */
static void connection_send(struct load *load, struct connection *connection)
{
    while (connection->sent_bytes < load->request->count) {
        ssize_t count = send(connection->fd, connection->request + connection->sent_bytes,
                             load->request->count - connection->sent_bytes, MSG_NOSIGNAL);
        if (count < 0) {
            if (errno == EAGAIN) {
                struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = connection};
                (void)epoll_ctl(load->epoll, EPOLL_CTL_MOD, connection->fd, &event);
            }
            return; /* a broken connection shows when it is read */
        }
        connection->sent_bytes += (size_t)count;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (connection->sent_bytes > 0 && connection->sent_bytes == load->request->count)
        (void)epoll_ctl(load->epoll, EPOLL_CTL_MOD, connection->fd, &event);
}

static void connection_request(struct load *load, struct connection *connection, uint64_t due)
{
    const struct options *options = load->options;
    if (options->is_sequential && load->next_key >= options->keys_count) {
        connection->is_waiting = false;
        return;
    }
    uint32_t key = options->is_sequential ? load->next_key++
                                          : (uint32_t)(next_random(load) % options->keys_count);
    struct request_facts facts = {.key = key,
                                  .client = (uint32_t)(connection - load->connections),
                                  .sequence = ++connection->sequence};
    request_write(load->request, connection->request, &facts);
    connection->reply_bytes = 0;
    connection->is_waiting = true;
    connection->sent_at = due;
    ssize_t count = send(connection->fd, connection->request, load->request->count, MSG_NOSIGNAL);
    connection->sent_bytes = count > 0 ? (size_t)count : 0;
    if (connection->sent_bytes < load->request->count)
        connection_send(load, connection);
}

/* The connection is free. */
static void connection_next(struct load *load, struct connection *connection)
{
    if (load->options->rate == 0) {
        connection_request(load, connection, now_ns());
        return;
    }
    connection->is_waiting = false;
    load->idle[load->idle_count++] = connection;
}

/* Sends what is due, as far as there are free connections. */
static void send_due(struct load *load)
{
    uint64_t now = now_ns();
    while (load->idle_count > 0 && load->due <= now) {
        connection_request(load, load->idle[--load->idle_count], load->due);
        load->due += 1000000000u / load->options->rate;
    }
}

/* How long to wait for replies at most. */
static uint64_t wait_ns(const struct load *load)
{
    enum { WAIT_NS_MAX = 50 * 1000 * 1000 };
    uint64_t now = now_ns();
    if (load->options->rate == 0 || load->idle_count == 0)
        return WAIT_NS_MAX;
    if (load->due <= now)
        return 0;
    return load->due - now < WAIT_NS_MAX ? load->due - now : WAIT_NS_MAX;
}

/* ---- replies ---- */

static const char *find_header(const char *head, const char *end, const char *name)
{
    size_t length = strlen(name);
    for (const char *line = head; line + length < end; line++)
        if (line[0] == '\n' && strncasecmp(line + 1, name, length) == 0)
            return line + 1 + length;
    return NULL;
}

/* The bytes of the first whole reply in the buffer; 0 when it is not whole yet. */
static size_t reply_count(const char *reply, size_t count, unsigned *out_status)
{
    const char *end = memmem(reply, count, "\r\n\r\n", 4);
    if (end == NULL || count < 12)
        return 0;
    *out_status = (unsigned)atoi(reply + 9);
    size_t head_bytes = (size_t)(end - reply) + 4;
    const char *length = find_header(reply, end + 2, "content-length:");
    if (length != NULL) {
        size_t total = head_bytes + (size_t)strtoull(length, NULL, 10);
        return total <= count ? total : 0;
    }
    if (find_header(reply, end + 2, "transfer-encoding:") != NULL) {
        const char *last = memmem(end + 2, count - head_bytes + 2, "\r\n0\r\n\r\n", 7);
        return last == NULL ? 0 : (size_t)(last - reply) + 7;
    }
    return head_bytes; /* 204 */
}

static void count_reply(struct load *load, const struct connection *connection, unsigned status)
{
    uint64_t now = now_ns();
    load->result->all_count++;
    if (now < load->measure_from || now > load->end)
        return;
    if (status < 200 || status > 299) {
        if (load->result->bad_count++ == 0)
            fprintf(stderr, "first bad reply: %.*s\n",
                    (int)(connection->reply_bytes < 600 ? connection->reply_bytes : 600),
                    connection->reply);
        return;
    }
    histogram_add(&load->result->latency, now - connection->sent_at);
}

static void connection_lost(struct load *load, struct connection *connection)
{
    load->result->lost_count++;
    close(connection->fd);
    connection_open(load, connection);
    connection_next(load, connection);
}

static void connection_on_event(struct load *load, struct connection *connection, uint32_t events)
{
    if (events & EPOLLOUT)
        connection_send(load, connection);
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return;
    ssize_t count = recv(connection->fd, connection->reply + connection->reply_bytes,
                         REPLY_BYTES_MAX - connection->reply_bytes, 0);
    if (count < 0 && errno == EAGAIN)
        return;
    if (count <= 0) {
        connection_lost(load, connection);
        return;
    }
    connection->reply_bytes += (size_t)count;
    unsigned status = 0;
    size_t whole = reply_count(connection->reply, connection->reply_bytes, &status);
    if (whole == 0 && connection->reply_bytes == REPLY_BYTES_MAX)
        die("a reply is too long");
    if (whole == 0)
        return;
    count_reply(load, connection, status);
    connection_next(load, connection);
}

/* ---- the run ---- */

static bool is_finished(const struct load *load, uint64_t now)
{
    if (now >= load->end)
        return true;
    if (!load->options->is_sequential || load->next_key < load->options->keys_count)
        return false;
    for (uint32_t i = 0; i < load->options->connections_count; i++)
        if (load->connections[i].is_waiting)
            return false;
    return true;
}

static void run(struct load *load)
{
    const struct options *options = load->options;
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (load->epoll < 0)
        die("epoll_create1");
    uint64_t sequence_base = wall_us();
    for (uint32_t i = 0; i < options->connections_count; i++) {
        struct connection *connection = &load->connections[i];
        connection->endpoint = i % options->endpoints_count;
        connection->sequence = sequence_base;
        connection->request = malloc(load->request->count);
        connection->reply = malloc(REPLY_BYTES_MAX);
        if (connection->request == NULL || connection->reply == NULL)
            die("out of memory");
        memcpy(connection->request, load->request->bytes, load->request->count);
        connection_open(load, connection);
    }
    uint64_t begin = now_ns();
    load->measure_from = begin + (uint64_t)(options->warm_up_seconds * 1e9);
    load->end = load->measure_from + (uint64_t)(options->seconds * 1e9);
    load->due = begin;
    for (uint32_t i = 0; i < options->connections_count; i++)
        connection_next(load, &load->connections[i]);

    struct epoll_event events[EVENTS_MAX];
    while (!is_finished(load, now_ns())) {
        if (options->rate != 0)
            send_due(load);
        struct timespec wait = {.tv_nsec = (long)wait_ns(load)};
        int count = epoll_pwait2(load->epoll, events, EVENTS_MAX, &wait, NULL);
        for (int i = 0; i < count; i++)
            connection_on_event(load, events[i].data.ptr, events[i].events);
    }
    uint64_t end = now_ns();
    if (end < load->end)
        load->end = end;
    load->result->seconds = (double)(load->end - load->measure_from) / 1e9;
}

void load_run(const struct options *options, const struct request *request,
              struct load_result *out_result)
{
    static struct load load;
    load = (struct load){.options = options,
                         .request = request,
                         .result = out_result,
                         .random_state = 0x9E3779B97F4A7C15u};
    run(&load);
}
