/* What happens to the network: cuts, resets, connections of which one side is gone. */
#include "sim/net.h"

static struct env_stream *stream_at(struct list *at)
{
    return CONTAINER_OF(at, struct env_stream, link);
}

/* Streams are freed while they are walked over: the next one is known before. */
#define FOR_EACH_STREAM(world, stream)                                                             \
    for (struct list *at_ = (world)->streams.next, *next_;                                         \
         at_ != &(world)->streams && (next_ = at_->next, stream = stream_at(at_), true);           \
         at_ = next_)

/* ---- half open ---- */

void net_answer_half_open(struct env_stream *stream)
{
    struct world *world = stream->world;
    if (!stream->is_half_open || !stream->has_unanswered ||
        world->machines[stream->other_machine].env == NULL ||
        link_between(world, stream->machine, stream->other_machine)->is_cut)
        return;
    stream->is_half_open = false;
    net_send_end(stream, ENV_END_RESET);
}

/* The other side of `stream` goes away and does not tell. */
static void leave_half_open(struct env_stream *stream)
{
    struct env_stream *other = stream->other;
    stream->other = NULL;
    if (other == NULL)
        return;
    other->other = NULL;
    other->is_half_open = true;
    other->has_unanswered = other->in_flight > 0;
}

/* ---- a machine stops, or starts ---- */

/* Nobody is there any more to hear of it. */
static void silence(struct env_stream *stream)
{
    net_clear_inbox(stream);
    event_cancel(stream->world, &stream->dial);
    event_cancel(stream->world, &stream->linger);
    event_cancel(stream->world, &stream->drained);
    stream->is_held = stream->is_accepting = stream->is_half_open = false;
    buf_reset(&stream->queue);
    stream->queue_begin = 0;
    if (stream->handler == NULL || stream->is_finishing) /* it has no owner to close it */
        net_free_stream(stream);
}

static void end_stream(struct env_stream *stream, enum world_stop how)
{
    switch (how) {
    case WORLD_STOP_KILL: /* bytes that nobody will read make the kernel answer with a reset */
        net_send_end(stream->other, list_is_empty(&stream->inbox) ? ENV_END_EOF : ENV_END_RESET);
        break;
    case WORLD_STOP_CRASH:
        net_send_end(stream->other, ENV_END_EOF);
        break;
    case WORLD_STOP_POWER_OFF:
        leave_half_open(stream);
        break;
    }
    if (stream->other != NULL)
        stream->other->other = NULL;
    stream->other = NULL;
}

void net_stop(struct world *world, unsigned machine, enum world_stop how)
{
    struct env_stream *stream;
    FOR_EACH_STREAM(world, stream)
    {
        if (stream->env != world->machines[machine].env)
            continue;
        end_stream(stream, how);
        silence(stream);
    }
    struct list *next;
    for (struct list *at = world->listeners.next; at != &world->listeners; at = next) {
        next = at->next;
        if (CONTAINER_OF(at, struct env_listener, link)->env->machine == machine)
            list_remove(at); /* its owner frees it */
    }
}

void net_boot(struct world *world, unsigned machine)
{
    struct env_stream *stream;
    FOR_EACH_STREAM(world, stream)
    {
        if (stream->other_machine != machine)
            continue;
        net_answer_half_open(stream);
        if (stream->is_held && !stream->is_accepting)
            net_resume_dial(stream);
    }
}

/* ---- resets ---- */

void net_reset(struct env_stream *stream)
{
    struct env_stream *other = stream->other;
    REQUIRE(other != NULL);
    note_fault(stream->world, WORLD_FAULT_RESET, stream->machine, stream->other_machine, NULL);
    stream->other = other->other = NULL;
    net_clear_inbox(stream);
    net_clear_inbox(other);
    net_send_end(stream, ENV_END_RESET);
    net_send_end(other, ENV_END_RESET);
}

void world_reset_links(struct world *world, unsigned a, unsigned b)
{
    struct env_stream *stream;
    note(world, &(struct world_event){.kind = WORLD_LINKS_RESET, .machine = a, .peer = b});
    FOR_EACH_STREAM(world, stream)
    {
        bool is_between = (stream->machine == a && stream->other_machine == b) ||
                          (stream->machine == b && stream->other_machine == a);
        if (is_between && stream->other != NULL)
            net_reset(stream);
    }
}

void world_half_open(struct world *world, unsigned machine, unsigned peer)
{
    struct env_stream *stream;
    FOR_EACH_STREAM(world, stream)
    {
        if (stream->machine != machine || stream->other_machine != peer || stream->other == NULL)
            continue;
        struct env_stream *other = stream->other;
        note_fault(world, WORLD_FAULT_HALF_OPEN, machine, peer, NULL);
        leave_half_open(stream);
        net_answer_half_open(other); /* to what is on the way */
        net_clear_inbox(stream);
        net_send_end(stream, ENV_END_RESET);
    }
}

void world_refuse(struct world *world, unsigned machine, bool is_refusing)
{
    world->machines[machine].is_refusing = is_refusing;
}

/* ---- cuts ---- */

static void hold(struct env_stream *stream, unsigned from, unsigned to)
{
    if (stream->machine == to && stream->other_machine == from)
        event_cancel(stream->world, &stream->arrival);
}

/* The first of the segments on the way is sent again, some time after the way is free. */
static void release_segments(struct env_stream *stream)
{
    struct world *world = stream->world;
    if (list_is_empty(&stream->inbox))
        return;
    struct segment *first = CONTAINER_OF(stream->inbox.next, struct segment, link);
    time_us late = net_draw_retry(world, stream->other_machine, stream->machine);
    if (late > 0) {
        first->at = MAX(first->at, world->now + late);
        stream->last_arrival = MAX(stream->last_arrival, first->at);
    }
    net_set_arrival(stream);
}

static void release(struct env_stream *stream, unsigned from, unsigned to)
{
    if (stream->machine == to && stream->other_machine == from) {
        release_segments(stream);
        size_t unheard = stream->unheard;
        stream->unheard = 0;
        if (unheard > 0)
            net_acknowledge(stream, unheard);
    } else if (stream->machine == from && stream->other_machine == to) {
        net_answer_half_open(stream);
        if (stream->is_held && !stream->is_accepting)
            net_resume_dial(stream);
    }
}

void world_cut(struct world *world, unsigned from, unsigned to, bool is_cut)
{
    struct link_state *link = link_between(world, from, to);
    if (link->is_cut == is_cut)
        return;
    link->is_cut = is_cut;
    note(world, &(struct world_event){.kind = is_cut ? WORLD_LINK_CUT : WORLD_LINK_HEALED,
                                      .machine = from,
                                      .peer = to});
    if (is_cut)
        note_fault(world, WORLD_FAULT_CUT, from, to, NULL);
    struct env_stream *stream;
    FOR_EACH_STREAM(world, stream)
    {
        if (is_cut)
            hold(stream, from, to);
        else
            release(stream, from, to);
    }
}

bool world_is_cut(const struct world *world, unsigned from, unsigned to)
{
    return world->links[from][to].is_cut;
}

void world_heal(struct world *world)
{
    for (unsigned from = 1; from <= WORLD_MACHINES_MAX; from++)
        for (unsigned to = 1; to <= WORLD_MACHINES_MAX; to++)
            world_cut(world, from, to, false);
}
