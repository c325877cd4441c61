#include "audit/audit_match.h"

static bool is_same_entry(const struct audit_step *a, const struct audit_step *b)
{
    bool is_known = !a->is_base && !b->is_base;
    return a->term == b->term && (!is_known || a->checksum == b->checksum);
}

/* The last index up to which both have the same entries. */
static raft_index agree_until(const struct audit_replay *a, const struct audit_replay *b)
{
    raft_index first = MAX(a->first, b->first);
    raft_index last = MIN(audit_replay_last(a), audit_replay_last(b));
    for (raft_index index = first; index <= last; index++)
        if (!is_same_entry(audit_replay_step(a, index), audit_replay_step(b, index)))
            return index - 1;
    return last;
}

static struct audit_finding finding_at(enum audit_kind kind, const struct audit_replay *replay,
                                       raft_index index)
{
    return (struct audit_finding){.kind = kind, .node = replay->meta.node, .index = index};
}

/* Whose entries, from the first that differ on, are the ones that were never committed: where
 * neither log knows, the older ones, which can only give way (Raft §5.4). */
static const struct audit_replay *loser_of(const struct audit_replay *a,
                                           const struct audit_replay *b, raft_index index)
{
    if (a->log.commit >= index)
        return b;
    if (b->log.commit >= index)
        return a;
    return audit_replay_step(a, index)->term < audit_replay_step(b, index)->term ? a : b;
}

/* The entries of `index`, the first that differ. */
static void judge_difference(const struct audit_replay *a, const struct audit_replay *b,
                             raft_index index, struct audit_report *report)
{
    raft_term term = audit_replay_step(a, index)->term;
    if (term == audit_replay_step(b, index)->term)
        audit_report_add(report, finding_at(AUDIT_LOGS, a, index),
                         "node %u has another entry of the same term %llu", b->meta.node,
                         (unsigned long long)term);
    if (a->log.commit >= index && b->log.commit >= index) {
        audit_report_add(report, finding_at(AUDIT_LOGS, a, index),
                         "node %u has another entry, and both are committed", b->meta.node);
        return;
    }
    const struct audit_replay *loser = loser_of(a, b, index);
    audit_report_add(report, finding_at(AUDIT_TAIL, loser, index),
                     "from here on not the entries of node %u; they were not committed here",
                     loser == a ? b->meta.node : a->meta.node);
}

/* Behind a difference the same index and term must not come again (Raft §5.3). */
static void judge_rest(const struct audit_replay *a, const struct audit_replay *b, raft_index from,
                       struct audit_report *report)
{
    raft_index last = MIN(audit_replay_last(a), audit_replay_last(b));
    for (raft_index index = from; index <= last; index++)
        if (audit_replay_step(a, index)->term == audit_replay_step(b, index)->term) {
            audit_report_add(report, finding_at(AUDIT_LOGS, a, index),
                             "of the same term as at node %u, behind entries that differ",
                             b->meta.node);
            return;
        }
}

void audit_match_pair(const struct audit_replay *a, const struct audit_replay *b,
                      struct audit_report *report)
{
    raft_index until = agree_until(a, b);
    for (raft_index index = MAX(a->first, b->first); index <= until; index++)
        if (audit_replay_step(a, index)->digest != audit_replay_step(b, index)->digest) {
            audit_report_add(report, finding_at(AUDIT_STATES, a, index),
                             "the state differs from that of node %u, after the same entries",
                             b->meta.node);
            break;
        }
    raft_index last = MIN(audit_replay_last(a), audit_replay_last(b));
    if (until == last)
        return;
    judge_difference(a, b, until + 1, report);
    judge_rest(a, b, until + 2, report);
}

raft_index audit_match_common(const struct audit_replay *replays, size_t replays_count)
{
    REQUIRE(replays_count > 0);
    raft_index first = replays[0].first, common = audit_replay_last(&replays[0]);
    for (size_t i = 1; i < replays_count; i++) {
        first = MAX(first, replays[i].first);
        common = MIN(common, agree_until(&replays[0], &replays[i]));
    }
    return common >= first ? common : 0;
}
