/* Members: who belongs to the cluster, as the committed log says, and the operators who change it.
 *
 * A site is in or out for its operator; whether it is a member is what the log says, which may
 * differ: a request that had no answer may be carried out later.
 *
 * Ownership    the swarm owns what is in here
 * Calling      one thread */
#ifndef MINIKV_SIM_SWARM_MEMBERS_H
#define MINIKV_SIM_SWARM_MEMBERS_H

#include "sim/swarm/swarm.h"

/* ---- who is a member ---- */

/* The newest committed configuration. */
const struct config *members_now(const struct swarm *swarm);
bool members_has(const struct swarm *swarm, unsigned id);
/* The next index is committed; `entry` NULL: it is on the disk of this site only. */
void members_on_committed(const struct site *site, raft_index index, const struct entry *entry);
/* By which its node, if it leads, counts majorities while its log ends with `last`. */
struct config members_in_force(const struct site *site, raft_index last);
/* Whether a majority of all that may come to have a vote has its data, also without this one. */
bool members_can_do_without(const struct swarm *swarm, unsigned id);
/* Nothing is asked for, open or may yet come about. */
bool members_are_settled(const struct swarm *swarm);

/* ---- operators ---- */

void members_begin(struct swarm *swarm);
void members_strike(struct swarm *swarm);
/* The machine whose disk is gone or damaged gets another one, some time. */
void members_replace(struct site *site);
void members_due(struct swarm *swarm);
time_us members_next(const struct swarm *swarm);
void members_on_answer(const struct operation *operation, enum status status);
/* A member that can tell a fresh node what it has to know; NULL: none is there. */
const struct site *members_find_guide(const struct swarm *swarm);
struct config members_hint(const struct site *at, unsigned id);

/* ---- the second phase ---- */

void members_heal(struct swarm *swarm);
/* A healed member: must serve. */
bool members_are_owed(const struct swarm *swarm, unsigned id);
/* A healed machine is not yet a member, or has no vote yet. */
bool members_wait(const struct swarm *swarm);

#endif
