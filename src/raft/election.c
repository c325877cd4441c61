/* Elections: who stands when, and who votes for whom.
 *
 * 1. A voter that has no leader for one patience asks everybody: would you vote for me in the next
 *    term? (pre-vote, thesis §9.6). Nothing changes by asking or answering.
 * 2. With a majority of yes it enters that term, votes for itself and asks for real.
 * 3. With a majority again it leads.
 *
 * What can go wrong: a node that hears a leader refuses, so that one with a bad link cannot depose
 * it (thesis §4.2.3); two that stand at once may split the votes, so patience is random and, of two
 * that ask at the same moment, one steps aside. When the leader's process dies its links close:
 * then patience is milliseconds (docs/decisions), which no silent loss ever triggers. */
#include "raft/raft_internal.h"

/* Patience differs by up to this share of the timeout. Raft §9.3 has votes split where it differs
 * by less than it takes to ask; who has a pre-vote asks, and of two one steps aside, so half of it
 * is plenty, and everybody waits less for a leader that fell silent. */
enum { SPREAD_SHARE = 2 };

/* After the leader's link died: the first question waits for a random part of FIRST, so that not
 * all ask at once; a refused one is asked again. Refusals end when the others have seen it too. */
enum {
    FAST_FIRST_US = 8 * TIME_US_PER_MS,
    FAST_PLACE_US = 2 * TIME_US_PER_MS, /* between those who start together */
    FAST_AGAIN_MIN_US = 5 * TIME_US_PER_MS,
    FAST_AGAIN_SPREAD_US = 10 * TIME_US_PER_MS
};

static bool is_fast(const struct raft *raft)
{
    return raft->now < raft->election.fast_until;
}

static time_us fast_again(struct raft *raft)
{
    return raft->now + FAST_AGAIN_MIN_US + prng_below(&raft->prng, FAST_AGAIN_SPREAD_US + 1);
}

void raft_election_rest(struct raft *raft)
{
    time_us election = raft->options.election;
    raft->election.patience = election + prng_below(&raft->prng, election / SPREAD_SHARE);
    raft->election.at = raft->now + raft->election.patience;
}

void raft_election_pause(struct raft *raft)
{
    raft_election_rest(raft);
    if (is_fast(raft))
        raft->election.at = fast_again(raft);
}

void raft_election_hear_leader(struct raft *raft)
{
    raft->leader_heard_at = raft->now;
    raft->election.at = raft->now + raft->election.patience;
    raft->election.fast_until = 0;
}

/* A leader hears itself: check-quorum sees to it that it stops when nobody else does. */
bool raft_election_is_held(const struct raft *raft)
{
    if (raft->role == RAFT_ROLE_LEADER)
        return true;
    return raft->leader != NODE_NONE && raft->now < raft->leader_heard_at + raft->options.election;
}

static void ask(struct raft *raft, node_id peer, bool is_transfer)
{
    bool is_pre_vote = raft->role == RAFT_ROLE_PRE_CANDIDATE;
    struct message *message = raft_send(raft, is_pre_vote ? MESSAGE_PRE_VOTE : MESSAGE_VOTE, peer);
    message->term += is_pre_vote;
    message->vote.last = raft_log_last(&raft->log);
    message->vote.is_transfer = is_transfer;
}

static void ask_all(struct raft *raft, bool is_transfer)
{
    for (size_t i = 0; i < raft->peers_count; i++)
        if (raft->peers[i].is_voter)
            ask(raft, raft->peers[i].id, is_transfer);
}

/* Of a voter whose link is down no answer is waited for; should one come, it counts. */
static enum raft_outcome count_votes(const struct raft *raft)
{
    size_t granted_count = raft_is_voter(raft, raft->options.self); /* its own */
    size_t refused_count = 0;
    for (size_t i = 0; i < raft->peers_count; i++) {
        const struct raft_peer *peer = &raft->peers[i];
        if (!peer->is_voter)
            continue;
        bool is_silent = peer->vote == RAFT_VOTE_UNKNOWN && peer->is_gone;
        granted_count += peer->vote == RAFT_VOTE_GRANTED;
        refused_count += peer->vote == RAFT_VOTE_REFUSED || is_silent;
    }
    return raft_quorum_outcome(config_voters_count(raft_config(raft)), granted_count,
                               refused_count);
}

static void decide(struct raft *raft)
{
    bool is_pre_vote = raft->role == RAFT_ROLE_PRE_CANDIDATE;
    switch (count_votes(raft)) {
    case RAFT_OUTCOME_OPEN:
        break;
    case RAFT_OUTCOME_WON:
        if (is_pre_vote)
            raft_election_stand(raft, false);
        else
            raft_lead_start(raft);
        break;
    case RAFT_OUTCOME_LOST: /* a pre-candidate's next question is due in any case */
        if (!is_pre_vote && is_fast(raft))
            raft->election.at = fast_again(raft);
        break;
    }
}

void raft_election_start(struct raft *raft)
{
    raft_become_pre_candidate(raft);
    raft_election_pause(raft);
    ask_all(raft, false);
    decide(raft);
}

void raft_election_stand(struct raft *raft, bool is_transfer)
{
    raft_become_candidate(raft);
    raft_election_rest(raft);
    ask_all(raft, is_transfer);
    decide(raft);
}

/* Raft §5.4.1. A node with an empty disk does not know what it may have promised with another, so
 * it votes for nobody before it has a log (FAULTS M10). */
static bool is_up_to_date(const struct raft *raft, struct entry_id last)
{
    struct entry_id own = raft_log_last(&raft->log);
    return own.index != 0 && entry_id_compare(last, own) >= 0;
}

/* Whoever has promised a pre-vote gives that candidate a moment. Of two that ask at once the one
 * with the lower id, or the shorter log, steps aside; else they would split the votes. */
static void stand_back(struct raft *raft, const struct message *message)
{
    if (raft->role == RAFT_ROLE_PRE_CANDIDATE) {
        bool is_equal = entry_id_equal(message->vote.last, raft_log_last(&raft->log));
        if (is_equal && message->from < raft->options.self)
            return;
        raft_become_follower(raft, raft->hard_state.term, NODE_NONE);
    } else if (raft->role == RAFT_ROLE_FOLLOWER && is_fast(raft)) {
        raft->election.at = MAX(raft->election.at, fast_again(raft));
    }
}

/* A refusal carries this node's term, so that one that fell behind catches up (etcd #8243,
 * FAULTS C15); a grant carries the term asked about. */
void raft_election_on_pre_vote(struct raft *raft, const struct message *message)
{
    bool is_granted = message->term > raft->hard_state.term && !raft_election_is_held(raft) &&
                      is_up_to_date(raft, message->vote.last);
    struct message *reply = raft_send(raft, MESSAGE_PRE_VOTE_REPLY, message->from);
    reply->vote_reply.is_granted = is_granted;
    if (!is_granted)
        return;
    reply->term = message->term;
    stand_back(raft, message);
}

/* Learners vote as well: one that has been promoted may not know it yet (FAULTS M6). The same
 * candidate is granted again, for the first answer may be lost (FAULTS C14). */
void raft_election_on_vote(struct raft *raft, const struct message *message)
{
    REQUIRE(message->term == raft->hard_state.term);
    bool is_free = raft->hard_state.vote == NODE_NONE || raft->hard_state.vote == message->from;
    bool is_held = raft_election_is_held(raft) && !message->vote.is_transfer;
    bool is_granted = is_free && !is_held && is_up_to_date(raft, message->vote.last);
    if (is_granted) {
        INVARIANT(raft->role != RAFT_ROLE_LEADER);
        raft->hard_state.vote = message->from;
        if (raft->role == RAFT_ROLE_PRE_CANDIDATE)
            raft_become_follower(raft, message->term, NODE_NONE);
        raft_election_rest(raft);
    }
    raft_send(raft, MESSAGE_VOTE_REPLY, message->from)->vote_reply.is_granted = is_granted;
}

static bool is_awaited(const struct raft *raft, const struct message *message)
{
    raft_term term = raft->hard_state.term;
    if (message->type == MESSAGE_VOTE_REPLY)
        return raft->role == RAFT_ROLE_CANDIDATE && message->term == term;
    return raft->role == RAFT_ROLE_PRE_CANDIDATE &&
           IMPLIES(message->vote_reply.is_granted, message->term == term + 1);
}

/* Votes are a set: a doubled answer counts once (FAULTS C13), a grant is not taken back. */
void raft_election_on_reply(struct raft *raft, const struct message *message)
{
    struct raft_peer *peer = raft_peer_find(raft, message->from);
    if (peer == NULL || !peer->is_voter || !is_awaited(raft, message))
        return;
    if (peer->vote == RAFT_VOTE_GRANTED)
        return;
    peer->vote = message->vote_reply.is_granted ? RAFT_VOTE_GRANTED : RAFT_VOTE_REFUSED;
    decide(raft);
}

static void hurry(struct raft *raft, time_us wait)
{
    raft->election.fast_until = raft->now + raft->options.election;
    raft->election.at = raft->now + wait;
}

/* A cluster that starts has nobody to wait for but each other: when a follower that has heard of no
 * leader yet gets company, it asks soon. They come at the same moment, so each has a place in the
 * row, by its id. Where somebody leads nobody grants it, and the leader is heard soon. */
static void begin(struct raft *raft)
{
    bool is_first = raft->role == RAFT_ROLE_FOLLOWER && raft->leader_heard_at == 0;
    if (!is_first || is_fast(raft) || !raft_is_voter(raft, raft->options.self))
        return;
    time_us place = 0;
    for (size_t i = 0; i < raft->peers_count; i++)
        place += raft->peers[i].is_voter && raft->peers[i].id < raft->options.self;
    hurry(raft, (place + 1) * FAST_PLACE_US);
}

void raft_election_on_link(struct raft *raft, const struct raft_event *event)
{
    const struct raft_peer *peer = raft_peer_find(raft, event->link.peer);
    bool is_asking = raft->role == RAFT_ROLE_PRE_CANDIDATE;
    is_asking |= raft->role == RAFT_ROLE_CANDIDATE;
    if (event->link.is_up && is_asking && peer != NULL && peer->is_voter)
        ask(raft, peer->id, false);

    bool is_leader_dead = event->link.is_dead && event->link.peer == raft->leader;
    if (event->link.is_up)
        begin(raft);
    if (event->link.is_up || !is_leader_dead || raft->leader == NODE_NONE)
        return;
    raft_set_leader(raft, NODE_NONE);
    hurry(raft, prng_below(&raft->prng, FAST_FIRST_US + 1));
}

void raft_election_on_tick(struct raft *raft)
{
    if (raft->leader != NODE_NONE && !raft_election_is_held(raft))
        raft_set_leader(raft, NODE_NONE);
    if (raft->role != RAFT_ROLE_LEARNER && raft->now >= raft->election.at)
        raft_election_start(raft);
}

time_us raft_election_deadline(const struct raft *raft)
{
    time_us at = TIME_NEVER;
    if (raft->role != RAFT_ROLE_LEARNER)
        at = raft->election.at;
    if (raft->leader != NODE_NONE)
        at = MIN(at, raft->leader_heard_at + raft->options.election);
    return at;
}
