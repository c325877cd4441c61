#include "types/proposal.h"

void proposal_encode_header(const struct proposal *proposal, uint8_t out[PROPOSAL_HEADER_BYTES])
{
    store_u32(out, proposal->origin.node);
    store_u64(out + 4, proposal->origin.incarnation);
    store_u64(out + 12, proposal->origin.number);
    store_u64(out + 20, proposal->stamp_us);
}

enum status proposal_decode(struct bytes in, struct proposal *out_proposal)
{
    struct cursor cursor = cursor_of(in);
    struct proposal proposal;
    proposal.origin.node = cursor_u32(&cursor);
    proposal.origin.incarnation = cursor_u64(&cursor);
    proposal.origin.number = cursor_u64(&cursor);
    proposal.stamp_us = cursor_u64(&cursor);
    proposal.command = cursor.rest;
    if (cursor.is_short)
        return ST_SHORT;
    *out_proposal = proposal;
    return ST_OK;
}
