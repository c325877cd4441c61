/* Directory: who belongs to the cluster, as applied, and what each member has announced of itself.
 *
 * The configuration entry sets the members; commands add the client address and the identity. What
 * is known of a member stays while it is one, and goes with it. */
#ifndef MINIKV_KV_DIRECTORY_H
#define MINIKV_KV_DIRECTORY_H

#include "kv/kv.h"

struct directory {
    struct config config;
    struct kv_member members[LIMIT_MEMBERS]; /* config.members_count, in its order */
    uint64_t hash;                           /* its part of the digest */
};

void directory_init(struct directory *directory);
void directory_set_config(struct directory *directory, const struct config *config);
/* ST_OK, ST_UNKNOWN_MEMBER. An unset address takes the announced one away. */
MUST_CHECK enum status directory_announce(struct directory *directory, node_id id,
                                          const struct address *http);
/* ST_OK, also when it is recorded already; ST_UNKNOWN_MEMBER; ST_ADDRESS_MISMATCH when another
 * identity is. */
MUST_CHECK enum status directory_register(struct directory *directory, node_id id,
                                          uint64_t identity);
const struct kv_member *directory_find(const struct directory *directory, node_id id);
/* The members, one behind the other, without their count: docs/formats/state.md. */
void directory_encode(const struct directory *directory, struct buf *out);
/* How many bytes at the start of `in` are a member: at least, as long as it is more than there are.
 * Only what is within the limits is counted in. */
size_t directory_member_bytes(struct bytes in);
/* Adds a member, as directory_encode writes it, above all that are there.
 * return   ST_OK; ST_SHORT; ST_LIMIT for a long address, or one member too many; ST_FORMAT for ids
 *          out of order or range, an address in another form, or a role that is none */
MUST_CHECK enum status directory_load(struct directory *directory, struct bytes encoded);
/* Computed anew. */
uint64_t directory_hash(const struct directory *directory);

#endif
