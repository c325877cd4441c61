/* What happens to connections: bytes come, bytes have left, the end comes. */
#include "client/engine_internal.h"

void engine_link(const struct engine *engine, size_t at, struct engine_link *out_link)
{
    const struct channel *channel = &engine->channels[at];
    *out_link = (struct engine_link){.serial = channel->serial,
                                     .address = channel->address,
                                     .is_idle = channel_is_idle(channel)};
    switch (channel->state) {
    case CHANNEL_CLOSED:
        out_link->state = ENGINE_LINK_CLOSED;
        break;
    case CHANNEL_DIALLING:
        out_link->state = ENGINE_LINK_DIALLING;
        break;
    case CHANNEL_OPEN:
        out_link->state = ENGINE_LINK_OPEN;
        break;
    }
}

struct bytes engine_output(const struct engine *engine, size_t at)
{
    return channel_output(&engine->channels[at]);
}

void engine_break(struct engine *engine, time_us now, size_t at, const char *reason)
{
    struct channel *channel = &engine->channels[at];
    struct address address = channel->address;
    struct channel_slot slots[CHANNEL_SLOTS];
    bool were_sent[CHANNEL_SLOTS];
    struct list assigned;
    size_t count = 0;
    while (channel->slots_count != 0) {
        slots[count] = channel_shift(channel);
        were_sent[count] = channel_has_sent(channel, &slots[count]);
        count++;
    }
    list_init(&assigned);
    list_splice(&assigned, &channel->assigned);
    channel_close(channel);
    for (size_t i = 0; i < count; i++) {
        if (slots[i].call == NULL)
            continue;
        if (were_sent[i])
            settle_lost(engine, now, slots[i].call, &address, reason);
        else
            settle_unsent(engine, now, slots[i].call, &address, reason);
    }
    while (!list_is_empty(&assigned))
        settle_unsent(engine, now, CONTAINER_OF(assigned.next, struct call, link), &address,
                      reason);
}

static void use_channel(struct engine *engine, time_us now, struct channel *channel)
{
    channel->used_at = now;
    engine_wake_at(engine, now + CHANNEL_IDLE_US);
}

void engine_opened(struct engine *engine, time_us now, size_t at)
{
    struct channel *channel = &engine->channels[at];
    if (channel->state == CHANNEL_DIALLING)
        channel->state = CHANNEL_OPEN;
    use_channel(engine, now, channel);
    engine_run(engine, now);
}

void engine_sent(struct engine *engine, time_us now, size_t at, size_t count)
{
    channel_sent(&engine->channels[at], count);
    engine_run(engine, now);
}

void engine_lost(struct engine *engine, time_us now, size_t at, bool in_order, const char *reason)
{
    struct channel *channel = &engine->channels[at];
    if (channel->state == CHANNEL_CLOSED)
        return;
    if (channel->is_reading && channel->slots_count != 0) {
        enum reply_progress progress = reply_parser_end(&channel->parser, in_order);
        struct call *call = channel->slots[channel->slots_first].call;
        if (progress == REPLY_DONE) { /* a body that ends with the stream */
            (void)channel_shift(channel);
            if (call != NULL)
                settle_replied(engine, now, call, at, &channel->reply);
        }
    }
    /* The end of a connection that nothing was under way on is no failure. */
    if (channel->state == CHANNEL_DIALLING || channel->slots_count != 0)
        route_failed(engine, now, channel, 0);
    engine_break(engine, now, at, reason);
    engine_run(engine, now);
}

/* One whole reply is there. */
static void take_reply(struct engine *engine, time_us now, size_t at)
{
    struct channel *channel = &engine->channels[at];
    struct channel_slot slot = channel_shift(channel);
    if (slot.call != NULL)
        settle_replied(engine, now, slot.call, at, &channel->reply);
    http_reply_clear(&channel->reply);
}

/* Why the connection cannot go on; NULL: it can. */
static const char *take_bytes(struct engine *engine, time_us now, size_t at, struct bytes bytes)
{
    struct channel *channel = &engine->channels[at];
    while (bytes.count != 0) {
        size_t used = 0;
        if (channel->slots_count == 0)
            return "a reply to nothing";
        if (!channel->is_reading)
            reply_parser_init(&channel->parser, &channel->reply,
                              channel->slots[channel->slots_first].is_head_only);
        channel->is_reading = true;
        enum reply_progress progress = reply_parser_feed(&channel->parser, bytes, &used);
        bytes = bytes_of(bytes.data + used, bytes.count - used);
        switch (progress) {
        case REPLY_MORE:
            break;
        case REPLY_DONE:
            take_reply(engine, now, at);
            if (!channel->parser.keeps_alive)
                return "the node has ended the connection";
            break;
        case REPLY_NO_MEMORY: {
            struct channel_slot slot = channel_shift(channel);
            if (slot.call != NULL) {
                slot.call->effect = slot.call->is_write ? EFFECT_MAYBE : EFFECT_NONE;
                settle_no_memory(engine, now, slot.call);
            }
            return channel->parser.failure;
        }
        case REPLY_BAD:
            return channel->parser.failure;
        }
    }
    return NULL;
}

void engine_received(struct engine *engine, time_us now, size_t at, struct bytes bytes)
{
    struct channel *channel = &engine->channels[at];
    if (channel->state != CHANNEL_OPEN)
        return;
    use_channel(engine, now, channel);
    const char *reason = take_bytes(engine, now, at, bytes);
    if (reason != NULL)
        engine_break(engine, now, at, reason);
    engine_run(engine, now);
}
