/* Snapshots: they stand for the beginning of a log that is no longer there.
 *
 * 1. The node tells which snapshot its disk has, and how far back its log reaches (COMPACTED).
 * 2. A leader that lacks the entries for a peer offers that snapshot with each heartbeat. If it has
 *    none, or none that its own log continues, it asks its node to take one.
 * 3. A follower that lacks the snapshot's entry says no, and its node fetches the snapshot.
 * 4. The node has it on disk (INSTALLED): the log begins anew behind it, unless it holds that very
 *    entry; then what follows stays (Raft §7).
 *
 * What can go wrong: an offer or its answer gets lost, so both are repeated; a snapshot arrives
 * that is older than what is committed here, and is ignored (FAULTS P1); it holds what a
 * majority has not been seen to have here, but whoever offered it had: so its entry is committed,
 * and in the log of this term's leader (Raft §5.4.3). */
#include "raft/raft_internal.h"

void raft_snapshot_on_compacted(struct raft *raft, const struct raft_event *event)
{
    struct entry_id last = event->compacted.snapshot;
    REQUIRE(last.index > 0);
    REQUIRE(last.index <= raft->commit);
    REQUIRE(event->compacted.log_first <= last.index + 1);
    if (raft_log_knows(&raft->log, last.index))
        REQUIRE(entry_id_equal(raft_log_id(&raft->log, last.index), last));
    raft->snapshot = (struct raft_snapshot){
        .last = last, .bytes = event->compacted.bytes, .log_first = event->compacted.log_first};
    for (size_t i = 0; i < raft->peers_count; i++)
        if (raft->peers[i].state == RAFT_PEER_SNAPSHOT)
            raft->peers[i].is_waiting = false; /* hears of it at once */
}

/* Where it ends the log goes on, so all that matters is whether it leads further. */
bool raft_snapshot_serves(const struct raft *raft, const struct raft_peer *peer)
{
    return raft->snapshot.last.index >= peer->next;
}

bool raft_snapshot_is_wanted(const struct raft *raft)
{
    if (raft->role != RAFT_ROLE_LEADER)
        return false;
    for (size_t i = 0; i < raft->peers_count; i++)
        if (raft->peers[i].state == RAFT_PEER_SNAPSHOT &&
            !raft_snapshot_serves(raft, &raft->peers[i]))
            return true;
    return false;
}

/* Its entry is this log's too: nothing is lost, and nothing new is learnt but that all up to there
 * is committed. */
static void keep_tail(struct raft *raft, struct entry_id last)
{
    if (raft->role !=
        RAFT_ROLE_LEADER) /* who belongs to the cluster may be news: no candidate goes on */
        raft_become_follower(raft, raft->hard_state.term, raft->leader);
    raft_commit_to(raft, last.index);
    raft_log_install(&raft->log, last);
    raft->mark.commit = raft->commit; /* R16: not counted */
}

/* What this log holds instead was never committed, and who belongs to the cluster is news. */
static void begin_anew(struct raft *raft, struct entry_id last, const struct config *config)
{
    INVARIANT(raft->role != RAFT_ROLE_LEADER); /* R18 */
    raft_become_follower(raft, raft->hard_state.term, raft->leader);
    raft_log_install(&raft->log, last);
    raft->commit = last.index;
    raft->snapshot = (struct raft_snapshot){.log_first = last.index + 1};
    raft_change_on_installed(raft, last.index, config);
}

void raft_snapshot_on_installed(struct raft *raft, struct entry_id last,
                                const struct config *config)
{
    REQUIRE(last.term <= raft->hard_state.term);
    if (last.index <= raft->commit)
        return;
    if (raft_log_has(&raft->log, last))
        keep_tail(raft, last);
    else
        begin_anew(raft, last, config);
    raft->applied = last.index;
    if (raft->role == RAFT_ROLE_LEADER)
        return;
    raft->follow.verified = MAX(raft->follow.verified, last.index);
    raft_follow_on_durable(raft);
    ENSURE(raft->log.base.index == raft->commit);
}
