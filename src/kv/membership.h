/* Membership: what configuration a command asks for. Pure.
 *
 * The leader asks before it proposes one (docs/decisions/0009-snapshots-and-members.md); where a
 * command is applied, the same function says why no configuration came of it. One member at a time
 * changes (Raft thesis §4.1): so any two majorities, before and after, have a member in common. */
#ifndef MINIKV_KV_MEMBERSHIP_H
#define MINIKV_KV_MEMBERSHIP_H

#include "kv/command.h"
#include "types/member.h"

/* JOIN adds a learner, or gives a member another peer address if it proves to be the same one;
 * PROMOTE gives a learner a vote; REMOVE takes a member out. Requires one of these.
 *
 * registered   the identity recorded for the member that the command names; 0: none
 * out_changes  ST_OK: is `out_config` another one than `current`? False: it is so already
 * return       ST_OK, with both outputs; else nothing may be changed:
 *              ST_MEMBER_EXISTS   JOIN: the id or the peer address is another member's, or cannot
 *                                 be told to be this one's
 *              ST_MEMBERS_FULL    JOIN: LIMIT_MEMBERS are there
 *              ST_LAST_VOTER      REMOVE: of the only voter
 *              ST_UNKNOWN_MEMBER  PROMOTE
 *              ST_NOT_CAUGHT_UP   PROMOTE: its data directory is not registered */
MUST_CHECK enum status member_change(const struct config *current, uint64_t registered,
                                     const struct command *command, struct config *out_config,
                                     bool *out_changes);

#endif
