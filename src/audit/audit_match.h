/* Audit match: holds the logs of nodes against each other.
 *
 * Where two logs have an entry of the same index and term, it is the same entry and so are all
 * before it (Log Matching, Raft §5.3); committed entries are the same everywhere (State Machine
 * Safety); and the same log makes the same state. Different entries are allowed only at the end,
 * where at least one of the two is not committed. */
#ifndef MINIKV_AUDIT_AUDIT_MATCH_H
#define MINIKV_AUDIT_AUDIT_MATCH_H

#include "audit/audit_replay.h"

void audit_match_pair(const struct audit_replay *a, const struct audit_replay *b,
                      struct audit_report *report);
/* The highest index up to which all logs are the same; 0: none. */
raft_index audit_match_common(const struct audit_replay *replays, size_t replays_count);

#endif
