#include "client/channel.h"

void channel_init(struct channel *channel)
{
    *channel = (struct channel){0};
    list_init(&channel->assigned);
}

void channel_release(struct channel *channel)
{
    blob_release(&channel->out);
    http_reply_release(&channel->reply);
}

bool channel_is_idle(const struct channel *channel)
{
    return channel->slots_count == 0 && list_is_empty(&channel->assigned);
}

bool channel_has_calls(const struct channel *channel)
{
    for (size_t i = 0; i < channel->slots_count; i++)
        if (channel->slots[(channel->slots_first + i) % CHANNEL_SLOTS].call != NULL)
            return true;
    return !list_is_empty(&channel->assigned);
}

void channel_dial(struct channel *channel, time_us now)
{
    channel->state = CHANNEL_DIALLING;
    channel->serial++;
    channel->dial_began = now;
}

void channel_close(struct channel *channel)
{
    channel->state = CHANNEL_CLOSED;
    channel->slots_count = 0;
    channel->position += channel->out.count;
    channel->out_sent = 0;
    channel->is_reading = false;
    blob_clear(&channel->out, CHANNEL_OUT_BYTES);
    http_reply_clear(&channel->reply);
}

bool channel_has_room(const struct channel *channel)
{
    return channel->slots_count < CHANNEL_SLOTS &&
           channel->out.count - channel->out_sent < CHANNEL_OUT_BYTES;
}

void channel_add(struct channel *channel, struct call *call)
{
    size_t at = (channel->slots_first + channel->slots_count++) % CHANNEL_SLOTS;
    channel->slots[at] = (struct channel_slot){.call = call,
                                               .end = channel->position + channel->out.count,
                                               .is_head_only = call->is_head_only};
}

struct bytes channel_output(const struct channel *channel)
{
    if (channel->state != CHANNEL_OPEN || channel->out_sent == channel->out.count)
        return (struct bytes){0};
    return bytes_of(channel->out.data + channel->out_sent, channel->out.count - channel->out_sent);
}

void channel_sent(struct channel *channel, size_t count)
{
    channel->out_sent += count;
    size_t sent = channel->out_sent;
    if (sent == channel->out.count) {
        channel->position += sent;
        channel->out_sent = 0;
        blob_clear(&channel->out, CHANNEL_OUT_BYTES);
    } else if (sent >= CHANNEL_OUT_BYTES) {
        channel->position += sent;
        channel->out_sent = 0;
        blob_consume(&channel->out, sent);
    }
}

bool channel_has_sent(const struct channel *channel, const struct channel_slot *slot)
{
    return slot->end <= channel->position + channel->out_sent;
}

struct channel_slot channel_shift(struct channel *channel)
{
    struct channel_slot slot = channel->slots[channel->slots_first];
    channel->slots_first = (channel->slots_first + 1) % CHANNEL_SLOTS;
    channel->slots_count--;
    channel->is_reading = false;
    return slot;
}

void channel_give_up(struct channel *channel, const struct call *call)
{
    for (size_t i = 0; i < channel->slots_count; i++) {
        struct channel_slot *slot = &channel->slots[(channel->slots_first + i) % CHANNEL_SLOTS];
        if (slot->call == call)
            slot->call = NULL;
    }
}
