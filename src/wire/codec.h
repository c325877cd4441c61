/* Codec: raft messages and forwarded commands as bytes.
 *
 * Decoders check the shape of every field (ranges, order, limits), so that what they give out can
 * be stepped without further doubt. What decodes encodes to the same bytes.
 *
 * Format       docs/formats/peer.md */
#ifndef MINIKV_WIRE_CODEC_H
#define MINIKV_WIRE_CODEC_H

#include "base/buf.h"
#include "base/check.h"
#include "base/cursor.h"
#include "base/limits.h"
#include "base/status.h"
#include "types/address.h"
#include "types/message.h"

/* `leader_http`, the leader's committed client address or NULL, rides on appends. */
void message_encode(const struct message *message, const struct address *leader_http,
                    struct buf *out);

/* A decoded message and what it points to. */
struct message_in {
    struct message message;
    struct address leader_http;                  /* unset: none */
    struct entry *entries[LIMIT_APPEND_ENTRIES]; /* owned until message_in_release */
};
/* return   ST_OK; else nothing to release: ST_SHORT; ST_FORMAT for an unknown type or flag, an id,
 *          term, index or address out of range, entries that are not consecutive or not of rising
 *          terms, anything behind the last field; ST_LIMIT; ST_CORRUPT for an entry's checksum */
MUST_CHECK enum status message_decode(struct bytes in, struct message_in *out_message);
void message_in_release(struct message_in *message);

/* A command on its way to the leader (docs/routing.md). Taken only by the node it is addressed to,
 * in the cluster and term it is meant for. */
struct envelope {
    uint64_t cluster_id;
    node_id to;
    raft_term term;       /* the fence: append only while leading in this term */
    uint64_t number;      /* rising within the sender's incarnation; becomes origin.number */
    uint32_t deadline_ms; /* time left when sent */
    uint8_t hops;         /* forwards behind it, this one included: 1 */
    struct bytes command; /* borrowed; 1 … LIMIT_COMMAND_BYTES */
};
enum { ENVELOPE_HEADER_BYTES = 40 };
void envelope_encode(const struct envelope *envelope, struct buf *out);
/* The next envelope of a FORWARD body. ST_OK, ST_SHORT, ST_FORMAT, ST_LIMIT. */
MUST_CHECK enum status envelope_decode(struct cursor *in, struct envelope *out_envelope);

/* Why an envelope was not taken. The leader will never take this number again. */
struct envelope_refusal {
    raft_term term; /* the fence of the envelope */
    uint64_t number;
    enum status status; /* FENCED, BUSY, SHUTTING_DOWN, NO_SPACE, ALREADY_FORWARDED, …: any whose
                           effect is NONE; travels as its code word, not as its place in a table */
};
void envelope_refusal_encode(const struct envelope_refusal *refusal, struct buf *out);
/* The next refusal of a REFUSED body. ST_OK, ST_SHORT, ST_FORMAT. */
MUST_CHECK enum status envelope_refusal_decode(struct cursor *in,
                                               struct envelope_refusal *out_refusal);

#endif
