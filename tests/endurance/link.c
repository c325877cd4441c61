#include "endurance/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/mem.h"

enum {
    OUT_BYTES_MAX = 64 * 1024,
    IN_BYTES = 64 * 1024,
    RECONNECT_US = 20 * 1000,
    STUCK_US = 15 * 1000 * 1000 /* three times a request's whole deadline at a node */
};

struct link {
    struct watch watch;
    struct links *links;
    uint32_t endpoint;
    enum link_way way;
    bool is_connected;
    bool is_dirty; /* something to send that has not been tried */
    uint16_t local_port;
    uint64_t connect_at_us;    /* closed: when to try again */
    uint64_t last_progress_us; /* a reply, or the first request after none was under way */
    struct buf out;
    size_t in_count;
    uint32_t first, count; /* of `deliveries`, a ring */
    uint32_t answered_count;
    struct delivery deliveries[DEPTH_MAX];
    uint8_t in[IN_BYTES];
};

struct links {
    struct loop *loop;
    const struct options *options;
    struct relays *relays; /* borrowed */
    struct links_events events;
    uint64_t broken_count, stuck_count;
    uint32_t turn; /* which of several links is asked first */
    uint32_t links_count;
    struct link *links; /* those of a node side by side, the direct ones first */
};

/* ---- the end of a connection ---- */

static const struct answer *lost_answer(const struct link *link, const struct relay_loss *loss,
                                        uint32_t nth)
{
    uint32_t number = link->answered_count + nth; /* of all requests of this connection */
    if (number < loss->passed_count || number - loss->passed_count >= loss->lost_count)
        return NULL;
    return &loss->lost[number - loss->passed_count];
}

static void link_end(struct link *link)
{
    struct links *links = link->links;
    struct relay_loss loss = {.lost_count = 0};
    if (link->way == LINK_RELAYED)
        relays_claim(links->relays, link->endpoint, link->local_port, &loss);
    watch_close(&link->watch, true);
    link->is_connected = false;
    struct delivery deliveries[DEPTH_MAX];
    uint32_t count = link->count;
    for (uint32_t i = 0; i < count; i++)
        deliveries[i] = link->deliveries[(link->first + i) % DEPTH_MAX];
    links->broken_count += count > 0 && loss.lost_count == 0;
    link->count = 0;
    link->in_count = 0;
    link->connect_at_us = links->loop->now_us + (loss.lost_count > 0 ? 0 : RECONNECT_US);
    buf_reset(&link->out);
    for (uint32_t i = 0; i < count; i++)
        links->events.on_lost(links->events.ctx, &deliveries[i], lost_answer(link, &loss, i));
}

/* ---- sending ---- */

static void link_flush(struct link *link)
{
    link->is_dirty = false;
    if (link->watch.fd < 0)
        return;
    while (link->out.count > 0) {
        ssize_t count = send(link->watch.fd, link->out.data, link->out.count, MSG_NOSIGNAL);
        if (count <= 0)
            break; /* no room; or broken, which reading will show */
        buf_consume(&link->out, (size_t)count);
    }
    watch_want_to_write(link->links->loop, &link->watch, link->out.count > 0);
}

/* ---- receiving ---- */

static void link_on_answer(struct link *link, const struct answer *answer)
{
    struct links *links = link->links;
    if (link->count == 0) {
        fprintf(stderr, "minikv-endure: a reply to nothing\n");
        die("the server breaks HTTP");
    }
    struct delivery delivery = link->deliveries[link->first];
    link->first = (link->first + 1) % DEPTH_MAX;
    link->count--;
    link->answered_count++;
    link->last_progress_us = links->loop->now_us;
    links->events.on_answer(links->events.ctx, &delivery, answer);
}

/* False: the connection must end. */
static bool link_take_answers(struct link *link)
{
    struct answer answer;
    size_t taken = 0;
    bool goes_on = true;
    while (goes_on) {
        long count = answer_parse(bytes_of(link->in + taken, link->in_count - taken), &answer);
        if (count < 0 || (count == 0 && taken == 0 && link->in_count == IN_BYTES)) {
            errno = 0;
            die("a reply that is none");
        }
        if (count == 0)
            break;
        taken += (size_t)count;
        link_on_answer(link, &answer);
        goes_on = !answer.closes;
    }
    memmove(link->in, link->in + taken, link->in_count - taken);
    link->in_count -= taken;
    return goes_on;
}

static void link_on_event(struct watch *watch, bool is_writable)
{
    struct link *link = CONTAINER_OF(watch, struct link, watch);
    if (is_writable) {
        link->is_connected = socket_is_connected(watch->fd);
        link->is_dirty = true;
    }
    ssize_t count = recv(watch->fd, link->in + link->in_count, IN_BYTES - link->in_count, 0);
    if (count < 0 && errno == EAGAIN)
        return;
    if (count > 0)
        link->in_count += (size_t)count;
    if (count <= 0 || !link_take_answers(link))
        link_end(link);
}

/* ---- connecting ---- */

static const struct sockaddr_in *link_address(const struct link *link)
{
    if (link->way == LINK_RELAYED)
        return relays_address(link->links->relays, link->endpoint);
    return &link->links->options->endpoints[link->endpoint];
}

static void link_connect(struct link *link)
{
    struct loop *loop = link->links->loop;
    int fd = socket_connect(link_address(link));
    if (fd < 0) {
        link->connect_at_us = loop->now_us + RECONNECT_US;
        return;
    }
    struct sockaddr_in local;
    socklen_t local_bytes = sizeof local;
    if (getsockname(fd, (struct sockaddr *)&local, &local_bytes) != 0)
        die("getsockname");
    link->local_port = ntohs(local.sin_port);
    link->answered_count = 0;
    watch_open(loop, &link->watch, fd, link_on_event);
    link->is_connected = socket_is_connected(fd);
    watch_want_to_write(loop, &link->watch, !link->is_connected);
}

static bool is_stuck(const struct link *link)
{
    return link->count > 0 && link->links->loop->now_us - link->last_progress_us > STUCK_US;
}

/* No answer at all, to requests that the node has had for long: it owes one within its deadline. */
static void link_on_stuck(struct link *link)
{
    link->links->stuck_count++;
    link_end(link);
}

void links_tick(struct links *links)
{
    for (uint32_t i = 0; i < links->links_count; i++) {
        struct link *link = &links->links[i];
        if (is_stuck(link))
            link_on_stuck(link);
        if (link->watch.fd < 0 && links->loop->now_us >= link->connect_at_us)
            link_connect(link);
    }
}

/* ---- all of them ---- */

static uint32_t links_per_node(const struct options *options)
{
    return options->links_count + options->relayed_count;
}

struct links *links_new(struct loop *loop, const struct options *options, struct relays *relays,
                        const struct links_events *events)
{
    struct links *links = mem_alloc(sizeof *links);
    *links = (struct links){.loop = loop,
                            .options = options,
                            .relays = relays,
                            .events = *events,
                            .links_count = links_per_node(options) * options->endpoints_count};
    links->links = mem_alloc_array(links->links_count, sizeof *links->links);
    for (uint32_t i = 0; i < links->links_count; i++) {
        struct link *link = &links->links[i];
        link->links = links;
        link->watch.fd = -1;
        link->endpoint = i / links_per_node(options);
        link->way = i % links_per_node(options) < options->links_count ? LINK_DIRECT : LINK_RELAYED;
        buf_init(&link->out, OUT_BYTES_MAX);
    }
    return links;
}

void links_free(struct links *links)
{
    for (uint32_t i = 0; i < links->links_count; i++) {
        watch_close(&links->links[i].watch, false);
        buf_release(&links->links[i].out);
    }
    mem_free(links->links);
    mem_free(links);
}

/* The connection to send on, NULL when there is none. */
static struct link *find_link(const struct links *links, uint32_t endpoint, enum link_way way)
{
    const struct options *options = links->options;
    uint32_t count = way == LINK_DIRECT ? options->links_count : options->relayed_count;
    uint32_t base = endpoint * links_per_node(options);
    base += way == LINK_DIRECT ? 0 : options->links_count;
    uint32_t depth = way == LINK_DIRECT ? options->depth : MIN(options->depth, RELAY_LOST_MAX);
    /* Direct ones in turn; relayed ones one after the other, so that several replies are lost by
     * one. */
    uint32_t start = way == LINK_DIRECT ? links->turn : 0;
    for (uint32_t i = 0; i < count; i++) {
        struct link *link = &links->links[base + (start + i) % count];
        if (link->is_connected && link->count < depth)
            return link;
    }
    return NULL;
}

bool links_are_connected(const struct links *links, uint32_t endpoint)
{
    const struct link *first = &links->links[endpoint * links_per_node(links->options)];
    for (uint32_t i = 0; i < links->options->links_count; i++)
        if (first[i].is_connected)
            return true;
    return false;
}

bool links_has_room(const struct links *links, uint32_t endpoint, enum link_way way)
{
    return find_link(links, endpoint, way) != NULL;
}

bool links_send(struct links *links, uint32_t endpoint, enum link_way way,
                const struct delivery *delivery, struct bytes request)
{
    struct link *link = find_link(links, endpoint, way);
    if (link == NULL)
        return false;
    links->turn++;
    buf_put(&link->out, request);
    INVARIANT(!link->out.is_full);
    if (link->count == 0)
        link->last_progress_us = links->loop->now_us;
    link->deliveries[(link->first + link->count) % DEPTH_MAX] = *delivery;
    link->count++;
    link->is_dirty = true;
    return true;
}

void links_flush(struct links *links)
{
    for (uint32_t i = 0; i < links->links_count; i++)
        if (links->links[i].is_dirty)
            link_flush(&links->links[i]);
}

uint64_t links_stuck_count(const struct links *links)
{
    return links->stuck_count;
}

uint64_t links_broken_count(const struct links *links)
{
    return links->broken_count;
}
