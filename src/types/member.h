/* Member: who belongs to the cluster, and where each can be reached.
 *
 * Two records with different rules. The *configuration* (who votes, at which peer address) counts
 * from the moment it is appended (Raft thesis §4.1) and lives in raft. The *directory* (client
 * addresses and identities) is an attribute, effective at apply, and lives in kv. */
#ifndef MINIKV_TYPES_MEMBER_H
#define MINIKV_TYPES_MEMBER_H

#include "base/buf.h"
#include "base/check.h"
#include "base/cursor.h"
#include "base/diag.h"
#include "types/address.h"
#include "types/entry.h"
#include "types/ids.h"

struct member {
    node_id id;
    bool is_voter; /* else a learner: gets the log, counts for nothing */
    struct address peer;
};

struct config {
    uint32_t members_count;
    struct member members[LIMIT_MEMBERS]; /* rising id */
};

const struct member *config_find(const struct config *config, node_id id); /* NULL: not a member */
uint32_t config_voters_count(const struct config *config);
/* Adds a member, keeping the order. ST_LIMIT when full, ST_BAD_REQUEST when the id is taken or 0.
 */
MUST_CHECK enum status config_add(struct config *config, const struct member *member);
/* Members, all of them voters, as people type them: "1=10.0.0.1:7001,2=10.0.0.2:7001".
 * return   ST_OK; ST_BAD_REQUEST with `error` */
MUST_CHECK enum status config_parse(const char *text, struct config *out_config,
                                    struct errtext *error);
void config_encode(const struct config *config, struct buf *out);
/* ST_OK; ST_SHORT; ST_FORMAT for ids out of order or range, or an unusable address. */
MUST_CHECK enum status config_decode(struct bytes in, struct config *out_config);
/* Of an ENTRY_CONFIG: who asked for the change (types/proposal.h), and then the configuration.
 * return   ST_OK; ST_SHORT; ST_FORMAT */
MUST_CHECK enum status entry_config(const struct entry *entry, struct config *out_config);

/* The cluster id, made at bootstrap from the initial members. No secret; it
 * tells clusters apart. Never 0. */
uint64_t config_cluster_id(const struct config *config);

#endif
