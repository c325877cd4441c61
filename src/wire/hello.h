/* Hello: how two nodes make sure whom they talk to, before anything else.
 *
 * The dialling side says who it is and whom it means; the other side welcomes or refuses. A link
 * carries messages in one direction, from the side that dialled; the other direction carries only
 * the welcome, pongs, refusals of envelopes and pieces of snapshots.
 *
 * Format       docs/formats/peer.md */
#ifndef MINIKV_WIRE_HELLO_H
#define MINIKV_WIRE_HELLO_H

#include "base/buf.h"
#include "base/check.h"
#include "base/cursor.h"
#include "base/status.h"
#include "types/address.h"
#include "types/ids.h"

enum { WIRE_VERSION = 1 };

struct hello {
    uint32_t version;
    uint64_t cluster_id;
    node_id from;
    node_id to;
    uint64_t identity;    /* of the sender's data directory (storage/meta.h) */
    uint64_t incarnation; /* random, of the sender's process */
    uint64_t history;     /* of the sender's log (struct kv_stats); 0: it has none yet */
    struct address peer;  /* where others reach it, as its own log says; unset: that says nothing */
};

/* The answer; also tells what became of envelopes that an older link had carried. */
struct welcome {
    uint64_t incarnation; /* of the answering process */
    raft_term term;       /* in which it counts the numbers below; 0: it leads in no term */
    uint64_t taken;       /* highest envelope number taken from the dialling incarnation in it */
};

enum refusal {
    REFUSAL_VERSION = 1, /* speaks another protocol version */
    REFUSAL_CLUSTER,     /* belongs to another cluster */
    REFUSAL_ADDRESSEE,   /* meant another node */
    REFUSAL_SELF,        /* claims this node's own id */
    REFUSAL_MEMBER,      /* is no member */
    REFUSAL_IDENTITY,    /* its data directory is not the one recorded: a wiped or copied disk */
    REFUSAL_HISTORY /* another log of the same founders, who have begun anew with empty disks */
};
/* Static text for a log line, "another cluster"; never NULL. */
const char *refusal_text(enum refusal refusal);

enum { WELCOME_BYTES = 24, REFUSE_BYTES = 1 };

void hello_encode(const struct hello *hello, struct buf *out);
/* return   ST_OK; ST_SHORT; ST_FORMAT for an id or address out of range or anything behind it. Of
 *          another version only `version` is known: ST_OK with all other fields 0, so that the
 *          sender can be told why it is refused */
MUST_CHECK enum status hello_decode(struct bytes in, struct hello *out_hello);
void welcome_encode(const struct welcome *welcome, struct buf *out);
/* return   ST_OK; ST_SHORT; ST_FORMAT for a term out of range or anything behind the last field */
MUST_CHECK enum status welcome_decode(struct bytes in, struct welcome *out_welcome);
void refusal_encode(enum refusal refusal, struct buf *out);
/* return   ST_OK; ST_SHORT; ST_FORMAT for an unknown reason or anything behind it */
MUST_CHECK enum status refusal_decode(struct bytes in, enum refusal *out_refusal);

#endif
