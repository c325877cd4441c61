/* Load's sockets: connecting, sending what is in the ring, finding replies in what comes. */
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/mem.h"
#include "load/load_internal.h"

enum {
    REPLY_BYTES = 64 * KIB, /* to begin with */
    SEND_SLOTS_MAX = 64,
    RETRY_NS = 50 * 1000 * 1000
};

bool load_resolve(const struct address *address, struct load_target *out_target,
                  struct errtext *error)
{
    char port[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    (void)snprintf(port, sizeof port, "%u", address->port);
    int failed = getaddrinfo(address->host, port, &hints, &found);
    if (failed != 0) {
        errtext_set(error, "%s: %s", address->host, gai_strerror(failed));
        return false;
    }
    *out_target = (struct load_target){.address_bytes = found->ai_addrlen};
    memcpy(&out_target->address, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return true;
}

/* ---- life ---- */

void connection_open(struct load *load, struct load_connection *connection)
{
    uint32_t slots = load->plan->pipeline;
    connection->fd = -1;
    connection->slots = mem_alloc_array(slots, sizeof *connection->slots);
    connection->requests = mem_alloc_array(slots, load->request_bytes_max);
    connection->reply_capacity = REPLY_BYTES;
    connection->reply = mem_alloc_raw(REPLY_BYTES);
}

void connection_release(struct load_connection *connection)
{
    if (connection->fd >= 0)
        (void)close(connection->fd); /* nothing is expected of it any more */
    mem_free(connection->slots);
    mem_free(connection->requests);
    mem_free(connection->reply);
}

static void watch(struct load *load, struct load_connection *connection, int operation,
                  uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = connection};
    int failed = epoll_ctl(load->epoll, operation, connection->fd, &event);
    INVARIANT(failed == 0);
}

static void set_up(struct load *load, struct load_connection *connection)
{
    connection->state = LOAD_UP;
    if (connection->target != connection->last_target)
        load->result->moved_count++;
    connection->last_target = connection->target;
    connection->waits_for_room = false;
    connection->has_answered = false;
    watch(load, connection, EPOLL_CTL_MOD, EPOLLIN);
}

static void close_socket(struct load_connection *connection)
{
    (void)close(connection->fd); /* its requests are accounted for elsewhere */
    connection->fd = -1;
    connection->state = LOAD_DOWN;
    connection->reply_bytes = 0;
}

/* It cannot be reached: the next target, a little later. */
static void refuse_target(struct load *load, struct load_connection *connection, int reason,
                          uint64_t now)
{
    errtext_set(load->error, "connect: %s", strerror(reason));
    close_socket(connection);
    if (load->plan->stays)
        load->has_failed = true;
    connection->target = (connection->target + 1) % load->plan->targets_count;
    connection->retry_at = now + RETRY_NS;
}

static void dial(struct load *load, struct load_connection *connection, uint64_t now)
{
    const struct load_target *target = &load->plan->targets[connection->target];
    int on = 1;
    int fd = socket(target->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    connection->fd = fd;
    if (fd < 0) {
        errtext_set(load->error, "socket: %s", strerror(errno));
        load->has_failed = true;
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    connection->state = LOAD_CONNECTING;
    connection->retry_at = now + load->plan->timeout_ns;
    watch(load, connection, EPOLL_CTL_ADD, EPOLLOUT);
    if (connect(fd, (const struct sockaddr *)&target->address, target->address_bytes) == 0)
        set_up(load, connection);
    else if (errno != EINPROGRESS)
        refuse_target(load, connection, errno, now);
}

/* What has become of connecting. */
static void finish_dialling(struct load *load, struct load_connection *connection, uint64_t now)
{
    int reason = 0;
    socklen_t bytes = sizeof reason;
    if (getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &reason, &bytes) != 0)
        reason = errno;
    if (reason != 0)
        refuse_target(load, connection, reason, now);
    else
        set_up(load, connection);
}

bool connection_begin(struct load *load, struct load_connection *connection)
{
    for (size_t i = 0; i < load->plan->targets_count && !load->has_failed; i++) {
        dial(load, connection, load_now_ns());
        if (connection->state == LOAD_CONNECTING) {
            struct pollfd wait = {.fd = connection->fd, .events = POLLOUT};
            if (poll(&wait, 1, (int)(load->plan->timeout_ns / 1000000)) == 1)
                finish_dialling(load, connection, load_now_ns());
            else
                refuse_target(load, connection, ETIMEDOUT, load_now_ns());
        }
        if (connection->state == LOAD_UP)
            return true;
    }
    return false;
}

void connection_lose(struct load *load, struct load_connection *connection, const char *word)
{
    for (uint32_t i = 0; i < connection->count; i++) {
        uint32_t slot = (connection->first + i) % load->plan->pipeline;
        bool was_sent = i < connection->sent_count;
        load_on_failure(load, &connection->slots[slot], was_sent,
                        was_sent ? word : LOAD_WORD_NOT_SENT);
    }
    connection->count = connection->sent_count = 0;
    connection->sent_bytes = 0;
    load->result->lost_count++;
    close_socket(connection);
    /* A node that closed a connection may well be there. One that takes connections and answers
     * nothing on them is not, whatever listens there. */
    connection->retry_at = connection->has_answered ? 0 : load_now_ns() + RETRY_NS;
    if (!connection->has_answered && !load->plan->stays)
        connection->target = (connection->target + 1) % load->plan->targets_count;
}

void connection_look(struct load *load, struct load_connection *connection, uint64_t now)
{
    const struct load_slot *oldest = &connection->slots[connection->first];
    switch (connection->state) {
    case LOAD_DOWN:
        if (now >= connection->retry_at)
            dial(load, connection, now);
        if (connection->state == LOAD_UP)
            load_on_room(load, connection, now);
        break;
    case LOAD_CONNECTING:
        if (now >= connection->retry_at)
            refuse_target(load, connection, ETIMEDOUT, now);
        break;
    case LOAD_UP:
        if (connection->count > 0 && now > oldest->sent_at + load->plan->timeout_ns)
            connection_lose(load, connection, LOAD_WORD_SILENT);
        break;
    }
}

/* ---- sending ---- */

static uint8_t *slot_bytes(const struct load *load, const struct load_connection *connection,
                           uint32_t slot)
{
    return connection->requests + (size_t)slot * load->request_bytes_max;
}

static size_t choose_kind(struct load *load)
{
    if (load->plan->kinds_count == 1)
        return 0;
    return prng_below(&load->prng, 100) < load->plan->first_percent ? 0 : 1;
}

void connection_put(struct load *load, struct load_connection *connection, uint64_t due,
                    uint64_t now)
{
    const struct load_plan *plan = load->plan;
    uint32_t at = (connection->first + connection->count) % plan->pipeline;
    struct load_slot *slot = &connection->slots[at];
    size_t kind = choose_kind(load);
    const struct template *template = plan->kinds[kind].template;
    REQUIRE(connection->count < plan->pipeline);
    if (slot->filled_for != kind + 1)
        memcpy(slot_bytes(load, connection, at), template->bytes, template->count);
    struct template_facts facts = {.client = connection->number,
                                   .sequence = ++connection->sequence};
    facts.acked = facts.sequence - 1 - connection->count; /* answers come in order */
    facts.key = plan->is_sequential ? (uint32_t)(load->issued_count % plan->keys_count)
                                    : (uint32_t)prng_below(&load->prng, plan->keys_count);
    template_fill(template, slot_bytes(load, connection, at), &facts);
    *slot = (struct load_slot){
        .due = due, .sent_at = now, .kind = (uint8_t)kind, .filled_for = (uint8_t)(kind + 1)};
    connection->count++;
    load->issued_count++;
    load->open_count++;
}

/* What of the ring has not been sent; returns the number of pieces. */
static size_t gather(const struct load *load, const struct load_connection *connection,
                     struct iovec pieces[SEND_SLOTS_MAX])
{
    size_t count = 0;
    for (uint32_t i = connection->sent_count; i < connection->count && count < SEND_SLOTS_MAX;
         i++) {
        uint32_t at = (connection->first + i) % load->plan->pipeline;
        const struct load_slot *slot = &connection->slots[at];
        size_t skipped = count == 0 ? connection->sent_bytes : 0;
        pieces[count++] =
            (struct iovec){.iov_base = slot_bytes(load, connection, at) + skipped,
                           .iov_len = load->plan->kinds[slot->kind].template->count - skipped};
    }
    return count;
}

static void note_sent(struct load *load, struct load_connection *connection, size_t bytes)
{
    connection->sent_bytes += bytes;
    while (connection->sent_count < connection->count) {
        uint32_t at = (connection->first + connection->sent_count) % load->plan->pipeline;
        size_t whole = load->plan->kinds[connection->slots[at].kind].template->count;
        if (connection->sent_bytes < whole)
            break;
        connection->sent_bytes -= whole;
        connection->sent_count++;
        load->result->sent_count++;
    }
}

void connection_send(struct load *load, struct load_connection *connection)
{
    while (connection->sent_count < connection->count) {
        struct iovec pieces[SEND_SLOTS_MAX];
        struct msghdr message = {.msg_iov = pieces};
        message.msg_iovlen = gather(load, connection, pieces);
        ssize_t count = sendmsg(connection->fd, &message, MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 && errno == EAGAIN && !connection->waits_for_room) {
            connection->waits_for_room = true;
            watch(load, connection, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
        }
        if (count < 0)
            return; /* a broken connection shows when it is read */
        note_sent(load, connection, (size_t)count);
    }
    if (connection->waits_for_room) {
        connection->waits_for_room = false;
        watch(load, connection, EPOLL_CTL_MOD, EPOLLIN);
    }
}

/* ---- replies ---- */

/* Room for more of a reply; false: it is too long. */
static bool make_room(struct load_connection *connection)
{
    if (connection->reply_bytes < connection->reply_capacity)
        return true;
    if (connection->reply_capacity >= LOAD_REPLY_BYTES_MAX)
        return false;
    connection->reply_capacity *= 2;
    connection->reply = mem_realloc(connection->reply, connection->reply_capacity);
    return true;
}

/* Takes whole replies off what has been read; false: no reply to a request of ours. */
static bool take_replies(struct load *load, struct load_connection *connection, uint64_t now)
{
    size_t at = 0;
    for (;;) {
        struct bytes bytes = bytes_of(connection->reply + at, connection->reply_bytes - at);
        struct load_reply reply;
        size_t count = 0;
        enum load_progress progress = load_reply_parse(bytes, &reply, &count);
        if (progress == LOAD_REPLY_MORE)
            break;
        if (progress == LOAD_REPLY_BAD || connection->sent_count == 0)
            return false;
        struct load_slot slot = connection->slots[connection->first];
        connection->first = (connection->first + 1) % load->plan->pipeline;
        connection->count--;
        connection->sent_count--;
        connection->has_answered = true;
        load_on_reply(load, connection, &slot, bytes_of(bytes.data, count), &reply, now);
        at += count;
        if (reply.closes)
            return false;
    }
    connection->reply_bytes -= at;
    memmove(connection->reply, connection->reply + at, connection->reply_bytes);
    return true;
}

static void read_replies(struct load *load, struct load_connection *connection)
{
    if (!make_room(connection)) {
        connection_lose(load, connection, "reply-too-long");
        return;
    }
    ssize_t count = recv(connection->fd, connection->reply + connection->reply_bytes,
                         connection->reply_capacity - connection->reply_bytes, 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    uint64_t now = load_now_ns();
    if (count > 0)
        connection->reply_bytes += (size_t)count;
    if (count <= 0 || !take_replies(load, connection, now)) {
        connection_lose(load, connection, LOAD_WORD_LOST);
        connection_look(load, connection, now);
    } else {
        load_on_room(load, connection, now);
    }
}

void connection_on_event(struct load *load, struct load_connection *connection, uint32_t events)
{
    if (connection->state == LOAD_CONNECTING) {
        uint64_t now = load_now_ns();
        finish_dialling(load, connection, now);
        if (connection->state == LOAD_UP)
            load_on_room(load, connection, now);
        return;
    }
    if (events & EPOLLOUT)
        connection_send(load, connection);
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        read_replies(load, connection);
}
