/* Peer fixture: nodes that write down what their links tell them, and bare sockets that play
 * nodes which do not behave. Everything on 127.0.0.1, on ports that the kernel chose. */
#ifndef MINIKV_TESTS_UNIT_PEER_PEER_FIXTURE_H
#define MINIKV_TESTS_UNIT_PEER_PEER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "peer/peer.h"
#include "uv/uv_env.h"
#include "wire/frame.h"

#define MILLISECONDS(count) ((time_us)(count)*1000)
#define PATIENCE            MILLISECONDS(20000) /* only ever waited for by a test that fails */

enum { CLUSTER = 0x7e57, NODES_MAX = 4 };

/* ---- a node ---- */

struct test_node {
    struct env *env;
    struct peers *peers;
    struct peers_options options;
    struct buf trace;    /* "up 2;dead 2;…", one item per on_link */
    struct buf commands; /* commands of envelopes taken, one after the other */
    struct buf refusals; /* "3 fenced;…" */
    uint64_t messages_count;
    uint64_t round_last; /* read_round of the newest append */
    bool is_out_of_order;
    uint32_t entries_count; /* of all appends */
    char leader_http[LIMIT_ADDRESS_BYTES];
    uint64_t envelopes_count;
    uint64_t envelope_from_incarnation;
    uint64_t hellos_count;
    struct snapshot_fetch fetch_seen; /* the newest of on_fetch */
    uint64_t fetches_count;
    struct snapshot_chunk chunk_seen; /* the newest of on_chunk; its bytes are in `pieces` */
    uint64_t chunks_count;
    struct buf pieces;             /* bytes of all chunks, one after the other */
    struct welcome welcome_seen;   /* the newest of on_link */
    struct welcome welcome_answer; /* for on_hello */
    enum refusal refusal_answer;
    enum status envelope_answer; /* ST_OK: taken; else what is refused with */
    /* What a test does then; may be NULL. */
    void (*on_fetch)(struct test_node *node, node_id from, const struct snapshot_fetch *fetch);
    void (*on_chunk)(struct test_node *node, node_id from, const struct snapshot_chunk *chunk);
    bool is_deaf; /* started without callbacks for fetches and chunks */
};

static inline void node_on_message(void *ctx, const struct hello *sender,
                                   const struct message *message, const struct address *leader_http)
{
    (void)sender;
    struct test_node *node = ctx;
    node->messages_count++;
    if (message->type != MESSAGE_APPEND)
        return;
    node->is_out_of_order |= message->append.read_round != node->round_last + 1;
    node->round_last = message->append.read_round;
    node->entries_count += message->append.entries_count;
    if (leader_http != NULL)
        (void)address_format(leader_http, node->leader_http);
}

static inline void node_on_envelope(void *ctx, const struct hello *sender,
                                    const struct envelope *envelope)
{
    struct test_node *node = ctx;
    node->envelopes_count++;
    node->envelope_from_incarnation = sender->incarnation;
    buf_put(&node->commands, envelope->command);
    if (node->envelope_answer != ST_OK)
        peers_refuse(node->peers, sender->from, sender->incarnation,
                     &(struct envelope_refusal){.term = envelope->term,
                                                .number = envelope->number,
                                                .status = node->envelope_answer});
}

static inline void node_on_refusal(void *ctx, node_id from, const struct envelope_refusal *refusal)
{
    struct test_node *node = ctx;
    buf_put_decimal(&node->refusals, refusal->number);
    buf_put_text(&node->refusals, " ");
    buf_put_text(&node->refusals, status_info(refusal->status)->code);
    buf_put_text(&node->refusals, ";");
}

static inline void node_on_link(void *ctx, node_id peer, enum link_state state,
                                const struct welcome *welcome)
{
    static const char *const names[] = {
        [LINK_UP] = "up ", [LINK_CLOSED] = "closed ", [LINK_DEAD] = "dead "};
    struct test_node *node = ctx;
    assert_int_equal(welcome != NULL, state == LINK_UP);
    if (welcome != NULL)
        node->welcome_seen = *welcome;
    buf_put_text(&node->trace, names[state]);
    buf_put_decimal(&node->trace, peer);
    buf_put_text(&node->trace, ";");
}

static inline enum refusal node_check(void *ctx, const struct hello *hello)
{
    struct test_node *node = ctx;
    (void)hello;
    node->hellos_count++;
    return node->refusal_answer;
}

static inline void node_on_hello(void *ctx, const struct hello *hello, struct welcome *out_welcome)
{
    struct test_node *node = ctx;
    (void)hello;
    *out_welcome = node->welcome_answer;
    out_welcome->incarnation = node->options.incarnation;
}

static inline void node_on_fetch(void *ctx, const struct hello *sender,
                                 const struct snapshot_fetch *fetch)
{
    struct test_node *node = ctx;
    node->fetches_count++;
    node->fetch_seen = *fetch;
    if (node->on_fetch != NULL)
        node->on_fetch(node, sender->from, fetch);
}

static inline void node_on_chunk(void *ctx, node_id from, const struct snapshot_chunk *chunk)
{
    struct test_node *node = ctx;
    assert_int_equal(chunk->unpacked_bytes, 0);
    node->chunks_count++;
    node->chunk_seen = *chunk;
    node->chunk_seen.bytes = bytes_of(NULL, chunk->bytes.count);
    buf_put(&node->pieces, chunk->bytes);
    if (node->on_chunk != NULL)
        node->on_chunk(node, from, chunk);
}

static inline struct address local_address(uint16_t port)
{
    struct address address = {.host = "127.0.0.1", .port = port};
    return address;
}

static inline void node_start(struct test_node *node)
{
    struct peers_callbacks callbacks = {.ctx = node,
                                        .on_message = node_on_message,
                                        .on_envelope = node_on_envelope,
                                        .on_refusal = node_on_refusal,
                                        .on_link = node_on_link,
                                        .check = node_check,
                                        .on_hello = node_on_hello,
                                        .on_fetch = node->is_deaf ? NULL : node_on_fetch,
                                        .on_chunk = node->is_deaf ? NULL : node_on_chunk};
    struct errtext error = {.text = ""};
    if (peers_open(node->env, &node->options, &callbacks, &node->peers, &error) != ST_OK)
        fail_msg("%s", error.text);
}

static inline void node_init(struct test_node *node, struct env *env, node_id id, uint16_t port)
{
    *node = (struct test_node){.env = env};
    node->options = (struct peers_options){.cluster_id = CLUSTER,
                                           .self = id,
                                           .identity = 1000 + id,
                                           .incarnation = 7000 + id,
                                           .listen = local_address(port),
                                           .ping = MILLISECONDS(20),
                                           .dead_after = MILLISECONDS(5000)};
    buf_init(&node->trace, MIB);
    buf_init(&node->commands, 64 * MIB);
    buf_init(&node->refusals, MIB);
    buf_init(&node->pieces, 64 * MIB);
}

static inline void node_release(struct test_node *node)
{
    peers_close(node->peers);
    node->peers = NULL;
    buf_release(&node->trace);
    buf_release(&node->commands);
    buf_release(&node->refusals);
    buf_release(&node->pieces);
}

/* Whether the trace ends with these items. */
static inline bool node_saw(struct test_node *node, const char *items)
{
    size_t count = strlen(items);
    return node->trace.count >= count &&
           memcmp(node->trace.data + node->trace.count - count, items, count) == 0;
}

/* ---- several of them in one env ---- */

struct fixture {
    struct env *env;
    time_us dead_after; /* of nodes started from here on */
    uint16_t ports[NODES_MAX + 1];
    struct test_node nodes[NODES_MAX + 1]; /* by id */
    struct config config;
};

/* A free port, which is kept from others: the socket that took it only shares it with one that
 * listens, and lasts for some more of them. */
static inline uint16_t free_port(void)
{
    enum { HELD_MAX = 16 };
    static int held[HELD_MAX], held_count;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t count = sizeof at;
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &count), 0);
    if (held_count >= HELD_MAX)
        close(held[held_count % HELD_MAX]);
    held[held_count++ % HELD_MAX] = fd;
    return ntohs(at.sin_port);
}

static inline struct env *env_open(void)
{
    struct uv_env_options options = {0};
    struct errtext error = {.text = ""};
    struct env *env = NULL;
    if (uv_env_new(&options, &env, &error) != ST_OK)
        fail_msg("%s", error.text);
    return env;
}

/* Ports and configuration for ids 1 … count; nobody listens yet. */
static inline void fixture_plan(struct fixture *fixture, node_id count)
{
    *fixture = (struct fixture){.dead_after = MILLISECONDS(5000)};
    for (node_id id = 1; id <= count; id++) {
        fixture->ports[id] = free_port();
        struct member member = {.id = id, .is_voter = true};
        member.peer = local_address(fixture->ports[id]);
        assert_int_equal(config_add(&fixture->config, &member), ST_OK);
    }
}

static inline struct test_node *fixture_start(struct fixture *fixture, node_id id)
{
    struct test_node *node = &fixture->nodes[id];
    if (fixture->env == NULL)
        fixture->env = env_open();
    if (node->env == NULL)
        node_init(node, fixture->env, id, fixture->ports[id]);
    node->options.dead_after = fixture->dead_after;
    node_start(node);
    return node;
}

static inline void fixture_close(struct fixture *fixture)
{
    for (node_id id = 1; id <= NODES_MAX; id++)
        if (fixture->nodes[id].env != NULL)
            node_release(&fixture->nodes[id]);
    uv_env_free(fixture->env);
}

static inline bool fixture_never(void *unused)
{
    return false;
}

static inline time_us clock_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (time_us)now.tv_sec * 1000000 + (time_us)now.tv_nsec / 1000;
}

/* Runs the loop until the condition holds; it is looked at every millisecond. */
#define UNTIL(fixture, condition)                                                                  \
    for (time_us until_start = clock_now(); !(condition);) {                                       \
        if (clock_now() - until_start > PATIENCE)                                                  \
            fail_msg("%s:%d: still not: %s", __FILE__, __LINE__, #condition);                      \
        (void)uv_env_run_until((fixture)->env, fixture_never, NULL, MILLISECONDS(1));              \
    }

/* Runs the loop for a time in which something must not happen. */
static inline void run_for(struct fixture *fixture, time_us duration)
{
    (void)uv_env_run_until(fixture->env, fixture_never, NULL, duration);
}

/* Nodes 1 and 2, each dialling the other, both links up. */
static inline void fixture_open_pair(struct fixture *fixture)
{
    fixture_plan(fixture, 2);
    fixture_start(fixture, 1);
    fixture_start(fixture, 2);
    peers_set(fixture->nodes[1].peers, &fixture->config);
    peers_set(fixture->nodes[2].peers, &fixture->config);
    UNTIL(fixture, node_saw(&fixture->nodes[1], "up 2;") && node_saw(&fixture->nodes[2], "up 1;"));
}

static inline struct message heartbeat(node_id from, node_id to, uint64_t round)
{
    struct message message = {.type = MESSAGE_APPEND, .from = from, .to = to, .term = 5};
    message.append.read_round = round;
    return message;
}

static inline struct envelope envelope_to(node_id to, uint64_t number, struct bytes command)
{
    return (struct envelope){.cluster_id = CLUSTER,
                             .to = to,
                             .term = 5,
                             .number = number,
                             .deadline_ms = 1000,
                             .hops = 1,
                             .command = command};
}

static inline struct peer_stats stats_of(struct test_node *node)
{
    struct peer_stats stats[LIMIT_MEMBERS];
    assert_true(peers_stats(node->peers, stats, LIMIT_MEMBERS) >= 1);
    return stats[0];
}

/* ---- a node in a process of its own, to be killed ---- */

/* Node `id` in a child process, dialling all others of the configuration. Call it before this
 * process has an env. */
static inline pid_t fork_node(struct fixture *fixture, node_id id,
                              void (*at_start)(struct test_node *))
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    alarm(60);
    struct test_node *node = fixture_start(fixture, id);
    peers_set(node->peers, &fixture->config);
    if (at_start != NULL)
        at_start(node);
    uv_env_run(fixture->env);
    _exit(0);
}

static inline void reap(pid_t pid, int signum)
{
    kill(pid, signum);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* ---- bare sockets ---- */

static inline int raw_connect(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

static inline int raw_listen(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int on = 1;
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

/* Accepts into *fd; true once there is one. */
static inline bool raw_accepted(int listener, int *fd)
{
    if (*fd < 0)
        *fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    return *fd >= 0;
}

static inline void raw_send(int fd, struct bytes bytes)
{
    ssize_t count = send(fd, bytes.data, bytes.count, MSG_NOSIGNAL);
    assert_int_equal(count, (ssize_t)bytes.count);
}

/* Appends what has arrived; true once the other side has closed. */
static inline bool raw_ended(int fd, struct buf *in)
{
    for (;;) {
        assert_true(buf_reserve(in, 4096));
        ssize_t count = recv(fd, in->data + in->count, 4096, MSG_DONTWAIT);
        if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR))
            return true;
        if (count < 0)
            return false;
        in->count += (size_t)count;
    }
}

/* True once the first frame of what has arrived is there; it is of this type. */
static inline bool raw_received(int fd, struct buf *in, enum frame_type type,
                                struct bytes *out_body)
{
    enum frame_type found;
    size_t count;
    (void)raw_ended(fd, in);
    if (frame_next(buf_bytes(in), LIMIT_FRAME_BYTES, &found, out_body, &count) != ST_OK)
        return false;
    assert_int_equal(found, type);
    return true;
}

static inline void put_frame(struct buf *out, enum frame_type type, struct bytes body)
{
    size_t begin = frame_begin(out, type);
    buf_put(out, body);
    frame_end(out, begin);
}

static inline struct hello hello_from(node_id from, node_id to)
{
    return (struct hello){.version = WIRE_VERSION,
                          .cluster_id = CLUSTER,
                          .from = from,
                          .to = to,
                          .identity = 1000 + from,
                          .incarnation = 7000 + from};
}

static inline void put_hello(struct buf *out, const struct hello *hello)
{
    size_t begin = frame_begin(out, FRAME_HELLO);
    hello_encode(hello, out);
    frame_end(out, begin);
}

static inline void put_message(struct buf *out, const struct message *message)
{
    size_t begin = frame_begin(out, FRAME_MESSAGE);
    message_encode(message, NULL, out);
    frame_end(out, begin);
}

#endif
