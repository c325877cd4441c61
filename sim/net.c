/* The network: ordered byte streams between machines, as TCP looks to a program. */
#include <stdio.h>
#include <stdlib.h>

#include "sim/world_internal.h"

struct env_listener {
    struct list link; /* in world->listeners */
    struct env *env;
    struct address address;
    void (*on_accept)(void *ctx, struct env_stream *stream);
    void *ctx;
};

enum segment_kind { SEGMENT_OPEN, SEGMENT_DATA, SEGMENT_END };

/* What travels one way on a stream, in order. Owned by the stream it arrives at. */
struct segment {
    struct list link;
    time_us at; /* arrives then, unless the direction is cut */
    enum segment_kind kind;
    enum env_end end;
    size_t count;
    uint8_t data[];
};

struct env_stream {
    struct list link; /* in world->streams */
    struct world *world;
    struct env *env;
    unsigned machine;
    struct env_stream *other; /* NULL: gone */
    unsigned other_machine;
    const struct env_stream_handler *handler; /* borrowed */
    void *ctx;
    struct address address; /* of this side */
    struct address dialled; /* by env_connect, or the listener of an accepted stream */
    struct event *dial;     /* under way to the other machine, or about to be accepted */
    struct list inbox;      /* struct segment, arriving here */
    struct event *arrival;  /* of the first of them */
    time_us last_arrival;
    bool is_paused;
};

static unsigned machine_of_host(const char *host)
{
    unsigned machine = 0;
    if (sscanf(host, "10.0.0.%u", &machine) != 1 || machine > WORLD_MACHINES_MAX)
        return 0;
    return machine;
}

static void schedule_arrival(struct env_stream *stream);

static void free_inbox(struct env_stream *stream)
{
    while (!list_is_empty(&stream->inbox)) {
        struct segment *segment = CONTAINER_OF(stream->inbox.next, struct segment, link);
        list_remove(&segment->link);
        mem_free(segment);
    }
    world_unschedule(stream->world, stream->arrival);
    stream->arrival = NULL;
}

static void free_stream(struct env_stream *stream)
{
    if (stream->other != NULL)
        stream->other->other = NULL;
    free_inbox(stream);
    world_unschedule(stream->world, stream->dial);
    list_remove(&stream->link);
    mem_free(stream);
}

static void arrive(void *ctx)
{
    struct env_stream *stream = ctx;
    stream->arrival = NULL;
    if (stream->is_paused || list_is_empty(&stream->inbox))
        return;
    struct segment *segment = CONTAINER_OF(stream->inbox.next, struct segment, link);
    list_remove(&segment->link);
    schedule_arrival(stream); /* before the callback: it may close the stream */
    const struct env_stream_handler *handler = stream->handler;
    switch (segment->kind) {
    case SEGMENT_OPEN:
        handler->on_open(stream->ctx);
        break;
    case SEGMENT_DATA:
        handler->on_data(stream->ctx, bytes_of(segment->data, segment->count));
        break;
    case SEGMENT_END: {
        void *user = stream->ctx;
        free_stream(stream);
        handler->on_end(user, segment->end);
        break;
    }
    }
    mem_free(segment);
}

static void schedule_arrival(struct env_stream *stream)
{
    struct world *world = stream->world;
    if (stream->arrival != NULL || stream->is_paused || stream->handler == NULL ||
        list_is_empty(&stream->inbox) || world->is_cut[stream->other_machine][stream->machine])
        return;
    struct segment *segment = CONTAINER_OF(stream->inbox.next, struct segment, link);
    stream->arrival = world_schedule(world, stream->env, segment->at, arrive, stream);
}

static void send_segment(struct env_stream *to, enum segment_kind kind, enum env_end end,
                         struct bytes bytes)
{
    if (to == NULL)
        return;
    struct segment *segment = mem_alloc(sizeof *segment + bytes.count);
    segment->kind = kind;
    segment->end = end;
    segment->count = bytes.count;
    if (bytes.count > 0)
        memcpy(segment->data, bytes.data, bytes.count);
    to->last_arrival = MAX(to->last_arrival, to->world->now + world_delay(to->world));
    segment->at = to->last_arrival;
    list_push_back(&to->inbox, &segment->link);
    schedule_arrival(to);
}

static struct env_stream *new_stream(struct env *env, unsigned other_machine)
{
    struct env_stream *stream = mem_alloc(sizeof *stream);
    stream->world = env->world;
    stream->env = env;
    stream->machine = env->machine;
    stream->other_machine = other_machine;
    (void)snprintf(stream->address.host, sizeof stream->address.host, "10.0.0.%u", env->machine);
    stream->address.port = 40000;
    list_init(&stream->inbox);
    list_push_back(&env->world->streams, &stream->link);
    return stream;
}

enum status env_listen(struct env *env, const struct address *address,
                       void (*on_accept)(void *ctx, struct env_stream *stream), void *ctx,
                       struct env_listener **out_listener, struct errtext *error)
{
    struct env_listener *listener = mem_alloc(sizeof *listener);
    *listener =
        (struct env_listener){.env = env, .address = *address, .on_accept = on_accept, .ctx = ctx};
    list_push_back(&env->world->listeners, &listener->link);
    *out_listener = listener;
    return ST_OK;
}

void env_listener_pause(struct env_listener *listener, bool is_paused)
{
}

void env_listener_close(struct env_listener *listener)
{
    if (listener == NULL)
        return;
    list_remove(&listener->link);
    mem_free(listener);
}

static struct env_listener *find_listener(struct world *world, unsigned machine, uint16_t port)
{
    for (struct list *at = world->listeners.next; at != &world->listeners; at = at->next) {
        struct env_listener *listener = CONTAINER_OF(at, struct env_listener, link);
        if (listener->env->machine == machine && listener->address.port == port)
            return listener;
    }
    return NULL;
}

static void on_accepted(void *ctx)
{
    struct env_stream *stream = ctx;
    stream->dial = NULL;
    struct env_listener *listener =
        find_listener(stream->world, stream->machine, stream->dialled.port);
    if (listener == NULL)
        env_stream_close(stream);
    else
        listener->on_accept(listener->ctx, stream);
}

/* The dial arrives at the other machine: somebody listens, or it is refused. */
static void on_dialled(void *ctx)
{
    struct env_stream *stream = ctx;
    struct world *world = stream->world;
    stream->dial = NULL;
    if (world->is_cut[stream->machine][stream->other_machine]) {
        stream->dial =
            world_schedule(world, NULL, world->now + 10 * TIME_US_PER_MS, on_dialled, stream);
        return; /* one SYN after the other is lost */
    }
    struct env_listener *listener =
        find_listener(world, stream->other_machine, stream->dialled.port);
    if (listener == NULL) {
        send_segment(stream, SEGMENT_END, ENV_END_RESET, bytes_of(NULL, 0));
        return;
    }
    struct env_stream *accepted = new_stream(listener->env, stream->machine);
    accepted->dialled = stream->dialled;
    accepted->other = stream;
    stream->other = accepted;
    send_segment(stream, SEGMENT_OPEN, ENV_END_EOF, bytes_of(NULL, 0));
    accepted->dial = world_schedule(world, listener->env, world->now, on_accepted, accepted);
}

struct env_stream *env_connect(struct env *env, const struct address *address,
                               const struct env_stream_handler *handler, void *ctx)
{
    struct world *world = env->world;
    struct env_stream *stream = new_stream(env, machine_of_host(address->host));
    stream->handler = handler;
    stream->ctx = ctx;
    stream->dialled = *address;
    stream->dial = world_schedule(world, NULL, world->now + world_delay(world), on_dialled, stream);
    return stream;
}

void env_stream_start(struct env_stream *stream, const struct env_stream_handler *handler,
                      void *ctx)
{
    stream->handler = handler;
    stream->ctx = ctx;
    schedule_arrival(stream);
}

void env_stream_send(struct env_stream *stream, struct bytes bytes)
{
    if (bytes.count > 0)
        send_segment(stream->other, SEGMENT_DATA, ENV_END_EOF, bytes);
}

size_t env_stream_queued(const struct env_stream *stream)
{
    return 0;
}

void env_stream_pause(struct env_stream *stream, bool is_paused)
{
    stream->is_paused = is_paused;
    if (!is_paused)
        schedule_arrival(stream);
}

void env_stream_finish(struct env_stream *stream, time_us linger)
{
    env_stream_close(stream);
}

void env_stream_close(struct env_stream *stream)
{
    if (stream == NULL)
        return;
    send_segment(stream->other, SEGMENT_END, ENV_END_EOF, bytes_of(NULL, 0));
    free_stream(stream);
}

void env_stream_peer(const struct env_stream *stream, struct address *out_address)
{
    *out_address = (struct address){.port = 40000};
    (void)snprintf(out_address->host, sizeof out_address->host, "10.0.0.%u", stream->other_machine);
}

void env_stream_local(const struct env_stream *stream, struct address *out_address)
{
    *out_address = stream->address;
}

/* ---- faults ---- */

void net_crash(struct world *world, unsigned machine)
{
    struct list *next;
    for (struct list *at = world->streams.next; at != &world->streams; at = next) {
        next = at->next;
        struct env_stream *stream = CONTAINER_OF(at, struct env_stream, link);
        if (stream->machine != machine)
            continue;
        send_segment(stream->other, SEGMENT_END, ENV_END_EOF, bytes_of(NULL, 0));
        if (stream->other != NULL)
            stream->other->other = NULL;
        stream->other = NULL;
        free_inbox(stream);
        world_unschedule(world, stream->dial);
        stream->dial = NULL;
        if (stream->handler == NULL)
            free_stream(stream); /* nobody has accepted it */
    }
    for (struct list *at = world->listeners.next; at != &world->listeners; at = next) {
        next = at->next;
        struct env_listener *listener = CONTAINER_OF(at, struct env_listener, link);
        if (listener->env->machine == machine)
            list_remove(&listener->link); /* its owner frees it */
    }
}

void world_cut(struct world *world, unsigned from, unsigned to, bool is_cut)
{
    world->is_cut[from][to] = is_cut;
    for (struct list *at = world->streams.next; at != &world->streams; at = at->next) {
        struct env_stream *stream = CONTAINER_OF(at, struct env_stream, link);
        if (stream->machine != to || stream->other_machine != from)
            continue;
        if (!is_cut) {
            schedule_arrival(stream);
        } else if (stream->arrival != NULL) {
            world_unschedule(world, stream->arrival);
            stream->arrival = NULL;
        }
    }
}

void world_reset_links(struct world *world, unsigned a, unsigned b)
{
    for (struct list *at = world->streams.next; at != &world->streams; at = at->next) {
        struct env_stream *stream = CONTAINER_OF(at, struct env_stream, link);
        bool is_between = (stream->machine == a && stream->other_machine == b) ||
                          (stream->machine == b && stream->other_machine == a);
        if (!is_between || stream->other == NULL)
            continue;
        free_inbox(stream);
        stream->other->other = NULL;
        struct env_stream *other = stream->other;
        stream->other = NULL;
        free_inbox(other);
        send_segment(stream, SEGMENT_END, ENV_END_RESET, bytes_of(NULL, 0));
        send_segment(other, SEGMENT_END, ENV_END_RESET, bytes_of(NULL, 0));
    }
}
