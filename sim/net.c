/* The network: ordered byte streams between machines, as TCP looks to a program.
 *
 * 1 env_connect    a dial travels to the other machine; while it cannot get through it is held
 * 2 on_dialled     the other machine accepts, or refuses; either answer travels back
 * 3 send           bytes become segments while the window has room, and wait in the queue beyond
 * 4 arrive         segments are read one by one, each at its time; what is read makes room at the
 *                  sender, whose queue moves up
 * 5 close          an end travels behind the last segment
 *
 * A stream whose owner has gone is freed at once, unless it finishes; what it sent still arrives.
 */
#include "sim/net.h"

#include <stdio.h>

enum { PORT_OF_DIALLER = 40000 };

static void note_stream(const struct env_stream *stream, enum world_event_kind kind, uint64_t a,
                        struct bytes bytes)
{
    note(stream->world, &(struct world_event){.kind = kind,
                                              .machine = stream->machine,
                                              .peer = stream->other_machine,
                                              .stream = stream->number,
                                              .a = a,
                                              .bytes = bytes});
}

static struct bytes no_bytes(void)
{
    return bytes_of(NULL, 0);
}

static void format_host(unsigned machine, struct address *out_address)
{
    (void)snprintf(out_address->host, sizeof out_address->host, "10.0.0.%u", machine);
}

/* 0: none of the world's. */
static unsigned machine_of_host(const char *host)
{
    static const char prefix[] = "10.0.0.";
    unsigned machine = 0;
    if (strncmp(host, prefix, sizeof prefix - 1) != 0)
        return 0;
    const char *digit = host + sizeof prefix - 1;
    for (; *digit >= '0' && *digit <= '9' && machine <= WORLD_MACHINES_MAX; digit++)
        machine = machine * 10 + (unsigned)(*digit - '0');
    return *digit == '\0' && machine <= WORLD_MACHINES_MAX ? machine : 0;
}

/* ---- streams come and go ---- */

static void arrive(void *ctx);
static void linger_over(void *ctx);
static void tell_drained(void *ctx);

static struct env_stream *new_stream(struct env *env, unsigned other_machine, uint64_t number)
{
    struct env_stream *stream = mem_alloc(sizeof *stream);
    stream->world = env->world;
    stream->env = env;
    stream->number = number;
    stream->machine = env->machine;
    stream->other_machine = other_machine;
    event_init(&stream->arrival, env, arrive, stream);
    event_init(&stream->linger, env, linger_over, stream);
    event_init(&stream->drained, env, tell_drained, stream);
    buf_init(&stream->queue, SIZE_MAX / 2);
    list_init(&stream->inbox);
    list_push_back(&env->world->streams, &stream->link);
    return stream;
}

static struct segment *first_segment(const struct env_stream *stream)
{
    return CONTAINER_OF(stream->inbox.next, struct segment, link);
}

void net_clear_inbox(struct env_stream *stream)
{
    while (!list_is_empty(&stream->inbox)) {
        struct segment *segment = first_segment(stream);
        list_remove(&segment->link);
        mem_free(segment);
    }
    event_cancel(stream->world, &stream->arrival);
}

void net_free_stream(struct env_stream *stream)
{
    struct world *world = stream->world;
    if (stream->other != NULL)
        stream->other->other = NULL;
    net_clear_inbox(stream);
    event_cancel(world, &stream->dial);
    event_cancel(world, &stream->linger);
    event_cancel(world, &stream->drained);
    buf_release(&stream->queue);
    list_remove(&stream->link);
    mem_free(stream);
}

/* ---- segments ---- */

void net_set_arrival(struct env_stream *stream)
{
    struct world *world = stream->world;
    if (stream->arrival.heap_index != 0 || stream->is_paused || stream->handler == NULL ||
        list_is_empty(&stream->inbox) ||
        link_between(world, stream->other_machine, stream->machine)->is_cut)
        return;
    event_set(world, &stream->arrival, first_segment(stream)->at);
}

static void put_segment(struct env_stream *to, enum segment_kind kind, enum env_end end,
                        struct bytes bytes)
{
    struct segment *segment = mem_alloc_raw(sizeof *segment + bytes.count);
    segment->kind = kind;
    segment->end = end;
    segment->count = bytes.count;
    if (bytes.count > 0)
        memcpy(segment->data, bytes.data, bytes.count);
    segment->at = net_arrival(to, bytes.count);
    list_push_back(&to->inbox, &segment->link);
    net_set_arrival(to);
}

void net_send_end(struct env_stream *to, enum env_end end)
{
    if (to != NULL)
        put_segment(to, SEGMENT_END, end, no_bytes());
}

static void put_data(struct env_stream *from, struct bytes bytes)
{
    size_t split = net_draw_split(from, bytes.count);
    if (split != 0)
        put_segment(from->other, SEGMENT_DATA, ENV_END_EOF, bytes_of(bytes.data, split));
    put_segment(from->other, SEGMENT_DATA, ENV_END_EOF,
                bytes_of(bytes.data + split, bytes.count - split));
}

/* As much as the window takes leaves; returns how much. */
static size_t transmit(struct env_stream *stream, struct bytes bytes)
{
    size_t window = net_window(stream), done = 0;
    while (done < bytes.count && stream->in_flight < window) {
        size_t piece = MIN(bytes.count - done, window - stream->in_flight);
        piece = MIN(piece, (size_t)NET_SEGMENT_BYTES_MAX);
        if (stream->other != NULL && net_draws_reset(stream))
            net_reset(stream);
        stream->in_flight += piece;
        if (stream->other != NULL)
            put_data(stream, bytes_of(bytes.data + done, piece));
        done += piece;
    }
    return done;
}

static size_t queued(const struct env_stream *stream)
{
    return stream->queue.count - stream->queue_begin;
}

/* Its owner is gone and all is sent. */
static void end_finishing(struct env_stream *stream)
{
    note_stream(stream, WORLD_ENDED, ENV_END_EOF, no_bytes());
    net_send_end(stream->other, ENV_END_EOF);
    net_free_stream(stream);
}

void net_acknowledge(struct env_stream *stream, size_t bytes_count)
{
    REQUIRE(bytes_count <= stream->in_flight);
    stream->in_flight -= bytes_count;
    if (queued(stream) == 0)
        return;
    stream->queue_begin +=
        transmit(stream, bytes_of(stream->queue.data + stream->queue_begin, queued(stream)));
    if (queued(stream) > 0)
        return;
    buf_reset(&stream->queue);
    stream->queue_begin = 0;
    event_set(stream->world, &stream->drained, stream->world->now);
}

static void tell_drained(void *ctx)
{
    struct env_stream *stream = ctx;
    if (stream->is_finishing) {
        end_finishing(stream);
        return;
    }
    note_stream(stream, WORLD_DRAINED, 0, no_bytes());
    if (queued(stream) == 0 && stream->handler->on_drained != NULL)
        stream->handler->on_drained(stream->ctx);
}

/* The sender learns that `segment` was read, unless that news is cut off. */
static void acknowledge(struct env_stream *reader, size_t bytes_count)
{
    struct env_stream *sender = reader->other;
    if (sender == NULL || bytes_count == 0)
        return;
    if (link_between(reader->world, reader->machine, reader->other_machine)->is_cut)
        sender->unheard += bytes_count;
    else
        net_acknowledge(sender, bytes_count);
}

static void arrive_data(struct env_stream *stream, const struct segment *segment)
{
    struct bytes bytes = bytes_of(segment->data, segment->count);
    note_stream(stream, WORLD_ARRIVED, stream->arrived_bytes, bytes);
    stream->arrived_bytes += bytes.count;
    acknowledge(stream, bytes.count);
    if (!stream->is_finishing)
        stream->handler->on_data(stream->ctx, bytes);
}

static void arrive_end(struct env_stream *stream, enum env_end end)
{
    const struct env_stream_handler *handler = stream->handler;
    void *user = stream->ctx;
    bool is_told = !stream->is_finishing;
    note_stream(stream, WORLD_ENDED, end, no_bytes());
    net_free_stream(stream);
    if (is_told)
        handler->on_end(user, end);
}

static void arrive(void *ctx)
{
    struct env_stream *stream = ctx;
    INVARIANT(!stream->is_paused && !list_is_empty(&stream->inbox));
    struct segment *segment = first_segment(stream);
    list_remove(&segment->link);
    net_set_arrival(stream); /* before the callback: it may close the stream */
    switch (segment->kind) {
    case SEGMENT_OPEN:
        note_stream(stream, WORLD_OPENED, 0, no_bytes());
        if (!stream->is_finishing)
            stream->handler->on_open(stream->ctx);
        break;
    case SEGMENT_DATA:
        arrive_data(stream, segment);
        break;
    case SEGMENT_END:
        arrive_end(stream, segment->end);
        break;
    }
    mem_free(segment);
}

/* ---- listeners ---- */

static struct env_listener *find_listener(struct world *world, unsigned machine, uint16_t port)
{
    for (struct list *at = world->listeners.next; at != &world->listeners; at = at->next) {
        struct env_listener *listener = CONTAINER_OF(at, struct env_listener, link);
        if (listener->env->machine == machine && listener->address.port == port)
            return listener;
    }
    return NULL;
}

enum status env_listen(struct env *env, const struct address *address,
                       void (*on_accept)(void *ctx, struct env_stream *stream), void *ctx,
                       struct env_listener **out_listener, struct errtext *error)
{
    if (machine_of_host(address->host) != env->machine) {
        errtext_set(error, "listen on %s: not an address of this machine", address->host);
        return ST_BAD_ADDRESS;
    }
    if (env->is_off || find_listener(env->world, env->machine, address->port) != NULL) {
        errtext_set(error, "listen on %s: port %u is taken", address->host, address->port);
        return ST_BUSY;
    }
    struct env_listener *listener = mem_alloc(sizeof *listener);
    *listener =
        (struct env_listener){.env = env, .address = *address, .on_accept = on_accept, .ctx = ctx};
    list_push_back(&env->world->listeners, &listener->link);
    *out_listener = listener;
    return ST_OK;
}

/* Connections that wait to be accepted have another try. */
static void resume_accepting(const struct env_listener *listener)
{
    struct list *streams = &listener->env->world->streams;
    for (struct list *at = streams->next; at != streams; at = at->next) {
        struct env_stream *stream = CONTAINER_OF(at, struct env_stream, link);
        if (stream->env == listener->env && stream->is_accepting && stream->is_held &&
            stream->dialled.port == listener->address.port)
            net_resume_dial(stream);
    }
}

void env_listener_pause(struct env_listener *listener, bool is_paused)
{
    listener->is_paused = is_paused;
    if (!is_paused)
        resume_accepting(listener);
}

void env_listener_close(struct env_listener *listener)
{
    if (listener == NULL)
        return;
    list_remove(&listener->link);
    resume_accepting(listener); /* and find that nobody listens */
    mem_free(listener);
}

/* ---- dialling ---- */

static void on_accepted(void *ctx)
{
    struct env_stream *stream = ctx;
    struct env_listener *listener =
        find_listener(stream->world, stream->machine, stream->dialled.port);
    stream->is_held = listener != NULL && listener->is_paused;
    if (stream->is_held)
        return;
    if (listener == NULL) {
        env_stream_close(stream);
        return;
    }
    stream->is_accepting = false;
    note_stream(stream, WORLD_ACCEPTED, 0, no_bytes());
    listener->on_accept(listener->ctx, stream);
}

/* The dial arrives at the other machine: somebody listens, or it is refused. */
static void on_dialled(void *ctx)
{
    struct env_stream *stream = ctx;
    struct world *world = stream->world;
    const struct machine *other = &world->machines[stream->other_machine];
    stream->is_held =
        other->is_silent || link_between(world, stream->machine, stream->other_machine)->is_cut;
    if (stream->is_held)
        return; /* one SYN after the other is lost */
    struct env_listener *listener =
        find_listener(world, stream->other_machine, stream->dialled.port);
    if (other->is_refusing)
        note_fault(world, WORLD_FAULT_REFUSED, stream->machine, stream->other_machine, NULL);
    if (listener == NULL || other->is_refusing) {
        net_send_end(stream, ENV_END_RESET);
        return;
    }
    struct env_stream *accepted = new_stream(listener->env, stream->machine, stream->number);
    accepted->dialled = stream->dialled;
    accepted->other = stream;
    stream->other = accepted;
    put_segment(stream, SEGMENT_OPEN, ENV_END_EOF, no_bytes());
    accepted->is_accepting = true;
    event_init(&accepted->dial, listener->env, on_accepted, accepted);
    event_set(world, &accepted->dial, world->now);
}

void net_resume_dial(struct env_stream *stream)
{
    struct world *world = stream->world;
    REQUIRE(stream->is_held);
    stream->is_held = false;
    time_us late =
        stream->is_accepting ? 0 : net_draw_retry(world, stream->machine, stream->other_machine);
    event_set(world, &stream->dial, world->now + late);
}

struct env_stream *env_connect(struct env *env, const struct address *address,
                               const struct env_stream_handler *handler, void *ctx)
{
    struct world *world = env->world;
    struct env_stream *stream =
        new_stream(env, machine_of_host(address->host), ++world->streams_last);
    stream->handler = handler;
    stream->ctx = ctx;
    stream->dialled = *address;
    event_init(&stream->dial, NULL, on_dialled, stream);
    note_stream(stream, WORLD_DIALLED, 0, no_bytes());
    if (!env->is_off)
        event_set(world, &stream->dial, net_dial_arrival(stream));
    return stream;
}

/* ---- the owner's calls ---- */

void env_stream_start(struct env_stream *stream, const struct env_stream_handler *handler,
                      void *ctx)
{
    stream->handler = handler;
    stream->ctx = ctx;
    net_set_arrival(stream);
}

void env_stream_send(struct env_stream *stream, struct bytes bytes)
{
    bool is_open = stream->other != NULL || stream->is_half_open;
    if (bytes.count == 0 || stream->is_finishing || !is_open)
        return;
    note_stream(stream, WORLD_SENT, stream->sent_bytes, bytes);
    stream->sent_bytes += bytes.count;
    size_t sent = queued(stream) == 0 ? transmit(stream, bytes) : 0;
    if (sent < bytes.count)
        buf_put(&stream->queue, bytes_of(bytes.data + sent, bytes.count - sent));
    if (stream->is_half_open && !stream->has_unanswered) {
        stream->has_unanswered = true;
        net_answer_half_open(stream);
    }
}

size_t env_stream_queued(const struct env_stream *stream)
{
    return queued(stream);
}

void env_stream_pause(struct env_stream *stream, bool is_paused)
{
    stream->is_paused = is_paused;
    if (is_paused)
        event_cancel(stream->world, &stream->arrival);
    else
        net_set_arrival(stream);
}

static void linger_over(void *ctx)
{
    end_finishing(ctx);
}

void env_stream_finish(struct env_stream *stream, time_us linger)
{
    if (queued(stream) == 0 || stream->env->is_off) {
        env_stream_close(stream);
        return;
    }
    stream->is_finishing = true;
    env_stream_pause(stream, false);
    event_set(stream->world, &stream->linger, stream->world->now + linger);
}

void env_stream_close(struct env_stream *stream)
{
    if (stream == NULL)
        return;
    note_stream(stream, WORLD_ENDED, ENV_END_EOF, no_bytes());
    net_send_end(stream->other, ENV_END_EOF);
    net_free_stream(stream);
}

void env_stream_peer(const struct env_stream *stream, struct address *out_address)
{
    *out_address = (struct address){.port = PORT_OF_DIALLER};
    format_host(stream->other_machine, out_address);
}

void env_stream_local(const struct env_stream *stream, struct address *out_address)
{
    *out_address = (struct address){.port = PORT_OF_DIALLER};
    format_host(stream->machine, out_address);
}
