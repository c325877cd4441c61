/* Messages between nodes, read off the wire: none may carry what a power failure could undo.
 *
 *      durable term    the term of a message is on the sender's disk (FAULTS C11)
 *      durable vote    a vote, asked for or given, is on the sender's disk (FAULTS C10)
 *      durable ack     what a follower says it has is on its disk, or committed (FAULTS S1)
 *      echo            a reply names no read round that its leader has not sent (FAULTS C2) */
#include <stdio.h>

#include "base/check.h"
#include "sim/swarm/swarm.h"
#include "wire/frame.h"

/* docs/formats/peer.md: u8 type, u8 flag, u16 0, u32 from, u32 to, u64 term, fields. */
enum { FLIGHT_MAX = 30000 * 1000 /* us; what takes longer is drawn as if it had not */ };
enum { MESSAGE_HEAD_BYTES = 20, OFFSET_FLAG = 1, OFFSET_TO = 8, OFFSET_TERM = 12 };

struct spotted {
    enum message_type type;
    bool flag;
    node_id to;
    raft_term term;
    uint64_t match;          /* of an accepted append */
    uint64_t round;          /* of reads: append, its reply, snapshot */
    struct entry_id at;      /* append: the entry before; votes: the candidate's last; snapshot */
    uint64_t commit;         /* append, snapshot */
    bool has_at, has_commit; /* whether the two above are there */
};

static void check_term(struct site *site, const struct spotted *message)
{
    bool campaigns = message->type == MESSAGE_PRE_VOTE ||
                     (message->type == MESSAGE_PRE_VOTE_REPLY && message->flag);
    raft_term term = message->term - campaigns; /* the term campaigned for is not taken yet */
    if (message->type == MESSAGE_PRE_VOTE_REPLY && message->flag)
        return; /* it echoes the candidate's */
    site->term_told = MAX(site->term_told, term);
    if (term > MAX(site->truth.hard_state.term, (raft_term)1))
        swarm_violate(site->swarm, VERDICT_SAFETY, "durable term",
                      "n%u sends a message of term %llu; on its disk is term %llu", site->id,
                      (unsigned long long)term, (unsigned long long)site->truth.hard_state.term);
}

static void check_vote(struct site *site, const struct spotted *message)
{
    const struct hard_state *durable = &site->truth.hard_state;
    node_id vote = message->type == MESSAGE_VOTE ? site->id : message->to;
    bool is_vote =
        message->type == MESSAGE_VOTE || (message->type == MESSAGE_VOTE_REPLY && message->flag);
    bool is_past = durable->term > message->term; /* it has waited; what was on disk is no more */
    if (is_vote && !is_past && (durable->term != message->term || durable->vote != vote))
        swarm_violate(site->swarm, VERDICT_SAFETY, "durable vote",
                      "n%u votes for n%u in term %llu; on its disk is a vote for n%u in term %llu",
                      site->id, vote, (unsigned long long)message->term, durable->vote,
                      (unsigned long long)durable->term);
}

/* What is committed needs no look: it was on a majority, and this node's own start has put it
 * into `truth` or not. A snapshot may stand for it that has become durable in this very turn, which
 * cannot be looked at before the turn is over: watch.c does. */
static void check_match(struct site *site, const struct spotted *message)
{
    if (message->type != MESSAGE_APPEND_REPLY || message->flag)
        return;
    if (message->match > MAX(site->truth.last, (raft_index)1))
        site->acked = MAX(site->acked, (raft_index)message->match);
}

/* Rounds count the reads of one leader; what comes back is one that it has sent. */
static void check_round(struct site *site, const struct spotted *message)
{
    struct swarm *swarm = site->swarm;
    if (message->type == MESSAGE_APPEND || message->type == MESSAGE_SNAPSHOT) {
        site->round_sent =
            MAX(site->round_term == message->term ? site->round_sent : 0, message->round);
        site->round_term = message->term;
    }
    if (message->type != MESSAGE_APPEND_REPLY || message->to > swarm->plan.nodes_count)
        return;
    const struct site *leader = &swarm->sites[message->to];
    if (leader->round_term == message->term && message->round > leader->round_sent)
        swarm_violate(swarm, VERDICT_SAFETY, "echo",
                      "n%u echoes read round %llu of term %llu; n%u has sent none above %llu",
                      site->id, (unsigned long long)message->round,
                      (unsigned long long)message->term, leader->id,
                      (unsigned long long)leader->round_sent);
}

static uint64_t field(struct bytes body, size_t number)
{
    size_t at = MESSAGE_HEAD_BYTES + 8 * number;
    return body.count >= at + 8 ? load_u64(body.data + at) : 0;
}

static bool spot(struct bytes body, struct spotted *out_message)
{
    if (body.count < MESSAGE_HEAD_BYTES)
        return false;
    *out_message = (struct spotted){.type = (enum message_type)body.data[0],
                                    .flag = body.data[OFFSET_FLAG] != 0,
                                    .to = load_u32(body.data + OFFSET_TO),
                                    .term = load_u64(body.data + OFFSET_TERM)};
    switch (out_message->type) {
    case MESSAGE_APPEND:
        out_message->commit = field(body, 2);
        out_message->round = field(body, 3);
        break;
    case MESSAGE_SNAPSHOT:
        out_message->commit = field(body, 3);
        out_message->round = field(body, 4);
        break;
    case MESSAGE_APPEND_REPLY:
        out_message->match = field(body, 0);
        out_message->round = field(body, out_message->flag ? 3 : 1);
        return true;
    case MESSAGE_PRE_VOTE:
    case MESSAGE_VOTE:
        break;
    case MESSAGE_PRE_VOTE_REPLY:
    case MESSAGE_VOTE_REPLY:
    case MESSAGE_READ_INDEX:
    case MESSAGE_READ_INDEX_REPLY:
    case MESSAGE_TIMEOUT_NOW:
        return true;
    }
    out_message->has_at = true;
    out_message->has_commit =
        out_message->type == MESSAGE_APPEND || out_message->type == MESSAGE_SNAPSHOT;
    out_message->at = (struct entry_id){field(body, 0), field(body, 1)};
    return true;
}

static const char *name_of(const struct spotted *message)
{
    switch (message->type) {
    case MESSAGE_PRE_VOTE:
        return "would you vote";
    case MESSAGE_PRE_VOTE_REPLY:
        return message->flag ? "would vote" : "would not vote";
    case MESSAGE_VOTE:
        return "vote for me";
    case MESSAGE_VOTE_REPLY:
        return message->flag ? "vote" : "no vote";
    case MESSAGE_APPEND:
        return "append";
    case MESSAGE_APPEND_REPLY:
        return message->flag ? "append refused" : "append taken";
    case MESSAGE_READ_INDEX:
        return "read index?";
    case MESSAGE_READ_INDEX_REPLY:
        return "read index";
    case MESSAGE_TIMEOUT_NOW:
        return "take over";
    case MESSAGE_SNAPSHOT:
        return "snapshot";
    }
    return "?";
}

/* ---- when what arrives was sent: for pictures only ---- */

static void note_send(struct swarm *swarm, const struct world_event *event)
{
    struct flight *flight =
        swarm_append((void **)&swarm->flights, &swarm->flights_count, sizeof swarm->flights[0]);
    *flight =
        (struct flight){event->stream, event->machine, event->a + event->bytes.count, event->at};
}

/* Bytes of one side of a stream arrive in order: what ends before them has arrived. */
static time_us sent_at(struct swarm *swarm, const struct world_event *event)
{
    time_us at = event->at;
    size_t kept = 0;
    bool is_found = false;
    for (size_t i = 0; i < swarm->flights_count; i++) {
        struct flight flight = swarm->flights[i];
        bool is_same = flight.stream == event->stream && flight.from == event->peer;
        if (is_same && flight.end > event->a && !is_found) {
            at = flight.at;
            is_found = true;
        }
        bool is_old = flight.at + FLIGHT_MAX < event->at;
        if (!(is_same && flight.end <= event->a) && !is_old)
            swarm->flights[kept++] = flight;
    }
    swarm->flights_count = kept;
    return at;
}

/* "append behind 17 of term 3, commit 16, term 4" */
static void note_arrival(struct swarm *swarm, const struct world_event *event,
                         const struct spotted *message)
{
    char at[48] = "", rest[32] = "";
    if (message->has_at)
        (void)snprintf(at, sizeof at, " behind %llu of term %llu",
                       (unsigned long long)message->at.index, (unsigned long long)message->at.term);
    if (message->has_commit)
        (void)snprintf(rest, sizeof rest, ", commit %llu", (unsigned long long)message->commit);
    else if (message->type == MESSAGE_APPEND_REPLY && !message->flag)
        (void)snprintf(rest, sizeof rest, " up to %llu", (unsigned long long)message->match);
    swarm_note(swarm, TRACE_MESSAGE, event->peer, event->machine, message->type,
               swarm->trace.keeps ? sent_at(swarm, event) : event->at, "-> n%u %s%s%s, term %llu",
               event->machine, name_of(message), at, rest, (unsigned long long)message->term);
}

static void on_message(struct swarm *swarm, const struct world_event *event, struct bytes body)
{
    struct spotted message;
    struct site *site = &swarm->sites[event->machine];
    if (!spot(body, &message))
        return;
    if (event->kind == WORLD_ARRIVED) {
        contact_on_arrival(site, event->peer, message.type);
        if (trace_wants_text(&swarm->trace))
            note_arrival(swarm, event, &message);
        return;
    }
    swarm->totals.messages++;
    check_term(site, &message);
    check_vote(site, &message);
    check_match(site, &message);
    check_round(site, &message);
}

/* What one send carries are whole frames: a link flushes its outbox at the end of a turn. They may
 * arrive in parts, of which nobody can say what they are: such a part counts as any message. */
static void on_bytes(struct swarm *swarm, const struct world_event *event)
{
    struct bytes rest = event->bytes;
    while (rest.count >= FRAME_HEADER_BYTES) {
        size_t count = (size_t)load_u32(rest.data) + FRAME_HEADER_BYTES;
        if (count > rest.count)
            break;
        if (rest.data[8] == FRAME_MESSAGE)
            on_message(swarm, event,
                       bytes_of(rest.data + FRAME_HEADER_BYTES, count - FRAME_HEADER_BYTES));
        rest = bytes_of(rest.data + count, rest.count - count);
    }
    if (rest.count > 0 && event->kind == WORLD_ARRIVED)
        contact_on_arrival(&swarm->sites[event->machine], event->peer, MESSAGE_APPEND);
}

static bool is_node(const struct swarm *swarm, unsigned machine)
{
    return machine >= 1 && machine <= swarm->plan.nodes_count;
}

void traffic_on_event(void *ctx, const struct world_event *event)
{
    struct swarm *swarm = ctx;
    if (!is_node(swarm, event->machine))
        return;
    if (event->kind == WORLD_SENT && swarm->trace.keeps)
        note_send(swarm, event);
    if (event->kind == WORLD_SENT || event->kind == WORLD_ARRIVED) {
        if (is_node(swarm, event->peer))
            on_bytes(swarm, event);
    } else if (event->path != NULL || event->kind == WORLD_BOOTED) {
        truth_on_event(&swarm->sites[event->machine].truth, event);
        if (event->kind == WORLD_FAULT)
            strike_on_disk_fault(&swarm->sites[event->machine], event);
    }
}
