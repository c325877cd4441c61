/* Model, from within: what the model*.c files share. */
#ifndef MINIKV_SIM_SWARM_MODEL_INTERNAL_H
#define MINIKV_SIM_SWARM_MODEL_INTERNAL_H

#include "sim/swarm/model.h"

/* A zeroed item at the end of an array that doubles. */
void *model_append(void **array, size_t *count, size_t item_bytes);

/* ---- model_keys.c ---- */

/* One that is not there counts as well; it moves when another one comes. */
struct model_key *model_key_of(struct model *model, struct bytes key);
void model_set_value(struct model *model, struct model_key *key, struct bytes value, uint64_t lease,
                     uint64_t revision);
/* False: there was none. */
bool model_delete_key(struct model *model, struct model_key *key, uint64_t revision);
struct kv_range;
/* The place in model->order of the first key that is there, from `at` on, and in the range, but for
 * what `after` and the order say; keys_count: none. */
size_t model_next_in(const struct model *model, const struct kv_range *range, size_t at);

bool model_has_lease(const struct model *model, uint64_t lease);
void model_grant(struct model *model, const struct command *command, raft_index index);
void model_revoke(struct model *model, uint64_t lease);
void model_renew(struct model *model, struct bytes leases);
void model_end_leases(struct model *model, uint64_t cutoff_us);

/* Of the transaction that has made the newest revision; copied. */
void model_note_results(struct model *model, struct bytes results);
/* Behind each command: notes what a new revision has brought. */
void model_end_command(struct model *model, uint64_t revision_before);

/* ---- model_txn.c ---- */

/* What it came to, if it changed anything, is with its revision. */
struct model_result model_carry_out(struct model *model, struct bytes txn);

#endif
