/* Commit: what a majority has on disk, and what follows from it. */
#include "raft/raft_internal.h"

void raft_commit_to(struct raft *raft, raft_index index)
{
    REQUIRE(index <= raft_log_last(&raft->log).index);
    if (index <= raft->commit)
        return;
    if (raft->role == RAFT_ROLE_LEADER)
        for (raft_index i = raft->commit + 1; i <= index; i++)
            raft->lead.uncommitted_bytes -= entry_bytes(raft_log_entry(&raft->log, i));
    raft->commit = index;
    raft_change_on_commit(raft);
}

static uint64_t match_of(const struct raft_peer *peer)
{
    return peer->match;
}

/* The leader counts its own disk like any other. Only entries of its own term are committed by
 * counting, all before them with those (Raft §5.4.2, figure 8). */
void raft_commit_by_count(struct raft *raft)
{
    REQUIRE(raft->role == RAFT_ROLE_LEADER);
    raft_index index = raft_majority(raft, raft->log.durable, match_of);
    if (index > raft->commit && raft_log_id(&raft->log, index).term == raft->hard_state.term)
        raft_commit_to(raft, index);
}
