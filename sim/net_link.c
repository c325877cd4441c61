/* Links: when a segment arrives. What TCP repairs below is here only as the time it takes. */
#include "sim/net.h"

enum { RETRY_US = 200 * 1000, RETRIES_MAX = 6 };

static const struct world_link *settings_of(struct world *world, unsigned from, unsigned to)
{
    return &link_between(world, from, to)->settings;
}

void world_link_set(struct world *world, unsigned from, unsigned to, const struct world_link *link)
{
    REQUIRE(from <= WORLD_MACHINES_MAX && to <= WORLD_MACHINES_MAX);
    REQUIRE(link->delay_min <= link->delay_max);
    link_between(world, from, to)->settings = *link;
}

void world_link_get(const struct world *world, unsigned from, unsigned to,
                    struct world_link *out_link)
{
    *out_link = world->links[from][to].settings;
}

void world_link_set_all(struct world *world, const struct world_link *link)
{
    for (unsigned from = 0; from <= WORLD_MACHINES_MAX; from++)
        for (unsigned to = 0; to <= WORLD_MACHINES_MAX; to++)
            world_link_set(world, from, to, link);
}

/* Each loss of the same segment doubles the time until it is sent again. */
static time_us draw_losses(struct world *world, unsigned from, unsigned to,
                           const struct world_link *link)
{
    time_us retry = link->retry_min != 0 ? link->retry_min : RETRY_US, late = 0;
    for (unsigned i = 0; i < RETRIES_MAX; i++) {
        if (!chance_hits(world, CHANCE_LOSS, from, link->loss_chance))
            break;
        note_fault(world, WORLD_FAULT_LOSS, from, to, NULL);
        late += retry << i;
    }
    return late;
}

static time_us draw_delay(struct world *world, unsigned from, unsigned to)
{
    const struct world_link *link = settings_of(world, from, to);
    time_us delay = link->delay_min;
    if (link->delay_max > link->delay_min)
        delay += chance_below(world, CHANCE_DELAY, from, link->delay_max - link->delay_min + 1);
    if (chance_hits(world, CHANCE_SPIKE, from, link->spike_chance)) {
        delay += chance_below(world, CHANCE_SPIKE, from, link->spike_max + 1);
        note_fault(world, WORLD_FAULT_SPIKE, from, to, NULL);
    }
    if (link->loss_chance != 0)
        delay += draw_losses(world, from, to, link);
    return delay;
}

time_us net_arrival(struct env_stream *to, size_t bytes_count)
{
    struct world *world = to->world;
    struct link_state *link = link_between(world, to->other_machine, to->machine);
    time_us leaves = world->now;
    if (link->settings.bytes_per_second != 0) {
        link->free_at = MAX(link->free_at, world->now) +
                        bytes_count * UINT64_C(1000000) / link->settings.bytes_per_second;
        leaves = link->free_at;
    }
    time_us at = leaves + draw_delay(world, to->other_machine, to->machine);
    to->last_arrival = MAX(to->last_arrival, at);
    return to->last_arrival;
}

time_us net_dial_arrival(const struct env_stream *from)
{
    return from->world->now + draw_delay(from->world, from->machine, from->other_machine);
}

size_t net_window(const struct env_stream *from)
{
    size_t window = settings_of(from->world, from->machine, from->other_machine)->window_bytes;
    return window != 0 ? window : NET_WINDOW_BYTES;
}

bool net_draws_reset(const struct env_stream *from)
{
    const struct world_link *link = settings_of(from->world, from->machine, from->other_machine);
    return chance_hits(from->world, CHANCE_RESET, from->machine, link->reset_chance);
}

size_t net_draw_split(const struct env_stream *from, size_t bytes_count)
{
    const struct world_link *link = settings_of(from->world, from->machine, from->other_machine);
    if (bytes_count < 2 ||
        !chance_hits(from->world, CHANCE_SPLIT, from->machine, link->split_chance))
        return 0;
    note_fault(from->world, WORLD_FAULT_SPLIT, from->machine, from->other_machine, NULL);
    return 1 + (size_t)chance_below(from->world, CHANCE_SPLIT, from->machine, bytes_count - 1);
}

time_us net_draw_retry(struct world *world, unsigned from, unsigned to)
{
    time_us retry_max = settings_of(world, from, to)->retry_max;
    return retry_max == 0 ? 0 : chance_below(world, CHANCE_RETRY, from, retry_max + 1);
}
