/* minikv-flood: writes as fast as a cluster takes it, for as long as it is told to.
 *
 * Plain puts of small values over pipelined connections to every node. It proves nothing by itself:
 * it makes the entries of an hour in minutes, while whoever runs it watches files and memory. */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"
#include "base/prng.h"
#include "endurance/flood/options.h"
#include "endurance/loop.h"

enum {
    IN_BYTES = 64 * 1024,
    OUT_BYTES_MAX = 4 * 1024 * 1024,
    KEY_DIGITS = 8,
    PROGRESS_US = 500 * 1000,
    STUCK_US = 30 * 1000 * 1000
};

struct flood;

struct connection {
    struct watch watch;
    struct flood *flood;
    uint32_t under_way_count;
    struct buf out;
    size_t in_count;
    uint8_t in[IN_BYTES];
};

struct flood {
    struct options options;
    struct loop loop;
    struct prng prng;
    struct buf request; /* with a key and a value to be filled in */
    size_t key_at, value_at;
    uint64_t begin_us, end_us, progress_at_us, answered_at_us;
    uint64_t sent_count, written_count, refused_count;
    uint32_t connections_count;
    struct connection *connections;
};

/* ---- requests ---- */

static void prepare_request(struct flood *flood)
{
    static const char head[] = "PUT /v1/kv/flood-", value_head[] = "{\"value\":\"";
    uint32_t value_bytes = flood->options.value_bytes;
    struct buf *out = &flood->request;
    buf_init(out, OUT_BYTES_MAX);
    buf_put_text(out, head);
    flood->key_at = out->count;
    buf_printf(out, "%0*d HTTP/1.1\r\nHost: flood\r\nContent-Type: application/json\r\n",
               KEY_DIGITS, 0);
    buf_printf(out, "Content-Length: %zu\r\n\r\n%s", sizeof value_head - 1 + value_bytes + 2,
               value_head);
    flood->value_at = out->count;
    for (uint32_t i = 0; i < value_bytes; i++)
        buf_put_u8(out, 'v');
    buf_put_text(out, "\"}");
    ENSURE(!out->is_full);
}

static void write_digits(uint8_t *at, uint64_t number)
{
    for (int i = KEY_DIGITS - 1; i >= 0; i--, number /= 10)
        at[i] = (uint8_t)('0' + number % 10);
}

static bool is_over(const struct flood *flood)
{
    return flood->sent_count == flood->options.count || flood->loop.now_us >= flood->end_us;
}

static void fill(struct connection *connection)
{
    struct flood *flood = connection->flood;
    while (connection->under_way_count < flood->options.depth && !is_over(flood)) {
        uint8_t *request = flood->request.data;
        write_digits(request + flood->key_at, prng_below(&flood->prng, flood->options.keys_count));
        write_digits(request + flood->value_at, flood->sent_count);
        buf_put(&connection->out, buf_bytes(&flood->request));
        INVARIANT(!connection->out.is_full);
        connection->under_way_count++;
        flood->sent_count++;
    }
}

static void flush(struct connection *connection)
{
    struct buf *out = &connection->out;
    size_t sent = 0;
    while (sent < out->count) {
        ssize_t count =
            send(connection->watch.fd, out->data + sent, out->count - sent, MSG_NOSIGNAL);
        if (count < 0 && errno != EAGAIN)
            die("send");
        if (count < 0)
            break;
        sent += (size_t)count;
    }
    buf_consume(out, sent);
    watch_want_to_write(&connection->flood->loop, &connection->watch, out->count > 0);
}

/* ---- replies ---- */

/* Bytes of the first whole reply; 0: not whole yet. A put that is taken has no body. */
static size_t reply_bytes(struct bytes in, bool *out_is_taken)
{
    static const char taken[] = "HTTP/1.1 204", length[] = "\r\nContent-Length: ";
    const uint8_t *end = memmem(in.data, in.count, "\r\n\r\n", 4);
    if (end == NULL)
        return 0;
    size_t head_bytes = (size_t)(end - in.data) + 4;
    *out_is_taken = memcmp(in.data, taken, sizeof taken - 1) == 0;
    if (*out_is_taken)
        return head_bytes;
    const uint8_t *field = memmem(in.data, head_bytes, length, sizeof length - 1);
    unsigned long body_bytes =
        field != NULL ? strtoul((const char *)field + sizeof length - 1, NULL, 10) : 0;
    return in.count < head_bytes + body_bytes ? 0 : head_bytes + body_bytes;
}

static void count_reply(struct connection *connection, struct bytes reply, bool is_taken)
{
    struct flood *flood = connection->flood;
    INVARIANT(connection->under_way_count > 0);
    connection->under_way_count--;
    flood->answered_at_us = flood->loop.now_us;
    if (is_taken)
        flood->written_count++;
    else if (flood->refused_count++ == 0)
        fprintf(stderr, "first refusal: %.*s\n", (int)reply.count, (const char *)reply.data);
}

static void on_event(struct watch *watch, bool is_writable)
{
    struct connection *connection = CONTAINER_OF(watch, struct connection, watch);
    ssize_t count = recv(watch->fd, connection->in + connection->in_count,
                         IN_BYTES - connection->in_count, MSG_DONTWAIT);
    if (count == 0 || (count < 0 && errno != EAGAIN))
        die(count == 0 ? "a node closed a connection" : "recv");
    connection->in_count += count > 0 ? (size_t)count : 0;
    size_t at = 0, whole;
    bool is_taken = false;
    while ((whole = reply_bytes(bytes_of(connection->in + at, connection->in_count - at),
                                &is_taken)) > 0) {
        count_reply(connection, bytes_of(connection->in + at, whole), is_taken);
        at += whole;
    }
    if (at == 0 && connection->in_count == IN_BYTES)
        die("a reply that does not end");
    memmove(connection->in, connection->in + at, connection->in_count - at);
    connection->in_count -= at;
    if (at > 0 || is_writable) {
        fill(connection);
        flush(connection);
    }
}

/* ---- the run ---- */

static void flood_open(struct flood *flood)
{
    const struct options *options = &flood->options;
    loop_init(&flood->loop);
    prng_init(&flood->prng, 1);
    prepare_request(flood);
    flood->begin_us = flood->answered_at_us = flood->loop.now_us;
    flood->end_us = flood->begin_us + options->seconds * UINT64_C(1000000);
    flood->connections_count = options->endpoints_count * options->connections_count;
    flood->connections = mem_alloc(flood->connections_count * sizeof *flood->connections);
    for (uint32_t i = 0; i < flood->connections_count; i++) {
        struct connection *connection = &flood->connections[i];
        *connection = (struct connection){.flood = flood, .watch = {.fd = -1}};
        buf_init(&connection->out, OUT_BYTES_MAX);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const struct sockaddr_in *address = &options->endpoints[i % options->endpoints_count];
        if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof *address) != 0)
            die("connect");
        socket_set_up(fd);
        watch_open(&flood->loop, &connection->watch, fd, on_event);
    }
}

static void flood_close(struct flood *flood)
{
    for (uint32_t i = 0; i < flood->connections_count; i++) {
        watch_close(&flood->connections[i].watch, false);
        buf_release(&flood->connections[i].out);
    }
    mem_free(flood->connections);
    buf_release(&flood->request);
    loop_close(&flood->loop);
}

static void print_progress(struct flood *flood, bool is_last)
{
    if (!is_last && flood->loop.now_us < flood->progress_at_us)
        return;
    flood->progress_at_us = flood->loop.now_us + PROGRESS_US;
    printf("written %" PRIu64 " refused %" PRIu64 " seconds %.3f\n", flood->written_count,
           flood->refused_count, (double)(flood->loop.now_us - flood->begin_us) / 1e6);
    fflush(stdout);
}

static bool is_done(const struct flood *flood)
{
    return is_over(flood) && flood->written_count + flood->refused_count == flood->sent_count;
}

int main(int argc, char **argv)
{
    static struct flood flood;
    options_parse(&flood.options, argc, argv);
    flood_open(&flood);
    for (uint32_t i = 0; i < flood.connections_count; i++) {
        fill(&flood.connections[i]);
        flush(&flood.connections[i]);
    }
    while (!is_done(&flood)) {
        loop_turn(&flood.loop);
        print_progress(&flood, false);
        errno = 0;
        if (flood.loop.now_us > flood.answered_at_us + STUCK_US)
            die("no answer any more");
    }
    print_progress(&flood, true);
    int status = flood.refused_count == 0 ? 0 : 1;
    flood_close(&flood);
    return status;
}
