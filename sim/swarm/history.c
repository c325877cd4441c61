/* Registers: what was done with each and what came of it, as linear.h wants to have it. */
#include <stdio.h>

#include "sim/swarm/swarm.h"

void history_key(unsigned key, char out[HISTORY_KEY_BYTES])
{
    (void)snprintf(out, HISTORY_KEY_BYTES, "register-%u", key);
}

/* Digits at the front; what stands behind is padding. */
uint64_t history_number(struct bytes value)
{
    uint64_t number = 0;
    for (size_t i = 0; i < value.count && value.data[i] >= '0' && value.data[i] <= '9'; i++)
        number = number * 10 + (uint64_t)(value.data[i] - '0');
    return number;
}

void history_put_value(const struct swarm *swarm, const struct change *change, struct buf *out)
{
    buf_put_decimal(out, change->value);
    size_t padding = change->value * 7919 % swarm->plan.value_bytes_max;
    for (size_t i = 0; i < padding; i++)
        buf_put_u8(out, '.');
}

struct change history_draw_change(struct swarm *swarm, struct prng *prng, unsigned key)
{
    const struct sighting *last = &swarm->registers[key].last;
    struct change change = {.op = prng_below(prng, 4) == 0 ? COMMAND_DELETE : COMMAND_PUT};
    uint64_t kind = prng_below(prng, 8);
    if (kind < 3 && last->revision != 0) {
        change.condition = CONDITION_REVISION;
        change.condition_revision = last->revision;
    } else if (kind < 4 && change.op == COMMAND_PUT) {
        change.condition = CONDITION_ABSENT;
    }
    if (change.op == COMMAND_PUT)
        change.value = ++swarm->value_last;
    return change;
}

/* ---- asked ---- */

static size_t begin(struct swarm *swarm, unsigned key, const struct linear_op *op)
{
    struct register_history *history = &swarm->registers[key];
    struct linear_op *slot =
        swarm_append((void **)&history->ops, &history->ops_count, sizeof history->ops[0]);
    *slot = *op;
    slot->outcome = LINEAR_UNKNOWN;
    slot->called = ++swarm->moment;
    slot->answered = LINEAR_NEVER;
    return history->ops_count - 1;
}

size_t history_begin_read(struct swarm *swarm, unsigned key)
{
    struct linear_op op = {.kind = LINEAR_READ};
    return begin(swarm, key, &op);
}

size_t history_begin_change(struct swarm *swarm, unsigned key, const struct change *change)
{
    bool is_swap = change->condition != CONDITION_NONE;
    bool names_value = change->condition == CONDITION_REVISION;
    struct linear_op op = {.kind = is_swap ? LINEAR_SWAP : LINEAR_WRITE,
                           .expected = names_value ? swarm->registers[key].last.value : 0,
                           .value = change->value};
    return begin(swarm, key, &op);
}

/* ---- answered ---- */

static void see(struct register_history *history, uint64_t revision, uint64_t value)
{
    if (revision > history->last.revision)
        history->last = (struct sighting){revision, value};
}

void history_end_read(struct swarm *swarm, unsigned key, size_t at, uint64_t revision,
                      uint64_t value)
{
    struct register_history *history = &swarm->registers[key];
    struct linear_op *op = &history->ops[at];
    op->outcome = LINEAR_DONE;
    op->answered = ++swarm->moment;
    op->expected = value;
    see(history, revision, value);
}

void history_end_change(struct swarm *swarm, unsigned key, size_t at, enum status status,
                        uint64_t revision)
{
    struct register_history *history = &swarm->registers[key];
    struct linear_op *op = &history->ops[at];
    if (op->outcome != LINEAR_UNKNOWN)
        return;
    bool is_done = status == ST_OK;
    if (!is_done && status != ST_CONDITION_FAILED)
        return;
    op->outcome = is_done ? LINEAR_DONE : LINEAR_REFUSED;
    op->answered = ++swarm->moment;
    if (is_done && op->value != 0)
        see(history, revision, op->value);
}

void history_forget_change(struct swarm *swarm, unsigned key, size_t at)
{
    struct linear_op *op = &swarm->registers[key].ops[at];
    if (op->outcome != LINEAR_UNKNOWN)
        return;
    *op = (struct linear_op){.kind = LINEAR_READ,
                             .outcome = LINEAR_UNKNOWN,
                             .called = op->called,
                             .answered = LINEAR_NEVER};
}
