/* Envelopes and their refusals as bytes: commands on their way to the leader, and back. */
#include "wire/codec.h"
#include "wire/shape.h"

void envelope_encode(const struct envelope *envelope, struct buf *out)
{
    REQUIRE(envelope->command.count >= 1);
    REQUIRE(envelope->command.count <= LIMIT_COMMAND_BYTES);
    if (!buf_reserve(out, ENVELOPE_HEADER_BYTES + envelope->command.count))
        return;
    uint8_t *at = out->data + out->count;
    store_u64(at, envelope->cluster_id);
    store_u32(at + 8, envelope->to);
    store_u64(at + 12, envelope->term);
    store_u64(at + 20, envelope->number);
    store_u32(at + 28, envelope->deadline_ms);
    store_u32(at + 32, envelope->hops); /* the hops byte and its three zeros */
    store_u32(at + 36, (uint32_t)envelope->command.count);
    memcpy(at + ENVELOPE_HEADER_BYTES, envelope->command.data, envelope->command.count);
    out->count += ENVELOPE_HEADER_BYTES + envelope->command.count;
}

enum status envelope_decode(struct cursor *in, struct envelope *out_envelope)
{
    struct envelope envelope = {.cluster_id = cursor_u64(in)};
    envelope.to = cursor_u32(in);
    envelope.term = cursor_u64(in);
    envelope.number = cursor_u64(in);
    envelope.deadline_ms = cursor_u32(in);
    uint32_t hops = cursor_u32(in); /* with its padding */
    uint32_t command_bytes = cursor_u32(in);
    if (in->is_short)
        return ST_SHORT;
    if (envelope.cluster_id == 0 || !shape_is_node(envelope.to) || envelope.term == 0 ||
        !shape_is_number(envelope.term) || envelope.number == 0 ||
        !shape_is_number(envelope.number) || hops == 0 || hops > UINT8_MAX || command_bytes == 0)
        return ST_FORMAT;
    if (command_bytes > LIMIT_COMMAND_BYTES)
        return ST_LIMIT;
    envelope.hops = (uint8_t)hops;
    envelope.command = cursor_take(in, command_bytes);
    if (in->is_short)
        return ST_SHORT;
    *out_envelope = envelope;
    return ST_OK;
}

void envelope_refusal_encode(const struct envelope_refusal *refusal, struct buf *out)
{
    const struct status_info *info = status_info(refusal->status);
    REQUIRE(info->effect == EFFECT_NONE);
    struct bytes code = bytes_of_text(info->code);
    INVARIANT(code.count <= UINT8_MAX);
    buf_put_u64(out, refusal->term);
    buf_put_u64(out, refusal->number);
    buf_put_u8(out, (uint8_t)code.count);
    buf_put(out, code);
}

/* Whether `code` names a status that a refusal may carry. */
static bool find_status(struct bytes code, enum status *out_status)
{
    for (unsigned i = 0; i < STATUS_COUNT; i++) {
        const struct status_info *info = status_info((enum status)i);
        if (info->effect == EFFECT_NONE && bytes_equal_text(code, info->code)) {
            *out_status = (enum status)i;
            return true;
        }
    }
    return false;
}

enum status envelope_refusal_decode(struct cursor *in, struct envelope_refusal *out_refusal)
{
    struct envelope_refusal refusal = {.term = cursor_u64(in)};
    refusal.number = cursor_u64(in);
    struct bytes code = cursor_take(in, cursor_u8(in));
    if (in->is_short)
        return ST_SHORT;
    if (refusal.term == 0 || !shape_is_number(refusal.term) || refusal.number == 0 ||
        !shape_is_number(refusal.number) || !find_status(code, &refusal.status))
        return ST_FORMAT;
    *out_refusal = refusal;
    return ST_OK;
}
