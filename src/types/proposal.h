/* Proposal: the head of every entry but a no-op: who asked, and when by the log's own clock.
 *
 * The origin is stored with the entry so that the node that accepted a request recognises its own
 * command when it applies it, and answers from there, wherever the leader was (docs/routing.md). */
#ifndef MINIKV_TYPES_PROPOSAL_H
#define MINIKV_TYPES_PROPOSAL_H

#include "base/buf.h"
#include "base/check.h"
#include "base/cursor.h"
#include "base/status.h"
#include "types/ids.h"

/* Which request of which life of which node. `number` counts from 1 within an incarnation. */
struct origin {
    node_id node;
    uint64_t incarnation; /* random, drawn at each start of the process */
    uint64_t number;
};

struct proposal {
    struct origin origin;
    uint64_t stamp_us;    /* log time: the last stamp in the log plus monotonic time since then */
    struct bytes command; /* borrowed; encoded kv/command.h, or a configuration (types/member.h) */
};

enum { PROPOSAL_HEADER_BYTES = 28 };

void proposal_encode_header(const struct proposal *proposal, uint8_t out[PROPOSAL_HEADER_BYTES]);
/* ST_OK or ST_SHORT. `command` borrows from `in`. */
MUST_CHECK enum status proposal_decode(struct bytes in, struct proposal *out_proposal);

#endif
